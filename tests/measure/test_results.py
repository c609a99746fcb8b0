"""Tables of other tools: pairing, repeats, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tasklift.errors import DataError
from tasklift.measure.evidence import Evidence, OptionEvidence
from tasklift.measure.results import ResultRow, evidence_of, family_of
from tasklift.measure.results_csv import read_results

HEADER = "item_id,option,correct,cost_usd,latency_s"


def written(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "results.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_the_pinned_table_is_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "1,prompt,1,0.001,0.5,en,c1,a,a,",
        "2,prompt,0,0.003,0.7,de,c1,b,a,",
        "1,finetune,1,0,0.01,en,c1,a,a,",
        "2,finetune,,0,,de,c1,,a,timed out",
        header=HEADER + ",slice,cluster,output,expected,error",
    )
    found = read_results(path)
    assert (found.item_ids, set(found.options)) == (("1", "2"), {"prompt", "finetune"})
    prompt, tuned = found.options["prompt"], found.options["finetune"]
    assert (prompt.family, prompt.score.tolist()) == ("prompt", [1, 0])
    assert prompt.cost_usd is not None
    assert prompt.cost_usd.tolist() == [0.001, 0.003]
    assert prompt.latencies_s == (0.5, 0.7)
    assert (tuned.score.tolist(), tuned.failed.tolist()) == ([1, 0], [False, True])
    assert [row["slice"] for row in found.slices] == ["en", "de"]
    assert (found.clusters, found.expected) == (("c1", "c1"), ("a", "a"))
    assert "results.csv" in found.provenance


def test_rows_that_cannot_be_paired_are_counted_and_named(tmp_path: Path) -> None:
    lines = ["1,a,1,0,1", "2,a,1,0,1", "3,a,0,0,1", "1,b,1,0,1", "2,b,nan,0,1", "9,b,1,0,1"]
    found = read_results(written(tmp_path, *lines))
    assert found.item_ids == ("1",)
    assert {(u.option, u.reason, u.count, u.item_ids) for u in found.unpaired} == {
        ("a", "not every option has this item", 2, ("2", "3")),
        ("b", "no value in correct", 1, ("2",)),
        ("b", "not every option has this item", 1, ("9",)),
    }


def test_repeats_of_an_item_are_averaged_and_do_not_add_rows() -> None:
    rows = [ResultRow("1", "a", value, cost_usd=value) for value in (1, 0, 1, 1)]
    found = evidence_of([*rows, ResultRow("2", "a", 1)], "repeats")
    assert found.options["a"].score.tolist() == [0.75, 1]
    assert len(found) == 2
    assert found.options["a"].cost_usd is not None
    assert found.options["a"].cost_usd.tolist() == [0.75, 0.75]  # the second item's cost is not known


def test_a_deferred_item_has_no_score(tmp_path: Path) -> None:
    found = read_results(written(tmp_path, "1,layered,,0,1,1", "2,layered,1,0,1,0", header=HEADER + ",deferred"))
    option = found.options["layered"]
    assert option.deferred.tolist() == [True, False]
    assert np.isnan(option.score[0])


@pytest.mark.parametrize(
    ("option", "family"),
    [("prompt", "prompt"), ("prompt-v2", "prompt"), ("Fine-tuned", "finetune"), ("human", "human"), ("rules", "rules")],
)
def test_the_family_is_read_from_the_name(option: str, family: str) -> None:
    assert family_of(option) == family


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1,a,2,0,1"], "line 2: correct is 2; it must be 0, 1 or a score between"),
        (["1,a,1,0,1", "2,a,x,0,1"], "line 3: correct is 'x', which is no number"),
        (["1,a,1,-3,1"], "line 2: cost_usd is -3; it must not be negative"),
        (["1,a,1,0,inf"], "line 2: latency_s is 'inf'"),
        ([",a,1,0,1"], "line 2: item_id is empty"),
        (["1,a,1,0"], "line 2: 5 columns are needed"),
        ([], "there are no rows"),
        (["1,a,1,0,1", "2,b,1,0,1"], "no item was answered by every option .judged items: a 1, b 1."),
        (["1,a,,0,1"], "no item was answered by every option .judged items: a 0."),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_results(written(tmp_path, *lines))


@pytest.mark.parametrize(
    ("header", "line", "message"),
    [
        ("item_id,option,cost_usd", "1,a,0", "the column correct is missing"),
        (HEADER + ",cost_eur", "1,a,1,0,1,3", "the column cost_eur is no amount in USD"),
        (HEADER + ",currency", "1,a,1,0,1,EUR", "line 2: currency EUR: amounts must be in USD"),
    ],
)
def test_columns_that_make_no_sense_are_refused(tmp_path: Path, header: str, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_results(written(tmp_path, line, header=header))


def test_an_unknown_column_is_named(tmp_path: Path) -> None:
    found = read_results(written(tmp_path, "1,a,1,0,1,x", header=HEADER + ",colour"))
    assert found.notes == ("results.csv: the column colour is not known and was left out",)


def test_an_option_without_a_score_on_an_answered_row_is_refused() -> None:
    no = np.zeros(2, dtype=bool)
    option = OptionEvidence("a", "prompt", np.array([1.0, np.nan]), no, no)
    with pytest.raises(DataError, match="a has no score on 1 rows that no person answers"):
        Evidence("made up", ("1", "2"), {"a": option}, (None, None), ({}, {}))


def test_equal_tables_have_equal_ids_and_others_do_not(tmp_path: Path) -> None:
    first, again = (read_results(written(tmp_path, "1,a,1,0,1")).id for _ in range(2))
    other = read_results(written(tmp_path, "1,a,0,0,1")).id
    assert first == again != other


def test_repeats_of_every_item_give_a_noise_floor_and_of_some_items_none() -> None:
    def floor(second: Sequence[float | None]) -> float | None:
        rows = [ResultRow(str(i), "prompt", float(i % 5 > 0)) for i in range(200)]
        rows += [ResultRow(str(i), "prompt", score) for i, score in enumerate(second) if score is not None]
        return evidence_of(rows, "a test").options["prompt"].noise_floor

    same = [float(i % 5 > 0) for i in range(200)]
    shaky = [1 - score if i % 10 == 0 else score for i, score in enumerate(same)]
    steady, moved = floor(same), floor(shaky)
    assert steady is not None
    assert moved is not None
    assert 0 < steady < 0.02 < moved < 0.06
    # 20 flips of 200 rows: the A/A floor of single answers, and the mean of two moves by less.
    assert moved == pytest.approx(1.96 * 22**0.5 / 202 / 2**0.5, rel=1e-3)
    assert floor([None, *same[1:]]) is None
    assert floor([]) is None
