"""SMS Spam: F1 of spam on 1,081 test messages.

    python3 dev.py bench sms_spam [--data FOLDER]

Candidates learn from 85% of the training rows; the probability from which a message is called spam is the one with
the highest F1 on the other 15%, for every candidate alike.
"""

from __future__ import annotations

import sys

from _common import finish
from _run import LoudEncoder, cpu_s, hashes, kept, options_of, run, threshold_figures, used
from _sets import Benchmark, sms_spam

from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.blend import Blend
from tasklift.strategies.classifier import validation_cut
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.knn import Knn
from tasklift.strategy import Strategy

BARS = {"majority": None, "baseline": None, "knn": None, "frozen": None, "encoder": 0.97, "blend": 0.98}
PUBLISHED = {"encoder": "BERT fine-tuned 99.5, with 20 rows a label 92.9 (accuracy)"}


def main() -> int:
    """Run and print."""
    made = sms_spam(options_of(__doc__).parse_args().data)
    first, second = validation_cut(made.train, seed=1)  # the candidates' own cuts have seed 0
    strategies: dict[str, Strategy] = {
        "majority": Majority(),
        "baseline": Baseline(),
        "knn": Knn(),
        "frozen": FrozenEncoder(),
        "encoder": LoudEncoder(),
        "blend": Blend(),
    }
    cut = Benchmark(made.task, first, made.test)
    with kept("sms_spam"):
        tuning = run("SMS Spam, rows for the threshold", cut, strategies, second)
        found = run("SMS Spam", cut, strategies)
    figures = threshold_figures(tuning, found, "spam", BARS, PUBLISHED)
    extra = {"title": "SMS Spam: F1 of spam", "candidates": used(found), "cpu_s": cpu_s(found)}
    return finish("sms_spam", "python3 dev.py bench sms_spam", figures, extra | hashes(made))


if __name__ == "__main__":
    sys.exit(main())
