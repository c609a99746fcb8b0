"""Prompt files, overlays and rules in strategies: what is sent, what is cut, and that it can be rendered again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tasklift.dataset import Dataset
from tasklift.errors import ConfigError, StrategyError
from tasklift.llm.fake import FakeEndpoint, ScriptedModel
from tasklift.llm.overlay import Material
from tasklift.llm.prompt_file import PromptText
from tasklift.llm.prompt_versions import Prompts
from tasklift.prediction import Prediction
from tasklift.project import Project
from tasklift.rule import RuleSpec
from tasklift.stats.confidence import Platt
from tasklift.stats.learn_then_test import Certificate
from tasklift.strategies.artifact import read_card
from tasklift.strategies.baseline import Baseline
from tasklift.strategies.build import build
from tasklift.strategies.context import Cut
from tasklift.strategies.fewshot import FewShot
from tasklift.strategies.fitting import load_candidate
from tasklift.strategies.layered_candidate import LayeredCandidate, Rule
from tasklift.strategies.prompt import Prompt
from tasklift.strategies.prompt_choice import with_prompts
from tasklift.strategies.prompting import hash_of
from tasklift.strategy import Candidate, Context
from tasklift.task import Task

NO_ROWS = Dataset(())
BASE = """+++
tone = "Be short."
policy = "Blood is red."
+++
<!-- system -->
{{ instruction }} {{ tone }} {{ policy }}
{% for label, definition in labels.items() %}{{ label }}: {{ definition }}
{% endfor %}
<!-- user -->
{{ text }}
"""
GERMAN = """slice = { language = "de" }
tone = "Antworte kurz."
[labels]
red = "Die Farbe von Blut"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a task with a prompt and an overlay."""
    for name, text in (("prompts/base.md", BASE), ("overlays/de.toml", GERMAN)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def made(folder: Path, task: Task, name: str, model: Any) -> Any:
    return build([name], with_prompts(folder, task, [name], {}), model)[name]


def sent(model: ScriptedModel) -> str:
    return "\n".join(message.content for message in model.requests[-1].messages)


async def one(candidate: Candidate, text: str = "a ruby", **context: Any) -> Prediction:
    return (await candidate.predict([{"text": text}], Context(**context)))[0]


async def test_a_prompt_file_is_what_the_model_sees(folder: Path, colours: Task) -> None:
    model = ScriptedModel({}, default="red")
    candidate = made(folder, colours, "prompt:base", model).fit(colours, NO_ROWS)
    found = await one(candidate)
    assert sent(model).startswith("Which colour is meant? Be short. Blood is red.\nred: The colour of blood\n")
    version = Prompts(folder / "prompts").find("base").ref
    assert found.notes == {"prompt": version, "rendered": hash_of(model.requests[0])}


async def test_an_overlay_changes_what_it_names_and_only_where_it_is_asked_for(folder: Path, colours: Task) -> None:
    model = ScriptedModel({}, default="red")
    candidate = made(folder, colours, "prompt:base", model).fit(colours, NO_ROWS)
    found = await one(candidate, overlay="de")
    assert found.notes["overlay"] == "de"
    assert "Antworte kurz. Blood is red.\nred: Die Farbe von Blut\ngreen: The colour of grass" in sent(model)
    for other in (None, "fr"):
        assert "overlay" not in (await one(candidate, overlay=other)).notes
        assert "Be short." in sent(model)
    always = made(folder, colours, "prompt:base+de", model).fit(colours, NO_ROWS)
    await one(always)
    assert "Antworte kurz." in sent(model)


def test_the_fingerprint_follows_prompt_overlay_and_rules(folder: Path, colours: Task) -> None:
    model = ScriptedModel({}, default="red")

    def printed(name: str = "prompt:base", task: Task = colours) -> str:
        return str(made(folder, task, name, model).fingerprint(task, NO_ROWS))

    first = printed()
    assert printed("prompt:base+de") != first
    ruled = colours.model_copy(update={"rules": (RuleSpec(name="r", kind="cite"),)})
    assert printed(task=ruled) != first
    (folder / "overlays" / "de.toml").write_text(GERMAN.replace("kurz", "lang"), encoding="utf-8")
    second = printed()
    assert second != first
    (folder / "prompts" / "base.md").write_text(BASE.replace("short", "brief"), encoding="utf-8")
    assert printed() not in (first, second)


def test_without_prompts_and_rules_fingerprints_stay_as_they_were(tmp_path: Path, colours: Task) -> None:
    plain = Prompt(model=ScriptedModel({}))
    assert with_prompts(tmp_path, colours, ["prompt", "baseline"], {"knn": {"k": 3}}) == {"knn": {"k": 3}}
    assert "material" not in plain.parameters()
    assert "rules" not in plain.fit(colours, NO_ROWS).card.settings


@pytest.mark.parametrize(
    ("overlay", "said"),
    [
        ("tone = 'x'\n[labels]\nrde = 'y'", "`labels.rde`: the task has no such label; did you mean 'red'"),
        ("tome = 'x'", "unknown key `tome`; did you mean `tone`"),
        ("slice = { language = 'de' }", "overrides nothing"),
        ("[[examples]]\ntext = 'a'\nlabel = 'red'", "does not name {{ examples }}: nothing would change"),
        ("[[examples]]\ntext = 'a'\nlabel = 'pink'", "'pink' is none of the task's labels"),
        ("instruction = 'x'", "unknown key `instruction`"),
    ],
)
def test_overlays_that_cannot_be_meant_are_refused(folder: Path, colours: Task, overlay: str, said: str) -> None:
    (folder / "overlays" / "de.toml").write_text(overlay, encoding="utf-8")
    with pytest.raises(ConfigError, match=said.replace("{", "\\{")) as error:
        with_prompts(folder, colours, ["prompt:base"], {})
    assert "de.toml" in str(error.value)


def test_prompts_that_do_not_fit_are_refused(folder: Path, colours: Task) -> None:
    def refused(name: str, said: str, **parameters: Any) -> None:
        with pytest.raises(ConfigError, match=said):
            with_prompts(folder, colours, [name], parameters)

    refused("fewshot:base", "is for prompt, not for fewshot")
    refused("encoder:base", "only prompt and fewshot take a prompt")
    refused("prompt:base+fr", "no overlay is called 'fr'; there are: de")
    refused("prompt:base", r"task.toml gives strategies.prompt.user", prompt={"user": "{{ text }}"})
    (folder / "prompts" / "base.md").write_text(f"+++\noutput = 'json'\n{BASE[4:]}", encoding="utf-8")
    refused("prompt:base", "written for the output 'json', that of colours is 'label'")
    with pytest.raises(StrategyError, match="leave it out"):
        Prompt(material={"tone": "x"})  # type: ignore[arg-type]


async def test_what_is_used_is_evaluated_and_survives_saving(folder: Path, colours: Task, tmp_path: Path) -> None:
    prompts = Prompts(folder / "prompts")
    used = prompts.use(prompts.find("base"), "ann", "")
    async with FakeEndpoint(answer=lambda body: "red") as endpoint:
        parameters = with_prompts(folder, colours, ["prompt"], {})
        built = await asyncio.to_thread(build, ["prompt"], parameters, f"{endpoint.url}#{endpoint.model}")
        candidate = built["prompt"].fit(colours, NO_ROWS)
        candidate.save(tmp_path / "kept")
        kept = load_candidate(tmp_path / "kept")
        found = await one(kept, overlay="de")
        again = await kept.rendered({"text": "a ruby"}, Context(overlay="de"))  # type: ignore[attr-defined]
        await candidate.aclose()
        await kept.aclose()
    assert found.notes["prompt"] == used.ref
    assert [one["content"] for one in endpoint.received[0]["messages"]] == [one.content for one in again.messages]
    assert found.notes["rendered"] == hash_of(again)


async def test_fixed_examples_stand_before_retrieved_ones(colours: Task, colour_rows: Dataset) -> None:
    model = ScriptedModel({}, default="red")
    material = Material("x@1", examples=({"text": "fixed", "label": "blue"},))
    strategy = FewShot(model=model, embedder="static", examples=2, skip_agreed=False, material=material)
    candidate = strategy.fit(colours, colour_rows)
    await one(candidate, "a ruby in the garden")
    shown = sent(model)
    assert shown.index("fixed") < shown.index("ruby")


async def test_rules_run_after_the_model_and_are_saved(tmp_path: Path, colours: Task, colour_rows: Dataset) -> None:
    rules = (
        RuleSpec(name="no_blue", kind="allowed", then="person", values=["red", "green"]),
        RuleSpec(name="no_green", kind="check", require="output != 'green'"),
    )
    task = colours.model_copy(update={"rules": rules})
    model = ScriptedModel({"sky": "blue", "moss": "green"}, default="red")
    candidate = Prompt(model=model).fit(task, NO_ROWS)
    answers = await candidate.predict([{"text": text} for text in ("sky", "moss", "ruby")], Context())
    assert [found.deferred for found in answers] == [True, False, False]
    assert [found.error.kind if found.error else None for found in answers] == [None, "blocked_by_rule", None]
    shots = FewShot(model=model, embedder="static", examples=2).fit(task, colour_rows)
    shots.save(tmp_path / "kept")
    card = FewShot(model=model, embedder="static", examples=2).reload(tmp_path / "kept", read_card(tmp_path / "kept"))
    assert [rule.name for rule in card.rules] == ["no_blue", "no_green"]


async def test_a_model_may_abstain(colours: Task) -> None:
    model = ScriptedModel({"hm": "abstain"}, default="red")
    prompt = PromptText(user="{{ labels|list|join(', ') }}: {{ text }}", abstain="the text names no colour")
    material = Material.of(prompt, "x@1", {})
    candidate = Prompt(model=model, system="", user=prompt.user, material=material).fit(colours, NO_ROWS)
    found, sure = await candidate.predict([{"text": "hm"}, {"text": "ruby"}], Context())
    assert (found.deferred, found.notes["abstained"], found.output) == (True, True, None)
    assert sure.output == "red"
    assert sent(model) == "red, green, blue, abstain: ruby"


async def test_a_prompt_that_is_too_long_is_cut_by_rule_and_says_so(colours: Task, colour_rows: Dataset) -> None:
    async with FakeEndpoint(answer=lambda body: "red") as endpoint:
        endpoint.context_tokens = 60
        strategy = FewShot(
            model=f"{endpoint.url}#{endpoint.model}", embedder="static", examples=8, pool=0, skip_agreed=False
        )
        candidate = await asyncio.to_thread(strategy.fit, colours, colour_rows)
        first = await one(candidate, "a ruby")
        shots = endpoint.received[-1]["messages"][-1]["content"].count("Label: ")
        long = await one(candidate, "a ruby and so on " * 60)
        again = await candidate.rendered({"text": "a ruby"}, Context(), Cut.of_notes(first.notes))
        await candidate.aclose()
    assert first.output == "red"
    assert first.notes["cut"]["examples"] == 8 - shots
    assert first.notes["cut"]["over_tokens"] > 0
    assert first.notes["cut"]["rule"] == "farthest examples first"
    assert again.messages[-1].content in [body["messages"][-1]["content"] for body in endpoint.received]
    assert long.output == "red"
    assert long.notes["cut"]["examples"] == 8
    assert 80 <= long.notes["cut"]["text_chars"] < 400


async def test_what_may_not_be_cut_says_by_how_much_it_is_too_long(colours: Task) -> None:
    async with FakeEndpoint() as endpoint:
        endpoint.context_tokens = 10
        candidate = Prompt(model=f"{endpoint.url}#{endpoint.model}").fit(colours, NO_ROWS)
        found = await one(candidate, "a ruby")
        await candidate.aclose()
    assert found.error is not None
    assert found.error.kind == "context_overflow"
    assert "more than the 10 of the model" in found.error.message
    assert "shorten definitions" in found.error.message


async def test_a_layered_candidate_leaves_to_a_person_what_a_rule_leaves_to_one(
    colours: Task, colour_rows: Dataset
) -> None:
    task = colours.model_copy(update={"rules": (RuleSpec(name="r", kind="check", then="person", require="false"),)})
    model = ScriptedModel({}, default="red", confidence=0.99)
    prompt = Prompt(model=model, calibrate=False).fit(task, NO_ROWS)
    core = Baseline().fit(colours, colour_rows)
    sure, never = Platt(1.0, 0.0), Platt(0.0, -50.0)
    rule = Rule(never, sure, Certificate(0.2, 0.1, 0.5, 10, 10, 0))
    (found,) = await LayeredCandidate(core.card, core, prompt, rule).predict([{"text": "a ruby"}], Context())
    assert (found.deferred, found.notes["stage"], found.output) == (True, "human", None)


def test_the_strategies_of_the_demo_are_built_beside_prompts_and_overlays() -> None:
    project = Project.open(Path(__file__).parents[2] / "examples" / "support_triage")
    task = project.task(None)
    assert (project.folder / "tasks" / task.name / "overlays").is_dir()
    found = project.parameters(task, project.settings.strategies)
    assert {"prompt", "fewshot"} <= set(found)
    assert "majority" not in found
