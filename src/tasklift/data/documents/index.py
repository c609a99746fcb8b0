"""The documents of a folder, ready to be searched, always as the folder is now.

There is no index file that could lag behind: the folder is the truth, and what was read of a file is kept under the
hash of its content (`.tasklift/cache/documents.sqlite`), its vectors under the hash of each piece. So only changed
files are read again. Before a passage is given away its file is looked at: what was deleted or changed is gone at once.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasklift.cache import ContentCache, open_cache
from tasklift.data.documents.bm25 import BM25
from tasklift.data.documents.chunk import chunk_spans
from tasklift.data.documents.passage import Passage
from tasklift.data.documents.read import READER_VERSION, SUFFIXES, read_bytes, read_text
from tasklift.data.embed import Vectors, open_embedder
from tasklift.errors import ConfigError, DataError

Method = Literal["fused", "bm25", "embeddings"]
METHODS: tuple[Method, ...] = ("fused", "bm25", "embeddings")
#: Added to a rank before its reciprocal is taken (Cormack et al. 2009).
RANK_OFFSET = 60
#: Ranks that count in the fusion.
FUSED_DEPTH = 200


@dataclass(frozen=True)
class IndexOptions:
    """How documents are cut and compared.

    Attributes:
        embedder: registry name.
        chunk_tokens: most tokens of one piece.
        most_mb: larger documents are refused.
    """

    embedder: str = "static"
    chunk_tokens: int = 200
    most_mb: float = 20.0

    def __post_init__(self) -> None:
        if self.chunk_tokens < 16:
            raise ConfigError(f"chunk_tokens = {self.chunk_tokens} must be 16 or more")


@dataclass(frozen=True, slots=True)
class FileState:
    """What is known of one file.

    Attributes:
        size, changed_ns: as the file system says; other values mean that it is read again.
        sha256: of its content.
        passages: number of pieces.
        notes: what a person should know of it.
        problem: why it was left out; '' where it was not.
    """

    size: int
    changed_ns: int
    sha256: str = ""
    passages: int = 0
    notes: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Changes:
    """What a refresh found, by path relative to the folder."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: int

    @property
    def any(self) -> bool:
        """Did anything change?"""
        return bool(self.added or self.changed or self.removed)


class DocumentIndex:
    """The documents below a folder.

    Args:
        folder: with files of `SUFFIXES`, in folders below too; names that begin with a dot are left out, and links
            that lead out of the folder.
        options: how they are cut and compared.
        cache: where what was read is kept; the current project's without it.

    Attributes:
        files: path -> state, refused files included.
        passages: all pieces, in order of path and place.

    Raises:
        ConfigError: there is no such folder.
    """

    def __init__(self, folder: Path, options: IndexOptions | None = None, cache: ContentCache | None = None) -> None:
        self.folder, self.options = folder, options or IndexOptions()
        self.files: dict[str, FileState] = {}
        self.passages: tuple[Passage, ...] = ()
        self._folders: dict[Path, int] = {}
        self._cache = cache or open_cache("documents")
        self._manifest = _hashed("manifest", str(folder.resolve()), self._cut)
        self.refresh()

    @property
    def _cut(self) -> str:
        return f"v{READER_VERSION}/{self.options.chunk_tokens}"

    @property
    def content_hash(self) -> str:
        """Hash of every piece and of how they are compared: what a candidate that uses them depends on."""
        snapshot = open_embedder(self.options.embedder).snapshot
        return _hashed(snapshot, *(passage.key for passage in self.passages))

    @property
    def problems(self) -> Mapping[str, str]:
        """Path -> why it was left out."""
        return {path: state.problem for path, state in self.files.items() if state.problem}

    @property
    def notes(self) -> Mapping[str, tuple[str, ...]]:
        """Path -> what a person should know of it."""
        return {path: state.notes for path, state in self.files.items() if state.notes}

    def refresh(self) -> Changes:
        """Look at the folder again; read what is new or changed, forget what is gone.

        Raises:
            ConfigError: the folder is gone.
        """
        if not self.folder.is_dir():
            raise ConfigError(f"{self.folder}: no such folder of documents; make it, or name another one")
        before = self.files or self._kept_manifest()
        found: dict[str, FileState] = {}
        passages: list[Passage] = []
        self._folders = {}
        for path in _walk(self.folder, self._folders):
            name = path.relative_to(self.folder).as_posix()
            try:
                status = path.stat()
            except OSError:
                continue  # deleted while we looked
            known = before.get(name)
            same = known and (known.size, known.changed_ns) == (status.st_size, status.st_mtime_ns)
            state, pieces = self._document(name, path, known if same else None, status)
            found[name] = state
            passages += pieces
        changes = Changes(
            added=tuple(name for name in found if name not in before),
            changed=tuple(name for name in found if name in before and found[name].sha256 != before[name].sha256),
            removed=tuple(name for name in before if name not in found),
            unchanged=sum(name in before and found[name].sha256 == before[name].sha256 for name in found),
        )
        self._forget(before, found)
        self.files, self.passages = found, tuple(passages)
        for derived in ("_bm25", "_vectors"):
            self.__dict__.pop(derived, None)
        return changes

    def search(
        self, question: str, count: int, method: Method = "fused", allowed: Collection[str] | None = None
    ) -> list[Passage]:
        """The pieces nearest to a question, nearest first.

        Args:
            count: at most so many.
            allowed: keys of the pieces that may be given; None: all.
        """
        if self._moved():
            self.refresh()
        if not self.passages or not question.strip():
            return []
        scores = self._scores(question, method)
        order = [int(at) for at in np.argsort(-scores, kind="stable") if scores[at] > 0]
        picked = [at for at in order if allowed is None or self.passages[at].key in allowed][:count]
        found = [replace(self.passages[at], score=round(float(scores[at]), 6)) for at in picked]
        if all(self._is_current(name) for name in {passage.document for passage in found}):
            return found
        self.refresh()
        return self.search(question, count, method, allowed)

    def _scores(self, question: str, method: Method) -> NDArray[np.float64]:
        if method == "bm25":
            return self._bm25.scores(question)
        vector = open_embedder(self.options.embedder).encode([question])[0]
        likeness: NDArray[np.float64] = (self._vectors @ vector).astype(np.float64).round(6)
        if method == "embeddings":
            return likeness
        return fused(self._bm25.scores(question), likeness)

    @cached_property
    def _bm25(self) -> BM25:
        return BM25([passage.searched for passage in self.passages])

    @cached_property
    def _vectors(self) -> Vectors:
        return open_embedder(self.options.embedder).encode([passage.searched for passage in self.passages])

    def _moved(self) -> bool:
        """Was a file added, deleted or renamed? Every folder keeps the time of that."""
        return any(_changed_ns(folder) != changed for folder, changed in self._folders.items())

    def _is_current(self, name: str) -> bool:
        state = self.files[name]
        try:
            status = (self.folder / name).stat()
        except OSError:
            return False
        return (state.size, state.changed_ns) == (status.st_size, status.st_mtime_ns)

    def _document(
        self, name: str, path: Path, known: FileState | None, status: os.stat_result
    ) -> tuple[FileState, list[Passage]]:
        """State and pieces of one file: as kept where it is unchanged, else read."""
        if known is not None and (known.problem or (kept := self._kept(name, known)) is not None):
            return known, [] if known.problem else kept or []
        state = FileState(status.st_size, status.st_mtime_ns)
        sha256 = ""
        try:
            raw = read_bytes(path, int(self.options.most_mb * 1e6))
            sha256 = hashlib.sha256(raw).hexdigest()
            content = read_text(raw, path.suffix.lower())
        except DataError as error:
            return replace(state, sha256=sha256 or str(status.st_mtime_ns), problem=str(error)), []
        passages = [
            _passage(name, number, span, content.text, content.pages)
            for number, span in enumerate(chunk_spans(content.text, self.options.chunk_tokens))
        ]
        self._cache.put(self._key(name, sha256), json.dumps([asdict(passage) for passage in passages]).encode())
        return replace(state, sha256=sha256, passages=len(passages), notes=content.notes), passages

    def _key(self, name: str, sha256: str) -> str:
        return _hashed("document", name, sha256, self._cut)

    def _kept(self, name: str, state: FileState) -> list[Passage] | None:
        value = self._cache.get(self._key(name, state.sha256))
        return None if value is None else [Passage(**row) for row in json.loads(value)]

    def _kept_manifest(self) -> dict[str, FileState]:
        """What an earlier process knew of this folder."""
        value = self._cache.get(self._manifest)
        rows = json.loads(value) if value else {}
        return {name: FileState(**{**row, "notes": tuple(row["notes"])}) for name, row in rows.items()}

    def _forget(self, before: Mapping[str, FileState], now: Mapping[str, FileState]) -> None:
        """Drop the text of what is gone, and keep what is known now."""
        current = {self._key(name, state.sha256) for name, state in now.items()}
        self._cache.delete_many({self._key(name, state.sha256) for name, state in before.items()} - current)
        manifest = json.dumps({name: asdict(state) for name, state in now.items()})
        self._cache.put(self._manifest, manifest.encode())


def open_index(folder: Path, options: IndexOptions, is_fresh: bool = True) -> DocumentIndex:
    """The index of a folder, made once in a process.

    Args:
        is_fresh: look at every file now; else only what a search finds is looked at.

    Raises:
        ConfigError: there is no such folder.
    """
    index = _opened(folder, options, open_cache("documents"))
    if is_fresh:
        index.refresh()
    return index


@lru_cache(maxsize=8)
def _opened(folder: Path, options: IndexOptions, cache: ContentCache) -> DocumentIndex:
    return DocumentIndex(folder, options, cache)


def fused(*rankings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reciprocal rank fusion of several scores: sum of 1 / (60 + rank); a score of 0 or less has no rank.

    Args:
        rankings: [pieces] each, larger is nearer.
    """
    total = np.zeros_like(rankings[0])
    for scores in rankings:
        order = np.argsort(-scores, kind="stable")[:FUSED_DEPTH]
        ranked = order[scores[order] > 0]
        total[ranked] += 1.0 / (RANK_OFFSET + 1 + np.arange(len(ranked)))
    return total


def _passage(name: str, number: int, span: tuple[int, int, str], text: str, pages: tuple[int, ...]) -> Passage:
    start, end, heading = span
    page = sum(begin <= start for begin in pages) or None
    piece = text[start:end]
    return Passage(name, number, start, end, piece, heading, page, _hashed(name, str(start), heading, piece)[:32])


def _walk(folder: Path, folders: dict[Path, int]) -> Iterator[Path]:
    """Files that can be documents, by path; notes when each folder was last changed."""
    root = folder.resolve()
    for here, inner, files in os.walk(folder, onerror=None):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        folders[Path(here)] = _changed_ns(Path(here))
        for name in sorted(files):
            path = Path(here, name)
            if name.startswith(".") or path.suffix.lower() not in SUFFIXES:
                continue
            if not path.is_symlink() or path.resolve().is_relative_to(root):
                yield path


def _changed_ns(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return -1


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode(errors="surrogatepass")).hexdigest()
