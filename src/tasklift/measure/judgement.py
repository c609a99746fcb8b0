"""What a model judged of an evaluation's answers, with people's labels of some: kept, and let in only where measured.

The file `judged.json` beside the evaluation holds verdicts and labels by row, no text. Whether the judge may be
believed is computed from them and the answers as they are now, whenever somebody decides: labels that were erased,
or answers that were given anew, do not count.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from tasklift.errors import DataError
from tasklift.measure.judging import (
    FEWEST_LABELS,
    LEAST_KAPPA,
    Agreement,
    PositionBias,
    agreement,
    position_bias,
    texts_of,
)
from tasklift.prediction import Prediction
from tasklift.strategies.artifact import fingerprint_of
from tasklift.whole import write_whole

#: Its name in an evaluation's folder.
JUDGED = "judged.json"
#: From here on, a label or a score counts as "good".
GOOD = 0.5


@dataclass(frozen=True)
class Graded:
    """The judge's word on one candidate's answers, and people's on some of them.

    Attributes:
        judge: row id -> 1 or 0.
        people: row id -> 0 to 1.
        answers: row id -> hash of the answer that both are about.
        pairs: row id -> what the judge chose of the reference's answer and this one's, as `Judge.choices` gives it.
    """

    judge: Mapping[str, float] = field(default_factory=dict)
    people: Mapping[str, float] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    pairs: Mapping[str, str] = field(default_factory=dict)

    def about(self, answers: Mapping[str, Any]) -> Graded:
        """Of these answers only: what was said of others that the rows had before is left out."""
        same = {row for row, answer in answers.items() if self.answers.get(row) == hash_of_answer(answer)}
        return self._kept(same)

    def without(self, rows: Collection[str]) -> Graded:
        """Without these rows."""
        return self._kept(self.answers.keys() - set(rows))

    def _kept(self, rows: Collection[str]) -> Graded:
        return Graded(*({row: one for row, one in part.items() if row in rows} for part in vars(self).values()))


@dataclass(frozen=True)
class Judgement:
    """A judge's run over an evaluation.

    Attributes:
        model: name of the judge.
        rubric: what it was told makes an answer good.
        least_kappa: the bar that the lower end of kappa has to reach.
        reference: candidate that the others' answers were compared with.
        graded: by candidate.
    """

    model: str
    rubric: str
    reference: str
    graded: Mapping[str, Graded]
    least_kappa: float = LEAST_KAPPA

    @property
    def id(self) -> str:
        """Content hash."""
        return fingerprint_of(self.to_json())[:16]

    def without(self, rows: Collection[str]) -> Judgement:
        """Without what was said of these rows."""
        graded = {name: one.without(rows) for name, one in self.graded.items()}
        return Judgement(self.model, self.rubric, self.reference, graded, self.least_kappa)

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        known = {key: row[key] for key in ("model", "rubric", "reference", "least_kappa")}
        return cls(graded={name: Graded(**one) for name, one in row["graded"].items()}, **known)


@dataclass(frozen=True)
class Measured:
    """A judgement held against people, and against its own biases.

    Attributes:
        judgement: about the answers as they are now.
        answers: candidate -> row id -> answer that could be judged.
    """

    judgement: Judgement
    answers: Mapping[str, Mapping[str, Any]]

    @cached_property
    def overall(self) -> Agreement | None:
        """Over all labelled answers, those to one question drawn together; None: people labelled none."""
        return self._agreement(self.answers)

    @cached_property
    def by_candidate(self) -> dict[str, Agreement]:
        """Of each candidate with labels."""
        found = {name: self._agreement([name]) for name in self.answers}
        return {name: one for name, one in found.items() if one is not None}

    @cached_property
    def position(self) -> PositionBias | None:
        """Over all pairs that were compared; None: none were."""
        return _position([both for one in self.judgement.graded.values() for both in one.pairs.values()])

    def preferred(self, name: str) -> PositionBias | None:
        """The reference's answers against this candidate's; `first_is_better` is for the reference."""
        return _position(list(self.judgement.graded[name].pairs.values()))

    @cached_property
    def refused(self) -> str:
        """Why its figures enter no decision; '' where they do."""
        graded = self.judgement.graded
        for name, answers in self.answers.items():
            missing = len(answers.keys() - graded[name].judge.keys() - graded[name].people.keys())
            if missing:
                return f"{missing} answers of {name} were not judged, or are others by now; judge again"
        if self.overall is None:
            return "its agreement with people was not measured: nobody labelled an answer"
        few = {name: len(graded[name].people) for name, one in self.answers.items() if one}
        for name, labels in few.items():
            if labels < min(FEWEST_LABELS, len(self.answers[name])):
                return f"only {labels} answers of {name} carry a label of a person; {FEWEST_LABELS} are needed"
        kappa, bar = self.overall.kappa, self.judgement.least_kappa
        if kappa is None:
            return "the judge, or people, said the same of every labelled answer: that shows no agreement beyond chance"
        if self.overall.rows < FEWEST_LABELS:
            return f"{self.overall.rows} labels are fewer than {FEWEST_LABELS}"
        if kappa.low < bar:
            told = f"{kappa.value:.2f} [{kappa.low:.2f}, {kappa.high:.2f}]"
            return f"kappa with people is {told}, its lower end below {bar:g}"
        return ""

    def told(self) -> str:
        """In a sentence, for those who decide."""
        start = f"answers were judged by {self.judgement.model}"
        if self.refused or self.overall is None or self.overall.kappa is None:
            return f"{start}, whose verdicts do not count: {self.refused}"
        kappa = self.overall.kappa
        return (
            f"{start}, in place of the task's own rule; kappa with people is {kappa.value:.2f} "
            f"[{kappa.low:.2f}, {kappa.high:.2f}] over {self.overall.rows} labels "
            f"({self.judgement.least_kappa:g} needed)"
        )

    def _agreement(self, names: Collection[str]) -> Agreement | None:
        both = [
            (row, self.judgement.graded[name].judge[row], label, self.answers[name][row])
            for name in names
            for row, label in self.judgement.graded[name].people.items()
            if row in self.judgement.graded[name].judge
        ]
        if not both:
            return None
        rows, judge, people, answers = zip(*both, strict=True)
        judge_good, people_good = ([float(value >= GOOD) for value in some] for some in (judge, people))
        return agreement(judge_good, people_good, texts_of(answers), rows, self.judgement.least_kappa)


def measured(judgement: Judgement, answers: Mapping[str, Mapping[str, Any]]) -> Measured:
    """Hold a judgement against people.

    Args:
        answers: candidate -> row id -> its answer now, see `answers_of`.
    """
    graded = {name: judgement.graded.get(name, Graded()).about(some) for name, some in answers.items()}
    about = Judgement(judgement.model, judgement.rubric, judgement.reference, graded, judgement.least_kappa)
    return Measured(about, answers)


def answers_of(ids: Sequence[str], predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Row id -> answer, of rows with one: a failed row is wrong without a judge, a deferred one a person's."""
    return {row: p.output for row, p in zip(ids, predictions, strict=True) if p.error is None and not p.deferred}


def hash_of_answer(answer: Any) -> str:
    """What tells an answer from another one."""
    return fingerprint_of(answer)[:16]


def read_judgement(place: Path) -> Judgement | None:
    """What a model judged of the evaluation in this folder; None where none did.

    Raises:
        DataError: the file is damaged.
    """
    path = place / JUDGED
    if not path.exists():
        return None
    try:
        return Judgement.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: damaged ({error!r}); delete it and run `tasklift judge` again") from error


def write_judgement(place: Path, judgement: Judgement) -> Path:
    """Keep it beside the evaluation.

    Raises:
        DataError: the disk refused.
    """
    path = place / JUDGED
    row = {"schema_version": 1, "evaluation": place.name, **judgement.to_json()}
    write_whole(path, json.dumps(row, indent=1, ensure_ascii=False))
    return path


def _position(choices: Sequence[str]) -> PositionBias | None:
    return position_bias(choices) if any(choices) else None
