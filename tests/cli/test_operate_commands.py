"""Releasing, keys, reviews, retraining, as typed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasklift.operate.ledger import Ledger
from tasklift.operate.store import open_store, url_of
from tasklift.operate.traffic import Trace, TraceWriter
from tasklift.prediction import Prediction
from tasklift.project import Project

Run = Callable[..., Any]


@pytest.fixture
def shop(run: Run, tmp_path: Path) -> Path:
    """A project with an evaluation."""
    folder = tmp_path / "shop"
    assert run("init", folder).code == 0
    assert run("evaluate", "-p", folder, "--strategies", "majority,baseline,human").code == 0
    return folder


def test_releases_are_made_promoted_taken_back_and_listed(run: Run, shop: Path) -> None:
    assert "nothing is released" in run("status", "-p", shop).out
    first = run("release", "--candidate", "baseline", "-p", shop)
    assert (first.code, first.out) == (0, "triage: release 1: baseline answers everything\n")
    canary = json.loads(
        run(
            "release",
            "triage",
            "--candidate",
            "majority",
            "--canary",
            "5%",
            "--max-errors",
            "0.1",
            "-p",
            shop,
            "--json",
        ).out
    )
    route = canary["routes"][""]
    assert (route["share"], route["guards"]["max_error_share"], bool(route["stable"]["decision"])) == (0.05, 0.1, True)
    status = run("status", "triage", "-p", shop).out
    assert "challenger  majority" in status
    assert "evidence against the challenger" in status
    assert json.loads(run("status", "-p", shop, "--json").out)["tasks"][0]["release"]["version"] == 2
    assert run("promote", "-p", shop).out == "triage: release 3: majority answers everything\n"
    assert "because" in run("rollback", "-p", shop, "--reason", "because").out
    lines = run("history", "-p", shop).out.splitlines()
    assert [line.split()[0] for line in lines] == ["4", "3", "2", "1"]
    assert [one["action"] for one in json.loads(run("history", "-p", shop, "--json").out)["releases"]] == [
        "rollback",
        "promote",
        "release",
        "release",
    ]


def test_a_release_that_cannot_be_is_one_line_and_exit_code_2(run: Run, shop: Path) -> None:
    fingerprint = json.loads(run("release", "--candidate", "baseline", "-p", shop, "--json").out)["routes"][""][
        "stable"
    ]["candidate"]
    for words, says in [
        (("release", "--candidate", "nothing"), "no saved candidate begins with"),
        (("release", "--candidate", "majority", "--canary", "much"), "is no share"),
        (("release", "--candidate", "majority", "--canary", "5%", "--shadow"), "a canary or a shadow"),
        (("release", "--candidate", "majority", "--decision", "d"), "no stored decision"),
        (("promote",), "no candidate is on trial"),
        (("rollback",), "nothing answered before"),
        (("retrain",), "no corrected row"),
        (("explain", "tr_0"), "no trace is called"),
        (("review", "--answer", "rv_0=billing"), "no review is called"),
        (("review", "--answer", "billing"), "REVIEW=LABEL"),
        (("keys", "add", "x", "--scopes", "everything"), "no scope is called"),
        (("keys", "revoke", "0"), "no key in use"),
        (("serve", "--open", "--host", "0.0.0.0"), "this machine only"),
    ]:
        done = run(*words, "-p", shop)
        assert (done.code, done.err.count("\n"), says in done.err) == (2, 1, True), (words, done)
    (shop / ".tasklift" / "artifacts" / fingerprint / "arrays.safetensors").write_bytes(b"")
    assert "checksum" in run("release", "--candidate", fingerprint[:8], "-p", shop).err


def test_keys_are_printed_once_listed_and_revoked(run: Run, shop: Path) -> None:
    made = json.loads(
        run("keys", "add", "backend", "--scopes", "predict:triage", "--days", "1", "-p", shop, "--json").out
    )
    assert made["key"].startswith(f"tl_{made['id']}_")
    listed = run("keys", "list", "-p", shop).out
    assert made["key"] not in listed
    assert "backend  predict:triage" in listed
    assert run("keys", "revoke", made["id"], "-p", shop).code == 0
    assert json.loads(run("keys", "list", "-p", shop, "--json").out)["keys"][0]["revoked_at"] is not None


def add_traffic(shop: Path) -> None:
    """Six answers, and a review for each."""

    async def write() -> None:
        database = await open_store(url_of(Project.open(shop).state))
        writer = TraceWriter(database, Ledger(None))
        for n, thing in enumerate(("lamp", "chair", "table", "sofa", "shelf", "desk")):
            value, said = {"text": f"do you sell a {thing}?"}, Prediction("billing", confidence=0.4)
            review = (f"rv{n}", "audit", value)
            fields = ("triage", float(n), 1, "gone", "stable", "", "ann", value, said, 0.1, 0.0, None, review)
            writer.put(Trace(f"tr{n}", *fields))
        await writer.aclose()
        await database.aclose()

    asyncio.run(write())


def test_reviews_are_answered_in_the_terminal_and_retrained_on(
    run: Run, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("release", "--candidate", "baseline", "-p", shop)
    add_traffic(shop)
    assert "1 answered, 5 shown" in run("review", "-p", shop, "--answer", "rv0=other").out
    typed = iter(["3", "other", "", "nonsense", "other"])  # a number, a name, skip, no label, a name
    monkeypatch.setattr("builtins.input", lambda _: next(typed))
    shown = run("review", "-p", shop)
    assert "suggested: billing (40%)" in shown.out
    assert "unknown label 'nonsense'" in shown.out
    assert shown.out.endswith("3 answered\n")
    assert len(json.loads(run("review", "-p", shop, "--json").out)["reviews"]) == 2
    made = json.loads(run("retrain", "-p", shop, "--json").out)
    assert made["trained_on"] + made["fresh"] == 4
    said = run("retrain", "-p", shop)
    assert f"tasklift release triage --candidate {made['candidate'][:12]} --canary 10% -p {shop}" in said.out
    assert json.loads(run("status", "-p", shop, "--json").out)["tasks"][0]["release"]["version"] == 1
    explained = run("explain", "tr0", "-p", shop)
    assert "review      audit: other" in explained.out
    assert "the candidate cannot be read" in explained.out
    assert run("replay", "tr0", "-p", shop).code == 2
