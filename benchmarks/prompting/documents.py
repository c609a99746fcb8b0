"""Documents: is the right one among the first five, by words, by embeddings, by both?

    python3 dev.py bench prompting documents

ibm_twitter_support: a document is everything that the validation conversations say around one help page (the pages
themselves are not in the set); asked are the customers of the test conversations whose page is among them.
bipia: the benign mails; asked are the questions that the set asks about each.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from _common import Figure, data_file, finish
from _run import kept, options_of

from tasklift.data.documents.index import DocumentIndex, IndexOptions
from tasklift.measure.retrieval import DEPTHS, Question, measure_recall

EMBEDDERS = ("static", "minilm")
Corpus = tuple[Mapping[str, str], Sequence[Question]]


def main() -> int:
    """Print and store the figures."""
    asked = options_of(__doc__).parse_args()
    figures: list[Figure] = []
    sizes: dict[str, Any] = {}
    for name, (texts, questions) in (("ibm", ibm(asked.data)), ("bipia", bipia(asked.data))):
        sizes[name] = {"documents": len(texts), "questions": len(questions)}
        with kept("documents"), tempfile.TemporaryDirectory() as folder:
            for file, text in texts.items():
                (Path(folder) / file).write_text(text, encoding="utf-8")
            for embedder in EMBEDDERS:
                figures += recalled(name, embedder, DocumentIndex(Path(folder), IndexOptions(embedder)), questions)
    extra = {"title": "Prompting: finding documents", "sets": sizes}
    return finish("prompting_documents", "python3 dev.py bench prompting documents", figures, extra)


def recalled(name: str, embedder: str, index: DocumentIndex, questions: Sequence[Question]) -> list[Figure]:
    """Recall at five of every method; BM25 is the same for every embedder and shown once."""
    found = []
    for one in measure_recall(index, questions):
        if one.method == "bm25" and embedder != EMBEDDERS[0]:
            continue
        at = one.at[5]
        who = one.method if one.method == "bm25" else f"{one.method} ({embedder})"
        rest = ", ".join(f"at {depth}: {one.at[depth].value:.1%}" for depth in DEPTHS if depth != 5)
        found.append(
            Figure(
                f"{name}, recall at 5: {who}",
                at.value,
                low=at.low,
                high=at.high,
                note=f"{len(questions)} questions; {rest}",
            )
        )
    return found


def ibm(data: Path | None) -> Corpus:
    """Help pages by what is said around them, and the customers who were sent there."""
    path = data_file(data, "ibm_twitter_support/ibm_twitter_support.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    pages: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["split"] == "validation":
            pages[f"{row['doc_id']}.md"].append(f"{said(row)}\n\n{row['resolution_text']}")
    questions = [
        Question(said(row), frozenset({f"{row['doc_id']}.md"}))
        for row in rows
        if row["split"] == "test" and f"{row['doc_id']}.md" in pages
    ]
    return {file: "\n\n".join(parts) for file, parts in pages.items()}, questions


def said(row: Mapping[str, Any]) -> str:
    """What the customer of a conversation wrote."""
    return "\n".join(message["text"] for message in row["messages"] if message["role"] == "customer")


def bipia(data: Path | None) -> Corpus:
    """Mails, and the questions that are asked about them; equal mails are one document."""
    path = data_file(data, "bipia_email_injection/email_contexts.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    files: dict[str, str] = {}
    for row in rows:
        files.setdefault(row["text"], f"mail_{len(files):03}.txt")
    questions = [Question(row["question"], frozenset({files[row["text"]]})) for row in rows]
    return {file: text for text, file in files.items()}, questions


if __name__ == "__main__":
    sys.exit(main())
