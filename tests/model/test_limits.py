from __future__ import annotations

import pytest

from sub2api.errors import MistakeError
from sub2api.model.limits import Limits, check_amount, check_limits


def test_limits_may_be_zero_or_more() -> None:
    check_limits(Limits())
    check_limits(Limits(rpm=1, cost_month=10**18))
    for bad in (Limits(rpm=-1), Limits(tpm=-1), Limits(cost_5h=-1), Limits(cost_day=10**19)):
        with pytest.raises(MistakeError, match=r"(rpm|tpm|cost_5h|cost_day) must be 0"):
            check_limits(bad)


def test_an_amount_is_named_when_it_is_refused() -> None:
    with pytest.raises(MistakeError, match="quota must be 0"):
        check_amount("quota", -1)
