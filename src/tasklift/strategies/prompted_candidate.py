"""What prompted candidates share: screening, rendering, asking, rules, and turning a reply into a prediction."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from tasklift.errors import ContextOverflowError, InvalidOutputError, ModelError
from tasklift.llm.model import Model, Reply, Request
from tasklift.llm.overlay import ABSTAIN, Material
from tasklift.llm.template import Template
from tasklift.llm.written import ask_for
from tasklift.outputs.base import as_json
from tasklift.outputs.labels import Label
from tasklift.outputs.text import Text
from tasklift.prediction import Prediction
from tasklift.rule import RuleSpec
from tasklift.rules.apply import apply_rules, build_rules
from tasklift.strategies.artifact import Card, CardCandidate
from tasklift.strategies.classifier import text_of
from tasklift.strategies.context import UNCUT, Cut, cut_further
from tasklift.strategies.prompted import Sources, cited, rendered
from tasklift.strategies.prompting import hash_of
from tasklift.strategies.screen import attack_logits, limits_of, screened
from tasklift.strategy import Context, Input, Traits
from tasklift.worker import on_worker

#: Longer inputs are cut, and the prediction says so.
MAX_CHARS = 6000
T = TypeVar("T")
#: Log-probabilities below this are taken for it.
LOWEST = -1000.0


class PromptedCandidate(CardCandidate):
    """What zero-shot and few-shot share: rendering, asking, turning a reply into a prediction."""

    def __init__(self, card: Card, model: Model) -> None:
        super().__init__(card)
        self.model = model
        self.labels = tuple(card.labels)
        self.output = card.output_kind
        self.template = Template(card.parameters["system"], card.parameters["user"])
        self.material = Material.from_json(card.parameters.get("material") or {})
        self.rules = build_rules(RuleSpec.model_validate(row) for row in card.settings.get("rules", ()))
        self.sources = Sources(card)
        self.traits = Traits(
            deterministic=model.deterministic,
            remote=model.remote,
            data_leaves_machine=model.data_leaves_machine,
            batch_size=1 if model.remote else 8,
        )

    @abstractmethod
    async def answer(self, value: Input, ctx: Context) -> Prediction:
        """One prediction; a failing model gives an error, never an exception."""

    async def rendered(self, value: Input, ctx: Context, cut: Cut = UNCUT) -> Request:
        """The request that `answer` would send, for explaining an answer later; nothing is sent.

        Args:
            cut: what was left out, as the notes of the answer tell.
        """
        value, _ = await self.without_foreign(value)
        ctx, _ = await self.sources.around(text_of(value, self.card.input_fields), ctx)
        return self.request(value, self.labels, ctx, cut=cut)

    async def requests(
        self, value: Input, ctx: Context, said: Prediction | None = None, cut: Cut = UNCUT
    ) -> list[Request]:
        """The requests that led to an answer, in order; nothing is sent. For a plain prompt that is the one request.

        Args:
            said: the answer: its steps hold what tools gave.
            cut: as for `rendered`.
        """
        return [await self.rendered(value, ctx, cut)]

    async def asks(self, value: Input, ctx: Context) -> Request | None:
        """What the model would be asked first; None where it is not asked."""
        return await self.rendered(value, ctx) if text_of(value, self.card.input_fields).strip() else None

    async def fitting(
        self,
        value: Input,
        labels: Sequence[str],
        ctx: Context,
        examples: Sequence[Mapping[str, str]],
        ask: Callable[[Request], Awaitable[T]],
    ) -> tuple[T, dict[str, Any]]:
        """What `ask` says to a prompt that fits the model's context, and notes on how it was asked.

        A prompt that is too long is cut and sent again: retrieved examples go first, those farthest from the text
        before others, then passages, then the end of the text.

        Raises:
            ModelError: the call failed.
            ContextOverflowError: what may not be cut is too long by itself.
        """
        whole = Cut(len(examples), len(ctx.passages), len(text_of(value, self.card.input_fields)[:MAX_CHARS]))
        cut = UNCUT
        while True:
            request = self.request(value, labels, ctx, examples, cut)
            try:
                return await ask(request), {**self._version_notes(request, ctx), **cut.to_notes()}
            except ContextOverflowError as error:
                cut = cut_further(cut, error, request, whole)

    async def predict(self, inputs: Sequence[Input], ctx: Context) -> list[Prediction]:
        """One prediction an input, asked concurrently; the model bounds how many at once."""
        if len(inputs) == 1:  # the usual case of a hosted model: no task of its own
            answers = [await self._safely(inputs[0], ctx)]
        else:
            answers = await asyncio.gather(*(self._safely(value, ctx) for value in inputs))
        return [
            self._abstained(apply_rules(self.rules, self._told_if_cut(value, found), value))
            for value, found in zip(inputs, answers, strict=True)
        ]

    def _abstained(self, found: Prediction) -> Prediction:
        """A model that says that it cannot tell leaves the row to a person."""
        if found.output != ABSTAIN or not self.material.abstain:
            return found
        notes = {**found.notes, "abstained": True}
        return Prediction(deferred=True, usage=found.usage, latency_s=found.latency_s, notes=notes, children=(found,))

    def _version_notes(self, request: Request, ctx: Context) -> dict[str, Any]:
        """Which prompt was rendered, and the hash of what came out: a later rendering is held against it."""
        _, _, overlay = self.material.under(ctx.overlay)
        if not (self.material.version or overlay):
            return {}
        notes = {"prompt": self.material.version, "overlay": overlay, "rendered": hash_of(request)}
        return {name: value for name, value in notes.items() if value}

    def _told_if_cut(self, value: Input, found: Prediction) -> Prediction:
        was_read_whole = found.error is not None or found.notes.get("skipped_model")
        if was_read_whole or len(text_of(value, self.card.input_fields)) <= MAX_CHARS:
            return found
        return replace(found, notes={**found.notes, "text_cut": True})

    async def _safely(self, value: Input, ctx: Context) -> Prediction:
        if not text_of(value, self.card.input_fields).strip():
            return Prediction.failed("empty_input", "the input has no text")
        if ctx.deadline is not None and time.monotonic() >= ctx.deadline:
            return Prediction.failed("timeout", "the deadline had passed before the model was asked")
        try:
            if ctx.deadline is None:
                return await self._grounded(value, ctx)
            return await asyncio.wait_for(self._grounded(value, ctx), ctx.deadline - time.monotonic())
        except ModelError as error:
            return Prediction.failed(error.kind, str(error))
        except TimeoutError:
            return Prediction.failed("timeout", "the deadline passed while the model was answering")

    async def _grounded(self, value: Input, ctx: Context) -> Prediction:
        """The answer to what the screen leaves of the text, from the passages that are nearest to it."""
        value, dropped = await self.without_foreign(value)
        if not text_of(value, self.card.input_fields).strip():
            return Prediction(deferred=True, notes={"screened": len(dropped)})
        found = await self._from_passages(value, ctx)
        return replace(found, notes={**found.notes, "screened": len(dropped)}) if dropped else found

    async def without_foreign(self, value: Input) -> tuple[Input, list[str]]:
        """The input as the model sees it, and the sentences that were left out."""
        if not self.card.parameters.get("screen"):
            return value, []
        return (await on_worker(self.screened, value)).value

    def screened(self, value: Input) -> tuple[Input, list[str]]:
        """The input without foreign sentences, and those."""
        return screened(value, self.foreign, limits_of(self.card.settings))

    def foreign(self, parts: Sequence[str]) -> NDArray[np.float64]:
        """[n] sentences -> [n] how much each is like an attack."""
        return attack_logits(parts)

    async def _from_passages(self, value: Input, ctx: Context) -> Prediction:
        ctx, spent = await self.sources.around(text_of(value, self.card.input_fields), ctx)
        found = await self.answer(value, ctx)
        shown = len(ctx.passages) - Cut.of_notes(found.notes).passages
        return cited(found, replace(ctx, passages=ctx.passages[:shown]), spent, isinstance(self.output, Text))

    def request(
        self,
        value: Input,
        labels: Sequence[str],
        ctx: Context,
        examples: Sequence[Mapping[str, str]] = (),
        cut: Cut = UNCUT,
    ) -> Request:
        """The rendered request for one input.

        Args:
            examples: retrieved ones, the nearest last; fixed ones come before them.
            cut: what is left out.
        """
        said, definitions, _ = self.material.under(ctx.overlay)
        known = {**self.card.labels, **definitions}
        if said.abstain:
            labels, known = [*labels, ABSTAIN], {**known, ABSTAIN: said.abstain}
        most_chars = MAX_CHARS if cut.text_chars is None else cut.text_chars
        values = {
            "instruction": said.instruction or self.card.instruction,
            "labels": {label: known[label] for label in labels},
            "tone": said.tone,
            "policy": said.policy,
            "form": self.output.form,
            "cue": self.output.cue,
            "examples": [*said.examples, *examples[cut.examples :]],
            "text": text_of(value, self.card.input_fields)[:most_chars],
            "input": {name: str(value.get(name, ""))[:most_chars] for name in self.card.input_fields},
        }
        passages = ctx.passages[: len(ctx.passages) - cut.passages]
        messages = rendered(self.template, values, passages, bool(self.card.parameters.get("delimit")))
        if isinstance(self.output, Label):
            return Request(messages, tuple(labels), seed=ctx.seed, repeat=ctx.repeat)
        schema, most = self.output.answer_schema, self.output.max_tokens
        asked = as_json(schema) if schema else ""
        return Request(messages, schema=asked, max_tokens=most, seed=ctx.seed, repeat=ctx.repeat)

    async def written(
        self, value: Input, ctx: Context, examples: Sequence[Mapping[str, str]] = (), **notes: Any
    ) -> Prediction:
        """The model's answer to a task that asks for more than a label, mended once at most."""
        found, asked = await self.fitting(
            value, self.labels, ctx, examples, lambda request: ask_for(self.model, request, self.output)
        )
        told = {**notes, **asked, **({"mended": not found.problem} if found.mended else {})}
        rest: dict[str, Any] = {"usage": found.usage, "latency_s": found.latency_s, "notes": told}
        if found.problem:
            return Prediction.failed(InvalidOutputError.kind, found.problem, **rest)
        return Prediction(found.answer, **rest)

    async def aclose(self) -> None:
        """Close the model's connections."""
        await self.model.aclose()


def prediction_of(reply: Reply, bias: Mapping[str, float] | None = None, **notes: Any) -> Prediction:
    """A reply as a prediction: probabilities from log-probabilities less the bias, else the bare label."""
    rest: dict[str, Any] = {"usage": reply.usage, "latency_s": reply.latency_s, "notes": notes}
    if reply.log_probs is None:
        return Prediction(output=reply.text, **rest)
    labels = list(reply.log_probs)
    scores = np.array([_finite(reply.log_probs[label]) - (_finite(bias[label]) if bias else 0.0) for label in labels])
    return Prediction.from_probabilities(dict(zip(labels, softmax(scores).tolist(), strict=True)), **rest)


def _finite(log_prob: float) -> float:
    """A label that was ruled out (minus infinity) is very unlikely: infinities have no difference."""
    return max(log_prob, LOWEST)
