"""Explaining and replaying an answer from what was kept."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tasklift.dataset import Dataset
from tasklift.errors import TrafficError, UnknownIdError
from tasklift.llm.fake import FakeEndpoint, ScriptedModel
from tasklift.llm.overlay import Material
from tasklift.llm.prompt_file import PromptText
from tasklift.operate.explain import explain, prompts_of, rendered_otherwise, replay
from tasklift.operate.ledger import Ledger
from tasklift.operate.release import Arm, Releases, Trial
from tasklift.operate.review import Feedback, add_feedback
from tasklift.operate.traffic import Trace, TraceWriter
from tasklift.prediction import Prediction
from tasklift.strategies.fewshot import FewShot
from tasklift.strategies.fitting import fit_or_load
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


async def test_the_prompt_of_a_trace_comes_out_to_the_byte(
    database: Database, tmp_path: Path, colours: Task, colour_rows: Dataset
) -> None:
    prompt = PromptText(
        strategy="fewshot",
        tone="Short.",
        system="{{ instruction }} {{ tone }}",
        user="{% for e in examples %}{{ e.text }}: {{ e.label }}\n{% endfor %}{{ text }}",
    )
    material = replace(Material.of(prompt, "base@1", {}), overlays={"de": {"tone": "Kurz."}})
    parts = {"system": prompt.system, "user": prompt.user, "material": material}
    async with FakeEndpoint(answer=lambda body: "red") as endpoint:
        endpoint.context_tokens = 60
        strategy = FewShot(f"{endpoint.url}#{endpoint.model}", "static", examples=8, skip_agreed=False, **parts)
        candidate = await asyncio.to_thread(fit_or_load, strategy, colours, colour_rows, tmp_path, print)
        value = {"text": "a ruby ünder the table " * 12}
        (said,) = await candidate.predict([value], Context(overlay="de"))
        await candidate.aclose()
        writer = TraceWriter(database, Ledger(None))
        kept = Trace("tr_1", "colours", 1.0, 1, candidate.fingerprint, "stable", "de", "ann", value, said, 0.1, 2e-6)
        writer.put(kept)
        await writer.flush()
        found = await explain(database, tmp_path, "tr_1", None)
    assert said.notes["cut"]["over_tokens"] > 0
    messages = [{"role": one["role"], "content": one["content"]} for one in endpoint.received[-1]["messages"]]
    assert list(found.prompts["prompt"]) == messages
    assert "Kurz." in messages[0]["content"]
    assert found.missing == []
    assert found.to_json()["candidate"]["prompt"] == "base@1"
    other = replace(said, notes={**said.notes, "rendered": "0" * 16})
    assert rendered_otherwise(found.prompts, other) == ["the prompt does not come out as it was sent"]
