"""Advice without data: the checklist's majority, the cost model that its answers parametrise, and where they differ.

Nothing here is measured, and every answer says so. Where there are rows,
`tasklift evaluate` and `tasklift decide` replace it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from tasklift.economics import Economics
from tasklift.measure.planning.unmeasured import GATES, OPTIONS, Belief, Choice, Simulated, beliefs_of, simulate
from tasklift.schema import Schema

#: Draws of the attribution, where one choice a question is asked for.
QUICK = 2_000
#: From this share of votes on, the majority is plain: 5 of 7 either way.
PLAIN = 5 / 7
#: Below this probability of being the cheapest, a choice is called unsure.
SURE = 0.9
UNKNOWN: Final = "unknown"


def _answer(value: object) -> object:
    if isinstance(value, bool) or value == UNKNOWN:
        return value
    folded = str(value).strip().casefold()
    near = {"yes": "true", "y": "true", "1": "true", "true": "true", "no": "false", "n": "false", "0": "false"}
    near |= {"false": "false", "?": '"unknown"', "": '"unknown"', UNKNOWN: '"unknown"'}
    guess = near.get(folded) or ('"unknown"' if folded[:3] in ("unk", "may", "don", "not") else None)
    hint = f"; did you mean {guess}?" if guess else ""
    raise ValueError(f'an answer is true, false or "unknown"{hint}')


Answer = Annotated[bool | Literal["unknown"], BeforeValidator(_answer)]


class Answers(Schema):
    """What the checklist asks; anything left out is unknown.

    The first seven vote in the plain majority; the rest, the guide's further conditions, only set parameters.
    """

    schema_version: Literal[1] = 1
    requirements_change_often: Answer = UNKNOWN
    humans_validate_outputs: Answer = UNKNOWN
    inconsistency_is_risky: Answer = UNKNOWN
    exploratory: Answer = UNKNOWN
    at_scale: Answer = UNKNOWN
    needs_explainability: Answer = UNKNOWN
    time_to_market_first: Answer = UNKNOWN
    outputs_feed_systems: Answer = UNKNOWN
    special_language: Answer = UNKNOWN
    prompt_length_costs: Answer = UNKNOWN
    prompts_hard_to_maintain: Answer = UNKNOWN

    def known(self) -> dict[str, bool | None]:
        """Question -> answer, None where it is not known."""
        given = {name: getattr(self, name) for name in QUESTIONS}
        return {name: None if answer == UNKNOWN else answer for name, answer in given.items()}


@dataclass(frozen=True)
class Question:
    """One question, and which family the answer yes votes for; None: it does not vote."""

    text: str
    yes_votes_for: Literal["prompt", "finetune"] | None = None


QUESTIONS: Mapping[str, Question] = {
    "requirements_change_often": Question("Do the requirements change weekly or monthly?", "prompt"),
    "humans_validate_outputs": Question("Do people validate most outputs before they take effect?", "prompt"),
    "inconsistency_is_risky": Question("Can an inconsistent answer cause real operational risk?", "finetune"),
    "exploratory": Question("Is the task exploratory, rather than standardised?", "prompt"),
    "at_scale": Question("Will it run at scale, 1,000 requests a day or more?", "finetune"),
    "needs_explainability": Question("Are explainability and repeatable behaviour needed?", "finetune"),
    "time_to_market_first": Question("Is time to market worth more than long-term optimisation?", "prompt"),
    "outputs_feed_systems": Question("Are the outputs consumed by other systems?"),
    "special_language": Question("Is the language of the domain special?"),
    "prompt_length_costs": Question("Is the volume high enough that the length of a prompt costs?"),
    "prompts_hard_to_maintain": Question("Are the prompts getting hard to maintain?"),
}
#: What can be measured first: the parameters it settles, and how.
MEASURABLE: Mapping[str, tuple[tuple[str, ...], str]] = {
    "error rates of each option on your rows": (
        ("prompt_error", "core_error", "core_error_on_tail", "label_noise", "repeatable", "tail_to_people"),
        "label 300 rows or more, then `tasklift evaluate` and `tasklift decide`",
    ),
    "items a month": (("items_per_month",), "count a few typical weeks"),
    "cost of an error": (("error_usd",), "price the last errors that reached somebody"),
    "how often the rules change": (("changes_per_year", "touched_by_a_change"), "count the changes of the last year"),
    "work of people on answers": (("review_share", "review_usd"), "time a person on 50 answers"),
    "hours of set-up and of one change": (
        ("prompt_setup_hours", "finetune_setup_hours", "prompt_hours_per_change", "retrain_hours_per_change"),
        "carry out one rule change with each and note the hours",
    ),
    "cost of a week's delay": (("delay_usd_per_week",), "ask who waits for it what a week is worth"),
}


@dataclass(frozen=True)
class Advice:
    """Two answers to one checklist, neither of them measured.

    Attributes:
        answers: question -> True, False or None.
        majority: the plain rule's answer; `measure_first` where no question was answered.
        votes: family -> votes of the seven questions.
        quantified: the option with the lowest expected cost under the beliefs.
        options: option -> expected_usd_per_year, p5_usd, p95_usd, p_best, passes_gates, parts.
        human_usd_per_year: expected cost if people answered everything.
        differs_because: why the two answers are not the same; None where they are.
        sure: `quantified` is the cheapest with a probability of at least 0.9.
        assumptions: parameter -> belief.
        prior: a and b of the Beta prior of the share of repeatable items.
        measure_first: what to measure, most valuable first.
    """

    answers: Mapping[str, bool | None]
    majority: str
    votes: Mapping[str, int]
    quantified: Choice
    options: Mapping[str, Mapping[str, Any]]
    human_usd_per_year: float
    differs_because: str | None
    sure: bool
    assumptions: Mapping[str, Belief]
    prior: tuple[float, float]
    measure_first: tuple[Mapping[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """The pinned form of `tasklift advise --json`."""
        beliefs = {
            name: {**belief.quantity.model_dump(), "unit": belief.unit, "source": belief.source}
            for name, belief in self.assumptions.items()
        }
        a, b = (round(value, 3) for value in self.prior)
        beliefs["repeatable"] = {"beta_a": a, "beta_b": b, "unit": "share", "source": "prior from the majority rule"}
        return {
            "schema_version": 1,
            "measured": False,
            "majority": self.majority,
            "quantified": self.quantified,
            "differs_because": self.differs_because,
            "sure": self.sure,
            "answers": {name: UNKNOWN if answer is None else answer for name, answer in self.answers.items()},
            "votes": dict(self.votes),
            "options": {name: dict(option) for name, option in self.options.items()},
            "human_usd_per_year": round(self.human_usd_per_year, 2),
            "measure_first": [dict(row) for row in self.measure_first],
            "assumptions": beliefs,
        }


def advise(answers: Answers, economics: Economics | None = None, seed: int = 0) -> Advice:
    """Answer a checklist twice and explain the difference. Nothing is measured.

    Args:
        answers: the checklist.
        economics: what is known of volume and money; replaces the beliefs that the answers set.
        seed: of the draws.
    """
    known = answers.known()
    votes = votes_of(known)
    majority = majority_of(votes)
    beliefs, prior = beliefs_of(known, economics), prior_of(votes)
    found = simulate(beliefs, _gates(known), prior, seed=seed)
    choice = _cheapest(found)
    p_best = _p_best(found)
    options: dict[str, dict[str, Any]] = {name: _option(found, name, p_best[name]) for name in OPTIONS}
    differs = None
    if majority != choice:
        differs = _differs_because(known, votes, majority, choice, options, economics)
    return Advice(
        known,
        majority,
        votes,
        choice,
        options,
        float(found.human_usd.mean()),
        differs,
        p_best[choice] >= SURE,
        beliefs,
        prior,
        tuple(_measure_first(found)),
    )


def votes_of(known: Mapping[str, bool | None]) -> dict[str, int]:
    """Votes of the seven questions: flexibility and speed for prompting, stability and scale for fine-tuning."""
    votes = {"prompt": 0, "finetune": 0, UNKNOWN: 0}
    for name, question in QUESTIONS.items():
        answer, family = known[name], question.yes_votes_for
        if family is None:
            continue
        other = "finetune" if family == "prompt" else "prompt"
        votes[UNKNOWN if answer is None else family if answer else other] += 1
    return votes


def majority_of(votes: Mapping[str, int]) -> str:
    """5 of 7 or more (or the same share of those answered) one way decide; in between is layered."""
    answered = votes["prompt"] + votes["finetune"]
    if answered == 0:
        return "measure_first"
    for family in ("prompt", "finetune"):
        if votes[family] / answered >= PLAIN - 1e-9:
            return family
    return "layered"


def prior_of(votes: Mapping[str, int]) -> tuple[float, float]:
    """Beta(n0*m0, n0*(1-m0)) of the share of repeatable items: m0 is the share of votes for fine-tuning (half a vote
    added to each side, so that it is never 0 or 1); n0 runs from 8 to 20 with the questions answered."""
    answered = votes["prompt"] + votes["finetune"]
    m0 = (votes["finetune"] + 0.5) / (answered + 1)
    n0 = 8 + 12 * answered / (answered + votes[UNKNOWN])
    return n0 * m0, n0 * (1 - m0)


def _gates(known: Mapping[str, bool | None]) -> dict[str, float]:
    """Gate -> probability that it applies."""
    return {gate: 0.5 if known[gate] is None else float(bool(known[gate])) for gate in GATES}


def _cheapest(found: Simulated) -> Choice:
    means = {name: float(total.mean()) for name, total in found.totals.items()}
    return min(OPTIONS, key=lambda name: means[name])


def _p_best(found: Simulated) -> dict[str, float]:
    winner = np.argmin(np.stack([found.totals[name] for name in OPTIONS]), axis=0)
    return {name: float(np.mean(winner == i)) for i, name in enumerate(OPTIONS)}


def _option(found: Simulated, name: str, p_best: float) -> dict[str, Any]:
    total = found.totals[name]
    low, high = np.quantile(total, [0.05, 0.95])
    return {
        "expected_usd_per_year": round(float(total.mean()), 2),
        "p5_usd": round(float(low), 2),
        "p95_usd": round(float(high), 2),
        "p_best": round(p_best, 4),
        "passes_gates": round(float(found.passes[name].mean()), 4),
        "parts": {part: round(float(value.mean()), 2) for part, value in found.parts[name].items()},
    }


def _differs_because(
    known: Mapping[str, bool | None],
    votes: Mapping[str, int],
    majority: str,
    choice: str,
    options: Mapping[str, Mapping[str, Any]],
    economics: Economics | None,
) -> str:
    """Counting against costing: what the plain rule counted, which parts of the cost outweigh it, and which single
    answers, taken back, would make the model agree."""
    counted = f"{votes['finetune']} of {votes['finetune'] + votes['prompt']} answers speak for fine-tuning"
    if majority not in OPTIONS:
        return f"no question of the seven was answered, so there is no majority; on beliefs alone {choice} costs least"
    mine, theirs = options[choice], options[majority]
    gap = theirs["expected_usd_per_year"] - mine["expected_usd_per_year"]
    change = {part: theirs["parts"][part] - mine["parts"][part] for part in mine["parts"]}
    largest = sorted(change, key=lambda part: -abs(change[part]))[:3]
    shown = ", ".join(f"{part} {change[part]:+,.0f}" for part in largest if abs(change[part]) >= 1)
    lines = [
        f"every answer counts one vote in the majority ({counted}: {majority}), while the model weighs it in money: "
        f"{majority} would cost {gap:,.0f} USD a year more than {choice} ({shown})"
    ]
    weighty = [name for name, answer in known.items() if answer is not None and _agrees_without(known, name, economics)]
    if weighty:
        lines.append(f"taken back alone, these answers would make the two agree: {', '.join(weighty)}")
    return "; ".join(lines)


def _agrees_without(known: Mapping[str, bool | None], name: str, economics: Economics | None) -> bool:
    """Would both say the same if `name` were unknown?"""
    less = {**known, name: None}
    votes = votes_of(less)
    found = simulate(beliefs_of(less, economics), _gates(less), prior_of(votes), draws=QUICK)
    return _cheapest(found) == majority_of(votes)


def _measure_first(found: Simulated) -> list[dict[str, Any]]:
    """Each measurable group with what knowing it exactly would save in a year, most valuable first."""
    costs = np.stack([found.totals[name] for name in OPTIONS])
    rows = []
    for what, (names, how) in MEASURABLE.items():
        worth = _evppi(costs, np.stack([found.drawn[name] for name in names]))
        if worth >= 1:
            rows.append({"what": what, "how": how, "worth_at_most_usd_per_year": round(worth, 2)})
    return sorted(rows, key=lambda row: -float(str(row["worth_at_most_usd_per_year"])))


def _evppi(costs: NDArray[np.float64], known: NDArray[np.float64]) -> float:
    """Value of knowing some parameters: E[max E[NB | known]] - max E[NB] by regression on the same draws
    (Strong, Oakley, Brennan 2014), here with a quadratic in ranks, which long tails do not bend.

    Args:
        costs: [options, draws] USD a year.
        known: [parameters, draws]; those that do not vary are left out.
    """
    varies = known[known.std(axis=1) > 0]
    if len(varies) == 0:
        return 0.0
    z = (np.argsort(np.argsort(varies, axis=1), axis=1) + 0.5) / varies.shape[1] - 0.5
    upper = np.triu_indices(len(z))
    design = np.concatenate([np.ones((1, z.shape[1])), z, z[upper[0]] * z[upper[1]]])
    weights, *_ = np.linalg.lstsq(design.T, (costs - costs[0]).T, rcond=None)
    expected = (design.T @ weights).T
    return float(max(0.0, expected.mean(axis=1).min() - expected.min(axis=0).mean()))
