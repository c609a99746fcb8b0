"""Zero-shot prompting: a template says what is asked, the model picks a label or writes an answer of another kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from tasklift.dataset import Dataset
from tasklift.llm.model import Model, Request
from tasklift.llm.open import open_model
from tasklift.llm.overlay import Material
from tasklift.outputs.labels import Label
from tasklift.prediction import Prediction
from tasklift.strategies.artifact import Card
from tasklift.strategies.classifier import texts_of
from tasklift.strategies.context import UNCUT, Cut
from tasklift.strategies.prompted import Grounded
from tasklift.strategies.prompted_candidate import PromptedCandidate, prediction_of
from tasklift.strategies.prompting import check_template, prompt_parameters, rule_settings, setup_of
from tasklift.strategies.recipe import EVERY_KIND, require, require_kind
from tasklift.strategies.screen import limits_from, screen_settings
from tasklift.strategies.tool_loop import Limits, answer_with_tools, requests_of, specs_of
from tasklift.strategies.tools import Toolset, open_toolset
from tasklift.strategy import Context, Family, Input
from tasklift.task import Task

SYSTEM = """{{ instruction }}

{% if labels %}
The labels, each with its meaning:
{% for label, definition in labels.items() %}
- {{ label }}: {{ definition }}
{% endfor %}

{% endif %}
{{ form }}"""
USER = """Message: {{ text }}

{{ cue }}:"""
#: An input that says nothing: what the model answers to it is its bias (Zhao et al. 2021).
NOTHING = "N/A"


@dataclass(frozen=True)
class Prompt(Grounded):
    """The instruction and what an answer must look like in, one answer out.

    Attributes:
        model: `local`, or the URL of an OpenAI-compatible endpoint with `#model-name`.
        system: Jinja2 template of the system message; may use instruction, labels, form, cue.
        user: Jinja2 template of the user message; may also use text, input.
        calibrate: divide by what the model answers to an empty input, where it gives
            log-probabilities: small models prefer some label names whatever the text.
        tools: that the model may ask for before it answers: a `Toolset`, or the name of an installed one; '': none.
        tool_steps: most model calls in which it may ask for tools.
        tool_calls: most calls of tools.
        tool_usd: most money for one answer; 0: no limit.
        material: what a prompt file and overlays lay into the templates; None: nothing.
    """

    name: ClassVar[str] = "prompt"
    family: ClassVar[Family] = "prompt"
    needs_rows: ClassVar[bool] = False
    kinds: ClassVar[frozenset[str]] = EVERY_KIND

    model: str | Model = "local"
    system: str = SYSTEM
    user: str = USER
    calibrate: bool = True
    tools: str | Toolset = ""
    tool_steps: int = 6
    tool_calls: int = 12
    tool_usd: float = 0.0
    material: Material | None = None

    def __post_init__(self) -> None:
        require(bool(self.user.strip()), self.name, "the user template is empty")
        self.check_grounding()
        Limits(self.tool_steps, self.tool_calls, self.tool_usd)
        check_template(self.name, self.system, self.user, self.material)

    @property
    def looks_at_rows(self) -> bool:
        """Only for the screen."""
        return self.screen

    def base(self) -> str:
        """Snapshot of the model, and of the documents where there are any."""
        return f"{open_model(self.model).snapshot} {self.documents_hash()}".rstrip() + self.screen_hash()

    def parameters(self) -> dict[str, Any]:
        """The model by its name."""
        toolset = open_toolset(self.tools)
        told = {"tools": toolset.to_json() if toolset else ""}
        return prompt_parameters(self, self.model, self.material) | told

    def fit(self, task: Task, train: Dataset) -> PromptCandidate:
        """Nothing is trained. Rows are looked at by the screen only, for what their texts are like."""
        require_kind(task, self.name, self.kinds)
        settings = self.grounding() | rule_settings(task)
        if self.screen:
            settings |= screen_settings(limits_from(texts_of(train, task.input_fields)))
        card = self.card(task, train, setup_of(self.material), settings=settings)
        return PromptCandidate(card, open_model(self.model), open_toolset(self.tools))

    def reload(self, folder: Path, card: Card) -> PromptCandidate:
        """A saved candidate, asking this recipe's model."""
        return PromptCandidate(card, open_model(self.model), open_toolset(self.tools))

    @staticmethod
    def load(folder: Path, card: Card) -> PromptCandidate:
        """A saved candidate; model and tools are opened by their names."""
        toolset = open_toolset((card.parameters.get("tools") or {}).get("name", ""))
        return PromptCandidate(card, open_model(str(card.parameters["model"])), toolset)


class PromptCandidate(PromptedCandidate):
    """Zero-shot, with tools where it has some."""

    def __init__(self, card: Card, model: Model, toolset: Toolset | None = None) -> None:
        super().__init__(card, model)
        self.toolset = toolset
        self._bias: dict[str, Mapping[str, float] | None] = {}  # of each overlay, '' for none

    async def requests(
        self, value: Input, ctx: Context, said: Prediction | None = None, cut: Cut = UNCUT
    ) -> list[Request]:
        """With tools, one for each step of the way to `said`; where that is not known, the first one."""
        asked = await self.rendered(value, ctx, cut)
        if self.toolset is None:
            return [asked]
        return requests_of(asked, specs_of(self.card.parameters["tools"]["tools"]), self.output, said)

    async def asks(self, value: Input, ctx: Context) -> Request | None:
        """None with tools: what they give decides what is asked."""
        return None if self.toolset is not None else await super().asks(value, ctx)

    async def answer(self, value: Input, ctx: Context) -> Prediction:
        """Ask, and correct for the model's bias where it gives log-probabilities."""
        if self.toolset is not None:
            given = self.card.parameters
            limits = Limits(given["tool_steps"], given["tool_calls"], given["tool_usd"])
            request = self.request(value, self.labels, ctx)
            return await answer_with_tools(self.model, self.toolset, request, self.output, limits, ctx)
        if not isinstance(self.output, Label):
            return await self.written(value, ctx)
        reply, notes = await self.fitting(value, self.labels, ctx, (), self.model.complete)
        if reply.log_probs is None or not self.card.parameters["calibrate"]:
            return prediction_of(reply, **notes)
        _, _, overlay = self.material.under(ctx.overlay)
        if overlay not in self._bias:
            empty = dict.fromkeys(self.card.input_fields, NOTHING)
            alone = replace(ctx, passages=())  # the bias must not depend on which row came first
            self._bias[overlay] = (await self.model.complete(self.request(empty, self.labels, alone))).log_probs
        return prediction_of(reply, self._bias[overlay], **notes)
