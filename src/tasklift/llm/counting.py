"""A model that is never there: it counts what it would have been asked. For prices before any call."""

from __future__ import annotations

from tasklift.llm.model import Reply, Request


class CountingModel:
    """Stands in for a hosted model and answers with the first label, at no cost.

    Args:
        name: of the model that it stands for.

    Attributes:
        requests: every request so far.
    """

    remote = True
    data_leaves_machine = True
    deterministic = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.snapshot = f"counting:{name}"
        self.requests: list[Request] = []

    async def complete(self, request: Request) -> Reply:
        """Note the request."""
        self.requests.append(request)
        return Reply(request.labels[0] if request.labels else "none")

    async def aclose(self) -> None:
        """Nothing to release."""
