"""Where an encoder overtakes a prompt with retrieved examples, by the number of labels: Banking77 and MASSIVE.

    python3 dev.py bench tuning crossings [--data FOLDER] [--only banking77]

Nested subsets of the training rows, seeds 0 to 2, the same 100 test rows (stratified) for all. The prompt is the
local SmolLM2-135M-Instruct with four retrieved examples; the encoder is the bundled one, trained and, beside it,
frozen with a head. What is said here is said of this small model and not of a hosted one. Every point is kept: a
stopped run goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _common import RESULTS, Figure, finish, note
from _run import kept, options_of
from _sets import banking77, massive

from tasklift.data.split import sample
from tasklift.measure.curve.crossing import Crossing, cross
from tasklift.measure.curve.plot import picture, told
from tasklift.measure.curve.run import Plan, measure_curve

#: From two rows a label on: with fewer there is nothing to validate an encoder on.
SETS = {"banking77": (banking77, (154, 308, 616)), "massive": (massive, (120, 240, 480))}
SEEDS = (0, 1, 2)
TEST_ROWS = 100
#: Strategies with an encoder, each against the prompt.
TUNED = ("encoder", "frozen")
PARAMETERS = {"fewshot": {"examples": 4, "pool": 8, "example_chars": 160}}
PICTURES = Path(__file__).resolve().parents[2] / "docs"


def main(arguments: Sequence[str]) -> int:
    """Measure what is missing, print both crossings, draw."""
    parser = options_of(__doc__)
    parser.add_argument("--only", choices=SETS, help="one set")
    asked = parser.parse_args(arguments)
    codes = []
    for name in [asked.only] if asked.only else SETS:
        load, sizes = SETS[name]
        made = load(asked.data)
        test = sample(made.test, TEST_ROWS, stratum=made.task.output.stratum)
        plan = Plan((*TUNED, "fewshot"), sizes, SEEDS, PARAMETERS, "local")
        with kept(name):
            curve = measure_curve(made.task, made.train, test, plan, RESULTS / "cache" / "tuning" / name, note)
        found = {strategy: cross(curve, strategy, "fewshot") for strategy in TUNED}
        (PICTURES / f"curve-{name}.svg").write_text(picture(curve, list(found.values())), encoding="utf-8")
        figures = [
            Figure(f"{name}, {strategy}, {size} labels", float(right.mean()), unit="%")
            for strategy in curve.strategies
            for size, right in zip(*curve.table(strategy), strict=True)
        ]
        for strategy, both in found.items():
            figures += [_figure(f"{name}, {strategy}", "on average", both.average)]
            figures += [_figure(f"{name}, {strategy}", "surely", both.sure)]
        extra: dict[str, Any] = {
            "title": f"How many labels until the encoder overtakes the prompt: {name}",
            "cpu_s": round(sum(point.cpu_s for point in curve.points), 1),
            "remarks": [
                *(f"{who}: on average {told(both.average)}, surely {told(both.sure)}." for who, both in found.items()),
                f"![curve](curve-{name}.svg)",
            ],
        }
        command = f"python3 dev.py bench tuning crossings --only {name}"
        codes.append(finish(f"tuning_crossings_{name}", command, figures, extra))
    return max(codes)


def _figure(name: str, how: str, found: Crossing) -> Figure:
    """Labels at the crossing; -1 where there is none within reach."""
    return Figure(
        f"{name}, crossing {how}",
        -1.0 if found.labels is None else found.labels,
        low=found.low,
        high=found.high,
        unit=" labels",
        note=told(found),
    )
