from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from tasklift.errors import ConfigError
from tasklift_platform.logs import configure_logs, redacted

KEY = "tl_0123456789ab_" + "Zz" * 21 + "Z"


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs(stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def last(out: io.StringIO) -> dict[str, object]:
    return dict(json.loads(out.getvalue().splitlines()[-1]))


def test_both_ways_of_logging_come_out_as_one_json_line_with_the_request_id(out: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        logging.getLogger("some.library").warning("it is %s", "late", extra={"seconds": 3})
        first = last(out)
        structlog.get_logger("ours").info("made", rows=7)
        second = last(out)
    assert (first["event"], first["level"], first["seconds"]) == ("it is late", "warning", 3)
    assert (second["event"], second["rows"], second["logger"]) == ("made", 7, "ours")
    assert first["request_id"] == second["request_id"] == "r1"
    assert str(first["timestamp"]).endswith("Z")


def test_no_secret_reaches_the_log(out: io.StringIO) -> None:
    structlog.get_logger().error(
        f"refused {KEY}",
        headers={"Authorization": f"Bearer {KEY}", "x-api-key": "abc"},
        url="postgresql://user:hunter2@host/x",
        password="hunter2",
        nested=[{"deep": ("sk-abcdefghijklmnopqrstuvwx",)}],
        raw=b"Basic aHVudGVyMjpodW50ZXIy",
    )
    line = out.getvalue()
    for secret in ("Zz", "hunter2", "abcdefghijkl", "aHVudGVy", '"abc"'):
        assert secret not in line
    assert "tl_0123456789ab_[redacted]" in line  # its id stays, to find it by


def test_no_secret_reaches_the_log_in_a_traceback_nor_local_variables(out: io.StringIO) -> None:
    local_text = "the customer's words"
    try:
        raise ValueError(f"bad key {KEY}")
    except ValueError:
        logging.getLogger("x").exception("failed")
    line = out.getvalue()
    assert "Zz" not in line
    assert local_text not in line
    assert "ValueError" in line


def test_counts_of_tokens_are_no_secrets() -> None:
    assert redacted({"input_tokens": 7, "task": "sk-8 wheels"}) == {"input_tokens": 7, "task": "sk-8 wheels"}


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ConfigError, match="loud"):
        configure_logs(io.StringIO(), level="loud")
