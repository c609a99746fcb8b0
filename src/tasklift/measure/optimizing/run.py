"""One optimisation from cutting the rows to the gain on rows that nothing was chosen on."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from tasklift import registry
from tasklift.data.split import sample, split_dataset
from tasklift.dataset import Dataset, refuse_leakage
from tasklift.errors import BudgetError, ConfigError, DataError
from tasklift.llm.model import Model
from tasklift.llm.prompt_file import PromptText
from tasklift.lock import locked
from tasklift.measure.optimizing.judge import Judge, Tell, Trial
from tasklift.prediction import Usage
from tasklift.stats.comparison import mcnemar_midp
from tasklift.stats.intervals import Interval, paired_difference, wilson
from tasklift.strategies.artifact import fingerprint_of
from tasklift.strategy import Resources
from tasklift.task import Task
from tasklift.whole import write_whole

#: Share of the training rows that examples and feedback come from; the rest is for choosing.
LEARN_SHARE = 0.6
#: A share of what was asked is left for the final figure: two prompts on every test row.
FINAL_PROMPTS = 2


class Optimizer(Protocol):
    """Finds a better prompt on given rows."""

    async def improve(self, base: PromptText, judge: Judge, feedback: Dataset, select: Dataset) -> PromptText:
        """The best prompt on `select`; `base` where none is better."""
        ...


@dataclass(frozen=True)
class Plan:
    """How an optimisation is run.

    Attributes:
        folder: `.tasklift` of the project; None keeps nothing.
        model: asked, unless the prompt names its own.
        select_rows: rows to choose on.
        test_rows: most rows of the final figure; None: all.
        max_calls: most calls in all; None: no limit.
        seed: of the cuts.
        margin: how much less accurate still counts as no worse, where a shorter prompt is looked for.
    """

    folder: Path | None
    model: str | Model
    select_rows: int = 200
    test_rows: int | None = None
    max_calls: int | None = None
    seed: int = 0
    margin: float = 0.0


@dataclass(frozen=True)
class Optimized:
    """What came of it.

    Attributes:
        id: content address of task, rows, prompt and plan.
        before, after: the prompts; equal where nothing better was found.
        select: accuracy of both on the rows of the choice: too high for `after`, since it was chosen there.
        test: accuracy of both on the untouched rows.
        gain: on the untouched rows, 95% interval, paired.
        p: McNemar mid-p of it.
        rows: learn, select and test rows.
        chars: characters of both prompts.
        tokens: mean prompt tokens of a test row under both.
        spent: what all of it took.
        no_worse: the 95% one-sided lower bound of the gain lies above minus the margin; None where no margin was asked.
        took_s: wall-clock seconds of this call.
    """

    id: str
    before: PromptText
    after: PromptText
    select: tuple[float, float]
    test: tuple[Interval, Interval]
    gain: Interval
    p: float
    rows: tuple[int, int, int]
    chars: tuple[int, int]
    tokens: tuple[float, float]
    spent: Resources
    no_worse: bool | None
    took_s: float

    @property
    def found(self) -> bool:
        """Is there another prompt at all?"""
        return self.before.id != self.after.id

    def verdict(self) -> str:
        """One word for what the untouched rows show."""
        if not self.found:
            return "nothing better was found"
        if self.gain.low > 0:
            return "better"
        return "worse" if self.gain.high < 0 else "no gain shown"

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        row = {name: value for name, value in asdict(self).items() if name not in ("before", "after")}
        return row | {"before": self.before.id, "after": self.after.id, "verdict": self.verdict()}


@dataclass(frozen=True)
class Cuts:
    """Rows to learn from, to choose on, and for the final figure only."""

    learn: Dataset
    select: Dataset
    test: Dataset


def cut(task: Task, train: Dataset, test: Dataset, plan: Plan) -> Cuts:
    """Three sets of rows that share none.

    Raises:
        DataError: too few rows to choose on.
    """
    refuse_leakage(train.keys, test, "an optimisation")
    stratum = task.output.stratum
    learn, rest = split_dataset(train, LEARN_SHARE, by="label", seed=plan.seed, stratum=stratum)
    select = sample(rest, plan.select_rows, plan.seed, stratum=stratum)
    if len(select) < 20:
        raise DataError(
            f"{train.name}: only {len(select)} rows to choose a prompt on; at least 50 training rows are needed"
        )
    shuffled = sorted(select.examples, key=lambda row: fingerprint_of(row.id, plan.seed))
    select = select.part(shuffled, "in random order")
    judged = test if plan.test_rows is None else sample(test, plan.test_rows, plan.seed, stratum=stratum)
    return Cuts(learn, select, judged)


async def optimize(
    task: Task, base: PromptText, optimizer: Optimizer, train: Dataset, test: Dataset, plan: Plan, tell: Tell
) -> Optimized:
    """Search on rows cut from the training rows, then measure base and best once on the test rows.

    Raises:
        InUseError: another optimisation runs in this project.
        BudgetError: the next step could go beyond the budget; what was done is kept, and the same call goes on.
        ConfigError: the budget does not even cover the final figure.
    """
    cuts, begin = cut(task, train, test, plan), time.perf_counter()
    final = FINAL_PROMPTS * len(cuts.test)
    if plan.max_calls is not None and plan.max_calls < final + 2 * len(cuts.select):
        raise ConfigError(
            f"max_calls = {plan.max_calls} is too little: {final} calls are for the final figure on {len(cuts.test)} "
            f"test rows (--test-rows takes fewer), and trying one other prompt takes {2 * len(cuts.select)} more"
        )
    name = plan.model if isinstance(plan.model, str) else plan.model.name
    recipe = (type(optimizer).__name__, str(optimizer), name, plan.seed, plan.select_rows)
    identity = fingerprint_of(task.content_hash, train.content_hash, base.id, recipe)[:16]
    home = plan.folder / "optimizations" if plan.folder else None
    with locked(home / "lock", "optimising a prompt in this project") if home else nullcontext():
        # Beside the final figure, one prompt on the rows of the choice is set aside: the best may be new on them.
        search_calls = None if plan.max_calls is None else plan.max_calls - final - len(cuts.select)
        judge = Judge(task, plan.model, cuts.learn, home / identity if home else None, search_calls, tell)
        await judge.judge(base, cuts.select, "base")
        best = await _searched(optimizer, base, judge, cuts)
        judge.max_calls = None  # what is left was set aside for this
        chosen = [await judge.judge(one, cuts.select, "chosen on") for one in (base, best)]
        labels = judge.labels_used()
        final_trials = [await judge.judge(one, cuts.test, "test") for one in (base, best)]
        found = _result((identity, labels), (base, best), (chosen, final_trials), cuts, judge, plan)
        found = replace(found, took_s=round(time.perf_counter() - begin, 1))
        if home:
            _write(home / identity / "result.json", found)
    return found


async def _searched(optimizer: Optimizer, base: PromptText, judge: Judge, cuts: Cuts) -> PromptText:
    """What the optimiser found; the best that was judged on all rows where its calls are used up."""
    try:
        return await optimizer.improve(base, judge, cuts.learn, cuts.select)
    except BudgetError:
        if not judge.spent_out(len(cuts.select)):
            raise  # money: the cap is the user's to raise
        judge.tell("the calls are used up: the best prompt so far is taken")
        return judge.best_on(cuts.select, base)


def _result(
    about: tuple[str, int],
    prompts: tuple[PromptText, PromptText],
    trials: tuple[list[Trial], list[Trial]],
    cuts: Cuts,
    judge: Judge,
    plan: Plan,
) -> Optimized:
    (identity, labels), (chosen, final) = about, trials
    first, second = (trial.array() for trial in final)
    gained, lost = int(((second == 1) & (first == 0)).sum()), int(((second == 0) & (first == 1)).sum())
    count = len(cuts.test)
    lower = paired_difference(gained, lost, count, confidence=0.9).low
    used = {model: _tokens(usage) for model, usage in judge.asked.items() if model.startswith("http")}
    return Optimized(
        id=identity,
        before=prompts[0],
        after=prompts[1],
        select=(chosen[0].accuracy, chosen[1].accuracy),
        test=(wilson(sum(final[0].right), count), wilson(sum(final[1].right), count)),
        gain=paired_difference(gained, lost, count),
        p=mcnemar_midp(gained, lost),
        rows=(len(cuts.learn), len(cuts.select), count),
        chars=(len(prompts[0].to_file()), len(prompts[1].to_file())),
        tokens=(final[0].tokens, final[1].tokens),
        spent=Resources(labels, cpu_s=round(judge.usage.cpu_s, 1), asked=used),
        no_worse=lower > -plan.margin if plan.margin else None,
        took_s=0.0,
    )


def _tokens(usage: Usage) -> Mapping[str, int]:
    names = ("calls", "input_tokens", "cached_tokens", "output_tokens")
    return {name: getattr(usage, name) for name in names}


def _write(path: Path, found: Optimized) -> None:
    row = {"schema_version": 1, **found.to_json(), "prompt": found.after.model_dump(mode="json")}
    write_whole(path, json.dumps(row, ensure_ascii=False, indent=1))


def starting_prompt(strategy: str, used: PromptText | None, instruction: str = "") -> PromptText:
    """The prompt to begin with: the one that is used, else the one that is built in, with room for examples."""
    if used is not None:
        return used
    kind = registry.load("strategy", strategy)
    system = str(kind.system)
    if strategy == "prompt":  # in front, where a prefix cache serves them
        system += "{% if examples %}\n\nExamples:\n{% for example in examples %}\n{{ example.text }}\n"
        system += "-> {{ example.label }}\n{% endfor %}{% endif %}"
    return PromptText(strategy="fewshot" if strategy == "fewshot" else "prompt", system=system, user=str(kind.user))
