"""How many rows each label has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tasklift.data.audit.finding import Finding, label_of, named
from tasklift.dataset import Example

CHECK = "balance"
#: Below this a label's figures say little, and cross-validation cannot see it in every fold.
FEW = 10
#: The commonest label over the rarest, from which a metric that averages over rows hides the rare ones.
LOPSIDED = 20.0


def counts_of(rows: Sequence[Example]) -> dict[str, int]:
    """Label -> rows, the commonest first."""
    return dict(Counter(label_of(row) for row in rows if row.output is not None).most_common())


def balance(rows: Sequence[Example], known: Mapping[str, str] | None = None) -> list[Finding]:
    """Missing answers, one label only, rare labels, labels of the task without a row, lopsided shares.

    Args:
        known: the task's labels; None where its output is of another kind.
    """
    counts, findings = counts_of(rows), []
    unlabelled = tuple(row.id for row in rows if row.output is None or not str(row.output).strip())
    if unlabelled:
        findings.append(
            Finding(
                CHECK,
                "warning",
                f"{len(unlabelled)} rows carry no answer ({named(unlabelled)})",
                "`tasklift data label` asks for the most informative of them first",
                unlabelled,
            )
        )
    if known is None:
        return findings
    if len(counts) == 1:
        only = next(iter(counts))
        findings.append(
            Finding(
                CHECK,
                "error",
                f"every row has the answer {only!r}: there is nothing to tell apart",
                "add rows of other labels",
                tuple(row.id for row in rows if row.output is not None),
            )
        )
    if absent := [label for label in known if label not in counts]:
        findings.append(
            Finding(
                CHECK,
                "warning",
                f"{len(absent)} labels of the task have no row ({named(absent)}): nothing can be learnt about them",
                "add rows, or take the labels out of task.toml",
                (),
                {"labels": absent},
            )
        )
    findings += _rare(rows, counts)
    return findings


def _rare(rows: Sequence[Example], counts: Mapping[str, int]) -> list[Finding]:
    findings = []
    lonely = [label for label, n in counts.items() if n == 1]
    if lonely:
        findings.append(
            Finding(
                CHECK,
                "warning",
                f"{len(lonely)} labels have a single row ({named(lonely)}): they cannot be trained and tested",
                "label at least two of each; `tasklift data edges` shows rows that might belong to them",
                tuple(row.id for row in rows if label_of(row) in lonely),
                {"labels": lonely},
            )
        )
    few = [label for label, n in counts.items() if 1 < n < FEW]
    if few:
        findings.append(
            Finding(
                CHECK,
                "note",
                f"{len(few)} labels have fewer than {FEW} rows ({named(few)})",
                "macro F1 shows them, accuracy hides them",
                (),
                {"labels": {label: counts[label] for label in few}},
            )
        )
    if len(counts) > 1 and (ratio := max(counts.values()) / min(counts.values())) >= LOPSIDED:
        findings.append(
            Finding(
                CHECK,
                "note",
                f"the commonest label has {ratio:.0f} times the rows of the rarest",
                "look at macro F1 beside accuracy",
            )
        )
    return findings
