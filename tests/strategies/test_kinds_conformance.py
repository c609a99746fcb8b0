"""Strategies that answer with more than one label obey the laws too, and say what does not apply."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from made_up_tasks import rows_of, task_of

from tasklift.contracts import check_strategy
from tasklift.dataset import Dataset, Example, write_jsonl
from tasklift.errors import StrategyError, UnsupportedError
from tasklift.llm.fake import ScriptedModel
from tasklift.prediction import Prediction
from tasklift.strategies.artifact import read_card
from tasklift.strategies.baseline import Majority
from tasklift.strategies.fewshot import FewShot, FewShotCandidate
from tasklift.strategies.fitting import load_candidate
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.human import Human
from tasklift.strategies.knn import Knn
from tasklift.strategies.labelled_rows import read_store
from tasklift.strategies.layered import Layered
from tasklift.strategies.prompt import Prompt, PromptCandidate
from tasklift.strategy import Candidate, Context, Strategy

KINDS = ("labels", "number", "json", "text")
SAID = {"labels": '["lift"]', "number": "50", "json": '{"street": "Mill Lane"}', "text": "Something is broken."}
INPUTS = [{"text": "The lift is stuck"}, {"text": "no heating, no water"}, {"text": "half of a pair: \ud800"}]

every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
@pytest.mark.parametrize("strategy", [Majority(), Knn(embedder="static"), Human()], ids=lambda strategy: strategy.name)
def test_strategies_without_a_model(kind: str, strategy: Strategy) -> None:
    check_strategy(strategy, task_of(kind), rows_of(kind), INPUTS, load=load_candidate)


@every_kind
def test_strategies_that_ask_a_model(kind: str) -> None:
    model = ScriptedModel({"stuck": SAID[kind]}, default="nothing of use")

    def prompt(folder: Path) -> Candidate:
        return PromptCandidate(read_card(folder), model)

    def fewshot(folder: Path) -> Candidate:
        card = read_card(folder)
        return FewShotCandidate(card, model, read_store(folder, card))

    check_strategy(Prompt(model=model), task_of(kind), rows_of(kind), INPUTS, load=prompt)
    check_strategy(FewShot(model=model, embedder="static"), task_of(kind), rows_of(kind), INPUTS, load=fewshot)


@every_kind
def test_what_gives_one_label_only_says_so(kind: str) -> None:
    for strategy in (FrozenEncoder(embedder="static"), Layered(FrozenEncoder(embedder="static"), None)):
        if kind in strategy.kinds:
            continue
        with pytest.raises((UnsupportedError, StrategyError), match=f"{strategy.name}.*{kind!r}"):
            strategy.fit(task_of(kind), rows_of(kind))


def ask(strategy: Strategy, kind: str, *texts: str) -> list[Prediction]:
    candidate = strategy.fit(task_of(kind), rows_of(kind))
    return asyncio.run(candidate.predict([{"text": text} for text in texts], Context()))


def test_the_constant_is_the_median_or_the_most_frequent_answer() -> None:
    assert [ask(Majority(), kind, "anything")[0].output for kind in KINDS] == [["lift"], 72, {}, "Lift stuck."]


def test_neighbours_vote_average_or_are_copied() -> None:
    text = "No heating since Monday, Mill Lane 12"
    labels, number, found, said = (ask(Knn(embedder="static"), kind, text)[0].output for kind in KINDS)
    assert labels == ["heating"]
    assert number == 80
    assert (found, said) == ({"street": "Mill Lane", "number": 12}, "No heating.")


def test_examples_are_shown_as_answers_should_be_written() -> None:
    model = ScriptedModel({}, default='{"number": 12}')
    ask(FewShot(model=model, embedder="static", examples=2), "json", "No heating since Monday, Mill Lane 12 now")
    shown = model.requests[0].messages[-1].content
    assert 'JSON: {"street": "Mill Lane", "number": 12}' in shown
    assert shown.endswith("JSON:")
    assert "- street (text, may be missing): street name" in model.requests[0].messages[0].content


def test_a_mended_answer_and_a_failed_one_carry_what_both_calls_used() -> None:
    (mended,) = ask(Prompt(model=ScriptedModel(["seventy", "70"])), "number", "x")
    assert (mended.output, mended.notes, mended.usage.calls) == (70, {"mended": True}, 2)
    (failed,) = ask(Prompt(model=ScriptedModel({}, default="no")), "number", "x")
    assert failed.error is not None
    assert (failed.error.kind, failed.usage.calls) == ("invalid_output", 2)


def test_empty_answers_survive_being_stored(tmp_path: Path) -> None:
    for output in ([], {}, 0, ""):
        assert Prediction.from_json(Prediction(output).to_json()).output == output
    rows = Dataset((Example("1", {"text": "t"}, {}), Example("2", {"text": "u"}, [])))
    write_jsonl(rows, tmp_path / "rows.jsonl")
    assert '"output": {}' in (tmp_path / "rows.jsonl").read_text()
    assert rows.examples[1].to_json()["output"] == []
