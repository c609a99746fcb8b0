"""Peers of the fine-tuned encoder: each in a process of its own, and in an environment of its own where it must."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _common import RESULTS, note, peer_python
from _sets import Benchmark

from tasklift.dataset import Dataset
from tasklift.strategies.classifier import label_indices, texts_of
from tasklift.weights import locate_minilm

HERE = Path(__file__).resolve().parent
#: What setfit needs: it lags behind transformers. torch is the version that runs here.
SETFIT = ("setfit==1.1.3", "transformers==4.57.*", "sentence-transformers==5.1.*", "datasets<5")


@dataclass(frozen=True)
class Run:
    """What a peer reached.

    Attributes:
        accuracy: on the test rows.
        better: the same, with what the peer leaves at a default chosen on its rows; `accuracy` where it chooses all.
        fit_cpu_s: CPU seconds of making it, imports excluded.
        cpu_s: those of answering included.
    """

    accuracy: float
    better: float
    fit_cpu_s: float
    cpu_s: float


def run_peer(script: str, python: Path, train: Dataset, made: Benchmark, **settings: Any) -> Run:
    """Train a peer on the rows and let it answer the test rows; what it reached is kept: a stopped benchmark goes on.

    Args:
        script: of this folder.
        settings: what else the script reads of its job.
    """
    labels = list(made.task.labels)
    told = "-".join(f"{name}{value}" for name, value in sorted(settings.items()))
    folder = RESULTS / "cache" / "tuning" / f"{script}-{train.content_hash[:12]}-{told}"
    answer = folder / "answer.json"
    if not answer.exists():
        note(f"{script}: {len(train)} rows, {told}")
        folder.mkdir(parents=True, exist_ok=True)
        job = {
            "encoder": str(locate_minilm()),
            "texts": texts_of(train, made.task.input_fields),
            "labels": label_indices(train, labels).tolist(),
            "asked": texts_of(made.test, made.task.input_fields),
        }
        (folder / "job.json").write_text(json.dumps(job | settings), encoding="utf-8")
        words = [python, HERE / f"{script}.py", folder / "job.json", folder / "part.json"]
        with (folder / "log.txt").open("w", encoding="utf-8") as log:
            done = subprocess.run(list(map(str, words)), check=False, stdout=log, stderr=log)
        if done.returncode:
            raise SystemExit(f"{script} has failed; {folder / 'log.txt'} says why")
        (folder / "part.json").replace(answer)
    found = json.loads(answer.read_text(encoding="utf-8"))
    truth = label_indices(made.test, labels)
    right, better = (np.array(found.get(name, found["answers"])) == truth for name in ("answers", "answers_chosen_c"))
    return Run(float(right.mean()), float(better.mean()), found["fit_cpu_s"], found["cpu_s"])


def own_python() -> Path:
    """The interpreter that runs this."""
    return Path(sys.executable)


def setfit_python() -> Path:
    """The interpreter of setfit's environment, which is made once."""
    return peer_python("setfit", SETFIT)
