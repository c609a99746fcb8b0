"""Why did this customer get this answer: everything behind one trace, and the same again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from tasklift.data.embed import open_embedder
from tasklift.dataset import Dataset
from tasklift.errors import TaskliftError, TrafficError, UnknownIdError
from tasklift.llm.calls import read_calls
from tasklift.llm.model import Message, Request
from tasklift.operate.release import Release, Releases
from tasklift.operate.review import Review, reviews_of
from tasklift.operate.suspension import SUSPENDED, left_to_people
from tasklift.operate.tables import feedback, traces
from tasklift.prediction import Prediction
from tasklift.strategies.artifact import Card, read_card
from tasklift.strategies.context import UNCUT, Cut
from tasklift.strategies.fitting import load_candidate
from tasklift.strategies.prompted_candidate import PromptedCandidate
from tasklift.strategies.prompting import hash_of
from tasklift.strategy import Candidate, Context, Input
from tasklift_platform.database import Database

#: Training rows that are shown beside an answer.
NEAREST = 3


@dataclass(frozen=True, slots=True)
class StoredTrace:
    """A trace as it was kept.

    Attributes:
        row: its columns.
        input: None where the policy kept nothing.
        prediction: with all stages.
    """

    row: Mapping[str, Any]
    input: Input | None
    prediction: Prediction


@dataclass(frozen=True)
class Explanation:
    """Everything behind one answer.

    Attributes:
        trace: what was kept of it.
        release: that brought the candidate; None where its history is gone.
        card: of the candidate; None where it is gone, and `missing` says why.
        prompts: stage -> the messages that the model saw, rendered again; with tools, a stage for each request.
        nearest: labelled rows nearest to the input: id, text, label.
        labels: what people said of the answer.
        reviews: what people were asked about it.
        missing: what could not be found, in words.
    """

    trace: StoredTrace
    release: Release | None
    card: Card | None
    prompts: Mapping[str, Sequence[Mapping[str, Any]]]
    nearest: Sequence[Mapping[str, Any]]
    labels: Sequence[Mapping[str, Any]]
    reviews: Sequence[Review]
    missing: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        row = {key: value for key, value in self.trace.row.items() if key not in ("input", "prediction")}
        card = None
        if self.card is not None:
            known = asdict(self.card)
            card = {
                key: known[key] for key in ("strategy", "fingerprint", "family", "parameters", "instruction", "notes")
            }
            card["prompt"] = (known["parameters"].get("material") or {}).get("version", "")
            card["training_rows"] = len(self.card.training_ids)
            card["training_data"] = data_version(self.card)
        return {
            "trace": row,
            "input": self.trace.input,
            "prediction": self.trace.prediction.to_json(),
            "release": None if self.release is None else self.release.to_json(),
            "candidate": card,
            "prompts": {stage: list(messages) for stage, messages in self.prompts.items()},
            "nearest": list(self.nearest),
            "labels": list(self.labels),
            "reviews": [review.to_json() for review in self.reviews],
            "missing": list(self.missing),
        }


async def stored_trace(database: Database, identity: str) -> StoredTrace:
    """A trace.

    Raises:
        UnknownIdError: there is none of this id.
    """
    async with database.read() as connection:
        row = (await connection.execute(select(traces).where(traces.c.id == identity))).mappings().one_or_none()
    if row is None:
        raise UnknownIdError(f"no trace is called {identity!r}")
    value = json.loads(row["input"]) if row["input"] else None
    return StoredTrace(dict(row), value, Prediction.from_json(json.loads(row["prediction"])))


async def explain(database: Database, state: Path, identity: str, train: Dataset | None) -> Explanation:
    """Everything behind one trace.

    Args:
        state: `.tasklift` of the project.
        train: labelled rows to look for near ones in; None: none are looked for.

    Raises:
        UnknownIdError: no such trace.
    """
    trace = await stored_trace(database, identity)
    missing = [] if trace.input is not None else ["the input was not kept (the task's policy)"]
    history = await Releases(database, lambda _: None).history(trace.row["task"])
    release = next((one for one in history if one.version == trace.row["release"]), None)
    folder = state / "artifacts" / trace.row["candidate"]
    card, prompts = None, {}
    try:
        card = read_card(folder)
        if trace.input is not None:
            ctx = Context(overlay=trace.row["overlay"] or None)
            prompts = await prompts_of(load_candidate(folder), trace.input, ctx, trace.prediction)
            missing += rendered_otherwise(prompts, trace.prediction)
    except TaskliftError as error:
        missing.append(f"the candidate cannot be read: {error}")
    nearest = nearest_rows(trace.input, train) if train is not None and trace.input is not None else []
    async with database.read() as connection:
        said = select(feedback).where(feedback.c.trace == identity).order_by(feedback.c.at)
        labels = [dict(row) for row in (await connection.execute(said)).mappings()]
    return Explanation(trace, release, card, prompts, nearest, labels, await reviews_of(database, identity), missing)


async def prompts_of(
    candidate: Candidate, value: Input, ctx: Context, said: Prediction | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Stage -> messages as they were sent, for every stage that asks a model; neither model nor tool is called.

    Where tools were asked for, each request stands by itself: `prompt step 1`, `prompt step 2` and so on.

    Args:
        said: the answer: its notes tell what was cut from a prompt that was too long, its steps what tools gave.
    """
    stages = {"prompt": getattr(candidate, "prompt", None), "core": getattr(candidate, "core", None), "": candidate}
    found = {}
    for name, stage in stages.items():
        if isinstance(stage, PromptedCandidate):
            cut = next((Cut.of_notes(one.notes) for one in _all(said) if "cut" in one.notes), UNCUT)
            requests = await stage.requests(value, ctx, said, cut)
            for number, request in enumerate(requests, 1):
                title = f"{name or 'prompt'} step {number}" if len(requests) > 1 else name or "prompt"
                found[title] = [one.to_json() for one in request.messages]
    return found


def rendered_otherwise(prompts: Mapping[str, Sequence[Mapping[str, Any]]], said: Prediction) -> list[str]:
    """A warning where a prompt does not come out as it was sent: its hash was kept with the answer."""
    kept = {one.notes["rendered"] for one in _all(said) if "rendered" in one.notes}
    now = {hash_of(Request(tuple(_message(one) for one in messages))) for messages in prompts.values()}
    return ["the prompt does not come out as it was sent"] if kept - now else []


def _message(row: Mapping[str, Any]) -> Message:
    """The inverse of `Message.to_json`."""
    return Message(row["role"], row["content"], read_calls(row.get("tool_calls")), row.get("tool_call_id", ""))


def _all(said: Prediction | None) -> Iterator[Prediction]:
    """An answer and those of its stages."""
    if said is not None:
        yield said
        for child in said.children:
            yield from _all(child)


def nearest_rows(value: Input, rows: Dataset, count: int = NEAREST) -> list[dict[str, Any]]:
    """Labelled rows nearest to an input, by static sentence vectors: a hint to a reader, not what decided."""
    texts = [" ".join(str(text) for text in row.input.values()) for row in rows]
    if not texts:
        return []
    embedder = open_embedder("static")
    vectors = np.asarray(embedder.encode([*texts, " ".join(str(text) for text in value.values())]))
    scaled = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    likeness = scaled[:-1] @ scaled[-1]
    order = np.argsort(-likeness, kind="stable")[:count]
    found = [(rows.examples[at], float(likeness[at])) for at in order]
    return [
        {"id": row.id, "input": dict(row.input), "label": row.output, "likeness": round(like, 3)} for row, like in found
    ]


def data_version(card: Card) -> str | None:
    """The hash of the training rows (its beginning), as training ids are namespaced by it; None without rows."""
    return next((key.partition(":")[0] for key in card.training_ids), None)


@dataclass(frozen=True, slots=True)
class Replay:
    """An answer and the same question again.

    Attributes:
        before, after: the answers.
        is_deterministic: the candidate promises equal answers.
        is_same: output, confidence and deferral are equal.
    """

    before: Prediction
    after: Prediction
    is_deterministic: bool

    @property
    def is_same(self) -> bool:
        """Equal where it counts."""
        return _outcome(self.before) == _outcome(self.after)


async def replay(database: Database, state: Path, identity: str) -> Replay:
    """Ask the candidate of a trace its question again.

    Raises:
        UnknownIdError: no such trace.
        TrafficError: its input was not kept.
        ArtifactError: the candidate is gone or damaged.
    """
    trace = await stored_trace(database, identity)
    if trace.input is None:
        raise TrafficError(f"{identity}: the input was not kept (the task's policy), so it cannot be asked again")
    candidate = load_candidate(state / "artifacts" / trace.row["candidate"])
    try:
        (after,) = await candidate.predict([trace.input], Context(overlay=trace.row["overlay"] or None))
    finally:
        await candidate.aclose()
    if trace.prediction.notes.get(SUSPENDED):
        after = left_to_people(after)
    return Replay(trace.prediction, after, candidate.traits.deterministic)


def _outcome(said: Prediction) -> tuple[Any, ...]:
    return said.output, said.confidence, said.deferred, said.error.kind if said.error else None
