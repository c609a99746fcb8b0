"""Cutting a text at its headings and paragraphs into pieces of at most so many tokens."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from tasklift.tokens import LEAST_BYTES_A_TOKEN, estimated_tokens

#: (start, end, headings) of a piece.
Span = tuple[int, int, str]
_HEADING = re.compile(r"(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$")
_UNDERLINE = re.compile(r"(=+|-{2,})[ \t]*$")
_FENCE = re.compile(r"[ \t]{0,3}(```+|~~~+)")
_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])[\"'”’)\]]*\s+|\n+")
_WORD_END = re.compile(r"\s+")


def chunk_spans(text: str, most_tokens: int) -> list[Span]:
    """Where the pieces of a text stand.

    A heading begins a piece; paragraphs below one heading are put together as long as they fit; a paragraph that is too
    long is cut between sentences, then between words, then anywhere.

    Args:
        text: plain text, or Markdown with `#` or underlined headings.
        most_tokens: of one piece, by `estimated_tokens`.

    Returns:
        Pieces in order; none overlaps another, none is blank.
    """
    found: list[Span] = []
    for start, end, heading in _sections(text):
        begun: int | None = None
        stop = start
        for low, high in _paragraphs(text, start, end):
            for piece_low, piece_high in _fitting(text, low, high, most_tokens):
                if begun is not None and estimated_tokens(text[begun:piece_high]) > most_tokens:
                    found.append((begun, stop, heading))
                    begun = None
                begun = piece_low if begun is None else begun
                stop = piece_high
        if begun is not None:
            found.append((begun, stop, heading))
    return found


def _sections(text: str) -> Iterator[Span]:
    """(start, end, headings) of what stands between two headings; headings inside code do not count."""
    path: list[tuple[int, str]] = []
    start = at = 0
    previous: tuple[int, str] | None = None  # the line before, for underlined headings
    fence = ""
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        title, level, begins = "", 0, at
        if not fence and (found := _HEADING.match(line.rstrip("\r\n"))):
            title, level = found[2], len(found[1])
        elif not fence and previous and _UNDERLINE.match(bare) and not _HEADING.match(previous[1]):
            title, level, begins = previous[1], 1 if bare[0] == "=" else 2, previous[0]
        if level:
            yield start, begins, " > ".join(name for _, name in path)
            path = [*(part for part in path if part[0] < level), (level, title.strip())]
            start = at + len(line)
        previous = (at, bare) if bare and not level and not mark else None
        at += len(line)
    yield start, len(text), " > ".join(name for _, name in path)


def _paragraphs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Places between blank lines, without the white space around."""
    at = start
    for gap in re.finditer(r"\n[ \t\r]*\n\s*", text[start:end]):
        yield from _trimmed(text, at, start + gap.start())
        at = start + gap.end()
    yield from _trimmed(text, at, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    inner = text[start:end]
    low, high = start + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip())
    if low < high:
        yield low, high


def _fitting(text: str, start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    """A paragraph, in pieces that fit."""
    for pattern in (_SENTENCE_END, _WORD_END):
        if estimated_tokens(text[start:end]) <= most:
            break
        ends = [start + gap.end() for gap in pattern.finditer(text[start:end])]
        parts = [pair for low, high in _pairs([start, *ends, end]) for pair in _trimmed(text, low, high)]
        if len(parts) > 1:
            for low, high in parts:
                yield from _fitting(text, low, high, most)
            return
    if estimated_tokens(text[start:end]) <= most:
        yield start, end
        return
    step = max(1, most * LEAST_BYTES_A_TOKEN // 4)  # one character takes up to four bytes
    for low in range(start, end, step):
        yield from _trimmed(text, low, min(end, low + step))


def _pairs(cuts: Sequence[int]) -> Iterator[tuple[int, int]]:
    return itertools.pairwise(cuts)
