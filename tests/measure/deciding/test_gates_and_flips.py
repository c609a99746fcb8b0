"""Limits that an option must pass, values at which a choice changes, and the accuracy that a prompt would need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tasklift.dataset import Dataset
from tasklift.economics import Economics, Gates
from tasklift.measure.deciding.decision import decide
from tasklift.measure.deciding.record import Decision
from tasklift.measure.evaluation import CandidateResult, Evaluation
from tasklift.measure.metrics import score
from tasklift.prediction import Prediction
from tasklift.strategies.artifact import Card
from tasklift.strategy import Family, Resources
from tasklift.task import Task

#: Finetuning costs 8,400 USD a year before the first item, prompting nothing.
ECONOMICS: Mapping[str, Any] = {
    "items_per_month": 20_000,
    "error_usd": 1.5,
    "review_usd": 0.4,
    "changes_per_year": 6,
    "options": {
        "finetune": {"setup_usd": 3000, "cost_per_change_usd": 900, "item_usd": 0},
        "prompt": {"item_usd": 0.001},
    },
}


def answers(rows: Dataset, wrong: int = 0, deferred: int = 0, failed: int = 0) -> list[Prediction]:
    """Every third row from the first on is wrong, so that all labels are hit; the last rows are deferred or failed."""
    order = sorted(range(len(rows)), key=lambda i: (i % 3, i))
    found = [Prediction(output=row.output) for row in rows]
    for i in order[:wrong]:
        found[i] = Prediction(output="green" if rows.examples[i].output == "red" else "red")
    for i in order[len(rows) - deferred :]:
        found[i] = Prediction(deferred=True)
    for i in order[len(rows) - deferred - failed : len(rows) - deferred]:
        found[i] = Prediction.failed("server", "no answer")
    return found


def evaluated(
    task: Task, rows: Dataset, said: Mapping[str, tuple[Family, list[Prediction]]], **rest: Any
) -> Evaluation:
    """An evaluation of candidates that said this; `rest` are latencies and traits of all of them."""
    traits = {"deterministic": True, "remote": False, "data_leaves_machine": False} | rest.get("traits", {})
    seconds: Sequence[float] = rest.get("latencies", (0.01,))
    results = []
    for name, (family, predictions) in said.items():
        card = Card(name, name, family, {}, task.labels, task.instruction, ("text",), Resources(), frozenset())
        scores = score(predictions, rows.outputs, seconds, 0.97)
        results.append(CandidateResult(name, card, traits, tuple(predictions), tuple(seconds), scores))
    return Evaluation("made-up", task, rows, tuple(results), next(iter(said)), {})


def economics(**changed: Any) -> Economics:
    return Economics.model_validate({**ECONOMICS, **changed})


def cheapest(decision: Decision) -> str:
    """Family of the cheapest option that may be chosen."""
    allowed = [option for option in decision.options.values() if option.passes and option.family != "baseline"]
    return min(allowed, key=lambda option: option.expected_usd).family


# Gates


@pytest.mark.parametrize(
    ("gates", "wrong", "failed", "rest", "why"),
    [
        ({"min_metric": 0.8}, 6, 0, {}, ""),
        ({"min_metric": 0.9}, 6, 0, {}, "P(accuracy >= 0.9) = 0."),
        ({"min_metric": 0.95}, 0, 0, {}, ""),
        ({"min_metric": 1.0}, 0, 0, {}, "P(accuracy >= 1) = 0.5"),
        ({"max_p95_latency_s": 2.0}, 0, 0, {"latencies": (0.5, 2.0, 2.0)}, ""),
        ({"max_p95_latency_s": 2.0}, 0, 0, {"latencies": (0.5, 2.0, 2.5)}, "p95 2.45 s > 2 s"),
        ({"min_valid_outputs": 0.95}, 0, 3, {}, ""),
        ({"min_valid_outputs": 0.95}, 0, 4, {}, "93.3% valid < 95.0%"),
        ({"data_leaves_machine": False}, 0, 0, {}, ""),
        ({"data_leaves_machine": False}, 0, 0, {"traits": {"data_leaves_machine": True}}, "text leaves the machine"),
        ({"data_leaves_machine": True}, 0, 0, {"traits": {"data_leaves_machine": True}}, None),
        ({"deterministic": True}, 0, 0, {}, ""),
        ({"deterministic": True}, 0, 0, {"traits": {"deterministic": False}}, "equal inputs may give different"),
        ({"deterministic": False}, 0, 0, {"traits": {"deterministic": False}}, None),
    ],
)
def test_each_gate_passes_and_fails_with_a_reason(
    colours: Task,
    colour_rows: Dataset,
    gates: dict[str, Any],
    wrong: int,
    failed: int,
    rest: dict[str, Any],
    why: str | None,
) -> None:
    said: dict[str, tuple[Family, list[Prediction]]] = {
        "prompt": ("prompt", answers(colour_rows, wrong=wrong, failed=failed))
    }
    decision = decide(evaluated(colours, colour_rows, said, **rest), economics(), Gates.model_validate(gates))
    option = decision.options["prompt"]
    name = next(iter(gates))
    if why is None:
        assert name not in option.gates
    elif why:
        assert option.gates[name].startswith(why)
    else:
        assert option.gates[name] == ""
    assert option.passes == (not why)
    assert (option.p_best == 0) == bool(why)
    shown = decision.to_json()["options"]["prompt"]["gates"]
    assert shown == {gate: reason or "passed" for gate, reason in option.gates.items()}


def test_the_accuracy_gate_asks_for_the_stated_confidence(colours: Task, colour_rows: Dataset) -> None:
    evaluation = evaluated(colours, colour_rows, {"prompt": ("prompt", answers(colour_rows, wrong=6))})
    strict, mild = (
        decide(evaluation, economics(), Gates(min_metric=0.88, gate_confidence=confidence)).options["prompt"].passes
        for confidence in (0.9, 0.5)
    )
    assert (strict, mild) == (False, True)


def test_the_accuracy_gate_counts_deferred_rows_at_the_reviewers_accuracy(colours: Task, colour_rows: Dataset) -> None:
    evaluation = evaluated(colours, colour_rows, {"layered": ("layered", answers(colour_rows, deferred=30))})
    gates = Gates(min_metric=0.9)
    good, bad = (
        decide(evaluation, economics(reviewer_accuracy=accuracy), gates).options["layered"].passes
        for accuracy in (0.97, 0.7)
    )
    assert (good, bad) == (True, False)


def test_the_gate_looks_at_the_first_metric_of_the_task(colours: Task, colour_rows: Dataset) -> None:
    by_f1 = colours.model_copy(update={"metrics": ("macro_f1",)})
    never_blue = [Prediction(output=row.output if row.output != "blue" else "red") for row in colour_rows]
    mostly_red = Dataset(colour_rows.examples[:45], name="few blue")
    said: dict[str, tuple[Family, list[Prediction]]] = {"prompt": ("prompt", never_blue[:45])}
    gates = Gates(min_metric=0.75)
    assert decide(evaluated(colours, mostly_red, said), economics(), gates).options["prompt"].passes
    refused = decide(evaluated(by_f1, mostly_red, said), economics(), gates).options["prompt"]
    assert refused.gates["min_metric"].startswith("P(macro_f1 >= 0.75) = ")


def test_people_must_be_as_accurate_as_the_gate_asks(colours: Task, colour_rows: Dataset) -> None:
    evaluation = evaluated(colours, colour_rows, {"prompt": ("prompt", answers(colour_rows))})
    gates = Gates(min_metric=0.98)
    assert not decide(evaluation, economics(), gates).options["human"].passes
    told = economics(options={"human": {"accuracy": 0.99}})
    assert decide(evaluation, told, gates).options["human"].passes
    assert decide(evaluation, economics(), Gates(min_metric=0.97)).options["human"].passes


def test_gates_of_the_economics_replace_those_of_the_task(colours: Task, colour_rows: Dataset) -> None:
    evaluation = evaluated(colours, colour_rows, {"prompt": ("prompt", answers(colour_rows, wrong=20))})
    own = economics(gates={"min_metric": 0.5})
    assert decide(evaluation, own, Gates(min_metric=0.95)).options["prompt"].passes
    assert not decide(evaluation, economics(), Gates(min_metric=0.95)).options["prompt"].passes


# Flips


@pytest.fixture
def rivals(colours: Task, colour_rows: Dataset) -> Evaluation:
    """Finetuned: 5% wrong. Prompted: 15% wrong."""
    said: dict[str, tuple[Family, list[Prediction]]] = {
        "prompt": ("prompt", answers(colour_rows, wrong=9)),
        "finetune": ("finetune", answers(colour_rows, wrong=3)),
    }
    return evaluated(colours, colour_rows, said)


@pytest.mark.parametrize(
    ("key", "by_hand", "other"),
    [
        ("items_per_month", 8400 / (0.1 * 1.5 + 0.001) / 12, "prompt"),
        ("error_usd", (8400 / 240_000 - 0.001) / 0.1, "prompt"),
        ("review_usd", 8400 / 240_000 + (3.5 / 61 - 0.03) * 1.5, "human"),
        ("changes_per_year", (240_000 * (0.1 * 1.5 + 0.001) - 3000) / 900, "prompt"),
    ],
)
def test_at_the_flipped_value_another_family_is_the_cheapest(
    rivals: Evaluation, key: str, by_hand: float, other: str
) -> None:
    decision = decide(rivals, economics())
    value = decision.flips[key]
    assert decision.candidate == "finetune"
    assert value == pytest.approx(by_hand, rel=0.02)
    beyond = 1.05 if value > ECONOMICS[key] else 1 / 1.05
    assert cheapest(decide(rivals, economics(**{key: value * beyond}))) == other
    assert cheapest(decide(rivals, economics(**{key: value / beyond}))) == "finetune"


def test_a_flip_is_the_nearest_one(rivals: Evaluation) -> None:
    """Dearer errors would make people the cheapest, but only at twelve times the price."""
    assert decide(rivals, economics()).flips["error_usd"] < ECONOMICS["error_usd"]
    near = economics(error_usd=12)
    assert decide(rivals, near).flips["error_usd"] == pytest.approx(
        (0.4 - 8400 / 240_000) / (3.5 / 61 - 0.03), rel=0.02
    )


def test_an_uncertain_parameter_flips_at_its_median(rivals: Evaluation) -> None:
    spread = economics(items_per_month={"p10": 10_000, "p50": 20_000, "p90": 40_000})
    value = decide(rivals, spread).flips["items_per_month"]
    assert value is not None
    scaled = {name: value / 1.1 * factor for name, factor in (("p10", 0.5), ("p50", 1.0), ("p90", 2.0))}
    assert cheapest(decide(rivals, economics(items_per_month=scaled))) == "prompt"


def test_what_cannot_change_the_choice_has_no_flip(colours: Task, colour_rows: Dataset) -> None:
    evaluation = evaluated(colours, colour_rows, {"prompt": ("prompt", answers(colour_rows))})
    flips = decide(evaluation, economics(options={}, changes_per_year=0)).flips
    assert set(flips.values()) == {None}


# The accuracy that a prompt would need


def test_a_prompt_with_the_needed_accuracy_costs_as_much_as_its_rival(colours: Task, colour_rows: Dataset) -> None:
    """12,000 items a year at 1 USD an error: 1,200 + 600 of the rival are 600 + 1,200 of a prompt that errs 10%."""
    money = economics(
        items_per_month=1000,
        error_usd=1,
        changes_per_year=0,
        options={"finetune": {"setup_usd": 1200, "item_usd": 0}, "prompt": {"item_usd": 0.05}},
    )
    tuned = ("finetune", answers(colour_rows, wrong=3))

    def decided(wrong: int) -> Decision:
        said = {"prompt": ("prompt", answers(colour_rows, wrong=wrong)), "finetune": tuned}
        return decide(evaluated(colours, colour_rows, said), money)  # type: ignore[arg-type]

    needs = decided(20).prompt_needs
    at_par = 1 - (600 / 12_000 + 3.5 / 61)
    assert needs == {
        "candidate": "prompt",
        "accuracy": pytest.approx(at_par, abs=1e-6),
        "measured": pytest.approx(2 / 3),
    }
    at_it, better, worse = decided(6), decided(5), decided(7)
    assert at_it.options["prompt"].expected_usd == pytest.approx(at_it.options["finetune"].expected_usd, rel=0.02)
    assert (cheapest(better), cheapest(worse)) == ("prompt", "finetune")


def test_a_prompt_that_is_too_dear_even_without_an_error_cannot_win(rivals: Evaluation) -> None:
    needs = decide(rivals, economics(options={"prompt": {"item_usd": 5.0}})).prompt_needs
    assert needs is not None
    assert (needs["candidate"], needs["accuracy"]) == ("prompt", None)


def test_a_prompt_needs_at_least_what_the_gate_asks(rivals: Evaluation) -> None:
    free = economics(items_per_month=10)
    needs = decide(rivals, free, Gates(min_metric=0.8)).prompt_needs
    assert needs is not None
    assert needs["accuracy"] == 0.8


def test_without_a_prompted_candidate_nothing_is_needed(colours: Task, colour_rows: Dataset) -> None:
    evaluation = evaluated(colours, colour_rows, {"finetune": ("finetune", answers(colour_rows))})
    assert decide(evaluation, economics()).prompt_needs is None


def test_a_prompt_that_another_limit_rules_out_is_not_told_which_accuracy_would_win(rivals: Evaluation) -> None:
    assert decide(rivals, economics()).prompt_needs is not None
    assert decide(rivals, economics(), Gates(max_p95_latency_s=1e-9)).prompt_needs is None
