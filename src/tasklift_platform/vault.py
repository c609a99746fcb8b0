"""Secrets at rest: sealed with AES-256-GCM under a key that is not in the database.

The application reads TASKLIFT_SECRET_KEY and hands it over: one key, or several separated by commas, the first of
which seals. To change it, put a new key in front, `reseal`, and drop the old one when that says 0 are left.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from typing import Final

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.dialects.postgresql import insert as insert_postgres
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from tasklift.errors import ConfigError
from tasklift_platform.database import Database, now_s
from tasklift_platform.errors import SecretError
from tasklift_platform.tables import secrets

_VERSION: Final = "v1"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class Secret:
    """A text that shows itself only when asked: not in `repr`, `str`, logs, JSON or pickles."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        raise SecretError("a secret is not pickled")


def new_secret_key() -> str:
    """A fresh key, for TASKLIFT_SECRET_KEY."""
    return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode()


class Vault:
    """Seals and opens texts.

    Args:
        keys: as in TASKLIFT_SECRET_KEY.

    Raises:
        ConfigError: no key, or not one that `new_secret_key` could have made.
    """

    def __init__(self, keys: str) -> None:
        raw = [_raw_key(number, text.strip()) for number, text in enumerate(keys.split(","), start=1)]
        self._ciphers = {_key_id(key): AESGCM(key) for key in raw}
        self.key_id = _key_id(raw[0])

    def seal(self, name: str, secret: Secret) -> str:
        """`secret` as text that may lie anywhere: `v1.<key id>.<nonce and ciphertext>`. It opens under `name` only."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self.key_id].encrypt(nonce, secret.reveal().encode(), _context(name))
        return f"{_VERSION}.{self.key_id}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, name: str, sealed: str) -> Secret:
        """What was sealed under `name`.

        Raises:
            SecretError: its key is not among ours, or it was changed or belongs to another name.
        """
        version, _, rest = sealed.partition(".")
        key_id, _, body = rest.partition(".")
        if version != _VERSION:
            raise SecretError(f"the secret {name!r} is damaged, or was sealed by a newer version")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SecretError(f"the secret {name!r} was sealed with key {key_id}: add that key to TASKLIFT_SECRET_KEY")
        try:
            raw = base64.b64decode(body, altchars=b"-_", validate=True)
            text = cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _context(name))
        except (InvalidTag, binascii.Error, ValueError):
            raise SecretError(f"the secret {name!r} was changed, or was sealed under another name") from None
        return Secret(text.decode())

    def __repr__(self) -> str:
        return f"Vault(key_id={self.key_id!r})"


class SecretStore:
    """Named secrets in a database."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    async def put(self, name: str, secret: Secret) -> None:
        """Keep `secret` under `name`, in place of what was there."""
        insert = insert_sqlite if self._database.is_sqlite else insert_postgres
        values = {"key_id": self._vault.key_id, "sealed": self._vault.seal(name, secret), "updated_at": now_s()}
        kept = insert(secrets).values(name=name, **values)
        async with self._database.write() as connection:
            await connection.execute(kept.on_conflict_do_update(index_elements=["name"], set_=values))

    async def get(self, name: str) -> Secret | None:
        """What is kept under `name`.

        Raises:
            SecretError: it cannot be opened.
        """
        async with self._database.read() as connection:
            found = (await connection.execute(sa.select(secrets.c.sealed).where(secrets.c.name == name))).scalar()
        return None if found is None else self._vault.open(name, found)

    async def names(self) -> list[str]:
        """Of all that are kept."""
        async with self._database.read() as connection:
            return list((await connection.execute(sa.select(secrets.c.name).order_by(secrets.c.name))).scalars())

    async def delete(self, name: str) -> bool:
        """Forget one; False where there was none."""
        async with self._database.write() as connection:
            return bool((await connection.execute(sa.delete(secrets).where(secrets.c.name == name))).rowcount)

    async def reseal(self) -> int:
        """Seal everything with the first key; may be stopped and called again.

        Returns:
            how many are still under another key, because their key is not among ours: 0 before a key is dropped.
        """
        async with self._database.read() as connection:
            others = sa.select(secrets.c.name, secrets.c.sealed).where(secrets.c.key_id != self._vault.key_id)
            rows = (await connection.execute(others)).all()
        left = 0
        for name, sealed in rows:
            try:
                secret = self._vault.open(name, sealed)
            except SecretError:
                left += 1
                continue
            values = {"key_id": self._vault.key_id, "sealed": self._vault.seal(name, secret), "updated_at": now_s()}
            unchanged = sa.update(secrets).where(secrets.c.name == name, secrets.c.sealed == sealed)
            async with self._database.write() as connection:
                await connection.execute(unchanged.values(values))
        return left


def _raw_key(number: int, text: str) -> bytes:
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise ConfigError(
            f"secret key {number} is not {_KEY_BYTES} bytes in base64; make one with "
            "`python -c 'from tasklift_platform.vault import new_secret_key; print(new_secret_key())'`"
        )
    return raw


def _key_id(key: bytes) -> str:
    """Names a key without giving it away."""
    return hashlib.sha256(b"tasklift key id\0" + key).hexdigest()[:8]


def _context(name: str) -> bytes:
    return f"tasklift secret\0{name}".encode()
