"""`tasklift advise`: the checklist in the terminal, from a file or from options."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tasklift.cli import show
from tasklift.economics import Economics
from tasklift.errors import ConfigError
from tasklift.measure.planning.advise import QUESTIONS, UNKNOWN, Advice, Answers
from tasklift.measure.planning.advise import advise as give
from tasklift.schema import parse, read_toml

WORDS = {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}
WORDS_UNKNOWN = {"", "?", "u", "unknown"}
NOT_MEASURED = "Nothing was measured. Both answers rest on a checklist and on beliefs; your own rows may say otherwise."


def advise(answers: Path | None, answer: list[str], economics: Path | None, as_json: bool) -> int:
    """Ask, or read; answer twice."""
    given = read_toml(answers) if answers else {}
    where = str(answers) if answers else "--answer"
    if answer:
        given |= dict(_pair(text) for text in answer)
    if not answers and not answer:
        given, where = _ask(), "your answers"
    checklist = parse(Answers, given, where)
    priced = parse(Economics, read_toml(economics), str(economics)) if economics else None
    found = give(checklist, priced)
    if as_json:
        show.print_json(found.to_json())
    else:
        print("\n".join(lines_of(found)))
    return 0


def _pair(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--answer {text}: write QUESTION=true, QUESTION=false or QUESTION=unknown")
    folded = value.strip().casefold()
    return name.strip(), UNKNOWN if folded in WORDS_UNKNOWN else WORDS.get(folded, value)


def _ask() -> dict[str, object]:
    """One question at a time, on standard error, so that standard output stays clean for --json.

    Raises:
        ConfigError: the input ended before the last question.
    """
    print("Yes, no, or Enter where you do not know.\n", file=sys.stderr)
    found: dict[str, object] = {}
    for number, (name, question) in enumerate(QUESTIONS.items(), 1):
        while name not in found:
            print(f"{number:>2}/{len(QUESTIONS)} {question.text} [y/n/Enter] ", end="", file=sys.stderr, flush=True)
            line = sys.stdin.readline()
            if not line:
                raise ConfigError(
                    f"the input ended at question {number} of {len(QUESTIONS)} ({name}); answer all of them, "
                    "or give --answers FILE.toml or --answer QUESTION=true"
                )
            word = line.strip().casefold()
            if word in WORDS_UNKNOWN:
                found[name] = UNKNOWN
            elif word in WORDS:
                found[name] = WORDS[word]
            else:
                print(f"      {word!r} is neither yes nor no; Enter means unknown", file=sys.stderr)
    print(file=sys.stderr)
    return found


def lines_of(found: Advice) -> list[str]:
    """What a reader sees."""
    votes = found.votes
    lines = [
        NOT_MEASURED,
        "",
        f"majority    -> {found.majority.upper()}   "
        f"({votes['finetune']} for fine-tuning, {votes['prompt']} for prompting, {votes[UNKNOWN]} unknown)",
        f"quantified  -> {found.quantified.upper()}   ({'' if found.sure else 'unsure: '}"
        f"P(best) = {found.options[found.quantified]['p_best']:.2f} under the beliefs below)",
        "",
        f"  {'option':<9} {'USD a year':>12} {'5%':>12} {'95%':>12} {'P(best)':>8} {'passes gates':>13}  largest parts",
    ]
    for name, option in found.options.items():
        lines.append("  " + _option_line(name, option))
    lines.append(f"  {'people':<9} {found.human_usd_per_year:>12,.0f}   if a person answered everything")
    likeliest = max(found.options, key=lambda name: float(found.options[name]["p_best"]))
    if likeliest != found.quantified:
        lines.append(f"  {likeliest} is the cheapest more often; {found.quantified} costs less on average.")
    cheapest = found.options[found.quantified]["expected_usd_per_year"]
    if found.human_usd_per_year < cheapest:
        lines.append("  People alone would cost less: automating may not pay at all.")
    lines += ["", "The two agree." if found.differs_because is None else f"They differ: {found.differs_because}."]
    lines += _wrapped_up(found.measure_first)
    given = sorted({belief.source for belief in found.assumptions.values() if belief.source.startswith("answer")})
    lines += [
        "",
        f"Beliefs set by your answers: {'; '.join(text.removeprefix('answer: ') for text in given) or 'none'}.",
    ]
    lines.append("All others are defaults; `tasklift advise --json` lists every one with its range and source.")
    return lines


def _option_line(name: str, option: Any) -> str:
    parts = sorted(option["parts"].items(), key=lambda item: -item[1])[:3]
    shown = ", ".join(f"{part} {value:,.0f}" for part, value in parts)
    return (
        f"{name:<9} {option['expected_usd_per_year']:>12,.0f} {option['p5_usd']:>12,.0f} {option['p95_usd']:>12,.0f}"
        f" {option['p_best']:>8.2f} {option['passes_gates']:>13.0%}  {shown}"
    )


def _wrapped_up(rows: Iterable[Any]) -> list[str]:
    rows = list(rows)
    if not rows:
        return ["", "Nothing that could be measured would change the quantified answer."]
    lines = ["", "Measure first (what knowing it exactly would be worth a year, under the same beliefs):"]
    for row in rows[:3]:
        lines.append(f"  {row['what']}: up to {row['worth_at_most_usd_per_year']:,.0f} USD; {row['how']}")
    return lines
