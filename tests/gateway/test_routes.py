"""The route table: forgiving where clients differ, JSON refusals elsewhere."""

from __future__ import annotations

import pytest

from sub2api.gateway.routes import Match, RouteError, match
from sub2api.model.routes import Operation, Wire

GENERATE, COUNT, EMBED = Operation.GENERATE, Operation.COUNT_TOKENS, Operation.EMBED


@pytest.mark.parametrize("prefix", ["/v1", "", "/v1/v1", "/v1beta"])
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("tail", "wire", "operation"),
    [
        ("messages", Wire.MESSAGES, GENERATE),
        ("messages/count_tokens", Wire.MESSAGES, COUNT),
        ("responses", Wire.RESPONSES, GENERATE),
        ("responses/compact", Wire.RESPONSES, Operation.COMPACT),
        ("responses/input_tokens", Wire.RESPONSES, COUNT),
        ("chat/completions", Wire.CHAT, GENERATE),
        ("embeddings", Wire.CHAT, EMBED),
    ],
)
def test_posts_are_found_with_and_without_their_version(
    prefix: str, slash: str, tail: str, wire: Wire, operation: Operation
) -> None:
    found = match("POST", f"{prefix}/{tail}{slash}", [])
    assert (found.wire, found.operation, found.tail) == (wire, operation, tail)


@pytest.mark.parametrize("prefix", ["/v1beta", "/v1", ""])
@pytest.mark.parametrize(
    ("action", "operation"),
    [("generateContent", GENERATE), ("streamGenerateContent", GENERATE), ("countTokens", COUNT),
     ("embedContent", EMBED), ("batchEmbedContents", EMBED)],
)  # fmt: skip
def test_gemini_actions_are_found_under_every_version(
    prefix: str, action: str, operation: Operation
) -> None:
    for path in (f"{prefix}/models/a/b:{action}", f"{prefix}/models/a/b/{action}"):
        found = match("POST", path, [])
        assert (found.model, found.action, found.operation) == ("a/b", action, operation)
        assert found.version == prefix.lstrip("/")


@pytest.mark.parametrize(
    ("path", "names", "wire"),
    [
        ("/v1/models", [], Wire.CHAT),
        ("/v1/models", [b"anthropic-version"], Wire.MESSAGES),
        ("/v1/models", [b"x-goog-api-key", b"anthropic-version"], Wire.GEMINI),
        ("/v1beta/models", [], Wire.GEMINI),
    ],
)
def test_the_same_list_is_asked_by_three_vendors_clients(
    path: str, names: list[bytes], wire: Wire
) -> None:
    assert match("GET", path, names) == Match(wire, Operation.MODELS, "models", path.split("/")[1])
    assert match("GET", path + "/m", names).model == "m"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("POST", "/", 404),
        ("POST", "/v1", 404),
        ("POST", "/v1betamodels", 404),
        ("POST", "/v2/messages", 404),
        ("GET", "/v1/messages", 405),
        ("GET", "/v1/responses", 426),
        ("DELETE", "/v1/responses", 405),
        ("POST", "/v1/models", 405),
        ("POST", "/v1beta/models/m:fly", 404),
        ("DELETE", "/v1/models/m", 405),
        ("POST", "/v1/usage", 404),
    ],
)
def test_what_is_not_served_is_refused(method: str, path: str, status: int) -> None:
    with pytest.raises(RouteError) as caught:
        match(method, path, [])
    assert caught.value.status == status


def test_usage_is_found() -> None:
    assert match("GET", "/v1/usage", []).operation is Operation.USAGE
