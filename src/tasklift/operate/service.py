"""One worker's answers: route, predict, trace. HTTP is not known here."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tasklift.cache import computing_afresh
from tasklift.errors import ReleaseError
from tasklift.operate.policy import kept_input
from tasklift.operate.review import add_review
from tasklift.operate.route import Live, LiveArm, LiveRoute, Router, is_challenged
from tasklift.operate.suspension import left_to_people
from tasklift.operate.traffic import Trace, TraceWriter, new_id
from tasklift.prediction import Prediction, Usage
from tasklift.serving import Serving
from tasklift.strategy import Candidate, Context, Input
from tasklift.task import Task
from tasklift_platform.database import Database

#: USD for what one prediction of a candidate used.
Price = Callable[[Usage], float]
#: Shadow answers under way at once in a worker; further ones are left out, and counted.
MOST_SHADOWS = 64


@dataclass(frozen=True, slots=True)
class Served:
    """A task with its policy."""

    task: Task
    policy: Serving


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, and how.

    Attributes:
        caller: for the trace: as the caller names itself, else the name of its key.
        sticky: decides between stable candidate and canary, the same way every time; '': by chance.
        overlay: '' for none.
        begin: `time.perf_counter()` when the request came in.
        subject: the person it is about, as `people.person_key` writes it; '' where nobody was named.
    """

    caller: str
    sticky: str = ""
    overlay: str = ""
    begin: float = field(default_factory=time.perf_counter)
    subject: str = ""


@dataclass(slots=True)
class Answered:
    """An answer with its trace.

    Attributes:
        prediction: of the candidate.
        trace: id of the trace.
        arm: who answered.
        stage: of a layered candidate, else ''.
        cost_usd: at the prices of the moment.
        overhead_s: time beside the candidate's own.
        review: id of the review that a person will answer; None where none was asked for.
    """

    prediction: Prediction
    trace: str
    arm: LiveArm
    stage: str
    cost_usd: float
    overhead_s: float
    review: str | None = None


@dataclass
class Service:
    """Answers tasks by their releases.

    Args:
        served: task name -> task and policy.
        router: which candidate answers.
        writer: takes the traces.
        database: takes reviews that have to be durable.
        price_of: makes the price function of a task's candidate; called once for each.
    """

    served: Mapping[str, Served]
    router: Router
    writer: TraceWriter
    database: Database
    price_of: Callable[[str, Candidate], Price]
    shadows_left_out: int = 0
    _prices: dict[str, Price] = field(default_factory=dict)
    _shadows: set[asyncio.Task[None]] = field(default_factory=set)

    def route(self, task: str, overlay: str) -> LiveRoute:
        """The route of a task.

        Raises:
            ReleaseError: nothing is released.
        """
        live: Live | None = self.router.live.get(task)
        route = live.route(overlay) if live is not None else None
        if route is None:
            why = f": {live.refused}" if live is not None and live.refused else ""
            raise ReleaseError(
                f"{task}: nothing is released that could answer{why}; `tasklift release {task} --candidate F`"
            )
        return route

    async def answer(self, task: str, value: Input, asked: Asked) -> Answered:
        """Answer one input and take its trace. A failing candidate gives a prediction with an error.

        Raises:
            ReleaseError: nothing is released.
            TrafficError: the task's traces are written synchronously, and this one could not be.
            DatabaseError: a person has to answer, and that could not be stored.
        """
        return (await self.answer_all(task, [value], asked))[0]

    async def answer_all(self, task: str, values: Sequence[Input], asked: Asked) -> list[Answered]:
        """Answer inputs together, by one candidate; one trace each."""
        served, route = self.served[task], self.route(task, asked.overlay)
        challenged = is_challenged(route, task, asked.sticky or secrets.token_hex(8))
        arm = route.challenger if challenged and route.challenger is not None else route.stable
        predictions = await _predict(arm.candidate, values, served.policy.timeout_s, asked.overlay)
        if route.route.suspended and arm is route.stable:
            predictions = [left_to_people(prediction) for prediction in predictions]
        answers = []
        for value, prediction in zip(values, predictions, strict=True):
            answered = await self._traced(served, arm, "canary" if challenged else "stable", value, prediction, asked)
            answers.append(answered)
            if route.challenger is not None and route.route.shadow:
                self._start_shadow(served, route.challenger, value, answered.trace, asked)
        return answers

    async def _traced(
        self, served: Served, arm: LiveArm, name: str, value: Input, prediction: Prediction, asked: Asked
    ) -> Answered:
        took = time.perf_counter() - asked.begin
        answered = Answered(
            prediction,
            new_id("tr"),
            arm,
            str(prediction.notes.get("stage", "")),
            self._price(served, arm)(prediction.usage),
            max(0.0, took - prediction.latency_s),
        )
        reason = _why_review(prediction, served.policy)
        review = (new_id("rv"), reason, value) if reason else None
        trace = self._trace(served, arm, name, value, answered, asked, took)
        if review is not None and reason == "deferred":
            await add_review(self.database, dataclasses.replace(trace, review=review))
            answered.review = review[0]
        elif review is not None:
            trace = dataclasses.replace(trace, review=review)
        if served.policy.traces == "sync":
            await self.writer.put_durably(trace)
        else:
            self.writer.put(trace)
        return answered

    def _trace(
        self, served: Served, arm: LiveArm, name: str, value: Input, answered: Answered, asked: Asked, took_s: float
    ) -> Trace:
        return Trace(
            answered.trace,
            served.task.name,
            time.time(),
            arm.arm.version,
            arm.arm.candidate,
            name,
            asked.overlay,
            asked.caller,
            kept_input(value, served.policy.inputs),
            answered.prediction,
            took_s,
            answered.cost_usd,
            subject=asked.subject,
        )

    def _price(self, served: Served, arm: LiveArm) -> Price:
        price = self._prices.get(arm.arm.candidate)
        if price is None:
            price = self._prices[arm.arm.candidate] = self.price_of(served.task.name, arm.candidate)
        return price

    def _start_shadow(self, served: Served, arm: LiveArm, value: Input, pair: str, asked: Asked) -> None:
        if len(self._shadows) >= MOST_SHADOWS:
            self.shadows_left_out += 1
            return
        task = asyncio.create_task(self._shadow(served, arm, value, pair, asked))
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)

    async def _shadow(self, served: Served, arm: LiveArm, value: Input, pair: str, asked: Asked) -> None:
        begin = time.perf_counter()
        (prediction,) = await _predict(arm.candidate, [value], served.policy.timeout_s, asked.overlay)
        took = time.perf_counter() - begin
        cost = self._price(served, arm)(prediction.usage)
        answered = Answered(prediction, f"{pair}-shadow", arm, "", cost, 0.0)
        trace = self._trace(served, arm, "shadow", value, answered, asked, took)
        self.writer.put(dataclasses.replace(trace, pair=pair))

    async def aclose(self) -> None:
        """Let shadow answers end, then write all traces and close the candidates."""
        if self._shadows:
            await asyncio.wait(self._shadows, timeout=5)
        await self.writer.aclose()
        await self.router.aclose()


async def _predict(candidate: Candidate, values: Sequence[Input], timeout_s: float, overlay: str) -> list[Prediction]:
    """The candidate's answers; a late or broken candidate gives errors."""
    context = Context(deadline=time.monotonic() + timeout_s, overlay=overlay or None)
    try:
        async with asyncio.timeout(timeout_s):
            with computing_afresh():  # a cache of vectors would grow with every text that comes in
                return await candidate.predict(values, context)
    except TimeoutError:
        return [Prediction.failed("timeout", f"no answer within {timeout_s:g} s", latency_s=timeout_s) for _ in values]


def _why_review(prediction: Prediction, policy: Serving) -> str:
    """Why a person should look at an answer; '' where none needs to."""
    if prediction.deferred:
        return "deferred"
    if prediction.error is not None:
        return ""
    if policy.review_below is not None and (prediction.confidence or 0.0) < policy.review_below:
        return "uncertain"
    return "audit" if policy.audit_share and random.random() < policy.audit_share else ""
