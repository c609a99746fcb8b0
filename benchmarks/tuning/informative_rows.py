"""Most informative rows first against rows at random: accuracy of the frozen head with 500 labels, two sets.

    python3 dev.py bench tuning informative_rows [--data FOLDER]

Rows are asked for in batches of 20, as `tasklift data label` does, starting without any label; the label is the set's
own. Five seeds each; a seed is that of the clustering, or of the draw. The head is the product's `frozen`, its C chosen
on validation cut from the 500 rows. The interval counts test rows and seeds: the standard error is
sqrt(var of the rows' mean difference / rows + var of the seeds' differences / seeds), with Student's t of seeds - 1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from _common import Figure, finish, note
from _run import kept, options_of
from _sets import Benchmark, banking77, massive
from scipy.stats import t as student

from tasklift.data.embed import open_embedder
from tasklift.data.labelling.choose import choose
from tasklift.data.labelling.session import BATCH
from tasklift.dataset import Dataset
from tasklift.stats.intervals import Interval
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategy import Context
from tuning._kept import CPU_S, remembered

ROW = "informative_rows"
LABELS = 500
SEEDS = (0, 1, 2, 3, 4)
SETS: dict[str, Callable[[Any], Benchmark]] = {"banking77": banking77, "massive": massive}


def main(arguments: Sequence[str]) -> int:
    """Both sets; each seed is computed once."""
    asked = options_of(__doc__).parse_args(arguments)
    figures, spent = [], 0.0
    for name, load in SETS.items():
        made = load(asked.data)
        ways: dict[str, list[list[int]]] = {"random": [], "informative": []}
        with kept(name):
            for seed in SEEDS:
                for way, pick in (("random", at_random), ("informative", informative)):
                    part = f"{name}, {way}, seed {seed}, {LABELS} labels, batches of {BATCH}"
                    found = remembered(ROW, part, partial(once, made, pick, seed))
                    spent += found[CPU_S]
                    ways[way].append(found["right"])
                    note(f"{part}: {np.mean(found['right']):.4f}")
        figures += figures_of(name, {way: np.array(some, dtype=float) for way, some in ways.items()})
    extra = {"title": f"Most informative rows first: {LABELS} labels, frozen head", "cpu_s": round(spent, 1)}
    return finish(f"tuning_{ROW}", f"python3 dev.py bench tuning {ROW}", figures, extra)


def once(made: Benchmark, pick: Callable[[Dataset, int], list[int]], seed: int) -> dict[str, Any]:
    """One way, one seed."""
    return right(made, pick(made.train, seed))


def informative(train: Dataset, seed: int) -> list[int]:
    """Places of the rows that a person would have been asked for."""
    vectors = open_embedder("minilm").encode([row.input["text"] for row in train])
    known: dict[int, str] = {}
    while len(known) < LABELS:
        for at in choose(vectors, known, min(BATCH, LABELS - len(known)), seed):
            known[at] = train.examples[at].output
    return list(known)


def at_random(train: Dataset, seed: int) -> list[int]:
    """Places drawn alike."""
    return [int(at) for at in np.random.default_rng(seed).choice(len(train), LABELS, replace=False)]


def right(made: Benchmark, places: Sequence[int]) -> dict[str, Any]:
    """[test rows] is the frozen head right, trained on these rows?"""
    rows = made.train.part((made.train.examples[at] for at in sorted(places)), f"{len(places)} rows")
    candidate = FrozenEncoder().fit(made.task, rows)
    said = asyncio.run(candidate.predict(made.test.inputs, Context()))
    return {"right": [int(one.output == wanted) for one, wanted in zip(said, made.test.outputs, strict=True)]}


def figures_of(name: str, ways: dict[str, np.ndarray[Any, np.dtype[np.float64]]]) -> list[Figure]:
    """Both means, and the difference with its interval.

    Args:
        ways: way -> [seeds, test rows] 1 where right.
    """
    figures = [
        Figure(
            f"{name}, {way}, mean accuracy",
            float(right.mean()),
            note="seeds: " + ", ".join(f"{100 * value:.1f}" for value in right.mean(axis=1)),
        )
        for way, right in ways.items()
    ]
    change = ways["informative"] - ways["random"]  # [seeds, rows]
    seeds, rows = change.shape
    error = float(np.sqrt(change.mean(axis=0).var(ddof=1) / rows + change.mean(axis=1).var(ddof=1) / seeds))
    middle, wide = float(change.mean()), float(student.ppf(0.975, seeds - 1)) * error
    interval = Interval(middle, middle - wide, middle + wide)
    told = "the bar is on the lower end of the interval"
    figures.append(Figure.share(f"{name}, gained over random rows", interval, unit="%", note=told))
    return [*figures, Figure(f"{name}, lower end of that gain", interval.low, 0.0, unit="%")]
