"""docs/settings.md says what settings there are: it is generated, and this fails when it is old."""

from __future__ import annotations

from sub2api.settings import all_keys
from tools.settings_doc import MANUAL, render


def test_the_manual_is_what_the_declarations_generate() -> None:
    assert MANUAL.read_text(encoding="utf-8") == render(), "run python -m tools.settings_doc"


def test_every_key_is_in_the_manual_with_its_environment_name() -> None:
    manual = MANUAL.read_text(encoding="utf-8")
    for key in all_keys():
        assert f"| `{key.path}` | `{key.env}` |" in manual
