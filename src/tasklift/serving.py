"""How a task is served: what is kept of inputs, what people look at, how long an answer may take."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasklift.schema import Schema


class Serving(Schema):
    """`[serving]` of task.toml.

    Attributes:
        inputs: what traces keep of an input: all of it, all with addresses and numbers blacked out, or nothing.
            A row that a person is to answer keeps its text until it is answered, whatever stands here.
        traces: `batched` writes them off the request path; `sync` answers only when the trace is stored.
        timeout_s: longest time for one answer.
        stage_timeouts_s: of single stages of a layered candidate (`core`, `prompt`): one that takes longer
            counts as not sure, and the next one is asked.
        audit_share: share of answered rows that a person looks at.
        review_below: answers of less confidence are put into the review queue; None: none are.
        on_defer: what the chat API says where a person has to answer; None: the best guess.
    """

    inputs: Literal["keep", "redact", "drop"] = "keep"
    traces: Literal["batched", "sync"] = "batched"
    timeout_s: float = Field(default=30.0, gt=0, le=600)
    stage_timeouts_s: dict[Literal["core", "prompt"], float] = Field(default_factory=dict)
    audit_share: float = Field(default=0.01, ge=0, le=1)
    review_below: float | None = Field(default=None, ge=0, le=1)
    on_defer: str | None = None
