"""`tasklift context`: documents that prompts answer from."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from tasklift.cache import caching_in
from tasklift.cli.show import print_json
from tasklift.data.documents.index import DocumentIndex, IndexOptions, Method
from tasklift.errors import ConfigError
from tasklift.measure.retrieval import DEPTHS, Question, Recall, measure_recall, read_questions
from tasklift.project import Project, TaskFile


def index(task: str | None, folder: Path, documents: Path | None, as_json: bool) -> int:
    """Read the folder; show what was read."""
    place, embedder, cache = _place(task, folder, documents)
    with caching_in(cache):
        begun = time.perf_counter()
        made = DocumentIndex(place, IndexOptions(embedder=embedder))
        made.search("warm", 1)
        took_s = time.perf_counter() - begun
    good = {name: state for name, state in made.files.items() if not state.problem}
    if as_json:
        files = {name: {"passages": state.passages, "notes": list(state.notes)} for name, state in good.items()}
        row: dict[str, Any] = {"folder": str(place), "passages": len(made.passages), "documents": files}
        print_json(row | {"left_out": dict(made.problems), "content_hash": made.content_hash, "took_s": took_s})
        return 0
    print(f"{place}: {len(good)} documents, {len(made.passages)} passages, {took_s:.1f} s")
    for name, why in made.problems.items():
        print(f"  left out  {name}: {why}")
    for name, notes in made.notes.items():
        print("\n".join(f"  note      {name}: {note}" for note in notes))
    return 0


def search(
    question: str, task: str | None, folder: Path, documents: Path | None, found: tuple[str, int], as_json: bool
) -> int:
    """The passages nearest to a question.

    Args:
        found: method and number of passages.
    """
    named, count = found
    method = next((one for one in get_args(Method) if one == named), None)
    if method is None:
        raise ConfigError(f"no search is called {named!r}; there are {', '.join(get_args(Method))}")
    place, embedder, cache = _place(task, folder, documents)
    with caching_in(cache):
        passages = DocumentIndex(place, IndexOptions(embedder=embedder)).search(question, count, method)
    if as_json:
        rows = [{**one.citation(), "heading": one.heading, "score": one.score, "text": one.text} for one in passages]
        print_json({"question": question, "passages": rows})
        return 0
    for number, one in enumerate(passages, 1):
        where = f"{one.document}, characters {one.start} to {one.end}" + (f", page {one.page}" if one.page else "")
        print(f"[{number}] {where}" + (f"  ({one.heading})" if one.heading else ""))
        print(f"    {' '.join(one.text.split())[:300]}")
    if not passages:
        print("nothing found: no passage shares a word or a meaning with the question")
    return 0


def measure(questions: Path, task: str | None, folder: Path, documents: Path | None, as_json: bool) -> int:
    """Recall at several depths for each way to search."""
    place, embedder, cache = _place(task, folder, documents)
    asked = read_questions(questions)
    with caching_in(cache):
        made = DocumentIndex(place, IndexOptions(embedder=embedder))
        _check(made, asked, questions)
        found = measure_recall(made, asked)
    if as_json:
        print_json({"questions": len(asked), "documents": len(made.files), "recall": [one.to_json() for one in found]})
        return 0
    print(f"{len(asked)} questions, {len(made.files)} documents, {len(made.passages)} passages")
    print("\n".join(recall_lines(found)))
    return 0


def recall_lines(found: Sequence[Recall]) -> list[str]:
    """A table: a line a method."""
    lines = [f"{'recall at':<12}" + "".join(f"{depth:<24}" for depth in DEPTHS)]
    for one in found:
        shown = [f"{100 * at.value:.1f}% [{100 * at.low:.1f}, {100 * at.high:.1f}]" for at in one.at.values()]
        lines.append(f"{one.method:<12}" + "".join(f"{text:<24}" for text in shown))
    return lines


def _check(made: DocumentIndex, asked: Sequence[Question], source: Path) -> None:
    """Every right answer has to be a document of the folder.

    Raises:
        ConfigError: the first that is not.
    """
    for number, question in enumerate(asked, 1):
        missing = sorted(question.documents - set(made.files))
        if missing:
            raise ConfigError(f"{source}: line {number}: no document {json.dumps(missing[0])} in {made.folder}")


def _place(task: str | None, folder: Path, documents: Path | None) -> tuple[Path, str, Path | None]:
    """Folder of documents, embedder, and where things are kept."""
    if documents is not None:
        return documents, IndexOptions().embedder, None
    project = Project.open(folder)
    found: TaskFile = project.task(task)
    if found.documents is None:
        raise ConfigError(
            f"{found.name}: no documents; put some into {folder / 'tasks' / found.name / 'documents'}, name a folder "
            "as `documents` in task.toml, or give --documents FOLDER"
        )
    embedder = found.strategies.get("prompt", {}).get("document_embedder", IndexOptions().embedder)
    return Path(found.documents), str(embedder), project.state / "cache"
