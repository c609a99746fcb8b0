"""The fine-tuned encoder: gradients of a batch that is computed in parts."""

from __future__ import annotations

import numpy as np
import pytest

from tasklift.weights import MissingWeightsError, locate_minilm

torch = pytest.importorskip("torch", reason="needs the extra [local]")
net_module = pytest.importorskip("tasklift.strategies.net")


def test_gradients_of_parts_add_up_to_those_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        locate_minilm()
    except MissingWeightsError:
        pytest.skip("needs weights")
    torch.manual_seed(0)
    net = net_module.Net(torch.nn.Linear(384, 5))
    rows = net.tokenise(["a word " * n for n in (3, 5, 60, 50, 7, 20)])
    truth = np.array([0, 1, 2, 3, 4, 0])

    def gradients(part_tokens: int) -> torch.Tensor:
        monkeypatch.setattr(net_module, "PART_TOKENS", part_tokens)
        net.zero_grad()
        net.gradients(rows, truth, False)
        return torch.cat([weight.grad.flatten() for weight in net.parameters() if weight.grad is not None])

    whole, parts = gradients(10**6), gradients(150)
    assert whole.abs().max() > 0.01
    assert (whole - parts).abs().max() < 1e-6
