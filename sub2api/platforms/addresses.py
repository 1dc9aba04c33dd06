"""From an account's base URL and a path to the URL that is called."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import parse_qsl, urlencode, urlsplit

_VERSION_SEGMENT = re.compile(r"^v\d+(?:(?:alpha|beta)\d*)?$")
_CREDENTIAL_PARAMETERS = frozenset({"key", "api_key", "access_token"})


@lru_cache(1024)
def join(base_url: str, version: str, tail: str) -> str:
    """Return base URL + version + tail; the version only if the base does not bring its own.

    Works for `https://host`, `https://host/v1`, `https://host/anthropic` and bases with the version
    in the middle (`https://host/v1beta/openai`).
    """
    base = base_url.rstrip("/")
    segments = urlsplit(base).path.split("/")
    if any(_VERSION_SEGMENT.match(segment) for segment in segments):
        return f"{base}/{tail}"
    return f"{base}/{version}/{tail}"


@lru_cache(256)
def safe_query(query: bytes) -> str:
    """Return "?..." with the client's parameters minus credentials, or "" for none."""
    if not query:
        return ""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=100)
    kept = [(name, value) for name, value in pairs if name.lower() not in _CREDENTIAL_PARAMETERS]
    return f"?{urlencode(kept)}" if kept else ""
