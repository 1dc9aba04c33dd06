"""The one shape of the JSON API's answers."""

from __future__ import annotations

import json
from decimal import Decimal

from sub2api.web.envelope import failure, success


async def test_data_comes_in_an_envelope_with_exact_numbers() -> None:
    response = success({"cost": Decimal("0.000000001")})
    assert response.status_code == 200
    assert response.content_type == "application/json"
    body = await response.get_data(as_text=True)
    assert json.loads(body, parse_float=Decimal) == {
        "code": 0, "message": "success", "data": {"cost": Decimal("1E-9")}
    }  # fmt: skip


async def test_an_error_has_the_status_twice_and_is_kept_by_nobody() -> None:
    response = failure(404, "KEY_NOT_FOUND", "There is no such key.")
    assert response.status_code == 404
    assert response.headers["cache-control"] == "no-store"
    assert json.loads(await response.get_data(as_text=True)) == {
        "code": 404, "reason": "KEY_NOT_FOUND", "message": "There is no such key."
    }  # fmt: skip
