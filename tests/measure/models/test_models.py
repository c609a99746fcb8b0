"""The registry: what is known of a fitted model, what differs between two, and models that travel."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from tasklift.data.split import split_dataset
from tasklift.dataset import Dataset
from tasklift.economics import UnitPrices
from tasklift.errors import ArtifactError, ConfigError, DataError
from tasklift.measure.evaluation import Options, evaluate
from tasklift.measure.models.compare import beside
from tasklift.measure.models.entry import Catalogue
from tasklift.measure.models.pruning import Keep, plan_pruning
from tasklift.measure.models.transfer import export_model, import_model
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.fitting import fit_or_load, load_candidate
from tasklift.task import Task


@pytest.fixture
def state(tmp_path: Path, colours: Task, colour_rows: Dataset) -> Path:
    """Two models in one evaluation, and a third that stands in none."""
    train, test = split_dataset(colour_rows, 0.7)
    made = tmp_path / ".tasklift"
    evaluate(colours, {"majority": Majority(), "baseline": Baseline()}, train, test, Options(folder=made))
    fewer, _ = split_dataset(train, 0.6)
    fit_or_load(Baseline(), colours, fewer, made, lambda line: None)
    return made


@pytest.fixture
def store() -> Iterator[str]:
    yield "memory://shelf/models"
    fsspec.filesystem("memory").store.clear()


def test_a_model_knows_its_task_data_environment_cost_and_figures(state: Path) -> None:
    found = Catalogue.open(state, UnitPrices(label_usd=0.5)).get("baseline")
    assert found.task == "colours"
    assert found.origin is not None
    assert found.origin.data["rows"] == 42
    assert found.origin.versions["scikit-learn"]
    assert found.setup_usd == pytest.approx(21, rel=0.01)
    assert found.measured[0].rows == 18
    assert found.accuracy is not None
    json.dumps(found.to_json())


def test_two_models_are_compared_on_rows_that_both_answered(state: Path) -> None:
    catalogue = Catalogue.open(state)
    found = beside(state, catalogue.get("majority"), catalogue.get("baseline"))
    assert found.differences["strategy"] == ("majority", "baseline")
    assert found.comparison is not None
    assert found.comparison.rows == 18
    unmeasured = next(one for one in catalogue.models if not one.measured)
    assert beside(state, unmeasured, catalogue.get("baseline")).evaluation == ""


def test_an_unknown_model_names_those_that_there_are(state: Path) -> None:
    with pytest.raises(DataError, match="baseline"):
        Catalogue.open(state).get("zzz")


def test_pruning_leaves_what_is_measured_newest_or_in_production(state: Path) -> None:
    catalogue = Catalogue.open(state)
    unmeasured = next(one for one in catalogue.models if not one.measured)
    gone = [one.fingerprint for one, _ in plan_pruning(catalogue, Keep(newest=0))]
    assert gone == [unmeasured.fingerprint]
    assert plan_pruning(catalogue, Keep(newest=0, protected=frozenset(gone))) == []
    assert len(plan_pruning(catalogue, Keep(newest=0, measured=False))) == 3


def test_a_model_travels_through_an_object_store_and_answers_the_same(
    state: Path, tmp_path: Path, store: str, colour_rows: Dataset
) -> None:
    fingerprint = Catalogue.open(state).get("baseline").fingerprint
    place = export_model(state, fingerprint, store, {"accuracy": 1})
    there = tmp_path / "other" / ".tasklift"
    assert import_model(place, there) == fingerprint
    assert import_model(place, there) == fingerprint  # again changes nothing
    texts = [row.input["text"] for row in colour_rows]
    before, after = (load_candidate(one / "artifacts" / fingerprint) for one in (state, there))
    assert (before.probabilities(texts) == after.probabilities(texts)).all()  # type: ignore[attr-defined]


def test_a_file_that_changed_on_the_way_is_refused_and_nothing_is_written(
    state: Path, tmp_path: Path, store: str
) -> None:
    place = export_model(state, Catalogue.open(state).get("baseline").fingerprint, store, {})
    memory, inside = fsspec.core.url_to_fs(place)
    memory.pipe_file(f"{inside}/arrays.safetensors", b"something else")
    with pytest.raises(ArtifactError, match="does not match its checksum"):
        import_model(place, tmp_path / "there")
    assert list((tmp_path / "there" / "artifacts").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "upgrade tasklift"),
        ({"files": {"../evil.json": "0"}}, "safetensors and JSON only"),
        ({"files": {"run.py": "0"}}, "safetensors and JSON only"),
        ({"files": None}, "damaged"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(
    state: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    place = Path(export_model(state, Catalogue.open(state).get("majority").fingerprint, str(tmp_path / "shelf"), {}))
    manifest = json.loads((place / "model.json").read_text(encoding="utf-8")) | change
    (place / "model.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ArtifactError, match=message):
        import_model(str(place), tmp_path / "there")


def test_a_stopped_export_is_no_model(state: Path, tmp_path: Path) -> None:
    place = Path(export_model(state, Catalogue.open(state).get("majority").fingerprint, str(tmp_path / "shelf"), {}))
    (place / "model.json").unlink()
    with pytest.raises(ArtifactError, match=r"model\.json is missing"):
        import_model(str(place), tmp_path / "there")


def test_an_unknown_kind_of_place_is_named(state: Path) -> None:
    with pytest.raises(ConfigError, match="nosuch"):
        export_model(state, Catalogue.open(state).get("majority").fingerprint, "nosuch://x", {})


def test_a_damaged_model_is_listed_as_such(state: Path) -> None:
    fingerprint = Catalogue.open(state).get("majority").fingerprint
    (state / "artifacts" / fingerprint / "candidate.json").write_text("{", encoding="utf-8")
    found = Catalogue.open(state).get(fingerprint)
    assert "damaged" in found.damage
    with pytest.raises(ArtifactError, match="damaged"):
        export_model(state, fingerprint, "memory://x", {})
    shutil.rmtree(state / "artifacts" / fingerprint)
