"""Chat Completions and Embeddings as OpenAI speaks them. Source: OpenAI's API reference."""

from __future__ import annotations

from typing import Any

from sub2api.demo.generation import (
    Answer,
    Event,
    Scene,
    arguments_for,
    encode,
    tokens_in,
    wants_tool,
    words_for,
)

_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


def error_body(status: int, message: str) -> bytes:
    """Return an error reply."""
    kind = "invalid_request_error" if status < 500 and status != 429 else "server_error"
    error = {"message": message, "type": kind, "param": None, "code": _CODES.get(status)}
    return encode({"error": error})


def model_row(name: str) -> dict[str, Any]:
    """Return one row of the model list."""
    return {"id": name, "object": "model", "created": 1763000000, "owned_by": "scripted"}


def embed(body: dict[str, Any]) -> dict[str, Any]:
    """Answer an embeddings request: three numbers a text."""
    given = body.get("input", "")
    inputs = given if isinstance(given, list) else [given]
    used = tokens_in(inputs)
    rows = [
        {"object": "embedding", "index": index, "embedding": [0.25, -0.5, len(str(text)) % 7 / 8]}
        for index, text in enumerate(inputs)
    ]
    return {
        "object": "list",
        "data": rows,
        "model": body.get("model", ""),
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def usage_details(scene: Scene, prompt: int, produced: int) -> tuple[int, dict[str, int]]:
    """Return the cached part of a prompt, and the details of an output."""
    cached = prompt // 2 if scene.cached else 0
    return cached, {"reasoning_tokens": min(2, produced) if scene.body.get("reasoning") else 0}


def chat(scene: Scene) -> Answer:
    """Answer a Chat request."""
    body = scene.body
    messages = body.get("messages", [])
    tool = _tool(body)
    words = [] if tool else words_for(scene, messages)
    prompt = tokens_in(messages)
    produced = len(words) or 5
    usage = _chat_usage(scene, prompt, produced)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(words) or None,
        "refusal": None,
        "annotations": [],
    }
    if tool:
        message["tool_calls"] = [_call(scene, tool)]
    finish = "tool_calls" if tool else "stop"
    base = {
        "id": f"chatcmpl-{scene.request_id}",
        "created": 1763000000,
        "model": scene.model,
        "service_tier": scene.play.service_tier or "default",
        "system_fingerprint": "fp_scripted",
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return Answer(
        whole={**base, "object": "chat.completion", "choices": [choice], "usage": usage},
        events=_events(scene, base, (words, message), usage),
        usage=usage,
        error=b"data: " + error_body(500, "The server had an error") + b"\n\n",
    )


def _chat_usage(scene: Scene, prompt: int, produced: int) -> dict[str, Any]:
    cached, made = usage_details(scene, prompt, produced)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": produced,
        "total_tokens": prompt + produced,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            **made,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
        **scene.play.usage,
    }


def _tool(body: dict[str, Any]) -> dict[str, Any] | None:
    tools = [tool.get("function") for tool in body.get("tools") or [] if isinstance(tool, dict)]
    messages = body.get("messages") or [{}]
    if not tools or not isinstance(tools[0], dict) or messages[-1].get("role") == "tool":
        return None
    choice = body.get("tool_choice")
    forced = choice == "required" or isinstance(choice, dict)
    return tools[0] if wants_tool(messages, forced) else None


def _call(scene: Scene, tool: dict[str, Any]) -> dict[str, Any]:
    arguments = encode(arguments_for(tool.get("parameters"))).decode()
    return {
        "id": f"call_{scene.request_id}",
        "type": "function",
        "function": {"name": tool.get("name", "tool"), "arguments": arguments},
    }


def _events(
    scene: Scene,
    base: dict[str, Any],
    content: tuple[list[str], dict[str, Any]],
    usage: dict[str, Any],
) -> list[Event]:
    words, message = content
    options = scene.body.get("stream_options")
    asked = isinstance(options, dict) and options.get("include_usage") is True
    extra = {"usage": None} if asked else {}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _data({**base, "object": "chat.completion.chunk", "choices": [choice], **extra})

    events = [Event(chunk({"role": "assistant", "content": "", "refusal": None}))]
    events += [Event(chunk({"content": word}), words=1) for word in words]
    for call in message.get("tool_calls", []):
        events.append(Event(chunk({"tool_calls": [{"index": 0, **call}]}), words=1))
    events.append(Event(chunk({}, "tool_calls" if "tool_calls" in message else "stop")))
    if asked:
        final = {**base, "object": "chat.completion.chunk", "choices": [], "usage": usage}
        events.append(Event(_data(final), usage=usage))
    if scene.play.terminal:
        events.append(Event(b"data: [DONE]\n\n"))
    else:
        del events[len(words) + 1 :]
    return events


def _data(value: dict[str, Any]) -> bytes:
    return b"data: " + encode(value) + b"\n\n"
