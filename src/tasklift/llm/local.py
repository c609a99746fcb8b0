"""The local model: SmolLM2-135M-Instruct in this process, scoring every allowed label exactly.

The score of a label is the log-probability of its whole text and of the end token after it, so a
label that is the beginning of another one is neither favoured nor punished. One forward pass does
all labels: their tokens form a tree, and a mask lets each node see the prompt and its own ancestors
only. The part of the prompt before the last message (instruction, definitions, fixed examples) is
computed once and kept, so a row costs its own tokens and the tree.

Where the prompt is cut depends on the request alone, never on what was asked before. Matrix products
of another shape differ in their last bits, so a cut at the longest prefix shared with earlier
requests would make answers depend on their order.

Each request takes one processor thread, and as many are under way as there are free cores. Two threads
share one small matrix product badly (1.4 times the speed of one, measured), two products side by side
take two cores wholly; and a score does not depend on how many cores there are.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer
from torch import Tensor

from tasklift.errors import ArtifactError, ContextOverflowError, RequestRefusedError
from tasklift.llm.convert import convert
from tasklift.llm.cores import free_cores
from tasklift.llm.decoder import Decoder, State
from tasklift.llm.model import Message, Model, Reply, Request
from tasklift.prediction import Usage
from tasklift.weights import MARKER, SMOLLM2, WEIGHTS, default_home, locate
from tasklift.worker import on_worker

#: Tokens that prompt and answer may take together: what the model was trained on.
CONTEXT_TOKENS = 2048
#: Part of the snapshot; raised when scores change for equal weights.
SCORING_VERSION = 1
#: Tokens whose keys and values are kept for later rows; 46 kB each in float32.
CACHED_TOKENS = 4096
_DEFAULT_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

Dtype = Literal["float32", "bfloat16"]


class LocalModel:
    """A small Llama model on this machine's processor. Weights are loaded by the first request.

    Args:
        folder: a Hugging Face folder that `tasklift.llm.convert` made, or another one of the same layout
            and chat format, such as a fine-tuned copy; None: SmolLM2 from the default cache.
        generator: answers requests without labels; None: such requests are refused.
        threads: requests under way at once, a processor thread each; None: the cores that are free when
            the weights are loaded.
        dtype: of the products with weights. bfloat16 takes 0.6 of the time where the processor has it, but
            with 77 labels and no examples it chose another label in 11 of 100 rows.
        reuse_prefix: keep what was computed for the shared beginning of prompts. Off, every prompt is
            computed whole, which is only good for measuring the difference.

    Raises:
        MissingWeightsError: no folder is given and the cache holds no weights.
        ArtifactError: the folder is incomplete.
    """

    name = "local"
    remote = False
    data_leaves_machine = False
    deterministic = True

    def __init__(
        self,
        folder: Path | None = None,
        *,
        generator: Model | None = None,
        threads: int | None = None,
        dtype: Dtype = "float32",
        reuse_prefix: bool = True,
    ) -> None:
        self._folder = folder or prepare(default_home())
        for file in ("config.json", "tokenizer.json", "model.safetensors"):
            if not (self._folder / file).is_file():
                raise ArtifactError(f"{self._folder} has no {file}; delete the folder and run `tasklift weights pull`")
        self._generator = generator
        self._threads = threads
        self._dtype: Dtype = dtype
        self._reuse_prefix = reuse_prefix
        self._loaded: _Loaded | None = None
        self.snapshot = f"{_weights_id(self._folder)}+{dtype}+labels{SCORING_VERSION}"

    async def complete(self, request: Request) -> Reply:
        """Score the labels of `request`, or let the generator write free text.

        Raises:
            RequestRefusedError: the prompt is too long, or free text is asked and there is no generator.
        """
        if request.tools:
            raise RequestRefusedError("the local model is too small to choose tools; take a hosted one")
        if request.labels:
            loaded = (await on_worker(self._load)).value  # apart, so that it is not counted as the first row's time
            scores = await asyncio.get_running_loop().run_in_executor(loaded.pool, loaded.score, request)
            best = max(scores.log_probs, key=scores.log_probs.__getitem__)  # a tie goes to the first label
            usage = Usage(1, scores.tokens, scores.cached, 0, scores.cpu_s)
            return Reply(best, scores.log_probs, usage, scores.wall_s)
        if self._generator is None:
            raise RequestRefusedError(
                "this model was opened for labels only; free text needs a generator: "
                "LocalModel(generator=LlamaCppModel()), or the model `llama_cpp`"
            )
        return await self._generator.complete(request)

    async def aclose(self) -> None:
        """Drop weights and kept prefixes; a later request loads them again."""
        await on_worker(self._drop)
        if self._generator is not None:
            await self._generator.aclose()

    def _load(self) -> _Loaded:
        if self._loaded is None:
            decoder = Decoder(self._folder, getattr(torch, self._dtype), CONTEXT_TOKENS)
            threads = self._threads or free_cores()
            self._loaded = _Loaded(decoder, _Chat(self._folder), self._reuse_prefix, threads)
        return self._loaded

    def _drop(self) -> None:
        if self._loaded is not None:
            self._loaded.pool.shutdown(wait=False)
            self._loaded = None


def prepare(home: Path, report: Callable[[str], None] | None = None) -> Path:
    """The folder of SmolLM2 below `home`, converted from the fetched file if that has not happened yet.

    Raises:
        MissingWeightsError: the weights have not been fetched.
        DownloadError: the fetched file is damaged.
    """
    weights = WEIGHTS[SMOLLM2]
    return convert(locate(SMOLLM2, home), home / SMOLLM2, sha256=weights.file_sha256, report=report)


def _weights_id(folder: Path) -> str:
    """Name and hash prefix of the weights: of the file they were converted from, else of the tensors."""
    try:
        sha256 = json.loads((folder / MARKER).read_text(encoding="utf-8"))["source_sha256"]
    except (OSError, ValueError, KeyError):
        with (folder / "model.safetensors").open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{folder.name}@{sha256[:12]}"


@dataclass(frozen=True, slots=True)
class Scores:
    """What one request gave.

    Attributes:
        log_probs: natural log-probability of each label.
        tokens: tokens of the prompt.
        cached: how many of them were not computed again.
        wall_s: seconds on the thread, queueing excluded.
        cpu_s: CPU seconds of the thread.
    """

    log_probs: dict[str, float]
    tokens: int
    cached: int
    wall_s: float = 0.0
    cpu_s: float = 0.0


class _Loaded:
    """Weights in memory, and threads that score with them: each keeps prefixes of its own."""

    def __init__(self, decoder: Decoder, chat: _Chat, reuse_prefix: bool, threads: int) -> None:
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="tasklift-local", initializer=_take_one_core)
        self._decoder, self._chat, self._reuse_prefix = decoder, chat, reuse_prefix
        self._own = threading.local()

    def score(self, request: Request) -> Scores:
        """Score on the calling thread of the pool, and say what it took."""
        if not hasattr(self._own, "scorer"):
            self._own.scorer = _Scorer(self._decoder, self._chat, self._reuse_prefix)
        wall, cpu = time.perf_counter(), time.thread_time()
        with torch.inference_mode():
            scores: Scores = self._own.scorer.score(request)
        return replace(scores, wall_s=time.perf_counter() - wall, cpu_s=time.thread_time() - cpu)


def _take_one_core() -> None:
    """Keep matrix products of the calling thread on it. `torch.set_num_threads` would bind every thread
    that is started later, too."""
    torch.get_num_threads()  # sets the thread up; later, this would undo the limit
    threadpool_limits(1, user_api="openmp")


class _Scorer:
    """Prompt and labels in, log-probabilities out. Used by one thread only."""

    def __init__(self, decoder: Decoder, chat: _Chat, reuse_prefix: bool) -> None:
        self._decoder = decoder
        self._chat = chat
        self._prefixes = _Prefixes(CACHED_TOKENS if reuse_prefix else 0)
        self._reuse_prefix = reuse_prefix
        self._tree = lru_cache(maxsize=16)(self._chat.tree)

    def score(self, request: Request) -> Scores:
        """Score every label of `request`.

        Raises:
            ContextOverflowError: prompt and label are longer than the model's context.
        """
        tree = self._tree(request.labels)
        prompt, cuts = self._chat.prompt(request.messages)
        if len(prompt) + tree.depth > CONTEXT_TOKENS:
            raise ContextOverflowError(
                f"the prompt has {len(prompt)} tokens and the longest label {tree.depth}, more than the "
                f"{CONTEXT_TOKENS} of the local model; "
                "use fewer examples, shorter definitions or a shorter text",
                len(prompt) + tree.depth,
                CONTEXT_TOKENS,
            )
        start, cached, state = self._prefix(prompt, cuts if self._reuse_prefix else ())
        hidden = self._rest(prompt[start:], start, state, tree)
        log_probs = self._decoder.token_log_probs(hidden, tree.sources, tree.targets).double()
        sums = [float(log_probs[list(path)].sum()) for path in tree.paths]
        return Scores(dict(zip(request.labels, sums, strict=True)), len(prompt), cached)

    def _prefix(self, prompt: Sequence[int], cuts: Sequence[int]) -> tuple[int, int, State | None]:
        """Compute `prompt` up to its last cut, as far as that is not kept from earlier.

        Returns:
            tokens up to the last cut, how many of them were kept, and their state.
        """
        cached, state = 0, None
        for cut in reversed(cuts):
            state = self._prefixes.get(prompt[:cut])
            if state is not None:
                cached = cut
                break
        start = cached
        for cut in cuts:
            if cut > start:
                mask = _causal(start, cut - start)
                _, state = self._decoder(prompt[start:cut], range(start, cut), mask, state)
                self._prefixes.put(prompt[:cut], state)
                start = cut
        return start, cached, state

    def _rest(self, tokens: Sequence[int], start: int, state: State | None, tree: _Tree) -> Tensor:
        """One pass over the prompt's last tokens and the tree.

        Returns:
            (1 + nodes, hidden): the prompt's end, then each node.
        """
        count, nodes = len(tokens), len(tree.tokens)
        mask = torch.full((count + nodes, start + count + nodes), -math.inf)
        mask[:count, : start + count] = _causal(start, count)
        mask[count:, : start + count] = 0.0
        mask[count:, start + count :] = tree.mask
        positions = [*range(start, start + count), *(start + count + depth for depth in tree.depths)]
        hidden, _ = self._decoder([*tokens, *tree.tokens], positions, mask, state)
        return hidden[count - 1 :]


def _causal(past: int, count: int) -> Tensor:
    """Additive mask (count, past + count): each token sees everything before it and itself."""
    return torch.full((count, past + count), -math.inf).triu(past + 1)


class _Prefixes:
    """Keys and values of prompt beginnings, the least recently used dropped first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._states: OrderedDict[tuple[int, ...], State] = OrderedDict()

    def get(self, tokens: Sequence[int]) -> State | None:
        key = tuple(tokens)
        state = self._states.get(key)
        if state is not None:
            self._states.move_to_end(key)
        return state

    def put(self, tokens: Sequence[int], state: State) -> None:
        self._states[tuple(tokens)] = state
        while len(self._states) > 1 and sum(map(len, self._states)) > self._limit:
            self._states.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Tree:
    """The labels' tokens as a tree below the prompt's last token.

    Attributes:
        tokens: of each node, parents before children.
        depths: 0 for the nodes right after the prompt.
        mask: additive (nodes, nodes): each node sees its ancestors and itself.
        sources: of each edge, the row of the logits that predicts it: 0 is the prompt's end.
        targets: of each edge, the token that it predicts.
        paths: of each label, its edges from the prompt to the end token.
    """

    tokens: tuple[int, ...]
    depths: tuple[int, ...]
    mask: Tensor
    sources: Tensor
    targets: Tensor
    paths: tuple[tuple[int, ...], ...]

    @property
    def depth(self) -> int:
        """Tokens of the longest label."""
        return max(self.depths, default=-1) + 1


def _tree(labels: Sequence[Sequence[int]], end: int) -> _Tree:
    """Merge the common beginnings of `labels` (token ids); every label is followed by `end`."""
    edges: dict[tuple[int, int], int] = {}  # (row of the logits, token) -> edge
    nodes: dict[tuple[int, int], int] = {}  # (row of the parent, token) -> row of this node
    paths = []
    for label in labels:
        row, path = 0, []
        for token in label:
            path.append(edges.setdefault((row, token), len(edges)))
            row = nodes.setdefault((row, token), len(nodes) + 1)
        path.append(edges.setdefault((row, end), len(edges)))
        paths.append(tuple(path))
    mask = torch.full((len(nodes), len(nodes)), -math.inf)
    depths: list[int] = []
    for index, (parent, _) in enumerate(nodes):
        depths.append(depths[parent - 1] + 1 if parent else 0)
        if parent:
            mask[index] = mask[parent - 1]
        mask[index, index] = 0.0
    sources = torch.tensor([row for row, _ in edges])
    targets = torch.tensor([token for _, token in edges])
    return _Tree(tuple(token for _, token in nodes), tuple(depths), mask, sources, targets, tuple(paths))


class _Chat:
    """Messages and labels as token ids, in the chat format of SmolLM2."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # Control tokens inside a text stay text: a message must not be able to open another one.
        self._tokenizer.encode_special_tokens = True
        self._start = self._control("<|im_start|>")
        self._end = self._control("<|im_end|>")

    def tree(self, labels: tuple[str, ...]) -> _Tree:
        """The token tree of `labels`."""
        return _tree([self._encode(label) for label in labels], self._end)

    def prompt(self, messages: Sequence[Message]) -> tuple[list[int], tuple[int, ...]]:
        """Token ids up to where the answer begins, and the places where the prompt may be cut.

        The cuts are after the system message and after the header of the last message.
        """
        if not messages or messages[0].role != "system":
            messages = (Message("system", _DEFAULT_SYSTEM), *messages)
        tokens: list[int] = []
        cuts = []
        for index, message in enumerate(messages):
            header = self._encode(f"{message.role}\n")
            body = self._encode(f"{message.role}\n{message.content}")
            if index and index == len(messages) - 1:
                # Where the content begins with white space, it may share a token with the header.
                cuts.append(len(tokens) + 1 + (len(header) if body[: len(header)] == header else 0))
            elif index == 1:
                cuts.append(len(tokens))
            tokens += [self._start, *body, self._end, *self._encode("\n")]
        return [*tokens, self._start, *self._encode("assistant\n")], tuple(cuts)

    def _control(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise ArtifactError(f"the tokenizer has no {token}; only models with the chat format of SmolLM2 work here")
        return found

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids
