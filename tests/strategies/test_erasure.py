"""Rows are taken out of candidates that look them up, and nothing else is."""

from __future__ import annotations

from pathlib import Path

from tasklift.dataset import Dataset
from tasklift.llm.fake import ScriptedModel
from tasklift.strategies.artifact import read_card
from tasklift.strategies.erasure import erase_rows
from tasklift.strategies.fewshot import FewShot
from tasklift.task import Task


def test_pieces_of_documents_stay_when_a_row_is_erased(colours: Task, colour_rows: Dataset, tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "paint.md").write_text("# Paint\n\nGreen paint dries in a day.\n", encoding="utf-8")
    model = ScriptedModel({}, default="red")
    FewShot(model=model, embedder="static", documents=str(documents)).fit(colours, colour_rows).save(tmp_path / "made")
    before = read_card(tmp_path / "made")
    assert len(before.settings["passages"]) == 1
    assert erase_rows(tmp_path / "made", [colour_rows.examples[0].id], in_use=True) == 1
    after = read_card(tmp_path / "made")
    assert after.settings["passages"] == before.settings["passages"]
    assert after.settings["ids"] == before.settings["ids"][1:]
    assert after.settings["texts"] == before.settings["texts"][1:]
