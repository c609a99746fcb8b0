"""Settings in TOML: each mistake is answered with file, key, value and the nearest known key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasklift.economics import Economics, Gates, OptionCosts, Quantity, exactly, option_key
from tasklift.errors import ConfigError
from tasklift.project import TaskFile
from tasklift.schema import parse, read_toml

LABELS = {"billing": "Charges", "technical": "Broken"}
TASK: dict[str, Any] = {"name": "triage", "instruction": "Sort.", "output": {"kind": "label", "labels": LABELS}}


def refusal(**changed: Any) -> str:
    """What a user reads about a task file with these keys."""
    with pytest.raises(ConfigError) as caught:
        parse(TaskFile, TASK | changed, "tasks/triage/task.toml")
    lines = str(caught.value).splitlines()
    assert all(line.startswith("tasks/triage/task.toml: ") for line in lines)
    return "\n".join(line.removeprefix("tasks/triage/task.toml: ") for line in lines)


def economics_refusal(**keys: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(Economics, keys, "economics.toml")
    return str(caught.value)


def test_a_right_file_is_read() -> None:
    read = parse(TaskFile, TASK | {"economics": {"items_per_month": 500}}, "task.toml")
    assert read.labels == LABELS
    assert read.economics is not None
    assert read.economics.items_per_month == exactly(500)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"instructon": "x"}, "unknown key `instructon`; did you mean `instruction`?"),
        ({"gates": {"min_metrc": 0.5}}, "unknown key `gates.min_metrc`; did you mean `min_metric`?"),
        (
            {"output": {"kind": "label", "labels": LABELS, "out_of_scop": "billing"}},
            "unknown key `output.out_of_scop`; did you mean `out_of_scope`?",
        ),
        ({"data": {"file": "d.jsonl", "test_sahre": 0.2}}, "unknown key `data.test_sahre`; did you mean `test_share`?"),
        (
            {"economics": {"items_per_month": 5, "options": {"prompt": {"setup_us": 3}}}},
            "unknown key `economics.options.prompt.setup_us`; did you mean `setup_usd`?",
        ),
        (
            {"economics": {"items_per_month": 5, "prices": {"label_us": 3}}},
            "unknown key `economics.prices.label_us`; did you mean `label_usd`?",
        ),
        ({"zzz": 1}, "unknown key `zzz`"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(changed: dict[str, Any], message: str) -> None:
    assert refusal(**changed) == message


def test_keys_inside_a_list_are_checked_too() -> None:
    step = {"up_to_items": 1000, "usd_per_year": 5}
    message = refusal(economics={"items_per_month": 5, "options": {"human": {"capacity": [step]}}})
    assert "unknown key `economics.options.human.capacity.0.up_to_items`" in message
    assert "did you mean `up_to_items_per_month`?" in message


def test_every_problem_has_a_line_of_its_own() -> None:
    lines = refusal(name="Bad", gates={"min_metric": 2}, nothing=1).splitlines()
    assert len(lines) == 3
    assert "`name`" in lines[0]
    assert "`gates.min_metric`: Input should be less than or equal to 1 (got 2)" in lines[1]


@pytest.mark.parametrize("key", ["name", "instruction", "output"])
def test_a_missing_key_is_named(key: str) -> None:
    with pytest.raises(ConfigError, match=f"^task.toml: the key `{key}` is missing$"):
        parse(TaskFile, {name: value for name, value in TASK.items() if name != key}, "task.toml")


def test_a_missing_kind_of_output_is_named() -> None:
    assert refusal(output={"labels": LABELS}) == 'the key `output.kind` is missing; write kind = "label"'


def test_an_unknown_kind_of_output_lists_the_known_ones() -> None:
    message = refusal(output={"kind": "lable", "labels": LABELS})
    assert message.startswith("`output`: ")
    assert "'lable'" in message
    assert "'label', 'labels', 'number', 'json', 'text'" in message


@pytest.mark.parametrize("name", ["text", "label", "json", "number", "labels"])
def test_labels_named_like_a_kind_of_output_are_named_in_full(name: str) -> None:
    message = refusal(output={"kind": "label", "labels": {name: 5, "other": "x"}})
    assert message == f"`output.labels.{name}`: Input should be a valid string (got 5)"


def test_a_wrong_column_is_named_in_full() -> None:
    assert "`data.fields.text`: " in refusal(data={"file": "d.csv", "fields": {"text": 5}})


def test_a_label_set_that_is_too_small_is_shown() -> None:
    message = refusal(output={"kind": "label", "labels": {"billing": "Charges"}})
    assert message == "`output.labels`: a task needs at least two labels (got {'billing': 'Charges'})"


def test_a_long_value_is_cut() -> None:
    message = refusal(metrics="x" * 500)
    assert len(message) < 200
    assert "..." in message


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_a_test_share_that_leaves_one_side_empty_is_refused(share: float) -> None:
    assert "`data.test_share`" in refusal(data={"file": "d.jsonl", "test_share": share})


def test_a_file_that_is_missing_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: no such file\. `tasklift init`"):
        read_toml(tmp_path / "nowhere.toml")


def test_malformed_toml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_text('name = "triage"\ninstruction = Sort it\n')
    with pytest.raises(ConfigError, match=r"task\.toml: not valid TOML: .*line 2") as caught:
        read_toml(path)
    assert str(path) in str(caught.value)


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_text('name = "a"\nname = "b"\n')
    with pytest.raises(ConfigError, match="not valid TOML: Cannot overwrite a value"):
        read_toml(path)


def test_another_encoding_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_bytes('name = "a"\ninstruction = "Übersicht"\n'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"task\.toml: line 2: not UTF-8\. Save the file as UTF-8\."):
        read_toml(path)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_text('name = "a"\n', encoding="utf-8-sig")
    assert read_toml(path) == {"name": "a"}


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_toml(tmp_path)


def test_one_number_stands_for_three_percentiles() -> None:
    read = parse(Economics, {"items_per_month": 500, "error_usd": {"p10": 1, "p50": 2, "p90": 4}}, "e.toml")
    assert read.items_per_month == Quantity(p10=500, p50=500, p90=500)
    assert read.error_usd.p90 == 4


@pytest.mark.parametrize(("p10", "p50", "p90"), [(3, 2, 4), (1, 5, 4)])
def test_percentiles_must_rise(p10: float, p50: float, p90: float) -> None:
    message = economics_refusal(items_per_month={"p10": p10, "p50": p50, "p90": p90})
    assert f"economics.toml: `items_per_month`: percentiles must rise: p10={float(p10)}, p50={float(p50)}" in message


@pytest.mark.parametrize("amount", [-1, float("inf"), float("nan"), True, "many", [1, 2, 3], {"p50": 3}])
def test_amounts_that_are_no_finite_quantity_are_refused(amount: Any) -> None:
    assert "economics.toml: " in economics_refusal(items_per_month=amount)
    assert "items_per_month" in economics_refusal(items_per_month=amount)


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"currency": "EUR"}, "currency"),
        ({"horizon_months": 0}, "horizon_months"),
        ({"margin": 1}, "margin"),
        ({"reviewer_accuracy": 1.2}, "reviewer_accuracy"),
        ({"items_per_month": 0}, "items_per_month"),
        ({"options": {"human": {"accuracy": -0.1}}}, "options.human.accuracy"),
        ({"options": {"human": {"accuracy": 1.1}}}, "options.human.accuracy"),
        (
            {"options": {"prompt": {"review_share": {"p10": 0.1, "p50": 0.5, "p90": 1.5}}}},
            "options.prompt.review_share",
        ),
        ({"gates": {"gate_confidence": 1}}, "gates.gate_confidence"),
        ({"gates": {"max_p95_latency_s": 0}}, "gates.max_p95_latency_s"),
        ({"error_usd_by_label": {"billing": -2}}, "error_usd_by_label.billing"),
        (
            {"options": {"human": {"capacity": [{"up_to_items_per_month": 0, "usd_per_year": 1}]}}},
            "options.human.capacity.0.up_to_items_per_month",
        ),
    ],
)
def test_values_out_of_range_name_their_key(keys: dict[str, Any], key: str) -> None:
    assert f"economics.toml: `{key}`: " in economics_refusal(**({"items_per_month": 10} | keys))


def test_a_volume_is_the_one_thing_that_must_be_said() -> None:
    assert economics_refusal() == "economics.toml: the key `items_per_month` is missing"
    read = Economics(items_per_month=exactly(100))
    assert read.error_usd == read.review_usd == exactly(0)
    assert read.gates is None


def test_nothing_is_gated_unless_asked_for() -> None:
    gates = Gates()
    assert (gates.min_metric, gates.max_p95_latency_s, gates.min_valid_outputs) == (None, None, None)
    assert gates.data_leaves_machine
    assert OptionCosts().setup_usd is None


def test_economics_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Economics(items_per_month=exactly(1)).margin = 0.5  # type: ignore[misc]


def test_the_key_of_an_option_can_be_copied_into_the_file() -> None:
    for name in ("finetune", "openai:chat:gpt-5", 'a "b"'):
        assert tomllib.loads(f"{option_key(name, 'item_usd')} = 0.1") == {"options": {name: {"item_usd": 0.1}}}
