"""Banking77 over three seeds, and with 8 and 16 rows a label: is the fine-tuned encoder steadily better?

    python3 dev.py bench banking77_seeds [--data FOLDER] [--only full]

A seed varies the validation cut, the order of rows and dropout; with few rows also which rows there are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from _common import Figure, finish
from _run import LoudEncoder, accuracy, chosen, cpu_s, hashes, kept, options_of, run
from _sets import Benchmark, banking77, few

from tasklift.measure.evaluation import Evaluation
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategy import Strategy

SEEDS = (0, 1, 2)
#: Least mean accuracy of the encoder on all rows.
FULL_BAR = 0.935
#: Rows a label -> accuracy that the frozen head is known to reach; the encoder must not be below.
FEW_BARS = {8: 0.850, 16: 0.873}
PUBLISHED_FULL = "MPNet fine-tuned 94.1 (Loukas et al. 2023)"
PUBLISHED_FEW = "5 / 10 rows a label: CPFT 80.9 / 87.2, ICDA 84.0 / 89.8; 20 rows a label: SetFit 91.2"

Found = tuple[list[Figure], dict[str, Any]]


def main() -> int:
    """Run the asked parts; each prints its figures and writes its results."""
    parser = options_of(__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="run only this part; may be repeated")
    asked = parser.parse_args()
    made = banking77(asked.data)
    codes = []
    for part in asked.only or PARTS:
        with kept("banking77"):
            figures, extra = PARTS[part](made)
        command = f"python3 dev.py bench banking77_seeds --only {part}"
        codes.append(finish(f"banking77_seeds_{part}", command, figures, extra | hashes(made)))
    return max(codes)


def full(made: Benchmark) -> Found:
    """All training rows: mean and spread over the seeds."""
    found = [
        run(f"Banking77, seed {seed}", made, {"encoder": LoudEncoder(seed=seed)}, reference="encoder") for seed in SEEDS
    ]
    figures = [
        Figure.share(f"encoder, accuracy, seed {seed}", accuracy(one, "encoder"), note=chosen(one, "encoder"))
        for seed, one in zip(SEEDS, found, strict=True)
    ]
    figures.append(_mean("encoder, mean accuracy", found, "encoder", FULL_BAR, PUBLISHED_FULL))
    return figures, {"title": "Banking77: three seeds", "cpu_s": cpu_s(*found)}


def few_rows(made: Benchmark) -> Found:
    """8 and 16 rows a label, drawn anew with each seed."""
    figures, every = [], []
    for per_label, known in FEW_BARS.items():
        found = []
        for seed in SEEDS:
            some = Benchmark(made.task, few(made.train, per_label, seed), made.test)
            strategies: dict[str, Strategy] = {"frozen": FrozenEncoder(seed=seed), "encoder": LoudEncoder(seed=seed)}
            found.append(run(f"Banking77, {per_label} a label, seed {seed}", some, strategies, reference="frozen"))
        said = f"{known:.1%} on another draw of rows"
        frozen = _mean(f"frozen, {per_label} a label, mean accuracy", found, "frozen", None, said)
        bar = max(known, frozen.value)
        figures += [frozen, _mean(f"encoder, {per_label} a label, mean accuracy", found, "encoder", bar, PUBLISHED_FEW)]
        every += found
    return figures, {"title": "Banking77: few rows a label", "cpu_s": cpu_s(*every)}


def _mean(what: str, found: list[Evaluation], name: str, bar: float | None, published: str) -> Figure:
    """Mean over the seeds; the note has each, and their standard deviation."""
    values = [accuracy(one, name).value for one in found]
    said = ", ".join(f"{100 * value:.1f}" for value in values)
    note = f"seeds: {said}; standard deviation {100 * np.std(values, ddof=1):.2f} points"
    return Figure(what, float(np.mean(values)), bar, note=note, published=published)


PARTS: dict[str, Callable[[Benchmark], Found]] = {"full": full, "few": few_rows}

if __name__ == "__main__":
    sys.exit(main())
