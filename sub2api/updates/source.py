"""Where releases come from: GitHub, or any web server that `make release`'s directory lies on.

Nothing that arrives is believed before its checksum is: see `signing`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import msgspec

from sub2api.clock import Clock
from sub2api.errors import MistakeError, Sub2APIError, TransportError
from sub2api.model.accounts import Proxy
from sub2api.settings import Settings
from sub2api.transport.messages import Deadlines, Request, Response
from sub2api.transport.pool import Pool
from sub2api.transport.proxies import parse_proxy
from sub2api.transport.url_guard import Guard, Policy
from sub2api.updates.manifest import Channel, normal, order

REPOSITORY = "sub2api/sub2api"
_GITHUB_HOSTS = ("github.com", "api.github.com", "*.githubusercontent.com")
_PATIENCE = Deadlines(connect=30.0, first_byte=60.0, idle=60.0)
_MOST_REDIRECTS = 5
_SMALL = 4 << 20
LARGEST = 500 << 20
"""Bytes of the largest file that is ever fetched."""

Tell = Callable[[int, int], None]
"""Is told how many bytes have arrived, of how many."""


class Listed(msgspec.Struct, frozen=True):
    """A release in a list, as GitHub's API writes it: `GET /repos/OWNER/NAME/releases`."""

    tag_name: str
    prerelease: bool = False
    draft: bool = False

    @property
    def channel(self) -> Channel:
        """Which channel it is on."""
        return "edge" if self.prerelease else "stable"


@dataclass(frozen=True, slots=True)
class Source:
    """Fetches from one place. Make it with `source_of`."""

    list_url: str
    file_url: str
    """With {version} and {name}."""
    pool: Pool
    proxy: Proxy | None

    async def versions(self, channel: Channel) -> list[str]:
        """Return the versions on a channel, newest first; edge has the stable ones too."""
        data = await self._small(self.list_url)
        try:
            listed = msgspec.json.decode(data, type=list[Listed])
        except msgspec.DecodeError as error:
            raise MistakeError(f"the list of releases cannot be read: {error}") from None
        found = []
        for each in listed:
            if each.draft or (channel == "stable" and each.channel == "edge"):
                continue
            try:
                found.append(normal(each.tag_name))
            except MistakeError:
                continue  # a tag for something else
        return sorted(found, key=order, reverse=True)

    async def file(self, version: str, name: str) -> bytes:
        """Return a small file of a release."""
        return await self._small(self._url(version, name))

    async def download(self, version: str, name: str, size: int, target: Path, tell: Tell) -> None:
        """Fetch a file of `size` bytes into `target`, going on where an earlier try broke off.

        Raises TransportError, and MistakeError when the disk is full or it is not so long.
        """
        if size > LARGEST:
            raise MistakeError(f"{name} has {size >> 20} MB: more than a release ever has")
        begun = await asyncio.to_thread(_begun, target, size)
        if begun == size:
            return
        extra = ((b"range", f"bytes={begun}-".encode()),) if begun else ()
        async with self._opened(self._url(version, name), extra) as reply:
            if reply.status == 200:
                begun = 0  # it does not know ranges, or the file is another now
            with _disk(target), target.open("ab" if begun else "wb") as file:
                await self._pour(reply, file.fileno(), (begun, size), tell)

    async def _pour(self, reply: Response, file: int, span: tuple[int, int], tell: Tell) -> None:
        done, size = span
        tell(done, size)
        while data := await reply.chunk():
            done += len(data)
            if done > size:
                raise MistakeError(f"the download is longer than the {size} bytes it should have")
            await asyncio.to_thread(_write, file, data)
            tell(done, size)
        if done < size:
            raise TransportError(
                f"the download ended after {done} of {size} bytes: run it again to go on",
                cause="truncated",
                sent=True,
            )
        await asyncio.to_thread(os.fsync, file)

    def _url(self, version: str, name: str) -> str:
        return self.file_url.replace("{version}", version).replace("{name}", name)

    async def _small(self, url: str) -> bytes:
        async with self._opened(url, ()) as reply:
            return await reply.read(_SMALL)

    @asynccontextmanager
    async def _opened(
        self, url: str, extra: tuple[tuple[bytes, bytes], ...]
    ) -> AsyncIterator[Response]:
        """Send a GET and follow redirects; each address is judged by the guard."""
        for _ in range(_MOST_REDIRECTS + 1):
            reply = await self._get(url, extra)
            try:
                location = reply.fields.get(b"location", b"").decode("latin-1").strip()
                if reply.status not in {301, 302, 303, 307, 308} or not location:
                    _expect(reply.status, url)
                    yield reply
                    return
            finally:
                reply.close()
            url = urljoin(url, location)
        raise MistakeError("the release server redirects in a circle")

    async def _get(self, url: str, extra: tuple[tuple[bytes, bytes], ...]) -> Response:
        headers = ((b"user-agent", b"sub2api"), (b"accept", b"*/*"), *extra)
        return await self.pool.send(
            Request("GET", url, headers), lane="updates", limit=2, proxy=self.proxy,
            deadlines=_PATIENCE,
        )  # fmt: skip


def _begun(target: Path, size: int) -> int:
    """Return how much of a file is there; what is too long is none of it."""
    begun = target.stat().st_size if target.exists() else 0
    if begun > size:
        target.unlink()
        return 0
    return begun


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _expect(status: int, url: str) -> None:
    if status not in {200, 206}:
        what = "there is no such release or file" if status == 404 else f"it answered {status}"
        raise MistakeError(f"{urlsplit(url).hostname} does not give {urlsplit(url).path}: {what}")


@contextmanager
def _disk(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, Sub2APIError):
            raise
        raise MistakeError(
            f"{target.parent} cannot hold the download ({error.strerror}). Nothing was changed; "
            "make room and run it again"
        ) from error


@asynccontextmanager
async def source_of(settings: Settings, clock: Clock) -> AsyncIterator[Source]:
    """Give the source that the settings name. Raises MistakeError for a URL that is none."""
    mirror = settings.update.release_url.rstrip("/")
    allowlist = settings.security.url_allowlist
    hosts = ((urlsplit(mirror).hostname or ""),) if mirror else _GITHUB_HOSTS
    # A mirror is the operator's own word, so it may be in a private network.
    policy = Policy(
        allow_insecure_http=bool(mirror) and allowlist.allow_insecure_http,
        allow_private_hosts=bool(mirror),
        allow_loopback_http=bool(mirror),
        allowlist=True,
        hosts=hosts,
    )
    guard = Guard(policy)
    if mirror:
        guard.check(mirror)
    proxy = parse_proxy(settings.update.proxy_url) if settings.update.proxy_url else None
    pool = Pool(clock, guard)
    try:
        if mirror:
            yield Source(f"{mirror}/index.json", mirror + "/v{version}/{name}", pool, proxy)
        else:
            yield Source(
                f"https://api.github.com/repos/{REPOSITORY}/releases?per_page=30",
                f"https://github.com/{REPOSITORY}/releases/download/" + "v{version}/{name}",
                pool,
                proxy,
            )
    finally:
        await pool.close()
