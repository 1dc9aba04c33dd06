"""Anthropic, and hosts that speak its Messages API."""

from __future__ import annotations

from sub2api.model.routes import Wire
from sub2api.platforms.anthropic.refusals import judge
from sub2api.platforms.anthropic.requests import (
    DEFAULT_BASE_URL,
    build,
    model_ids,
    models_request,
    probe,
)
from sub2api.platforms.anthropic.windows import windows_of
from sub2api.platforms.interface import Platform

PLATFORM = Platform(
    name="anthropic",
    default_base_url=DEFAULT_BASE_URL,
    serves=frozenset({Wire.MESSAGES}),
    request=build,
    edit=lambda _: None,
    judge=judge,
    windows=windows_of,
    models_request=models_request,
    model_ids=model_ids,
    probe=probe,
    default_models=(
        "claude-opus-4-5",
        "claude-sonnet-4-5",
        "claude-haiku-4-5",
    ),
)
