"""Banking77 (77 intents): every strategy on the test rows, with the bars it has to reach.

    python3 dev.py bench banking77 [--data FOLDER] [--rows 300] [--only prompted]

Everything is cached and stored row by row below benchmarks/results/cache: a stopped run goes on. Choices (C,
epochs, thresholds) are made on rows cut from the training rows; the 3,080 test rows serve the figures only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from _common import RESULTS, Figure, data_folder, finish, note

from tasklift.cache import caching_in
from tasklift.cli.show import Table, comparison_lines
from tasklift.data.read import read_dataset
from tasklift.data.split import sample
from tasklift.dataset import Dataset
from tasklift.llm.local import LocalModel
from tasklift.measure.evaluation import Evaluation, Options, evaluate
from tasklift.stats.intervals import Interval, wilson
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.encoder import Encoder
from tasklift.strategies.fewshot import FewShot
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.knn import Knn
from tasklift.strategies.layered import Layered
from tasklift.strategies.prompt import Prompt, PromptCandidate
from tasklift.strategy import Context, Strategy
from tasklift.task import Label, Task

STATE = RESULTS / "cache" / "banking77"
INSTRUCTION = "You sort questions of a bank's customers by what they are about."
#: Risks at which the layered option is certified, and the share of rows its core has to answer.
RISKS = {0.05: 0.92, 0.02: 0.75}
DELTA = 0.1
#: Rows on which prompts are timed with and without a kept prefix.
TIMED_ROWS = 12

PARTS = ("tuned", "prompted", "prefix")


def main() -> int:
    """Run the asked parts and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with banking77/banking77.jsonl; else TASKLIFT_DATA")
    parser.add_argument("--rows", type=int, default=300, help="test rows for prompted candidates (default: 300)")
    parser.add_argument("--only", choices=PARTS, action="append", help="run only this part; may be repeated")
    asked = parser.parse_args()
    task, train, test = rows_of(data_folder(asked.data, "banking77"))
    parts = asked.only or PARTS
    figures: list[Figure] = []
    extra: dict[str, object] = {"train": train.content_hash, "test": test.content_hash}
    with caching_in(STATE / "cache"):
        if "tuned" in parts:
            found = run("tuned", task, tuned(), train, test)
            figures += tuned_figures(found)
            extra["tuned"] = used(found)
        if "prompted" in parts:
            some = sample(test, asked.rows)
            found = run("prompted", task, {"fewshot": FewShot(), "prompt": Prompt()}, train, some)
            figures += prompted_figures(found)
            extra["prompted"] = used(found)
        if "prefix" in parts:
            figures.append(prefix_figure(task, train, test))
    return finish("banking77", "python3 dev.py bench banking77 " + shlex.join(sys.argv[1:]), figures, extra)


def rows_of(folder: Path) -> tuple[Task, Dataset, Dataset]:
    """The task, with label names read as words for definitions, and its two splits."""
    path = folder / "banking77.jsonl"
    names = sorted({json.loads(line)["label"] for line in path.read_text(encoding="utf-8").splitlines()})
    labels = {name: name.replace("_", " ").lower() for name in names}
    task = Task(name="banking77", instruction=INSTRUCTION, output=Label(labels=labels))
    data = read_dataset(path, task)
    return task, data.where("train"), data.where("test")


def tuned() -> dict[str, Strategy]:
    """Candidates that run on all test rows."""
    layered: dict[str, Strategy] = {
        f"layered {risk:.0%}": Layered(core=FrozenEncoder(), prompt=None, alpha=risk, delta=DELTA) for risk in RISKS
    }
    plain: dict[str, Strategy] = {
        "majority": Majority(),
        "baseline": Baseline(),
        "knn": Knn(),
        "frozen": FrozenEncoder(),
        "encoder": Encoder(),
    }
    return plain | layered


def run(what: str, task: Task, strategies: dict[str, Strategy], train: Dataset, rows: Dataset) -> Evaluation:
    """Evaluate, with the table as it grows."""
    table = Table(sys.stdout)
    table.open(f"Banking77, {what}: {len(train)} training rows, {len(rows)} test rows")
    found = evaluate(task, strategies, train, rows, Options(folder=STATE), table)
    print("\n".join(["", *comparison_lines(found), ""]), flush=True)
    return found


def tuned_figures(found: Evaluation) -> list[Figure]:
    """Accuracy of each, and what the certified thresholds let the core answer."""
    bars = {"baseline": 0.910, "frozen": 0.925, "knn": 0.920, "encoder": 0.935}
    published = {"baseline": "linear SVM 91.2", "encoder": "MPNet fine-tuned 94.1 (Loukas et al. 2023)"}
    figures = []
    for name, bar in bars.items():
        result = found.result(name)
        chosen = {key: result.card.notes[key] for key in ("c", "k", "epochs") if key in result.card.notes}
        said = ", ".join(f"{key} = {value:g}" for key, value in chosen.items())
        accuracy = _accuracy(found, name)
        figures.append(Figure.share(f"{name}, accuracy", accuracy, bar, note=said, published=published.get(name, "")))
    for risk, bar in RISKS.items():
        name = f"layered {risk:.0%}"
        scores = found.result(name).scores
        answered = wilson(scores.answered, scores.rows)
        error = 1 - _accuracy(found, name).value
        said = f"delta {DELTA:.0%}; wrong on the test rows it answered: {error:.1%}"
        figures.append(Figure.share(f"layered at risk {risk:.0%}, rows the core covers", answered, bar, note=said))
    return figures


def prompted_figures(found: Evaluation) -> list[Figure]:
    """Few-shot and zero-shot of the small local model on the same rows."""
    few = found.result("fewshot").scores
    rows = len(found.rows)
    said = f"{rows} rows, model skipped on {few.skipped_model or 0:.0%}, {few.usage.cpu_s / rows:.2f} CPU-s a row"
    zero = found.result("prompt").scores
    return [
        Figure.share("fewshot, SmolLM2-135M, accuracy", _accuracy(found, "fewshot"), 0.88, note=said),
        Figure.share(
            "prompt (zero-shot), SmolLM2-135M, accuracy",
            _accuracy(found, "prompt"),
            note=f"{rows} rows, {zero.usage.cpu_s / rows:.2f} CPU-s a row",
        ),
    ]


def prefix_figure(task: Task, train: Dataset, test: Dataset) -> Figure:
    """CPU time of zero-shot rows with the whole prompt computed, over that with its beginning kept.

    Rows alternate between the two, so that a machine that slows down slows both.
    """
    note("prefix: timing zero-shot rows with and without a kept prefix")
    inputs = sample(test, TIMED_ROWS).inputs
    candidates = [Prompt(model=LocalModel(reuse_prefix=kept)).fit(task, train) for kept in (True, False)]
    seconds = asyncio.run(_alternate(candidates, inputs))
    said = f"{seconds[1] / len(inputs):.2f} against {seconds[0] / len(inputs):.2f} CPU-s a row, {len(inputs)} rows"
    return Figure("zero-shot, CPU time without / with kept prefix", seconds[1] / seconds[0], 2.0, note=said)


async def _alternate(candidates: list[PromptCandidate], inputs: Sequence[Mapping[str, Any]]) -> list[float]:
    """CPU seconds of each candidate over all inputs, after one input to warm up."""
    seconds = [0.0 for _ in candidates]
    for turn, value in enumerate([inputs[0], *inputs]):
        for place, candidate in enumerate(candidates):
            begun = time.process_time()
            await candidate.predict([value], Context())
            seconds[place] += (time.process_time() - begun) if turn else 0.0
    return seconds


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


def _accuracy(found: Evaluation, name: str) -> Interval:
    accuracy = found.result(name).scores.accuracy
    return accuracy or Interval(0.0, 0.0, 1.0)


if __name__ == "__main__":
    sys.exit(main())
