"""Statistics: do intervals cover, tests alarm and certificates break as often as they say?

    python3 dev.py bench statistics_checks [--data FOLDER] [--only ltt]

Simulations from known truths, each figure with its Monte Carlo interval and standard error. Where
the data set banking77 is there (--data or TASKLIFT_DATA), thresholds are also certified on real splits, and
a learning curve is extended to sizes that were left out. Draws are seeded: a run gives the same figures.
"""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _common import HOW_TO, Figure, data_folder, finish, note
from _real_splits import DELTA, real_splits, tuned_threshold
from numpy.typing import NDArray
from scipy.special import softmax

from tasklift.stats.bootstrap import bca, macro_f1_metric, mean_metric, paired_bootstrap
from tasklift.stats.calibration import expected_calibration_error, fit_temperature
from tasklift.stats.comparison import holm, mcnemar_midp, mcnemar_power, rows_needed
from tasklift.stats.eprocess import first_alarm, log_e_paired, log_e_two_streams
from tasklift.stats.intervals import Interval, paired_difference, wilson
from tasklift.stats.learn_then_test import learn_then_test
from tasklift.stats.learning_curve import fit_learning_curve
from tasklift.stats.permutation import sign_flip_test, swap_test
from tasklift.stats.ppi import powered_mean

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
ALPHA = 0.05
#: Least true coverage of intervals that are nominally 95%: approximations are allowed one point, bootstraps two.
COVERS, BOOTSTRAP_COVERS = 0.94, 0.93
DRAWS = 1000


def main() -> int:
    """Run the asked parts and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with banking77/banking77.jsonl; else TASKLIFT_DATA")
    parser.add_argument(
        "--only", choices=[*SIMULATED, "real"], action="append", help="run only this part; may be repeated"
    )
    asked = parser.parse_args()
    figures: list[Figure] = []
    seconds: dict[str, float] = {}
    parts: dict[str, Callable[[], list[Figure]]] = {
        **SIMULATED,
        "real": lambda: real_splits(data_folder(asked.data, "banking77")),
    }
    for name in asked.only or parts:
        if name == "real" and not asked.only and not (asked.data or os.environ.get("TASKLIFT_DATA")):
            note(f"real splits are left out: {HOW_TO}")
            continue
        note(f"{name} ...")
        begun = time.process_time()
        figures += parts[name]()
        seconds[name] = round(time.process_time() - begun, 1)
    command = "python3 dev.py bench statistics_checks " + shlex.join(sys.argv[1:])
    return finish("statistics_checks", command.strip(), figures, {"cpu_s": seconds})


def counted(
    what: str, hits: float, runs: int, at_least: float | None = None, at_most: float | None = None, said: str = ""
) -> Figure:
    """How often something happened, with its standard error."""
    share = hits / runs
    error = f"SE {100 * math.sqrt(share * (1 - share) / runs):.2f} points, {runs:,} draws"
    return Figure.share(what, wilson(hits, runs), at_least, at_most, note="; ".join(filter(None, [error, said])))


def ceiling(level: float, runs: int) -> float:
    """A highest rate with two standard errors of the simulation."""
    return level + 2 * math.sqrt(level * (1 - level) / runs)


def least(level: float, runs: int) -> float:
    """A lowest rate with two standard errors of the simulation."""
    return level - 2 * math.sqrt(level * (1 - level) / runs)


def inside(interval: Interval, truth: float) -> bool:
    """Does it cover?"""
    return interval.low <= truth <= interval.high


# Intervals, all 95%


def coverage() -> list[Figure]:
    """How often each interval covers the truth."""
    return [*of_proportions(), *of_bootstraps(), of_clusters(), of_pairs(), of_ppi()]


def of_proportions() -> list[Figure]:
    """Wilson and paired differences over several sizes and rates."""
    rng, runs = np.random.default_rng(0), 5000
    cases, hits = [(50, 0.9), (200, 0.8), (300, 0.5), (1000, 0.95)], 0
    for n, p in cases:
        covers = np.array([inside(wilson(k, n), p) for k in range(n + 1)])
        hits += int(covers[rng.binomial(n, p, runs)].sum())
    found = [counted("Wilson", hits, runs * len(cases), least(COVERS, runs * len(cases)), said=f"n, p: {cases}")]
    pairs, hits = [(60, 0.1, 0.1), (200, 0.08, 0.03), (1000, 0.06, 0.04)], 0
    for n, a, b in pairs:
        counts = rng.multinomial(n, [a, b, 1 - a - b], runs)
        hits += sum(inside(paired_difference(int(x), int(y), n), a - b) for x, y, _ in counts)
    return [
        *found,
        counted(
            "paired difference",
            hits,
            runs * len(pairs),
            least(COVERS, runs * len(pairs)),
            said=f"n, only a, only b: {pairs}",
        ),
    ]


def of_bootstraps() -> list[Figure]:
    """BCa of a skewed mean and of macro-F1."""
    rng, hits = np.random.default_rng(1), 0
    for run in range(DRAWS):
        hits += inside(bca(mean_metric(rng.exponential(size=100)), 100, draws=1000, seed=run), 1.0)
    found = [
        counted("BCa, mean of a skewed score", hits, DRAWS, least(BOOTSTRAP_COVERS, DRAWS), said="n = 100, exponential")
    ]
    truth, answer, _ = answers(rng, 400_000)
    true, runs, hits = float(macro_f1_metric(truth, answer, 5)(np.ones((1, len(truth))))[0]), 600, 0
    for run in range(runs):
        truth, answer, _ = answers(rng, 300)
        hits += inside(bca(macro_f1_metric(truth, answer, 5), 300, draws=1000, seed=run), true)
    return [*found, counted("BCa, macro-F1 of 5 labels", hits, runs, least(BOOTSTRAP_COVERS, runs), said="n = 300")]


def answers(rng: np.random.Generator, n: int) -> tuple[Ints, Ints, Ints]:
    """Truth over 5 labels of unequal frequency, and two options' answers, equally good, right on about 80%."""
    truth = rng.choice(5, n, p=[0.4, 0.25, 0.15, 0.12, 0.08])
    hard = rng.random(n) < 0.35
    of_a, of_b = (np.where(hard & (rng.random(n) < 0.7), rng.integers(0, 5, n), truth) for _ in range(2))
    return truth, of_a, of_b


def of_clusters() -> Figure:
    """BCa by cluster, and what it would be by row."""
    rng, runs, hits, blind = np.random.default_rng(2), 600, 0, 0
    for run in range(runs):
        clusters = np.repeat(np.arange(60), rng.integers(1, 12, 60))
        right = (rng.random(len(clusters)) < rng.beta(4, 1, 60)[clusters]).astype(float)
        hits += inside(bca(mean_metric(right), len(right), clusters, draws=1000, seed=run), 0.8)
        blind += inside(bca(mean_metric(right), len(right), draws=400, seed=run), 0.8)
    said = f"60 customers of 1 to 11 rows; resampled by row instead: {blind / runs:.1%}"
    return counted("BCa by cluster, accuracy", hits, runs, least(BOOTSTRAP_COVERS, runs), said=said)


def of_pairs() -> Figure:
    """The paired bootstrap of a difference in macro-F1 that is 0."""
    rng, runs, hits = np.random.default_rng(3), 500, 0
    for run in range(runs):
        truth, a, b = answers(rng, 300)
        found = paired_bootstrap(macro_f1_metric(truth, a, 5), macro_f1_metric(truth, b, 5), draws=1000, seed=run)
        hits += inside(found, 0.0)
    return counted(
        "paired bootstrap, difference in macro-F1", hits, runs, least(BOOTSTRAP_COVERS, runs), said="n = 300"
    )


def of_ppi() -> Figure:
    """200 human labels with a judge that agrees on 85% and leans to 'right'."""
    rng, runs, hits, worth = np.random.default_rng(4), 3000, 0, 0.0
    for _ in range(runs):
        right = (rng.random(3200) < 0.8).astype(float)
        judged = np.where(rng.random(3200) < np.where(right == 1, 0.95, 0.6), right, 1 - right)
        found = powered_mean(right[:200], judged[:200], judged[200:])
        hits += inside(found.interval, 0.8)
        worth += found.labels_worth / runs
    said = f"200 labels and 3,000 judged rows are as narrow as {worth:.0f} labels"
    return counted("prediction-powered mean", hits, runs, least(COVERS, runs), said=said)


# Tests at 5%


def false_alarms() -> list[Figure]:
    """How often each test alarms where there is nothing, and shows what is there."""
    return [of_mcnemar(), of_power(), of_holm(), of_sign_flips(), of_swaps()]


def of_mcnemar() -> Figure:
    """300 rows, 10% discordant, no difference."""
    rng, runs = np.random.default_rng(5), 20_000
    counts = rng.multinomial(300, [0.05, 0.05, 0.9], runs)
    alarms = sum(mcnemar_midp(int(a), int(b)) <= ALPHA for a, b, _ in counts)
    said = f"exact: {mcnemar_power(300, 0.0):.2%}"
    return counted("McNemar mid-p, false alarms", alarms, runs, at_most=ceiling(ALPHA, runs), said=said)


def of_power() -> Figure:
    """The rows planned for 5 points at 80% power."""
    rng, runs, rows = np.random.default_rng(6), 20_000, rows_needed(0.05)
    counts = rng.multinomial(rows, [0.075, 0.025, 0.9], runs)
    shown = sum(mcnemar_midp(int(a), int(b)) <= ALPHA for a, b, _ in counts)
    said = f"{rows} rows planned for 80%; exact: {mcnemar_power(rows, 0.05):.2%}"
    return counted("5 points shown by the rows planned for it", shown, runs, 0.78, said=said)


def of_holm() -> Figure:
    """Five options that are no better: is any of them called better?"""
    rng, runs, alarms, plain = np.random.default_rng(7), 4000, 0, 0
    table = {k: mcnemar_midp(k, 40 - k) for k in range(41)}
    for counts in rng.binomial(40, 0.5, (runs, 5)):
        values = {str(i): table[int(k)] for i, k in enumerate(counts)}
        plain += min(values.values()) <= ALPHA
        alarms += min(holm(values).values()) <= ALPHA
    said = f"5 comparisons; uncorrected: {plain / runs:.1%}"
    return counted("Holm, any false alarm", alarms, runs, at_most=ceiling(ALPHA, runs), said=said)


def of_sign_flips() -> Figure:
    """Clustered differences without an effect."""
    rng, runs, alarms, blind = np.random.default_rng(8), 2000, 0, 0
    clusters = np.repeat(np.arange(25), 8)
    for run in range(runs):
        differences = rng.normal(size=25)[clusters] + rng.normal(size=200)
        alarms += sign_flip_test(differences, clusters, draws=499, seed=run) <= ALPHA
        blind += sign_flip_test(differences, draws=199, seed=run) <= ALPHA
    said = f"25 customers of 8 rows; flipped by row instead: {blind / runs:.1%}"
    return counted("sign-flip test by cluster, false alarms", alarms, runs, at_most=ceiling(ALPHA, runs), said=said)


def of_swaps() -> Figure:
    """Two equally good options compared by macro-F1."""
    rng, runs, alarms = np.random.default_rng(9), 1500, 0
    for run in range(runs):
        truth, a, b = answers(rng, 200)
        p_value = swap_test(macro_f1_metric(truth, a, 5), macro_f1_metric(truth, b, 5), draws=499, seed=run)
        alarms += p_value <= ALPHA
    return counted("swap test of macro-F1, false alarms", alarms, runs, at_most=ceiling(ALPHA, runs), said="n = 200")


# Looking every day


def every_look() -> list[Figure]:
    """False alarms of e-processes looked at all the time, and of a test that is not made for it."""
    rng, runs, pairs, a_day = np.random.default_rng(10), 4000, 1000, 20
    k, n = np.cumsum(rng.random((runs, pairs)) < 0.5, axis=1), np.arange(1, pairs + 1)
    two = int(sum(first_alarm(log_e_paired(row, n)) is not None for row in k))
    one = int(sum(first_alarm(log_e_paired(row, n, "more")) is not None for row in k))
    table = {day: [mcnemar_midp(i, day - i) <= ALPHA for i in range(day + 1)] for day in range(a_day, pairs + 1, a_day)}
    peeked = sum(any(table[day][row[day - 1]] for day in table) for row in k)
    k = np.cumsum(rng.random((1000, pairs)) < 0.65, axis=1)
    alarms = [first_alarm(log_e_paired(row, n, "more")) for row in k]
    wait = np.median([pairs if at is None else at + 1 for at in alarms])
    said = f"1,000 pairs, a look after each; at 65% worse the median alarm comes after {wait:.0f}"
    return [
        counted("e-process of pairs, false alarms", two, runs, at_most=ALPHA, said="1,000 pairs, a look after each"),
        counted("e-process of pairs, one-sided", one, runs, at_most=ALPHA, said=said),
        counted("McNemar looked at daily, for comparison", peeked, runs, said=f"a look every {a_day} pairs"),
        of_streams(),
    ]


def of_streams() -> Figure:
    """Two independent streams with an error rate of 10%."""
    rng, runs, alarms = np.random.default_rng(11), 2000, 0
    for _ in range(runs):
        a, b = rng.binomial(4, 0.1, 400), rng.binomial(1, 0.1, 400)
        alarms += first_alarm(log_e_two_streams(a, b, (4, 1))) is not None
    said = "400 blocks of 4 and 1 items, a look after each"
    return counted("e-process of two streams, false alarms", alarms, runs, at_most=ALPHA, said=said)


# Calibration and learning curve


def fits() -> list[Figure]:
    """What fitted temperatures and extended learning curves are worth on what comes later."""
    rng = np.random.default_rng(12)
    before: list[float] = []
    after: list[float] = []
    for _ in range(200):
        logits = rng.normal(size=(3000, 10)) * 2
        truth = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
        boasting = 3 * logits
        temperature = fit_temperature(boasting[:500], truth[:500])
        for kept, scaled in ((before, boasting[500:]), (after, boasting[500:] / temperature)):
            confidence = softmax(scaled, axis=1)
            kept.append(expected_calibration_error(confidence.max(axis=1), confidence.argmax(axis=1) == truth[500:]))
    said = f"500 rows to fit, 2,500 to judge; before: {np.mean(before):.1%}"
    calibrated = Figure("temperature scaling, calibration error", float(np.mean(after)), at_most=0.03, note=said)
    sizes, runs, hits = np.array([250, 500, 1000, 2000, 4000]), 1000, 0
    for _ in range(runs):
        c, a, b = rng.uniform(0, 0.1), rng.uniform(1, 4), rng.uniform(0.3, 0.7)
        seen = rng.binomial(1000, np.minimum(c + a * sizes**-b, 1)) / 1000
        found = fit_learning_curve(sizes, seen, 1000).at(8000)
        hits += abs(found.mean - (c + a * 8000**-b)) <= 2 * found.sd
    return [
        calibrated,
        counted("learning curve, 2 SD at twice the size", hits, runs, least(COVERS, runs), said="5 sizes"),
    ]


# Learn-then-Test

#: Name -> rows, alpha, and P(wrong) of the row at rank u (0: surest), a known risk curve.
CURVES: dict[str, tuple[int, float, Callable[[Array], Array]]] = {
    "7.5% wrong overall, 2,500 rows": (2500, 0.05, lambda u: 0.525 * u**6),
    "the same, 2% risk": (2500, 0.02, lambda u: 0.525 * u**6),
    "20% wrong overall, 600 rows": (600, 0.1, lambda u: 0.4 * u),
    "equal confidences (20 levels)": (600, 0.1, lambda u: 0.4 * np.ceil(20 * u) / 20),
    "a bump among the sure rows": (1000, 0.1, lambda u: np.where((u > 0.25) & (u < 0.35), 0.5, 0.15 * u**2)),
    "all thresholds a bit too risky": (1000, 0.1, lambda u: np.full(len(u), 0.105)),
}


def ltt() -> list[Figure]:
    """How often a certified threshold breaks its promise, beside one tuned until it looks right."""
    figures = []
    for name, (n, alpha, wrong_at) in CURVES.items():
        grid = (np.arange(100_000) + 0.5) / 100_000
        risk = np.cumsum(wrong_at(grid)) / np.arange(1, 100_001)
        rng, missed, naive, cover = np.random.default_rng(13), 0, 0, []
        for _ in range(DRAWS):
            u = rng.random(n)
            wrong = (rng.random(n) < wrong_at(u)).astype(float)
            confidence = 1 - (np.ceil(20 * u) / 20 if "levels" in name else u)
            certified = accepted(learn_then_test(confidence, wrong, alpha, DELTA).threshold)
            tuned = accepted(tuned_threshold(confidence, wrong, alpha))
            missed += certified > 0 and risk_at(risk, certified) > alpha
            naive += tuned > 0 and risk_at(risk, tuned) > alpha
            cover.append(certified)
        best = np.flatnonzero(risk <= alpha)
        said = (
            f"risk {alpha:.0%}; tuned instead: {naive / DRAWS:.0%}; accepts {np.mean(cover):.1%}"
            f" of {(best[-1] + 1) / 100_000 if len(best) else 0:.1%} possible"
        )
        figures.append(counted(f"LTT misses: {name}", missed, DRAWS, at_most=ceiling(DELTA, DRAWS), said=said))
    return figures


def accepted(threshold: float | None) -> float:
    """Share of all rows above a threshold, where the confidence is 1 - u and u is uniform."""
    return 0.0 if threshold is None else 1 - threshold


def risk_at(risk: Array, share: float) -> float:
    """Risk among the surest share of rows; rounding at the edge of a level is forgiven."""
    return float(risk[min(max(round(share * len(risk)) - 1, 0), len(risk) - 1)]) - 1e-9


SIMULATED: dict[str, Callable[[], list[Figure]]] = {
    "coverage": coverage,
    "false_alarms": false_alarms,
    "every_look": every_look,
    "fits": fits,
    "ltt": ltt,
}

if __name__ == "__main__":
    sys.exit(main())
