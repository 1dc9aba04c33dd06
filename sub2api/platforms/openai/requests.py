"""Requests to OpenAI-compatible hosts. Source: OpenAI's API reference."""

from __future__ import annotations

import msgspec

from sub2api.model.accounts import Account
from sub2api.model.routes import Operation, Wire
from sub2api.platforms.addresses import join, safe_query
from sub2api.platforms.forwarding import JSON, signed
from sub2api.platforms.interface import Edit, Outgoing
from sub2api.platforms.model_lists import ids_of
from sub2api.protocols.chat.usage_option import ask_for_usage
from sub2api.protocols.responses.history import keep_history
from sub2api.transport.messages import Request

DEFAULT_BASE_URL = "https://api.openai.com"


def build(outgoing: Outgoing, account: Account) -> Request:
    """Address and sign a call."""
    headers = signed(outgoing, _credential(account), JSON)
    return Request(
        outgoing.method, _url(account, outgoing.tail) + safe_query(outgoing.query), headers
    )


def edit_of(outgoing: Outgoing) -> Edit | None:
    """Return the one edit there may be.

    A Chat stream always asks for its usage, and a Responses call that relies on the vendor's
    history asks for its own reply to be stored too.
    """
    if outgoing.operation is not Operation.GENERATE:
        return None
    if outgoing.wire is Wire.RESPONSES:
        return keep_history
    asks = outgoing.wire is Wire.CHAT and outgoing.stream and not outgoing.wants_usage
    return ask_for_usage if asks else None


def models_request(account: Account) -> Request:
    """Ask for the account's models."""
    return Request("GET", _url(account, "models"), [_credential(account)])


def model_ids(body: bytes) -> list[str]:
    """Read `{"data": [{"id": ...}]}`."""
    return ids_of(body, "data", "id")


def probe(account: Account, model: str) -> Request:
    """Build the smallest generation: Chat is what every compatible host has."""
    body = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": "hi"}]})
    headers = [(b"content-type", b"application/json"), _credential(account)]
    return Request("POST", _url(account, "chat/completions"), headers, body)


def _url(account: Account, tail: str) -> str:
    return join(account.base_url or DEFAULT_BASE_URL, "v1", tail)


def _credential(account: Account) -> tuple[bytes, bytes]:
    return (b"authorization", b"Bearer " + account.api_key.encode())
