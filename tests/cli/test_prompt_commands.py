"""`tasklift prompt`, as typed: list, show, diff, use, rollback, overlays; and what production sees of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tasklift.llm.fake import FakeEndpoint
from tasklift.project import Project

Run = Callable[..., Any]
BASE = """+++
policy = "Money is billing."
+++
<!-- system -->
{{ instruction }}
{% include "labels.md" %}
{{ policy }}
<!-- user -->
{{ text }}
"""
LABELS = "{% for label, definition in labels.items() %}\n- {{ label }}: {{ definition }}\n{% endfor %}\n"


@pytest.fixture
def project(run: Run, tmp_path: Path) -> Path:
    """A project of eighteen rows with a prompt; the odd rows are German."""
    folder = tmp_path / "mine"
    assert run("init", folder).code == 0
    task = folder / "tasks" / "triage"
    (task / "prompts").mkdir()
    (task / "prompts" / "base.md").write_text(BASE, encoding="utf-8")
    (task / "prompts" / "labels.md").write_text(LABELS, encoding="utf-8")
    rows = [
        {
            "id": f"{label}-{at}",
            "input": {"text": f"{label} message {at}"},
            "output": label,
            "split": "test" if at < 4 else "train",
            "slice": {"language": "de" if at % 2 else "en"},
        }
        for label in ("billing", "technical", "other")
        for at in range(6)
    ]
    (task / "data.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return folder


def edit(project: Path, old: str, new: str) -> None:
    path = project / "tasks" / "triage" / "prompts" / "base.md"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def says_its_label(body: Mapping[str, Any]) -> str:
    """Right, but for technical rows under the policy that money is billing."""
    system, text = (message["content"] for message in body["messages"])
    label = str(text.split()[0])
    return "other" if label == "technical" and "Money" in system else label


async def typed(run: Run, *arguments: object) -> Any:
    return await asyncio.to_thread(run, *arguments)


def test_a_prompt_is_listed_shown_used_and_rolled_back(run: Run, project: Path) -> None:
    assert "base (prompt): its file is not kept yet" in run("prompt", "list", "-p", project).out
    shown = run("prompt", "show", "base", "-p", project)
    assert "- {{ label }}: {{ definition }}" in shown.out
    assert "not kept yet; its first" in shown.err
    used = run("prompt", "use", "base", "-p", project, "--note", "first try")
    assert "production stays as it is until a release" in used.out
    listed = json.loads(run("prompt", "list", "-p", project, "--json").out)
    (version,) = listed["prompts"][0]["versions"]
    assert (version["note"], version["used"], listed["used"]) == ("first try", True, {"prompt": version["ref"]})
    edit(project, "Money", "A charge")
    assert "not kept yet" in run("prompt", "list", "-p", project).out
    kept = run("prompt", "show", version["ref"], "-p", project)
    assert "Money is billing." in kept.out
    assert "first try" in kept.err
    opened = Project.open(project)
    parameters = opened.parameters(opened.task(None))["prompt"]
    assert parameters["material"].policy == "Money is billing."  # the version that was chosen, not the file
    assert "built in" in run("prompt", "rollback", "-p", project).out
    assert opened.parameters(opened.task(None)) == {}
    assert run("check", "-p", project).code == 0


async def test_a_change_is_measured_by_one_command_and_unchanged_rows_are_not_asked_again(
    run: Run, project: Path
) -> None:
    async with FakeEndpoint(answer=says_its_label) as endpoint:
        model = ("--model", f"{endpoint.url}#{endpoint.model}")
        await typed(run, "prompt", "use", "base", "-p", project)
        ref = json.loads((await typed(run, "prompt", "list", "-p", project, "--json")).out)["used"]["prompt"]
        unmeasured = await typed(run, "prompt", "diff", ref, "-p", project)
        assert "say the same" in unmeasured.out
        edit(project, "Money", "A charge")
        unmeasured = await typed(run, "prompt", "diff", ref, "-p", project)
        assert "--rows 200 does so" in unmeasured.out
        done = await typed(run, "prompt", "diff", ref, "-p", project, "--rows", 12, *model)
        assert len(endpoint.received) == 24
        again = await typed(run, "prompt", "diff", ref, "-p", project, "--rows", 12, "--json", *model)
        stored = await typed(run, "prompt", "diff", ref, "base", "-p", project, "--json")
        assert len(endpoint.received) == 24
        edit(project, "A charge", "An invoice")
        await typed(run, "prompt", "diff", ref, "-p", project, "--rows", 12, *model)
        assert len(endpoint.received) == 36
    assert '-policy = "Money is billing."' in done.out
    assert '+policy = "A charge is billing."' in done.out
    assert "difference" in done.out
    assert "+33.3 points [" in done.out
    assert "4 answers changed; fixed: 4 (technical 4); broken: 0" in done.out
    assert len(done.out.splitlines()) < 40
    row = json.loads(again.out)
    assert row["measured"]["difference"]["value"] == pytest.approx(1 / 3)
    assert json.loads(stored.out)["measured"]["fixed"] == {"technical": 4}


async def test_the_answers_of_what_is_in_production_do_not_change(run: Run, project: Path) -> None:
    """A released candidate holds its own templates: a choice of another prompt makes another fingerprint."""
    opened = Project.open(project)
    before = opened.parameters(opened.task(None))
    run("prompt", "use", "base", "-p", project)
    assert opened.parameters(opened.task(None)) != before
    assert not (project / ".tasklift" / "traffic.db").exists()


async def test_every_overlay_is_held_against_the_base(run: Run, project: Path) -> None:
    folder = project / "tasks" / "triage" / "overlays"
    folder.mkdir()
    (folder / "de.toml").write_text('slice = { language = "de" }\npolicy = "Geld"\n', encoding="utf-8")
    (folder / "all.toml").write_text('[labels]\nother = "Money"\n', encoding="utf-8")
    edit(project, "Money", "Cash")
    async with FakeEndpoint(answer=says_its_label) as endpoint:
        asked = ("-p", project, "--strategies", "prompt:base", "--model", f"{endpoint.url}#{endpoint.model}")
        done = await typed(run, "prompt", "overlays", *asked)
        row = json.loads((await typed(run, "prompt", "overlays", *asked, "--json")).out)
    assert done.code == 0
    assert "all          prompt:base 100.0% -> 66.7%" in done.out
    assert "broke, not shown beyond chance label=technical: 100.0% -> 0.0%" in done.out
    assert "de           prompt:base 100.0% -> 100.0%" in done.out
    assert "broke nothing" in done.out
    assert [(one["overlay"], one["part"]) for one in row["broke"]] == [
        ("all", "all its rows"),
        ("all", "label=technical"),
    ]
    assert {one["rows"] for one in row["cells"] if one["overlay"] == "de"} == {6, 2}


@pytest.mark.parametrize(
    ("overlay", "said"),
    [
        ('slice = { language = "fr" }\npolicy = "x"\n', "none of the 12 rows has language = fr"),
        ("[labels]\nbiling = 'x'\n", "did you mean 'billing'"),
    ],
)
def test_overlays_that_are_for_nothing_are_refused(run: Run, project: Path, overlay: str, said: str) -> None:
    folder = project / "tasks" / "triage" / "overlays"
    folder.mkdir()
    assert "no overlay; write one" in run("prompt", "overlays", "-p", project).err
    (folder / "x.toml").write_text(overlay, encoding="utf-8")
    done = run("prompt", "overlays", "-p", project, "--strategies", "prompt:base", "--model", "http://127.0.0.1:9/v1#m")
    assert (done.code, done.out) == (2, "") or said in done.err
    assert said in done.err


def test_what_cannot_be_used_is_refused_and_nothing_is_written(run: Run, project: Path) -> None:
    for arguments, said in (
        (("show", "bse"), "did you mean 'base'"),
        (("use", "base@0000"), "no version is called"),
        (("rollback",), "no way back"),
        (("diff", "base", "other"), "no prompt is called 'other'"),
    ):
        done = run("prompt", *arguments, "-p", project)
        assert (done.code, done.out) == (2, "")
        assert said in done.err
    edit(project, "policy }}", "polcy }}")
    for command in (("prompt", "use", "base"), ("check",)):
        done = run(*command, "-p", project)
        assert done.code == 2
        assert "'polcy'" in done.err
    prompts = project / "tasks" / "triage" / "prompts"
    assert sorted(path.name for path in prompts.iterdir()) == ["base.md", "labels.md"]


async def test_no_cache_asks_again(run: Run, project: Path) -> None:
    async with FakeEndpoint(answer=says_its_label) as endpoint:
        command = ("evaluate", "-p", project, "--strategies", "prompt:base", "--json")
        command = (*command, "--model", f"{endpoint.url}#{endpoint.model}")
        for more, calls in (((), 12), ((), 12), (("--no-cache",), 24), ((), 24)):
            assert (await typed(run, *command, *more)).code in (0, 3)
            assert len(endpoint.received) == calls


async def test_an_evaluation_can_be_asked_in_batches(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasklift.cli.evaluate.POLL_S", 0.01)
    async with FakeEndpoint(answer=says_its_label) as endpoint:
        command = ("evaluate", "-p", project, "--strategies", "prompt:base", "--batch", "--json")
        done = await typed(run, *command, "--model", f"{endpoint.url}#{endpoint.model}")
        refused = await typed(run, *command, "--no-cache", "--model", f"{endpoint.url}#{endpoint.model}")
    assert endpoint.batches.created == 1
    assert endpoint.received == []
    assert "12 of 12 answered" in done.err
    assert json.loads(done.out)["candidates"][0]["usage"]["calls"] == 12
    assert (refused.code, refused.out) == (2, "")
