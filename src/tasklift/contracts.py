"""The laws that every strategy obeys, as a suite that anybody can run on a strategy of their own.

def test_my_strategy(task, train):
    check_strategy(MyStrategy(), task, train, train.inputs[:20], load=MyCandidate.load)
"""

from __future__ import annotations

import asyncio
import copy
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasklift.dataset import Dataset
from tasklift.errors import ContractError, DataError
from tasklift.prediction import DECIMALS, Prediction
from tasklift.strategy import Candidate, Context, Input, Strategy
from tasklift.task import Task

Load = Callable[[Path], Candidate]
Ask = Callable[[Candidate, Sequence[Input]], list[Prediction]]

#: What a saved candidate may consist of: nothing that can run code when it is read.
SUFFIXES = frozenset({".safetensors", ".json"})
#: Values of a text field that hold no text.
NO_TEXT: tuple[Any, ...] = ("", " \n", 7, None, ["a list"])


def check_strategy(
    strategy: Strategy, task: Task, train: Dataset, inputs: Sequence[Input], *, load: Load, seed: int = 0
) -> None:
    """Fit the strategy and check every law on its answers. Call it outside a running event loop.

    Args:
        inputs: good inputs, two at least; the suite adds the bad ones.
        load: reads back what the candidate saved (`tasklift.strategies.fitting.load_candidate` for
            strategies that are registered).
        seed: of the calls.

    Raises:
        ContractError: the first law that is broken, and by what.
    """
    if len(inputs) < 2:
        raise ContractError(f"{strategy.name}: {len(inputs)} inputs cannot show an order; give two at least")
    candidate = _fitted(strategy, task, train)
    with asyncio.Runner() as runner:

        def ask(asked: Candidate, values: Sequence[Input]) -> list[Prediction]:
            return runner.run(_predicted(strategy, asked, values, Context(seed=seed)))

        try:
            case = _Case(strategy, task, train, list(inputs), candidate, ask(candidate, inputs), ask, load)
            for law in LAWS:
                law(case)
        finally:
            runner.run(candidate.aclose())


@dataclass(frozen=True)
class _Case:
    """A fitted strategy with its answers to the inputs."""

    strategy: Strategy
    task: Task
    train: Dataset
    inputs: list[Input]
    candidate: Candidate
    answers: list[Prediction]
    ask: Ask
    load: Load

    def require(self, condition: bool, broken: str) -> None:
        """Raise where the law is broken."""
        if not condition:
            raise ContractError(f"{self.strategy.name}: {broken}")

    def same(self, found: Sequence[Prediction], expected: Sequence[Prediction], when: str) -> None:
        """Raise where two lists of answers differ in an output."""
        self.require(len(found) == len(expected), f"{when}: {len(found)} predictions instead of {len(expected)}")
        for at, (one, other) in enumerate(zip(found, expected, strict=True)):
            seen, wanted = _outcome(one), _outcome(other)
            self.require(seen == wanted, f"{when}: prediction {at} is {seen} and not {wanted}")


def _fitted(strategy: Strategy, task: Task, train: Dataset) -> Candidate:
    """Fingerprint known before `fit`; `fit` changes nothing it was given."""
    promised = strategy.fingerprint(task, train)
    given_task, given_train = task.model_copy(deep=True), copy.deepcopy(train)
    candidate = strategy.fit(task, train)
    name = strategy.name
    if candidate.fingerprint != promised or strategy.fingerprint(task, train) != promised:
        raise ContractError(
            f"{name}: the fingerprint before fit is {promised!r}, that of the candidate {candidate.fingerprint!r}, "
            f"that after fit {strategy.fingerprint(task, train)!r}"
        )
    if task != given_task:
        raise ContractError(f"{name}: fit changed the task it was given")
    # A copy, because a dataset keeps its hash once it was asked for it.
    if train != given_train or replace(train).content_hash != replace(given_train).content_hash:
        raise ContractError(f"{name}: fit changed the rows it was given")
    return candidate


async def _predicted(strategy: Strategy, asked: Candidate, values: Sequence[Input], ctx: Context) -> list[Prediction]:
    """The answers; `predict` never raises because of its inputs and does not change them."""
    given = copy.deepcopy(list(values))
    try:
        answers = await asked.predict(values, ctx)
    except Exception as error:
        raise ContractError(
            f"{strategy.name}: predict raised {type(error).__name__} ({error}); "
            "an input that cannot be answered gives a prediction with an error"
        ) from error
    if list(values) != given:
        raise ContractError(f"{strategy.name}: predict changed the inputs it was given")
    return answers


def _one_an_input(case: _Case) -> None:
    """As many predictions as inputs; none for no input."""
    case.require(
        len(case.answers) == len(case.inputs),
        f"{len(case.answers)} predictions for {len(case.inputs)} inputs",
    )
    case.require(case.ask(case.candidate, []) == [], "predictions for no input at all")


def _in_order(case: _Case) -> None:
    """Inputs in reverse give the answers in reverse."""
    if case.candidate.traits.deterministic:
        case.same(case.ask(case.candidate, case.inputs[::-1]), case.answers[::-1], "with the inputs in reverse")


def _bad_input_fails_alone(case: _Case) -> None:
    """An input without text gives one error and leaves its neighbours as they are; a person may look at it."""
    at = len(case.inputs) // 2
    bad: list[Input] = [{}, *(dict.fromkeys(case.task.input_fields, value) for value in NO_TEXT)]
    for value in bad:
        mixed = case.ask(case.candidate, [*case.inputs[:at], value, *case.inputs[at:]])
        expected = len(case.inputs) + 1
        case.require(len(mixed) == expected, f"with the bad input {value}: {len(mixed)} predictions, not {expected}")
        failed = mixed[at].error is not None or (case.candidate.family == "human" and mixed[at].deferred)
        case.require(failed, f"the bad input {value} was answered with {_outcome(mixed[at])} instead of an error")
        if case.candidate.traits.deterministic:
            case.same(mixed[:at] + mixed[at + 1 :], case.answers, f"beside the bad input {value}")


def _answers_are_allowed(case: _Case) -> None:
    """Each answer is one that the task allows, or left to a person, or an error; the same for every stage."""
    for found in _with_stages(case.answers):
        if found.error is not None or found.deferred:
            what = "a failed" if found.error is not None else "a deferred"
            case.require(found.output is None, f"{what} prediction carries the output {found.output!r}")
            case.require(found.error is None or not found.deferred, "a prediction is deferred and failed at once")
        else:
            try:
                case.task.check_output(found.output)
            except DataError as error:
                raise ContractError(f"{case.strategy.name}: an answer is not allowed: {error}") from error


def _scores_are_probabilities(case: _Case) -> None:
    """Confidence and scores lie in 0..1, rounded; scores name labels of the task, best first."""
    for found in _with_stages(case.answers):
        scores = dict(found.scores or {})
        unknown = set(scores) - set(case.task.labels)
        case.require(not unknown, f"scores name {sorted(unknown)}, which the task does not know")
        case.require(list(scores.values()) == sorted(scores.values(), reverse=True), f"scores not best first: {scores}")
        for name, value in [("confidence", found.confidence), *scores.items()]:
            if value is not None:
                fine = math.isfinite(value) and 0 <= value <= 1
                case.require(fine, f"{name}: {value} does not lie between 0 and 1")
                case.require(value == round(value, DECIMALS), f"{name}: {value} is not rounded to {DECIMALS} decimals")


def _repeatable(case: _Case) -> None:
    """Where it says so: a second predict, single calls and a second fit give equal answers."""
    if not case.candidate.traits.deterministic:
        return
    case.same(case.ask(case.candidate, case.inputs), case.answers, "asked a second time")
    single = [answer for value in case.inputs for answer in case.ask(case.candidate, [value])]
    case.same(single, case.answers, "asked one by one")
    again = case.strategy.fit(case.task, case.train)
    case.require(again.fingerprint == case.candidate.fingerprint, "fitted a second time: another fingerprint")
    case.same(case.ask(again, case.inputs), case.answers, "fitted a second time")


def _saved(case: _Case) -> None:
    """A saved candidate holds plain data only, and answers the same when it is read again."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "candidate"
        case.candidate.save(folder)
        files = [path for path in folder.rglob("*") if path.is_file()]
        case.require(bool(files), "save wrote nothing")
        odd = sorted(path.name for path in files if path.suffix not in SUFFIXES)
        case.require(not odd, f"saved {odd}; a candidate is kept in {' and '.join(sorted(SUFFIXES))} files only")
        loaded = case.load(folder)
        case.require(
            loaded.fingerprint == case.candidate.fingerprint,
            f"loaded: the fingerprint is {loaded.fingerprint!r} and not {case.candidate.fingerprint!r}",
        )
        case.require(loaded.training_ids == case.candidate.training_ids, "loaded: other training_ids")
        answers = case.ask(loaded, case.inputs)
        if case.candidate.traits.deterministic:
            case.same(answers, case.answers, "saved and loaded")


def _tells_what_it_saw(case: _Case) -> None:
    """`training_ids` are those of all rows, or of none: leakage is refused by them."""
    seen = case.candidate.training_ids
    fine = not seen or seen == case.train.keys
    case.require(fine, f"{len(seen)} training_ids for {len(case.train)} rows; they must be train.keys, or none")


def _can_be_stored(case: _Case) -> None:
    """Predictions survive being written as JSON and read."""
    for found in case.answers:
        try:
            row = json.loads(json.dumps(found.to_json()))
        except (TypeError, ValueError) as error:
            raise ContractError(f"{case.strategy.name}: a prediction cannot be written as JSON: {error}") from error
        again = Prediction.from_json(row)
        case.require(_rounded(again) == _rounded(found), f"written as JSON and read, {found} became {again}")


#: Every law on the answers, in the order of checking.
LAWS: tuple[Callable[[_Case], None], ...] = (
    _one_an_input,
    _answers_are_allowed,
    _scores_are_probabilities,
    _in_order,
    _bad_input_fails_alone,
    _tells_what_it_saw,
    _can_be_stored,
    _repeatable,
    _saved,
)


def _outcome(found: Prediction) -> str:
    """What a prediction comes to, in words: quantities and times may differ from call to call."""
    if found.error is not None:
        return f"the error {found.error.kind!r}"
    return "deferred" if found.deferred else f"the output {found.output!r}"


def _with_stages(answers: Sequence[Prediction]) -> list[Prediction]:
    """The predictions and all their children."""
    return [one for found in answers for one in (found, *_with_stages(found.children))]


def _rounded(found: Prediction) -> Prediction:
    """With seconds as they are stored."""
    children = tuple(_rounded(child) for child in found.children)
    return replace(found, latency_s=round(found.latency_s, DECIMALS), children=children)
