"""Prompts as files: front matter in TOML, a system and a user template, includes from the same folder.

    +++
    strategy = "prompt"
    policy = "Refunds above 200 USD are a complaint."
    +++
    <!-- system -->
    {{ instruction }} {% include "labels.md" %}
    <!-- user -->
    {{ text }}

Includes are put in when the file is read, so what is kept of a prompt is whole: it renders the same whatever
happens to the files later.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jinja2
from pydantic import Field

from tasklift.errors import ConfigError
from tasklift.llm.template import Template
from tasklift.schema import Schema, parse

#: Lines around the front matter.
FENCE = "+++"
SUFFIXES = (".md", ".jinja")
#: Includes inside includes.
DEEPEST = 16
_PART = re.compile(r"^<!--[ \t]*(\w+)[ \t]*-->[ \t]*$\n?", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
# Without trimming, so that the pieces of the lexer put together are the source.
_LEXER = jinja2.Environment(autoescape=False, keep_trailing_newline=True)  # noqa: S701 - nothing is rendered with it


class Shot(Schema):
    """A fixed example of a prompt."""

    text: str = Field(min_length=1)
    label: str = Field(min_length=1)


class PromptText(Schema):
    """A whole prompt: front matter and both templates, includes put in.

    Attributes:
        strategy: the strategy that it is for.
        model: asked instead of the project's; '' for that one.
        output: kind of output that it is written for; '' for any.
        instruction: instead of the task's; '' for that one.
        tone: how to write; templates name it `tone`.
        policy: rules of the business in words; templates name it `policy`.
        examples: fixed examples; templates name them `examples`.
        abstain: where given, the model may answer `abstain`, and a person is asked then; says when it should.
        parameters: of the strategy.
        system: Jinja2 template of the system message.
        user: Jinja2 template of the user message.
    """

    strategy: Literal["prompt", "fewshot"] = "prompt"
    model: str = ""
    output: Literal["", "label", "labels", "number", "json", "text"] = ""
    instruction: str = ""
    tone: str = ""
    policy: str = ""
    examples: tuple[Shot, ...] = ()
    abstain: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)
    system: str = ""
    user: str = Field(min_length=1)

    @property
    def id(self) -> str:
        """Content address: 12 hex digits of a SHA-256 over everything that the prompt says."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def template(self) -> Template:
        """Its two templates."""
        return Template(self.system, self.user)

    def to_file(self) -> str:
        """The prompt as a file that reads back as the same prompt."""
        lines = _toml_lines(self.model_dump(mode="json", exclude_defaults=True, exclude={"system", "user"}))
        front = "\n".join([FENCE, *lines, FENCE, ""]) if lines else ""
        system = f"<!-- system -->\n{_ended(self.system)}" if self.system else ""
        return f"{front}{system}<!-- user -->\n{_ended(self.user)}"


def read_prompt(folder: Path, name: str) -> PromptText:
    """The prompt `name` of a task's prompts folder.

    Raises:
        ConfigError: no such file, or it cannot be used; names file, line and key.
    """
    path = prompt_path(folder, name)
    text = _read(path)
    front, body, line = _front(text, path)
    parts = _parts(body, path, line)
    parts = {part: _with_includes(source, folder, (path.name,)) for part, source in parts.items()}
    if clash := sorted({"system", "user"} & set(front)):
        raise ConfigError(f"{path}: `{clash[0]}` stands below the front matter, after <!-- {clash[0]} -->")
    found = parse(PromptText, front | parts, str(path))
    try:
        found.template.check()
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    for field in ("tone", "policy", "examples"):
        if getattr(found, field) and field not in found.template.fields():
            raise ConfigError(
                f"{path}: it gives `{field}`, but no template names {{{{ {field} }}}}: it would not be seen"
            )
    return found


def prompt_names(folder: Path) -> list[str]:
    """Names of the prompts of a folder: files with front matter or with a user part; others are only included."""
    files = (path for path in sorted(folder.glob("*")) if path.suffix in SUFFIXES and path.is_file())
    return [path.stem for path in files if _is_prompt(path)]


def prompt_path(folder: Path, name: str) -> Path:
    """The file of a prompt.

    Raises:
        ConfigError: there is none, or two.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name of a prompt: lower-case letters, digits, - and _, letter first")
    found = [folder / f"{name}{suffix}" for suffix in SUFFIXES if (folder / f"{name}{suffix}").is_file()]
    if not found:
        known = prompt_names(folder) if folder.is_dir() else []
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known) or 'none'}"
        raise ConfigError(f"{folder}: no prompt is called {name!r} ({name}.md or {name}.jinja); {hint}")
    if len(found) > 1:
        raise ConfigError(f"{folder}: both {found[0].name} and {found[1].name} are the prompt {name!r}; remove one")
    return found[0]


def _is_prompt(path: Path) -> bool:
    text = _read(path)
    return text.startswith(FENCE) or any(found[1] == "user" for found in _PART.finditer(text))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: line {line}: not UTF-8. Save the file as UTF-8.") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _front(text: str, path: Path) -> tuple[dict[str, Any], str, int]:
    """Front matter, the rest, and the line on which the rest begins (from 1)."""
    lines = text.splitlines(keepends=True)
    if lines and lines[0].strip() == "---":
        raise ConfigError(f"{path}: line 1: front matter is TOML between two lines {FENCE}, not YAML between ---")
    if not lines or lines[0].strip() != FENCE:
        return {}, text, 1
    end = next((at for at, line in enumerate(lines[1:], 1) if line.strip() == FENCE), None)
    if end is None:
        raise ConfigError(f"{path}: line 1: the front matter has no end: a second line {FENCE} is missing")
    try:
        return tomllib.loads("".join(lines[1:end])), "".join(lines[end + 1 :]), end + 2
    except tomllib.TOMLDecodeError as error:
        said = re.sub(r"at line (\d+)", lambda found: f"at line {int(found[1]) + 1}", str(error))
        raise ConfigError(f"{path}: the front matter is not valid TOML: {said}") from error


def _parts(body: str, path: Path, line: int) -> dict[str, str]:
    """`system` and `user`; a body without markers is all user."""
    marks = list(_PART.finditer(body))
    named = [mark for mark in marks if mark[1] in ("system", "user")]
    if not named:
        if not body.strip():
            raise ConfigError(f"{path}: line {line}: the prompt is empty")
        return {"user": _stripped(body)}
    before = body[: named[0].start()].strip()
    if before:
        raise ConfigError(f"{path}: line {line}: {before[:40]!r} stands before <!-- {named[0][1]} -->: move it behind")
    ends = [*(mark.start() for mark in named[1:]), len(body)]
    found: dict[str, str] = {}
    for mark, end in zip(named, ends, strict=True):
        if mark[1] in found:
            raise ConfigError(f"{path}: <!-- {mark[1]} --> stands there twice")
        found[mark[1]] = _stripped(body[mark.end() : end])
    if not found.get("user", "").strip():
        raise ConfigError(f"{path}: the part <!-- user --> is missing or empty")
    return found


def _with_includes(source: str, folder: Path, chain: tuple[str, ...]) -> str:
    """`source` with every `{% include "file" %}` replaced by that file.

    A tag that has a line for itself is replaced by the lines of the file.
    """
    out: list[str] = []
    for tag, text in _tags(source, folder / chain[-1]):
        if tag is None:
            out.append(text)
            continue
        inner = _with_includes(_included(tag, folder, chain), folder, (*chain, tag))
        out.append(_stripped(inner))
    return "".join(out)


def _tags(source: str, path: Path) -> list[tuple[str | None, str]]:
    """The source in pieces: (None, text), or (file, '') for an include."""
    try:
        tokens = list(_LEXER.lex(source))
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"{path}: line {error.lineno}: {error.message}") from error
    pieces: list[tuple[str | None, str]] = []
    at = 0
    while at < len(tokens):
        end = at
        if tokens[at][1] == "block_begin":
            end = next((i for i in range(at, len(tokens)) if tokens[i][1] == "block_end"), len(tokens) - 1)
            words = [value for _, kind, value in tokens[at + 1 : end] if kind != "whitespace"]
            if words[:1] and words[0] in ("include", "import", "from", "extends"):
                pieces.append((_only_name(words, tokens[at][0], path), ""))
                at = end + 1
                continue
        pieces.append((None, "".join(value for _, _, value in tokens[at : end + 1])))
        at = end + 1
    return pieces


def _only_name(words: list[str], line: int, path: Path) -> str:
    if words[0] == "include" and len(words) == 2 and words[1][:1] in "\"'":
        return words[1][1:-1]
    said = f"{path}: line {line}: {{% {' '.join(words)} %}}"
    raise ConfigError(f'{said}: only {{% include "file.md" %}} with one quoted name is possible')


def _included(name: str, folder: Path, chain: tuple[str, ...]) -> str:
    where = f"{folder / chain[-1]}: include {name!r}"
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ConfigError(f"{where} leads out of {folder}; only files of that folder can be included")
    if name in chain:
        loop = " -> ".join([*chain[chain.index(name) :], name])
        raise ConfigError(f"{where} goes in a circle: {loop}; take one of these includes out")
    if len(chain) > DEEPEST:
        raise ConfigError(f"{where}: more than {DEEPEST} includes inside each other")
    if not path.is_file():
        files = [one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()]
        near = difflib.get_close_matches(name, files, n=1)
        raise ConfigError(
            f"{where}: there is no such file in {folder}" + (f"; did you mean {near[0]!r}?" if near else "")
        )
    return _read(path)


def _stripped(text: str) -> str:
    """Without the last line break, as Jinja reads a file."""
    return text.removesuffix("\n").removesuffix("\r")


def _ended(text: str) -> str:
    return f"{text}\n"


def overlay_file(row: Mapping[str, Any]) -> str:
    """An overlay as a file."""
    return "\n".join([*_toml_lines({key: value for key, value in row.items() if value}), ""])


def _toml_lines(row: Mapping[str, Any]) -> list[str]:
    """Plain values first, then tables, then lists of tables."""
    tables = {key: [value] for key, value in row.items() if isinstance(value, Mapping)}
    lists = {key: value for key, value in row.items() if isinstance(value, list) and value}
    lines = [f"{key} = {_toml(value)}" for key, value in row.items() if key not in tables and key not in lists]
    for name, values in {**tables, **lists}.items():
        for one in values:
            lines += ["", f"[{name}]" if name in tables else f"[[{name}]]"]
            lines += [f"{_toml_key(key)} = {_toml(value)}" for key, value in one.items()]
    return lines


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]+", key, re.ASCII) else json.dumps(key, ensure_ascii=False)


def _toml(value: Any) -> str:
    if isinstance(value, str) and "\n" in value and '"""' not in value and "\r" not in value:
        return '"""\n' + value.replace("\\", "\\\\") + '"""'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
