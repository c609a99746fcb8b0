"""A project folder: opening it, finding its tasks, its rows and its economics."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasklift.errors import ConfigError, DataError
from tasklift.project import Project
from tasklift.task import Task

TASK = """schema_version = 1
name = "colours"
instruction = "Which colour?"
output = {{ kind = "label", labels = {{ red = "blood", green = "grass" }} }}
{rest}
"""
Make = Callable[..., Path]


def rows(count: int = 20, **fields: Any) -> list[dict[str, Any]]:
    """Rows that are half red and half green; a function among the fields is asked for each row."""
    return [
        {"id": str(n), "input": {"text": f"thing {n}"}, "output": "green" if n % 2 else "red"}
        | {key: value(n) if callable(value) else value for key, value in fields.items()}
        for n in range(count)
    ]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A project with one task; `rest` ends its task.toml."""

    def write(rest: str = '[data]\nfile = "data.jsonl"', data: list[dict[str, Any]] | None = None) -> Path:
        task = tmp_path / "tasks" / "colours"
        task.mkdir(parents=True)
        (tmp_path / "tasklift.toml").write_text('schema_version = 1\nname = "mine"\n')
        (task / "task.toml").write_text(TASK.format(rest=rest))
        lines = [json.dumps(row) for row in (rows() if data is None else data)]
        (task / "data.jsonl").write_text("\n".join(lines))
        return tmp_path

    return write


def test_a_project_is_opened_with_its_task(make: Make) -> None:
    project = Project.open(make())
    assert list(project.tasks) == ["colours"]
    assert project.task(None) is project.task("colours")
    assert project.settings.model == "local"
    assert "baseline" in project.settings.strategies
    assert project.state == project.folder / ".tasklift"


def test_the_task_alone_leaves_files_and_parameters_behind(make: Make) -> None:
    found = Project.open(make()).task("colours")
    assert type(found.task) is Task
    assert found.task.content_hash == found.content_hash
    assert found.task.labels == found.labels


def test_a_folder_that_is_no_project_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tasklift\.toml: no such file\. `tasklift init` writes a project"):
        Project.open(tmp_path)
    with pytest.raises(ConfigError, match=r"nowhere/tasklift\.toml: no such file"):
        Project.open(tmp_path / "nowhere")


def test_naming_the_settings_in_place_of_the_folder_is_answered(make: Make) -> None:
    with pytest.raises(ConfigError, match=r"tasklift\.toml/tasklift\.toml: cannot be read: Not a directory"):
        Project.open(make() / "tasklift.toml")


def test_a_project_without_tasks_says_how_to_add_one(tmp_path: Path) -> None:
    (tmp_path / "tasklift.toml").write_text('name = "mine"')
    with pytest.raises(ConfigError, match=r"no tasks/<name>/task\.toml; `tasklift init` writes one"):
        Project.open(tmp_path)


def test_an_unknown_setting_is_answered_with_the_nearest(make: Make) -> None:
    folder = make()
    (folder / "tasklift.toml").write_text('name = "mine"\nstrategy = ["baseline"]')
    with pytest.raises(ConfigError, match=r"tasklift\.toml: unknown key `strategy`; did you mean `strategies`\?"):
        Project.open(folder)


def test_a_later_version_of_the_format_is_refused(make: Make) -> None:
    folder = make()
    (folder / "tasklift.toml").write_text('name = "mine"\nschema_version = 2')
    with pytest.raises(ConfigError, match=r"tasklift\.toml: `schema_version`: Input should be 1 \(got 2\)"):
        Project.open(folder)


def test_a_task_must_be_called_like_its_folder(make: Make) -> None:
    folder = make()
    (folder / "tasks" / "colours").rename(folder / "tasks" / "shades")
    with pytest.raises(ConfigError, match="`name`: 'colours' must be the name of its folder, 'shades'"):
        Project.open(folder)


def test_among_several_tasks_one_must_be_named(make: Make) -> None:
    folder = make()
    other = folder / "tasks" / "shades"
    other.mkdir()
    (other / "task.toml").write_text(TASK.format(rest="").replace("colours", "shades"))
    project = Project.open(folder)
    assert project.task("shades").name == "shades"
    with pytest.raises(ConfigError, match="the project has several tasks; name one: colours, shades"):
        project.task(None)
    with pytest.raises(ConfigError, match="no task is called 'color': colours, shades"):
        project.task("color")


def test_rows_without_splits_are_cut_by_label(make: Make) -> None:
    project = Project.open(make('[data]\nfile = "data.jsonl"\ntest_share = 0.4'))
    train, test, warnings = project.rows(project.task(None))
    assert (len(train), len(test), warnings) == (12, 8, ())
    assert sorted(test.outputs) == ["green"] * 4 + ["red"] * 4


def test_another_seed_gives_other_test_rows(make: Make) -> None:
    project = Project.open(make())
    task = project.task(None)
    assert task.data is not None
    other = task.model_copy(update={"data": task.data.model_copy(update={"seed": 1})})
    first, second = (project.rows(one)[1].keys for one in (task, other))
    assert first != second
    assert project.rows(task)[1].keys == first


def test_rows_are_cut_by_group_or_time_where_the_task_says_so(make: Make) -> None:
    data = rows(group=lambda n: f"customer {n % 5}", time=lambda n: f"2026-05-{30 - n:02}")
    folder = make('[data]\nfile = "data.jsonl"\nsplit_by = "group"', data)
    project = Project.open(folder)
    train, test, notes = project.rows(project.task(None))
    assert {row.group for row in train}.isdisjoint(row.group for row in test)
    assert not [note for note in notes if "group" in note]
    path = folder / "tasks" / "colours" / "task.toml"
    path.write_text(path.read_text().replace('"group"', '"time"'))
    project = Project.open(folder)
    train, test, _ = project.rows(project.task(None))
    assert max(str(row.time) for row in train) < min(str(row.time) for row in test)


def test_groups_on_both_sides_of_a_split_are_told(make: Make) -> None:
    data = rows(group=lambda n: f"customer {n % 5}", split=lambda n: "test" if n < 7 else "train")
    project = Project.open(make(data=data))
    (note,) = [note for note in project.rows(project.task(None))[2] if "group" in note]
    assert note.startswith("7 test rows are of a group (customer, document) that training rows are of")


def test_splits_that_the_rows_name_are_kept(make: Make) -> None:
    project = Project.open(make(data=rows(split=lambda n: "test" if n < 3 else "train")))
    train, test, _ = project.rows(project.task(None))
    assert [row.id for row in test] == ["0", "1", "2"]
    assert len(train) == 17


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("dev", "rows name splits, but none is called 'test'; use 'train' and 'test', or leave split out"),
        ("Test", "rows name splits, but none is called 'test'"),
        ("test", "data: no row has split 'train'; found: test"),
    ],
)
def test_splits_that_leave_one_side_empty_are_named(make: Make, split: str, message: str) -> None:
    project = Project.open(make(data=rows(split=split)))
    with pytest.raises(DataError, match=message):
        project.rows(project.task(None))


def test_a_task_without_rows_says_how_to_add_them(make: Make) -> None:
    project = Project.open(make(rest=""))
    with pytest.raises(ConfigError, match=r"colours: task\.toml has no \[data\] with `file`; `tasklift data import`"):
        project.rows(project.task(None))


def test_rows_that_are_not_where_the_task_says_are_named(make: Make) -> None:
    project = Project.open(make('[data]\nfile = "rows.jsonl"'))
    with pytest.raises(DataError, match=r"tasks/colours/rows\.jsonl: no such file"):
        project.rows(project.task(None))


def test_odd_rows_are_warned_of(make: Make) -> None:
    project = Project.open(make(data=[*rows(), {"id": "again", "input": {"text": "THING 0"}, "output": "green"}]))
    _, _, warnings = project.rows(project.task(None))
    assert "1 texts carry more than one label (0=red, again=green)" in warnings[0]


def test_columns_named_in_the_task_are_mapped(make: Make) -> None:
    folder = make('[data]\nfile = "mail.csv"\nfields = { text = "body", output = "queue" }')
    lines = ["body,queue", *(f"thing {n},{'green' if n % 2 else 'red'}" for n in range(10))]
    (folder / "tasks" / "colours" / "mail.csv").write_text("\n".join(lines))
    project = Project.open(folder)
    train, test, _ = project.rows(project.task(None))
    assert len(train) + len(test) == 10


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ('{ kind = "labels", labels = { red = "blood" } }', "line 2: unknown label 'green'"),  # "red" names one label
        ('{ kind = "number", minimum = 0 }', r"line 1: .* is not JSON"),
        ('{ kind = "json", json_schema = { type = "object" } }', r"line 1: .* is not JSON"),
    ],
)
def test_rows_of_another_kind_of_output_are_refused_by_line(make: Make, output: str, message: str) -> None:
    folder = make()
    path = folder / "tasks" / "colours" / "task.toml"
    lines = [f"output = {output}" if line.startswith("output") else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines))
    project = Project.open(folder)
    with pytest.raises(DataError, match=message):
        project.rows(project.task(None))


def test_the_nearest_economics_count(make: Make, tmp_path: Path) -> None:
    folder = make('[economics]\nitems_per_month = 1\n[data]\nfile = "data.jsonl"')
    project = Project.open(folder)
    task = project.task(None)
    assert project.economics(task).items_per_month.p50 == 1
    (folder / "tasks" / "colours" / "economics.toml").write_text("items_per_month = 2")
    assert project.economics(task).items_per_month.p50 == 2
    (tmp_path / "other.toml").write_text("items_per_month = 3")
    assert project.economics(task, tmp_path / "other.toml").items_per_month.p50 == 3


def test_missing_and_wrong_economics_name_the_file(make: Make, tmp_path: Path) -> None:
    project = Project.open(make())
    task = project.task(None)
    with pytest.raises(ConfigError, match=r"colours: no economics; write .*economics\.toml or give --economics FILE"):
        project.economics(task)
    with pytest.raises(ConfigError, match=r"nowhere\.toml: no such file"):
        project.economics(task, tmp_path / "nowhere.toml")
    (tmp_path / "tasks" / "colours" / "economics.toml").write_text("items_per_mont = 2")
    with pytest.raises(ConfigError, match=r"economics\.toml: unknown key `items_per_mont`; did you mean `items_per_m"):
        project.economics(task)
