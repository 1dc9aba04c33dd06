"""How accounts fare: who rests until when, who is slow, how many calls at once each bears.

One `Health` per process. Everything is in memory and compared when it is read; nothing has to
fire. Rests are written in the background, and other processes hear of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from sub2api.clock import Clock
from sub2api.errors import Fault, UpstreamError
from sub2api.model.accounts import Account
from sub2api.model.health import Cooldown, Harm, UsageWindow
from sub2api.settings.keys import Stall
from sub2api.upstream.adaptive import Adaptive
from sub2api.upstream.health_records import CHANNEL, News, Records, Wire, Writer
from sub2api.upstream.pace import Pace
from sub2api.upstream.rests import SHORT, Rest, Trouble, ended, following
from sub2api.upstream.streaks import Streaks

__all__ = ["Health", "Rest"]

log = logging.getLogger(__name__)

OUT_OF_USE_SECONDS = 600.0
"""How long an account that was put out of use is left alone here, should the store not know yet."""
_MOST_MODELS = 64
"""Models of one account that may rest apart: clients choose names."""
_WINDOW_SECONDS = 60.0
"""A window that hardly changed is saved this often."""
_ON_THE_WAY = frozenset({"proxy", "dns", "connect_refused", "connect_timeout", "tls"})
"""Transport causes that are the proxy's if there is one: nothing reached the vendor."""
_REFUSALS = frozenset({"overloaded", "upstream_error"})
"""Causes of provider's faults that have a status: an account with custom codes is spared them."""


class Health:
    """Remembers how accounts fare. `run` writes it down in the background; `close` flushes."""

    def __init__(self, clock: Clock, records: Records, wire: Wire, stall: Stall) -> None:
        self._clock = clock
        self._records = records
        self._stall = stall
        self._origin = clock.new_id("health-")
        self._writer = Writer(records, wire, self._origin)
        self._resting: dict[int, dict[str, Cooldown]] = {}
        self._out_of_use: dict[int, Cooldown] = {}
        self._proxies: dict[int, Cooldown] = {}
        self._behind: dict[int, tuple[int, ...]] = {}
        self._cleared: dict[int, float] = {}
        self._failures = Streaks()
        self._proxy_failures = Streaks()
        self._stalls = Streaks(stall.threshold, stall.window_minutes * 60.0)
        self._pace = Pace()
        self._adaptive = Adaptive()
        self._windows: dict[int, tuple[UsageWindow, ...]] = {}
        self._watchers: list[Callable[[int], None]] = []
        wire.subscribe(CHANNEL, self._heard)

    def rest_of(self, account: Account, model: str, now: float) -> Rest | None:
        """Return the later of the account's, the model's and the proxy's rest that still runs.

        None: it may be asked. `model` is the upstream's name; `now` in seconds since 1970.
        """
        proxy = account.proxy
        if account.id not in self._resting and (proxy is None or proxy.id not in self._proxies):
            return None
        rests = [each for each in self._rests(account, model) if each.until > now]
        if not rests:
            return None
        last = max(rests, key=lambda each: each.until)
        out_of_use = self._out_of_use.get(account.id) is last
        return Rest(last.until, last.cause, last.detail, last.model, out_of_use)

    def half_open(self, account: Account, model: str, now: float) -> bool:
        """Whether a rest of it is over, and no call has succeeded since: one call at a time."""
        proxy = account.proxy
        if account.id not in self._resting and (proxy is None or proxy.id not in self._proxies):
            return False
        return any(each.until <= now for each in self._rests(account, model))

    def failed(self, account: Account, model: str, error: UpstreamError) -> None:
        """Take an attempt that failed.

        Its harm counts; without one, a provider's fault does. A caller's fault is nothing.
        """
        if error.harm is not None:
            self.harmed(account, model, error.harm)
        elif error.fault is Fault.PROVIDER:
            self.provider_failed(account, model, error.cause)

    def harmed(self, account: Account, model: str, harm: Harm) -> None:
        """Take what a refusal does to the account."""
        now = self._clock.now()
        if harm.cause == "stalled" and harm.until is None:
            self._stalled(account, model, harm.detail, now)
            return
        if harm.kind == "error":
            self._put_out_of_use(account.id, harm.cause, harm.detail, now)
            return
        if harm.cause == "burst" and self._adaptive.burst(account, now):
            self._tell(account.id)
        trouble = Trouble(harm.cause, harm.until, harm.detail)
        if harm.scope == "proxy" and account.proxy is not None:
            self._rest_proxy(account.proxy.id, trouble, now)
        else:
            self._rest(account.id, model if harm.scope == "model" else "", trouble, now)

    def succeeded(self, account: Account, model: str, began: float) -> None:
        """A call was answered. `began` (seconds since 1970) is when the attempt was sent.

        It ends the rests that were over when it began: a call that was under way when a limit was
        hit proves nothing.
        """
        account_id, proxy = account.id, account.proxy
        if account_id in self._failures:
            self._failures.broken(account_id)
        if account_id in self._resting:
            self._recover(account_id, model, began)
        if proxy is not None and (proxy.id in self._proxies or proxy.id in self._proxy_failures):
            self._recover_proxy(proxy.id, began)
        if account.adaptive_concurrency and self._adaptive.succeeded(account):
            self._tell(account_id)

    def provider_failed(self, account: Account, model: str, cause: str) -> None:
        """Count what is nobody's fault alone: 5xx, transport errors.

        Three in a row within a minute rest the account shortly, or its proxy where nothing came
        through that. After such a rest the first failure is the next, longer one.
        """
        if account.custom_error_codes is not None and cause in _REFUSALS:
            return
        now = self._clock.now()
        named = "overloaded" if cause == "overloaded" else "unreachable"
        trouble = Trouble(named, None, cause, SHORT)
        proxy = account.proxy
        if proxy is not None and cause in _ON_THE_WAY:
            over = _is_over(self._proxies.get(proxy.id), now)
            if self._proxy_failures.failed(proxy.id, now) or over:
                self._rest_proxy(proxy.id, trouble, now)
            return
        mine = self._resting.get(account.id, {})
        failed_again = [name for name in ("", model) if _is_over(mine.get(name), now)]
        if self._failures.failed(account.id, now):
            failed_again = [""]
        for name in failed_again[:1]:
            self._rest(account.id, name, trouble, now)

    def first_frame(self, account: Account, model: str, seconds: float) -> None:
        """Note how long a stream's first frame took."""
        if self._pace.first_frame(account.id, account.platform, model, seconds):
            self._tell(account.id)

    def is_slow(self, account: Account, model: str) -> bool:
        """Whether its last three first frames each took over 3 times the model's median."""
        return self._pace.is_slow(account.id, model)

    def concurrency_of(self, account: Account) -> int:
        """Return the calls at once it may have now: as configured, or lowered; 0 = unlimited."""
        return self._adaptive.of(account)

    def note_windows(self, account: Account, windows: Sequence[UsageWindow]) -> None:
        """Take what a reply said of the account's usage windows."""
        if not windows:
            return
        known = {window.name: window for window in self._windows.get(account.id, ())}
        saved = dict(known)
        changed = False
        for window in windows:
            if _hardly_changed(known.get(window.name), window):
                continue
            saved[window.name] = window
            changed = True
        if changed:
            self._windows[account.id] = tuple(saved.values())
            self._writer.windows(account.id, self._windows[account.id])

    def windows_of(self, account_id: int) -> tuple[UsageWindow, ...]:
        """Return what the vendor last said of the account's windows, () if nothing."""
        return self._windows.get(account_id, ())

    def watch(self, changed: Callable[[int], None]) -> None:
        """Call `changed(account id)` when a rest began or was cleared, or its pace changed.

        Concurrency and slowness are pace. Ends of rests by time are not announced.
        """
        self._watchers.append(changed)

    async def load(self, accounts: Iterable[Account]) -> None:
        """Read what is stored; of a rest known here too, the newer counts.

        Rests that began before an account's `cleared_at` are void, those of accounts that are gone
        are forgotten. Raises StoreError.
        """
        rows, windows = await self._records.cooldowns(), await self._records.windows()
        present = {account.id: account for account in accounts}
        self._cleared = {each.id: each.cleared_at or 0.0 for each in present.values()}
        self._behind = _by_proxy(present.values())
        self._proxies = {each: row for each, row in self._proxies.items() if each in self._behind}
        for row in rows:
            if row.account_id in present and self._take(row):
                self._tell(row.account_id)
        for account_id in list(self._resting):
            self._void(account_id, present.get(account_id))
        self._take_windows(windows, present)

    async def run(self) -> None:
        """Write changes down as they come, until cancelled."""
        await self._writer.run()

    async def close(self) -> None:
        """Write down what is pending."""
        await self._writer.flush()

    def _rests(self, account: Account, model: str) -> list[Cooldown]:
        mine = self._resting.get(account.id)
        found = [mine.get(""), mine.get(model) if model else None] if mine else []
        if account.proxy is not None:
            found.append(self._proxies.get(account.proxy.id))
        return [each for each in found if each is not None]

    def _rest(self, account_id: int, model: str, trouble: Trouble, now: float) -> None:
        mine = self._resting.setdefault(account_id, {})
        last = mine.get(model)
        row = following(last, (account_id, model), trouble, now)
        if row is last:
            return
        mine[model] = row
        if len(mine) > _MOST_MODELS:
            del mine[min(mine, key=lambda each: mine[each].until)]
        self._writer.rest(row)
        log.info(
            "account rests",
            extra={"account": account_id, "model": model, "cause": row.cause, "until": row.until},
        )
        self._tell(account_id)

    def _rest_proxy(self, proxy_id: int, trouble: Trouble, now: float) -> None:
        """Rest a proxy in this process: another machine may reach it."""
        last = self._proxies.get(proxy_id)
        row = following(last, (proxy_id, ""), trouble, now)
        if row is last:
            return
        self._proxies[proxy_id] = row
        log.warning("proxy rests", extra={"proxy": proxy_id, "until": row.until})
        self._tell_behind(proxy_id)

    def _put_out_of_use(self, account_id: int, cause: str, detail: str, now: float) -> None:
        row = Cooldown(account_id, "", cause, now, now + OUT_OF_USE_SECONDS, 1, detail)
        self._resting.setdefault(account_id, {})[""] = self._out_of_use[account_id] = row
        self._writer.out_of_use(row)
        log.warning("account is out of use", extra={"account": account_id, "reason": detail})
        self._tell(account_id)

    def _stalled(self, account: Account, model: str, detail: str, now: float) -> None:
        """Silence: by the operator's policy, else like a broken connection."""
        policy = self._stall
        if not policy.enabled:
            self.provider_failed(account, model, "stalled")
        elif self._stalls.failed(account.id, now):
            if policy.action == "error":
                message = f"Stalled {policy.threshold} times in {policy.window_minutes} minutes"
                self._put_out_of_use(account.id, "stalled", message, now)
            else:
                until = now + policy.rest_minutes * 60.0
                self._rest(account.id, "", Trouble("stalled", until, detail), now)

    def _recover(self, account_id: int, model: str, began: float) -> None:
        mine = self._resting[account_id]
        over = [name for name in {"", model} if _is_over(mine.get(name), began)]
        for name in over:
            self._writer.rest(ended(mine.pop(name), self._clock.now()))
        if not mine:
            del self._resting[account_id]
        if over:
            self._tell(account_id)

    def _recover_proxy(self, proxy_id: int, began: float) -> None:
        self._proxy_failures.broken(proxy_id)
        if _is_over(self._proxies.get(proxy_id), began):
            del self._proxies[proxy_id]
            self._tell_behind(proxy_id)

    def _heard(self, message: bytes) -> None:
        """Take what another process tells, without writing it again."""
        try:
            news = msgspec.json.decode(message, type=News)
        except msgspec.DecodeError:
            log.warning("news of health is not readable: does another release run beside this one?")
            return
        if news.origin == self._origin:
            return
        for row in news.out_of_use:
            self._out_of_use[row.account_id] = row
        for row in (*news.cooldowns, *news.out_of_use):
            if self._take(row):
                self._tell(row.account_id)

    def _take(self, row: Cooldown) -> bool:
        """Take a rest from elsewhere if it is newer than what is known; True if so."""
        mine = self._resting.get(row.account_id, {})
        known = mine.get(row.model)
        if known is not None and known.since >= row.since:
            return False
        if row.failures < 1 or row.since <= self._cleared.get(row.account_id, 0.0):
            self._drop(row.account_id, row.model)
            return known is not None
        self._resting.setdefault(row.account_id, {})[row.model] = row
        return True

    def _drop(self, account_id: int, model: str) -> None:
        mine = self._resting.get(account_id)
        if mine is not None:
            mine.pop(model, None)
            if not mine:
                del self._resting[account_id]

    def _void(self, account_id: int, account: Account | None) -> None:
        """Forget what an operator has cleared, or what the store's own status says now."""
        cleared = self._cleared.get(account_id, float("inf"))
        by_status = account is not None and account.status == "error"
        void = [
            model
            for model, row in self._resting[account_id].items()
            if row.since <= cleared or (by_status and not model)
        ]
        for model in void:
            self._drop(account_id, model)
            if not model:
                self._out_of_use.pop(account_id, None)
        if void:
            self._failures.broken(account_id)
            self._tell(account_id)

    def _take_windows(
        self, windows: Mapping[int, tuple[UsageWindow, ...]], present: Mapping[int, Account]
    ) -> None:
        for account_id in list(self._windows):
            if account_id not in present:
                del self._windows[account_id]
        for account_id, stored in windows.items():
            newest = {each.name: each for each in self._windows.get(account_id, ())}
            for each in stored:
                if each.name not in newest or newest[each.name].seen_at < each.seen_at:
                    newest[each.name] = each
            if account_id in present:
                self._windows[account_id] = tuple(newest.values())

    def _tell(self, account_id: int) -> None:
        for changed in self._watchers:
            changed(account_id)

    def _tell_behind(self, proxy_id: int) -> None:
        for account_id in self._behind.get(proxy_id, ()):
            self._tell(account_id)


def _is_over(rest: Cooldown | None, at: float) -> bool:
    return rest is not None and rest.until <= at


def _hardly_changed(known: UsageWindow | None, window: UsageWindow) -> bool:
    """Whether it is not worth a write: every reply tells of the same window."""
    return (
        known is not None
        and known.status == window.status
        and abs(known.utilization - window.utilization) < 0.01
        and abs(known.resets_at - window.resets_at) < 60.0
        and window.seen_at - known.seen_at < _WINDOW_SECONDS
    )


def _by_proxy(accounts: Iterable[Account]) -> dict[int, tuple[int, ...]]:
    behind: dict[int, list[int]] = {}
    for account in accounts:
        if account.proxy is not None:
            behind.setdefault(account.proxy.id, []).append(account.id)
    return {proxy_id: tuple(ids) for proxy_id, ids in behind.items()}
