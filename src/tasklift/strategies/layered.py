"""A tuned core for the sure rows, a prompt for the rest, a person for what neither is sure of."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tasklift.data.split import sample, split_dataset
from tasklift.dataset import Dataset
from tasklift.prediction import DECIMALS, Prediction
from tasklift.stats.calibration import Platt, fit_platt
from tasklift.stats.intervals import wilson
from tasklift.stats.learn_then_test import Certificate, Step, learn_then_test, walk
from tasklift.strategies.artifact import Card, read_card
from tasklift.strategies.fewshot import FewShot
from tasklift.strategies.fitting import fit_nested, load_candidate
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.layered_candidate import LayeredCandidate, Rule
from tasklift.strategies.recipe import Recipe, require, require_rows
from tasklift.strategy import Candidate, Context, Family, Resources, Strategy
from tasklift.task import Task
from tasklift.worker import timed

#: Rows from which the prompt stage is judged before it is run on the whole certification fold.
PILOT_ROWS = 48


@dataclass(frozen=True)
class Layered(Recipe):
    """Core, then prompt, then person, with one threshold whose risk is certified.

    The training rows are cut in three: the core learns from the first fold; on the second each
    stage's confidence is calibrated (Platt), so that one threshold means the same for both; on the
    third Learn-then-Test chooses the threshold. Risk is P(wrong | answered without a person).

    Attributes:
        core: the tuned stage.
        prompt: the stage for what the core is not sure of; None: straight to the person.
        alpha: highest tolerated risk.
        delta: highest tolerated probability that the certificate is wrong.
        folds: shares of the rows for training, calibration, certification.
        seed: of the folds.
    """

    name: ClassVar[str] = "layered"
    family: ClassVar[Family] = "layered"
    version: ClassVar[int] = 2

    core: Strategy = field(default_factory=FrozenEncoder)
    prompt: Strategy | None = field(default_factory=FewShot)
    alpha: float = 0.05
    delta: float = 0.1
    folds: tuple[float, float, float] = (0.6, 0.15, 0.25)
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 < self.alpha < 1, self.name, f"alpha={self.alpha} must lie between 0 and 1")
        require(0 < self.delta < 1, self.name, f"delta={self.delta} must lie between 0 and 1")
        fine = min(self.folds) > 0 and abs(sum(self.folds) - 1) < 1e-9
        require(fine, self.name, f"folds={self.folds} must be positive and sum to 1")

    def parameters(self) -> dict[str, Any]:
        """The stages by their own parameters."""
        stages = {"core": _described(self.core), "prompt": _described(self.prompt)}
        return {**stages, "alpha": self.alpha, "delta": self.delta, "folds": self.folds, "seed": self.seed}

    def base(self) -> str:
        """Snapshots of both stages' models."""
        return " ".join(_base(stage) for stage in (self.core, self.prompt))

    def fit(self, task: Task, train: Dataset) -> LayeredCandidate:
        """Fit the core, calibrate both stages, certify the threshold."""
        require_rows(task, train, self.name)
        done = timed(self._fit, task, train)
        core, prompt, rule, notes = done.value
        resources = Resources(labels=len(train), cpu_s=done.cpu_s)
        card = self.card(task, train, resources, notes=notes, settings=rule.to_json())
        return LayeredCandidate(card, core, prompt, rule)

    def _fit(self, task: Task, train: Dataset) -> tuple[Candidate, Candidate | None, Rule, dict[str, Any]]:
        first, rest = split_dataset(train, self.folds[0], by="label", seed=self.seed)
        second, third = split_dataset(
            rest, self.folds[1] / (self.folds[1] + self.folds[2]), by="label", seed=self.seed + 1
        )
        core = fit_nested(self.core, task, first)
        prompt = fit_nested(self.prompt, task, first) if self.prompt else None
        core_scale, pilot = calibrate(core, second), _Pilot(None, "no prompt stage was asked for")
        ceiling = 1.0
        if prompt is not None:
            ceiling, pilot = self._pilot(core, core_scale, prompt, second)
        if pilot.scale is None:
            prompt = None  # it would cost a call a row and never answer
        # Without a prompt stage rows are accepted in the order of the core's raw confidence, whatever its
        # calibration, so the rows that it was calibrated on may certify the threshold as well.
        certifying = rest if self.prompt is None and core_scale.slope > 0 else third
        certificate = self._certify(core, core_scale, prompt, pilot.scale, ceiling, certifying)
        rule = Rule(core_scale, pilot.scale, certificate)
        notes = {
            "certificate": certificate.to_json(),
            "folds": [len(first), len(second), len(third)],
            "prompt_stage": pilot.reason,
            "core_validation_accuracy": _note(core, "validation_accuracy"),
        }
        return core, prompt, rule, notes

    def _pilot(self, core: Candidate, core_scale: Platt, prompt: Candidate, fold: Dataset) -> tuple[float, _Pilot]:
        """Is the prompt stage good enough, on rows where the core is not sure, to ever answer alone?

        Asking it costs a model call a row, so a few rows decide whether the whole certification fold
        is worth it. Over the ceiling (core risk below half of alpha) it is never asked while fitting.
        """
        confidence, _ = _judged(core, fold, core_scale)
        ceiling = 1 - self.alpha / 2
        unsure = fold.part((row for row, sure in zip(fold, confidence, strict=True) if sure < ceiling), "core unsure")
        if len(unsure) < 10:
            return ceiling, _Pilot(
                None, f"only {len(unsure)} calibration rows leave the core unsure: too few to judge a prompt"
            )
        rows = sample(unsure, PILOT_ROWS, self.seed)
        raw, right = _judged(prompt, rows, None)
        sure = raw >= np.median(raw)
        best = wilson(float(right[sure].sum()), int(sure.sum()), 0.9)
        seen = (
            f"{right.mean():.0%} right on {len(rows)} rows where the core is unsure, {best.value:.0%} on its surer half"
        )
        if best.high < 1 - self.alpha:
            return ceiling, _Pilot(
                None, f"never answers alone: {seen}; {1 - self.alpha:.0%} needed, so the stage was left out"
            )
        return ceiling, _Pilot(fit_platt(raw, right), f"answers where it is sure: {seen}")

    def _certify(
        self,
        core: Candidate,
        core_scale: Platt,
        prompt: Candidate | None,
        prompt_scale: Platt | None,
        ceiling: float,
        fold: Dataset,
    ) -> Certificate:
        """Learn-then-Test over the threshold: the core answers from it on, else the prompt from it on."""
        core_sure, core_right = _judged(core, fold, core_scale)
        if prompt is None or prompt_scale is None:
            return learn_then_test(core_sure, 1 - core_right, self.alpha, self.delta)
        asked = np.flatnonzero(core_sure < ceiling)
        sure, right = np.zeros(len(fold)), np.zeros(len(fold))
        part = fold.part((fold.examples[i] for i in asked), "core unsure")
        sure[asked], right[asked] = _judged(prompt, part, prompt_scale)
        # Over the ceiling the prompt was not asked: no threshold there can be judged.
        tried = sorted({*core_sure[core_sure <= ceiling], *sure[asked][sure[asked] <= ceiling]}, reverse=True)
        steps = []
        for threshold in tried:
            by_core = core_sure >= threshold
            by_prompt = ~by_core & (sure >= threshold)
            errors = (1 - core_right)[by_core].sum() + (1 - right)[by_prompt].sum()
            steps.append(Step(float(threshold), int(by_core.sum() + by_prompt.sum()), int(errors)))
        return walk(steps, len(fold), self.alpha, self.delta)

    def reload(self, folder: Path, card: Card) -> LayeredCandidate:
        """A saved candidate, its stages read by those of this recipe."""
        core = _reloaded(self.core, folder / "core")
        prompt = _reloaded(self.prompt, folder / "prompt") if (folder / "prompt").exists() else None
        return LayeredCandidate(card, core, prompt, Rule.from_json(card.settings))

    @staticmethod
    def load(folder: Path, card: Card) -> LayeredCandidate:
        """A saved candidate with its stages."""
        core = load_candidate(folder / "core")
        prompt = load_candidate(folder / "prompt") if (folder / "prompt").exists() else None
        return LayeredCandidate(card, core, prompt, Rule.from_json(card.settings))


@dataclass(frozen=True)
class _Pilot:
    """The prompt stage's calibration, None where it never answers alone, and why."""

    scale: Platt | None
    reason: str


def calibrate(candidate: Candidate, fold: Dataset) -> Platt:
    """How a candidate's confidence relates to being right, on rows it has not seen."""
    raw, right = _judged(candidate, fold, None)
    return fit_platt(raw, right)


def _judged(
    candidate: Candidate, fold: Dataset, scale: Platt | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Confidence (scaled) and rightness of a candidate on labelled rows: [n], [n].

    A failed row, or one without a confidence, is not sure at all.
    """
    answers = asyncio.run(_answers(candidate, fold))
    raw = np.array([p.confidence if p.confidence is not None and p.error is None else 0.0 for p in answers])
    right = np.array([float(p.output == row.output) for p, row in zip(answers, fold, strict=True)])
    return (np.round(scale(raw), DECIMALS) if scale else raw), right


async def _answers(candidate: Candidate, fold: Dataset) -> list[Prediction]:
    return await candidate.predict(fold.inputs, Context())


def _described(stage: Strategy | None) -> dict[str, Any] | None:
    if stage is None:
        return None
    parameters = stage.parameters() if isinstance(stage, Recipe) else {}
    return {"strategy": stage.name, "parameters": parameters}


def _base(stage: Strategy | None) -> str:
    return stage.base() if isinstance(stage, Recipe) else ""


def _note(candidate: Candidate, name: str) -> Any:
    return candidate.notes.get(name)


def _reloaded(stage: Strategy | None, folder: Path) -> Candidate:
    return stage.reload(folder, read_card(folder)) if isinstance(stage, Recipe) else load_candidate(folder)
