"""Advice without data: votes, the majority, the beliefs that answers move, and the explanation of a difference."""

from __future__ import annotations

import numpy as np
import pytest

from tasklift.economics import Economics
from tasklift.errors import ConfigError
from tasklift.measure.planning.advise import QUESTIONS, Answers, advise, majority_of, prior_of, votes_of
from tasklift.measure.planning.unmeasured import DEFAULTS, GATES, MOVES, OPTIONS, beliefs_of, simulate
from tasklift.schema import parse

SEVEN = [name for name, question in QUESTIONS.items() if question.yes_votes_for]
FLEXIBLE = {name: QUESTIONS[name].yes_votes_for == "prompt" for name in SEVEN}
STABLE = {name: not answer for name, answer in FLEXIBLE.items()}


def test_there_are_seven_questions_that_vote_and_every_question_is_a_key() -> None:
    assert len(SEVEN) == 7
    assert set(QUESTIONS) == set(Answers.model_fields) - {"schema_version"}
    assert set(MOVES) | set(GATES) == set(QUESTIONS)


@pytest.mark.parametrize(
    ("prompt", "finetune", "expected"),
    [(7, 0, "prompt"), (5, 2, "prompt"), (4, 3, "layered"), (3, 4, "layered"), (2, 5, "finetune"), (1, 1, "layered")],
)
def test_five_of_seven_votes_decide_and_in_between_is_layered(prompt: int, finetune: int, expected: str) -> None:
    assert majority_of({"prompt": prompt, "finetune": finetune, "unknown": 7 - prompt - finetune}) == expected


def test_without_an_answer_there_is_no_majority() -> None:
    found = advise(Answers())
    assert found.majority == "measure_first"
    assert "no question" in (found.differs_because or "")


def test_flexibility_and_speed_give_prompt_twice() -> None:
    found = advise(Answers(**FLEXIBLE))
    assert (found.majority, found.quantified, found.differs_because) == ("prompt", "prompt", None)
    assert found.sure


def test_stability_and_scale_give_finetune_by_majority_and_no_prompt_by_cost() -> None:
    found = advise(Answers(**STABLE))
    assert found.majority == "finetune"
    assert found.quantified in ("finetune", "layered")


def test_a_difference_names_the_parts_of_the_cost_and_the_answers_that_bring_it_about() -> None:
    found = advise(
        Answers(at_scale=True, exploratory=False, inconsistency_is_risky=True, requirements_change_often=True)
    )
    assert found.majority != found.quantified
    gap = (
        found.options[found.majority]["expected_usd_per_year"]
        - found.options[found.quantified]["expected_usd_per_year"]
    )
    assert found.differs_because is not None
    assert f"{gap:,.0f} USD a year more" in found.differs_because
    assert "errors" in found.differs_because


def test_the_parts_of_an_option_sum_to_its_expected_cost() -> None:
    for option in advise(Answers(**STABLE)).options.values():
        assert sum(option["parts"].values()) == pytest.approx(option["expected_usd_per_year"], abs=0.1)


def test_p_best_sums_to_one_and_the_same_seed_gives_the_same_advice() -> None:
    first, again = advise(Answers(at_scale=True)), advise(Answers(at_scale=True))
    assert first.to_json() == again.to_json()
    assert sum(option["p_best"] for option in first.options.values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("question", list(MOVES))
@pytest.mark.parametrize("answer", [True, False])
def test_an_answer_moves_its_own_parameters_and_says_so(question: str, answer: bool) -> None:
    found = beliefs_of({question: answer}, None)
    moved = {name for name in DEFAULTS if found[name] != DEFAULTS[name]}
    assert moved == set(MOVES[question][answer])
    assert {found[name].source for name in moved} == {f"answer: {question} = {str(answer).lower()}"}


def test_economics_replace_beliefs_also_those_set_by_an_answer() -> None:
    known = Economics(items_per_month=500, error_usd=3)  # type: ignore[arg-type]
    found = beliefs_of({"at_scale": True}, known)
    assert found["items_per_month"].quantity.p50 == 500
    assert {name for name, belief in found.items() if belief.source == "given"} == {"items_per_month", "error_usd"}


def test_the_prior_follows_the_votes_and_narrows_with_them() -> None:
    stable, one = prior_of(votes_of(Answers(**STABLE).known())), prior_of(votes_of(Answers(at_scale=True).known()))
    assert sum(stable) == pytest.approx(20)
    assert sum(one) == pytest.approx(8 + 12 / 7)
    assert stable[0] / sum(stable) == pytest.approx(7.5 / 8)


def test_a_gate_that_is_failed_has_a_person_look_at_every_answer() -> None:
    beliefs = beliefs_of({"humans_validate_outputs": False}, None)
    free, gated = (simulate(beliefs, {"needs_explainability": applies}, (4, 4), 2000) for applies in (0.0, 1.0))
    assert all(free.passes[name].all() for name in OPTIONS)
    failed = gated.passes["prompt"] == 0
    assert 0.3 < failed.mean() < 0.8
    volume = 12 * gated.drawn["items_per_month"]
    np.testing.assert_allclose(
        gated.parts["prompt"]["review"][failed], (volume * gated.drawn["review_usd"])[failed], rtol=1e-9
    )


def test_what_is_worth_measuring_stands_first_and_is_nothing_where_all_is_certain() -> None:
    worth = [row["worth_at_most_usd_per_year"] for row in advise(Answers(at_scale=True)).measure_first]
    assert worth == sorted(worth, reverse=True)
    assert worth[0] > 0
    known = Economics.model_validate({"items_per_month": 1, "error_usd": 0, "review_usd": 0})
    tiny = advise(Answers(**FLEXIBLE), known)
    assert [row["what"] for row in tiny.measure_first if row["what"] == "items a month"] == []


def test_advice_says_that_nothing_was_measured() -> None:
    row = advise(Answers()).to_json()
    assert row["measured"] is False
    assert {"majority", "quantified", "differs_because", "assumptions"} <= set(row)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"at_scael": True}, "did you mean `at_scale`?"),
        ({"at_scale": "yes"}, "did you mean true?"),
        ({"at_scale": "unknwon"}, 'did you mean "unknown"?'),
        ({"at_scale": 3}, 'true, false or "unknown"'),
    ],
)
def test_an_unknown_key_or_value_names_the_nearest(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match="answers") as caught:
        parse(Answers, given, "answers.toml")
    assert message in str(caught.value)
