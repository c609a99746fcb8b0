"""Stored evaluations as things to keep or throw away: listed, compared, pruned."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tasklift.errors import DataError
from tasklift.lock import is_locked
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.metrics import right_of
from tasklift.measure.store import EvaluationFolder
from tasklift.stats.comparison import holm, mcnemar_midp
from tasklift.stats.intervals import Interval, paired_difference, unpaired_difference, wilson

_DAY_S = 86400.0
#: Folders of artifacts that begin so are fits under way, or what killed ones left.
_UNFINISHED = "."
_REMOVED = ".removed-"


@dataclass(frozen=True)
class Entry:
    """One evaluation on disk.

    Attributes:
        id: its folder's name.
        task: the task's name; "" where it stopped before that was written.
        state: `finished`; `unfinished`: the same command goes on with it; `running` in a process now;
            `damaged`: its manifest cannot be read.
        at: when it was finished, else when it was begun; local time.
        changed_s: Unix seconds of its newest file.
        rows: how many; 0 where it is not known.
        candidates: their names.
        fingerprints: of its candidates.
        size: bytes on disk.
        decisions: ids of the decisions that refer to it.
    """

    id: str
    task: str
    state: Literal["finished", "unfinished", "running", "damaged"]
    at: str
    changed_s: float
    rows: int
    candidates: tuple[str, ...]
    fingerprints: frozenset[str]
    size: int
    decisions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        names = ("id", "task", "state", "at", "rows", "size")
        lists = {"candidates": list(self.candidates), "decisions": list(self.decisions)}
        return {name: getattr(self, name) for name in names} | lists


def entries(state: Path, task: str | None = None) -> list[Entry]:
    """All evaluations below `.tasklift`, newest first; of one task where it is named."""
    decided = _decisions(state)
    folders = [path for path in (state / "evaluations").glob("*") if path.is_dir() and path.name[0] != "."]
    found = [_entry(path, tuple(decided.get(path.name, ()))) for path in folders]
    return sorted((one for one in found if task in (None, one.task)), key=lambda one: -one.changed_s)


def _entry(folder: Path, decisions: tuple[str, ...]) -> Entry:
    store = EvaluationFolder(folder)
    state: Literal["finished", "unfinished", "running", "damaged"]
    try:
        manifest, state = store.manifest(), "finished"
    except DataError:
        manifest, state = None, "damaged"
    if state == "finished" and manifest is None:
        state = "unfinished"
    if store.is_held:
        state = "running"
    told = manifest or store.begun()
    files = [path for path in folder.iterdir() if path.is_file()]
    candidates = told.get("candidates", [])
    return Entry(
        id=folder.name,
        task=told.get("task", {}).get("name", ""),
        state=state,
        at=told.get("at", ""),
        changed_s=max((path.stat().st_mtime for path in files), default=folder.stat().st_mtime),
        rows=len(told["rows"]) if manifest else told.get("rows", 0),
        candidates=tuple(one["name"] for one in candidates),
        fingerprints=frozenset(one["fingerprint"] for one in candidates),
        size=_size(folder),
        decisions=decisions,
    )


def _decisions(state: Path) -> dict[str, list[str]]:
    """Evaluation id -> ids of the decisions that refer to it."""
    found: dict[str, list[str]] = {}
    for path in sorted((state / "decisions").glob("*.json")):
        try:
            evaluation = json.loads(path.read_text(encoding="utf-8"))["evaluation"]
        except (ValueError, KeyError, TypeError):
            continue
        found.setdefault(str(evaluation), []).append(path.stem)
    return found


@dataclass(frozen=True)
class Change:
    """One candidate in two evaluations.

    Attributes:
        before, after: accuracy on answered rows; None where a person answers everything.
        difference: after minus before, 95% interval; None where one of them answers nothing.
        rows: that both answered, where the rows are the same; None where they are not.
        p: McNemar mid-p; None where the rows are not the same.
        p_holm: adjusted for all candidates.
    """

    before: Interval | None
    after: Interval | None
    difference: Interval | None
    rows: int | None = None
    p: float | None = None
    p_holm: float | None = None


@dataclass(frozen=True)
class Changes:
    """Two evaluations of one task.

    Attributes:
        before, after: their ids.
        paired: on the same rows, each compared with itself.
        why: what makes them comparable, or only loosely.
        candidates: name -> change, of those that stand in both.
        only_before, only_after: names that stand in one.
    """

    before: str
    after: str
    paired: bool
    why: str
    candidates: Mapping[str, Change]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]


def compare_evaluations(before: Evaluation, after: Evaluation) -> Changes:
    """How every candidate changed from one stored evaluation to another.

    Where both are on the same rows (equal content hash), differences are paired, with McNemar mid-p and Holm;
    else they are differences of two independent shares (Newcombe), and the result says so.

    Raises:
        DataError: they are of different tasks.
    """
    if before.task.name != after.task.name:
        raise DataError(
            f"evaluation {before.id} is of task {before.task.name}, {after.id} of {after.task.name}: "
            f"their accuracies do not compare"
        )
    paired = before.rows.origin == after.rows.origin
    first, second = ({result.name: result for result in one.results} for one in (before, after))
    both = [name for name in first if name in second]
    changes: dict[str, Change] = {}
    for name in both:
        old = right_of(first[name].predictions, before.rows.outputs, before.task)
        new = right_of(second[name].predictions, after.rows.outputs, after.task)
        changes[name] = _paired(old, new) if paired else _unpaired(old, new)
    adjusted = holm({name: change.p for name, change in changes.items() if change.p is not None})
    why = "the same rows" if paired else _why_not_paired(before, after)
    return Changes(
        before.id,
        after.id,
        paired,
        why,
        {name: Change(**{**change.__dict__, "p_holm": adjusted.get(name)}) for name, change in changes.items()},
        tuple(name for name in first if name not in second),
        tuple(name for name in second if name not in first),
    )


def _why_not_paired(before: Evaluation, after: Evaluation) -> str:
    shared = {row.id for row in before.rows} & {row.id for row in after.rows}
    return (
        f"not the same rows ({len(before.rows)} and {len(after.rows)}, {len(shared)} ids in both): differences are "
        f"those of two samples, wider than paired ones, and without a test"
    )


def _share(right: Any) -> Interval | None:
    answered = right[~np.isnan(right)]
    return wilson(float(answered.sum()), len(answered)) if len(answered) else None


def _paired(old: Any, new: Any) -> Change:
    both = ~np.isnan(old) & ~np.isnan(new)
    if not both.any():
        return Change(_share(old), _share(new), None)
    gained = int(((new == 1) & (old == 0))[both].sum())
    lost = int(((new == 0) & (old == 1))[both].sum())
    rows = int(both.sum())
    difference = paired_difference(gained, lost, rows)
    return Change(_share(old), _share(new), difference, rows, mcnemar_midp(gained, lost))


def _unpaired(old: Any, new: Any) -> Change:
    one, other = old[~np.isnan(old)], new[~np.isnan(new)]
    if not len(one) or not len(other):
        return Change(_share(old), _share(new), None)
    difference = unpaired_difference(float(other.sum()), len(other), float(one.sum()), len(one))
    return Change(_share(old), _share(new), difference)


# Pruning


@dataclass(frozen=True)
class Rules:
    """What may go.

    Attributes:
        keep: so many finished evaluations of each task stay, the newest; None: all.
        unfinished_days: unfinished evaluations and fits that nobody touched for so long go.
        artifacts: fitted candidates of no evaluation go.
        force: also evaluations that a decision refers to.
        protected: fingerprints of artifacts that stay in any case, such as released ones.
    """

    keep: int | None = None
    unfinished_days: float = 7.0
    artifacts: bool = False
    force: bool = False
    protected: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Removal:
    """A folder that goes, or that would: why, and how many bytes it frees."""

    path: Path
    why: str
    size: int


@dataclass(frozen=True)
class Pruning:
    """What goes, and what would have gone but for a decision or a process that uses it."""

    removals: tuple[Removal, ...]
    spared: tuple[Removal, ...]

    @property
    def size(self) -> int:
        """Bytes that it frees."""
        return sum(one.size for one in self.removals)


def plan_pruning(state: Path, rules: Rules) -> Pruning:
    """What pruning by these rules would remove; nothing is touched."""
    all_entries = entries(state)
    going, spared = _old_evaluations(state, all_entries, rules)
    if rules.artifacts or any((state / "artifacts").glob(f"{_UNFINISHED}*")):
        gone = {one.path.name for one in going}
        staying = [one for one in all_entries if one.id not in gone]
        running = any(one.state == "running" for one in staying)
        for one in _old_artifacts(state, staying, rules):
            (spared if running else going).append(one)
    return Pruning(tuple(going), tuple(spared))


def prune(pruning: Pruning) -> None:
    """Remove what was planned. A folder is renamed before it is emptied: nobody reads half of one.

    Raises:
        DataError: the system refused.
    """
    for one in pruning.removals:
        name = one.path.name
        aside = one.path if name.startswith(_REMOVED) else one.path.with_name(f"{_REMOVED}{name.lstrip('.')}")
        try:
            if one.path.is_dir():
                one.path.replace(aside)
                shutil.rmtree(aside)
            else:
                one.path.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"{one.path}: cannot be removed ({error.strerror or error})") from error


def _old_evaluations(state: Path, found: Iterable[Entry], rules: Rules) -> tuple[list[Removal], list[Removal]]:
    left = (state / "evaluations").glob(f"{_REMOVED}*")
    going = [Removal(path, "left by a pruning that was stopped", _size(path)) for path in left]
    spared: list[Removal] = []
    finished: dict[str, int] = {}
    for one in found:  # newest first
        why = ""
        if one.state == "finished":
            finished[one.task] = finished.get(one.task, 0) + 1
            if rules.keep is not None and finished[one.task] > rules.keep:
                why = f"older than the {rules.keep} newest of {one.task}"
        elif _age_days(one.changed_s) > rules.unfinished_days:
            why = f"{one.state}, untouched for {_age_days(one.changed_s):.0f} days"
        if not why:
            continue
        path = state / "evaluations" / one.id
        if one.state == "running":
            spared.append(Removal(path, "is being run", one.size))
        elif one.decisions and not rules.force:
            spared.append(Removal(path, f"decision {one.decisions[-1]} refers to it", one.size))
        else:
            going.append(Removal(path, why, one.size))
    return going, spared


def _old_artifacts(state: Path, staying: Iterable[Entry], rules: Rules) -> Iterator[Removal]:
    """Candidates that no evaluation names, and what killed fits have left."""
    used = rules.protected.union(*(one.fingerprints for one in staying))
    for path in sorted((state / "artifacts").glob("*")):
        if path.name.startswith(_UNFINISHED):
            age = _age_days(path.stat().st_mtime)
            if age > rules.unfinished_days and not is_locked(_lock_of(path)):
                yield Removal(path, f"left by a fit, untouched for {age:.0f} days", _size(path))
        elif rules.artifacts and path.name not in used:
            yield Removal(path, "no evaluation names it", _size(path))


def _lock_of(path: Path) -> Path:
    """The lock of the fit that a checkpoint, a half-written artifact or a lock belongs to."""
    name = path.name.removeprefix(".partial-").removesuffix(".lock").lstrip(".").partition("-")[0]
    return path.with_name(f".{name}.lock")


def _age_days(changed_s: float) -> float:
    """By the wall clock, since that is what files carry; a file from the future has no age."""
    return max(0.0, time.time() - changed_s) / _DAY_S


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
