"""Candidates on disk: whole or not at all, checked when read, made again when damaged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasklift.dataset import Dataset
from tasklift.errors import ArtifactError, ConfigError
from tasklift.strategies.artifact import Card, fingerprint_of, read_arrays, read_card, write_artifact
from tasklift.strategies.baseline import Majority
from tasklift.strategies.fitting import fit_or_load, load_candidate
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.layered import Layered
from tasklift.strategy import Context, Resources
from tasklift.task import Task

CARD = Card(
    strategy="majority",
    fingerprint="f" * 32,
    family="baseline",
    parameters={"a": [1, 2]},
    labels={"yes": "Agréé", "no": "Refused"},
    instruction="Which?",
    input_fields=("subject", "body"),
    setup=Resources(labels=7, cpu_s=0.5),
    training_ids=frozenset({"x:1", "x:2"}),
    notes={"shares": {"yes": 0.5}},
)


def damage_card(folder: Path) -> None:
    (folder / "candidate.json").write_text('{"strategy": "maj')


def make_card_binary(folder: Path) -> None:
    (folder / "candidate.json").write_bytes(b"\xff\xfe\x00")


def remove_card(folder: Path) -> None:
    (folder / "candidate.json").unlink()


def change_arrays(folder: Path) -> None:
    path = folder / "arrays.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))


def cut_arrays(folder: Path) -> None:
    path = folder / "arrays.safetensors"
    path.write_bytes(path.read_bytes()[:20])


def remove_arrays(folder: Path) -> None:
    (folder / "arrays.safetensors").unlink()


def make_card_a_list(folder: Path) -> None:
    (folder / "candidate.json").write_text("[]")


def remove_a_field(folder: Path) -> None:
    path = folder / "candidate.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "setup"}))


def make_newer(folder: Path) -> None:
    path = folder / "candidate.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99}))


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (damage_card, r"candidate\.json: damaged \(.*\); delete the folder and fit again"),
    (make_card_binary, r"candidate\.json: damaged \(.*\); delete the folder and fit again"),
    (make_card_a_list, r"candidate\.json: damaged \(no JSON object\); delete the folder and fit again"),
    (remove_a_field, r"candidate\.json: damaged \(fields: 'setup'\); delete the folder and fit again"),
    (remove_card, r"no saved candidate here \(candidate\.json is missing\)"),
    (change_arrays, r"arrays\.safetensors does not match its checksum; delete the folder and fit again"),
    (cut_arrays, r"arrays\.safetensors does not match its checksum; delete the folder and fit again"),
    (remove_arrays, r"arrays\.safetensors: missing; delete the folder and fit again"),
    (make_newer, r"schema_version 99, this version reads 1; upgrade tasklift"),
]
every_damage = pytest.mark.parametrize(("damage", "said"), DAMAGES, ids=[row[0].__name__ for row in DAMAGES])


def test_what_was_written_is_read(tmp_path: Path) -> None:
    arrays = {"weights": np.arange(6, dtype=np.float32).reshape(2, 3).T, "seen": np.array([2, 0])}
    write_artifact(tmp_path / "some" / "where", CARD, arrays)
    assert read_card(tmp_path / "some" / "where") == CARD
    found = read_arrays(tmp_path / "some" / "where")
    assert found["weights"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found["seen"].dtype == np.int64
    assert [path.name for path in (tmp_path / "some").iterdir()] == ["where"]


def test_an_older_one_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "left over.json").write_text("{}")
    write_artifact(tmp_path / "kept", CARD, {})
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["arrays.safetensors", "candidate.json"]


def test_a_folder_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file, where a folder should be")
    with pytest.raises(ArtifactError, match=r"kept: cannot be written \(.*\); free some space or rights"):
        write_artifact(tmp_path / "kept", CARD, {})
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@every_damage
def test_a_damaged_candidate_is_not_loaded(
    tmp_path: Path, colours: Task, colour_rows: Dataset, damage: Callable[[Path], None], said: str
) -> None:
    Majority().fit(colours, colour_rows).save(tmp_path / "kept")
    damage(tmp_path / "kept")
    with pytest.raises(ArtifactError, match=said):
        load_candidate(tmp_path / "kept")


@every_damage
def test_a_damaged_candidate_is_fitted_again_and_reported(
    tmp_path: Path, colours: Task, colour_rows: Dataset, damage: Callable[[Path], None], said: str
) -> None:
    strategy, heard = Majority(), list[str]()
    fit_or_load(strategy, colours, colour_rows, tmp_path, heard.append)
    (kept,) = (tmp_path / "artifacts").iterdir()
    assert (kept.name, heard) == (strategy.fingerprint(colours, colour_rows), [])
    damage(kept)
    again = fit_or_load(strategy, colours, colour_rows, tmp_path, heard.append)
    assert again.fingerprint == kept.name
    assert len(heard) == 1
    assert heard[0].startswith("fitting again: ")
    assert load_candidate(kept).fingerprint == kept.name


def test_a_damaged_stage_counts_as_damage(tmp_path: Path, colours: Task, colour_rows: Dataset) -> None:
    strategy, heard = Layered(FrozenEncoder(embedder="static"), None), list[str]()
    fit_or_load(strategy, colours, colour_rows, tmp_path, heard.append)
    cut_arrays(tmp_path / "artifacts" / strategy.fingerprint(colours, colour_rows) / "core")
    fit_or_load(strategy, colours, colour_rows, tmp_path, heard.append)
    assert len(heard) == 1
    assert "core: arrays.safetensors does not match its checksum" in heard[0]


def test_what_was_fitted_before_is_read(tmp_path: Path, colours: Task, colour_rows: Dataset) -> None:
    fit_or_load(Majority(), colours, colour_rows, tmp_path, print)
    (kept,) = (tmp_path / "artifacts").iterdir()
    card = json.loads((kept / "candidate.json").read_text())
    (kept / "candidate.json").write_text(json.dumps(card | {"notes": {"read": "from disk"}}))
    assert fit_or_load(Majority(), colours, colour_rows, tmp_path, print).notes == {"read": "from disk"}


def test_without_a_folder_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, colours: Task, colour_rows: Dataset
) -> None:
    monkeypatch.chdir(tmp_path)
    candidate = fit_or_load(Majority(), colours, colour_rows, None, print)
    (found,) = asyncio.run(candidate.predict([{"text": "x"}], Context()))
    assert found.output == "red"
    assert list(tmp_path.iterdir()) == []


def test_a_candidate_of_an_unknown_strategy_is_named(tmp_path: Path) -> None:
    write_artifact(tmp_path / "kept", Card(**{**CARD.__dict__, "strategy": "majorty"}), {})
    with pytest.raises(ConfigError, match="no strategy is called 'majorty'; did you mean 'majority'"):
        load_candidate(tmp_path / "kept")


def test_fingerprints_depend_on_every_part_and_on_no_order_of_keys() -> None:
    assert fingerprint_of("a", {"x": 1, "y": 2}) == fingerprint_of("a", {"y": 2, "x": 1})
    assert len({fingerprint_of("a"), fingerprint_of("a", ""), fingerprint_of("b"), fingerprint_of(["a"])}) == 4
    assert len(fingerprint_of()) == 32
