"""Candidates on disk: a folder with `candidate.json` and `arrays.safetensors`, checked when read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from tasklift.errors import ArtifactError
from tasklift.strategy import Candidate, Family, Resources
from tasklift.task import KINDS, Label, Output
from tasklift.whole import write_whole

SCHEMA_VERSION = 1
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Card:
    """What a candidate is, in `candidate.json`.

    Attributes:
        strategy: registry name of the recipe.
        fingerprint: hash of everything that decides the answers.
        family: the choice it stands for.
        parameters: the recipe's parameters.
        labels: the task's labels with their definitions, in order.
        instruction: the task's instruction.
        input_fields: names of the input's text fields.
        setup: quantities it took to make.
        training_ids: keys of every row it saw.
        notes: how it was made: chosen values, validation figures, certificate.
        settings: what the candidate needs beside its arrays to answer.
        output: the task's kind of output as plain fields; empty where an older version wrote the card.
    """

    strategy: str
    fingerprint: str
    family: Family
    parameters: Mapping[str, Any]
    labels: Mapping[str, str]
    instruction: str
    input_fields: tuple[str, ...]
    setup: Resources
    training_ids: frozenset[str]
    notes: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    output: Mapping[str, Any] = field(default_factory=dict)

    @property
    def output_kind(self) -> Output:
        """The task's kind of output.

        Raises:
            ArtifactError: the card names one that does not exist.
        """
        if not self.output:
            return Label(labels=dict(self.labels))
        try:
            return KINDS[str(self.output["kind"])].model_validate(dict(self.output))  # type: ignore[return-value]
        except (KeyError, ValueError) as error:
            raise ArtifactError(f"candidate {self.fingerprint}: its kind of output cannot be read ({error})") from error


def write_artifact(folder: Path, card: Card, arrays: Arrays, parts: Mapping[str, Any] | None = None) -> None:
    """Write a candidate; the folder appears whole or not at all.

    Args:
        parts: sub-folder -> candidate, for candidates made of others.

    Raises:
        ArtifactError: the disk refused.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()},
            temporary / "arrays.safetensors",
        )
        for name, part in (parts or {}).items():
            part.save(temporary / name)
        row = asdict(card) | {"schema_version": SCHEMA_VERSION, "training_ids": sorted(card.training_ids)}
        row["arrays_sha256"] = _sha256(temporary / "arrays.safetensors")
        (temporary / "candidate.json").write_text(json.dumps(row, ensure_ascii=False, indent=1), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    except (OSError, SafetensorError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ArtifactError(f"{folder}: cannot be written ({why or error}); free some space or rights") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def rewrite_card(folder: Path, card: Card) -> None:
    """Replace the card of a saved candidate; its arrays and stages stay.

    Raises:
        ArtifactError: the disk refused.
    """
    row = asdict(card) | {"schema_version": SCHEMA_VERSION, "training_ids": sorted(card.training_ids)}
    row["arrays_sha256"] = _sha256(folder / "arrays.safetensors")
    write_whole(folder / "candidate.json", json.dumps(row, ensure_ascii=False, indent=1), ArtifactError)


def read_card(folder: Path) -> Card:
    """The card of a saved candidate.

    Raises:
        ArtifactError: missing, damaged, or written by a newer version.
    """
    path = folder / "candidate.json"
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"{folder}: no saved candidate here (candidate.json is missing)") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: damaged ({error}); delete the folder and fit again") from error
    if not isinstance(row, dict):
        raise ArtifactError(f"{path}: damaged (no JSON object); delete the folder and fit again")
    found = row.pop("schema_version", None)
    if found != SCHEMA_VERSION:
        raise ArtifactError(f"{path}: schema_version {found}, this version reads {SCHEMA_VERSION}; upgrade tasklift")
    if row.pop("arrays_sha256", None) != _sha256(folder / "arrays.safetensors"):
        raise ArtifactError(
            f"{folder}: arrays.safetensors does not match its checksum; delete the folder and fit again"
        )
    try:
        row["setup"] = Resources(**row["setup"])
        row["training_ids"] = frozenset(row["training_ids"])
        row["input_fields"] = tuple(row["input_fields"])
        return Card(**row)
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: damaged (fields: {error}); delete the folder and fit again") from error


def read_arrays(folder: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a saved candidate.

    Raises:
        ArtifactError: damaged.
    """
    try:
        return dict(load_file(folder / "arrays.safetensors"))
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{folder}: arrays.safetensors is damaged ({error})") from error


def fingerprint_of(*parts: Any) -> str:
    """Hash of JSON-able parts (32 hex digits)."""
    blob = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(blob.encode()).hexdigest()[:32]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise ArtifactError(f"{path}: missing; delete the folder and fit again") from error


class CardCandidate(Candidate):
    """What candidates with a card share. A subclass gives `predict`, `traits` and, where it keeps any, `arrays`."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.fingerprint: str = card.fingerprint
        self.family: Family = card.family
        self.setup: Resources = card.setup
        self.training_ids = card.training_ids
        self.notes = card.notes

    def arrays(self) -> Arrays:
        """What has to be stored, beside the card, to answer again."""
        return {}

    def save(self, folder: Path) -> None:
        """Write card and arrays."""
        write_artifact(folder, self.card, self.arrays())

    async def aclose(self) -> None:
        """Nothing is held."""
