"""OpenAI, and hosts that speak its Responses, Chat and Embeddings APIs."""

from __future__ import annotations

from sub2api.model.routes import Wire
from sub2api.platforms.interface import Platform
from sub2api.platforms.openai.refusals import judge
from sub2api.platforms.openai.requests import (
    DEFAULT_BASE_URL,
    build,
    edit_of,
    model_ids,
    models_request,
    probe,
)
from sub2api.platforms.openai.windows import windows_of

PLATFORM = Platform(
    name="openai",
    default_base_url=DEFAULT_BASE_URL,
    serves=frozenset({Wire.RESPONSES, Wire.CHAT}),
    request=build,
    edit=edit_of,
    judge=judge,
    windows=windows_of,
    models_request=models_request,
    model_ids=model_ids,
    probe=probe,
    default_models=("gpt-5.1", "gpt-5.1-codex", "gpt-5-mini", "text-embedding-3-small"),
)
