"""`tasklift score` and `tasklift evaluations`, as typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def project(run: Run, tmp_path: Path) -> Path:
    """Two evaluations: the second with fewer candidates."""
    folder = tmp_path / "shop"
    run("init", folder)
    assert run("evaluate", "-p", folder, "--strategies", "majority,baseline,human")[0] == 0
    assert run("evaluate", "-p", folder, "--strategies", "majority,human")[0] == 0
    return folder


def ids(run: Run, project: Path) -> list[str]:
    found = json.loads(run("evaluations", "list", "-p", project, "--json")[1])
    return [one["id"] for one in found["evaluations"]]


def test_scoring_again_gives_what_the_evaluation_gave(run: Run, project: Path) -> None:
    newest, first = ids(run, project)
    fresh = json.loads(run("evaluate", "-p", project, "--strategies", "majority,baseline,human", "--json")[1])
    code, out, err = run("score", "-p", project, "--evaluation", first, "--json")
    again = json.loads(out)
    assert (code, err, again["evaluation"]) == (0, "", first)
    assert [(c["name"], c["metrics"], c["ece"], c["usage"]) for c in again["candidates"]] == [
        (c["name"], c["metrics"], c["ece"], c["usage"]) for c in fresh["candidates"]
    ]
    assert "evaluation" in run("score", "triage", "-p", project)[1]
    assert run("score", "-p", project, "--evaluation", "nothing")[0] == 2
    assert newest != first


def test_a_list_says_what_is_stored(run: Run, project: Path) -> None:
    code, out, _ = run("evaluations", "list", "-p", project)
    assert code == 0
    assert len(out.splitlines()) == 2
    assert "finished" in out
    assert "decided 1x" in out
    assert run("evaluations", "list", "triage", "-p", project)[1] == out


def test_show_tells_how_it_was_made(run: Run, project: Path) -> None:
    newest, first = ids(run, project)
    code, out, _ = run("evaluations", "show", first, "-p", project)
    assert code == 0
    for word in ("command: tasklift evaluate", "baseline (baseline): ", "kept", "lineage"):
        assert word in out
    assert json.loads(run("evaluations", "show", newest, "-p", project, "--json")[1])["state"] == "finished"
    code, _, err = run("evaluations", "show", "nothing", "-p", project)
    assert code == 2
    assert f"no evaluation is called 'nothing'; the newest: {newest}, {first}" in err


def test_show_lists_labels_worst_first(run: Run, project: Path) -> None:
    _, first = ids(run, project)
    out = run("evaluations", "show", first, "-p", project)[1]
    assert "majority, worst first" in out
    assert "human, worst first" not in out  # a person answers everything
    found = json.loads(run("evaluations", "show", first, "-p", project, "--json")[1])
    by_name = {one["name"]: one.get("parts") for one in found["candidates"]}
    f1 = [part["f1"] for part in by_name["majority"]]
    assert f1 == sorted(f1)
    assert sum(part["support"] for part in by_name["majority"]) == found["rows"]
    assert by_name["human"] is None


def test_two_are_compared(run: Run, project: Path) -> None:
    newest, first = ids(run, project)
    code, out, _ = run("evaluations", "compare", first, newest, "-p", project)
    assert code == 0
    assert "paired: the same rows" in out
    assert "only in the first: baseline" in out
    found = json.loads(run("evaluations", "compare", first, newest, "-p", project, "--json")[1])
    assert found["candidates"]["majority"]["difference"]["value"] == 0


def test_an_unfinished_one_has_no_figures_yet(run: Run, project: Path) -> None:
    newest, first = ids(run, project)
    (project / ".tasklift" / "evaluations" / newest / "manifest.json").unlink()
    code, _, err = run("evaluations", "compare", first, newest, "-p", project)
    assert code == 2
    assert f"evaluation {newest} is unfinished: it has no figures yet" in err
    assert json.loads(run("evaluations", "show", newest, "-p", project, "--json")[1])["state"] == "unfinished"


def test_pruning_says_what_would_go_and_then_removes_it(run: Run, project: Path) -> None:
    newest, first = ids(run, project)
    command = ("evaluations", "prune", "-p", project, "--keep", 1, "--artifacts", "--unfinished-days", 3)
    code, out, _ = run(*command)
    assert code == 0
    assert f"kept evaluations/{first}: decision" in out
    assert "nothing to remove" in out
    code, out, _ = run(*command, "--force", "--dry-run")
    assert f"would remove evaluations/{first}: older than the 1 newest of triage" in out
    assert "would free" in out
    assert set(ids(run, project)) == {newest, first}
    planned = json.loads(run(*command, "--force", "--json")[1])
    assert [one["path"].split("/")[0] for one in planned["removed"]] == ["evaluations", "artifacts"]
    assert ids(run, project) == [newest]


def test_a_released_candidate_stays(run: Run, project: Path) -> None:
    assert run("release", "-p", project, "--candidate", "majority")[0] == 0
    done = run("evaluations", "prune", "-p", project, "--keep", 0, "--artifacts", "--force", "--json")
    removed = [one["path"].split("/")[0] for one in json.loads(done[1])["removed"]]
    assert removed.count("evaluations") == 2
    kept = list((project / ".tasklift" / "artifacts").iterdir())
    assert [json.loads((path / "candidate.json").read_text("utf-8"))["strategy"] for path in kept] == ["majority"]
