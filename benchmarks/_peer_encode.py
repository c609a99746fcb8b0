"""sentence-transformers in a process of its own: reads a batch size a line, answers what one turn took.

It runs in the peer's environment, so it imports nothing of this project.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

folder, texts = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
torch.set_num_threads(int(sys.argv[3]))
transformer = Transformer(str(folder), max_seq_length=256)
pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="mean")
model = SentenceTransformer(modules=[transformer, pooling, Normalize()], device="cpu")
head = load_file(folder / "head.safetensors")

for line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    # `encode` sorts by length itself.
    vectors = model.encode(texts, batch_size=int(line), show_progress_bar=False)
    labels = np.argmax(vectors @ head["head.weight"].T + head["head.bias"], axis=1)
    spent = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    print(json.dumps(spent | {"labels": labels.tolist()}), flush=True)
