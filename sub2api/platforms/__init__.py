"""The vendors, one folder each, and the list of them."""

from __future__ import annotations

from functools import cache

from sub2api.model.accounts import PlatformName
from sub2api.model.routes import Wire
from sub2api.platforms import anthropic, gemini, openai
from sub2api.platforms.interface import Platform

PLATFORMS: tuple[Platform, ...] = (anthropic.PLATFORM, openai.PLATFORM, gemini.PLATFORM)
BY_NAME: dict[PlatformName, Platform] = {platform.name: platform for platform in PLATFORMS}


@cache
def names_serving(wire: Wire) -> tuple[PlatformName, ...]:
    """Return the names of the vendors that speak a wire natively."""
    return tuple(platform.name for platform in serving(wire))


def serving(wire: Wire) -> tuple[Platform, ...]:
    """Return the vendors that speak a wire natively."""
    return tuple(platform for platform in PLATFORMS if wire in platform.serves)
