"""The Gemini wire as Google speaks it. Source: Google's Gemini API reference."""

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

_STATUSES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE",
}  # fmt: skip


def error_body(status: int, message: str) -> bytes:
    """Return an error reply."""
    word = _STATUSES.get(status, "INTERNAL")
    return encode({"error": {"code": status, "message": message, "status": word}})


def model_row(name: str) -> dict[str, Any]:
    """Return one row of the model list."""
    embeds = "embedding" in name
    actions = ["embedContent"] if embeds else ["generateContent", "countTokens"]
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": actions,
    }


def count(body: dict[str, Any]) -> dict[str, Any]:
    """Answer countTokens."""
    request = body.get("generateContentRequest", body)
    return {"totalTokens": tokens_in(request.get("contents", []))}


def embed(body: dict[str, Any]) -> dict[str, Any]:
    """Answer embedContent."""
    return {"embedding": {"values": [0.25, -0.5, 0.75]}}


def embed_batch(body: dict[str, Any]) -> dict[str, Any]:
    """Answer batchEmbedContents."""
    return {"embeddings": [{"values": [0.25, -0.5, 0.75]} for _ in body.get("requests", [])]}


def generate(scene: Scene) -> Answer:
    """Answer generateContent, and streamGenerateContent with `alt=sse`."""
    body = scene.body
    contents = body.get("contents", [])
    tool = _tool(body)
    pieces: list[dict[str, Any]] = []
    config = body.get("generationConfig") or {}
    thinks = bool((config.get("thinkingConfig") or {}).get("includeThoughts"))
    if thinks:
        pieces.append({"text": "Let me think.", "thought": True})
    if tool:
        call = {"name": tool.get("name", "tool"), "args": arguments_for(_schema(tool))}
        pieces.append({"functionCall": call, "thoughtSignature": "c2NyaXB0ZWQ="})
    else:
        pieces += [{"text": word} for word in words_for(scene, contents)]
    prompt = tokens_in([body.get("systemInstruction") or "", contents])
    usage = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": len(pieces) - thinks,
        "thoughtsTokenCount": 3 if thinks else 0,
        "totalTokenCount": prompt + len(pieces),
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
        **({"cachedContentTokenCount": prompt // 2} if scene.cached else {}),
        **scene.play.usage,
    }
    return Answer(
        whole=_chunk(scene, _merged(pieces), "STOP", usage),
        events=_events(scene, pieces, usage),
        usage=usage,
        error=b"data: " + error_body(503, "The model is overloaded.") + b"\n\n",
    )


def _tool(body: dict[str, Any]) -> dict[str, Any] | None:
    declared: list[dict[str, Any]] = []
    for tool in body.get("tools") or []:
        declared += tool.get("functionDeclarations") or tool.get("function_declarations") or []
    contents = body.get("contents") or [{}]
    parts = contents[-1].get("parts") or [] if isinstance(contents[-1], dict) else []
    answered = any("functionResponse" in part for part in parts if isinstance(part, dict))
    mode = ((body.get("toolConfig") or {}).get("functionCallingConfig") or {}).get("mode")
    if not declared or answered:
        return None
    return declared[0] if wants_tool(contents, mode == "ANY") else None


def _schema(tool: dict[str, Any]) -> Any:
    return tool.get("parametersJsonSchema") or tool.get("parameters") or {}


def _merged(pieces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join adjacent plain texts, as a whole reply does."""
    merged: list[dict[str, Any]] = []
    for piece in pieces:
        if merged and set(piece) == {"text"} == set(merged[-1]):
            merged[-1] = {"text": merged[-1]["text"] + piece["text"]}
        else:
            merged.append(piece)
    return merged


def _chunk(
    scene: Scene, parts: list[dict[str, Any]], finish: str | None, usage: dict[str, Any]
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": scene.model,
        "responseId": scene.request_id,
    }


def _events(scene: Scene, pieces: list[dict[str, Any]], usage: dict[str, Any]) -> list[Event]:
    events = []
    for number, piece in enumerate(pieces, 1):
        last = number == len(pieces)
        so_far = usage if last else {**usage, "candidatesTokenCount": number}
        finish = "STOP" if last and scene.play.terminal else None
        chunk = _chunk(scene, [piece], finish, so_far)
        events.append(Event(b"data: " + encode(chunk) + b"\r\n\r\n", usage=so_far, words=1))
    return events
