"""Unfair clauses in English terms of service: F1 of `unfair`, beside the linear SVM's.

    python3 dev.py bench unfair_tos [--data FOLDER]

One sentence in eight is unfair, so the probability from which a sentence is called unfair matters. It is
chosen for every candidate alike: the documents of the training folds are cut in two, candidates learn from
the first part, and the threshold with the highest F1 on the second is used on the documents of the test fold.
"""

from __future__ import annotations

import sys

from _common import Figure, finish
from _run import LoudEncoder, cpu_s, f1_gain, hashes, kept, options_of, run, threshold_figures, used
from _sets import Benchmark, unfair_tos

from tasklift.data.split import split_dataset
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.blend import Blend
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.knn import Knn
from tasklift.strategy import Strategy

LABEL = "unfair"
#: Share of the training rows, in whole documents, that candidates learn from.
SHARE = 0.85


def main() -> int:
    """Run and print."""
    made = unfair_tos(options_of(__doc__).parse_args().data)
    first, second = split_dataset(made.train, SHARE, by="group")
    strategies: dict[str, Strategy] = {
        "majority": Majority(),
        "baseline": Baseline(),
        "knn": Knn(),
        "frozen": FrozenEncoder(),
        "encoder": LoudEncoder(max_epochs=2),
        "blend": Blend(max_epochs=2),
    }
    cut = Benchmark(made.task, first, made.test)
    with kept("unfair_tos"):
        tuning = run("Unfair terms, rows for the threshold", cut, strategies, second)
        found = run("Unfair terms", cut, strategies)
    figures = threshold_figures(tuning, found, LABEL, dict.fromkeys(strategies))
    for name in ("encoder", "blend"):
        gain = f1_gain(tuning, found, LABEL, (name, "baseline"))
        figures.append(Figure.share(f"{name}, F1 above the SVM's", gain))
        figures.append(Figure(f"{name}, lower end of that interval", gain.low, at_least=0.0))
    extra = {"title": "Unfair terms, English: F1 of unfair", "candidates": used(found), "cpu_s": cpu_s(found)}
    return finish("unfair_tos", "python3 dev.py bench unfair_tos", figures, extra | hashes(made))


if __name__ == "__main__":
    sys.exit(main())
