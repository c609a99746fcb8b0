"""What is known of a macro-F1: the Bayesian bootstrap over rows (Rubin 1981)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasklift.measure.deciding.posterior import REST
from tasklift.measure.deciding.quantities import Draws
from tasklift.measure.evidence import Evidence, OptionEvidence

#: Draws by which a macro-F1 is judged: each of them weighs all rows anew.
F1_DRAWS = 2000


def macro_f1_draws(evidence: Evidence, seen: OptionEvidence, reviewer_accuracy: float) -> Draws:
    """[F1_DRAWS] mean F1 of the labels that occur among the expected answers, rows weighed anew in each draw.

    One row more that nobody has seen counts as all right or all wrong with even odds. Rows weigh the same for
    every option in each draw, so that differences of options are paired.
    """
    rng = np.random.default_rng(0)
    expected, outputs = evidence.expected, seen.outputs or ()
    names = sorted({str(label) for label in expected})
    given = [str(y) if away else str(p) for p, y, away in zip(outputs, expected, seen.deferred, strict=True)]
    sure = np.where(seen.deferred, reviewer_accuracy, 1.0).astype(np.float32)
    answered = np.array([[label == name for name in names] for label in given], dtype=np.float32)  # [rows, labels]
    actual = np.array([[str(label) == name for name in names] for label in expected], dtype=np.float32)
    weights, unseen = _row_draws(evidence, rng)
    both = weights @ (answered * actual * sure[:, None])  # [draws, labels]
    either = weights @ answered + weights @ actual
    values = (2 * both / np.maximum(either, 1e-12)).mean(axis=1).astype(np.float64)
    return np.asarray(values + unseen * (np.arange(F1_DRAWS) % 2 - values))


def _row_draws(evidence: Evidence, rng: np.random.Generator) -> tuple[NDArray[np.float32], Draws]:
    """[draws, rows] weights of the rows, one a cluster, and the [draws] share of an unseen row."""
    rows = len(evidence)
    place = np.arange(rows)
    if evidence.clusters is not None:
        _, place = np.unique(np.array(evidence.clusters), return_inverse=True)
    units = int(place.max()) + 1
    gammas = rng.standard_exponential((F1_DRAWS, units), dtype=np.float32)[:, place]
    return gammas, rng.beta(REST, units, F1_DRAWS)
