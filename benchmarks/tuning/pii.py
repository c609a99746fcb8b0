"""Personal data with a structure, on 1,500 synthetic sentences (presidio-research): recall and precision by kind.

    python3 dev.py bench tuning pii [--data FOLDER]

A kind counts as found where a span of that kind overlaps the marked one. Patterns were looked at on the training split
only (templates of the test split are in no training row). Sentences of Banking77 hold hardly any personal data, so
what is found there is counted as a check of the precision.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from _common import Figure, data_file, finish
from _run import options_of

from tasklift.data.audit.pii_kinds import DETECTORS, find
from tasklift.stats.intervals import wilson

#: Kinds of the set that have a structure -> ours.
KINDS = {
    "CREDIT_CARD": "card",
    "PHONE_NUMBER": "phone",
    "EMAIL_ADDRESS": "email",
    "DOMAIN_NAME": "url",
    "IBAN_CODE": "iban",
    "US_SSN": "us_ssn",
    "IP_ADDRESS": "ip",
    "US_DRIVER_LICENSE": "driving_licence",
}
NOT_LOOKED_FOR = (
    "PERSON, STREET_ADDRESS, GPE, ORGANIZATION, DATE_TIME, TITLE, AGE, NRP, ZIP_CODE: no structure to check"
)
BAR = 0.9


def main(arguments: Sequence[str]) -> int:
    """Count and print."""
    asked = options_of(__doc__).parse_args(arguments)
    rows = _read(data_file(asked.data, "presidio_pii/presidio_pii.jsonl").read_text(encoding="utf-8"))
    begun = time.process_time()
    found, missed, false = counts(rows)
    spent = time.process_time() - begun
    test_found, test_missed, test_false = counts([row for row in rows if row["split"] == "test"])
    right, wrong, extra = sum(found.values()), sum(missed.values()), sum(false.values())
    test_right = sum(test_found.values())
    plain = _read(data_file(asked.data, "banking77/banking77.jsonl").read_text(encoding="utf-8"))
    alarms = sum(len(find(row["text"])) for row in plain)
    figures = [
        Figure.share("personal data, recall, structured kinds pooled", wilson(right, right + wrong), BAR),
        Figure.share("personal data, precision", wilson(right, right + extra)),
        Figure.share("of these, test templates, recall", wilson(test_right, test_right + sum(test_missed.values()))),
        Figure.share("of these, test templates, precision", wilson(test_right, test_right + sum(test_false.values()))),
        Figure("found in 1,000 sentences of Banking77", 1000 * alarms / len(plain), unit=" spans"),
    ]
    table = [
        [kind, str(found[kind] + missed[kind]), str(found[kind]), str(missed[kind]), str(false[kind])]
        for kind in DETECTORS
    ]
    extra_json: dict[str, Any] = {
        "title": "Personal data: presidio-research, all 1,500 sentences",
        "cpu_s": round(spent, 2),
        "remarks": [f"Not looked for: {NOT_LOOKED_FOR}."],
        "tables": [{"title": "By kind", "header": ["kind", "marked", "found", "missed", "false"], "rows": table}],
    }
    return finish("tuning_pii", "python3 dev.py bench tuning pii", figures, extra_json)


def counts(rows: Iterable[Mapping[str, Any]]) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Kind -> found, missed, falsely found."""
    found: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    false: Counter[str] = Counter()
    for row in rows:
        spans, used = find(row["text"]), set()
        for entity in row["entities"]:
            if (kind := KINDS.get(entity["type"])) is None:
                continue
            hits = [
                i
                for i, span in enumerate(spans)
                if span.kind == kind and span.start < entity["end"] and entity["start"] < span.end
            ]
            used.update(hits)
            (found if hits else missed)[kind] += 1
        false.update(span.kind for i, span in enumerate(spans) if i not in used)
    return found, missed, false


def _read(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]
