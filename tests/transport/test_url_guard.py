"""Which upstream URLs are allowed: the SSRF matrix."""

from __future__ import annotations

import pytest

from sub2api.errors import MistakeError, TransportError
from sub2api.transport.url_guard import Guard, Policy, host_of, literal_of, parse

STRICT = Policy()
SIMPLE = Policy(allow_loopback_http=True)
PRIVATE = Policy(allow_private_hosts=True)
PLAIN = Policy(allow_insecure_http=True)
OPEN = Policy(allow_private_hosts=True, allow_insecure_http=True, allow_loopback_http=True)

METADATA = [
    "169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16",
    "[fd00:ec2::254]", "[fd00:ec2::23]", "[fd20:ce::254]",
]  # fmt: skip
NEVER = [
    *METADATA, "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.250", "255.255.255.255",
    "[::]", "[fe80::1]", "[ff02::1]",
]  # fmt: skip
DISGUISED_METADATA = [
    "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "0xa9.0xfe.0xa9.0xfe",
    "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[64:ff9b::169.254.169.254]",
    "[2002:a9fe:a9fe::1]", "[::169.254.169.254]", "\uff11\uff16\uff19.254.169.254",
    "169\u3002254\u3002169\u3002254",
]  # fmt: skip
LOOPBACK = [
    "127.0.0.1", "127.255.255.254", "127.1", "2130706433", "0x7f000001", "0177.0.0.1",
    "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "127.0.0.1.",
]  # fmt: skip
PRIVATE_HOSTS = [
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "198.18.0.1",
    "240.0.0.1", "192.0.2.1", "[fc00::1]", "[fd12:3456::1]", "[fec0::1]", "[2001:db8::1]",
    "[64:ff9b:1::1]", "[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "[::ffff:10.0.0.1]",
    "0xa000001", "167772161", "10.1",
]  # fmt: skip
PUBLIC = [
    "api.openai.com", "8.8.8.8", "172.32.0.1", "[2606:4700:4700::1111]", "[64:ff9b::8.8.8.8]",
    "bücher.example", "under_score.example.com",
]  # fmt: skip


def refusal(policy: Policy, url: str) -> str:
    """Return why a URL is refused, "" if it is not."""
    try:
        Guard(policy).check(url)
    except MistakeError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("host", NEVER + DISGUISED_METADATA)
@pytest.mark.parametrize("policy", [STRICT, SIMPLE, PRIVATE, PLAIN, OPEN])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_some_addresses_are_refused_whatever_the_settings(
    host: str, policy: Policy, scheme: str
) -> None:
    assert "is never allowed" in refusal(policy, f"{scheme}://{host}/v1")


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_needs_a_setting(host: str) -> None:
    assert "private hosts are not allowed" in refusal(STRICT, f"https://{host}")
    assert refusal(STRICT, f"http://{host}") == "Invalid base URL: invalid url scheme: http"
    assert "private hosts are not allowed" in refusal(PLAIN, f"http://{host}")
    assert refusal(PRIVATE, f"https://{host}") == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "[::1]", "localhost", "LOCALHOST."])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_simple_mode_allows_this_machine(host: str, scheme: str) -> None:
    assert refusal(SIMPLE, f"{scheme}://{host}:11434/v1") == ""


@pytest.mark.parametrize("host", PRIVATE_HOSTS)
def test_private_networks_need_a_setting(host: str) -> None:
    for policy in (STRICT, SIMPLE, PLAIN):
        assert "private hosts are not allowed" in refusal(policy, f"https://{host}")
    assert refusal(PRIVATE, f"https://{host}") == ""
    assert refusal(OPEN, f"http://{host}:8000/v1") == ""


@pytest.mark.parametrize("host", PUBLIC)
def test_public_hosts_are_allowed_over_https(host: str) -> None:
    assert refusal(STRICT, f"https://{host}/v1") == ""
    assert refusal(PLAIN, f"http://{host}/v1") == ""
    for policy in (STRICT, SIMPLE, PRIVATE):
        refused = refusal(policy, f"http://{host}/v1")
        assert refused == "Invalid base URL: invalid url scheme: http"


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("ftp://x.com", "invalid url scheme: ftp"),
        ("file:///etc/passwd", "invalid url scheme: file"),
        ("gopher://x.com", "invalid url scheme: gopher"),
        ("api.openai.com/v1", "invalid url scheme: (none)"),
        ("", "invalid url scheme: (none)"),
        ("//x.com", "invalid url scheme: (none)"),
        ("https://", "no valid host"),
        ("https:///v1", "no valid host"),
        ("https://a..b", "no valid host"),
        ("https://.x.com", "no valid host"),
        ("https://127%2e0.0.1", "no valid host"),
        ("https://[fe80::1%25eth0]", "no valid host"),
        ("https://[::1].evil.com", "no valid host"),
        ("https://x.com:0", "no valid host or port"),
        ("https://x.com:99999", "cannot be parsed"),
        ("https://x.com:http", "cannot be parsed"),
        ("https://[::1", "cannot be parsed"),
        ("https://" + "a" * 64 + ".com", "no valid host"),
        ("https://x.com/a b", "spaces"),
        ("https://x.com\r\nhost: y", "spaces"),
        ("https://x.com\t", "spaces"),
        ("https://x.com\\@y.com", "backslashes"),
        ("https://x.com/#part", "fragment"),
        ("https://x.com#", "fragment"),
        ("https://x.com/v1?key=1", "query"),
        ("https://x.com?", "query"),
        ("https://x.com/ü", "percent-encoded"),
    ],
)
def test_a_malformed_url_is_refused_with_its_reason(url: str, word: str) -> None:
    assert word in refusal(OPEN, url)


@pytest.mark.parametrize(
    "url", ["https://joe:s3cret@x.com", "https://s3cret@x.com", "https://@x.com"]
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    text = refusal(OPEN, url)
    assert "user name or password" in text
    assert "s3cret" not in text


def test_the_allowlist_matches_names_and_what_is_below_a_wildcard() -> None:
    policy = Policy(allowlist=True, hosts=("api.OpenAI.com", "*.azure.com"))
    for host in ("api.openai.com", "API.OPENAI.COM.", "azure.com", "a.azure.com", "a.b.azure.com"):
        assert refusal(policy, f"https://{host}") == ""
    for host in ("openai.com", "x.api.openai.com", "notazure.com", "azure.com.evil.com", "8.8.8.8"):
        assert "not in security.url_allowlist.upstream_hosts" in refusal(policy, f"https://{host}")


def test_an_allowlisted_host_is_still_judged_by_its_address() -> None:
    policy = Policy(allowlist=True, hosts=("169.254.169.254", "10.0.0.1"))
    assert "is never allowed" in refusal(policy, "https://169.254.169.254")
    assert "private hosts" in refusal(policy, "https://10.0.0.1")


def blocked(policy: Policy, url: str, address: str, *, tunnelled: bool = False) -> bool:
    guard = Guard(policy)
    try:
        if tunnelled:
            guard.judge_tunnelled(parse(url), address)
        else:
            guard.judge(parse(url), address)
    except TransportError as error:
        return (error.cause, error.sent) == ("blocked", False)
    return False


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1%eth0", "::ffff:169.254.169.254", "fd00:ec2::254", "::"]
)
def test_a_name_that_resolves_to_a_forbidden_address_is_blocked(address: str) -> None:
    for policy in (STRICT, SIMPLE, PRIVATE, PLAIN, OPEN):
        assert blocked(policy, "https://x.com", address)
        assert blocked(policy, "https://x.com", address, tunnelled=True)


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.0.1", "fd12::1", "::ffff:10.0.0.1"])
def test_a_name_that_resolves_to_a_private_address_is_blocked(address: str) -> None:
    assert blocked(STRICT, "https://x.com", address)
    assert blocked(SIMPLE, "https://x.com", address)
    assert not blocked(PRIVATE, "https://x.com", address)
    assert not blocked(STRICT, "https://x.com", address, tunnelled=True)


def test_http_to_a_name_is_judged_by_where_it_leads() -> None:
    assert not blocked(SIMPLE, "http://localhost", "127.0.0.1")
    assert not blocked(SIMPLE, "http://localhost", "::1")
    assert blocked(SIMPLE, "http://localhost", "10.0.0.1")
    assert blocked(SIMPLE, "http://localhost", "8.8.8.8")
    assert not blocked(STRICT, "https://x.com", "8.8.8.8")


def test_admission_at_connect_time_blocks_by_form() -> None:
    with pytest.raises(TransportError, match="invalid url scheme: http") as caught:
        Guard(STRICT).admit(parse("http://x.com/v1?a=b"))
    assert (caught.value.cause, caught.value.sent) == ("blocked", False)


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "target", "authority"),
    [
        ("https://X.com", "https", "x.com", 443, "/", "x.com"),
        ("HTTPS://x.com:443/a?b=c", "https", "x.com", 443, "/a?b=c", "x.com"),
        ("http://x.com:8080/a/", "http", "x.com", 8080, "/a/", "x.com:8080"),
        ("https://[2606::1]:8443/", "https", "2606::1", 8443, "/", "[2606::1]:8443"),
        ("https://b\u00fccher.de", "https", "xn--bcher-kva.de", 443, "/", "xn--bcher-kva.de"),
        ("https://x.com/a%20b/m:go?alt=sse", "https", "x.com", 443, "/a%20b/m:go?alt=sse", "x.com"),
    ],
)
def test_a_url_is_split_as_it_goes_on_the_wire(
    url: str, scheme: str, host: str, port: int, target: str, authority: str
) -> None:
    parsed = parse(url)
    assert (parsed.scheme, parsed.host, parsed.port) == (scheme, host, port)
    assert (parsed.target, parsed.authority) == (target, authority)


def test_names_are_no_literals() -> None:
    assert literal_of("example.com") is None
    assert literal_of("1.2.3.4.5") is None
    assert literal_of("999.1.1.1") is None


@pytest.mark.parametrize(
    "text", [None, "", "gg::1", "1.2.3.4:80", "fe80::1%eth0", "a b", "a/b", "a@b"]
)
def test_what_is_no_host_is_none(text: str | None) -> None:
    assert host_of(text) == ""
