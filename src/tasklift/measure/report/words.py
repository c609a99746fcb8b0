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
    "nothing": "doing nothing",
}
HEADLINES = {
    "prompt": "Prompt a model.",
    "finetune": "Fine-tune a model.",
    "layered": "Layer both.",
    "human": "Leave it to people.",
    "nothing": "Leave it undone.",
    "measure_first": "Measure first.",
    "none": "No option passes the gates.",
}
#: parameter -> what it is called, and its unit
PARAMETERS = {
    "items_per_month": ("volume", "items a month"),
    "error_usd": ("the cost of an error", "USD"),
    "review_usd": ("the cost of a review", "USD"),
    "changes_per_year": ("the rate of change", "rule changes a year"),
    "horizon_months": ("the horizon", "months"),
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


def usd(value: float) -> str:
    """Whole dollars; small amounts with their cents."""
    sign = "-" if value < 0 else ""
    size = abs(value)
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
    headline = HEADLINES.get(decision["choice"], f"{decision['choice'].replace('_', ' ').capitalize()}.")
    ranked = passing(decision)
    if not ranked:
        text = "Every option fails at least one of the limits that were set, so none can be recommended."
        return headline, f"{text} {_next(decision['next_measurement'])}".strip()
    options = decision["options"]
    best = decision["leading"] if decision["leading"] in ranked else ranked[0]
    rest = [name for name in ranked if name != best]
    mine = options[best]
    limited = any(failed_gates(o) for o in options.values() if o["family"] != "baseline")
    among = "the options that pass every limit" if limited else "prompting, fine-tuning, layering and people"
    cost, often = about_usd(mine["expected_usd_per_year"]), chance(mine["p_best"])
    if decision["verdict"] == "measure_first":
        rivals = f" ({rest[0]}: {chance(options[rest[0]]['p_best'])})" if rest else ""
        text = f"Among {among}, {best} looks cheapest with an expected {cost} a year, but it is so in only {often} "
        return headline, f"{text}of the simulated years{rivals}. {_next(decision['next_measurement'])}".strip()
    lead = "."
    if rest:
        gap = options[rest[0]]["expected_usd_per_year"] - mine["expected_usd_per_year"]
        than = f"{about_usd(abs(gap))} {'less' if gap >= 0 else 'more'} than the next best ({rest[0]})"
        lead = f", {than}. It is the cheapest in {often} of the simulated years."
    least = "costs the least" if best == ranked[0] else "is the choice"
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
    plain = {n: o for n, o in options.items() if o["family"] == "baseline" and not failed_gates(o) and _priced(o)}
    name = min(plain, key=lambda n: plain[n]["expected_usd_per_year"], default=None)
    if name is None or plain[name]["expected_usd_per_year"] >= mine["expected_usd_per_year"]:
        return ""
    cost = about_usd(plain[name]["expected_usd_per_year"])
    return f"The plainest option, {name}, would cost {cost}: ask whether more is needed."


def _next(more: Mapping[str, Any] | None) -> str:
    if not more:
        return ""
    price, worth = about_usd(more["price_usd"]), more["worth_usd"]
    gain = f", which should save {about_usd(worth)} over the horizon" if worth is not None else ""
    if more["chance"] is not None:
        gain = f", which lets an option pass with a chance of {chance(more['chance'])}"
    many = f"{more['how_many']:,} of them cost" if more["kind"] == "label" else "it costs"
    return f"So {more['what']} first: {many} {price}{gain}."


def passing(decision: Mapping[str, Any]) -> list[str]:
    """The options that a decision chooses from, cheapest first."""
    options = decision["options"]
    able = [n for n, o in options.items() if o["family"] != "baseline" and not failed_gates(o) and _priced(o)]
    return sorted(able, key=lambda name: options[name]["expected_usd_per_year"])


def _priced(option: Mapping[str, Any]) -> bool:
    """What it costs is known."""
    return option["expected_usd_per_year"] is not None


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
        money = unit == "USD"
        there = usd(value) if money else f"{amount(value)} {unit}".strip()
        now = base.get(key)
        if now is None:
            lines.append(f"{name}: {there}")
            continue
        here = usd(now) if money else amount(now)
        way = "falls" if value < now else "rises"
        close = there.startswith(here + " ") or there == here  # rounded, there would be no difference to see
        moved_by = abs(value / now - 1) if now else 1.0
        if moved_by < 0.001:
            lines.append(f"{name} moves by less than 0.1% (assumed: {here})")
            continue
        step = f"by {percent(moved_by)}" if close and now else f"to {there}"
        lines.append(f"{name} {way} {step} (assumed: {here})")
    return lines


def break_even(found: Any) -> str:
    """From which volume on the first of a pair is the cheaper one."""
    if found == "never":
        return "at no volume"
    if found["items_per_month"] == 0:
        return "at any volume"
    high = "no upper bound" if found["high"] is None else f"{found['high']:,.0f}"
    return f"from {found['items_per_month']:,.0f} items a month (90%: {found['low']:,.0f} to {high})"


def payback(found: Any) -> str:
    """After how many months a dearer set-up is paid back."""
    if found == "never":
        return "never"
    high = "no upper bound" if found["high"] is None else f"{found['high']:g}"
    return f"after {found['months']:g} months (90%: {found['low']:g} to {high})"


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


def moved(best: str | None, expected_usd: float, p_best: float) -> str:
    """The sentence under the chart while nothing is moved; the page's script says it the same way."""
    if best is None:
        return "No option passes the limits that were set."
    close = " A close call." if p_best < 0.9 else ""
    return (
        f"At these assumptions {best} is the cheapest on average, with {usd(expected_usd)} a year, "
        f"and in {chance(p_best)} of the simulated years.{close}"
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
