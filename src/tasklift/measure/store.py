"""Evaluations on disk: `.tasklift/evaluations/<id>/{manifest.json,predictions.jsonl}`, written row by row."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from tasklift.errors import DataError
from tasklift.prediction import Prediction

SCHEMA_VERSION = 1


class EvaluationFolder:
    """One evaluation's folder. Predictions are appended as they come, so that a stopped run goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._out: TextIO | None = None

    def predictions(self) -> dict[str, dict[str, Prediction]]:
        """Fingerprint -> row id -> prediction, of everything stored so far. A line that a crash cut
        short is left out: its row is asked again."""
        path = self.folder / "predictions.jsonl"
        found: dict[str, dict[str, Prediction]] = {}
        if not path.exists():
            return found
        for line in path.read_bytes().split(b"\n"):
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, UnicodeDecodeError):
                continue
            found.setdefault(row["candidate"], {})[row["id"]] = Prediction.from_json(row)
        return found

    def append(self, fingerprint: str, ids: Sequence[str], predictions: Iterable[Prediction]) -> None:
        """Store predictions of one candidate; they are on disk when this returns.

        Raises:
            DataError: the disk refused; what was stored before stays readable.
        """
        try:
            if self._out is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                path = self.folder / "predictions.jsonl"
                torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
                self._out = path.open("a", encoding="utf-8")
                self._out.write("\n" if torn else "")
            for row_id, prediction in zip(ids, predictions, strict=True):
                row = {"candidate": fingerprint, "id": row_id, **prediction.to_json()}
                self._out.write(json.dumps(row, ensure_ascii=False) + "\n")
            self._out.flush()
        except OSError as error:
            raise DataError(
                f"{self.folder}: cannot be written ({error.strerror or error}); free some space and go on"
            ) from error

    def close(self) -> None:
        """Close the file."""
        if self._out is not None:
            self._out.close()
            self._out = None

    def manifest(self) -> dict[str, Any] | None:
        """The manifest, None where there is none yet.

        Raises:
            DataError: damaged, or written by another version.
        """
        path = self.folder / "manifest.json"
        if not path.exists():
            return None
        try:
            manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise DataError(f"{path}: damaged ({error}); delete the folder and evaluate again") from error
        if manifest.get("schema_version") != SCHEMA_VERSION:
            raise DataError(
                f"{path}: schema_version {manifest.get('schema_version')}, this version reads {SCHEMA_VERSION}"
            )
        return manifest

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace the manifest; a reader sees the old or the new one, never half of one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / "manifest.json.part"
        row = {"schema_version": SCHEMA_VERSION, **manifest}
        temporary.write_text(json.dumps(row, ensure_ascii=False, indent=1), encoding="utf-8")
        os.replace(temporary, self.folder / "manifest.json")
