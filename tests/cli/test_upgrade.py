"""`sub2api upgrade` and `sub2api rollback`, as far as they go without a gateway.

The whole of it, with real releases and a running gateway, is in tests/install.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sub2api import __version__
from sub2api.cli import cli
from tests.install.machine import free_port
from tests.updates.releases import Desk, Releases, file_name, release_server, script

Command = Callable[..., Result]


@pytest.fixture
def releases() -> Iterator[Releases]:
    with release_server() as server:
        yield server


@pytest.fixture
def desk(tmp_path: Path, releases: Releases) -> Desk:
    return Desk(tmp_path, releases)


@pytest.fixture
def command(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(desk.directory)
    environ = {
        "RUN_MODE": "simple",
        "DATA_DIR": str(desk.directory / "data"),
        "UPDATE_DIRECTORY": str(desk.installation.directory),
        "UPDATE_RELEASE_URL": desk.releases.url,
        "SERVER_PORT": str(free_port()),
    }
    return lambda *words, **more: CliRunner().invoke(cli, words, env=environ | more)


def test_a_build_without_a_release_key_says_so(command: Command, releases: Releases) -> None:
    releases.add("9.1.0")
    result = command("upgrade", "--check")
    assert result.exit_code == 1
    assert "trusts no release key" in result.output
    assert "Traceback" not in result.output


def test_a_verified_file_is_adopted_and_left_again(command: Command, desk: Desk) -> None:
    name = file_name("9.1.0")
    (desk.installation.releases / name).write_bytes(script("9.1.0"))
    adopted = command("upgrade", "--adopt", name)
    assert adopted.exit_code == 0, adopted.output
    assert "starting 9.1.0 on a copy" in adopted.output
    assert "proves itself at the next start" in adopted.output
    assert desk.installation.current() == name
    left = command("rollback")
    assert left.exit_code == 0, left.output
    assert f"{__version__} is the current release" in left.output
    assert desk.installation.pending() is None


@pytest.mark.parametrize("name", ["../x.pyz", "sub2api-9.9.9-cp311-linux_x86_64.pyz"])
def test_what_is_no_file_there_is_not_adopted(command: Command, desk: Desk, name: str) -> None:
    result = command("upgrade", "--adopt", name)
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert desk.unchanged()


@pytest.mark.parametrize("word", ["rollback", "upgrade"])
def test_without_an_installation_it_says_how_else(command: Command, word: str) -> None:
    result = command(word, UPDATE_DIRECTORY="")
    assert result.exit_code == 1
    assert "install.sh did not install this" in result.output
