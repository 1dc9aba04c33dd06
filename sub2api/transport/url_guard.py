"""Where the gateway may connect to: the one judge of upstream URLs and the addresses behind them.

A URL is judged when it is saved and again, with its resolved addresses, whenever it is used: a name
may resolve to something else by then. The connection goes to the judged address.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from sub2api.errors import MistakeError, TransportError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
        "100.100.100.200/32", "192.0.0.192/32",
        "::/128", "fe80::/10", "ff00::/8", "fd00:ec2::254/128",
    )
)  # fmt: skip
"""Link-local, metadata services, multicast, unspecified, broadcast: no setting allows these."""
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8",
        "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "::1/128", "fc00::/7", "fec0::/10",
    )
)  # fmt: skip
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator allows. `allow_loopback_http` opens http to this machine only.

    `hosts` are names, `*.x` matching x and everything below it; they count when `allowlist` is on.
    """

    allow_insecure_http: bool = False
    allow_private_hosts: bool = False
    allow_loopback_http: bool = False
    allowlist: bool = False
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ParsedUrl:
    """A URL in the parts a connection needs. `target` is path and query as sent."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The value of the host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


class Guard:
    """Applies a policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def check(self, url: str) -> ParsedUrl:
        """Parse and judge a URL as an operator gives it. Raises MistakeError with the reason."""
        parsed = parse(url)
        reason = self._objection(parsed)
        if reason:
            raise MistakeError(f"Invalid base URL: {reason}")
        return parsed

    def admit(self, parsed: ParsedUrl) -> None:
        """Judge a URL by its form at connect time. Raises TransportError (`blocked`)."""
        reason = self._objection(parsed)
        if reason:
            raise TransportError(f"blocked: {reason}", cause="blocked", sent=False)

    def judge(self, parsed: ParsedUrl, resolved: str) -> None:
        """Judge the address a name resolved to. Raises TransportError (`blocked`)."""
        reason = self._address_objection(parsed.scheme, _plain(ipaddress.ip_address(resolved)))
        if reason:
            raise TransportError(
                f"blocked: {parsed.host} resolves to an address where {reason}",
                cause="blocked",
                sent=False,
            )

    def _objection(self, parsed: ParsedUrl) -> str:
        policy = self._policy
        if policy.allowlist and not _listed(parsed.host, policy.hosts):
            return f"host {parsed.host} is not in security.url_allowlist.upstream_hosts"
        literal = literal_of(parsed.host)
        if literal is not None:
            return self._address_objection(parsed.scheme, literal)
        may_be_loopback = policy.allow_loopback_http and parsed.host == "localhost"
        if parsed.scheme == "http" and not (policy.allow_insecure_http or may_be_loopback):
            return "invalid url scheme: http"
        return ""

    def _address_objection(self, scheme: str, address: Address) -> str:
        policy = self._policy
        if any(address in network for network in _NEVER):
            return f"nothing may connect: {address} is link-local, metadata or multicast"
        if address.is_loopback and policy.allow_loopback_http:
            return ""
        if scheme == "http" and not policy.allow_insecure_http:
            return "invalid url scheme: http"
        private = any(address in network for network in _PRIVATE)
        if private and not policy.allow_private_hosts:
            return f"private hosts are not allowed: {address}"
        return ""


def parse(url: str) -> ParsedUrl:
    """Split an http(s) URL. Raises MistakeError; the text never repeats credentials in it."""
    if any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise MistakeError("Invalid base URL: it contains spaces or control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise MistakeError("Invalid base URL: it cannot be parsed") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise MistakeError(f"Invalid base URL: invalid url scheme: {parts.scheme[:20] or '(none)'}")
    if parts.username is not None or parts.password is not None:
        raise MistakeError("Invalid base URL: it must not contain a user name or password")
    if parts.fragment:
        raise MistakeError("Invalid base URL: it must not contain a fragment (#...)")
    host = (parts.hostname or "").rstrip(".")
    if not host or "\\" in url or port == 0:
        raise MistakeError("Invalid base URL: it has no valid host or port")
    try:
        ascii_host = host if ":" in host else host.encode("idna").decode()
    except UnicodeError:
        raise MistakeError("Invalid base URL: its host is no valid name") from None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return ParsedUrl(parts.scheme, ascii_host, port or _DEFAULT_PORTS[parts.scheme], target)


def literal_of(host: str) -> Address | None:
    """Return the address a host literally is, in any spelling that resolvers accept; else None.

    `127.1`, `0x7f000001`, `2130706433` and `0177.0.0.1` are all 127.0.0.1 to a C library.
    """
    text = host.partition("%")[0]
    try:
        return _plain(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except (OSError, ValueError):
        return None


def _plain(address: Address) -> Address:
    """Return the IPv4 address inside an IPv6 form that carries one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
    if inner is None and int(address) >> 32 == 0 and int(address) > 1:
        inner = ipaddress.IPv4Address(int(address))
    return inner or address


def _listed(host: str, hosts: tuple[str, ...]) -> bool:
    return any(
        host == entry
        or (entry.startswith("*.") and (host == entry[2:] or host.endswith(entry[1:])))
        for entry in (each.lower() for each in hosts)
    )
