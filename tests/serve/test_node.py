"""OpenAI's own client in Node: chat, streaming, models, errors."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

PACKAGE = "openai@7.57.0"


def client_folder() -> Path:
    """A folder with OpenAI's package, fetched once for this machine's temporary files."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node or npm is missing")
    folder = Path(tempfile.gettempdir()) / f"tasklift-{PACKAGE.replace('@', '-')}"
    if not (folder / "done").exists():
        folder.mkdir(exist_ok=True)
        (folder / "package.json").write_text('{"private": true, "type": "module"}')
        words = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), PACKAGE]
        done = subprocess.run([npm, *words], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            pytest.skip(f"node's package registry cannot be reached: {done.stderr[-200:]}")
        (folder / "done").touch()
    return folder


def test_the_openai_client_of_node_is_understood_and_understands(running: Any) -> None:
    folder = client_folder()
    script = folder / "client.mjs"  # imports are looked up beside it
    shutil.copy(Path(__file__).with_name("client.mjs"), script)
    done = subprocess.run(
        ["node", str(script), f"{running.url}/v1", running.key], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "answer": "green",
        "trace": True,
        "release": "1",
        "streamed": "green",
        "usage": 0,
        "models": ["colours"],
        "model": "tasklift",
        "unknown": ["NotFoundError", 404, "model_not_found"],
        "malformed": ["BadRequestError", 400, "invalid_value"],
        "stranger": ["AuthenticationError", 401, "invalid_api_key"],
        "streamed_error": ["NotFoundError", 404, "model_not_found"],
    }
