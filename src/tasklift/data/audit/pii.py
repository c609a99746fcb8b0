"""Personal data in rows: found, counted, and redacted or left as the policy says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tasklift.data.audit.finding import Finding, named, text_of_row
from tasklift.data.audit.pii_kinds import find
from tasklift.data.audit.policy import DataPolicy
from tasklift.dataset import Example

CHECK = "personal data"


def kinds_in(row: Example) -> Counter[str]:
    """Kind -> how often it stands in the texts of a row."""
    return Counter(span.kind for value in row.input.values() if isinstance(value, str) for span in find(value))


def personal_data(rows: Sequence[Example], policy: DataPolicy) -> list[Finding]:
    """One finding for all kinds together: how many of each, in which rows, and what happens to them."""
    by_row = {row.id: kinds for row in rows if (kinds := kinds_in(row))}
    if not by_row:
        return []
    total = sum(by_row.values(), Counter[str]())
    order = sorted(by_row, key=lambda identity: -sum(by_row[identity].values()))
    handled = {kind: policy.pii.get(kind, "keep") for kind in total}
    undecided = [kind for kind in total if kind not in policy.pii]
    counts = ", ".join(f"{n} {kind}" for kind, n in total.most_common())
    return [
        Finding(
            CHECK,
            "warning" if undecided else "note",
            f"{len(by_row)} rows hold personal data: {counts} ({named(order)})",
            f"say in data.toml under [pii] whether to keep, redact or remove: {', '.join(undecided)}"
            if undecided
            else "`tasklift data clean` does what data.toml says",
            tuple(order),
            {
                "counts": dict(total.most_common()),
                "handling": handled,
                "by_row": {identity: dict(by_row[identity]) for identity in order},
            },
        )
    ]


def redacted(text: str, kinds: Mapping[str, str]) -> str:
    """The text with `[KIND]` in the place of every kind that is to be redacted.

    Args:
        kinds: kind -> keep, redact or remove.
    """
    out, at = [], 0
    for span in find(text):
        if kinds.get(span.kind) == "redact":
            out += [text[at : span.start], f"[{span.kind.upper()}]"]
            at = span.end
    return "".join([*out, text[at:]])


def redacted_row(row: Example, policy: DataPolicy) -> Example:
    """The row with its texts redacted; the same object where nothing is to be done."""
    if "redact" not in policy.pii.values():
        return row
    changed = {
        name: redacted(value, policy.pii) if isinstance(value, str) else value for name, value in row.input.items()
    }
    return row if changed == dict(row.input) else replace(row, input=changed)


def has_to_go(row: Example, policy: DataPolicy) -> list[str]:
    """Kinds in a row for which the policy takes the whole row out."""
    removed = {kind for kind, handling in policy.pii.items() if handling == "remove"}
    return sorted(removed & set(kinds_in(row))) if removed and text_of_row(row) else []
