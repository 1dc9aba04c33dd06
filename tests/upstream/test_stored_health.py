"""Health written to a real database and read back."""

from __future__ import annotations

from pathlib import Path

from sub2api.model.accounts import Account
from sub2api.model.health import Cooldown, UsageWindow
from sub2api.store import accounts, stamp
from sub2api.store.database import Database
from sub2api.store.migrate import migrate
from sub2api.store.sealing import Sealer
from sub2api.upstream.health_records import Changes
from sub2api.upstream.stored_health import StoredHealth


async def test_what_is_saved_is_there_after_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'health.db'}"
    await migrate(url)
    sealer = Sealer(b"k" * 32)
    database = await Database.open(url)
    try:
        async with database.transaction() as connection:
            ids = [
                await accounts.insert(
                    connection,
                    sealer,
                    Account(0, name, "openai", api_key="k", created_at=1.0, status=status),
                )
                for name, status in (("a", "active"), ("b", "active"), ("c", "disabled"))
            ]
            before = await stamp.read(connection)
        rest = Cooldown(ids[0], "", "burst", 10.0, 15.0, 2, "slow down")
        window = UsageWindow("5h", 0.5, 20.0, 10.0, "allowed")
        await StoredHealth(database).save(Changes((rest,), {ids[0]: (window,)}))
        async with database.reading() as connection:
            assert await stamp.read(connection) == before  # nobody reads all accounts anew
        gone = {ids[1]: "refused (401)", ids[2]: "refused (401)"}
        await StoredHealth(database).save(Changes(out_of_use=gone))
    finally:
        await database.close()
    database = await Database.open(url)
    try:
        stored = StoredHealth(database)
        assert await stored.cooldowns() == [rest]
        assert await stored.windows() == {ids[0]: (window,)}
        async with database.reading() as connection:
            found = {each.id: each for each in await accounts.everything(connection, sealer)}
        assert (found[ids[1]].status, found[ids[1]].error_message) == ("error", "refused (401)")
        assert found[ids[2]].status == "disabled"  # an operator's word is not overwritten
    finally:
        await database.close()
