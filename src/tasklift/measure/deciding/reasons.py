"""A decision in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasklift.measure.deciding.held import Held
from tasklift.measure.deciding.next_measurement import Measurement
from tasklift.measure.deciding.record import OptionVerdict, Verdict


def reasons_of(
    shown: Mapping[str, OptionVerdict],
    best: str | None,
    verdict: Verdict,
    others: Sequence[str],
    more: Measurement | None,
    noise: Mapping[str, Held],
    passed_over: str | None = None,
) -> tuple[str, ...]:
    """What leads, what comes next, what is not sure, what failed.

    Args:
        noise: `best vs other` -> their accuracies, held against the noise floor.
        passed_over: the cheapest option, where its lead rests on a difference within noise.
    """
    failing = [
        f"{name} fails: {'; '.join(why for why in v.gates.values() if why)}"
        for name, v in shown.items()
        if not v.passes
    ]
    lines = _leading(shown, best, others, passed_over) if best else []
    lines += [_within(pair, found, passed_over) for pair, found in noise.items() if found.within_noise]
    if more:
        lines.append(_not_sure(more, verdict))
    return (*lines, *failing)


def _within(pair: str, found: Held, passed_over: str | None) -> str:
    first, _, other = pair.partition(" vs ")
    what = f"{first} and {other} differ by {100 * abs(found.difference):.1f} points of accuracy"
    told = f"{what}, within noise (A/A floor {100 * found.floor:.1f})"
    return f"{told}: no win for {other}, which at equal accuracy costs more" if other == passed_over else told


def _leading(
    shown: Mapping[str, OptionVerdict], best: str, others: Sequence[str], passed_over: str | None
) -> list[str]:
    mine = shown[best]
    lines = [
        f"{best} costs {mine.expected_usd:,.0f} USD a year "
        f"(90% between {mine.p5_usd:,.0f} and {mine.p95_usd:,.0f}); P(best) = {mine.p_best:.2f}"
    ]
    if others:
        rival = min(others, key=lambda name: shown[name].expected_usd)
        more = shown[rival].expected_usd - mine.expected_usd
        but = "by accuracy within noise only" if rival == passed_over else "but harder to leave again"
        told = f"{more:,.0f} more" if more >= 0 else f"{-more:,.0f} less, {but}"
        lines.append(f"next is {rival} with {shown[rival].expected_usd:,.0f} USD a year, {told}")
        likeliest = max([best, *others], key=lambda name: shown[name].p_best)
        if likeliest != best:
            lines.append(
                f"{likeliest} is the cheapest more often (P = {shown[likeliest].p_best:.2f}), but not on average"
            )
    cheaper = [name for name, v in shown.items() if v.family == "baseline" and v.expected_usd < mine.expected_usd]
    if cheaper:
        lines.append(
            f"the plainest option, {cheaper[0]}, would cost less ({shown[cheaper[0]].expected_usd:,.0f} USD a year): "
            f"is more needed at all?"
        )
    return lines


def _not_sure(more: Measurement, verdict: Verdict) -> str:
    what = (
        f"{more.what} ({more.how_many} for {more.price_usd:,.0f} USD)"
        if more.kind == "label"
        else (f"{more.what} ({more.price_usd:,.0f} USD)")
    )
    if verdict == "none_passes":
        return f"no option passes yet: {what} would let one pass with a chance of {more.chance or 0:.0%}"
    return f"not sure enough: {what}; it is expected to save {more.worth_usd or 0:,.0f} USD over the horizon"
