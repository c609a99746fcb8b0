"""Every strategy that ships obeys the laws of `tasklift.contracts`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tasklift import registry
from tasklift.contracts import check_strategy
from tasklift.dataset import Dataset
from tasklift.llm.fake import ScriptedModel
from tasklift.strategies.artifact import read_card
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.fewshot import FewShot, FewShotCandidate
from tasklift.strategies.fitting import load_candidate
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.human import Human
from tasklift.strategies.knn import Knn
from tasklift.strategies.labelled_rows import read_store
from tasklift.strategies.layered import Layered
from tasklift.strategies.layered_candidate import LayeredCandidate, Rule
from tasklift.strategies.prompt import Prompt, PromptCandidate
from tasklift.strategy import Candidate, Strategy
from tasklift.task import Task

INPUTS = [
    {"text": "a ruby on the beach"},
    {"text": "moss and fern"},
    {"text": "denim, like the ocean"},
    {"text": "something else"},
    {"text": "half of a pair: \ud800"},
]
WORDS = {"ruby": "red", "moss": "green", "denim": "blue"}


def scripted(confidence: float | None = None) -> ScriptedModel:
    return ScriptedModel(WORDS, default="red", confidence=confidence)


def load_prompt(folder: Path, model: ScriptedModel) -> Candidate:
    """A scripted model has no name under which it could be opened again."""
    return PromptCandidate(read_card(folder), model)


def load_fewshot(folder: Path, model: ScriptedModel) -> Candidate:
    card = read_card(folder)
    return FewShotCandidate(card, model, read_store(folder, card))


def load_layered(folder: Path, model: ScriptedModel) -> Candidate:
    card = read_card(folder)
    prompt = load_prompt(folder / "prompt", model) if (folder / "prompt").exists() else None
    return LayeredCandidate(card, load_candidate(folder / "core"), prompt, Rule.from_json(card.settings))


@pytest.mark.parametrize(
    "strategy",
    [
        Majority(),
        Baseline(),
        Knn(embedder="static"),
        FrozenEncoder(embedder="static"),
        Human(),
        Layered(FrozenEncoder(embedder="static"), None),
    ],
    ids=lambda strategy: strategy.name,
)
def test_strategies_without_a_model(colours: Task, colour_rows: Dataset, strategy: Strategy) -> None:
    check_strategy(strategy, colours, colour_rows, INPUTS, load=load_candidate)


@pytest.mark.parametrize("confidence", [None, 0.8])
@pytest.mark.parametrize(
    ("make", "load"),
    [
        (Prompt, load_prompt),
        (partial(FewShot, embedder="static"), load_fewshot),
        (partial(FewShot, embedder="static", skip_agreed=False, pool=0), load_fewshot),
    ],
    ids=["prompt", "fewshot", "fewshot-always-asking"],
)
def test_strategies_that_ask_a_model(
    colours: Task,
    colour_rows: Dataset,
    make: Callable[..., Strategy],
    load: Callable[[Path, ScriptedModel], Candidate],
    confidence: float | None,
) -> None:
    model = scripted(confidence)
    check_strategy(make(model=model), colours, colour_rows, INPUTS, load=partial(load, model=model))


def test_layered_with_a_prompt_stage(colours: Task, colour_rows: Dataset) -> None:
    model = scripted(0.8)
    strategy = Layered(FrozenEncoder(embedder="static"), Prompt(model=model), alpha=0.2)
    check_strategy(strategy, colours, colour_rows, INPUTS, load=partial(load_layered, model=model))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["knn", "frozen", "fewshot", "encoder", "blend"])
def test_strategies_on_the_sentence_encoder(colours: Task, colour_rows: Dataset, name: str) -> None:
    pytest.importorskip("torch", reason="needs the extra [local]")
    model = scripted()
    made: dict[str, Callable[[], Strategy]] = {
        "knn": Knn,
        "frozen": FrozenEncoder,
        "fewshot": partial(FewShot, model=model),
        "encoder": partial(registry.load("strategy", "encoder"), max_epochs=1),
        "blend": partial(registry.load("strategy", "blend"), max_epochs=1),
    }
    load = partial(load_fewshot, model=model) if name == "fewshot" else load_candidate
    check_strategy(made[name](), colours, colour_rows, INPUTS, load=load)
