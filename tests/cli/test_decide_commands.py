"""`tasklift decide --from`, `--redo` and `tasklift decisions`, as typed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasklift.cli.decisions import check
from tasklift.llm.fake import FakeEndpoint

PROMPTFOO = Path(__file__).parents[1] / "measure" / "importers" / "files" / "promptfoo_v3_echo.json"
ECONOMICS = "items_per_month = 20000\nerror_usd = 1.5\nreview_usd = 0.4\n"


Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Commands are typed in a folder that holds economics and nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "economics.toml").write_text(ECONOMICS, encoding="utf-8")


def test_a_promptfoo_file_is_decided_on_without_a_project(run: Run) -> None:
    done = run("decide", "--from", PROMPTFOO, "--economics", "economics.toml", "--json")
    row = json.loads(done.out)
    assert (done.code, row["verdict"], row["choice"]) == (0, "choose", "prompt")
    assert row["evidence"]["rows"] == 32
    listed = json.loads(run("decisions", "list", "--json").out)["decisions"]
    assert [(one["id"], one["status"]) for one in listed] == [(row["id"], "current")]
    shown = run("decisions", "show", row["id"][:6])
    assert shown.out.startswith(f"# Decision {row['id']}: prompt")
    assert json.loads(run("decisions", "show", row["id"], "--json").out)["record"]["content_hash"]


def test_a_table_whose_rows_cannot_all_be_paired_says_so(run: Run, tmp_path: Path) -> None:
    lines = [f"{i},{option},{int(i % 9 > 0)},0.001,0.2" for i in range(40) for option in ("prompt", "finetune")]
    table = "\n".join(["item_id,option,correct,cost_usd,latency_s", *lines, "lonely,prompt,1,0.001,0.2"])
    (tmp_path / "results.csv").write_text(table + "\n", encoding="utf-8")
    done = run("decide", "--from", "results.csv", "--economics", "economics.toml")
    assert "1 rows of prompt left out, not every option has this item: lonely" in done.out


def test_redo_decides_under_the_economics_of_today_and_shows_what_changed(run: Run, tmp_path: Path) -> None:
    first = json.loads(run("decide", "--from", PROMPTFOO, "--economics", "economics.toml", "--json").out)
    same = json.loads(run("decide", "--redo", first["id"], "--json").out)
    assert (same["id"], same["changes"]) == (first["id"], {})
    (tmp_path / "economics.toml").write_text(ECONOMICS.replace("1.5", "0"), encoding="utf-8")
    again = json.loads(run("decide", "--redo", first["id"], "--json").out)
    assert again["supersedes"] == first["id"] != again["id"]
    assert again["changes"]["economics"] == {"error_usd": [1.5, 0]}
    status = {one["id"]: one["status"] for one in json.loads(run("decisions", "list", "--json").out)["decisions"]}
    assert status == {first["id"]: "replaced", again["id"]: "current"}
    assert "error_usd: 1.5 -> 0" in run("decide", "--redo", first["id"]).out


def test_check_has_exit_code_3_where_a_decision_no_longer_holds(run: Run, tmp_path: Path) -> None:
    assert run("decisions", "check").code == 0
    priced = ECONOMICS + "[options.prompt-short]\nsetup_usd = 0\n[options.prompt-with-teams]\nsetup_usd = 5000\n"
    (tmp_path / "economics.toml").write_text(priced, encoding="utf-8")
    first = json.loads(run("decide", "--from", PROMPTFOO, "--economics", "economics.toml", "--json").out)
    assert run("decisions", "check").code == 0
    done = run("decisions", "check", first["id"], "--items-per-month", 1, "--json")
    (row,) = json.loads(done.out)["decisions"]
    assert (done.code, row["holds"]) == (3, False)
    assert "1 items a month" in row["reasons"][0]
    assert json.loads(run("decisions", "list", "--json").out)["decisions"][0]["status"] == "reopened"
    assert "**Reopened" in run("decisions", "show", first["id"]).out


async def test_shutdown_dates_come_from_the_endpoint(run: Run, tmp_path: Path) -> None:
    """An evaluation with a hosted model, decided, then its endpoint says that the model ends."""
    await asyncio.to_thread(run, "init", "shop")
    task = tmp_path / "shop" / "tasks" / "triage" / "task.toml"
    async with FakeEndpoint(answer=lambda body: "billing") as endpoint:
        url = f"{endpoint.url}#{endpoint.model}"
        own = f'[economics.prices.tokens."{url}"]\ninput_usd = 1.0\noutput_usd = 2.0\n\n[gates]\nmin_metric = 0.01\n'
        text = task.read_text(encoding="utf-8")
        task.write_text(text[: text.index("[gates]")] + own, encoding="utf-8")
        arguments = ("evaluate", "-p", "shop", "--strategies", "majority,prompt", "--model", url, "--json")
        done = await asyncio.to_thread(run, *arguments)
        identity = json.loads(done.out)["decision"]["id"]
        assert (await asyncio.to_thread(run, "decisions", "check", "-p", "shop")).code == 0
        endpoint.shutdown_dates[endpoint.model] = "2027-01-06"
        ended = await asyncio.to_thread(run, "decisions", "check", "-p", "shop")
        assert ended.code == 3
        assert f"{url}: shuts down on 2027-01-06, within the horizon" in ended.out
        offline = await asyncio.to_thread(run, "decisions", "check", identity, "-p", "shop", "--offline")
        assert offline.code == 0
    silent = await asyncio.to_thread(run, "decisions", "check", identity, "-p", "shop")
    assert "could not be asked for shutdown dates" in silent.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "economics.toml"), "--from needs --economics"),
        (("--from", "economics.toml", "--economics", "economics.toml"), "the column item_id is missing"),
        (("triage", "--from", "x", "--economics", "economics.toml"), "leave out the task"),
        (("--redo", "abc"), "no single decision 'abc'"),
    ],
)
def test_what_cannot_be_decided_is_one_line_and_code_2(run: Run, arguments: tuple[str, ...], message: str) -> None:
    done = run("decide", *arguments)
    assert done.code == 2
    assert message in done.err


def test_checking_a_folder_without_decisions_is_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(None, tmp_path, None, None, True, False) == 0
    assert "no decision is kept here" in capsys.readouterr().out


async def test_a_cap_in_money_stops_an_evaluation_and_a_higher_one_goes_on(run: Run, tmp_path: Path) -> None:
    await asyncio.to_thread(run, "init", "shop")
    async with FakeEndpoint(answer=lambda body: "billing") as endpoint:
        url = f"{endpoint.url}#{endpoint.model}"
        evaluate = ("evaluate", "-p", "shop", "--strategies", "majority,prompt", "--model", url, "--json")
        unpriced = await asyncio.to_thread(run, *evaluate, "--max-usd", 1)
        assert unpriced.code == 2
        assert f"no token price is known for '{url}'" in unpriced.err
        task = tmp_path / "shop" / "tasks" / "triage" / "task.toml"
        own = f'[economics.prices.tokens."{url}"]\ninput_usd = 1000\noutput_usd = 1000\n\n[gates]\nmin_metric = 0.01\n'
        text = task.read_text(encoding="utf-8")
        task.write_text(text[: text.index("[gates]")] + own, encoding="utf-8")
        stopped = await asyncio.to_thread(run, *evaluate, "--max-usd", 0.8)
        assert stopped.code == 2
        assert "stopped at the cap of 0.8 USD" in stopped.err
        paid = len(endpoint.received)
        done = await asyncio.to_thread(run, *evaluate, "--max-usd", 100)
        assert done.code == 0
        assert 0 < json.loads(done.out)["spent_usd"] < 100
        assert len(endpoint.received) == 3  # the three test rows, each paid once
        assert 0 < paid < 3
