"""A person answers everything: the option that is always there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tasklift.dataset import Dataset
from tasklift.prediction import Prediction
from tasklift.strategies.artifact import Card, write_artifact
from tasklift.strategies.recipe import EVERY_KIND, Recipe
from tasklift.strategy import Candidate, Context, Family, Input, Resources, Traits
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


class HumanCandidate(Candidate):
    """Defers."""

    traits = Traits(deterministic=False, batch_size=1000)

    def __init__(self, card: Card) -> None:
        self.card = card
        self.fingerprint: str = card.fingerprint
        self.family: Family = card.family
        self.setup: Resources = card.setup
        self.training_ids = card.training_ids
        self.notes = card.notes

    async def predict(self, inputs: Sequence[Input], ctx: Context) -> list[Prediction]:
        """Deferred, all of them."""
        return [Prediction(deferred=True) for _ in inputs]

    def save(self, folder: Path) -> None:
        """Write the card."""
        write_artifact(folder, self.card, {})

    async def aclose(self) -> None:
        """Nothing is held."""
