"""Calls at once that an account bears, found out: halved when its limit is hit, grown by success.

Additive increase, multiplicative decrease (AIMD), as TCP does it (RFC 5681).
"""

from __future__ import annotations

from dataclasses import dataclass

from sub2api.model.accounts import Account

_START = 20
"""Where an account without a configured concurrency begins."""
_MOST = 10_000
_HALVED_AT_MOST_EVERY = 5.0


@dataclass(slots=True)
class _State:
    limit: int
    successes: int = 0
    halved_at: float = float("-inf")


class Adaptive:
    """The present concurrency of accounts whose `adaptive_concurrency` is on."""

    def __init__(self) -> None:
        self._states: dict[int, _State] = {}

    def of(self, account: Account) -> int:
        """Return the calls the account may have at once; 0 = unlimited (not adaptive)."""
        if not account.adaptive_concurrency:
            return account.concurrency
        state = self._states.get(account.id)
        if state is None:
            return account.concurrency or _START
        return min(state.limit, account.concurrency or _MOST)

    def burst(self, account: Account, now: float) -> bool:
        """Halve it, at most once in 5 s (calls under way fail together); True if it changed."""
        if not account.adaptive_concurrency:
            return False
        present = self.of(account)
        state = self._states.setdefault(account.id, _State(present))
        if now - state.halved_at < _HALVED_AT_MOST_EVERY:
            return False
        state.limit, state.successes, state.halved_at = max(1, present // 2), 0, now
        return state.limit != present

    def succeeded(self, account: Account) -> bool:
        """Count a success; True if it allows one more call at once."""
        present, most = self.of(account), account.concurrency or _MOST
        if present >= most:
            return False
        state = self._states.setdefault(account.id, _State(present))
        state.successes += 1
        if state.successes < present:
            return False
        state.limit, state.successes = present + 1, 0
        return True
