"""What stands around the question in a prompt: passages of documents, and marks around text from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasklift.data.documents.index import DocumentIndex, IndexOptions, open_index
from tasklift.data.documents.passage import Passage
from tasklift.data.embed import open_embedder
from tasklift.llm.model import Message
from tasklift.llm.template import Template
from tasklift.llm.untrusted import RULE, delimited
from tasklift.prediction import Prediction
from tasklift.strategies.artifact import Card
from tasklift.strategies.recipe import Recipe, require
from tasklift.strategies.screen import EMBEDDER, head
from tasklift.strategy import Context
from tasklift.tokens import estimated_tokens
from tasklift.worker import on_worker

#: Stands before the passages where a template does not place them itself.
PASSAGES_TITLE = "Passages of our documents that may help; name those that you use by their number, like [1]:"


@dataclass(frozen=True, kw_only=True)
class Grounded(Recipe):
    """Parameters that every prompted strategy has.

    Attributes:
        documents: folder of documents to answer from; '': none.
        document_embedder: registry name of what finds passages, together with BM25.
        passages: most passages in one prompt.
        passage_tokens: most tokens that they take together.
        delimit: put text from outside between marks, and say in the system message that it is data.
        screen: leave out sentences that give orders to a model, and for `fewshot` those that are unlike all labelled
            rows; where nothing is left, a person answers.
    """

    documents: str = ""
    document_embedder: str = "static"
    passages: int = 4
    passage_tokens: int = 800
    delimit: bool = False
    screen: bool = False

    def check_grounding(self) -> None:
        """Refuse parameters that make no sense.

        Raises:
            StrategyError: which one, and its value.
        """
        require(self.passages > 0, self.name, f"passages={self.passages} must be positive")
        require(self.passage_tokens > 0, self.name, f"passage_tokens={self.passage_tokens} must be positive")

    def documents_hash(self) -> str:
        """Of all pieces as the folder is now; '' without documents.

        Raises:
            ConfigError: there is no such folder.
        """
        return _index_of(self.documents, self.document_embedder).content_hash if self.documents else ""

    def screen_hash(self) -> str:
        """Of what the screen reads with, to be added to a base; '' without it.

        Raises:
            MissingDependencyError: the screen's sentence encoder is not installed.
        """
        return f" {open_embedder(EMBEDDER).snapshot} {head().snapshot}" if self.screen else ""

    def grounding(self) -> dict[str, Any]:
        """For the card's settings: which pieces a candidate fitted now may use. Later ones need a fit and a release."""
        if not self.documents:
            return {}
        index = _index_of(self.documents, self.document_embedder)
        return {"passages": [passage.key for passage in index.passages]}


class Sources:
    """Where a candidate's passages come from: of what was in its folder when it was fitted, what still is."""

    def __init__(self, card: Card) -> None:
        self._parameters = card.parameters
        self._folder = str(card.parameters.get("documents", ""))
        self._allowed = frozenset(card.settings.get("passages", ()))

    async def around(self, text: str, ctx: Context) -> tuple[Context, Prediction]:
        """The call with its passages, and an empty prediction that holds what finding them took and left out."""
        if not self._folder:
            return ctx, Prediction()
        done = await on_worker(self._find, text)
        passages, left_out = done.value
        notes = {"passages_left_out": left_out} if left_out else {}
        spent = Prediction(notes=notes).with_timing(replace(Prediction().usage, cpu_s=done.cpu_s), done.wall_s)
        return replace(ctx, passages=passages), spent

    def _find(self, text: str) -> tuple[tuple[Passage, ...], int]:
        index = _index_of(self._folder, str(self._parameters["document_embedder"]), is_fresh=False)
        found = index.search(text, int(self._parameters["passages"]), allowed=self._allowed)
        room = int(self._parameters["passage_tokens"])
        kept: list[Passage] = []
        for passage in found:
            room -= estimated_tokens(passage.searched)
            if room < 0:
                break
            kept.append(passage)
        return tuple(kept), len(found) - len(kept)


def cited(found: Prediction, ctx: Context, spent: Prediction, is_text: bool) -> Prediction:
    """The answer with its sources: those that a free text names like [2], all that were shown for any other output."""
    if not ctx.passages or found.error is not None:
        return found
    shown = list(enumerate(ctx.passages, 1))
    if is_text:
        shown = [(number, passage) for number, passage in shown if f"[{number}]" in str(found.output)]
    citations = tuple(passage.citation() for _, passage in shown)
    told = replace(found, citations=citations, notes={**found.notes, **spent.notes})
    return told.with_timing(found.usage + spent.usage, found.latency_s + spent.latency_s)


def rendered(
    template: Template, values: Mapping[str, Any], passages: Sequence[Passage], delimit: bool
) -> tuple[Message, ...]:
    """The messages for one input.

    Args:
        values: as `Template.render` takes them, without `passages`.
        passages: to answer from; a template that does not name `passages` gets them before its user message.
        delimit: mark what comes from outside (text, input, examples), and add the rule to the system message. Passages
            are always marked.
    """
    shown = [
        {
            "number": number,
            "document": passage.document,
            "heading": passage.heading,
            "text": delimited(passage.text, "passage", _about(number, passage)),
        }
        for number, passage in enumerate(passages, 1)
    ]
    messages = template.render({**(_marked(values) if delimit else values), "passages": shown})
    if shown and not template.names("passages"):
        block = "\n\n".join([PASSAGES_TITLE, *(str(one["text"]) for one in shown)])
        messages = (*messages[:-1], replace(messages[-1], content=f"{block}\n\n{messages[-1].content}"))
    return _with_rule(messages) if delimit or shown else messages


def _about(number: int, passage: Passage) -> dict[str, object]:
    about: dict[str, object] = {"number": number, "document": passage.document}
    return about | ({"heading": passage.heading} if passage.heading else {})


def _marked(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **values,
        "text": delimited(values["text"]),
        "input": {name: delimited(text) for name, text in values["input"].items()},
        "examples": [{**example, "text": delimited(example["text"])} for example in values["examples"]],
    }


def _with_rule(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    if messages[0].role == "system":
        return (replace(messages[0], content=f"{messages[0].content}\n\n{RULE}"), *messages[1:])
    return (Message("system", RULE), *messages)


def _index_of(folder: str, embedder: str, is_fresh: bool = True) -> DocumentIndex:
    return open_index(Path(folder), IndexOptions(embedder=embedder), is_fresh)
