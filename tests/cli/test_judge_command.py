"""`tasklift judge`: verdicts count where people's labels show that they may, and only there."""

from __future__ import annotations

import asyncio
import csv
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tasklift.dataset import Dataset, Example, write_jsonl
from tasklift.errors import DataError
from tasklift.llm.fake import FakeEndpoint
from tasklift.measure.erasure import erase_rows, predictions_of, reports_with
from tasklift.measure.judgement import JUDGED
from tasklift.measure.people_labels import read_labels

Run = Callable[..., Any]
TASK = """schema_version = 1
name = "reply"
instruction = "Answer the customer in one sentence."

[output]
kind = "text"
max_chars = 200

[data]
file = "data.jsonl"

[strategies.knn]
embedder = "static"

[economics]
items_per_month = 1000
error_usd = 2.0
review_usd = 0.5

[economics.prices.tokens."MODEL"]
input_usd = 0.1
output_usd = 0.4
"""
ROWS = 80


def question(body: Mapping[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def writes_and_judges(body: Mapping[str, Any]) -> str:
    """Replies politely to even rows; as a judge, it wants politeness, and the place A where neither is polite."""
    text = question(body)
    if "Verdict:" in text:
        return "yes" if "sorry" in text.partition("Answer to be judged:")[2] else "no"
    if "Better:" in text:
        first, _, second = text.partition("Answer A:")[2].partition("Answer B:")
        return "B" if "sorry" in second and "sorry" not in first else "A"
    number = int("".join(c for c in text.partition("case")[2] if c.isdigit()) or 0)
    return f"We are sorry about case {number}." if number % 3 else f"No, case {number} is closed."


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    """On a loop in a thread of its own: commands run in this one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    found = FakeEndpoint(answer=writes_and_judges)
    asyncio.run_coroutine_threadsafe(found.__aenter__(), loop).result(10)
    yield found
    asyncio.run_coroutine_threadsafe(found.__aexit__(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def name_of(endpoint: FakeEndpoint) -> str:
    return f"{endpoint.url}#{endpoint.model}"


@pytest.fixture
def project(tmp_path: Path, endpoint: FakeEndpoint, run: Run) -> Path:
    """Evaluated: `knn` copies a reply that is never polite to the point, `prompt` is polite in two of three."""
    folder = tmp_path / "mine"
    task = folder / "tasks" / "reply"
    task.mkdir(parents=True)
    (folder / "tasklift.toml").write_text('schema_version = 1\nname = "mine"\n')
    (task / "task.toml").write_text(TASK.replace("MODEL", name_of(endpoint)))
    train = [
        Example(f"t{n}", {"text": f"late parcel {n}"}, "We are sorry." if n % 2 else "Closed.", split="train")
        for n in range(6)
    ]
    test = [
        Example(f"r{n}", {"text": f"My parcel is late, case {n}"}, "We are sorry.", split="test") for n in range(ROWS)
    ]
    write_jsonl(Dataset((*train, *test)), task / "data.jsonl")
    done = run("evaluate", "-p", folder, "--strategies", "knn,prompt", "--model", name_of(endpoint))
    assert done.code == 0, done.err
    return folder


def filled(sheet: Path, right: Callable[[Mapping[str, str], int], str]) -> Path:
    with sheet.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    for at, row in enumerate(rows):
        row["right"] = right(row, at)
    with sheet.open("w", newline="") as out:
        table = csv.DictWriter(out, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return sheet


def polite(row: Mapping[str, str], at: int) -> str:
    """People agree with the judge but on every twentieth answer."""
    good = "sorry" in row["answer"]
    return str(int(good != (at % 20 == 7)))


def test_a_judge_that_agrees_with_people_enters_the_decision(
    run: Run, project: Path, endpoint: FakeEndpoint, tmp_path: Path
) -> None:
    sheet = tmp_path / "people.csv"
    done = run("judge", "-p", project, "--sheet", sheet, "--rows", 50)
    assert (done.code, "100 answers to 50 questions" in done.out) == (0, True)
    assert run("judge", "-p", project, "--sheet", sheet).code == 2  # people's work is not written over
    assert reports_with(project / ".tasklift", "reply", {f"r{n}" for n in range(ROWS)}) == [sheet]
    labels = filled(sheet, polite)
    asked = ("judge", "-p", project, "--model", name_of(endpoint), "--labels", labels, "--max-usd", 1)
    done = run(*asked)
    assert done.code == 0, done.out
    assert "MEASURED" in done.out
    assert "Position: the place decided" in done.out
    assert "Length: rank correlation" in done.out
    calls = len(endpoint.received)
    found = json.loads(run(*asked, "--json").out)
    assert len(endpoint.received) == calls  # all from the cache: a stopped run goes on for nothing
    assert found["refused"] == ""
    assert found["agreement"]["kappa"]["low"] > 0.6
    assert found["spent_usd"] == 0
    decided = json.loads(run("decide", "-p", project, "--json").out)
    assert set(decided["judges"]) == {"knn", "prompt"}
    assert decided["judges"]["prompt"]["labels"] == 50
    shown = decided["options"]["prompt"]["accuracy"]
    assert shown["low"] < 2 / 3 < shown["high"]
    assert any("in place of the task's own rule" in line for line in decided["cautions"])
    page = json.loads(run("report", "-p", project, "--out", tmp_path / "report.html", "--json").out)
    assert set(page["decision"]["judges"]) == {"knn", "prompt"}


def test_without_labels_nothing_counts(run: Run, project: Path, endpoint: FakeEndpoint) -> None:
    before = json.loads(run("decide", "-p", project, "--json").out)
    done = run("judge", "-p", project, "--model", name_of(endpoint), "--pairs", 0)
    assert done.code == 0
    assert "REFUSED: its agreement with people was not measured" in done.out
    assert "--sheet people.csv" in done.out
    after = json.loads(run("decide", "-p", project, "--json").out)
    assert after["options"] == before["options"]
    assert after["judges"] == {}
    assert any("whose verdicts do not count" in line for line in after["cautions"])


@pytest.mark.parametrize(
    ("right", "why"),
    [
        (lambda row, at: str(at % 2), "its lower end below 0.6"),
        (lambda row, at: "1", "shows no agreement beyond chance"),
        (lambda row, at: polite(row, at) if at < 20 else "", "are needed"),
    ],
    ids=["at random", "one class only", "few"],
)
def test_a_judge_below_the_bar_is_refused(
    run: Run, project: Path, endpoint: FakeEndpoint, tmp_path: Path, right: Callable[..., str], why: str
) -> None:
    run("judge", "-p", project, "--sheet", tmp_path / "people.csv", "--rows", 50)
    labels = filled(tmp_path / "people.csv", right)
    done = run("judge", "-p", project, "--model", name_of(endpoint), "--labels", labels, "--pairs", 5)
    assert done.code == 3
    assert "REFUSED" in done.out
    assert why in done.out
    assert json.loads(run("decide", "-p", project, "--json").out)["judges"] == {}


def test_a_higher_bar_can_be_set(run: Run, project: Path, endpoint: FakeEndpoint, tmp_path: Path) -> None:
    run("judge", "-p", project, "--sheet", tmp_path / "people.csv", "--rows", 50)
    labels = filled(tmp_path / "people.csv", polite)
    model = name_of(endpoint)
    done = run("judge", "-p", project, "--model", model, "--labels", labels, "--least-kappa", 0.99, "--pairs", 0)
    assert (done.code, "below 0.99" in done.out) == (3, True)


def test_a_rubric_is_what_the_judge_is_told(run: Run, project: Path, endpoint: FakeEndpoint, tmp_path: Path) -> None:
    rubric = tmp_path / "rubric.txt"
    rubric.write_text("Good is what apologises.")
    run("judge", "-p", project, "--model", name_of(endpoint), "--rubric", rubric, "--pairs", 0)
    assert question(endpoint.received[-1]).startswith("Good is what apologises.")
    rubric.write_text(" ")
    done = run("judge", "-p", project, "--model", name_of(endpoint), "--rubric", rubric)
    assert (done.code, "is empty" in done.err) == (2, True)


def test_a_cap_stops_it_and_what_was_paid_is_kept(run: Run, project: Path, endpoint: FakeEndpoint) -> None:
    done = run("judge", "-p", project, "--model", name_of(endpoint), "--max-usd", 0.0005, "--pairs", 0)
    assert (done.code, "the same command with a higher --max-usd" in done.err) == (2, True)
    paid = len(endpoint.received)
    assert run("judge", "-p", project, "--model", name_of(endpoint), "--max-usd", 1, "--pairs", 0).code == 0
    verdicts = [body for body in endpoint.received if "Verdict:" in question(body)]
    assert len(verdicts) == len({question(body) for body in verdicts})  # nothing was asked twice
    assert len(endpoint.received) > paid


def test_other_answers_than_those_that_were_judged_do_not_count(
    run: Run, project: Path, endpoint: FakeEndpoint
) -> None:
    run("judge", "-p", project, "--model", name_of(endpoint), "--pairs", 0)
    (place,) = (project / ".tasklift" / "evaluations").iterdir()
    stored = place / "predictions.jsonl"
    stored.write_text(stored.read_text().replace("We are sorry about case 7.", "Sorry, case 7."))
    cautions = json.loads(run("decide", "-p", project, "--json").out)["cautions"]
    assert any("1 answers of prompt were not judged, or are others by now" in line for line in cautions)


def test_an_erased_row_leaves_the_verdicts(run: Run, project: Path, endpoint: FakeEndpoint) -> None:
    run("judge", "-p", project, "--model", name_of(endpoint), "--pairs", 5)
    (place,) = (project / ".tasklift" / "evaluations").iterdir()
    assert '"r7"' in (place / JUDGED).read_text()
    told = [one for one in predictions_of(place, ["r7"]) if "judge" in one]
    assert [one["candidate"] for one in told] == ["knn", "prompt"]
    assert told[1]["judge"] == 1.0
    erase_rows(place, ["r7"])
    assert predictions_of(place, ["r7"]) == []
    assert '"r7"' not in (place / JUDGED).read_text()


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("id,candidate,right\nr0,prompt,", "no row carries a label"),
        ("id,candidate,right", "no row carries a label"),
        ("id,candidate,right\nr7777,prompt,1", "line 2: row 'r7777': no row with an answer"),
        ("id,candidate,right\nr1,promt,1", "line 2: candidate 'promt': .* did you mean 'prompt'"),
        ("id,candidate,right\nr1,prompt,perhaps", "right is 'perhaps'; it must be 1 or 0"),
        ("id,candidate,score\nr1,prompt,7", "score is '7'; it must be a number from 0 to 1"),
        ("id,candidate,score\nr1,prompt,nan", "it must be a number from 0 to 1"),
        ("id,candidate,mark\nr1,prompt,7", "neither `right` nor `score`"),
        ("id,candidate,right\nr1,prompt,1\nr1,prompt,0", "line 3: prompt's answer to 'r1' is labelled twice"),
        ("id,candidate,answer,right\nr1,prompt,Other,1", "the label is of another answer"),
        ("id,candidate,right\nr1,prompt,1,2", "line 2: expected 3 columns"),
    ],
)
def test_labels_that_cannot_be_used_are_named(tmp_path: Path, lines: str, why: str) -> None:
    path = tmp_path / "people.csv"
    path.write_text(lines)
    with pytest.raises(DataError, match=why):
        read_labels(path, {"prompt": {"r1": "Yes.", "r0": "No."}, "knn": {"r1": "No."}})


def test_labels_are_read_from_json_lines_and_one_candidate_needs_no_name(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text('{"id": "r1", "right": true}\n{"id": "r2", "score": 0.25}\n{"id": "r3", "right": ""}\n')
    found = read_labels(path, {"prompt": {"r1": "a", "r2": "b", "r3": "c"}})
    assert found == {"prompt": {"r1": 1.0, "r2": 0.25}}


def test_what_makes_no_sense_is_refused(run: Run, project: Path, tmp_path: Path) -> None:
    assert "give --model" in run("judge", "-p", project).err
    assert "leave it out beside --sheet" in run("judge", "-p", project, "--sheet", "a.csv", "--labels", "b.csv").err
    assert "written as .csv or .jsonl" in run("judge", "-p", project, "--sheet", tmp_path / "a.xlsx").err
    data = project / "tasks" / "reply" / "data.jsonl"
    data.write_text("\n".join(line for line in data.read_text().splitlines() if '"r7"' not in line))
    done = run("judge", "-p", project, "--sheet", tmp_path / "people.csv")
    assert (done.code, "1 of its rows are gone from the project, or changed (first: r7)" in done.err) == (2, True)


def test_a_task_whose_answers_need_no_judge_is_told_so(run: Run, tmp_path: Path) -> None:
    run("init", tmp_path / "labels")
    run("evaluate", "-p", tmp_path / "labels", "--strategies", "majority")
    done = run("judge", "-p", tmp_path / "labels", "--sheet", tmp_path / "people.csv")
    assert (done.code, "a judge is for outputs of kind 'text'" in done.err) == (2, True)
