"""An optimised prompt against the one it began with, on test rows that nothing was chosen on.

    python3 dev.py bench prompting optimiser [--data FOLDER]

SMS Spam (1,081 test messages) and the small local model: the search chooses on 200 training rows, examples come from
others. Cached and resumable; a gain counts where its paired 95% interval lies above 0.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from _common import Figure, finish, note
from _run import hashes, kept, options_of
from _sets import sms_spam

from tasklift.economics import UnitPrices
from tasklift.measure.cost import setup_cost
from tasklift.measure.optimizing.run import Optimized, Plan, optimize, starting_prompt
from tasklift.measure.optimizing.search import Search

COMMAND = "python3 dev.py bench prompting optimiser"


def main() -> int:
    """Run, print, write."""
    made = sms_spam(options_of(__doc__).parse_args().data)
    base = starting_prompt("prompt", None)
    with kept("sms_spam") as folder:
        plan = Plan(folder, "local", select_rows=200)
        found = asyncio.run(optimize(made.task, base, Search(variants=8, changes=2), made.train, made.test, plan, note))
    extra: dict[str, Any] = {"title": "Prompting: the optimiser on SMS Spam", **hashes(made)}
    extra |= {"verdict": found.verdict(), "cpu_s": found.spent.cpu_s, "rows": found.rows}
    extra["prompt"] = found.after.model_dump(exclude={"examples"})  # examples are rows of the data set
    return finish("prompting_optimiser", COMMAND, figures(found), extra)


def figures(found: Optimized) -> list[Figure]:
    """Both prompts, the gain, and what it took."""
    learn, select, test = found.rows
    cost = setup_cost(found.spent, UnitPrices())
    chosen = f"on the {select} rows it was chosen on: {100 * (found.select[1] - found.select[0]):+.1f} points"
    took = f"{found.spent.labels} labels and CPU at default prices: {cost:.2f} USD; examples from {learn} rows"
    gain = found.gain
    low = Figure("lower end of the gain's interval", 100 * gain.low, 0.0, note=chosen, unit=" points")
    return [
        Figure.share("the prompt it began with, accuracy", found.test[0], note=f"{test} untouched rows"),
        Figure.share("the optimised prompt, accuracy", found.test[1], note=f"{len(found.after.examples)} examples"),
        Figure("gain", 100 * gain.value, None, 100 * gain.low, 100 * gain.high, f"p = {found.p:.2g}", unit=" points"),
        low,
        Figure("CPU time that it took", found.spent.cpu_s, note=took, unit=" s"),
    ]


if __name__ == "__main__":
    sys.exit(main())
