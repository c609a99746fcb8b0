"""The fine-tuned encoder answering a batch, against sentence-transformers `encode` and the same head.

    python3 dev.py bench inference [--data FOLDER] [--rows 512] [--rounds 7]

Both have the same weights, float32, one thread, and the same texts. sentence-transformers stands in an environment
of its own and gets the batch size that is fastest for it. The two take turns, so that a machine that slows down
slows both; the figure is the median over the rounds of the ratio of CPU times. The same candidate in int8 (needs the
extra [int8]) takes its turns with them, and answers all test rows once.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import RESULTS, Figure, finish, note, peer_python
from _run import LoudEncoder, hashes, kept, options_of
from _sets import Benchmark, banking77
from safetensors.torch import save_file

from tasklift.cache import computing_afresh
from tasklift.data.split import sample
from tasklift.strategies.artifact import read_card
from tasklift.strategies.classifier import label_indices
from tasklift.strategies.encoder import Encoder, EncoderCandidate
from tasklift.strategies.fitting import fit_or_load
from tasklift.strategy import Context
from tasklift.weights import locate_minilm

#: Rows a CPU second, ours over theirs.
BAR = 1.0
#: Rows a CPU second, int8 over float32, and the most points of accuracy that it may cost.
INT8_BAR = 1.5
INT8_POINTS = 0.2
#: What the peer's environment holds; torch is the version that runs here.
PEER = ("sentence-transformers==6.2.0", "transformers==5.23.0")
#: Batch sizes that the peer may choose from.
SIZES = (16, 32, 64, 128, 256)
THREADS = 1
FOLDER = RESULTS / "cache" / "inference"


def main() -> int:
    """Export, take turns, print."""
    parser = options_of(__doc__)
    parser.add_argument("--rows", type=int, default=512, help="texts in the batch (default: 512)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each (default: 7)")
    asked = parser.parse_args()
    made = banking77(asked.data)
    with kept("banking77") as state:
        candidate = fit_or_load(LoudEncoder(), made.task, made.train, state, note)
    assert isinstance(candidate, EncoderCandidate)
    eight = in_int8(state / "artifacts" / candidate.fingerprint)
    inputs = sample(made.test, asked.rows, stratum=made.task.output.stratum).inputs
    export(candidate, FOLDER / "model")
    torch.set_num_threads(THREADS)
    with peer([str(row["text"]) for row in inputs]) as ask:
        sizes = {size: ask(size)["cpu_s"] for size in (SIZES[0], *SIZES)}  # the first one warms up
        best = min(sizes, key=sizes.__getitem__)
        note(f"inference: the peer's fastest batch size is {best}")
        ours(candidate, inputs), ours(eight, inputs)
        rounds = [(ours(candidate, inputs), ask(best), ours(eight, inputs)) for _ in range(asked.rounds)]
    ratio = float(np.median([theirs["cpu_s"] / mine["cpu_s"] for mine, theirs, _ in rounds]))
    walls = np.median([theirs["wall_s"] / mine["wall_s"] for mine, theirs, _ in rounds])
    equal = sum(a == b for a, b in zip(rounds[0][0]["labels"], rounds[0][1]["labels"], strict=True)) / len(inputs)
    speed = [len(inputs) / np.median([one[place]["cpu_s"] for one in rounds]) for place in (0, 1)]
    said = (
        f"{speed[0]:.0f} against {speed[1]:.0f} rows a CPU second; wall time {walls:.2f}x; {asked.rounds} turns, "
        f"{len(inputs)} rows, {THREADS} thread, peer's batch size {best}; equal labels on {equal:.1%}"
    )
    figure = Figure("batch rows/s, ours / sentence-transformers encode + head", ratio, BAR, note=said)
    extra = {"title": "Inference: the fine-tuned encoder on a batch", "peer_cpu_s_by_batch_size": sizes, **hashes(made)}
    extra["cpu_s"] = round(sum(one["cpu_s"] for turn in rounds for one in turn), 1)
    figures = [
        figure,
        *int8_figures(candidate, eight, made, [(mine["cpu_s"], fast["cpu_s"]) for mine, _, fast in rounds]),
    ]
    return finish("inference", "python3 dev.py bench inference", figures, extra)


def in_int8(folder: Path) -> EncoderCandidate:
    """The same candidate, answering in int8."""
    card = read_card(folder)
    loaded = Encoder.load(folder, replace(card, parameters={**card.parameters, "precision": "int8"}))
    assert isinstance(loaded, EncoderCandidate)
    return loaded


def int8_figures(
    plain: EncoderCandidate, eight: EncoderCandidate, made: Benchmark, turns: Sequence[tuple[float, float]]
) -> list[Figure]:
    """How much faster, and what it costs in accuracy on all test rows.

    Args:
        turns: CPU seconds of float32 and of int8, turn by turn.
    """
    truth = label_indices(made.test, list(made.task.labels))
    said = [np.array(ours(one, made.test.inputs)["labels"]) for one in (plain, eight)]
    right = [float((labels == truth).mean()) for labels in said]
    ratio = float(np.median([slow / fast for slow, fast in turns]))
    note = f"{len(turns)} turns; equal labels on {(said[0] == said[1]).mean():.1%} of {len(truth)} test rows"
    lost = 100 * (right[0] - right[1])
    accuracies = f"{right[0]:.2%} in float32, {right[1]:.2%} in int8"
    return [
        Figure("batch rows/s, int8 / float32", ratio, INT8_BAR, note=note, unit="x"),
        Figure("accuracy lost by int8, points", lost, at_most=INT8_POINTS, note=accuracies, unit=" points"),
    ]


def ours(candidate: EncoderCandidate, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One turn of ours, by the way every caller takes: predictions with scores and confidence."""
    wall, cpu = time.perf_counter(), time.process_time()
    with computing_afresh():
        answers = asyncio.run(candidate.predict(inputs, Context()))
    spent = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    place = {label: i for i, label in enumerate(candidate.labels)}
    return spent | {"labels": [place[answer.output] for answer in answers]}


def export(candidate: EncoderCandidate, folder: Path) -> None:
    """The tuned encoder as a Hugging Face folder, with the head beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in locate_minilm().iterdir():
        if source.suffix in (".json", ".txt") and source.is_file():
            shutil.copy(source, folder / source.name)
    arrays = {name: torch.from_numpy(array).contiguous() for name, array in candidate.arrays().items()}
    backbone = {name.removeprefix("backbone."): array for name, array in arrays.items() if name.startswith("backbone.")}
    save_file(backbone, folder / "model.safetensors", {"format": "pt"})
    save_file({name: arrays[name] for name in ("head.weight", "head.bias")}, folder / "head.safetensors")


@contextmanager
def peer(texts: Sequence[str]) -> Iterator[Any]:
    """The peer in its own process; yields a function from a batch size to what one turn took."""
    place = FOLDER / "texts.json"
    place.write_text(json.dumps(list(texts)), encoding="utf-8")
    files = (peer_python("peer", PEER), Path(__file__).with_name("_peer_encode.py"), FOLDER / "model", place)
    words = [*map(str, files), str(THREADS)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, told = process.stdin, process.stdout

        def turn(size: int) -> dict[str, Any]:
            print(size, file=asked, flush=True)
            line = told.readline()
            if not line:
                raise SystemExit("inference: the peer has stopped; see its message above")
            answer: dict[str, Any] = json.loads(line)
            return answer

        yield turn
        asked.close()


if __name__ == "__main__":
    sys.exit(main())
