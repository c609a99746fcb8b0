"""Core, then prompt, then person: folds, certificate, pilot of the prompt stage, and what each row keeps."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tasklift.dataset import Dataset, Example
from tasklift.errors import TaskliftError
from tasklift.llm.fake import ScriptedModel
from tasklift.llm.model import Request
from tasklift.prediction import Prediction, Usage
from tasklift.strategies.artifact import Card, write_artifact
from tasklift.strategies.layered import Layered
from tasklift.strategies.layered_candidate import LayeredCandidate
from tasklift.strategies.prompt import Prompt
from tasklift.strategy import Candidate, Context, Family, Input, Resources, Strategy, Traits
from tasklift.task import Task

Calls = list[list[str]]


class OracleCandidate(Candidate):
    """Reads from the text what to say and how sure to be: `red 0.9 ...`; `broken ...` fails."""

    family: Family = "finetune"
    traits = Traits()
    setup = Resources()
    notes: dict[str, Any] = {"validation_accuracy": 0.5}  # noqa: RUF012

    def __init__(self, card: Card, asked: Calls) -> None:
        self.card, self.fingerprint, self.training_ids = card, card.fingerprint, card.training_ids
        self.asked = asked
        self.closed = False

    async def predict(self, inputs: Sequence[Input], ctx: Context) -> list[Prediction]:
        self.asked.append([str(value["text"]) for value in inputs])
        return [self.answer(str(value["text"])) for value in inputs]

    def answer(self, text: str) -> Prediction:
        if not text:
            return Prediction.failed("empty_input", "the input has no text")
        said, sure, *_ = text.split()
        if said == "broken":
            return Prediction.failed("server", "down")
        return Prediction(said, {said: float(sure)}, float(sure), usage=Usage(cpu_s=1.0), latency_s=1.0)

    def save(self, folder: Path) -> None:
        write_artifact(folder, self.card, {})

    async def aclose(self) -> None:
        self.closed = True


@dataclass(frozen=True)
class Oracle(Strategy):
    """A core of known risk; it remembers the texts it was fitted to and asked."""

    fitted: Calls = field(default_factory=list, compare=False)
    asked: Calls = field(default_factory=list, compare=False)
    name = "oracle"

    def fingerprint(self, task: Task, train: Dataset) -> str:
        return train.content_hash

    def fit(self, task: Task, train: Dataset) -> OracleCandidate:
        self.fitted.append([str(row.input["text"]) for row in train])
        card = Card("oracle", train.content_hash, "finetune", {}, task.labels, "", ("text",), Resources(), train.keys)
        return OracleCandidate(card, self.asked)


def rows(size: int, seed: int = 0, sure: float = 0.99, unsure: float = 0.6, share: float = 0.5) -> Dataset:
    """Rows on which the oracle is right as often as it says: `share` of them with confidence `sure`."""
    draw = random.Random(seed)
    labels = ("red", "green", "blue")
    made = []
    for n in range(size):
        confidence = sure if draw.random() < share else unsure
        said = draw.choice(labels)
        wrong = draw.choice([label for label in labels if label != said])
        truth = said if draw.random() < confidence else wrong
        made.append(Example(f"{seed}-{n}", {"text": f"{said} {confidence} number {n} is {truth}"}, truth))
    return Dataset(tuple(made))


def ask(candidate: Candidate, data: Dataset, **context: Any) -> list[Prediction]:
    return asyncio.run(candidate.predict(data.inputs, Context(**context)))


def risk(answers: Sequence[Prediction], data: Dataset) -> tuple[float, float]:
    """Share of wrong answers among those given without a person, and share of rows so answered."""
    given = [found.output == row.output for found, row in zip(answers, data, strict=True) if not found.deferred]
    return (1 - sum(given) / len(given) if given else 0.0), len(given) / len(answers)


def knows(request: Request, right: float = 1.0) -> str:
    """A prompt that is right in that share of rows, and says `red` to what is no row."""
    words = request.messages[-1].content.split()
    if "number" not in words:
        return "red"
    number, truth = int(words[words.index("number") + 1]), words[words.index("is") + 1]
    if random.Random(number).random() < right:
        return truth
    return next(label for label in request.labels if label != truth)


def prompt(right: float = 1.0, confidence: float | None = 0.95) -> tuple[Prompt, ScriptedModel]:
    model = ScriptedModel(partial(knows, right=right), confidence=confidence)
    return Prompt(model=model, calibrate=False), model


def test_the_three_folds_share_no_row(colours: Task) -> None:
    data, core = rows(1000), Oracle()
    stage, _ = prompt()
    candidate = Layered(core, stage, folds=(0.5, 0.2, 0.3)).fit(colours, data)
    (first,), second, third = core.fitted, core.asked[0], core.asked[-1]
    assert len(first) + len(second) + len(third) == len({*first, *second, *third}) == 1000
    assert candidate.notes["folds"] == [len(first), len(second), len(third)]
    assert [round(len(fold) / 100) for fold in (first, second, third)] == [5, 2, 3]
    assert candidate.training_ids == data.keys
    assert candidate.setup.labels == 1000


def test_without_a_prompt_stage_the_calibration_rows_certify_too(colours: Task) -> None:
    core = Oracle()
    candidate = Layered(core, None, folds=(0.5, 0.2, 0.3)).fit(colours, rows(1000))
    second, certifying = core.asked
    assert set(second) < set(certifying)
    assert candidate.notes["certificate"]["n"] == len(certifying) == 500


def test_the_certificate_holds_on_fresh_rows(colours: Task) -> None:
    broken = 0
    for seed in range(12):
        candidate = Layered(Oracle(), None, alpha=0.05, delta=0.1).fit(colours, rows(1200, seed))
        fresh = rows(2000, 1000 + seed)
        found, covered = risk(ask(candidate, fresh), fresh)
        assert covered == pytest.approx(0.5, abs=0.05)
        broken += found > 0.05
    assert broken <= 1


def test_a_looser_risk_answers_more(colours: Task) -> None:
    data, fresh = rows(1500), rows(1000, 1)
    shares = [
        risk(ask(Layered(Oracle(), None, alpha=alpha).fit(colours, data), fresh), fresh)[1] for alpha in (0.05, 0.5)
    ]
    assert shares[0] == pytest.approx(0.5, abs=0.05)
    assert shares[1] == 1.0


def test_risk_is_that_of_answered_rows(colours: Task) -> None:
    data = rows(1500, sure=1.0, unsure=0.1, share=0.3)
    candidate = Layered(Oracle(), None).fit(colours, data)
    certificate = candidate.rule.certificate
    assert certificate.threshold is not None
    assert certificate.coverage == pytest.approx(0.3, abs=0.05)
    assert certificate.errors / certificate.accepted <= 0.05
    found, covered = risk(ask(candidate, rows(1000, 1, 1.0, 0.1, 0.3)), rows(1000, 1, 1.0, 0.1, 0.3))
    assert (found, covered) == (0.0, pytest.approx(0.3, abs=0.05))


def test_too_few_rows_for_a_promise_defer_everything_and_say_how_many_are_missing(colours: Task) -> None:
    good = partial(rows, share=1.0)
    candidate = Layered(Oracle(), None).fit(colours, good(100))
    certificate = candidate.notes["certificate"]
    assert certificate["threshold"] is None
    assert certificate["missing_labels"] > 0
    answers = ask(candidate, good(50, 1))
    assert all(found.deferred and found.output is None for found in answers)
    assert all(found.notes == {"stage": "human"} for found in answers)
    enough = 100 + 6 * certificate["missing_labels"]  # a quarter of the rows certifies
    assert Layered(Oracle(), None).fit(colours, good(enough)).rule.certificate.threshold is not None


def test_a_core_that_no_number_of_labels_would_certify_says_so(colours: Task) -> None:
    candidate = Layered(Oracle(), None).fit(colours, rows(800, sure=0.6, unsure=0.4))
    assert candidate.notes["certificate"]["threshold"] is None
    assert candidate.notes["certificate"]["missing_labels"] == -1


def test_every_row_keeps_what_its_stages_said(colours: Task) -> None:
    candidate = Layered(Oracle(), None).fit(colours, rows(1500))
    inputs = [{"text": "red 0.99 x"}, {"text": "blue 0.6 x"}, {"text": ""}, {"text": "broken 0 x"}]
    sure, unsure, empty, broken = asyncio.run(candidate.predict(inputs, Context()))
    assert (sure.output, sure.notes, len(sure.children)) == ("red", {"stage": "core"}, 1)
    assert sure.children[0].confidence == 0.99
    assert (unsure.deferred, unsure.output, unsure.children[0].output) == (True, None, "blue")
    assert (empty.deferred, empty.error and empty.error.kind, len(empty.children)) == (False, "empty_input", 1)
    assert (broken.deferred, broken.confidence) == (True, 0.0)
    assert broken.children[0].error is not None


def test_confidence_is_calibrated(colours: Task) -> None:
    data = rows(3000)
    shifted = [
        Example(row.id, {"text": row.input["text"].replace("0.99", "0.7").replace("0.6 ", "0.65 ")}, row.output)
        for row in data
    ]
    candidate = Layered(Oracle(), None).fit(colours, Dataset(tuple(shifted)))
    sure, unsure = asyncio.run(candidate.predict([{"text": "red 0.7 x"}, {"text": "red 0.65 x"}], Context()))
    assert sure.confidence == pytest.approx(0.99, abs=0.02)
    assert unsure.confidence == pytest.approx(0.6, abs=0.05)


def test_a_good_prompt_answers_what_the_core_is_not_sure_of(colours: Task) -> None:
    stage, model = prompt()
    candidate = Layered(Oracle(), stage).fit(colours, rows(1500))
    assert candidate.prompt is not None
    assert candidate.notes["prompt_stage"].startswith("answers where it is sure: 100% right on 48 rows")
    fresh, seen = rows(300, 1), len(model.requests)
    answers = ask(candidate, fresh)
    stages = [found.notes["stage"] for found in answers]
    assert set(stages) == {"core", "prompt"}
    assert len(model.requests) - seen == stages.count("prompt")
    assert risk(answers, fresh)[0] <= 0.05
    second = answers[stages.index("prompt")]
    assert [child.confidence for child in second.children] == [0.6, 0.95]
    assert second.usage.calls == 1
    assert second.usage.cpu_s == 1.0


def test_a_poor_prompt_is_left_out_and_never_asked_again(colours: Task) -> None:
    stage, model = prompt(right=0.5)
    candidate = Layered(Oracle(), stage).fit(colours, rows(1500))
    assert candidate.prompt is None
    assert "never answers alone: " in candidate.notes["prompt_stage"]
    assert "95% needed, so the stage was left out" in candidate.notes["prompt_stage"]
    assert len(model.requests) == 48
    answers = ask(candidate, rows(100, 1), all_stages=True)
    assert len(model.requests) == 48
    assert {found.notes["stage"] for found in answers} == {"core", "human"}
    assert {len(found.children) for found in answers} == {1}


def test_a_prompt_without_a_confidence_does_not_answer_unless_it_is_certified(colours: Task) -> None:
    stage, _ = prompt(right=0.7, confidence=None)
    candidate = Layered(Oracle(), stage).fit(colours, rows(1500))
    fresh = rows(500, 1)
    assert risk(ask(candidate, fresh), fresh)[0] <= 0.05


def test_a_prompt_is_not_judged_on_a_handful_of_rows(colours: Task) -> None:
    stage, model = prompt()
    candidate = Layered(Oracle(), stage).fit(colours, rows(400, sure=1.0, unsure=0.5, share=0.95))
    assert candidate.prompt is None
    assert "too few to judge a prompt" in candidate.notes["prompt_stage"]
    assert model.requests == []


def test_without_a_prompt_that_is_said(colours: Task) -> None:
    assert Layered(Oracle(), None).fit(colours, rows(300)).notes["prompt_stage"] == "no prompt stage was asked for"


def test_all_stages_can_be_asked_without_changing_an_answer(colours: Task) -> None:
    stage, _ = prompt(right=0.97)
    candidate = Layered(Oracle(), stage).fit(colours, rows(1500))
    fresh = rows(300, 1)
    some, everything = ask(candidate, fresh), ask(candidate, fresh, all_stages=True)
    assert [(p.output, p.deferred, p.confidence) for p in some] == [
        (p.output, p.deferred, p.confidence) for p in everything
    ]
    assert {len(found.children) for found in everything} == {2}
    assert [found.usage for found in some] == [found.usage for found in everything]


def test_the_certificate_counts_the_prompt_too(colours: Task) -> None:
    broken = 0
    for seed in range(4):
        stage, _ = prompt(right=0.9)
        candidate = Layered(Oracle(), stage).fit(colours, rows(1200, seed))
        fresh = rows(800, 1000 + seed)
        broken += risk(ask(candidate, fresh), fresh)[0] > 0.05
    assert broken <= 1


def test_traits_are_those_of_all_stages(colours: Task) -> None:
    class Hosted(ScriptedModel):
        remote = True
        data_leaves_machine = True

    alone = Layered(Oracle(), None).fit(colours, rows(1500)).traits
    stage = Prompt(model=Hosted(knows, confidence=0.95), calibrate=False)
    both = Layered(Oracle(), stage).fit(colours, rows(1500)).traits
    assert (alone.remote, alone.data_leaves_machine, alone.deterministic) == (False, False, True)
    assert (both.remote, both.data_leaves_machine) == (True, True)


async def test_closing_closes_both_stages(colours: Task) -> None:
    candidate = await asyncio.to_thread(Layered(Oracle(), None).fit, colours, rows(300))
    assert isinstance(candidate, LayeredCandidate)
    await candidate.aclose()
    assert isinstance(candidate.core, OracleCandidate)
    assert candidate.core.closed


def test_stages_and_parameters_enter_the_fingerprint(colours: Task) -> None:
    data = rows(30)
    some = [
        Layered(Oracle(), None),
        Layered(Oracle(), Prompt(model=ScriptedModel({}))),
        Layered(Prompt(model=ScriptedModel({})), None),
        Layered(Oracle(), None, alpha=0.1),
        Layered(Oracle(), None, folds=(0.5, 0.2, 0.3)),
        Layered(Oracle(), None, seed=1),
    ]
    assert len({strategy.fingerprint(colours, data) for strategy in some}) == len(some)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_too_few_rows_for_three_folds_are_refused(colours: Task, size: int) -> None:
    with pytest.raises(TaskliftError, match="rows"):
        Layered(Oracle(), None).fit(colours, Dataset(rows(60).examples[:size]))
