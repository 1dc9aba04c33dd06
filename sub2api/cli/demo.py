"""`--demo`: a scripted vendor beside the server, so that the very first request is answered.

The demo steps aside as soon as there is a real account: its own accounts are disabled then.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sub2api import wiring
from sub2api.clock import Clock
from sub2api.demo.script import Play
from sub2api.demo.upstream import DemoUpstream
from sub2api.gateway.parts import Parts
from sub2api.identity.api_keys import ApiKeys
from sub2api.model.accounts import Account, PlatformName
from sub2api.model.callers import ApiKey
from sub2api.store.sealing import load_sealer
from sub2api.transport.policy import guard_for
from sub2api.upstream.accounts import Accounts

_NAME = "demo"
_PLATFORMS: tuple[PlatformName, ...] = ("anthropic", "openai", "gemini")
_SECONDS_BETWEEN_EVENTS = 0.04  # so that one sees it stream
_NOTES = "made by --demo; answered by a script on this machine"


@asynccontextmanager
async def demo_companion(parts: Parts, clock: Clock) -> AsyncIterator[None]:
    """Run the scripted vendor with an account per platform and a key, unless real ones exist."""
    sealer = load_sealer(parts.settings)
    guard = guard_for(parts.settings)
    accounts = Accounts(parts.database, sealer, guard, clock)
    existing = await accounts.everything()
    demos = {account.name: account for account in existing if _is_demo(account)}
    if len(demos) < len(existing):
        for name in demos:
            await accounts.change(name, {"status": "disabled"})
        await wiring.refresh(parts)
        yield
        return
    upstream = DemoUpstream()
    await upstream.start()
    try:
        for platform in _PLATFORMS:
            upstream.always(_credential(platform), Play(delay=_SECONDS_BETWEEN_EVENTS))
            await _account(accounts, demos, platform, upstream.base_url)
        key = await _key(ApiKeys(parts.database, sealer, clock))
        await wiring.refresh(parts)
        _print_requests(parts, key)
        yield
    finally:
        await upstream.stop()


def _is_demo(account: Account) -> bool:
    return account.name.startswith(f"{_NAME}-") and account.notes == _NOTES


def _credential(platform: PlatformName) -> str:
    return f"{_NAME}-credential-{platform}"


async def _account(
    accounts: Accounts, demos: dict[str, Account], platform: PlatformName, base_url: str
) -> None:
    name = f"{_NAME}-{platform}"
    if name in demos:
        # The vendor's port is another one at every start.
        await accounts.change(name, {"base_url": base_url, "status": "active"})
        return
    await accounts.add(
        Account(
            id=0,
            name=name,
            platform=platform,
            api_key=_credential(platform),
            base_url=base_url,
            priority=100,
            notes=_NOTES,
        )
    )


async def _key(keys: ApiKeys) -> str:
    """Return the demo key's text; make the key at the first start."""
    found = [key for key in await keys.everything() if key.name == _NAME]
    usable = [key for key in found if key.status == "active"]
    if usable:
        return await keys.reveal(str(usable[0].id))
    name = _NAME if not found else f"{_NAME}-{len(found) + 1}"
    blank = ApiKey(id=0, user_id=0, name=name, hint="")
    _, text = await keys.create(blank)
    return text


def _print_requests(parts: Parts, key: str) -> None:
    server = parts.settings.server
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(server.host, server.host)  # noqa: S104  compared, not bound
    base = f"http://{host}:{server.port}"
    print(_REQUESTS.format(base=base, key=key), flush=True, file=sys.stdout)


_REQUESTS = """
Sub2API is starting in demo mode: a scripted vendor answers, nothing leaves this machine.
Your demo key:  {key}

Paste one of these:

# Messages
curl -sN {base}/v1/messages -H 'x-api-key: {key}' -H 'anthropic-version: 2023-06-01' \
-H 'content-type: application/json' -d '{{"model":"claude-sonnet-4-5","max_tokens":256,\
"stream":true,"messages":[{{"role":"user","content":"Say hello"}}]}}'

# Responses
curl -sN {base}/v1/responses -H 'authorization: Bearer {key}' \
-H 'content-type: application/json' -d '{{"model":"gpt-5.1","stream":true,"input":"Say hello"}}'

# Chat
curl -sN {base}/v1/chat/completions -H 'authorization: Bearer {key}' \
-H 'content-type: application/json' -d '{{"model":"gpt-5.1","stream":true,\
"messages":[{{"role":"user","content":"Say hello"}}]}}'

# Gemini
curl -sN '{base}/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse' \
-H 'x-goog-api-key: {key}' -H 'content-type: application/json' \
-d '{{"contents":[{{"role":"user","parts":[{{"text":"Say hello"}}]}}]}}'

Then see what they cost:  sub2api usage
Add a real account:       sub2api account add --platform anthropic --name mine --api-key-stdin
"""
