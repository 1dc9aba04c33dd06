"""Requests to the Gemini API. Source: Google's Gemini API reference (generativelanguage)."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from sub2api.model.accounts import Account
from sub2api.platforms.addresses import join, safe_query
from sub2api.platforms.forwarding import JSON, signed
from sub2api.platforms.interface import Outgoing
from sub2api.platforms.model_lists import ids_of
from sub2api.transport.messages import Request

DEFAULT_BASE_URL = "https://generativelanguage.googleapis.com"


def build(outgoing: Outgoing, account: Account) -> Request:
    """Address and sign a call; the model is in the path, the client's version segment is kept."""
    headers = signed(outgoing, _credential(account), JSON)
    url = _url(account, outgoing.version, outgoing.model, outgoing.action)
    return Request(outgoing.method, url + safe_query(outgoing.query), headers)


def models_request(account: Account) -> Request:
    """Ask for the account's models."""
    url = join(account.base_url or DEFAULT_BASE_URL, "v1beta", "models") + "?pageSize=1000"
    return Request("GET", url, [_credential(account)])


def model_ids(body: bytes) -> list[str]:
    """Read `{"models": [{"name": "models/..."}]}`."""
    return [name.removeprefix("models/") for name in ids_of(body, "models", "name")]


def probe(account: Account, model: str) -> Request:
    """Build the smallest generation: one token."""
    body = msgspec.json.encode(
        {
            "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
            "generationConfig": {"maxOutputTokens": 1},
        }
    )
    headers = [(b"content-type", b"application/json"), _credential(account)]
    return Request("POST", _url(account, "", model, "generateContent"), headers, body)


def _url(account: Account, version: str, model: str, action: str) -> str:
    base = account.base_url or DEFAULT_BASE_URL
    return join(base, version or "v1beta", f"models/{quote(model, safe='/')}:{action}")


def _credential(account: Account) -> tuple[bytes, bytes]:
    return (b"x-goog-api-key", account.api_key.encode())
