"""The index of a folder: found by words and by meaning, never behind the folder, and one bad file stops no other."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tasklift.cache import ContentCache
from tasklift.data.documents.bm25 import BM25
from tasklift.data.documents.index import METHODS, DocumentIndex, fused
from tasklift.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "documents"
    (place / "policies").mkdir(parents=True)
    (place / "policies" / "returns.md").write_text(
        "# Returns\n\nSend a kettle back within 30 days.\n\n## Refunds\n\nMoney in 5 days."
    )
    (place / "shipping.txt").write_text("Parcels leave our warehouse on weekdays before noon.")
    (place / "warranty.html").write_text("<h1>Warranty</h1><p>Motors are covered for ten years.</p>")
    (place / "notes.docx").write_bytes(b"not read")
    (place / ".draft.md").write_text("hidden")
    return place


def names(index: DocumentIndex, question: str, count: int = 1, **rest: object) -> list[str]:
    return [passage.document for passage in index.search(question, count, **rest)]  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_piece(folder: Path, method: str) -> None:
    index = DocumentIndex(folder)
    assert names(index, "when does my parcel leave the warehouse", method=method) == ["shipping.txt"]
    assert names(index, "is the motor under warranty", method=method) == ["warranty.html"]


def test_a_passage_says_where_it_stands(folder: Path) -> None:
    (found,) = DocumentIndex(folder).search("refund money", 1)
    assert found.heading == "Returns > Refunds"
    assert found.citation() == {"document": "policies/returns.md", "chunk": 1, "start": 59, "end": 75}
    assert (folder / found.document).read_text()[found.start : found.end] == found.text == "Money in 5 days."


def test_deleted_documents_are_gone_at_once(folder: Path) -> None:
    index = DocumentIndex(folder)
    assert names(index, "parcels warehouse") == ["shipping.txt"]
    (folder / "shipping.txt").unlink()
    assert "shipping.txt" not in names(index, "parcels warehouse", 5)


def test_changed_documents_are_read_again_before_they_are_shown(folder: Path) -> None:
    index = DocumentIndex(folder)
    (folder / "shipping.txt").write_text("Parcels leave our warehouse on Sundays.")
    assert index.search("parcels warehouse", 1)[0].text == "Parcels leave our warehouse on Sundays."


def test_new_documents_are_found_without_being_told(folder: Path) -> None:
    index = DocumentIndex(folder)
    (folder / "policies" / "gift.md").write_text("Gift cards never expire.")
    assert names(index, "do gift cards expire") == ["policies/gift.md"]


def test_only_changed_files_are_read_again(folder: Path, tmp_path: Path) -> None:
    with ContentCache(tmp_path / "cache.sqlite") as cache:
        DocumentIndex(folder, cache=cache)
        (folder / "shipping.txt").write_text("Now by bike.")
        (folder / "warranty.html").unlink()
        (folder / "new.md").write_text("New.")
        entries = len(cache)
        index = DocumentIndex(folder, cache=cache)
        assert len(cache) == entries  # one gone, one come, one replaced: texts of deleted documents are not kept
        changes = index.refresh()
        assert (changes.any, changes.unchanged) == (False, 3)


def test_what_changed_is_told(folder: Path) -> None:
    index = DocumentIndex(folder)
    (folder / "shipping.txt").write_text("Now by bike.")
    (folder / "warranty.html").unlink()
    (folder / "new.md").write_text("New.")
    changes = index.refresh()
    assert (changes.added, changes.changed, changes.removed) == (("new.md",), ("shipping.txt",), ("warranty.html",))
    assert changes.unchanged == 1


def test_bad_documents_are_named_and_stop_no_other(folder: Path) -> None:
    (folder / "fake.pdf").write_text("hello")
    (folder / "empty.md").touch()
    with (folder / "huge.txt").open("wb") as file:
        os.truncate(file.fileno(), 200_000_000)
    index = DocumentIndex(folder)
    assert {name: why.split(";")[0] for name, why in index.problems.items()} == {
        "empty.md": "there is no text in it",
        "fake.pdf": "no PDF: it begins with b'hello'",
        "huge.txt": "200.0 MB, more than the 20 MB that one document may have",
    }
    assert names(index, "parcels warehouse") == ["shipping.txt"]


def test_links_out_of_the_folder_are_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("the secret recipe")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    assert "link.txt" not in DocumentIndex(folder).files


def test_the_hash_follows_the_pieces(folder: Path) -> None:
    index = DocumentIndex(folder)
    before = index.content_hash
    os.utime(folder / "shipping.txt", ns=(1, 1))
    index.refresh()
    assert index.content_hash == before
    (folder / "shipping.txt").write_text("Other.")
    index.refresh()
    assert index.content_hash != before


def test_only_allowed_pieces_are_given(folder: Path) -> None:
    index = DocumentIndex(folder)
    allowed = [passage.key for passage in index.passages if passage.document != "shipping.txt"]
    assert "shipping.txt" not in names(index, "parcels warehouse", 9, allowed=allowed)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder of documents"):
        DocumentIndex(tmp_path / "nowhere")


def test_bm25_is_the_published_formula() -> None:
    scores = BM25(["red red fox", "a fox", "the blue whale"]).scores("red foxes fox")
    rare, common = np.log(1 + 2.5 / 1.5), np.log(1 + 1.5 / 2.5)
    mean = 8 / 3
    norm = [1.2 * (0.25 + 0.75 * length / mean) for length in (3, 2, 3)]
    expected = [rare * 2 / (2 + norm[0]) + common / (1 + norm[0]), common / (1 + norm[1]), 0]
    assert scores == pytest.approx(expected)


def test_fusion_adds_reciprocal_ranks() -> None:
    found = fused(np.array([3.0, 1.0, 0.0]), np.array([0.1, 0.2, 0.3]))
    assert found == pytest.approx([1 / 61 + 1 / 63, 1 / 62 + 1 / 62, 1 / 61])
