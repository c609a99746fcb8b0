"""Banking77, all rows: the encoder against a plain loop of the same encoder and seeds, accuracy and CPU time.

    python3 dev.py bench tuning full [--data FOLDER] [--seeds 0 1 2]

Both use one thread; each seed of the plain loop follows that of ours, so that a busy machine slows both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from _common import Figure, finish
from _run import LoudEncoder, accuracy, cpu_s, hashes, kept, options_of, run
from _sets import banking77

from tuning._peers import own_python, run_peer

SEEDS = (0, 1, 2)
#: The encoder may be so much below the plain loop's mean, and take this share of its CPU time.
MARGIN, SHARE = 0.003, 0.7
PUBLISHED = "encoders five times as large: MPNet fine-tuned 94.1 (Loukas et al. 2023), 94.35"


def main(arguments: Sequence[str]) -> int:
    """Run both for each seed, print."""
    parser = options_of(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="default: 0 1 2")
    asked = parser.parse_args(arguments)
    made = banking77(asked.data)
    torch.set_num_threads(1)
    ours, fits, theirs, spent = [], [], [], 0.0
    with kept("banking77"):
        for seed in asked.seeds:
            found = run(f"Banking77, seed {seed}", made, {"encoder": LoudEncoder(seed=seed)}, reference="encoder")
            ours.append(accuracy(found, "encoder").value)
            fits.append(found.result("encoder").card.setup.cpu_s)
            theirs.append(run_peer("_plain_loop", own_python(), made.train, made, seed=seed))
            spent += cpu_s(found) + theirs[-1].cpu_s
    mean, plain = float(np.mean(ours)), float(np.mean([one.accuracy for one in theirs]))
    ratios = [mine / one.fit_cpu_s for mine, one in zip(fits, theirs, strict=True)]
    pairs = (f"{mine:.0f} / {one.fit_cpu_s:.0f}" for mine, one in zip(fits, theirs, strict=True))
    taken = f"CPU-s of a fit by seed: {', '.join(pairs)}"
    figures = [
        Figure("encoder, mean accuracy", mean, plain - MARGIN, note=_each(ours), published=PUBLISHED),
        Figure("plain loop, mean accuracy", plain, note=_each([one.accuracy for one in theirs])),
        Figure("CPU time of a fit, encoder / plain loop", float(np.mean(ratios)), at_most=SHARE, note=taken, unit="x"),
    ]
    extra = {"title": "Tuning: Banking77, all rows, against a plain loop", "cpu_s": round(spent, 1)}
    return finish(
        "tuning_full", " ".join(["python3 dev.py bench tuning full", *arguments]), figures, extra | hashes(made)
    )


def _each(values: Sequence[float]) -> str:
    return "seeds: " + ", ".join(f"{100 * value:.1f}" for value in values)
