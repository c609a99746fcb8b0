"""Versions of prompts: kept once, never changed, chosen and unchosen."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasklift.errors import ConfigError
from tasklift.llm.prompt_file import PromptText
from tasklift.llm.prompt_versions import Prompts


def prompt(text: str, **rest: str) -> PromptText:
    return PromptText(user=text + " {{ text }}", **rest)


def test_a_version_is_kept_once_with_its_time_author_and_note(tmp_path: Path) -> None:
    prompts = Prompts(tmp_path)
    first = prompts.keep("base", prompt("a"), "ann", "the first")
    assert prompts.keep("base", prompt("a"), "bob", "again") == first
    (found,) = prompts.versions("base")
    assert (found.author, found.note, found.ref) == ("ann", "the first", f"base@{first.prompt.id}")
    assert prompts.find(f"base@{first.prompt.id[:6]}") == first
    assert prompts.names() == ["base"]
    assert prompts.draft("base") is None


def test_a_changed_or_damaged_version_is_noticed(tmp_path: Path) -> None:
    prompts = Prompts(tmp_path)
    prompts.keep("base", prompt("a"), "ann", "")
    (path,) = (tmp_path / "versions" / "base").glob("*.json")
    row = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(row | {"prompt": {**row["prompt"], "user": "other"}}), encoding="utf-8")
    with pytest.raises(ConfigError, match="was changed since it was kept"):
        prompts.versions("base")
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="damaged"):
        prompts.versions("base")
    path.write_text(json.dumps(row | {"schema_version": 9}), encoding="utf-8")
    with pytest.raises(ConfigError, match="schema_version 9"):
        prompts.versions("base")


def test_rolling_back_walks_back_through_the_choices(tmp_path: Path) -> None:
    prompts = Prompts(tmp_path)
    one, two, three = (prompts.keep("base", prompt(text), "ann", "") for text in "abc")
    for version in (one, two, three):
        prompts.use(version, "ann", f"try {version.ref}")
    assert prompts.used("prompt") == three
    assert prompts.rollback("prompt", "ann", "worse").ref == two.ref
    assert prompts.rollback("prompt", "ann", "").ref == one.ref
    prompts.use(three, "ann", "again")
    assert prompts.rollback("prompt", "ann", "").ref == one.ref
    assert prompts.rollback("prompt", "ann", "").ref == ""
    assert prompts.used("prompt") is None
    with pytest.raises(ConfigError, match="no way back"):
        prompts.rollback("prompt", "ann", "")
    assert prompts.uses()[3].note == f"rolled back from {three.ref}: worse"


def test_each_strategy_has_its_own_choice(tmp_path: Path) -> None:
    prompts = Prompts(tmp_path)
    short = prompts.keep("short", prompt("a", strategy="fewshot"), "ann", "")
    prompts.use(short, "ann", "")
    assert prompts.used("fewshot") == short
    assert prompts.used("prompt") is None


def test_versions_that_cannot_be_told_apart_are_named(tmp_path: Path) -> None:
    prompts = Prompts(tmp_path)
    with pytest.raises(ConfigError, match="at least 4 digits"):
        prompts.find("base@1")
    with pytest.raises(ConfigError, match="no version is called 'base@1234'"):
        prompts.find("base@1234")


def test_choices_at_the_same_moment_all_stand(tmp_path: Path) -> None:
    prompts = Prompts(tmp_path)
    version = prompts.keep("base", prompt("a"), "ann", "")
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda who: prompts.use(version, f"who-{who}", ""), range(12)))
    assert sorted(use.author for use in prompts.uses()) == sorted(f"who-{who}" for who in range(12))


def test_a_damaged_choice_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "uses.jsonl").write_text('{"strategy": "prompt"}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="line 1 is damaged"):
        Prompts(tmp_path).uses()
