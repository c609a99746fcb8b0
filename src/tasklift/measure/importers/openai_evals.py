"""Output items of OpenAI's hosted evals, as the API gives them (`/evals/{id}/runs/{id}/output_items`).

A file is a page (`{"object": "list", "data": [...]}`), a list of items, or one item a line; several runs may stand
in one file or in several. Pairing rule: an item is a hash of `datasource_item` (what was asked, without the answer),
because `datasource_item_id` counts positions; an option is the model of a run. `correct`: every grader passed;
where one of them is a model (`score_model`, `label_model`), that is a judge's verdict.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tasklift.measure.importers.imported import Imported, ImportedRow, item_hash
from tasklift.measure.results import ResultRow
from tasklift.prediction import Usage

OBJECT = "eval.run.output_item"


def rows_in(content: Any) -> list[Mapping[str, Any]] | None:
    """The items of a parsed file, None where it is another format."""
    if isinstance(content, dict):
        content = content["data"] if isinstance(content.get("data"), list) else [content]
    if not isinstance(content, list) or not content:
        return None
    pages = [row["data"] if isinstance(row, dict) and isinstance(row.get("data"), list) else [row] for row in content]
    items = [item for page in pages for item in page]  # one page a line is fine too
    return items if items and all(isinstance(i, dict) and i.get("object") == OBJECT for i in items) else None


def read(items: Sequence[Mapping[str, Any]]) -> Imported:
    """Every item as an answer, or among the lost ones with its reason."""
    found: list[ImportedRow] = []
    lost: dict[str, list[str]] = defaultdict(list)
    for at, item in enumerate(items):
        asked = {k: v for k, v in (item.get("datasource_item") or {}).items() if not k.startswith("sample")}
        if not asked:
            lost["no datasource_item to pair on"].append(str(item.get("id", f"item {at}")))
        else:
            found.append(_row(item, item_hash(asked)))
    return Imported("OpenAI output items", tuple(_told_apart(found)), lost)


def _row(item: Mapping[str, Any], name: str) -> ImportedRow:
    sample = item.get("sample") or {}
    graded = [passed for result in item.get("results") or [] if (passed := _passed(result)) is not None]
    error = sample.get("error") or {}
    told = str(error.get("message") or error.get("code") or "") if isinstance(error, Mapping) else str(error)
    if not told and item.get("status") in ("error", "errored"):
        told = "error"
    used = sample.get("usage") or {}
    usage = Usage(
        calls=1,
        input_tokens=int(used.get("prompt_tokens") or 0),
        cached_tokens=int(used.get("cached_tokens") or 0),
        output_tokens=int(used.get("completion_tokens") or 0),
    )
    verdict = float(all(graded)) if graded else None
    is_judged = any("model" in str(result.get("type", "")) for result in item.get("results") or [])
    judge = verdict if is_judged and not told else None
    correct = verdict if judge is None else None
    result = ResultRow(item_id=name, option="", correct=correct, error=told, judge=judge)
    return ImportedRow(result, str(item.get("run_id", "")), str(sample.get("model") or ""), usage)


def _passed(result: Mapping[str, Any]) -> bool | None:
    """One grader's verdict; None where it gave none."""
    if isinstance(result.get("passed"), bool):
        return bool(result["passed"])
    return result["label"] == "pass" if result.get("label") in ("pass", "fail") else None


def _told_apart(rows: Sequence[ImportedRow]) -> list[ImportedRow]:
    """A failed item names no model: it belongs to the one of its run."""
    model = {row.prompt: row.provider for row in rows if row.provider}
    return [ImportedRow(r.result, r.prompt, r.provider or model.get(r.prompt, ""), r.usage) for r in rows]
