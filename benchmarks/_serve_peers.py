"""Other gateways in front of the same endpoint, each in an environment of its own that is made once."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from _common import RESULTS, note
from _processes import Running, free_port, running

CACHE = RESULTS / "cache"
MLFLOW, LITELLM = "mlflow[gateway]==3.17.2", "litellm[proxy,proxy-runtime]==1.106.2"
#: Long and random, as the proxy demands; it guards a proxy of this machine for a minute.
LITELLM_KEY = "sk-" + "8f1c0a7d5e3b" * 3


def environment(name: str, package: str) -> Path:
    """The `bin` of an environment with a package.

    Raises:
        SystemExit: the index cannot be reached.
    """
    folder = CACHE / f"venv-{name}"
    if not (folder / "done").exists():
        note(f"fetching {package}")
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(folder / "bin" / "pip"), "install", "--quiet", package],
            [str(folder / "bin" / "python"), "-m", "compileall", "-q", str(folder / "lib")],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode and "compileall" not in command:
                raise SystemExit(f"{package} cannot be installed; leave it out with --peers\n{done.stderr[-1000:]}")
        (folder / "done").touch()
    return folder / "bin"


@contextmanager
def mlflow(endpoint: str) -> Iterator[Running]:
    """MLflow's gateway with one route, one worker."""
    programs = environment("mlflow", MLFLOW)
    config = {"openai_api_key": "x", "openai_api_base": endpoint}
    model = {"provider": "openai", "name": "mock", "config": config}
    route = {"name": "chat", "endpoint_type": "llm/v1/chat", "model": model}
    with tempfile.TemporaryDirectory() as folder:
        path, port = Path(folder) / "config.yaml", free_port()
        path.write_text(json.dumps({"endpoints": [route]}))
        command = [str(programs / "mlflow"), "gateway", "start", "--config-path", str(path), "--port", str(port)]
        where = {"PATH": f"{programs}:/usr/bin:/bin", "PYTHONPATH": ""}
        with running([*command, "--workers", "1"], port, "/health", **where) as found:
            yield found


@contextmanager
def litellm(endpoint: str) -> Iterator[Running]:
    """LiteLLM's proxy with one model, one worker."""
    programs = environment("litellm", LITELLM)
    model = {"model": "openai/mock", "api_base": endpoint, "api_key": "x"}
    config = {
        "model_list": [{"model_name": "triage", "litellm_params": model}],
        "general_settings": {"master_key": LITELLM_KEY},
        "litellm_settings": {"telemetry": False},
    }
    with tempfile.TemporaryDirectory() as folder:
        path, port = Path(folder) / "config.yaml", free_port()
        path.write_text(json.dumps(config))
        command = [str(programs / "litellm"), "--config", str(path), "--host", "127.0.0.1", "--port", str(port)]
        where = {"PATH": f"{programs}:/usr/bin:/bin", "PYTHONPATH": "", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        with running([*command, "--num_workers", "1"], port, "/health/liveliness", **where) as found:
            yield found
