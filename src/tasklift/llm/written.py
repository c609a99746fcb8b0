"""A typed answer from any model: asked once, read and checked, mended once at most, then given up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tasklift.errors import DataError
from tasklift.llm.model import Message, Model, Request
from tasklift.prediction import Usage
from tasklift.task import Output


@dataclass(frozen=True, slots=True)
class Written:
    """What came of asking.

    Attributes:
        answer: the checked answer; None where there is none.
        problem: why there is none; '' where there is one.
        mended: the first answer could not be used, and the model was asked once more.
        usage: of both calls.
        latency_s: of both calls.
    """

    answer: Any
    problem: str
    mended: bool
    usage: Usage
    latency_s: float


async def ask_for(model: Model, request: Request, output: Output) -> Written:
    """The model's answer as `output` allows it.

    An answer that does not fit is shown to the model with what is wrong, once. What it then says is taken or given up.

    Raises:
        ModelError: a call failed.
    """
    reply = await model.complete(request)
    usage, latency_s = reply.usage, reply.latency_s
    try:
        return Written(output.read(reply.text), "", False, usage, latency_s)
    except DataError as error:
        complaint = f"That answer cannot be used: {error}. {output.form}"
    said = (Message("assistant", reply.text),) if reply.text.strip() else ()
    again = await model.complete(replace(request, messages=(*request.messages, *said, Message("user", complaint))))
    usage, latency_s = usage + again.usage, latency_s + again.latency_s
    try:
        return Written(output.read(again.text), "", True, usage, latency_s)
    except DataError as error:
        return Written(None, f"also the second answer cannot be used: {error}", True, usage, latency_s)
