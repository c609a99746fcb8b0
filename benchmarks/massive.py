"""MASSIVE, en-US (60 intents of a voice assistant): accuracy on the 2,974 test rows.

    python3 dev.py bench massive [--data FOLDER]

Trained on the authors' training rows alone; what has to be chosen is chosen on rows cut from them.
"""

from __future__ import annotations

import sys

from _common import finish
from _run import LoudEncoder, accuracy_figures, cpu_s, hashes, kept, options_of, run, used
from _sets import massive

from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.knn import Knn
from tasklift.strategy import Strategy

BARS = {"majority": None, "baseline": None, "knn": None, "frozen": None, "encoder": 0.85}


def main() -> int:
    """Run and print."""
    made = massive(options_of(__doc__).parse_args().data)
    strategies: dict[str, Strategy] = {
        "majority": Majority(),
        "baseline": Baseline(),
        "knn": Knn(),
        "frozen": FrozenEncoder(),
        # Two epochs, and the rows of its validation are given up: a third of the time of the default.
        "encoder": LoudEncoder(max_epochs=2),
    }
    with kept("massive"):
        found = run("MASSIVE", made, strategies)
    extra = {"title": "MASSIVE en-US: 60 intents", "candidates": used(found), "cpu_s": cpu_s(found)}
    return finish("massive", "python3 dev.py bench massive", accuracy_figures(found, BARS), extra | hashes(made))


if __name__ == "__main__":
    sys.exit(main())
