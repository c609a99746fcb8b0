"""A piece of a document, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document.

    Attributes:
        document: path of the file, relative to the folder, with `/`.
        chunk: number of the piece in its document, from 0.
        start: first character in the document's text.
        end: character after the last one.
        text: the piece.
        heading: titles that it stands under, outermost first, joined by " > ".
        page: of a PDF, from 1; None elsewhere.
        key: hash of document, place and text.
        score: of the search that found it; larger is nearer.
    """

    document: str
    chunk: int
    start: int
    end: int
    text: str
    heading: str = ""
    page: int | None = None
    key: str = ""
    score: float = 0.0

    @property
    def searched(self) -> str:
        """What a search looks at: the headings count as part of the piece."""
        return f"{self.heading}\n{self.text}" if self.heading else self.text

    def citation(self) -> Mapping[str, Any]:
        """The entry of `Prediction.citations`."""
        place: dict[str, Any] = {"document": self.document, "chunk": self.chunk, "start": self.start, "end": self.end}
        return place if self.page is None else place | {"page": self.page}
