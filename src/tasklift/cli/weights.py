"""`tasklift weights pull` and `tasklift weights list`."""

from __future__ import annotations

import sys

from tasklift import registry
from tasklift.cli import show
from tasklift.errors import MissingDependencyError
from tasklift.weights import WEIGHTS, default_home, status
from tasklift.weights import pull as fetch


def pull(name: str | None) -> int:
    """Fetch one set of weights or all, and open the local model once, which converts it."""
    home = default_home()
    for each in [name] if name else list(WEIGHTS):
        fetch(each, home, lambda line: print(line, file=sys.stderr, flush=True))
    try:
        registry.load("model", "local")()
    except MissingDependencyError as error:
        print(f"fetched; to use it: {error}", file=sys.stderr)
    return 0


def list_weights(as_json: bool) -> int:
    """What is there."""
    found = status(default_home())
    if as_json:
        rows = [
            {
                "name": one.weights.name,
                "path": one.path,
                "ready": one.ready,
                "licence": one.weights.licence,
                "source": one.weights.upstream,
            }
            for one in found
        ]
        show.print_json({"weights": rows})
        return 0
    for one in found:
        state = str(one.path) if one.path else f"missing: {one.hint}"
        print(f"{one.weights.name:<24} {one.weights.file_bytes / 1e6:>5.0f} MB  {one.weights.licence:<11} {state}")
    return 0
