"""The guard: the SSRF matrix, at saving time and at connect time."""

from __future__ import annotations

import pytest

from sub2api.errors import MistakeError, TransportError
from sub2api.transport.url_guard import Guard, Policy, parse

STRICT = Guard(Policy())
LOCAL = Guard(Policy(allow_loopback_http=True))
OPEN = Guard(Policy(allow_insecure_http=True, allow_private_hosts=True))

LOOPBACKS = [
    "127.0.0.1", "127.1", "127.255.255.254", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]",
    "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
]  # fmt: skip
PRIVATE = ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "[fc00::1]", "[2002:a00:1::]"]
NEVER = [
    "169.254.169.254", "0xa9fea9fe", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "0.0.0.0",
    "224.0.0.1", "255.255.255.255", "100.100.100.200", "[fe80::1]", "[ff02::1]", "[::]",
]  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACKS + PRIVATE + NEVER)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_strict_policy_refuses_every_inner_address(scheme: str, host: str) -> None:
    with pytest.raises(MistakeError):
        STRICT.check(f"{scheme}://{host}/v1")


@pytest.mark.parametrize("host", LOOPBACKS)
def test_simple_mode_reaches_this_machine(host: str) -> None:
    LOCAL.check(f"http://{host}:11434")
    LOCAL.check("http://localhost:11434")


@pytest.mark.parametrize("host", PRIVATE)
def test_simple_mode_reaches_no_other_machine_of_the_network(host: str) -> None:
    with pytest.raises(MistakeError):
        LOCAL.check(f"http://{host}")


@pytest.mark.parametrize("host", NEVER)
def test_no_setting_opens_metadata_and_link_local(host: str) -> None:
    with pytest.raises(MistakeError):
        OPEN.check(f"https://{host}/latest")
    with pytest.raises(TransportError) as caught:
        OPEN.judge(parse("https://good.example"), host.strip("[]").replace("0xa9fea9fe", "0.0.0.0"))
    assert caught.value.cause == "blocked"


def test_the_open_policy_reaches_private_hosts() -> None:
    for host in PRIVATE + LOOPBACKS:
        OPEN.check(f"http://{host}")


def test_plain_http_is_refused_in_the_documented_words() -> None:
    with pytest.raises(MistakeError) as caught:
        STRICT.check("http://api.example.com")
    assert str(caught.value) == "Invalid base URL: invalid url scheme: http"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h", "h", "", "https://", "https://user:secret@h", "https://h#x", "https://h:0",
        "https://h:99999", "https://h:x", "https://a b", "https://h\n/", "https://h\\@x",
        "https://" + "a" * 70 + ".example", "https://[::1",
    ],
)  # fmt: skip
def test_bad_urls_are_refused_without_repeating_secrets(url: str) -> None:
    with pytest.raises(MistakeError) as caught:
        OPEN.check(url)
    assert "secret" not in str(caught.value)


def test_a_name_that_resolves_inside_is_blocked_at_connect_time() -> None:
    url = parse("https://rebind.example/v1")
    STRICT.admit(url)
    for address in ("127.0.0.1", "10.0.0.1", "::1", "169.254.169.254"):
        with pytest.raises(TransportError) as caught:
            STRICT.judge(url, address)
        assert (caught.value.cause, caught.value.sent) == ("blocked", False)
    STRICT.judge(url, "93.184.216.34")


def test_localhost_must_really_be_loopback() -> None:
    url = parse("http://localhost:1")
    LOCAL.admit(url)
    LOCAL.judge(url, "127.0.0.1")
    with pytest.raises(TransportError):
        LOCAL.judge(url, "93.184.216.34")


def test_an_allow_list_admits_only_what_it_names() -> None:
    guard = Guard(Policy(allowlist=True, hosts=("api.example.com", "*.azure.example")))
    guard.check("https://api.example.com/v1")
    guard.check("https://x.azure.example")
    guard.check("https://azure.example")
    for host in ("example.com", "evilazure.example", "api.example.com.evil.example"):
        with pytest.raises(MistakeError, match="upstream_hosts"):
            guard.check(f"https://{host}")
    with pytest.raises(TransportError):
        guard.admit(parse("https://other.example"))


def test_urls_are_taken_apart() -> None:
    url = parse("https://H.Example:8443/v1/messages?beta=true")
    assert (url.host, url.port, url.target) == ("h.example", 8443, "/v1/messages?beta=true")
    assert url.authority == "h.example:8443"
    assert parse("http://[::1]/").authority == "[::1]"
    assert parse("https://h").target == "/"
