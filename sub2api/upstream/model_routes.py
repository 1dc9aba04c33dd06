"""The rules of model routes: which of a group's accounts a model is sent to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sub2api.errors import MistakeError
from sub2api.model.accounts import Group
from sub2api.store import accounts
from sub2api.store.database import Connection

Routes = dict[str, tuple[int, ...]]


async def changed_routes(
    connection: Connection, group: Group, changes: Mapping[str, Sequence[str]]
) -> Routes:
    """Return a group's routes after `changes`: model -> accounts by name or id, none = no route.

    Raises MistakeError for an account that there is not.
    """
    routes = dict(group.model_routes)
    known = await accounts.named(connection)
    by_name = {name: account_id for account_id, name, _ in known}
    by_id = {str(account_id): account_id for account_id, _, _ in known}
    for model, names in changes.items():
        unknown = [name for name in names if name not in by_name and name not in by_id]
        if unknown:
            raise MistakeError(
                f"there is no account {unknown[0]!r} to send {model!r} to: "
                "`sub2api account list` shows those there are"
            )
        ids = dict.fromkeys(by_name.get(name, by_id.get(name, 0)) for name in names)
        routes.pop(model, None)
        if ids:
            routes[model] = tuple(ids)
    return routes


async def check_routes(connection: Connection, platform: str, routes: Routes) -> None:
    """Raise MistakeError for a pattern that fits nothing, or an account of another platform."""
    if not routes:
        return
    platforms = {account_id: its for account_id, _, its in await accounts.named(connection)}
    for model, account_ids in routes.items():
        if not model.strip() or "*" in model[:-1]:
            raise MistakeError(
                f"{model!r} is no model to route: write a name, or a pattern with one * at its end"
            )
        if not account_ids:
            raise MistakeError(f"the route of {model!r} names no account")
        for account_id in account_ids:
            _check_account(account_id, platforms.get(account_id), platform)


def _check_account(account_id: int, its_platform: str | None, platform: str) -> None:
    if its_platform is None:
        raise MistakeError(f"there is no account with id {account_id} to send a model to")
    if its_platform != platform:
        raise MistakeError(
            f"account {account_id} is for {its_platform}: a group of {platform} cannot use it"
        )
