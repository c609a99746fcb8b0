"""GEPA (Agrawal et al. 2025, arXiv 2507.19457): a model reads what went wrong and writes the instruction anew."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gepa.api import optimize
from gepa.core.adapter import EvaluationBatch

from tasklift.dataset import Dataset, Example
from tasklift.errors import BudgetError, ModelError
from tasklift.llm.model import Message, Model, Request
from tasklift.llm.open import open_model
from tasklift.llm.prompt_file import PromptText
from tasklift.measure.optimizing.judge import Judge
from tasklift.prediction import Usage
from tasklift.strategies.classifier import text_of

#: The one part that is written anew.
PART = "instruction"
#: Tokens that the reflecting model may write.
REFLECTION_TOKENS = 2000
#: Characters of a row that it is shown.
SHOWN_CHARS = 600


@dataclass(frozen=True)
class Gepa:
    """Reflective evolution of the instruction.

    Attributes:
        reflector: the model that reflects: a name or URL as for strategies.
        calls: rows that may be asked while searching.
        minibatch: rows that it reflects on at once.
        seed: of chance.
    """

    reflector: str | Model = ""
    calls: int = 600
    minibatch: int = 4
    seed: int = 0

    async def improve(self, base: PromptText, judge: Judge, feedback: Dataset, select: Dataset) -> PromptText:
        """The best prompt found on `select`.

        Args:
            feedback: rows whose errors the reflecting model is shown.
        """
        return await asyncio.to_thread(self._run, base, judge, feedback, select)

    def _run(self, base: PromptText, judge: Judge, feedback: Dataset, select: Dataset) -> PromptText:
        adapter: Any = _Adapter(base, judge)
        model = open_model(self.reflector)
        found: Any = optimize(
            seed_candidate={PART: base.instruction or judge.task.instruction},
            trainset=list(feedback),
            valset=list(select),
            adapter=adapter,
            reflection_lm=_Reflector(model, judge),
            max_metric_calls=self.calls,
            reflection_minibatch_size=self.minibatch,
            logger=_Quiet(),
            seed=self.seed,
        )
        best: PromptText = adapter.prompt(found.best_candidate)
        return best


@dataclass
class _Adapter:
    """GEPA's view of a prompt: the instruction in, scores and traces out."""

    base: PromptText
    judge: Judge
    propose_new_texts: None = None

    def prompt(self, candidate: Mapping[str, str]) -> PromptText:
        said = candidate[PART].strip()
        return self.base.model_copy(update={PART: "" if said == self.judge.task.instruction else said})

    def evaluate(
        self, batch: list[Example], candidate: dict[str, str], capture_traces: bool = False
    ) -> EvaluationBatch[dict[str, str], Any]:
        """Scores of one instruction on some rows."""
        rows = Dataset(tuple(batch), name="rows of one step")
        trial = asyncio.run(self.judge.judge(self.prompt(candidate), rows))
        traces = [_trace(row, said, self.judge) for row, said in zip(batch, trial.outputs, strict=True)]
        scores = [float(one) for one in trial.right]
        return EvaluationBatch(list(trial.outputs), scores, traces if capture_traces else None)

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: EvaluationBatch[dict[str, str], Any], components: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """What the reflecting model reads."""
        return {PART: list(eval_batch.trajectories or [])}


def _trace(row: Example, said: Any, judge: Judge) -> dict[str, str]:
    text = text_of(row.input, judge.task.input_fields)[:SHOWN_CHARS]
    right = judge.task.output.write(row.output)
    feedback = "Right." if said == row.output else f"Wrong: the right answer is {right!r}"
    meaning = judge.task.labels.get(right, "") if judge.task.output.kind == "label" else ""
    return {
        "Inputs": text,
        "Generated Outputs": str(said),
        "Feedback": f"{feedback} ({meaning})" if meaning else feedback,
    }


@dataclass
class _Reflector:
    """The reflecting model as a function; what it uses is counted with everything else."""

    model: Model
    judge: Judge

    def __call__(self, prompt: str | list[dict[str, Any]]) -> str:
        text = prompt if isinstance(prompt, str) else "\n".join(str(one["content"]) for one in prompt)
        try:
            reply = asyncio.run(self.model.complete(Request((Message("user", text),), max_tokens=REFLECTION_TOKENS)))
        except BudgetError:
            raise
        except ModelError as error:
            raise type(error)(f"the reflecting model failed: {error}") from error
        used = self.judge.asked.get(self.model.name, Usage())
        self.judge.asked[self.model.name] = used + reply.usage
        self.judge.usage += reply.usage
        return reply.text


class _Quiet:
    """GEPA's own log is not shown: the judge tells of each step."""

    def log(self, message: str) -> None:
        """Nothing."""
