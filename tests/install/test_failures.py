"""What goes wrong ends on a working version, with a sentence."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.install.conftest import FIRST, SECOND
from tests.install.machine import Machine
from tests.updates.releases import Releases, file_name

BAD = "0.9.9"
QUICK = {"UPDATE_CONFIRM_SECONDS": "2", "SUB2API_TRIAL_SECONDS": "6"}
STANDS_ITS_TRIAL = """
import json, sys, time
if "version" in sys.argv:
    print(json.dumps({"version": "0.9.9"}))
elif "doctor" in sys.argv:
    print(json.dumps({"items": []}))
elif "serve" in sys.argv:
    SERVE
"""
CRASHES = STANDS_ITS_TRIAL.replace("SERVE", "sys.exit('no such module')").encode()
NEVER_HEALTHY = STANDS_ITS_TRIAL.replace("SERVE", "time.sleep(600)").encode()


def artefact(version: str) -> str:
    return f"/v{version}/{file_name(version)}"


def damaged(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def nothing_installed(machine: Machine) -> bool:
    return not (machine.directory / "releases/current").exists()


@pytest.mark.parametrize("fault", ["truncated", "checksum", "signature", "sums", "gone", "launch"])
def test_a_first_installation_refuses_what_is_not_whole_and_ours(
    machine: Machine, server: Releases, fault: str
) -> None:
    if fault == "truncated":
        server.files[artefact(FIRST)] = server.files[artefact(FIRST)][:1000]
    elif fault == "checksum":
        server.files[artefact(FIRST)] = damaged(server.files[artefact(FIRST)])
    elif fault == "signature":
        server.sign(FIRST, Ed25519PrivateKey.generate())
    elif fault == "sums":
        server.files[f"/v{FIRST}/checksums.txt"] += b"0" * 64 + b"  more\n"
    elif fault == "gone":
        del server.files[artefact(FIRST)]
    else:
        server.files[f"/v{FIRST}/launch"] += b"echo mine\n"
    said = machine.refused(machine.installer(f"-y -v {FIRST} --port {machine.port}"))
    assert "Nothing was changed" in said
    assert nothing_installed(machine)
    assert machine.left() == set()


def test_without_a_python_it_says_how_to_get_one(machine: Machine) -> None:
    few = machine.home.parent / "few"
    few.mkdir()
    for tool in ("sh", "curl", "id", "uname", "mktemp", "rm", "cat", "env"):
        (few / tool).symlink_to(shutil.which(tool, path="/usr/bin:/bin") or "")
    said = machine.refused(machine.installer("-y"), PATH=str(few), PYTHON="")
    assert "Python 3.11 or newer is needed" in said
    assert "apt-get install python3" in said
    assert machine.left() == set()


def test_an_installer_without_a_key_accepts_nothing(machine: Machine) -> None:
    source = Path(__file__).resolve().parents[2] / "install.sh"
    assert 'RELEASE_KEYS=""' in source.read_text()
    shutil.copy(source, machine.home / "install.sh")
    assert "no release key" in machine.refused("sh ~/install.sh -y")


@pytest.mark.parametrize("words", ["-v ../../x", "--port 0", "--port x", "--host 'a b'", "--what"])
def test_what_cannot_be_meant_is_refused(machine: Machine, words: str) -> None:
    machine.refused(machine.installer(f"-y {words}"))
    assert machine.left() == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_disk_ends_an_installation_with_a_sentence(machine: Machine) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=10m,mode=777", "tmpfs", machine.home]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("cannot mount here")
    try:
        said = machine.refused(machine.installer(f"-y -v {FIRST} --port {machine.port}"))
        assert "disk full?" in said
        assert nothing_installed(machine)
    finally:
        subprocess.run(["umount", machine.home], check=True)


def test_a_port_that_is_taken_is_said(machine: Machine) -> None:
    machine.install(FIRST)
    with socket.create_server(("127.0.0.1", machine.port)):
        assert machine.serve().wait(60) == 1
    assert "cannot be listened on" in machine.log.read_text()
    machine.serving()
    assert machine.stop() == 0


@pytest.mark.parametrize("fault", ["truncated", "checksum", "signature"])
@pytest.mark.parametrize("way", ["command", "installer"])
def test_an_upgrade_that_is_not_whole_and_ours_leaves_what_runs(
    machine: Machine, server: Releases, fault: str, way: str
) -> None:
    machine.install(FIRST)
    machine.serving(**QUICK)
    if fault == "truncated":
        server.cut_after[artefact(SECOND)] = 5000
    elif fault == "checksum":
        server.files[artefact(SECOND)] = damaged(server.files[artefact(SECOND)])
    else:
        server.sign(SECOND, Ed25519PrivateKey.generate())
    line = "~/.local/bin/sub2api upgrade" if way == "command" else machine.installer("upgrade -y")
    machine.refused(line)
    assert machine.current == FIRST
    assert machine.answers()
    if fault == "truncated":
        machine.done(line)  # the next try gets it whole
        assert machine.current == SECOND
    assert machine.stop() == 0


@pytest.mark.parametrize(
    ("content", "why"), [(CRASHES, "did not start twice"), (NEVER_HEALTHY, "not healthy within")]
)
@pytest.mark.parametrize("way", ["command", "installer"])
def test_a_release_that_fails_once_it_serves_is_taken_back(
    machine: Machine, server: Releases, content: bytes, why: str, way: str
) -> None:
    machine.install(FIRST)
    machine.serving(**QUICK)
    for part in ("launch", "sub2api.user.service", "install.sh"):
        server.files[f"/v{BAD}/{part}"] = server.files[f"/v{SECOND}/{part}"]
    if way == "installer":
        content = adopting(content)
    server.add(BAD, content)
    line = "~/.local/bin/sub2api upgrade" if way == "command" else machine.installer("upgrade -y")
    ran = machine.run(line)
    machine.until(lambda: why in machine.log.read_text())
    machine.until(machine.answers)
    assert machine.current == FIRST
    assert not (machine.directory / "releases/pending.json").exists()
    if way == "command":
        assert ran.returncode == 1
        assert why in ran.stderr
        assert f"{FIRST} runs again" in ran.stderr
    assert machine.stop() == 0


def adopting(content: bytes) -> bytes:
    """Make a script switch to itself without any of its own checks: the worst there can be."""
    return (
        content
        + b"""
elif "--adopt" in sys.argv:
    import os, pathlib
    place = pathlib.Path(sys.argv[0]).parent
    old, new = os.readlink(place / "current"), pathlib.Path(sys.argv[0]).name
    (place / "pending.json").write_text(json.dumps({"new": new, "old": old, "attempts": 0}))
    (place / "x").symlink_to(new)
    (place / "x").replace(place / "current")
"""
    )


@pytest.mark.parametrize("content", [b"raise SystemExit('broken')", b"import nothing_like_it"])
def test_a_release_that_does_not_start_is_never_switched_to(
    machine: Machine, server: Releases, content: bytes
) -> None:
    machine.install(FIRST)
    server.add(BAD, content)
    assert "does not start here" in machine.refused("~/.local/bin/sub2api upgrade")
    assert machine.current == FIRST


def test_a_current_release_that_cannot_start_is_left_by_a_rollback(machine: Machine) -> None:
    machine.install(FIRST)
    machine.done(machine.installer("upgrade -y"))
    broken = machine.directory / "releases" / file_name(SECOND)
    broken.write_bytes(b"broken")
    machine.done(machine.installer("rollback"))
    assert machine.current == FIRST
    machine.serving(**QUICK)
    assert machine.stop() == 0
