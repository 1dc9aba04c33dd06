"""Google's Gemini API with API keys."""

from __future__ import annotations

from sub2api.model.routes import Wire
from sub2api.platforms.gemini.refusals import judge
from sub2api.platforms.gemini.requests import (
    DEFAULT_BASE_URL,
    build,
    model_ids,
    models_request,
    probe,
)
from sub2api.platforms.interface import Platform

PLATFORM = Platform(
    name="gemini",
    default_base_url=DEFAULT_BASE_URL,
    serves=frozenset({Wire.GEMINI}),
    request=build,
    edit=lambda _: None,
    judge=judge,
    windows=lambda headers, now: (),
    models_request=models_request,
    model_ids=model_ids,
    probe=probe,
    default_models=("gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite"),
)
