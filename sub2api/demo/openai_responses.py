"""Responses as OpenAI speaks them. Source: OpenAI's API reference."""

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
from sub2api.demo.openai import usage_details


def count(body: dict[str, Any]) -> dict[str, Any]:
    """Answer input_tokens."""
    given = [body.get("instructions") or "", body.get("input", "")]
    return {"object": "response.input_tokens", "input_tokens": tokens_in(given)}


def generate(scene: Scene) -> Answer:
    """Answer a Responses request."""
    body = scene.body
    prompt = tokens_in([body.get("instructions") or "", body.get("input", "")])
    tool = _tool(body)
    words = [] if tool else words_for(scene, body.get("input", ""))
    produced = len(words) or 5
    cached, made = usage_details(scene, prompt, produced)
    usage = {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": produced,
        "output_tokens_details": made,
        "total_tokens": prompt + produced,
        **scene.play.usage,
    }
    items = _items(scene, words, tool)
    whole = _response(scene, "completed", items, usage)
    error = {
        "type": "error",
        "sequence_number": 99,
        "code": "server_error",
        "message": "The server had an error",
        "param": None,
    }
    return Answer(
        whole=whole,
        events=_events(scene, items, words, whole),
        usage=usage,
        error=b"event: error\ndata: " + encode(error) + b"\n\n",
    )


def _tool(body: dict[str, Any]) -> dict[str, Any] | None:
    tools = [
        tool
        for tool in body.get("tools") or []
        if isinstance(tool, dict) and tool.get("type") == "function"
    ]
    given = body.get("input")
    last = given[-1] if isinstance(given, list) and given else {}
    if not tools or (isinstance(last, dict) and last.get("type") == "function_call_output"):
        return None
    choice = body.get("tool_choice")
    forced = choice == "required" or isinstance(choice, dict)
    return tools[0] if wants_tool(given, forced) else None


def _items(scene: Scene, words: list[str], tool: dict[str, Any] | None) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if scene.body.get("reasoning"):
        summary = [{"type": "summary_text", "text": "Thinking it over."}]
        items.append({"id": f"rs_{scene.request_id}", "type": "reasoning", "summary": summary})
    if tool:
        items.append(
            {
                "id": f"fc_{scene.request_id}",
                "type": "function_call",
                "status": "completed",
                "call_id": f"call_{scene.request_id}",
                "name": tool.get("name", "tool"),
                "arguments": encode(arguments_for(tool.get("parameters"))).decode(),
            }
        )
        return items
    content = {"type": "output_text", "text": "".join(words), "annotations": [], "logprobs": []}
    items.append(
        {
            "id": f"msg_{scene.request_id}",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [content],
        }
    )
    return items


def _response(
    scene: Scene, status: str, items: list[dict[str, Any]], usage: dict[str, Any] | None
) -> dict[str, Any]:
    body = scene.body
    return {
        "id": f"resp_{scene.request_id}",
        "object": "response",
        "created_at": 1763000000,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": scene.model,
        "output": items,
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "service_tier": scene.play.service_tier or "default",
        "store": body.get("store") is not False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "metadata": {},
    }


def _events(
    scene: Scene, items: list[dict[str, Any]], words: list[str], whole: dict[str, Any]
) -> list[Event]:
    begun = _response(scene, "in_progress", [], None)
    plain: list[tuple[dict[str, Any], int]] = [
        ({"type": "response.created", "response": begun}, 0),
        ({"type": "response.in_progress", "response": begun}, 0),
    ]
    for index, item in enumerate(items):
        plain += _item_events(index, item, words)
    if scene.play.terminal:
        plain.append(({"type": "response.completed", "response": whole}, 0))
    events = []
    for number, (data, count_of_words) in enumerate(plain):
        usage = whole["usage"] if data["type"] == "response.completed" else {}
        numbered = {"type": data["type"], "sequence_number": number, **data}
        raw = b"event: " + data["type"].encode() + b"\ndata: " + encode(numbered) + b"\n\n"
        events.append(Event(raw, usage=usage, words=count_of_words))
    return events


def _item_events(
    index: int, item: dict[str, Any], words: list[str]
) -> list[tuple[dict[str, Any], int]]:
    place = {"output_index": index}
    empty = {**item, "status": "in_progress"} if "status" in item else item
    if item["type"] == "message":
        empty = {**empty, "content": []}
    events: list[tuple[dict[str, Any], int]] = [
        ({"type": "response.output_item.added", **place, "item": empty}, 0)
    ]
    here = {"item_id": item["id"], **place}
    if item["type"] == "function_call":
        arguments = item["arguments"]
        delta = "response.function_call_arguments"
        events.append(({"type": f"{delta}.delta", **here, "delta": arguments}, 1))
        done = {"type": f"{delta}.done", **here, "arguments": arguments, "name": item["name"]}
        events.append((done, 0))
    if item["type"] == "message":
        events += _text_events({**here, "content_index": 0}, item["content"][0], words)
    events.append(({"type": "response.output_item.done", **place, "item": item}, 0))
    return events


def _text_events(
    here: dict[str, Any], part: dict[str, Any], words: list[str]
) -> list[tuple[dict[str, Any], int]]:
    empty = {**part, "text": ""}
    text = "response.output_text"
    return [
        ({"type": "response.content_part.added", **here, "part": empty}, 0),
        *(({"type": f"{text}.delta", **here, "delta": word, "logprobs": []}, 1) for word in words),
        ({"type": f"{text}.done", **here, "text": part["text"], "logprobs": []}, 0),
        ({"type": "response.content_part.done", **here, "part": part}, 0),
    ]
