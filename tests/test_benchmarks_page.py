"""The page of benchmarks is what the results say, and what benchmarks share is right."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from sklearn.metrics import f1_score

ROOT = Path(__file__).parent.parent


def loaded(path: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script of the repository as a module, with its neighbours importable."""
    place = ROOT / path
    monkeypatch.syspath_prepend(str(place.parent))
    spec = importlib.util.spec_from_file_location(place.stem, place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, place.stem, module)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_benchmarks_is_what_the_results_say(monkeypatch: pytest.MonkeyPatch) -> None:
    made = loaded("scripts/make_benchmarks_page.py", monkeypatch)
    assert made.PAGE.read_text(encoding="utf-8") == made.page(made.RESULTS)


def test_a_missed_bar_is_shown_as_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    common = loaded("benchmarks/_common.py", monkeypatch)
    made = loaded("scripts/make_benchmarks_page.py", monkeypatch)
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    figures = [common.Figure("some accuracy", 0.9, 0.95, 0.88, 0.92), common.Figure("some ratio", 2.5, 2.0)]
    assert common.finish("some", "python3 dev.py bench some", figures, {"cpu_s": 12.0, "title": "Some set"}) == 3
    page = made.page(tmp_path)
    assert "1 of 2 bars are reached. Missed:\n\n- some accuracy: 90.0% where the bar is ≥ 95.0%" in page
    assert "| some accuracy | 90.0% [88.0, 92.0] | ≥ 95.0% | **missed** |" in page
    assert "| some ratio | 2.50x | ≥ 2.00x | reached |" in page
    assert "CPU time: 12 s." in page


def test_the_threshold_with_the_highest_f1_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    run = loaded("benchmarks/_run.py", monkeypatch)
    draw = np.random.default_rng(0)
    truth = draw.random(400) < 0.15
    probabilities = np.round(np.clip(0.3 * truth + draw.normal(0.3, 0.2, 400), 0, 1), 2)  # with ties
    threshold = run.best_threshold(truth, probabilities)
    highest = max(f1_score(truth, probabilities >= cut) for cut in np.unique(probabilities))
    assert f1_score(truth, probabilities >= threshold) == pytest.approx(highest)
    found = run.f1(truth, probabilities >= threshold)
    assert found.value == pytest.approx(highest)
    assert found.low < found.value < found.high


def test_few_rows_are_drawn_evenly_and_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = loaded("benchmarks/_sets.py", monkeypatch)
    rows = [{"text": f"text {i}", "label": "ab"[i % 3 == 0], "split": "train", "line": i} for i in range(30)]
    data = sets._dataset("some", rows)
    first, again, other = (sets.few(data, 4, seed) for seed in (0, 0, 1))
    assert sorted(first.outputs) == ["a"] * 4 + ["b"] * 4
    assert first.content_hash == again.content_hash != other.content_hash
