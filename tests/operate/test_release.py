"""Releases: an append-only history that two operators cannot both extend."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tasklift.errors import ArtifactError, ConflictError, ReleaseError
from tasklift.operate.load import find_candidate, load_for_production
from tasklift.operate.release import Arm, Guards, Releases, Trial
from tasklift.strategy import Candidate
from tasklift_platform.database import Database

A, B, C = Arm("aaaa", "baseline"), Arm("bbbb", "prompt"), Arm("cccc", "layered", "decision-1")


def releases(database: Database) -> Releases:
    return Releases(database, lambda _: None)


async def test_the_first_release_answers_everything_and_a_trial_needs_one_before(database: Database) -> None:
    found = releases(database)
    assert await found.current("t") is None
    with pytest.raises(ReleaseError, match="first release cannot be on trial"):
        await found.release("t", A, Trial(share=0.1), "me")
    made = await found.release("t", C, Trial(), "me")
    assert (made.version, made.route().stable.candidate, made.by) == (1, "cccc", "me")
    assert (await found.current("t")).route().stable.decision == "decision-1"
    assert await found.current("another") is None


async def test_canary_promote_and_rollback_move_the_routes(database: Database) -> None:
    found = releases(database)
    await found.release("t", A, Trial(), "me")
    canary = await found.release("t", B, Trial(share=0.05, guards=Guards(max_latency_s=2.0)), "me")
    route = canary.route()
    assert (route.stable.candidate, route.challenger.candidate, route.share) == ("aaaa", "bbbb", 0.05)
    assert route.guards.max_latency_s == 2.0
    back = await found.rollback("t", "me", reason="it was slow")
    assert back.route().challenger is None
    assert "it was slow" in back.reason
    await found.release("t", B, Trial(shadow=True), "me")
    promoted = await found.promote("t", "me")
    assert promoted.route().stable.candidate == "bbbb"
    again = await found.rollback("t", "me")
    assert again.route().stable.candidate == "aaaa"
    with pytest.raises(ReleaseError, match="nothing answered before"):
        await found.rollback("t", "me")
    assert [one.version for one in await found.history("t")] == [6, 5, 4, 3, 2, 1]


async def test_promote_without_a_trial_and_a_trial_of_what_answers_already_are_refused(database: Database) -> None:
    found = releases(database)
    await found.release("t", A, Trial(), "me")
    with pytest.raises(ReleaseError, match="no candidate is on trial"):
        await found.promote("t", "me")
    with pytest.raises(ReleaseError, match="answers already"):
        await found.release("t", A, Trial(share=0.5), "me")
    with pytest.raises(ReleaseError, match="canary or a shadow"):
        Trial(share=0.5, shadow=True)
    with pytest.raises(ReleaseError, match="less than 100%"):
        Trial(share=1.0)


async def test_of_operators_at_the_same_moment_only_those_who_saw_the_newest_release_win(database: Database) -> None:
    found = releases(database)
    await found.release("t", A, Trial(), "me")
    made = await asyncio.gather(
        *(found.release("t", arm, Trial(), str(n)) for n, arm in enumerate([B, C] * 4)), return_exceptions=True
    )
    won = [one for one in made if not isinstance(one, BaseException)]
    assert all(isinstance(one, ConflictError) for one in made if isinstance(one, BaseException))
    assert len(won) < len(made)
    assert [one.version for one in await found.history("t")] == list(range(len(won) + 1, 0, -1))


async def test_a_guard_does_not_undo_a_release_that_it_has_not_seen(database: Database) -> None:
    found = releases(database)
    await found.release("t", A, Trial(), "me")
    await found.release("t", B, Trial(share=0.1), "me")
    with pytest.raises(ConflictError, match="came after 1"):
        await found.rollback("t", "guard", expect=1)


async def test_an_overlay_has_a_route_of_its_own(database: Database) -> None:
    found = releases(database)
    await found.release("t", A, Trial(), "me")
    made = await found.release("t", B, Trial(overlay="brand"), "me")
    assert made.route("brand").stable.candidate == "bbbb"
    assert made.route("other brand").stable.candidate == "aaaa"
    assert made.route().stable.candidate == "aaaa"


async def test_a_candidate_that_is_gone_or_damaged_is_refused_and_the_old_one_stays(
    database: Database, tmp_path: Path, fitted: dict[str, Candidate]
) -> None:
    found = Releases(database, lambda name: load_for_production(tmp_path, name))
    good, bad = (Arm(one.fingerprint, name) for name, one in fitted.items())
    await found.release("t", good, Trial(), "me")
    await found.release("t", bad, Trial(share=0.5), "me")
    (tmp_path / "artifacts" / bad.candidate / "arrays.safetensors").write_bytes(b"damaged")
    for attempt in (found.release("t", bad, Trial(), "me"), found.promote("t", "me")):
        with pytest.raises(ArtifactError, match="checksum"):
            await attempt
    with pytest.raises(ArtifactError, match="no saved candidate"):
        await found.release("t", Arm("0" * 32, "gone"), Trial(), "me")
    assert (await found.current("t")).route().stable.candidate == good.candidate


def test_a_candidate_is_found_by_the_beginning_of_its_fingerprint(tmp_path: Path, fitted: dict[str, Candidate]) -> None:
    print_of = fitted["baseline"].fingerprint
    assert find_candidate(tmp_path, print_of[:8]) == print_of
    for given in ("", "zz"):
        with pytest.raises(ReleaseError, match="there are: "):
            find_candidate(tmp_path, given)


def test_guards_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ReleaseError, match="between 0 and 1"):
        Guards(max_error_share=1.5)
    with pytest.raises(ReleaseError, match="positive"):
        Guards(max_latency_s=0)
