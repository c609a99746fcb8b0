"""What `tasklift evaluate --consistency` adds: repeats, and changes that should not matter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tasklift.llm.open import open_model
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.robustness.consistency import Consistency, Probe, check_consistency
from tasklift.project import Project, TaskFile
from tasklift.stats.intervals import Interval
from tasklift.strategy import Strategy
from tasklift.whole import write_whole

COLUMNS = (
    ("repeat_agreement", "repeats agree"),
    ("fleiss_kappa", "kappa"),
    ("pass_all_repeats", "all right"),
    ("flips_typos", "typos"),
    ("flips_case", "case"),
    ("flips_spacing", "spacing"),
    ("flips_paraphrase", "paraphrase"),
    ("flips_wording", "wording"),
    ("flips_format", "format"),
    ("flips_label_order", "label order"),
    ("flips_example_order", "example order"),
    ("prompt_sensitivity", "sensitivity"),
    ("format_spread", "format spread"),
    ("valid_outputs", "valid outputs"),
    ("worst_group", "worst group"),
)


def try_all(
    project: Project, task: TaskFile, strategies: Mapping[str, Strategy], evaluation: Evaluation, probe: Probe
) -> list[Consistency]:
    """Try every candidate and keep the result beside its evaluation."""
    train, _, _ = project.rows(task)
    with project.caching():
        found = check_consistency(evaluation, strategies, train, project.state, probe)
    path = project.state / "evaluations" / evaluation.id / "consistency.json"
    write_whole(
        path,
        json.dumps(
            {"schema_version": 1, "evaluation": evaluation.id, "candidates": as_json(found)},
            indent=1,
            ensure_ascii=False,
        ),
    )
    return found


def probe_of(repeats: int, paraphrase_model: str | None) -> Probe:
    """From options."""
    return Probe(repeats=repeats, paraphraser=open_model(paraphrase_model) if paraphrase_model else None)


def as_json(found: Sequence[Consistency]) -> list[dict[str, Any]]:
    """One object a candidate."""
    return [one.to_json() for one in found]


def lines_of(found: Sequence[Consistency]) -> list[str]:
    """A verdict line a candidate, and its figures below."""
    lines = ["Consistency (share of answers that change where they should not, with 95% intervals)"]
    for one in found:
        lines.append(f"  {one.candidate}: {one.verdict.upper()}  ({one.rows} rows, {one.repeats} repeats)")
        lines += [f"    {why}" for why in one.because]
        shown = [f"{title} {share(one.measures[name])}" for name, title in COLUMNS if name in one.measures]
        lines += [f"    {'   '.join(shown[at : at + 4])}" for at in range(0, len(shown), 4)]
        if one.worst_group:
            lines.append(f"    worst group: {one.worst_group}")
        if one.not_applicable:
            lines.append(f"    cannot reach it: {', '.join(one.not_applicable)}")
    return lines


def share(value: Interval) -> str:
    """A share with its interval."""
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"
