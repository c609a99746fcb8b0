"""Every kind of output from rows to a decision."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_up import economics
from made_up_tasks import rows_of, task_of

from tasklift.data.split import split_dataset
from tasklift.llm.fake import ScriptedModel
from tasklift.measure.deciding.decision import decide
from tasklift.measure.evaluation import Evaluation, Options, evaluate
from tasklift.measure.evidence import Evidence
from tasklift.measure.report.content import content_of
from tasklift.measure.report.page import render
from tasklift.measure.stored import load_evaluation
from tasklift.strategies.baseline import Majority
from tasklift.strategies.fewshot import FewShot
from tasklift.strategies.human import Human
from tasklift.strategies.knn import Knn
from tasklift.strategies.prompt import Prompt

KINDS = ("labels", "number", "json", "text")
SAID = {"labels": '["lift"]', "number": "50", "json": '{"street": "Mill Lane"}', "text": "Something is broken."}


def evaluated(kind: str, folder: Path | None = None) -> Evaluation:
    model = ScriptedModel({}, default=SAID[kind], name=f"says {kind}")
    task = task_of(kind)
    train, test = split_dataset(rows_of(kind, 5), 0.5, stratum=task.output.stratum)
    made = {
        "majority": Majority(),
        "knn": Knn(embedder="static"),
        "prompt": Prompt(model=model),
        "fewshot": FewShot(model=model, embedder="static"),
        "human": Human(),
    }
    return evaluate(task, made, train, test, Options(folder=folder))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_evaluated_decided_and_reported(kind: str, tmp_path: Path) -> None:
    found = evaluated(kind, tmp_path)
    by_name = {result.name: result.scores for result in found.results}
    assert all(by_name[name].accuracy is not None for name in ("majority", "knn", "prompt", "fewshot"))
    assert set(by_name["knn"].figures) == set(found.task.metrics) - {"accuracy"}
    assert by_name["prompt"].failures == {}
    again = load_evaluation(tmp_path, found.id, 0.97)
    assert again.result("knn").scores.figures == by_name["knn"].figures
    priced = economics()
    decision = decide(found, priced, found.task.gates)
    assert decision.choice
    assert Evidence.from_evaluation(found).options["prompt"].outputs is not None
    json.dumps(content_of(found, priced, decision))
    assert "Other metrics" in render(content_of(found, None, None))
