"""Extraction on three sets: schema-valid answers, and field F1 with retrieved examples against zero-shot and copying.

    python3 dev.py bench prompting extraction [-- --set NAME ...] [--data FOLDER]

The local model (SmolLM2-135M) writes under a grammar of the schema. Everything is set beforehand, nothing is chosen on
test rows: 6 retrieved examples (2 of receipts, whose texts are long), 1,500 labelled rows to retrieve from, 60 test
rows a set (30 receipts). Copying gives the answer of the nearest labelled row. What the response cache holds is not
asked again.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from _common import Figure, data_file, finish, note
from _run import cpu_s, hashes, kept, options_of, run, used
from _sets import Benchmark

from tasklift.dataset import Dataset, Example
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.metrics import cases_of
from tasklift.metrics.base import open_metric
from tasklift.stats.bootstrap import RowMetric, paired_bootstrap
from tasklift.strategies.fewshot import FewShot
from tasklift.strategies.knn import Knn
from tasklift.strategies.prompt import Prompt
from tasklift.strategy import Strategy
from tasklift.task import JsonOutput, Task

POOL = 1500
#: Test rows: a receipt takes the bundled model a quarter of a minute.
TEST = {"snips_slots": 60, "restaurants8k_slots": 60, "sroie_receipts": 30}
EXAMPLES = {"snips_slots": 6, "restaurants8k_slots": 6, "sroie_receipts": 2}
#: Longest values that the schemas allow, in characters.
LONGEST = {"snips_slots": 60, "restaurants8k_slots": 40, "sroie_receipts": 120}
#: Of a longer receipt, so many characters of its beginning and of its end are read.
RECEIPT_CHARS = (650, 250)
SAYS = {
    "snips_slots": "Extract the slots of a request to a voice assistant, each value in the words of the request.",
    "restaurants8k_slots": "Extract what a guest says about booking a table, each value in the words of the guest.",
    "sroie_receipts": "Extract the company, date, address and total of a receipt, each as it is printed.",
}


def main() -> int:
    """Run the asked sets and print."""
    parser = options_of(__doc__)
    parser.add_argument("--set", choices=sorted(SAYS), action="append", help="only this set; may be repeated")
    asked = parser.parse_args()
    figures: list[Figure] = []
    evaluations, extra = [], {}
    for name in asked.set or SAYS:
        made = benchmark_of(name, asked.data)
        with kept(f"extraction_{name}"):
            found = run(name, made, strategies_of(name), reference="zero-shot")
        evaluations.append(found)
        figures += figures_of(name, found)
        extra[name] = {"candidates": used(found), **hashes(made)}
    title = "Extraction under a grammar, local model"
    told = {"title": title, "sets": extra, "cpu_s": cpu_s(*evaluations)}
    only = " --" + "".join(f" --set {name}" for name in asked.set) if asked.set else ""
    return finish("prompting_extraction", f"python3 dev.py bench prompting extraction{only}", figures, told)


def strategies_of(name: str) -> dict[str, Strategy]:
    """Copying, zero-shot, and with retrieved examples."""
    return {"copy": Knn(), "zero-shot": Prompt(), "examples": FewShot(examples=EXAMPLES[name], example_chars=400)}


def figures_of(name: str, found: Evaluation) -> list[Figure]:
    """Validity and field F1 of each, and the paired differences that are asked for."""
    figures = []
    measured = {result.name: field_f1(found, result.name) for result in found.results}
    for result in found.results:
        failed = ", ".join(f"{count} {kind}" for kind, count in result.scores.failures.items())
        if result.name != "copy":
            valid = result.scores.valid
            figures.append(Figure.share(f"{name}: {result.name}, schema-valid", valid, 1.0, note=failed))
        f1 = result.scores.figures["field_f1"]
        right = f"whole object right {result.scores.accuracy.value:.1%}" if result.scores.accuracy else ""
        figures.append(Figure.share(f"{name}: {result.name}, field F1", f1, note=right))
    for other in ("zero-shot", "copy"):
        gap = paired_bootstrap(measured["examples"], measured[other])
        bar = 0.0 if gap.low > 0 else gap.value + 1e-9  # reached only where the interval leaves zero out
        figures.append(
            Figure(
                f"{name}: examples less {other}, field F1", gap.value, bar, gap.low, gap.high, "bar: interval above 0"
            )
        )
    return figures


def field_f1(found: Evaluation, name: str) -> RowMetric:
    """The field F1 of one candidate, for paired resampling."""
    cases = cases_of(found.result(name).predictions, found.rows.outputs, found.task)
    return open_metric("field_f1", "json").measure(cases)


def benchmark_of(name: str, folder: Path | None) -> Benchmark:
    """The set as a task with a pool and test rows, both drawn at random with a fixed seed."""
    file = {"snips_slots": "snips", "restaurants8k_slots": "restaurants8k", "sroie_receipts": "sroie"}[name]
    path = data_file(folder, f"{name}/{file}.jsonl")
    raw = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    read: Callable[[Mapping[str, Any]], tuple[str, dict[str, str]]] = {
        "snips_slots": _request,
        "restaurants8k_slots": _booking,
        "sroie_receipts": _receipt,
    }[name]
    rows = [(str(at), row["split"], *read(row)) for at, row in enumerate(raw)]
    longest = LONGEST[name]
    rows = [row for row in rows if all(0 < len(value) <= longest for value in row[3].values())]
    fields = sorted({field for *_, values in rows for field in values})
    output = JsonOutput(kind="json", json_schema=_schema(fields, longest, all_there=name == "sroie_receipts"))
    task = Task(name=f"extraction_{name}", instruction=SAYS[name], output=output)
    train, test = (_drawn(rows, split, size, name) for split, size in (("train", POOL), ("test", TEST[name])))
    note(f"{name}: {len(fields)} fields, {len(raw) - len(rows)} rows left out for values over {longest} characters")
    return Benchmark(task, train, test)


def _schema(fields: Sequence[str], longest: int, all_there: bool) -> dict[str, Any]:
    properties = {field: {"type": "string", "maxLength": longest} for field in fields}
    required = {"required": list(fields)} if all_there else {}
    return {"type": "object", "properties": properties, "additionalProperties": False, **required}


def _drawn(rows: Sequence[tuple[str, str, str, dict[str, str]]], split: str, size: int, name: str) -> Dataset:
    some = [row for row in rows if row[1] == split]
    chosen = random.Random(0).sample(some, min(size, len(some)))
    examples = tuple(Example(row_id, {"text": text}, values) for row_id, _, text, values in chosen)
    return Dataset(examples, name=f"{name} {split}")


def _request(row: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    return row["text"].strip(), _first_of_each(row["entities"])


def _booking(row: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    asked = ", ".join(row["requested_slots"]) or "nothing"
    return f"(asked for: {asked}) {row['text']}", _first_of_each(row["entities"])


def _receipt(row: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    text, (begin, end) = row["text"], RECEIPT_CHARS
    shown = text if len(text) <= begin + end else f"{text[:begin]}\n...\n{text[-end:]}"
    target = row["target"]
    return shown, {field: str(target.get(field, "")) for field in ("company", "date", "address", "total")}


def _first_of_each(entities: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The first value of each slot; few requests name one twice."""
    found: dict[str, str] = {}
    for entity in entities:
        found.setdefault(entity["slot"], entity["value"].strip())
    return found


if __name__ == "__main__":
    sys.exit(main())
