"""Model mapping: which models an account has, and what its upstream calls them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sub2api.errors import MistakeError


def mapped_model(mapping: Mapping[str, str], model: str) -> str | None:
    """Return the upstream's name for a model, None if the account does not have it.

    An empty mapping allows every model under its own name. An exact entry wins, then the longest
    one that ends in `*` and fits. A target that is itself `*` (or ends in it) keeps what the
    pattern's `*` stood for.
    """
    if not mapping:
        return model
    if model in mapping:
        return mapping[model]
    fitting = [key for key in mapping if key.endswith("*") and model.startswith(key[:-1])]
    if not fitting:
        return None
    key = max(fitting, key=lambda each: (len(each), each))
    target = mapping[key]
    return target[:-1] + model[len(key) - 1 :] if target.endswith("*") else target


def parse_mapping(pairs: Iterable[str]) -> dict[str, str]:
    """Parse `name=upstream-name` pairs; `name` alone keeps its name. Raises MistakeError."""
    mapping: dict[str, str] = {}
    for pair in pairs:
        name, _, target = pair.partition("=")
        name, target = name.strip(), target.strip() or name.strip()
        if not name or "*" in name[:-1] or "*" in target[:-1]:
            raise MistakeError(
                f"{pair!r} is no model mapping: write name=upstream-name, "
                "with at most one * at the end of each"
            )
        if target.endswith("*") and not name.endswith("*"):
            raise MistakeError(f"{pair!r}: a target may end in * only if the name does")
        mapping[name] = target
    return mapping
