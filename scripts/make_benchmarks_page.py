"""Make docs/benchmarks.md from benchmarks/results/*.json: every figure of the page was measured.

    python scripts/make_benchmarks_page.py [--check]

With --check nothing is written; the exit status is 1 where the page is not what the results say.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
#: Sections in this order; results of other names follow, by name.
ORDER = (
    "banking77_tuned",
    "banking77_layered",
    "banking77_prompted",
    "banking77_prefix",
    "banking77_seeds_full",
    "banking77_seeds_few",
    "clinc150",
    "massive",
    "sms_spam",
    "unfair_tos",
    "inference",
    "serve",
)
INTRO = """# Benchmarks

This page is generated from `benchmarks/results/*.json` by `python scripts/make_benchmarks_page.py`. Each section
names the command that measured it, the day and the machine; `python3 dev.py bench` lists all of them. Test rows serve
the figures only: epochs, C, k, temperatures and thresholds are chosen on rows cut from the training rows. CPU time is
that of all fits and predictions of a section. In brackets stand 95% intervals. "Published" is what others report on
the same set, often with larger models or other rows, so it is a measure and not a contest. A bar is the least (or the
most) that the project asks of itself; a bar that is missed is shown as missed."""


def main(arguments: Sequence[str]) -> int:
    """Write the page, or compare."""
    made = page(RESULTS)
    if "--check" not in arguments:
        PAGE.write_text(made, encoding="utf-8")
        return 0
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != made:
        print("docs/benchmarks.md is not what benchmarks/results say: run `python scripts/make_benchmarks_page.py`")
        return 1
    return 0


def page(folder: Path) -> str:
    """The page for the results in a folder."""
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}
    names = [name for name in ORDER if name in results] + sorted(set(results) - set(ORDER))
    sections = [INTRO, "\n".join(summary([results[name] for name in names]))]
    sections += ["\n".join(section(name, results[name])) for name in names]
    return "\n\n".join(sections) + "\n"


def summary(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How many bars are reached, and which are not."""
    barred = [figure for result in results for figure in result["figures"] if figure["met"] is not None]
    missed = [figure for figure in barred if not figure["met"]]
    yield f"{len(barred) - len(missed)} of {len(barred)} bars are reached." + (" Missed:" if missed else "")
    if missed:
        yield ""
    for figure in missed:
        yield f"- {figure['what']}: {shown(figure, figure['value'])} where the bar is {bar(figure)}"


def section(name: str, result: Mapping[str, Any]) -> Iterator[str]:
    """One results file."""
    yield f"## {result.get('title', name)}"
    yield ""
    cpu_s = result.get("cpu_s", 0)
    cpu_s = sum(cpu_s.values()) if isinstance(cpu_s, dict) else cpu_s  # of its parts
    spent = f" CPU time: {cpu_s:,.0f} s." if cpu_s else ""
    yield f"`{result.get('command', f'python3 dev.py bench {name}')}`, {result['date']}, {result['machine']}.{spent}"
    yield ""
    yield from table(
        ["figure", "measured", "bar", "", "how", "published"],
        [
            [
                figure["what"],
                shown(figure, figure["value"]) + interval(figure),
                bar(figure),
                {None: "", True: "reached", False: "**missed**"}[figure["met"]],
                figure.get("note", ""),
                figure.get("published", ""),
            ]
            for figure in result["figures"]
        ],
    )
    for remark in result.get("remarks", ()):
        yield ""
        yield remark
    for more in result.get("tables", ()):
        yield ""
        yield f"{more['title']}:"
        yield ""
        yield from table(more["header"], more["rows"])
    if result.get("candidates"):
        yield ""
        yield from table(
            ["candidate", "CPU-s to make", "CPU-s to answer all rows", "ms for one request", "calibration error (ECE)"],
            [candidate(row) for row in result["candidates"]],
        )


def candidate(row: Mapping[str, Any]) -> list[str]:
    """What one candidate took."""
    ece = "" if row["ece"] is None else f"{row['ece']:.3f}"
    return [row["name"], f"{row['fit_cpu_s']:,.1f}", f"{row['predict_cpu_s']:,.1f}", f"{row['p50_ms']:.1f}", ece]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table; a column without any text is left out."""
    keep = [place for place in range(len(header)) if any(row[place] for row in rows)]
    for cells in (header, ["---"] * len(header), *rows):
        yield "| " + " | ".join(str(cells[place]).replace("|", "\\|") for place in keep) + " |"


def shown(figure: Mapping[str, Any], value: float) -> str:
    """A share in percent, a ratio, or an amount with its unit."""
    unit = unit_of(figure)
    return f"{100 * value:.1f}%" if unit == "%" else f"{value:,.2f}x" if unit == "x" else f"{value:,.4g}{unit}"


def interval(figure: Mapping[str, Any]) -> str:
    """In brackets, where there is one."""
    if figure.get("low") is None or figure.get("high") is None:
        return ""
    scale, digits = (100, 1) if unit_of(figure) == "%" else (1, 2)
    return f" [{scale * figure['low']:.{digits}f}, {scale * figure['high']:.{digits}f}]"


def bar(figure: Mapping[str, Any]) -> str:
    """The least or the most that is asked."""
    signs = {"≥": figure.get("at_least"), "≤": figure.get("at_most")}
    return " ".join(f"{sign} {shown(figure, limit)}" for sign, limit in signs.items() if limit is not None)


def unit_of(figure: Mapping[str, Any]) -> str:
    """The unit; where none is told, a ratio where value or bar exceeds 1, else a share."""
    ratio = figure["value"] > 1 or max(figure.get("at_least") or 0, figure.get("at_most") or 0) >= 1
    return figure.get("unit") or ("x" if ratio else "%")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
