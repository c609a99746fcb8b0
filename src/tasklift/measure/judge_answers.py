"""A model grades every answer of an evaluation, and compares some in pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tasklift.errors import DataError, UnsupportedError
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.judgement import Graded, Judgement, answers_of, hash_of_answer
from tasklift.measure.judging import LEAST_KAPPA, Judge, texts_of
from tasklift.task import Task

#: What a judge is told where nobody wrote a rubric.
RUBRIC = """You judge the answers of others. An answer is good where it does what the instruction below asks, says
nothing that the question does not support, and leaves out nothing that matters.

Instruction:
{instruction}"""
Answers = Mapping[str, Mapping[str, Any]]


def answers_to_judge(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """Candidate -> row id -> answer, of all that are measured.

    Raises:
        UnsupportedError: the task's answers need no judge.
        DataError: nobody answered anything.
    """
    task = evaluation.task
    if task.output.kind != "text":
        raise UnsupportedError(
            f"{task.name}: a judge is for outputs of kind 'text'; whether an output of kind {task.output.kind!r} is "
            f"right, the expected one says (`tasklift score`)"
        )
    results = [result for result in evaluation.results if result.card.family != "human"]
    found = {result.name: answers_of(evaluation.rows.ids, result.predictions) for result in results}
    if not any(found.values()):
        raise DataError(f"evaluation {evaluation.id}: no candidate answered anything, so there is nothing to judge")
    return found


def rubric_of(task: Task) -> str:
    """What a judge of the task is told where nobody wrote a rubric."""
    return RUBRIC.format(instruction=task.instruction)


async def judge_answers(
    judge: Judge,
    evaluation: Evaluation,
    sources: Mapping[str, str],
    pairs: int,
    tell: Callable[[str], None] = lambda line: None,
) -> Judgement:
    """Every answer graded, and so many of each candidate compared with the reference's, in both orders.

    Args:
        sources: row id -> the question's text.
        pairs: rows of each candidate that are compared, drawn at random from those where the two answers differ.
        tell: is told how far it is.

    Raises:
        ModelError: a call failed; what came before is in the response cache.
        BudgetError: the cap is reached; likewise.
    """
    answers = answers_to_judge(evaluation)
    reference = evaluation.reference if evaluation.reference in answers else next(iter(answers))
    graded = {}
    for name, some in answers.items():
        tell(f"judging {len(some)} answers of {name}")
        texts = texts_of(list(some.values()))
        grades = await judge.grade([sources[row] for row in some], texts)
        drawn = _pairs(answers, reference, name, pairs)
        sides = [texts_of([answers[side][row] for row in drawn]) for side in (reference, name)]
        chosen = await judge.choices([sources[row] for row in drawn], *sides)
        graded[name] = Graded(
            judge=dict(zip(some, grades.tolist(), strict=True)),
            answers={row: hash_of_answer(answer) for row, answer in some.items()},
            pairs=dict(zip(drawn, chosen, strict=True)),
        )
    return Judgement(judge.model.name, judge.rubric, reference, graded, LEAST_KAPPA)


def with_labels(judgement: Judgement, labels: Mapping[str, Mapping[str, float]], least_kappa: float) -> Judgement:
    """With people's labels (candidate -> row id -> 0 to 1), and the bar that agreement has to reach."""
    graded = {
        name: Graded(one.judge, labels.get(name, {}), one.answers, one.pairs) for name, one in judgement.graded.items()
    }
    return Judgement(judgement.model, judgement.rubric, judgement.reference, graded, least_kappa)


def _pairs(answers: Answers, reference: str, name: str, count: int) -> list[str]:
    """Rows where both answered, and not the same."""
    if name == reference:
        return []
    mine, theirs = answers[name], answers[reference]
    rows = [row for row in mine if row in theirs and mine[row] != theirs[row]]
    return [rows[at] for at in np.random.default_rng(0).permutation(len(rows))[:count]]
