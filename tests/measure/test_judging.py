"""A judge is measured against people before anybody believes it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from tasklift.errors import DataError
from tasklift.llm.fake import ScriptedModel
from tasklift.llm.model import Request
from tasklift.measure.judging import Judge, agreement, cohen_kappa, texts_of

RNG = np.random.default_rng(0)
HUMAN = (RNG.random(120) < 0.6).astype(float)
ANSWERS = ["a" * int(n) for n in RNG.integers(5, 200, 120)]


def judge(answer: str | None = None) -> tuple[Judge, ScriptedModel]:
    def said(request: Request) -> str:
        text = request.messages[-1].content
        if answer is not None:
            return answer
        if "Answer A:" in text:
            first, second = text.split("Answer A:\n")[1].split("\n\nAnswer B:\n")
            return "A" if len(first) > len(second.split("\n\n")[0]) else "B"
        return "yes" if "fine" in text else "no"

    model = ScriptedModel(said)
    return Judge(model, "An answer is good where it helps."), model


def test_kappa_is_that_of_scikit_learn() -> None:
    said = np.where(RNG.random(120) < 0.8, HUMAN, 1 - HUMAN)
    value = float(cohen_kappa(said, HUMAN)(np.ones((1, 120)))[0])
    assert value == pytest.approx(cohen_kappa_score(said, HUMAN))


def test_a_judge_that_goes_with_people_is_told_so() -> None:
    said = HUMAN.copy()
    said[:6] = 1 - said[:6]
    found = agreement(said, HUMAN, ANSWERS)
    assert found.verdict == "agrees with people"
    assert found.kappa is not None
    assert found.kappa.low > 0.6
    assert found.to_json()["agree"]["value"] == pytest.approx(114 / 120)


def test_a_judge_that_guesses_is_not_believed() -> None:
    found = agreement((RNG.random(120) < 0.5).astype(float), HUMAN, ANSWERS)
    assert found.verdict == "does not agree with people"


@pytest.mark.parametrize("rows", [10, 29])
def test_with_few_labels_nothing_is_said(rows: int) -> None:
    assert agreement(HUMAN[:rows], HUMAN[:rows], ANSWERS[:rows]).verdict == "not enough labels to tell"


def test_a_judge_that_always_says_yes_is_not_believed_however_often_it_is_right() -> None:
    mostly_right = np.ones(120)
    mostly_right[:6] = 0
    found = agreement(np.ones(120), mostly_right, ANSWERS)
    assert found.agree.value == 0.95
    assert found.kappa is None
    assert found.verdict == "not enough labels to tell"


def test_a_liking_for_long_answers_shows() -> None:
    long = (np.array([len(text) for text in ANSWERS]) > 100).astype(float)
    found = agreement(long, HUMAN, ANSWERS)
    assert found.length is not None
    assert found.length.low > 0.4
    same = agreement(np.where(RNG.random(120) < 0.9, HUMAN, 1 - HUMAN), HUMAN, ANSWERS).length
    assert same is not None
    assert same.low < 0.1


async def test_grades_are_yes_or_no() -> None:
    some, model = judge()
    grades = await some.grade(["q", "q"], ["a fine one", "a bad one"])
    assert grades.tolist() == [1, 0]
    assert model.requests[0].labels == ("yes", "no")


async def test_a_judge_that_goes_by_place_is_found_out() -> None:
    some, _ = judge("A")
    found = await some.prefer(["q"] * 5, ["x"] * 5, ["y"] * 5)
    assert (found.by_place.value, found.chose_first_place, found.counts.any()) == (1, 1, False)


async def test_a_judge_that_reads_chooses_the_same_in_both_orders() -> None:
    some, _ = judge()
    found = await some.prefer(["q"] * 2, ["a long answer", "x"], ["y", "a long answer"])
    assert (found.by_place.value, found.chose_first_place) == (0, 0.5)
    assert found.first_is_better.tolist() == [1, 0]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match="must be 0 or 1"):
        agreement([0.5], [1], ["x"])
    with pytest.raises(DataError, match="are not one set"):
        agreement([1], [1, 0], ["x"])
    assert texts_of(["a", None, 3]) == ["a", "", "3"]


def test_answers_to_one_question_are_drawn_together() -> None:
    said = np.where(RNG.random(120) < 0.85, HUMAN, 1 - HUMAN)
    alone = agreement(said, HUMAN, ANSWERS)
    copied = agreement(np.tile(said, 2), np.tile(HUMAN, 2), ANSWERS * 2, [str(at % 120) for at in range(240)])
    assert alone.kappa is not None
    assert copied.kappa is not None
    assert copied.kappa.high - copied.kappa.low == pytest.approx(alone.kappa.high - alone.kappa.low, rel=0.15)
    exact = agreement(np.tile(HUMAN, 2), np.tile(HUMAN, 2), ANSWERS * 2, [str(at % 120) for at in range(240)])
    assert exact.agree.low == pytest.approx(1 - 0.031, abs=0.002)  # as 120 rows show it, not 240


async def test_a_verdict_that_is_none_counts_as_no_and_leaves_its_pair_out() -> None:
    some = Judge(ScriptedModel(lambda request: "perhaps"), "Good is good.")
    assert (await some.grade(["q"], ["a"])).tolist() == [0]
    assert await some.choices(["q"], ["a"], ["b"]) == [""]
    with pytest.raises(DataError, match="no pair"):
        await some.prefer(["q"], ["a"], ["b"])
