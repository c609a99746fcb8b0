"""Changes that should not matter: deterministic, and they change what they say they change."""

from __future__ import annotations

from tasklift.dataset import Dataset
from tasklift.llm.fake import ScriptedModel
from tasklift.llm.template import Template
from tasklift.measure.robustness.variants import FORMATS, WORDINGS, prompt_changes, reworded, text_changes, typo
from tasklift.strategies.baseline import Baseline
from tasklift.strategies.prompt import Prompt, PromptCandidate
from tasklift.strategy import Candidate, Context
from tasklift.task import Task

TEXT = "I can't find my parcel because the courier lost it"


def prompted(task: Task, rows: Dataset, **parameters: object) -> tuple[ScriptedModel, Candidate]:
    model = ScriptedModel({"": "red"}, confidence=0.9)
    return model, Prompt(model=model, **parameters).fit(task, rows)  # type: ignore[arg-type]


async def asked(model: ScriptedModel, candidate: Candidate) -> str:
    await candidate.predict([{"text": "a ruby"}], Context())
    first = next(request for request in model.requests if "a ruby" in request.messages[-1].content)
    model.requests.clear()
    return "\n".join(message.content for message in first.messages)


def test_text_changes_are_deterministic_and_change_something() -> None:
    for kind, changes in text_changes().items():
        for change in changes:
            assert change(TEXT) == change(TEXT) != TEXT, kind


def test_a_typo_keeps_the_words_and_short_texts_alone() -> None:
    changed = typo(TEXT)
    assert len(changed.split()) == len(TEXT.split())
    assert abs(len(changed) - len(TEXT)) <= 1
    assert typo("go on") == "go on"
    assert typo(TEXT, seed=1) == typo(TEXT, seed=1)


def test_a_paraphrase_by_rule_keeps_the_case_and_leaves_other_texts_alone() -> None:
    assert reworded(TEXT) == "I cannot find my parcel since the courier lost it"
    assert reworded("Could you HELP me") == "Can you Assist me"
    assert reworded("Wo ist mein Paket") == "Wo ist mein Paket"


def test_what_stands_in_braces_is_never_changed() -> None:
    source = "{% for a in b %}\nMessage: {{ text }}\n- {{ a }}: {{ b['x: y'] }}\n\n{% endfor %}Label:"
    for change in FORMATS.values():
        changed = change(source)
        assert changed != source
        for code in ("{% for a in b %}", "{{ text }}", "{{ b['x: y'] }}", "{% endfor %}"):
            assert code in changed


def test_every_wording_differs_also_without_a_system_template() -> None:
    for template in (Template("Sort.", "{{ text }}"), Template("", "{{ text }}")):
        found = [change(template) for change in WORDINGS.values()]
        assert len({*found, template}) == len(WORDINGS) + 1


async def test_prompts_change_around_the_same_text(colours: Task, colour_rows: Dataset) -> None:
    model, candidate = prompted(colours, colour_rows)
    found = prompt_changes(candidate)
    assert set(found) == {"format", "wording", "label_order"}
    plain = await asked(model, candidate)
    for some in found.values():
        for name, other in some:
            changed = await asked(model, other)
            assert changed != plain, name
            assert "a ruby" in changed
    assert await asked(model, candidate) == plain  # the candidate itself is as it was


async def test_a_changed_prompt_measures_its_own_bias(colours: Task, colour_rows: Dataset) -> None:
    model, candidate = prompted(colours, colour_rows)
    await candidate.predict([{"text": "a ruby"}], Context())
    model.requests.clear()
    other = prompt_changes(candidate)["wording"][0][1]
    assert isinstance(other, PromptCandidate)
    await other.predict([{"text": "a ruby"}], Context())
    assert len(model.requests) == 2


async def test_the_order_of_labels_is_another_one(colours: Task, colour_rows: Dataset) -> None:
    model, candidate = prompted(colours, colour_rows)
    by_name = dict(prompt_changes(candidate)["label_order"])
    text = await asked(model, by_name["reversed"])
    assert text.index("- blue") < text.index("- green") < text.index("- red")


def test_no_prompt_change_reaches_a_classifier(colours: Task, colour_rows: Dataset) -> None:
    assert prompt_changes(Baseline().fit(colours, colour_rows)) == {}
