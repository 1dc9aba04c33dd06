"""Every configuration key: one declaration each, with type, default, help and kind.

`docs/settings.md` is generated from here (`python -m tools.settings_doc`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sub2api.settings.kinds import (
    ADDRESSES,
    HEX_KEY,
    LIST,
    PATH,
    SWITCH,
    TEXT,
    TIMEZONE,
    Kind,
    one_of,
    seconds,
    size,
    whole,
)

MIB = 1024 * 1024
RunMode = Literal["simple", "full"]
DisconnectPolicy = Literal["drain", "observed", "cancel"]


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `presets` are defaults of single run modes; `shown` is the manual's default."""

    path: str
    kind: Kind
    default: Any
    help: str
    presets: Mapping[str, Any]
    secret: bool
    shown: str

    @property
    def env(self) -> str:
        """The name in the environment."""
        return self.path.replace(".", "_").upper()


def key(
    default: Any,
    help: str,
    kind: Kind,
    *,
    simple: Any = None,
    secret: bool = False,
    shown: str = "",
) -> Any:
    """Declare a key: a dataclass field that knows its kind, its help and simple mode's default."""
    presets = {} if simple is None else {"simple": simple}
    facts = {"kind": kind, "help": help, "presets": presets, "secret": secret, "shown": shown}
    return dataclasses.field(default=default, repr=not secret, metadata=facts)


def section(of: type) -> Any:
    """Declare a section: a nested dataclass of keys."""
    return dataclasses.field(default_factory=of, metadata={"section": of})


@dataclass(frozen=True, slots=True)
class Server:
    """How the process listens."""

    host: str = key("0.0.0.0", "Address to listen on.", TEXT, simple="127.0.0.1")  # noqa: S104  full mode serves a network
    port: int = key(8080, "Port to listen on.", whole(0, 65535))
    mode: str = key("debug", "`release` is strict and says less.", one_of("debug", "release"))
    trusted_proxies: tuple[str, ...] = key(
        (), "Addresses and networks whose X-Forwarded-For is believed.", ADDRESSES
    )
    max_request_body_size: int = key(
        64 * MIB, "Largest request body, also after decompression.", size(1024, 1024 * MIB)
    )
    max_buffered_bodies: int = key(
        512 * MIB,
        "Request bodies held at once, all clients together; more are refused with 503.",
        size(1024 * 1024, 1024 * 1024 * MIB),
    )
    read_header_timeout: float = key(15.0, "Time a client has to send its headers.", seconds(1))
    idle_timeout: float = key(75.0, "Time a kept connection may be silent.", seconds(1))
    drain_seconds: float = key(120.0, "Time running calls have to end at a stop.", seconds(0))
    metrics_token: str = key(
        "",
        "Bearer token for /metrics; empty: only this machine may read it, not through a proxy.",
        TEXT,
        secret=True,
    )
    express_lane: bool = key(
        True,
        "Serve AI routes straight from the socket; off, every request takes the web app's way.",
        SWITCH,
    )
    reuse_port: bool = key(
        False,
        "Let another process listen on the same port (SO_REUSEPORT): the next release starts "
        "before this one stops. Nobody is refused, but a connection that arrives in the moment "
        "of closing may be reset; socket activation has no such moment.",
        SWITCH,
    )
    max_connections: int = key(
        16384, "Client connections at once; more are closed at once.", whole(1, 1_000_000)
    )
    max_connections_per_address: int = key(
        4096,
        "The same per client address; 0 is no limit. Trusted proxies are exempt.",
        whole(0, 1_000_000),
    )


@dataclass(frozen=True, slots=True)
class Database:
    """Where lasting data is. An empty `url` is a SQLite file in simple mode, else the parts."""

    url: str = key("", "`sqlite:///path` or `postgresql://...`.", TEXT, secret=True)
    host: str = key("localhost", "Postgres host.", TEXT)
    port: int = key(5432, "Postgres port.", whole(1, 65535))
    user: str = key("postgres", "Postgres user.", TEXT)
    password: str = key("", "Postgres password.", TEXT, secret=True)
    dbname: str = key("sub2api", "Postgres database.", TEXT)
    sslmode: str = key(
        "disable",
        "Encryption towards Postgres.",
        one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    )
    schema: str = key("public", "Postgres schema of our tables, made if it is not there.", TEXT)
    max_open_conns: int = key(
        10, "Connections to Postgres that each process may have.", whole(2, 1000)
    )
    max_idle_conns: int = key(
        5, "How many of them stay open while nobody uses them.", whole(1, 1000)
    )
    conn_max_lifetime_minutes: int = key(
        30, "Minutes after which a connection is made anew; 0 is never.", whole(0, 100_000)
    )
    statement_timeout: float = key(
        30.0, "Longest time of one statement in Postgres; 0 is no limit.", seconds(0)
    )


@dataclass(frozen=True, slots=True)
class Redis:
    """Where processes share live state in full mode. An empty `url` is made of the parts."""

    url: str = key("", "`redis://...` or `rediss://...`.", TEXT, secret=True)
    host: str = key("localhost", "Redis host.", TEXT)
    port: int = key(6379, "Redis port.", whole(1, 65535))
    password: str = key("", "Redis password.", TEXT, secret=True)
    db: int = key(0, "Redis database number.", whole(0, 1_000_000))


@dataclass(frozen=True, slots=True)
class Scheduling:
    """How calls wait for accounts, and how sessions stay with theirs."""

    fallback_wait_timeout: float = key(30.0, "Longest wait for a place on any account.", seconds(0))
    fallback_max_waiting: int = key(100, "Calls of one user that may wait.", whole(0, 100_000))
    sticky_session_wait_timeout: float = key(
        120.0, "Longest wait of a session for its own account, before others.", seconds(0)
    )
    sticky_session_max_waiting: int = key(
        3, "Calls that may wait so for one account; more go elsewhere.", whole(0, 10_000)
    )
    sticky_session_ttl: float = key(
        3600.0, "Time a session's account is remembered after its last call.", seconds(1)
    )


@dataclass(frozen=True, slots=True)
class Stall:
    """What happens to accounts whose replies come too late, or fall silent."""

    enabled: bool = key(
        False, "Count stalls per account; off, they count like broken connections.", SWITCH
    )
    window_minutes: int = key(10, "Minutes within which stalls are counted.", whole(1, 1440))
    threshold: int = key(3, "Stalls within them that are too many.", whole(1, 1000))
    action: str = key(
        "rest",
        "What follows: `rest` for a while, or `error` until an operator has looked.",
        one_of("rest", "error"),
    )
    rest_minutes: int = key(5, "Minutes of that rest.", whole(1, 1440))


@dataclass(frozen=True, slots=True)
class Gateway:
    """Limits and deadlines of relayed calls."""

    disconnect: DisconnectPolicy = key(
        "drain",
        "When a client leaves: `drain` reads on for the exact bill, `observed` bills what was "
        "seen, `cancel` stops the upstream at once. A group may differ.",
        one_of("drain", "observed", "cancel"),
        simple="cancel",
    )
    drain_seconds: float = key(60.0, "Longest drain after a client left.", seconds(0))
    connect_timeout: float = key(5.0, "Time to reach an upstream, TLS included.", seconds(0.1))
    first_byte_timeout_stream: float = key(
        60.0, "Time to a stream's first frame; 0 is no limit.", seconds(0)
    )
    first_byte_timeout: float = key(
        600.0, "Time to the first byte of any other reply; 0 is no limit.", seconds(0)
    )
    idle_timeout: float = key(300.0, "Longest silence within a reply; 0 is no limit.", seconds(0))
    keepalive_seconds: float = key(
        10.0, "Silence after which a waiting stream gets a keep-alive; 0 is never.", seconds(0)
    )
    max_account_switches: int = key(10, "Other accounts tried for one call.", whole(0, 100))
    max_account_switches_gemini: int = key(3, "The same on Gemini routes.", whole(0, 100))
    max_event_size: int = key(40 * MIB, "Largest single stream event.", size(MIB, 1024 * MIB))
    max_conns_per_account: int = key(240, "Connections to upstreams per account.", whole(1, 10_000))
    idle_conn_timeout_seconds: float = key(
        90.0, "Time an unused upstream connection is kept.", seconds(1)
    )
    scheduling: Scheduling = section(Scheduling)
    stall: Stall = section(Stall)


@dataclass(frozen=True, slots=True)
class UrlAllowlist:
    """Which upstream addresses are allowed. Link-local and metadata addresses never are."""

    enabled: bool = key(False, "Allow only `upstream_hosts`.", SWITCH)
    upstream_hosts: tuple[str, ...] = key(
        (
            "api.openai.com",
            "api.anthropic.com",
            "api.kimi.com",
            "open.bigmodel.cn",
            "api.minimaxi.com",
            "generativelanguage.googleapis.com",
            "cloudcode-pa.googleapis.com",
            "*.openai.azure.com",
        ),
        "Hosts that are allowed when `enabled`; `*.x` also matches `x`.",
        LIST,
    )
    allow_private_hosts: bool = key(False, "Allow upstreams in private networks.", SWITCH)
    allow_insecure_http: bool = key(False, "Allow upstreams without TLS.", SWITCH)
    allow_loopback: bool = key(
        False, "Allow upstreams on this machine, http included.", SWITCH, simple=True
    )


@dataclass(frozen=True, slots=True)
class Security:
    """Guards."""

    url_allowlist: UrlAllowlist = section(UrlAllowlist)


@dataclass(frozen=True, slots=True)
class Totp:
    """Encryption of secrets at rest."""

    encryption_key: str = key(
        "",
        "64 hex digits that seal second factors, credentials and keys; empty uses the file "
        "`sealing.key` in the data directory, made at first start.",
        HEX_KEY,
        secret=True,
    )


@dataclass(frozen=True, slots=True)
class Journal:
    """The local record of calls that are not in the database yet, kept in the data directory."""

    max_segment_bytes: int = key(
        8 * MIB, "Size at which a journal file is followed by the next.", size(65536, 1024 * MIB)
    )
    max_total_bytes: int = key(
        256 * MIB, "Size of all of them at which new calls are refused.", size(MIB, 1024**4)
    )


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged."""

    level: str = key(
        "info", "Least level that is logged.", one_of("debug", "info", "warning", "error")
    )


@dataclass(frozen=True, slots=True)
class Update:
    """Where new releases come from, and when one has proved itself."""

    directory: Path = key(
        Path(),
        "Directory of the installation (`launch`, `releases`); the launcher sets it.",
        PATH,
        shown="(none)",
    )
    release_url: str = key(
        "",
        "Web directory with releases, as `make release` writes it; empty: the project's own.",
        TEXT,
    )
    channel: str = key("stable", "Which releases are offered.", one_of("stable", "edge"))
    proxy_url: str = key(
        "", "Proxy for fetching releases: `http://...` or `socks5h://...`.", TEXT, secret=True
    )
    confirm_seconds: float = key(
        30.0, "Time a new release must be healthy at a stretch to stay.", seconds(0)
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All keys. `config_file` is where the file's part came from, None without one."""

    run_mode: RunMode = key(
        "simple",
        "`simple` is one process for one person, `full` a service (`standard` is another name "
        "for it). Unset: full if a database or Redis is configured.",
        one_of("simple", "full", standard="full"),
        shown="(see help)",
    )
    simple_mode_confirm: bool = key(
        False, "Says that simple mode, which charges nobody, is meant in release mode.", SWITCH
    )
    data_dir: Path = key(
        Path(),
        "Directory of everything the program keeps.",
        PATH,
        shown="the user's data directory for sub2api",
    )
    timezone: str = key("UTC", "Time zone of days in reports.", TIMEZONE)
    charge_users: bool = key(True, "Take the cost of calls from balances.", SWITCH, simple=False)
    server: Server = section(Server)
    database: Database = section(Database)
    redis: Redis = section(Redis)
    gateway: Gateway = section(Gateway)
    security: Security = section(Security)
    totp: Totp = section(Totp)
    journal: Journal = section(Journal)
    log: Log = section(Log)
    update: Update = section(Update)
    config_file: Path | None = None


def all_keys(of: type = Settings, prefix: str = "") -> Iterator[Key]:
    """Yield every key in the order of the classes above."""
    for field in dataclasses.fields(of):
        if "section" in field.metadata:
            yield from all_keys(field.metadata["section"], f"{prefix}{field.name}.")
        elif "kind" in field.metadata:
            yield Key(path=prefix + field.name, default=field.default, **field.metadata)
