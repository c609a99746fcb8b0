"""The page as a file: self-contained, escaped, with everything in it that the content holds."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasklift.errors import DataError
from tasklift.measure.deciding.decision import decide
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.report import words
from tasklift.measure.report.content import content_of
from tasklift.measure.report.model import Embedded
from tasklift.measure.report.page import render, write

HOSTILE = ("</script><img src=x onerror=document.title=1>", '"><svg onload=document.title=1>', "{{ 7*7 }} & <b>'")


class Tags(HTMLParser):
    """Every element with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.found


def page_of(evaluation: Evaluation, making: SimpleNamespace, examples: bool = False, **changed: Any) -> str:
    money = making.economics(**changed)
    decision = decide(evaluation, money, evaluation.task.gates)
    texts = evaluation.rows if examples else None
    return render(content_of(evaluation, money, decision, texts), Embedded.of(evaluation, money, decision))


@pytest.fixture(scope="module")
def page(evaluation: Evaluation, making: SimpleNamespace) -> str:
    return page_of(evaluation, making)


def test_the_page_asks_nothing_of_any_network(page: str) -> None:
    for name, attributes in tags(page):
        assert name not in ("link", "img", "iframe", "object", "embed", "base")
        assert not {"src", "srcset", "action", "style"} & set(attributes), (name, attributes)
        assert (attributes.get("href") or "#").startswith("#")
        assert not [key for key in attributes if key.startswith("on")]
    assert "@import" not in page
    assert "url(" not in page
    policy = next(a["content"] or "" for n, a in tags(page) if n == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy


def test_every_chart_has_a_name_and_every_id_is_there_once(page: str) -> None:
    assert page.count('role="img"') == page.count("<title>") - 1  # the page's own
    ids = [attributes["id"] for _, attributes in tags(page) if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = {(a["href"] or "")[1:] for _, a in tags(page) if "href" in a}
    assert anchors <= set(ids)
    labelled = {a["for"] for n, a in tags(page) if n == "label"}
    assert labelled <= set(ids)


def test_the_table_of_options_says_what_the_decision_says(
    page: str, evaluation: Evaluation, making: SimpleNamespace
) -> None:
    decision = decide(evaluation, making.economics(), evaluation.task.gates).to_json()
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    for option in decision["options"].values():
        assert words.usd(option["expected_usd_per_year"]) in text
        assert f"{words.usd(option['p5_usd'])} to {words.usd(option['p95_usd'])}" in text
        for saved in option["net_benefit"].values():
            assert f"{words.usd(saved['p5'])} to {words.usd(saved['p95'])}" in text
    for found in decision["break_even"].values():
        assert words.break_even(found) in text
    for reason in decision["reasons"]:
        assert reason in text or " fails: " in reason


def test_sections_stand_in_order_with_the_verdict_first(page: str) -> None:
    marks = [
        "<h1>",
        'id="options"',
        'id="volume"',
        'id="hinges"',
        'id="accuracy"',
        'id="calibration"',
        'id="risk"',
        'id="confusions"',
    ]
    places = [page.index(mark) for mark in [*marks, 'id="slices"', 'id="failures"', 'id="measured"']]
    assert places == sorted(places)


def test_hostile_names_labels_texts_and_failures_are_only_text(making: SimpleNamespace) -> None:
    task = making.task(HOSTILE)
    rows = making.rows(task, text=HOSTILE[0])
    names = [f"{HOSTILE[i % 3]} {i}" for i in range(6)]
    evaluation = making.evaluation(task, rows, names)
    page = page_of(evaluation, making, examples=True, options={})
    assert "<img" not in page
    assert "<svg onload" not in page
    assert "<b>'" not in page
    assert "<b>down" not in page
    assert not [a for _, a in tags(page) if any(key.startswith("on") for key in a)]
    assert "{{ 7*7 }}" in html.unescape(page)
    assert "49 &amp;" not in page
    embedded = re.search(r'<script type="application/json" id="model">(.*?)</script>', page, re.DOTALL)
    assert embedded is not None
    assert [option["name"] for option in json.loads(embedded[1])["options"]] == [*names[:5], "human"]


def test_texts_are_in_the_page_only_when_asked_for(page: str, evaluation: Evaluation, making: SimpleNamespace) -> None:
    assert "a thing" not in page
    assert "a thing 0" in page_of(evaluation, making, examples=True)


def test_without_a_decision_the_evidence_is_shown_and_no_script(evaluation: Evaluation) -> None:
    page = render(content_of(evaluation, None, None))
    assert "Measured, not decided." in page
    assert "<script" not in page
    assert 'id="accuracy"' in page
    assert 'id="options"' not in page


def test_where_nothing_passes_the_page_says_so(evaluation: Evaluation, making: SimpleNamespace) -> None:
    page = page_of(evaluation, making, gates={"min_metric": 0.999})
    assert "No option passes the gates." in page
    assert "No option passes the limits that were set." in page


def test_a_page_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    write("<p>there</p>", tmp_path / "new" / "report.html")
    assert (tmp_path / "new" / "report.html").read_text(encoding="utf-8") == "<p>there</p>"
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="name another --out"):
        write("<p></p>", tmp_path / "file" / "report.html")


def test_cautions_stand_beside_the_verdict(evaluation: Evaluation, making: SimpleNamespace) -> None:
    money = making.economics()
    decision = decide(evaluation, money, evaluation.task.gates)
    embedded = Embedded.of(evaluation, money, decision)
    assert 'class="cautions"' not in render(content_of(evaluation, money, decision), embedded)
    noted = dataclasses.replace(decision, cautions=("<one>", "two", "three"))
    page = render(content_of(evaluation, money, noted), embedded)
    assert page.index("&lt;one&gt;") < page.index('class="question"') < page.index('id="options"')
    assert "1 more" in page


def test_an_option_without_a_price_is_shown_without_a_cost_and_not_drawn(
    evaluation: Evaluation, making: SimpleNamespace
) -> None:
    prompt = evaluation.result("prompt")
    card = dataclasses.replace(prompt.card, parameters={"model": "vendor/unpriced"})
    usage = dataclasses.replace(prompt.scores.usage, input_tokens=90_000, output_tokens=900, calls=120)
    hosted = dataclasses.replace(
        prompt,
        card=card,
        traits={**prompt.traits, "remote": True},
        scores=dataclasses.replace(prompt.scores, usage=usage),
        predictions=tuple(
            dataclasses.replace(p, usage=dataclasses.replace(p.usage, input_tokens=750, output_tokens=8, calls=1))
            for p in prompt.predictions
        ),
    )
    results = tuple(hosted if r.name == "prompt" else r for r in evaluation.results)
    changed = dataclasses.replace(evaluation, results=results)
    money = making.economics()
    decision = decide(changed, money)
    assert decision.to_json()["options"]["prompt"]["expected_usd_per_year"] is None
    embedded = Embedded.of(changed, money, decision)
    assert "prompt" not in embedded.options
    page = render(content_of(changed, money, decision), embedded)
    assert "not known" in page
    assert "no price is known for vendor/unpriced" in html.unescape(page)


def test_a_page_of_nine_options_stays_small(making: SimpleNamespace) -> None:
    task = making.task()
    rows = making.rows(task)
    made = making.evaluation(task, rows)
    again = [
        dataclasses.replace(r, name=f"{r.name}2") for r in made.results if r.name not in ("human", "svm", "layered")
    ]
    evaluation = dataclasses.replace(made, results=(*made.results, *again))
    assert len(evaluation.results) == 9
    assert len(page_of(evaluation, making, options={}).encode()) < 1_500_000
