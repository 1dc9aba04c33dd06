"""Which headers travel."""

from __future__ import annotations

from sub2api.platforms.forwarding import to_client, to_vendor, value_of


def test_unknown_headers_travel_and_private_ones_do_not() -> None:
    sent = [
        (b"anthropic-beta", b"a,b"),
        (b"x-brand-new", b"1"),
        (b"connection", b"keep-alive, x-hop"),
        (b"x-hop", b"1"),
        (b"authorization", b"Bearer sk-platform"),
        (b"x-api-key", b"sk-platform"),
        (b"cookie", b"c"),
        (b"x-forwarded-for", b"1.2.3.4"),
        (b"sec-fetch-mode", b"cors"),
        (b"x-stainless-timeout", b"600"),
        (b"x-stainless-lang", b"python"),
        (b"content-length", b"5"),
        (b"openai-organization", b"org-1"),
    ]
    assert to_vendor(sent) == [
        (b"anthropic-beta", b"a,b"),
        (b"x-brand-new", b"1"),
        (b"x-stainless-lang", b"python"),
    ]


def test_clients_get_limits_and_types_but_no_names_and_no_cookies() -> None:
    got = [
        (b"content-type", b"application/json"),
        (b"anthropic-ratelimit-unified-status", b"allowed"),
        (b"anthropic-organization-id", b"org-1"),
        (b"x-codex-primary-used-percent", b"3"),
        (b"retry-after", b"7"),
        (b"set-cookie", b"c"),
        (b"request-id", b"theirs"),
        (b"server", b"cloud"),
        (b"transfer-encoding", b"chunked"),
    ]
    assert [name for name, _ in to_client(got)] == [
        b"content-type",
        b"anthropic-ratelimit-unified-status",
        b"x-codex-primary-used-percent",
        b"retry-after",
    ]


def test_a_missing_header_is_empty() -> None:
    assert value_of([(b"a", b" 1 ")], b"a") == "1"
    assert value_of([], b"a") == ""
