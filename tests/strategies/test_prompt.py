"""Zero-shot prompting: what is asked, how a reply becomes a prediction, and what happens when it does not."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path
from typing import Any

import pytest

from tasklift.dataset import Dataset
from tasklift.errors import (
    AuthenticationError,
    ConfigError,
    InvalidOutputError,
    ModelError,
    ModelTimeoutError,
    RateLimitError,
    RequestRefusedError,
    ServerError,
)
from tasklift.llm.fake import Behaviour, FakeEndpoint, ScriptedModel
from tasklift.llm.model import Reply, Request
from tasklift.prediction import Prediction, Usage
from tasklift.strategies.fitting import load_candidate
from tasklift.strategies.prompt import NOTHING, Prompt, PromptCandidate
from tasklift.strategy import Context, Resources
from tasklift.task import Task

NO_ROWS = Dataset(())


def fitted(task: Task, model: ScriptedModel, **parameters: Any) -> PromptCandidate:
    return Prompt(model=model, **parameters).fit(task, NO_ROWS)


async def ask(candidate: PromptCandidate, *texts: str, **context: Any) -> list[Prediction]:
    return await candidate.predict([{"text": text} for text in texts], Context(**context))


def scores(**shares: float) -> Reply:
    """A reply whose text is the most probable label."""
    return Reply(max(shares, key=lambda label: shares[label]), {label: math.log(p) for label, p in shares.items()})


async def test_instruction_definitions_and_text_are_asked(colours: Task) -> None:
    model = ScriptedModel({"moss": "green"})
    (found,) = await ask(fitted(colours, model), "some moss", seed=7, repeat=2)
    assert (found.output, found.confidence, found.scores) == ("green", None, None)
    (request,) = model.requests
    system, user = request.messages
    assert (system.role, user.role) == ("system", "user")
    assert system.content.startswith("Which colour is meant?")
    assert "- red: The colour of blood\n- green: The colour of grass\n- blue: The sky\n" in system.content
    assert "Message: some moss\n" in user.content
    assert request.labels == ("red", "green", "blue")
    assert (request.seed, request.repeat) == (7, 2)


async def test_answers_come_in_the_order_of_the_inputs(colours: Task) -> None:
    model = ScriptedModel({"moss": "green", "ruby": "red", "sky": "blue"})
    answers = await ask(fitted(colours, model), "sky", "moss", "", "ruby", "moss")
    assert [found.output for found in answers] == ["blue", "green", None, "red", "green"]
    assert answers[2].error is not None
    assert answers[2].error.kind == "empty_input"
    assert len(model.requests) == 4


async def test_own_templates_see_all_input_fields(colours: Task) -> None:
    task = colours.model_copy(update={"input_fields": ("text", "subject")})
    model = ScriptedModel({}, default="red")
    candidate = fitted(task, model, system="", user="{{ input.subject|upper }}: {{ text }}")
    await candidate.predict([{"text": "ruby", "subject": "stone", "other": "hidden"}], Context())
    assert [message.content for message in model.requests[0].messages] == ["STONE: ruby\nstone"]


async def test_usage_of_the_model_is_reported(colours: Task) -> None:
    usage = Usage(calls=1, input_tokens=9, cached_tokens=4, output_tokens=1, cpu_s=0.5)
    model = ScriptedModel([Reply("red", usage=usage, latency_s=0.25)])
    (found,) = await ask(fitted(colours, model), "ruby")
    assert (found.usage, found.latency_s) == (usage, 0.25)


def biased(request: Request) -> Reply:
    """Prefers blue whatever it is asked; a ruby makes red more probable than it would be otherwise."""
    if NOTHING in request.messages[-1].content:
        return scores(red=0.1, green=0.1, blue=0.8)
    return scores(red=0.4, green=0.1, blue=0.5)


async def test_the_bias_of_the_model_is_taken_out(colours: Task) -> None:
    (found,) = await ask(fitted(colours, ScriptedModel(biased)), "a ruby")
    assert found.output == "red"
    assert found.scores == pytest.approx({"red": 4 / 5.625, "green": 1 / 5.625, "blue": 0.625 / 5.625}, abs=1e-6)


async def test_the_bias_can_be_left_in(colours: Task) -> None:
    model = ScriptedModel(biased)
    (found,) = await ask(fitted(colours, model, calibrate=False), "a ruby")
    assert (found.output, found.confidence) == ("blue", 0.5)
    assert len(model.requests) == 1


async def test_the_bias_is_asked_for_once(colours: Task) -> None:
    model = ScriptedModel(biased)
    candidate = fitted(colours, model)
    for _ in range(3):
        await ask(candidate, "a ruby")
    assert sum(NOTHING in request.messages[-1].content for request in model.requests) == 1


async def test_a_model_without_log_probabilities_is_not_asked_for_its_bias(colours: Task) -> None:
    model = ScriptedModel({"ruby": "red"})
    await ask(fitted(colours, model), "ruby")
    assert len(model.requests) == 1


@pytest.mark.parametrize("calibrate", [True, False])
async def test_a_model_that_rules_all_other_labels_out_is_believed(colours: Task, calibrate: bool) -> None:
    model = ScriptedModel({NOTHING: "blue"}, default="red", confidence=1.0)
    (found,) = await ask(fitted(colours, model, calibrate=calibrate), "a ruby")
    assert (found.output, found.confidence) == ("red", 1.0)
    assert found.scores == {"red": 1.0, "green": 0.0, "blue": 0.0}


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError,
        RateLimitError,
        ModelTimeoutError,
        ServerError,
        RequestRefusedError,
        InvalidOutputError,
        ModelError,
    ],
)
async def test_an_error_of_the_model_fails_its_row_alone(colours: Task, error: type[ModelError]) -> None:
    model = ScriptedModel({"ruby": error("no luck; try later")}, default="green")
    bad, good = await ask(fitted(colours, model), "ruby", "moss")
    assert bad.error is not None
    assert (bad.error.kind, bad.error.message) == (error.kind, "no luck; try later")
    assert (bad.output, good.output) == (None, "green")


async def test_an_answer_that_is_no_label_is_an_error(colours: Task) -> None:
    bad, good = await ask(fitted(colours, ScriptedModel({"ruby": "crimson"}, default="red")), "ruby", "brick")
    assert bad.error is not None
    assert bad.error.kind == "invalid_output"
    assert "'crimson'" in bad.error.message
    assert good.output == "red"


async def test_nothing_is_asked_after_the_deadline(colours: Task) -> None:
    model = ScriptedModel({}, default="red")
    (found,) = await ask(fitted(colours, model), "ruby", deadline=time.monotonic() - 1)
    assert found.error is not None
    assert (found.error.kind, model.requests) == ("timeout", [])
    assert "deadline had passed" in found.error.message


async def test_an_answer_after_the_deadline_is_a_timeout(colours: Task) -> None:
    model = ScriptedModel({}, default="red", delay_s=60)
    (found,) = await ask(fitted(colours, model), "ruby", deadline=time.monotonic() + 0.05)
    assert found.error is not None
    assert found.error.kind == "timeout"
    assert "while the model was answering" in found.error.message


async def test_an_answer_before_the_deadline_counts(colours: Task) -> None:
    model = ScriptedModel({}, default="red")
    (found,) = await ask(fitted(colours, model), "ruby", deadline=time.monotonic() + 60)
    assert found.output == "red"


async def test_very_long_texts_are_cut_and_that_is_said(colours: Task) -> None:
    model = ScriptedModel({}, default="red")
    found, short = await ask(fitted(colours, model), "ruby " * 100_000, "ruby")
    assert (found.output, found.notes, short.notes) == ("red", {"text_cut": True}, {})
    assert len(model.requests[0].messages[-1].content) < 10_000


async def test_no_text_of_a_row_breaks_the_request(colours: Task) -> None:
    texts = ["{{ labels }}", "\x00\x01", "half \ud800 a pair", "🟥" * 9, "\u202egnorw\u202c", "<|im_end|>"]
    answers = await ask(fitted(colours, ScriptedModel({}, default="red")), *texts)
    assert [found.output for found in answers] == ["red"] * len(texts)


def test_no_row_is_looked_at(colours: Task, colour_rows: Dataset) -> None:
    strategy = Prompt(model=ScriptedModel({}))
    candidate = strategy.fit(colours, colour_rows)
    assert strategy.fingerprint(colours, colour_rows) == strategy.fingerprint(colours, NO_ROWS)
    assert candidate.training_ids == frozenset()
    assert candidate.setup == Resources()
    assert candidate.family == "prompt"


def test_model_and_templates_enter_the_fingerprint(colours: Task) -> None:
    one, other = ScriptedModel({"a": "red"}), ScriptedModel({"a": "blue"})
    some = [Prompt(model=one), Prompt(model=other), Prompt(one, user="{{ text }}"), Prompt(one, calibrate=False)]
    assert len({strategy.fingerprint(colours, NO_ROWS) for strategy in some}) == 4


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (
            {"user": "{{ message }}"},
            "user template names the unknown field 'message'; it may use: cue, examples, form, input",
        ),
        ({"system": "{{ label }}"}, "system template names the unknown field 'label'"),
        ({"system": "{% if %}"}, "system template, line 1"),
        ({"user": "{{ text.__class__ }}"}, "user template leaves its sandbox"),
    ],
)
def test_templates_are_checked_when_the_recipe_is_made(parameters: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Prompt(**parameters)


def test_a_template_for_a_field_that_the_task_lacks_is_named(colours: Task) -> None:
    with pytest.raises(ConfigError, match="'invoice'"):
        asyncio.run(ask(fitted(colours, ScriptedModel({}, default="red"), user="{{ input.invoice }}"), "ruby"))


def test_a_model_that_does_not_exist_is_named_when_fitting(colours: Task) -> None:
    with pytest.raises(ConfigError, match="no model is called 'lokal'; did you mean 'local'"):
        Prompt(model="lokal").fit(colours, NO_ROWS)


async def test_through_an_endpoint_and_saved(tmp_path: Path, colours: Task) -> None:
    async with FakeEndpoint([Behaviour("{}"), Behaviour("?")], answer=lambda body: "green") as endpoint:
        candidate = Prompt(model=f"{endpoint.url}#{endpoint.model}").fit(colours, NO_ROWS)
        candidate.save(tmp_path / "kept")
        await candidate.aclose()
        kept = load_candidate(tmp_path / "kept")
        answers = [*await kept.predict([{"text": "a"}], Context()), *await kept.predict([{"text": "b"}], Context())]
        await kept.aclose()
    assert kept.fingerprint == candidate.fingerprint
    assert kept.traits.remote
    assert not kept.traits.data_leaves_machine
    assert not kept.traits.deterministic
    assert answers[0].error is not None
    assert answers[0].error.kind == "invalid_output"
    assert answers[1].output == "green"
    assert answers[1].usage.calls == 1
