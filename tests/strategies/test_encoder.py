"""The fine-tuned encoder: gradients in parts, training that goes wrong, encoders of one's own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasklift.dataset import Dataset, Example
from tasklift.errors import ConfigError, StrategyError
from tasklift.strategies.artifact import read_arrays, read_card
from tasklift.strategies.fitting import load_candidate
from tasklift.strategy import Context
from tasklift.task import Number, Task

torch = pytest.importorskip("torch", reason="needs the extra [local]")
encoder_module = pytest.importorskip("tasklift.strategies.encoder")
net_module = pytest.importorskip("tasklift.strategies.net")
pretrained = pytest.importorskip("tasklift.data.pretrained")
training_module = pytest.importorskip("tasklift.strategies.training")


def schedule(**changes: Any) -> Any:
    plain = {
        "epochs": 2,
        "span": 2,
        "learning_rate": 1e-3,
        "batch_size": 4,
        "half": False,
        "balanced": False,
        "seed": 0,
    }
    return training_module.Schedule(**(plain | changes))


def net_of(tiny_encoder: Path, labels: int = 3) -> Any:
    torch.manual_seed(0)
    return net_module.Net(pretrained.open_pretrained(str(tiny_encoder)), labels)


TEXTS = ["a word " * n for n in (3, 5, 60, 50, 7, 20)]
TRUTH = np.array([0, 1, 2, 0, 1, 0])


def test_gradients_of_parts_add_up_to_those_of_the_batch(tiny_encoder: Path) -> None:
    net = net_of(tiny_encoder)
    rows = net.tokenise(TEXTS)

    def gradients(part_tokens: int) -> torch.Tensor:
        net.zero_grad()
        net.gradients(rows, TRUTH, net_module.Objective("softmax"), False, part_tokens)
        return torch.cat([weight.grad.flatten() for weight in net.parameters() if weight.grad is not None])

    whole, parts = gradients(10**6), gradients(150)
    assert whole.abs().max() > 0.01
    assert (whole - parts).abs().max() < 1e-6


def test_a_loss_that_is_no_number_ends_training_with_the_epoch_before(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, heard = net_of(tiny_encoder), list[str]()
    training = training_module.Training(net, (net.tokenise(TEXTS), TRUTH), schedule(), "softmax", heard.append)
    after: dict[int, Any] = {}
    plain = net_module.Net.gradients

    def broken(self: Any, *args: Any) -> float:
        loss: float = plain(self, *args)
        return float("nan") if after else loss

    monkeypatch.setattr(net_module.Net, "gradients", broken)
    for epoch in training.epochs():
        after[epoch] = net.state()
    assert list(after) == [1]
    assert all(torch.equal(tensor, after[1][name]) for name, tensor in net.state().items())
    assert training.stopped.startswith("the loss of batch 1 of epoch 2 (rows ")
    assert "the state after epoch 1 is kept; a learning_rate below 0.001 may help" in training.stopped
    assert heard == [f"training stopped: {training.stopped}"]


def test_out_of_memory_halves_the_parts_and_says_so(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = net_module.Net.gradients
    asked: list[int] = []

    def small(self: Any, rows: Any, truth: Any, objective: Any, half: bool, part_tokens: int) -> float:
        asked.append(part_tokens)
        if part_tokens > 150:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 123 bytes")
        loss: float = plain(self, rows, truth, objective, half, part_tokens)
        return loss

    def trained(memory: Any, heard: list[str]) -> Any:
        net = net_of(tiny_encoder)
        monkeypatch.setattr(net_module.Net, "gradients", memory)
        training = training_module.Training(
            net, (net.tokenise(TEXTS), TRUTH), schedule(batch_size=6), "softmax", heard.append
        )
        assert list(training.epochs()) == [1, 2]

    heard: list[str] = []
    trained(small, heard)
    assert heard[-1] == f"out of memory: batches are computed in parts of {asked[-1]} tokens from now on"
    assert asked[-1] <= 150

    def none(self: Any, *_: Any) -> float:
        raise MemoryError

    monkeypatch.setattr(net_module.Net, "gradients", none)
    net = net_of(tiny_encoder)
    training = training_module.Training(net, (net.tokenise(TEXTS), TRUTH), schedule(), "softmax", heard.append)
    with pytest.raises(StrategyError, match=r"out of memory on one row of .* tokens"):
        list(training.epochs())


def test_the_contrastive_loss_is_that_of_the_paper() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(5, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    truth, temperature = [0, 0, 1, 0, 2], net_module.CONTRAST_TEMPERATURE
    expected = 0.0
    for i, own in enumerate(truth):  # Khosla et al. 2020, equation 2, term by term
        alike = [j for j, other in enumerate(truth) if other == own and j != i]
        others = [j for j in range(len(truth)) if j != i]
        whole = sum(torch.exp(vectors[i] @ vectors[j] / temperature) for j in others)
        terms = [torch.log(torch.exp(vectors[i] @ vectors[j] / temperature) / whole) for j in alike]
        expected -= float(sum(terms)) / max(len(alike), 1)
    assert float(net_module.contrast(vectors, torch.tensor(truth))) == pytest.approx(expected, rel=1e-5)


def test_contrastive_training_draws_rows_of_a_label_together(tiny_encoder: Path) -> None:
    net = net_of(tiny_encoder)
    texts, truth = [f"{word} {n}" for word in ("red", "blue", "green") for n in range(6)], np.repeat([0, 1, 2], 6)
    rows = net.tokenise(texts)

    def apart() -> float:
        vectors = net.row_vectors(rows)
        similar = vectors @ vectors.T
        same = truth[:, None] == truth[None, :]
        return float(similar[same].mean() - similar[~same].mean())

    before = apart()
    plan = schedule(contrastive=1.0, epochs=4, span=4, batch_size=8)
    for _ in training_module.Training(net, (rows, truth), plan, "softmax", lambda line: None).epochs():
        pass
    assert apart() > before + 0.05


def test_rows_come_in_pairs_of_a_label_and_each_once() -> None:
    truth = np.array([0] * 5 + [1] * 4 + [2])
    batches = list(training_module._shuffled_pairs(truth, 4, np.random.default_rng(0)))
    assert sorted(np.concatenate(batches).tolist()) == list(range(10))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    together = sum(len(truth[batch]) - len(set(truth[batch])) for batch in batches)
    assert together >= 3  # of the four pairs that there are


def test_contrastive_is_for_one_label(tiny_encoder: Path) -> None:
    with pytest.raises(StrategyError, match=r"contrastive=1.5 must lie between 0 and 1"):
        encoder_module.Encoder(contrastive=1.5)
    assert "contrastive" not in encoder_module.Encoder().parameters()  # older artifacts keep their fingerprints
    strategy = encoder_module.Encoder(contrastive=0.5, base_model=str(tiny_encoder))
    assert strategy.parameters()["contrastive"] == 0.5
    rows = Dataset(tuple(Example(str(n), {"text": f"row {n}"}, float(n)) for n in range(9)))
    with pytest.raises(StrategyError, match="contrastive is for one label"):
        strategy.fit(Task(name="score", instruction="How much?", output=Number(kind="number")), rows)


def test_balanced_weights_make_every_label_count_the_same() -> None:
    weights = training_module.balance(np.array([0, 0, 0, 2]), 4)
    assert weights[[0, 2]].tolist() == pytest.approx([4 / 6, 2.0])
    assert 3 * weights[0] == pytest.approx(1 * weights[2])


@pytest.mark.parametrize("folds", [1, 3])
def test_an_encoder_of_a_folder_answers_from_its_artifact_alone(
    tiny_encoder: Path, colours: Task, colour_rows: Dataset, tmp_path: Path, folds: int
) -> None:
    strategy = encoder_module.Encoder(
        base_model=str(tiny_encoder), folds=folds, max_epochs=2, learning_rate=5e-3, batch_size=8
    )
    candidate = strategy.fit(colours, colour_rows)
    candidate.save(tmp_path / "saved")
    again = load_candidate(tmp_path / "saved")
    inputs = colour_rows.inputs[::7]
    answers = asyncio.run(again.predict(inputs, Context()))
    assert [p.scores for p in answers] == [p.scores for p in asyncio.run(candidate.predict(inputs, Context()))]
    assert len(read_card(tmp_path / "saved").notes["validation_history"]) == 3
    assert read_arrays(tmp_path / "saved")["head.weight"].shape == (3, 32)
    assert tiny_encoder.name in strategy.base()


def test_folders_without_an_encoder_and_unknown_names_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"no encoder can be read there .*; it needs config.json, tokenizer.json and"):
        pretrained.open_pretrained(str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = "the encoder 'nobody/nothing' is neither a folder nor in the cache of the hub, and cannot be fetched"
    with pytest.raises(ConfigError, match=said):
        pretrained.open_pretrained("nobody/nothing")
