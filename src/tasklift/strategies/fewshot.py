"""Few-shot prompting with retrieval: labelled rows near the text go into the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tasklift.data.embed import open_embedder
from tasklift.dataset import Dataset
from tasklift.llm.model import Model, Request
from tasklift.llm.open import open_model
from tasklift.llm.overlay import Material
from tasklift.outputs.labels import Label
from tasklift.prediction import DECIMALS, Prediction, Usage
from tasklift.strategies.artifact import Card, write_artifact
from tasklift.strategies.classifier import label_indices, text_of, texts_of
from tasklift.strategies.context import UNCUT, Cut
from tasklift.strategies.labelled_rows import Store, agreed_accuracy, read_store, strata_of, vote
from tasklift.strategies.prompted import Grounded
from tasklift.strategies.prompted_candidate import LOWEST, PromptedCandidate, prediction_of
from tasklift.strategies.prompting import check_template, prompt_parameters, rule_settings, setup_of
from tasklift.strategies.recipe import EVERY_KIND, require, require_rows
from tasklift.strategies.screen import (
    EMBEDDER,
    LIKENESS_WEIGHT,
    attack_logits,
    head,
    screen_settings,
)
from tasklift.strategies.selection import SELECTIONS, Found, Picker
from tasklift.strategy import Context, Family, Input
from tasklift.task import Task
from tasklift.worker import on_worker, timed

SYSTEM = """{{ instruction }} {{ form }}"""
USER = """{% for example in examples %}
Message: {{ example.text }}
{{ cue }}: {{ example.label }}

{% endfor %}
Message: {{ text }}
{{ cue }}:"""


@dataclass(frozen=True)
class FewShot(Grounded):
    """Labelled rows near the text as examples; the model is skipped where the nearest all agree.

    Attributes:
        model: as for `prompt`.
        embedder: registry name of what finds the rows.
        examples: how many rows go into the prompt, the nearest last.
        selection: `nearest`; `diverse`: near to the text but unlike each other; `balanced`: the same number of each
            label. The last two choose among the `pool` nearest rows.
        example_tokens: most tokens of all examples together; 0: no limit.
        pool: the answer must be a label of the `pool` nearest rows; 0: any label of the task.
        skip_agreed: answer without the model where all examples carry one label.
        retrieval_weight: how much the vote of the `pool` nearest rows counts beside a model that gives
            log-probabilities; 0: the model alone, 1: the vote alone.
        example_chars: longer example texts are cut.
        system: Jinja2 template of the system message.
        user: Jinja2 template of the user message; sees `examples`.
        material: as for `prompt`.
    """

    name: ClassVar[str] = "fewshot"
    family: ClassVar[Family] = "prompt"
    kinds: ClassVar[frozenset[str]] = EVERY_KIND

    model: str | Model = "local"
    embedder: str = "minilm"
    examples: int = 8
    selection: str = "nearest"
    example_tokens: int = 0
    pool: int = 20
    skip_agreed: bool = True
    retrieval_weight: float = 0.9
    example_chars: int = 400
    system: str = SYSTEM
    user: str = USER
    material: Material | None = None

    def __post_init__(self) -> None:
        require(self.examples > 0, self.name, f"examples={self.examples} must be positive")
        require(
            self.pool == 0 or self.pool >= self.examples,
            self.name,
            f"pool={self.pool} must be 0 or at least examples",
        )
        require(
            self.selection in SELECTIONS,
            self.name,
            f"selection={self.selection!r} is none of {', '.join(SELECTIONS)}",
        )
        require(
            self.example_tokens >= 0,
            self.name,
            f"example_tokens={self.example_tokens} must be positive, or 0: no limit",
        )
        require(
            0 <= self.retrieval_weight <= 1,
            self.name,
            f"retrieval_weight={self.retrieval_weight} must lie between 0 (the model alone) and 1 (the vote alone)",
        )
        require(self.example_chars > 0, self.name, f"example_chars={self.example_chars} must be positive")
        self.check_grounding()
        check_template(self.name, self.system, self.user, self.material)

    def base(self) -> str:
        """Snapshots of model and embedder, and of the documents where there are any."""
        snapshots = f"{open_model(self.model).snapshot} {open_embedder(self.embedder).snapshot}"
        return f"{snapshots} {self.documents_hash()}".rstrip() + self.screen_hash()

    def parameters(self) -> dict[str, Any]:
        """The model by its name."""
        return prompt_parameters(self, self.model, self.material)

    def fit(self, task: Task, train: Dataset) -> FewShotCandidate:
        """Embed the rows, and measure on them (each left out in turn) how right agreeing neighbours are."""
        require_rows(task, train, self.name, self.kinds)
        texts, one_label = texts_of(train, task.input_fields), task.output.kind == "label"
        truth = label_indices(train, list(task.labels)) if one_label else strata_of(task, train)
        answers = [task.output.write(value) for value in train.outputs]
        done = timed(open_embedder(self.embedder).encode, texts)
        store = Store(texts, truth, done.value, train.ids, answers)
        notes: dict[str, Any] = {}
        if one_label:
            notes = {"agreed_accuracy": agreed_accuracy(done.value, truth, self.examples)}
            notes |= store.measured(Picker.of(self.parameters()))
        settings = self.grounding() | rule_settings(task)
        if self.screen:
            settings |= screen_settings(store.limits(open_embedder(self.embedder).encode))
        made = setup_of(self.material)
        setup = replace(made, labels=len(train), cpu_s=made.cpu_s + done.cpu_s)
        card = self.card(task, train, setup, notes=notes, settings=settings)
        return FewShotCandidate(card, open_model(self.model), store)

    def reload(self, folder: Path, card: Card) -> FewShotCandidate:
        """A saved candidate, asking this recipe's model."""
        return FewShotCandidate(card, open_model(self.model), read_store(folder, card))

    @staticmethod
    def load(folder: Path, card: Card) -> FewShotCandidate:
        """A saved candidate; the model is opened by its name."""
        return FewShotCandidate(card, open_model(str(card.parameters["model"])), read_store(folder, card))


class FewShotCandidate(PromptedCandidate):
    """Retrieve, then answer or ask."""

    def __init__(self, card: Card, model: Model, store: Store) -> None:
        super().__init__(card, model)
        self._store = store
        self._embedder = open_embedder(str(card.parameters["embedder"]))
        self._picker = Picker.of(card.parameters)

    async def answer(self, value: Input, ctx: Context) -> Prediction:
        """The label that all neighbours share, or the model's choice among their labels."""
        parameters = self.card.parameters
        done = await on_worker(self._retrieve, text_of(value, self.card.input_fields))
        order, chosen, near = done.value
        usage = Usage(cpu_s=done.cpu_s)
        if not isinstance(self.output, Label):
            answer = await self.written(value, ctx, self._examples(chosen))
            return answer.with_timing(answer.usage + usage, answer.latency_s + done.wall_s)
        shared = {self.labels[self._store.truth[i]] for i in order[: parameters["examples"]]}
        if parameters["skip_agreed"] and len(shared) == 1:
            confidence = round(float(self.notes["agreed_accuracy"]), DECIMALS)
            (label,) = shared
            scores = {label: confidence}
            return Prediction(
                label, scores, confidence, usage=usage, latency_s=done.wall_s, notes={"skipped_model": True}
            )
        allowed = self._allowed(order)
        reply, notes = await self.fitting(value, allowed, ctx, self._examples(chosen), self.model.complete)
        if reply.log_probs is not None:
            reply = replace(reply, log_probs=self._weighed(reply.log_probs, near))
        answered = prediction_of(reply, skipped_model=False, **notes)
        return answered.with_timing(reply.usage + usage, reply.latency_s + done.wall_s)

    def foreign(self, parts: Sequence[str]) -> NDArray[np.float64]:
        """[n] sentences -> [n] how much each is like an attack and unlike all labelled rows."""
        vectors = self._embedder.encode(parts)
        logits = head().logits(vectors) if self._embedder.name == EMBEDDER else attack_logits(parts)
        return logits - LIKENESS_WEIGHT * self._store.likeness(vectors)

    async def rendered(self, value: Input, ctx: Context, cut: Cut = UNCUT) -> Request:
        """With the rows that are retrieved for this input."""
        value, _ = await self.without_foreign(value)
        text = text_of(value, self.card.input_fields)
        ctx, _ = await self.sources.around(text, ctx)
        order, chosen, _ = (await on_worker(self._retrieve, text)).value
        return self.request(value, self._allowed(order), ctx, self._examples(chosen), cut)

    async def asks(self, value: Input, ctx: Context) -> Request | None:
        """None where all nearest rows carry one label, or the screen leaves nothing."""
        value, _ = await self.without_foreign(value)
        text = text_of(value, self.card.input_fields)
        if not text.strip():
            return None
        order, *_ = (await on_worker(self._retrieve, text)).value
        near = {self._store.truth[i] for i in order[: self.card.parameters["examples"]]}
        is_skipped = isinstance(self.output, Label) and self.card.parameters["skip_agreed"] and len(near) == 1
        return None if is_skipped else await self.rendered(value, ctx)

    def _retrieve(self, text: str) -> tuple[list[int], list[int], Found]:
        """Rows nearest to the text, nearest first; those to show, nearest last; and all that was found."""
        (found,) = self._store.near(self._embedder.encode([text]), self._picker.pool)
        return found.rows.tolist(), self._picker.pick(found, self._store.texts), found

    def _weighed(self, log_probs: Mapping[str, float], near: Found) -> Mapping[str, float]:
        """The model's log-probabilities and the neighbours' vote as one (logarithmic opinion pool).

        A small model prefers some labels whatever the examples say; what was retrieved says more than it shows.
        """
        weight = float(self.card.parameters.get("retrieval_weight", 0.0))  # older artifacts: the model alone
        if not weight:
            return log_probs
        votes = vote(near, self.labels)
        offset = np.logaddexp.reduce(list(log_probs.values()))
        return {
            label: (1 - weight) * max(said - offset, LOWEST) + weight * votes[label]
            for label, said in log_probs.items()
        }

    def _allowed(self, order: Sequence[int]) -> list[str]:
        if self.card.parameters["pool"] == 0 or not isinstance(self.output, Label):
            return list(self.labels)
        near = {int(self._store.truth[i]) for i in order}
        return [label for i, label in enumerate(self.labels) if i in near]

    def _examples(self, chosen: Sequence[int]) -> list[Mapping[str, str]]:
        limit = self.card.parameters["example_chars"]
        texts, answers = self._store.texts, self._store.answers
        return [{"text": texts[i][:limit], "label": answers[i]} for i in chosen]

    def save(self, folder: Path) -> None:
        """Write card, vectors and the rows' texts: this artifact holds customers' text."""
        settings = {**self.card.settings, "texts": list(self._store.texts)}
        if self._store.ids:  # without them (older artifacts) no single row can be erased
            settings["ids"] = list(self._store.ids)
        if not isinstance(self.output, Label):
            settings["answers"] = list(self._store.answers)
        card = Card(**{**self.card.__dict__, "settings": settings})
        write_artifact(folder, card, {"vectors": self._store.vectors, "truth": self._store.truth})
