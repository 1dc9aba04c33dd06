from __future__ import annotations

import asyncio
import dataclasses
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sub2api.errors import SealError, SettingsError
from sub2api.settings import Settings, load
from sub2api.store import options
from sub2api.store.database import Database
from sub2api.store.migrate import migrate
from sub2api.store.sealing import KEY_FILE, Sealer, check_sealer, load_sealer
from sub2api.store.sqlite import sqlite_path

SEALER = Sealer(bytes(32))
LOAD = """
import sys
from sub2api.settings import load
from sub2api.store.sealing import load_sealer
settings = load(environ={"RUN_MODE": "simple", "DATA_DIR": sys.argv[1]})
print(load_sealer(settings).seal("text", "test"))
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(environ={"RUN_MODE": "simple", "DATA_DIR": str(tmp_path / "data")})


@given(st.text(), st.text())
def test_what_is_sealed_opens_again(text: str, purpose: str) -> None:
    sealed = SEALER.seal(text, purpose)
    assert SEALER.open(sealed, purpose) == text


def test_a_seal_never_repeats_and_does_not_show_the_text() -> None:
    one, other = SEALER.seal("hunter2", "p"), SEALER.seal("hunter2", "p")
    assert one != other
    assert one.startswith("v1:")
    assert "hunter2" not in one


def test_another_purpose_or_key_does_not_open() -> None:
    sealed = SEALER.seal("text", "account credentials")
    with pytest.raises(SealError, match="sealed proxy password is damaged"):
        SEALER.open(sealed, "proxy password")
    with pytest.raises(SealError):
        Sealer(bytes([1] * 32)).open(sealed, "account credentials")


def test_no_changed_character_goes_unnoticed() -> None:
    sealed = SEALER.seal("text", "p")
    for place in range(len(sealed)):
        swapped = "A" if sealed[place] != "A" else "B"
        changed = sealed[:place] + swapped + sealed[place + 1 :]
        with pytest.raises(SealError):
            SEALER.open(changed, "p")


@pytest.mark.parametrize("sealed", ["", "v1:", "v1:AAAA", "v2:AAAA", "plain", "v1:é", "v1:a b"])
def test_what_is_no_seal_is_refused(sealed: str) -> None:
    with pytest.raises(SealError):
        SEALER.open(sealed, "p")


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_has_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(bytes(length))


def test_the_configured_key_is_used_and_no_file_made(settings: Settings) -> None:
    configured = dataclasses.replace(
        settings, totp=dataclasses.replace(settings.totp, encryption_key="00" * 32)
    )
    assert load_sealer(configured).open(SEALER.seal("text", "p"), "p") == "text"
    assert not (settings.data_dir / KEY_FILE).exists()


def test_without_one_a_private_key_file_is_made_once(settings: Settings) -> None:
    sealed = load_sealer(settings).seal("text", "p")
    file = settings.data_dir / KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text().strip()) == 64
    assert load_sealer(settings).open(sealed, "p") == "text"


async def test_processes_that_start_at_once_use_one_key(settings: Settings) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", LOAD, str(settings.data_dir), stdout=asyncio.subprocess.PIPE
        )
        for _ in range(4)
    ]
    sealed = [(await each.communicate())[0].decode().strip() for each in processes]
    sealer = load_sealer(settings)
    assert [sealer.open(each, "test") for each in sealed] == ["text"] * 4


@pytest.mark.parametrize("content", ["short", "zz" * 32, "00" * 31, "00" * 33])
def test_a_damaged_key_file_is_refused_without_its_content(
    settings: Settings, content: str
) -> None:
    settings.data_dir.mkdir(parents=True)
    file = settings.data_dir / KEY_FILE
    file.touch(0o600)
    file.write_text(content)
    with pytest.raises(SettingsError, match="must hold 64 hex digits") as caught:
        load_sealer(settings)
    assert content not in str(caught.value)


def test_a_key_file_that_others_can_read_is_refused(settings: Settings) -> None:
    load_sealer(settings)
    (settings.data_dir / KEY_FILE).chmod(0o640)
    with pytest.raises(SettingsError, match="is open to others: run chmod 600"):
        load_sealer(settings)


def test_a_key_file_that_is_a_link_or_a_directory_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    settings.data_dir.mkdir(parents=True)
    (settings.data_dir / KEY_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match="cannot be used"):
        load_sealer(settings)
    assert not (tmp_path / "elsewhere").exists()


async def test_the_key_of_the_first_start_is_the_only_one_accepted(database: Database) -> None:
    async with database.transaction() as connection:
        await check_sealer(connection, SEALER)
        await check_sealer(connection, SEALER)
        with pytest.raises(SettingsError, match="sealed with another key: set totp"):
            await check_sealer(connection, Sealer(bytes([7] * 32)))


async def test_the_key_is_not_in_the_database(sqlite_url: str, settings: Settings) -> None:
    await migrate(sqlite_url)
    database = await Database.open(sqlite_url)
    async with database.transaction() as connection:
        await check_sealer(connection, load_sealer(settings))
        mark = await options.get(connection, "sealing.check")
    key = (settings.data_dir / KEY_FILE).read_text().strip()
    assert mark.startswith("v1:")
    await database.close()
    assert key.encode() not in sqlite_path(sqlite_url).read_bytes()
