"""The real small model, as llama.cpp runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tasklift.errors import MissingDependencyError
from tasklift.llm.model import Model
from tasklift.weights import SMOLLM2, default_home, locate


@pytest.fixture
async def llama() -> AsyncIterator[Model]:
    """Opened afresh, on one thread."""
    llama_cpp = pytest.importorskip("tasklift.llm.llama_cpp", reason="needs the extra [local]")
    try:
        path = locate(SMOLLM2, default_home())
    except MissingDependencyError as error:
        pytest.skip(str(error))
    opened = llama_cpp.LlamaCppModel(path, threads=1)
    yield opened
    await opened.aclose()
