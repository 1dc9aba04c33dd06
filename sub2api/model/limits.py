"""What a user, a key, a group or an account may use."""

from __future__ import annotations

import msgspec

from sub2api.errors import MistakeError

_MOST = 10**18
"""A thousand million dollars in nanodollars; it fits every counter."""


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """Limits of one noun; 0 = unlimited.

    `rpm` and `tpm` are requests and tokens (all classes) in any 60 seconds. `cost_*` are whole
    nanodollars per window: 5 hours counted from the noun's making, calendar days, weeks (from
    Monday) and months in the time zone of the settings. Users and keys count what they are
    charged, groups and accounts list costs.
    """

    rpm: int = 0
    tpm: int = 0
    cost_5h: int = 0
    cost_day: int = 0
    cost_week: int = 0
    cost_month: int = 0


NO_LIMITS = Limits()
"""Whoever has these may use what there is."""


def check_limits(limits: Limits) -> None:
    """Raise MistakeError for a limit that is below 0, or beyond what can be counted."""
    for name, value in msgspec.structs.asdict(limits).items():
        check_amount(name, value)


def check_amount(name: str, value: int) -> None:
    """Raise MistakeError for a limit or an amount of money that nothing can be compared with."""
    if not 0 <= value <= _MOST:
        raise MistakeError(f"{name} must be 0 (unlimited) or more, and at most {_MOST}")
