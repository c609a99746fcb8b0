"""A bounded conversation between a model and tools. No result is an instruction, and every limit ends it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tasklift.errors import ConfigError, DataError, InvalidOutputError
from tasklift.llm.calls import ToolCall, ToolSpec
from tasklift.llm.model import Message, Model, Reply, Request
from tasklift.llm.prices import TokenPrice, price_of
from tasklift.llm.spending import most_usd, tokens_usd
from tasklift.llm.untrusted import RULE, delimited
from tasklift.llm.written import ask_for, complaint_about
from tasklift.prediction import Prediction, Usage
from tasklift.strategies.prompting import hash_of
from tasklift.strategies.recipe import require
from tasklift.strategies.tools import Toolset, shown
from tasklift.strategy import Context
from tasklift.task import Output

#: A model that thinks about tools needs room to say so, whatever the length of the final answer.
LEAST_TOKENS = 512


@dataclass(frozen=True)
class Limits:
    """Where a loop ends, whatever the model wants. Time is the context's deadline, and each tool's own.

    Attributes:
        steps: model calls in which tools may be asked for.
        calls: tool calls.
        usd: money for model calls; 0: no limit. The model must then have a known price.
    """

    steps: int = 6
    calls: int = 12
    usd: float = 0.0

    def __post_init__(self) -> None:
        require(self.steps > 0 and self.calls > 0, "tools", f"steps={self.steps}, calls={self.calls} must be positive")
        require(self.usd >= 0, "tools", f"usd={self.usd} must not be negative")


@dataclass
class Trajectory:
    """What has happened so far.

    Attributes:
        messages: the chat, results included.
        steps: what the model said and what the tools gave, in order.
        usage: of all model calls.
        latency_s: of all steps.
        text: the model's last words, once it asked for nothing more.
        stopped: which limit ended it; '' where none did.
        is_spent: that limit allows no other call of the model.
    """

    messages: tuple[Message, ...]
    steps: list[Prediction] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    latency_s: float = 0.0
    text: str = ""
    stopped: str = ""
    is_spent: bool = False

    @property
    def calls(self) -> list[Prediction]:
        """The steps that were tool calls."""
        return [step for step in self.steps if "tool" in step.notes]

    def said(self, asked: Request, reply: Reply) -> None:
        """The model answered; the step keeps what it takes to make the request again (`requests_of`)."""
        calls = tuple({"id": call.id, "name": call.name, "arguments": call.arguments} for call in reply.tool_calls)
        notes = {"step": len(self.steps) - len(self.calls) + 1, "rendered": hash_of(asked)}
        step = Prediction(reply.text or None, usage=reply.usage, latency_s=reply.latency_s, notes=notes)
        self.steps.append(replace(step, tool_calls=calls))
        self.usage += reply.usage
        self.latency_s += reply.latency_s
        self.messages = (*self.messages, Message("assistant", reply.text, reply.tool_calls))

    def gave(self, call: ToolCall, step: Prediction) -> None:
        """A tool answered: its result is data between marks, never a message of its own right."""
        self.steps.append(step)
        self.latency_s += step.latency_s
        self.messages = (*self.messages, _result(call, step))

    def onto(self, found: Prediction) -> Prediction:
        """The final answer with the way there."""
        calls = tuple(
            {"name": step.notes["tool"], "arguments": step.notes["arguments"], "ok": step.error is None}
            for step in self.calls
        )
        whole = replace(found, children=tuple(self.steps), tool_calls=calls)
        if self.stopped:
            whole = replace(whole, notes={**found.notes, "tools_stopped": self.stopped})
        return whole.with_timing(found.usage + self.usage, found.latency_s + self.latency_s)


async def gather(model: Model, toolset: Toolset, request: Request, limits: Limits, ctx: Context) -> Trajectory:
    """Let the model ask for tools until it asks for none, or a limit is reached.

    Args:
        request: the question; its labels and schema are for the final answer, and not used here.

    Raises:
        ModelError: a call of the model failed.
        ConfigError: a limit in money is set and the model has no known price.
    """
    price = _price(model, limits)
    so_far = Trajectory(_ruled(request.messages))
    while True:
        asked = _asking(request, so_far.messages, toolset.specs)
        so_far.stopped = _spent(so_far, asked, limits, price, ctx)
        so_far.is_spent = bool(so_far.stopped)
        so_far.stopped = so_far.stopped or _used_up(so_far, limits)
        if so_far.stopped:
            return so_far
        reply = await model.complete(asked)
        so_far.said(asked, reply)
        if not reply.tool_calls:
            so_far.text = reply.text
            return so_far
        for call in reply.tool_calls:
            if len(so_far.calls) >= limits.calls:
                refused = Prediction.failed("limit", "no more calls are allowed; answer with what you have")
                so_far.gave(call, replace(refused, notes={"tool": call.name, "arguments": call.arguments}))
            else:
                so_far.gave(call, await toolset.call(call, ctx.permissions))


def _asking(request: Request, messages: tuple[Message, ...], specs: tuple[ToolSpec, ...]) -> Request:
    """A step of the loop: tools instead of labels or a schema, which are for the final answer."""
    most = max(request.max_tokens, LEAST_TOKENS)
    return replace(request, messages=messages, labels=(), schema="", tools=specs, max_tokens=most)


def _result(call: ToolCall, step: Prediction) -> Message:
    """What a tool gave, as the model is shown it."""
    return Message("tool", delimited(shown(step), "tool_result", {"tool": call.name}), tool_call_id=call.id)


def _last(request: Request, messages: tuple[Message, ...], output: Output) -> Request:
    """The request for the final answer, without tools."""
    return replace(request, messages=(*messages, Message("user", f"Answer now. {output.form}")))


def _spent(so_far: Trajectory, asked: Request, limits: Limits, price: TokenPrice | None, ctx: Context) -> str:
    """Which limit forbids any other call of the model; '' where none does."""
    if ctx.budget is not None and so_far.usage.calls >= ctx.budget:
        return f"{ctx.budget} model calls"
    if price is not None and tokens_usd(so_far.usage, price) + most_usd(asked, price) > limits.usd:
        return f"{limits.usd:g} USD"
    return ""


def _used_up(so_far: Trajectory, limits: Limits) -> str:
    """Which limit forbids to ask for more tools; '' where none does."""
    if len(so_far.steps) - len(so_far.calls) >= limits.steps:
        return f"{limits.steps} steps"
    if len(so_far.calls) >= limits.calls:
        return f"{limits.calls} tool calls"
    return ""


def _price(model: Model, limits: Limits) -> TokenPrice | None:
    if not limits.usd or not model.remote:
        return None
    price = price_of(model.name)
    if price is None:
        raise ConfigError(
            f"no token price is known for {model.name!r}, so the limit of {limits.usd:g} USD cannot be kept"
        )
    return price


def _ruled(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """With the rule that results are data, where it does not stand yet."""
    if any(RULE in message.content for message in messages if message.role == "system"):
        return messages
    if messages and messages[0].role == "system":
        return (replace(messages[0], content=f"{messages[0].content}\n\n{RULE}"), *messages[1:])
    return (Message("system", RULE), *messages)


async def answer_with_tools(
    model: Model, toolset: Toolset, request: Request, output: Output, limits: Limits, ctx: Context
) -> Prediction:
    """The typed answer to `request` after the model has asked for what it needs; the way there is in `children`.

    Where a limit on steps or calls ended the search, the model is asked once more, without tools. Where the budget or
    the limit in money did, there is no answer, and the error says which.

    Raises:
        ModelError: a call of the model failed.
    """
    so_far = await gather(model, toolset, request, limits, ctx)
    if so_far.is_spent:
        return so_far.onto(Prediction.failed("limit", f"stopped at the limit of {so_far.stopped}, without an answer"))
    try:
        return so_far.onto(Prediction(output.read(so_far.text)))
    except DataError:
        last = _last(request, so_far.messages, output)
    notes: dict[str, Any] = {"rendered": hash_of(last)}
    if request.labels:
        reply = await model.complete(last)
        return so_far.onto(Prediction(reply.text, usage=reply.usage, latency_s=reply.latency_s, notes=notes))
    found = await ask_for(model, last, output)
    notes |= {"mended": not found.problem, "first_answer": found.first} if found.mended else {}
    rest: dict[str, Any] = {"usage": found.usage, "latency_s": found.latency_s, "notes": notes}
    if found.problem:
        return so_far.onto(Prediction.failed(InvalidOutputError.kind, found.problem, **rest))
    return so_far.onto(Prediction(found.answer, **rest))


def requests_of(
    request: Request, specs: tuple[ToolSpec, ...], output: Output, said: Prediction | None
) -> list[Request]:
    """Every request that led to an answer with tools, made again from its stored steps; nothing is sent or run.

    Args:
        request: the question, as `answer_with_tools` was given it.
        specs: the tools as the model was told of them.
        said: the answer, or what stands around it; None, or one without steps: only the first request is known.
    """
    messages, found, calls = _ruled(request.messages), list[Request](), list[ToolCall]()
    way = next(_ways(said), None)
    for step in way.children if way else ():
        if "step" in step.notes:
            found.append(_asking(request, messages, specs))
            calls = [ToolCall(one["id"], one["name"], one["arguments"]) for one in step.tool_calls]
            messages = (*messages, Message("assistant", step.output or "", tuple(calls)))
        elif "tool" in step.notes and calls:
            messages = (*messages, _result(calls.pop(0), step))
    if way is None or not found:
        return [_asking(request, messages, specs)]
    if "rendered" in way.notes:
        found.append(_last(request, messages, output))
        if "first_answer" in way.notes:
            found.append(complaint_about(found[-1], way.notes["first_answer"], output))
    return found


def specs_of(told: Sequence[dict[str, Any]]) -> tuple[ToolSpec, ...]:
    """The tools of a card, as the model was told of them."""
    return tuple(ToolSpec(one["name"], one["description"], one["schema"]) for one in told)


def _ways(said: Prediction | None) -> Iterator[Prediction]:
    """Answers with their steps, among an answer and what is in it."""
    if said is not None:
        if any("step" in child.notes for child in said.children):
            yield said
        for child in said.children:
            yield from _ways(child)
