"""What recipes share: a fingerprint, checks before fitting, and the card of the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from tasklift.dataset import Dataset
from tasklift.errors import StrategyError, UnsupportedError
from tasklift.strategies.artifact import Card, fingerprint_of
from tasklift.strategy import Candidate, Family, Resources
from tasklift.task import KINDS, Task

#: Kinds of output: one label only, and all that there are.
LABEL = frozenset({"label"})
EVERY_KIND = frozenset(KINDS)


@dataclass(frozen=True)
class Recipe:
    """Base of every strategy that ships: frozen parameters and a fingerprint known before fitting."""

    name: ClassVar[str]
    family: ClassVar[Family]
    #: raised when the same parameters begin to mean something else
    version: ClassVar[int] = 1
    #: False for recipes that look at no row
    needs_rows: ClassVar[bool] = True
    #: kinds of output that it can be fitted to
    kinds: ClassVar[frozenset[str]] = LABEL

    @property
    def looks_at_rows(self) -> bool:
        """Do the rows that it is fitted to decide anything?"""
        return self.needs_rows

    def base(self) -> str:
        """Snapshot of the pre-trained model underneath, '' where there is none."""
        return ""

    def parameters(self) -> dict[str, Any]:
        """The parameters as plain values, for the card and the fingerprint."""
        return asdict(self)

    def fingerprint(self, task: Task, train: Dataset) -> str:
        """Hash of everything that decides the candidate's answers."""
        rows = train.content_hash if self.looks_at_rows else ""
        return fingerprint_of(self.name, self.version, self.parameters(), task.content_hash, rows, self.base())

    def reload(self, folder: Path, card: Card) -> Candidate:
        """A candidate that an equal recipe saved. Where a card can only name what this recipe holds (a model
        that was passed as an object), this takes the recipe's own."""
        load: Callable[[Path, Card], Candidate] = type(self).load  # type: ignore[attr-defined]
        return load(folder, card)

    def card(self, task: Task, train: Dataset, setup: Resources, **rest: Mapping[str, Any]) -> Card:
        """The card of a candidate that this recipe made from these rows."""
        return Card(
            strategy=self.name,
            fingerprint=self.fingerprint(task, train),
            family=self.family,
            parameters=self.parameters(),
            labels=task.labels,
            instruction=task.instruction,
            input_fields=task.input_fields,
            output=task.output.model_dump(),
            setup=setup,
            training_ids=train.keys if self.looks_at_rows else frozenset(),
            **rest,
        )


def require(condition: bool, who: str, what: str) -> None:
    """Refuse parameters that make no sense.

    Raises:
        StrategyError: `what` says which value and what is allowed.
    """
    if not condition:
        raise StrategyError(f"{who}: {what}")


def require_kind(task: Task, who: str, kinds: frozenset[str]) -> None:
    """Refuse a task whose answers this recipe cannot give.

    Raises:
        UnsupportedError: says which strategies can.
    """
    if task.output.kind not in kinds:
        raise UnsupportedError(
            f"{who} gives outputs of kind {', '.join(sorted(kinds))}; task {task.name} asks for kind "
            f"{task.output.kind!r}, which majority, knn, prompt and fewshot give"
            + (", and baseline, frozen, encoder and layered" if task.output.kind in ("labels", "number") else "")
        )


def require_rows(task: Task, train: Dataset, who: str, kinds: frozenset[str] = LABEL) -> None:
    """Refuse rows that nothing can be fitted to.

    Raises:
        UnsupportedError: the task's answers are of a kind that this recipe cannot give.
        StrategyError: no rows, rows without an output, or only one label among them.
    """
    require_kind(task, who, kinds)
    require(len(train) > 0, who, f"no training rows for task {task.name}; import some with `tasklift data import`")
    unlabelled = [row.id for row in train if row.output is None]
    require(not unlabelled, who, f"{len(unlabelled)} training rows carry no output (first: {unlabelled[:1]})")
    for value in train.outputs:
        task.check_output(value)
    require(
        task.output.kind != "label" or len(set(train.outputs)) > 1,
        who,
        f"all training rows carry the label {train.outputs[0]!r}; add rows of others",
    )
