"""Outgoing proxies."""

from __future__ import annotations

import pytest

from sub2api.errors import MistakeError
from sub2api.model.accounts import Account
from tests.fakes.workshop import Workshop


async def test_a_proxy_is_added_once_and_reused(workshop: Workshop) -> None:
    await workshop.proxies.add("office", "http://u:p@127.0.0.1:3128")
    for name in ("a", "b"):
        account = Account(id=0, name=name, platform="openai", api_key="k")
        made = await workshop.accounts.add(account, proxy="http://u:p@127.0.0.1:3128")
        assert made.proxy is not None
        assert made.proxy.name == "office"
    account = Account(id=0, name="c", platform="openai", api_key="k")
    other = await workshop.accounts.add(account, proxy="http://x:y@127.0.0.1:3128")
    account = Account(id=0, name="d", platform="openai", api_key="k")
    third = await workshop.accounts.add(account, proxy="http://z:y@127.0.0.1:3128")
    assert other.proxy is not None
    assert third.proxy is not None
    assert (other.proxy.name, third.proxy.name) == ("127.0.0.1:3128", "127.0.0.1:3128 (2)")
    assert len(await workshop.proxies.everything()) == 3
    with pytest.raises(MistakeError, match="used by these accounts"):
        await workshop.proxies.remove("office")


async def test_mistakes_never_show_a_password(workshop: Workshop) -> None:
    for url in ("ftp://u:s3cret@h:1", "http://u:s3cret@", "socks4://u:s3cret@h:1"):
        with pytest.raises(MistakeError) as caught:
            await workshop.proxies.add("p", url)
        assert "s3cret" not in str(caught.value)
    for name in ("nope", "7"):
        with pytest.raises(MistakeError, match="there is no proxy"):
            await workshop.proxies.remove(name)
    account = Account(id=0, name="a", platform="openai", api_key="k")
    with pytest.raises(MistakeError, match="there is no proxy"):
        await workshop.accounts.add(account, proxy="nope")
