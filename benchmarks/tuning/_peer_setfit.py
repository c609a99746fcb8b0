# mypy: ignore-errors
"""setfit in a process of its own: trains on the rows it is given, answers the test rows, says what that took.

It runs in the peer's environment, so it imports nothing of this project.

    python _peer_setfit.py JOB.json ANSWER.json

JOB: folder of the encoder, texts and labels (as indices) for training, texts to answer, seed, pairs a row.
"""

import json
import sys
import time
from pathlib import Path

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, models
from setfit import SetFitModel, Trainer, TrainingArguments
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
torch.set_num_threads(1)
begun = time.process_time()
transformer = models.Transformer(job["encoder"], max_seq_length=256)
pooling = models.Pooling(transformer.get_word_embedding_dimension(), pooling_mode="mean")
body = SentenceTransformer(modules=[transformer, pooling, models.Normalize()], device="cpu")
model = SetFitModel(model_body=body, model_head=LogisticRegression(max_iter=2000))
arguments = TrainingArguments(
    output_dir=str(Path(sys.argv[2]).parent / "out"),
    batch_size=16,  # setfit's default, as are the learning rate, the loss and one epoch
    num_iterations=job["pairs"],
    num_epochs=1,
    seed=job["seed"],
    save_strategy="no",
    report_to="none",
)
rows = Dataset.from_dict({"text": job["texts"], "label": job["labels"]})
Trainer(model=model, args=arguments, train_dataset=rows).train()
fit_cpu_s = time.process_time() - begun
answers = [int(label) for label in model.predict(job["asked"], batch_size=64, show_progress_bar=False)]
spent = {"fit_cpu_s": fit_cpu_s, "cpu_s": time.process_time() - begun}
# Its head has C = 1 on unit vectors, which is too little for many labels: beside it, one with C chosen on its rows.
known, asked = (body.encode(texts, batch_size=64, show_progress_bar=False) for texts in (job["texts"], job["asked"]))
search = GridSearchCV(LogisticRegression(max_iter=5000), {"C": [1, 3, 10, 30, 100]}, cv=3)
better = [int(label) for label in search.fit(known, job["labels"]).predict(asked)]
spent |= {"chosen_c": float(search.best_params_["C"]), "answers_chosen_c": better}
Path(sys.argv[2]).write_text(json.dumps(spent | {"answers": answers}), encoding="utf-8")
