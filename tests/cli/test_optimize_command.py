"""`tasklift optimize`, as typed: the version it keeps, what it costs in a decision, and what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tasklift.llm.fake import FakeEndpoint

Run = Callable[..., Any]
QUEUES = ("billing", "technical", "other")


@pytest.fixture
def project(run: Run, tmp_path: Path) -> Path:
    """A project of 90 training and 45 test rows."""
    folder = tmp_path / "mine"
    assert run("init", folder).code == 0
    rows = [
        {"id": f"{split}-{queue}-{at}", "input": {"text": f"{queue} {split} {at}"}, "output": queue, "split": split}
        for split, count in (("train", 30), ("test", 15))
        for at in range(count)
        for queue in QUEUES
    ]
    lines = "\n".join(json.dumps(row) for row in rows)
    (folder / "tasks" / "triage" / "data.jsonl").write_text(lines, encoding="utf-8")
    return folder


def reads_where_told_to(body: Mapping[str, Any]) -> str:
    """The queue that the text names, where the prompt shows examples; else always the first."""
    text = str(body["messages"][-1]["content"]).partition("Message: ")[2]
    return str(text.split()[0]) if "Examples:" in str(body["messages"][0]["content"]) else "billing"


async def typed(run: Run, *arguments: object) -> Any:
    return await asyncio.to_thread(run, *arguments)


async def test_a_better_prompt_is_kept_but_not_used_and_its_cost_is_a_set_up_cost(run: Run, project: Path) -> None:
    async with FakeEndpoint(answer=reads_where_told_to) as endpoint:
        url = f"{endpoint.url}#{endpoint.model}"
        task = project / "tasks" / "triage" / "task.toml"
        price = f'[economics.prices.tokens."{url}"]\ninput_usd = 1000.0\noutput_usd = 0.0\n\n[gates]\n'
        text = task.read_text(encoding="utf-8").replace("min_metric = 0.7", "min_metric = 0.01")
        task.write_text(text.replace("[gates]\n", price), encoding="utf-8")
        command = ("optimize", "-p", project, "--select-rows", 30, "--model", url)
        done = await typed(run, *command)
        calls = len(endpoint.received)
        row = json.loads((await typed(run, *command, "--json")).out)
        assert len(endpoint.received) == calls
        assert "better: 33.3% -> 100.0% on 45 untouched rows" in done.out
        assert f"kept as {row['kept']}" in done.out
        assert json.loads((await typed(run, "prompt", "list", "-p", project, "--json")).out)["used"] == {}
        assert (await typed(run, "prompt", "use", row["kept"], "-p", project)).code == 0
        evaluated = ("evaluate", "-p", project, "--strategies", "prompt,majority", "--model", url, "--json")
        found = json.loads((await typed(run, *evaluated)).out)
    setup = found["candidates"][0]["cost"]["setup"]
    tokens = setup["asked"][url]
    assert tokens["calls"] == calls
    assumed = found["decision"]["assumptions"]["prompt.setup_usd"]
    assert assumed["value"] == pytest.approx(0.25 * setup["labels"] + tokens["input_tokens"] / 1000, rel=0.05)
    assert "USD of tokens" in assumed["detail"]


async def test_a_prompt_is_shortened_by_the_margin(run: Run, project: Path) -> None:
    prompts = project / "tasks" / "triage" / "prompts"
    prompts.mkdir()
    text = "<!-- system -->\nPlease.\n{{ instruction }}\nThank you very much.\n<!-- user -->\nMessage: {{ text }}\n"
    (prompts / "long.md").write_text(text, encoding="utf-8")
    async with FakeEndpoint(answer=lambda body: "billing") as endpoint:
        model = ("--model", f"{endpoint.url}#{endpoint.model}")
        done = await typed(run, "optimize", "-p", project, "--prompt", "long", "--shorten", "--select-rows", 30, *model)
    assert "no worse than the margin" in done.out
    kept = (await typed(run, "prompt", "list", "-p", project)).out
    assert "optimised" in kept or "nothing better" in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--method", "gepa"), "needs a model that can reflect: --reflector"),
        (("--method", "gepi"), "no optimizer is called 'gepi'; did you mean 'gepa'"),
        (("--reflector", "x"), "takes no --reflector"),
        (("--max-calls", 50), "is too little"),
        (("--prompt", "nothing"), "no prompt is called 'nothing'"),
    ],
)
def test_what_cannot_be_run_is_refused(run: Run, project: Path, arguments: tuple[object, ...], said: str) -> None:
    model = ("--model", "http://127.0.0.1:9/v1#m")
    done = run("optimize", "-p", project, "--select-rows", 30, *model, *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert not (project / "tasks" / "triage" / "prompts").exists()
