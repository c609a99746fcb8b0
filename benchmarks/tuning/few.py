"""Banking77, 8, 16 and 20 rows a label: the encoder against setfit and the frozen head, three seeds.

    python3 dev.py bench tuning few [--data FOLDER] [--rows 8 16 20] [--seeds 0 1 2] [--pairs 5]

A seed draws the rows and the order of training. setfit (an environment of its own, one thread, the same encoder) trains
with its defaults on `pairs` positive and as many negative pairs a row; its own default, all pairs there are, would take
hours. Its head has C = 1; "C chosen" is the same tuned encoder with a head whose C is chosen by cross-validation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from _common import Figure, finish
from _run import LoudEncoder, accuracy, cpu_s, hashes, kept, options_of, run
from _sets import Benchmark, banking77, few

from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategy import Strategy
from tuning._peers import run_peer, setfit_python

PUBLISHED = "5 / 10 rows a label: CPFT 80.9 / 87.2, ICDA 84.0 / 89.8; 20 rows a label: SetFit with MPNet 91.2"


def main(arguments: Sequence[str]) -> int:
    """Run everything for each number of rows and seed, print; each number of rows is a result of its own."""
    parser = options_of(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[8, 16, 20], help="rows a label (default: 8 16 20)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--pairs", type=int, default=5, help="positive pairs a row for setfit (default: 5)")
    asked = parser.parse_args(arguments)
    made = banking77(asked.data)
    torch.set_num_threads(1)
    worst = 0
    for per_label in asked.rows:
        spent = 0.0
        reached: dict[str, list[float]] = {"frozen": [], "encoder": [], "setfit": [], "setfit, C chosen": []}
        taken: dict[str, list[float]] = {name: [] for name in reached}
        for seed in asked.seeds:
            some = Benchmark(made.task, few(made.train, per_label, seed), made.test)
            strategies: dict[str, Strategy] = {"frozen": FrozenEncoder(seed=seed), "encoder": LoudEncoder(seed=seed)}
            with kept("banking77"):
                found = run(f"Banking77, {per_label} a label, seed {seed}", some, strategies, reference="frozen")
            for name in strategies:
                reached[name].append(accuracy(found, name).value)
                taken[name].append(found.result(name).card.setup.cpu_s)
            peer = run_peer("_peer_setfit", setfit_python(), some.train, some, seed=seed, pairs=asked.pairs)
            for name, share in (("setfit", peer.accuracy), ("setfit, C chosen", peer.better)):
                reached[name].append(share)
                taken[name].append(peer.fit_cpu_s)
            spent += cpu_s(found) + peer.cpu_s
        told = f"--rows {per_label} --seeds {' '.join(map(str, asked.seeds))} --pairs {asked.pairs}"
        extra = {"title": f"Tuning: Banking77, {per_label} rows a label, against setfit", "cpu_s": round(spent, 1)}
        extra |= {"setfit_pairs_a_row": asked.pairs, **hashes(made)}
        figures = _figures(per_label, reached, taken)
        command = f"python3 dev.py bench tuning few {told}"
        worst = max(worst, finish(f"tuning_few_{per_label:02d}", command, figures, extra))
    return worst


def _figures(per_label: int, reached: dict[str, list[float]], taken: dict[str, list[float]]) -> list[Figure]:
    """Means over the seeds; the encoder's bar is the best of the others."""
    means = {name: float(np.mean(values)) for name, values in reached.items()}
    bars = {"encoder": max(value for name, value in means.items() if name != "encoder")}
    return [
        Figure(
            f"{name}, {per_label} a label, mean accuracy",
            means[name],
            bars.get(name),
            note="seeds: "
            + ", ".join(f"{100 * value:.1f}" for value in values)
            + f"; {np.mean(taken[name]):.0f} CPU-s a fit",
            published=PUBLISHED if name == "encoder" else "",
        )
        for name, values in reached.items()
    ]
