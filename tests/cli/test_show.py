"""How results look: the same figures in terminal lines and as JSON."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from typing import Any

import pytest

from tasklift.cli import show
from tasklift.dataset import Dataset
from tasklift.economics import Economics, Gates
from tasklift.measure.deciding.break_even import BreakEven
from tasklift.measure.deciding.decision import Decision, decide
from tasklift.measure.evaluation import CandidateResult, Evaluation
from tasklift.measure.metrics import compare, right_of, score
from tasklift.measure.slices import slices_of
from tasklift.prediction import Prediction, Usage
from tasklift.stats.intervals import wilson
from tasklift.stats.learn_then_test import Certificate
from tasklift.strategies.artifact import Card
from tasklift.strategy import Family, Resources
from tasklift.task import Task

DEFERRED = Prediction(deferred=True)


def answers(rows: Dataset, wrong: int = 0, deferred: int = 0, failed: int = 0) -> list[Prediction]:
    """The first rows are wrong, then failed; the last ones deferred."""
    usage = Usage(calls=1, input_tokens=50, cpu_s=0.002)
    found = [Prediction(output=row.output, confidence=0.9, usage=usage) for row in rows]
    found[:wrong] = [Prediction(output="green", confidence=0.8, usage=usage)] * wrong
    found[wrong : wrong + failed] = [Prediction.failed("server", "no answer")] * failed
    return found[: len(rows) - deferred] + [DEFERRED] * deferred


def candidate(
    task: Task, rows: Dataset, name: str, family: Family, said: list[Prediction], **notes: Any
) -> CandidateResult:
    made = Resources() if family == "prompt" else Resources(labels=40, cpu_s=3.0)
    card = Card(name, f"{name}-print", family, {}, task.labels, task.instruction, ("text",), made, frozenset(), notes)
    traits = {"deterministic": True, "remote": False, "data_leaves_machine": False}
    seconds = (0.010, 0.020, 0.030)
    return CandidateResult(name, card, traits, tuple(said), seconds, score(said, rows.outputs, seconds, 0.97))


@pytest.fixture
def rows(colour_rows: Dataset) -> Dataset:
    """With a slice for each place; rows on the desk belong to none."""
    return Dataset(
        tuple(
            dataclasses.replace(
                row, slice={} if "desk" in row.input["text"] else {"place": row.input["text"].split()[-1]}
            )
            for row in colour_rows
        ),
        name="colours",
    )


@pytest.fixture
def evaluation(colours: Task, rows: Dataset) -> Evaluation:
    results = (
        candidate(colours, rows, "baseline", "baseline", answers(rows, wrong=12)),
        candidate(colours, rows, "prompt", "prompt", answers(rows, wrong=9, failed=3), skipped=1),
        candidate(colours, rows, "layered", "layered", answers(rows, wrong=2, deferred=20)),
        candidate(colours, rows, "human", "human", [DEFERRED] * 60),
    )
    rights = {result.name: right_of(result.predictions, rows.outputs) for result in results}
    made = {"command": "tasklift evaluate", "seed": 0}
    overlap = frozenset(row.id for row in rows.examples[:6])
    return Evaluation("made-up", colours, rows, results, "baseline", compare(rights, "baseline"), overlap, made)


def economics(**changed: Any) -> Economics:
    return Economics.model_validate({"items_per_month": 20_000, "error_usd": 1.5, "review_usd": 0.4} | changed)


def as_json(evaluation: Evaluation, money: Economics | None = None, decision: Decision | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(show.evaluation_json(evaluation, money, decision)))
    return found


def percent(cell: Mapping[str, float]) -> str:
    return f"{100 * cell['value']:.1f} [{100 * cell['low']:.1f}, {100 * cell['high']:.1f}]"


# The table


def test_a_line_of_the_table_and_the_json_show_the_same_figures(evaluation: Evaluation) -> None:
    rows = {row["name"]: row for row in as_json(evaluation)["candidates"]}
    for result in evaluation.results[:3]:
        row, line = rows[result.name], show.table_line(result)
        for figure in (
            percent(row["metrics"]["accuracy"]),
            f" {row['coverage']:.0%} ",
            f" {row['metrics']['macro_f1']['value']:.3f} ",
            f" {row['ece']:.3f} ",
            f" {1000 * row['latency']['p50_s']:.1f} ",
            f" {1000 * row['latency']['p95_s']:.1f} ",
            f" {1000 * row['cpu_s'] / 60:.1f} ",
            f" {row['usage']['input_tokens'] / 60:.0f} ",
            f" {sum(row['failures'].values())} ",
        ):
            assert figure in line
    assert rows["prompt"]["failures"] == {"server": 3}
    assert "no labels" in show.table_line(evaluation.result("prompt"))
    assert "40 labels, 3 CPU s" in show.table_line(evaluation.result("layered"))


def test_columns_stand_below_their_header(evaluation: Evaluation) -> None:
    for result in evaluation.results:
        line = show.table_line(result)
        assert len(line[: show.HEADER.index("made with")].rstrip()) == show.HEADER.index("  made with")
        for column in ("answers", "macro F1", "ECE", "p50 ms", "p95 ms", "tokens/row", "failed"):
            end = show.HEADER.index(column) + len(column)
            assert line[end - 1] != " "
            assert line[end] == " "


def test_what_answers_nothing_shows_dashes(evaluation: Evaluation) -> None:
    line = show.table_line(evaluation.result("human"))
    assert line.split()[:6] == ["human", "human", "-", "0%", "-", "-"]
    row = next(row for row in as_json(evaluation)["candidates"] if row["name"] == "human")
    assert row["metrics"].keys() == {"valid"}
    assert (row["coverage"], row["ece"], row["system_accuracy"]) == (0.0, None, pytest.approx(0.97))


@pytest.mark.parametrize(
    ("threshold", "missing", "text"),
    [
        (0.8, 0, "risk <= 5% at delta 10%"),
        (None, 120, "NOT certified for risk <= 5% at delta 10%: 120 more labels needed"),
        (None, -1, "NOT certified for risk <= 5% at delta 10%: no number of labels would do"),
    ],
)
def test_the_certificate_is_told(
    colours: Task, rows: Dataset, threshold: float | None, missing: int, text: str
) -> None:
    certificate = Certificate(0.05, 0.1, threshold, 200, 100, 1, missing).to_json()
    result = candidate(colours, rows, "layered", "layered", answers(rows), certificate=certificate)
    assert show.table_line(result).endswith(text)


def test_the_share_without_a_model_and_the_epochs_are_told(colours: Task, rows: Dataset) -> None:
    said = [dataclasses.replace(p, notes={"skipped_model": i < 15}) for i, p in enumerate(answers(rows))]
    result = candidate(colours, rows, "fewshot", "prompt", said, epochs=4)
    assert show.table_line(result).endswith("no labels, model skipped on 25%, 4 epochs")


def test_the_table_prints_each_candidate_as_it_is_finished(evaluation: Evaluation) -> None:
    out = io.StringIO()
    table = show.Table(out)
    assert table.first_row_s is None
    table.open("colours: 3 labels")
    for result in evaluation.results:
        table.stage(result.name, "predict", 30, 60)
        table.finished(result)
    lines = out.getvalue().splitlines()
    assert lines[:3] == ["colours: 3 labels", "", show.HEADER]
    assert lines[4:] == [show.table_line(result) for result in evaluation.results]
    assert table.first_row_s is not None


# Comparisons and slices


def test_comparisons_in_words_are_those_of_the_json(evaluation: Evaluation) -> None:
    lines = show.comparison_lines(evaluation)
    assert lines[0].startswith("Against baseline on the same rows")
    for name, rows in (("prompt", 60), ("layered", 40)):
        found = next(row for row in as_json(evaluation)["candidates"] if row["name"] == name)["against_reference"]
        line = next(line for line in lines if line.startswith(f"  {name}"))
        d = found["difference"]
        assert f"{100 * d['value']:+.1f} points [{100 * d['low']:+.1f}, {100 * d['high']:+.1f}]" in line
        assert line.endswith(f"p = {found['p_holm']:.4f}  ({rows} rows)")
        assert found["rows"] == rows
    assert not any(line.startswith("  human") for line in lines)


def test_overlapping_texts_are_counted_and_a_figure_without_them_is_given(evaluation: Evaluation) -> None:
    lines = show.comparison_lines(evaluation)
    start = lines.index("6 test texts also stand in the training rows; without them:")
    assert as_json(evaluation)["overlapping_texts"] == 6
    without = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines[start + 1 :]}
    assert without["baseline"] == percent(dataclasses.asdict(wilson(48, 54)))
    assert without["layered"] == percent(dataclasses.asdict(wilson(34, 34)))
    assert "human" not in without
    clean = dataclasses.replace(evaluation, overlap=frozenset())
    assert show.comparison_lines(clean) == lines[:start]


def test_slices_in_words_are_those_of_the_json(evaluation: Evaluation) -> None:
    lines = show.slice_lines(evaluation, "place")
    assert lines[0] == "By place: garden (15 rows), market (15 rows), there (15 rows)"
    for row in as_json(evaluation)["candidates"]:
        line = next((line for line in lines if line.split()[0] == row["name"]), None)
        if row["name"] == "human":
            assert (line, row["slices"]) == (None, {})
            continue
        assert line is not None
        for value, cell in row["slices"]["place"].items():
            assert f"{value} {percent(cell)}" in " ".join(line.split())
    layered = slices_of(evaluation)["layered"]["place"]
    assert {value: cell["rows"] for value, cell in layered.items()} == {"garden": 10, "there": 10, "market": 10}


# The decision


def test_a_decision_in_words_has_the_figures_of_the_json(evaluation: Evaluation) -> None:
    dear = {"label_usd": 1000}  # so that nothing is worth measuring
    money = economics(review_usd=0.2, changes_per_year=6, options={"layered": {"setup_usd": 3000}}, prices=dear)
    decision = decide(evaluation, money)
    row = as_json(evaluation, money, decision)
    text = "\n".join(show.decision_lines("Decision", decision, money))
    assert text.startswith("Decision [20,000 items a month, 6 rule changes a year, 1.5 USD an error]\n  -> LAYERED\n")
    mine = row["decision"]["options"][decision.candidate]
    assert f"layered costs {mine['expected_usd_per_year']:,.0f} USD a year" in text
    assert f"(90% between {mine['p5_usd']:,.0f} and {mine['p95_usd']:,.0f})" in text
    assert f"P(best) = {mine['p_best']:.2f}" in text
    for reason in row["decision"]["reasons"]:
        assert f"     {reason}\n" in text
    for key, value in row["decision"]["flips"].items():
        assert value is None or f"{key} = {value:,.4g}" in text
    needs = row["decision"]["prompt_needs"]
    assert f"with an accuracy of {needs['accuracy']:.1%} or more (measured here: {needs['measured']:.1%})" in text
    assert row["break_even"] == row["decision"]["break_even"]
    found = row["break_even"]["layered vs prompt"]
    assert (
        f"layered vs prompt: cheaper from {found['items_per_month']:,} items a month on (90%: {found['low']:,} to"
        in text
    )


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (BreakEven(None), "a vs b: cheaper never, at any volume"),
        (BreakEven(0.0, 0.0, 0.0), "a vs b: cheaper at any volume"),
        (BreakEven(12345.4, 900.0, 70_000.0), "a vs b: cheaper from 12,345 items a month on (90%: 900 to 70,000)"),
        (BreakEven(12345.4, 0.0, None), "a vs b: cheaper from 12,345 items a month on (90%: 0 to no bound)"),
    ],
)
def test_each_kind_of_break_even_has_its_words(evaluation: Evaluation, found: BreakEven, text: str) -> None:
    decision = dataclasses.replace(decide(evaluation, economics()), break_even={"a vs b": found})
    assert f"     {text}" in show.decision_lines("x", decision, economics())


def test_a_candidate_is_named_beside_its_family(colours: Task, rows: Dataset) -> None:
    results = (candidate(colours, rows, "encoder", "finetune", answers(rows)),)
    decision = decide(Evaluation("x", colours, rows, results, "encoder", {}), economics())
    assert show.decision_lines("x", decision, economics())[1] == "  -> FINETUNE (encoder)"


def test_where_nothing_flips_and_no_prompt_could_win_that_is_said(evaluation: Evaluation) -> None:
    decision = decide(evaluation, economics())
    still = dataclasses.replace(
        decision,
        flips=dict.fromkeys(decision.flips),
        prompt_needs={"candidate": "prompt", "accuracy": None, "measured": None},
    )
    lines = show.decision_lines("x", still, economics())
    assert "     it would flip at: nothing within a factor of 1,000" in lines
    assert lines[-1] == "     a prompted model could not win: even without an error, prompt would cost more"
    silent = dataclasses.replace(still, prompt_needs=None)
    assert show.decision_lines("x", silent, economics()) == lines[:-1]


def test_where_no_option_passes_the_reasons_are_shown(evaluation: Evaluation) -> None:
    decision = decide(evaluation, economics(), Gates(min_metric=0.999))
    lines = show.decision_lines("x", decision, economics())
    assert lines[1] == "  -> NONE"
    assert [line.split()[0] for line in lines if " fails: " in line] == ["baseline", "prompt", "layered", "human"]


# JSON


def test_without_economics_there_is_no_decision(evaluation: Evaluation) -> None:
    row = as_json(evaluation)
    assert (row["decision"], row["break_even"]) == (None, None)
    assert (row["task"], row["rows"], row["evaluation"], row["reference"]) == ("colours", 60, "made-up", "baseline")
    assert row["made"] == {"command": "tasklift evaluate", "seed": 0}


def test_prices_of_the_economics_price_an_item(evaluation: Evaluation) -> None:
    found = [
        as_json(evaluation, economics(prices={"cpu_hour_usd": price}))["candidates"][0]["cost"]["item_usd"]
        for price in (0.36, 0.72)
    ]
    assert found == pytest.approx([0.002 * 1e-4, 0.002 * 2e-4])


def test_standard_output_is_exactly_one_object(evaluation: Evaluation, capsys: pytest.CaptureFixture[str]) -> None:
    money = economics()
    decision = decide(evaluation, money)
    show.print_json(show.evaluation_json(evaluation, money, decision))
    printed = capsys.readouterr()
    assert json.loads(printed.out) == as_json(evaluation, money, decision)
    assert printed.err == ""
