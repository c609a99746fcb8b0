"""`tasklift data label`."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasklift.cache import caching_in
from tasklift.cli import show
from tasklift.cli.audit import save_version
from tasklift.cli.versions import Place, opened
from tasklift.data.embed import open_embedder
from tasklift.data.labelling.answers import Answers
from tasklift.data.labelling.server import LabelServer
from tasklift.data.labelling.session import Session, Suggest
from tasklift.data.versions import difference
from tasklift.dataset import Example
from tasklift.economics import UnitPrices
from tasklift.measure.deciding.quantities import mean_of
from tasklift.stats.agreement import answer_counts, fleiss_kappa_interval, row_agreement
from tasklift.strategies.build import build
from tasklift.strategies.fitting import fit_or_load
from tasklift.strategy import Context


def label(
    task: str | None,
    folder: Path,
    annotator: str | None,
    suggest: str | None,
    how: tuple[str, int, bool],
    as_json: bool,
) -> int:
    """Serve the page, or ask in the terminal; then say where things stand.

    Args:
        suggest: strategy whose answers are shown as suggestions.
        how: embedder, port, whether to ask in the terminal.
    """
    embedder, port, in_terminal = how
    place = opened(folder, task)
    answers = _answers(place)
    with caching_in(place.project.state / "cache"):
        session = Session(
            place.data,
            tuple(place.task.task.labels),
            answers,
            annotator or getpass.getuser(),
            open_embedder(embedder).encode,
            _suggestions(place, suggest),
        )
        if in_terminal:
            _ask(session)
        else:
            server = LabelServer(session, place.task.task, suggest or "", port)
            print(f"label at {server.url} (keys work there; Ctrl-C here ends it)", file=sys.stderr, flush=True)
            with contextlib.suppress(KeyboardInterrupt), server:
                server.serve_forever()
    return _tell(place, answers, as_json)


def status(task: str | None, folder: Path, apply: bool, as_json: bool) -> int:
    """How far labelling is; with `apply`, agreed labels go into the rows as a new version."""
    place = opened(folder, task, to_write=apply)
    answers = _answers(place)
    if apply:
        agreed = answers.agreed()
        rows = [
            replace(row, output=agreed[row.id]) if row.output is None and row.id in agreed else row
            for row in place.data
        ]
        labelled = place.data.part(rows, "labelled by people")
        changes = difference(place.data, labelled, "labelled by people")
        version = save_version(place, labelled, "labelled by people", changes) if changes else None
        print(
            f"{len(changes)} labels written" + (f", version {version.id}" if version else ""),
            file=sys.stderr if as_json else sys.stdout,
        )
    return _tell(place, answers, as_json)


def _answers(place: Place) -> Answers:
    return Answers(place.project.state / "labelling" / f"{place.task.name}.jsonl")


def _suggestions(place: Place, strategy: str | None) -> Suggest:
    """What a strategy fitted to the labelled training rows would say, one row at a time."""
    if strategy is None:
        return lambda row: None
    known = [row for row in place.data if row.output is not None and row.split != "test"]
    made = build([strategy], place.task.strategies, place.project.settings.model)[strategy]
    train = place.data.part(known, "labelled rows")
    candidate = fit_or_load(made, place.task.task, train, place.project.state, _note)

    def suggest(row: Example) -> str | None:
        output = asyncio.run(candidate.predict([row.input], Context()))[0].output
        return output if isinstance(output, str) else None

    return suggest


def _ask(session: Session) -> None:
    """The terminal: a number or a label, `s` skips, `u` takes back, `q` ends; all is kept at once."""
    numbered = "\n".join(f"  {n:>3} {name}" for n, name in enumerate(session.labels, start=1))
    print(f"{numbered}\na number or a label; Enter takes a suggestion, s skips, u takes back, q ends")
    while (asked := session.next()) is not None:
        text = "\n".join(str(value) for value in asked.input.values())
        hint = f"\n  suggested, not by a person: {asked.suggested}" if asked.suggested else ""
        print(f"\n[{asked.done} done, {asked.left} left]\n{text}{hint}")
        begun = time.monotonic()
        try:
            said = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            return
        if said == "q":
            return
        if said == "u":
            session.undo()
            continue
        chosen: str | None = said or asked.suggested
        if said.isdigit() and 1 <= int(said) <= len(session.labels):
            chosen = session.labels[int(said) - 1]
        if said == "s":
            chosen = None
        elif chosen not in session.labels:
            print(f"  {said!r} is neither a number from 1 to {len(session.labels)} nor a label")
            continue
        session.answer(asked.row, chosen, time.monotonic() - begun, asked.suggested)


def _tell(place: Place, answers: Answers, as_json: bool) -> int:
    """Counts, agreement, cost."""
    told = _standing(place, answers)
    if as_json:
        show.print_json(told)
        return 0
    waiting = told["waiting"]
    print(f"{told['task']}: {told['labels']} labels by {len(told['annotators'])} people, {waiting} rows wait")
    for name, one in told["annotators"].items():
        print(f"  {name}: {one['labels']} labels, {one['seconds']:.0f} s, {one['usd']:.2f} USD")
    if told["agreement"]:
        both = told["agreement"]
        kappa = f"kappa {both['kappa']:.2f} [{both['kappa_low']:.2f}, {both['kappa_high']:.2f}]"
        print(f"  agreement on {both['rows']} rows: {both['share']:.0%}, {kappa}")
    if told["torn"]:
        print(f"  {len(told['torn'])} rows on which people differ wait for a decision: {', '.join(told['torn'][:5])}")
    if told["suggestions"]["shown"]:
        one = told["suggestions"]
        print(f"  {one['taken']} of {one['shown']} suggestions were taken: labels lean towards what is suggested")
    print("  into the rows: tasklift data labels --apply")
    return 0


def _standing(place: Place, answers: Answers) -> dict[str, Any]:
    prices = _prices(place)
    people = {
        name: {"labels": len(some), "seconds": sum(some), "usd": sum(some) / 3600 * mean_of(prices.person_hour_usd)}
        for name, some in answers.seconds().items()
    }
    pairs = answers.doubly()
    agreement: dict[str, float] | None = None
    if pairs:
        counts = answer_counts([[one for one, _ in pairs], [other for _, other in pairs]])
        kappa = fleiss_kappa_interval(counts)
        agreement = {"rows": len(pairs), "share": float(row_agreement(counts).mean()), "kappa": kappa.value}
        agreement |= {"kappa_low": kappa.low, "kappa_high": kappa.high}
    shown, taken = answers.suggestions()
    said = answers.current()
    return {
        "task": place.task.name,
        "labels": len(answers),
        "waiting": sum(1 for row in place.data if row.output is None and row.id not in said),
        "annotators": people,
        "agreement": agreement,
        "torn": list(answers.torn()),
        "suggestions": {"shown": shown, "taken": taken},
    }


def _prices(place: Place) -> UnitPrices:
    beside = place.task_folder / "economics.toml"
    has_any = place.task.economics or beside.exists()
    return place.project.economics(place.task).prices if has_any else UnitPrices()


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
