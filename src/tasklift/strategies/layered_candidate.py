"""What a layered strategy makes: a core, a prompt, and the rule by which stage answers what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tasklift.prediction import DECIMALS, Prediction, Usage
from tasklift.stats.confidence import Platt
from tasklift.stats.learn_then_test import Certificate
from tasklift.strategies.artifact import Card, CardCandidate, write_artifact
from tasklift.strategy import Candidate, Context, Input, Traits


@dataclass(frozen=True)
class Rule:
    """When which stage answers.

    Attributes:
        core: raw confidence of the core -> probability of being right.
        prompt: the same for the prompt stage; None: there is no such stage.
        certificate: with the threshold; a threshold of None defers everything.
    """

    core: Platt
    prompt: Platt | None
    certificate: Certificate

    def to_json(self) -> dict[str, Any]:
        """Plain fields, for the card."""
        prompt = [self.prompt.slope, self.prompt.offset] if self.prompt else None
        core = [self.core.slope, self.core.offset]
        return {"core": core, "prompt": prompt, "certificate": self.certificate.to_json()}

    @classmethod
    def from_json(cls, row: Any) -> Rule:
        """The inverse of `to_json`."""
        prompt = Platt(*row["prompt"]) if row["prompt"] else None
        return cls(Platt(*row["core"]), prompt, Certificate.from_json(row["certificate"]))


class LayeredCandidate(CardCandidate):
    """Stages in order; `children` keeps what each one said.

    Where both stages are unsure, the children are suggestions for the person.
    """

    def __init__(self, card: Card, core: Candidate, prompt: Candidate | None, rule: Rule) -> None:
        super().__init__(card)
        self.core, self.prompt, self.rule = core, prompt, rule
        stages = [stage.traits for stage in (core, prompt) if stage is not None]
        self.traits = Traits(
            deterministic=all(traits.deterministic for traits in stages),
            remote=any(traits.remote for traits in stages),
            data_leaves_machine=any(traits.data_leaves_machine for traits in stages),
            batch_size=min(traits.batch_size for traits in stages) if any(t.remote for t in stages) else 64,
        )

    async def predict(self, inputs: Sequence[Input], ctx: Context) -> list[Prediction]:
        """Core for all; prompt for the unsure (for all with `ctx.all_stages`); the rest deferred."""
        first = await self.core.predict(inputs, ctx)
        asked = [i for i, p in enumerate(first) if self._unsure(p) or ctx.all_stages] if self.prompt else []
        second: dict[int, Prediction] = {}
        if self.prompt is not None and asked:
            answers = await self.prompt.predict([inputs[i] for i in asked], ctx)
            second = dict(zip(asked, answers, strict=True))
        return [self._decide(p, second.get(i)) for i, p in enumerate(first)]

    def _unsure(self, core: Prediction) -> bool:
        threshold = self.rule.certificate.threshold
        return threshold is None or sure_of(core, self.rule.core) < threshold

    def _decide(self, core: Prediction, prompt: Prediction | None) -> Prediction:
        children = (core,) if prompt is None else (core, prompt)
        if core.error is not None and core.error.kind == "empty_input":
            return replace(core, children=children)
        sure = sure_of(core, self.rule.core)
        if not self._unsure(core):
            return self._answered("core", core, sure, children)
        if prompt is not None and self.rule.prompt is not None:
            threshold, second = self.rule.certificate.threshold, sure_of(prompt, self.rule.prompt)
            if threshold is not None and second >= threshold:
                return self._answered("prompt", prompt, second, children)
        used = Prediction(deferred=True, confidence=sure, children=children, notes={"stage": "human"})
        return used.with_timing(*_spent(children))

    @staticmethod
    def _answered(stage: str, by: Prediction, sure: float, children: tuple[Prediction, ...]) -> Prediction:
        asked = children[:1] if stage == "core" else children
        answer = Prediction(by.output, by.scores, sure, children=children, notes={"stage": stage})
        return answer.with_timing(*_spent(asked))

    def save(self, folder: Path) -> None:
        """Write the card and both stages."""
        parts = {"core": self.core} | ({"prompt": self.prompt} if self.prompt else {})
        write_artifact(folder, self.card, {}, parts)

    def with_stages(self, wrap: Callable[[str, Candidate], Candidate]) -> LayeredCandidate:
        """The same candidate with each stage (`core`, `prompt`) replaced by what `wrap` makes of it."""
        prompt = None if self.prompt is None else wrap("prompt", self.prompt)
        return LayeredCandidate(self.card, wrap("core", self.core), prompt, self.rule)

    async def aclose(self) -> None:
        """Close both stages."""
        await self.core.aclose()
        if self.prompt is not None:
            await self.prompt.aclose()


def sure_of(prediction: Prediction, scale: Platt) -> float:
    """Probability of being right that the rule compares with its threshold.

    0 for what is no answer (failed, or left to a person), and for one without a confidence; a scale with a slope of 0
    is that of a stage that never tells one, and gives all its answers the same probability.
    """
    is_told = prediction.confidence is not None
    if prediction.error is not None or prediction.deferred or not (is_told or scale.slope == 0):
        return 0.0
    confidence = prediction.confidence if prediction.confidence is not None else 0.5
    return round(float(scale(np.array([confidence]))[0]), DECIMALS)


def _spent(stages: Sequence[Prediction]) -> tuple[Usage, float]:
    """What the asked stages used: quantities and seconds."""
    return sum((stage.usage for stage in stages), Usage()), sum(stage.latency_s for stage in stages)
