"""Routing: sticky by caller, in force on a running worker soon after a release, unmoved by a damaged candidate."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tasklift.operate.load import load_for_production
from tasklift.operate.release import Arm, Releases, Route, Trial
from tasklift.operate.route import LiveArm, LiveRoute, Router, is_challenged
from tasklift.strategy import Candidate
from tasklift_platform.database import Database
from tasklift_platform.watch import Watch


def a_route(candidate: Candidate, share: float, shadow: bool = False) -> LiveRoute:
    stable, challenger = Arm("aaaa", "one"), Arm("bbbb", "two")
    route = Route(stable, challenger, share, shadow)
    return LiveRoute(route, LiveArm(stable, candidate), LiveArm(challenger, candidate))


def test_callers_keep_their_side_while_the_share_grows(fitted: dict[str, Candidate]) -> None:
    callers = [f"caller-{n}" for n in range(4000)]
    sides = {}
    for share in (0.05, 0.2):
        route = a_route(fitted["majority"], share)
        sides[share] = {caller for caller in callers if is_challenged(route, "t", caller)}
        assert sides[share] == {caller for caller in callers if is_challenged(route, "t", caller)}
        assert abs(len(sides[share]) / len(callers) - share) < 0.02
    assert sides[0.05] <= sides[0.2]


def test_a_shadow_answers_nobody(fitted: dict[str, Candidate]) -> None:
    assert not any(is_challenged(a_route(fitted["majority"], 0.9, True), "t", str(n)) for n in range(100))


async def test_a_release_and_a_rollback_are_followed_within_a_second(
    database: Database, tmp_path: Path, fitted: dict[str, Candidate]
) -> None:
    releases = Releases(database, lambda _: None)
    arms = [Arm(one.fingerprint, name) for name, one in fitted.items()]
    await releases.release("t", arms[0], Trial(), "me")
    router, watch = Router(releases, lambda _, name: load_for_production(tmp_path, name)), Watch(database)
    await router.refresh()
    router.follow(watch)
    try:
        for action in (releases.release("t", arms[1], Trial(), "me"), releases.rollback("t", "me")):
            version = (await action).version
            begin = time.monotonic()
            while router.live["t"].version != version:
                assert time.monotonic() - begin < 1.0
                await asyncio.sleep(0.01)
        assert router.live["t"].route("").stable.arm.candidate == arms[0].candidate
    finally:
        await router.aclose()
        await watch.aclose()


async def test_a_damaged_candidate_leaves_the_old_one_in_place(
    database: Database, tmp_path: Path, fitted: dict[str, Candidate]
) -> None:
    releases = Releases(database, lambda _: None)  # as if it was damaged after the release was checked
    good, bad = (Arm(one.fingerprint, name) for name, one in fitted.items())
    (tmp_path / "artifacts" / bad.candidate / "candidate.json").write_text("{")
    router = Router(releases, lambda _, name: load_for_production(tmp_path, name))
    await releases.release("t", good, Trial(), "me")
    await router.refresh()
    await releases.release("t", bad, Trial(share=0.5), "me")
    await router.refresh()
    live = router.live["t"]
    assert (live.version, live.route("").challenger) == (2, None)
    assert "damaged" in live.refused
    await releases.release("t", bad, Trial(), "me")
    await router.refresh()
    assert router.live["t"].route("").stable.arm.candidate == good.candidate
    await router.aclose()
