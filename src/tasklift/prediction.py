"""What a candidate returns for one input, and the quantities it used.

Money is not here: quantities stay true when prices change, so `measure.cost` prices them later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

#: Confidences and scores are rounded to this many decimals: batching changes the last bits.
DECIMALS = 6
#: How many scores a stored prediction keeps.
TOP_K = 5


@dataclass(frozen=True, slots=True)
class Usage:
    """Quantities used by one prediction, or by many when added.

    Attributes:
        calls: requests that reached a model.
        input_tokens: prompt tokens, cached ones included.
        cached_tokens: the part of `input_tokens` that a prefix cache served.
        output_tokens: generated tokens.
        cpu_s: process CPU seconds.
        gpu_s: accelerator seconds.
    """

    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cpu_s: float = 0.0
    gpu_s: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            self.cpu_s + other.cpu_s,
            self.gpu_s + other.gpu_s,
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no output: `kind` is counted in reports, `message` is read by a person."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer.

    Attributes:
        output: the typed answer; None when deferred or failed.
        scores: the most probable labels with their probability, best first; None where unknown.
        confidence: calibrated probability that `output` is right, 0 to 1; None where unknown.
        deferred: a person has to answer. `output` is then None; the best guess is in `children`.
        usage: quantities used.
        latency_s: wall-clock seconds from request to answer.
        error: why there is no answer; a failed row scores as wrong.
        children: what each stage of a layered candidate said, first stage first.
        notes: small facts about how the answer came about, such as `{"skipped_model": True}`.
        citations: passages of documents that it rests on: `document`, `chunk`, `start`, `end`, and `page` of a PDF.
        tool_calls: tools that the model asked for.
    """

    output: Any = None
    scores: Mapping[str, float] | None = None
    confidence: float | None = None
    deferred: bool = False
    usage: Usage = field(default_factory=Usage)
    latency_s: float = 0.0
    error: Failure | None = None
    children: tuple[Prediction, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    citations: tuple[Mapping[str, Any], ...] = ()
    tool_calls: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def from_probabilities(cls, probabilities: Mapping[str, float], **rest: Any) -> Self:
        """The most probable label, with the top scores rounded. Ties go to the first label."""
        ranked = sorted(((label, round(float(p), DECIMALS)) for label, p in probabilities.items()), key=_by_score)
        label, confidence = ranked[0]
        return cls(output=label, scores=dict(ranked[:TOP_K]), confidence=confidence, **rest)

    @classmethod
    def failed(cls, kind: str, message: str, **rest: Any) -> Self:
        """No answer, with the reason."""
        return cls(error=Failure(kind, message), **rest)

    def with_timing(self, usage: Usage, latency_s: float) -> Prediction:
        """The same answer with other quantities."""
        return replace(self, usage=usage, latency_s=latency_s)

    def to_json(self) -> dict[str, Any]:
        """The stored form: empty fields are left out."""
        row: dict[str, Any] = {}
        for name in _PLAIN:
            value = getattr(self, name)
            if not _empty(value) or (name == "output" and value is not None):  # 0, [] and {} are answers
                row[name] = dict(value) if isinstance(value, Mapping) else value
        row["usage"] = {name: value for name in _USED if (value := getattr(self.usage, name))}
        row["latency_s"] = round(self.latency_s, DECIMALS)
        if self.error is not None:
            row["error"] = {"kind": self.error.kind, "message": self.error.message}
        if self.children:
            row["children"] = [child.to_json() for child in self.children]
        return row

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; unknown keys are ignored, so that newer files can be read."""
        known = {key: row[key] for key in cls.__dataclass_fields__ if key in row}
        known["usage"] = Usage(**row.get("usage", {}))
        known["children"] = tuple(cls.from_json(child) for child in row.get("children", ()))
        if "error" in row:
            known["error"] = Failure(**row["error"])
        known["citations"] = tuple(row.get("citations", ()))
        known["tool_calls"] = tuple(row.get("tool_calls", ()))
        return cls(**known)


#: Fields that are stored as they are. Written out, because a server stores one prediction a request.
_PLAIN = ("output", "scores", "confidence", "deferred", "notes", "citations", "tool_calls")
_USED = tuple(Usage.__dataclass_fields__)


def _empty(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, tuple | dict | list) and not value)


def _by_score(item: tuple[str, float]) -> float:
    return -item[1]
