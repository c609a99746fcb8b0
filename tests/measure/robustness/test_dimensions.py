"""Rule changes, what it takes to come back from them, risk, and the table of nine dimensions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasklift.dataset import Dataset
from tasklift.economics import Economics, UnitPrices
from tasklift.llm.fake import ScriptedModel
from tasklift.llm.model import Request
from tasklift.measure.deciding.decision import Settings, decide
from tasklift.measure.evaluation import Options, evaluate
from tasklift.measure.robustness.dimensions import DIMENSIONS, Measured, dimensions
from tasklift.measure.robustness.flexibility import EDIT_MINUTES, adapt, flexibility
from tasklift.measure.robustness.risk import risks
from tasklift.measure.robustness.rule_changes import RuleChange, merged_labels, new_label, rule_changes
from tasklift.strategies.baseline import Baseline
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.prompt import Prompt
from tasklift.task import Task

PRICES = UnitPrices()
WORDS = {"ruby": "red", "tomato": "red", "blood": "red", "cherry": "red", "brick": "red"}
WORDS |= dict.fromkeys(("grass", "frog", "moss", "lime", "fern"), "green")


def careful(request: Request) -> str:
    """Answers by the definitions in the prompt: of the allowed labels, the one that the text's colour belongs to."""
    text = request.messages[-1].content
    colour = next((label for word, label in WORDS.items() if word in text), "blue")
    near = [label for label in request.labels if colour in label.split("_or_")]
    return near[0] if near else request.labels[0]


@pytest.fixture
def changes(colours: Task, colour_rows: Dataset) -> dict[str, RuleChange]:
    return {change.kind: change for change in rule_changes(colours, colour_rows)}


def test_each_kind_of_change_is_made_from_the_rows(changes: dict[str, RuleChange], colour_rows: Dataset) -> None:
    assert set(changes) == {"new_label", "merged_labels", "changed_definition"}
    new = changes["new_label"]
    gone = (set(new.after.labels) - set(new.before.labels)).pop()
    assert gone not in new.rows_before(colour_rows).outputs
    assert new.rows_after(colour_rows).outputs == colour_rows.outputs
    merged = changes["merged_labels"]
    assert len(merged.after.labels) == 2
    assert len(merged.rows_with(colour_rows, 0)) == len(colour_rows)  # no row has to be labelled again
    changed = changes["changed_definition"]
    moved = [a.output != b.output for a, b in zip(changed.rows_after(colour_rows), colour_rows, strict=True)]
    assert 0.05 < sum(moved) / len(moved) < 0.3
    assert len(changed.rows_with(colour_rows, 0)) == 40
    assert len(changed.rows_with(colour_rows, 5)) == 45


def test_labels_of_the_old_rule_are_not_taken_for_those_of_the_new(colours: Task, colour_rows: Dataset) -> None:
    new = new_label(colours, "blue")
    learnt = new.rows_with(colour_rows, 3)
    assert learnt.outputs.count("blue") == 3
    assert len(learnt) == 43


def test_a_prompt_needs_no_label_where_the_definitions_say_it(colours: Task, colour_rows: Dataset) -> None:
    prompt = Prompt(model=ScriptedModel(careful), calibrate=False)
    for change in (new_label(colours, "blue"), merged_labels(colours, "red", "green")):
        found = adapt(prompt, change, colour_rows, colour_rows, PRICES)
        assert (found.labels, found.steps) == (0, {0: 1.0})
        assert found.minutes == EDIT_MINUTES
        assert found.usd == pytest.approx(20.0, abs=0.01)  # twenty minutes at 60 USD an hour
        assert found.unadapted is not None
        assert found.unadapted < 0.7


def test_a_tuned_model_needs_labels_of_a_new_label_and_none_of_a_merged_one(
    colours: Task, colour_rows: Dataset
) -> None:
    learn, judge = (colour_rows.part(colour_rows.examples[at::2], str(at)) for at in range(2))
    new = adapt(Baseline(), new_label(colours, "blue"), learn, judge, PRICES)
    assert new.labels is not None
    assert new.labels > 0
    assert new.steps[0] <= 2 / 3 < new.steps[new.labels]
    assert new.minutes == EDIT_MINUTES + new.labels * 0.25  # a label for 0.25 USD is a quarter of a minute
    merged = adapt(Baseline(), merged_labels(colours, "red", "green"), learn, judge, PRICES)
    assert merged.labels == 0


def test_risk_is_the_spread_over_seeds_and_wordings_and_the_time_to_go_back(
    colours: Task, colour_rows: Dataset, tmp_path: Path
) -> None:
    train, test = (colour_rows.part(colour_rows.examples[at::2], str(at)) for at in range(2))

    def touchy(request: Request) -> str:
        return "blue" if "Your task" in request.messages[0].content else careful(request)

    strategies = {"svm": Baseline(), "prompt": Prompt(model=ScriptedModel(touchy), calibrate=False)}
    evaluate(colours, {"svm": Baseline()}, train, test, Options(folder=tmp_path))
    found = risks(colours, strategies, train, tmp_path)
    assert len(found["svm"].by_seed) == 3
    assert found["svm"].by_wording == ()
    assert found["svm"].roll_back_s is not None
    assert found["prompt"].by_seed == ()
    assert found["prompt"].roll_back_s is None
    row = found["prompt"].to_json()
    assert len(row["by_wording"]) == 4
    assert row["wording_sd"] > 0.2
    assert row["seed_sd"] is None


def test_the_table_holds_figures_and_names_what_is_not_measured(colours: Task, colour_rows: Dataset) -> None:
    train, test = (colour_rows.part(colour_rows.examples[at::2], str(at)) for at in range(2))
    strategies = {
        "frozen": FrozenEncoder(embedder="static"),
        "prompt": Prompt(model=ScriptedModel(careful), calibrate=False),
    }
    evaluation = evaluate(colours, strategies, train, test)
    priced = Economics.model_validate({"items_per_month": 1000, "error_usd": 1, "changes_per_year": 6})
    decision = decide(evaluation, priced, settings=Settings(draws=500, parameters=False)).to_json()
    bare = dimensions(Measured(evaluation, decision, priced))
    assert tuple(bare) == DIMENSIONS
    assert all(set(cells) == {"prompt", "finetune"} for cells in bare.values())
    assert bare["flexibility"]["prompt"].text.startswith("not measured")
    assert bare["accuracy"]["prompt"].figures["value"] == 1.0
    assert "30 labels" in bare["set-up time"]["finetune"].text
    changed = flexibility(colours, strategies, train, PRICES)
    flexible = {name: [one.to_json() for one in some] for name, some in changed.items()}
    full = dimensions(Measured(evaluation, decision, priced, flexibility=flexible))
    assert "new label: 0 labels, 20 minutes" in full["flexibility"]["prompt"].text
    hours = full["maintenance effort"]["prompt"].figures["hours_per_year"]
    assert hours == pytest.approx(6 * EDIT_MINUTES / 60)
