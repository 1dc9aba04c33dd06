"""The Messages wire as Anthropic speaks it. Source: Anthropic's API reference."""

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

_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error",
    403: "permission_error", 404: "not_found_error", 413: "request_too_large",
    429: "rate_limit_error", 529: "overloaded_error",
}  # fmt: skip


def error_body(status: int, message: str) -> bytes:
    """Return an error reply."""
    kind = _TYPES.get(status, "api_error")
    return encode({"type": "error", "error": {"type": kind, "message": message}})


def count(body: dict[str, Any]) -> dict[str, Any]:
    """Answer count_tokens."""
    return {"input_tokens": tokens_in([body.get("system", ""), body.get("messages", [])])}


def model_row(name: str) -> dict[str, Any]:
    """Return one row of the model list."""
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "2025-09-29T00:00:00Z",
    }


def generate(scene: Scene) -> Answer:
    """Answer a Messages request."""
    blocks = _blocks(scene)
    usage = _usage(scene, blocks)
    stop = "tool_use" if blocks[-1]["type"] == "tool_use" else "end_turn"
    message = {
        "id": f"msg_{scene.request_id}",
        "type": "message",
        "role": "assistant",
        "model": scene.model,
        "content": [
            {key: value for key, value in block.items() if key != "pieces"} for block in blocks
        ],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }
    return Answer(
        whole=message,
        events=_events(scene, message, blocks, usage),
        usage=usage,
        error=_event(
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        ),
    )


def _blocks(scene: Scene) -> list[dict[str, Any]]:
    body = scene.body
    blocks: list[dict[str, Any]] = []
    thinking = body.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") in {"enabled", "adaptive"}:
        pieces = ["Let me ", "think."]
        blocks.append(
            {
                "type": "thinking",
                "thinking": "".join(pieces),
                "signature": "c2NyaXB0ZWQ=",
                "pieces": pieces,
            }
        )
    tools = [tool for tool in body.get("tools") or [] if isinstance(tool, dict)]
    choice = body.get("tool_choice") or {}
    forced = isinstance(choice, dict) and choice.get("type") in {"any", "tool"}
    if tools and not _answers_tool(body) and wants_tool(body.get("messages", []), forced):
        tool = next((each for each in tools if each.get("name") == choice.get("name")), tools[0])
        blocks.append(
            {
                "type": "tool_use",
                "id": f"toolu_{scene.request_id}",
                "name": tool.get("name", "tool"),
                "input": arguments_for(tool.get("input_schema")),
            }
        )
        return blocks
    words = words_for(scene, body.get("messages", []))
    blocks.append({"type": "text", "text": "".join(words), "pieces": words})
    return blocks


def _answers_tool(body: dict[str, Any]) -> bool:
    messages = body.get("messages") or [{}]
    content = messages[-1].get("content") if isinstance(messages[-1], dict) else None
    return isinstance(content, list) and any(
        isinstance(part, dict) and part.get("type") == "tool_result" for part in content
    )


def _usage(scene: Scene, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    body = scene.body
    total = tokens_in([body.get("system", ""), body.get("messages", [])])
    usage = {
        "input_tokens": total,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": sum(len(block.get("pieces", ["{}"])) for block in blocks),
        "service_tier": scene.play.service_tier or "standard",
    }
    if b'"cache_control"' in encode(body):
        part = max(1, total - 1)
        usage["input_tokens"] = total - part
        if scene.cached:
            usage["cache_read_input_tokens"] = part
        else:
            usage["cache_creation_input_tokens"] = part
            usage["cache_creation"] = {
                "ephemeral_5m_input_tokens": part,
                "ephemeral_1h_input_tokens": 0,
            }
    return {**usage, **scene.play.usage}


def _events(
    scene: Scene, message: dict[str, Any], blocks: list[dict[str, Any]], usage: dict[str, Any]
) -> list[Event]:
    first = {**usage, "output_tokens": 1}
    start = {**message, "content": [], "stop_reason": None, "usage": first}
    events = [Event(_event({"type": "message_start", "message": start}), usage=first)]
    for index, block in enumerate(blocks):
        events += _block_events(index, block)
        if index == 0:
            events.append(Event(_event({"type": "ping"})))
    final = {"output_tokens": usage["output_tokens"]}
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    events.append(
        Event(_event({"type": "message_delta", "delta": delta, "usage": final}), usage=usage)
    )
    if scene.play.terminal:
        events.append(Event(_event({"type": "message_stop"})))
    return events


def _block_events(index: int, block: dict[str, Any]) -> list[Event]:
    kind = block["type"]
    empty = {
        "text": {"type": "text", "text": ""},
        "thinking": {"type": "thinking", "thinking": "", "signature": ""},
        "tool_use": {**block, "input": {}},
    }[kind]
    deltas: list[dict[str, Any]]
    if kind == "tool_use":
        deltas = [{"type": "input_json_delta", "partial_json": encode(block["input"]).decode()}]
    else:
        deltas = [{"type": f"{kind}_delta", kind: piece} for piece in block["pieces"]]
    if kind == "thinking":
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    events = [
        Event(_event({"type": "content_block_start", "index": index, "content_block": empty}))
    ]
    events += [
        Event(_event({"type": "content_block_delta", "index": index, "delta": delta}), words=1)
        for delta in deltas
    ]
    events.append(Event(_event({"type": "content_block_stop", "index": index})))
    return events


def _event(data: dict[str, Any]) -> bytes:
    return b"event: " + str(data["type"]).encode() + b"\ndata: " + encode(data) + b"\n\n"
