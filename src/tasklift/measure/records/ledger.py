"""Decisions as they were taken: immutable records in `.tasklift/decisions/`, each found again and never changed.

A record is the decision's own JSON with one key more, `record`: what was asked, what it rests on, what ends its
validity, and a hash over all of it. What happens to a decision later stands in a file beside it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasklift.economics import Economics, Gates
from tasklift.errors import DataError
from tasklift.measure.cost import token_price
from tasklift.measure.deciding.record import Decision
from tasklift.measure.evidence import Evidence
from tasklift.measure.records.decision_page import page_of
from tasklift.whole import write_whole

SCHEMA_VERSION = 1
#: A token price that moves by more than this share ends a decision's validity, unless its flips are nearer.
PRICE_CHANGE = 0.25
#: What says nothing about the decision itself: the day it was taken.
_OF_THE_DAY = ("valid_until", "record", "id")


@dataclass(frozen=True)
class Asked:
    """How a decision was asked for, so that it can be asked again.

    Attributes:
        task: name of the task; '' for a file of another tool.
        files: result files that were read; none for an evaluation of ours.
        economics_file: where the economics came from; '' for the task's own.
        command: what was typed.
    """

    task: str = ""
    files: tuple[str, ...] = ()
    economics_file: str = ""
    command: str = ""


@dataclass(frozen=True)
class Record:
    """A stored decision.

    Attributes:
        path: its file.
        row: everything in it, as JSON.
        reopened: why it was reopened, oldest first.
    """

    path: Path
    row: Mapping[str, Any]
    reopened: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def id(self) -> str:
        """The decision's id."""
        return str(self.row["id"])

    @property
    def about(self) -> Mapping[str, Any]:
        """What the record adds to the decision."""
        about: Mapping[str, Any] = self.row["record"]
        return about

    @property
    def page(self) -> str:
        """For a reader, in Markdown."""
        return page_of(self.row, self.reopened)


def keep(
    folder: Path,
    decision: Decision,
    evidence: Evidence,
    economics: Economics,
    gates: Gates,
    asked: Asked,
    supersedes: str | None = None,
) -> Record:
    """Write a decision down, with a readable page beside it. The same decision is kept once.

    Args:
        folder: `.tasklift` of the project.
        gates: those that were applied.
        supersedes: id of the record that this one replaces.

    Raises:
        DataError: the folder cannot be written.
    """
    now = datetime.datetime.now(datetime.UTC)
    plain = _plain(decision.to_json())
    record = {
        "schema_version": SCHEMA_VERSION,
        "kept_at": now.isoformat(timespec="seconds"),
        "question": _question(plain, economics, asked),
        "asked": {"task": asked.task, "files": list(asked.files), "economics_file": asked.economics_file},
        "command": asked.command,
        "evidence": {"id": evidence.id, "source": evidence.source, "hashes": dict(evidence.provenance)},
        "economics": _plain(economics.model_dump(mode="json")),
        "gates": _plain(gates.model_dump(mode="json")),
        "prices": _prices(evidence, economics, now.date()),
        "validity": _validity(plain),
        "supersedes": supersedes,
    }
    for path in _names(folder / "decisions", decision.id):
        row = {**plain, "id": path.stem, "record": record}
        if not path.exists():
            record["content_hash"] = content_hash(row)
            _write_once(path, row)
            return load(folder, path.stem)
        if _same(json.loads(path.read_text(encoding="utf-8")), row):
            return load(folder, path.stem)
    raise AssertionError("names never end")


def load(folder: Path, identity: str) -> Record:
    """A record by its id, or by the beginning of it.

    Raises:
        DataError: none or several begin so, the file is damaged, or somebody changed it.
    """
    places = [path for path in _files(folder) if path.stem.startswith(identity)]
    exact = [path for path in places if path.stem == identity]
    if len(exact or places) != 1:
        known = ", ".join(path.stem for path in places or _files(folder)) or "none is kept here"
        raise DataError(f"{folder / 'decisions'}: no single decision {identity!r}; there are: {known}")
    path = (exact or places)[0]
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        told = row["record"]["content_hash"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged, or not written by `tasklift decide` ({error!r})") from error
    if row["record"]["schema_version"] > SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema_version {row['record']['schema_version']}, this version reads {SCHEMA_VERSION}"
        )
    if content_hash(row) != told:
        raise DataError(f"{path}: was changed after it was kept (its content hash does not fit); it proves nothing")
    beside = _beside(path)
    notes = json.loads(beside.read_text(encoding="utf-8"))["notes"] if beside.exists() else []
    return Record(path, row, tuple(notes))


def records(folder: Path) -> list[Record]:
    """All records, oldest first.

    Raises:
        DataError: one of them is damaged or was changed.
    """
    found, broken = readable(folder)
    if broken:
        raise DataError(broken[0])
    return found


def readable(folder: Path) -> tuple[list[Record], list[str]]:
    """Records that are sound, oldest first, and of each other one why it is not: for a list of all."""
    found, broken = [], []
    for path in _files(folder):
        try:
            found.append(load(folder, path.stem))
        except DataError as error:
            broken.append(str(error))
    return sorted(found, key=lambda record: (record.about["kept_at"], record.id)), broken


def reopen(record: Record, reasons: Sequence[str]) -> Record:
    """Note beside a record why it no longer holds; the record itself is never touched."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    known = {reason for note in record.reopened for reason in note["reasons"]}
    new = [reason for reason in reasons if reason not in known]
    if not new:
        return record
    notes = [*record.reopened, {"at": now, "reasons": new}]
    _write(_beside(record.path), {"schema_version": SCHEMA_VERSION, "decision": record.id, "notes": notes})
    return Record(record.path, record.row, tuple(notes))


def content_hash(row: Mapping[str, Any]) -> str:
    """Hash of a record without the hash itself (hex SHA-256 of its canonical JSON)."""
    record = {key: value for key, value in row["record"].items() if key != "content_hash"}
    text = json.dumps({**row, "record": record}, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _question(decision: Mapping[str, Any], economics: Economics, asked: Asked) -> str:
    names = [name for name, option in decision["options"].items() if option["family"] != "baseline"]
    what = f"task {asked.task}" if asked.task else f"what {', '.join(Path(file).name for file in asked.files)} measured"
    return (
        f"Which of {', '.join(names)} should carry out {what}, at {economics.items_per_month.p50:,.0f} items a month "
        f"over {economics.horizon_months:g} months?"
    )


def _prices(evidence: Evidence, economics: Economics, day: datetime.date) -> dict[str, Any]:
    """Model -> token prices (USD per million) with where and from when they are; null where nobody knows them."""
    found: dict[str, Any] = {}
    for option in evidence.options.values():
        if option.model is None:
            continue
        price = token_price(option.model, economics.prices)
        found[option.model] = price and {
            "input_usd": price.input_usd,
            "cached_input_usd": price.cached_input_usd,
            "output_usd": price.output_usd,
            "source": price.snapshot,
            "day": day.isoformat(),
        }
    return found


def _validity(decision: Mapping[str, Any]) -> dict[str, Any]:
    """What ends it: a day, a volume or a price beyond where the choice was shown to hold, drift, the end of a model."""
    assumed = decision["assumptions"].get("items_per_month", {}).get("value")
    volume = assumed["p50"] if isinstance(assumed, Mapping) else assumed
    low, high = _volumes(decision, volume) if volume else (0.0, None)
    return {
        "until": decision["valid_until"],
        "items_per_month": {"assumed": volume, "low": low, "high": high},
        "price_change": PRICE_CHANGE,
        "drift": "a drift alarm on the inputs ends it: the evaluated rows no longer stand for the traffic",
        "deprecation": "a shutdown date of a model within the horizon ends it",
    }


def _volumes(decision: Mapping[str, Any], volume: float) -> tuple[float, float | None]:
    """Between which volumes the leading option stays the cheapest: from where another family would win, and from its
    break-even volumes with every other option. None: no upper bound."""
    found = [decision["flips"].get("items_per_month")]
    found += [
        even["items_per_month"]
        for pair, even in decision["break_even"].items()
        if isinstance(even, dict) and decision["leading"] in pair.split(" vs ")
    ]
    known = [value for value in found if value]
    below, above = [value for value in known if value < volume], [value for value in known if value > volume]
    return max(below, default=0.0), min(above, default=None)


def _names(folder: Path, identity: str) -> Iterator[Path]:
    """`<id>.json`, then `<id>-2.json` and so on, for the same question under other prices."""
    yield folder / f"{identity}.json"
    number = 2
    while True:
        yield folder / f"{identity}-{number}.json"
        number += 1


def _same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """The same figures under the same prices, whichever day it is."""
    if "record" not in old:
        return False

    def heart(row: Mapping[str, Any]) -> list[Any]:
        prices = {
            model: price and {key: value for key, value in price.items() if key.endswith("_usd")}
            for model, price in row["record"]["prices"].items()
        }
        return [{key: value for key, value in row.items() if key not in _OF_THE_DAY}, prices]

    return heart(old) == heart(new)


def _plain(value: Any) -> Any:
    """As JSON gives it back, so that a hash over it holds."""
    return json.loads(json.dumps(value, ensure_ascii=False, default=str))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "decisions").glob("*.json") if not path.name.endswith(".reopened.json"))


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}.reopened.json")


def _write_once(path: Path, row: Mapping[str, Any]) -> None:
    _write(path, row)
    path.with_suffix(".md").write_text(page_of(row, ()), encoding="utf-8")
    path.chmod(0o444)


def _write(path: Path, row: Mapping[str, Any]) -> None:
    write_whole(path, json.dumps(row, indent=1, ensure_ascii=False))
