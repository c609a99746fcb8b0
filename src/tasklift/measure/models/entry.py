"""The registry: every artifact of a project with all that is known about it, read from the artifacts themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tasklift.economics import UnitPrices
from tasklift.errors import ArtifactError, DataError
from tasklift.measure.archive import entries
from tasklift.measure.cost import item_cost, setup_cost
from tasklift.measure.stored import load_evaluation
from tasklift.strategies.artifact import Card, read_card
from tasklift.strategies.origin import Origin, read_origin


@dataclass(frozen=True)
class Measured:
    """A model in one evaluation.

    Attributes:
        evaluation: its id.
        name: what the evaluation calls the model.
        rows: test rows.
        accuracy, macro_f1: value, low, high; None where a person answered everything.
        ece: calibration error.
        p50_ms: median of one request.
        item_usd: inference cost of one item.
    """

    evaluation: str
    name: str
    rows: int
    accuracy: tuple[float, float, float] | None
    macro_f1: tuple[float, float, float] | None
    ece: float | None
    p50_ms: float | None
    item_usd: float


@dataclass(frozen=True)
class Model:
    """A fitted model.

    Attributes:
        fingerprint: hash of all that decides its answers; its name.
        card: what it is.
        origin: where it comes from; None where that was not written down.
        size: bytes on disk.
        parents: models that it is made of (stages), by fingerprint.
        setup_usd: what making it cost, labels included, at the given prices.
        measured: evaluations that it stands in, the newest first.
        damage: why it cannot be used; "" where it can.
    """

    fingerprint: str
    card: Card | None
    origin: Origin | None
    size: int
    parents: tuple[str, ...] = ()
    setup_usd: float = 0.0
    measured: tuple[Measured, ...] = ()
    damage: str = ""

    @property
    def task(self) -> str:
        """Name of its task; "?" where it was not written down."""
        return self.origin.task if self.origin else "?"

    @property
    def accuracy(self) -> float | None:
        """In its newest evaluation."""
        return next((one.accuracy[0] for one in self.measured if one.accuracy), None)

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        card = self.card
        return {
            "fingerprint": self.fingerprint,
            "task": self.task,
            "strategy": card.strategy if card else None,
            "family": card.family if card else None,
            "parameters": dict(card.parameters) if card else {},
            "seed": card.parameters.get("seed") if card else None,
            "setup": asdict(card.setup) if card else {},
            "setup_usd": self.setup_usd,
            "notes": dict(card.notes) if card else {},
            "labels": len(card.labels) if card else 0,
            "origin": asdict(self.origin) if self.origin else None,
            "parents": list(self.parents),
            "size": self.size,
            "measured": [asdict(one) for one in self.measured],
            "damage": self.damage,
        }


@dataclass(frozen=True)
class Catalogue:
    """All models of a project.

    Attributes:
        state: `.tasklift` of the project.
        prices: unit prices for what making and asking cost.
        models: the newest first.
    """

    state: Path
    prices: UnitPrices
    models: tuple[Model, ...] = field(default=())

    @classmethod
    def open(cls, state: Path, prices: UnitPrices | None = None, task: str | None = None) -> Catalogue:
        """Read every artifact, and every finished evaluation for the figures.

        Args:
            task: only models of this task.
        """
        prices = prices or UnitPrices()
        figures = _figures(state, prices)
        places = [path for path in (state / "artifacts").glob("[!.]*") if path.is_dir()]
        newest = sorted(places, key=lambda path: path.stat().st_mtime_ns, reverse=True)
        found = (_model(path, prices, figures.get(path.name, ())) for path in newest)
        return cls(state, prices, tuple(one for one in found if task in (None, one.task)))

    def get(self, beginning: str) -> Model:
        """The model whose fingerprint begins so, or that its newest evaluation calls so.

        Raises:
            DataError: none or several; names those that there are.
        """
        found = [one for one in self.models if one.fingerprint.startswith(beginning)]
        if not found:
            found = [one for one in self.models if any(m.name == beginning for m in one.measured[:1])][:1]
        if len(found) == 1:
            return found[0]
        known = ", ".join(f"{one.fingerprint[:12]} ({_strategy(one)})" for one in self.models[:6])
        what = "several models begin" if found else "no model begins"
        raise DataError(f"{self.state}: {what} with {beginning!r}; there are {known or 'none: evaluate fits them'}")

    def children(self, fingerprint: str) -> list[Model]:
        """Models that this one is a stage of."""
        return [one for one in self.models if fingerprint in one.parents]


def _strategy(model: Model) -> str:
    return model.card.strategy if model.card else "damaged"


def _model(place: Path, prices: UnitPrices, measured: tuple[Measured, ...]) -> Model:
    size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    try:
        card, origin = read_card(place), read_origin(place)
        parts = tuple(read_card(path.parent).fingerprint for path in sorted(place.glob("*/candidate.json")))
    except ArtifactError as error:
        return Model(place.name, None, None, size, damage=str(error))
    return Model(place.name, card, origin, size, parts, setup_cost(card.setup, prices), measured)


def _figures(state: Path, prices: UnitPrices) -> Mapping[str, tuple[Measured, ...]]:
    """Fingerprint -> how it did in every finished evaluation, the newest first."""
    found: dict[str, list[Measured]] = {}
    for entry in entries(state):
        if entry.state != "finished":
            continue
        try:
            evaluation = load_evaluation(state, entry.id, 1.0)
        except DataError:  # a damaged one is shown by `tasklift evaluations list`
            continue
        for result in evaluation.results:
            scores, hosted = result.scores, result.card.parameters.get("model") if result.traits["remote"] else None
            cost = item_cost(scores.usage, scores.rows, prices, str(hosted) if hosted else None)
            accuracy, f1 = scores.accuracy, scores.macro_f1
            found.setdefault(result.card.fingerprint, []).append(
                Measured(
                    entry.id,
                    result.name,
                    scores.rows,
                    (accuracy.value, accuracy.low, accuracy.high) if accuracy else None,
                    (f1.value, f1.low, f1.high) if f1 else None,
                    scores.ece,
                    1000 * scores.latency_p50_s if scores.latency_p50_s is not None else None,
                    cost.usd,
                )
            )
    return {name: tuple(some) for name, some in found.items()}
