"""A tuned core for the sure rows, a prompt for the rest, a person for what neither is sure of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from tasklift import registry
from tasklift.data.split import sample
from tasklift.dataset import Dataset
from tasklift.errors import UnsupportedError
from tasklift.metrics.base import Cases
from tasklift.metrics.right import Accuracy
from tasklift.prediction import Prediction
from tasklift.stats.calibration import Platt, fit_platt
from tasklift.stats.intervals import wilson
from tasklift.stats.learn_then_test import Certificate, Step, learn_then_test, walk
from tasklift.strategies.artifact import Card, fingerprint_of, read_card
from tasklift.strategies.classifier import cut_rows
from tasklift.strategies.fewshot import FewShot
from tasklift.strategies.fitting import fit_nested, load_candidate
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.layered_candidate import LayeredCandidate, Rule, sure_of
from tasklift.strategies.recipe import EVERY_KIND, Recipe, require, require_rows
from tasklift.strategies.targets import SCORED_KINDS
from tasklift.strategy import Candidate, Context, Family, Resources, Strategy
from tasklift.task import Task
from tasklift.worker import timed

#: Rows from which the prompt stage is judged before it is run on the whole certification fold.
PILOT_ROWS = 48
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Layered(Recipe):
    """Core, then prompt, then person, with one threshold whose risk is certified.

    The training rows are cut in three: the core learns from the first fold; on the second each
    stage's confidence is calibrated (Platt), so that one threshold means the same for both; on the
    third Learn-then-Test chooses the threshold. Risk is P(wrong | answered without a person), and wrong is
    what the task's own rule says (`[right]`), for one label, several labels and numbers alike.

    The core has to say how sure it is. A prompt stage that does not is taken to be equally sure of all its answers: it
    answers what the core is not sure of as a whole, or not at all.

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
    version: ClassVar[int] = 4
    kinds: ClassVar[frozenset[str]] = SCORED_KINDS

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

    def fingerprint(self, task: Task, train: Dataset) -> str:
        """Hash of everything that decides the candidate's answers: where more than being equal counts as right, the
        certificate rests on that rule."""
        plain = super().fingerprint(task, train)
        return plain if task.output.kind == "label" else fingerprint_of(plain, task.right.model_dump(mode="json"))

    def fit(self, task: Task, train: Dataset) -> LayeredCandidate:
        """Fit the core, calibrate both stages, certify the threshold.

        Raises:
            UnsupportedError: the core does not say how sure it is of the task's kind of answer.
        """
        if task.output.kind not in self.kinds and self.core.name in registry.ENTRIES["strategy"]:
            raise UnsupportedError(_no_confidence(task.output.kind, self.core.name))
        require_rows(task, train, self.name, EVERY_KIND)
        done = timed(self._fit, task, train)
        core, prompt, rule, notes = done.value
        resources = Resources(labels=len(train), cpu_s=done.cpu_s)
        card = self.card(task, train, resources, notes=notes, settings=rule.to_json())
        return LayeredCandidate(card, core, prompt, rule)

    def _fit(self, task: Task, train: Dataset) -> tuple[Candidate, Candidate | None, Rule, dict[str, Any]]:
        first, rest, second, third = self._cut(task, train)
        core = _Stage(fit_nested(self.core, task, first), task)
        prompt = _Stage(fit_nested(self.prompt, task, first), task) if self.prompt else None
        core = core.calibrated(second)
        if core.scale.slope == 0:
            raise UnsupportedError(_no_confidence(task.output.kind, self.core.name))
        ceiling, reason = 1.0, "no prompt stage was asked for"
        if prompt is not None:
            ceiling = 1 - self.alpha / 2
            prompt, reason = self._pilot(core, prompt, ceiling, second)  # one that never answers costs a call a row
        # Without a prompt stage rows are accepted in the order of the core's raw confidence, whatever its
        # calibration, so the rows that it was calibrated on may certify the threshold as well.
        certificate = self._certify(core, prompt, ceiling, rest if self.prompt is None else third)
        rule = Rule(core.scale, prompt.scale if prompt else None, certificate)
        notes = {
            "certificate": certificate.to_json(),
            "folds": [len(first), len(second), len(third)],
            "prompt_stage": reason,
            "core_validation_accuracy": _note(core.candidate, "validation_accuracy"),
        }
        return core.candidate, prompt.candidate if prompt else None, rule, notes

    def _cut(self, task: Task, train: Dataset) -> tuple[Dataset, Dataset, Dataset, Dataset]:
        """To train on, the rest, and the rest cut in two: to calibrate and to certify on."""
        stratum = task.output.stratum
        first, rest = cut_rows(train, self.folds[0], self.seed, stratum)
        share = self.folds[1] / (self.folds[1] + self.folds[2])
        second, third = cut_rows(rest, share, self.seed + 1, stratum)
        return first, rest, second, third

    def _pilot(self, core: _Stage, prompt: _Stage, ceiling: float, fold: Dataset) -> tuple[_Stage | None, str]:
        """The prompt stage calibrated, None where it is not good enough to ever answer alone; and why.

        Asking it costs a model call a row, so a few rows where the core is not sure decide whether the whole
        certification fold is worth it. Over the ceiling (core risk below half of alpha) it is never asked while
        fitting.
        """
        confidence, _ = core.judged(fold)
        unsure = fold.part((row for row, sure in zip(fold, confidence, strict=True) if sure < ceiling), "core unsure")
        if len(unsure) < 10:
            return None, f"only {len(unsure)} calibration rows leave the core unsure: too few to judge a prompt"
        rows = sample(unsure, PILOT_ROWS, self.seed, stratum=core.task.output.stratum)
        answers, right = prompt.answers(rows)
        scaled = prompt.calibrated_on(answers, right)
        seen = f"{right.mean():.0%} right on {len(rows)} rows where the core is unsure"
        if scaled.scale.slope == 0:  # it says of no answer how sure it is
            sure = np.array([_is_answer(answer) for answer in answers])
            best = wilson(float(right[sure].sum()), int(sure.sum()), 0.9)
            how, seen = "answers what the core is not sure of", f"{seen}; it does not say how sure it is"
        else:
            raw = _raw(answers)
            sure = raw >= np.median(raw)
            best = wilson(float(right[sure].sum()), int(sure.sum()), 0.9)
            how, seen = "answers where it is sure", f"{seen}, {best.value:.0%} on its surer half"
        if best.high < 1 - self.alpha:
            return None, f"never answers alone: {seen}; {1 - self.alpha:.0%} needed, so the stage was left out"
        return scaled, f"{how}: {seen}"

    def _certify(self, core: _Stage, prompt: _Stage | None, ceiling: float, fold: Dataset) -> Certificate:
        """Learn-then-Test over the threshold: the core answers from it on, else the prompt from it on."""
        core_sure, core_right = core.judged(fold)
        if prompt is None:
            return learn_then_test(core_sure, 1 - core_right, self.alpha, self.delta)
        asked = np.flatnonzero(core_sure < ceiling)
        sure, right = np.zeros(len(fold)), np.zeros(len(fold))
        sure[asked], right[asked] = prompt.judged(fold.part((fold.examples[i] for i in asked), "core unsure"))
        # Over the ceiling the prompt was not asked: no threshold there can be judged.
        tried = {*core_sure[core_sure <= ceiling], *sure[asked][sure[asked] <= ceiling]}
        if prompt.scale.slope == 0:  # one probability for all its answers: it may lie above every other threshold
            tried.add(ceiling)
        steps = []
        for threshold in sorted(tried, reverse=True):
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
class _Stage:
    """A fitted stage while its place is looked for.

    Attributes:
        candidate: it.
        task: says when an answer is right.
        scale: raw confidence -> probability of being right; a slope of 0 is one probability for all answers.
    """

    candidate: Candidate
    task: Task
    scale: Platt = field(default_factory=lambda: Platt(1.0, 0.0))

    def answers(self, fold: Dataset) -> tuple[list[Prediction], Floats]:
        """[n] answers on labelled rows, and [n] 1 where one is right by the task's rule."""
        found = asyncio.run(_answers(self.candidate, fold))
        cases = Cases([p.output for p in found], fold.outputs, self.task.output, self.task.right)
        return found, Accuracy().rows(cases)

    def judged(self, fold: Dataset) -> tuple[Floats, Floats]:
        """[n] probability of being right, as the rule will see it, and [n] 1 where it is."""
        found, right = self.answers(fold)
        return np.array([sure_of(answer, self.scale) for answer in found]), right

    def calibrated(self, fold: Dataset) -> _Stage:
        """With its confidence scaled on rows that it has not seen."""
        return self.calibrated_on(*self.answers(fold))

    def calibrated_on(self, answers: Sequence[Prediction], right: Floats) -> _Stage:
        """The same on answers to such rows. Where none of them says how sure it is, all are equally sure."""
        given = np.array([_is_answer(answer) for answer in answers])
        if given.any() and all(answer.confidence is None for answer in answers):
            wins = float(right[given].sum())
            return replace(self, scale=Platt(0.0, float(logit((wins + 1) / (given.sum() + 2)))))
        return replace(self, scale=fit_platt(_raw(answers), right))


def _is_answer(answer: Prediction) -> bool:
    """Neither failed nor left to a person."""
    return answer.error is None and not answer.deferred


def _raw(answers: Sequence[Prediction]) -> Floats:
    """[n] confidences as they are told; 0 for a failed answer, or one without."""
    return np.array([p.confidence if p.confidence is not None and p.error is None else 0.0 for p in answers])


def _no_confidence(kind: str, core: str) -> str:
    if kind in SCORED_KINDS:
        given = "; baseline, frozen and encoder do"
    else:
        given = ": none that ships does (majority, knn, prompt and fewshot answer without a confidence)"
    return (
        f"layered needs a core that says how sure it is, and {core} does not for outputs of kind {kind!r}{given}. "
        "The threshold that is certified is one on that confidence"
    )


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
