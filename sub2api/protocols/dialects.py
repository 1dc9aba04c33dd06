"""The wires, by name."""

from __future__ import annotations

from sub2api.model.routes import Wire
from sub2api.protocols.chat.dialect import DIALECT as CHAT
from sub2api.protocols.gemini.dialect import DIALECT as GEMINI
from sub2api.protocols.interface import Dialect
from sub2api.protocols.messages.dialect import DIALECT as MESSAGES
from sub2api.protocols.responses.dialect import DIALECT as RESPONSES

DIALECTS: dict[Wire, Dialect] = {
    Wire.MESSAGES: MESSAGES,
    Wire.RESPONSES: RESPONSES,
    Wire.CHAT: CHAT,
    Wire.GEMINI: GEMINI,
}
