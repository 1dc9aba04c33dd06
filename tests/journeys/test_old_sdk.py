"""The Anthropic SDK of the previous generation (0.x), in a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from sub2api.demo.script import Refuse
from tests.fakes.world import World

SDK = Path(sys.prefix) / "anthropic-0"
SCRIPT = """
import os, sys, warnings
warnings.simplefilter("ignore")
import anthropic
assert anthropic.__version__.startswith("0."), anthropic.__version__
client = anthropic.Anthropic(
    api_key=os.environ["KEY"], base_url=os.environ["URL"], max_retries=0
)
hello = [{"role": "user", "content": "Say hello"}]
ask = dict(model="claude-sonnet-4-5", max_tokens=99, messages=hello)
print(client.messages.create(**ask).content[0].text)
with client.messages.stream(**ask) as stream:
    print("".join(stream.text_stream))
print(client.messages.count_tokens(model="claude-sonnet-4-5", messages=hello).input_tokens)
print([model.id for model in client.models.list()][0])
try:
    client.messages.create(**{**ask, "model": "refused"})
except anthropic.RateLimitError as error:
    print("limited", error.status_code)
"""


async def test_the_previous_sdk_generation_works_too(world: World) -> None:
    assert SDK.exists(), "run `make setup`: it installs the older SDK beside the current one"
    await world.change_account("anthropic-1", model_mapping={"claude-*": "claude-*"})
    await world.add_account("anthropic", "refusing", model_mapping={"refused": "refused"})
    world.upstream.always("refusing", Refuse(429))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT,
        env={**os.environ, "PYTHONPATH": str(SDK), "KEY": world.key, "URL": world.base_url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    whole, streamed, counted, model, limited = out.decode().splitlines()
    assert whole == streamed
    assert "Hello from the scripted" in whole
    assert (counted, limited) == ("3", "limited 429")
    assert model.startswith("claude-")
    # 0.x sends x-api-key, 2.x sends Bearer: the gateway takes both.
    await world.rows(3)
