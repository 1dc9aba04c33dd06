"""What every vendor offers to the gateway. The list of vendors is in `platforms/__init__.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from sub2api.errors import UpstreamError
from sub2api.model.accounts import Account, PlatformName
from sub2api.model.health import UsageWindow
from sub2api.model.routes import Operation, Wire
from sub2api.transport.messages import Headers, Request

Edit = Callable[[bytes], bytes]
"""What is done to a request's body on its way. Raises ClientError 400 for a body it cannot be."""


class Outgoing(msgspec.Struct, frozen=True):
    """Calls alike, without their bodies, as a vendor folder sees them: to be addressed and signed.

    `tail` is the path below the version segment, `version` the client's version segment ("" if it
    sent none). `model` is the upstream's name for the model. `stream` and `wants_usage` are the
    client's wishes.
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
    stream: bool
    wants_usage: bool


@dataclass(frozen=True, slots=True)
class Platform:
    """One vendor, as plain functions.

    `serves` are the wires it speaks natively. `request(outgoing, account)` is the request without
    its body: URL, credential and headers; `edit(outgoing)` is what has to be done to such bodies,
    None for nothing. `judge(status, headers, body, now)` classifies a refusal (status >= 300):
    pure, no state. `windows(fields, now)` is what a reply's header fields say of the account's
    usage windows, () at once if they say nothing. `now` is in seconds since 1970.
    `models_request(account)` asks for the account's model list; `model_ids(body)` reads the answer.
    `probe(account, model)` is the smallest possible generation.
    """

    name: PlatformName
    default_base_url: str
    serves: frozenset[Wire]
    request: Callable[[Outgoing, Account], Request]
    edit: Callable[[Outgoing], Edit | None]
    judge: Callable[[int, Headers, bytes, float], UpstreamError]
    windows: Callable[[Mapping[bytes, bytes], float], tuple[UsageWindow, ...]]
    models_request: Callable[[Account], Request]
    model_ids: Callable[[bytes], list[str]]
    probe: Callable[[Account, str], Request]
    default_models: tuple[str, ...]
