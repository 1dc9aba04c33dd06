"""An update ends with the new release in place, or with nothing changed and a sentence."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sub2api import __version__
from sub2api.clock import Clock
from sub2api.errors import MistakeError, TransportError
from sub2api.updates.source import source_of
from sub2api.updates.updater import Updater
from tests.updates.releases import CRASHES, Desk, Releases, file_name, script


async def test_the_newest_release_is_fetched_verified_tried_and_put_on_trial(
    desk: Desk, releases: Releases
) -> None:
    releases.add("9.0.0")
    name = releases.add("9.1.0")
    releases.add("9.2.0", channel="edge")
    data = desk.directory / "data"
    data.mkdir()
    with sqlite3.connect(data / "sub2api.db") as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    (data / "sealing.key").write_text("k")
    await desk.update()
    assert desk.installation.current() == name
    pending = desk.installation.pending()
    assert pending is not None
    assert (pending.new, pending.old, pending.attempts) == (name, desk.running, 0)
    assert desk.installation.previous() == desk.running
    steps = list(dict.fromkeys(news.step for news in desk.news))
    assert steps == ["check", "download", "verify", "trial", "backup", "swap"]
    assert desk.news[-4].step == "verify"
    (backup,) = (data / "backups").iterdir()
    assert backup.stat().st_mode & 0o777 == 0o600
    tried, url = json.loads((desk.directory / "tried").read_text())
    assert tried == ["sealing.key", "sub2api.db"]
    assert ".trial-" in url
    assert sorted(path.name for path in data.iterdir()) == ["backups", "sealing.key", "sub2api.db"]


async def test_check_says_what_there_is_and_changes_nothing(desk: Desk, releases: Releases) -> None:
    releases.add("9.1.0")
    releases.add("9.2.0rc1", channel="edge")
    offer = await desk.check()
    assert (offer.running, offer.version, offer.newer) == (__version__, "9.1.0", True)
    assert (await desk.check("edge")).version == "9.2.0rc1"
    assert (await desk.check(version="v9.1.0")).artefact.name == file_name("9.1.0")
    assert desk.unchanged()


async def test_a_truncated_download_changes_nothing_and_is_gone_on_with(
    desk: Desk, releases: Releases
) -> None:
    name = releases.add("9.1.0")
    path = f"/v9.1.0/{name}"
    releases.cut_after[path] = 100
    with pytest.raises(TransportError) as caught:
        await desk.update()
    assert caught.value.cause in {"truncated", "reset"}
    assert desk.unchanged()
    await desk.update()
    assert (path, "bytes=100-") in releases.asked
    assert desk.installation.current() == name


async def test_a_server_without_ranges_gives_the_whole_file_again(
    desk: Desk, releases: Releases
) -> None:
    name = releases.add("9.1.0")
    releases.ranges = False
    releases.cut_after[f"/v9.1.0/{name}"] = 100
    with pytest.raises(TransportError):
        await desk.update()
    await desk.update()
    assert desk.installation.current() == name


async def test_a_download_that_begins_with_another_files_bytes_is_fetched_anew(
    desk: Desk, releases: Releases
) -> None:
    name = releases.add("9.1.0")
    (desk.installation.releases / f".{name}.part").write_bytes(b"of an earlier try")
    await desk.update()
    assert desk.installation.current() == name


async def test_a_file_with_a_wrong_checksum_is_refused(desk: Desk, releases: Releases) -> None:
    name = releases.add("9.1.0")
    content = releases.files[f"/v9.1.0/{name}"]
    releases.files[f"/v9.1.0/{name}"] = content[:-1] + b"#"
    with pytest.raises(MistakeError, match=r"checksum of .* does not match"):
        await desk.update()
    assert desk.unchanged()
    assert not list(desk.installation.releases.glob(".*.part"))


@pytest.mark.parametrize("changed", ["checksums.txt", "checksums.txt.sig"])
async def test_changed_checksums_or_signature_are_refused(
    desk: Desk, releases: Releases, changed: str
) -> None:
    releases.add("9.1.0")
    path = f"/v9.1.0/{changed}"
    releases.files[path] = bytes([releases.files[path][0] ^ 1]) + releases.files[path][1:]
    with pytest.raises(MistakeError, match=r"signature of checksums.txt is not ours"):
        await desk.update()
    assert desk.unchanged()


async def test_another_keys_signature_is_refused(desk: Desk, releases: Releases) -> None:
    releases.add("9.1.0")
    releases.sign("9.1.0", Ed25519PrivateKey.generate())
    with pytest.raises(MistakeError, match="not ours"):
        await desk.update()
    assert desk.unchanged()


async def test_a_missing_signature_is_refused(desk: Desk, releases: Releases) -> None:
    releases.add("9.1.0")
    del releases.files["/v9.1.0/checksums.txt.sig"]
    with pytest.raises(MistakeError, match=r"does not give /v9.1.0/checksums.txt.sig"):
        await desk.update()
    assert desk.unchanged()


async def test_a_build_without_a_key_accepts_nothing(desk: Desk, releases: Releases) -> None:
    releases.add("9.1.0")
    desk.keys = ()
    with pytest.raises(MistakeError, match="trusts no release key"):
        await desk.update()


async def test_an_old_release_under_a_new_name_is_refused(desk: Desk, releases: Releases) -> None:
    releases.add("9.1.0")
    for name in ("checksums.txt", "checksums.txt.sig", "release.json"):
        releases.files[f"/v9.9.0/{name}"] = releases.files[f"/v9.1.0/{name}"]
    with pytest.raises(MistakeError, match=r"says that it is 9\.1\.0"):
        await desk.update("9.9.0")


async def test_a_file_name_with_a_path_in_it_is_refused(desk: Desk, releases: Releases) -> None:
    releases.add("9.1.0")
    path = "/v9.1.0/release.json"
    releases.files[path] = releases.files[path].replace(b'"sub2api-', b'"../sub2api-')
    releases.sign("9.1.0")
    with pytest.raises(MistakeError, match="names a file that is none"):
        await desk.update()


async def test_a_release_for_other_machines_says_so(desk: Desk, releases: Releases) -> None:
    releases.add("9.1.0")
    path = "/v9.1.0/release.json"
    python = file_name("9").split("-")[2].encode()
    releases.files[path] = releases.files[path].replace(b'"%s"' % python, b'"cp399"')
    releases.sign("9.1.0")
    with pytest.raises(MistakeError, match="needs one of cp399"):
        await desk.update()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (CRASHES.encode(), "does not start here: no module named nothing"),
        (script("9.9.9"), r"says it is 9\.9\.9"),
        (script("9.1.0", database="fail"), "cannot run here: database: cannot be migrated"),
        (b"print('hello')", "does not answer as a release"),
    ],
)
async def test_a_release_that_fails_its_trial_is_not_switched_to(
    desk: Desk, releases: Releases, content: bytes, sentence: str
) -> None:
    releases.add("9.1.0", content)
    with pytest.raises(MistakeError, match=sentence):
        await desk.update()
    assert desk.installation.current() == desk.running
    assert desk.installation.pending() is None
    assert not list((desk.directory / "data").glob(".trial-*"))


async def test_an_older_release_needs_to_be_asked_for(desk: Desk, releases: Releases) -> None:
    name = releases.add("0.0.1")
    with pytest.raises(MistakeError, match="older than"):
        await desk.update("0.0.1")
    assert desk.unchanged()
    await desk.update("0.0.1", downgrade=True)
    assert desk.installation.current() == name


async def test_two_updates_at_once_are_one_too_many(desk: Desk, releases: Releases) -> None:
    releases.add("9.1.0")
    with desk.installation.alone(), pytest.raises(MistakeError, match="another update is running"):
        await desk.update()
    await desk.update()
    with pytest.raises(MistakeError, match="still on its trial"):
        await desk.update("9.1.0")


async def test_other_hosts_are_not_followed(desk: Desk, releases: Releases) -> None:
    name = releases.add("9.1.0")
    releases.redirects[f"/v9.1.0/{name}"] = "http://localhost:1/elsewhere"
    with pytest.raises(TransportError, match="blocked"):
        await desk.update()
    assert desk.unchanged()
    releases.redirects[f"/v9.1.0/{name}"] = f"/v9.1.0/{name}"
    with pytest.raises(MistakeError, match="circle"):
        await desk.update()


async def test_rolling_back_ends_a_trial_or_returns_to_the_release_before(
    desk: Desk, releases: Releases
) -> None:
    name = releases.add("9.1.0")
    await desk.update()
    assert await desk.roll_back() == __version__
    assert desk.unchanged() or desk.installation.all() == [name, desk.running]
    assert desk.installation.pending() is None
    await desk.update()
    desk.installation.confirm()
    assert await desk.roll_back() == __version__
    pending = desk.installation.pending()
    assert pending is not None
    assert (pending.new, pending.old) == (desk.running, name)
    with pytest.raises(MistakeError, match="not here any more"):
        await desk.roll_back("5.0.0")


async def test_watching_tells_how_it_ended(desk: Desk, releases: Releases) -> None:
    name = releases.add("9.1.0")
    await desk.update()
    settings = desk.settings()
    async with source_of(settings, Clock()) as source:
        updater = Updater(settings, Clock(), source, desk.news.append)
        with pytest.raises(MistakeError, match="has not proved itself within 0 s"):
            await updater.watch(0.01)
        watching = asyncio.ensure_future(updater.watch(20))
        await asyncio.sleep(0)
        desk.installation.take_back()
        with pytest.raises(MistakeError, match=rf"did not stand .* {__version__} runs again"):
            await watching
        desk.installation.swap(name)
        desk.installation.confirm()
        await updater.watch(20)
    assert desk.news[-1].step == "done"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
async def test_a_full_disk_changes_nothing(desk: Desk, releases: Releases, tmp_path: Path) -> None:
    content = script("9.1.0") + b"#" * (200 << 10)
    name = releases.add("9.1.0", content)
    place = desk.installation.releases
    moved = tmp_path / "moved"
    shutil.move(place, moved)
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", place], check=False
    )
    if mounted.returncode:
        pytest.skip("cannot mount here")
    try:
        shutil.copytree(moved, place, symlinks=True, dirs_exist_ok=True)
        with pytest.raises(MistakeError, match="make room and run it again"):
            await desk.update()
        assert desk.unchanged()
        # The room was there when we looked, and gone when we wrote.
        settings = desk.settings()
        async with source_of(settings, Clock()) as source:
            with pytest.raises(MistakeError, match="cannot hold the download"):
                await source.download("9.1.0", name, len(content), place / "x", lambda *_: None)
        assert desk.unchanged()
    finally:
        subprocess.run(["umount", place], check=True)


async def test_a_file_larger_than_said_is_cut_off(desk: Desk, releases: Releases) -> None:
    name = releases.add("9.1.0")
    content = releases.files[f"/v9.1.0/{name}"]
    releases.files[f"/v9.1.0/{name}"] = content + b"# more"
    with pytest.raises(MistakeError, match="longer than"):
        await desk.update()
    assert desk.unchanged()
    assert hashlib.sha256(content).hexdigest()
