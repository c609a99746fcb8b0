"""`tasklift data erase --models`: a model that answers in production is not deleted unsaid."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
PERSON = ("--person", "customer-7")


@pytest.fixture
def shop(run: Run, tmp_path: Path) -> Path:
    """A project whose released model was made with a row of a person."""
    folder = tmp_path / "shop"
    assert run("init", folder).code == 0
    file = folder / "tasks" / "triage" / "data.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    rows = [row | {"split": "train" if n % 3 else "test"} for n, row in enumerate(rows)]
    text = "Ida Holm, 221b Elm Road, wants her invoice again"
    rows.append({"id": "theirs", "input": {"text": text}, "output": "billing", "split": "train", "group": "customer-7"})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert run("evaluate", "-p", folder, "--strategies", "majority,baseline,human").code == 0
    assert run("release", "--candidate", "baseline", "-p", folder).code == 0
    return folder


def fitted(folder: Path) -> set[str]:
    """Strategies of the saved models."""
    cards = (folder / ".tasklift" / "artifacts").glob("[!.]*/candidate.json")
    return {json.loads(path.read_text(encoding="utf-8"))["strategy"] for path in cards}


def test_a_released_model_is_named_and_kept_and_nothing_is_erased(run: Run, shop: Path) -> None:
    rows = (shop / "tasks" / "triage" / "data.jsonl").read_text(encoding="utf-8")
    refused = run("data", "erase", *PERSON, "-p", shop, "--models")
    assert refused.code == 2
    assert "triage release 1 (stable)" in refused.err
    assert "tasklift rollback" in refused.err
    assert (shop / "tasks" / "triage" / "data.jsonl").read_text(encoding="utf-8") == rows
    assert {"majority", "baseline"} <= fitted(shop)
    looked = json.loads(run("data", "erase", *PERSON, "-p", shop, "--models", "--dry-run", "--json").out)
    used = {one["strategy"]: one["in_production"] for one in looked["models"]}
    assert used == {"baseline": ["triage release 1 (stable)"], "majority": []}


def test_rows_go_first_then_another_release_then_the_models(run: Run, shop: Path) -> None:
    first = run("data", "erase", *PERSON, "-p", shop)
    assert (first.code, "in production: triage release 1 (stable)" in first.out) == (0, True)
    assert "Ida Holm" not in (shop / "tasks" / "triage" / "data.jsonl").read_text(encoding="utf-8")
    assert run("data", "erase", *PERSON, "-p", shop, "--models").code == 2
    assert run("evaluate", "-p", shop, "--strategies", "baseline,human").code == 0
    assert run("release", "--candidate", "baseline", "-p", shop).code == 0
    done = run("data", "erase", *PERSON, "-p", shop, "--models")
    assert done.code == 0
    assert "stood in triage release 1 (stable), to which no rollback goes any more" in done.out
    assert fitted(shop) == {"baseline", "human"}  # the one without the row
    assert "no model was made with them" in run("data", "erase", *PERSON, "-p", shop, "--models").out
    assert run("rollback", "-p", shop).code == 2


def test_asked_for_it_is_deleted_with_what_follows(run: Run, shop: Path) -> None:
    done = run("data", "erase", *PERSON, "-p", shop, "--models", "--also-released")
    assert done.code == 0
    assert "release another candidate before the server starts anew" in done.out
    assert "baseline" not in fitted(shop)


def test_a_challenger_of_an_overlay_counts_too(run: Run, shop: Path) -> None:
    words = ("release", "--candidate", "majority", "--canary", "20%", "--overlay", "vip", "-p", shop)
    assert run(*words).code == 0
    refused = run("data", "erase", *PERSON, "-p", shop, "--models")
    assert "triage release 2 (challenger, overlay vip)" in refused.err


def test_models_of_the_learning_curve_go_too(run: Run, shop: Path) -> None:
    file = shop / "tasks" / "triage" / "data.jsonl"
    sizes = file.read_text(encoding="utf-8").count('"train"')
    words = ("--strategies", "knn", "--sizes", sizes, "--seeds", "1", "--embedder", "static", "--out", shop / "c.svg")
    assert run("curve", "-p", shop, *words).code == 0
    fitted_for_it = list((shop / ".tasklift" / "curves" / "artifacts").glob("*/candidate.json"))
    told = json.loads(run("data", "erase", *PERSON, "-p", shop, "--models", "--also-released", "--json").out)
    assert told["curve_models"] >= 1
    left = list((shop / ".tasklift" / "curves" / "artifacts").glob("*/candidate.json"))
    assert len(left) == len(fitted_for_it) - told["curve_models"]
