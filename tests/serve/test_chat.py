"""Chat completions with OpenAI's own client, and what bad requests get."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import quote

import openai
import pytest


def ask(client: openai.OpenAI, text: str = "a frog over there", **rest: Any) -> Any:
    return client.chat.completions.create(model="colours", messages=[{"role": "user", "content": text}], **rest)


def test_the_openai_client_gets_the_answer_with_its_headers_and_trace(running: Any) -> None:
    raw = running.client().chat.completions.with_raw_response.create(
        model="colours",
        messages=[{"role": "system", "content": "ignored"}, {"role": "user", "content": "a ruby on my desk"}],
        user="customer-7",
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == "red"
    assert answer.model == "colours"
    assert raw.headers["x-tasklift-release"] == "1"
    assert raw.headers["x-tasklift-stage"] == "baseline"
    assert 0 < float(raw.headers["x-tasklift-confidence"]) <= 1
    assert float(raw.headers["x-tasklift-cost-usd"]) > 0
    assert float(raw.headers["x-tasklift-overhead-ms"]) >= 0
    trace = raw.headers["x-tasklift-trace-id"]
    assert answer.id == trace
    running.until(lambda: bool(running.query(f"SELECT 1 FROM traces WHERE id = '{trace}'")))
    ((task, caller, output, value),) = running.query(
        f"SELECT task, caller, output, input FROM traces WHERE id = '{trace}'"
    )
    assert (task, caller, output, json.loads(value)) == ("colours", "customer-7", "red", {"text": "a ruby on my desk"})


def test_streaming_gives_the_same_answer_and_usage_where_it_is_asked_for(running: Any) -> None:
    chunks = list(ask(running.client(), stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "green"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens == 0
    assert all(chunk.usage is None for chunk in ask(running.client(), stream=True))


def test_content_in_parts_is_joined(running: Any) -> None:
    parts = [{"type": "text", "text": "an ocean"}, {"type": "text", "text": "at the market"}]
    found = running.client().chat.completions.create(model="colours", messages=[{"role": "user", "content": parts}])
    assert found.choices[0].message.content == "blue"


def test_models_are_the_tasks_that_the_key_may_ask(running: Any) -> None:
    assert [model.id for model in running.client().models.list()] == ["colours"]
    assert running.client().models.retrieve("colours").owned_by == "tasklift"
    assert list(running.client(running.new_key("feedback")).models.list()) == []


def test_keys_are_asked_for_and_their_scope_counts(running: Any) -> None:
    with pytest.raises(openai.AuthenticationError, match="not an API key"):
        ask(running.client("nonsense"))
    assert running.send("POST", "/v1/chat/completions", b"{}", key="")[0] == 401
    with pytest.raises(openai.PermissionDeniedError, match="predict:colours"):
        ask(running.client(running.new_key("feedback predict:another")))
    assert ask(running.client(running.new_key("predict:colours"))).choices[0].message.content == "green"


def test_a_key_is_held_to_its_rate(running: Any) -> None:
    client = running.client(running.new_key("predict", requests_per_minute=60, burst=3))
    for _ in range(3):
        ask(client)
    with pytest.raises(openai.RateLimitError) as refused:
        ask(client)
    assert int(refused.value.response.headers["retry-after"]) >= 1


def test_an_unknown_model_is_told_the_known_ones(running: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="there are: colours") as refused:
        running.client().chat.completions.create(model="gpt-6", messages=[{"role": "user", "content": "x"}])
    assert refused.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"model": "colours", ', "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[1]", "must be a JSON object"),
        (b"[" * 100_000, "not valid JSON"),
        (b"{}", "`model` must name a task"),
        (b'{"model": "colours"}', "`messages` must be a list"),
        (b'{"model": "colours", "messages": [3]}', "known role"),
        (b'{"model": "colours", "messages": [{"role": "user", "content": null}]}', "no user message with text"),
        (b'{"model": "colours", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "type `text`"),
        (b'{"model": "colours", "messages": [{"role": "user", "content": " "}]}', "has no text"),
        (b'{"model": "colours", "messages": [{"role": "user", "content": "x"}], "n": 2}', "`n` must be 1"),
        (b'{"model": "colours", "messages": [{"role": "user", "content": "x"}], "metadata": "x"}', "`metadata`"),
        (b'{"model": "colours", "messages": [{"role": "user", "content": "x"}], "stream": "yes"}', "`stream`"),
        (b'{"model": "colours", "messages": [{"role": "user", "content": "x"}], "user": 7}', "`user`"),
    ],
)
def test_a_bad_request_is_answered_in_the_form_that_clients_know(running: Any, body: bytes, says: str) -> None:
    status, found, _ = running.send("POST", "/v1/chat/completions", body)
    assert status == 400
    assert set(found) == {"error"}
    assert set(found["error"]) == {"message", "type", "param", "code"}
    assert found["error"]["type"] == "invalid_request_error"
    assert says in found["error"]["message"]
    assert "Traceback" not in json.dumps(found)


def test_a_prompt_of_ten_megabytes_is_refused_before_it_is_read(running: Any) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        ask(running.client(), "x" * 10_000_000)
    assert refused.value.status_code == 413
    assert running.send("POST", "/v1/feedback", b"x" * 3_000_000)[0] == 413


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE traces; --", "<script>alert(1)</script>", "a\x00b", "\ud800", "{{ 7*7 }}"]
)
def test_sql_html_and_odd_characters_are_text_in_every_field(running: Any, text: str) -> None:
    body = {"model": "colours", "messages": [{"role": "user", "content": f"frog {text}"}], "user": text}
    status, found = running.post("/v1/chat/completions", body | {"metadata": {"overlay": text}})
    assert (status, found["choices"][0]["message"]["content"]) == (200, "green")
    running.until(lambda: bool(running.query(f"SELECT 1 FROM traces WHERE id = '{found['id']}'")))
    assert running.post("/v1/chat/completions", body | {"model": text})[0] == 404
    status, found = running.post("/v1/feedback", {"trace": text, "label": text, "comment": text})
    assert status in (400, 404)
    assert "SQL" not in found["error"]["message"]
    native = {"input": {"text": f"frog {text}", text: text}, "caller": text, "overlay": text, "subject": text}
    status, found = running.post("/v1/tasks/colours/predict", native)
    if text == "\ud800":  # half a character is no valid JSON text for the native API
        assert (status, found["error"]["type"]) == (400, "invalid_request_error")
        return
    assert (status, found["output"]) == (200, "green")
    given = {"trace": found["trace"], "label": "green", "comment": text}
    assert running.post("/v1/feedback", given)[0] == 201
    for path in ("reviews", "models", "people/erasures"):
        assert running.send("GET", f"/v1/{path}/{quote(text, errors='replace')}")[0] in (400, 404)
    assert running.send("GET", f"/v1/reviews?task={quote(text, errors='replace')}")[1] == {"reviews": []}
    for what in ("do-not-train", "export"):
        assert running.post(f"/v1/people/{what}", {"subject": text})[0] == 200


def test_other_addresses_and_methods_get_errors_of_the_same_form(running: Any) -> None:
    for method, path, expected in [
        ("GET", "/nothing", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/feedback", 405),
    ]:
        status, found, _ = running.send(method, path)
        assert (status, set(found["error"])) == (expected, {"message", "type", "param", "code"})


def test_slow_clients_do_not_hold_the_others(running: Any) -> None:
    host, port = running.url.removeprefix("http://").split(":")
    key = f"authorization: Bearer {running.key}"
    head = "\r\n".join(["POST /v1/chat/completions HTTP/1.1", "host: x", key, "content-length: 9", "", "{"])
    slow = [socket.create_connection((host, int(port))) for _ in range(300)]
    try:
        for one in slow:
            one.sendall(head.encode())
        assert ask(running.client()).choices[0].message.content == "green"
    finally:
        for one in slow:
            one.close()


def test_without_a_release_the_service_says_so(new_server: Any) -> None:
    server = new_server()
    with pytest.raises(openai.InternalServerError, match="nothing is released") as refused:
        ask(server.client())
    assert refused.value.status_code == 503
    assert server.get("/readyz")["tasks"]["colours"]["release"] is None
