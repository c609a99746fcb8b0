"""Few-shot prompting: which rows are shown, when the model is not asked, and which labels are allowed."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasklift.dataset import Dataset, Example
from tasklift.errors import ConfigError, ServerError, StrategyError
from tasklift.llm.fake import ScriptedModel
from tasklift.llm.model import Reply, Request
from tasklift.prediction import Prediction
from tasklift.strategies.fewshot import FewShot, FewShotCandidate
from tasklift.strategies.fitting import load_candidate
from tasklift.strategies.labelled_rows import agreed_accuracy, vote
from tasklift.strategies.selection import Found
from tasklift.strategy import Context
from tasklift.task import Task


def fitted(task: Task, rows: Dataset, model: ScriptedModel, **parameters: Any) -> FewShotCandidate:
    return FewShot(model=model, embedder="static", **parameters).fit(task, rows)


async def ask(candidate: FewShotCandidate, *texts: str, **context: Any) -> list[Prediction]:
    return await candidate.predict([{"text": text} for text in texts], Context(**context))


def mixed(**labels: str) -> Dataset:
    """A text for each label."""
    return Dataset(tuple(Example(label, {"text": text}, label) for label, text in labels.items()))


ONE_EACH = mixed(red="a ruby stone", green="wet moss and grass", blue="the deep ocean")


async def test_the_nearest_row_is_shown_last(colours: Task) -> None:
    model = ScriptedModel({}, default="green")
    (found,) = await ask(fitted(colours, ONE_EACH, model, examples=3), "dry grass and moss")
    assert found.output == "green"
    prompt = model.requests[0].messages[-1].content
    places = [prompt.index(f"Message: {row.input['text']}\nLabel: {row.output}\n") for row in ONE_EACH]
    assert max(places) == places[1]
    assert prompt.endswith("Message: dry grass and moss\nLabel:")


async def test_only_so_many_rows_are_shown(colours: Task, colour_rows: Dataset) -> None:
    model = ScriptedModel({}, default="green")
    await ask(fitted(colours, colour_rows, model, examples=2, skip_agreed=False), "a frog in the garden")
    prompt = model.requests[0].messages[-1].content
    assert prompt.count("Message: ") == 3
    assert "Message: a frog in the garden\nLabel: green\n\nMessage: a frog in the garden\nLabel:" in prompt


async def test_long_examples_are_cut(colours: Task) -> None:
    rows = mixed(red="ruby " * 500, green="moss " * 500)
    model = ScriptedModel({}, default="red")
    await ask(fitted(colours, rows, model, examples=2, example_chars=20), "a ruby")
    assert "Message: ruby ruby ruby ruby \nLabel: red" in model.requests[0].messages[-1].content
    assert len(model.requests[0].messages[-1].content) < 200


async def test_the_model_is_skipped_where_the_neighbours_agree(colours: Task, colour_rows: Dataset) -> None:
    model = ScriptedModel({})
    candidate = fitted(colours, colour_rows, model, examples=3)
    (found,) = await ask(candidate, "moss in the garden")
    assert (found.output, found.notes, model.requests) == ("green", {"skipped_model": True}, [])
    assert found.confidence == round(candidate.notes["agreed_accuracy"], 6)
    assert found.scores == {"green": found.confidence}
    assert found.usage.calls == 0


async def test_the_model_is_asked_where_they_do_not_agree(colours: Task) -> None:
    model = ScriptedModel({}, default="blue")
    (found,) = await ask(fitted(colours, ONE_EACH, model, examples=2), "moss")
    assert (found.notes, len(model.requests)) == ({"skipped_model": False}, 1)
    assert found.usage.calls == 1


async def test_the_model_is_always_asked_when_told_so(colours: Task, colour_rows: Dataset) -> None:
    model = ScriptedModel({}, default="green")
    (found,) = await ask(fitted(colours, colour_rows, model, examples=3, skip_agreed=False), "moss in the garden")
    assert (found.notes, len(model.requests)) == ({"skipped_model": False}, 1)


async def test_only_labels_of_the_pool_are_allowed(colours: Task) -> None:
    model = ScriptedModel({}, default="green")
    candidate = fitted(colours, ONE_EACH, model, examples=2, pool=2)
    (found,) = await ask(candidate, "a stone and moss, a ruby on grass")
    assert found.output == "green"
    assert model.requests[0].labels == ("red", "green")


async def test_without_a_pool_every_label_is_allowed(colours: Task) -> None:
    model = ScriptedModel({}, default="red")
    rows = mixed(red="a ruby stone", green="wet moss")
    (found,) = await ask(fitted(colours, rows, model, examples=2, pool=0), "moss")
    assert model.requests[0].labels == ("red", "green", "blue")
    assert found.output == "red"


async def test_more_examples_than_rows_are_all_rows(colours: Task) -> None:
    model = ScriptedModel({}, default="red")
    await ask(fitted(colours, ONE_EACH, model, examples=8), "moss")
    assert model.requests[0].messages[-1].content.count("Label: ") == 3


async def test_errors_bad_inputs_and_deadlines_fail_alone(colours: Task) -> None:
    model = ScriptedModel({"ruby-": ServerError("down"), "brick-": "crimson"}, default="green")
    candidate = fitted(colours, ONE_EACH, model)
    inputs: list[dict[str, Any]] = [{"text": "a ruby-"}, {"text": "moss"}, {"text": 5}, {}, {"text": "brick-"}]
    answers = await candidate.predict(inputs, Context())
    kinds = [found.error and found.error.kind for found in answers]
    assert kinds == ["server", None, "empty_input", "empty_input", "invalid_output"]
    (late,) = await ask(candidate, "moss", deadline=time.monotonic() - 1)
    assert late.error is not None
    assert late.error.kind == "timeout"


def test_agreement_is_as_right_as_it_was_on_the_rows() -> None:
    corners = np.eye(3, dtype=np.float32)[np.repeat([0, 1, 2], 5)]
    truth = np.repeat([0, 1, 2], 5)
    assert agreed_accuracy(corners, truth, 4) == 16 / 17
    odd = truth.copy()
    odd[0] = 1  # its four neighbours agree on 0; the other rows of its corner see it among their own
    assert agreed_accuracy(corners, odd, 4) == 11 / 13


def test_a_row_is_no_neighbour_of_its_own_even_if_repeated() -> None:
    same = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (6, 1))
    assert agreed_accuracy(same, np.zeros(6, dtype=np.int64), 2) == 7 / 8


@pytest.mark.parametrize("k", [1, 2, 50])
def test_a_handful_of_rows_never_claims_certainty(k: int) -> None:
    corners = np.eye(2, dtype=np.float32)
    assert agreed_accuracy(corners, np.array([0, 0]), k) == 0.75
    assert agreed_accuracy(corners, np.array([0, 1]), k) == 0.25


async def test_a_saved_candidate_answers_and_holds_the_rows(
    tmp_path: Path, colours: Task, colour_rows: Dataset
) -> None:
    strategy = FewShot(model="http://127.0.0.1:9/v1#nobody", embedder="static", examples=3)
    candidate = strategy.fit(colours, colour_rows)
    candidate.save(tmp_path / "kept")
    kept = load_candidate(tmp_path / "kept")
    before = await candidate.predict([{"text": "moss in the garden"}], Context())
    after = await kept.predict([{"text": "moss in the garden"}], Context())
    assert [found.scores for found in before] == [found.scores for found in after]
    assert kept.training_ids == colour_rows.keys
    kept.save(tmp_path / "again")
    once, twice = ((tmp_path / name / "candidate.json").read_text() for name in ("kept", "again"))
    assert once == twice


def test_what_can_be_asked_enters_the_traits(colours: Task, colour_rows: Dataset) -> None:
    remote = FewShot(model="https://models.example.org/v1#m", embedder="static").fit(colours, colour_rows).traits
    local = fitted(colours, colour_rows, ScriptedModel({})).traits
    assert (remote.remote, remote.data_leaves_machine, remote.deterministic) == (True, True, False)
    assert (local.remote, local.data_leaves_machine, local.deterministic) == (False, False, True)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"examples": 0}, "fewshot: examples=0 must be positive"),
        ({"examples": 5, "pool": 4}, "fewshot: pool=4 must be 0 or at least examples"),
        ({"pool": -1}, "fewshot: pool=-1 must be 0 or at least examples"),
        ({"example_chars": 0}, "fewshot: example_chars=0 must be positive"),
        ({"selection": "random"}, "fewshot: selection='random' is none of nearest, diverse, balanced"),
        ({"example_tokens": -1}, "fewshot: example_tokens=-1 must be positive, or 0"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, int], said: str) -> None:
    with pytest.raises(StrategyError, match=said):
        FewShot(**parameters)


def test_templates_are_checked_when_the_recipe_is_made() -> None:
    with pytest.raises(ConfigError, match="user template names the unknown field 'example'; it may use: cue, examples"):
        FewShot(user="{{ example.text }} {{ text }}")


async def test_balanced_examples_show_every_label_that_is_near(colours: Task, colour_rows: Dataset) -> None:
    model = ScriptedModel({}, default="green")
    candidate = fitted(colours, colour_rows, model, examples=3, pool=60, selection="balanced", skip_agreed=False)
    await ask(candidate, "a frog in the garden")
    prompt = model.requests[0].messages[-1].content
    assert [prompt.count(f"Label: {label}\n") for label in colours.labels] == [1, 1, 1]
    assert candidate.notes["right_label_shown"] > 0.9


async def test_a_budget_in_tokens_is_kept(colours: Task, colour_rows: Dataset) -> None:
    model = ScriptedModel({}, default="green")
    candidate = fitted(colours, colour_rows, model, example_tokens=50, skip_agreed=False)
    await ask(candidate, "a frog in the garden")
    assert model.requests[0].messages[-1].content.count("Message: ") == 3
    assert candidate.notes["example_tokens"] < 50


async def test_the_neighbours_vote_counts_beside_a_model_that_gives_log_probabilities(
    colours: Task, colour_rows: Dataset
) -> None:
    """A model that always prefers one label is outvoted, except where it alone counts."""

    class Biased(ScriptedModel):
        async def complete(self, request: Request) -> Reply:
            reply = await super().complete(request)
            scores = {label: -0.1 if label == "blue" else -3.0 for label in request.labels}
            return replace(reply, log_probs=scores)

    answers = {}
    for weight in (0.0, 0.9):
        strategy = FewShot(
            model=Biased({}, default="blue"), embedder="static", pool=60, skip_agreed=False, retrieval_weight=weight
        )
        candidate = strategy.fit(colours, colour_rows)
        (found,) = await candidate.predict([{"text": "moss in the garden"}], Context())
        answers[weight] = found.output
        assert found.scores is not None
        assert sum(found.scores.values()) == pytest.approx(1.0, abs=1e-4)
    assert answers == {0.0: "blue", 0.9: "green"}


def test_a_vote_is_a_distribution_over_all_labels() -> None:
    near = Found(np.array([0, 1]), np.array([0.9, 0.5]), np.zeros((2, 2), np.float32), np.array([2, 0]))
    shares = {label: np.exp(share) for label, share in vote(near, ["a", "b", "c"]).items()}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["c"] > shares["a"] > shares["b"] > 0
    with pytest.raises(StrategyError, match=r"retrieval_weight=1.5"):
        FewShot(model=ScriptedModel({}), retrieval_weight=1.5)
