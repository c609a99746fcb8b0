"""Several labels a text: types of unfair clauses, and what a bank's customer wants and tells, by 3,000 rows each.

    python3 dev.py bench tuning several_labels [--data FOLDER]

Unfair terms: the English sentences, the set of unfair types (mostly none), test documents in no other fold.
MultiDoGO (finance): the turn's intents together with the kinds of detail in it (name, card number, ...), the authors'
splits. Every strategy learns from the same 3,000 training rows, drawn by seed 0 before anything was measured, and makes
its choices on rows cut from them. The gate asks that 90% of sets are exactly right, with 90% probability. The paired
interval resamples documents, or conversations: their rows are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _common import Figure, data_file, finish
from _run import LoudEncoder, accuracy, chosen, cpu_s, hashes, kept, options_of, run, used
from _sets import Benchmark, read_rows

from tasklift.dataset import Dataset, Example
from tasklift.economics import Economics, Gates, exactly
from tasklift.measure.deciding.decision import Settings, decide
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.metrics import cases_of, right_of
from tasklift.metrics.base import open_metric
from tasklift.outputs.labels import Labels
from tasklift.stats.bootstrap import paired_bootstrap
from tasklift.stats.intervals import wilson
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategy import Strategy
from tasklift.task import Task

ROW = "several_labels"
ROWS, SEED = 3000, 0
GATE = 0.9
SURE = 0.9
METRICS = {"set_f1": "micro-F1", "macro_label_f1": "macro-F1"}
FOUND: dict[str, str] = {"unfair_types": "unfair types", "multidogo": "MultiDoGO finance"}
Row = dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Both sets."""
    asked = options_of(__doc__).parse_args(arguments)
    figures: list[Figure] = []
    evaluations: list[Evaluation] = []
    known: dict[str, Any] = {}
    sets: dict[str, Callable[[Path | None], Benchmark]] = {"unfair_types": unfair_types, "multidogo": multidogo}
    for name, load in sets.items():
        made = load(asked.data)
        strategies: dict[str, Strategy] = {
            "majority": Majority(),
            "baseline": Baseline(),
            "frozen": FrozenEncoder(),
            "encoder": LoudEncoder(max_epochs=3),
        }
        with kept(f"several_{name}"):
            found = run(f"Several labels, {FOUND[name]}", made, strategies)
        evaluations.append(found)
        for candidate in strategies:
            figures += figures_of(FOUND[name], found, candidate)
        figures += [gain(FOUND[name], found, candidate) for candidate in ("frozen", "encoder")]
        known[name] = hashes(made) | {"candidates": used(found)}
    extra = {"title": f"Several labels a text: {ROWS:,} training rows", "sets": known, "cpu_s": cpu_s(*evaluations)}
    return finish(f"tuning_{ROW}", f"python3 dev.py bench tuning {ROW}", figures, extra)


def unfair_types(data: Path | None) -> Benchmark:
    """The set of types of unfair clauses that a sentence is (Galassi et al. 2024); most are none."""
    rows = read_rows(data_file(data, "unfair_tos_multilingual/en.jsonl.gz"))
    told = [row | {"labels": row["categories"], "group": row["document"]} for row in rows]
    return _benchmark(
        "several_unfair_types", "Which types of unfair clauses is this sentence of terms of service?", told
    )


def multidogo(data: Path | None) -> Benchmark:
    """Intents of a customer's turn and the kinds of detail in it, finance (Peskov et al. 2019)."""
    rows = read_rows(data_file(data, "multidogo/finance.jsonl.gz"))
    told = [
        row
        | {
            "labels": [*row["label"], *(f"gives {one['slot']}" for one in row["entities"] or ())],
            "group": row["conversation_id"],
        }
        for row in rows
    ]
    return _benchmark(
        "several_multidogo", "What does the customer of a bank want, and which details does he give?", told
    )


def _benchmark(name: str, instruction: str, rows: Iterable[Row]) -> Benchmark:
    """The authors' test rows, and the draw of the training rows."""
    examples = tuple(
        Example(
            f"row-{row['line']}", {"text": row["text"]}, sorted(set(row["labels"])), row["split"], group=row["group"]
        )
        for row in rows
    )
    data = Dataset(examples, name=name, lineage=(f"read {name}",))
    labels = {label: label.replace("_", " ") for label in sorted({label for row in data for label in row.output})}
    task = Task(name=name, instruction=instruction, output=Labels(kind="labels", labels=labels))
    train = data.where("train")
    places = sorted(np.random.default_rng(SEED).choice(len(train), ROWS, replace=False).tolist())
    drawn = train.part((train.examples[at] for at in places), f"{ROWS} rows, seed {SEED}")
    return Benchmark(task, drawn, data.where("test"))


def figures_of(title: str, found: Evaluation, name: str) -> list[Figure]:
    """Exact sets, both F1s, calibration, the sure rows, and the gate's outcome."""
    scores = found.result(name).scores
    figures = [
        Figure.share(f"{title}, {name}, sets exactly right", accuracy(found, name), note=gate(found, name)),
        *(
            Figure.share(f"{title}, {name}, {told}", scores.figures[metric], note=chosen(found, name))
            for metric, told in METRICS.items()
        ),
    ]
    if found.overlap:
        figures.append(unseen(title, found, name))
    if scores.ece is None:
        return figures
    figures.append(Figure(f"{title}, {name}, calibration error of the whole set", scores.ece, unit="%"))
    return [*figures, sure_rows(title, found, name)]


def unseen(title: str, found: Evaluation, name: str) -> Figure:
    """Exact sets on the rows whose text is not among the training rows: greetings and confirmations repeat."""
    right = right_of(found.result(name).predictions, found.rows.outputs, found.task)
    new = np.array([row.id not in found.overlap for row in found.rows])
    told = f"{int(new.sum())} of {len(new)} rows"
    what = f"{title}, {name}, sets exactly right where the text is new"
    return Figure.share(what, wilson(float(right[new].sum()), int(new.sum())), note=told)


def sure_rows(title: str, found: Evaluation, name: str) -> Figure:
    """How often sets are right that were said with high confidence."""
    answers = zip(found.result(name).predictions, found.rows.outputs, strict=True)
    rights = [
        set(said.output or ()) == set(wanted)
        for said, wanted in answers
        if said.confidence is not None and said.confidence >= SURE
    ]
    told = f"{len(rights)} of {len(found.rows)} rows"
    return Figure.share(
        f"{title}, {name}, right where confidence is {SURE} or more",
        wilson(sum(rights), max(len(rights), 1)),
        note=told,
    )


def gate(found: Evaluation, name: str) -> str:
    """What the gate on exact sets says."""
    priced = Economics(items_per_month=exactly(10_000), error_usd=exactly(1.0))
    verdict = decide(found, priced, Gates(min_metric=GATE), Settings(parameters=False)).options[name]
    return "gate: " + (verdict.gates["min_metric"] or "passed")


def gain(title: str, found: Evaluation, name: str) -> Figure:
    """Micro-F1 above the baseline's on the same rows."""
    metric = open_metric("set_f1", "labels")
    mine, base = (
        metric.measure(cases_of(found.result(one).predictions, found.rows.outputs, found.task))
        for one in (name, "baseline")
    )
    groups = [row.group or row.id for row in found.rows]
    return Figure.share(
        f"{title}, {name}, micro-F1 above the baseline's",
        paired_bootstrap(mine, base, groups),
        unit="%",
        note=f"by {len(set(groups))} documents or conversations",
    )
