"""Near-duplicates of test rows planted in training rows: how many are found, and how long 100,000 rows take.

    python3 dev.py bench tuning near_duplicates [--data FOLDER] [--seed N]

A tenth of Banking77's test rows are copied into the training rows, each changed in one way: upper case, punctuation,
two letters swapped, a letter left out, a polite word in front, a word at the end. The 100,000 rows are sentences of
four sets, and pairs of halves of them, so that no two need be equal. Plants
of a fresh seed stand beside those that the rules were extended on.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from _common import Figure, data_file, finish
from _run import options_of
from _sets import Benchmark, banking77

from tasklift.data.audit.duplicates import alike
from tasklift.data.audit.leakage import leaking_places
from tasklift.data.audit.near import near_pairs
from tasklift.stats.intervals import wilson

ROWS = 100_000
BAR_S = 60.0
SEED = 0  # rules were extended after four of these plants had been missed
FRESH = 20261128
Change = Callable[[str, random.Random], str]


def _swapped(text: str, draw: random.Random) -> str:
    at = draw.randrange(len(text) - 1)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def _dropped(text: str, draw: random.Random) -> str:
    at = draw.randrange(len(text))
    return text[:at] + text[at + 1 :]


CHANGES: dict[str, Change] = {
    "upper case": lambda text, draw: text.upper(),
    "punctuation": lambda text, draw: text.rstrip("?.!") + draw.choice(["!!", " ...", " ?", ";"]),
    "two letters swapped": _swapped,
    "a letter left out": _dropped,
    "a word in front": lambda text, draw: draw.choice(["Hi, ", "Please: ", "Hello "]) + text,
    "a word at the end": lambda text, draw: text + draw.choice([" thanks", " pls", " asap"]),
}


def main(arguments: Sequence[str]) -> int:
    """Plant twice, look, time."""
    parser = options_of(__doc__)
    parser.add_argument("--seed", type=int, default=FRESH, help="of the fresh plants, on which no rule was chosen")
    asked = parser.parse_args(arguments)
    made = banking77(asked.data)
    figures, tables = [], []
    for told, seed in (("", SEED), (f"fresh seed {asked.seed}, ", asked.seed)):
        figure, table = planted_found(made, told, seed)
        figures.append(figure)
        tables.append(table)
    wall, cpu = time.perf_counter(), time.process_time()
    pairs = near_pairs(many(asked.data))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    figures += [
        Figure(f"{ROWS:,} rows compared, CPU time", cpu, at_most=BAR_S, unit=" s", note=f"{wall:.0f} s on the clock"),
        Figure(f"{ROWS:,} rows, pairs found", len(pairs), unit=" pairs"),
    ]
    extra = {"title": "Near-duplicates across splits", "cpu_s": round(cpu, 1), "tables": tables}
    return finish("tuning_near_duplicates", "python3 dev.py bench tuning near_duplicates", figures, extra)


def planted_found(made: Benchmark, told: str, seed: int) -> tuple[Figure, dict[str, Any]]:
    """How many of the planted rows are found, and a table by kind of change."""
    draw = random.Random(seed)
    chosen = draw.sample(list(made.test.examples), len(made.test) // 10)
    kinds = [list(CHANGES)[n % len(CHANGES)] for n in range(len(chosen))]
    planted = [
        replace(row, id=f"planted-{row.id}", input={"text": CHANGES[kind](row.input["text"], draw)}, split="train")
        for row, kind in zip(chosen, kinds, strict=True)
    ]
    rows = [*made.train, *planted, *made.test]
    found = {rows[at].id for at in leaking_places(rows, alike(rows).near)}
    by_kind = Counter(kind for row, kind in zip(planted, kinds, strict=True) if row.id in found)
    hits = sum(by_kind.values())
    others = f"{len(found) - hits} training rows of the set itself are near test rows too"
    figure = Figure.share(
        f"{told}planted near-duplicates found",
        wilson(hits, len(planted)),
        1.0,
        note=f"{hits} of {len(planted)}; {others}",
    )
    table = [[kind, str(kinds.count(kind)), str(by_kind[kind])] for kind in CHANGES]
    return figure, {"title": f"{told}by kind of change", "header": ["change", "planted", "found"], "rows": table}


def many(data: Path | None) -> list[str]:
    """100,000 texts."""
    texts: list[str] = []
    for name in ("banking77/banking77", "massive_en_us/massive_en_us", "clinc150/clinc150", "sms_spam/sms_spam"):
        lines = data_file(data, f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        texts += [json.loads(line)["text"] for line in lines]
    draw = random.Random(1)
    while len(texts) < ROWS:
        first, second = draw.choice(texts), draw.choice(texts)
        texts.append(first[: len(first) // 2 + 1] + second[len(second) // 2 :])
    return texts[:ROWS]
