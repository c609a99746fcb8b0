"""The page: template, style, script and charts in one file that asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tasklift.measure.deciding.decision import TIE
from tasklift.measure.report import curves, plots, words
from tasklift.measure.report.model import Embedded, Results, Setting
from tasklift.measure.report.plots import NARROW, WIDE, Mark, Whisker
from tasklift.measure.report.tornado import tornado
from tasklift.whole import write_whole

#: Only what stands in the file may run, known by its hash; nothing is loaded from anywhere.
_POLICY = (
    "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'"
)


def render(content: Mapping[str, Any], embedded: Embedded | None = None) -> str:
    """The page as HTML.

    Args:
        content: from `content_of`.
        embedded: the draws behind the costs; None where nothing was decided.
    """
    folder = resources.files("tasklift.measure.report")
    style = (folder / "page.css").read_text(encoding="utf-8")
    script = (folder / "page.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=PackageLoader("tasklift.measure", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "usd": words.usd,
        "percent": words.percent,
        "chance": words.chance,
        "amount": words.amount,
        "interval": _interval,
        "figure": _figure,
        "points": _points,
        "seconds": _seconds,
        "breakable": _breakable,
        "unbroken": _unbroken,
        "signed": words.signed,
    }
    start = embedded.results(Setting()) if embedded else None
    return environment.get_template("page.html").render(
        e=content,
        words=words,
        charts=_charts(content, embedded),
        options=_options(content),
        benefits=_benefits(content),
        failures={found["name"]: found for found in content["failures"]},
        choices={c["name"]: words.choices(c["notes"]) for c in content["candidates"]},
        risk_rows=[_risk_rows(found) for found in content["risk"]],
        economics=words.economics(content["economics"] or {}),
        model=_model(embedded) if embedded else None,
        controls=_controls(embedded) if embedded else [],
        start=start,
        moved=_moved(start),
        pairs=_pairs(start),
        style=Markup(style),  # noqa: S704 - our own files
        script=Markup(script),  # noqa: S704
        policy=_POLICY.format(style=_digest(style), script=_digest(script)),
    )


def write(html: str, path: Path) -> None:
    """Write the page; it appears whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    write_whole(path, html, hint="name another --out")


def _digest(content: str) -> str:
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _model(embedded: Embedded) -> dict[str, Any]:
    """What the script reads: the draws, and how the chart is drawn."""
    found = embedded.to_json()
    dashes = plots.dash_of(list(embedded.options), list(embedded.families.values()))
    grid = curves.volumes(embedded, 2)
    for option in found["options"]:
        option["dash"] = dashes[option["name"]]
    return found | {
        "volumes": grid,
        "points": [curves.POINTS, curves.SEARCHED],
        "margin": plots.margin_of(embedded.options),
    }


def _controls(embedded: Embedded) -> list[dict[str, Any]]:
    """The sliders. Amounts move by factors around what was given; where that is 0, from 0 up."""
    base = embedded.base
    factor: dict[str, Any] = {"scale": "log", "low": -2, "high": 2, "step": 0.01, "at": 0}
    volume, error = base["items_per_month"], base["error_usd"]
    changes, horizon = base["changes_per_year"], base["horizon_months"]
    controls: list[dict[str, Any]] = [
        {"key": "items_per_month", "label": "Volume", "unit": "items a month", "start": volume, "least": 0}
        | (factor if volume > 0 else _from_zero(100_000, 100, volume)),
        {"key": "error_usd", "label": "Cost of an error", "unit": "USD", "start": error, "least": 0}
        | (factor if error > 0 else _from_zero(10, 0.1, error)),
        {"key": "review_share", "label": "Answers a person looks over", "unit": "%", "start": None, "least": 0}
        | _from_zero(100, 1, 0),
        {"key": "changes_per_year", "label": "Rule changes", "unit": "a year", "start": changes, "least": 0}
        | _from_zero(max(52, 2 * changes), 0.5, changes),
        {"key": "horizon_months", "label": "Horizon", "unit": "months", "start": horizon, "least": 1}
        | _from_zero(max(60, 2 * horizon), 1, horizon)
        | {"low": 1},
    ]
    bases = {**base, "review_share": 0}
    return [c | {"base": _number(bases[c["key"]]), "start": c["start"] and _number(c["start"])} for c in controls]


def _from_zero(high: float, step: float, at: float) -> dict[str, Any]:
    return {"scale": "linear", "low": 0, "high": high, "step": step, "at": at}


def _number(value: float) -> float | int:
    """Without a point where it is whole, as it would be typed."""
    return int(value) if value == int(value) else value


def _moved(start: Results | None) -> str:
    if start is None:
        return ""
    if start.best is None:
        return words.moved(None, None, 0.0, 0.0)
    usd = start.expected_usd[start.best]
    tied = usd <= start.expected_usd[str(start.cheapest)] * (1 + TIE)
    return words.moved(start.best, start.cheapest, usd, start.p_best[start.best], tied)


def _pairs(start: Results | None) -> dict[str, str]:
    """Option -> from which volume on it, or the cheapest, is the cheaper one of the two."""
    if start is None:
        return {}
    return {
        second if first == start.best else first: f"{first} {words.break_even(found.to_json())}"
        for (first, second), found in start.break_even.items()
    }


def _risk_rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A few thresholds over the whole range of coverage, the chosen one among them."""
    points = [p for p in found["points"] if p["risk"]]
    if not points:
        return []
    wanted = [share / 10 for share in range(1, 11)]
    picked = {min(range(len(points)), key=lambda i: abs(points[i]["coverage"] - share)) for share in wanted}
    rows = [points[i] | {"chosen": False} for i in sorted(picked)]
    chosen = found["chosen"]
    if chosen and chosen["threshold"] is not None and chosen["risk"]:
        rows = [row for row in rows if row["coverage"] != chosen["coverage"]] + [chosen | {"chosen": True}]
    return sorted(rows, key=lambda row: -row["threshold"])


def _options(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of the options table: those that pass first, then by expected cost."""
    decision = content["decision"]
    if decision is None:
        return []
    able = words.passing(decision)
    rest = sorted(set(decision["options"]) - set(able), key=lambda n: (words.cost_of(decision["options"][n]), n))
    return [
        {
            "name": name,
            "able": name in able,
            "gate": words.gates(decision["options"][name]),
            **decision["options"][name],
        }
        for name in [*able, *rest]
    ]


def _benefits(content: Mapping[str, Any]) -> list[str]:
    """What net benefits are told against: people, and doing nothing where an item has a value."""
    options = content["decision"]["options"].values() if content["decision"] else []
    return list(dict.fromkeys(against for option in options for against in option["net_benefit"]))


def _charts(content: Mapping[str, Any], embedded: Embedded | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "accuracy": _both(plots.intervals, *_accuracy(content), marks=_marks(content)),
        "difference": _both(plots.intervals, *_difference(content), marks=[Mark(0.0, "")], unit="points"),
        "calibration": [plots.reliability(one) for one in content["calibration"]],
        "risk": [_both(plots.risk, one) if one["points"] else "" for one in content["risk"]],
        "slices": [_slices(content, one) for one in content["slices"]],
        "cost": "",
        "yearly": "",
        "tornado": "",
    }
    hinges = content["hinges"]
    if hinges and hinges["rows"]:
        leading = hinges["leading"]
        found["tornado"] = _both(tornado, hinges["rows"], leading, content["decision"]["options"][leading]["family"])
    if embedded is not None:
        banded = words.passing(content["decision"])[:2]
        lines, strip = curves.drawn(embedded, Setting(), banded)
        title = "Expected yearly cost of each option by monthly volume, and which is the cheapest where"
        found["cost"] = _both(plots.cost, lines, strip, embedded.base["items_per_month"], title)
        found["legend"] = [{"line": plots.legend(curve), "name": curve.name, "family": curve.family} for curve in lines]
        found["yearly"] = _both(plots.intervals, *_yearly(content), unit="usd")
    return found


def _both(draw: Any, *arguments: Any, **named: Any) -> Markup:
    """A chart for a wide page and one for a phone; the style sheet shows the one that fits."""
    shapes = (("wide", WIDE), ("narrow", NARROW))
    return Markup("").join(
        Markup('<div class="{}">{}</div>').format(name, draw(*arguments, width=width, **named))
        for name, width in shapes
    )


def _accuracy(content: Mapping[str, Any]) -> tuple[list[Whisker], str]:
    rows = []
    for c in sorted(content["candidates"], key=lambda c: -(c["accuracy"] or {"value": -1})["value"]):
        if c["accuracy"] is None:
            continue
        a = c["accuracy"]
        partial = c["answered"] < c["rows"]
        figures = _interval(a) + (f" on {c['answered']}" if partial else "")
        second = c["system_accuracy"] if partial else None
        rows.append(Whisker(c["name"], c["family"], a["value"], a["low"], a["high"], figures, second))
    return rows, "Accuracy of each candidate with its 95% interval"


def _marks(content: Mapping[str, Any]) -> list[Mark]:
    gate = content["gate"]
    wanted = gate is not None and gate["metric"] == "accuracy"
    return [Mark(gate["minimum"], f"limit {gate['minimum']:.0%}")] if wanted else []


def _difference(content: Mapping[str, Any]) -> tuple[list[Whisker], str]:
    rows = []
    for c in content["candidates"]:
        found = c["against_reference"]
        if found:
            d = found["difference"]
            rows.append(Whisker(c["name"], c["family"], d["value"], d["low"], d["high"], _points(d)))
    return rows, f"Difference of accuracy from {content['reference']} on the same rows, 95% interval"


def _yearly(content: Mapping[str, Any]) -> tuple[list[Whisker], str]:
    rows = [
        Whisker(
            o["name"],
            o["family"],
            o["expected_usd_per_year"],
            o["p5_usd"],
            o["p95_usd"],
            f"{words.usd(o['expected_usd_per_year'])}",
        )
        for o in _options(content)
        if o["expected_usd_per_year"] is not None
    ]
    return rows, "Expected yearly cost of each option, with its 5th and 95th percentile"


def _slices(content: Mapping[str, Any], found: Mapping[str, Any]) -> list[Markup]:
    """One small chart a value, all on the same scale."""
    families = {c["name"]: c["family"] for c in content["candidates"]}
    cells = found["accuracy"]
    ends = [cell[end] for by_value in cells.values() for cell in by_value.values() for end in ("low", "high")]
    domain = (max(0.0, min(ends) - 0.02), min(1.0, max(ends) + 0.02)) if ends else (0.0, 1.0)
    charts = []
    for value in found["values"]:
        rows = [
            Whisker(name, families[name], c["value"], c["low"], c["high"], f"{_interval(c)} of {c['rows']}")
            for name, by_value in cells.items()
            if (c := by_value.get(value))
        ]
        title = f"Accuracy of each candidate where {found['name']} is {value}"
        charts.append(plots.intervals(rows, title, NARROW, domain=domain))
    return charts


def _interval(found: Mapping[str, float] | None) -> str:
    """89.1 [85.4, 92.0], in percent."""
    if found is None:
        return "–"
    return f"{100 * found['value']:.1f} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def _figure(found: Mapping[str, float] | None) -> str:
    """0.891 [0.854, 0.920], in the metric's own unit."""
    return "–" if found is None else f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _points(found: Mapping[str, float]) -> str:
    """+5.4 [+2.0, +8.9], in percentage points."""
    return f"{words.signed(found['value'])} [{words.signed(found['low'])}, {words.signed(found['high'])}]"


def _breakable(label: object) -> Markup:
    """A name that may be cut after an underscore."""
    return Markup("_<wbr>").join(str(label).split("_"))


def _unbroken(words: object) -> Markup:
    """Words in which the flag of a command is not cut at its dashes."""
    return Markup(re.sub(r"(--[a-z][\w-]*)", r'<span class="flag">\1</span>', str(escape(words))))  # noqa: S704 - escaped


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{1000 * value:.1f} ms" if value < 1 else f"{value:.2f} s"
