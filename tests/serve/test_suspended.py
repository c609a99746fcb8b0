"""A certificate that the audit refutes: from then on people answer, until a candidate with a new one comes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from typer.testing import CliRunner

from tasklift.cli.main import app
from tasklift.errors import ReleaseError


def predict(server: Any, text: str) -> tuple[int, Any]:
    found: tuple[int, Any] = server.post("/v1/tasks/colours/predict", {"input": {"text": text}})
    return found


def add_rows(server: Any) -> None:
    """Enough of them for a certificate."""
    path = server.project.folder / "tasks" / "colours" / "data.jsonl"
    words = {"red": ("ruby", "tomato", "blood"), "green": ("grass", "frog", "moss"), "blue": ("sky", "ocean", "denim")}
    where = ("by the sea", "up the hill", "in a box", "under it", "at noon", "at home")
    rows = [
        {"id": f"{word} {place}", "input": {"text": f"a {word} {place}"}, "output": label}
        for label, some in words.items()
        for word in some
        for place in where
    ]
    path.write_text(path.read_text() + "".join(json.dumps(row) + "\n" for row in rows))


def test_after_a_failed_audit_people_answer_until_another_candidate_is_released(new_server: Any) -> None:
    server = new_server("[serving]\naudit_share = 1\n")
    add_rows(server)
    arm = server.fit("layered", core="baseline", prompt="none", alpha=0.3)
    server.release(arm)
    traces = []
    for n in range(12):
        status, found = predict(server, "a frog over there")
        assert (status, found["output"], found["stage"]) == (200, "green", "core"), n
        traces.append(found["trace"])
    server.until(lambda: len(server.get("/v1/reviews?limit=100")["reviews"]) == 12)
    for review in server.get("/v1/reviews?limit=100")["reviews"]:
        assert server.post(f"/v1/reviews/{review['id']}", {"answer": "red"})[0] == 200
    server.until(lambda: server.get("/readyz")["tasks"]["colours"]["release"] == 2, 8.0)

    status, found = predict(server, "a frog over there")
    assert (status, found["output"], found["deferred"], found["stage"]) == (202, None, True, "human")
    review = server.get(f"/v1/reviews/{found['review']}")
    assert (review["reason"], review["suggestion"]) == ("deferred", "green")
    answer = server.client().chat.completions.with_raw_response.create(
        model="colours", messages=[{"role": "user", "content": "a frog over there"}]
    )
    assert answer.parse().choices[0].message.content == "green"
    assert answer.headers["x-tasklift-needs-review"].startswith("rv_")
    run = CliRunner()
    folder = ["-p", str(server.project.folder)]
    said = run.invoke(app, ["status", "colours", *folder]).stdout
    # The guard looks every second: it acts as soon as the evidence suffices, be it before the last verdict is in.
    assert re.search(r"SUSPENDED \((\d+) of \1 audited answers were wrong", said), said
    assert "left to people until another candidate is released" in said
    server.until(lambda: bool(server.query(f"SELECT 1 FROM traces WHERE id = '{found['trace']}'")))
    assert json.loads(run.invoke(app, ["replay", found["trace"], "--json", *folder]).stdout)["same"]

    with pytest.raises(ReleaseError, match="was suspended"):
        server.release(arm)
    server.release(server.fit("baseline"))
    assert predict(server, "a frog over there")[0] == 200
    assert run.invoke(app, ["rollback", "colours", *folder]).exit_code == 0  # its certificate is no better for that
    server.until(lambda: server.get("/readyz")["tasks"]["colours"]["release"] == 4)
    assert predict(server, "a frog over there")[0] == 202
