"""A hard cap in money over all calls of hosted models: the one place where prices are looked at before a call.

Before a request is sent, the most that it can cost is set aside; where that would go beyond the cap, the request is
not sent, and those under way are let finish, so that nothing paid for is lost. Local models cost no tokens and pass.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from tasklift.errors import BudgetError, ConfigError, InvalidOutputError, ModelTimeoutError
from tasklift.llm.model import Model, Reply, Request, WrappedModel
from tasklift.llm.prices import TokenPrice
from tasklift.prediction import Usage
from tasklift.tokens import LEAST_BYTES_A_TOKEN

#: Name of a model -> its token prices, None where they are not known.
PriceList = Callable[[str], TokenPrice | None]
#: Tokens that chat templates and answer formats add to one message.
TOKENS_A_MESSAGE = 16
#: A request is asked again once where its answer is none of the labels.
ASKED_AT_MOST = 2
#: How long answers that have just come take to be written down (seconds).
SETTLE_S = 0.05


@dataclass
class Meter:
    """What has been spent under one cap. Safe for several threads and event loops.

    Attributes:
        cap_usd: no call is made that could go beyond this; None: nothing is refused, all is counted.
        prices: token prices by model.
        spent_usd: for answers that came.
        calls: how many.
    """

    cap_usd: float | None
    prices: PriceList
    spent_usd: float = 0.0
    calls: int = 0
    _set_aside_usd: float = 0.0
    _under_way: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def price(self, model: str) -> TokenPrice:
        """The model's prices.

        Raises:
            ConfigError: they are not known: a cap could not be kept.
        """
        found = self.prices(model)
        if found is None:
            raise ConfigError(
                f"no token price is known for {model!r}, so no cap in money can be kept; give it in economics.toml: "
                f'[prices.tokens."{model}"] input_usd = ... and output_usd = ... (USD per million tokens)'
            )
        return found

    def set_aside(self, usd: float) -> bool:
        """Put `usd` aside for a call; False where it would go beyond the cap."""
        with self._lock:
            beyond = self.cap_usd is not None and self.spent_usd + self._set_aside_usd + usd > self.cap_usd
            if not beyond:
                self._set_aside_usd += usd
                self._under_way += 1
            return not beyond

    def settle(self, set_aside_usd: float, spent_usd: float, answered: bool) -> None:
        """A call has ended."""
        with self._lock:
            self._set_aside_usd -= set_aside_usd
            self._under_way -= 1
            self.spent_usd += spent_usd
            self.calls += answered

    def add(self, spent_usd: float, calls: int) -> None:
        """Calls have ended that nothing was set aside for, such as those of a batch."""
        with self._lock:
            self.spent_usd += spent_usd
            self.calls += calls

    async def wait_for_others(self) -> None:
        """Until no call is under way and its answer is written down."""
        # Polled: the calls may belong to other threads and event loops.
        while self._under_way:  # noqa: ASYNC110
            await asyncio.sleep(SETTLE_S)
        await asyncio.sleep(SETTLE_S)


class MeteredModel(WrappedModel):
    """`model`, under a meter. It stands below the response cache: what is served from there costs nothing."""

    def __init__(self, model: Model, meter: Meter) -> None:
        super().__init__(model)
        self._meter = meter
        self._price = meter.price(model.name)

    async def complete(self, request: Request) -> Reply:
        """Answer one request, where the cap allows it.

        Raises:
            BudgetError: it could go beyond the cap.
            ModelError: the call failed.
        """
        most = most_usd(request, self._price)
        if not self._meter.set_aside(most):
            await self._meter.wait_for_others()
            raise BudgetError(
                f"stopped at the cap of {self._meter.cap_usd:g} USD: {self._meter.spent_usd:.4f} USD are spent on "
                f"{self._meter.calls} calls, and the next one could cost {most:.4f}. What was paid for is kept: "
                f"the same command with a higher --max-usd goes on from there"
            )
        spent, answered = 0.0, False
        try:
            reply = await self.inner.complete(request)
            spent, answered = tokens_usd(reply.usage, self._price), True
        except (InvalidOutputError, ModelTimeoutError):
            spent = most  # an answer was made, and nobody tells how long it was
            raise
        finally:
            self._meter.settle(most, spent, answered)
        return reply


def tokens_usd(used: Usage, price: TokenPrice) -> float:
    """What these tokens cost."""
    fresh = used.input_tokens - used.cached_tokens
    paid = fresh * price.input_usd + used.cached_tokens * price.cached_input_usd + used.output_tokens * price.output_usd
    return paid / 1e6


def most_tokens(request: Request) -> tuple[int, int]:
    """The most prompt tokens and answer tokens that a request can use."""
    asked = sum(len(message.content.encode()) for message in request.messages)
    asked += sum(len(call.arguments.encode()) for message in request.messages for call in message.tool_calls)
    asked += sum(len(json.dumps(tool.to_json()).encode()) for tool in request.tools)
    # The allowed labels are sent twice: in words and as a schema.
    labels = 2 * sum(len(label.encode()) + LEAST_BYTES_A_TOKEN * 2 for label in request.labels)
    labels += len(request.schema.encode())
    framing = TOKENS_A_MESSAGE * (len(request.messages) + 2)
    tokens = (asked + labels) // LEAST_BYTES_A_TOKEN + framing
    return ASKED_AT_MOST * tokens, ASKED_AT_MOST * (request.max_tokens + TOKENS_A_MESSAGE)


def most_usd(request: Request, price: TokenPrice) -> float:
    """The most that a request can cost."""
    tokens_in, tokens_out = most_tokens(request)
    return (tokens_in * price.input_usd + tokens_out * price.output_usd) / 1e6


_METER: ContextVar[Meter | None] = ContextVar("tasklift_meter", default=None)


@contextmanager
def spending_under(meter: Meter | None) -> Iterator[None]:
    """Hosted models opened inside are metered; None changes nothing."""
    token = _METER.set(meter)
    try:
        yield
    finally:
        _METER.reset(token)


def current_meter() -> Meter | None:
    """The meter of the block that we are in."""
    return _METER.get()


def metered(model: Model) -> Model:
    """`model` under the current meter, where there is one and tokens cost something."""
    meter = _METER.get()
    return MeteredModel(model, meter) if meter is not None and model.remote else model
