"""Every request of a loop with tools comes out again, to the byte, from the answer that was stored."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tasklift.cli.review import explanation_lines
from tasklift.dataset import Dataset
from tasklift.llm.calls import ToolCall
from tasklift.llm.fake import ScriptedModel
from tasklift.llm.model import Reply, Request
from tasklift.operate.explain import Explanation, StoredTrace, prompts_of, rendered_otherwise
from tasklift.prediction import Prediction, Usage
from tasklift.project import Project
from tasklift.rule import RuleSpec
from tasklift.strategies.prompt import Prompt, PromptCandidate
from tasklift.strategies.tools import Tool, ToolError, Toolset
from tasklift.strategy import Context
from tasklift.task import Number, Task

CRM = Path(__file__).resolve().parent.parent.parent / "examples" / "crm_copilot"


class Stone(BaseModel):
    name: str
    grams: float = 1.0


def weigh(asked: Stone) -> dict[Any, Any]:
    if asked.name == "pebble":
        raise ToolError("a pebble weighs – what it wants")
    return {"name": asked.name, 1: ("ünder", None), "grams": asked.grams}


TOOLS = Toolset(
    "stones",
    (
        Tool("weigh", "The weight of a stone.", Stone, weigh),
        Tool("throw", "Throw a stone.", Stone, lambda asked: None, permission="stones:throw"),
    ),
)
VALUE = {"text": "how heavy is a ruby – and ünder what?"}


def wants(*calls: tuple[str, str], text: str = "") -> Reply:
    made = tuple(ToolCall(f"call_{at}_x", name, said) for at, (name, said) in enumerate(calls))
    return Reply(text, usage=Usage(calls=1), tool_calls=made)


def stored(said: Prediction) -> Prediction:
    """As it is read back from a trace."""
    return Prediction.from_json(json.loads(json.dumps(said.to_json(), ensure_ascii=False)))


async def again(candidate: PromptCandidate, said: Prediction, ctx: Context = Context()) -> list[Request]:
    return await candidate.requests(VALUE, ctx, stored(said))


def number_task(**rest: Any) -> Task:
    return Task(name="weight", instruction="How heavy?", output=Number(kind="number", minimum=0, maximum=9), **rest)


WAYS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "no tool": (["3"], {}),
    "one": ([wants(("weigh", '{"name": "ruby"}')), "3"], {}),
    "several, with words": (
        [wants(("weigh", '{"name":"ruby" }'), ("weigh", '{"name": "pebble"}'), text="Let me look."), "3"],
        {},
    ),
    "refused, unknown, broken": (
        [wants(("throw", '{"name": "a"}'), ("melt", "{}"), ("weigh", "{broken")), wants(("weigh", "{}")), "3"],
        {},
    ),
    "out of steps": ([wants(("weigh", '{"name": "ruby"}')), "3"], {"tool_steps": 1}),
    "out of calls": ([wants(("weigh", '{"name": "a"}'), ("weigh", '{"name": "b"}')), "3"], {"tool_calls": 1}),
    "asked for the answer": ([wants(("weigh", '{"name": "ruby"}')), "Some.", "3"], {}),
    "mended": ([wants(("weigh", '{"name": "ruby"}')), "Some.", "heavy", "3"], {}),
    "given up": (["Some.", "", "heavy"], {}),
}


@pytest.mark.parametrize("way", WAYS)
async def test_every_request_comes_out_again(way: str) -> None:
    script, parameters = WAYS[way]
    model = ScriptedModel(script)
    candidate = Prompt(model=model, tools=TOOLS, delimit=True, **parameters).fit(number_task(), Dataset(()))
    (said,) = await candidate.predict([VALUE], Context())
    sent = list(model.requests)
    assert await again(candidate, said) == sent
    assert len(model.requests) == len(sent)  # nothing was asked
    assert rendered_otherwise(await prompts_of(candidate, VALUE, Context(), stored(said)), said) == []


async def test_one_that_ran_out_of_money_has_no_last_request() -> None:
    model = ScriptedModel([wants(("weigh", '{"name": "ruby"}')), "3"])
    candidate = Prompt(model=model, tools=TOOLS).fit(number_task(), Dataset(()))
    (said,) = await candidate.predict([VALUE], Context(budget=1))
    assert said.error is not None
    assert await again(candidate, said) == model.requests


async def test_a_label_is_asked_for_with_its_labels(colours: Task) -> None:
    model = ScriptedModel([wants(("weigh", '{"name": "ruby"}')), "dark", "red"])
    candidate = Prompt(model=model, tools=TOOLS).fit(colours, Dataset(()))
    (said,) = await candidate.predict([VALUE], Context())
    assert await again(candidate, said) == model.requests
    assert model.requests[-1].labels == ("red", "green", "blue")


@pytest.mark.parametrize("then", ["person", "block"])
async def test_rules_around_an_answer_do_not_hide_the_way(colours: Task, then: str) -> None:
    rule = RuleSpec(name="no_red", kind="check", require="output != 'red'", then=then)
    model = ScriptedModel([wants(("weigh", '{"name": "ruby"}')), "Red, I think.", "red"])
    candidate = Prompt(model=model, tools=TOOLS).fit(colours.model_copy(update={"rules": (rule,)}), Dataset(()))
    (said,) = await candidate.predict([VALUE], Context())
    assert said.output is None
    assert await again(candidate, said) == model.requests
    layered = Prediction(deferred=True, children=(Prediction("red", confidence=0.1), said), notes={"stage": "human"})
    assert await again(candidate, layered) == model.requests


async def test_a_batch_is_not_filled_with_what_a_loop_would_not_ask(colours: Task) -> None:
    candidate = Prompt(model=ScriptedModel(["red"]), tools=TOOLS).fit(colours, Dataset(()))
    assert await candidate.asks(VALUE, Context()) is None


async def test_a_tool_that_gives_something_else_today_changes_nothing() -> None:
    model = ScriptedModel([wants(("weigh", '{"name": "ruby"}')), "3"])
    candidate = Prompt(model=model, tools=TOOLS).fit(number_task(), Dataset(()))
    (said,) = await candidate.predict([VALUE], Context())
    other = Toolset("stones", (Tool("weigh", "Another description.", Stone, lambda asked: "other"),))
    assert await again(PromptCandidate(candidate.card, model, other), said) == model.requests


async def test_what_was_not_rendered_so_is_noticed() -> None:
    model = ScriptedModel([wants(("weigh", '{"name": "ruby"}')), "3"])
    candidate = Prompt(model=model, tools=TOOLS).fit(number_task(), Dataset(()))
    (said,) = await candidate.predict([VALUE], Context())
    row = said.to_json()
    row["children"][1]["output"]["grams"] = 2.0
    changed = Prediction.from_json(row)
    found = await prompts_of(candidate, VALUE, Context(), changed)
    assert rendered_otherwise(found, changed) == ["the prompt does not come out as it was sent"]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """The modules `crm` and `script` of the example, which are no package."""
    monkeypatch.syspath_prepend(str(CRM))
    yield importlib.import_module("crm"), importlib.import_module("script")
    for name in ("crm", "script"):
        sys.modules.pop(name, None)


async def test_the_copilots_requests_come_out_again_from_its_traces(tmp_path: Path, example: tuple[Any, Any]) -> None:
    tools, script = example
    tools.write_database(tmp_path / "crm.sqlite")
    task = Project.open(CRM).task("copilot")
    model = script.scripted()
    candidate = Prompt(
        model=model,
        tools=tools.crm_tools(tmp_path / "crm.sqlite"),
        documents=str(task.documents),
        passages=10,
        delimit=True,
    ).fit(task.task, Dataset(()))
    ctx = Context(permissions=frozenset({"crm:read"}))
    for part in script.SCRIPT:
        value = {"text": f"Tell me: {part}?"}
        model.requests.clear()
        (said,) = await candidate.predict([value], ctx)
        sent = list(model.requests)
        assert len(sent) == 2
        kept = stored(said)
        (tmp_path / "crm.sqlite").rename(tmp_path / "gone.sqlite")  # no tool is run to explain
        assert await candidate.requests(value, Context(), kept) == sent
        prompts = await prompts_of(candidate, value, Context(), kept)
        (tmp_path / "gone.sqlite").rename(tmp_path / "crm.sqlite")
        assert list(prompts) == ["prompt step 1", "prompt step 2"]
        assert prompts["prompt step 2"] == [message.to_json() for message in sent[1].messages]
        assert rendered_otherwise(prompts, kept) == []
    row = {"id": "tr_1", "task": "copilot", "at": 0.0, "caller": "ann", "overlay": "", "arm": "stable"}
    row |= {"stage": "", "latency_s": 0.1, "cost_usd": 0.0, "candidate": ""}
    lines = explanation_lines(
        Explanation(StoredTrace(row, value, kept), None, None, prompts, (), (), (), rendered_otherwise(prompts, kept))
    )
    text = "\n".join(lines)
    assert "prompt of prompt step 2: the 2 messages before, then" in text
    assert "assistant: asks for log_activity" in text
    assert "tool: <tool_result" in text
