"""From the names and parameters of files and flags to strategies."""

from __future__ import annotations

from typing import Any

import pytest

from tasklift.errors import ConfigError, StrategyError
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.build import build
from tasklift.strategies.fewshot import FewShot
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.knn import Knn
from tasklift.strategies.layered import Layered
from tasklift.strategies.prompt import Prompt

URL = "http://127.0.0.1:8000/v1#some-model"


def test_names_in_order_with_their_parameters() -> None:
    made = build(["knn", "majority"], {"knn": {"neighbours": [3, 7], "seed": 5}}, "local")
    assert list(made) == ["knn", "majority"]
    assert made["knn"] == Knn(neighbours=(3, 7), seed=5)
    assert made["majority"] == Majority()


def test_no_names_make_nothing() -> None:
    assert build([], {}, "local") == {}


def test_model_and_embedder_are_for_all_that_name_none() -> None:
    parameters: dict[str, dict[str, Any]] = {"fewshot": {"embedder": "minilm"}}
    made = build(["prompt", "fewshot", "frozen", "baseline"], parameters, URL, "static")
    assert made["prompt"] == Prompt(model=URL)
    assert made["fewshot"] == FewShot(model=URL, embedder="minilm")
    assert made["frozen"] == FrozenEncoder(embedder="static")
    assert made["baseline"] == Baseline()


def test_stages_of_layered_take_the_parameters_of_their_own_names() -> None:
    parameters: dict[str, dict[str, Any]] = {"frozen": {"seed": 3}, "layered": {"alpha": 0.1}, "fewshot": {"pool": 0}}
    made = build(["layered"], parameters, URL, "static")["layered"]
    expected = Layered(FrozenEncoder("static", seed=3), FewShot(URL, "static", pool=0), alpha=0.1)
    assert made == expected


def test_stages_of_layered_can_be_chosen_or_left_out() -> None:
    parameters: dict[str, dict[str, Any]] = {
        "layered": {"core": "baseline", "prompt": "none", "folds": [0.5, 0.2, 0.3]}
    }
    made = build(["layered"], parameters, URL)["layered"]
    assert made == Layered(Baseline(), None, folds=(0.5, 0.2, 0.3))
    prompted = build(["layered"], {"layered": {"prompt": "prompt"}}, URL)["layered"]
    assert prompted == Layered(FrozenEncoder(), Prompt(URL))


def test_without_a_model_layered_has_no_prompt_stage_unless_one_is_named() -> None:
    assert build(["layered"], {}, None)["layered"] == Layered(FrozenEncoder(), None)
    named: dict[str, dict[str, Any]] = {"layered": {"prompt": "prompt"}, "prompt": {"model": URL}}
    assert build(["layered"], named, None)["layered"] == Layered(FrozenEncoder(), Prompt(URL))


@pytest.mark.parametrize(
    ("names", "parameters", "said"),
    [
        (["layerd"], {}, "no strategy is called 'layerd'; did you mean 'layered'"),
        (["gpt"], {}, "no strategy is called 'gpt'; known: majority, baseline, knn"),
        (["majority"], {"fewshots": {}}, "no strategy is called 'fewshots'; did you mean 'fewshot'"),
        (["fewshot"], {"fewshot": {"example": 4}}, "'fewshot' has no parameter 'example'; did you mean 'examples'"),
        (["frozen"], {"frozen": {"C": 4}}, "'frozen' has no parameter 'C'; it knows: embedder, out_of_scope, seed"),
        (["majority"], {"majority": {"seed": 4}}, "'majority' has no parameter 'seed'; it knows: none"),
        (["layered"], {"layered": {"core": "frozn"}}, "no strategy is called 'frozn'; did you mean 'frozen'"),
        (["layered"], {"frozen": {"sed": 1}}, "'frozen' has no parameter 'sed'; did you mean 'seed'"),
        (["prompt"], {"prompt": {"user": "{{ txt }}"}}, "user template names the unknown field 'txt'"),
        (["baseline"], {"baseline": {"strengths": "1"}}, "'baseline': strengths = '1' must be a list"),
        (["knn"], {"knn": {"neighbours": 5}}, "'knn': neighbours = 5 must be a list"),
        (["fewshot"], {"fewshot": {"skip_agreed": 1}}, "'fewshot': skip_agreed = 1 must be true or false"),
        (["fewshot"], {"fewshot": {"examples": 2.5}}, "'fewshot': examples = 2.5 must be a whole number"),
        (["knn"], {"knn": {"seed": float("inf")}}, "'knn': seed = inf must be a whole number"),
        (["layered"], {"layered": {"core": 5}}, "'layered': core = 5 must be text"),
        (["encoder"], {"encoder": {"max_epochs": "4"}}, "'encoder': max_epochs = '4' must be a whole number"),
    ],
)
def test_unknown_names_and_wrong_types_are_refused(names: list[str], parameters: Any, said: str) -> None:
    if "encoder" in names:
        pytest.importorskip("torch", reason="needs the extra [local]")
    with pytest.raises(ConfigError, match=said):
        build(names, parameters, "local")


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("fewshot", {"examples": 0}, "fewshot: examples=0 must be positive"),
        ("fewshot", {"examples": 9, "pool": 8}, "fewshot: pool=8 must be 0 or at least examples"),
        ("fewshot", {"example_chars": -1}, "fewshot: example_chars=-1 must be positive"),
        ("prompt", {"user": " \n"}, "prompt: the user template is empty"),
        ("layered", {"alpha": 0}, "layered: alpha=0 must lie between 0 and 1"),
        ("layered", {"alpha": float("nan")}, "layered: alpha=nan must lie between 0 and 1"),
        ("layered", {"delta": 1.0}, "layered: delta=1.0 must lie between 0 and 1"),
        ("layered", {"folds": [0.5, 0.5, 0.5]}, r"layered: folds=\(0.5, 0.5, 0.5\) must be positive and sum to 1"),
        ("layered", {"folds": [1.1, -0.2, 0.1]}, r"layered: folds=.* must be positive and sum to 1"),
    ],
)
def test_parameters_out_of_range_are_refused(name: str, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(StrategyError, match=said):
        build([name], {name: parameters}, "local")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"max_epochs": 0}, "encoder: max_epochs=0 must lie between 1 and 100"),
        ({"max_epochs": 101}, "encoder: max_epochs=101 must lie between 1 and 100"),
        ({"learning_rate": 0.0}, "encoder: learning_rate=0.0 must lie between 0 and 1"),
        ({"batch_size": 0}, "encoder: batch_size=0 must be positive"),
    ],
)
def test_parameters_of_the_encoder_out_of_range_are_refused(parameters: dict[str, Any], said: str) -> None:
    pytest.importorskip("torch", reason="needs the extra [local]")
    with pytest.raises(StrategyError, match=said):
        build(["encoder"], {"encoder": parameters}, "local")
