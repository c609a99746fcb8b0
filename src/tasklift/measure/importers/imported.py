"""What an importer hands over, whatever the format: rows, what could not be paired, and quantities."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tasklift.measure.evidence import Evidence, Unpaired
from tasklift.measure.results import FAMILIES, NAMED, ResultRow, evidence_of, family_of
from tasklift.prediction import Usage
from tasklift.stats.ppi import FEWEST_LABELS


@dataclass(frozen=True)
class ImportedRow:
    """One judged answer of another tool.

    Attributes:
        result: what pairing needs; its `option` is filled in once all rows are known.
        prompt: what tells one prompt from another, and what a reader calls it.
        provider: model, script or endpoint that was asked.
        usage: tokens, where the tool tells them.
    """

    result: ResultRow
    prompt: str
    provider: str
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class Imported:
    """All rows of one file.

    Attributes:
        format: what the file is, in words.
        rows: those that can be paired.
        lost: reason -> where each row that cannot be paired stands in the file.
        notes: what a reader should know.
    """

    format: str
    rows: tuple[ImportedRow, ...]
    lost: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def item_hash(fields: Mapping[str, Any]) -> str:
    """Name of an item by its content: equal fields give equal names, and no text is kept."""
    plain = json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


def evidence_from(files: Mapping[str, Imported], provenance: Mapping[str, str]) -> Evidence:
    """Pair the rows of one or several files, and add what a price needs to know.

    Args:
        files: name of the file -> what was read.
        provenance: name of the file -> hash of its bytes.

    Raises:
        DataError: no row, or no item that every option has.
    """
    rows = [row for found in files.values() for row in found.rows]
    named = option_names([(row.prompt, row.provider) for row in rows])
    lost = [
        Unpaired(name, reason, len(where), tuple(where[:NAMED]))
        for name, found in files.items()
        for reason, where in found.lost.items()
    ]
    results = [replace(row.result, option=named[row.prompt, row.provider]) for row in rows]
    results, unmeasured = _judges(results)
    notes = [f"{name}: {note}" for name, found in files.items() for note in found.notes]
    formats = ", ".join(dict.fromkeys(found.format for found in files.values()))
    evidence = evidence_of(
        results,
        f"{', '.join(files)} ({formats})",
        lost,
        provenance,
        [*_repeats(results), *unmeasured, *notes],
    )
    by_option = {named[row.prompt, row.provider]: row.provider for row in rows}
    kept = set(evidence.item_ids)
    options = {
        name: replace(
            option,
            family=family(name, by_option[name]),
            model=None if option.cost_usd is not None else model_of(by_option[name]),
            usage=_usage([r for r in rows if named[r.prompt, r.provider] == name and r.result.item_id in kept]),
        )
        for name, option in evidence.options.items()
    }
    return replace(evidence, options=options)


def _judges(results: Sequence[ResultRow]) -> tuple[list[ResultRow], list[str]]:
    """Where no person rated an answer that a model judged, the model's verdict stands in `correct`, and it is said
    that nobody knows what it is worth; else both stay side by side, and the judge is corrected."""
    judged: dict[str, list[ResultRow]] = {}
    for row in results:
        if row.judge is not None:
            judged.setdefault(row.option, []).append(row)
    blind = {name: len(rows) for name, rows in judged.items() if all(row.correct is None for row in rows)}
    notes = [
        f"{name}: {count} verdicts are a model's, and no person rated one of them: what the judge gets wrong is in no "
        f"interval here; rate at least {FEWEST_LABELS} answers drawn at random"
        for name, count in blind.items()
    ]
    plain = [
        replace(row, correct=row.judge if row.correct is None else row.correct, judge=None)
        if row.option in blind
        else row
        for row in results
    ]
    return plain, notes


def _repeats(results: Sequence[ResultRow]) -> list[str]:
    answers = len({(row.option, row.item_id) for row in results})
    return [f"{len(results)} rows are {answers} answers: repeats are averaged"] if answers < len(results) else []


def option_names(pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """(prompt, provider) -> name of the option: the part that differs, or both."""
    known = list(dict.fromkeys(pairs))
    prompts, providers = {prompt for prompt, _ in known}, {provider for _, provider in known}
    if len(providers) == len(known):
        return {pair: pair[1] or pair[0] for pair in known}
    if len(prompts) == len(known):
        return {pair: pair[0] or pair[1] for pair in known}
    return {pair: f"{pair[0]} | {pair[1]}" for pair in known}


def family(option: str, provider: str) -> str:
    """The choice that an option stands for: what its name says, else fine-tuned where the model is (`ft:`), else
    prompt where a hosted model is asked, else its own name."""
    told = family_of(option)
    if told in FAMILIES:
        return told
    if "ft:" in provider:
        return "finetune"
    return "prompt" if model_of(provider) else option


def model_of(provider: str) -> str | None:
    """The model's name in a provider's (`openai:chat:gpt-5-mini`, or just `gpt-5-mini`); None for scripts."""
    scheme, colon, rest = provider.partition(":")
    if scheme in ("echo", "file", "python", "exec", "http", "https", "package", "golang", "ruby") or not provider:
        return None
    if "ft:" in provider:
        return provider[provider.index("ft:") :]
    return rest.rpartition(":")[2] if colon else provider


def _usage(rows: Sequence[ImportedRow]) -> Usage | None:
    """Quantities of all items together; repeats of an item count once, by their mean."""
    repeats: dict[str, list[Usage]] = {}
    for row in rows:
        repeats.setdefault(row.result.item_id, []).append(row.usage)
    items = [(sum(some, Usage()), len(some)) for some in repeats.values()]
    if not any(total.input_tokens or total.output_tokens for total, _ in items):
        return None
    return Usage(
        calls=len(items),
        input_tokens=round(sum(total.input_tokens / n for total, n in items)),
        cached_tokens=round(sum(total.cached_tokens / n for total, n in items)),
        output_tokens=round(sum(total.output_tokens / n for total, n in items)),
    )
