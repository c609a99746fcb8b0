"""People, asked for by API and by command: erased while the server runs, shown, not trained on."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from tasklift.cli.main import app

ANNA = "anna@example.org"


def ask(server: Any, text: str, **named: str) -> str:
    body = {"model": "colours", "messages": [{"role": "user", "content": text}], **named}
    status, found = server.post("/v1/chat/completions", body)
    assert status == 200, found
    return str(found["id"])


def test_a_person_is_erased_while_the_server_runs(new_server: Any) -> None:
    server = new_server("[serving]\naudit_share = 1\n")
    folder = server.project.folder
    data = folder / "tasks" / "colours" / "data.jsonl"
    theirs = [
        {"id": f"anna-{n}", "input": {"text": f"a {what} called Wisteria"}, "output": "green", "group": ANNA}
        for n, what in enumerate(("frog", "toad", "newt", "lizard"))
    ]
    data.write_text(data.read_text() + "".join(json.dumps(row) + "\n" for row in theirs))
    server.release(server.fit("knn", embedder="static"))
    train = server.project.rows(server.project.task("colours"))[0]
    assert ANNA in {row.group for row in train}
    trace = ask(server, "a Wisteria frog", user=ANNA)
    ask(server, "another Wisteria frog", user="desk-3", metadata={"subject": ANNA})
    ask(server, "a plain frog", user="bob")
    server.until(lambda: len(server.query("SELECT 1 FROM traces")) == 3)
    assert server.post("/v1/feedback", {"trace": trace, "comment": "Wisteria!"})[0] == 201

    status, held = server.post("/v1/people/export", {"subject": ANNA})
    assert (status, len(held["stores"]["traces"]), len(held["stores"]["feedback"])) == (200, 2, 1)
    router = server.server.config.app.api.state.service.router
    inner = router.live["colours"].routes[""].stable.candidate.inner
    status, made = server.post("/v1/people/erase", {"subject": ANNA})
    assert status == 200, made
    assert {store["store"]: store["erased"] for store in made["stores"]}["reviews"] == 2
    assert server.get(f"/v1/people/erasures/{made['id']}") == made
    assert [row[0] for row in server.query("SELECT caller FROM traces")] == ["bob"]
    assert b"Wisteria" not in b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    # the worker has read the candidate in production again, without the person's row, or does so in a moment
    server.until(lambda: router.live["colours"].routes[""].stable.candidate.inner is not inner)
    ask(server, "a frog", user="bob")


def test_people_need_a_scope_and_a_name(running: Any) -> None:
    key = running.new_key("predict feedback review operate")
    for path in ("erase", "export", "do-not-train"):
        status, found = running.post(f"/v1/people/{path}", {"subject": "x"}, key)
        assert (status, found["error"]["type"]) == (403, "permission_error")
        assert running.post(f"/v1/people/{path}", {"subject": "\x00 "})[0] == 400
        assert running.post(f"/v1/people/{path}", {})[0] == 400
    assert running.send("GET", "/v1/people/erasures/none")[0] == 404


def test_the_command_erases_shows_and_notes_an_objection(new_server: Any) -> None:
    server = new_server("[serving]\naudit_share = 0\n")
    server.release(server.fit("baseline"))
    ask(server, "a frog", user=ANNA)
    server.until(lambda: len(server.query("SELECT 1 FROM traces")) == 1)

    def run(*words: str) -> Any:
        return CliRunner().invoke(app, ["people", *words, "-p", str(server.project.folder)])

    assert len(json.loads(run("export", ANNA).stdout)["stores"]["traces"]) == 1
    assert "not trained on" in run("do-not-train", ANNA).stdout
    assert len(server.query("SELECT 1 FROM objections")) == 1
    assert "again" in run("do-not-train", ANNA, "--withdraw").stdout
    assert server.query("SELECT 1 FROM objections") == []
    done = run("erase", ANNA)
    assert done.exit_code == 0
    assert "complete" in done.stdout
    assert ANNA not in done.stdout
    assert server.query("SELECT 1 FROM traces") == []
    assert "no erasure is open" in run("finish").stdout
