"""One admitted call's account of itself, from admission to exactly one settlement.

Every way a call can end (a proper end, a failure, a client that leaves, a shutdown) comes to
`settle`, which writes the journal's close record; a second one changes nothing.
"""

from __future__ import annotations

import msgspec

from sub2api.billing.records import Binding, Close, Progress, fill_money, fill_usage
from sub2api.errors import UpstreamError
from sub2api.gateway.answer import Used
from sub2api.gateway.call import Call
from sub2api.gateway.legs import Leg, row_of
from sub2api.gateway.parts import Parts
from sub2api.model.callers import Caller
from sub2api.model.tokens import Tokens, Usage
from sub2api.model.usage import FailedAttempt, SettledBy, UsageRow
from sub2api.protocols.interface import Peek

BINDING_SECONDS = 30 * 86400
_PROGRESS_SECONDS = 1.0
_NOTHING = Tokens()
_EVENT_OVERHEAD = {"messages": 110, "chat": 220, "responses": 190, "gemini": 130}
"""Bytes of one streamed event that are not text, by wire: only estimates use it."""


class Ending(msgspec.Struct, frozen=True):
    """How a call ended. `error` is a short stable word, "" on success."""

    status: int
    error: str = ""
    truncated: bool = False
    settled_by: SettledBy | None = None


class Tally:
    """What one call has used so far, who pays, and what was promised to the journal."""

    attempts = 0
    upstream_request_id = ""
    client_left = False
    # On the class what many calls never set: there is a Tally for each of them.
    _leg: Leg | None = None
    _row: UsageRow | None = None
    _usage: Usage | None = None
    _last_progress = float("-inf")
    _first_token_at: float | None = None
    produced = False
    """Whether any generated content was seen."""
    produced_bytes = 0
    produced_events = 0
    """What was relayed since then, events and all: the streams' relay counts."""
    _settled = False
    _opened_at = 0.0
    _taken: int | None = None
    """Tokens of all classes; None while they are not known, or if the vendor never told."""
    used: Used | None = None
    """What the call was settled with."""

    def __init__(
        self, parts: Parts, call: Call, caller: Caller, peek: Peek, *, records: bool = True
    ) -> None:
        self._records = records
        self._parts = parts
        self._call = call
        self._caller = caller
        self._peek = peek
        self.started_at = parts.clock.now() - (parts.clock.monotonic() - call.arrived)
        self.bindings: list[Binding] = []
        self.failures: list[FailedAttempt] = []

    @property
    def platform(self) -> str:
        """The vendor that was called last, "" for none."""
        return self._leg.row.platform if self._leg is not None else ""

    @property
    def first_token_after(self) -> float | None:
        """Seconds from the call's first byte to the first generated content."""
        first = self._first_token_at
        return first - self._call.arrived if first is not None else None

    def opened(self, leg: Leg) -> None:
        """An account is about to be called: the journal knows before the upstream does.

        Raises ClientError (503) when the journal cannot take more.
        """
        self.attempts += 1
        self._leg = leg
        self._opened_at = self._parts.clock.now()
        if self.attempts > 1:
            self._usage = None
            self.produced_bytes = self.produced_events = 0
        if self._records:
            row = self._identified(leg.row)
            self._parts.journal.opened(row.call_id, leg.opening.line(row))

    def saw_reply(self, usage: Usage | None) -> None:
        """Take note of a whole reply: its settlement follows at once."""
        if usage is not None:
            self._usage = usage
        self.begins()

    def begins(self) -> None:
        """The first generated content has come."""
        self.produced = True
        self._first_token_at = self._parts.clock.monotonic()

    def saw(self, usage: Usage | None) -> None:
        """Take note of what a stream has used so far."""
        self._usage = usage
        if usage is None or not self._records:
            return
        now = self._parts.clock.monotonic()
        if now - self._last_progress >= _PROGRESS_SECONDS:
            self._last_progress = now
            self._parts.journal.progress(Progress(call_id=self._call.id, usage=usage))

    def bind(self, bound_id: str) -> None:
        """Remember that an id belongs to the account that issued it."""
        known = any(binding.bound_id == bound_id for binding in self.bindings)
        if bound_id and not known and self._leg is not None:
            until = self._parts.clock.now() + BINDING_SECONDS
            account = self._leg.candidate.account
            self.bindings.append(Binding(self._caller.key.id, bound_id, account.id, until))

    def failed(self, error: UpstreamError) -> None:
        """The attempt failed: nothing of it is ever billed to the caller.

        What it used is the account's expense, and is recorded as such.
        """
        if self._leg is not None:
            self.failures.append(self._expense(self._leg, error))
        self._usage = None
        self._first_token_at = None
        self.produced = False

    def settle(self, ending: Ending) -> None:
        """Write the call's one close record."""
        if self._settled or not self._records:
            return
        self._settled = True
        row = self._row or self._identified(row_of(self._call, self._caller, self._peek))
        self._ended(row, ending)
        self.used = Used(self._taken, row.cost or 0, row.list_cost or 0)
        self._parts.journal.close(Close(row=row, bindings=self.bindings, attempts=self.failures))

    def _expense(self, leg: Leg, error: UpstreamError) -> FailedAttempt:
        """Return the record of an attempt that failed."""
        tokens = self._usage.tokens if self._usage else _NOTHING
        account = leg.candidate.account
        return FailedAttempt(
            position=self.attempts,
            account_id=account.id,
            cause=error.harm.cause if error.harm is not None else error.cause,
            started_at=self._opened_at,
            status=error.status,
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cache_read_tokens=tokens.cache_read,
            cache_creation_tokens=tokens.cache_write,
            cache_creation_long_tokens=tokens.cache_write_long,
            list_cost=leg.tariff.cost(tokens).list_cost if leg.tariff is not None else None,
        )

    def _identified(self, row: UsageRow) -> UsageRow:
        """Return this call's own copy of the row of calls alike."""
        call = self._call
        row = self._row = msgspec.structs.replace(
            row,
            call_id=call.id,
            started_at=self.started_at,
            client_ip=call.client_ip,
            attempts=self.attempts,
        )
        return row

    def _settlement(self, ending: Ending) -> tuple[Tokens, SettledBy]:
        """Decide which tokens count, and how they were learnt."""
        usage = self._usage
        if ending.settled_by == "estimated":
            return self._estimated(), "estimated"
        if ending.settled_by is not None:
            return (usage.tokens if usage else _NOTHING), ending.settled_by
        if usage is None:
            return _NOTHING, "none"
        return usage.tokens, "drained" if self.client_left else "observed"

    def _estimated(self) -> Tokens:
        """Fill in what no usage frame told, from sizes: about four bytes are a token."""
        seen = self._usage.tokens if self._usage else Tokens()
        overhead = _EVENT_OVERHEAD[self._call.match.wire.value] * self.produced_events
        text = max(0, self.produced_bytes - overhead)
        output = max(seen.output, self.produced_events, text // 4)
        if seen.prompt:
            return msgspec.structs.replace(seen, output=output)
        return Tokens(input=max(1, len(self._call.body) // 4), output=output)

    def _ended(self, row: UsageRow, ending: Ending) -> None:
        """Fill in what only the end tells."""
        tokens, row.settled_by = self._settlement(ending)
        if row.settled_by != "none" or ending.error:
            self._taken = tokens.prompt + tokens.produced
        arrived, first = self._call.arrived, self._first_token_at
        row.status = ending.status
        row.error = ending.error
        row.truncated = ending.truncated
        row.upstream_request_id = self.upstream_request_id
        row.duration_ms = round((self._parts.clock.monotonic() - arrived) * 1000)
        row.first_token_ms = round((first - arrived) * 1000) if first is not None else None
        fill_usage(row, tokens, self._usage.received if self._usage else {})
        tariff = self._leg.tariff if self._leg is not None else None
        if tariff is None and tokens == _NOTHING:
            row.cost = row.list_cost = 0
        else:
            fill_money(row, tokens, tariff, charge=self._parts.settings.charge_users)
