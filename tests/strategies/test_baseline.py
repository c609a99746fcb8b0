"""The baselines: the most frequent label, and TF-IDF with a linear separator."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from tasklift.dataset import Dataset, Example
from tasklift.errors import StrategyError
from tasklift.prediction import Prediction
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.fitting import load_candidate
from tasklift.strategies.linear import Scaling
from tasklift.strategy import Candidate, Context
from tasklift.task import Label, Task

EVERYTHING = Context()


def ask(candidate: Candidate, *texts: str) -> list[Prediction]:
    return asyncio.run(candidate.predict([{"text": text} for text in texts], EVERYTHING))


def rows(*outputs: str) -> Dataset:
    return Dataset(tuple(Example(str(n), {"text": f"text {n}"}, output) for n, output in enumerate(outputs)))


def test_the_most_frequent_label_with_its_share(colours: Task) -> None:
    candidate = Majority().fit(colours, rows("green", "red", "green", "green", "blue"))
    (found,) = ask(candidate, "anything")
    assert (found.output, found.confidence) == ("green", 0.6)
    assert found.scores == {"green": 0.6, "red": 0.2, "blue": 0.2}


def test_a_tie_goes_to_the_first_label_of_the_task(colours: Task) -> None:
    (found,) = ask(Majority().fit(colours, rows("blue", "green")), "anything")
    assert (found.output, found.confidence) == ("green", 0.5)


def test_a_label_without_rows_has_no_share(colours: Task) -> None:
    (found,) = ask(Majority().fit(colours, rows("blue", "green")), "anything")
    assert found.scores is not None
    assert found.scores["red"] == 0.0


def test_words_are_learnt(colours: Task, colour_rows: Dataset) -> None:
    candidate = Baseline().fit(colours, colour_rows)
    answers = ask(candidate, "my tomato", "two frogs", "cobalt and denim")
    assert [found.output for found in answers] == ["red", "green", "blue"]
    assert all(found.confidence is not None and found.confidence > 0.5 for found in answers)
    assert candidate.family == "baseline"


def test_what_was_chosen_is_noted(colours: Task, colour_rows: Dataset) -> None:
    notes = Baseline(strengths=(0.5, 2.0)).fit(colours, colour_rows).notes
    assert notes["c"] in (0.5, 2.0)
    assert notes["validation_accuracy"] == 1.0
    assert notes["temperature"] > 0


def test_a_text_of_unknown_words_gives_every_label_a_chance(colours: Task, colour_rows: Dataset) -> None:
    (found,) = ask(Baseline().fit(colours, colour_rows), "ぽぽぽ")
    assert found.output in colours.labels
    assert found.confidence is not None
    assert found.confidence < 0.9


def test_a_very_long_text_and_half_a_surrogate_pair_are_answered(colours: Task, colour_rows: Dataset) -> None:
    answers = ask(Baseline().fit(colours, colour_rows), "moss " * 50_000, "ruby \ud800", "null \x00 ocean")
    assert [found.output for found in answers] == ["green", "red", "blue"]


def test_several_text_fields_are_read() -> None:
    task = Task(
        name="mail",
        instruction="Which?",
        output=Label(labels={"yes": "Agreed", "no": "Refused"}),
        input_fields=("subject", "body"),
    )
    train = Dataset(
        tuple(
            Example(f"{n}", {"subject": f"number {n}", "body": ("surely", "never")[n % 2]}, ("yes", "no")[n % 2])
            for n in range(20)
        )
    )
    candidate = Baseline().fit(task, train)
    inputs = [{"subject": "surely"}, {"subject": 4, "body": "never"}, {"subject": "", "body": ""}]
    answers = asyncio.run(candidate.predict(inputs, EVERYTHING))
    assert [found.output for found in answers] == ["yes", "no", None]
    assert answers[2].error is not None
    assert answers[2].error.kind == "empty_input"


def test_of_two_labels_the_line_is_drawn_where_both_are_as_likely() -> None:
    draw, share, (low, high), sd = np.random.default_rng(0), 0.1, (-1.4, -0.4), 0.4
    truth = (draw.random(40_000) < share).astype(np.int64)
    margin = draw.normal(np.where(truth == 1, high, low), sd)  # the rarer label is mostly on the wrong side of 0
    scaling = Scaling.of_two_labels({1.0: np.stack([-margin, margin], axis=1)}, truth)
    slope = (high - low) / sd**2  # of the log-odds of two normal distributions
    assert 2 / scaling.temperature == pytest.approx(slope, rel=0.03)
    assert scaling.offset[0] == 0
    expected = np.log(share / (1 - share)) - slope * (high + low) / 2
    assert scaling.offset[1] == pytest.approx(expected, abs=0.2)


def test_two_labels_are_calibrated_with_an_offset_that_is_saved(tmp_path: Path) -> None:
    task = Task(name="spam", instruction="Which?", output=Label(labels={"no": "Wanted", "yes": "Not wanted"}))
    words = ("prize", "winner", "cash")
    train = Dataset(
        tuple(
            Example(
                str(n),
                {"text": f"{words[n % 3]} number {n}" if n % 7 == 0 else f"see you at {n}"},
                ("no", "yes")[n % 7 == 0],
            )
            for n in range(140)
        )
    )
    candidate = Baseline().fit(task, train)
    candidate.save(tmp_path / "kept")
    texts = ["prize now", "see you", "winner at 3"]
    before, after = ask(candidate, *texts), ask(load_candidate(tmp_path / "kept"), *texts)
    assert [found.scores for found in before] == [found.scores for found in after]
    assert [found.output for found in before] == ["yes", "no", "yes"]
    assert candidate.arrays()["offset"][1] != 0


def test_texts_without_a_word_are_refused(colours: Task) -> None:
    marks = [Example(str(n), {"text": "?!"[n % 2] * (n + 1)}, ("red", "green")[n % 2]) for n in range(20)]
    with pytest.raises(StrategyError, match=r"baseline: the 16 training texts hold no words .*check that the rows'"):
        Baseline().fit(colours, Dataset(tuple(marks)))


@pytest.mark.parametrize("strengths", [(), (0.0,), (1.0, -2.0)])
def test_strengths_that_are_not_positive_are_refused(strengths: tuple[float, ...]) -> None:
    with pytest.raises(StrategyError, match=r"baseline: strengths=.* must be positive") as caught:
        Baseline(strengths=strengths)
    assert str(strengths) in str(caught.value)


@pytest.mark.parametrize("strategy", [Majority(), Baseline()])
def test_a_saved_candidate_gives_the_same_scores(
    tmp_path: Path, colours: Task, colour_rows: Dataset, strategy: Majority | Baseline
) -> None:
    candidate = strategy.fit(colours, colour_rows)
    candidate.save(tmp_path / "kept")
    texts = [str(row.input["text"]) for row in colour_rows]
    before, after = ask(candidate, *texts), ask(load_candidate(tmp_path / "kept"), *texts)
    assert [found.scores for found in before] == [found.scores for found in after]


def test_seconds_are_shared_out_over_the_batch(colours: Task, colour_rows: Dataset) -> None:
    candidate = Baseline().fit(colours, colour_rows)
    good, empty, other = ask(candidate, "moss", " ", "ruby")
    assert good.latency_s == other.latency_s > 0
    assert (empty.latency_s, empty.usage.cpu_s) == (0.0, 0.0)
