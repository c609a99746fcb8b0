"""The commands on a task that asks for a number: they run, and say what does not apply."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up_tasks import rows_of

from tasklift.dataset import write_jsonl

Run = Callable[..., Any]

TASK = """schema_version = 1
name = "urgency"
instruction = "How urgent is it?"
slices = ["area"]

[output]
kind = "number"
minimum = 0
maximum = 100

[data]
file = "data.jsonl"

[strategies.knn]
embedder = "static"

[strategies.layered]
core = "baseline"

[economics]
items_per_month = 1000
error_usd = 2.0
review_usd = 0.5
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    task = folder / "tasks" / "urgency"
    task.mkdir(parents=True)
    (folder / "tasklift.toml").write_text(
        'schema_version = 1\nname = "mine"\nstrategies = ["majority", "baseline", "knn"]\n'
    )
    (task / "task.toml").write_text(TASK)
    write_jsonl(rows_of("number", 5), task / "data.jsonl")
    return folder


def test_a_number_goes_from_check_to_report(run: Run, project: Path, tmp_path: Path) -> None:
    assert "urgency: a number from 0 to 100, " in run("check", "-p", project).out
    done = run("evaluate", "-p", project, "--consistency")
    assert done.code == 0
    assert "Right is: at most 10 away" in done.out
    assert "quadratic_kappa" in done.out
    found = json.loads(run("evaluate", "-p", project, "--json").out)
    assert (found["kind"], found["right"]) == ("number", "at most 10 away")
    assert set(found["candidates"][0]["metrics"]) == {"accuracy", "valid", "mae", "quadratic_kappa"}
    plan = run("plan", "-p", project, "--strategies", "majority,knn")
    assert "A layered guarantee (risk <= 5% at delta 10%) needs" in plan.out
    assert run("decide", "-p", project).code == 0
    out = tmp_path / "report.html"
    assert run("report", "-p", project, "--out", out).code == 0
    assert "Other metrics" in out.read_text()


def test_a_strategy_asked_for_by_name_that_cannot_is_refused(run: Run, project: Path) -> None:
    done = run("evaluate", "-p", project, "--strategies", "blend")
    assert done.code == 2
    assert "number" in done.err


def test_a_number_is_layered(run: Run, project: Path) -> None:
    done = run("evaluate", "-p", project, "--strategies", "baseline,layered", "--json")
    assert done.code == 0, done.err
    found = {one["name"]: one for one in json.loads(done.out)["candidates"]}
    assert found["layered"]["notes"]["certificate"]["missing_labels"] != 0
    page = json.loads(run("report", "-p", project, "--out", project / "report.html", "--json").out)
    assert page["risk"][0]["certificate"]["alpha"] == 0.05


def test_text_is_not_layered_and_the_plan_says_why(run: Run, project: Path) -> None:
    task = project / "tasks" / "urgency"
    text = TASK.replace('kind = "number"\nminimum = 0\nmaximum = 100', 'kind = "text"')
    (task / "task.toml").write_text(text)
    write_jsonl(rows_of("text", 5), task / "data.jsonl")
    plan = run("plan", "-p", project, "--strategies", "majority,knn")
    assert "Layering does not apply: no core says how sure it is of such an answer." in plan.out
    done = run("evaluate", "-p", project, "--strategies", "layered")
    assert (done.code, "none that ships does" in done.err) == (2, True)
