"""Evaluations on disk: `.tasklift/evaluations/<id>/{manifest.json,predictions.jsonl}`, written row by row."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tasklift.errors import DataError
from tasklift.lock import is_locked, locked
from tasklift.prediction import Prediction

SCHEMA_VERSION = 1
#: Folder inside an evaluation's that holds the second runs of an A/A run.
AGAIN = "again"
#: Predictions are handed to the system at once, so that a killed process loses none; this often they are also
#: forced to the disk: so many seconds a power cut may cost.
SYNC_EVERY_S = 5.0


class EvaluationFolder:
    """One evaluation's folder. Predictions are appended as they come, so that a stopped run goes on.

    A line of a row that stands there already replaces the earlier one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: int | None = None
        self._synced = 0.0

    def predictions(self) -> dict[str, dict[str, Prediction]]:
        """Fingerprint -> row id -> prediction, of everything stored so far. A line that a crash cut
        short is left out: its row is asked again."""
        path = self.folder / "predictions.jsonl"
        found: dict[str, dict[str, Prediction]] = {}
        if not path.exists():
            return found
        with path.open("rb") as lines:
            for line in lines:
                try:
                    row = json.loads(line)
                    candidate, identity = row["candidate"], row["id"]
                    found.setdefault(candidate, {})[identity] = Prediction.from_json(row)
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue
        return found

    def append(self, fingerprint: str, ids: Sequence[str], predictions: Iterable[Prediction]) -> None:
        """Store predictions of one candidate, in order. When this returns the system has them: they outlive
        the process.

        Raises:
            DataError: the disk refused; what was stored before stays readable.
        """
        lines = [
            json.dumps({"candidate": fingerprint, "id": row_id, **prediction.to_json()}, ensure_ascii=False)
            for row_id, prediction in zip(ids, predictions, strict=True)
        ]
        whole = ("\n".join(lines) + "\n").encode(errors="backslashreplace")
        try:
            if self._file is None:
                self._file = self._opened()
            while whole:  # a disk that is nearly full takes a part
                whole = whole[os.write(self._file, whole) :]
        except OSError as error:
            raise self._unwritable(error) from error

    @property
    def is_sync_due(self) -> bool:
        """Is it so long ago that what was appended was forced to the disk?"""
        return self._file is not None and time.monotonic() - self._synced > SYNC_EVERY_S

    def sync(self) -> None:
        """Force what was appended to the disk, which may take seconds where others keep it busy.

        Raises:
            DataError: the disk refused.
        """
        self._synced = time.monotonic()
        try:
            if self._file is not None:
                os.fsync(self._file)
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Force everything to the disk and close the file.

        Raises:
            DataError: the disk refused.
        """
        if self._file is not None:
            file, self._file = self._file, None
            try:
                os.fsync(file)
            except OSError as error:
                raise self._unwritable(error) from error
            finally:
                os.close(file)

    def held(self) -> AbstractContextManager[None]:
        """Inside the block no other process runs this evaluation.

        Raises:
            InUseError: one does.
        """
        return locked(self.folder / "lock", "running this evaluation")

    @property
    def is_held(self) -> bool:
        """Is it being run at this moment?"""
        return is_locked(self.folder / "lock")

    def begin(self, told: Mapping[str, Any]) -> None:
        """Note what is about to be run, for those who find it unfinished.

        Raises:
            DataError: the disk refused.
        """
        try:
            (self.folder / "begun.json").write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
        except OSError as error:
            raise self._unwritable(error) from error

    def begun(self) -> dict[str, Any]:
        """What was noted when it was begun; empty where that cannot be read."""
        try:
            told = json.loads((self.folder / "begun.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}

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
        except ValueError as error:
            raise DataError(f"{path}: damaged ({error}); delete the folder and evaluate again") from error
        if manifest.get("schema_version") != SCHEMA_VERSION:
            raise DataError(
                f"{path}: schema_version {manifest.get('schema_version')}, this version reads {SCHEMA_VERSION}"
            )
        return manifest

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace the manifest; a reader sees the old or the new one, never half of one.

        Raises:
            DataError: the disk refused; the old one is still there.
        """
        temporary = self.folder / "manifest.json.part"
        row = {"schema_version": SCHEMA_VERSION, **manifest}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8") as out:
                json.dump(row, out, ensure_ascii=False, indent=1)
                out.flush()
                os.fsync(out.fileno())
            os.replace(temporary, self.folder / "manifest.json")
        except OSError as error:
            raise self._unwritable(error) from error

    def _opened(self) -> int:
        """The file, open for appending; a torn last line is ended, so that it spoils no other."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "predictions.jsonl"
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        size = os.fstat(file).st_size
        if size:
            with path.open("rb") as stored:
                stored.seek(size - 1)
                if stored.read() != b"\n":
                    os.write(file, b"\n")
        self._synced = time.monotonic()
        return file

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(f"{self.folder}: cannot be written ({error.strerror or error}); free some space and go on")
