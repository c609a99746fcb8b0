"""A person answers everything: the option that is always there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tasklift.dataset import Dataset
from tasklift.prediction import Prediction
from tasklift.strategies.artifact import Card, CardCandidate
from tasklift.strategies.recipe import EVERY_KIND, Recipe
from tasklift.strategy import Context, Family, Input, Resources, Traits
from tasklift.task import Task


@dataclass(frozen=True)
class Human(Recipe):
    """Every row is deferred; accuracy and price of a person come from the economics."""

    name: ClassVar[str] = "human"
    family: ClassVar[Family] = "human"
    needs_rows: ClassVar[bool] = False
    kinds: ClassVar[frozenset[str]] = EVERY_KIND

    def fit(self, task: Task, train: Dataset) -> HumanCandidate:
        """Nothing to do."""
        return HumanCandidate(self.card(task, train, Resources()))

    @staticmethod
    def load(folder: Path, card: Card) -> HumanCandidate:
        """A saved candidate."""
        return HumanCandidate(card)


class HumanCandidate(CardCandidate):
    """Defers."""

    traits = Traits(deterministic=False, batch_size=1000)

    async def predict(self, inputs: Sequence[Input], ctx: Context) -> list[Prediction]:
        """Deferred, all of them."""
        return [Prediction(deferred=True) for _ in inputs]
