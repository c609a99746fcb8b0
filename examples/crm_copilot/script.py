"""The scripted model of the offline run: which tool it asks for is written here, what it says is made from the results.

It shows how tools, permissions and documents work together. It shows nothing about how well a model chooses tools.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tasklift.llm.calls import ToolCall
from tasklift.llm.fake import ScriptedModel
from tasklift.llm.model import Reply, Request


def stale(rows: Any) -> str:
    """From the result of `stale_deals`."""
    said = "; ".join(
        f"{row['id']} {row['account']}, {row['title']} ({row['amount_eur']:,} EUR, {row['owner']}, last contact "
        f"{row['last_contact']})"
        for row in rows
    )
    return f"{len(rows)} open deals are stale, that is without call, meeting or mail for 30 days [Stale]: {said}."


def weighted(found: Any) -> str:
    """From the result of `pipeline`."""
    parts = ", ".join(f"{row['stage']} {row['weighted_eur']:,}" for row in found["stages"])
    return (
        f"The weighted pipeline of the quarter is {found['weighted_eur']:,} EUR ({parts}), amount times the "
        "probability of the stage [Weighted pipeline]."
    )


def noted(rows: Any) -> str:
    """From the result of `deal_notes`."""
    first = rows[0]
    return (
        f"Deal {first['id']} ({first['account']}) is in the stage {first['stage']}. Its last activity, a "
        f"{first['kind']} of {first['day']}, holds an instruction and no news; the stage in the CRM is what counts."
    )


def refused(found: Any) -> str:
    """From the refusal of `log_activity`."""
    return f"I cannot do that: {found['error']}. Records are changed by people in the CRM itself [Who may write]."


#: Part of the question -> tool, arguments, and how the answer is made.
SCRIPT: dict[str, tuple[str, dict[str, Any], Callable[[Any], str]]] = {
    "gone quiet": ("stale_deals", {"days": 30, "least_eur": 50_000}, stale),
    "first quarter": ("pipeline", {"year": 2027, "quarter": 1}, weighted),
    "Ribera": ("deal_notes", {"deal": 111}, noted),
    "Write down": ("log_activity", {"deal": 101, "kind": "call", "note": "Asked for a new date"}, refused),
}


def cited(said: str, prompt: str) -> str:
    """Headings in brackets as the numbers of the passages that stand under them in the prompt."""

    def number(found: re.Match[str]) -> str:
        place = re.search(rf'<passage number="(\d+)"[^>]*heading="[^"]*{found[1]}"', prompt)
        return f"[{place[1]}]" if place else ""

    return re.sub(r"\[([^\]]+)\]", number, said)


def scripted() -> ScriptedModel:
    """The model."""

    def answer(request: Request) -> Reply | str:
        asked = next(message.content for message in request.messages if message.role == "user")
        name, arguments, say = next(entry for part, entry in SCRIPT.items() if part in asked)
        last = request.messages[-1]
        if last.role != "tool":
            return Reply("", tool_calls=(ToolCall("call_1", name, json.dumps(arguments)),))
        result = re.sub(r"^<tool_result[^\n]*\n|\n</tool_result>$", "", last.content)
        return cited(say(json.loads(result)), asked)

    return ScriptedModel(answer, name="scripted")
