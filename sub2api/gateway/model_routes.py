"""Model routes: which of a group's accounts a model is for, as its operator wrote them down."""

from __future__ import annotations

from sub2api.model.accounts import Group


def route_of(group: Group | None, model: str) -> frozenset[int] | None:
    """Return the ids of the accounts that a group keeps for a model, None without a route for it.

    The model is named as the client names it. Its own name wins, then the longest pattern (ending
    in `*`) that fits.
    """
    if group is None or not group.model_routes:
        return None
    routes = group.model_routes
    if model in routes:
        return frozenset(routes[model])
    fitting = [name for name in routes if name.endswith("*") and model.startswith(name[:-1])]
    return frozenset(routes[max(fitting, key=len)]) if fitting else None
