"""The official SDKs against the gateway, over real sockets: what a user's tool would do."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anthropic
import httpx
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types
from google.genai.client import AsyncClient

from sub2api.demo.script import Play, Refuse
from tests.fakes.world import World

CLAUDE, GPT, GEMINI = "claude-sonnet-4-5", "gpt-5.1", "gemini-2.5-flash"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(64)).decode()
HELLO = [{"role": "user", "content": "Say hello"}]


def claude(world: World, **options: object) -> anthropic.AsyncAnthropic:
    options.setdefault("max_retries", 0)
    return anthropic.AsyncAnthropic(api_key=world.key, base_url=world.base_url, **options)  # type: ignore[arg-type]


def gpt(world: World) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=world.key, base_url=world.base_url + "/v1", max_retries=0)


@asynccontextmanager
async def gemini(world: World) -> AsyncIterator[AsyncClient]:
    client = genai.Client(
        api_key=world.key,
        http_options=types.HttpOptions(
            base_url=world.base_url, retry_options=types.HttpRetryOptions(attempts=1)
        ),
    )
    try:
        yield client.aio
    finally:
        await client.aio.aclose()
        client.close()


async def test_anthropic_answers_whole_and_streamed(world: World) -> None:
    async with claude(world) as client:
        message = await client.messages.create(model=CLAUDE, max_tokens=99, messages=HELLO)  # type: ignore[arg-type]
        assert "Hello from the scripted" in message.content[0].text  # type: ignore[union-attr]
        async with client.messages.stream(model=CLAUDE, max_tokens=99, messages=HELLO) as stream:  # type: ignore[arg-type]
            text = "".join([piece async for piece in stream.text_stream])
            final = await stream.get_final_message()
    assert "Hello from the scripted" in text
    assert final.usage.output_tokens == message.usage.output_tokens
    rows = await world.rows(2)
    assert {row.output_tokens for row in rows} == {message.usage.output_tokens}
    assert all(row.cost and row.settled_by == "observed" for row in rows)


async def test_anthropic_thinks_and_calls_tools(world: World) -> None:
    tools = [
        {
            "name": "get_weather",
            "description": "Weather",
            "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
        }
    ]
    async with claude(world) as client:
        message = await client.messages.create(
            model=CLAUDE,
            max_tokens=2000,
            thinking={"type": "enabled", "budget_tokens": 1024},
            tools=tools,  # type: ignore[arg-type]
            messages=[{"role": "user", "content": "Please use the tool"}],
        )
        assert [block.type for block in message.content] == ["thinking", "tool_use"]
        call = message.content[1]
        async with client.messages.stream(
            model=CLAUDE,
            max_tokens=2000,
            tools=tools,  # type: ignore[arg-type]
            messages=[
                {"role": "user", "content": "Please use the tool"},
                {"role": "assistant", "content": message.content},
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sun"}],  # type: ignore[union-attr]
                },
            ],
        ) as stream:
            final = await stream.get_final_message()
    assert final.stop_reason == "end_turn"


async def test_an_older_anthropic_sdks_header_is_taken(world: World) -> None:
    headers = {"x-api-key": world.key, "anthropic-version": "2023-06-01"}
    async with httpx.AsyncClient(base_url=world.base_url, headers=headers) as client:
        reply = await client.post(
            "/v1/messages", json={"model": CLAUDE, "max_tokens": 5, "messages": HELLO}
        )
        assert reply.status_code == 200
        listed = (await client.get("/v1/models?limit=1000")).json()
    assert CLAUDE in [row["id"] for row in listed["data"]]
    assert listed["has_more"] is False


async def test_openai_chat_answers_whole_streamed_and_with_tools(world: World) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    async with gpt(world) as client:
        whole = await client.chat.completions.create(model=GPT, messages=HELLO)  # type: ignore[arg-type]
        assert whole.usage
        stream = await client.chat.completions.create(model=GPT, messages=HELLO, stream=True)  # type: ignore[call-overload]
        chunks = [chunk async for chunk in stream]
        called = await client.chat.completions.create(
            model=GPT,
            messages=[{"role": "user", "content": "use the tool"}],
            tools=[tool],  # type: ignore[list-item]
        )
        vector = await client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    assert all(chunk.choices for chunk in chunks)  # the usage chunk was not asked for
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert called.choices[0].message.tool_calls[0].function.name == "f"  # type: ignore[index, union-attr]
    assert len(vector.data) == 2
    rows = await world.rows(4)
    assert {row.output_tokens for row in rows if row.operation == "generate"} >= {
        whole.usage.completion_tokens
    }
    assert rows[0].operation == "embed"
    assert rows[0].cost


async def test_openai_chat_gives_the_usage_chunk_to_those_who_ask(world: World) -> None:
    async with gpt(world) as client:
        stream = await client.chat.completions.create(
            model=GPT,
            messages=HELLO,
            stream=True,
            stream_options={"include_usage": True},  # type: ignore[arg-type]
        )
        last = [chunk async for chunk in stream][-1]
    assert last.choices == []
    assert last.usage


async def test_openai_responses_answer_and_stay_with_their_account(world: World) -> None:
    await world.add_account("openai", "openai-2")
    async with gpt(world) as client:
        previous = None
        credentials = []
        for _ in range(6):
            reply = await client.responses.create(
                model=GPT, input="Say hello", previous_response_id=previous
            )
            previous = reply.id
            credentials.append(world.upstream.entries[-1].credential)
        async with client.responses.stream(
            model=GPT, input="Say hello", reasoning={"effort": "low"}, previous_response_id=previous
        ) as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
    assert len(set(credentials)) == 1
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert final.usage
    sent = json.loads(world.upstream.requests[-1].body)
    assert sent["store"] is True
    assert sent["previous_response_id"] == previous


async def test_gemini_answers_whole_streamed_thinking_and_with_tools(world: World) -> None:
    async with gemini(world) as client:
        await everything_gemini_does(client)
    rows = await world.rows(4)
    assert {row.wire for row in rows} == {"gemini"}


async def everything_gemini_does(client: AsyncClient) -> None:
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(include_thoughts=True)
    )
    whole = await client.models.generate_content(model=GEMINI, contents="Say hello", config=config)
    assert "Hello from the scripted" in (whole.text or "")
    pieces = [
        chunk.text
        async for chunk in await client.models.generate_content_stream(
            model=GEMINI, contents="Say hello"
        )
    ]
    assert len(pieces) > 5
    tool = types.Tool(
        function_declarations=[types.FunctionDeclaration(name="f", parameters_json_schema={})]
    )
    called = await client.models.generate_content(
        model=GEMINI, contents="use the tool", config=types.GenerateContentConfig(tools=[tool])
    )
    assert called.function_calls[0].name == "f"  # type: ignore[index]
    counted = await client.models.count_tokens(model=GEMINI, contents="Say hello")
    assert counted.total_tokens == 3
    embedded = await client.models.embed_content(model="gemini-embedding-001", contents="a")
    assert embedded.embeddings
    names = [model.name async for model in await client.models.list()]
    assert f"models/{GEMINI}" in names


async def test_images_and_large_bodies_pass(world: World) -> None:
    long = "word " * 80_000
    async with claude(world) as client:
        image = {"type": "base64", "media_type": "image/png", "data": PNG}
        await client.messages.create(
            model=CLAUDE,
            max_tokens=9,
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "source": image},  # type: ignore[typeddict-item]
                        {"type": "text", "text": long},
                    ],
                }
            ],
        )
    assert len(world.upstream.requests[-1].body) > 400_000
    assert PNG.encode() in world.upstream.requests[-1].body
    part = types.Part.from_bytes(data=b"\xfb\xff\xfe" * 9, mime_type="image/png")
    async with gemini(world) as client3:
        await client3.models.generate_content(model=GEMINI, contents=[part, long])
    async with gpt(world) as client2:
        url = f"data:image/png;base64,{PNG}"
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": long}]
        await client2.chat.completions.create(
            model=GPT,
            messages=[{"role": "user", "content": content}],  # type: ignore[list-item, misc]
        )
    assert all(row.input_tokens > 90_000 for row in await world.rows(3))


async def test_twenty_streams_at_once_are_all_faithful(world: World) -> None:
    world.upstream.always("anthropic-1", Play(delay=0.005))

    async def one(number: int) -> str:
        async with (
            claude(world) as client,
            client.messages.stream(
                model=CLAUDE,
                max_tokens=99,
                messages=[{"role": "user", "content": f"number {number}"}],
            ) as stream,
        ):
            return "".join([piece async for piece in stream.text_stream])

    texts = await asyncio.gather(*(one(number) for number in range(20)))
    assert all(f'"number {number}"' in text for number, text in enumerate(texts))
    await world.rows(20)


async def test_a_cancelled_stream_is_drained_and_billed_exactly(world: World) -> None:
    world.upstream.always("anthropic-1", Play(delay=0.02))
    async with (
        claude(world) as client,
        client.messages.stream(
            model=CLAUDE,
            max_tokens=99,
            messages=HELLO,  # type: ignore[arg-type]
        ) as stream,
    ):
        async for _ in stream.text_stream:
            break
    row = (await world.rows(1))[0]
    entry = world.upstream.entries[-1]
    assert entry.complete
    assert (row.settled_by, row.status, row.error) == ("drained", 499, "client_left")
    assert row.output_tokens == entry.usage["output_tokens"]


# The SDK's own notice about the demo's model; what matters here is what goes over the wire.
pytestmark = pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")

ERRORS = [
    (400, anthropic.BadRequestError, openai.BadRequestError, 400),
    (404, anthropic.NotFoundError, openai.NotFoundError, 404),
    (429, anthropic.RateLimitError, openai.RateLimitError, 429),
    (500, anthropic.InternalServerError, openai.InternalServerError, 502),
    (529, anthropic.InternalServerError, openai.InternalServerError, None),
]


@pytest.mark.parametrize(("status", "for_claude", "for_gpt", "shown"), ERRORS)
async def test_each_error_raises_the_sdks_own_class(
    world: World, status: int, for_claude: type, for_gpt: type, shown: int | None
) -> None:
    for name in ("anthropic-1", "openai-1", "gemini-1"):
        world.upstream.always(name, Refuse(status, headers=(("retry-after", "3"),)))
    async with claude(world) as client:
        with pytest.raises(for_claude) as caught:
            await client.messages.create(model=CLAUDE, max_tokens=9, messages=HELLO)  # type: ignore[arg-type]
        assert caught.value.status_code == (shown or 529)
        with pytest.raises(for_claude):
            async with client.messages.stream(model=CLAUDE, max_tokens=9, messages=HELLO):  # type: ignore[arg-type]
                pass
    async with gpt(world) as client2:
        with pytest.raises(for_gpt) as caught2:
            await client2.chat.completions.create(model=GPT, messages=HELLO)  # type: ignore[arg-type]
        assert caught2.value.status_code == (shown or 503)
        with pytest.raises(for_gpt):
            await client2.responses.create(model=GPT, input="x")
    async with gemini(world) as client3:
        with pytest.raises(genai_errors.APIError) as caught3:
            await client3.models.generate_content(model=GEMINI, contents="x")
    assert caught3.value.code == (shown or 503)
    assert caught3.value.status
    # An account that rests is not asked again: the second call to it is refused at the door.
    rows = await world.rows(3 if status in {429, 529} else 5)
    assert all(row.cost == 0 and row.error for row in rows)


async def test_a_wrong_key_is_an_authentication_error_everywhere(world: World) -> None:
    world.key = "sk-wrong-wrong-wrong"
    async with claude(world) as client:
        with pytest.raises(anthropic.AuthenticationError):
            await client.messages.create(model=CLAUDE, max_tokens=9, messages=HELLO)  # type: ignore[arg-type]
    async with gpt(world) as client2:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client2.chat.completions.create(model=GPT, messages=HELLO)  # type: ignore[arg-type]
        assert caught.value.code == "invalid_api_key"
    async with gemini(world) as client3:
        with pytest.raises(genai_errors.ClientError) as caught2:
            await client3.models.generate_content(model=GEMINI, contents="x")
    assert caught2.value.status == "UNAUTHENTICATED"
    assert not world.upstream.entries


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_stream_that_breaks_off_is_an_error_to_every_sdk(world: World, how: str) -> None:
    for name in ("anthropic-1", "openai-1", "gemini-1"):
        world.upstream.always(name, Play(cut_after=6, cut_how=how))  # type: ignore[arg-type]
    async with claude(world) as client:
        with pytest.raises(anthropic.APIError):
            async with client.messages.stream(model=CLAUDE, max_tokens=9, messages=HELLO) as stream:  # type: ignore[arg-type]
                await stream.get_final_message()
    async with gpt(world) as client2:
        chunks = await client2.chat.completions.create(model=GPT, messages=HELLO, stream=True)  # type: ignore[call-overload]
        with pytest.raises(openai.APIError):
            [chunk async for chunk in chunks]
        events = await client2.responses.create(model=GPT, input="x", stream=True)
        assert [event.type async for event in events][-1] == "response.failed"
    async with gemini(world) as client3:
        pieces = await client3.models.generate_content_stream(model=GEMINI, contents="x")
        with pytest.raises(genai_errors.APIError):
            [piece async for piece in pieces]
    assert all(row.truncated for row in await world.rows(4))
