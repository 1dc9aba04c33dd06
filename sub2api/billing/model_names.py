"""The names under which a model's price may be listed, most specific first.

A vendor's or a client's spelling of a model (date, revision, effort, context marker, `models/`,
dots for dashes) must find the price of the very same model, and never that of a sibling:
`gpt-5-nano` is not `gpt-5`. So only endings that are known not to change a price are taken off, one
at a time.
"""

from __future__ import annotations

import re

_MAX_NAME = 256
"""Longer names are no model's; they are not looked at, so that nobody makes us work on them."""

_PREFIXES = (
    "models/",
    "publishers/google/models/",
    "publishers/anthropic/models/",
    "anthropic/",
    "openai/",
    "google/",
    "gemini/",
    "deepseek/",
    "xai/",
    "x-ai/",
    "zai/",
    "z-ai/",
    "moonshot/",
    "moonshotai/",
    "minimax/",
    "mistral/",
    "mistralai/",
    "dashscope/",
    "qwen/",
)
"""What may stand before a name that its own vendor lists bare."""

_HARMLESS = re.compile(
    r"""(?:
        \[\d+m\]                                          # [1m]: Claude Code's context marker
      | @(?:\d{8}|\d{4}-\d{2}-\d{2}|default|latest)       # @20250929
      | -(?:20\d{6}|20\d{2}-\d{2}-\d{2}|\d{2}-20\d{2})    # -20250929, -2025-09-29, -09-2025
      | -(?:latest|preview|exp|thinking)
      | -(?:none|minimal|low|medium|high|xhigh)           # reasoning effort
      | -\d{3}                                            # -001: a numbered revision
    )\Z""",
    re.VERBOSE,
)

_DASHED = re.compile(r"(?<=\d)-(?=\d(?:\Z|[-@:\[]))")
_DOTTED = re.compile(r"(?<=\d)\.(?=\d)")


def candidates_of(model: str) -> tuple[str, ...]:
    """Return the lower-case names to look for, in the order to look for them.

    The name as it is; its `-latest` alias; with dots for dashes in version numbers and the other
    way round; the same without each vendor prefix; then all of that again with one harmless ending
    less, until none is left. An over-long name has no candidates.
    """
    name = model.strip().lower()
    if len(name) > _MAX_NAME:
        return ()
    found: dict[str, None] = {}
    bare = [name, *_without_prefixes(name)]
    while bare:
        for base in bare:
            for spelling in _spellings(base):
                found.setdefault(spelling)
        bare = [shorter for base in bare if (shorter := _HARMLESS.sub("", base)) not in ("", base)]
    return tuple(found)


def _without_prefixes(name: str) -> list[str]:
    shorter = []
    while prefix := next((prefix for prefix in _PREFIXES if name.startswith(prefix)), ""):
        name = name[len(prefix) :]
        shorter.append(name)
    return shorter


def _spellings(name: str) -> tuple[str, ...]:
    return (name, f"{name}-latest", _DASHED.sub(".", name), _DOTTED.sub("-", name))
