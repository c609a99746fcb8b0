"""The conformance suite: a correct strategy passes, and each law that is broken is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tasklift.contracts import check_strategy
from tasklift.dataset import Dataset
from tasklift.errors import ContractError, TaskliftError
from tasklift.prediction import Prediction
from tasklift.strategy import Candidate, Context, Family, Input, Resources, Strategy, Traits
from tasklift.task import Task

Change = Callable[[list[Prediction]], list[Prediction]]
INPUTS = [{"text": "a ruby"}, {"text": "some moss"}, {"text": "the ocean"}, {"text": "one frog"}]


class TinyCandidate(Candidate):
    """The label of the known word that occurs in the text, else the first label. `change` breaks its answers."""

    family: Family = "baseline"
    setup = Resources()

    def __init__(
        self,
        fingerprint: str,
        words: Mapping[str, str],
        training_ids: frozenset[str],
        change: Change = list,
        deterministic: bool = True,
    ) -> None:
        self.fingerprint, self.words, self.training_ids, self.change = fingerprint, words, training_ids, change
        self.traits = Traits(deterministic=deterministic)
        self.notes: dict[str, Any] = {}
        self.closed = False

    async def predict(self, inputs: Sequence[Input], ctx: Context) -> list[Prediction]:
        return self.change([self.answer(value) for value in inputs])

    def answer(self, value: Input) -> Prediction:
        text = value.get("text")
        if not isinstance(text, str) or not text.strip():
            return Prediction.failed("empty_input", "the input has no text")
        label = next((label for word, label in self.words.items() if word in text), "red")
        return Prediction(label, {label: 0.75, "blue" if label != "blue" else "red": 0.25}, 0.75, latency_s=1e-9)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        row = {"fingerprint": self.fingerprint, "words": dict(self.words), "ids": sorted(self.training_ids)}
        (folder / "candidate.json").write_text(json.dumps(row))

    async def aclose(self) -> None:
        self.closed = True


@dataclass(frozen=True)
class Tiny(Strategy):
    """Remembers the second word of every row."""

    change: Change = list
    deterministic: bool = True
    made: list[TinyCandidate] = field(default_factory=list, compare=False)
    name = "tiny"

    def fingerprint(self, task: Task, train: Dataset) -> str:
        return f"{task.content_hash[:8]}-{train.content_hash[:8]}"

    def fit(self, task: Task, train: Dataset) -> TinyCandidate:
        words = {str(row.input["text"]).split()[1]: str(row.output) for row in train}
        fingerprint = self.fingerprint(task, train)
        self.made.append(TinyCandidate(fingerprint, words, train.keys, self.change, self.deterministic))
        return self.made[-1]


def load(folder: Path) -> TinyCandidate:
    row = json.loads((folder / "candidate.json").read_text())
    return TinyCandidate(row["fingerprint"], row["words"], frozenset(row["ids"]))


def each(change: Callable[[Prediction], Prediction]) -> Change:
    """A change of every prediction that is no error."""
    return lambda answers: [found if found.error else change(found) for found in answers]


def test_a_correct_strategy_passes_and_is_closed(colours: Task, colour_rows: Dataset) -> None:
    strategy = Tiny()
    check_strategy(strategy, colours, colour_rows, INPUTS, load=load, seed=3)
    assert strategy.made[0].closed


def test_the_error_is_an_assertion_and_an_error_of_tasklift() -> None:
    assert issubclass(ContractError, TaskliftError)
    assert issubclass(ContractError, AssertionError)


def test_fewer_than_two_inputs_are_refused(colours: Task, colour_rows: Dataset) -> None:
    with pytest.raises(ContractError, match="tiny: 1 inputs cannot show an order; give two at least"):
        check_strategy(Tiny(), colours, colour_rows, INPUTS[:1], load=load)


BROKEN_ANSWERS: list[tuple[str, Change, str]] = [
    ("one too few", lambda answers: answers[:-1], "3 predictions for 4 inputs"),
    ("an answer to nothing", lambda answers: answers or [Prediction("red")], "predictions for no input at all"),
    ("another order", lambda answers: sorted(answers, key=lambda p: str(p.output)), "with the inputs in reverse"),
    ("no label", each(lambda p: replace(p, output="pink")), "an answer is not allowed: unknown label 'pink'"),
    ("no answer at all", each(lambda p: replace(p, output=None)), "an answer is not allowed: unknown label None"),
    ("deferred with output", each(lambda p: replace(p, deferred=True)), "a deferred prediction carries the output"),
    ("failed with output", each(lambda p: replace(Prediction.failed("x", "y"), output="red")), "a failed prediction"),
    ("stage without label", each(lambda p: replace(p, children=(Prediction("pink"),))), "unknown label 'pink'"),
    ("confidence over 1", each(lambda p: replace(p, confidence=1.5)), "confidence: 1.5 does not lie between 0 and 1"),
    ("confidence nan", each(lambda p: replace(p, confidence=float("nan"))), "confidence: nan does not lie"),
    ("confidence long", each(lambda p: replace(p, confidence=1 / 3)), "is not rounded to 6 decimals"),
    ("score under 0", each(lambda p: replace(p, scores={"red": -0.5})), "red: -0.5 does not lie between 0 and 1"),
    ("score long", each(lambda p: replace(p, scores={"red": 1 / 3})), "red: 0.3333333333333333 is not rounded"),
    ("score of no label", each(lambda p: replace(p, scores={"pink": 0.5})), r"scores name \['pink'\]"),
    ("worst first", each(lambda p: replace(p, scores={"red": 0.1, "blue": 0.9})), "scores not best first"),
    ("not for JSON", each(lambda p: replace(p, notes={"path": Path("x")})), "cannot be written as JSON: .*PosixPath"),
    ("other in JSON", each(lambda p: replace(p, notes={"pair": (1, 2)})), "written as JSON and read"),
    (
        "bad input answered",
        lambda answers: [replace(p, error=None, output="red") if p.error else p for p in answers],
        "the bad input {} was answered with the output 'red' instead of an error",
    ),
    (
        "bad input deferred",
        lambda answers: [Prediction(deferred=True) if p.error else p for p in answers],
        "the bad input {} was answered with deferred",
    ),
    (
        "bad input left out",
        lambda answers: [p for p in answers if not p.error],
        "with the bad input {}: 4 predictions, not 5",
    ),
    (
        "bad input spoils all",
        lambda answers: [Prediction.failed("x", "y")] * len(answers) if any(p.error for p in answers) else answers,
        "beside the bad input {}: prediction 0 is the error 'x' and not the output 'red'",
    ),
    (
        "depends on the batch",
        lambda answers: answers if len(answers) > 1 else each(lambda p: replace(p, output="blue"))(answers),
        "asked one by one: prediction 0 is the output 'blue' and not the output 'red'",
    ),
]


@pytest.mark.parametrize(
    ("change", "said"), [row[1:] for row in BROKEN_ANSWERS], ids=[row[0] for row in BROKEN_ANSWERS]
)
def test_broken_answers_are_caught(colours: Task, colour_rows: Dataset, change: Change, said: str) -> None:
    strategy = Tiny(change=change)
    with pytest.raises(ContractError, match=f"tiny: .*{said.replace('{}', '[{]}')}"):
        check_strategy(strategy, colours, colour_rows, INPUTS, load=load)
    assert strategy.made[0].closed


def test_other_answers_each_time_are_caught_unless_it_says_so(colours: Task, colour_rows: Dataset) -> None:
    calls = iter(range(10**6))

    def by_turns(answers: list[Prediction]) -> list[Prediction]:
        turn = next(calls)
        label = ("red", "green", "blue")[turn % 3]
        return [p if p.error else replace(p, output=label, scores=None) for p in answers]

    with pytest.raises(ContractError, match="prediction 0 is the output"):
        check_strategy(Tiny(change=by_turns), colours, colour_rows, INPUTS, load=load)
    check_strategy(Tiny(change=by_turns, deterministic=False), colours, colour_rows, INPUTS, load=load)


def test_an_exception_in_predict_is_caught(colours: Task, colour_rows: Dataset) -> None:
    def fail(answers: list[Prediction]) -> list[Prediction]:
        raise KeyError("text")

    with pytest.raises(ContractError, match=r"predict raised KeyError \('text'\); an input that cannot be answered"):
        check_strategy(Tiny(change=fail), colours, colour_rows, INPUTS, load=load)


class ChangesInputs(TinyCandidate):
    def answer(self, value: Input) -> Prediction:
        if isinstance(value, dict):
            value["seen"] = "yes"
        return super().answer(value)


class Unsaved(TinyCandidate):
    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)


class Pickled(TinyCandidate):
    def save(self, folder: Path) -> None:
        super().save(folder)
        (folder / "part").mkdir()
        (folder / "part" / "model.pkl").write_bytes(b"")


def fit_with(kind: type[TinyCandidate], **given: Any) -> type[Tiny]:
    """A strategy that makes candidates of that kind."""

    class Other(Tiny):
        def fit(self, task: Task, train: Dataset) -> TinyCandidate:
            made = super().fit(task, train)
            return kind(
                **{**{"fingerprint": made.fingerprint, "words": made.words, "training_ids": train.keys}, **given}
            )

    return Other


BROKEN_FITS: list[tuple[str, type[Tiny], str]] = [
    (
        "another fingerprint",
        fit_with(TinyCandidate, fingerprint="x"),
        "the fingerprint before fit is '.*', that of.*'x'",
    ),
    ("some of its rows", fit_with(TinyCandidate, training_ids=frozenset({"a"})), "1 training_ids for 60 rows"),
    ("changed inputs", fit_with(ChangesInputs), "predict changed the inputs it was given"),
    ("nothing saved", fit_with(Unsaved), "save wrote nothing"),
    ("pickled", fit_with(Pickled), r"saved \['model.pkl'\]; a candidate is kept in .json and .safetensors files only"),
]


@pytest.mark.parametrize(("kind", "said"), [row[1:] for row in BROKEN_FITS], ids=[row[0] for row in BROKEN_FITS])
def test_broken_candidates_are_caught(colours: Task, colour_rows: Dataset, kind: type[Tiny], said: str) -> None:
    with pytest.raises(ContractError, match=f"tiny: {said}"):
        check_strategy(kind(), colours, colour_rows, [dict(value) for value in INPUTS], load=load)


class ChangesTask(Tiny):
    def fit(self, task: Task, train: Dataset) -> TinyCandidate:
        made = super().fit(task, train)
        task.labels["pink"] = "New"
        return made


class ChangesRows(Tiny):
    def fit(self, task: Task, train: Dataset) -> TinyCandidate:
        made = super().fit(task, train)
        row = train.examples[0].input
        assert isinstance(row, dict)
        row["text"] = row["text"].upper()
        return made


class FitsByTurns(Tiny):
    def fit(self, task: Task, train: Dataset) -> TinyCandidate:
        made = super().fit(task, train)
        made.words = made.words if len(self.made) < 2 else {}
        return made


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (ChangesTask, "the fingerprint before fit|fit changed the task"),
        (ChangesRows, "fit changed the rows"),
        (FitsByTurns, "fitted a second time: prediction 1 is the output 'red' and not the output 'green'"),
    ],
)
def test_broken_fits_are_caught(colours: Task, colour_rows: Dataset, kind: type[Tiny], said: str) -> None:
    with pytest.raises(ContractError, match=f"tiny: ({said})"):
        check_strategy(kind(), colours, colour_rows, INPUTS, load=load)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fingerprint": "x"}, "loaded: the fingerprint is 'x'"),
        ({"training_ids": frozenset()}, "loaded: other training_ids"),
        ({"words": {}}, "saved and loaded: prediction 1 is the output 'red' and not the output 'green'"),
    ],
)
def test_what_was_not_saved_is_noticed(colours: Task, colour_rows: Dataset, change: dict[str, Any], said: str) -> None:
    def load_other(folder: Path) -> TinyCandidate:
        kept = load(folder)
        kept.__dict__.update(change)
        return kept

    with pytest.raises(ContractError, match=f"tiny: {said}"):
        check_strategy(Tiny(), colours, colour_rows, INPUTS, load=load_other)
