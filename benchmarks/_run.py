"""Running an evaluation for a benchmark, and what is read off it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _common import RESULTS, Figure, note
from _sets import Benchmark
from numpy.typing import NDArray

from tasklift.cache import caching_in
from tasklift.cli.show import Table, comparison_lines
from tasklift.dataset import Dataset
from tasklift.measure.evaluation import Evaluation, Options, evaluate
from tasklift.stats.intervals import Interval
from tasklift.strategies.checkpoint import Report
from tasklift.strategies.encoder import Encoder, EncoderCandidate
from tasklift.strategies.targets import ScoredCandidate
from tasklift.strategy import Strategy
from tasklift.task import Task

RESAMPLES = 2000


@dataclass(frozen=True)
class LoudEncoder(Encoder):
    """The encoder, telling each epoch: a fit of minutes should not be silent. Its fingerprint is the plain one's."""

    def fit(self, task: Task, train: Dataset, report: Report = note) -> EncoderCandidate | ScoredCandidate:
        """As always."""
        return super().fit(task, train, report)


def options_of(doc: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark on a set has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder that holds the data sets; else TASKLIFT_DATA")
    return parser


def state_of(name: str) -> Path:
    """Where a set's candidates, evaluations and vectors are kept."""
    return RESULTS / "cache" / name


@contextmanager
def kept(name: str) -> Iterator[Path]:
    """Vectors and answers of models are kept with the set's state inside the block."""
    folder = state_of(name)
    with caching_in(folder / "cache"):
        yield folder


def run(
    title: str, made: Benchmark, strategies: Mapping[str, Strategy], rows: Dataset | None = None, reference: str = ""
) -> Evaluation:
    """Evaluate on the test rows (or `rows`), with the table as it grows."""
    rows = rows or made.test
    table = Table(sys.stdout)
    table.open(f"{title}: {len(made.train)} training rows, {len(rows)} test rows")
    options = Options(folder=state_of(made.task.name), reference=reference or "baseline")
    found = evaluate(made.task, strategies, made.train, rows, options, table)
    print("\n".join(["", *comparison_lines(found), ""]), flush=True)
    return found


def accuracy(found: Evaluation, name: str) -> Interval:
    """Share of right answers with its interval; nothing answered counts as 0."""
    return found.result(name).scores.accuracy or Interval(0.0, 0.0, 1.0)


def accuracy_figures(
    found: Evaluation, bars: Mapping[str, float | None], published: Mapping[str, str] | None = None
) -> list[Figure]:
    """Accuracy of each candidate in `bars`, with what was chosen on validation."""
    return [
        Figure.share(f"{name}, accuracy", accuracy(found, name), bar, note=chosen(found, name), published=said)
        for name, bar in bars.items()
        for said in [(published or {}).get(name, "")]
    ]


def chosen(found: Evaluation, name: str) -> str:
    """What validation chose for a candidate."""
    notes = found.result(name).card.notes
    return ", ".join(f"{key} = {notes[key]:g}" for key in ("c", "k", "epochs") if key in notes)


def hashes(made: Benchmark) -> dict[str, str]:
    """Content hashes of the rows, so that a reader knows that theirs are the same."""
    return {"train": made.train.content_hash, "test": made.test.content_hash}


def used(found: Evaluation) -> list[dict[str, object]]:
    """What each candidate took: CPU seconds to make and to run."""
    return [
        {
            "name": result.name,
            "fit_cpu_s": round(result.card.setup.cpu_s, 1),
            "predict_cpu_s": round(result.scores.usage.cpu_s, 1),
            "p50_ms": round(1000 * (result.scores.latency_p50_s or 0), 2),
            "ece": result.scores.ece,
            "failures": result.scores.failures,
        }
        for result in found.results
    ]


def cpu_s(*found: Evaluation) -> float:
    """CPU seconds of all fits and predictions, those found in a cache included."""
    results = [result for evaluation in found for result in evaluation.results]
    return round(sum(result.card.setup.cpu_s + result.scores.usage.cpu_s for result in results), 1)


def probability(found: Evaluation, name: str, label: str) -> NDArray[np.float64]:
    """[n] what a candidate gave to `label`; 0 for a failed row."""
    return np.array([(p.scores or {}).get(label, 0.0) for p in found.result(name).predictions])


def answer_figures(
    found: Evaluation, label: str, bars: Mapping[str, float | None], published: Mapping[str, str] | None = None
) -> list[Figure]:
    """F1 of one label on the test rows, as the candidates answer."""
    return [
        _f1_figure(
            found, (name, label), np.array([p.output == label for p in found.result(name).predictions]), bar, published
        )
        for name, bar in bars.items()
    ]


def threshold_figures(
    tuning: Evaluation,
    found: Evaluation,
    label: str,
    bars: Mapping[str, float | None],
    published: Mapping[str, str] | None = None,
) -> list[Figure]:
    """F1 of one label on the test rows, at the probability that is best on the rows of `tuning`."""
    wanted = np.array([output == label for output in tuning.rows.outputs])
    truth = np.array([output == label for output in found.rows.outputs])
    figures = []
    for name, bar in bars.items():
        threshold = best_threshold(wanted, probability(tuning, name, label))
        plain = f1(truth, probability(found, name, label) > 0.5)
        told = f"threshold {threshold:.2f}; F1 at 0.50: {plain.value:.1%}"
        said = said_of(tuning, found, label, name)
        figures.append(_f1_figure(found, (name, label), said, bar, published, told))
    return figures


def _f1_figure(
    found: Evaluation,
    what: tuple[str, str],
    said: NDArray[np.bool_],
    bar: float | None,
    published: Mapping[str, str] | None,
    told: str = "",
) -> Figure:
    """One candidate's F1 of one label: `what` names both."""
    name, label = what
    truth = np.array([output == label for output in found.rows.outputs])
    wrong = f"{int((said & ~truth).sum())} false, {int((~said & truth).sum())} not found of {int(truth.sum())}"
    note = ", ".join(part for part in (wrong, told, chosen(found, name)) if part)
    shown = (published or {}).get(name, "")
    return Figure.share(f"{name}, F1 of {label}", f1(truth, said), bar, note=note, published=shown)


def said_of(tuning: Evaluation, found: Evaluation, label: str, name: str) -> NDArray[np.bool_]:
    """[n] a candidate says the label, at the probability that is best on the rows of `tuning`."""
    wanted = np.array([output == label for output in tuning.rows.outputs])
    return probability(found, name, label) >= best_threshold(wanted, probability(tuning, name, label))


def f1_gain(tuning: Evaluation, found: Evaluation, label: str, names: tuple[str, str]) -> Interval:
    """F1 of the first candidate less that of the second on the same rows: 95% percentile bootstrap by row."""
    truth = np.array([output == label for output in found.rows.outputs])
    first, second = (said_of(tuning, found, label, name) for name in names)
    draws = np.random.default_rng(0).integers(0, len(truth), size=(RESAMPLES, len(truth)))
    gains = [_f1(truth[rows], first[rows]) - _f1(truth[rows], second[rows]) for rows in draws]
    low, high = np.quantile(gains, [0.025, 0.975])
    return Interval(_f1(truth, first) - _f1(truth, second), float(low), float(high))


def f1(truth: NDArray[np.bool_], said: NDArray[np.bool_]) -> Interval:
    """F1 of one label, with a 95% percentile bootstrap by row.

    Args:
        truth: [n] the row has the label.
        said: [n] the candidate said so.
    """
    draws = np.random.default_rng(0).integers(0, len(truth), size=(RESAMPLES, len(truth)))
    values = [_f1(truth[rows], said[rows]) for rows in draws]
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(_f1(truth, said), float(low), float(high))


def _f1(truth: NDArray[np.bool_], said: NDArray[np.bool_]) -> float:
    wanted, given = int(truth.sum()), int(said.sum())
    return 2 * int((truth & said).sum()) / (wanted + given) if wanted + given else 0.0


def best_threshold(truth: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> float:
    """The probability from which saying the label gives the highest F1 (the middle between two rows)."""
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order]
    hits = np.cumsum(truth[order])
    scores = 2 * hits / (truth.sum() + np.arange(1, len(order) + 1))
    last = np.append(ranked[:-1] > ranked[1:], True)  # rows of one probability are said together
    best = int(np.argmax(np.where(last, scores, -1.0)))
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float((ranked[best] + below) / 2)
