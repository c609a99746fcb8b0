"""`tasklift report`, as typed: the page, what is printed, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def evaluated(run: Run, tmp_path: Path) -> Path:
    """A new project, evaluated once."""
    folder = tmp_path / "mine"
    assert run("init", folder).code == 0
    done = run("evaluate", "-p", folder, "--strategies", "majority,baseline,human")
    assert f"as a page: tasklift report triage -p {folder}" in done.out
    return folder


def test_a_report_is_written_and_its_verdict_printed(run: Run, evaluated: Path, tmp_path: Path) -> None:
    out = tmp_path / "there" / "page.html"
    done = run("report", "-p", evaluated, "--out", out)
    assert (done.code, done.err) == (0, "")
    verdict, where = done.out.strip().splitlines()
    assert where == f"report: {out}"
    page = out.read_text(encoding="utf-8")
    headline = verdict.partition(".")[0] + "."
    assert f"<h1>{headline}</h1>" in page
    assert "tasklift evaluate -p" in page
    plain = re.sub(r"<span[^>]*>|</span>", "", page)
    assert f"tasklift decide triage -p {evaluated} --evaluation" in plain
    assert "charged twice" not in page


def test_json_is_what_the_page_shows_and_the_same_as_decide(run: Run, evaluated: Path, tmp_path: Path) -> None:
    shown = json.loads(run("report", "-p", evaluated, "--out", tmp_path / "r.html", "--json").out)
    decided = json.loads(run("decide", "-p", evaluated, "--json").out)
    assert shown["decision"] == decided
    assert shown["report"] == str(tmp_path / "r.html")
    listed = json.loads(run("evaluate", "-p", evaluated, "--strategies", "majority,baseline,human", "--json").out)
    for mine, theirs in zip(shown["candidates"], listed["candidates"], strict=True):
        assert mine["accuracy"] == theirs["metrics"].get("accuracy")
        assert (mine["item_usd"], mine["latency_p95_s"]) == (theirs["cost"]["item_usd"], theirs["latency"]["p95_s"])


def test_other_economics_give_another_page(run: Run, evaluated: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("items_per_month = 7\nerror_usd = 0\nreview_usd = 0\n")
    run("report", "-p", evaluated, "--out", tmp_path / "r.html", "--economics", other)
    assert 'value="7"' in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_examples_are_shown_when_asked_for_and_a_change_since_is_said(
    run: Run, evaluated: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.html"
    rows = [json.loads(line) for line in (evaluated / "tasks" / "triage" / "data.jsonl").read_text().splitlines()]
    done = run("report", "-p", evaluated, "--out", out, "--examples")
    assert done.err == ""
    shown = json.loads(run("report", "-p", evaluated, "--out", out, "--examples", "--json").out)
    assert shown["examples"] is True
    for row in rows:
        row["input"]["text"] += " indeed"
    (evaluated / "tasks" / "triage" / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "the rows of the project have changed" in run("report", "-p", evaluated, "--out", out, "--examples").err
    assert "The rows of the project have changed since" in out.read_text(encoding="utf-8")


def test_without_economics_the_evidence_is_reported(run: Run, evaluated: Path, tmp_path: Path) -> None:
    task = evaluated / "tasks" / "triage" / "task.toml"
    text = task.read_text()
    task.write_text(text[: text.index("[economics]")] + text[text.index("[gates]") :])
    done = run("report", "-p", evaluated, "--out", tmp_path / "r.html")
    assert (done.code, done.out.startswith("Measured, not decided.")) == (0, True)


def test_what_is_not_there_is_named(run: Run, evaluated: Path, tmp_path: Path) -> None:
    done = run("report", "-p", evaluated, "--evaluation", "nothing")
    assert (done.code, "no finished evaluation here" in done.err) == (2, True)
    run("init", tmp_path / "new")
    assert "run `tasklift evaluate triage` first" in run("report", "-p", tmp_path / "new").err
    (tmp_path / "file").write_text("x")
    refused = run("report", "-p", evaluated, "--out", tmp_path / "file" / "r.html")
    assert (refused.code, "name another --out" in refused.err) == (2, True)


def test_the_page_fills_the_nine_dimensions_with_figures(run: Run, evaluated: Path, tmp_path: Path) -> None:
    assert run("evaluate", "-p", evaluated, "--strategies", "baseline,frozen,human").code == 0
    out = tmp_path / "page.html"
    shown = json.loads(run("report", "-p", evaluated, "--out", out, "--json").out)
    assert [column["name"] for column in shown["dimensions"]["columns"]] == ["frozen"]
    assert len(shown["dimensions"]["rows"]) == 9
    assert "<h2>Nine dimensions</h2>" in out.read_text(encoding="utf-8")
