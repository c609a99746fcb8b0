"""A sentence encoder with its weights in eight bits, run by ONNX Runtime: for answering, not for training.

Weights are rounded once, per output channel; what flows between layers is rounded by the range that it has in its batch
("dynamic quantisation"), so that the last digits of a vector depend on the texts beside it.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from tasklift.data.pretrained import Pretrained, bucketed, padded

#: Of the ONNX operators that the graph is written in.
OPSET = 17


class Int8:
    """Token ids to vectors in eight bits; converted when it is made, which takes some seconds.

    Args:
        encoder: with the weights that are to answer; it is not changed.
    """

    def __init__(self, encoder: Pretrained) -> None:
        self._pad = encoder.tokenizer.pad_token_id
        self._dimensions = encoder.dimensions
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a waiting thread takes no CPU time
        self._session = onnxruntime.InferenceSession(_converted(encoder), options, providers=["CPUExecutionProvider"])

    def row_vectors(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Token ids -> [n, dimensions], unit length, in length-bucketed batches."""
        out = np.zeros((len(rows), self._dimensions), dtype=np.float32)
        for batch in bucketed([len(row) for row in rows]):
            ids, mask = padded([rows[i] for i in batch], self._pad)
            (out[batch],) = self._session.run(None, {"ids": ids.numpy(), "mask": mask.numpy()})
        return out


class _Pooled(torch.nn.Module):
    """The encoder as a function of tensors: ids and mask [batch, width] -> unit vectors [batch, dimensions]."""

    def __init__(self, encoder: Pretrained) -> None:
        super().__init__()
        self._encoder = encoder
        self.model = copy.deepcopy(encoder.model)
        self.model.set_attn_implementation("eager")  # type: ignore[operator]  # written out, as ONNX has operators for
        self.eval()

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Unit vectors."""
        return self._encoder.pool(self.model(input_ids=ids, attention_mask=mask).last_hidden_state, mask)


def _converted(encoder: Pretrained) -> bytes:
    """The encoder as an ONNX graph with int8 weights. Seven of the eight bits are used: processors without VNNI add two
    products in 16 bits, which would overflow."""
    ids, mask = padded([[1, 2, 3], [1, 2]], encoder.tokenizer.pad_token_id)
    with tempfile.TemporaryDirectory() as home, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # traced branches of the library, and that a newer exporter is there
        exported, prepared, small = (Path(home) / name for name in ("exported.onnx", "prepared.onnx", "int8.onnx"))
        torch.onnx.export(
            _Pooled(encoder),
            (ids, mask),
            exported,
            input_names=["ids", "mask"],
            output_names=["vectors"],
            dynamic_axes={name: {0: "batch", 1: "width"} for name in ("ids", "mask")} | {"vectors": {0: "batch"}},
            dynamo=False,
            opset_version=OPSET,
        )
        quant_pre_process(str(exported), str(prepared), skip_optimization=True, skip_symbolic_shape=True)
        quantize_dynamic(prepared, small, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)
        return small.read_bytes()
