"""Promptfoo's output (`promptfoo eval -o results.json` or `.jsonl`), summaries of version 2 and 3.

Pairing rule: an item is a hash of a row's `vars`, an option is its prompt and provider. A repeat (`--repeat`)
gets a new `testIdx` in the file, so rows are never paired by that: rows with equal vars, prompt and provider are
repeats of one item and are averaged. `correct` is `success`: every assertion passed. Where a model grades an
assertion (`llm-rubric` and the like), its verdict is a judge's, and `correct` is a person's rating in the viewer.

Formats: EvaluateSummaryV2 and EvaluateSummaryV3 in promptfoo's src/types/index.ts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tasklift.errors import DataError
from tasklift.measure.importers.imported import Imported, ImportedRow, item_hash
from tasklift.measure.results import ResultRow
from tasklift.prediction import Usage

VERSIONS = (1, 2, 3)
#: `failureReason` of a row whose provider failed; 1 is a failed assertion, which is an answer that is wrong.
ERROR = 2
#: Type of the component that a person's rating adds, and types of assertions that a model grades.
HUMAN = "human"
MODEL_GRADED = frozenset(
    {
        *("agent-rubric", "answer-relevance", "context-faithfulness", "context-recall", "context-relevance"),
        *("conversation-relevance", "factuality", "g-eval", "llm-rubric", "model-graded-closedqa"),
        *("model-graded-factuality", "search-rubric", "select-best"),
    }
)
#: Variables that promptfoo adds by itself and that differ from run to run.
ADDED = ("sessionId", "evaluationId")


def rows_in(content: Any) -> list[Mapping[str, Any]] | None:
    """The rows of a parsed file, None where it is not promptfoo's.

    Raises:
        DataError: it is, in a version that is not known.
    """
    if isinstance(content, list):  # lines of results.jsonl
        fits = all(isinstance(row, dict) and "vars" in row and "success" in row for row in content)
        return content if content and fits else None
    if not isinstance(content, dict):
        return None
    summary = content["results"] if isinstance(content.get("results"), dict) else content
    rows = summary.get("results")
    if not isinstance(rows, list) or "stats" not in summary:
        return None
    version = summary.get("version", 2)
    if version not in VERSIONS:
        raise DataError(f"promptfoo results of version {version!r}; versions 2 and 3 are known")
    return rows


def read(rows: Sequence[Mapping[str, Any]]) -> Imported:
    """Every row as an answer, or among the lost ones with its reason."""
    found: list[ImportedRow] = []
    lost: dict[str, list[str]] = defaultdict(list)
    cached = 0
    for at, row in enumerate(rows):
        where = f"result {at} (testIdx {row.get('testIdx', '?')})"
        variables = {k: v for k, v in (row.get("vars") or {}).items() if not k.startswith("_") and k not in ADDED}
        if not variables:
            lost["no vars to pair on"].append(where)
        elif not isinstance(row.get("success"), bool):
            lost["success is neither true nor false"].append(where)
        else:
            cached += bool(_response(row).get("cached"))
            found.append(_row(row, item_hash(variables)))
    notes = [f"{cached} answers came from promptfoo's cache: their cost and latency are not used"] if cached else []
    notes += _unlike(rows)
    return Imported("promptfoo", tuple(found), lost, tuple(notes))


def _row(row: Mapping[str, Any], item: str) -> ImportedRow:
    failed = _failure(row)
    judged = bool(failed) or not _unjudged(row)
    rated, judge = _verdicts(row)
    cached = bool(_response(row).get("cached"))
    usage = row.get("tokenUsage") or _response(row).get("tokenUsage") or {}
    result = ResultRow(
        item_id=item,
        option="",
        correct=float(row["success"]) if (judged and judge is None) or rated else None,
        cost_usd=None if cached else _cost(row),
        latency_s=None if cached or row.get("latencyMs") is None else float(row["latencyMs"]) / 1000,
        error=failed,
        judge=None if failed else judge,
    )
    tokens = Usage(calls=1, input_tokens=int(usage.get("prompt") or 0), output_tokens=int(usage.get("completion") or 0))
    return ImportedRow(result, _prompt(row), _provider(row), Usage() if cached else tokens)


def _verdicts(row: Mapping[str, Any]) -> tuple[bool, float | None]:
    """Did a person rate the answer, and what would the verdict be without them, where a model had a part in it?

    A rating replaces `success` and stands among the components, which keep what they said.
    """
    parts = _components(row.get("gradingResult") or {})
    types = [str((part.get("assertion") or {}).get("type", "")).removeprefix("not-") for part in parts]
    others = [bool(part.get("pass")) for part, kind in zip(parts, types, strict=True) if kind != HUMAN]
    return HUMAN in types, float(all(others)) if MODEL_GRADED & set(types) else None


def _components(grading: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All components, those of sets of assertions too."""
    found: list[Mapping[str, Any]] = []
    for part in grading.get("componentResults") or []:
        found += _components(part) or [part]
    return found


def _response(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return row.get("response") or {}


def _failure(row: Mapping[str, Any]) -> str:
    """Why no answer came, '' where one did. `error` also holds the reason of a failed assertion."""
    if "failureReason" in row:
        return str(row.get("error") or "error") if row["failureReason"] == ERROR else ""
    answered = _response(row).get("output") is not None
    return "" if answered else str(row.get("error") or _response(row).get("error") or "no output")


def _unjudged(row: Mapping[str, Any]) -> bool:
    """Without an assertion promptfoo calls every answer a success."""
    grading = row.get("gradingResult") or {}
    return not grading.get("componentResults") and grading.get("reason", "No assertions") == "No assertions"


def _cost(row: Mapping[str, Any]) -> float | None:
    """None where it is not known: promptfoo writes 0 then, and tokens were used."""
    told = _response(row).get("cost", row.get("cost"))
    if told is None:
        return None
    tokens = (row.get("tokenUsage") or {}).get("total") or 0
    return None if told == 0 and tokens else float(told)


def _prompt(row: Mapping[str, Any]) -> str:
    prompt = row.get("prompt") or {}
    told = prompt.get("label") or prompt.get("display") or row.get("promptId") or prompt.get("raw") or ""
    text = " ".join(str(told).split())
    return text if len(text) <= 60 else f"{text[:48]}... {item_hash({'prompt': text})[:6]}"


def _provider(row: Mapping[str, Any]) -> str:
    provider = row.get("provider") or {}
    return provider if isinstance(provider, str) else str(provider.get("label") or provider.get("id") or "")


def _unlike(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Equal vars with unlike assertions: averaged as one item all the same, and said so."""
    asserted: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        case = row.get("testCase") or {}
        if "assert" in case:
            asserted[item_hash(row.get("vars") or {})].add(item_hash({"assert": case["assert"]}))
    count = sum(len(some) > 1 for some in asserted.values())
    return [f"{count} items stand in several tests with unlike assertions; each counts once"] if count else []
