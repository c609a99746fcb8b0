"""Explaining and replaying an answer from what was kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasklift.dataset import Dataset
from tasklift.errors import TrafficError, UnknownIdError
from tasklift.llm.fake import ScriptedModel
from tasklift.operate.explain import explain, prompts_of, replay
from tasklift.operate.ledger import Ledger
from tasklift.operate.release import Arm, Releases, Trial
from tasklift.operate.review import Feedback, add_feedback
from tasklift.operate.traffic import Trace, TraceWriter
from tasklift.prediction import Prediction
from tasklift.strategies.prompt import Prompt
from tasklift.strategy import Candidate, Context
from tasklift.task import Task
from tasklift_platform.database import Database


async def a_trace(database: Database, candidate: Candidate, said: Prediction, value: dict[str, str] | None) -> str:
    writer = TraceWriter(database, Ledger(None))
    print_of = candidate.fingerprint
    trace = Trace("tr_1", "colours", 1.0, 1, print_of, "stable", "", "ann", value, said, 0.1, 2e-6)
    writer.put(trace)
    await writer.flush()
    return trace.id


async def test_an_explanation_holds_everything_behind_an_answer(
    database: Database, tmp_path: Path, fitted: dict[str, Candidate], colours: Task, colour_rows: Dataset
) -> None:
    candidate, value = fitted["baseline"], {"text": "a frog over there"}
    await Releases(database, lambda _: None).release(
        "colours", Arm(candidate.fingerprint, "baseline", "decision-1"), Trial(), "ann"
    )
    (said,) = await candidate.predict([value], Context())
    identity = await a_trace(database, candidate, said, value)
    await add_feedback(database, colours, Feedback(identity, "green"), "shop")
    found = await explain(database, tmp_path, identity, colour_rows)
    assert (found.release.version, found.release.route().stable.decision) == (1, "decision-1")
    assert (found.card.strategy, found.trace.prediction.scores, found.missing) == ("baseline", said.scores, [])
    assert found.nearest[0]["input"] == value
    assert [row["label"] for row in found.labels] == ["green"]
    row = found.to_json()
    assert row["candidate"]["training_data"] == colour_rows.origin[:16]
    assert row["candidate"]["training_rows"] == len(colour_rows)
    again = await replay(database, tmp_path, identity)
    assert (again.is_same, again.is_deterministic) == (True, True)


async def test_what_was_not_kept_is_said(database: Database, tmp_path: Path, fitted: dict[str, Candidate]) -> None:
    identity = await a_trace(database, fitted["baseline"], Prediction("red", confidence=0.5), None)
    (tmp_path / "artifacts" / fitted["baseline"].fingerprint / "candidate.json").unlink()
    found = await explain(database, tmp_path, identity, None)
    assert [text.partition(" ")[0] for text in found.missing] == ["the", "the"]
    assert "not kept" in found.missing[0]
    assert "candidate.json is missing" in found.missing[1]
    with pytest.raises(TrafficError, match="not kept"):
        await replay(database, tmp_path, identity)
    with pytest.raises(UnknownIdError, match="no trace"):
        await explain(database, tmp_path, "tr_2", None)


async def test_another_answer_is_noticed(database: Database, tmp_path: Path, fitted: dict[str, Candidate]) -> None:
    value = {"text": "a frog over there"}
    identity = await a_trace(database, fitted["baseline"], Prediction("red", confidence=0.99), value)
    assert not (await replay(database, tmp_path, identity)).is_same


async def test_the_exact_prompt_is_rendered_again_without_a_call(colours: Task, colour_rows: Dataset) -> None:
    model = ScriptedModel({"frog": "green"})
    prompts = await prompts_of(Prompt(model=model).fit(colours, colour_rows), {"text": "a frog"}, Context())
    assert [message["role"] for message in prompts["prompt"]] == ["system", "user"]
    assert "a frog" in prompts["prompt"][1]["content"]
    assert model.requests == []
