"""Models to and from another place: a folder, or an object store that fsspec knows (s3://, gs://, abfs://, memory://).

What travels is safetensors and JSON, with a manifest that holds a checksum of every file. The manifest is written
last, so a stopped export is no model, and read first, so a damaged one is refused before anything is written here.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec

from tasklift.errors import ArtifactError, ConfigError
from tasklift.strategies.artifact import read_card

SCHEMA_VERSION = 1
MANIFEST = "model.json"
#: Files that a model may consist of: nothing that runs when it is read.
ALLOWED = (".json", ".safetensors")


def export_model(state: Path, fingerprint: str, url: str, facts: Mapping[str, Any]) -> str:
    """Copy a model below `url`; returns where it is.

    Args:
        facts: what is known about it, for whoever finds the folder.

    Raises:
        ArtifactError: it is damaged, holds other files than safetensors and JSON, or cannot be written there.
        ConfigError: nothing installed knows such a place.
    """
    folder = state / "artifacts" / fingerprint
    read_card(folder)
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    for name in files:
        _check_name(name, str(folder))
    store, root = _store(url)
    place = posixpath.join(root, fingerprint)
    sums = {name: _sha256(path.read_bytes()) for name, path in files.items()}
    manifest = {"schema_version": SCHEMA_VERSION, "fingerprint": fingerprint, "files": sums, "facts": dict(facts)}
    try:
        for name, path in files.items():
            target = posixpath.join(place, name)
            store.makedirs(posixpath.dirname(target), exist_ok=True)
            store.pipe_file(target, path.read_bytes())
        text = json.dumps(manifest, ensure_ascii=False, indent=1, default=str)
        store.pipe_file(posixpath.join(place, MANIFEST), text.encode())
    except OSError as error:
        raise ArtifactError(f"{url}: cannot be written ({error.strerror or error})") from error
    return posixpath.join(url.rstrip("/"), fingerprint)


def import_model(url: str, state: Path) -> str:
    """Bring a model from `url` into a project; returns its fingerprint. One that is there already is left.

    Raises:
        ArtifactError: no model there, a file is missing or is not what its checksum says, a newer version wrote it.
        ConfigError: nothing installed knows such a place.
    """
    store, place = _store(url)
    manifest = _manifest(store, place, url)
    fingerprint, files = str(manifest["fingerprint"]), manifest["files"]
    target = state / "artifacts" / fingerprint
    if not fingerprint.isalnum():
        raise ArtifactError(f"{url}: {fingerprint!r} is no fingerprint")
    if target.exists():
        read_card(target)
        return fingerprint
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{fingerprint}-", dir=target.parent))
    try:
        for name, expected in files.items():
            _check_name(name, url)
            blob = store.cat_file(posixpath.join(place, name))
            if _sha256(blob) != expected:
                raise ArtifactError(f"{url}: {name} does not match its checksum; export the model again")
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(blob)
        found = read_card(temporary).fingerprint
        if found != fingerprint:
            raise ArtifactError(f"{url}: the card is of {found}, not of {fingerprint}")
        os.replace(temporary, target)
    except OSError as error:
        raise ArtifactError(f"{url}: cannot be brought here ({error.strerror or error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return fingerprint


def _manifest(store: Any, place: str, url: str) -> Mapping[str, Any]:
    try:
        row = json.loads(store.cat_file(posixpath.join(place, MANIFEST)))
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{url}: no exported model here ({MANIFEST} is missing); name the model's own folder"
        ) from error
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{url}: {MANIFEST} cannot be read ({error})") from error
    if not isinstance(row, dict) or not isinstance(row.get("files"), dict) or "fingerprint" not in row:
        raise ArtifactError(f"{url}: {MANIFEST} is damaged; export the model again")
    if row.get("schema_version") != SCHEMA_VERSION:
        raise ArtifactError(
            f"{url}: schema_version {row.get('schema_version')}, this version reads {SCHEMA_VERSION}; upgrade tasklift"
        )
    return row


def _check_name(name: str, where: str) -> None:
    parts = posixpath.normpath(name).split("/")
    if not name.endswith(ALLOWED) or ".." in parts or posixpath.isabs(name) or "\\" in name:
        raise ArtifactError(f"{where}: {name!r} does not belong into a model: safetensors and JSON only")


def _store(url: str) -> tuple[Any, str]:
    try:
        store, path = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"{url}: {error}; name a folder, or a store that fsspec has a package for") from error
    return store, str(path)


def _sha256(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()
