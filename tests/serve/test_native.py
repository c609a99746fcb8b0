"""The native API: predict, feedback, reviews; what a person has to answer; a provider that hangs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from tasklift.llm.fake import Behaviour, FakeEndpoint
from tasklift.operate.release import Trial


@contextmanager
def endpoint(behaviour: Behaviour | None = None, **rest: Any) -> Iterator[FakeEndpoint]:
    """The scripted endpoint in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    found = FakeEndpoint(default=behaviour, **rest)
    asyncio.run_coroutine_threadsafe(found.__aenter__(), loop).result(10)
    try:
        yield found
    finally:
        asyncio.run_coroutine_threadsafe(found.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_one_input_and_many_are_answered_each_with_its_trace(running: Any) -> None:
    status, one = running.post("/v1/tasks/colours/predict", {"input": {"text": "a frog"}, "caller": "customer-7"})
    assert (status, one["output"], one["deferred"], one["release"], one["stage"]) == (
        200,
        "green",
        False,
        1,
        "baseline",
    )
    assert one["scores"]["green"] == one["confidence"]
    texts = ["a ruby", " ", "denim on my desk"]
    status, many = running.post("/v1/tasks/colours/predict", {"inputs": [{"text": text} for text in texts]})
    assert status == 200
    assert [row["output"] for row in many["results"]] == ["red", None, "blue"]
    assert many["results"][1]["error"]["code"] == "empty_input"
    ids = {one["trace"], *(row["trace"] for row in many["results"])}
    assert len(ids) == 4
    running.until(lambda: ids <= {row[0] for row in running.query("SELECT id FROM traces")})


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/v1/tasks/nothing/predict", {"input": {"text": "x"}}, 404, "there are: colours"),
        ("/v1/tasks/colours/predict", {}, 400, "one of them"),
        ("/v1/tasks/colours/predict", {"input": {"text": "x"}, "inputs": [{"text": "x"}]}, 400, "one of them"),
        ("/v1/tasks/colours/predict", {"input": {"text": 7}}, 400, "input.text"),
        ("/v1/tasks/colours/predict", {"inputs": []}, 400, "inputs"),
        ("/v1/tasks/colours/predict", {"input": {"text": "x"}, "threshold": 0.5}, 400, "threshold"),
        ("/v1/tasks/colours/predict", {"input": {}}, 400, "no text"),
        ("/v1/feedback", {"trace": "tr_0"}, 404, "no trace"),
        ("/v1/reviews/rv_0", {"answer": "red"}, 404, "no review"),
    ],
)
def test_a_bad_request_says_what_is_wrong(running: Any, path: str, body: Any, status: int, says: str) -> None:
    found = running.post(path, body)
    assert (found[0], set(found[1]["error"])) == (status, {"message", "type", "param", "code"})
    assert says in found[1]["error"]["message"]


def test_feedback_is_stored_when_it_is_acknowledged_even_right_after_the_answer(running: Any) -> None:
    _, answer = running.post("/v1/tasks/colours/predict", {"input": {"text": "a frog"}})
    given = {"trace": answer["trace"], "label": "blue", "score": 0.1, "comment": "it was blue"}
    status, found = running.post("/v1/feedback", given)
    assert status == 201
    rows = running.query(f"SELECT label, is_correction, score, comment FROM feedback WHERE id = '{found['id']}'")
    assert rows == [("blue", 1, 0.1, "it was blue")]
    assert running.post("/v1/feedback", {"trace": answer["trace"], "label": "bleu"})[1]["error"]["message"].endswith(
        "did you mean 'blue'?"
    )
    assert running.post("/v1/feedback", {"trace": answer["trace"]})[0] == 400


def test_what_is_deferred_gets_202_and_its_review_is_answered_through_the_api(new_server: Any) -> None:
    server = new_server("[serving]\ninputs = 'drop'\n")
    server.release(server.fit("human"))
    status, found = server.post("/v1/tasks/colours/predict", {"input": {"text": "a puce thing"}})
    assert (status, found["deferred"], found["output"]) == (202, True, None)
    (waiting,) = server.get("/v1/reviews?task=colours")["reviews"]
    assert (waiting["id"], waiting["reason"], waiting["input"]) == (
        found["review"],
        "deferred",
        {"text": "a puce thing"},
    )
    path = f"/v1/reviews/{found['review']}"
    assert server.get(path)["answer"] is None
    assert "no label" not in server.post(path, {"answer": "red"})[1]
    assert server.get(path)["answer"] == "red"
    assert server.post(path, {"answer": "red"})[0] == 200  # the same again is no conflict
    assert server.post(path, {"answer": "blue"})[0] == 409
    assert server.get("/v1/reviews")["reviews"] == []
    server.until(lambda: len(server.query("SELECT 1 FROM traces")) == 1)
    assert server.query("SELECT input, deferred FROM traces") == [(None, 1)]


def test_the_chat_api_marks_what_needs_a_person(new_server: Any) -> None:
    server = new_server("[serving]\non_defer = 'A colleague will answer.'\n")
    server.release(server.fit("human"))
    raw = server.client().chat.completions.with_raw_response.create(
        model="colours", messages=[{"role": "user", "content": "a puce thing"}]
    )
    assert raw.parse().choices[0].message.content == "A colleague will answer."
    assert raw.parse().model_extra["tasklift"]["needs_review"] is True
    assert raw.headers["x-tasklift-needs-review"].startswith("rv_")


def test_a_hosted_prompt_is_asked_and_its_tokens_are_counted(new_server: Any) -> None:
    server = new_server()
    with endpoint(answer=lambda body: "blue") as host:
        server.release(server.fit("prompt", f"{host.url}#{host.model}"))
        answer = server.client().chat.completions.create(
            model="colours", messages=[{"role": "user", "content": "the evening"}]
        )
        assert (answer.choices[0].message.content, answer.usage.completion_tokens) == ("blue", 2)
        assert "the evening" in host.received[-1]["messages"][-1]["content"]


def test_a_provider_that_hangs_is_a_gateway_timeout_and_others_are_answered(new_server: Any) -> None:
    server = new_server("[serving]\ntimeout_s = 0.5\n")
    with endpoint(Behaviour(kind="hang")) as host:
        server.release(server.fit("prompt", f"{host.url}#{host.model}"))
        with pytest.raises(openai.InternalServerError, match=r"0\.5 s") as late:
            server.client().chat.completions.create(model="colours", messages=[{"role": "user", "content": "x"}])
        assert (late.value.status_code, late.value.code) == (504, "timeout")
        assert server.get("/healthz") == {"status": "ok"}
        server.until(lambda: server.query("SELECT error FROM traces") == [("timeout",)])


def test_what_the_provider_says_stays_in_the_trace(new_server: Any) -> None:
    server = new_server("[serving]\ntimeout_s = 5\n")
    with endpoint(Behaviour.error(401, "Incorrect API key provided: sk-secret")) as host:
        server.release(server.fit("prompt", f"{host.url}#{host.model}"))
        status, found = server.post("/v1/tasks/colours/predict", {"input": {"text": "x"}})
        assert (status, found["error"]["code"]) == (502, "authentication")
        assert "sk-secret" not in str(found)
        assert host.url not in str(found)


def test_a_canary_answers_its_share_of_the_callers_and_a_shadow_nobody(new_server: Any) -> None:
    server = new_server("[serving]\naudit_share = 0\n")
    stable, other = server.fit("baseline"), server.fit("majority")
    server.release(stable)
    server.release(other, Trial(share=0.3))
    seen: dict[str, set[str]] = {}
    for n in range(60):
        body = {"input": {"text": "a frog"}, "caller": f"caller-{n % 30}"}
        seen.setdefault(body["caller"], set()).add(server.post("/v1/tasks/colours/predict", body)[1]["stage"])
    assert all(len(stages) == 1 for stages in seen.values())
    assert {next(iter(stages)) for stages in seen.values()} == {"baseline", "majority"}
    server.release(other, Trial(shadow=True))
    _, answer = server.post("/v1/tasks/colours/predict", {"input": {"text": "a frog"}})
    assert answer["stage"] == "baseline"
    server.until(lambda: bool(server.query(f"SELECT 1 FROM traces WHERE pair = '{answer['trace']}'")))
    assert server.query(f"SELECT arm FROM traces WHERE pair = '{answer['trace']}'") == [("shadow",)]


def test_a_canary_that_fails_is_taken_back_by_the_running_server(new_server: Any) -> None:
    server = new_server("[serving]\naudit_share = 0\n")
    with endpoint(Behaviour.error(400, "broken")) as host:
        server.release(server.fit("baseline"))
        server.release(server.fit("prompt", f"{host.url}#{host.model}"), Trial(share=0.5))
        for n in range(40):
            server.post("/v1/tasks/colours/predict", {"input": {"text": "a frog"}, "caller": str(n)})
        server.until(lambda: server.get("/readyz")["tasks"]["colours"]["release"] == 3, 8.0)
        assert [
            server.post("/v1/tasks/colours/predict", {"input": {"text": "a frog"}, "caller": str(n)})[0]
            for n in range(40)
        ] == [200] * 40
    ((by, reason),) = server.query("SELECT by, reason FROM releases WHERE version = 3")
    assert (by, "answers failed" in reason) == ("guard", True)


@pytest.mark.parametrize(
    ("policy", "reason"), [("audit_share = 1", "audit"), ("audit_share = 0\nreview_below = 0.5", "uncertain")]
)
def test_audits_and_unsure_answers_go_into_the_queue(new_server: Any, policy: str, reason: str) -> None:
    server = new_server(f"[serving]\n{policy}\n")
    server.release(server.fit("majority"))
    assert server.post("/v1/tasks/colours/predict", {"input": {"text": "a frog"}})[0] == 200
    server.until(lambda: bool(server.get("/v1/reviews")["reviews"]))
    (found,) = server.get("/v1/reviews")["reviews"]
    assert (found["reason"], found["suggestion"], found["input"]) == (reason, "red", {"text": "a frog"})


def test_traces_of_an_audited_task_are_stored_before_the_answer(new_server: Any) -> None:
    server = new_server("[serving]\ntraces = 'sync'\ninputs = 'redact'\n")
    server.release(server.fit("baseline"))
    text = "a frog, mail me at ann@example.com or +44 20 7946 0000"
    _, answer = server.post("/v1/tasks/colours/predict", {"input": {"text": text}})
    ((kept,),) = server.query(f"SELECT input FROM traces WHERE id = '{answer['trace']}'")
    assert kept == '{"text": "a frog, mail me at [mail] or [number]"}'


def test_stopping_finishes_requests_and_writes_every_trace(new_server: Any) -> None:
    server = new_server("[serving]\naudit_share = 0\n")
    with endpoint(Behaviour("green", delay_s=0.6)) as host:
        server.release(server.fit("prompt", f"{host.url}#{host.model}"))
        answers: list[tuple[int, Any]] = []
        ask = lambda: answers.append(server.post("/v1/tasks/colours/predict", {"input": {"text": "x"}}))  # noqa: E731
        threads = [threading.Thread(target=ask) for _ in range(5)]
        for thread in threads:
            thread.start()
        server.until(lambda: len(host.received) == 5)
        server.stop()
        for thread in threads:
            thread.join()
    assert [status for status, _ in answers] == [200] * 5
    assert {answer["trace"] for _, answer in answers} == {row[0] for row in server.query("SELECT id FROM traces")}


def test_health_readiness_and_metrics(running: Any) -> None:
    assert running.send("GET", "/healthz", key="")[1] == {"status": "ok"}
    assert running.send("GET", "/readyz", key="")[1]["tasks"] == {"colours": {"release": 1, "refused": ""}}
    assert running.send("GET", "/metrics", key=running.new_key("predict"))[0] == 403
    running.post("/v1/chat/completions", {"model": "colours", "messages": [{"role": "user", "content": "frog"}]})
    status, page, _ = running.send("GET", "/metrics")
    assert status == 200
    assert 'tasklift_http_requests_total{method="POST",route="/v1/chat/completions",status="200"}' in page
    assert 'tasklift_traces{state="lost"} 0.0' in page


def test_an_overlay_that_a_request_names_changes_its_prompt_and_stands_in_its_trace(new_server: Any) -> None:
    server = new_server("[serving]\naudit_share = 0\n")
    overlays = server.project.folder / "tasks" / "colours" / "overlays"
    overlays.mkdir()
    (overlays / "traffic.toml").write_text('schema_version = 1\n[labels]\ngreen = "You may go"\n')
    with endpoint(Behaviour("green")) as host:
        given = server.project.parameters(server.project.task("colours"), ["prompt"])["prompt"]
        server.release(server.fit("prompt", f"{host.url}#{host.model}", **given))
        for overlay in ("traffic", "", "of nobody"):
            body = {"model": "colours", "messages": [{"role": "user", "content": "a frog"}]}
            assert server.post("/v1/chat/completions", body | {"metadata": {"overlay": overlay}})[0] == 200
        sent = [str(one["messages"]) for one in host.received]
    assert ["You may go" in text for text in sent] == [True, False, False]
    server.until(lambda: len(server.query("SELECT 1 FROM traces")) == 3)
    assert {row[0] for row in server.query("SELECT overlay FROM traces")} == {"traffic", "", "of nobody"}
