"""`tasklift advise` as typed: from a file, from options, and question by question."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tasklift.cli.main import main


def typed(monkeypatch: pytest.MonkeyPatch, *arguments: object, said: str = "") -> int:
    monkeypatch.setattr(sys, "argv", ["tasklift", "advise", *map(str, arguments)])
    monkeypatch.setattr(sys, "stdin", io.StringIO(said))
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code if isinstance(ended.value.code, int) else 0


def test_a_file_gives_one_json_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "answers.toml").write_text('at_scale = true\nexploratory = "unknown"\n')
    assert typed(monkeypatch, "--answers", tmp_path / "answers.toml", "--answer", "exploratory=no", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["measured"] is False
    assert row["answers"]["exploratory"] is False
    assert row["answers"]["needs_explainability"] == "unknown"
    assert row["majority"] == "finetune"


def test_questions_are_asked_one_at_a_time_and_a_wrong_word_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "--json", said="y\nperhaps\nyes\nno\n" + "\n" * 8) == 0
    shown = capsys.readouterr()
    answers = json.loads(shown.out)["answers"]
    assert [answers[name] for name in list(answers)[:4]] == [True, True, False, "unknown"]
    assert "'perhaps' is neither yes nor no" in shown.err
    assert shown.err.count("Do people validate") == 2


def test_the_text_says_plainly_that_nothing_was_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "--answer", "at_scale=true") == 0
    text = capsys.readouterr().out
    assert text.startswith("Nothing was measured.")
    assert "Measure first" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--answer", "at_scale"], "write QUESTION=true"),
        (["--answer", "at_scael=true"], "did you mean `at_scale`?"),
        ([], "the input ended at question 1 of 11"),
    ],
)
def test_what_cannot_be_understood_is_one_line_and_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert typed(monkeypatch, *arguments) == 2
    assert message in capsys.readouterr().err
