"""What happens when the client leaves before the reply is complete.

The policy is the group's, else the setting: *drain* reads the upstream on (bounded) so that the
bill is exact; *observed* and *cancel* let go of the upstream at once. Before anything was sent
upstream, every policy just stops.
"""

from __future__ import annotations

import asyncio

from sub2api.gateway.call import Call, Reply
from sub2api.gateway.parts import Parts
from sub2api.model.accounts import DisconnectPolicy


class Departure:
    """Watches one client on behalf of the task that serves it.

    The caller's places are given back when a drain begins; the account's stays taken meanwhile.
    """

    policy: DisconnectPolicy = "cancel"
    stopped = False
    """This, not somebody else's cancellation, is why the task was cancelled."""
    _timer: asyncio.TimerHandle | None = None
    _upstream_called = False

    def __init__(self, call: Call, reply: Reply, parts: Parts) -> None:
        self._call_id = call.id
        self._reply = reply
        self._parts = parts
        self._task = asyncio.current_task()
        reply.on_gone = self._left
        if reply.gone:
            self._left()

    def calling_upstream(self, policy: DisconnectPolicy) -> None:
        """From now on the upstream works for this call, and `policy` holds."""
        self.policy = policy
        self._upstream_called = True

    def attempt_over(self) -> None:
        """The upstream works no more; a client that leaves now just stops the call."""
        self._upstream_called = False

    def close(self) -> None:
        """The call is over."""
        self._reply.on_gone = None
        if self._timer is not None:
            self._timer.cancel()

    def absorb(self) -> None:
        """Take back the cancellation that `stopped` stands for: the task goes on and settles."""
        if self._task is not None:
            self._task.uncancel()

    def _left(self) -> None:
        if self._upstream_called and self.policy == "drain":
            self._parts.spawn(self._parts.live.leave(self._call_id, only_caller=True))
            loop = asyncio.get_running_loop()
            seconds = self._parts.settings.gateway.drain_seconds
            self._timer = loop.call_later(seconds, self._stop)
            return
        self._stop()

    def _stop(self) -> None:
        self.stopped = True
        if self._task is not None:
            self._task.cancel()
