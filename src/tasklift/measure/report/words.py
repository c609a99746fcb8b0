"""How the report says things: figures with their units, and the sentences of a verdict."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

FAMILIES = {
    "prompt": "prompting",
    "finetune": "fine-tuning",
    "layered": "layering",
    "human": "people",
    "baseline": "baseline",
    "nothing": "leaving them alone",
}
HEADLINES = {
    "prompt": "Prompt a model.",
    "finetune": "Fine-tune a model.",
    "layered": "Layer both.",
    "human": "Leave it to people.",
    "measure_first": "Measure first.",
    "none": "No option passes the gates.",
    "nothing": "Do nothing.",
}
#: parameter -> what it is called, and its unit
PARAMETERS = {
    "items_per_month": ("volume", "items a month"),
    "error_usd": ("the cost of an error", "USD"),
    "review_usd": ("the cost of a review", "USD"),
    "changes_per_year": ("the rate of change", "rule changes a year"),
    "horizon_months": ("the horizon", "months"),
}
#: A flip nearer than this share is told as a tie, since figures are rounded.
SLIGHT = 0.01
#: parameter of an option -> what it is called, before "of" and the name
OF_OPTIONS = {
    "error_rate": "error rate",
    "setup_usd": "set-up cost",
    "item_usd": "cost of an item",
    "review_share": "share looked over",
    "cost_per_change_usd": "cost of a change",
    "upkeep_usd_per_year": "upkeep",
    "capacity_usd_per_year": "standing capacity",
    "migration_usd": "cost of moving away",
    "item_value_usd": "the value of an item",
    "error rates": "all error rates together",
}
SETUP = {
    "labels": "labels",
    "tokens": "training tokens",
    "cpu_s": "CPU s",
    "gpu_s": "GPU s",
    "person_minutes": "minutes of a person",
}
GATES = {
    "min_metric": "quality",
    "max_p95_latency_s": "latency",
    "min_valid_outputs": "valid outputs",
    "data_leaves_machine": "residency",
    "deterministic": "repeatability",
}


def significant(value: float, digits: int = 3) -> float:
    """Rounded to so many significant digits."""
    return 0.0 if value == 0 else round(value, digits - 1 - math.floor(math.log10(abs(value))))


def signed(value: float) -> str:
    """Percentage points with their sign, the minus as it is printed."""
    return f"{100 * value:+.1f}".replace("-", "−")


def usd(value: float | None) -> str:
    """Whole dollars; small amounts with their cents; None where a price is not known."""
    if value is None:
        return "not known"
    sign = "-" if value < 0 else ""
    size = abs(value)
    if 0 < size < 1e-6:
        return "under $0.000001"
    if size and size < 0.01:
        return f"{sign}${significant(size, 2):.6f}".rstrip("0")
    return f"{sign}${size:,.2f}" if size < 10 else f"{sign}${size:,.0f}"


def about_usd(value: float) -> str:
    """Dollars as one would say them: three significant digits."""
    return usd(significant(value)) if abs(value) >= 10 else usd(value)


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage."""
    return f"{100 * share:.{digits}f}%"


def chance(share: float) -> str:
    """A probability estimated from draws: never "100%" unless every draw said so."""
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    return "over 99%" if share > 0.995 else "under 1%" if share < 0.005 else f"{share:.0%}"


def amount(value: float) -> str:
    """A number with three significant digits and thousands separated."""
    rounded = significant(value)
    return f"{rounded:,.0f}" if abs(rounded) >= 100 or rounded == int(rounded) else f"{rounded:g}"


def verdict(decision: Mapping[str, Any]) -> tuple[str, str]:
    """Headline and a few sentences, from the pinned form of a decision."""
    choice = "nothing" if decision["candidate"] == "nothing" else decision["choice"]
    headline = HEADLINES.get(choice, f"{choice.replace('_', ' ').capitalize()}.")
    ranked = passing(decision)
    if not ranked:
        text = "Every option fails at least one of the limits that were set, so none can be recommended."
        return headline, f"{text} {measure_next(decision['next_measurement'])}".strip()
    options = decision["options"]
    leading = decision["candidate"] or decision.get("leading")
    best = leading if leading in ranked else ranked[0]
    rest = [name for name in ranked if name != best]
    mine = options[best]
    limited = any(failed_gates(o) for o in options.values() if o["family"] != "baseline")
    among = "the options that pass every limit" if limited else "prompting, fine-tuning, layering and people"
    cost, often = about_usd(mine["expected_usd_per_year"]), chance(mine["p_best"])
    if decision["verdict"] == "measure_first":
        rivals = f" ({rest[0]}: {chance(options[rest[0]]['p_best'])})" if rest else ""
        text = f"Among {among}, {best} looks cheapest with an expected {cost} a year, but it is so in only {often} "
        return headline, f"{text}of the simulated years{rivals}. {measure_next(decision['next_measurement'])}".strip()
    lead = "."
    if rest:
        gap = options[rest[0]]["expected_usd_per_year"] - mine["expected_usd_per_year"]
        than = f"{about_usd(abs(gap))} {'less' if gap >= 0 else 'more'} than the next best ({rest[0]})"
        lead = f", {than}. It is the cheapest in {often} of the simulated years."
    least = "costs the least" if best == ranked[0] else "is the choice"
    if choice == "nothing":
        return headline, f"Leaving the items alone {least}: their value, an expected {cost} a year, is lost{lead}"
    text = f"Among {among}, {best} {least}: an expected {cost} a year{lead} {_quality(mine)}"
    return headline, f"{text} {_plainer(options, mine)}".strip()


def _quality(option: Mapping[str, Any]) -> str:
    accuracy = option["accuracy"]
    if accuracy is None:
        return ""
    right = (
        f"{percent(accuracy['value'])} right (95% interval: {percent(accuracy['low'])} to {percent(accuracy['high'])})"
    )
    if option["coverage"] < 1:
        share = percent(option["coverage"], 0)
        return f"It answers {share} of the items itself, {right}, and hands the others to people."
    return f"Its answers are {right}."


def _plainer(options: Mapping[str, Any], mine: Mapping[str, Any]) -> str:
    """A baseline is never chosen; where it passes and costs less, the reader has to know."""
    plain = {name: o for name, o in options.items() if o["family"] == "baseline" and not failed_gates(o)}
    name = min(plain, key=lambda n: plain[n]["expected_usd_per_year"], default=None)
    if name is None or plain[name]["expected_usd_per_year"] >= mine["expected_usd_per_year"]:
        return ""
    cost = about_usd(plain[name]["expected_usd_per_year"])
    return f"The plainest option, {name}, would cost {cost}: ask whether more is needed."


def measure_next(more: Mapping[str, Any] | None) -> str:
    """What to measure first, its price, and what for; '' where nothing is worth measuring."""
    if not more:
        return ""
    what, price, worth = more["what"], about_usd(more["price_usd"]), more.get("worth_usd")
    if more.get("kind") == "label":
        what = what.replace("more", f"{more['how_many']:,} more", 1)
    elif more.get("kind") == "study":
        what = f"find out {parameter(more['parameter'])}"
    gain = f", and is expected to save {about_usd(worth)} over the horizon" if worth is not None else ""
    if more.get("chance") is not None:
        gain = f", and with a chance of {chance(more['chance'])} an option passes then"
    return f"So {what} first: it costs {price}{gain}."


def parameter(name: str) -> str:
    """What a parameter of the decision is called: `encoder.setup_usd` is the set-up cost of encoder."""
    if name in PARAMETERS:
        return PARAMETERS[name][0]
    option, _, key = name.rpartition(".")
    plain = key.replace("_usd", "").replace("_", " ")
    if option == "prices":
        return f"price of {plain}"
    said = OF_OPTIONS.get(key, plain)
    return f"{said} of {option}" if option else said


def parameter_value(name: str, value: float) -> str:
    """A value of a parameter with its unit, as short as it can be."""
    if name.endswith(("error_rate", "accuracy", "share")):
        return percent(value)
    return about_usd(value) if "usd" in name else amount(value)


def passing(decision: Mapping[str, Any]) -> list[str]:
    """The options that a decision chooses from, cheapest first."""
    options = decision["options"]
    able = [n for n, o in options.items() if o["family"] != "baseline" and not failed_gates(o)]
    return sorted(able, key=lambda name: cost_of(options[name]))


def cost_of(option: Mapping[str, Any]) -> float:
    """Expected yearly cost to sort by: without a known price, the last."""
    usd_per_year = option["expected_usd_per_year"]
    return math.inf if usd_per_year is None else float(usd_per_year)


def failed_gates(option: Mapping[str, Any]) -> dict[str, str]:
    """Gate -> why it failed."""
    return {name: why for name, why in option["gates"].items() if why != "passed"}


def flips(decision: Mapping[str, Any], base: Mapping[str, float]) -> list[str]:
    """What would change the choice, one line a parameter.

    Args:
        base: parameter -> median that the decision was taken with.
    """
    lines = []
    for key, value in decision["flips"].items():
        name, unit = PARAMETERS.get(key, (key.replace("_", " "), ""))
        if value is None:
            lines.append(f"{name}: no value within a factor of 1,000 changes the choice")
            continue
        now = base.get(key)
        money = unit == "USD"
        if now and abs(value / now - 1) < SLIGHT:
            lines.append(
                f"{name}: moving by less than {SLIGHT:.0%} is enough (assumed: {usd(now) if money else amount(now)})"
            )
            continue
        way = "" if now is None else "falls to " if value < now else "rises to "
        there = usd(value) if money else f"{amount(value)} {unit}".strip()
        here = "" if now is None else f" (assumed: {usd(now) if money else amount(now)})"
        lines.append(f"{name} {way}{there}{here}")
    return lines


def break_even(found: Any) -> str:
    """From which volume on the first of a pair is the cheaper one."""
    if found == "never":
        return "at no volume"
    if found["items_per_month"] == 0:
        return "at any volume"
    high = "no upper bound" if found["high"] is None else f"{found['high']:,.0f}"
    items = "item" if found["items_per_month"] == 1 else "items"
    return f"from {found['items_per_month']:,.0f} {items} a month (90%: {found['low']:,.0f} to {high})"


def payback(found: Any) -> str:
    """After how many months the dearer set-up is paid back."""
    if found == "never":
        return "never"
    if found["months"] == 0:
        return "at once"
    high = "no upper bound" if found["high"] is None else f"{found['high']:,g}"
    return f"after {found['months']:,g} months (90%: {found['low']:,g} to {high})"


def needs(found: Mapping[str, Any] | None) -> str:
    """What a prompted model would have to reach; '' where nothing is known."""
    if found is None:
        return ""
    measured = f" It reached {percent(found['measured'])} here." if found.get("measured") is not None else ""
    if found["accuracy"] is None:
        return f"A prompted model could not win: even without an error, {found['candidate']} would cost more.{measured}"
    return (
        f"A prompted model at the price of {found['candidate']} would win with an accuracy of "
        f"{percent(found['accuracy'])} or more.{measured}"
    )


def gates(option: Mapping[str, Any]) -> str:
    """In a few words: which gates failed, or that all passed."""
    failed = failed_gates(option)
    if failed:
        return "fails: " + ", ".join(GATES.get(name, name) for name in failed)
    return "passes" if option["gates"] else "none set"


def choices(notes: Mapping[str, Any]) -> dict[str, str]:
    """What was chosen while fitting, in words: figures only, long lists left out."""
    found = {}
    for key, value in notes.items():
        if isinstance(value, bool | str) or not isinstance(value, int | float):
            continue
        shown = percent(value) if key.endswith("accuracy") else f"{significant(float(value)):g}"
        found["C" if key == "c" else key.replace("_", " ")] = shown
    return found


def moved(best: str | None, cheapest: str | None, expected_usd: float, p_best: float, tied: bool = True) -> str:
    """The sentence under the chart while nothing is moved; the page's script says it the same way."""
    if best is None:
        return "No option passes the limits that were set."
    close = " A close call." if p_best < 0.9 else ""
    how = "is the cheapest on average"
    if best != cheapest:
        how = f"costs as much as the cheapest ({cheapest}), to half a percent"
        how = how if tied else f"is the cheapest at equal accuracy ({cheapest} leads within noise)"
    return (
        f"At these assumptions {best} {how}, with {usd(expected_usd)} a year, "
        f"and {'in' if best == cheapest else 'is the cheapest in'} {chance(p_best)} of the simulated years.{close}"
    )


def assumption(value: Any, money: bool = False) -> str:
    """A number of the economics: its median, and P10 to P90 where it is not certain."""

    def one(number: float) -> str:
        return usd(number) if money else f"{number:,.6g}"

    if isinstance(value, Mapping):
        plain = value["p10"] == value["p90"]
        return one(value["p50"]) if plain else f"{one(value['p50'])} ({one(value['p10'])} to {one(value['p90'])})"
    return one(value)


def economics(given: Mapping[str, Any], table: str = "") -> str:
    """Economics as TOML, to be kept as an economics.toml: amounts that are certain as plain numbers."""
    plain, tables = [], []
    for key, value in given.items():
        name = key if key.replace("_", "").isalnum() and key.isascii() else json.dumps(key)
        if isinstance(value, Mapping) and "p50" not in value:
            inner = f"{table}.{name}" if table else name
            tables.append(f"\n[{inner}]\n{economics(value, inner)}")
        else:
            plain.append(f"{name} = {_toml(value)}\n")
    return "".join([*plain, *tables])


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        if value.get("p10", 0) == value.get("p90", 1):
            return _toml(value["p50"])
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)
