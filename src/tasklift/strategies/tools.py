"""Tools that a prompted model may ask for: typed, each behind a permission, each result only data."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from tasklift import registry
from tasklift.errors import ConfigError, TaskliftError
from tasklift.llm.calls import ToolCall, ToolSpec
from tasklift.prediction import Prediction

#: Characters of one result that a model is shown.
MOST_CHARS = 4000


class ToolError(TaskliftError):
    """A tool says that it cannot do what was asked; the model is told the message and may try otherwise."""


@dataclass(frozen=True)
class Tool:
    """Something that a model may ask for.

    Attributes:
        name: letters, digits, underscores.
        description: what it does, and when to use it; the model reads it.
        arguments: pydantic model of the arguments; what does not fit never reaches `run`.
        run: takes the checked arguments, gives something that JSON can say; plain or async. A plain one runs in a
            thread of its own.
        permission: what `Context.permissions` must hold; '': everybody may.
        timeout_s: longer runs are given up.
    """

    name: str
    description: str
    arguments: type[BaseModel]
    run: Callable[[Any], Any]
    permission: str = ""
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if not self.name.replace("_", "").isalnum() or not self.name.isascii():
            raise ConfigError(f"a tool's name is letters, digits and underscores, not {self.name!r}")
        if not self.description.strip():
            raise ConfigError(f"tool {self.name}: without a description no model knows when to use it")

    @property
    def spec(self) -> ToolSpec:
        """What the model is told."""
        schema = self.arguments.model_json_schema()
        return ToolSpec(self.name, self.description, json.dumps(schema, sort_keys=True))


@dataclass(frozen=True)
class Toolset:
    """Tools under one name, which a saved candidate finds them by.

    Attributes:
        name: as task.toml and cards name it.
        tools: in the order in which the model is told of them.
    """

    name: str
    tools: tuple[Tool, ...]

    def __post_init__(self) -> None:
        names = [tool.name for tool in self.tools]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or not names:
            raise ConfigError(
                f"toolset {self.name}: " + (f"two tools are called {twice[0]!r}" if twice else "no tools")
            )

    def to_json(self) -> dict[str, Any]:
        """What decides answers, for cards and fingerprints: how a tool works inside is not seen."""
        about = [{**asdict(tool.spec), "permission": tool.permission} for tool in self.tools]
        return {"name": self.name, "tools": about}

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What the model is told."""
        return tuple(tool.spec for tool in self.tools)

    async def call(self, asked: ToolCall, permissions: Sequence[str] | frozenset[str]) -> Prediction:
        """Run one call.

        Returns:
            A step of the trajectory: `output` is the result; where there is none, `error` says why, and its kind is
            `unknown_tool`, `arguments`, `forbidden`, `tool_timeout` or `tool`.
        """
        notes: dict[str, Any] = {"tool": asked.name, "arguments": asked.arguments}
        tool = next((one for one in self.tools if one.name == asked.name), None)
        if tool is None:
            known = ", ".join(one.name for one in self.tools)
            return Prediction.failed(
                "unknown_tool", f"no tool is called {asked.name!r}; there are {known}", notes=notes
            )
        try:
            arguments = tool.arguments.model_validate_json(asked.arguments or "{}")
        except ValidationError as error:
            return Prediction.failed("arguments", _explained(error), notes=notes)
        notes["arguments"] = arguments.model_dump(mode="json")
        if tool.permission and tool.permission not in permissions:
            said = f"{tool.name} needs the permission {tool.permission!r}, which this request does not have"
            return Prediction.failed("forbidden", said, notes=notes)
        return await _run(tool, arguments, notes)


async def _run(tool: Tool, arguments: BaseModel, notes: dict[str, Any]) -> Prediction:
    begun = time.monotonic()
    try:
        if inspect.iscoroutinefunction(tool.run):
            result = await asyncio.wait_for(tool.run(arguments), tool.timeout_s)
        else:
            result = await asyncio.wait_for(asyncio.to_thread(tool.run, arguments), tool.timeout_s)
        json.dumps(result)
    except TimeoutError:
        said = f"{tool.name} gave no result within {tool.timeout_s:g} s"
        return Prediction.failed("tool_timeout", said, notes=notes, latency_s=time.monotonic() - begun)
    except TaskliftError as error:
        return Prediction.failed("tool", str(error), notes=notes, latency_s=time.monotonic() - begun)
    except (TypeError, ValueError) as error:  # the tool's own, or a result that JSON cannot say
        said = f"{tool.name} failed: {type(error).__name__}: {error}"
        return Prediction.failed("tool", said, notes=notes, latency_s=time.monotonic() - begun)
    return Prediction(result, notes=notes, latency_s=time.monotonic() - begun)


def open_toolset(spec: str | Toolset) -> Toolset | None:
    """Tools by their name (an entry point of the group `tasklift.toolsets`), or as they are; None for ''.

    Raises:
        ConfigError: no such toolset.
    """
    if isinstance(spec, Toolset) or not spec:
        return spec or None
    found: Toolset = registry.load("toolset", spec)
    return found


def shown(step: Prediction) -> str:
    """What the model reads of a step: the result or the error as JSON, cut where it is long."""
    if step.error is not None:
        return json.dumps({"error": step.error.message}, ensure_ascii=False)
    text = json.dumps(step.output, ensure_ascii=False)
    return text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS]} ... ({len(text) - MOST_CHARS} characters more)"


def _explained(error: ValidationError) -> str:
    parts = [f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}" for one in error.errors()[:3]]
    return "the arguments do not fit: " + "; ".join(parts)
