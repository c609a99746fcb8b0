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
        first: what the model said first, where it was asked once more.
    """

    answer: Any
    problem: str
    mended: bool
    usage: Usage
    latency_s: float
    first: str = ""


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
        asked = _complaining(request, reply.text, output, error)
    again = await model.complete(asked)
    usage, latency_s = usage + again.usage, latency_s + again.latency_s
    try:
        return Written(output.read(again.text), "", True, usage, latency_s, reply.text)
    except DataError as error:
        problem = f"also the second answer cannot be used: {error}"
        return Written(None, problem, True, usage, latency_s, reply.text)


def complaint_about(request: Request, said: str, output: Output) -> Request:
    """The second request to a model whose first answer cannot be used, made again; nothing is sent.

    Raises:
        ValueError: that answer can be used.
    """
    try:
        output.read(said)
    except DataError as error:
        return _complaining(request, said, output, error)
    raise ValueError(f"{said!r} can be used: nothing was asked again")


def _complaining(request: Request, said: str, output: Output, error: DataError) -> Request:
    complaint = f"That answer cannot be used: {error}. {output.form}"
    answered = (Message("assistant", said),) if said.strip() else ()
    return replace(request, messages=(*request.messages, *answered, Message("user", complaint)))
