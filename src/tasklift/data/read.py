"""Reading rows from JSONL and CSV, with every problem named by its line."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasklift.dataset import Dataset, Example, text_key
from tasklift.errors import ConfigError, DataError
from tasklift.outputs.base import read_json
from tasklift.task import Task

#: Targets of a mapping beside the task's input fields.
TARGETS = ("id", "output", "split", "group", "source", "time")
#: How many problems one error message lists.
MOST_PROBLEMS = 10


def read_dataset(path: Path, task: Task, fields: Mapping[str, str] | None = None, limit_mb: float = 2000) -> Dataset:
    """Read a `.jsonl` or `.csv` file and check every row against the task.

    Args:
        fields: target -> column, such as `{"text": "message", "output": "label"}`. Targets are the
            task's input fields and `id`, `output`, `split`, `group`, `source`, `time`, and
            `slice.<name>`; an empty value counts as missing. Without it the pinned format is
            expected, and a row of the form `{"text": ..., "label": ...}` is understood.
        limit_mb: refuse larger files instead of filling the memory.

    Raises:
        DataError: names the file and up to ten lines that cannot be used, each with its reason.
        ConfigError: `fields` has an unknown target.
    """
    _check_targets(fields or {}, task)
    rows = raw_rows(path, limit_mb)
    examples: list[tuple[int, Example]] = []
    problems: list[str] = []
    for line, raw in rows:
        if isinstance(raw, str):
            problems.append(f"line {line}: {raw}")
            continue
        try:
            example = to_example(raw, task, fields or {}, default_id=f"row-{line}")
            check_example(example, task)
            examples.append((line, example))
        except DataError as error:
            problems.append(f"line {line}: {error}")
    problems += _duplicate_ids(examples)
    if not problems and not examples:
        problems.append("the file has no rows")
    if problems:
        raise DataError(_listed(str(path), problems))
    found = Dataset(tuple(example for _, example in examples), name=path.stem, lineage=(f"read {path.name}",))
    return replace(found, warnings=tuple(warnings_of(found, task)))


def raw_rows(path: Path, limit_mb: float = 2000) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Line number and fields of every row of a `.csv` or JSONL file, or what is wrong with it, in words.

    Raises:
        DataError: the file is missing, too large or not UTF-8.
    """
    size_mb = _size_mb(path)
    if size_mb > limit_mb:
        raise DataError(f"{path}: {size_mb:.0f} MB is over the limit of {limit_mb:.0f} MB; split the file")
    return _read_csv(path) if path.suffix.lower() == ".csv" else _read_jsonl(path)


def to_example(raw: Mapping[str, Any], task: Task, fields: Mapping[str, str], default_id: str) -> Example:
    """One parsed row as an `Example`, by the mapping or by the pinned names.

    Raises:
        DataError: a mapped column or the input is missing.
    """
    for target, column in fields.items():
        if column not in raw:
            raise DataError(f"no column {column!r} (mapped to {target}); the row has: {', '.join(map(str, raw))}")

    def get(target: str, *aliases: str) -> Any:
        if target in fields:
            return raw[fields[target]] if raw[fields[target]] != "" else None
        return next((raw[name] for name in (target, *aliases) if raw.get(name) not in (None, "")), None)

    given = raw.get("input")
    if isinstance(given, Mapping) and not any(name in fields for name in task.input_fields):
        values: dict[str, Any] = dict(given)
    else:
        values = {name: get(name) for name in task.input_fields}
    missing = [name for name in task.input_fields if values.get(name) is None]
    if missing and missing[0] in fields:
        raise DataError(f"the input field {missing[0]!r} is empty (column {fields[missing[0]]!r}); fill it in")
    if missing:
        raise DataError(
            f"the input field {missing[0]!r} is missing or empty; map it with --field {missing[0]}=COLUMN "
            f"(the row has: {', '.join(map(str, raw))})"
        )
    slices = raw.get("slice")
    cut: dict[str, str] = {str(k): str(v) for k, v in slices.items()} if isinstance(slices, Mapping) else {}
    cut |= {target[6:]: str(raw[column]) for target, column in fields.items() if target.startswith("slice.")}
    if isinstance(slices, str) and slices:
        cut["slice"] = slices
    optional = {name: _text_or_none(get(name)) for name in ("split", "group", "source", "time")}
    identity, output = get("id"), get("output", "label")
    if isinstance(output, str) and task.output.kind == "labels":
        output = task.output.tidy(label_list(output))
    elif isinstance(output, str) and task.output.kind in ("number", "json"):
        output = task.output.read(output)  # a column of a CSV file holds text
    return Example(
        str(identity if identity is not None else default_id),
        values,
        output,
        slice=cut,
        **optional,
    )


def label_list(cell: str) -> list[Any]:
    """The labels that a cell of a table names: a JSON list, or names with semicolons between them.

    Raises:
        DataError: it begins like a JSON list and is none.
    """
    if not cell.lstrip().startswith("["):
        return [name.strip() for name in cell.split(";") if name.strip()]
    found = read_json(cell)
    if not isinstance(found, list):
        raise DataError(f"{cell!r} is no list of labels")
    return found


def check_example(example: Example, task: Task) -> None:
    """Refuse a row that no strategy could use.

    Raises:
        DataError: empty text, text of another type, or an output the task does not allow.
    """
    for name in task.input_fields:
        value = example.input.get(name)
        if not isinstance(value, str):
            raise DataError(f"the input field {name!r} is {type(value).__name__}, not text (id {example.id})")
        if not value.strip():
            raise DataError(f"the input field {name!r} is empty (id {example.id}); remove the row or fill it in")
    if example.output is not None:
        task.check_output(example.output)


def warnings_of(data: Dataset, task: Task) -> list[str]:
    """What is odd but allowed: rows without a label, one text with two, repeated texts, classes with one row."""
    by_text: dict[str, list[Example]] = defaultdict(list)
    for row in data:
        by_text[text_key(row.input)].append(row)
    repeated = [rows for rows in by_text.values() if len(rows) > 1]
    torn = [rows for rows in repeated if len({task.output.key(row.output) for row in rows}) > 1]
    found = []
    unlabelled = [row.id for row in data if row.output is None]
    if unlabelled:
        found.append(
            f"{len(unlabelled)} rows carry no {'label' if task.labels else 'output'} "
            f"(ids {', '.join(unlabelled[:5])}): "
            "nothing can be trained or measured on them; give each an `output`"
        )
    if torn:
        shown = "; ".join(", ".join(f"{row.id}={row.output}" for row in rows[:3]) for rows in torn[:3])
        what = "label" if task.output.kind == "label" else "answer"
        found.append(f"{len(torn)} texts carry more than one {what} ({shown}): no strategy can get all of them right")
    if repeated:
        found.append(f"{sum(len(rows) - 1 for rows in repeated)} rows repeat the text of an earlier row")
    counts = Counter(data.outputs) if task.output.kind == "label" else Counter()
    lonely = sorted(str(label) for label, n in counts.items() if n == 1 and label is not None)
    if lonely:
        found.append(
            f"labels with a single row cannot be validated: {', '.join(lonely[:5])}; label at least two of each"
        )
    return found


def _check_targets(fields: Mapping[str, str], task: Task) -> None:
    known = (*task.input_fields, *TARGETS)
    for target in fields:
        if target in known or (target.startswith("slice.") and len(target) > len("slice.")):
            continue
        near = "output" if target == "label" else next(iter(difflib.get_close_matches(target, known, n=1)), None)
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(known)}, slice.NAME"
        raise ConfigError(f"no field {target!r} can be mapped; {hint}")


def _size_mb(path: Path) -> float:
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name a .jsonl or .csv file")
    return size / 1e6


def _decode(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}: line {line}: not UTF-8 (byte 0x{raw[error.start]:02x}). Save the file as UTF-8."
        ) from error


def _read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(_decode(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            yield number, f"not valid JSON ({error.msg} at column {error.colno})"
            continue
        except (ValueError, RecursionError):
            yield number, "not usable JSON (a number is too long or the nesting too deep)"
            continue
        if "\\u" in line and _is_cut(row):
            yield number, "holds half of a character (a lone surrogate \\ud800 to \\udfff); remove or complete it"
            continue
        yield number, row if isinstance(row, dict) else f"a row must be an object, not {type(row).__name__}"


def _is_cut(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _read_csv(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    text = _decode(path)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                yield (
                    reader.line_num,
                    f"expected {len(reader.fieldnames or [])} columns; quote fields that hold the separator",
                )
            else:
                yield reader.line_num, dict(row)
    except csv.Error as error:
        # The reader has stopped where the row ends; it begins after the last good one.
        yield reader.line_num + 1, f"not valid CSV ({error}); check the quotes of this row"


def _separator(text: str) -> str:
    """What the header is cut by: spreadsheets of many countries write semicolons."""
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


def _duplicate_ids(examples: Sequence[tuple[int, Example]]) -> list[str]:
    first: dict[str, int] = {}
    problems = []
    for line, example in examples:
        if example.id in first:
            problems.append(
                f"line {line}: id {example.id!r} already stands at line {first[example.id]}; ids must be unique"
            )
        first.setdefault(example.id, line)
    return problems


def _listed(source: str, problems: Sequence[str]) -> str:
    more = f"\n  ... and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
    return f"{source}: {len(problems)} problem(s)\n  " + "\n  ".join(problems[:MOST_PROBLEMS]) + more


def _text_or_none(value: Any) -> str | None:
    return None if value is None else str(value)
