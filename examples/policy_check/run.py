"""Clauses against the purchasing policy: `python examples/policy_check/run.py`, on a real model with `--model URL`.

Offline a scripted model answers, since the bundled one is too small for this. Every answer is checked by the rules of
task.toml. All of it is done twice, and the two results are compared byte by byte.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from tasklift.dataset import Dataset
from tasklift.llm.fake import ScriptedModel
from tasklift.llm.open import open_model
from tasklift.prediction import Prediction
from tasklift.project import Project
from tasklift.strategies.prompt import Prompt
from tasklift.strategy import Context

HERE = Path(__file__).resolve().parent
#: Part of the clause -> what the scripted model says. The last but one breaks a rule of task.toml on purpose.
SCRIPT = {
    "two months' notice": ("acceptable", "P1", "It renews by twelve months and can be ended with two months' notice."),
    "renews for a period of three years": (
        "not_acceptable",
        "P1",
        "It renews by three years, more than twelve months.",
    ),
    "Half of the price": ("not_acceptable", "P2", "Half is paid in advance without a guarantee; 20% is the most."),
    "ten per cent of the annual fee": ("not_acceptable", "P3", "Liability is limited far below the contract's price."),
    "Dublin and Frankfurt": ("acceptable", "P4", "Data stays in the area and subcontractors are named beforehand."),
    "by written notice of fourteen": ("not_acceptable", "P5", "Prices change by notice alone and follow no index."),
    "published by Eurostat": ("acceptable", "P5", "Prices follow an index that Eurostat publishes."),
    "all ultrasonic meters": ("not_acceptable", "none", "It binds us to one supplier for a discount."),
    "RAL 5012": ("unclear", "none", "No rule of the policy is about the colour of housings."),
}


def main() -> int:
    """Check every clause twice; 1 where the two runs differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="URL of an OpenAI-compatible endpoint, with #model-name")
    asked = parser.parse_args()
    if not asked.model:
        print("Offline: a scripted model answers; --model URL asks a real one.\n")
    clauses = [json.loads(line) for line in (HERE / "clauses.jsonl").read_text(encoding="utf-8").splitlines()]
    # One cache for both runs: a model is asked once, and what was said is replayed.
    model = open_model(asked.model) if asked.model else scripted()
    first, second = (asyncio.run(checked(model, clauses)) for _ in range(2))
    for clause, found in zip(clauses, first, strict=True):
        print("\n".join([f"{clause['id']}: {clause['text']}", f"  {told(found)}", ""]))
    one, other = fingerprint(first), fingerprint(second)
    print(f"replayed: {'the same to the byte' if one == other else 'DIFFERENT'} (sha256 {one[:16]}, {other[:16]})")
    return int(one != other)


def scripted() -> ScriptedModel:
    """Answers by parts of the clause."""
    names = ("verdict", "rule", "explanation")
    return ScriptedModel({part: json.dumps(dict(zip(names, said, strict=True))) for part, said in SCRIPT.items()})


async def checked(model: Any, clauses: list[dict[str, str]]) -> list[Prediction]:
    """One prediction a clause, rules applied."""
    task = Project.open(HERE).task("clause")
    strategy = Prompt(model=model, documents=str(task.documents), passages=6, delimit=True)
    candidate = strategy.fit(task.task, Dataset(()))
    try:
        return await candidate.predict([{"text": clause["text"]} for clause in clauses], Context())
    finally:
        await candidate.aclose()


def told(found: Prediction) -> str:
    """The verdict in a line, or who decides instead."""
    if found.error is not None:
        return f"no answer: {found.error.message}"
    if found.deferred:
        return f"to a person: {json.dumps(found.notes.get('rules', dict(found.notes)), ensure_ascii=False)}"
    return f"{found.output['verdict']}, {found.output['rule']}: {found.output['explanation']}"


def fingerprint(found: list[Prediction]) -> str:
    """Of everything but the time it took."""
    rows = [{"output": one.output, "deferred": one.deferred, "citations": list(one.citations)} for one in found]
    return hashlib.sha256(json.dumps(rows, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
