from __future__ import annotations

import dataclasses

import pytest

from sub2api.settings import Key, Settings, all_keys

KEYS = list(all_keys())


def test_paths_and_environment_names_are_unique() -> None:
    assert len({key.path for key in KEYS}) == len(KEYS)
    names = [key.env for key in KEYS] + [f"{key.env}_FILE" for key in KEYS if key.secret]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_every_key_has_a_help_and_defaults_that_keep_its_rule(key: Key) -> None:
    assert key.help.endswith(".")
    for default in (key.default, *key.presets.values()):
        if default != "" and not key.shown:
            assert key.kind.read(default) == default


def test_the_environment_name_follows_from_the_path() -> None:
    names = {key.path: key.env for key in KEYS}
    assert names["server.port"] == "SERVER_PORT"
    assert names["database.url"] == "DATABASE_URL"
    assert names["totp.encryption_key"] == "TOTP_ENCRYPTION_KEY"
    assert names["security.url_allowlist.enabled"] == "SECURITY_URL_ALLOWLIST_ENABLED"


def test_what_opens_doors_is_secret() -> None:
    secret = {key.path for key in KEYS if key.secret}
    assert secret == {
        "database.url",
        "database.password",
        "redis.url",
        "redis.password",
        "server.metrics_token",
        "totp.encryption_key",
        "update.proxy_url",
    }


def test_secrets_are_not_shown_by_repr() -> None:
    settings = Settings()
    settings = dataclasses.replace(
        settings,
        totp=dataclasses.replace(settings.totp, encryption_key="hunter2"),
        database=dataclasses.replace(settings.database, url="hunter2", password="hunter2"),
        redis=dataclasses.replace(settings.redis, url="hunter2", password="hunter2"),
    )
    assert "hunter2" not in repr(settings)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().server.port = 1  # type: ignore[misc]  # that is the point
