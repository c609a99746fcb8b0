"""The same evaluation with DSPy: `Predict` on a signature, `Evaluate` with 64 threads, its cache and history off.

python dspy_rows.py URL ROWS.jsonl SYSTEM.txt OUT.json
"""

import json
import sys
from pathlib import Path

import dspy

THREADS = 64


def main(url: str, rows: Path, system: Path, out: Path) -> None:
    """Evaluate and store."""
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    lm = dspy.LM("openai/mock", api_base=url, api_key="none", cache=False, max_tokens=64, temperature=0.0)
    dspy.configure(lm=lm, disable_history=True)
    predict = dspy.Predict(dspy.Signature("text -> label", system.read_text(encoding="utf-8")))
    examples = []
    for line in rows.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        examples.append(dspy.Example(text=row["input"]["text"], label=row["output"]).with_inputs("text"))
    evaluate = dspy.Evaluate(
        devset=examples,
        metric=lambda example, found, trace=None: example.label == found.label,
        num_threads=THREADS,
        save_as_json=str(out),
    )
    evaluate(predict)


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:5]))
