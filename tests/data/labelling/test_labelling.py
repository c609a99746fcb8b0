"""Labelling: informative rows first, answers that survive a kill, agreement, and the page in a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasklift.data.embed_static import StaticEmbedder
from tasklift.data.labelling.answers import Answer, Answers
from tasklift.data.labelling.choose import choose, uncertainty
from tasklift.data.labelling.server import LabelServer
from tasklift.data.labelling.session import Session
from tasklift.dataset import Dataset
from tasklift.errors import DataError
from tasklift.task import Task

CHROMIUM = shutil.which("chromium")


@pytest.fixture
def open_rows(colour_rows: Dataset) -> Dataset:
    """Every third row keeps its label."""
    rows = (row if n % 3 == 0 else replace(row, output=None) for n, row in enumerate(colour_rows))
    return Dataset(tuple(rows), name="colours")


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    return Answers(tmp_path / "labelling" / "colours.jsonl")


@pytest.fixture
def session(open_rows: Dataset, colours: Task, answers: Answers) -> Session:
    return Session(
        open_rows, tuple(colours.labels), answers, "ada", StaticEmbedder().encode, lambda row: row.id.split("-")[0]
    )


@pytest.fixture
def server(session: Session, colours: Task) -> Iterator[LabelServer]:
    with LabelServer(session, colours, "fewshot") as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def asked(url: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
    given = {"content-type": "application/json"} | headers
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), given)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


def test_the_first_rows_are_unlike_each_other_and_later_ones_are_unsure(colour_rows: Dataset) -> None:
    vectors = StaticEmbedder().encode([row.input["text"] for row in colour_rows])
    first = choose(vectors, {}, 6)
    assert len({colour_rows.examples[at].id.rsplit("-", 1)[0] for at in first}) >= 4
    known = {at: colour_rows.examples[at].output for at in first}
    later = choose(vectors, known, 5)
    assert not set(later) & set(first)
    unsure = uncertainty(vectors, vectors[first], list(known.values()))
    assert unsure[later].mean() >= np.median(unsure)


def test_all_rows_are_asked_for_once_each(session: Session) -> None:
    seen = []
    while (row := session.next()) is not None:
        assert row.suggested == row.row.split("-")[0]
        seen.append(row.row)
        session.answer(row.row, row.suggested, 1.0, row.suggested)
    assert len(seen) == len(set(seen)) == 40


def test_a_second_person_gets_rows_of_the_first_so_that_agreement_can_be_told(
    session: Session, open_rows: Dataset, colours: Task, answers: Answers
) -> None:
    for _ in range(10):
        row = session.next()
        assert row is not None
        session.answer(row.row, "red", 2.0)
    other = Session(open_rows, tuple(colours.labels), answers, "bo", StaticEmbedder().encode)
    for _ in range(10):
        row = other.next()
        assert row is not None
        other.answer(row.row, "blue", 3.0)
    assert answers.doubly() == [("red", "blue")] * len(answers.torn())
    assert len(answers.torn()) >= 2
    assert answers.seconds() == {"ada": [2.0] * 10, "bo": [3.0] * 10}


def test_an_answer_that_was_given_outlives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    code = (
        "import os, sys; from pathlib import Path; from tasklift.data.labelling.answers import Answer, Answers\n"
        "kept = Answers(Path(sys.argv[1]))\n"
        "for n in range(5): kept.add(Answer(f'row-{n}', 'ada', 'red', 1.0))\n"
        'open(sys.argv[1], \'a\').write(\'{"schema_version": 1, "row": "torn\'); os.kill(os.getpid(), 9)'
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    kept = Answers(path)
    assert len(kept) == 5
    kept.add(Answer("row-9", "ada", "blue", 1.0))
    assert set(Answers(path).agreed()) == {*(f"row-{n}" for n in range(5)), "row-9"}


def test_an_answer_can_be_taken_back_and_a_row_skipped(session: Session, answers: Answers) -> None:
    first = session.next()
    assert first is not None
    session.answer(first.row, "red", 1.0)
    assert session.undo() == first.row
    assert len(answers) == 0
    again = session.next()
    assert again is not None
    assert again.row == first.row
    session.answer(again.row, None, 1.0)
    assert len(answers) == 0
    with pytest.raises(DataError, match="unknown label 'pink'"):
        session.answer(again.row, "pink", 1.0)


def test_rows_that_all_carry_a_label_are_refused(colour_rows: Dataset, colours: Task, answers: Answers) -> None:
    with pytest.raises(DataError, match="every row carries a label"):
        Session(colour_rows, tuple(colours.labels), answers, "ada", StaticEmbedder().encode)


def test_the_page_needs_its_secret_and_its_own_host(server: LabelServer) -> None:
    status, body, headers = asked(server.url)
    assert status == 200
    assert b"<script src=" in body
    assert "default-src 'none'" in headers["content-security-policy"]
    assert asked(f"http://127.0.0.1:{server.server_port}/wrong/api/next")[0] == 404
    assert asked(server.url + "api/next", host="evil.example")[0] == 421


@pytest.mark.parametrize("body", [[], "x", {"row": "nobody", "label": "red"}, {"row": None}, {"seconds": "x"}])
def test_a_bad_answer_is_refused_and_nothing_is_kept(server: LabelServer, body: Any) -> None:
    status, found, _ = asked(server.url + "api/answer", body)
    assert status == 400
    assert json.loads(found)["error"]
    assert len(server.session.answers) == 0


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_rows_are_labelled_by_keyboard_in_a_browser(server: LabelServer) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(server.url)
        page.wait_for_selector("#suggestion:not([hidden])")
        assert "Suggested by fewshot, not by a person" in page.inner_text("#suggestion")
        page.keyboard.press("Enter")  # takes the suggestion
        page.wait_for_selector('#progress:has-text("1 labelled")')
        page.keyboard.type("gras")  # found by its definition
        page.keyboard.press("Enter")
        page.wait_for_selector('#progress:has-text("2 labelled")')
        page.keyboard.press("3")
        page.wait_for_selector('#progress:has-text("3 labelled")')
        page.keyboard.press("Control+z")
        page.wait_for_selector('#progress:has-text("2 labelled")')
        browser.close()
    assert problems == []
    said = [one.label for by in server.session.answers.current().values() for one in by.values() if one.label]
    assert said[1] == "green"
    assert server.session.answers.suggestions()[1] >= 1
