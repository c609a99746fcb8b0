"""Reading rows: both formats, the mapping of columns, and every kind of row that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_up_tasks import task_of

from tasklift.data.read import read_dataset
from tasklift.dataset import Dataset
from tasklift.errors import ConfigError, DataError
from tasklift.task import Number, Task

GOOD = {"id": "1", "input": {"text": "a ruby"}, "output": "red"}


def jsonl(folder: Path, *rows: Any) -> Path:
    """A file of these rows; text is written as it is."""
    path = folder / "rows.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def csv(folder: Path, *lines: str) -> Path:
    path = folder / "rows.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def refusal(path: Path, task: Task, fields: dict[str, str] | None = None) -> str:
    """What a user reads about a file; it always begins with the file's name."""
    with pytest.raises(DataError) as caught:
        read_dataset(path, task, fields)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def texts(data: Dataset) -> list[str]:
    return [row.input["text"] for row in data]


def test_the_pinned_format_is_read_whole(tmp_path: Path, colours: Task) -> None:
    row = GOOD | {"split": "test", "slice": {"via": "mail"}, "group": "anna", "source": "export", "time": "2026-05-01"}
    (read,) = read_dataset(jsonl(tmp_path, row), colours)
    assert read.to_json() == row


def test_a_short_row_is_understood(tmp_path: Path, colours: Task) -> None:
    data = read_dataset(
        jsonl(tmp_path, {"text": "a ruby", "label": "red"}, {"text": "moss", "label": "green"}), colours
    )
    assert [(row.id, row.output) for row in data] == [("row-1", "red"), ("row-2", "green")]
    assert data.name == "rows"
    assert data.lineage == ("read rows.jsonl",)


def test_blank_lines_windows_line_ends_and_a_byte_order_mark_are_no_mistake(tmp_path: Path, colours: Task) -> None:
    path = tmp_path / "rows.jsonl"
    body = '{"text": "a ruby", "label": "red"}\r\n\r\n{"text": "moss", "label": "green"}'
    path.write_bytes(body.encode("utf-8-sig"))
    assert texts(read_dataset(path, colours)) == ["a ruby", "moss"]


def test_csv_holds_commas_quotes_and_line_breaks(tmp_path: Path, colours: Task) -> None:
    path = csv(tmp_path, "id,text,label", '7,"a ""ruby"", red\nand old",red', "8,moss,green")
    data = read_dataset(path, colours)
    assert [row.id for row in data] == ["7", "8"]
    assert texts(data)[0] == 'a "ruby", red\nand old'


def test_the_ending_may_be_in_capitals(tmp_path: Path, colours: Task) -> None:
    path = csv(tmp_path, "text,label", "moss,green").rename(tmp_path / "EXPORT.CSV")
    assert texts(read_dataset(path, colours)) == ["moss"]


def test_columns_are_mapped(tmp_path: Path, colours: Task) -> None:
    path = csv(tmp_path, "nr,message,queue,via,customer", "9,moss,green,mail,anna", "10,lime,green,chat,")
    fields = {"id": "nr", "text": "message", "output": "queue", "slice.channel": "via", "group": "customer"}
    first, second = read_dataset(path, colours, fields)
    assert (first.id, first.output, first.slice, first.group) == ("9", "green", {"channel": "mail"}, "anna")
    assert second.group is None  # an empty cell is no group of its own


def test_a_mapped_column_that_is_missing_is_named(tmp_path: Path, colours: Task) -> None:
    message = refusal(csv(tmp_path, "message,queue", "moss,green"), colours, {"text": "mesage", "output": "queue"})
    assert "line 2: no column 'mesage' (mapped to text); the row has: message, queue" in message


def test_a_mapped_text_that_is_empty_is_named(tmp_path: Path, colours: Task) -> None:
    message = refusal(csv(tmp_path, "message,queue", ",green"), colours, {"text": "message", "output": "queue"})
    assert "line 2: the input field 'text' is empty (column 'message')" in message


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("txt", "did you mean 'text'"),
        ("label", "did you mean 'output'"),
        ("ouput", "did you mean 'output'"),
        ("slice.", "known: text, id, output, .*slice.NAME|did you mean"),
        ("zzz", "known: text, id, output, .*slice.NAME"),
    ],
)
def test_an_unknown_target_is_answered_with_the_nearest(tmp_path: Path, colours: Task, target: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"no field '{target}' can be mapped; .*({hint})"):
        read_dataset(jsonl(tmp_path, GOOD), colours, {target: "output"})


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (GOOD | {"output": "Red"}, "unknown label 'Red'; did you mean 'red'?"),
        (GOOD | {"output": "purple"}, "unknown label 'purple'; the task knows 3 labels: red, green, blue"),
        (GOOD | {"output": 3}, "unknown label 3"),
        (GOOD | {"output": ["red"]}, "unknown label ['red']"),
        (GOOD | {"output": {"label": "red"}}, "unknown label {'label': 'red'}"),
        (GOOD | {"input": {"text": ""}}, "the input field 'text' is empty (id 1); remove the row or fill it in"),
        (GOOD | {"input": {"text": " \n\t"}}, "the input field 'text' is empty (id 1)"),
        (GOOD | {"input": {"text": 5}}, "the input field 'text' is int, not text (id 1)"),
        (GOOD | {"input": {"text": ["a"]}}, "the input field 'text' is list, not text (id 1)"),
        (
            GOOD | {"input": {"body": "a"}},
            "the input field 'text' is missing or empty; map it with --field text=COLUMN",
        ),
        ({"message": "a", "label": "red"}, "map it with --field text=COLUMN (the row has: message, label)"),
        ({"text": "", "label": "red"}, "the input field 'text' is missing or empty"),
        ("{}", "the input field 'text' is missing or empty"),
        ('{"text": "a", "label": "red"', "not valid JSON (Expecting ',' delimiter at column 29)"),
        ("{'text': 'a'}", "not valid JSON (Expecting property name enclosed in double quotes at column 2)"),
        ('["a", "red"]', "a row must be an object, not list"),
        ("17", "a row must be an object, not int"),
        ("[" * 100_000, "not usable JSON (a number is too long or the nesting too deep)"),
        ('{"text": "a", "label": ' + "1" * 5000 + "}", "not usable JSON (a number is too long"),
        ('{"text": "cake \\ud83c", "label": "red"}', "holds half of a character"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_by_its_line(tmp_path: Path, colours: Task, row: Any, problem: str) -> None:
    message = refusal(jsonl(tmp_path, GOOD | {"id": "0"}, row, GOOD | {"id": "2"}), colours)
    assert message.startswith("1 problem(s)\n  line 2: ")
    assert problem in message


def test_an_escaped_pair_is_one_character(tmp_path: Path, colours: Task) -> None:
    data = read_dataset(jsonl(tmp_path, '{"text": "cake \\ud83c\\udf82", "label": "red"}'), colours)
    assert texts(data) == ["cake 🎂"]


def test_every_input_field_must_be_there(tmp_path: Path, colours: Task) -> None:
    mail = colours.model_copy(update={"input_fields": ("subject", "text")})
    message = refusal(jsonl(tmp_path, GOOD, {"subject": "s", "text": "t", "label": "red"}), mail)
    assert message.startswith("1 problem(s)\n  line 1: the input field 'subject' is missing")


def test_an_id_given_twice_names_both_lines(tmp_path: Path, colours: Task) -> None:
    rows = [GOOD, GOOD | {"id": 2}, GOOD | {"id": 1}, GOOD | {"id": "2"}]
    message = refusal(jsonl(tmp_path, *rows), colours)
    assert "line 3: id '1' already stands at line 1; ids must be unique" in message
    assert "line 4: id '2' already stands at line 2; ids must be unique" in message


def test_ten_problems_are_listed_and_the_rest_counted(tmp_path: Path, colours: Task) -> None:
    message = refusal(jsonl(tmp_path, *(GOOD | {"id": str(n), "output": "x"} for n in range(25))), colours)
    assert message.startswith("25 problem(s)\n")
    assert message.count("\n  line ") == 10
    assert message.endswith("... and 15 more")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_names_the_line(tmp_path: Path, colours: Task, name: str, encoding: str) -> None:
    path = tmp_path / name
    path.write_bytes('{"text": "moss", "label": "green"}\n{"text": "Grün", "label": "green"}\n'.encode(encoding))
    line, byte = (1, "0xff") if encoding == "utf-16" else (2, "0xfc")
    assert refusal(path, colours) == f"line {line}: not UTF-8 (byte {byte}). Save the file as UTF-8."


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_file_says_so(tmp_path: Path, colours: Task, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert "the file has no rows" in refusal(tmp_path / name, colours)


def test_a_header_alone_is_an_empty_file(tmp_path: Path, colours: Task) -> None:
    assert "the file has no rows" in refusal(csv(tmp_path, "id,text,label"), colours)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["1,a ruby, old,red"], "line 3: expected 3 columns; quote fields that hold the separator"),
        (["1,a ruby"], "line 3: expected 3 columns"),
        (['1,"a ruby,red', "2,moss,green"], "line 3: not valid CSV (unexpected end of data); check the quotes"),
        (['1,"a" ruby,red'], "line 3: not valid CSV (',' expected after '\"'); check the quotes"),
    ],
)
def test_malformed_csv_names_the_line(tmp_path: Path, colours: Task, lines: list[str], problem: str) -> None:
    message = refusal(csv(tmp_path, "id,text,label", "0,fern,green", *lines), colours)
    assert message.startswith("1 problem(s)\n")
    assert problem in message


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_may_be_cut_by_commas_semicolons_or_tabs(tmp_path: Path, colours: Task, separator: str) -> None:
    path = csv(tmp_path, separator.join(("id", "text", "label")), separator.join(("1", "soft moss", "green")))
    assert [row.output for row in read_dataset(path, colours)] == ["green"]


def test_a_file_that_is_missing_or_no_file_is_named(tmp_path: Path, colours: Task) -> None:
    assert refusal(tmp_path / "nowhere.jsonl", colours) == "no such file"
    assert refusal(tmp_path, colours) == "is a folder; name a .jsonl or .csv file"
    assert "cannot be read" in refusal(jsonl(tmp_path, GOOD) / "rows.jsonl", colours)


def test_a_file_over_the_limit_is_refused(tmp_path: Path, colours: Task) -> None:
    with pytest.raises(DataError, match="1 MB is over the limit of 0 MB; split the file"):
        read_dataset(jsonl(tmp_path, " " * 1_000_000), colours, limit_mb=0.4)


def test_a_number_out_of_range_is_refused_by_its_line(tmp_path: Path, colours: Task) -> None:
    rating = colours.model_copy(update={"output": Number(kind="number", maximum=3)})
    with pytest.raises(DataError, match="line 1: 4 lies outside the range of the task, no bound to 3"):
        read_dataset(jsonl(tmp_path, GOOD | {"output": 4}), rating)


def test_a_column_of_a_csv_file_holds_numbers_lists_and_objects_as_text(tmp_path: Path) -> None:
    for kind, text, meant in (
        ("number", "4", 4),
        ("labels", '"[""water"", ""lift""]"', ["lift", "water"]),
        ("json", '"{""number"": 3}"', {"number": 3}),
    ):
        path = tmp_path / f"{kind}.csv"
        path.write_text(f"text,output\nThe lift is stuck,{text}\n")
        assert [row.output for row in read_dataset(path, task_of(kind))] == [meant]


def warned(folder: Path, task: Task, *rows: tuple[str, str | None]) -> str:
    return "\n".join(read_dataset(jsonl(folder, *({"text": t, "label": label} for t, label in rows)), task).warnings)


def test_one_text_with_two_labels_is_warned_of(tmp_path: Path, colours: Task) -> None:
    rows = [("Teal", "green"), ("teal ", "blue"), ("moss", "green"), ("sky", "blue")]
    lines = warned(tmp_path, colours, *rows)
    assert "1 texts carry more than one label (row-1=green, row-2=blue)" in lines
    assert "1 rows repeat the text of an earlier row" in lines


def test_a_label_with_one_row_is_warned_of(tmp_path: Path, colours: Task) -> None:
    lines = warned(tmp_path, colours, ("moss", "green"), ("fern", "green"), ("sky", "blue"))
    assert lines == "labels with a single row cannot be validated: blue; label at least two of each"


def test_rows_without_a_label_are_warned_of(tmp_path: Path, colours: Task) -> None:
    lines = warned(tmp_path, colours, ("moss", "green"), ("fern", "green"), ("sky", None), ("sea", ""))
    assert lines.startswith("2 rows carry no label (ids row-3, row-4): nothing can be trained or measured on them")


def test_ordinary_rows_give_no_warning(tmp_path: Path, colours: Task) -> None:
    assert warned(tmp_path, colours, ("moss", "green"), ("fern", "green"), ("sky", "blue"), ("sea", "blue")) == ""
