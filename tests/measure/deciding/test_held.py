"""A lead that rests on a difference within the noise of an A/A run is no lead."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tasklift.economics import Economics
from tasklift.measure.deciding.decision import Settings, decide
from tasklift.measure.evidence import Evidence, OptionEvidence

DRAWS = Settings(draws=2000, parameters=False)


def evidence(prompt: int, finetune: int, floor: float | None, rows: int = 400) -> Evidence:
    """So many right answers of each, on the same rows."""
    no = np.zeros(rows, dtype=bool)
    options = {
        name: OptionEvidence(
            name, name, (np.arange(rows) < right).astype(float), no, no, cost_usd=np.zeros(rows), noise_floor=floor
        )
        for name, right in (("prompt", prompt), ("finetune", finetune))
    }
    return Evidence("made up", tuple(map(str, range(rows))), options, (None,) * rows, ({},) * rows)


def economics(setup_usd: float = 2000) -> Economics:
    costs = {"prompt": {"setup_usd": 0}, "finetune": {"setup_usd": setup_usd}}
    options = {**costs, "human": {"accuracy": 0.99}}
    return Economics.model_validate(
        {"items_per_month": 20_000, "error_usd": 1.0, "review_usd": 2.0, "options": options}
    )


def test_without_an_a_a_run_the_small_difference_decides() -> None:
    decision = decide(evidence(360, 368, None), economics(), settings=DRAWS)
    assert (decision.leading, dict(decision.noise)) == ("finetune", {})


def test_a_difference_within_the_floor_is_no_win_and_is_said_to_be_none() -> None:
    decision = decide(evidence(360, 368, 0.03), economics(), settings=DRAWS)
    assert decision.leading == "prompt"
    found = decision.noise["prompt vs finetune"]
    assert (found.within_noise, found.difference) == (True, pytest.approx(-0.02))
    said = " ".join(decision.reasons)
    assert "within noise (A/A floor 3.0): no win for finetune" in said
    assert "by accuracy within noise only" in said
    assert decision.to_json()["noise"]["prompt vs finetune"]["floor"] == pytest.approx(0.03)


def test_what_the_passed_over_option_is_ahead_by_is_no_worth_of_measuring() -> None:
    decision = decide(evidence(360, 368, 0.03), economics(), settings=DRAWS)
    ahead = decision.options["prompt"].expected_usd - decision.options["finetune"].expected_usd
    assert ahead > 500
    more = decision.next_measurement
    assert more is None or (more.worth_usd or 0) <= decision.evpi_usd_per_year


def test_a_difference_beyond_the_floor_still_wins() -> None:
    decision = decide(evidence(360, 388, 0.03), economics(), settings=DRAWS)
    assert decision.leading == "finetune"
    assert not decision.noise["finetune vs prompt"].within_noise


def test_within_noise_what_is_cheaper_otherwise_keeps_its_lead() -> None:
    decision = decide(evidence(360, 368, 0.03), economics(setup_usd=0), settings=DRAWS)
    assert decision.leading in ("prompt", "finetune")
    cheaper = decide(evidence(368, 360, 0.03), economics(), settings=DRAWS)
    assert cheaper.leading == "prompt"
    assert "no win" not in " ".join(cheaper.reasons)


def test_an_a_a_run_changes_the_id_of_the_evidence() -> None:
    plain, known = evidence(360, 368, None), evidence(360, 368, 0.03)
    assert plain.id != known.id
    assert dataclasses.replace(known).id == known.id
