"""The page in a real browser: moved assumptions give the library's numbers on the same draws."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tasklift.economics import Economics
from tasklift.measure.deciding.decision import decide
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.noise import NoiseFloor
from tasklift.measure.report import curves, plots, words
from tasklift.measure.report.content import content_of
from tasklift.measure.report.model import Embedded, Setting
from tasklift.measure.report.page import render
from tasklift.stats.intervals import Interval

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

SETTINGS = [
    Setting(),
    Setting(items_per_month=900),
    Setting(items_per_month=31_000, error_usd=3.7),
    Setting(items_per_month=1_500_000, changes_per_year=30, horizon_months=7),
    Setting(review_share=0.25),
    Setting(review_share=1, error_usd=25),
    Setting(items_per_month=4, error_usd=0.02, review_share=0, changes_per_year=0, horizon_months=60),
    Setting(error_usd=0),
]

#: Every element of the charts of cost: kind, class, words, places, points of its path.
READ = """() => [...document.querySelectorAll('#cost-chart svg')].map(svg => [...svg.children].map(e => [
    e.tagName, e.getAttribute('class'), e.textContent.trim(),
    ...['x', 'y', 'x1', 'y1', 'x2', 'y2', 'cx', 'cy', 'width'].map(a => e.hasAttribute(a) ? +e.getAttribute(a) : null),
    (e.getAttribute('d') ?? '').match(/[\\d.]+/g)?.map(Number) ?? null]))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Shown:
    """A page, what it was made of, and what the browser complained of."""

    page: Page
    embedded: Embedded
    complaints: list[str]


@dataclass
class Opener:
    """Opens reports in tabs of one browser."""

    browser: Browser
    folder: Path

    def __call__(self, evaluation: Evaluation, money: Economics, width: int = 1280, **context: Any) -> Shown:
        decision = decide(evaluation, money, evaluation.task.gates)
        embedded = Embedded.of(evaluation, money, decision)
        path = self.folder / "report.html"
        path.write_text(render(content_of(evaluation, money, decision, evaluation.rows), embedded), encoding="utf-8")
        page = self.browser.new_context(viewport={"width": width, "height": 900}, **context).new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri())
        return Shown(page, embedded, complaints)


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Opener]:
    yield Opener(browser, tmp_path)
    for context in browser.contexts:
        context.close()


def settle(page: Page) -> None:
    """Wait until what was asked for is computed: it happens in the frame after a change."""
    page.evaluate("new Promise(done => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done))))")


def move(page: Page, setting: Setting) -> None:
    """Type the assumptions, as a reader would; empty is as given."""
    page.locator("#explorer button[type=reset]").click()
    for key, value in vars(setting).items():
        if value is not None:
            page.locator(f"#n-{key}").fill(f"{100 * value:g}" if key == "review_share" else f"{value:g}")
    settle(page)


def cells(page: Page) -> dict[str, list[str]]:
    """Option -> what its row of the table says."""
    script = "rows => rows.map(r => [r.dataset.name, [...r.querySelectorAll('[data-cell]')].map(c => c.textContent)])"
    return dict(page.locator("#costs tbody tr").evaluate_all(script))


def expected(embedded: Embedded, setting: Setting) -> dict[str, list[str]]:
    """The same from the library."""
    found = embedded.results(setting)
    pairs = {
        (set(pair) - {found.best}).pop(): f"{pair[0]} {words.break_even(volume.to_json())}"
        for pair, volume in found.break_even.items()
    }
    return {
        name: [
            *(words.usd(figures[name]) for figures in (found.expected_usd, found.p5_usd, found.p95_usd)),
            words.chance(found.p_best[name]) if name in found.p_best else "–",
            pairs.get(name, "–"),
        ]
        for name in embedded.options
    }


def crossings(embedded: Embedded, setting: Setting) -> list[str]:
    _, strip = curves.drawn(embedded, setting, [])
    return [f"{plots.round_volume(piece.low):,.0f}" for piece in strip[1:]]


def test_the_page_computes_what_the_library_computes_on_the_same_draws(
    opened: Opener, evaluation: Evaluation, making: SimpleNamespace
) -> None:
    shown = opened(evaluation, making.economics())
    choices = set()
    for setting in SETTINGS:
        move(shown.page, setting)
        assert cells(shown.page) == expected(shown.embedded, setting), setting
        chart = shown.page.locator("#cost-chart .wide .crossing").all_text_contents()
        assert chart == crossings(shown.embedded, setting), setting
        best = shown.embedded.results(setting).best
        assert best is not None
        assert f"At these assumptions {best} " in shown.page.locator("#moved").inner_text()
        choices.add(best)
    assert len(choices) > 2, "the settings must change the choice for this test to say something"
    assert shown.complaints == []


def test_the_embedded_draws_are_few_and_nearly_those_of_the_decision(
    opened: Opener, evaluation: Evaluation, making: SimpleNamespace
) -> None:
    shown = opened(evaluation, making.economics())
    assert shown.page.evaluate("JSON.parse(document.getElementById('model').textContent).draws") <= 2000
    decision = decide(evaluation, making.economics())
    found = shown.embedded.results(Setting())
    for name, option in decision.options.items():
        assert found.expected_usd[name] == pytest.approx(option.expected_usd, rel=0.03)
        assert found.p_best.get(name, 0) == pytest.approx(option.p_best, abs=0.03)


def test_amounts_that_are_given_as_zero_can_be_moved_up_from_there(
    opened: Opener, evaluation: Evaluation, making: SimpleNamespace
) -> None:
    shown = opened(evaluation, making.economics(error_usd=0, changes_per_year=0, options={}))
    for setting in (Setting(), Setting(error_usd=2.5), Setting(changes_per_year=12, error_usd=0.5)):
        move(shown.page, setting)
        assert cells(shown.page) == expected(shown.embedded, setting), setting


def test_leaving_items_alone_is_an_option_that_nobody_looks_over(
    opened: Opener, evaluation: Evaluation, making: SimpleNamespace
) -> None:
    shown = opened(evaluation, making.economics(item_value_usd={"p10": 0.1, "p50": 0.2, "p90": 0.4}))
    assert "nothing" in shown.embedded.allowed
    choices = set()
    for setting in (
        Setting(),
        Setting(review_share=0.5),
        Setting(items_per_month=700),
        Setting(error_usd=9, horizon_months=3),
    ):
        move(shown.page, setting)
        assert cells(shown.page) == expected(shown.embedded, setting), setting
        choices.add(shown.embedded.results(setting).best)
    before, after = (shown.embedded.results(Setting(review_share=share)) for share in (None, 1.0))
    assert before.expected_usd["nothing"] == after.expected_usd["nothing"]
    assert len(choices) > 1
    assert shown.complaints == []


def test_the_page_leads_with_what_the_decision_leads_with_where_costs_are_equal(
    opened: Opener, evaluation: Evaluation, making: SimpleNamespace
) -> None:
    twin = dataclasses.replace(evaluation.result("encoder"), name="twin")
    twins = dataclasses.replace(evaluation, results=(*evaluation.results, twin))
    options = {name: {"setup_usd": usd, "cost_per_change_usd": 1} for name, usd in (("encoder", 2), ("twin", 1))}
    shown = opened(twins, making.economics(options=options))
    leading = shown.embedded.leading
    assert leading in ("encoder", "twin")
    for setting in (Setting(), Setting(error_usd=0.4), Setting(items_per_month=90_000)):
        move(shown.page, setting)
        found = shown.embedded.results(setting)
        assert found.best == leading
        said = words.moved(found.best, found.cheapest, found.expected_usd[leading], found.p_best[leading])
        assert shown.page.locator("#moved").inner_text() == said


def test_the_page_gives_no_win_to_a_difference_within_noise(
    opened: Opener, evaluation: Evaluation, making: SimpleNamespace
) -> None:
    floor = NoiseFloor("asked again", 100, Interval(0.6, 0.5, 0.7), Interval(0.0, -0.1, 0.1), 0.5)
    names = [result.name for result in evaluation.results if result.card.family != "human"]
    noisy = dataclasses.replace(evaluation, noise=dict.fromkeys(names, floor))
    shown = opened(noisy, making.economics())
    assert shown.page.locator("text=How much is chance").count() == 1
    fair = set()
    for setting in SETTINGS:
        move(shown.page, setting)
        found = shown.embedded.results(setting)
        assert cells(shown.page) == expected(shown.embedded, setting), setting
        said = shown.page.locator("#moved").inner_text()
        assert f"At these assumptions {found.best} " in said
        fair.add("leads within noise" in said)
    assert fair == {True, False}, "the settings must have both for this test to say something"
    assert shown.complaints == []


def test_sliders_work_with_the_keyboard_and_reset_brings_the_given_values_back(
    opened: Opener, evaluation: Evaluation, making: SimpleNamespace
) -> None:
    page = opened(evaluation, making.economics()).page
    before, text = cells(page), page.locator("#moved").inner_text()
    slider = page.locator("[data-key=error_usd] input[type=range]")
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    settle(page)
    assert float(page.locator("#n-error_usd").input_value()) == pytest.approx(10**0.05, rel=0.01)
    assert slider.get_attribute("aria-valuetext") == "1.12 USD"
    assert cells(page) != before
    page.locator("#explorer button[type=reset]").click()
    settle(page)
    assert cells(page) == before
    assert page.locator("#moved").inner_text() == text


def test_the_chart_drawn_in_the_browser_is_the_one_in_the_file(
    opened: Opener, evaluation: Evaluation, making: SimpleNamespace
) -> None:
    page = opened(evaluation, making.economics()).page
    before = page.evaluate(READ)
    page.locator("#explorer button[type=reset]").click()
    settle(page)
    after = page.evaluate(READ)
    for old, new in zip(before, after, strict=True):
        assert [part[:3] for part in old] == [part[:3] for part in new]
        for was, now in zip(old, new, strict=True):
            for a, b in zip([*was[3:12], *(was[12] or [])], [*now[3:12], *(now[12] or [])], strict=True):
                assert a == b or abs(a - b) <= 1, (was, now)


@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_is_wider_than_the_window(
    opened: Opener, evaluation: Evaluation, making: SimpleNamespace, width: int
) -> None:
    shown = opened(evaluation, making.economics(), width=width)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    visible = shown.page.locator("#cost-chart svg:visible")
    assert visible.count() == 1
    assert shown.complaints == []


def test_without_scripts_everything_but_the_sliders_is_there(
    opened: Opener, evaluation: Evaluation, making: SimpleNamespace
) -> None:
    shown = opened(evaluation, making.economics(), java_script_enabled=False)
    assert not shown.page.locator("#explorer").is_visible()
    assert shown.page.locator("#cost-chart svg").first.is_visible()
    assert "is the cheapest on average" in shown.page.locator("#moved").inner_text()


def test_printing_opens_the_tables_and_hides_the_sliders(
    opened: Opener, evaluation: Evaluation, making: SimpleNamespace
) -> None:
    shown = opened(evaluation, making.economics(), width=375)
    shown.page.emulate_media(media="print")
    shown.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert not shown.page.locator("#explorer").is_visible()
    assert shown.page.locator("details[open]").count() == shown.page.locator("details").count() > 0
    assert shown.page.locator("#cost-chart .wide svg").is_visible()
    assert len(shown.page.pdf(format="A4")) > 20_000


def test_hostile_text_runs_nothing_and_still_computes(opened: Opener, making: SimpleNamespace) -> None:
    bad = "</script><img src=x onerror=document.title='run'>"
    task = making.task((bad, '"><svg onload=document.title="run">', "<script>document.title='run'</script>"))
    rows = making.rows(task, text=bad)
    names = [f"{bad} {i}" for i in range(6)]
    evaluation = making.evaluation(task, rows, names)
    shown = opened(evaluation, making.economics(options={}))
    setting = Setting(items_per_month=50_000)
    move(shown.page, setting)
    assert cells(shown.page) == expected(shown.embedded, setting)
    assert "run" not in shown.page.title()
    assert shown.page.locator("img").count() == 0
    assert shown.complaints == []
