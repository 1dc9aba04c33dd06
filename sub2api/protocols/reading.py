"""What the wires share when they look into a body: checks with sentences, and careful numbers."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from sub2api.errors import INVALID, ClientError
from sub2api.protocols.json_splice import duplicate_keys

_MOST = 2**53
Count = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]
"""A token count as it should be; `count` makes one of anything."""
T = TypeVar("T")


def invalid(message: str, param: str | None = None) -> ClientError:
    """Return the refusal of a body."""
    return ClientError(message, status=400, kind=INVALID, param=param, retry_helps=False)


def decode_body(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a request body partially. Raises ClientError 400 with what is wrong with it."""
    if not body.strip():
        raise invalid("The request body is empty: send a JSON object.")
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise invalid("The request body must be a JSON object.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise invalid("The request body is not valid JSON.") from None
    except RecursionError:
        raise invalid("The request body is nested too deeply.") from None


def model_of(body: bytes, value: Any) -> str:
    """Return the model's name. Raises ClientError 400 if it is missing, no string, or ambiguous."""
    if value is msgspec.UNSET or value is None:
        raise invalid("model is required: name the model to use.", "model")
    if not isinstance(value, str):
        raise invalid("model must be a string.", "model")
    name = value.strip()
    if not name or len(name) > 256:
        raise invalid("model must be a name of 1 to 256 characters.", "model")
    if duplicate_keys(body, "model"):
        raise invalid("model is given more than once.", "model")
    return value


def flag_of(value: Any, name: str) -> bool:
    """Return a boolean member that may be missing. Raises ClientError 400 for anything else."""
    if value is msgspec.UNSET or value is None:
        return False
    if not isinstance(value, bool):
        raise invalid(f"{name} must be true or false.", name)
    return value


def limit_of(value: Any) -> int | None:
    """Return an output limit if it is a whole number above 0; the vendor judges the rest."""
    return value if type(value) is int and value > 0 else None


def count(value: Any) -> int:
    """Return a token count whatever was sent: whole, not negative, not absurd."""
    if type(value) is int and 0 <= value <= _MOST:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    if value != value or value <= 0:
        return 0
    return int(min(value, _MOST))


def member(value: Any, name: str) -> dict[str, Any]:
    """Return an object member of an object, {} if it is anything else."""
    inner = value.get(name) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def text(value: Any) -> str:
    """Return a string member, "" if it is anything else."""
    return value if isinstance(value, str) else ""


def decode_object(data: bytes) -> dict[str, Any]:
    """Decode JSON that ought to be an object; {} if it is not."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
