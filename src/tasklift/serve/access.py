"""Who may do what: the key of a request and the scope of what it asks for."""

from __future__ import annotations

from dataclasses import dataclass

from tasklift_platform.keys import ApiKey, KeyRing

#: `predict` and `predict:TASK` answer; `feedback` judges; `review` answers reviews; `operate` reads metrics;
#: `people` erases and exports.
SCOPES = ("predict", "feedback", "review", "operate", "people")
_ANYBODY = ApiKey("", "anybody", frozenset({"*"}))


@dataclass(frozen=True, slots=True)
class Access:
    """Checks keys; without a ring everybody may do everything (`tasklift serve --open`, on this machine only)."""

    keys: KeyRing | None

    async def check(self, presented: str | None) -> ApiKey:
        """The key of the caller, whatever it may do: ask `require` of it.

        Raises:
            InvalidKeyError, RateExceededError: it is not good, or used too often.
            DatabaseError: this cannot be known at the moment.
        """
        return _ANYBODY if self.keys is None else await self.keys.check(presented)
