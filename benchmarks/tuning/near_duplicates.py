"""Near-duplicates of test rows planted in training rows: how many are found, and how long 100,000 rows take.

    python3 dev.py bench tuning near_duplicates [--data FOLDER]

A tenth of Banking77's test rows are copied into the training rows, each changed in one way: upper case, punctuation,
two letters swapped, a letter left out, a polite word in front, a word at the end. The 100,000 rows are sentences of
four sets, and pairs of halves of them, so that no two need be equal.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from _common import Figure, data_file, finish
from _run import options_of
from _sets import banking77

from tasklift.data.audit.duplicates import alike
from tasklift.data.audit.leakage import leaking_places
from tasklift.data.audit.near import near_pairs
from tasklift.stats.intervals import wilson

ROWS = 100_000
BAR_S = 60.0
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
    """Plant, look, time."""
    asked = options_of(__doc__).parse_args(arguments)
    made, draw = banking77(asked.data), random.Random(0)
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
    others = len(found) - hits
    wall, cpu = time.perf_counter(), time.process_time()
    pairs = near_pairs(many(asked.data))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    figures = [
        Figure.share(
            "planted near-duplicates found",
            wilson(hits, len(planted)),
            1.0,
            note=f"{hits} of {len(planted)}; {others} training rows of the set itself are near test rows too",
        ),
        Figure(f"{ROWS:,} rows compared, CPU time", cpu, at_most=BAR_S, unit=" s", note=f"{wall:.0f} s on the clock"),
        Figure(f"{ROWS:,} rows, pairs found", len(pairs), unit=" pairs"),
    ]
    table = [[kind, str(kinds.count(kind)), str(by_kind[kind])] for kind in CHANGES]
    extra = {
        "title": "Near-duplicates across splits",
        "cpu_s": round(cpu, 1),
        "tables": [{"title": "By kind of change", "header": ["change", "planted", "found"], "rows": table}],
    }
    return finish("tuning_near_duplicates", "python3 dev.py bench tuning near_duplicates", figures, extra)


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
