"""The copilot answers four questions: `python examples/crm_copilot/run.py`, on a real model with `--model URL`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from crm import crm_tools, write_database
from script import scripted

from tasklift.dataset import Dataset
from tasklift.measure.planning.advise import Advice, Answers, advise
from tasklift.prediction import Prediction
from tasklift.project import Project, TaskFile
from tasklift.strategies.prompt import Prompt
from tasklift.strategy import Context

HERE = Path(__file__).resolve().parent
QUESTIONS = (
    "Which of our larger deals, 50,000 EUR and up, have gone quiet?",
    "What is our weighted pipeline for the first quarter of 2027?",
    "What is new on deal 111, Ribera?",
    "Write down that I called Brennholt today about deal 101.",
)
#: What is known of this work before any row of it exists.
KNOWN = Answers(
    requirements_change_often=True,
    humans_validate_outputs=True,
    inconsistency_is_risky=False,
    exploratory=True,
    at_scale=False,
    needs_explainability=False,
    time_to_market_first=True,
)


def main() -> int:
    """Ask, print answers with their calls and sources, and say why this stays a prompt."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="URL of an OpenAI-compatible endpoint that takes tools, with #model-name")
    asked = parser.parse_args()
    if not asked.model:
        print(
            "Offline: a scripted model chooses the tools, the bundled one is too small. --model URL asks a real one.\n"
        )
    task = Project.open(HERE).task("copilot")
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "crm.sqlite"
        write_database(database)
        strategy = Prompt(
            model=asked.model or scripted(),
            tools=crm_tools(database),
            documents=str(task.documents),
            passages=10,
            delimit=True,
        )
        for question, found in zip(QUESTIONS, asyncio.run(answers(strategy, task)), strict=True):
            print("\n".join([f"> {question}", *told(found), ""]))
    print("\n".join(why(advise(KNOWN, Project.open(HERE).economics(task)))))
    return 0


async def answers(strategy: Prompt, task: TaskFile) -> list[Prediction]:
    """One prediction a question; the sales team may read, and nobody may write."""
    candidate = strategy.fit(task.task, Dataset(()))
    try:
        ctx = Context(permissions=frozenset({"crm:read"}))
        return await candidate.predict([{"text": question} for question in QUESTIONS], ctx)
    finally:
        await candidate.aclose()


def told(found: Prediction) -> list[str]:
    """The answer, which calls led to it, and where definitions come from."""
    lines = [str(found.output) if found.error is None else f"no answer: {found.error.message}"]
    for step in found.children:
        if "tool" in step.notes:
            said = "done" if step.error is None else f"{step.error.kind}: {step.error.message}"
            lines.append(f"  {step.notes['tool']} {step.notes['arguments']} -> {said}")
    cited = [f"{one['document']} ({one['start']} to {one['end']})" for one in found.citations]
    return [*lines, f"  sources: {', '.join(cited) or 'none'}"]


def why(found: Advice) -> list[str]:
    """What the checklist says of this work, and what the same answers cost a year."""
    votes = ", ".join(f"{name} {count}" for name, count in found.votes.items())
    costs = ", ".join(
        f"{name} {option['expected_usd_per_year']:,.0f} USD (best with {option['p_best']:.0%})"
        for name, option in found.options.items()
    )
    return [
        "Why this stays a prompt: definitions change weekly, a person reads every answer, and volume is small.",
        f"  checklist: {found.majority} ({votes})",
        f"  a year, under beliefs that nothing has measured yet: {costs}; cheapest: {found.quantified}",
    ]


if __name__ == "__main__":
    sys.exit(main())
