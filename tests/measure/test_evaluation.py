"""Every candidate on the same rows: fitted, run, stored, gone on with, and stopped where it is hopeless."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tasklift.dataset import Dataset, Example
from tasklift.errors import AuthenticationError, InUseError, LeakageError, StrategyError
from tasklift.llm.client import ClientOptions, OpenAICompatibleModel
from tasklift.llm.fake import Behaviour, FakeEndpoint, ScriptedModel
from tasklift.measure.evaluation import CandidateResult, Evaluation, Options, evaluate, evaluate_async
from tasklift.prediction import Prediction, Usage
from tasklift.strategies.artifact import Card
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.human import Human
from tasklift.strategies.prompt import Prompt
from tasklift.strategy import Context, Family, Input, Resources, Traits
from tasklift.task import Task

Answer = Callable[[str], Prediction]
RED = Prediction(output="red", usage=Usage(calls=1), latency_s=0.01)
NO_TRAIN = Dataset((Example("t", {"text": "a text of no row"}, "red"),), name="train")


@dataclass
class Saying:
    """A strategy whose candidate answers by a function and keeps what it was asked."""

    answer: Answer
    name: str = "saying"
    family: Family = "prompt"
    traits: Traits = field(default_factory=lambda: Traits(batch_size=5))
    training_ids: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)
    closed: int = 0

    def fingerprint(self, task: Task, train: Dataset) -> str:
        return f"{self.name}-print"

    def fit(self, task: Task, train: Dataset) -> SayingCandidate:
        card = Card(
            self.name,
            self.fingerprint(task, train),
            self.family,
            {},
            task.labels,
            task.instruction,
            task.input_fields,
            Resources(),
            self.training_ids,
        )
        return SayingCandidate(card, self)


class ThreadedSaying(Saying):
    """Its answers are made in a thread, where another event loop may run."""

    def fit(self, task: Task, train: Dataset) -> SayingCandidate:
        candidate = super().fit(task, train)
        self.answer("x")  # the runner fits in a thread
        return candidate


class SayingCandidate:
    """What `Saying` makes."""

    def __init__(self, card: Card, recipe: Saying) -> None:
        self.card, self.recipe = card, recipe
        self.fingerprint, self.family, self.setup = card.fingerprint, card.family, card.setup
        self.training_ids, self.notes, self.traits = card.training_ids, card.notes, recipe.traits

    async def predict(self, inputs: Sequence[Input], ctx: Context) -> list[Prediction]:
        await asyncio.sleep(0)
        found = []
        for value in inputs:
            self.recipe.asked.append(value["text"])
            found.append(self.recipe.answer(value["text"]))
        return found

    def save(self, folder: Path) -> None:
        """Nothing is worth keeping."""

    async def aclose(self) -> None:
        self.recipe.closed += 1


@dataclass
class Told:
    """What an evaluation reports on its way."""

    stages: list[tuple[str, str, int, int]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def stage(self, name: str, what: str, done: int, total: int) -> None:
        self.stages.append((name, what, done, total))

    def finished(self, result: CandidateResult) -> None:
        self.done.append(result.name)


def always(prediction: Prediction, **rest: Any) -> Saying:
    return Saying(lambda text: prediction, **rest)


def texts(rows: Dataset) -> list[str]:
    return [row.input["text"] for row in rows]


def colour_of(body: Mapping[str, Any], rows: Dataset) -> str:
    """The right answer to a request of a served model."""
    said = body["messages"][-1]["content"]
    return next(str(row.output) for row in rows if row.input["text"] in said)


# The same rows


def test_every_candidate_gets_the_same_rows_in_order(colours: Task, colour_rows: Dataset) -> None:
    one, other = always(RED, name="one"), Saying(lambda text: Prediction(output="blue", usage=Usage(calls=1)), "other")
    found = evaluate(colours, {"first": one, "second": other}, NO_TRAIN, colour_rows)
    assert one.asked == other.asked == texts(colour_rows)
    assert [result.name for result in found.results] == ["first", "second"]
    assert [p.output for p in found.result("second").predictions] == ["blue"] * 60
    assert found.result("first").scores.accuracy is not None
    assert found.result("first").scores.accuracy.value == pytest.approx(1 / 3)
    assert (one.closed, other.closed) == (1, 1)


def test_baseline_and_majority_are_compared_on_rows_they_have_not_seen(colours: Task, colour_rows: Dataset) -> None:
    train = colour_rows.part([row for row in colour_rows if not row.id.endswith("3")], "train")
    test = colour_rows.part([row for row in colour_rows if row.id.endswith("3")], "test")
    found = evaluate(colours, {"majority": Majority(), "baseline": Baseline(), "human": Human()}, train, test)
    scores = {result.name: result.scores for result in found.results}
    assert scores["baseline"].accuracy is not None
    assert scores["majority"].accuracy is not None
    assert scores["baseline"].accuracy.value > 0.9
    assert scores["majority"].accuracy.value == pytest.approx(1 / 3)
    assert (scores["human"].coverage, scores["human"].system_accuracy) == (0.0, 0.97)
    assert found.reference == "baseline"
    assert set(found.comparisons) == {"majority"}
    assert found.comparisons["majority"].difference.high < 0
    assert len(found.result("baseline").latencies_s) == 15
    assert found.result("human").latencies_s == ()


def test_failed_rows_score_as_wrong_and_are_counted_by_kind(colours: Task, colour_rows: Dataset) -> None:
    def answer(text: str) -> Prediction:
        return Prediction.failed("timeout", "late") if "ruby" in text else RED

    scores = evaluate(colours, {"x": Saying(answer)}, NO_TRAIN, colour_rows).result("x").scores
    assert scores.accuracy is not None
    assert scores.accuracy.value == pytest.approx(16 / 60)
    assert scores.failures == {"timeout": 4}
    assert scores.answered == 60


def test_deferred_rows_never_enter_paired_tests(colours: Task, colour_rows: Dataset) -> None:
    def careful(text: str) -> Prediction:
        return Prediction(deferred=True) if "sky" in text or "ocean" in text else RED

    found = evaluate(colours, {"all": always(RED), "careful": Saying(careful, "careful")}, NO_TRAIN, colour_rows)
    assert found.comparisons["careful"].rows == 52
    assert found.comparisons["careful"].difference.value == 0


def test_the_reference_may_be_named(colours: Task, colour_rows: Dataset) -> None:
    made = {"a": always(RED, name="a"), "b": always(RED, name="b")}
    assert evaluate(colours, made, NO_TRAIN, colour_rows, Options(reference="b")).reference == "b"
    assert evaluate(colours, made, NO_TRAIN, colour_rows, Options(reference="none")).reference == "a"


# Rows that were trained on


def test_rows_that_are_trained_on_are_refused(colours: Task, colour_rows: Dataset) -> None:
    train = colour_rows.part(colour_rows.examples[:45], "train")
    test = colour_rows.part(colour_rows.examples[40:], "test")
    strategy = always(RED)
    with pytest.raises(LeakageError, match="this evaluation was made with 5 of these 20 rows"):
        evaluate(colours, {"x": strategy}, train, test)
    assert strategy.asked == []


def test_a_candidate_that_saw_the_rows_elsewhere_is_refused_by_name(colours: Task, colour_rows: Dataset) -> None:
    seen = always(RED, training_ids=colour_rows.keys)
    with pytest.raises(LeakageError, match="secret was made with 60 of these 60 rows"):
        evaluate(colours, {"secret": seen}, NO_TRAIN, colour_rows)
    assert seen.asked == []


def test_texts_that_stand_in_both_parts_under_other_ids_are_marked(colours: Task, colour_rows: Dataset) -> None:
    copies = [
        Example(f"copy-{i}", {"text": f"  {text.upper()} "}, "red") for i, text in enumerate(texts(colour_rows)[:3])
    ]
    found = evaluate(colours, {"x": always(RED)}, Dataset(tuple(copies), name="other"), colour_rows)
    assert found.overlap == {row.id for row in colour_rows.examples[:3]}


def test_a_strategy_that_cannot_be_fitted_says_why(colours: Task, colour_rows: Dataset) -> None:
    with pytest.raises(StrategyError, match="all training rows carry the label 'red'"):
        evaluate(colours, {"x": always(RED), "majority": Majority()}, NO_TRAIN, colour_rows)


# Going on


def test_a_failed_evaluation_goes_on_without_asking_finished_rows_again(
    colours: Task, colour_rows: Dataset, tmp_path: Path
) -> None:
    def failing(text: str) -> Prediction:
        if text == texts(colour_rows)[22]:
            raise RuntimeError("out of memory")
        return RED

    first, second, third = Saying(failing), always(RED), always(RED)
    with pytest.raises(RuntimeError):
        evaluate(colours, {"x": first}, NO_TRAIN, colour_rows, Options(tmp_path))
    told = Told()
    found = evaluate(colours, {"x": second}, NO_TRAIN, colour_rows, Options(tmp_path), told)
    assert first.closed == 1
    assert second.asked == texts(colour_rows)[20:]
    assert ("x", "predict", 20, 60) in told.stages
    assert len(found.result("x").predictions) == 60
    again = evaluate(colours, {"x": third}, NO_TRAIN, colour_rows, Options(tmp_path))
    assert third.asked == []
    assert (again.id, again.result("x").scores) == (found.id, found.result("x").scores)


def test_ctrl_c_loses_no_answer(colours: Task, colour_rows: Dataset, tmp_path: Path) -> None:
    def pressed(text: str) -> Prediction:
        if text == texts(colour_rows)[22]:
            signal.raise_signal(signal.SIGINT)
        return RED

    first, second = Saying(pressed), always(RED)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores the signal
    try:
        with pytest.raises(KeyboardInterrupt):
            evaluate(colours, {"x": first}, NO_TRAIN, colour_rows, Options(tmp_path))
    finally:
        signal.signal(signal.SIGINT, before)
    assert first.closed == 1
    evaluate(colours, {"x": second}, NO_TRAIN, colour_rows, Options(tmp_path))
    assert [*first.asked, *second.asked] == texts(colour_rows)


def test_a_local_candidate_is_asked_a_torn_batch_as_a_whole(
    colours: Task, colour_rows: Dataset, tmp_path: Path
) -> None:
    """What a numeric library answers to a row depends, in its last bits, on the rows beside it."""
    found = evaluate(colours, {"x": always(RED)}, NO_TRAIN, colour_rows, Options(tmp_path))
    path = tmp_path / "evaluations" / found.id / "predictions.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines[:12], *lines[13:]]), encoding="utf-8")
    second = always(RED)
    evaluate(colours, {"x": second}, NO_TRAIN, colour_rows, Options(tmp_path))
    assert second.asked == texts(colour_rows)[10:15]


def test_two_may_not_run_the_same_evaluation(colours: Task, colour_rows: Dataset, tmp_path: Path) -> None:
    def second(text: str) -> Prediction:
        evaluate(colours, {"x": always(RED)}, NO_TRAIN, colour_rows, Options(tmp_path))
        return RED

    with pytest.raises(InUseError, match=r"another process \(process \d+\) is running this evaluation; wait for it"):
        evaluate(colours, {"x": ThreadedSaying(second)}, NO_TRAIN, colour_rows, Options(tmp_path))
    other = evaluate(colours, {"x": always(RED)}, NO_TRAIN, colour_rows, Options(tmp_path))
    assert len(other.result("x").predictions) == 60


def test_what_others_finished_is_kept_when_one_candidate_fails(
    colours: Task, colour_rows: Dataset, tmp_path: Path
) -> None:
    def broken(text: str) -> Prediction:
        raise RuntimeError("out of memory")

    good, bad, later = always(RED, name="good"), Saying(broken, "bad"), always(RED, name="good")
    with pytest.raises(RuntimeError, match="out of memory"):
        evaluate(colours, {"good": good, "bad": bad}, NO_TRAIN, colour_rows, Options(tmp_path))
    evaluate(colours, {"good": later, "bad": always(RED, name="bad")}, NO_TRAIN, colour_rows, Options(tmp_path))
    assert (len(good.asked), len(later.asked)) == (60, 0)


def test_other_rows_or_another_seed_are_another_evaluation(colours: Task, colour_rows: Dataset) -> None:
    def identity(rows: Dataset, seed: int = 0) -> str:
        return evaluate(colours, {"x": always(RED)}, NO_TRAIN, rows, Options(seed=seed)).id

    fewer = colour_rows.part(colour_rows.examples[:5], "few")
    assert len({identity(fewer), identity(fewer, 1), identity(colour_rows)}) == 3
    assert identity(fewer) == identity(fewer)


def test_progress_is_told(colours: Task, colour_rows: Dataset) -> None:
    told = Told()
    evaluate(colours, {"x": always(RED), "y": always(RED, name="y")}, NO_TRAIN, colour_rows, progress=told)
    mine = [stage for stage in told.stages if stage[0] == "x"]
    assert mine[0] == ("x", "fit", 0, 0)
    assert mine[1:] == [("x", "predict", done, 60) for done in range(0, 61, 5)]
    assert told.done == ["x", "y"]


# Models


def test_a_scripted_model_is_asked_once_a_row(colours: Task, colour_rows: Dataset) -> None:
    model = ScriptedModel({"ruby": "red", "sky": "blue"}, default="green")
    scores = evaluate(colours, {"prompt": Prompt(model)}, NO_TRAIN, colour_rows).result("prompt").scores
    assert scores.accuracy is not None
    assert scores.accuracy.value == pytest.approx(28 / 60)
    assert scores.usage.calls == len(model.requests) == 60


async def served(endpoint: FakeEndpoint, task: Task, rows: Dataset, concurrency: int = 1) -> Evaluation:
    model = OpenAICompatibleModel(endpoint.url, endpoint.model, options=ClientOptions(max_retries=0))
    return await evaluate_async(task, {"prompt": Prompt(model)}, NO_TRAIN, rows, Options(concurrency=concurrency))


async def test_errors_of_an_endpoint_are_failures_of_their_rows(colours: Task, colour_rows: Dataset) -> None:
    script = [Behaviour.error(500), Behaviour(kind="garbage"), Behaviour(kind="disconnect"), Behaviour.error(429)]
    async with FakeEndpoint(script, answer=lambda body: colour_of(body, colour_rows)) as endpoint:
        found = (await served(endpoint, colours, colour_rows)).result("prompt")
    kinds = [p.error.kind if p.error else None for p in found.predictions]
    assert kinds[:4] == ["server", "invalid_output", "server", "rate_limit"]
    assert kinds[4:] == [None] * 56
    assert found.scores.failures == {"server": 2, "invalid_output": 1, "rate_limit": 1}
    assert found.scores.accuracy is not None
    assert found.scores.accuracy.value == pytest.approx(56 / 60)
    assert found.traits == {"deterministic": False, "remote": True, "data_leaves_machine": False}
    assert len(found.latencies_s) == 56


async def test_an_endpoint_that_fails_always_gives_a_row_of_failures(colours: Task, colour_rows: Dataset) -> None:
    async with FakeEndpoint(default=Behaviour.error(500)) as endpoint:
        scores = (await served(endpoint, colours, colour_rows, concurrency=16)).result("prompt").scores
    assert scores.failures == {"server": 60}
    assert scores.accuracy is not None
    assert (scores.accuracy.value, scores.valid.value, scores.latency_p95_s) == (0.0, 0.0, None)


async def test_no_more_requests_are_under_way_than_allowed(colours: Task, colour_rows: Dataset) -> None:
    async with FakeEndpoint(delay_s=0.005) as endpoint:
        await served(endpoint, colours, colour_rows, concurrency=4)
        assert endpoint.most_at_once <= 4


async def test_a_refused_key_stops_the_evaluation_after_a_few_rows(colours: Task, colour_rows: Dataset) -> None:
    async with FakeEndpoint(api_key="the right one") as endpoint:
        with pytest.raises(AuthenticationError, match=r"prompt: .*401"):
            await served(endpoint, colours, colour_rows, concurrency=2)
        assert 3 <= len(endpoint.received) <= 8


async def test_a_single_refused_row_is_only_a_failure(colours: Task, colour_rows: Dataset) -> None:
    script = [Behaviour("red"), Behaviour.error(403), Behaviour.error(403), Behaviour("red"), Behaviour.error(403)]
    async with FakeEndpoint(script) as endpoint:
        scores = (await served(endpoint, colours, colour_rows)).result("prompt").scores
    assert scores.failures == {"authentication": 3}


async def test_with_a_key_the_rows_that_lacked_one_are_asked_again(
    colours: Task, colour_rows: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, options = "the-right-key", Options(tmp_path, concurrency=1)
    async with FakeEndpoint(
        api_key=key, models=("keyed",), answer=lambda body: colour_of(body, colour_rows)
    ) as endpoint:
        strategies = {"prompt": Prompt(f"{endpoint.url}#keyed")}
        with pytest.raises(AuthenticationError):
            await evaluate_async(colours, strategies, NO_TRAIN, colour_rows, options)
        monkeypatch.setenv("TASKLIFT_API_KEY", key)
        found = await evaluate_async(colours, strategies, NO_TRAIN, colour_rows, options)
    scores = found.result("prompt").scores
    assert scores.failures == {}
    assert scores.accuracy is not None
    assert scores.accuracy.value == 1.0
