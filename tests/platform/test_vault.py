from __future__ import annotations

import json
import pickle

import pytest
import sqlalchemy as sa

from tasklift.errors import ConfigError
from tasklift_platform.database import Database
from tasklift_platform.errors import SecretError
from tasklift_platform.tables import secrets
from tasklift_platform.vault import Secret, SecretStore, Vault, new_secret_key

OLD, NEW = new_secret_key(), new_secret_key()
TOKEN = Secret("hunter2-ü")


def test_a_secret_opens_under_its_name_only() -> None:
    vault = Vault(OLD)
    sealed = vault.seal("telegram", TOKEN)
    assert vault.open("telegram", sealed) == TOKEN
    assert sealed != vault.seal("telegram", TOKEN)  # equal secrets cannot be told to be equal
    with pytest.raises(SecretError, match="under another name"):
        vault.open("email", sealed)


@pytest.mark.parametrize("change", ["flip", "cut", "no base64", "version"])
def test_a_sealed_text_that_was_changed_does_not_open(change: str) -> None:
    vault = Vault(OLD)
    sealed = vault.seal("x", TOKEN)
    changed = {
        "flip": sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:],
        "cut": sealed[:-8],
        "no base64": sealed[:-3] + "!!!",
        "version": "v9" + sealed[2:],
    }[change]
    with pytest.raises(SecretError):
        vault.open("x", changed)


def test_a_secret_shows_itself_nowhere() -> None:
    for shown in (repr(TOKEN), str(TOKEN), f"{TOKEN}", repr([TOKEN]), repr(Vault(OLD))):
        assert "hunter2" not in shown
        assert OLD not in shown
    with pytest.raises(TypeError):
        json.dumps(TOKEN)
    with pytest.raises(SecretError):
        pickle.dumps(TOKEN)


@pytest.mark.parametrize("template", ["", "short", "{key},", "ü" * 44])
def test_a_key_that_is_none_is_refused_without_being_repeated(template: str) -> None:
    keys = template.format(key=OLD)
    with pytest.raises(ConfigError, match="32 bytes") as caught:
        Vault(keys)
    assert OLD not in str(caught.value)


async def test_secrets_are_kept_sealed(database: Database) -> None:
    store = SecretStore(database, Vault(OLD))
    await store.put("telegram", Secret("first"))
    await store.put("telegram", TOKEN)
    assert await store.get("telegram") == TOKEN
    assert await store.get("absent") is None
    assert await store.names() == ["telegram"]
    async with database.read() as connection:
        assert "hunter2" not in str((await connection.execute(sa.select(secrets))).all())
    assert await store.delete("telegram")
    assert not await store.delete("telegram")


async def test_the_key_is_changed_without_losing_a_secret(database: Database) -> None:
    await SecretStore(database, Vault(OLD)).put("a", TOKEN)
    with pytest.raises(SecretError, match=f"sealed with key {Vault(OLD).key_id}: add that key"):
        await SecretStore(database, Vault(NEW)).get("a")
    assert await SecretStore(database, Vault(NEW)).reseal() == 1
    both = SecretStore(database, Vault(f"{NEW}, {OLD}"))
    assert await both.get("a") == TOKEN
    assert await both.reseal() == 0
    assert await SecretStore(database, Vault(NEW)).get("a") == TOKEN
