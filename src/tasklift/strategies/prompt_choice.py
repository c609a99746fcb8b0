"""From prompt files, their versions and overlays to parameters of the strategies that ask a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasklift import registry
from tasklift.errors import ConfigError
from tasklift.llm.overlay import Material, Overlay, check_overlay, read_overlays
from tasklift.llm.prompt_versions import Prompts, Version
from tasklift.llm.template import Template
from tasklift.task import Task

#: Strategies that a prompt file can be for.
PROMPTED = ("prompt", "fewshot")
Parameters = Mapping[str, Mapping[str, Any]]


def with_prompts(folder: Path, task: Task, names: Sequence[str], parameters: Parameters) -> dict[str, dict[str, Any]]:
    """Parameters of every strategy, with what is used of prompts and overlays.

    Args:
        folder: of the task.
        names: asked for, `prompt:REF` and `prompt:REF+OVERLAY` among them.
        parameters: of the task file.

    Raises:
        ConfigError: a prompt, version or overlay is missing, or does not fit the task.
    """
    prompts, overlays = Prompts(folder / "prompts"), read_overlays(folder / "overlays")
    found = {name: dict(given) for name, given in parameters.items()}
    for name in dict.fromkeys([*PROMPTED, *names]):
        kind, has_ref, ref = name.partition(":")
        if has_ref and kind not in PROMPTED:
            raise ConfigError(f"{name!r}: only {' and '.join(PROMPTED)} take a prompt behind a colon")
        if kind not in PROMPTED:
            continue
        ref, _, overlay = ref.partition("+")
        version = prompts.find(ref) if ref else prompts.used(kind)
        if version is None and not overlays:
            if overlay:
                raise ConfigError(f"{folder / 'overlays'}: there is no overlay {overlay!r}")
            continue
        given = _given(kind, version, parameters.get(kind, {}), task, prompts.folder)
        template = Template(*(str(given.get(part, getattr(registry.load("strategy", kind), part))) for part in _PARTS))
        if version is not None or overlay:
            _check_overlays(overlays, task, template, folder)
        if overlay and overlay not in overlays:
            raise ConfigError(f"{folder}: no overlay is called {overlay!r}; there are: {', '.join(overlays) or 'none'}")
        said = {one: _shown(over, template) for one, over in overlays.items()}
        found[name] = {**given, "material": replace(given["material"], overlays=said, overlay=overlay)}
    return found


_PARTS = ("system", "user")


def _given(
    kind: str, version: Version | None, parameters: Mapping[str, Any], task: Task, folder: Path
) -> dict[str, Any]:
    """The parameters of one strategy with a prompt file on top."""
    if version is None:
        return {**parameters, "material": Material()}
    prompt = version.prompt
    if prompt.strategy != kind:
        raise ConfigError(f"{folder}: {version.ref} is for {prompt.strategy}, not for {kind}")
    if prompt.output and prompt.output != task.output.kind:
        raise ConfigError(
            f"{folder}: {version.ref} is written for the output {prompt.output!r}, that of {task.name} is "
            f"{task.output.kind!r}"
        )
    for part in _PARTS:
        if part in parameters:
            raise ConfigError(
                f"task.toml gives strategies.{kind}.{part}, and {version.ref} gives it too: remove it from task.toml"
            )
    if task.output.kind == "label":
        for shot in prompt.examples:
            if shot.label not in task.labels:
                raise ConfigError(f"{folder}: {version.ref}: the example label {shot.label!r} is none of the task's")
    model = {"model": prompt.model} if prompt.model else {}
    templates = {"system": prompt.system, "user": prompt.user}
    material = Material.of(prompt, version.ref, version.made)
    return {**parameters, **prompt.parameters, **templates, **model, "material": material}


def _shown(overlay: Overlay, template: Template) -> dict[str, Any]:
    """What an overlay changes of a prompt; the one that is built in may not show all of it."""
    shown = template.fields()
    return {part: value for part, value in overlay.changes().items() if part in shown}


def _check_overlays(overlays: Mapping[str, Overlay], task: Task, template: Template, folder: Path) -> None:
    labels = task.labels if task.output.kind == "label" else {}
    for name, overlay in overlays.items():
        check_overlay(overlay, labels, template, f"{folder / 'overlays' / name}.toml")
