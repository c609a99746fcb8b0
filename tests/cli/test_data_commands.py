"""`tasklift data`, `models` and `tune`, as typed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tasklift.dataset import Dataset, Example, write_jsonl

TASK = """schema_version = 1
name = "colours"
instruction = "Which colour?"
[output]
kind = "label"
[output.labels]
"red 🔴" = "blood"
green = "grass"
[data]
file = "data.jsonl"
"""


@pytest.fixture
def shop(tmp_path: Path, colour_rows: Dataset) -> Path:
    """A project with repeats, a leak, and a row of a person."""
    (tmp_path / "tasks" / "colours").mkdir(parents=True)
    (tmp_path / "tasklift.toml").write_text('schema_version = 1\nname = "shop"\n', encoding="utf-8")
    (tmp_path / "tasks" / "colours" / "task.toml").write_text(TASK, encoding="utf-8")
    named = {"red": "red 🔴", "green": "green"}
    rows = [
        Example(row.id, row.input, named[row.output], "test" if n % 3 == 0 else "train")
        for n, row in enumerate(row for row in colour_rows if row.output in named)
    ]
    rows.append(Example("again", rows[1].input, rows[1].output, "train"))
    rows.append(Example("person", {"text": "grass for Ida Holm, 221b Elm Road"}, "green", "train", group="customer-7"))
    write_jsonl(Dataset(tuple(rows)), tmp_path / "tasks" / "colours" / "data.jsonl")
    return tmp_path


def test_rows_are_audited_cleaned_undone_and_erased(run, shop: Path) -> None:  # type: ignore[no-untyped-def]
    audited = json.loads(run("data", "audit", "-p", shop, "--no-labels", "--json").out)
    assert Path(audited["datasheet"]).exists()
    assert "Ida Holm" not in Path(audited["datasheet"]).read_text(encoding="utf-8")
    cleaned = json.loads(run("data", "clean", "-p", shop, "--json").out)
    assert "again" in {one["row"] for one in cleaned["changes"]}
    changes = run("data", "changes", cleaned["version"][:8], "-p", shop)
    assert "repeats the text" in changes.out
    undone = json.loads(run("data", "undo", cleaned["version"], "--row", "again", "-p", shop, "--json").out)
    assert undone["undone"] == 1
    assert run("data", "split", "-p", shop, "--test", "0.4", "--json").code == 0
    erased = json.loads(run("data", "erase", "--person", "customer-7", "-p", shop, "--json").out)
    assert erased["rows"] == ["person"]
    assert len(erased["versions"]) >= 3
    kept = "".join(path.read_text(encoding="utf-8") for path in shop.rglob("*.json*") if path.is_file())
    assert "Ida Holm" not in kept
    assert "versions" in json.loads(run("data", "versions", "-p", shop, "--json").out)


def test_strict_fails_where_a_finding_is_an_error(run, shop: Path) -> None:  # type: ignore[no-untyped-def]
    rows = (shop / "tasks" / "colours" / "data.jsonl").read_text(encoding="utf-8")
    torn = json.dumps({"id": "torn", "input": {"text": "A grass in the garden"}, "output": "red 🔴", "split": "train"})
    (shop / "tasks" / "colours" / "data.jsonl").write_text(f"{rows}{torn}\n", encoding="utf-8")
    assert run("data", "audit", "-p", shop, "--no-labels", "--strict").code == 3


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("text,label\na,x\nb,x\n", "at least two are needed"),
        ("text,label\na,\nb,\n", "at least two are needed"),
        ("words,label\na,x\nb,y\n", "no column 'text'"),
    ],
)
def test_a_table_that_cannot_be_learnt_from_is_refused(run, tmp_path: Path, table: str, message: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "raw.csv").write_text(table, encoding="utf-8")
    done = run("tune", tmp_path / "raw.csv", "--to", tmp_path / "made")
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "made" / "tasklift.toml").exists()


def test_a_raw_table_becomes_a_registered_model(run, tmp_path: Path, colour_rows: Dataset) -> None:  # type: ignore[no-untyped-def]
    lines = [f"{row.input['text']},{row.output} 🎨" for row in colour_rows]
    (tmp_path / "raw.csv").write_text("\n".join(["text,label", *lines, "no idea,"]), encoding="utf-8")
    command = ("tune", tmp_path / "raw.csv", "--to", tmp_path / "made", "--strategy", "baseline", "--json")
    made = json.loads(run(*command).out)
    assert json.loads(run(*command).out)["model"] == made["model"]  # goes on where it is
    shown = json.loads(run("models", "show", made["model"][:8], "-p", tmp_path / "made", "--json").out)
    assert shown["task"] == "raw"
    assert shown["measured"][0]["evaluation"] == made["evaluation"]
    listed = json.loads(run("models", "list", "-p", tmp_path / "made", "--json").out)
    assert made["model"] in {one["fingerprint"] for one in listed["models"]}


def test_tune_fits_three_seeds_and_names_the_one_to_release(run, tmp_path: Path, colour_rows: Dataset) -> None:  # type: ignore[no-untyped-def]
    lines = [f"{row.input['text']},{row.output}" for row in colour_rows]
    (tmp_path / "raw.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    command = ("tune", tmp_path / "raw.csv", "--to", tmp_path / "made", "--embedder", "static")
    said = run(*command).out
    assert "frozen with 3 seeds" in said
    assert "standard deviation" in said
    made = json.loads(run(*command, "--json").out)
    seeds = made["seeds"]
    assert [(one["name"], one["seed"]) for one in seeds["candidates"]] == [
        ("frozen", 0),
        ("frozen-seed1", 1),
        ("frozen-seed2", 2),
    ]
    best = max(seeds["candidates"], key=lambda one: one["validation"])
    assert (seeds["release"], made["model"]) == (best["name"], best["fingerprint"])
    assert f"to release: {best['name']}" in said
    listed = json.loads(run("models", "list", "-p", tmp_path / "made", "--json").out)
    assert {one["fingerprint"] for one in seeds["candidates"]} <= {one["fingerprint"] for one in listed["models"]}


def test_tune_with_one_seed_or_without_any_fits_once(run, tmp_path: Path, colour_rows: Dataset) -> None:  # type: ignore[no-untyped-def]
    lines = [f"{row.input['text']},{row.output}" for row in colour_rows]
    (tmp_path / "raw.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    command = ("tune", tmp_path / "raw.csv", "--to", tmp_path / "made", "--embedder", "static")
    once = run(*command, "--seeds", 1)
    assert "with 1 seeds" not in once.out
    assert "to release" not in once.out
    made = json.loads(run(*command, "--strategy", "majority", "--json").out)
    assert [one["name"] for one in made["seeds"]["candidates"]] == ["majority"]


def rows_of(project: Path, task: str = "raw") -> list[dict[str, Any]]:
    lines = (project / "tasks" / task / "data.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_a_raw_table_of_numbers_becomes_a_model(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    much = ("nothing", "a little", "some", "plenty", "everything")
    what = [
        "milk",
        "tea",
        "sand",
        "iron",
        "wool",
        "salt",
        "rice",
        "coal",
        "zinc",
        "wine",
        "corn",
        "silk",
        "jade",
        "peat",
        "rust",
        "lime",
    ]
    lines = [f"{much[n % 5]} {what[n // 5]} {what[n % 16]},{20 * (n % 5) + n // 10}" for n in range(80)]
    (tmp_path / "raw.csv").write_text("\n".join(["text,score", *lines]), encoding="utf-8")
    command = ("tune", tmp_path / "raw.csv", "--to", tmp_path / "made", "--label", "score", "--kind", "number")
    made = json.loads(run(*command, "--embedder", "static", "--seeds", 1, "--json").out)
    assert (made["kind"], made["right"]) == ("number", "at most 8.7 away")
    assert "Right is: at most 8.7 away" in run(*command, "--embedder", "static", "--seeds", 1).out
    said = (tmp_path / "made" / "tasks" / "raw" / "task.toml").read_text(encoding="utf-8")
    assert "minimum = 0 " in said
    assert "maximum = 87\nwhole = true" in said
    tested = [row["output"] for row in rows_of(tmp_path / "made") if row["split"] == "test"]
    assert min(tested) < 20
    assert max(tested) > 67  # values stand in one row each, and yet all sizes are tested


@pytest.mark.parametrize("written", ["late; broken", '["broken", "late"]'])
def test_a_raw_table_of_several_labels_becomes_a_model(run, tmp_path: Path, written: str) -> None:  # type: ignore[no-untyped-def]
    said = {"it came late": "late", "it is broken": "broken", "late and broken": written, "thanks": "[]"}
    lines = [[f"{text}, number {n}", answer] for n in range(12) for text, answer in said.items()]
    with (tmp_path / "raw.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text", "label"], *lines])
    command = ("tune", tmp_path / "raw.csv", "--to", tmp_path / "made", "--kind", "labels", "--embedder", "static")
    made = json.loads(run(*command, "--seeds", 1, "--json").out)
    assert (made["kind"], made["right"]) == ("labels", "the same set of labels")
    rows = rows_of(tmp_path / "made")
    assert [row["output"] for row in rows[:4]] == [["late"], ["broken"], ["broken", "late"], []]


@pytest.mark.parametrize(
    ("kind", "table", "message"),
    [
        ("numbers", "text,label\na,1\nb,2\n", "--kind 'numbers': choose label, labels, number"),
        ("number", "text,label\na,1\nb,many\n", "line 3: column 'label'"),
        ("number", "text,label\na,1\nb,1\n", "holds only the number 1; at least two are needed"),
        ("number", "text,label\na,\nb,\n", "holds no number"),
        ("labels", 'text,label\na,x\nb,"[x"\n', "line 3: "),
        ("labels", "text,label\na,x\nb,x\n", "holds 1 label(s)"),
    ],
)
def test_answers_of_another_kind_are_refused(run, tmp_path: Path, kind: str, table: str, message: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "raw.csv").write_text(table, encoding="utf-8")
    done = run("tune", tmp_path / "raw.csv", "--to", tmp_path / "made", "--kind", kind)
    assert (done.code, message in done.err) == (2, True), done.err
    assert not (tmp_path / "made").exists()
