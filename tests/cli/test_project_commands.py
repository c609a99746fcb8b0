"""`tasklift init`, `check`, `data import` and `weights list`, as typed: what is printed, and the exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasklift.project import Project
from tasklift.weights import WEIGHTS

Run = Callable[..., Any]


@pytest.fixture
def project(run: Run, tmp_path: Path) -> Path:
    """What `tasklift init` writes."""
    assert run("init", tmp_path / "mine").code == 0
    return tmp_path / "mine"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def task_file(project: Path) -> Path:
    return project / "tasks" / "triage" / "task.toml"


def data_file(project: Path) -> Path:
    return project / "tasks" / "triage" / "data.jsonl"


def refused(done: tuple[int, str, str], *words: str) -> None:
    """One message, no traceback, exit code 2."""
    code, out, err = done
    assert code == 2
    assert out == ""
    assert err.startswith("tasklift: ")
    assert "Traceback" not in err
    for word in words:
        assert word in err


def test_a_new_project_is_right_and_says_what_comes_next(run: Run, tmp_path: Path) -> None:
    done = run("init", tmp_path / "mine", "--name", "mails")
    assert done.code == 0
    for word in ("tasks/mails/task.toml", "tasklift data import", "tasklift check", "tasklift evaluate"):
        assert word in done.out
    checked = run("check", "-p", tmp_path / "mine")
    assert checked == (0, "mails: 3 labels, 9 training and 3 test rows, economics given\nok\n", "")


def test_init_fills_an_empty_folder_and_the_current_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / 'my "first" \\ project'
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert run("init", ".").code == 0
    assert Project.open(folder).settings.name == folder.name
    assert (folder / ".gitignore").read_text() == ".tasklift/\n"


def test_init_touches_nothing_that_exists(run: Run, tmp_path: Path, project: Path) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    refused(run("init", project), f"{project}: is not empty; name a new folder")
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
    refused(run("init", data_file(project)), "data.jsonl: is a file; name a new folder")


@pytest.mark.parametrize("name", ["Bad Name", "../outside", 'a"b', "", "{x}"])
def test_init_with_a_name_that_cannot_be_writes_nothing(run: Run, tmp_path: Path, name: str) -> None:
    done = run("init", tmp_path / "mine", "--name", name)
    refused(done, "--name: `name`: a task's name is lower-case letters, digits and underscores", repr(name))
    assert list(tmp_path.iterdir()) == []


def test_check_reports_in_json(run: Run, project: Path) -> None:
    done = run("check", "-p", project, "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == {
        "project": "mine",
        "tasks": [
            {
                "task": "triage",
                "kind": "label",
                "labels": 3,
                "train": 9,
                "test": 3,
                "economics": True,
                "notes": [],
            }
        ],
    }


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("# compare =", 'compare = ["basline"] #', ["no strategy is called 'basline'; did you mean 'baseline'?"]),
        ("[gates]", "[strategies.fewshots]\n[gates]", ["no strategy is called 'fewshots'; did you mean 'fewshot'?"]),
        (
            "[gates]",
            "[strategies.fewshot]\nexmples = 3\n[gates]",
            ["strategy 'fewshot' has no parameter 'exmples'; did you mean 'examples'?"],
        ),
        ("[gates]", "[strategies.layered]\nalpha = 2\n[gates]", ["layered: alpha=2 must lie between 0 and 1"]),
        (
            "[gates]",
            '[strategies.prompt]\nuser = "{{ txt }}"\n[gates]',
            ["strategies.prompt: user template names the unknown field 'txt'; it may use: cue, examples, form, input"],
        ),
        (
            "[gates]",
            "[strategies.fewshot]\nsystem = '''one\n{{ labels'''\n[gates]",
            ["strategies.fewshot: system template, line 2: "],
        ),
        (
            "[gates]",
            "[strategies.prompt]\nuser = '{{ text.__class__.__mro__ }}'\n[gates]",
            ["strategies.prompt: user template"],
        ),
        ("min_metric", "min_metrc", ["unknown key `gates.min_metrc`; did you mean `min_metric`?"]),
        ("test_share = 0.3", "test_share = 30", ["`data.test_share`: Input should be less than 1 (got 30)"]),
        ('instruction = "Sort', 'instruction = Sort"', ["not valid TOML", "line 3"]),
        ('kind = "label"', 'kind = "lable"', ["`output`", "'lable'", "'label'"]),
        ('name = "triage"', 'name = "mails"', ["'mails' must be the name of its folder, 'triage'"]),
    ],
)
def test_check_finds_what_is_wrong_with_a_task(run: Run, project: Path, old: str, new: str, words: list[str]) -> None:
    edit(task_file(project), old, new)
    refused(run("check", "-p", project), str(task_file(project)), *words)


def test_check_finds_a_wrong_strategy_of_the_project(run: Run, project: Path) -> None:
    settings = project / "tasklift.toml"
    settings.write_text('name = "mine"\nstrategies = ["baseline", "promt"]')
    refused(run("check", "-p", project), f"{settings}: no strategy is called 'promt'; did you mean 'prompt'?")


def test_check_finds_wrong_rows(run: Run, project: Path) -> None:
    edit(data_file(project), '"billing"}', '"Biling"}')
    refused(run("check", "-p", project), f"{data_file(project)}: 4 problem(s)", "line 1: unknown label 'Biling'; did")
    data_file(project).unlink()
    refused(run("check", "-p", project), f"{data_file(project)}: no such file")


def test_check_finds_wrong_economics(run: Run, project: Path) -> None:
    beside = task_file(project).with_name("economics.toml")
    beside.write_text("items_per_month = -5")
    refused(run("check", "-p", project), f"{beside}: `items_per_month`")


def test_check_takes_every_kind_of_output(run: Run, project: Path) -> None:
    text = task_file(project).read_text()
    start, end = text.index("[output]"), text.index("[data]")
    task_file(project).write_text(text[:start] + '[output]\nkind = "text"\n' + text[end:])
    done = run("check", "-p", project)
    assert done.code == 0
    assert "triage: a text, " in done.out


def test_check_refuses_a_metric_for_another_kind(run: Run, project: Path) -> None:
    edit(task_file(project), "[output]", 'metrics = ["mae"]\n\n[output]')
    refused(run("check", "-p", project), "the metric 'mae' is for outputs of kind number; this task's is 'label'")


def test_check_notes_what_is_odd_and_allowed(run: Run, project: Path) -> None:
    edit(
        task_file(project), 'other = "Everything else"', 'other = "Everything else"\nspam = "Unwanted"\nrare = "Seldom"'
    )
    with data_file(project).open("a") as out:
        out.write('{"id": "13", "input": {"text": "error 503 when uploading PHOTOS"}, "output": "other"}\n')
        out.write('{"id": "14", "input": {"text": "no label here"}}\n')
        out.write('{"id": "15", "input": {"text": "once only"}, "output": "rare"}\n')
    done = run("check", "-p", project)
    assert done.code == 0
    assert "note: 1 texts carry more than one label (6=technical, 13=other)" in done.out
    assert "note: 1 rows carry no label (ids 14)" in done.out
    assert "note: labels with a single row cannot be validated: rare; label at least two of each" in done.out
    assert "note: labels without a training row: spam" in done.out
    assert done.out.endswith("ok\n")


def test_check_outside_of_a_project_says_how_to_begin(run: Run, tmp_path: Path) -> None:
    refused(run("check", "-p", tmp_path), "tasklift.toml: no such file. `tasklift init` writes a project to start from")


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A file as another program exports it."""
    path = tmp_path / "export.csv"
    lines = ["nr,message,queue,via", *(f"{n},message {n},{'billing' if n % 3 else 'other'},mail" for n in range(30))]
    path.write_text("\n".join(lines))
    return path


FIELDS = [f"--field={pair}" for pair in ("id=nr", "text=message", "output=queue", "slice.channel=via")]


def test_rows_are_imported_in_the_pinned_format(run: Run, project: Path, export: Path) -> None:
    done = run("data", "import", export, "-p", project, *FIELDS)
    assert done.code == 0
    assert f"30 rows written to {data_file(project)} (hash " in done.out
    assert "20  billing" in done.out
    first = json.loads(data_file(project).read_text().splitlines()[0])
    row = {"id": "0", "input": {"text": "message 0"}, "output": "other", "slice": {"channel": "mail"}}
    assert first == row
    again = run("data", "import", data_file(project), "-p", project, "--json")
    report = json.loads(again.out)
    assert (report["rows"], report["labels"], report["warnings"]) == (30, {"billing": 20, "other": 10}, [])
    assert report["hash"].startswith(done.out.split("(hash ")[1][:12])
    assert "9 training" not in run("check", "-p", project).out


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (["--field=text"], ["--field 'text': write target=COLUMN, such as --field text=message"]),
        (["--field=text="], ["--field 'text': write target=COLUMN"]),
        (["--field=txt=message"], ["no field 'txt' can be mapped; did you mean 'text'?"]),
        (["--field=text=mesage"], ["line 2: no column 'mesage'", "the row has: nr, message, queue, via"]),
        ([], ["line 2: the input field 'text' is missing", "--field text=COLUMN", "... and 20 more"]),
        (["--task=mails", *FIELDS], ["no task is called 'mails': triage"]),
        (["--field=text=message", "--field=output=via"], ["unknown label 'mail'; the task knows 3 labels"]),
        (["--field=text=message", "--field=id=via"], ["line 3: id 'mail' already stands at line 2"]),
    ],
)
def test_an_import_that_is_refused_leaves_the_rows_alone(
    run: Run, project: Path, export: Path, fields: list[str], words: list[str]
) -> None:
    before = data_file(project).read_bytes()
    refused(run("data", "import", export, "-p", project, *fields), *words)
    assert data_file(project).read_bytes() == before
    assert {path.name for path in data_file(project).parent.iterdir()} == {"data.jsonl", "task.toml"}


def test_an_import_needs_a_place_for_the_rows(run: Run, project: Path, export: Path) -> None:
    edit(task_file(project), 'file = "data.jsonl"', 'file = "data.csv"')
    refused(run("data", "import", export, "-p", project, *FIELDS), "triage: [data] reads data.csv", "needs a .jsonl")
    edit(task_file(project), "[data]\n", "")
    edit(task_file(project), 'file = "data.csv"', "#")
    edit(task_file(project), "test_share = 0.3", "#")
    refused(run("data", "import", export, "-p", project, *FIELDS), 'triage: add `[data]` with `file = "data.jsonl"`')


def test_a_full_disk_leaves_the_old_rows_and_nothing_half_written(run: Run, project: Path, export: Path) -> None:
    """A limit on the size of files, in a process of its own, stops the writing midway."""
    before = data_file(project).read_bytes()
    typed = ["tasklift", "data", "import", str(export), "-p", str(project), *FIELDS]
    code = (
        "import resource, sys; from tasklift.cli.main import main; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900)); sys.argv = {typed!r}; main()"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, check=False)
    refused((done.returncode, done.stdout, done.stderr), "data.jsonl: cannot be written: File too large")
    assert data_file(project).read_bytes() == before
    assert {path.name for path in data_file(project).parent.iterdir()} == {"data.jsonl", "task.toml"}


def test_a_place_that_is_a_folder_is_named(run: Run, project: Path, export: Path) -> None:
    data_file(project).unlink()
    data_file(project).mkdir()
    refused(run("data", "import", export, "-p", project, *FIELDS), "data.jsonl: cannot be written: Is a directory")
    assert {path.name for path in data_file(project).parent.iterdir()} == {"data.jsonl", "task.toml"}


def test_models_are_listed_with_how_to_get_them(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKLIFT_HOME", str(tmp_path / "home"))
    done = run("weights", "list")
    assert done.code == 0
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == list(WEIGHTS)
    assert "missing: tasklift weights pull" in done.out
    report = json.loads(run("weights", "list", "--json").out)
    assert [model["name"] for model in report["weights"]] == list(WEIGHTS)
    assert all(model["licence"] and model["source"].startswith("http") for model in report["weights"])
    assert not (tmp_path / "home").exists()


def test_a_command_that_does_not_exist_is_answered(run: Run) -> None:
    done = run("chekc")
    assert done.code == 2
    assert "chekc" in done.err
