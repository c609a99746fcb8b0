"""The tables of `traffic.db`: releases, traces, feedback, reviews. Times are Unix seconds."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Index, Integer, MetaData, Table, Text

metadata = MetaData()

#: One row an action, never changed. `routes` is the whole state of the task after it, so that the newest
#: row alone says what is in production; (task, version) as the key lets only one of two operators win.
releases = Table(
    "releases",
    metadata,
    Column("task", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("by", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("overlay", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("routes", Text, nullable=False),
)

#: One row an answer; `subject` is the person it is about ("": nobody was named), `pair` of a shadow answer the id
#: of the trace it stands beside.
traces = Table(
    "traces",
    metadata,
    Column("id", Text, primary_key=True),
    Column("task", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("release", Integer, nullable=False),
    Column("candidate", Text, nullable=False),
    Column("arm", Text, nullable=False),
    Column("overlay", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("output", Text),
    Column("confidence", Double),
    Column("deferred", Boolean, nullable=False),
    Column("error", Text),
    Column("latency_s", Double, nullable=False),
    Column("cost_usd", Double, nullable=False),
    Column("pair", Text),
    Column("input", Text),
    Column("prediction", Text, nullable=False),
    Column("subject", Text, nullable=False, server_default=""),
    Index("traces_of_subject", "subject"),
    Index("traces_of_release", "task", "release", "arm"),
    Index("traces_in_time", "task", "at"),
    Index("traces_paired", "pair"),
)

#: What callers say about answers: label, correction, score, comment.
feedback = Table(
    "feedback",
    metadata,
    Column("id", Text, primary_key=True),
    Column("trace", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("by", Text, nullable=False),
    Column("label", Text),
    Column("is_correction", Boolean, nullable=False),
    Column("score", Double),
    Column("comment", Text),
    Column("subject", Text, nullable=False, server_default=""),
    Index("feedback_of_subject", "subject"),
    Index("feedback_of_trace", "trace"),
    Index("feedback_of_task", "task", "at"),
)

#: What a person is asked to answer, and what they answered.
reviews = Table(
    "reviews",
    metadata,
    Column("id", Text, primary_key=True),
    Column("trace", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("reason", Text, nullable=False),
    Column("input", Text),
    Column("suggestion", Text),
    Column("confidence", Double),
    Column("answer", Text),
    Column("by", Text),
    Column("answered_at", Double),
    Column("subject", Text, nullable=False, server_default=""),
    Index("reviews_of_subject", "subject"),
    Index("reviews_of_trace", "trace"),
    Index("reviews_open", "task", "answered_at", "at"),
)

#: Traces that a worker gave out and that never reached the database: counted, never guessed away.
losses = Table(
    "losses",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("traces", Integer, nullable=False),
    Column("reason", Text, nullable=False),
)

#: People whose rows are not trained on, by a hash of their identifier: it outlives their erasure.
objections = Table(
    "objections",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("by", Text, nullable=False),
)

#: While a person is being erased: the rows that are about them, for stores that know rows and no people.
erasing = Table(
    "erasing",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("task", Text, primary_key=True),
    Column("row", Text, primary_key=True),
)
