"""What a request body says about the conversation it belongs to: an id, or how it began.

One function per wire. Nothing here raises: a body of another shape says nothing, and whatever is
no id is passed over for the next source. Where clients put their ids was read from their traffic:
`prompt_cache_key` (Codex, opencode and pi on Responses), `metadata.user_id` (Claude Code: a JSON
string with `session_id`, formerly `user_<hex>_account_<uuid>_session_<uuid>`), `session_id` within
a Code Assist envelope (Gemini CLI).

A body without an id is known by its *opening*: the system prompt and what the user said before the
first answer. That stays as it is while the conversation grows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec.structs import astuple

from sub2api.model.routes import Wire

T = TypeVar("T")

_BILLING = b"x-anthropic-billing-header"
"""How Claude Code's first system block begins. Its version's last part changes with the prompt."""
_BILLING_TEXT = _BILLING.decode()
_WHOLE = 32768
"""Up to so many bytes of JSON a text or file counts as a whole, a longer one by its ends and its
length: an opening of 400 KB would take a millisecond to hash."""
_END = 16384
_QUOTE = b'"'
_SYSTEM_ROLES = frozenset({"system", "developer"})
_MOST_SAID = 4
"""A client's own setup text may come as a user message before the prompt (Codex, Gemini CLI). A
chat in which nobody ever answers has to keep its name, too."""


class Sign(msgspec.Struct, frozen=True):
    """What tells a conversation from others. `source` is where it was found, as the wire names it.

    `value` is the client's own id, or the pieces of its opening (`source` is then OPENING). It may
    be long, and of any content.
    """

    source: str
    value: bytes


OPENING = "opening"


_ABSENT = msgspec.Raw()


class _First(msgspec.Struct, array_like=True):
    """The first elements of an array; what follows is passed over without making anything of it."""

    first: msgspec.Raw = _ABSENT
    second: msgspec.Raw = _ABSENT
    third: msgspec.Raw = _ABSENT
    fourth: msgspec.Raw = _ABSENT
    fifth: msgspec.Raw = _ABSENT
    sixth: msgspec.Raw = _ABSENT
    seventh: msgspec.Raw = _ABSENT
    eighth: msgspec.Raw = _ABSENT
    ninth: msgspec.Raw = _ABSENT
    tenth: msgspec.Raw = _ABSENT
    eleventh: msgspec.Raw = _ABSENT
    twelfth: msgspec.Raw = _ABSENT


class _Turn(msgspec.Struct):
    """A message, an input item of Responses (which may have no role), or a content of Gemini."""

    role: str | None = None
    content: msgspec.Raw = _ABSENT
    parts: msgspec.Raw = _ABSENT


class _Part(msgspec.Struct):
    """A part of a content: its text, or where the wires have what a picture or a file is."""

    text: msgspec.Raw = _ABSENT
    type: msgspec.Raw = _ABSENT
    source: msgspec.Raw = _ABSENT
    image_url: msgspec.Raw = _ABSENT
    input_audio: msgspec.Raw = _ABSENT
    file: msgspec.Raw = _ABSENT
    file_id: msgspec.Raw = _ABSENT
    file_data: msgspec.Raw = _ABSENT
    file_url: msgspec.Raw = _ABSENT
    inlineData: msgspec.Raw = _ABSENT  # noqa: N815  the wire's name
    inline_data: msgspec.Raw = _ABSENT
    fileData: msgspec.Raw = _ABSENT  # noqa: N815  the wire's name


_SHOWN = _Part.__struct_fields__[2:]


class _Ids(msgspec.Struct):
    prompt_cache_key: msgspec.Raw = _ABSENT
    metadata: msgspec.Raw = _ABSENT


class _Messages(_Ids):
    system: msgspec.Raw = _ABSENT
    messages: _First = msgspec.field(default_factory=_First)


class _Chat(_Ids):
    messages: _First = msgspec.field(default_factory=_First)


class _Responses(_Ids):
    instructions: msgspec.Raw = _ABSENT
    input: msgspec.Raw = _ABSENT
    previous_response_id: msgspec.Raw = _ABSENT
    conversation: msgspec.Raw = _ABSENT


class _GeminiIds(msgspec.Struct):
    """Google's services take both spellings of a name."""

    session_id: msgspec.Raw = _ABSENT
    sessionId: msgspec.Raw = _ABSENT  # noqa: N815  the wire's name


class _Contents(_GeminiIds):
    systemInstruction: msgspec.Raw = _ABSENT  # noqa: N815  the wire's name
    system_instruction: msgspec.Raw = _ABSENT
    contents: _First | None = None


class _Gemini(_Contents):
    request: _Contents | None = None


class _Envelope(_GeminiIds):
    request: _GeminiIds | None = None


class _Metadata(msgspec.Struct):
    user_id: str = ""


class _ClaudeCode(msgspec.Struct):
    session_id: str = ""


class _Named(msgspec.Struct):
    id: str = ""


_OTHER = _Turn("")
_turn = msgspec.json.Decoder(_Turn)
_part = msgspec.json.Decoder(_Part)
_first = msgspec.json.Decoder(_First)
_ids = msgspec.json.Decoder(_Ids)
_messages = msgspec.json.Decoder(_Messages)
_chat = msgspec.json.Decoder(_Chat)
_responses = msgspec.json.Decoder(_Responses)
_gemini = msgspec.json.Decoder(_Gemini)
_envelope = msgspec.json.Decoder(_Envelope)
_metadata = msgspec.json.Decoder(_Metadata)
_claude_code = msgspec.json.Decoder(_ClaudeCode)
_conversation = msgspec.json.Decoder(str | _Named)
_string = msgspec.json.Decoder(str)


def sign_in_messages(body: bytes) -> Sign | None:
    """Read a Messages request. None when nothing identifies its conversation."""
    found = _decoded(_messages, body)
    if found is None:
        return _id_of(_decoded(_ids, body))
    return _id_of(found) or _opening(_said(b"s", found.system), found.messages)


def sign_in_chat(body: bytes) -> Sign | None:
    """Read a Chat request. None when nothing identifies its conversation."""
    found = _decoded(_chat, body)
    if found is None:
        return _id_of(_decoded(_ids, body))
    return _id_of(found) or _opening([], found.messages)


def sign_in_responses(body: bytes) -> Sign | None:
    """Read a Responses request. None when nothing identifies its conversation.

    One that goes on from `previous_response_id` has only its latest turn in it: that would be
    another opening each time. Its account is known by the response it names.
    """
    found = _decoded(_responses, body)
    if found is None:
        return _id_of(_decoded(_ids, body))
    sign = _id_of(found) or _sign("conversation", _conversation_of(found.conversation))
    if sign is not None or _text(found.previous_response_id):
        return sign
    pieces = _said(b"s", found.instructions)
    if _is_string(found.input):
        return _opening(pieces + _said(b"u", found.input), None)
    return _opening(pieces, _decoded(_first, found.input))


def sign_in_gemini(body: bytes) -> Sign | None:
    """Read a Gemini request, bare or in a Code Assist envelope. None when nothing identifies it."""
    outer = _decoded(_gemini, body)
    if outer is None:
        envelope = _decoded(_envelope, body)
        return _gemini_id_of(envelope, envelope.request) if envelope is not None else None
    sign = _gemini_id_of(outer, outer.request)
    if sign is not None:
        return sign
    found = outer.request or outer
    system = _decoded(_turn, found.systemInstruction) or _decoded(_turn, found.system_instruction)
    pieces = _said(b"s", system.parts) if system is not None else []
    return _opening(pieces, found.contents, absent_role="user")


SIGNS: dict[Wire, Callable[[bytes], Sign | None]] = {
    Wire.MESSAGES: sign_in_messages,
    Wire.RESPONSES: sign_in_responses,
    Wire.CHAT: sign_in_chat,
    Wire.GEMINI: sign_in_gemini,
}


def _id_of(found: _Ids | None) -> Sign | None:
    if found is None:
        return None
    return _sign("prompt_cache_key", _text(found.prompt_cache_key)) or _sign(
        "metadata.user_id", _claude_session(found.metadata)
    )


def _gemini_id_of(outer: _GeminiIds, inner: _GeminiIds | None) -> Sign | None:
    for found, source in ((inner, "request.session_id"), (outer, "session_id")):
        if found is not None:
            sign = _sign(source, _text(found.session_id)) or _sign(source, _text(found.sessionId))
            if sign is not None:
                return sign
    return None


def _claude_session(metadata: msgspec.Raw) -> str:
    """Return the session's part of Claude Code's `metadata.user_id`, "" for any other user id."""
    found = _decoded(_metadata, metadata)
    user_id = found.user_id if found is not None else ""
    if user_id.startswith("{"):
        inner = _decoded(_claude_code, user_id)
        return inner.session_id if inner is not None else ""
    if user_id.startswith("user_") and "_session_" in user_id:
        return user_id.rpartition("_session_")[2]
    return ""


def _conversation_of(raw: msgspec.Raw) -> str:
    """Return a stored conversation's id, given as a string or as `{"id": ...}`."""
    found = _decoded(_conversation, raw)
    return found.id if isinstance(found, _Named) else found or ""


def _opening(pieces: list[bytes], turns: _First | None, *, absent_role: str = "") -> Sign | None:
    """Return the system prompt, whose pieces these are, and what was said before the first answer.

    System messages after the user's are left out: clients insert them later, too.
    """
    users = 0
    for raw in astuple(turns or _First()):
        if raw is _ABSENT:
            break
        turn = _decoded(_turn, raw) or _OTHER
        role = turn.role or absent_role
        if role == "user":
            users += 1
            pieces += _said(b"u", turn.content if turn.parts is _ABSENT else turn.parts)
            if users == _MOST_SAID:
                break
        elif users:
            break
        elif role in _SYSTEM_ROLES:
            pieces += _said(b"s", turn.content)
    return Sign(OPENING, b"\0".join(pieces)) if pieces else None


def _said(speaker: bytes, content: msgspec.Raw) -> list[bytes]:
    """Return what a content says: its texts, and of parts without text what they are.

    A text counts the same as a string and as a part: clients turn one into the other when they move
    their cache marks.
    """
    if content is _ABSENT or _is_string(content):
        return _text_piece(speaker, content)
    pieces: list[bytes] = []
    # Google takes a single part for a list of one.
    parts: _First = _decoded(_first, content) or _First(content)
    for raw in astuple(parts):
        if raw is _ABSENT:
            break
        part = _decoded(_part, raw)
        if part is None:
            continue
        if part.text is _ABSENT:
            pieces += _shown_piece(speaker, part)
        else:
            pieces += _text_piece(speaker, part.text)
    return pieces


def _is_string(raw: msgspec.Raw) -> bool:
    return raw is not _ABSENT and memoryview(raw)[:1] == _QUOTE


def _text_piece(speaker: bytes, raw: msgspec.Raw) -> list[bytes]:
    view = memoryview(raw)
    if len(view) > _WHOLE and view[1 : 1 + len(_BILLING)] != _BILLING:
        return [speaker + _ends(view)]
    text = _text(raw)
    if text.startswith(_BILLING_TEXT):
        text = text.partition("\n")[2]
    return [speaker + text.encode()] if text and not text.isspace() else []


def _shown_piece(speaker: bytes, part: _Part) -> list[bytes]:
    """Return what a picture, a file or the like is known by."""
    shown = [getattr(part, name) for name in _SHOWN]
    known = [_ends(memoryview(raw)) for raw in shown if raw is not _ABSENT]
    return [b"+".join([speaker, bytes(part.type), *known])] if known else []


def _ends(view: memoryview) -> bytes:
    if len(view) <= _WHOLE:
        return bytes(view)
    return b"%d " % len(view) + bytes(view[:_END]) + bytes(view[-_END:])


def _sign(source: str, text: str) -> Sign | None:
    text = text.strip()
    return Sign(source, text.encode()) if text else None


def _text(raw: msgspec.Raw) -> str:
    return _decoded(_string, raw) or ""


def _decoded(decoder: msgspec.json.Decoder[T], data: msgspec.Raw | bytes | str) -> T | None:
    """Return what JSON says, None if it is missing, broken, or of another shape."""
    if data is _ABSENT:
        return None
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
