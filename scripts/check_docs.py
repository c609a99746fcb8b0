"""Execute the examples of README.md and docs/**/*.md, and look for what they leave out.

Each file runs in order in one fresh process and one temporary folder: ```python blocks share their
variables, and in ```console blocks every line that starts with `$ tasklift` has to exit with 0. A block
after `<!-- no-run -->` is not run, but Python in it has to compile. Every command, option and public name
has to be mentioned somewhere.
"""

from __future__ import annotations

import importlib
import itertools
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer.main

import tasklift

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 900
NO_RUN = "<!-- no-run -->"
FENCE = re.compile(r"^(?P<indent>\s*)```(?P<language>\w*)")
UNDOCUMENTED = {"--help", "--install-completion", "--show-completion"}


@dataclass(frozen=True)
class Block:
    """A fenced example: its language, first line (from 1), text, and whether to run it."""

    language: str
    line: int
    text: str
    run: bool


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a Markdown text."""
    lines = text.splitlines()
    at, before = 0, ""
    while at < len(lines):
        fence = FENCE.match(lines[at])
        if not fence:
            before = lines[at].strip() or before
            at += 1
            continue
        end = at + 1
        while end < len(lines) and lines[end].strip() != "```":
            end += 1
        code = textwrap.dedent("\n".join(lines[at + 1 : end])) + "\n"
        yield Block(fence["language"], at + 2, code, before != NO_RUN)
        at, before = end + 1, ""


def commands(text: str) -> list[str]:
    """The `$ tasklift` lines of a console block, continued lines joined."""
    joined = re.sub(r"\\\n\s*(>\s*)?", " ", text)
    return [line[2:].strip() for line in joined.splitlines() if re.match(r"\$ tasklift(-inbox)?(\s|$)", line)]


def run_console(command: str) -> None:
    """Run one command line; anything but exit status 0 stops the file."""
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        sys.exit(f"`{command}` exited with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def run_file(path: Path) -> None:
    """Execute the blocks of one file here; called in a fresh process."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.language == "python":
            code = compile("\n" * (block.line - 1) + block.text, str(path), "exec", dont_inherit=True)
            if block.run:
                exec(code, names)  # noqa: S102 - our own documentation
        elif block.language == "console" and block.run:
            for command in commands(block.text):
                run_console(command)


def check_file(path: Path) -> str:
    """Run one file in a process and folder of its own; an empty string where all went well."""
    env = dict(os.environ)
    env["PATH"] = str(Path(sys.executable).parent) + os.pathsep + env.get("PATH", "")
    env.setdefault("OMP_NUM_THREADS", "1")  # as many files as cores run at a time
    with tempfile.TemporaryDirectory(prefix="docs-") as folder:
        try:
            done = subprocess.run(
                [sys.executable, __file__, "--run", str(path)],
                cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=TIMEOUT,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"took more than {TIMEOUT} s"
    return "" if done.returncode == 0 else (done.stdout[-500:] + done.stderr[-3000:]).strip() or "failed silently"


def timed(path: Path) -> tuple[str, float]:
    """What is wrong with a file, and the seconds that it took."""
    started = time.monotonic()
    problem = check_file(path) if path.exists() else "is missing"
    return problem, time.monotonic() - started


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def command_tree(command: Any, path: tuple[str, ...] = ("tasklift",)) -> Iterator[tuple[str, ...]]:
    """(command words) and (command words, option, other spellings ...) of everything that is not hidden."""
    yield path
    for parameter in command.params:
        options = tuple(word for word in (*parameter.opts, *parameter.secondary_opts) if word.startswith("--"))
        if options and not getattr(parameter, "hidden", False) and not UNDOCUMENTED & set(options):
            yield (" ".join(path), *options)
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        if not inner.hidden:
            yield from command_tree(inner, (*path, name))


def mentioned(word: str, text: str) -> bool:
    """Whether a word stands in the text by itself."""
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None


def missing(text: str) -> Iterator[str]:
    """Commands, options and public names that the documentation does not mention."""
    cli = importlib.import_module("tasklift.cli.main")

    for name in getattr(tasklift, "__all__", ()):
        if not name.startswith("__") and not mentioned(name, text):
            yield f"tasklift.{name}"
    inbox, testing = importlib.import_module("tasklift_inbox.cli"), importlib.import_module("tasklift_inbox.testing")
    for name in testing.__all__:
        if not mentioned(name, text):
            yield f"tasklift_inbox.testing.{name}"
    ours = command_tree(typer.main.get_command(cli.app))
    theirs = command_tree(typer.main.get_command(inbox.app), ("tasklift-inbox",))
    for words in itertools.chain(ours, theirs):
        if len(words) == 1 or not words[1].startswith("--"):
            if not mentioned(" ".join(words), text):
                yield f"command `{' '.join(words)}`"
        elif not any(mentioned(option, text) for option in words[1:]):
            yield f"option {words[1]} of `{words[0]}`"


def main() -> int:
    """Check everything, or the files named, and print a line for each."""
    if sys.argv[1:2] == ["--run"]:
        run_file(Path(sys.argv[2]))
        return 0
    files = [Path(name).resolve() for name in sys.argv[1:]]
    everything = not files
    files = files or [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    failed = 0
    with ThreadPoolExecutor(cores()) as pool:  # each file is a process of its own, in a folder of its own
        for path, (problem, took) in zip(files, pool.map(timed, files), strict=True):
            failed += bool(problem)
            print(f"{'FAILED' if problem else 'ok':6} {os.path.relpath(path, ROOT)} {took:.1f} s", flush=True)
            if problem:
                print(textwrap.indent(problem, "    "))
    if everything:
        text = "\n".join(path.read_text(encoding="utf-8") for path in files if path.exists())
        left_out = list(missing(text))
        failed += len(left_out)
        for name in left_out:
            print(f"not documented: {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
