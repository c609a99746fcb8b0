"""`tasklift optimize`."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasklift import registry
from tasklift.cli import show
from tasklift.cli.evaluate import meter_of
from tasklift.cli.operator import operator
from tasklift.economics import UnitPrices
from tasklift.errors import ConfigError
from tasklift.llm.prompt_file import PromptText
from tasklift.llm.prompt_versions import Version
from tasklift.llm.spending import spending_under
from tasklift.measure.cost import asked_cost, setup_cost
from tasklift.measure.optimizing.run import Optimized, Optimizer, Plan, starting_prompt
from tasklift.measure.optimizing.run import optimize as run
from tasklift.measure.optimizing.shorten import Shorten
from tasklift.project import Project, TaskFile
from tasklift.stats.intervals import Interval


@dataclass(frozen=True)
class Asked:
    """What to optimise, and how.

    Attributes:
        prompt: NAME or NAME@VERSION to begin with; '' for the one that is used, or built in.
        strategy: whose, where no prompt is named.
        method: registry name of an optimiser.
        reflector: model that reflects, for methods that take one.
        instructions: further ways to say the instruction.
        shorten: look for the shortest prompt that is no worse.
        seed: of cuts and chance.
    """

    prompt: str
    strategy: str
    method: str
    reflector: str
    instructions: Sequence[str]
    shorten: bool
    seed: int


def from_options(
    task: str | None,
    folder: Path,
    asked: Mapping[str, Any],
    model: str | None,
    limits: Mapping[str, Any],
    name: str,
    as_json: bool,
) -> int:
    """Search, measure, keep the version that was found; nothing is chosen for evaluation by itself.

    Args:
        limits: `select_rows`, `test_rows`, `max_calls`, `max_usd`.
        name: under which the version is kept.
    """
    project, how = Project.open(folder), Asked(**asked)
    found = project.task(task)
    economics = project.economics(found) if _has_economics(project, found) else None
    prices, margin = (economics.prices, economics.margin) if economics else (UnitPrices(), 0.02)
    base, base_name = _base(project, found, how)
    train, test, _ = project.rows(found)
    rows = {key: value for key, value in limits.items() if key != "max_usd"}
    chosen = model or project.settings.model
    plan = Plan(project.state, chosen, **rows, seed=how.seed, margin=margin if how.shorten else 0.0)
    with project.caching(), spending_under(meter_of(project, found, limits["max_usd"])):
        made = asyncio.run(run(found.task, base, _optimizer(how, margin), train, test, plan, _tell))
    kept = _kept(project, found, name or base_name, made)
    if as_json:
        usd = {"setup_usd": setup_cost(made.spent, prices), "asked_usd": asked_cost(made.spent, prices).usd}
        show.print_json({"schema_version": 1, "task": found.name, **made.to_json(), **usd, "kept": kept and kept.ref})
    else:
        print("\n".join(lines_of(made, prices, kept)))
    return 0


def _base(project: Project, task: TaskFile, asked: Asked) -> tuple[PromptText, str]:
    prompts = project.prompts(task)
    version = prompts.find(asked.prompt) if asked.prompt else prompts.used(asked.strategy)
    if version is not None:
        project.parameters(task, [f"{version.prompt.strategy}:{version.ref if version.at else version.name}"])
        return version.prompt, version.name
    return starting_prompt(asked.strategy, None), "optimized"


def _optimizer(asked: Asked, margin: float) -> Optimizer:
    if asked.shorten:
        return Shorten(margin)
    kind = registry.load("optimizer", asked.method)
    given: dict[str, Any] = {"seed": asked.seed}
    known = {one.name for one in dataclasses.fields(kind)}
    for key, value in (("reflector", asked.reflector), ("instructions", tuple(asked.instructions))):
        if value and key not in known:
            raise ConfigError(f"the method {asked.method!r} takes no --{key.removesuffix('s')}; leave it out")
        if value:
            given[key] = value
    if "reflector" in known and not asked.reflector:
        raise ConfigError(
            f"the method {asked.method!r} needs a model that can reflect: --reflector https://host/v1#model-name "
            f"(the bundled model is too small to); --method search needs none"
        )
    optimizer: Optimizer = kind(**{key: value for key, value in given.items() if key in known})
    return optimizer


def _has_economics(project: Project, task: TaskFile) -> bool:
    return task.economics is not None or (project.folder / "tasks" / task.name / "economics.toml").exists()


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _kept(project: Project, task: TaskFile, name: str, made: Optimized) -> Version | None:
    """The version that was found, with what making it took; None where there is none."""
    if not made.found:
        return None
    gain = f"{100 * made.gain.value:+.1f} points [{100 * made.gain.low:+.1f}, {100 * made.gain.high:+.1f}]"
    note = f"optimised ({made.id}): {gain} on {made.rows[2]} untouched rows"
    spent = {key: value for key, value in dataclasses.asdict(made.spent).items() if value}
    return project.prompts(task).keep(name, made.after, operator(), note, spent)


def lines_of(made: Optimized, prices: UnitPrices, kept: Version | None) -> list[str]:
    """The result for a reader."""
    learn, select, test = made.rows
    lines = [
        f"{made.verdict()}: {_percent(made.test[0])} -> {_percent(made.test[1])} on {test} untouched rows",
        f"  gain {_points(made.gain)}, p = {made.p:.4f} (on the {select} rows of the choice it looked like "
        f"{100 * (made.select[1] - made.select[0]):+.1f} points; {learn} rows gave examples)",
        f"  prompt: {made.chars[0]} -> {made.chars[1]} characters, "
        f"{made.tokens[0]:.0f} -> {made.tokens[1]:.0f} tokens a row",
    ]
    if made.no_worse is not None:
        lines.append(f"  no worse than the margin: {'yes' if made.no_worse else 'NOT SHOWN: keep the whole prompt'}")
    asked = asked_cost(made.spent, prices)
    calls = sum(used["calls"] for used in made.spent.asked.values())
    money = "price unknown: " + asked.missing if asked.missing else f"{asked.usd:.4f} USD"
    hosted = f", {calls} hosted calls ({money})" if made.spent.asked else ""
    lines.append(
        f"  it took {made.spent.cpu_s:.0f} CPU s{hosted}, which enters decisions as a set-up cost of the prompt"
    )
    if kept is not None:
        lines.append(f"  kept as {kept.ref}; `tasklift prompt use {kept.ref}` evaluates with it")
    return lines


def _percent(share: Interval) -> str:
    return f"{100 * share.value:.1f}%"


def _points(gain: Interval) -> str:
    return f"{100 * gain.value:+.1f} points [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
