"""Requests to Anthropic-compatible hosts. Source: Anthropic's API reference, Messages."""

from __future__ import annotations

import msgspec

from sub2api.model.accounts import Account
from sub2api.platforms.addresses import join, safe_query
from sub2api.platforms.forwarding import JSON, signed
from sub2api.platforms.interface import Outgoing
from sub2api.platforms.model_lists import ids_of
from sub2api.transport.messages import Request

DEFAULT_BASE_URL = "https://api.anthropic.com"
_VERSION = (b"anthropic-version", b"2023-06-01")


def build(outgoing: Outgoing, account: Account) -> Request:
    """Address and sign a call. The client's query (`?beta=true`) passes as sent."""
    headers = signed(outgoing, (b"x-api-key", account.api_key.encode()), _VERSION, JSON)
    base = account.base_url or DEFAULT_BASE_URL
    url = join(base, "v1", outgoing.tail) + safe_query(outgoing.query)
    return Request(outgoing.method, url, headers)


def models_request(account: Account) -> Request:
    """Ask for the account's models."""
    url = join(account.base_url or DEFAULT_BASE_URL, "v1", "models") + "?limit=1000"
    return Request("GET", url, [_VERSION, (b"x-api-key", account.api_key.encode())])


def model_ids(body: bytes) -> list[str]:
    """Read `{"data": [{"id": ...}]}`."""
    return ids_of(body, "data", "id")


def probe(account: Account, model: str) -> Request:
    """Build the smallest generation: one token."""
    body = msgspec.json.encode(
        {"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
    )
    headers = [
        _VERSION,
        (b"content-type", b"application/json"),
        (b"x-api-key", account.api_key.encode()),
    ]
    return Request(
        "POST", join(account.base_url or DEFAULT_BASE_URL, "v1", "messages"), headers, body
    )
