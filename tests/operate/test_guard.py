"""Guards on real traces: what they take back, and what they leave alone."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest

from tasklift.operate.guard import GUARD, Guard
from tasklift.operate.ledger import Ledger
from tasklift.operate.monitor import trial_figures
from tasklift.operate.release import Arm, Guards, Releases, Trial
from tasklift.operate.review import Feedback, add_feedback, answer_review, open_reviews
from tasklift.operate.traffic import Trace, TraceWriter, new_id
from tasklift.prediction import Prediction
from tasklift.task import Task
from tasklift_platform.database import Database

STABLE, CANARY = Arm("aaaa", "baseline"), Arm("bbbb", "prompt")
GOOD, BAD = Prediction("red", confidence=0.9), Prediction("blue", confidence=0.9)
FAILED = Prediction.failed("server", "gone")


class Traffic:
    """Writes traces of a trial, and labels for them."""

    def __init__(self, database: Database, task: Task) -> None:
        self.database, self.task = database, task
        self.writer = TraceWriter(database, Ledger(None))
        self.version = 2  # that brought the challenger

    async def follow(self, guard: Guard) -> None:
        """Later answers of the challenger are of the newest release."""
        self.version = (await guard.releases.current("colours")).version

    def add(self, arm: str, said: Prediction, latency_s: float = 0.1, **rest: object) -> str:
        candidate = "aaaa" if arm == "stable" else "bbbb"
        at, version = time.time(), 1 if arm == "stable" else self.version
        value = {"text": "x"}
        trace = Trace(new_id("tr"), "colours", at, version, candidate, arm, "", "me", value, said, latency_s, 0.0)
        self.writer.put(replace(trace, **rest))
        return trace.id

    async def label(self, traces: list[str], label: str = "red") -> None:
        await self.writer.flush()
        for trace in traces:
            await add_feedback(self.database, self.task, Feedback(trace, label), "me")


async def a_trial(database: Database, task: Task, trial: Trial, risk: float | None = None) -> Guard:
    releases = Releases(database, lambda _: None)
    await releases.release("colours", STABLE, Trial(), "me")
    if trial != Trial():
        await releases.release("colours", CANARY, trial, "me")
    return Guard(database, releases, lambda _: risk, {"colours": task})


async def test_a_canary_that_fails_is_taken_back_and_the_history_says_why(database: Database, colours: Task) -> None:
    guard, traffic = await a_trial(database, colours, Trial(share=0.5)), Traffic(database, colours)
    for _ in range(10):
        traffic.add("stable", GOOD)
        traffic.add("canary", FAILED)
    await traffic.writer.flush()
    made = await guard.look("colours")
    assert (made.action, made.by, made.route().challenger) == ("rollback", GUARD, None)
    assert "10 of 10 answers failed, 5% are allowed" in made.reason
    assert await guard.look("colours") is None


@pytest.mark.parametrize("jump_s", [-86400.0, 86400.0])
async def test_a_clock_that_jumps_after_the_release_blinds_no_guard(
    database: Database, colours: Task, jump_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard, traffic = await a_trial(database, colours, Trial(share=0.5)), Traffic(database, colours)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump_s)
    labelled = []
    for _ in range(40):
        labelled += [traffic.add("stable", GOOD), traffic.add("canary", BAD)]
    await traffic.label(labelled)
    assert "of its 40 labelled answers were wrong" in (await guard.look("colours")).reason


async def test_failures_of_the_stable_one_and_mistakes_of_callers_take_nothing_back(
    database: Database, colours: Task
) -> None:
    guard, traffic = await a_trial(database, colours, Trial(share=0.5)), Traffic(database, colours)
    for _ in range(30):
        traffic.add("stable", FAILED)
        traffic.add("canary", Prediction.failed("empty_input", "no text"))
        traffic.add("canary", GOOD)
    await traffic.writer.flush()
    assert await guard.look("colours") is None


async def test_slow_and_invalid_answers_trip_their_guards(database: Database, colours: Task) -> None:
    guard = await a_trial(database, colours, Trial(share=0.5, guards=Guards(max_error_share=None, max_latency_s=1.0)))
    traffic = Traffic(database, colours)
    for _ in range(20):
        traffic.add("canary", GOOD, latency_s=3.0)
    await traffic.writer.flush()
    release = await guard.releases.current("colours")
    figures = await trial_figures(database, colours, release, "", release.route(), 0.0)
    assert (figures.challenger.p95_s, figures.alarms(0.05)) == (3.0, ["p95 latency"])
    assert "longer than 1 s" in (await guard.look("colours")).reason
    await guard.releases.release("colours", CANARY, Trial(share=0.5, guards=Guards(max_error_share=None)), "me")
    await traffic.follow(guard)
    for _ in range(20):
        traffic.add("canary", Prediction.failed("invalid_output", "what?"))
    await traffic.writer.flush()
    assert "were invalid" in (await guard.look("colours")).reason


async def test_labels_tell_a_worse_canary_from_an_equal_one(database: Database, colours: Task) -> None:
    for wrong_share, is_worse in ((0.1, False), (0.7, True)):
        guard, traffic, chance = (
            await a_trial(database, colours, Trial(share=0.5)),
            Traffic(database, colours),
            random.Random(1),
        )
        await traffic.follow(guard)
        traces = []
        for _ in range(60):
            traces.append(traffic.add("stable", BAD if chance.random() < 0.1 else GOOD))
            traces.append(traffic.add("canary", BAD if chance.random() < wrong_share else GOOD))
        await traffic.label(traces)
        made = await guard.look("colours")
        assert (made is not None) is is_worse
        if made is not None:
            assert "labelled answers were wrong" in made.reason


async def test_a_shadow_is_compared_on_the_same_requests(database: Database, colours: Task) -> None:
    guard, traffic = await a_trial(database, colours, Trial(shadow=True)), Traffic(database, colours)
    traces = [traffic.add("stable", GOOD) for _ in range(40)]
    for at, trace in enumerate(traces):
        traffic.add("shadow", BAD if at % 2 else GOOD, pair=trace)
    await traffic.writer.flush()
    release = await guard.releases.current("colours")
    figures = await trial_figures(database, colours, release, "", release.route(), 0.0)
    assert (figures.agreement, figures.pairs) == (0.5, (0, 0, 0))
    assert await guard.look("colours") is None
    await traffic.label(traces)
    assert "of 40 labelled pairs it alone was wrong in 20" in (await guard.look("colours")).reason


async def test_an_audit_that_refutes_the_certificate_suspends_it(database: Database, colours: Task) -> None:
    guard, traffic = await a_trial(database, colours, Trial(), risk=0.05), Traffic(database, colours)
    for n in range(20):
        traffic.add("stable", GOOD, review=(f"rv{n}", "audit", {"text": "x"}))
        traffic.add("stable", BAD, review=(f"unsure{n}", "uncertain", {"text": "x"}))
    await traffic.writer.flush()
    for review in await open_reviews(database, "colours"):
        wrong = review.reason == "uncertain" or int(review.id[2:]) < 1
        await answer_review(database, colours, review.id, "green" if wrong else "red", "me")
    assert await guard.look("colours") is None
    for n in range(20):
        traffic.add("stable", BAD, review=(f"more{n}", "audit", {"text": "x"}))
    await traffic.writer.flush()
    for review in await open_reviews(database, "colours"):
        await answer_review(database, colours, review.id, "red", "me")
    made = await guard.look("colours")
    assert (made.action, made.route().stable.candidate) == ("suspend", "aaaa")
    assert "5% is promised" in made.route().suspended
    assert await guard.look("colours") is None
