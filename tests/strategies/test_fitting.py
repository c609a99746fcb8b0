"""Fits that are nested, stopped, shared by processes: nothing is fitted twice, and all end in equal candidates."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasklift import registry
from tasklift.dataset import Dataset
from tasklift.errors import ArtifactError
from tasklift.llm.fake import ScriptedModel
from tasklift.prediction import Prediction
from tasklift.strategies.artifact import read_arrays, read_card
from tasklift.strategies.baseline import Baseline
from tasklift.strategies.checkpoint import Checkpoint, Home, fitting_in
from tasklift.strategies.fewshot import FewShot
from tasklift.strategies.fitting import fit_or_load
from tasklift.strategies.frozen import FrozenCandidate, FrozenEncoder
from tasklift.strategies.layered import Layered
from tasklift.strategies.prompt import Prompt
from tasklift.strategy import Context
from tasklift.task import Task


@dataclass(frozen=True)
class Counted(FrozenEncoder):
    """Counts its fits; a slow one leaves time for another to begin."""

    fitted: list[int] = field(default_factory=list, compare=False)
    takes_s: float = 0.0

    def parameters(self) -> dict[str, Any]:
        return {"embedder": self.embedder, "seed": self.seed}

    def fit(self, task: Task, train: Dataset) -> FrozenCandidate:
        self.fitted.append(len(train))
        time.sleep(self.takes_s)
        return super().fit(task, train)


def quiet(line: str) -> None:
    """Nobody listens."""


def ask(candidate: Any, texts: Sequence[str]) -> list[Prediction]:
    return asyncio.run(candidate.predict([{"text": text} for text in texts], Context()))


def folders(state: Path) -> set[str]:
    return {path.name for path in (state / "artifacts").iterdir()}


# Stages


def test_layered_candidates_share_the_fit_of_their_core(colours: Task, colour_rows: Dataset, tmp_path: Path) -> None:
    core = Counted(embedder="static")
    first, second = Layered(core, None, alpha=0.3), Layered(core, None, alpha=0.2)
    one = fit_or_load(first, colours, colour_rows, tmp_path, quiet)
    two = fit_or_load(second, colours, colour_rows, tmp_path, quiet)
    assert len(core.fitted) == 1
    assert len(folders(tmp_path)) == 3
    (stage,) = [name for name in folders(tmp_path) if is_core(tmp_path, name)]
    assert two.setup.cpu_s >= read_card(tmp_path / "artifacts" / stage).setup.cpu_s > 0
    assert [p.children[0].output for p in ask(one, ["a ruby", "moss"])] == ["red", "green"]


def test_a_stage_that_was_read_is_counted_in_the_cost(
    colours: Task, colour_rows: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = Counted(embedder="static")
    fit_or_load(Layered(core, None), colours, colour_rows, tmp_path, quiet)
    (stage,) = [
        tmp_path / "artifacts" / name / "candidate.json" for name in folders(tmp_path) if is_core(tmp_path, name)
    ]
    stage.write_text(stage.read_text(encoding="utf-8").replace('"cpu_s": ', '"cpu_s": 1000'), encoding="utf-8")
    again = fit_or_load(Layered(core, None, alpha=0.3), colours, colour_rows, tmp_path, quiet)
    assert again.setup.cpu_s >= 1000


def is_core(state: Path, name: str) -> bool:
    return not (state / "artifacts" / name / "core").exists()


def test_a_model_that_is_an_object_is_used_again_when_its_candidate_is_read(
    colours: Task, colour_rows: Dataset, tmp_path: Path
) -> None:
    model = ScriptedModel({"moss": "green"}, default="red", confidence=0.9)
    for strategy in (
        Prompt(model=model),
        FewShot(model=model, embedder="static", skip_agreed=False),
        Layered(Baseline(), Prompt(model=model), alpha=0.4),
    ):
        fit_or_load(strategy, colours, colour_rows, tmp_path, quiet)
        again = fit_or_load(strategy, colours, colour_rows, tmp_path, quiet)
        assert ask(again, ["moss"])[0].error is None


# Several at once


def test_one_who_comes_second_waits_and_takes_what_the_first_made(
    colours: Task, colour_rows: Dataset, tmp_path: Path
) -> None:
    slow, heard = Counted(embedder="static", takes_s=0.5), list[str]()
    threads = [
        threading.Thread(target=fit_or_load, args=(slow, colours, colour_rows, tmp_path, heard.append))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(slow.fitted) == 1
    assert len(heard) == 2
    assert "waiting: another process" in heard[0]
    assert heard[0].endswith("is fitting frozen")
    assert folders(tmp_path) == {slow.fingerprint(colours, colour_rows)}


# Checkpoints


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    with fitting_in(Home(tmp_path)):
        kept = Checkpoint("f")
        assert kept.load() is None
        kept.save({"epoch": 1, "order": 2**127}, {"a": np.arange(4.0), "step": np.array(3.0, dtype=np.float32)})
        kept.save({"epoch": 2}, {"a": np.arange(3.0)})
        found = kept.load()
        assert found is not None
        assert found[0] == {"epoch": 2}
        assert found[1]["a"].tolist() == [0.0, 1.0, 2.0]
        kept.remove()
        assert kept.load() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [0, 5, 200, -1])
def test_a_damaged_checkpoint_counts_as_none(tmp_path: Path, cut: int) -> None:
    with fitting_in(Home(tmp_path)):
        kept = Checkpoint("f")
        kept.save({"epoch": 1}, {"a": np.arange(100.0)})
        path = tmp_path / ".partial-f" / "checkpoint.safetensors"
        path.write_bytes(path.read_bytes()[:cut])
        assert kept.load() is None


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    with fitting_in(Home(tmp_path)):
        kept = Checkpoint("f")
        kept.save({"epoch": 1}, {"a": np.arange(3.0)})
        (tmp_path / ".partial-f" / "checkpoint.part").mkdir()
        with pytest.raises(ArtifactError, match="the state of the fit cannot be written"):
            kept.save({"epoch": 2}, {"a": np.arange(3.0)})
        found = kept.load()
    assert found is not None
    assert found[0] == {"epoch": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folds", "lines", "stops"),
    [
        (1, ["epoch 1", "epoch 2"], ["epoch 2"]),
        (
            2,
            ["fold 1 of 2", "fold 2 of 2", "all rows, epoch 1", "all rows, epoch 2"],
            ["fold 2 of 2", "all rows, epoch 2"],
        ),
    ],
)
def test_a_stopped_encoder_goes_on_to_equal_weights(
    colours: Task,
    colour_rows: Dataset,
    tmp_path: Path,
    folds: int,
    lines: list[str],
    stops: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch", reason="needs the extra [local]")
    tuning = pytest.importorskip("tasklift.strategies.tuning").Tuning
    plain = tuning._chosen

    def two(self: Any, *rest: Any) -> Any:
        """On so few rows no epoch may beat the start: here training on all rows always lasts two epochs."""
        return plain(self, *rest) | ({"epochs": 2} if folds > 1 else {})

    monkeypatch.setattr(tuning, "_chosen", two)
    strategy = registry.load("strategy", "encoder")(max_epochs=2, learning_rate=1e-3, batch_size=8, folds=folds)
    heard: list[str] = []

    def fit(name: str, *stops: str) -> dict[str, Any]:
        """Fitted, with the lid closed once at each of these lines."""
        left = list(stops)

        def hear(line: str) -> None:
            heard.append(line.partition(":")[0])
            if left and line.startswith(left[0]):
                left.pop(0)
                raise KeyboardInterrupt

        with fitting_in(Home(tmp_path / name, keep_every_s=0)):
            for _ in stops:
                with pytest.raises(KeyboardInterrupt):
                    strategy.fit(colours, colour_rows, hear)
            strategy.fit(colours, colour_rows, hear).save(tmp_path / name / "saved")
        return read_arrays(tmp_path / name / "saved")

    whole = fit("whole")
    assert heard == lines
    heard.clear()
    resumed = fit("resumed", *stops)
    assert heard.count("all rows, epoch 1") == (folds > 1)
    assert heard[-1] == lines[-1]
    assert {name for name in whole if not np.array_equal(whole[name], resumed[name])} == set()
