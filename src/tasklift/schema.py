"""Reading typed settings from TOML, with errors that name the file, the key and the nearest known key."""

from __future__ import annotations

import difflib
import inspect
import tomllib
import typing
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tasklift.errors import ConfigError


class Schema(BaseModel):
    """Base of everything a user writes: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


S = TypeVar("S", bound=BaseModel)
_UNION = "output"  #: the one key whose value is a union of models, told apart by `kind`


def read_toml(path: Path) -> dict[str, Any]:
    """The parsed file.

    Raises:
        ConfigError: the file is missing, unreadable, not UTF-8 or not TOML; the message names file and line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file. `tasklift init` writes a project to start from.") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: line {line}: not UTF-8. Save the file as UTF-8.") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def parse(schema: type[S], data: Any, source: str) -> S:
    """`data` as `schema`.

    Args:
        source: the file, for the message.

    Raises:
        ConfigError: one line for each problem: file, key, what is wrong, which value.
    """
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        lines = [_explain(schema, dict(problem), source) for problem in error.errors()]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from error


def _explain(schema: type[BaseModel], problem: dict[str, Any], source: str) -> str:
    # pydantic puts the tag of a union into the path; a user never wrote it.
    location = [str(part) for part in problem["loc"]]
    if location[:1] == [_UNION] and len(location) > 1:
        del location[1]
    key = ".".join(location) or "(top level)"
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], _known_keys(schema, location[:-1]), n=1, cutoff=0.5)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        return f"{source}: unknown key `{key}`{hint}"
    if problem["type"] == "missing":
        return f"{source}: the key `{key}` is missing"
    if problem["type"] == "union_tag_not_found":
        return f'{source}: the key `{key}.kind` is missing; write kind = "label"'
    message = str(problem["msg"]).removeprefix("Value error, ")
    shown = repr(problem["input"])
    return f"{source}: `{key}`: {message} (got {shown if len(shown) <= 80 else shown[:77] + '...'})"


def _known_keys(schema: type[BaseModel], path: list[str]) -> list[str]:
    """Every key that the models reachable along `path` know; a part that is no field names an entry."""
    reached: list[type[BaseModel]] = [schema]
    for part in path:
        below = [
            model
            for one in reached
            if part in one.model_fields
            for model in _models_in(one.model_fields[part].annotation)
        ]
        reached = below or reached
    return [key for model in reached for key in model.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if inspect.isclass(annotation) and typing.get_origin(annotation) is None:
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for inner in typing.get_args(annotation) for model in _models_in(inner)]
