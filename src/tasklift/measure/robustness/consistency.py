"""Does a candidate answer the same when it should? Repeats, changed texts, changed prompts, and a verdict.

Formulas: Fleiss 1971, Yao et al. 2024 (pass^k), Zhuo et al. 2024 (ProSA), Sclar et al. 2023 (FormatSpread).
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasklift.cache import computing_afresh
from tasklift.data.split import sample
from tasklift.dataset import Dataset
from tasklift.llm.model import Message, Model, Request
from tasklift.measure.evaluation import CandidateResult, Evaluation
from tasklift.measure.metrics import right_of
from tasklift.measure.robustness.variants import prompt_changes, text_changes
from tasklift.prediction import Prediction
from tasklift.stats.agreement import (
    answer_counts,
    answer_variance,
    fleiss_kappa_interval,
    pass_all,
    row_agreement,
    sensitivity,
    spread,
)
from tasklift.stats.intervals import Interval, wilson
from tasklift.strategies.fitting import fit_or_load
from tasklift.strategy import Candidate, Context, Input, Strategy
from tasklift.task import Task

Floats = NDArray[np.float64]
Verdict = Literal["steady", "unsteady", "unclear"]
#: A group of fewer rows says nothing about its accuracy.
SMALLEST_GROUP = 10
#: Rows tried unless told otherwise.
MOST_ROWS = 100
#: Requests under way at once for a hosted model.
CONCURRENCY = 32
PARAPHRASE = (
    "Say the following message in other words. Keep its meaning, its language and every fact. "
    "Answer with the new message only.\n\n{text}"
)


@dataclass(frozen=True)
class Limits:
    """What counts as steady; each is held against the interval, not against the estimate.

    Attributes:
        repeat_agreement: at least this share of pairs of repeats agrees.
        flips: at most this share of answers changes with case, spacing, format, or an order.
        rewritten_flips: the same for typos and paraphrases, which may change what a text says.
        valid_outputs: at least this share of rows gives only allowed answers.
        prompt_sensitivity: at most this change of a row's score between two wordings.
        format_spread: at most this gap between the best and the worst format.
    """

    repeat_agreement: float = 0.95
    flips: float = 0.05
    rewritten_flips: float = 0.10
    valid_outputs: float = 0.95
    prompt_sensitivity: float = 0.05
    format_spread: float = 0.10


@dataclass(frozen=True)
class Probe:
    """How a candidate is tried.

    Attributes:
        repeats: answers to the unchanged input, the stored one included; 2 or more.
        seed: of typos and orders.
        paraphraser: a model that rewords the texts; None: local rules.
        limits: what counts as steady.
    """

    repeats: int = 3
    seed: int = 0
    paraphraser: Model | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Consistency:
    """What was found out about one candidate.

    Attributes:
        candidate: its name.
        rows: rows tried.
        repeats: answers to each unchanged input.
        measures: name -> estimate with its 95% interval. `flips_*` are shares of changed answers.
        accuracies: kind of change -> accuracy under it; `unchanged` for the input as it is.
        answer_variance: chance that two more repeats would differ. The judge of a label is exact, so none of
            it is the judge's.
        worst_group: name of the group with the lowest accuracy; None: no group is large enough.
        not_applicable: kinds of change that cannot reach this candidate.
        verdict: steady, unsteady, or unclear (the rows do not tell).
        because: what the verdict rests on.
    """

    candidate: str
    rows: int
    repeats: int
    measures: Mapping[str, Interval]
    accuracies: Mapping[str, float]
    answer_variance: float
    worst_group: str | None
    not_applicable: tuple[str, ...]
    verdict: Verdict
    because: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        measures = {name: asdict(value) for name, value in self.measures.items()}
        return {**asdict(self), "measures": measures, "judge_variance": 0.0}


#: An answer to the unchanged input, the answer to the changed one, and which row it is.
Pair = tuple[Prediction, Prediction, int]
PROMPT_KINDS = ("wording", "format", "label_order", "example_order")


def check_consistency(
    evaluation: Evaluation,
    strategies: Mapping[str, Strategy],
    train: Dataset,
    folder: Path | None,
    probe: Probe | None = None,
    most_rows: int = MOST_ROWS,
) -> list[Consistency]:
    """Try every candidate of a finished evaluation but people, on rows drawn evenly by label.

    Args:
        evaluation: with the texts of its rows, as `evaluate` returns it.
        strategies: those that were evaluated; they are read back from `folder`, or fitted again without one.
        train: the rows they were fitted on.
        folder: `.tasklift` of the project.
        probe: how to try them.
        most_rows: at most this many rows.
    """
    probe = probe or Probe()
    where = {row.id: at for at, row in enumerate(evaluation.rows)}
    chosen = sample(evaluation.rows, most_rows, probe.seed, stratum=evaluation.task.output.stratum)
    positions = [where[row.id] for row in chosen]
    return asyncio.run(_check_all(evaluation, strategies, train, folder, positions, probe))


async def _check_all(
    evaluation: Evaluation,
    strategies: Mapping[str, Strategy],
    train: Dataset,
    folder: Path | None,
    positions: Sequence[int],
    probe: Probe,
) -> list[Consistency]:
    found = []
    for result in evaluation.results:
        if result.card.family == "human":
            continue
        strategy = strategies[result.name]
        candidate = await asyncio.to_thread(fit_or_load, strategy, evaluation.task, train, folder, _silent)
        try:
            found.append(await consistency_of(evaluation.task, result, candidate, evaluation.rows, positions, probe))
        finally:
            await candidate.aclose()
    return found


def _silent(line: str) -> None:
    """Nothing."""


async def consistency_of(
    task: Task, result: CandidateResult, candidate: Candidate, rows: Dataset, positions: Sequence[int], probe: Probe
) -> Consistency:
    """Try one candidate.

    Args:
        result: its stored answers to all `rows`.
        candidate: the same, ready to answer.
        rows: the evaluated rows.
        positions: which of them are tried.
        probe: how.
    """
    some = [rows.examples[i] for i in positions]
    inputs, expected = [row.input for row in some], [row.output for row in some]
    base = [result.predictions[i] for i in positions]
    repeated = [base]
    for repeat in range(1, probe.repeats):
        with computing_afresh():
            repeated.append(await _ask(candidate, inputs, Context(seed=probe.seed, repeat=repeat)))
    changed = await _changed_texts(task, candidate, inputs, base, probe)
    prompted = prompt_changes(candidate)
    around: dict[str, list[list[Prediction]]] = {}
    for kind, variants in prompted.items():
        around[kind] = [await _ask(other, inputs, Context(seed=probe.seed)) for _, other in variants]
        changed[kind] = [list(zip(base, answers, range(len(base)), strict=True)) for answers in around[kind]]
    measures, accuracies, variance = _measures(task, expected, repeated, changed)
    for kind, name, measure in (("wording", "prompt_sensitivity", sensitivity), ("format", "format_spread", spread)):
        if kind in around:
            measures[name] = measure(np.stack([_right(answers, expected, task) for answers in (base, *around[kind])]))
    group = _worst_group(task, result, rows)
    if group is not None:
        measures["worst_group"] = group[1]
    verdict, because = _verdict(measures, probe.limits)
    missing = tuple(kind for kind in PROMPT_KINDS if kind not in prompted)
    return Consistency(
        result.name,
        len(some),
        probe.repeats,
        measures,
        accuracies,
        variance,
        group[0] if group else None,
        missing,
        verdict,
        because,
    )


async def _changed_texts(
    task: Task, candidate: Candidate, inputs: Sequence[Input], base: Sequence[Prediction], probe: Probe
) -> dict[str, list[list[Pair]]]:
    """Kind -> change -> pairs of answers, for the rows whose text it changes."""
    changes = text_changes(probe.seed)
    main = task.input_fields[0]
    texts = [task.main_text(value) for value in inputs]
    new: dict[str, list[list[str]]] = {
        kind: [[change(text) for text in texts] for change in some] for kind, some in changes.items()
    }
    if probe.paraphraser is not None:
        new["paraphrase"] = [await _paraphrased(probe.paraphraser, texts)]
    found: dict[str, list[list[Pair]]] = {}
    for kind, versions in new.items():
        found[kind] = []
        for version in versions:
            touched = [i for i, text in enumerate(version) if text != texts[i]]
            asked = [{**inputs[i], main: version[i]} for i in touched]
            answers = await _ask(candidate, asked, Context(seed=probe.seed))
            found[kind].append([(base[i], answer, i) for i, answer in zip(touched, answers, strict=True)])
    return found


async def _paraphrased(model: Model, texts: Sequence[str]) -> list[str]:
    """The texts in the model's words; an empty answer leaves a text as it is."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(text: str) -> str:
        async with gate:
            asked = Message("user", PARAPHRASE.format(text=text))
            reply = await model.complete(Request((asked,), max_tokens=64 + len(text)))
        return reply.text.strip() or text

    return list(await asyncio.gather(*(one(text) for text in texts)))


async def _ask(candidate: Candidate, inputs: Sequence[Input], context: Context) -> list[Prediction]:
    """Answers in order, in chunks of the candidate's own size, several at once for a hosted one."""
    size = candidate.traits.batch_size
    chunks = [inputs[i : i + size] for i in range(0, len(inputs), size)]
    gate = asyncio.Semaphore(CONCURRENCY if candidate.traits.remote else 1)

    async def one(chunk: Sequence[Input]) -> list[Prediction]:
        async with gate:
            return await candidate.predict(chunk, context)

    return [answer for answers in await asyncio.gather(*(one(chunk) for chunk in chunks)) for answer in answers]


def answer_of(prediction: Prediction) -> str:
    """What counts as one answer: the output, that a person has to answer, or the kind of failure."""
    if prediction.deferred:
        return "(person)"
    if prediction.error is not None:
        return f"(failed: {prediction.error.kind})"
    output = prediction.output
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False, sort_keys=True)


def _right(predictions: Iterable[Prediction], expected: Sequence[Any], task: Task) -> Floats:
    """[rows] 1 where the answer is right; 0 where it is wrong, failed or left to a person."""
    return np.nan_to_num(right_of(list(predictions), expected, task))


def _measures(
    task: Task,
    expected: Sequence[Any],
    repeated: Sequence[Sequence[Prediction]],
    changed: Mapping[str, Sequence[Sequence[Pair]]],
) -> tuple[dict[str, Interval], dict[str, float], float]:
    counts = answer_counts([[answer_of(p) for p in answers] for answers in repeated])
    right = np.stack([_right(answers, expected, task) for answers in repeated])
    n = len(expected)
    agreement = row_agreement(counts)
    measures = {
        "repeat_agreement": wilson(float(agreement.sum()), n),
        "fleiss_kappa": fleiss_kappa_interval(counts),
        "pass_all_repeats": pass_all(right),
    }
    accuracies = {"unchanged": float(right[0].mean())}
    invalid = {at for answers in repeated for at, p in enumerate(answers) if _invalid(p)}
    for kind, versions in changed.items():
        pairs = [pair for version in versions for pair in version]
        if not pairs:
            continue
        flips: dict[int, list[float]] = defaultdict(list)
        for before, after, at in pairs:
            flips[at].append(float(answer_of(before) != answer_of(after)))
            if _invalid(after):
                invalid.add(at)
        # Several changes of one row are one row: its share of flips, not its number.
        measures[f"flips_{kind}"] = wilson(float(sum(np.mean(some) for some in flips.values())), len(flips))
        accuracies[kind] = float(_right((p for _, p, _ in pairs), [expected[at] for *_, at in pairs], task).mean())
    measures["valid_outputs"] = wilson(n - len(invalid), n)
    return measures, accuracies, answer_variance(counts)


def _invalid(prediction: Prediction) -> bool:
    return prediction.error is not None


def _worst_group(task: Task, result: CandidateResult, rows: Dataset) -> tuple[str, Interval] | None:
    """The group (by the task's slices, else by label) that is answered worst, over all evaluated rows."""
    right = _right(result.predictions, rows.outputs, task)
    groups: dict[str, list[int]] = defaultdict(list)
    for at, row in enumerate(rows):
        named = {name: row.slice[name] for name in task.slices if name in row.slice} or (
            {"label": row.output} if task.output.kind == "label" else {}
        )
        for name, value in named.items():
            groups[f"{name}={value}"].append(at)
    scored = {
        name: wilson(float(right[some].sum()), len(some))
        for name, some in groups.items()
        if len(some) >= SMALLEST_GROUP
    }
    worst = min(scored, key=lambda name: scored[name].value, default=None)
    return None if worst is None else (worst, scored[worst])


def _verdict(measures: Mapping[str, Interval], limits: Limits) -> tuple[Verdict, tuple[str, ...]]:
    """Unsteady where an interval lies beyond its limit, unclear where one reaches over it, else steady."""
    broken, open_ = [], []
    for name, value in measures.items():
        limit, is_floor = _limit(name, limits)
        if limit is None:
            continue
        bad = value.high < limit if is_floor else value.low > limit
        good = value.low >= limit if is_floor else value.high <= limit
        sign = ">=" if is_floor else "<="
        told = f"{name} {value.value:.3f} [{value.low:.3f}, {value.high:.3f}], asked for {sign} {limit:g}"
        if bad:
            broken.append(told)
        elif not good:
            open_.append(told)
    if broken:
        return "unsteady", tuple(broken)
    return ("unclear", tuple(open_)) if open_ else ("steady", ())


def _limit(name: str, limits: Limits) -> tuple[float | None, bool]:
    """The limit of a measure, and whether it is a floor."""
    if name in ("repeat_agreement", "valid_outputs"):
        return float(getattr(limits, name)), True
    if name in ("prompt_sensitivity", "format_spread"):
        return float(getattr(limits, name)), False
    if name in ("flips_typos", "flips_paraphrase"):
        return limits.rewritten_flips, False
    return (limits.flips, False) if name.startswith("flips_") else (None, False)
