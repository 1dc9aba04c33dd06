from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from sub2api.errors import SettingsError
from sub2api.settings import Settings, load

SIMPLE = {"RUN_MODE": "simple"}


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory and a user without any configuration."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(platformdirs, "user_data_dir", lambda *_, **__: str(tmp_path / "user"))
    return here


def _file(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "config.yaml"
    file.write_text(text)
    return file


def _refusal(**options: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load(**({"environ": SIMPLE} | options))
    return str(caught.value)


def test_simple_mode_has_its_own_defaults(tmp_path: Path) -> None:
    settings = load(environ=SIMPLE)
    assert settings.run_mode == "simple"
    assert settings.data_dir == tmp_path / "user"
    assert settings.database.url == f"sqlite:///{tmp_path}/user/sub2api.db"
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert settings.gateway.disconnect == "cancel"
    assert settings.security.url_allowlist.allow_loopback
    assert not settings.charge_users
    assert settings.timezone == "UTC"
    assert settings.config_file is None


def test_full_mode_has_its_own_defaults() -> None:
    settings = load(environ={"RUN_MODE": "full"})
    assert settings.server.host == "0.0.0.0"
    assert settings.gateway.disconnect == "drain"
    assert not settings.security.url_allowlist.allow_loopback
    assert settings.charge_users
    assert settings.database.url == ("postgresql://postgres@localhost:5432/sub2api?sslmode=disable")


def test_a_postgres_url_is_made_of_its_parts() -> None:
    environ = {
        "DATABASE_HOST": "db",
        "DATABASE_USER": "me@home",
        "DATABASE_PASSWORD": "p/w?#",
        "DATABASE_SSLMODE": "require",
    }
    assert load(environ=environ).database.url == (
        "postgresql://me%40home:p%2Fw%3F%23@db:5432/sub2api?sslmode=require"
    )


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("::1", "postgresql://postgres@[::1]:5432/sub2api?sslmode=disable"),
        (
            "/run/postgresql",
            "postgresql://postgres@/sub2api?sslmode=disable&host=/run/postgresql&port=5432",
        ),
    ],
)
def test_a_postgres_host_may_be_an_ipv6_address_or_a_sockets_directory(host: str, url: str) -> None:
    assert load(environ={"DATABASE_HOST": host}).database.url == url


@pytest.mark.parametrize(
    ("environ", "mode"),
    [
        ({"RUN_MODE": "Simple"}, "simple"),
        ({"RUN_MODE": "full"}, "full"),
        ({"RUN_MODE": "standard"}, "full"),
        ({"DATABASE_URL": "postgresql://h/d"}, "full"),
        ({"DATABASE_HOST": "h"}, "full"),
        ({"REDIS_URL": "redis://h"}, "full"),
        ({"REDIS_HOST": "h", "RUN_MODE": "simple"}, "simple"),
    ],
)
def test_the_run_mode_is_what_is_set_or_follows(environ: dict[str, str], mode: str) -> None:
    assert load(environ=environ).run_mode == mode


def test_without_a_run_mode_the_start_says_to_run_setup() -> None:
    said = _refusal(environ={})
    assert "run_mode is not set: run `sub2api setup`" in said
    assert _refusal(environ={"DATABASE_URL": " ", "REDIS_HOST": ""}) == said


def test_another_run_mode_stops_the_start() -> None:
    assert _refusal(environ={"RUN_MODE": "fast"}) == (
        "run_mode is 'fast' and must be one of simple, full, standard (set in RUN_MODE)"
    )


def test_simple_mode_in_release_needs_to_be_confirmed() -> None:
    release = SIMPLE | {"SERVER_MODE": "release"}
    assert "set SIMPLE_MODE_CONFIRM=true" in _refusal(environ=release)
    assert load(environ=release | {"SIMPLE_MODE_CONFIRM": "true"}).server.mode == "release"
    assert load(environ=release | {"RUN_MODE": "full"}).server.mode == "release"


def test_options_beat_the_environment_which_beats_the_file(nowhere: Path) -> None:
    file = _file(nowhere, "server: {port: 1, host: file}\nlog: {level: debug}\n")
    environ = SIMPLE | {"SERVER_PORT": "2", "SERVER_HOST": "env"}
    settings = load(environ=environ, overrides={"server.port": 3, "server.host": None})
    assert (settings.server.port, settings.server.host) == (3, "env")
    assert settings.log.level == "debug"
    assert settings.config_file == file


def test_the_processes_own_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("RUN_MODE", "simple")
    monkeypatch.setenv("SERVER_PORT", "4242")
    assert load().server.port == 4242


def test_the_first_file_found_wins(nowhere: Path, tmp_path: Path) -> None:
    text = "run_mode: simple\nserver: {{port: {}}}\n"
    _file(nowhere / "config", text.format(3))
    assert load(environ={}).server.port == 3
    _file(nowhere, text.format(2))
    assert load(environ={}).server.port == 2
    _file(tmp_path / "user", text.format(1))
    assert load(environ={}).server.port == 1
    _file(tmp_path / "data", text.format(4))
    assert load(environ={"DATA_DIR": str(tmp_path / "data")}).server.port == 4
    own = tmp_path / "own.yaml"
    own.write_text(text.format(5))
    assert load(environ={"DATA_DIR": str(tmp_path / "data")}, config_file=own).server.port == 5


def test_a_file_may_name_the_data_directory(nowhere: Path, tmp_path: Path) -> None:
    _file(nowhere, f"run_mode: simple\ndata_dir: {tmp_path}/elsewhere\n")
    assert load(environ={}).data_dir == tmp_path / "elsewhere"
    assert load(environ={}, overrides={"data_dir": tmp_path}).data_dir == tmp_path


def test_a_database_in_the_file_means_full_mode(nowhere: Path) -> None:
    _file(nowhere, "database: {host: db}\nredis: {url: ''}\n")
    assert load(environ={}).run_mode == "full"


@pytest.mark.parametrize("text", ["", "# nothing\n", "server:\nredis:\n", "server: {port: }\n"])
def test_empty_sections_and_values_set_nothing(nowhere: Path, text: str) -> None:
    unset = load(environ=SIMPLE)
    file = _file(nowhere, text)
    assert load(environ=SIMPLE) == dataclasses.replace(unset, config_file=file)


def test_lists_durations_and_sizes_are_read_from_either_place(nowhere: Path) -> None:
    _file(
        nowhere,
        "server:\n  trusted_proxies: [10.0.0.0/8, '::1']\n  drain_seconds: 2m\n"
        "  max_request_body_size: 1MB\n",
    )
    environ = SIMPLE | {
        "SECURITY_URL_ALLOWLIST_UPSTREAM_HOSTS": "a.example, *.b.example",
        "GATEWAY_IDLE_TIMEOUT": "90s",
        "GATEWAY_MAX_EVENT_SIZE": "2MB",
    }
    settings = load(environ=environ)
    assert settings.server.trusted_proxies == ("10.0.0.0/8", "::1")
    assert settings.server.drain_seconds == 120.0
    assert settings.server.max_request_body_size == 2**20
    assert settings.security.url_allowlist.upstream_hosts == ("a.example", "*.b.example")
    assert settings.gateway.idle_timeout == 90.0
    assert settings.gateway.max_event_size == 2**21


def test_a_secret_can_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("AB" * 32 + "\n")
    environ = SIMPLE | {"TOTP_ENCRYPTION_KEY_FILE": str(tmp_path / "key")}
    assert load(environ=environ).totp.encryption_key == "ab" * 32
    both = environ | {"TOTP_ENCRYPTION_KEY": "cd" * 32}
    assert _refusal(environ=both) == (
        "both TOTP_ENCRYPTION_KEY and TOTP_ENCRYPTION_KEY_FILE are set: keep one"
    )


def test_a_secret_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    missing = SIMPLE | {"REDIS_URL_FILE": str(tmp_path / "no")}
    said = _refusal(environ=missing)
    assert said == f"REDIS_URL_FILE names {tmp_path}/no, which cannot be read: " + os.strerror(2)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    binary = SIMPLE | {"REDIS_URL_FILE": str(tmp_path / "binary")}
    assert "it is not text" in _refusal(environ=binary)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"SERVER_PORT": "99999"},
            "server.port is '99999' and must be a whole number from 0 to 65535 "
            "(set in SERVER_PORT)",
        ),
        ({"CHARGE_USERS": "perhaps"}, "charge_users is 'perhaps' and must be true or false"),
        ({"TIMEZONE": "Mars"}, "timezone is 'Mars' and must be an IANA time zone"),
        ({"GATEWAY_DISCONNECT": "x"}, "must be one of drain, observed, cancel"),
        ({"SERVER_IDLE_TIMEOUT": "0"}, "from 1 to 86400 seconds (set in SERVER_IDLE_TIMEOUT)"),
    ],
)
def test_a_bad_value_is_refused_by_key_value_and_rule(environ: dict[str, str], said: str) -> None:
    assert said in _refusal(environ=SIMPLE | environ)


def test_a_bad_secret_is_refused_without_its_value(tmp_path: Path) -> None:
    environ = SIMPLE | {"TOTP_ENCRYPTION_KEY": "hunter2"}
    assert _refusal(environ=environ) == (
        "totp.encryption_key must be exactly 64 hex digits (in quotes) (set in TOTP_ENCRYPTION_KEY)"
    )
    file = _file(tmp_path, "totp: {encryption_key: 12345678}\n")
    assert "12345678" not in _refusal(config_file=file)


@pytest.mark.parametrize(
    ("text", "unknown", "nearest"),
    [
        ("server: {prot: 1}", "server.prot", "server.port"),
        ("gatway: {disconnect: drain}", "gatway", "gateway."),
        ("run-mode: simple", "run-mode", "run_mode"),
        ("security: {url_allowlist: {enable: true}}", "security.url_allowlist.enable", "enabled"),
    ],
)
def test_an_unknown_key_names_the_nearest_known(
    tmp_path: Path, text: str, unknown: str, nearest: str
) -> None:
    file = _file(tmp_path, text)
    said = _refusal(config_file=file)
    assert said.startswith(f"unknown key {unknown} in {file}; the nearest is ")
    assert nearest in said.rpartition(" ")[2]


def test_an_unknown_option_is_refused() -> None:
    assert "unknown key port in the command line" in _refusal(overrides={"port": 1})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server: [1, 2]", "server in "),
        ("- a\n- b\n", "the whole file in "),
        ("just text", "the whole file in "),
        ("server: {port: {a: 1}}", "server.port is {'a': 1} and must be a whole number"),
        ("server:\n  port: [\n", "is not YAML: "),
        ("a: \x00", "is not YAML"),
        ("log: {level: !!python/name:os.system }", "is not YAML: "),
    ],
)
def test_a_malformed_file_is_refused_in_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    refusal = _refusal(config_file=_file(tmp_path, text))
    assert said in refusal
    assert "\n" not in refusal


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    assert "cannot be read" in _refusal(config_file=tmp_path / "no.yaml")


def test_the_journal_holds_at_least_two_segments() -> None:
    environ = SIMPLE | {"JOURNAL_MAX_SEGMENT_BYTES": "64MB", "JOURNAL_MAX_TOTAL_BYTES": "100MB"}
    assert "at least twice" in _refusal(environ=environ)


def test_every_section_is_filled() -> None:
    assert isinstance(load(environ=SIMPLE), Settings)
