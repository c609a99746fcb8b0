"""CLINC150: accuracy on 150 intents, and telling apart what no intent fits.

    python3 dev.py bench clinc150 [--data FOLDER]

Candidates learn from the in-scope training rows alone. A score then tells in-scope from out-of-scope queries:
the highest probability, the energy, or the similarity to the nearest training rows of the tuned encoder; which
one is chosen on the authors' validation split, as are the thresholds of the curve. The other way, a label of its
own for the 100 out-of-scope training rows, stands beside it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from _common import Figure, finish, note
from _run import LoudEncoder, accuracy_figures, cpu_s, hashes, kept, options_of, run, state_of, used
from _sets import Benchmark, Scope, clinc150
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax
from sklearn.metrics import roc_auc_score

from tasklift.data.nearest import nearest
from tasklift.stats.intervals import Interval
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.classifier import label_indices, texts_of
from tasklift.strategies.encoder import EncoderCandidate
from tasklift.strategies.fitting import fit_or_load
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.heads import OneLabel, fit_head
from tasklift.strategies.knn import Knn
from tasklift.strategy import Strategy

BARS = {"majority": None, "baseline": None, "knn": None, "frozen": None, "encoder": 0.94}
#: Least area under the ROC curve of in-scope against out-of-scope test queries.
AUROC_BAR = 0.94
PUBLISHED = {"baseline": "linear SVM 92.8", "encoder": "BERT 96.9, USE+ConveRT 97.2"}
PUBLISHED_SCOPE = "BERT with a threshold: 52.3% of out-of-scope queries found at 96.2% in-scope accuracy"
#: Numbers of nearest rows whose mean similarity is tried as a score.
NEIGHBOURS = (1, 5, 20)
#: Shares of in-scope validation queries that are refused, for the curve.
REFUSED = (0.0, 0.01, 0.02, 0.05, 0.10)
RESAMPLES = 500

Scores = NDArray[np.float64]


def main() -> int:
    """Run and print."""
    made, scope = clinc150(options_of(__doc__).parse_args().data)
    encoder = LoudEncoder(max_epochs=2)
    strategies: dict[str, Strategy] = {
        "majority": Majority(),
        "baseline": Baseline(),
        "knn": Knn(),
        "frozen": FrozenEncoder(),
        "encoder": encoder,
    }
    with kept("clinc150") as folder:
        found = run("CLINC150, in scope", made, strategies)
        candidate = fit_or_load(encoder, made.task, made.train, folder, note)
        assert isinstance(candidate, EncoderCandidate)
        space = Space.of(candidate, made, scope)
    figures = accuracy_figures(found, BARS, PUBLISHED)
    scope_figures, table = out_of_scope(space)
    extra: dict[str, Any] = {"title": "CLINC150: 150 intents and queries out of scope", "candidates": used(found)}
    extra |= {"cpu_s": cpu_s(found), "tables": [table], **hashes(made)}
    return finish("clinc150", "python3 dev.py bench clinc150", figures + scope_figures, extra)


@dataclass(frozen=True)
class Space:
    """Where the tuned encoder puts every query: [rows, dimensions] each, with what the scores need."""

    candidate: EncoderCandidate
    labels: NDArray[np.int64]
    expected: NDArray[np.int64]
    train: NDArray[np.float32]
    outside: NDArray[np.float32]
    validation: NDArray[np.float32]
    validation_outside: NDArray[np.float32]
    test: NDArray[np.float32]
    test_outside: NDArray[np.float32]

    @classmethod
    def of(cls, candidate: EncoderCandidate, made: Benchmark, scope: Scope) -> Space:
        """Vectors of all texts, kept on disk."""
        fields, names = made.task.input_fields, list(made.task.labels)
        texts = {
            "train": texts_of(made.train, fields),
            "outside": scope.train,
            "validation": texts_of(scope.in_scope, fields),
            "validation_outside": scope.validation,
            "test": texts_of(made.test, fields),
            "test_outside": scope.test,
        }
        place = state_of("clinc150") / f"vectors-{candidate.fingerprint}.npz"
        if not place.exists():
            note("clinc150: vectors of all queries")
            vectors = {name: candidate.vectors(list(some)) for name, some in texts.items()}
            np.savez(place, allow_pickle=False, **vectors)
        stored = np.load(place)
        vectors = {name: stored[name] for name in texts}
        return cls(candidate, label_indices(made.train, names), label_indices(made.test, names), **vectors)

    def scores(self, vectors: NDArray[np.float32]) -> dict[str, Scores]:
        """[n, dimensions] -> each score, [n]; higher is more in scope."""
        logits = self.candidate.logits(vectors) / float(self.candidate.notes["temperature"])
        _, similarity = nearest(vectors, self.train, max(NEIGHBOURS))
        near = {f"similarity to {k} nearest": similarity[:, :k].mean(1) for k in NEIGHBOURS}
        return {"max probability": softmax(logits, axis=1).max(1), "energy": logsumexp(logits, axis=1), **near}

    def own_label(self, *queries: NDArray[np.float32]) -> list[Scores]:
        """1 - probability of a label of its own, learnt from the out-of-scope training rows."""
        outside = int(self.labels.max()) + 1
        vectors = np.vstack([self.train, self.outside])
        truth = np.concatenate([self.labels, np.full(len(self.outside), outside)])
        head = fit_head(OneLabel(outside + 1), (vectors, truth), float(self.candidate.notes["c"]))
        return [1 - head(query)[:, outside] for query in queries]


def out_of_scope(space: Space) -> tuple[list[Figure], dict[str, Any]]:
    """AUROC of the score that validation chose, of the other way, and the curve."""
    known, unknown = space.scores(space.validation), space.scores(space.validation_outside)
    tried = {name: auroc(known[name], unknown[name]) for name in known}
    best = max(tried, key=tried.__getitem__)
    inside, outside = space.scores(space.test)[best], space.scores(space.test_outside)[best]
    validated = ", ".join(f"{name} {value:.3f}" for name, value in tried.items())
    figures = [
        Figure.share(
            "out-of-scope AUROC, trained in scope only",
            auroc_interval(inside, outside),
            AUROC_BAR,
            note=f"score: {best}; on validation: {validated}",
            published=PUBLISHED_SCOPE,
        )
    ]
    own = space.own_label(space.test, space.test_outside)
    figures.append(
        Figure.share(
            "out-of-scope AUROC, a label of its own",
            auroc_interval(*own),
            note="head learnt with the 100 out-of-scope training rows on the tuned vectors",
        )
    )
    return figures, curve(space, best, known[best], inside, outside)


def curve(space: Space, best: str, known: Scores, inside: Scores, outside: Scores) -> dict[str, Any]:
    """In-scope accuracy (a refused query counts as wrong) against out-of-scope recall."""
    right = space.candidate.logits(space.test).argmax(1) == space.expected
    rows = []
    for share in REFUSED:
        threshold = -np.inf if share == 0 else float(np.quantile(known, share))
        answered = inside >= threshold
        rows.append(
            [
                f"{share:.0%}",
                f"{100 * float((right & answered).mean()):.1f}",
                f"{100 * float(answered.mean()):.1f}",
                f"{100 * float((outside < threshold).mean()):.1f}",
            ]
        )
    return {
        "title": f"In-scope accuracy against out-of-scope recall (score: {best})",
        "header": ["refused on validation", "in-scope accuracy %", "in-scope answered %", "out-of-scope recall %"],
        "rows": rows,
    }


def auroc(inside: Scores, outside: Scores) -> float:
    """Probability that an in-scope query scores higher than one out of scope."""
    truth = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    return float(roc_auc_score(truth, np.concatenate([inside, outside])))


def auroc_interval(inside: Scores, outside: Scores) -> Interval:
    """The same with a 95% percentile bootstrap, each side drawn by itself."""
    draw = np.random.default_rng(0)
    values = [auroc(draw.choice(inside, len(inside)), draw.choice(outside, len(outside))) for _ in range(RESAMPLES)]
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(auroc(inside, outside), float(low), float(high))


if __name__ == "__main__":
    sys.exit(main())
