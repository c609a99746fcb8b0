"""A small task of each kind of output, with rows, for tests."""

from __future__ import annotations

from typing import Any

from tasklift.dataset import Dataset, Example
from tasklift.task import JsonOutput, Labels, Number, Task, Text

_ROWS: list[tuple[str, list[str], int, dict[str, Any], str]] = [
    (
        "The lift at Harbour Street 4 is stuck again",
        ["lift"],
        70,
        {"street": "Harbour Street", "number": 4},
        "Lift stuck.",
    ),
    ("No heating since Monday, Mill Lane 12", ["heating"], 80, {"street": "Mill Lane", "number": 12}, "No heating."),
    ("Water drips from the ceiling and the light is out", ["water", "light"], 90, {}, "Leak, light out."),
    ("Could someone change the bulb on the stairs?", ["light"], 20, {}, "Bulb broken."),
    ("Thanks for the quick repair", [], 0, {}, "Thanks."),
    (
        "Radiators cold and the tap leaks at Mill Lane 3",
        ["heating", "water"],
        75,
        {"street": "Mill Lane", "number": 3},
        "Cold.",
    ),
    (
        "Lift doors close too fast, Harbour Street 9",
        ["lift"],
        40,
        {"street": "Harbour Street", "number": 9},
        "Lift doors.",
    ),
    ("The cellar is flooded!", ["water"], 100, {}, "Cellar flooded."),
    ("Stairwell dark, lift dead", ["lift", "light"], 85, {}, "Dark, lift dead."),
    ("When is the heating switched on in autumn?", [], 10, {}, "Question on heating."),
]
AREAS = {"lift": "The lift", "heating": "Heating", "water": "Water and pipes", "light": "Lamps and bulbs"}
ADDRESS = {
    "type": "object",
    "properties": {"street": {"type": "string", "description": "street name"}, "number": {"type": "integer"}},
    "additionalProperties": False,
}
OUTPUTS = {
    "labels": Labels(kind="labels", labels=AREAS),
    "number": Number(kind="number", minimum=0, maximum=100, whole=True),
    "json": JsonOutput(kind="json", json_schema=ADDRESS),
    "text": Text(kind="text", max_chars=60),
}
_PLACE = {"labels": 1, "number": 2, "json": 3, "text": 4}


def task_of(kind: str, **rest: Any) -> Task:
    """A task about messages of tenants."""
    return Task(name=f"tenants_{kind}", instruction="Read the message of a tenant.", output=OUTPUTS[kind], **rest)


def rows_of(kind: str, times: int = 3) -> Dataset:
    """Ten texts, each in `times` wordings."""
    endings = ("", " please", " today", " as I said", " - flat 2")
    return Dataset(
        tuple(
            Example(f"{at}-{n}", {"text": row[0] + endings[n]}, row[_PLACE[kind]])
            for n in range(times)
            for at, row in enumerate(_ROWS)
        ),
        name=f"tenants_{kind}",
    )
