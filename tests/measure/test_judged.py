"""Scores of a model that judges count as far as people's labels show that they may."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tasklift.economics import Economics
from tasklift.errors import DataError
from tasklift.measure.deciding.decision import Settings, decide
from tasklift.measure.evidence import Evidence
from tasklift.measure.importers.detect import read_evidence
from tasklift.measure.judged import corrected
from tasklift.stats.ppi import powered_mean

ECONOMICS = Economics(items_per_month=20_000, error_usd=1.0, review_usd=0.4)


def world(
    rng: np.random.Generator, rows: int, labels: int, accuracy: float = 0.8, sharp: float = 0.85, generous: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """People's labels (NaN beyond the labelled ones) and a judge who is right so often, and too generous."""
    right = (rng.random(rows) < accuracy).astype(float)
    judge = np.where(rng.random(rows) < sharp, right, 1 - right)
    judge = np.where((judge == 0) & (rng.random(rows) < generous), 1.0, judge)
    human = right.copy()
    human[rng.permutation(rows)[labels:]] = np.nan
    return human, judge


def table(folder: Path, options: dict[str, tuple[np.ndarray, np.ndarray]]) -> Path:
    lines = ["item_id,option,correct,cost_usd,latency_s,judge"]
    for name, (human, judge) in options.items():
        for at, (label, score) in enumerate(zip(human, judge, strict=True)):
            cells: Sequence[str] = ["" if np.isnan(x) else f"{x:g}" for x in (label, score)]
            lines.append(f"{at},{name},{cells[0]},0.001,0.5,{cells[1]}")
    path = folder / "results.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def read(folder: Path, rows: int = 600, labels: int = 120, seed: int = 1) -> Evidence:
    rng = np.random.default_rng(seed)
    options = {name: world(rng, rows, labels, accuracy) for name, accuracy in (("prompt", 0.7), ("finetune", 0.85))}
    return read_evidence([table(folder, options)])


def test_the_corrected_interval_holds_the_truth_in_19_of_20_worlds_and_is_narrower_than_labels_alone() -> None:
    rng = np.random.default_rng(5)
    hits, naive, widths, alone, trials = 0, 0, [], [], 800
    for _ in range(trials):
        human, judge = world(rng, 800, 100)
        _, found = corrected("prompt", human, judge, np.zeros(800, dtype=bool))
        hits += found.corrected.low <= 0.8 <= found.corrected.high
        naive += abs(found.judge_mean - 0.8) < 1.96 * (found.judge_mean * (1 - found.judge_mean) / 800) ** 0.5
        widths.append(found.corrected.high - found.corrected.low)
        alone.append(2 * 1.96 * (0.16 / 100) ** 0.5)
    assert 0.925 <= hits / trials <= 0.975
    assert naive / trials < 0.2  # the judge taken at its word
    assert np.mean(widths) < 0.9 * np.mean(alone)


def test_the_posterior_of_the_decision_holds_the_truth_nine_times_of_ten(tmp_path: Path) -> None:
    hits, trials = 0, 120
    for seed in range(trials):
        found = decide(read(tmp_path, 500, 80, seed), ECONOMICS, settings=Settings(draws=1000, parameters=False))
        option = found.options["prompt"]
        true = 12 * 20_000 * (0.001 + 0.3 * 1.0)
        hits += option.p5_usd <= true <= option.p95_usd
    assert 0.82 <= hits / trials <= 0.97


def test_values_of_the_rows_have_the_mean_and_the_spread_of_the_corrected_mean() -> None:
    human, judge = world(np.random.default_rng(2), 900, 150)
    values, found = corrected("prompt", human, judge, np.zeros(900, dtype=bool))
    seen = ~np.isnan(human)
    powered = powered_mean(human[seen], judge[seen], judge[~seen])
    assert found.corrected == powered.interval
    assert values.mean() == pytest.approx(powered.interval.value)
    half = (powered.interval.high - powered.interval.low) / 2 / 1.96
    assert values.std() / 30 == pytest.approx(half, rel=0.05)


def test_a_table_with_a_judge_is_decided_and_says_how_far_the_judge_is_trusted(tmp_path: Path) -> None:
    evidence = read(tmp_path)
    assert len(evidence) == 600
    assert evidence.unpaired == ()
    decision = decide(evidence, ECONOMICS, settings=Settings(draws=2000, parameters=False))
    row = decision.to_json()["judges"]["prompt"]
    assert (row["rows"], row["labels"]) == (600, 120)
    assert 0.7 < row["agreement"]["value"] < 0.95
    assert row["corrected"]["low"] < 0.7 < row["corrected"]["high"]
    assert 120 < row["labels_worth"] < 600
    accuracy = decision.options["prompt"].accuracy
    assert accuracy is not None
    assert (accuracy.low, accuracy.high) == (
        pytest.approx(row["corrected"]["low"]),
        pytest.approx(row["corrected"]["high"]),
    )
    assert any("a model judged 600 answers" in one and "corrected to" in one for one in decision.cautions)
    assert "corrected by 120 labels" in decision.assumptions["prompt.accuracy"].detail
    # As sure as the labels it is worth, and no surer.
    mean, sd = decision.options["prompt"].expected_usd, decision.options["prompt"].p95_usd
    assert mean < sd


def test_a_judge_that_nobody_measured_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    path = table(tmp_path, {"prompt": world(rng, 100, 0), "finetune": world(rng, 100, 100)})
    with pytest.raises(DataError, match="prompt: a model judged 100 answers, but no person labelled any"):
        read_evidence([path])


def test_with_too_few_labels_or_a_judge_that_knows_nothing_only_labels_count(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    few = world(rng, 300, 12)
    coin = (world(rng, 300, 60)[0], (rng.random(300) < 0.5).astype(float))
    evidence = read_evidence([table(tmp_path, {"prompt": few, "finetune": coin})])
    assert evidence.options["prompt"].judge is not None
    assert evidence.options["prompt"].judge.weight == 0
    assert evidence.options["prompt"].score.mean() == pytest.approx(np.nanmean(few[0]))
    assert "12 labels are fewer than 20" in " ".join(evidence.notes)
    judge = evidence.options["finetune"].judge
    assert judge is not None
    assert judge.labels_worth < 75


def test_labels_on_every_row_leave_the_judge_no_part_but_show_how_far_it_agrees(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    human, judge = world(rng, 100, 100)
    evidence = read_evidence([table(tmp_path, {"prompt": (human, judge), "finetune": (human, judge)})])
    assert evidence.options["prompt"].score.tolist() == human.tolist()
    found = evidence.options["prompt"].judge
    assert found is not None
    assert found.agreement is not None
    assert found.agreement.value == pytest.approx((human == judge).mean())


def test_more_labels_of_people_are_worth_more_than_more_rows_of_the_judge(tmp_path: Path) -> None:
    def spread(rows: int, labels: int) -> float:
        decision = decide(read(tmp_path, rows, labels), ECONOMICS, settings=Settings(draws=4000, parameters=False))
        option = decision.options["prompt"]
        return option.p95_usd - option.p5_usd

    assert spread(600, 300) < spread(600, 60)
    assert spread(2400, 60) > spread(600, 300)


@pytest.mark.parametrize(("value", "message"), [("1.5", "judge is 1.5"), ("good", "judge is 'good'")])
def test_a_judge_score_that_makes_no_sense_is_refused(tmp_path: Path, value: str, message: str) -> None:
    path = tmp_path / "results.csv"
    path.write_text(f"item_id,option,correct,cost_usd,latency_s,judge\n1,prompt,1,0.1,0.1,{value}\n")
    with pytest.raises(DataError, match=message):
        read_evidence([path])
