"""Which models may go."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from tasklift.measure.models.entry import Catalogue, Model


@dataclass(frozen=True)
class Keep:
    """What stays in any case.

    Attributes:
        newest: so many models of each task and strategy, the newest.
        measured: models that stand in an evaluation.
        protected: fingerprints, such as those that are or were in production.
    """

    newest: int = 1
    measured: bool = True
    protected: frozenset[str] = frozenset()


def plan_pruning(catalogue: Catalogue, keep: Keep) -> list[tuple[Model, str]]:
    """Models that go, each with the reason. Stages of a model that stays stay too.

    Stages of a layered model are kept inside it as well; their own folders only save fitting them again.
    """
    kind: dict[tuple[str, str], list[Model]] = defaultdict(list)
    gone: list[tuple[Model, str]] = []
    for model in catalogue.models:
        if model.card is None:
            gone.append((model, f"damaged: {model.damage}"))
        else:
            kind[model.task, model.card.strategy].append(model)
    staying: set[str] = set(keep.protected)
    for some in kind.values():
        for place, model in enumerate(some):
            if place < keep.newest or (keep.measured and model.measured):
                staying.add(model.fingerprint)
    for model in catalogue.models:
        if model.fingerprint in staying:
            staying |= set(model.parents)
    gone += [
        (model, f"not among the {keep.newest} newest of {model.card.strategy}")
        for model in catalogue.models
        if model.card is not None and model.fingerprint not in staying
    ]
    return gone
