"""Does an input look like the training rows at all? A score from the logits, scaled by held-out training rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from tasklift.errors import StrategyError
from tasklift.prediction import DECIMALS, Prediction, Usage
from tasklift.strategies.artifact import Card
from tasklift.strategies.classifier import ClassifierCandidate, Probabilities
from tasklift.strategies.heads import Scores
from tasklift.strategies.recipe import require
from tasklift.task import Task

#: Energies are rounded to this: batching changes the last bits, and the rows beside one must not have it refused.
ENERGY_DECIMALS = 4
#: Most that may be refused of the rows that are in scope.
MOST_REFUSED = 0.5


def energy(scores: Scores) -> NDArray[np.float64]:
    """log of the sum over labels of exp(score): high where some label fits (the negative energy of Liu et al. 2020).

    Args:
        scores: [n, labels], before the temperature.

    Returns:
        [n].
    """
    found: NDArray[np.float64] = logsumexp(np.asarray(scores, dtype=np.float64), axis=1)
    return np.round(found, ENERGY_DECIMALS)


@dataclass(frozen=True)
class Scope:
    """What held-out training rows look like: in scope by definition, and unseen by the model that scored them.

    Attributes:
        held_out: [m] energies, ascending.
    """

    held_out: NDArray[np.float64]

    @classmethod
    def of(cls, scores: Scores) -> Scope:
        """From the scores of held-out training rows: [m, labels]."""
        return cls(np.sort(energy(scores)))

    def __call__(self, scores: Scores) -> NDArray[np.float64]:
        """[n, labels] -> [n], 0 to 1: share of held-out rows, the row itself counted in, that look no more in scope.

        A row like the training rows gets p or less with probability p (a conformal p-value, Vovk et al. 2005), where
        the model that scored the held-out rows is the one that answers. One that was then fitted to all rows, as with
        few rows, is surer of everything, so that less is refused than asked for.
        """
        no_higher = np.searchsorted(self.held_out, energy(scores), side="right")
        return np.round((1 + no_higher) / (len(self.held_out) + 1), DECIMALS)

    def require(self, share: float, who: str) -> None:
        """Refuse a share that the held-out rows cannot tell.

        Raises:
            StrategyError: with the least that they can.
        """
        least = 1 / (len(self.held_out) + 1)
        if 0 < share < least:
            raise StrategyError(
                f"{who}: out_of_scope={share:g} cannot be told from {len(self.held_out)} held-out rows, which tell "
                f"{least:.4f} and more; raise it, or add training rows"
            )


def check_share(share: float, who: str) -> None:
    """Refuse a share that makes no sense.

    Raises:
        StrategyError: it does not lie between 0 and `MOST_REFUSED`.
    """
    require(0 <= share <= MOST_REFUSED, who, f"out_of_scope={share} must lie between 0 and {MOST_REFUSED}")


def require_label(task: Task, share: float, who: str) -> None:
    """Refuse a share where an answer is not one label.

    Raises:
        StrategyError: several labels, or a number.
    """
    kind = task.output.kind
    require(
        share == 0 or kind == "label", who, f"out_of_scope={share} is for one label; {task.name} is of kind {kind!r}"
    )


def without_scope(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a recipe that refuses nothing: they, and its fingerprint, are those of before there was a scope."""
    return {name: value for name, value in parameters.items() if name != "out_of_scope" or value}


class ScopedCandidate(ClassifierCandidate):
    """Scores of labels, probabilities of them, and how much an input looks like the training rows.

    Attributes:
        scope: None where the artifact of an older version has none: nothing is then said of it.
    """

    def __init__(self, card: Card, temperature: float, scope: Scope | None) -> None:
        super().__init__(card)
        self.scope = scope
        self._temperature = temperature
        self._refused = float(card.parameters.get("out_of_scope", 0.0))

    @abstractmethod
    def scores(self, texts: Sequence[str]) -> Scores:
        """[n] texts -> [n, labels], before the temperature."""

    def probabilities(self, texts: Sequence[str]) -> Probabilities:
        """[n] texts -> [n, labels]."""
        return self._of(self.scores(texts))

    def computed(self, texts: Sequence[str]) -> Iterable[Any]:
        """Each row's probabilities, and how much it is in scope (None: not known)."""
        scores = self.scores(texts)
        within = self.scope(scores).tolist() if self.scope is not None else [None] * len(scores)
        return zip(self._of(scores), within, strict=True)

    def told(self, result: Any, usage: Usage, latency_s: float) -> Prediction:
        """The most probable label; a row that is out of scope is left to a person, with that label as a suggestion."""
        probabilities, within = result
        said = super().told(probabilities, usage, latency_s)
        if within is None:
            return said
        said = replace(said, notes={"in_scope": within})
        if within > self._refused:
            return said
        # Without a confidence: a layered candidate must not take it as sure.
        notes = {"abstained": True, "in_scope": within}
        return Prediction(deferred=True, usage=usage, latency_s=latency_s, children=(said,), notes=notes)

    def _of(self, scores: Scores) -> Probabilities:
        return np.asarray(softmax(scores / self._temperature, axis=1))
