from __future__ import annotations

import pytest

from sub2api.errors import SettingsError
from sub2api.store.engine import kind_of


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("sqlite:////var/lib/x.db", "sqlite"),
        ("sqlite+aiosqlite:///x.db", "sqlite"),
        ("postgresql://u:p@h/d?sslmode=require", "postgresql"),
        ("postgres://u@h/d", "postgresql"),
        ("postgresql+asyncpg://u@h/d", "postgresql"),
    ],
)
def test_a_url_names_its_kind_of_database(url: str, kind: str) -> None:
    assert kind_of(url) == kind


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense with hunter2", "is not a database URL"),
        ("postgresql://u:hunter2@h:port/d", "is not a database URL"),
        ("mysql://u:hunter2@h/d", "'mysql': it must be sqlite or postgresql"),
    ],
)
def test_any_other_url_is_refused_without_its_secrets(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        kind_of(url)
    assert "hunter2" not in str(caught.value)
