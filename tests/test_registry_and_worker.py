"""Names and the modules behind them, and the one thread that does CPU work."""

from __future__ import annotations

import ast
import asyncio
import contextvars
import importlib.util
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tasklift import registry
from tasklift.errors import ConfigError
from tasklift.strategies.baseline import Baseline
from tasklift.worker import credit, on_worker, timed

ALL = [(kind, name) for kind, names in registry.ENTRIES.items() for name in names]


@pytest.mark.parametrize(("kind", "name"), ALL, ids=[f"{kind}-{name}" for kind, name in ALL])
def test_every_registered_name_leads_somewhere(kind: registry.Kind, name: str) -> None:
    """Looked up in the source: importing it may load what takes seconds."""
    module, _, attribute = registry.ENTRIES[kind][name].partition(":")
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
    assert attribute in {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def test_a_name_gives_its_class() -> None:
    assert registry.load("strategy", "baseline") is Baseline


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [
        ("strategy", "basline", "no strategy is called 'basline'; did you mean 'baseline'?"),
        ("strategy", "few-shot", "no strategy is called 'few-shot'; did you mean 'fewshot'?"),
        ("model", "qqq", "no model is called 'qqq'; known: local, llama_cpp"),
        ("embedder", "", "no embedder is called ''; known: minilm, huggingface, static"),
    ],
)
def test_an_unknown_name_is_answered_with_what_there_is(kind: registry.Kind, name: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        registry.load(kind, name)
    assert str(caught.value) == hint


def load_without(package: str, kind: str, name: str) -> str:
    """What loading says in a process where `package` cannot be imported."""
    code = (
        "import sys\n"
        f"sys.modules[{package!r}] = None\n"
        "from tasklift import registry\n"
        f"try: registry.load({kind!r}, {name!r})\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("kind", "name"), [("strategy", "encoder"), ("embedder", "minilm")])
def test_a_missing_extra_says_how_to_get_it(kind: str, name: str) -> None:
    said = load_without("torch", kind, name)
    assert said.startswith(f"MissingDependencyError {kind} '{name}' (torch) needs the extra [local]")
    assert "pip install 'tasklift[local]'" in said


def test_a_module_that_no_extra_brings_is_not_blamed_on_one() -> None:
    said = load_without("tasklift.data.embed_static", "embedder", "static")
    assert said.startswith("ModuleNotFoundError")
    assert "pip install" not in said


def test_a_result_comes_with_what_it_took() -> None:
    done = timed(sum, [1, 2, 3])
    assert done.value == 6
    assert done.wall_s >= 0
    assert done.cpu_s >= 0


def test_credited_time_is_counted_once_at_every_level() -> None:
    inner = []

    def work() -> None:
        inner.append(timed(credit, 1000.0))
        credit(500.0)

    outer = timed(work)
    assert 1000 <= inner[0].cpu_s < 1100
    assert 1500 <= outer.cpu_s < 1600


def test_credit_outside_of_a_timed_call_is_lost() -> None:
    credit(1000.0)
    assert timed(list).cpu_s < 100


def test_a_failing_call_leaves_no_credit_behind() -> None:
    def work() -> None:
        credit(1000.0)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        timed(work)
    assert timed(list).cpu_s < 100


async def test_jobs_run_one_after_another_on_one_thread() -> None:
    running: list[int] = []
    most: list[int] = []

    def work(number: int) -> tuple[int, str]:
        running.append(number)
        most.append(len(running))
        sum(range(20_000))
        running.remove(number)
        return number, threading.current_thread().name

    done = await asyncio.gather(*(on_worker(work, n) for n in range(20)))
    assert [each.value[0] for each in done] == list(range(20))
    assert {each.value[1] for each in done} == {"tasklift-cpu_0"}
    assert max(most) == 1


async def test_the_event_loop_stays_free_while_the_worker_works() -> None:
    released = threading.Event()
    job = asyncio.create_task(on_worker(released.wait, 30))
    await asyncio.sleep(0)
    released.set()  # reached only because the wait is elsewhere
    assert (await job).value is True


async def test_an_error_reaches_the_caller_and_the_worker_goes_on() -> None:
    with pytest.raises(ZeroDivisionError):
        await on_worker(lambda: 1 / 0)
    assert (await on_worker(lambda: 1)).value == 1


async def test_work_sees_the_context_of_its_caller() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")

    async def ask(value: str) -> str:
        variable.set(value)
        return (await on_worker(variable.get)).value

    assert await asyncio.gather(ask("one"), ask("two")) == ["one", "two"]
    assert (await on_worker(variable.get)).value == "nothing"


async def test_credit_reaches_the_result_of_the_worker() -> None:
    assert 1000 <= (await on_worker(credit, 1000.0)).cpu_s < 1100
