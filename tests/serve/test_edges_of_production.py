"""From a release over traffic and reviews to `data edges`: what people corrected shows as a group of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasklift.cli.edges import edges
from tasklift.cli.review import review
from tasklift.measure.evaluation import Options, Silent, evaluate
from tasklift.strategies.build import build

THINGS = ("plum", "violet", "lavender", "aubergine", "grape", "amethyst", "lilac", "mauve")


def in_production(new_server: Callable[[str], Any], policy: str) -> Any:
    """A server whose task is answered by `baseline`, which was evaluated before."""
    running = new_server(f"[serving]\n{policy}\n")
    project, task = running.project, running.project.task("colours")
    train, test, _ = project.rows(task)
    evaluate(task.task, build(["baseline"], {}, None), train, test, Options(folder=project.state), Silent())
    running.release(running.fit("baseline"))
    return running


def looked_at(running: Any, capsys: pytest.CaptureFixture[str], as_slice: str | None = None) -> dict[str, Any]:
    """What `tasklift data edges --json` prints."""
    capsys.readouterr()
    folder = Path(running.settings.project)
    assert edges(None, folder, (None, "baseline"), "static", as_slice, None, True) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_answers_that_reviewers_corrected_are_a_group_named_by_its_words(
    new_server: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    running = in_production(new_server, "audit_share = 1")
    assert looked_at(running, capsys)["in_production"] == 0

    said, known = {}, ("a ruby in the garden", "moss on my desk", "denim over there")
    for text in (*(f"the paint like a {thing} for the hallway wall" for thing in THINGS), *known):
        status, answer = running.post("/v1/tasks/colours/predict", {"input": {"text": text}})
        assert status == 200
        said[text] = answer["output"]
    running.until(lambda: len(running.get("/v1/reviews?limit=100")["reviews"]) == len(said))
    given = []
    for one in running.get("/v1/reviews?limit=100")["reviews"]:
        text = one["input"]["text"]
        wanted = said[text] if text in known else next(label for label in ("blue", "red") if label != said[text])
        given.append(f"{one['id']}={wanted}")
    assert review("colours", Path(running.settings.project), given, 50, None, True) == 0

    found = looked_at(running, capsys)
    corrected = [edge for edge in found["edges"] if edge["why"].get("corrected")]
    assert sum(edge["why"]["corrected"] for edge in corrected) == len(THINGS)
    assert all(edge["in_production"] >= 3 for edge in corrected)
    assert {"paint", "hallway", "wall"} & set("_".join(edge["name"] for edge in corrected).split("_"))
    assert not any("ruby" in edge["name"] for edge in corrected)


def test_labels_of_callers_and_open_reviews_stand_in_groups_too(
    new_server: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    running = in_production(new_server, "audit_share = 0\nreview_below = 1.0")
    hard = 0
    for at, thing in enumerate(THINGS):
        _, answer = running.post("/v1/tasks/colours/predict", {"input": {"text": f"curtains like a {thing}"}})
        if at < 4:
            other = next(label for label in ("blue", "red") if label != answer["output"])
            assert running.post("/v1/feedback", {"trace": answer["trace"], "label": other})[0] == 201
        hard += at < 4 or answer["confidence"] < 1.0
    running.until(lambda: len(running.query("SELECT id FROM traces")) == len(THINGS))
    found = looked_at(running, capsys, "edge")
    group = next(edge for edge in found["edges"] if "curtains" in edge["name"])
    assert (found["in_production"], found["without_text"]) == (hard, 0)
    assert group["why"]["corrected"] >= 3
    assert group["labels"][""] == group["why"]["unsure"]
    assert group["in_production"] == len(group["rows"])
