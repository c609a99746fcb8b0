"""Batches, stage time limits, and what is kept of texts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tasklift.dataset import Dataset
from tasklift.llm.client import ClientOptions
from tasklift.llm.fake import ScriptedModel
from tasklift.operate.batching import Batched, Budgeted, Wrapped
from tasklift.operate.load import load_for_production, ready
from tasklift.operate.policy import kept_input, redact
from tasklift.prediction import Prediction
from tasklift.strategies.baseline import Baseline
from tasklift.strategies.layered import Layered
from tasklift.strategies.prompt import Prompt
from tasklift.strategy import Candidate, Context, Input
from tasklift.task import Task


class Counting(Batched):
    """Notes the sizes of the batches that reach the candidate inside."""

    def __init__(self, inner: Candidate) -> None:
        super().__init__(inner)
        self.sizes: list[int] = []

    async def _answer(self, overlay: str | None, batch: Sequence[tuple[Input, asyncio.Future[Prediction]]]) -> None:
        self.sizes.append(len(batch))
        await super()._answer(overlay, batch)


class Overlaid(Wrapped):
    """Answers with the overlay that it was asked for, and notes how many came at once."""

    def __init__(self, inner: Candidate) -> None:
        super().__init__(inner)
        self.asked: list[tuple[str | None, int]] = []

    async def predict(self, inputs: Sequence[Input], ctx: Context) -> list[Prediction]:
        self.asked.append((ctx.overlay, len(inputs)))
        return [Prediction(ctx.overlay or "none") for _ in inputs]


async def test_a_batch_holds_requests_of_one_overlay(fitted: dict[str, Candidate]) -> None:
    inner = Overlaid(fitted["baseline"])
    batched = Batched(inner)
    names = [None, "brand_b", "brand_c"] * 5
    answers = await asyncio.gather(*(batched.predict([{"text": "x"}], Context(overlay=name)) for name in names))
    assert [answer[0].output for answer in answers] == [name or "none" for name in names]
    assert inner.asked == [(None, 5), ("brand_b", 5), ("brand_c", 5)]


async def test_concurrent_requests_are_answered_in_batches_each_with_its_own_answer(
    fitted: dict[str, Candidate], colour_rows: Dataset
) -> None:
    batched = Counting(fitted["baseline"])
    expected = [answer.output for answer in await fitted["baseline"].predict(colour_rows.inputs, Context())]
    answers = await asyncio.gather(*(batched.predict([value], Context()) for value in colour_rows.inputs))
    assert [answer[0].output for answer in answers] == expected
    assert (sum(batched.sizes), len(batched.sizes) < 10) == (len(colour_rows), True)
    assert (await batched.predict(colour_rows.inputs, Context()))[3].output == expected[3]
    await batched.aclose()


async def test_a_caller_that_gives_up_does_not_stop_the_others(fitted: dict[str, Candidate]) -> None:
    batched = Batched(fitted["baseline"], window_s=0.05)
    first, second = (asyncio.create_task(batched.predict([{"text": "a frog"}], Context())) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    assert (await second)[0].output == "green"


async def test_a_failing_batch_is_told_to_every_caller(fitted: dict[str, Candidate]) -> None:
    class Broken(Batched):
        async def predict(self, inputs: Sequence[Input], ctx: Context) -> list[Prediction]:
            raise RuntimeError("broken")

    batched = Batched(Broken(fitted["baseline"]))
    asked = (batched.predict([{"text": "x"}], Context()) for _ in range(3))
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(one) for one in found] == ["broken"] * 3


async def test_a_stage_that_takes_too_long_counts_as_failed(colours: Task, colour_rows: Dataset) -> None:
    slow = Prompt(model=ScriptedModel(default="red", delay_s=5)).fit(colours, colour_rows)
    begin = time.monotonic()
    (late,) = await Budgeted(slow, 0.05).predict([{"text": "x"}], Context())
    assert (late.error.kind, time.monotonic() - begin < 1) == ("timeout", True)


async def test_a_layered_candidate_falls_through_a_slow_stage_to_a_person(colours: Task, colour_rows: Dataset) -> None:
    slow = Prompt(model=ScriptedModel(default="red", delay_s=5))
    layered = await asyncio.to_thread(Layered(core=Baseline(), prompt=None).fit, colours, colour_rows)
    staged = layered.with_stages(lambda _, stage: stage)
    staged.prompt = slow.fit(colours, colour_rows)
    served = ready(staged, {"prompt": 0.05}, ClientOptions())
    begin = time.monotonic()
    (answer,) = await served.predict([{"text": "neither of them"}], Context())
    assert time.monotonic() - begin < 1
    assert answer.deferred
    assert [child.error.kind if child.error else None for child in answer.children] == [None, "timeout"]


def test_a_loaded_candidate_has_to_be_the_one_that_was_asked_for(tmp_path: Path, fitted: dict[str, Candidate]) -> None:
    one, other = (candidate.fingerprint for candidate in fitted.values())
    assert load_for_production(tmp_path, one).fingerprint == one
    (tmp_path / "artifacts" / one).rename(tmp_path / "artifacts" / "kept")
    (tmp_path / "artifacts" / other).rename(tmp_path / "artifacts" / one)
    with pytest.raises(Exception, match="holds another candidate"):
        load_for_production(tmp_path, one)


def test_texts_are_kept_redacted_or_dropped() -> None:
    value = {"text": "mail ann.b@example.co.uk, see https://example.com/a?b=1, card 4111 1111 1111 1111, order 12345"}
    assert kept_input(value, "keep") == value
    assert kept_input(value, "drop") is None
    assert kept_input(value, "redact") == {"text": "mail [mail], see [link] card [number], order 12345"}
    assert redact("call +49 (0)30 901820") == "call [number]"
