from __future__ import annotations

import pytest

from sub2api.clock import Clock
from sub2api.errors import MistakeError
from sub2api.settings import load
from sub2api.updates.source import LARGEST, REPOSITORY, source_of
from tests.updates.releases import Desk, Releases


async def test_without_a_mirror_it_is_the_projects_own_page() -> None:
    async with source_of(load(environ={"RUN_MODE": "simple"}), Clock()) as source:
        assert source.list_url.startswith(f"https://api.github.com/repos/{REPOSITORY}/releases")


async def test_a_mirror_must_be_https_unless_it_is_this_machine() -> None:
    environ = {"RUN_MODE": "simple", "UPDATE_RELEASE_URL": "http://10.0.0.1/x"}
    with pytest.raises(MistakeError, match="invalid url scheme: http"):
        async with source_of(load(environ=environ), Clock()):
            pass
    environ["UPDATE_RELEASE_URL"] = "https://10.0.0.1/x/"
    async with source_of(load(environ=environ), Clock()) as source:
        assert source.list_url == "https://10.0.0.1/x/index.json"


async def test_drafts_and_foreign_tags_are_no_releases(desk: Desk, releases: Releases) -> None:
    releases.add("9.1.0")
    releases.listed += [{"tag_name": "v9.9.9", "draft": True}, {"tag_name": "docs-2026"}]
    releases.add("9.0.0")
    async with source_of(desk.settings(), Clock()) as source:
        assert await source.versions("stable") == ["9.1.0", "9.0.0"]
        releases.files["/index.json"] = b"<html>"
        with pytest.raises(MistakeError, match="list of releases cannot be read"):
            await source.versions("stable")
        with pytest.raises(MistakeError, match="more than a release ever has"):
            await source.download("1", "x", LARGEST + 1, desk.directory / "x", lambda *_: None)


async def test_progress_counts_to_the_end(desk: Desk, releases: Releases) -> None:
    name = releases.add("9.1.0", b"#" * 300_000)
    heard: list[tuple[int, int]] = []
    async with source_of(desk.settings(), Clock()) as source:
        target = desk.directory / "x"
        await source.download("9.1.0", name, 300_000, target, lambda *news: heard.append(news))
    assert heard[0] == (0, 300_000)
    assert heard[-1] == (300_000, 300_000)
    assert target.read_bytes() == b"#" * 300_000
