"""Short-lived tokens for an operator's own commands, signed with the installation's sealing key.

Whoever can read the sealing key owns the installation already: a command proves that to a running
gateway with a token of a minute. Source of the form: RFC 7519 (JWT), HS256.
"""

from __future__ import annotations

import jwt

from sub2api.clock import Clock
from sub2api.store.sealing import Sealer

_PURPOSE = "operator token"
_AUDIENCE = "sub2api-operator"
_SECONDS = 60


class OperatorTokens:
    """Makes such tokens and checks them."""

    def __init__(self, sealer: Sealer, clock: Clock) -> None:
        self._key = sealer.derived(_PURPOSE)
        self._clock = clock

    def new(self) -> str:
        """Return a token that is good for a minute."""
        now = int(self._clock.now())
        claims = {"aud": _AUDIENCE, "iat": now, "exp": now + _SECONDS}
        return jwt.encode(claims, self._key, algorithm="HS256")

    def is_good(self, token: str) -> bool:
        """Whether it was made by this installation lately."""
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=["HS256"],
                audience=_AUDIENCE,
                # The injected clock decides below; the library would ask the machine's.
                options={"require": ["exp", "iat"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError:
            return False
        now = self._clock.now()
        until, since = claims["exp"], claims["iat"]
        return isinstance(until, int) and isinstance(since, int) and since - _SECONDS <= now < until
