"""The loop that a specialist writes first: the same encoder, a fresh head, AdamW, three epochs in float32.

    python _plain_loop.py JOB.json ANSWER.json

JOB: as for `_peer_setfit.py`. Shuffled batches of 32, each padded to its longest row; learning rate with linear warm-up
over a tenth of the steps and linear decay. Nothing of this project is imported.
"""

import json
import sys
import time
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer, get_linear_schedule_with_warmup

EPOCHS, BATCH, RATE, HEAD_RATE = 3, 32, 1e-4, 1e-2

job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
torch.set_num_threads(1)
torch.manual_seed(job["seed"])
begun = time.process_time()
tokenizer = AutoTokenizer.from_pretrained(job["encoder"])
encoder = AutoModel.from_pretrained(job["encoder"], dtype=torch.float32)
head = torch.nn.Linear(encoder.config.hidden_size, max(job["labels"]) + 1)


def logits_of(texts: list[str]) -> torch.Tensor:
    """[n] texts -> [n, labels]."""
    batch = tokenizer(texts, truncation=True, max_length=256, padding=True, return_tensors="pt")
    hidden = encoder(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1).float()
    made: torch.Tensor = head(20 * torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1))
    return made


truth = torch.tensor(job["labels"])
groups = [{"params": encoder.parameters(), "lr": RATE}, {"params": head.parameters(), "lr": HEAD_RATE}]
optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
steps = EPOCHS * -(-len(truth) // BATCH)
schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
for _ in range(EPOCHS):
    encoder.train()
    for batch in torch.randperm(len(truth)).split(BATCH):  # type: ignore[no-untyped-call]
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits_of([job["texts"][i] for i in batch]), truth[batch])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([*encoder.parameters(), *head.parameters()], 1.0)
        optimizer.step()
        schedule.step()
fit_cpu_s = time.process_time() - begun
encoder.eval()
with torch.inference_mode():
    parts = [job["asked"][at : at + 64] for at in range(0, len(job["asked"]), 64)]
    answers = [int(label) for part in parts for label in logits_of(part).argmax(1)]
spent = {"fit_cpu_s": fit_cpu_s, "cpu_s": time.process_time() - begun}
Path(sys.argv[2]).write_text(json.dumps(spent | {"answers": answers}), encoding="utf-8")
