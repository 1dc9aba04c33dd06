"""What every vendor offers to the gateway. The list of vendors is in `platforms/__init__.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from sub2api.errors import UpstreamError
from sub2api.model.accounts import Account, PlatformName
from sub2api.model.routes import Operation, Wire
from sub2api.transport.messages import Headers, Request


class Outgoing(msgspec.Struct, frozen=True):
    """A client's call as a vendor folder sees it, ready to be addressed and signed.

    `tail` is the path below the version segment, `version` the client's version segment ("" if it
    sent none). `model` is the upstream's name for the model, already in `body` where the wire has
    it there. `stream` and `wants_usage` are the client's wishes. `memo` is `gateway.call.Call`'s.
    """

    wire: Wire
    operation: Operation
    method: str
    tail: str
    version: str
    model: str
    action: str
    query: bytes
    headers: Headers
    memo: dict[Any, Any]
    body: bytes
    stream: bool
    wants_usage: bool


@dataclass(frozen=True, slots=True)
class Platform:
    """One vendor, as plain functions.

    `serves` are the wires it speaks natively. `request(outgoing, account)` adds URL, credential and
    headers. `judge(status, headers, body)` classifies a refusal (status >= 400): pure, no state.
    `models_request(account)` asks for the account's model list; `model_ids(body)` reads the answer.
    `probe_body(model)` is the (tail, body) of the smallest possible generation.
    """

    name: PlatformName
    default_base_url: str
    serves: frozenset[Wire]
    request: Callable[[Outgoing, Account], Request]
    judge: Callable[[int, Headers, bytes], UpstreamError]
    models_request: Callable[[Account], Request]
    model_ids: Callable[[bytes], list[str]]
    probe: Callable[[Account, str], Request]
    default_models: tuple[str, ...]
