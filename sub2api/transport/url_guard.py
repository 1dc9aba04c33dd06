"""Where the gateway may connect to: the one judge of upstream URLs and the addresses behind them.

A URL is judged when it is saved, and again with every address its name resolves to when a
connection is opened: the name may resolve to something else by then. The connection goes to a
judged address, never to the name again.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from sub2api.errors import MistakeError, TransportError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(*texts: str) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


_NEVER = _networks(
    "0.0.0.0/8",           # unspecified, "this network"
    "169.254.0.0/16",      # link-local; 169.254.169.254 is most clouds' metadata service
    "100.100.100.200/32",  # metadata service of Alibaba Cloud
    "192.0.0.192/32",      # metadata service of Oracle Cloud
    "168.63.129.16/32",    # wire server of Azure
    "224.0.0.0/4",         # multicast
    "255.255.255.255/32",  # broadcast
    "::/128",
    "fe80::/10",           # link-local
    "ff00::/8",            # multicast
    "fd00:ec2::/32",       # metadata and pod identity services of AWS
    "fd20:ce::254/128",    # metadata service of Google Cloud
)  # fmt: skip
"""No setting allows these."""
_LOOPBACK = _networks("127.0.0.0/8", "::1/128")
_PRIVATE = _networks(
    # The special-purpose registries of RFC 6890, as far as they are not reachable from anywhere.
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "240.0.0.0/4",
    "::1/128", "fc00::/7", "fec0::/10", "64:ff9b:1::/48", "100::/64", "2001::/23",
    "2001:db8::/32", "3fff::/20", "5f00::/16",
)  # fmt: skip
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_ADDRESS_FORM = re.compile(r"(\[[^\[\]@]*\]|[^\[\]:@]*)(:[0-9]*)?")
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator allows.

    `allow_insecure_http`: http to anywhere. `allow_private_hosts`: private networks and this
    machine. `allow_loopback_http`: this machine only, http included. `hosts` count while
    `allowlist` is on; `*.x` matches x and every name below it.
    """

    allow_insecure_http: bool = False
    allow_private_hosts: bool = False
    allow_loopback_http: bool = False
    allowlist: bool = False
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ParsedUrl:
    """A URL in the parts a connection needs.

    `host` is lower-case ASCII, an IPv6 address without brackets. `target` is path and query as
    they go on the wire. `authority` is the host header's value.
    """

    scheme: str
    host: str
    port: int
    target: str
    authority: str


class Guard:
    """Applies a policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._hosts = tuple(host.lower() for host in policy.hosts)

    def check(self, url: str) -> ParsedUrl:
        """Parse and judge a base URL as an operator gives it. Raises MistakeError."""
        parsed = parse(url)
        if "?" in url:
            raise MistakeError("Invalid base URL: it must not contain a query (?...)")
        if reason := self._objection(parsed):
            raise MistakeError(f"Invalid base URL: {reason}")
        return parsed

    def admit(self, parsed: ParsedUrl) -> None:
        """Judge a URL by its form at connect time. Raises TransportError (`blocked`)."""
        if reason := self._objection(parsed):
            raise _blocked(reason)

    def judge(self, parsed: ParsedUrl, resolved: str) -> None:
        """Judge an address that the URL's name resolved to. Raises TransportError (`blocked`)."""
        if reason := self._address_objection(parsed.scheme, ipaddress.ip_address(resolved)):
            raise _blocked(f"{parsed.host}: {reason}")

    def judge_tunnelled(self, parsed: ParsedUrl, resolved: str) -> None:
        """Judge an address that is meant in a proxy's network, where only a few are never right.

        Raises TransportError (`blocked`) for link-local, metadata and multicast addresses.
        """
        for address in _meanings(ipaddress.ip_address(resolved)):
            if _within(address, _NEVER):
                raise _blocked(f"{parsed.host}: {_never(address)}")

    def _objection(self, parsed: ParsedUrl) -> str:
        policy = self._policy
        if policy.allowlist and not _listed(parsed.host, self._hosts):
            return f"host {parsed.host} is not in security.url_allowlist.upstream_hosts"
        literal = literal_of(parsed.host)
        if literal is not None:
            return self._address_objection(parsed.scheme, literal)
        may_be_loopback = policy.allow_loopback_http and parsed.host == "localhost"
        if parsed.scheme == "http" and not (policy.allow_insecure_http or may_be_loopback):
            return "invalid url scheme: http"
        return ""

    def _address_objection(self, scheme: str, address: Address) -> str:
        reasons = (self._plain_objection(scheme, each) for each in _meanings(address))
        return next(filter(None, reasons), "")

    def _plain_objection(self, scheme: str, address: Address) -> str:
        policy = self._policy
        if _within(address, _NEVER):
            return _never(address)
        if policy.allow_loopback_http and _within(address, _LOOPBACK):
            return ""
        if scheme == "http" and not policy.allow_insecure_http:
            return "invalid url scheme: http"
        if not policy.allow_private_hosts and _within(address, _PRIVATE):
            return (
                f"private hosts are not allowed: {address}"
                " (security.url_allowlist.allow_private_hosts allows them)"
            )
        return ""


def parse(url: str) -> ParsedUrl:
    """Split an http(s) URL. Raises MistakeError; its text never repeats credentials."""
    # urlsplit removes tabs and line breaks silently, and browsers read a backslash as a slash.
    if any(ord(character) <= 32 or character in "\\\x7f" for character in url):
        raise MistakeError("Invalid base URL: it contains spaces, backslashes or controls")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise MistakeError("Invalid base URL: it cannot be parsed") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise MistakeError(f"Invalid base URL: invalid url scheme: {parts.scheme[:20] or '(none)'}")
    if "@" in parts.netloc:
        raise MistakeError("Invalid base URL: it must not contain a user name or password")
    if "#" in url:
        raise MistakeError("Invalid base URL: it must not contain a fragment (#...)")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii():
        raise MistakeError("Invalid base URL: its path must be percent-encoded")
    host = host_of(parts.hostname)
    if port == 0 or not host or not is_address(parts.netloc):
        raise MistakeError("Invalid base URL: it has no valid host or port")
    return _parsed(parts.scheme, host, port, target)


def _parsed(scheme: str, host: str, port: int | None, target: str) -> ParsedUrl:
    usual = _DEFAULT_PORTS[scheme]
    authority = f"[{host}]" if ":" in host else host
    if port not in {None, usual}:
        authority += f":{port}"
    return ParsedUrl(scheme, host, port or usual, target, authority)


def is_address(text: str) -> bool:
    """Whether a text has the form `name[:port]` or `[address][:port]` and nothing around it."""
    return _ADDRESS_FORM.fullmatch(text) is not None


def host_of(text: str | None) -> str:
    """Return a host in lower-case ASCII without a final dot; "" when it is no host."""
    if text is None:
        return ""
    if ":" in text:
        return text if _is_ipv6(text) else ""
    try:
        # Also turns full-width digits and dots into plain ones, before they are judged.
        name = text.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        return ""
    return name if _NAME.fullmatch(name) else ""


def literal_of(host: str) -> Address | None:
    """Return the address a host literally is, in any spelling that resolvers accept; else None.

    `127.1`, `0x7f000001`, `2130706433` and `0177.0.0.1` are all 127.0.0.1 to a C library.
    """
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _is_ipv6(text: str) -> bool:
    try:
        # An address with a zone (%eth0) is link-local: refused here, it is never right.
        return ipaddress.IPv6Address(text).scope_id is None
    except ValueError:
        return False


def _meanings(address: Address) -> Iterator[Address]:
    """Yield an address, and the IPv4 address that an IPv6 form of it leads to.

    Forms: mapped (RFC 4291), compatible (the same, deprecated), NAT64 (RFC 6052), 6to4 (RFC 3056).
    Teredo's (RFC 4380) are within 2001::/23, refused as a whole unless private hosts are allowed.
    """
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address.teredo is not None:
        inner = address.teredo[1]
    compatible = address in _COMPATIBLE and int(address) > 1
    if inner is None and (compatible or address in _NAT64):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if inner is not None:
        yield inner
    if address.ipv4_mapped is None:
        yield address


def _within(address: Address, networks: tuple[_Network, ...]) -> bool:
    return any(address in network for network in networks)


def _never(address: Address) -> str:
    return f"{address} is never allowed: unspecified, link-local, metadata, multicast or broadcast"


def _blocked(reason: str) -> TransportError:
    return TransportError(f"blocked: {reason}", cause="blocked", sent=False)


def _listed(host: str, hosts: tuple[str, ...]) -> bool:
    return any(
        host == entry
        or (entry.startswith("*.") and (host == entry[2:] or host.endswith(entry[1:])))
        for entry in hosts
    )
