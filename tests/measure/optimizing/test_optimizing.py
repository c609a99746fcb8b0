"""Optimising prompts: rows are kept apart, budgets hold, a stop loses nothing, and a gain is stated as it is."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasklift.dataset import Dataset, Example
from tasklift.economics import UnitPrices
from tasklift.errors import BudgetError, ConfigError, DataError, InUseError, ServerError
from tasklift.llm.fake import Behaviour, FakeEndpoint, ScriptedModel
from tasklift.llm.model import Request
from tasklift.llm.prices import TokenPrice
from tasklift.llm.prompt_file import PromptText, Shot
from tasklift.llm.spending import Meter, MeteredModel
from tasklift.lock import locked
from tasklift.measure.cost import asked_cost
from tasklift.measure.optimizing.run import Optimized, Plan, cut, optimize, starting_prompt
from tasklift.measure.optimizing.search import FRAMES, Search
from tasklift.measure.optimizing.shorten import Shorten, parts_left_out
from tasklift.strategies.prompt import SYSTEM, USER
from tasklift.task import Task

Lines = list[str]
LABELS = ("red", "green", "blue")


@pytest.fixture
def rows() -> tuple[Dataset, Dataset]:
    """120 training and 60 test rows; every third text is hard."""

    def made(name: str, count: int) -> Dataset:
        some = (
            Example(
                f"{name}-{at}",
                {"text": f"{name} {at} {LABELS[at % 3]} {'hard' if at % 3 == 0 else 'easy'}"},
                LABELS[at % 3],
            )
            for at in range(count)
        )
        return Dataset(tuple(some), name=name)

    return made("train", 120), made("test", 60)


def literal(request: Request) -> str:
    """Right on easy texts; on hard ones only where the instruction asks to read the whole message."""
    asked = "\n".join(message.content for message in request.messages)
    text = request.messages[-1].content.partition("Message: ")[2]
    label = next(label for label in LABELS if f" {label} " in text)
    return label if "easy" in text or "Read the whole message" in asked else "blue"


def run(task: Task, rows: tuple[Dataset, Dataset], optimizer: Any, plan: Plan, tell: Lines | None = None) -> Optimized:
    told = tell if tell is not None else []
    base = starting_prompt("prompt", None)
    return asyncio.run(optimize(task, base, optimizer, *rows, plan, told.append))


def test_rows_that_are_learnt_from_chosen_on_and_tested_on_are_kept_apart(
    colours: Task, rows: tuple[Dataset, Dataset]
) -> None:
    cuts = cut(colours, *rows, Plan(None, "x", select_rows=40))
    sets = [{row.id for row in part} for part in (cuts.learn, cuts.select, cuts.test)]
    assert len(set.union(*sets)) == sum(map(len, sets))
    assert [len(one) for one in sets] == [72, 40, 60]
    assert {row.output for row in cuts.select.examples[:12]} == set(LABELS)
    with pytest.raises(DataError, match="only 12 rows to choose"):
        cut(colours, rows[0].part(rows[0].examples[:30], "few"), rows[1], Plan(None, "x"))


def test_a_better_instruction_is_found_and_its_gain_is_shown(colours: Task, rows: tuple[Dataset, Dataset]) -> None:
    model = ScriptedModel(literal)
    found = run(colours, rows, Search(variants=8, changes=2), Plan(None, model, select_rows=40))
    assert "Read the whole message" in found.after.instruction
    assert (found.verdict(), found.rows) == ("better", (72, 40, 60))
    assert (found.test[0].value, found.test[1].value) == (pytest.approx(2 / 3), 1.0)
    assert found.gain.low > 0
    assert 40 <= found.spent.labels < 112
    assert found.chars[1] > found.chars[0]
    tested = [request for request in model.requests if "test " in request.messages[-1].content]
    assert len(tested) == 120  # base and best, once each


def test_no_gain_is_said_to_be_none(colours: Task, rows: tuple[Dataset, Dataset]) -> None:
    found = run(
        colours, rows, Search(variants=6, changes=1), Plan(None, ScriptedModel({}, default="red"), select_rows=40)
    )
    assert (found.found, found.verdict()) == (False, "nothing better was found")
    assert (found.gain.value, found.p) == (0.0, 1.0)


def test_the_calls_are_never_passed_and_the_best_so_far_is_taken(colours: Task, rows: tuple[Dataset, Dataset]) -> None:
    for limit in (200, 320, 500):
        model, told = ScriptedModel(literal), Lines()
        run(colours, rows, Search(variants=8), Plan(None, model, select_rows=40, max_calls=limit), told)
        assert len(model.requests) <= limit
        assert "the calls are used up: the best prompt so far is taken" in told
    with pytest.raises(ConfigError, match="120 calls are for the final figure on 60 test rows"):
        run(colours, rows, Search(), Plan(None, model, select_rows=40, max_calls=150))


def test_money_is_capped_and_the_same_call_goes_on(
    tmp_path: Path, colours: Task, rows: tuple[Dataset, Dataset]
) -> None:
    class Hosted(ScriptedModel):
        remote = True

    inner = Hosted(literal, name="http://h/v1#m")
    price = TokenPrice(1.0, 1.0, 1.0, "given")
    plan = Plan(tmp_path, MeteredModel(inner, Meter(0.02, lambda name: price)), select_rows=40)
    with pytest.raises(BudgetError, match="--max-usd goes on"):
        run(colours, rows, Search(variants=4), plan)
    before = len(inner.requests)
    lines = (next((tmp_path / "optimizations").glob("*/trials.jsonl"))).read_text().splitlines()
    assert len(lines) >= 1
    free = Plan(tmp_path, MeteredModel(inner, Meter(None, lambda name: price)), select_rows=40)
    found = run(colours, rows, Search(variants=4), free)
    kept = sum(len(json.loads(line)["rows"]) for line in lines)
    everything = sum(used["calls"] for used in found.spent.asked.values())
    assert len(inner.requests) - before < everything  # what was kept is not asked again
    assert kept > 0
    prices = UnitPrices.model_validate({"tokens": {"m": {"input_usd": 1000, "output_usd": 0}}})
    usd = asked_cost(found.spent, prices)
    tokens = sum(used["input_tokens"] for used in found.spent.asked.values())
    assert usd.usd == pytest.approx(tokens / 1000, rel=0.01)
    assert asked_cost(found.spent, UnitPrices()).missing == "http://h/v1#m"


async def test_an_outage_stops_it_and_nothing_is_lost(
    tmp_path: Path, colours: Task, rows: tuple[Dataset, Dataset]
) -> None:
    outage = [Behaviour() for _ in range(60)] + [Behaviour.error(401, "no key") for _ in range(40)]
    async with FakeEndpoint(outage, answer=lambda body: "red") as endpoint:
        plan = Plan(tmp_path, f"{endpoint.url}#{endpoint.model}", select_rows=40)
        base = starting_prompt("prompt", None)
        optimizer = Search(variants=3, changes=0)
        with pytest.raises(ServerError, match="the same command goes on from there"):
            await asyncio.to_thread(asyncio.run, optimize(colours, base, optimizer, *rows, plan, print))
        lines = next((tmp_path / "optimizations").glob("*/trials.jsonl")).read_text().splitlines()
        calls = len(endpoint.received)
        while True:  # until the script of failures is over
            try:
                found = await asyncio.to_thread(asyncio.run, optimize(colours, base, optimizer, *rows, plan, print))
                break
            except ServerError:
                continue
    assert lines
    assert calls < len(endpoint.received)
    assert json.loads(next((tmp_path / "optimizations").glob("*/result.json")).read_text())["id"] == found.id


def test_a_second_run_asks_nothing(tmp_path: Path, colours: Task, rows: tuple[Dataset, Dataset]) -> None:
    model = ScriptedModel(literal)
    plan = Plan(tmp_path, model, select_rows=40)
    first = run(colours, rows, Search(variants=4), plan)
    asked = len(model.requests)
    with (tmp_path / "optimizations" / first.id / "trials.jsonl").open("a") as torn:
        torn.write('{"prompt": "half')
    second = run(colours, rows, Search(variants=4), plan)
    assert len(model.requests) == asked
    assert (second.after.id, second.gain, second.spent) == (first.after.id, first.gain, first.spent)


def test_two_in_one_folder_are_refused(tmp_path: Path, colours: Task, rows: tuple[Dataset, Dataset]) -> None:
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(tmp_path / "optimizations" / "lock", "optimising"):
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(10)
    try:
        with pytest.raises(InUseError, match="optimising a prompt in this project"):
            run(colours, rows, Search(), Plan(tmp_path, ScriptedModel(literal), select_rows=40))
    finally:
        done.set()
        thread.join()
    assert not list((tmp_path / "optimizations").glob("*/*"))


def test_fixed_examples_are_drawn_from_the_rows_to_learn_from(colours: Task, rows: tuple[Dataset, Dataset]) -> None:
    def by_example(request: Request) -> str:
        asked = request.messages[0].content
        text = request.messages[-1].content.partition("Message: ")[2]
        return next(label for label in LABELS if f" {label} " in text) if "-> " in asked else "blue"

    model = ScriptedModel(by_example)
    found = run(colours, rows, Search(variants=8, changes=0), Plan(None, model, select_rows=40))
    assert len(found.after.examples) in (4, 8, 16)
    assert all(shot.text.startswith("train ") for shot in found.after.examples)
    assert found.gain.low > 0


def test_a_prompt_is_shortened_while_it_is_no_worse(colours: Task, rows: tuple[Dataset, Dataset]) -> None:
    base = PromptText(
        system="{{ instruction }}\nPlease be nice.\n{{ policy }}",
        user="Message: {{ text }}",
        instruction="Which colour is meant? Read the whole message. Take your time.",
        policy="Hurry up. Thanks.",
    )
    plan = Plan(None, ScriptedModel(literal), select_rows=40, margin=0.02)
    found = asyncio.run(optimize(colours, base, Shorten(0.1), *rows, plan, print))
    assert found.after.instruction == "Read the whole message."
    assert (found.after.policy, found.after.system) == ("", "{{ instruction }}\n{{ policy }}")
    assert found.chars[1] < found.chars[0]
    assert found.tokens[1] < found.tokens[0]
    assert found.no_worse is False  # 60 rows are too few to show 2 points


def test_what_holds_a_template_together_is_never_left_out() -> None:
    prompt = PromptText(
        system="{% if text %}\nA\n{% endif %}", user="{{ text }}", examples=(Shot(text="a", label="b"),)
    )
    assert [part for part, _ in parts_left_out(prompt, "Only one.")] == ["A", "a"]


def reflector(said: str) -> Callable[[Request], str]:
    return lambda request: f"```\n{said}\n```"


def test_gepa_takes_what_a_reflecting_model_writes_where_it_is_better(
    colours: Task, rows: tuple[Dataset, Dataset]
) -> None:
    gepa_search = pytest.importorskip("tasklift.measure.optimizing.gepa_search")
    writer = ScriptedModel(reflector("Which colour is meant? Read the whole message."))
    optimizer = gepa_search.Gepa(writer, calls=150)
    found = run(colours, rows, optimizer, Plan(None, ScriptedModel(literal), select_rows=40))
    assert found.after.instruction == "Which colour is meant? Read the whole message."
    assert found.gain.low > 0
    assert "Wrong: the right answer is 'red' (The colour of blood)" in writer.requests[0].messages[0].content
    assert any("test " in request.messages[-1].content for request in writer.requests) is False
    bad = gepa_search.Gepa(ScriptedModel(reflector("Say blue.")), calls=150)
    assert not run(colours, rows, bad, Plan(None, ScriptedModel(literal), select_rows=40)).found


def test_the_prompt_that_is_built_in_renders_as_before(colours: Task) -> None:
    values = {
        "instruction": "i",
        "labels": {"a": "b"},
        "examples": [],
        "text": "t",
        "form": "f",
        "cue": "c",
        "tone": "",
        "policy": "",
        "input": {},
    }
    kind = starting_prompt("prompt", None)
    assert kind.template.render(values) == PromptText(system=SYSTEM, user=USER).template.render(values)
    assert starting_prompt("fewshot", None).strategy == "fewshot"
    assert len(set(FRAMES)) == len(FRAMES)
