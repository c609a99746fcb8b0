"""Texts of a megabyte, endpoints that break off or hang, clocks that jump: each has a behaviour that is stated."""

from __future__ import annotations

import ast
import asyncio
import time
from pathlib import Path

import pytest

import tasklift
from tasklift import registry
from tasklift.dataset import Dataset, Example
from tasklift.llm.client import ClientOptions, OpenAICompatibleModel
from tasklift.llm.fake import Behaviour, FakeEndpoint, ScriptedModel
from tasklift.measure.evaluation import CandidateResult, Options, evaluate, evaluate_async
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.fewshot import FewShot
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.human import Human
from tasklift.strategies.knn import Knn
from tasklift.strategies.layered import Layered
from tasklift.strategies.prompt import Prompt
from tasklift.strategy import Context, Strategy
from tasklift.task import Task

MODEL = ScriptedModel({"moss": "green"}, default="red", confidence=0.9)
MEGABYTE = "ruby " * 200_000
NO_TRAIN = Dataset((Example("t", {"text": "a text of no row"}, "red"),), name="train")
QUICK = ClientOptions(timeout_s=0.2, max_retries=1, backoff_s=0.0)
#: Where the wall clock is read, and why: moments and ages, never durations.
WALL_CLOCK = {
    "cache.py": "name of a damaged file that is moved aside",
    "data/audit/report.py": "ages of rows against the days that they may be kept",
    "data/clean.py": "the same",
    "llm/fake.py": "a field of the protocol",
    "llm/prices.py": "prices of a day",
    "llm/prompt_upkeep.py": "edits a month",
    "llm/prompt_versions.py": "moments of versions",
    "llm/transport.py": "only to read an HTTP date",
    "measure/archive.py": "age of files",
    "measure/records/ledger.py": "moments of records",
    "measure/report/content.py": "moment of the report",
    "operate/people.py": "moment of an objection",
    "operate/release.py": "moment of a release",
    "operate/review.py": "moments of answers and feedback",
    "operate/service.py": "moment of a trace",
    "operate/traffic.py": "moments and ages of traces, in their ids",
    "serve/openai.py": "a field of the protocol",
    "weights.py": "age of what a killed download left",
}
WALL = {("time", "time"), ("time", "time_ns"), ("datetime", "now")}


# A text of a megabyte


@pytest.mark.parametrize(
    "strategy",
    [
        Majority(),
        Baseline(),
        Knn(embedder="static"),
        FrozenEncoder(embedder="static"),
        Human(),
        Prompt(model=MODEL),
        FewShot(model=MODEL, embedder="static", skip_agreed=False),
        Layered(FrozenEncoder(embedder="static"), Prompt(model=MODEL), alpha=0.3),
    ],
    ids=lambda strategy: strategy.name,
)
def test_a_text_of_a_megabyte_is_learned_from_and_answered(
    colours: Task, colour_rows: Dataset, strategy: Strategy
) -> None:
    rows = Dataset((*colour_rows, Example("long", {"text": MEGABYTE}, "red")), name="with a long one")
    candidate = strategy.fit(colours, rows)
    long, short = asyncio.run(candidate.predict([{"text": MEGABYTE}, {"text": "moss in the garden"}], Context()))
    assert long.error is None
    assert long.output in ("red", None)
    assert len(str(long.to_json())) < 2000
    if candidate.family == "prompt":
        assert long.notes["text_cut"] is True
        assert max(len(request.messages[-1].content) for request in MODEL.requests) < 20_000
    assert short.error is None


@pytest.mark.slow
def test_local_models_cut_a_text_of_a_megabyte(colours: Task, colour_rows: Dataset) -> None:
    pytest.importorskip("torch", reason="needs the extra [local]")
    vector = registry.load("embedder", "minilm")().encode([MEGABYTE, "ruby"])
    assert vector.shape == (2, 384)


# Endpoints


async def asked(task: Task, rows: Dataset, *script: Behaviour, state: Path | None = None) -> CandidateResult:
    """An evaluation against an endpoint that misbehaves as told, then answers `red`."""
    async with FakeEndpoint(script, answer=lambda body: "red", models=("m",)) as endpoint:
        model = OpenAICompatibleModel(endpoint.url, "m", options=QUICK)
        options = Options(state, concurrency=1)
        return (await evaluate_async(task, {"prompt": Prompt(model)}, NO_TRAIN, rows, options)).result("prompt")


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (Behaviour(kind="truncated"), "invalid_output"),
        (Behaviour(kind="broken_off"), "invalid_output"),
        (Behaviour(kind="hang"), "timeout"),
        (Behaviour(kind="hang_after_headers"), "timeout"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
async def test_an_endpoint_that_breaks_off_or_hangs_costs_a_retry_or_one_row(
    colours: Task, colour_rows: Dataset, behaviour: Behaviour, kind: str
) -> None:
    rows = colour_rows.part(colour_rows.examples[:4], "few")
    once = await asked(colours, rows, behaviour)
    assert [p.output for p in once.predictions] == ["red"] * 4
    begun = time.monotonic()
    always = await asked(colours, rows, behaviour, behaviour)
    assert time.monotonic() - begun < 5
    first, *others = always.predictions
    assert (first.error and first.error.kind) == kind
    assert [p.output for p in others] == ["red"] * 3
    assert always.scores.failures == {kind: 1}
    assert always.scores.accuracy is not None
    assert always.scores.accuracy.value == 0.75


async def test_rows_on_which_the_endpoint_hung_are_asked_again_next_time_and_broken_answers_are_not(
    colours: Task, colour_rows: Dataset, tmp_path: Path
) -> None:
    rows = colour_rows.part(colour_rows.examples[:4], "few")
    hang, broken = Behaviour(kind="hang"), Behaviour(kind="truncated")
    async with FakeEndpoint([hang, hang, broken, broken], answer=lambda body: "red", models=("m",)) as endpoint:
        strategies = {"prompt": Prompt(OpenAICompatibleModel(endpoint.url, "m", options=QUICK))}
        options = Options(tmp_path, concurrency=1)
        first = await evaluate_async(colours, strategies, NO_TRAIN, rows, options)
        assert first.result("prompt").scores.failures == {"timeout": 1, "invalid_output": 1}
        requests = len(endpoint.received)
        second = await evaluate_async(colours, strategies, NO_TRAIN, rows, options)
        assert second.result("prompt").scores.failures == {"invalid_output": 1}
        assert len(endpoint.received) == requests + 1


# Clocks


@pytest.mark.parametrize("jump_s", [-400 * 86400.0, 400 * 86400.0])
def test_a_clock_that_jumps_changes_no_figure(
    colours: Task, colour_rows: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, jump_s: float
) -> None:
    train = colour_rows.part(colour_rows.examples[::2], "train")
    test = colour_rows.part(colour_rows.examples[1::2], "test")
    strategies: dict[str, Strategy] = {"svm": Baseline(), "prompt": Prompt(model=MODEL)}
    still = evaluate(colours, strategies, train, test)
    clock, calls = time.time, [0]

    def jumping() -> float:
        calls[0] += 1
        return clock() + jump_s * (calls[0] % 2)

    monkeypatch.setattr(time, "time", jumping)
    found = evaluate(colours, strategies, train, test, Options(tmp_path))
    for name in strategies:
        one, other = found.result(name), still.result(name)
        assert one.scores.accuracy == other.scores.accuracy
        assert all(0 <= seconds < 60 for seconds in one.latencies_s)
        assert all(0 <= p.latency_s < 60 and p.usage.cpu_s >= 0 for p in one.predictions)
        assert 0 <= one.card.setup.cpu_s < 600


def test_durations_come_from_no_clock_that_can_jump() -> None:
    home = Path(tasklift.__file__).parent
    found = {
        path.relative_to(home).as_posix()
        for path in home.rglob("*.py")
        if any(is_wall_clock(node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    }
    new = found - set(WALL_CLOCK)
    assert not new, f"{sorted(new)} look at the wall clock: say why in WALL_CLOCK, or take time.monotonic"


def is_wall_clock(node: ast.AST) -> bool:
    """Is it a name such as `time.time` or `datetime.datetime.now`?"""
    if not isinstance(node, ast.Attribute):
        return False
    owner = node.value
    name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    return (name, node.attr) in WALL
