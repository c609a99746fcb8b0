"""Consistency: what a steady, a moody and a touchy candidate look like, and that rows are never counted twice."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

import pytest

from tasklift.dataset import Dataset
from tasklift.llm.fake import ScriptedModel
from tasklift.llm.model import Request
from tasklift.measure.evaluation import evaluate
from tasklift.measure.robustness.consistency import Consistency, Limits, Probe, check_consistency
from tasklift.strategies.baseline import Baseline
from tasklift.strategies.human import Human
from tasklift.strategies.prompt import Prompt
from tasklift.task import Task

Answer = Callable[[Request], str]
WORDS = {
    "red": ("ruby", "tomato", "blood", "cherry", "brick"),
    "green": ("grass", "frog", "moss", "lime", "fern"),
    "blue": ("sky", "ocean", "sapphire", "denim", "cobalt"),
}
LABEL = {word: label for label, some in WORDS.items() for word in some}


def right_label(request: Request) -> str:
    """The right answer, whatever the case and however it is spelled."""
    text = request.messages[-1].content.casefold().split()
    near = [found for token in text for found in get_close_matches(token, LABEL, n=1, cutoff=0.7)]
    return LABEL[near[0]] if near else "blue"


def tried(task: Task, rows: Dataset, answer: Answer, **more: object) -> Consistency:
    strategies = {"prompt": Prompt(model=ScriptedModel(answer), calibrate=False)}
    train = rows.part(rows.examples[::2], "train")
    test = rows.part(rows.examples[1::2], "test")
    evaluation = evaluate(task, strategies, train, test)
    (found,) = check_consistency(evaluation, strategies, train, None, Probe(**more))  # type: ignore[arg-type]
    return found


def test_a_steady_candidate_is_called_steady_where_the_rows_suffice(colours: Task, colour_rows: Dataset) -> None:
    floors = {"repeat_agreement": 0.8, "valid_outputs": 0.8}
    loose = Limits(**floors, flips=0.2, rewritten_flips=0.2, prompt_sensitivity=0.2, format_spread=0.2)
    found = tried(colours, colour_rows, right_label, limits=loose)
    assert (found.verdict, found.because) == ("steady", ())
    assert found.measures["fleiss_kappa"].value == 1.0
    assert found.measures["repeat_agreement"].value == found.measures["pass_all_repeats"].value == 1.0
    assert found.measures["flips_case"].value == found.measures["format_spread"].value == 0.0
    assert found.answer_variance == 0.0
    assert set(found.not_applicable) == {"example_order"}
    strict = tried(colours, colour_rows, right_label)
    assert strict.verdict == "unclear"  # 30 rows without a flip do not show that fewer than 5% flip
    assert any(why.startswith("flips_case 0.000") for why in strict.because)


def test_a_candidate_that_changes_its_mind_fails_on_repeats(colours: Task, colour_rows: Dataset) -> None:
    def moody(request: Request) -> str:
        return "blue" if request.repeat == 2 else right_label(request)

    found = tried(colours, colour_rows, moody)
    assert found.verdict == "unsteady"
    assert found.because[0].startswith("repeat_agreement")
    # Two of three rows are not blue: for those 1 of 3 pairs agrees, for the others all.
    assert found.measures["repeat_agreement"].value == pytest.approx((2 / 3) * (1 / 3) + 1 / 3)
    assert found.answer_variance == pytest.approx(4 / 9)
    assert found.measures["pass_all_repeats"].value == pytest.approx(1 / 3)


def test_a_candidate_that_minds_the_case_fails_on_case_alone(colours: Task, colour_rows: Dataset) -> None:
    def touchy(request: Request) -> str:
        text = request.messages[-1].content
        return "blue" if any(word.upper() in text for word in LABEL) else right_label(request)

    found = tried(colours, colour_rows, touchy)
    flips = {name: value.value for name, value in found.measures.items() if name.startswith("flips_")}
    assert flips.pop("flips_case") > 0
    assert set(flips.values()) == {0.0}


def test_a_candidate_that_minds_the_prompt_has_a_spread_and_a_sensitivity(colours: Task, colour_rows: Dataset) -> None:
    def touchy(request: Request) -> str:
        strange = "Your task:" in request.messages[0].content or "Message -" in request.messages[-1].content
        return "blue" if strange else right_label(request)

    found = tried(colours, colour_rows, touchy)
    assert found.verdict == "unsteady"
    assert found.measures["format_spread"].value == pytest.approx(2 / 3)
    # One of four wordings differs: 3 of 6 pairs, on two of three rows.
    assert found.measures["prompt_sensitivity"].value == pytest.approx(0.5 * 2 / 3)
    assert found.measures["flips_wording"].value == pytest.approx(2 / 9)


def test_several_changes_of_a_row_count_as_one_row(colours: Task, colour_rows: Dataset) -> None:
    found = tried(colours, colour_rows, right_label)
    one_row_each = found.measures["valid_outputs"]
    assert found.measures["flips_format"].high == pytest.approx(1 - one_row_each.low)


def test_an_answer_that_is_not_allowed_counts_against_valid_outputs(colours: Task, colour_rows: Dataset) -> None:
    def sloppy(request: Request) -> str:
        return "purple" if "\n\n" not in request.messages[0].content else right_label(request)

    found = tried(colours, colour_rows, sloppy)
    assert found.measures["valid_outputs"].value == 0.0
    assert found.accuracies["unchanged"] == 1.0


def test_a_model_may_write_the_paraphrases(colours: Task, colour_rows: Dataset) -> None:
    writer = ScriptedModel(lambda request: "a frog")
    found = tried(colours, colour_rows, right_label, paraphraser=writer)
    assert len(writer.requests) == found.rows
    assert found.measures["flips_paraphrase"].value == pytest.approx(2 / 3, abs=0.05)


def test_classifiers_are_tried_and_people_are_not(colours: Task, colour_rows: Dataset) -> None:
    train = colour_rows.part(colour_rows.examples[::2], "train")
    test = colour_rows.part(colour_rows.examples[1::2], "test")
    strategies = {"baseline": Baseline(), "human": Human()}
    evaluation = evaluate(colours, strategies, train, test)
    (found,) = check_consistency(evaluation, strategies, train, None, most_rows=12)
    assert (found.candidate, found.rows) == ("baseline", 12)
    assert set(found.not_applicable) == {"wording", "format", "label_order", "example_order"}
    assert found.measures["repeat_agreement"].value == 1.0
    assert found.worst_group is not None
    row = found.to_json()
    assert row["judge_variance"] == 0.0
    assert set(row["measures"]["flips_case"]) == {"value", "low", "high"}
