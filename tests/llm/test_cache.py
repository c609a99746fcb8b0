"""The store on disk, and the model that asks it first."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from tasklift.cache import ContentCache, caching_in, open_cache
from tasklift.errors import ServerError, TaskliftError
from tasklift.llm.cached import CachedModel
from tasklift.llm.fake import Scripted, ScriptedModel
from tasklift.llm.model import Message, Model, Reply, Request
from tasklift.prediction import Usage


def ask(text: str, **rest: Any) -> Request:
    return Request((Message("user", text),), **rest)


@pytest.fixture(params=["memory", "file"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    with ContentCache(None if request.param == "memory" else tmp_path / "new" / "cache.db") as made:
        yield made


def test_what_was_put_is_found(cache: ContentCache) -> None:
    cache.put_many({"a": b"1", "b": b"\x00\xff"})
    cache.put("a", b"2")
    assert cache.get("a") == b"2"
    assert cache.get("c") is None
    assert cache.get_many(["b", "c", "a", "a"]) == {"b": b"\x00\xff", "a": b"2"}
    assert len(cache) == 2


def test_many_keys_at_once(cache: ContentCache) -> None:
    items = {f"key{at}": str(at).encode() for at in range(3000)}
    cache.put_many(items)
    assert cache.get_many(items) == items
    assert cache.get_many([]) == {}
    cache.put_many({})


def test_entries_can_be_forgotten(cache: ContentCache) -> None:
    cache.put_many({"a": b"1", "b": b"2", "c": b"3"})
    cache.delete_many(["a", "never there"])
    assert cache.get_many(["a", "b"]) == {"b": b"2"}
    cache.clear()
    assert len(cache) == 0


def test_it_outlives_the_process(tmp_path: Path) -> None:
    with ContentCache(tmp_path / "cache.db") as first:
        first.put("a", b"1")
    first.close()
    with ContentCache(tmp_path / "cache.db") as second:
        assert second.get("a") == b"1"


def test_threads_may_share_it(cache: ContentCache) -> None:
    def work(name: int) -> None:
        for at in range(100):
            cache.put(f"{name}-{at}", b"x")
            cache.get(f"{1 - name}-{at}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache) == 400


def _write_many(path: Path, name: str, start: Any, results: Any) -> None:
    start.wait()
    try:
        with ContentCache(path) as cache:
            for at in range(150):
                cache.put(f"{name}-{at}", b"x" * 100)
            results.put("done")
    except Exception as error:
        results.put(repr(error))


def test_processes_may_share_one_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(2), context.Queue()
    path = tmp_path / "cache.db"
    processes = [context.Process(target=_write_many, args=(path, name, start, results)) for name in "ab"]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == ["done", "done"]
    for process in processes:
        process.join()
    with ContentCache(path) as cache:
        assert len(cache) == 300


def test_a_file_that_is_no_database_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(b"this is not a database, whatever its name says" * 100)
    with pytest.warns(UserWarning, match="was damaged: a new one is begun"):
        cache = ContentCache(path)
    cache.put("a", b"1")
    assert cache.get("a") == b"1"
    cache.close()
    (aside,) = tmp_path.glob("cache.db.damaged-*")
    assert aside.read_bytes().startswith(b"this is not")


def test_damage_that_shows_later_is_survived_too(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    with ContentCache(path) as cache:
        cache.put_many({f"key{at}": b"v" * 200 for at in range(2000)})
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 8192))
    with ContentCache.__new__(ContentCache) as damaged:
        with pytest.warns(UserWarning, match="was damaged"):
            damaged.__init__(path)  # type: ignore[misc]
        assert damaged.get("key1") is None
        damaged.put("key1", b"new")
        assert damaged.get("key1") == b"new"


def test_a_full_disk_is_an_error_that_says_so(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path / "cache.db")
    assert cache._database is not None
    cache._database.execute("PRAGMA max_page_count = 8")  # what SQLite reports is the same
    with pytest.raises(TaskliftError, match="the disk is full: free some space"):
        cache.put("a", b"x" * 100_000)
    assert cache.get("a") is None
    cache.put("b", b"small")
    cache.close()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TaskliftError, match="cannot be made"):
        ContentCache(tmp_path / "file" / "cache.db")
    with pytest.raises(TaskliftError, match="cannot be opened"):
        ContentCache(tmp_path)


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE entries (name TEXT)")
    database.close()
    with ContentCache(path) as cache, pytest.raises(TaskliftError, match="no such column"):
        cache.get("a")
    assert not list(tmp_path.glob("*.damaged-*"))


# The model


async def test_an_equal_request_is_served_from_the_cache(cache: ContentCache) -> None:
    inner = ScriptedModel({"hi": "Yes"}, confidence=0.9)
    model = CachedModel(inner, cache)
    request = ask("hi", labels=("Yes", "No"))
    first, second = await model.complete(request), await model.complete(request)
    assert isinstance(model, Model)
    assert len(inner.requests) == 1
    assert (first.cached, second.cached) == (False, True)
    assert (second.text, second.log_probs, second.usage) == (first.text, first.log_probs, first.usage)
    assert second.latency_s == first.latency_s
    await model.aclose()


@pytest.mark.parametrize("other", [{"repeat": 1}, {"seed": 1}, {"temperature": 0.5}, {"max_tokens": 3}])
async def test_another_request_is_another_call(cache: ContentCache, other: dict[str, Any]) -> None:
    inner = ScriptedModel(default="x")
    model = CachedModel(inner, cache)
    await model.complete(ask("hi"))
    await model.complete(ask("hi", **other))
    assert len(inner.requests) == 2


async def test_another_model_has_other_entries(cache: ContentCache) -> None:
    one, two = ScriptedModel({"hi": "one"}), ScriptedModel({"hi": "two"})
    assert (await CachedModel(one, cache).complete(ask("hi"))).text == "one"
    assert (await CachedModel(two, cache).complete(ask("hi"))).text == "two"


async def test_equal_requests_at_once_share_a_call(cache: ContentCache) -> None:
    inner = ScriptedModel(default="x", delay_s=0.02)
    model = CachedModel(inner, cache)
    replies = await asyncio.gather(*(model.complete(ask("hi")) for _ in range(10)))
    assert len(inner.requests) == 1
    assert sorted(reply.cached for reply in replies) == [False] + [True] * 9


async def test_errors_are_not_kept(cache: ContentCache) -> None:
    script: list[Scripted] = [ServerError("down"), "up"]
    model = CachedModel(ScriptedModel(script, delay_s=0.01), cache)
    failed = await asyncio.gather(*(model.complete(ask("hi")) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in failed] == [ServerError] * 3
    reply = await model.complete(ask("hi"))
    assert (reply.text, reply.cached) == ("up", False)


async def test_one_caller_that_gives_up_does_not_stop_the_others(cache: ContentCache) -> None:
    inner = ScriptedModel(default="x", delay_s=0.05)
    model = CachedModel(inner, cache)
    first, second = (asyncio.create_task(model.complete(ask("hi"))) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    assert (await second).text == "x"
    assert first.cancelled()
    assert len(inner.requests) == 1


async def test_a_call_that_nobody_waits_for_is_stopped(cache: ContentCache) -> None:
    inner = ScriptedModel(default="x", delay_s=0.05)
    model = CachedModel(inner, cache)
    only = asyncio.create_task(model.complete(ask("hi")))
    await asyncio.sleep(0.01)
    only.cancel()
    await asyncio.sleep(0)
    assert (await model.complete(ask("hi"))).cached is False
    assert len(inner.requests) == 2
    assert not model._under_way


async def test_an_entry_of_another_version_is_asked_again(cache: ContentCache) -> None:
    inner = ScriptedModel(default="x")
    model = CachedModel(inner, cache)
    request = ask("hi")
    for old in (
        b"not json",
        b'{"words": "x"}',
        b"[1]",
        b'{"text": "x", "usage": {"new": 1}, "latency_s": 0}',
        b"\xff",
    ):
        cache.put(request.key(inner.snapshot), old)
        assert (await model.complete(request)).cached is False
        assert (await model.complete(request)).cached is True


async def test_odd_text_survives(cache: ContentCache) -> None:
    text = "snow \u2603, half a pair \ud83d, zero \x00"
    model = CachedModel(ScriptedModel([Reply(text, usage=Usage(calls=1))]), cache)
    assert (await model.complete(ask("hi"))).text == (await model.complete(ask("hi"))).text == text


def test_a_bounded_cache_forgets_what_was_written_first(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path / "c.sqlite", max_bytes=400_000)
    for at in range(6000):
        cache.put(f"key-{at}", bytes(200))
    assert cache.get("key-5999") is not None
    assert cache.get("key-0") is None
    assert 500 < len(cache) < 3000
    cache.close()
    assert (tmp_path / "c.sqlite").stat().st_size < 600_000


def test_the_room_of_a_project_is_taken_from_its_block(tmp_path: Path) -> None:
    with caching_in(tmp_path, 1234):
        assert open_cache("responses").max_bytes == 1234
    with caching_in(tmp_path):
        assert open_cache("responses").max_bytes is None
