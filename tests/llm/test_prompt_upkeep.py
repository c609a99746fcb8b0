"""How often prompts are changed is counted, and enters decisions where the user says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up import economics, evidence, right

from tasklift.llm import prompt_versions
from tasklift.llm.prompt_file import PromptText
from tasklift.llm.prompt_upkeep import edits_of
from tasklift.llm.prompt_versions import Prompts
from tasklift.measure.deciding.decision import decide

DAY_S = 86400.0


def kept(folder: Path, monkeypatch: pytest.MonkeyPatch, days: list[float], note: str = "") -> Prompts:
    prompts = Prompts(folder)
    for at, day in enumerate(days):
        monkeypatch.setattr(prompt_versions.time, "time", lambda day=day: day * DAY_S)
        prompts.keep("base", PromptText(user=f"{'long ' * (1 + at)}{{{{ text }}}}"), "ann", note)
    monkeypatch.undo()
    return prompts


def test_edits_are_counted_and_signs_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert edits_of(Prompts(tmp_path)) is None
    found = edits_of(kept(tmp_path, monkeypatch, [0, 5, 10, 20, 21, 22, 23]), now=45 * DAY_S)
    assert found is not None
    assert (found.count, found.days) == (6, 45)
    assert found.per_year == pytest.approx(6 / 45 * 365)
    assert found.signs() == []
    young = edits_of(Prompts(tmp_path), now=24 * DAY_S)
    assert young is not None
    assert young.per_year is None
    assert young.signs() == ["changed 6.0 times a month"]


def test_versions_of_an_optimiser_are_no_changed_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert edits_of(kept(tmp_path, monkeypatch, [0, 1, 2], "optimised (1)")) is None


def test_counted_changes_enter_the_decision_unless_the_user_gave_them() -> None:
    rows = evidence({"prompt-a": right(100, 5), "finetune": right(100, 5)})
    counted = economics().with_counted_changes(24.0, "counted: 6 changes")
    assumption = decide(rows, counted).assumptions["changes_per_year"]
    assert (assumption.value, assumption.source, assumption.detail) == (24.0, "measured", "counted: 6 changes")
    given = economics(changes_per_year=3).with_counted_changes(24.0, "counted")
    assert decide(rows, given).assumptions["changes_per_year"].source == "given"
