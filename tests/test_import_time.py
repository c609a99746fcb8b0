"""What starts quickly loads little: no numeric library before a command needs one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "numpy", "scipy", "sklearn", "wordllama", "aiohttp")
#: What comparing hosted models needs none of: each costs a good part of a second, and tens of megabytes.
SLOW = ("torch", "transformers", "sklearn", "scipy.stats", "scipy.optimize", "pandas", "sqlalchemy", "wordllama")


def loaded_after(code: str, names: tuple[str, ...] = HEAVY) -> set[str]:
    """Those of `names` in a fresh process after `code`, whatever it prints and however it ends."""
    report = f"print('\\n' + json.dumps([name for name in {names!r} if name in sys.modules]))"
    script = f"import json, sys\ntry:\n  {code}\nexcept SystemExit: pass\n{report}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_tasklift_loads_nothing_heavy() -> None:
    assert loaded_after("import tasklift; dir(tasklift)") == set()


def test_a_task_can_be_written_without_anything_heavy() -> None:
    assert loaded_after("import tasklift; tasklift.Task; tasklift.Label; tasklift.Economics; tasklift.Dataset") == set()


def test_the_measure_of_this_file_works() -> None:
    assert "numpy" in loaded_after("import tasklift; tasklift.Baseline")


@pytest.mark.parametrize("arguments", [["--help"], ["evaluate", "--help"], ["data", "import", "--help"], []])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"sys.argv = {['tasklift', *arguments]!r}; from tasklift.cli.main import main; main()"
    assert loaded_after(code) == set()


def test_the_inbox_loads_what_serves_http_only_to_serve() -> None:
    code = "sys.argv = ['tasklift-inbox', '--help']; from tasklift_inbox.__main__ import main; main()"
    assert loaded_after(code, ("fastapi", "uvicorn")) == set()


def test_comparing_hosted_models_loads_nothing_slow() -> None:
    modules = "tasklift.cli.evaluate, tasklift.strategies.prompt, tasklift.strategies.human"
    assert loaded_after(f"import {modules}", SLOW) == set()


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    assert loaded_after("import tasklift; assert not hasattr(tasklift, 'Basline')") == set()


def test_help_names_every_command() -> None:
    done = subprocess.run([sys.executable, "-m", "tasklift", "--help"], capture_output=True, text=True, check=True)
    for command in ("init", "check", "evaluate", "decide", "demo", "data", "models"):
        assert command in done.stdout
    assert done.stderr == ""
