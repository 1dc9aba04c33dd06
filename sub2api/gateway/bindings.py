"""Hard bindings: ids that only the account which issued them can honour.

A bound call never fails over. Bindings are kept in the store, written with the call's settlement;
the latest are also kept here, since the next turn may come before the settlement is shipped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from sub2api.errors import NO_PREVIOUS_RESPONSE, ClientError
from sub2api.gateway.parts import Parts
from sub2api.model.callers import Caller
from sub2api.store import bindings as stored_bindings
from sub2api.upstream.catalogue import Candidate

_RECENT = 4096


class Bindings:
    """Which account an id belongs to, per API key."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._recent: OrderedDict[tuple[int, str], int] = OrderedDict()

    def note(self, key_id: int, bound_id: str, account_id: int) -> None:
        """Remember a binding until the store has it."""
        self._recent[key_id, bound_id] = account_id
        self._recent.move_to_end((key_id, bound_id))
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)

    async def account_for(
        self, caller: Caller, bound_ids: Iterable[str], having: Sequence[Candidate]
    ) -> int:
        """Return the account that the ids belong to; 0 if none is known.

        Raises ClientError 400 (`previous_response_not_found`) when that account is gone, or when
        the id was issued to somebody else's key.
        """
        for bound_id in bound_ids:
            account_id = await self._account_of(caller, bound_id)
            if account_id is None:
                continue
            if all(each.account.id != account_id for each in having):
                raise _not_found(bound_id)
            return account_id
        return 0

    async def _account_of(self, caller: Caller, bound_id: str) -> int | None:
        key_id = caller.key.id
        recent = self._recent.get((key_id, bound_id))
        if recent is not None:
            return recent
        now = self._parts.clock.now()
        async with self._parts.database.reading() as connection:
            account_id = await stored_bindings.account_of(connection, key_id, bound_id, now)
            if account_id is None and await stored_bindings.is_known(connection, bound_id):
                raise _not_found(bound_id)
        if account_id is None and any(bound == bound_id for _, bound in self._recent):
            raise _not_found(bound_id)
        return account_id


def _not_found(bound_id: str) -> ClientError:
    return ClientError(
        f"Previous response with id '{bound_id[:128]}' not found.",
        status=400,
        kind=NO_PREVIOUS_RESPONSE,
        param="previous_response_id",
        retry_helps=False,
    )
