"""Which conversation a call belongs to, so that it can stay with the account that has its cache.

The first of these that says something counts: a header that the client sends for it, an id in the
body, the conversation's opening (`protocols/sessions.py`). What a client sends is never used as it
is: a name has a digest of it, and belongs to one API key. It depends on the id and the wire, not on
where the id stood: a front proxy that drops a header does not move the conversation.
"""

from __future__ import annotations

from hashlib import blake2b

from sub2api.gateway.call import Call
from sub2api.model.routes import Operation, Wire
from sub2api.protocols.interface import Dialect
from sub2api.protocols.sessions import OPENING, SIGNS, Sign

_HEADERS = tuple(
    (name.encode(), f"header {name}")
    for name in (
        "x-claude-code-session-id",
        "session-id",  # Codex
        "session_id",  # Codex until 0.80, pi; a front proxy may drop it for its underscore
        "thread-id",
        "conversation-id",
        "conversation_id",
        "x-session-id",  # opencode, with the same id as the next
        "x-session-affinity",
    )
)
_PERSON_ID = {wire: f"{wire.value} id".encode() for wire in Wire}
_PERSON_OPENING = {wire: f"{wire.value} start".encode() for wire in Wire}
"""Separate names by wire: a client that speaks two at once (opencode with models of two vendors)
would otherwise move one binding to and fro between their accounts."""


def session_of(call: Call, body: bytes, dialect: Dialect, *, key_id: int) -> str:
    """Return a short name for the conversation of a call, "" when nothing identifies it.

    `body` is the plain body, or the outline of a large one. Calls of one conversation under one API
    key have the same name, and so have all that begin alike and carry no id. Never raises.
    Embeddings belong to none. A conversation without an id gets another name when it grows past the
    size from which on there are outlines: its long texts cannot be seen any more.
    """
    if call.match.operation is Operation.EMBED:
        return ""
    sign = sign_of(call, body, dialect)
    if sign is None:
        return ""
    persons = _PERSON_OPENING if sign.source is OPENING else _PERSON_ID
    return _name(key_id, sign.value, persons[dialect.wire])


def names_of(session_id: str, key_id: int) -> tuple[str, ...]:
    """Return the names that a conversation has whose client sends this id, one for each wire."""
    value = session_id.strip().encode()
    return tuple(_name(key_id, value, person) for person in _PERSON_ID.values())


def _name(key_id: int, value: bytes, person: bytes) -> str:
    digest = blake2b(value, digest_size=16, person=person)
    return f"{key_id}:{digest.hexdigest()}"


def sign_of(call: Call, body: bytes, dialect: Dialect) -> Sign | None:
    """Return what identifies a call's conversation and where it was found; None for nothing."""
    fields = call.fields
    for name, source in _HEADERS:
        if name in fields and (value := fields[name].strip()):
            return Sign(source, value)
    return SIGNS[dialect.wire](body)
