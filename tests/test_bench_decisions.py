"""The benchmark of deciders: its generator is what it says, and it scores what it says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasklift import Economics, Settings, decide, read_results
from tasklift.schema import parse, read_toml

FOLDER = Path(__file__).parents[1] / "benchmarks" / "decisions"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark's modules."""
    monkeypatch.syspath_prepend(str(FOLDER.parent))
    monkeypatch.syspath_prepend(str(FOLDER))
    names = ("companies", "deciders", "policies", "scoring", "measured")
    modules = {name: __import__(name) for name in names}
    yield type("Bench", (), modules)
    for name in (*names, "board", "_common"):
        sys.modules.pop(name, None)


def test_the_truth_is_a_draw_of_what_a_company_believes(bench: Any) -> None:
    group = bench.companies.companies(600, 1)
    for key in ("items_per_month", "error_usd", "changes_per_year"):
        below = [c.truth.amounts[key] < c.economics[key]["p90"] for c in group]
        assert np.mean(below) == pytest.approx(0.9, abs=0.04)
    shares = [c.truth.amounts["human.accuracy"] < c.economics["options"]["human"]["accuracy"]["p50"] for c in group]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)


def test_a_study_leaves_a_third_of_the_width_and_still_tells_the_truth(bench: Any) -> None:
    group = bench.companies.companies(600, 2)
    inside = []
    for one in group:
        old, new = (c.economics["error_usd"] for c in (one, one.studied("error_usd")))
        assert np.log(new["p90"] / new["p10"]) == pytest.approx(np.log(old["p90"] / old["p10"]) / 3)
        inside.append(new["p10"] < one.truth.amounts["error_usd"] < new["p90"])
    assert np.mean(inside) == pytest.approx(0.8, abs=0.05)


def test_the_informed_decider_knows_how_patterns_fall(bench: Any) -> None:
    one = bench.companies.companies(1, 3)[0]
    expected = bench.companies.cell_probabilities(one.truth.error[None, :], np.array([one.truth.hard]))[0]
    rows = bench.companies.answers(one.truth, 200_000, np.random.default_rng(0))
    assert expected.sum() == pytest.approx(1)
    assert bench.companies.cells(rows) / 200_000 == pytest.approx(expected, abs=0.004)
    assert 1 - rows.mean(axis=0) == pytest.approx(one.truth.error, abs=0.004)


def test_costs_are_those_of_the_engine_where_everything_is_known(bench: Any) -> None:
    """Truth in place of belief, and rows without number."""
    one = bench.companies.companies(1, 4, rows=20_000)[0]
    for name in one.truth.amounts:
        option, _, key = name.rpartition(".")
        if option:
            one.economics["options"][option][key] = one.truth.amounts[name]
        else:
            one.economics[key] = one.truth.amounts[name]
    shown = bench.deciders.ours(one)["options"]
    costs = [shown[name]["expected_usd_per_year"] for name in bench.companies.OPTIONS]
    assert costs == pytest.approx(one.truth.costs().tolist(), rel=0.03)


def test_regret_is_0_for_the_best_and_1_for_the_worst(bench: Any) -> None:
    costs = np.array([300.0, 100.0, 200.0, 500.0])
    assert [bench.scoring.regret_of(costs, at) for at in range(4)] == [0.5, 0.0, 0.25, 1.0]
    assert bench.scoring.regret_of(costs, 1, on_top=40) == 0.1
    assert bench.scoring.of_oracle(costs, 2) == 1.0


def test_the_files_hold_what_the_engine_sees(bench: Any, tmp_path: Path) -> None:
    one = bench.companies.companies(1, 5, rows=60)[0]
    results, economics = bench.deciders.write_files(one, tmp_path)
    settings = Settings(draws=bench.deciders.DRAWS, parameters=False)
    read = decide(read_results(results), parse(Economics, read_toml(economics), "e"), None, settings)
    mine = bench.deciders.decided(one)
    assert read.leading == mine.leading
    for name, option in mine.options.items():
        assert read.options[name].expected_usd == pytest.approx(option.expected_usd, rel=0.02)


def test_any_program_can_be_scored(bench: Any, tmp_path: Path) -> None:
    program = tmp_path / "always.py"
    program.write_text('print(\'{"verdict": "choose", "choice": "layered", "options": {}}\')\n')
    group = bench.companies.companies(2, 6, rows=50)
    cases = bench.scoring.run(group, f"{sys.executable} {program} {{results}} {{economics}}")
    assert [case.chosen for case in cases] == [2, 2]


def test_measured_tables_hold_no_text(bench: Any) -> None:
    for path in (FOLDER / "tables").glob("*.csv"):
        head, *lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) >= 2500
        assert all(cell.isdecimal() for line in lines for cell in line.split(","))
        assert head.startswith("id,group,")


def test_a_company_on_a_measured_table_errs_as_the_table_does(bench: Any) -> None:
    found = bench.measured.tables()
    group = bench.measured.measured_companies(64, 7, found)
    assert {one.setting.name for one in group} == {table.name for table in found}
    for one in group:
        rows = len(one.right)
        error = 1 - one.right.mean(axis=0)
        assert np.all(np.abs(error - one.truth.error) < 4.5 * (0.25 / rows) ** 0.5)
