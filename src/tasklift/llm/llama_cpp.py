"""The local model through llama.cpp: free text, JSON that obeys a schema, and labels where PyTorch is absent.

llama.cpp reads a prompt slower than PyTorch and gives no log-probabilities of a prompt, but writes four
times as fast and needs 48 MB instead of 1 GB installed. With labels it takes the likeliest next token
that the grammar allows, which is not always the likeliest label: `LocalModel` scores whole labels.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xllamacpp

from tasklift.errors import ContextOverflowError, InvalidOutputError, RequestRefusedError, ServerError
from tasklift.llm.cores import free_cores
from tasklift.llm.gbnf import label_grammar, schema_grammar
from tasklift.llm.model import Message, Reply, Request
from tasklift.prediction import Usage
from tasklift.weights import SMOLLM2, WEIGHTS, default_home, locate
from tasklift.worker import on_worker

#: Tokens that prompt and answer may take together: what the model was trained on.
CONTEXT_TOKENS = 2048
_QUIET = -1


class LlamaCppModel:
    """A GGUF model in this process. The weights are loaded by the first request.

    Args:
        gguf_file: the weights; None: SmolLM2 from the default cache.
        threads: processor threads; None: the cores that are free when the weights are loaded.
        reuse_prefix: keep the shared beginning of prompts from one request to the next. Faster, but
            llama.cpp then computes in other portions, and a near tie may fall differently each time.

    Raises:
        MissingWeightsError: no file is given and the cache holds no weights.
    """

    name = "llama_cpp"
    remote = False
    data_leaves_machine = False

    def __init__(
        self, gguf_file: Path | None = None, *, threads: int | None = None, reuse_prefix: bool = False
    ) -> None:
        self._file = gguf_file or locate(SMOLLM2, default_home())
        self._threads = threads
        self._server: Any = None
        self._reuse_prefix = reuse_prefix
        self.deterministic = not reuse_prefix
        self.snapshot = f"{self._file.name}@{_checksum(gguf_file)[:12]}+xllamacpp-{xllamacpp.__version__}"

    async def complete(self, request: Request) -> Reply:
        """Write free text, JSON that obeys the schema, or one of the labels.

        Raises:
            RequestRefusedError: the prompt is too long, or llama.cpp refuses the request.
            InvalidOutputError: the answer was cut before a whole label.
            ServerError: llama.cpp failed.
        """
        if request.tools:
            raise RequestRefusedError("this model takes no tools; take a hosted one")
        await on_worker(self._start)  # apart, so that loading is not counted as the first row's time
        done = await on_worker(self._ask, request)
        text, usage = _read(done.value)
        if request.labels and text not in request.labels:
            raise InvalidOutputError(f"llama.cpp answered {text[:80]!r}, which is not one of the labels")
        counted = Usage(1, usage["prompt_tokens"], _cached(usage), usage["completion_tokens"], done.cpu_s)
        return Reply(text, None, counted, done.wall_s)

    async def aclose(self) -> None:
        """Drop the weights; a later request loads them again."""
        await on_worker(self._stop)

    def _start(self) -> Any:
        if self._server is None:
            threads = self._threads or free_cores()
            options = xllamacpp.CommonParams()
            options.model.path = str(self._file)
            options.n_ctx = CONTEXT_TOKENS
            options.n_parallel = 1
            options.cpuparams.n_threads = options.cpuparams_batch.n_threads = threads
            options.verbosity = _QUIET
            options.warmup = options.ui = options.endpoint_slots = False
            # The server also listens on a local port; nobody knows this key, so only this process is served.
            options.api_keys = [secrets.token_urlsafe(32)]
            self._server = xllamacpp.Server(options)
        return self._server

    def _stop(self) -> None:
        self._server = None

    def _ask(self, request: Request) -> Mapping[str, Any]:
        body: dict[str, Any] = {
            "messages": [{"role": message.role, "content": _plain(message)} for message in request.messages],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed,
            "cache_prompt": self._reuse_prefix,
        }
        if request.labels:
            # The grammar ends the answer. The bound only has to be large enough: a token is a byte or more.
            longest = max(len(label.encode()) for label in request.labels)
            body |= {"grammar": label_grammar(request.labels), "max_tokens": longest + 1}
        elif request.schema:
            schema = json.loads(request.schema)
            ours = schema_grammar(schema)
            body |= {"json_schema": schema} if ours is None else {"grammar": ours}
        answer: Mapping[str, Any] = self._start().handle_chat_completions(body)
        return answer


def _plain(message: Message) -> str:
    """The text with control tokens broken up: llama.cpp would obey them, and a message could open another."""
    return message.content.replace("<|", "< |")


def _read(answer: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    error = answer.get("error")
    if error:
        if error.get("type") == "exceed_context_size_error":
            raise ContextOverflowError(
                f"the prompt has {error.get('n_prompt_tokens')} tokens, more than the {CONTEXT_TOKENS} of "
                "the local model; use fewer examples, shorter definitions or a shorter text",
                int(error.get("n_prompt_tokens") or 0),
                CONTEXT_TOKENS,
            )
        refused = 400 <= int(error.get("code", 500)) < 500
        raise (RequestRefusedError if refused else ServerError)(f"llama.cpp: {error.get('message')}")
    return str(answer["choices"][0]["message"]["content"] or ""), answer["usage"]


def _cached(usage: Mapping[str, Any]) -> int:
    return int((usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0))


def _checksum(gguf_file: Path | None) -> str:
    if gguf_file is None:
        return WEIGHTS[SMOLLM2].file_sha256
    with gguf_file.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
