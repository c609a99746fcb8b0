"""Tasklift: should a language task be prompted, fine-tuned or layered? Evidence first, then it runs.

Names are loaded when they are first used, so that `import tasklift` costs almost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasklift.data.read import read_dataset as read_dataset
    from tasklift.data.split import split_dataset as split_dataset
    from tasklift.dataset import Dataset as Dataset
    from tasklift.dataset import Example as Example
    from tasklift.economics import Economics as Economics
    from tasklift.economics import Gates as Gates
    from tasklift.errors import TaskliftError as TaskliftError
    from tasklift.measure.deciding.decision import Settings as Settings
    from tasklift.measure.deciding.decision import decide as decide
    from tasklift.measure.deciding.record import Decision as Decision
    from tasklift.measure.evaluation import Evaluation as Evaluation
    from tasklift.measure.evaluation import evaluate as evaluate
    from tasklift.measure.evidence import Evidence as Evidence
    from tasklift.measure.planning.advise import Answers as Answers
    from tasklift.measure.planning.advise import advise as advise
    from tasklift.measure.results_csv import read_results as read_results
    from tasklift.measure.robustness.consistency import check_consistency as check_consistency
    from tasklift.prediction import Prediction as Prediction
    from tasklift.project import Project as Project
    from tasklift.strategies.baseline import Baseline as Baseline
    from tasklift.strategies.baseline import Majority as Majority
    from tasklift.strategies.encoder import Encoder as Encoder
    from tasklift.strategies.fewshot import FewShot as FewShot
    from tasklift.strategies.frozen import FrozenEncoder as FrozenEncoder
    from tasklift.strategies.human import Human as Human
    from tasklift.strategies.knn import Knn as Knn
    from tasklift.strategies.layered import Layered as Layered
    from tasklift.strategies.prompt import Prompt as Prompt
    from tasklift.task import JsonOutput as JsonOutput
    from tasklift.task import Label as Label
    from tasklift.task import Labels as Labels
    from tasklift.task import Number as Number
    from tasklift.task import Right as Right
    from tasklift.task import Task as Task
    from tasklift.task import Text as Text

_HOME = {
    "Answers": "tasklift.measure.planning.advise",
    "Baseline": "tasklift.strategies.baseline",
    "Dataset": "tasklift.dataset",
    "Decision": "tasklift.measure.deciding.record",
    "Economics": "tasklift.economics",
    "Encoder": "tasklift.strategies.encoder",
    "Evaluation": "tasklift.measure.evaluation",
    "Evidence": "tasklift.measure.evidence",
    "Example": "tasklift.dataset",
    "FewShot": "tasklift.strategies.fewshot",
    "FrozenEncoder": "tasklift.strategies.frozen",
    "Gates": "tasklift.economics",
    "Human": "tasklift.strategies.human",
    "JsonOutput": "tasklift.task",
    "Knn": "tasklift.strategies.knn",
    "Label": "tasklift.task",
    "Labels": "tasklift.task",
    "Layered": "tasklift.strategies.layered",
    "Majority": "tasklift.strategies.baseline",
    "Number": "tasklift.task",
    "Prediction": "tasklift.prediction",
    "Project": "tasklift.project",
    "Prompt": "tasklift.strategies.prompt",
    "Right": "tasklift.task",
    "Settings": "tasklift.measure.deciding.decision",
    "Task": "tasklift.task",
    "TaskliftError": "tasklift.errors",
    "Text": "tasklift.task",
    "advise": "tasklift.measure.planning.advise",
    "check_consistency": "tasklift.measure.robustness.consistency",
    "decide": "tasklift.measure.deciding.decision",
    "evaluate": "tasklift.measure.evaluation",
    "read_dataset": "tasklift.data.read",
    "read_results": "tasklift.measure.results_csv",
    "split_dataset": "tasklift.data.split",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - a list of strings, just not a literal


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tasklift' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
