"""The environments of dev.py: made from hashed pins, brought up to date, never half-used.

Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "requirements"
BIN, EXE = ("Scripts", ".exe") if os.name == "nt" else ("bin", "")
TORCH = "torch==2.13.*"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# Modules that are compiled when they are first imported, if ever.
SELDOM_USED = r"[/\\](tests|_inductor|transformers[/\\]models)[/\\]"
# What a failing step printed, and what that means for the reader.
REASONS = (
    (r"No space left|os error 28|ENOSPC", "the disk is full: free some space and run this again"),
    (r"mismatch|DO NOT MATCH THE HASHES", "a download is not the pinned file: check the package index"),
    (
        r"dns error|resolve host|Name or service|name resolution|[Cc]onnection (refused|reset)|tcp connect"
        r"|NewConnectionError|unreachable|timed out|error sending request|Failed to fetch|No such host",
        "the package index cannot be reached: check the network or PIP_INDEX_URL, then run this again",
    ),
    (r"Permission denied|Read-only file|os error 13", "a folder is not writable: check its owner and mode"),
    (r"no wheels? with a matching|No matching distribution|not a supported wheel",
     "a package has no build for this Python or system: use CPython 3.11 to 3.13"),
)  # fmt: skip


class SetupError(Exception):
    """A set-up step failed; the message is the one line that the user sees."""


@dataclass(frozen=True)
class Spec:
    """A set of packages, the environment that it goes to, and its measured sizes."""

    name: str
    folder: Path
    download_mb: int
    disk_mb: int
    models: bool = True

    @property
    def python(self) -> Path:
        return self.script("python")

    def script(self, name: str) -> Path:
        """Where the environment keeps the program of that name."""
        return self.folder / BIN / (name + EXE)

    @property
    def pins(self) -> Path:
        return PINS / f"{self.name}.txt"

    @property
    def digest(self) -> str:
        """Changes whenever the environment has to be brought up to date."""
        state = hashlib.sha256(base_identity().encode())
        for path in (self.pins, PINS / "uv.txt", ROOT / "pyproject.toml", Path(__file__)):
            state.update(path.read_bytes() if path.exists() else b"missing")
        return state.hexdigest()

    @property
    def stamp(self) -> Path:
        return self.folder / f".stamp-{self.name}"

    def ready(self) -> bool:
        """Whether the environment was set up completely from what is in the tree now."""
        try:
            return self.stamp.read_text() == self.digest and self.python.exists()
        except OSError:
            return False


SPECS = {
    "light": Spec("light", ROOT / ".venv-light", 100, 460, models=False),
    "local": Spec("local", ROOT / ".venv", 235, 2500),
    "test": Spec("test", ROOT / ".venv", 295, 2600),
}


def base_identity() -> str:
    """What an environment is bound to: its Python and its own path."""
    return f"{platform.python_implementation()} {sys.version_info[0]}.{sys.version_info[1]} at {ROOT}"


def say(text: str, end: str = "\n") -> None:
    """Print at once, also through a pipe."""
    print(text, end=end, flush=True)


def child_env(folder: Path | None = None, find_links: bool = True) -> dict[str, str]:
    """The environment of the programs started here; pip's settings are passed on to uv."""
    env = dict(os.environ)
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX"):
        env.pop(name, None)
    for ours, theirs in (
        ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"),
        ("UV_INDEX", "PIP_EXTRA_INDEX_URL"),
        ("SSL_CERT_FILE", "PIP_CERT"),
    ):
        if env.get(theirs):
            env.setdefault(ours, env[theirs])
    links = env.get("PIP_FIND_LINKS", "").split()
    if links:
        env.setdefault("UV_FIND_LINKS", ",".join(links))
    if not find_links:
        env.pop("UV_FIND_LINKS", None)
        env.pop("PIP_FIND_LINKS", None)
    env.update(PIP_DISABLE_PIP_VERSION_CHECK="1", UV_PYTHON_DOWNLOADS="never", UV_NO_PROGRESS="1")
    env.setdefault("UV_HTTP_TIMEOUT", "60")
    env.setdefault("UV_SYSTEM_CERTS", "1")  # the machine's own authorities count, as for pip: many companies add one
    if folder:
        env["VIRTUAL_ENV"] = str(folder)
        env["PATH"] = str(folder / BIN) + os.pathsep + os.environ.get("PATH", "")
    return env


@contextlib.contextmanager
def locked(path: Path) -> Iterator[IO[str]]:
    """Hold a lock file; a second process waits. Children inherit it, so an orphan keeps it."""
    with path.open("a+", encoding="utf-8") as handle:
        told = False
        while not try_lock(handle):
            if not told:
                say(f"waiting for another set-up to finish ({path.name})")
            told = True
            time.sleep(0.2)
        yield handle


def try_lock(handle: IO[str]) -> bool:
    """Take the lock if it is free."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def answers(url: str, seconds: float = 3.0) -> str:
    """The start of the page at an address, or nothing where it does not answer in time."""
    pages: list[str] = []

    def fetch() -> None:
        with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=seconds) as reply:
            pages.append(reply.read(2_000_000).decode("utf-8", "replace") or " ")

    worker = threading.Thread(target=fetch, daemon=True)  # name resolution knows no timeout of its own
    worker.start()
    worker.join(seconds)
    return pages[0] if pages else ""


def offered_torch(places: Sequence[str]) -> bool:
    """Whether one of the find-links places has a torch wheel for this Python and machine."""
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    wheel = re.compile(rf"torch-2\.13\.[^\s\"'<>]*-{tag}-[^\s\"'<>]*{platform.machine()}\.whl", re.IGNORECASE)
    for place in places:
        folder = Path(place.removeprefix("file://"))
        names = "\n".join(os.listdir(folder)) if folder.is_dir() else ""
        if not names and place.startswith(("http://", "https://")):
            names = answers(place)
        if wheel.search(names):
            return True
    return False


def has_nvidia_driver() -> bool:
    """Whether this machine can use CUDA at all."""
    traces = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/usr/lib/wsl/lib/nvidia-smi")
    return bool(shutil.which("nvidia-smi")) or any(os.path.exists(trace) for trace in traces)


def torch_source(env: dict[str, str]) -> tuple[list[str], str]:
    """Options that choose where torch comes from, and a note on its size."""
    if offered_torch(re.split(r"[,\s]+", env.get("UV_FIND_LINKS", ""))):
        return ["--no-deps", "--no-index"], "from find-links, about 200 MB"
    if platform.system() != "Linux":
        return [], "about 100 MB"
    if not has_nvidia_driver() and answers(f"{TORCH_CPU_INDEX}/torch/"):
        return ["--no-deps", "--index-url", TORCH_CPU_INDEX], "CPU build, about 200 MB"
    return [], "from PyPI WITH CUDA packages: about 2.2 GB to download, 5 GB on disk"


class Setup:
    """Brings one environment up to date, step by step, with all output in setup.log."""

    def __init__(self, spec: Spec, lock: IO[str]) -> None:
        self.spec = spec
        self.lock = lock
        self.env = child_env(spec.folder)
        self.log = spec.folder / "setup.log"
        self.unfinished = spec.folder / ".installing"
        self.uv = shutil.which("uv", path=os.environ.get("PATH"))

    def run(self) -> None:
        """All steps; the stamp is written last."""
        started = time.monotonic()
        spec = self.spec
        say(f"setting up {spec.folder.name} for '{spec.name}'")
        if not spec.pins.exists():
            raise SetupError(f"{spec.pins.name} is missing: run `python3 dev.py lock` first")
        self.prepare()
        self.unfinished.touch()
        self.install_packages()
        self.unfinished.unlink()
        if spec.models:
            self.step("model weights (93 MB to download, 0.6 GB on disk, kept in a cache)",
                      [spec.python, "-m", "tasklift", "models", "pull", "--all"])  # fmt: skip
        temporary = spec.stamp.with_suffix(".new")
        temporary.write_text(spec.digest)
        temporary.replace(spec.stamp)
        used = sum(f.stat().st_size for f in spec.folder.rglob("*") if f.is_file() and not f.is_symlink())
        say(f"ready after {time.monotonic() - started:.0f} s; {spec.folder.name} takes {used / 1e6:.0f} MB")

    def prepare(self) -> None:
        """An environment of the right Python with an installer; an unusable one is replaced."""
        folder = self.spec.folder
        owner = folder / ".made-by-dev"
        if folder.is_dir() and any(folder.iterdir()) and not owner.exists():
            raise SetupError(f"{folder.name} was not made by dev.py: move it away, then run this again")
        sound = owner.exists() and owner.read_text() == base_identity() and self.spec.python.exists()
        if not sound or self.unfinished.exists():
            discard(folder)
            free = shutil.disk_usage(ROOT).free // 1_000_000
            if free < self.spec.disk_mb:
                raise SetupError(f"needs about {self.spec.disk_mb} MB of disk, {free} MB are free: free some space")
            folder.mkdir()
            owner.write_text(base_identity())
            self.unfinished.touch()
            self.create()
        own_uv = self.spec.script("uv")
        self.uv = self.uv or (str(own_uv) if own_uv.exists() else None)

    def create(self) -> None:
        """Make the environment with uv, or with the standard library and then fetch uv."""
        if self.uv:
            say(f"  installer: {self.uv}")
            command: list[str | Path] = [self.uv, "venv"]
            command += ["--allow-existing", "--python", sys.executable, self.spec.folder]
            self.step("virtual environment", command)
            return
        probe = subprocess.run([sys.executable, "-c", "import ensurepip, venv"], capture_output=True, check=False)
        if probe.returncode:
            package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
            raise SetupError(f"this Python has no ensurepip: `apt install {package}` (Debian, Ubuntu) or install uv")
        self.step("virtual environment", [sys.executable, "-m", "venv", self.spec.folder])
        pinned = PINS / "uv.txt"
        wanted = ["--require-hashes", "--no-deps", "-r", pinned] if pinned.exists() else ["uv"]
        try:
            self.step("uv, the installer (about 25 MB)",
                      [self.spec.python, "-m", "pip", "install", "--retries", "1", *wanted])  # fmt: skip
        except SetupError as error:
            if "cannot be reached" in str(error) or "disk is full" in str(error):
                raise
            say("  uv cannot be had here: going on with pip")

    def install_packages(self) -> None:
        """Pinned packages, torch by its own bounded step, the project itself, byte code."""
        spec = self.spec
        self.step(f"pinned packages, without torch (about {spec.download_mb} MB)",
                  self.installer("--require-hashes", "--no-deps", "-r", spec.pins))  # fmt: skip
        if spec.models:
            source, note = torch_source(self.env)
            self.step(f"torch ({note})", self.installer(*source, TORCH))
        self.step("tasklift itself", self.installer("--no-deps", "--no-build-isolation", "-e", ROOT))
        inside = [*spec.folder.glob("lib/python*/site-packages"), spec.folder / "Lib" / "site-packages"][0]
        options = ["-q", "-j", "0", "-x", SELDOM_USED]
        self.step("byte code", [spec.python, "-m", "compileall", *options, inside], tolerate=True)

    def installer(self, *words: str | Path) -> list[str | Path]:
        """An install command of uv where it is there, else of pip."""
        if self.uv:
            return [self.uv, "pip", "install", "--python", self.spec.python, *words]
        return [self.spec.python, "-m", "pip", "install", "--retries", "2", *words]

    def step(self, title: str, command: Sequence[str | Path], tolerate: bool = False) -> None:
        """Run one command with its output in the log; a failure becomes one line."""
        say(f"  {title} ... ", end="")
        started = time.monotonic()
        with self.log.open("ab") as log:
            start = log.tell()
            log.write(f"\n$ {' '.join(map(str, command))}\n".encode())
            log.flush()
            code = call(command, env=self.env, stdout=log, stderr=log, lock=self.lock)
        if code and not tolerate:
            say("FAILED")
            said = self.log.read_bytes()[start:].decode("utf-8", "replace")
            why = next((reason for pattern, reason in REASONS if re.search(pattern, said)), "see the log for why")
            raise SetupError(f"{title}: {why} (full output: {self.log.relative_to(ROOT)})")
        say(f"{time.monotonic() - started:.1f} s")


def call(
    command: Sequence[str | Path],
    env: dict[str, str],
    stdout: IO[bytes] | None = None,
    stderr: IO[bytes] | None = None,
    lock: IO[str] | None = None,
) -> int:
    """Run a program in the repository root and give back its exit status."""
    keep = (lock.fileno(),) if lock and os.name == "posix" else ()
    try:
        code = subprocess.call(
            [str(word) for word in command], cwd=ROOT, env=env, stdout=stdout, stderr=stderr, pass_fds=keep
        )
    except FileNotFoundError:
        raise SetupError(f"{command[0]} is missing: run `python3 dev.py clean`, then this again") from None
    return 128 - code if code < 0 else code


def discard(folder: Path) -> None:
    """Remove a folder such that an interruption never leaves half of it under its own name."""
    doomed = folder.with_name(folder.name + ".old")
    shutil.rmtree(doomed, ignore_errors=True)
    if folder.exists():
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def ensure(name: str) -> Spec:
    """The environment for a set of packages, set up first where it has to be."""
    spec = SPECS[name]
    if not (spec.ready() or (name == "local" and SPECS["test"].ready())):
        with locked(spec.folder.with_name(spec.folder.name + ".lock")) as lock:
            if not spec.ready():
                Setup(spec, lock).run()
    return spec
