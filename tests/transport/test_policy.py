"""The settings become the guard's policy, key by key."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sub2api.errors import MistakeError
from sub2api.settings import Settings
from sub2api.settings.keys import Security, UrlAllowlist
from sub2api.transport.policy import guard_for


def allowed(url: str, **options: Any) -> bool:
    allowlist = dataclasses.replace(UrlAllowlist(), **options)
    settings = dataclasses.replace(Settings(), security=Security(url_allowlist=allowlist))
    try:
        guard_for(settings).check(url)
    except MistakeError:
        return False
    return True


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("http://x.com", "allow_insecure_http"),
        ("https://10.0.0.1", "allow_private_hosts"),
        ("http://127.0.0.1:11434", "allow_loopback"),
    ],
)
def test_each_permission_opens_its_door(url: str, key: str) -> None:
    usual = {"allow_insecure_http": False, "allow_private_hosts": False, "allow_loopback": False}
    assert not allowed(url, **usual)
    assert allowed(url, **(usual | {key: True}))


def test_the_allowlist_counts_when_it_is_enabled() -> None:
    hosts = ("api.openai.com",)
    assert allowed("https://x.com", enabled=False, upstream_hosts=hosts)
    assert not allowed("https://x.com", enabled=True, upstream_hosts=hosts)
    assert allowed("https://api.openai.com", enabled=True, upstream_hosts=hosts)
