"""CLINC150: accuracy on 150 intents, and telling apart what no intent fits.

    python3 dev.py bench clinc150 [--data FOLDER]

Candidates learn from the in-scope training rows alone. What they say of each query, `in_scope`, then tells in-scope
from out-of-scope queries; the curve is what `out_of_scope` refuses at a share, which is told from held-out training
rows: no out-of-scope query and no validation row has a say. The other way, a label of its own for the 100 out-of-scope
training rows, stands beside it.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _common import Figure, finish, note
from _run import LoudEncoder, accuracy_figures, cpu_s, hashes, kept, options_of, run, used
from _sets import Benchmark, Scope, clinc150
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import roc_auc_score

from tasklift.measure.evaluation import Evaluation
from tasklift.stats.intervals import Interval
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.classifier import label_indices, texts_of
from tasklift.strategies.encoder import EncoderCandidate
from tasklift.strategies.fitting import fit_or_load
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.heads import OneLabel, fit_head
from tasklift.strategies.knn import Knn
from tasklift.strategy import Candidate, Context, Strategy

BARS = {"majority": None, "baseline": None, "knn": None, "frozen": None, "encoder": 0.955}
#: Least area under the ROC curve of in-scope against out-of-scope test queries.
AUROC_BAR = 0.96
PUBLISHED = {"baseline": "linear SVM 92.8", "encoder": "BERT 96.9, USE+ConveRT 97.2"}
PUBLISHED_SCOPE = "BERT with a threshold: 52.3% of out-of-scope queries found at 96.2% in-scope accuracy"
#: Candidates that say how much a query is in scope.
SCOPED = ("frozen", "encoder")
#: Values of `out_of_scope`, for the curve.
REFUSED = (0.0, 0.01, 0.02, 0.05, 0.10)
RESAMPLES = 500

Scores = NDArray[np.float64]


def main() -> int:
    """Run and print."""
    made, scope = clinc150(options_of(__doc__).parse_args().data)
    strategies: dict[str, Strategy] = {
        "majority": Majority(),
        "baseline": Baseline(),
        "knn": Knn(),
        "frozen": FrozenEncoder(),
        "encoder": LoudEncoder(max_epochs=2),
    }
    with kept("clinc150") as folder:
        found = run("CLINC150, in scope", made, strategies)
        scoped = {name: Scoped.of(found, name, strategies[name], made, scope, folder) for name in SCOPED}
        candidate = scoped["encoder"].candidate
        assert isinstance(candidate, EncoderCandidate)
        own = own_label(candidate, made, scope)
        alike = resemblance(candidate, made, scope)
    figures = accuracy_figures(found, BARS, PUBLISHED)
    figures += [one.figure(name) for name, one in scoped.items()]
    figures.append(
        Figure.share(
            "out-of-scope AUROC, a label of its own",
            auroc_interval(*own),
            note="head learnt with the 100 out-of-scope training rows on the tuned vectors",
        )
    )
    extra: dict[str, Any] = {"title": "CLINC150: 150 intents and queries out of scope", "candidates": used(found)}
    extra |= {"cpu_s": cpu_s(found), "tables": [*(one.curve(name) for name, one in scoped.items()), alike]}
    return finish("clinc150", "python3 dev.py bench clinc150", figures, extra | hashes(made))


@dataclass(frozen=True)
class Scoped:
    """What a candidate says of the scope of the test queries.

    Attributes:
        right: [in scope] the answer is right.
        inside: [in scope] `in_scope` of each.
        outside: [out of scope] the same.
    """

    candidate: Candidate
    right: NDArray[np.bool_]
    inside: Scores
    outside: Scores

    @classmethod
    def of(
        cls, found: Evaluation, name: str, strategy: Strategy, made: Benchmark, scope: Scope, folder: Path
    ) -> Scoped:
        """In-scope queries as they were evaluated; the others are asked now."""
        candidate = fit_or_load(strategy, made.task, made.train, folder, note)
        known = found.result(name).predictions
        queries = [{made.task.input_fields[0]: text} for text in scope.test]
        unknown = asyncio.run(candidate.predict(queries, Context()))
        right = np.array([one.output == truth for one, truth in zip(known, made.test.outputs, strict=True)])
        return cls(candidate, right, *(np.array([one.notes["in_scope"] for one in said]) for said in (known, unknown)))

    def figure(self, name: str) -> Figure:
        """AUROC of `in_scope`."""
        return Figure.share(
            f"{name}, out-of-scope AUROC, trained in scope only",
            auroc_interval(self.inside, self.outside),
            AUROC_BAR,
            note="score: in_scope, as each answer carries it",
            published=PUBLISHED_SCOPE,
        )

    def curve(self, name: str) -> dict[str, Any]:
        """In-scope accuracy (a refused query counts as wrong) against out-of-scope recall."""
        rows = []
        for share in REFUSED:
            answered = self.inside > share
            cells = [(self.right & answered).mean(), answered.mean(), (self.outside <= share).mean()]
            rows.append([f"{share:.0%}", *(f"{100 * float(cell):.1f}" for cell in cells)])
        return {
            "title": f"{name}: in-scope accuracy against out-of-scope recall, by `out_of_scope`",
            "header": ["out_of_scope", "in-scope accuracy %", "in-scope answered %", "out-of-scope recall %"],
            "rows": rows,
        }


def own_label(candidate: EncoderCandidate, made: Benchmark, scope: Scope) -> tuple[Scores, Scores]:
    """1 - probability of a label of its own, learnt from the out-of-scope training rows: of both kinds of queries."""
    fields, names = made.task.input_fields, list(made.task.labels)
    train, test = (candidate.vectors(texts_of(rows, fields)) for rows in (made.train, made.test))
    outside = candidate.vectors(list(scope.train))
    truth = np.concatenate([label_indices(made.train, names), np.full(len(outside), len(names))])
    head = fit_head(OneLabel(len(names) + 1), (np.vstack([train, outside]), truth), float(candidate.notes["c"]))
    inside, unknown = (1 - head(some)[:, len(names)] for some in (test, candidate.vectors(list(scope.test))))
    return inside, unknown


def resemblance(candidate: EncoderCandidate, made: Benchmark, scope: Scope) -> dict[str, Any]:
    """How near the rows that tell a share, and queries of other splits, are to what the encoder learnt from."""
    fields = made.task.input_fields
    train = np.array(texts_of(made.train, fields))
    held_out = np.zeros(len(train), dtype=bool)
    held_out[candidate.held_out.rows] = True
    counted = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    learnt = counted.fit_transform(train[~held_out])
    sorts = {
        "held-out training rows": list(train[held_out]),
        "validation queries": texts_of(scope.in_scope, fields),
        "test queries": texts_of(made.test, fields),
    }
    assert candidate.scope is not None  # it was fitted by this version
    rows = []
    for name, texts in sorts.items():
        nearest = (counted.transform(texts) @ learnt.T).max(axis=1).toarray()
        within = candidate.scope(candidate.scores(texts))
        refused = [f"{100 * float((within <= share).mean()):.1f}" for share in REFUSED[1:]]
        rows.append([name, str(len(texts)), f"{float(nearest.mean()):.3f}", *refused])
    header = [
        "in scope",
        "rows",
        "cosine to the nearest row learnt from",
        *(f"refused % at {x:.0%}" for x in REFUSED[1:]),
    ]
    return {
        "title": "encoder: what a share refuses, and how near the rows are to those it learnt from",
        "header": header,
        "rows": rows,
    }


def auroc(inside: Scores, outside: Scores) -> float:
    """Probability that an in-scope query scores higher than one out of scope."""
    truth = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    return float(roc_auc_score(truth, np.concatenate([inside, outside])))


def auroc_interval(inside: Scores, outside: Scores) -> Interval:
    """The same with a 95% percentile bootstrap, each side drawn by itself."""
    draw = np.random.default_rng(0)
    values = [auroc(draw.choice(inside, len(inside)), draw.choice(outside, len(outside))) for _ in range(RESAMPLES)]
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(auroc(inside, outside), float(low), float(high))


if __name__ == "__main__":
    sys.exit(main())
