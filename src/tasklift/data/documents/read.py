"""One file as text: Markdown, plain text, HTML, PDF. What cannot be read is said, and stops no other file."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pypdf
from pypdf.errors import PyPdfError

from tasklift.data.documents.html import html_text
from tasklift.data.instructions import orders_in, without_invisible
from tasklift.errors import DataError

#: Suffix -> how it is read.
SUFFIXES = {
    ".md": "text",
    ".markdown": "text",
    ".txt": "text",
    ".rst": "text",
    ".html": "html",
    ".htm": "html",
    ".pdf": "pdf",
}
#: Part of every key under which what was read is kept; raised when the same file begins to be read differently.
READER_VERSION = 1
#: Pages of one PDF: reading takes about 10 ms a page.
MOST_PAGES = 2000
#: What pypdf raises on damaged files beside its own errors.
_DAMAGED = (
    PyPdfError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OSError, AssertionError,
    ZeroDivisionError, OverflowError, NotImplementedError, MemoryError, struct.error, zlib.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReadText:
    """What a file says.

    Attributes:
        text: as a reader sees it; for Markdown and plain text, places are those of the file.
        pages: where each page of a PDF begins in `text`; empty elsewhere.
        notes: what a person should know of this file.
    """

    text: str
    pages: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """The file, unless it is too large; then nothing of it is read.

    Raises:
        DataError: too large, or it cannot be read; without the path, which the caller names.
    """
    try:
        size = path.stat().st_size
        if size > most_bytes:
            raise DataError(
                f"{size / 1e6:,.1f} MB, more than the {most_bytes / 1e6:g} MB that one document may have; split it"
            )
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from error


def read_text(raw: bytes, suffix: str) -> ReadText:
    """The text of a file's content.

    Args:
        suffix: lower case, one of `SUFFIXES`.

    Raises:
        DataError: it is not what its suffix says, or holds no text; without the path, which the caller names.
    """
    kind = SUFFIXES[suffix]
    if kind == "pdf":
        found = _pdf(raw)
    else:
        text, notes = _decoded(raw)
        if kind == "html":
            text, hidden = html_text(text)
        else:
            text, hidden = _without_comments(text)
        if hidden:
            notes.append(f"{hidden} characters that no reader sees (comments, hidden elements) were left out")
        found = ReadText(text, (), tuple(notes))
    if not found.text.strip():
        raise DataError("there is no text in it" + ("; scanned pages need OCR first" if kind == "pdf" else ""))
    return _told(found)


def _told(found: ReadText) -> ReadText:
    """Without invisible characters, and with notes of what is meant for a model."""
    text, invisible = without_invisible(found.text)
    notes = list(found.notes)
    if invisible:
        notes.append(f"{invisible} invisible characters were replaced by spaces")
    if orders := orders_in(text):
        shown = " ".join(orders[0].split())[:80]
        notes.append(f"orders to a model ({len(orders)}), such as {shown!r}: they are shown as data only")
    return ReadText(text, found.pages, tuple(notes))


def _decoded(raw: bytes) -> tuple[str, list[str]]:
    for mark, name in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if raw.startswith(mark):
            return raw.decode(name, errors="replace"), []
    if b"\0" in raw[:4096]:
        raise DataError("binary, no text; take it out of the folder or convert it")
    try:
        return raw.decode(), []
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return raw.decode("cp1252", errors="replace"), [f"not UTF-8 (line {line}): read as Windows-1252"]


def _without_comments(text: str) -> tuple[str, int]:
    """Markdown without its comments, which no reader sees; spaces stand there, so that places stay."""
    parts, hidden, at = [], 0, 0
    while (begin := text.find("<!--", at)) >= 0:
        end = text.find("-->", begin)
        end = len(text) if end < 0 else end + 3
        comment = text[begin:end]
        hidden += len(comment.strip("<!-> \n"))
        parts += [text[at:begin], "".join(one if one in "\r\n" else " " for one in comment)]
        at = end
    return "".join([*parts, text[at:]]), hidden


def _pdf(raw: bytes) -> ReadText:
    if b"%PDF-" not in raw[:1024]:
        raise DataError(f"no PDF: it begins with {raw[:8]!r}; give it the suffix of what it is")
    try:
        reader = pypdf.PdfReader(BytesIO(raw))
        if reader.is_encrypted and not reader.decrypt(""):
            raise DataError("a PDF with a password; save it without one")
        if len(reader.pages) > MOST_PAGES:
            raise DataError(f"{len(reader.pages)} pages, more than {MOST_PAGES}; split it")
        texts = [page.extract_text() for page in reader.pages]
    except _DAMAGED as error:
        raise DataError(f"a damaged PDF ({type(error).__name__}: {str(error)[:80]}); save it again") from error
    starts, at = [], 0
    for text in texts:
        starts.append(at)
        at += len(text) + 2
    return ReadText("\n\n".join(texts), tuple(starts))
