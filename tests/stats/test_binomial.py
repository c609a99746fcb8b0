"""The binomial distribution, beside scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from tasklift.stats import binomial


def test_values_are_those_of_scipy() -> None:
    draw = np.random.default_rng(0)
    n = draw.integers(0, 5000, 5000)
    k = np.floor(n * 1.1 * draw.random(5000) - 1)
    p, q = draw.random(5000), draw.random(5000)
    assert np.abs(binomial.cdf(k, n, p) - binom.cdf(k, n, p)).max() < 1e-10
    assert np.abs(binomial.pmf(k, n, p) - binom.pmf(k, n, p)).max() < 1e-10
    assert (binomial.ppf(q, n, p) == binom.ppf(q, n, p)).all()


@pytest.mark.parametrize("p", [0.0, 1e-9, 0.5, 1.0])
@pytest.mark.parametrize("k", [-1, 0, 2.5, 7, 8])
def test_the_ends(k: float, p: float) -> None:
    assert binomial.cdf(k, 7, p) == pytest.approx(binom.cdf(k, 7, p), abs=1e-12)
    assert binomial.pmf(np.floor(k), 7, p) == pytest.approx(binom.pmf(np.floor(k), 7, p), abs=1e-12)
