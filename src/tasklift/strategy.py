"""The two protocols that every way of doing a task obeys: a `Strategy` is fitted to a `Candidate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from tasklift.data.documents.passage import Passage
from tasklift.dataset import Dataset
from tasklift.prediction import Prediction
from tasklift.task import Task

Family = Literal["baseline", "prompt", "finetune", "layered", "human"]
Input = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Traits:
    """What a candidate is like to run.

    Attributes:
        deterministic: equal inputs and seed give equal outputs.
        remote: a network address is called.
        data_leaves_machine: that address is not this machine (the residency gate reads this).
        streams: text can be streamed.
        batch_size: how many inputs one `predict` call handles well.
    """

    deterministic: bool = True
    remote: bool = False
    data_leaves_machine: bool = False
    streams: bool = False
    batch_size: int = 64


@dataclass(frozen=True, slots=True)
class Resources:
    """What it took to make a candidate: quantities, never money.

    Attributes:
        labels: labelled rows it needs (trained on, retrieved from, or used to choose).
        tokens: training tokens.
        cpu_s: process CPU seconds.
        gpu_s: accelerator seconds.
        person_minutes: human work other than labelling.
        asked: tokens of hosted models while it was made, as a prompt optimiser uses them: model -> `input_tokens`,
            `cached_tokens`, `output_tokens`.
    """

    labels: int = 0
    tokens: int = 0
    cpu_s: float = 0.0
    gpu_s: float = 0.0
    person_minutes: float = 0.0
    asked: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """Everything about one call that is not the input.

    Attributes:
        deadline: `time.monotonic()` value after which an answer is useless; None: no limit.
        budget: most model calls that this request may make; None: no limit.
        overlay: name of the prompt overlay.
        seed: seed of sampling.
        repeat: which deliberate repeat this is (0 is the first).
        permissions: what tools may do.
        trace_id: links the prediction to a trace.
        passages: of documents, to answer from, the nearest first; a prompted candidate finds them itself.
        all_stages: a layered candidate asks every stage of every row, so that risk against coverage
            can be scored again later; in production it stops at the first stage that is sure.
    """

    deadline: float | None = None
    budget: int | None = None
    overlay: str | None = None
    seed: int = 0
    repeat: int = 0
    permissions: frozenset[str] = field(default_factory=frozenset)
    trace_id: str | None = None
    passages: tuple[Passage, ...] = ()
    all_stages: bool = False


@runtime_checkable
class Candidate(Protocol):
    """A finished, saveable thing that answers.

    Attributes:
        fingerprint: hash of everything that decides its answers.
        family: the kind of choice it stands for in a decision.
        traits: what it is like to run.
        setup: what it took to make.
        training_ids: `Example.key` of every row it saw while being made.
        notes: figures about how it was made (chosen C, validation accuracy, certificate).
    """

    fingerprint: str
    family: Family
    traits: Traits
    setup: Resources
    training_ids: frozenset[str]
    notes: Mapping[str, Any]

    async def predict(self, inputs: Sequence[Input], ctx: Context) -> list[Prediction]:
        """As many predictions as inputs, in order; a bad input gives a prediction with an error."""
        ...

    def save(self, folder: Path) -> None:
        """Write everything needed to answer again: safetensors and JSON, never pickle."""
        ...

    async def aclose(self) -> None:
        """Release what the candidate holds."""
        ...


@runtime_checkable
class Strategy(Protocol):
    """A frozen recipe: parameters only, validated when made."""

    @property
    def name(self) -> str:
        """Registry name."""
        ...

    def fingerprint(self, task: Task, train: Dataset) -> str:
        """The fingerprint that the fitted candidate will have: `fit` is cached by it."""
        ...

    def fit(self, task: Task, train: Dataset) -> Candidate:
        """Make a candidate. Changes nothing it was given.

        Raises:
            StrategyError: the rows or parameters cannot give a candidate.
        """
        ...
