"""What a user, a key, a group or an account may use."""

from __future__ import annotations

import msgspec


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
