"""What prompted recipes share: their parameters as plain values, and what prompt files lay into them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from typing import Any

from tasklift.llm.model import Message, Model, Request
from tasklift.llm.overlay import Material
from tasklift.llm.template import Template
from tasklift.rules.apply import build_rules
from tasklift.strategies.recipe import Recipe, require
from tasklift.strategy import Resources
from tasklift.task import Task


def check_template(who: str, system: str, user: str, material: object) -> None:
    """Refuse templates that no row could use.

    Raises:
        ConfigError: the template.
        StrategyError: `material` is none.
    """
    require(material is None or isinstance(material, Material), who, "material comes from prompt files: leave it out")
    Template(system, user).check()


def prompt_parameters(recipe: Recipe, model: str | Model, material: Material | None) -> dict[str, Any]:
    """A prompted recipe's parameters as plain values; those that say nothing are left out."""
    plain = {one.name: getattr(recipe, one.name) for one in fields(recipe) if one.name not in ("model", "material")}
    laid = {"material": material.to_json()} if material is not None else {}
    return plain | {"model": model if isinstance(model, str) else model.name} | laid


def setup_of(material: Material | None) -> Resources:
    """What making a prompt took beside writing it: an optimiser's calls."""
    return Resources(**material.made) if material is not None else Resources()


def rule_settings(task: Task) -> dict[str, Any]:
    """The task's rules, for the card; nothing where there are none."""
    build_rules(task.rules)
    return {"rules": [rule.model_dump(mode="json") for rule in task.rules]} if task.rules else {}


def hash_of(request: Request) -> str:
    """The beginning of a SHA-256 over the messages as they are sent, calls of tools among them."""
    text = "\x1e".join(f"{message.role}\x1f{message.content}{_calls(message)}" for message in request.messages)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _calls(message: Message) -> str:
    """What a message holds beside its text; '' for a plain one."""
    if not (message.tool_calls or message.tool_call_id):  # nearly always, and in every request
        return ""
    row = message.to_json()
    beside = {name: row[name] for name in ("tool_calls", "tool_call_id") if name in row}
    return f"\x1f{json.dumps(beside, ensure_ascii=False)}"
