"""How much of a prompt is the same in every request and stands first: what a prefix cache can serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any

from tasklift.llm.prompt_file import PromptText

#: Two rows that share no letter, so that what two prompts have in common is what they always have.
_ROWS = ("\u2460" * 40, "\u2474" * 40)
#: Unchanging characters behind the changing ones from which it is worth moving them.
MUCH = 200


@dataclass(frozen=True)
class Stable:
    """Characters of a prompt.

    Attributes:
        first: unchanging ones at the beginning.
        late: unchanging ones after something that changes with the row.
    """

    first: int
    late: int

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)

    def line(self) -> str:
        """For a reader."""
        said = f"its first {self.first} characters never change"
        if self.late < MUCH:
            return said
        return (
            f"{said}, but {self.late} that never change stand behind the row's own: a prefix cache cannot serve them; "
            f"move text and retrieved examples to the end"
        )


def stable_part(prompt: PromptText, instruction: str, labels: Mapping[str, str]) -> Stable:
    """Render two rows and compare."""
    first, second = (_rendered(prompt, instruction, labels, row) for row in _ROWS)
    common = _shared(first, second)
    after = _shared(first[common:][::-1], second[common:][::-1])
    between = sum(char not in _ROWS[0] for char in first[common : len(first) - after])
    return Stable(common, after + between)


def _shared(first: str, second: str) -> int:
    """Characters that two texts begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def _rendered(prompt: PromptText, instruction: str, labels: Mapping[str, str], row: str) -> str:
    shots = [shot.model_dump() for shot in prompt.examples]
    retrieved = [{"text": row, "label": row}] if prompt.strategy == "fewshot" else []
    values = {
        "instruction": instruction,
        "labels": labels,
        "tone": prompt.tone,
        "policy": prompt.policy,
        "form": "",
        "cue": "",
        "passages": [],
        "examples": [*shots, *retrieved],
        "text": row,
        "input": _AnyField(row),
    }
    return "\n".join(message.content for message in prompt.template.render(values))


class _AnyField(dict[str, str]):
    """Stands for an input whose fields are not known."""

    def __init__(self, row: str) -> None:
        super().__init__()
        self._row = row

    def __missing__(self, key: str) -> str:
        return self._row
