"""Business rules: what each kind finds, what is mended, blocked or left to a person, and what is counted."""

from __future__ import annotations

from typing import Any

import pytest

from tasklift.errors import ConfigError
from tasklift.prediction import Prediction, Usage
from tasklift.rule import RuleSpec
from tasklift.rules.apply import BLOCKED, apply_rules, build_rules
from tasklift.rules.base import Said


def rule(kind: str, then: str = "block", name: str = "r", **rest: Any) -> RuleSpec:
    return RuleSpec(name=name, kind=kind, then=then, **rest)


def run(output: Any, *specs: RuleSpec, text: str = "Where is my parcel?", **rest: Any) -> Prediction:
    return apply_rules(build_rules(specs), Prediction(output, **rest), {"text": text})


@pytest.mark.parametrize(
    ("spec", "good", "bad", "why"),
    [
        (rule("allowed", values=["a", "b"]), "a", "c", "the answer is 'c', allowed: a, b"),
        (rule("allowed", values=["a"], field="q.x"), {"q": {"x": "a"}}, {"q": {}}, "q.x is None, allowed: a"),
        (rule("allowed", values=["a", "b"]), ["a", "b"], ["a", "c"], "the answer is 'c'"),
        (
            rule("check", require="output.total >= output.tax"),
            {"total": 3, "tax": 1},
            {"total": 1, "tax": 3},
            "does not",
        ),
        (rule("check", require="output != 'b'", when="'parcel' in input.text"), "a", "b", "does not hold where"),
        (rule("check", require="output.total > 1"), {"total": 2}, {"total": "x"}, "cannot be told"),
        (
            rule("forbidden", phrases=["we  guarantee"]),
            "we guaranteed it",
            "So WE guarantee it.",
            "says 'WE gua",
        ),
        (rule("forbidden", phrases=["50 %"]), "5 %", {"reply": ["take 50 % off"]}, "says '50 %'"),
        (rule("length", max_chars=5), "12345", "123456", "6 characters, at most 5"),
        (rule("length", max_words=2), "one two", "one two three", "3 words, at most 2"),
        (rule("length", min_chars=2), "12", "1", "1 characters, at least 2"),
        (rule("length", max_chars=5, field="reply"), {"reply": "x"}, {"other": "x"}, "reply is no text"),
    ],
)
def test_each_kind_finds_what_it_is_for(spec: RuleSpec, good: Any, bad: Any, why: str) -> None:
    assert run(good, spec) == Prediction(good)
    found = run(bad, spec, usage=Usage(calls=1))
    assert found.error is not None
    assert (found.output, found.error.kind, found.usage.calls) == (None, BLOCKED, 1)
    assert why in found.error.message
    assert found.notes["rules"] == [{"rule": "r", "did": "blocked", "why": found.error.message.partition(": ")[2]}]
    assert found.children[0].output == bad


def test_an_answer_in_another_language_is_found() -> None:
    german, english = "Ihr Paket kommt morgen mit der Post bei Ihnen an.", "Your parcel will arrive by mail tomorrow."
    asked = "Where is the parcel that I ordered two weeks ago?"
    assert run(english, rule("language"), text=asked).error is None
    assert "is in 'de', must be in 'en'" in str(run(german, rule("language"), text=asked).error)
    assert run(german, rule("language", language="de"), text=asked).error is None
    assert run("ok", rule("language", language="de")).error is None  # too short to be told


def test_sources_must_be_named() -> None:
    assert "cites 0 sources, at least 1" in str(run("x", rule("cite")).error)
    assert run("x", rule("cite"), citations=({"document": "policy.md", "chunk": 3},)).error is None
    assert "no allowed source" in str(
        run("x", rule("cite", sources=["policy"]), citations=({"document": "other.md"},)).error
    )


def test_a_row_can_be_left_to_a_person() -> None:
    found = run("refund", rule("check", "person", require="false"), confidence=0.7)
    assert (found.deferred, found.output, found.confidence, found.error) == (True, None, None, None)
    assert (found.children[0].output, found.children[0].confidence) == ("refund", 0.7)
    assert found.notes["rules"][0]["did"] == "deferred"


@pytest.mark.parametrize(
    ("spec", "before", "after"),
    [
        (rule("allowed", "repair", values=["a"], replace={"A": "a"}), "A", "a"),
        (rule("allowed", "repair", values=["a", "b"], default="b"), "A", "b"),
        (rule("allowed", "repair", values=["a"], replace={"A": "a"}, field="x"), {"x": ["A", "a"]}, {"x": ["a", "a"]}),
        (rule("forbidden", "repair", phrases=["guarantee"], instead="expect"), "We guarantee it.", "We expect it."),
        (rule("length", "repair", max_chars=12), "One. Two. Three.", "One. Two."),
        (rule("length", "repair", max_words=2, field="r"), {"r": "One two! And more."}, {"r": "One two!"}),
    ],
)
def test_an_answer_can_be_mended(spec: RuleSpec, before: Any, after: Any) -> None:
    found = run(before, spec, scores=None, confidence=0.9)
    assert (found.output, found.error) == (after, None)
    assert found.notes["rules"][0]["did"] == "repaired"


def test_what_cannot_be_mended_is_blocked() -> None:
    found = run("no end in sight", rule("length", "repair", max_chars=5))
    assert "it cannot be mended" in str(found.error)


def test_a_repair_that_breaks_another_rule_is_a_conflict() -> None:
    first = rule("length", name="long", min_chars=10)
    second = rule("length", "repair", name="short", max_chars=12)
    found = run("One. Two and three", first, second)
    assert found.error is not None
    assert [one["did"] for one in found.notes["rules"]] == ["repaired", "conflict"]
    assert "mending 'short' breaks 'long'" in found.error.message


def test_failed_and_deferred_answers_pass() -> None:
    rules = build_rules([rule("check", require="false")])
    for said in (Prediction(deferred=True), Prediction.failed("timeout", "late")):
        assert apply_rules(rules, said, {}) is said


def test_a_function_of_ones_own_is_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasklift import registry  # noqa: PLC0415

    def loud(said: Said) -> str | None:
        return "shouts" if str(said.output).isupper() else None

    known = registry.load
    monkeypatch.setattr(registry, "load", lambda kind, name: loud if name == "loud" else known(kind, name))
    assert run("HELLO", rule("loud")).error is not None
    assert run("hello", rule("loud")).error is None
    with pytest.raises(ConfigError, match="cannot repair"):
        build_rules([rule("loud", "repair")])
    with pytest.raises(ConfigError, match="takes no 'x'"):
        build_rules([rule("loud", x=1)])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (rule("alowed"), "no rule is called 'alowed'; did you mean 'allowed'"),
        (rule("allowed", valuse=["a"]), "kind 'allowed' has no 'valuse'; did you mean 'values'"),
        (rule("allowed"), "rule 'r': rule of kind 'allowed': `values` is empty"),
        (rule("allowed", values=["a"], default="b"), "repairs to 'b', which is not one of"),
        (rule("check", require="output =="), "'output =='"),
        (rule("check"), "`require` is empty"),
        (rule("forbidden", phrases=[""]), "none empty"),
        (rule("forbidden", phrases=["x"], instead="x y"), "is forbidden itself"),
        (rule("length"), "above 0"),
        (rule("length", min_chars=9, max_chars=3), "min_chars = 9 is above max_chars = 3"),
        (rule("cite", least=0), "least = 0"),
        (rule("cite", "repair"), "kind 'cite' cannot repair"),
    ],
)
def test_rules_that_make_no_sense_are_refused(spec: RuleSpec, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build_rules([spec])


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two rules are called 'r'"):
        build_rules([rule("cite"), rule("cite")])
