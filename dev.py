#!/usr/bin/env python3
"""One command for everything a developer does here; it does all set-up itself.

    python3 dev.py demo [--light] [ARGS]  run the demo (--light: small download, no torch)
    python3 dev.py test [PYTEST ARGS]     run the tests
    python3 dev.py check [NAME ...]       style, types, layers, licences, documentation
    python3 dev.py bench [NAME [ARGS]]    run a benchmark; without a name, list them
    python3 dev.py setup [light|local|test]  set up only
    python3 dev.py lock [YYYY-MM-DD]      pin again, with releases up to that day (default: 8 days ago)
    python3 dev.py clean                  remove environments and caches

Environments live in .venv and .venv-light. A set-up that was interrupted is redone, never half-used.
"""

import ast
import datetime
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

if sys.version_info < (3, 11):
    print("dev.py: Python 3.11 or newer is needed, try python3.12 dev.py; this is", platform.python_version())
    sys.exit(2)

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "scripts"))

from dev_setup import SPECS, SetupError, Spec, call, child_env, discard, ensure, say  # noqa: E402

QUARANTINE_DAYS = 8
CUDA_PACKAGE = re.compile(r"^(torch|triton|nvidia-[\w.-]+|cuda-[\w.-]+)==", re.MULTILINE)


def demo(args: list[str]) -> int:
    """Run the demo."""
    spec = ensure("light" if "--light" in args else "local")
    return call([spec.python, "-m", "tasklift", "demo", *args], child_env(spec.folder))


def cpus() -> int:
    """Cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def test(args: list[str]) -> int:
    """Run the tests; a run of all of them uses several processes."""
    spec = ensure("test")
    env = child_env(spec.folder)
    cores = cpus()
    if cores > 1 and not any(arg in ("-n", "-s", "-x", "--pdb") or not arg.startswith("-") for arg in args):
        workers = min(cores, 4)
        args = ["-n", str(workers), "--dist", "loadfile", *args]
        env.setdefault("OMP_NUM_THREADS", str(max(1, cores // workers)))
    return call([spec.python, "-m", "pytest", *args], env)


def checks(spec: Spec) -> dict[str, list[str | Path]]:
    """The commands of `check`, in order."""
    python, sources = spec.python, ("src", "dev.py", "benchmarks", "scripts")
    typed = [name for name in sources if (ROOT / name).is_file() or any((ROOT / name).rglob("*.py"))]
    return {
        "ruff": [python, "-m", "ruff", "check", "."],
        "format": [python, "-m", "ruff", "format", "--check", "."],
        "types": [python, "-m", "mypy", "--strict", *typed],
        "layers": [spec.script("lint-imports")],
        "licences": [python, ROOT / "scripts" / "check_licences.py"],
        "docs": [python, ROOT / "scripts" / "check_docs.py"],
    }


def check(args: list[str]) -> int:
    """Run all checks, or those named, even if one fails; then a line for each."""
    spec = ensure("test")
    commands = checks(spec)
    unknown = [name for name in args if name not in commands]
    if unknown:
        raise SetupError(f"no check is called {unknown[0]!r}: there are {', '.join(commands)}")
    lines: list[tuple[bool, str]] = []
    for name in args or commands:
        say(f"== {name}")
        started = time.monotonic()
        good = call(commands[name], child_env(spec.folder)) == 0
        lines.append((good, f"{'ok' if good else 'FAILED':6} {name:9} {time.monotonic() - started:6.1f} s"))
    say("\n".join(["", *(line for _, line in lines)]))
    return 0 if all(good for good, _ in lines) else 1


def bench(args: list[str]) -> int:
    """Run a benchmark by name, or list them."""
    found = {path.stem: path for path in sorted((ROOT / "benchmarks").glob("[!_]*.py"))}
    found |= {path.parent.name: path for path in sorted((ROOT / "benchmarks").glob("*/__main__.py"))}
    if not args or args[0] not in found:
        for name, path in found.items():
            doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            say(f"{name:24} {doc.partition(chr(10))[0]}")
        if args:
            raise SetupError(f"no benchmark is called {args[0]!r}: the names are listed by `python3 dev.py bench`")
        return 0
    spec = ensure("test")
    return call([spec.python, found[args[0]], *args[1:]], child_env(spec.folder))


def setup(args: list[str]) -> int:
    """Set up without running anything."""
    name = args[0] if args else "test"
    if name not in SPECS:
        raise SetupError(f"no set is called {name!r}: there are {', '.join(SPECS)}")
    ensure(name)
    return 0


def lock(args: list[str]) -> int:
    """Pin again: every package but torch and what comes with it, with hashes, no newer than a day."""
    uv = shutil.which("uv") or str(SPECS["test"].script("uv"))
    if not os.path.exists(uv):
        raise SetupError("uv is missing: `python3 -m pip install uv`, or `python3 dev.py setup` first")
    day = args[0] if args else str(datetime.date.today() - datetime.timedelta(days=QUARANTINE_DAYS))
    common = [uv, "pip", "compile", "--universal", "--python-version", "3.11", "--exclude-newer", day]
    common += ["--upgrade", "--no-emit-index-url", "--no-emit-find-links"]
    env = child_env(find_links=False)
    local = ["pyproject.toml", "--group", "build", "--extra", "local"]
    extras = [part for name in ("int8", "serve", "inbox", "postgres", "prompting") for part in ("--extra", name)]
    everything = [*local, *extras, "--group", "dev"]
    # Universal, so that the names of the CUDA packages are seen on every system.
    plain = subprocess.run([*common, *everything], cwd=ROOT, env=env, check=False, capture_output=True, text=True)
    if plain.returncode:
        raise SetupError(f"cannot resolve: {' '.join(plain.stderr.split())[:300]}")
    leave_out = [f"--no-emit-package={name}" for name in sorted(set(CUDA_PACKAGE.findall(plain.stdout)))]
    common += [
        "--generate-hashes",
        "--quiet",
        f"--custom-compile-command=python3 dev.py lock {day}",
        *leave_out,
    ]
    same = ["--constraint", "requirements/test.txt"]
    for name, words in (
        ("test", everything),
        ("local", [*local, *same]),
        ("light", [*local[:3], *same]),
        ("uv", ["--group", "pyproject.toml:installer"]),
    ):
        if call([*common, *words, "--output-file", f"requirements/{name}.txt"], env):
            raise SetupError(f"cannot pin requirements/{name}.txt: see the lines above")
        say(f"requirements/{name}.txt")
    return 0


def clean(_args: list[str]) -> int:
    """Remove environments and caches of tools; weights and data stay."""
    for spec in SPECS.values():
        discard(spec.folder)
    for name in (".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache", "dist", "build"):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    return 0


def main(argv: list[str]) -> int:
    """Dispatch, and turn every failure of set-up into one line."""
    known: tuple[Callable[[list[str]], int], ...] = (demo, test, check, bench, setup, lock, clean)
    commands = {command.__name__: command for command in known}
    if not argv or argv[0] not in commands:
        say((__doc__ or "").strip())
        return 0 if argv and argv[0] in ("-h", "--help", "help") else 2
    try:
        return commands[argv[0]](argv[1:])
    except SetupError as error:
        say(f"dev.py: {error}")
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(f"dev.py: {where}{error.strerror}: check free space, owner and mode of this folder")
        return 2
    except KeyboardInterrupt:
        say("\ndev.py: interrupted; run the same command again")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
