"""Files of other tools: formats told apart by content, stated pairing rules, nothing dropped in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasklift.errors import DataError
from tasklift.measure.evidence import Evidence
from tasklift.measure.importers.detect import read_evidence
from tasklift.measure.importers.imported import family, model_of, option_names

REAL = Path(__file__).parent / "files" / "promptfoo_v3_echo.json"


def saved(folder: Path, content: Any, name: str = "file") -> Path:
    """JSON, or JSON lines for a tuple."""
    path = folder / name
    lines = [json.dumps(row) for row in content] if isinstance(content, tuple) else [json.dumps(content)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def row(text: str, success: bool, at: int = 0, label: str = "short", **more: Any) -> dict[str, Any]:
    """A row as promptfoo's types describe it."""
    plain = {
        "vars": {"text": text},
        "prompt": {"raw": f"Sort: {text}", "label": label},
        "provider": {"id": "openai:gpt-4o-mini"},
        "testIdx": at,
        "success": success,
        "score": float(success),
        "latencyMs": 250,
        "failureReason": 0 if success else 1,
        "response": {"output": "billing", "cost": 0.002},
        "gradingResult": {"pass": success, "reason": "told", "componentResults": [{"pass": success}]},
    }
    return {**plain, **more}


def v3(*rows: dict[str, Any]) -> dict[str, Any]:
    summary = {"version": 3, "timestamp": "2026-01-01T00:00:00Z", "results": list(rows), "prompts": [], "stats": {}}
    return {"evalId": "eval-1", "results": summary, "config": {}, "shareableUrl": None}


def item(text: str, passed: bool, run: str = "run_a", model: str = "gpt-5-mini", **more: Any) -> dict[str, Any]:
    """An output item as the API reference describes it."""
    return {
        "object": "eval.run.output_item",
        "id": f"outputitem_{run}_{text}",
        "run_id": run,
        "eval_id": "eval_1",
        "created_at": 1_760_000_000,
        "status": "pass" if passed else "fail",
        "datasource_item_id": 0,
        "datasource_item": {"text": text, "label": "billing"},
        "results": [{"name": "match", "type": "string-check-grader", "passed": passed, "score": float(passed)}],
        "sample": {
            "model": model,
            "error": None,
            "finish_reason": "stop",
            "input": [],
            "output": [{"role": "assistant", "content": "billing"}],
            "usage": {"prompt_tokens": 90, "completion_tokens": 5, "cached_tokens": 0, "total_tokens": 95},
        },
        **more,
    }


def scores(found: Evidence) -> dict[str, list[float]]:
    return {name: option.score.tolist() for name, option in found.options.items()}


def test_the_output_of_a_real_promptfoo_is_paired_by_vars_and_its_repeats_are_averaged() -> None:
    found = read_evidence([REAL])
    assert set(found.options) == {"prompt-short", "prompt-with-teams"}
    assert len(found) == 32  # 128 rows: 32 items, 2 prompts, 2 repeats, each repeat with a testIdx of its own
    assert {option.family for option in found.options.values()} == {"prompt"}
    assert found.options["prompt-short"].score.mean() == pytest.approx(28 / 32)
    assert found.options["prompt-with-teams"].score.tolist() == [1.0] * 32
    assert "128 rows are 64 answers: repeats are averaged" in found.notes
    assert not found.unpaired
    assert list(found.provenance) == ["promptfoo_v3_echo.json", "rows"]


def test_a_repeat_with_another_answer_gives_a_share(tmp_path: Path) -> None:
    long = [row("a", True, 0, "long"), row("b", True, 2, "long")]
    content = v3(row("a", True, 0), row("a", False, 1), row("b", True, 2), *long)
    assert scores(read_evidence([saved(tmp_path, content)])) == {"short": [0.5, 1.0], "long": [1.0, 1.0]}


def test_rows_of_promptfoo_that_cannot_be_paired_are_counted_and_named(tmp_path: Path) -> None:
    unjudged = {"gradingResult": {"pass": True, "reason": "No assertions"}}
    content = v3(
        row("a", True, 0),
        row("a", True, 0, "long"),
        row("b", True, 1),
        row("c", True, 2, **unjudged),
        row("c", True, 2, "long"),
        row("d", True, 3, vars={"_conversation": []}),
    )
    found = read_evidence([saved(tmp_path, content)])
    assert len(found) == 1
    told = {(lost.option, lost.reason, lost.count) for lost in found.unpaired}
    assert told == {
        ("file", "no vars to pair on", 1),
        ("short", "no value in correct", 1),
        ("short", "not every option has this item", 1),
        ("long", "not every option has this item", 1),
    }
    assert next(lost for lost in found.unpaired if lost.option == "file").item_ids == ("result 5 (testIdx 3)",)


def test_a_failed_assertion_is_a_wrong_answer_and_a_failed_provider_an_error(tmp_path: Path) -> None:
    down = {"failureReason": 2, "error": "429", "response": {"error": "429"}}
    content = v3(row("a", False, error="expected billing"), row("b", False, **down))
    option = read_evidence([saved(tmp_path, content)]).options["openai:gpt-4o-mini"]
    assert (option.score.tolist(), option.failed.tolist()) == ([0, 0], [False, True])


def test_what_a_cache_answered_has_no_cost_and_an_unknown_price_is_not_0(tmp_path: Path) -> None:
    cached = row("a", True, response={"output": "x", "cost": 0, "cached": True})
    known = row("b", True)
    found = read_evidence([saved(tmp_path, v3(cached, known))])
    option = found.options["openai:gpt-4o-mini"]
    assert option.cost_usd is not None
    assert option.cost_usd.tolist() == [0.002, 0.002]
    assert option.latencies_s == (0.25,)
    assert any("1 answers came from promptfoo's cache" in note for note in found.notes)
    free = row("a", True, response={"output": "x", "cost": 0}, tokenUsage={"prompt": 90, "completion": 5, "total": 95})
    option = read_evidence([saved(tmp_path, v3(free))]).options["openai:gpt-4o-mini"]
    assert option.cost_usd is None
    assert option.model == "gpt-4o-mini"
    assert option.usage is not None
    assert (option.usage.input_tokens, option.usage.output_tokens) == (90, 5)


@pytest.mark.parametrize("wrapped", [True, False])
def test_version_2_is_read_bare_and_in_its_file(tmp_path: Path, wrapped: bool) -> None:
    """Version 2 knows no testIdx, no failureReason, and calls the prompt's label `display` in old files."""
    old = [
        {
            "vars": {"text": text},
            "prompt": {"raw": f"Sort {text}", "display": f"prompt {which}"},
            "provider": {"id": "openai:gpt-4o-mini"},
            "success": success,
            "score": float(success),
            "latencyMs": 100,
            "response": {"output": "billing"} if text != "c" else None,
            "gradingResult": {"pass": success, "score": 1, "reason": "All assertions passed"},
        }
        for which in (1, 2)
        for text, success in (("a", True), ("b", which == 2), ("c", False))
    ]
    table = {"head": {"prompts": [], "vars": ["text"]}, "body": []}
    summary = {"version": 2, "timestamp": "", "results": old, "table": table, "stats": {"successes": 3}}
    found = read_evidence([saved(tmp_path, {"version": 2, "results": summary, "config": {}} if wrapped else summary)])
    assert scores(found) == {"prompt 1": [1, 0, 0], "prompt 2": [1, 1, 0]}
    assert found.options["prompt 1"].failed.tolist() == [False, False, True]


def test_lines_of_promptfoo_are_read_and_an_unknown_version_is_refused(tmp_path: Path) -> None:
    assert len(read_evidence([saved(tmp_path, (row("a", True), row("b", False)))])) == 2
    content = v3(row("a", True))
    content["results"]["version"] = 9
    with pytest.raises(DataError, match="version 9"):
        read_evidence([saved(tmp_path, content)])


def graded(text: str, passed: bool, rating: bool | None = None, at: int = 0) -> dict[str, Any]:
    """A row that a model graded, and a person rated in promptfoo's viewer."""
    parts = [{"pass": passed, "score": float(passed), "assertion": {"type": "llm-rubric", "value": "polite"}}]
    parts += [{"pass": rating, "score": float(rating), "assertion": {"type": "human"}}] if rating is not None else []
    said = passed if rating is None else rating
    return row(text, said, at, gradingResult={"pass": said, "reason": "told", "componentResults": parts})


def test_a_model_graded_assertion_is_a_judge_and_a_rating_in_the_viewer_a_label(tmp_path: Path) -> None:
    rows = [graded(f"q{i}", i % 3 > 0, rating=(i % 4 > 0) if i < 40 else None, at=i) for i in range(200)]
    judge = read_evidence([saved(tmp_path, v3(*rows))]).options["openai:gpt-4o-mini"].judge
    assert judge is not None
    assert (judge.rows, judge.labels) == (200, 40)
    assert judge.judge_mean == pytest.approx(sum(i % 3 > 0 for i in range(200)) / 200)


def test_verdicts_of_a_model_that_no_person_rated_count_with_a_warning(tmp_path: Path) -> None:
    found = read_evidence([saved(tmp_path, v3(*(graded(f"q{i}", i % 3 > 0) for i in range(30))))])
    option = found.options["openai:gpt-4o-mini"]
    assert (option.judge, option.score.mean()) == (None, pytest.approx(2 / 3))
    assert any("30 verdicts are a model's, and no person rated one of them" in note for note in found.notes)


def test_a_model_grader_of_hosted_evals_is_a_judge_too(tmp_path: Path) -> None:
    grader = [{"name": "quality", "type": "score_model", "passed": True, "score": 0.9}]
    found = read_evidence([saved(tmp_path, {"object": "list", "data": [item("a", True, results=grader)]})])
    assert any("1 verdicts are a model's" in note for note in found.notes)


def test_equal_vars_with_unlike_assertions_count_once_and_are_noted(tmp_path: Path) -> None:
    one, other = ({"testCase": {"assert": [{"type": "equals", "value": value}]}} for value in "xy")
    found = read_evidence([saved(tmp_path, v3(row("a", True, 0, **one), row("a", False, 1, **other)))])
    assert scores(found) == {"openai:gpt-4o-mini": [0.5]}
    assert any("unlike assertions" in note for note in found.notes)


@pytest.mark.parametrize("shape", ["page", "list", "lines", "pages"])
def test_output_items_are_read_in_every_shape_the_api_saves(tmp_path: Path, shape: str) -> None:
    tuned = ("run_b", "ft:gpt-4.1-mini:me::x")
    items = [item("a", True), item("b", False), item("a", True, *tuned), item("b", True, *tuned)]
    page = {"object": "list", "data": items, "first_id": "", "last_id": "", "has_more": False}
    shapes: dict[str, Any] = {"page": page, "list": items, "lines": tuple(items), "pages": (page,)}
    found = read_evidence([saved(tmp_path, shapes[shape])])
    assert scores(found) == {"gpt-5-mini": [1, 0], "ft:gpt-4.1-mini:me::x": [1, 1]}
    assert [option.family for option in found.options.values()] == ["prompt", "finetune"]
    usage = found.options["gpt-5-mini"].usage
    assert usage is not None
    assert (usage.calls, usage.input_tokens) == (2, 180)


def test_one_run_a_file_is_paired_across_files_by_what_was_asked(tmp_path: Path) -> None:
    first = saved(tmp_path, (item("a", True), item("b", True)), "a.jsonl")
    second = saved(tmp_path, (item("b", False, "run_b"), item("a", True, "run_b"), item("z", True, "run_b")), "b.jsonl")
    found = read_evidence([first, second])
    assert scores(found) == {"run_a": [1, 1], "run_b": [1, 0]}  # the same model twice: the runs tell them apart
    assert [(lost.option, lost.count) for lost in found.unpaired] == [("run_b", 1)]
    assert set(found.provenance) == {"a.jsonl", "b.jsonl", "rows"}


def test_output_items_without_a_verdict_or_an_input_are_named_and_a_failed_sample_is_wrong(tmp_path: Path) -> None:
    failed = item("c", False, status="error", results=[], sample={"error": {"code": "429", "message": "too many"}})
    bare = item("d", True, datasource_item={})
    found = read_evidence([saved(tmp_path, [item("a", True), item("b", True, results=[]), failed, bare])])
    option = found.options["gpt-5-mini"]
    assert (option.score.tolist(), option.failed.tolist()) == ([1, 0], [False, True])
    assert {lost.reason for lost in found.unpaired} == {"no value in correct", "no datasource_item to pair on"}


def test_the_answer_inside_a_datasource_item_does_not_keep_runs_apart(tmp_path: Path) -> None:
    some = [
        item("a", True, run, model, datasource_item={"text": "a", "sample.output_text": run})
        for run, model in (("run_a", "m1"), ("run_b", "m2"))
    ]
    assert len(read_evidence([saved(tmp_path, some)])) == 1


def test_a_table_is_told_by_its_content_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("item_id,option,correct,cost_usd,latency_s\n1,prompt,1,0,1\n", encoding="utf-8")
    assert list(read_evidence([path]).options) == ["prompt"]
    with pytest.raises(DataError, match="one table"):
        read_evidence([path, saved(tmp_path, v3(row("a", True)))])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}', "known are"),
        ("[]", "known are"),
        ('{"a": 1}\n{"b": ', "line 2: not JSON"),
        ("{broken", "line 1: not JSON"),
    ],
)
def test_json_in_no_known_format_is_refused_with_the_known_ones(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_evidence([tmp_path / "x"])
    with pytest.raises(DataError, match="cannot be read"):
        read_evidence([tmp_path / "missing"])


def test_names_and_families_of_options() -> None:
    assert option_names([("p", "m")]) == {("p", "m"): "m"}
    assert option_names([("p", "m"), ("q", "m")]) == {("p", "m"): "p", ("q", "m"): "q"}
    both = option_names([("p", "m"), ("q", "m"), ("p", "n"), ("q", "n")])
    assert both["p", "n"] == "p | n"
    assert model_of("openai:chat:gpt-5-mini") == model_of("gpt-5-mini") == "gpt-5-mini"
    assert model_of("python:script.py") is None
    assert family("x", "openai:chat:ft:gpt-4.1:me::id") == "finetune"
    assert (family("layered-v2", "http://host"), family("ours", "python:a.py")) == ("layered", "ours")
