"""What benchmarks share: where the data is, what the machine is, and a table of figures against bars."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasklift.stats.intervals import Interval

RESULTS = Path(__file__).parent / "results"
HOW_TO = "pass --data FOLDER or set TASKLIFT_DATA to the folder that holds it"


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        what: what was measured.
        value: a share (0 to 1), a ratio, or a number of `unit`.
        at_least: the bar, in the same unit; None: only shown.
        low: 95% interval, where there is one.
        high: its upper end.
        note: rows, chosen parameters.
        published: figures of others on the same work, with their source.
        at_most: a bar that must not be passed, in the same unit.
        unit: "%" of a share, "x" of a ratio, or another one; "" is "x" where value or bar exceeds 1, else "%".
    """

    what: str
    value: float
    at_least: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""
    published: str = ""
    at_most: float | None = None
    unit: str = ""

    @classmethod
    def share(
        cls, what: str, interval: Interval, at_least: float | None = None, at_most: float | None = None, **rest: str
    ) -> Figure:
        """A share with its interval."""
        return cls(what, interval.value, at_least, interval.low, interval.high, at_most=at_most, **rest)

    @property
    def met(self) -> bool | None:
        """Is the bar kept? None where there is none."""
        if self.at_least is None and self.at_most is None:
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    def line(self) -> str:
        """For a terminal."""
        within = f" [{self._shown(self.low)}, {self._shown(self.high)}]" if self.low is not None else ""
        limits = ((">=", self.at_least), ("<=", self.at_most))
        bar = ", ".join(f"{sign} {self._shown(limit)}" for sign, limit in limits if limit is not None)
        verdict = {None: "", True: "reached", False: "MISSED"}[self.met]
        shown = self._shown(self.value) + within
        return f"{self.what:<44} {shown:<22} {bar:<10} {verdict:<8} {self.note}".rstrip()

    def _shown(self, value: float | None) -> str:
        ratio = self.value > 1 or max(self.at_least or 0, self.at_most or 0) > 1
        unit = self.unit or ("x" if ratio else "%")
        if value is None:
            return ""
        return f"{100 * value:.1f}%" if unit == "%" else f"{value:,.2f}{unit}"


def data_folder(given: Path | None, name: str) -> Path:
    """The folder of the data set called `name`, which holds `<name>.jsonl`.

    Raises:
        SystemExit: it is not there; says how to name it.
    """
    return data_file(given, f"{name}/{name}.jsonl").parent


def data_file(given: Path | None, name: str) -> Path:
    """A file of a data set, such as `banking77/banking77.jsonl`.

    Raises:
        SystemExit: it is not there; says how to name it.
    """
    root = given or (Path(os.environ["TASKLIFT_DATA"]) if os.environ.get("TASKLIFT_DATA") else None)
    if root is None:
        raise SystemExit(f"the data set {name} is needed: {HOW_TO}")
    for place in (root / name, root / Path(name).name):
        if place.exists():
            return place
    raise SystemExit(f"{root} holds no {name}: {HOW_TO}")


def finish(name: str, command: str, figures: list[Figure], extra: dict[str, Any]) -> int:
    """Print the figures, write `results/<name>.json`; 0 where every bar is reached, else 3."""
    print("\n" + "\n".join(figure.line() for figure in figures))
    made = {"command": command, "date": time.strftime("%Y-%m-%d"), "machine": machine()}
    print("\n" + ", ".join(f"{key}: {value}" for key, value in made.items()))
    RESULTS.mkdir(exist_ok=True)
    rows = [asdict(figure) | {"met": figure.met} for figure in figures]
    text = json.dumps({"schema_version": 1, **made, "figures": rows, **extra}, indent=1, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return 0 if all(figure.met is not False for figure in figures) else 3


def machine() -> str:
    """Processor, cores, Python: what seconds depend on."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def note(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def peer_python(name: str, packages: Sequence[str]) -> Path:
    """The interpreter of a peer's environment, which is made once; torch is the version that runs here."""
    folder = RESULTS / "cache" / name
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        note(f"making an environment with {packages[0]}")
        venv.create(folder, with_pip=True, clear=True)
        for wanted in ([f"torch=={version('torch').partition('+')[0]}"], packages):
            subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
        (folder / "ready").touch()
    return python
