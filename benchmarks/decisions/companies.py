"""Synthetic companies: a hidden truth, what the company believes of it, and a finite evaluation.

The generator and its priors are written down in README.md beside this file; change both together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, expit, logit, ndtr, ndtri

from tasklift.measure.deciding.quantities import beta_of

Array = NDArray[np.float64]
#: Options with rows in the evaluation; people are the fourth option and have none.
MEASURED = ("prompt", "finetune", "layered")
OPTIONS = (*MEASURED, "human")
Z90 = float(ndtri(0.9))
#: What a study leaves of the width of a belief, as the engine supposes.
LEAVES = 1 / 3


@dataclass(frozen=True)
class Setting:
    """One kind of company: medians, and how far companies differ (standard deviation of the logarithm).

    Attributes:
        name: of the setting.
        held_out: never looked at while the engine was tuned.
        items: monthly volume.
        error_usd: one wrong answer.
        review_usd: one review.
        changes: of the rules a year.
        error: median error rate of an option.
        apart: how far the options of one company lie apart (logit).
        ahead: mean logit by which each option's error lies above that median.
        hard: range of the correlation of being wrong on the same items.
        unsure: range of the width (log) of what the company believes of an amount.
        setup: one-off cost of prompt, finetune, layered, human.
        upkeep: yearly.
        change: adapting to one change of the rules.
        item: inference.
    """

    name: str
    held_out: bool = False
    items: tuple[float, float] = (25_000, 1.3)
    error_usd: tuple[float, float] = (1.0, 0.9)
    review_usd: tuple[float, float] = (0.5, 0.4)
    changes: tuple[float, float] = (6, 0.9)
    error: tuple[float, float] = (0.12, 0.6)
    apart: float = 0.45
    ahead: tuple[float, float, float] = (0.25, -0.05, -0.2)
    hard: tuple[float, float] = (0.2, 0.9)
    unsure: tuple[float, float] = (0.1, 0.6)
    setup: tuple[float, ...] = (1500, 7000, 10_000, 500)
    upkeep: tuple[float, ...] = (1500, 3000, 4000, 500)
    change: tuple[float, ...] = (150, 900, 800, 100)
    item: tuple[float, ...] = (0.004, 0.0003, 0.0015, 0.0)


SETTINGS = (
    Setting("office"),
    Setting("shop", items=(120_000, 1.0), error_usd=(0.4, 0.7), review_usd=(0.35, 0.3), error=(0.08, 0.6)),
    Setting("start-up", items=(3_000, 1.2), changes=(30, 0.7), error_usd=(1.5, 0.9), unsure=(0.3, 0.9)),
    Setting(
        "audited", held_out=True, items=(12_000, 1.0), error_usd=(12, 0.8), review_usd=(1.2, 0.4), changes=(2, 0.5)
    ),
    Setting(
        "platform", held_out=True, items=(1_500_000, 1.0), error_usd=(0.08, 0.8), item=(0.002, 0.0001, 0.0007, 0.0)
    ),
    Setting("rivals", held_out=True, apart=0.15, ahead=(0.0, 0.0, 0.0), hard=(0.5, 0.95), error=(0.2, 0.5)),
)


@dataclass(frozen=True)
class Truth:
    """What is really the case: one number each, [options] where options differ.

    Attributes:
        amounts: parameter as in economics.toml -> true value (`finetune.setup_usd`).
        error: [measured options] error rate.
        hard: correlation of the latent normals.
        horizon_years: years that set-up is spread over.
        reviewer_accuracy: share of wrong answers that a review catches.
    """

    amounts: Mapping[str, float]
    error: Array
    hard: float
    horizon_years: float
    reviewer_accuracy: float

    def parts(self) -> tuple[Array, Array]:
        """[options] fixed cost a year, and cost of an item."""
        a = self.amounts
        fixed = [
            a[f"{o}.setup_usd"] / self.horizon_years
            + a[f"{o}.upkeep_usd_per_year"]
            + a["changes_per_year"] * a[f"{o}.cost_per_change_usd"]
            for o in OPTIONS
        ]
        reviewed = np.array([a[f"{o}.review_share"] for o in MEASURED])
        wrong = self.error * (1 - reviewed * self.reviewer_accuracy)
        people, errors = np.append(reviewed, 1.0), np.append(wrong, 1 - a["human.accuracy"])
        items = np.array([a[f"{o}.item_usd"] for o in OPTIONS])
        return np.array(fixed), items + people * a["review_usd"] + errors * a["error_usd"]

    def costs(self) -> Array:
        """[options] USD a year."""
        fixed, unit = self.parts()
        return fixed + 12 * self.amounts["items_per_month"] * unit


@dataclass(frozen=True)
class Company:
    """One company.

    Attributes:
        name: setting and number.
        setting: how it was made.
        truth: hidden from every decider.
        economics: what it believes, as in economics.toml.
        right: [rows, measured options] 0 or 1.
        item_usd: [rows, measured options] cost of each answer.
        seed: of the rows that a further measurement would bring.
    """

    name: str
    setting: Setting
    truth: Truth
    economics: Mapping[str, Any]
    right: NDArray[np.int8]
    item_usd: Array
    seed: int
    extra: Mapping[str, Any] = field(default_factory=dict)

    def with_rows(self, rows: int) -> Company:
        """So many more rows, drawn from the truth."""
        rng = np.random.default_rng([self.seed, 1])
        right = np.concatenate([self.right, answers(self.truth, rows, rng)])
        item_usd = np.concatenate([self.item_usd, item_costs(self.truth, rows, rng)])
        return replace(self, right=right, item_usd=item_usd)

    def first_rows(self, rows: int) -> Company:
        """Only the first rows."""
        return replace(self, right=self.right[:rows], item_usd=self.item_usd[:rows])

    def studied(self, parameter: str) -> Company:
        """What the company believes of a parameter once a study has left a third of the (log) width.

        The new centre is drawn so that the truth is a draw of the new belief, as it was of the old one.
        """
        option, _, key = parameter.rpartition(".")
        options = self.economics["options"]
        old = options[option][key] if option else self.economics[key]
        new = _narrower(old, self.truth.amounts[parameter], key, np.random.default_rng([self.seed, 2]))
        if not option:
            return replace(self, economics={**self.economics, key: new})
        return replace(
            self, economics={**self.economics, "options": {**options, option: {**options[option], key: new}}}
        )


def companies(count: int, seed: int, settings: Sequence[Setting] = SETTINGS, rows: int | None = None) -> list[Company]:
    """So many companies, the settings in turn.

    Args:
        rows: of every evaluation; None: 50 to 1,000, uniform in the logarithm.
    """
    return [company(settings[at % len(settings)], seed, at, rows) for at in range(count)]


def company(setting: Setting, seed: int, number: int, rows: int | None = None) -> Company:
    """One company of this setting."""
    rng = np.random.default_rng([seed, number])
    amounts, believed = _money(setting, rng)
    error, hard = error_rates(setting, 1, rng)
    truth = Truth(amounts, error[0], float(hard[0]), float(rng.choice([1, 2, 3])), 0.95)
    rows = rows or round(float(np.exp(rng.uniform(np.log(50), np.log(1000)))))
    economics = _economics(believed, truth)
    right, item_usd = answers(truth, rows, rng), item_costs(truth, rows, rng)
    return Company(f"{setting.name}-{number}", setting, truth, economics, right, item_usd, int(rng.integers(2**31)))


def error_rates(setting: Setting, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """[count, measured options] error rates and [count] correlations: the prior that the informed decider knows."""
    level = logit(setting.error[0]) + setting.error[1] * rng.standard_normal((count, 1))
    apart = setting.apart * rng.standard_normal((count, len(MEASURED)))
    return expit(level + np.array(setting.ahead) + apart), rng.uniform(*setting.hard, count)


def answers(truth: Truth, rows: int, rng: np.random.Generator) -> NDArray[np.int8]:
    """[rows, measured options] right or wrong: items are hard for all options together (Gaussian copula)."""
    hardness = rng.standard_normal((rows, 1))
    own = rng.standard_normal((rows, len(truth.error)))
    latent = np.sqrt(truth.hard) * hardness + np.sqrt(1 - truth.hard) * own
    return np.asarray(latent > ndtri(truth.error), dtype=np.int8)


def item_costs(truth: Truth, rows: int, rng: np.random.Generator) -> Array:
    """[rows, measured options] what each answer cost: lognormal, half a log-unit wide, around the true mean."""
    mean = np.array([truth.amounts[f"{o}.item_usd"] for o in MEASURED])
    return np.asarray(mean * np.exp(0.5 * rng.standard_normal((rows, len(MEASURED))) - 0.125))


def _money(setting: Setting, rng: np.random.Generator) -> tuple[dict[str, float], dict[str, Any]]:
    """True amounts, and what is believed of them: the truth is a draw of the belief."""
    amounts: dict[str, float] = {}
    believed: dict[str, Any] = {}

    def add(name: str, median: float, differ: float, sure: bool = False) -> None:
        centre = median * float(np.exp(differ * rng.standard_normal()))
        width = 0.0 if sure else float(rng.uniform(*setting.unsure))
        amounts[name] = centre * float(np.exp(width * rng.standard_normal()))
        spread = np.exp(width * Z90)
        believed[name] = {"p10": centre / spread, "p50": centre, "p90": centre * spread} if width else centre

    add("items_per_month", *setting.items)
    add("error_usd", *setting.error_usd)
    add("review_usd", *setting.review_usd)
    add("changes_per_year", *setting.changes)
    for at, option in enumerate(OPTIONS):
        add(f"{option}.setup_usd", setting.setup[at], 0.6)
        add(f"{option}.upkeep_usd_per_year", setting.upkeep[at], 0.6)
        add(f"{option}.cost_per_change_usd", setting.change[at], 0.6)
        add(f"{option}.item_usd", setting.item[at], 0.8, sure=True)
        if option in MEASURED:
            _share(f"{option}.review_share", {"layered": (4, 40)}.get(option, (1, 80)), amounts, believed, rng)
    _share("human.accuracy", (97, 3), amounts, believed, rng)
    return amounts, believed


def _share(
    name: str, about: tuple[float, float], amounts: dict[str, float], believed: dict[str, Any], rng: np.random.Generator
) -> None:
    """A share whose belief is a Beta distribution, and the truth a draw of it."""
    centre = float(np.clip(rng.beta(*about), 0.002, 0.998))
    mass = float(rng.uniform(60, 400))
    a, b = max(centre * mass, 0.5), max((1 - centre) * mass, 0.5)
    amounts[name] = float(rng.beta(a, b))
    low, mid, high = (float(x) for x in betaincinv(a, b, [0.1, 0.5, 0.9]))
    believed[name] = {"p10": low, "p50": mid, "p90": high}


def _economics(believed: Mapping[str, Any], truth: Truth) -> dict[str, Any]:
    """As in economics.toml. Inference cost of measured options is left to the evaluation."""
    options: dict[str, dict[str, Any]] = {option: {} for option in OPTIONS}
    shared: dict[str, Any] = {}
    for name, value in believed.items():
        option, _, key = name.rpartition(".")
        if not option:
            shared[key] = value
        elif key != "item_usd" or option == "human":
            options[option][key] = value
    return {
        "currency": "USD",
        "horizon_months": 12 * truth.horizon_years,
        "reviewer_accuracy": truth.reviewer_accuracy,
        **shared,
        "prices": {"label_usd": 0.5},
        "options": options,
    }


def _narrower(old: Mapping[str, float], true: float, key: str, rng: np.random.Generator) -> dict[str, float]:
    """A belief with a third of the width: of the logarithm for amounts, as a sample eight times as large for shares."""
    if key.endswith("_share"):
        a, b = beta_of(old["p10"], old["p50"], old["p90"])
        seen = rng.binomial(round(8 * (a + b)), true)
        low, mid, high = betaincinv(a + seen, b + round(8 * (a + b)) - seen, [0.1, 0.5, 0.9])
        return {"p10": float(low), "p50": float(mid), "p90": float(high)}
    centre, width = np.log(old["p50"]), np.log(old["p90"] / old["p50"]) / Z90
    new = centre + (1 - LEAVES**2) * (np.log(true) - centre)
    new += width * LEAVES * (1 - LEAVES**2) ** 0.5 * rng.standard_normal()
    spread = LEAVES * width * Z90
    return {"p10": float(np.exp(new - spread)), "p50": float(np.exp(new)), "p90": float(np.exp(new + spread))}


def cell_probabilities(error: Array, hard: Array) -> Array:
    """[count, 8] probability of each right/wrong pattern of three options (bit o set: option o is right),
    by 24-point Gauss-Hermite quadrature over how hard the item is."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    weights = weights / weights.sum()
    cut = ndtri(error)  # [count, 3]
    found = np.zeros((len(error), 8))
    for node, weight in zip(nodes, weights, strict=True):
        wrong = ndtr((cut - np.sqrt(hard)[:, None] * node) / np.sqrt(1 - hard)[:, None])
        cell = np.full((len(error), 1), weight)
        for option in range(3):
            cell = np.concatenate([cell * wrong[:, [option]], cell * (1 - wrong[:, [option]])], axis=1)
        found += cell
    return found


def cells(right: NDArray[np.int8]) -> NDArray[np.int64]:
    """[8] how many rows show each pattern, in the order of `cell_probabilities`."""
    return np.bincount(right.astype(np.int64) @ (1 << np.arange(3)), minlength=8)
