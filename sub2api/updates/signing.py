"""Whether files are ours: `checksums.txt` is signed, and names the SHA-256 of every other file.

The signature (`checksums.txt.sig`) is a raw Ed25519 one (RFC 8032), 64 bytes; the checksums are
lines as `sha256sum` writes and reads them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sub2api.errors import MistakeError

_LINE = re.compile(r"([0-9a-f]{64}) [ *]([A-Za-z0-9._-]{1,120})")
_KEY = re.compile(r"[0-9a-f]{64}")


def shipped_keys() -> tuple[bytes, ...]:
    """Return the public keys that this release trusts: one, or two while keys change."""
    return parse_keys((files(__package__) / "release_keys.txt").read_text(encoding="utf-8"))


def parse_keys(text: str) -> tuple[bytes, ...]:
    """Return the keys in a text of hex lines and # comments. Raises ValueError."""
    lines = (line.strip() for line in text.splitlines())
    words = [line for line in lines if line and not line.startswith("#")]
    for word in words:
        if not _KEY.fullmatch(word):
            raise ValueError(f"{word[:20]!r} is no public key of 64 hex digits")
    return tuple(bytes.fromhex(word) for word in words)


def verify(checksums: bytes, signature: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """Return SHA-256 by file name, if one of the keys signed them. Raises MistakeError."""
    if not keys:
        raise MistakeError(
            "this build trusts no release key, so it accepts no release: "
            "install one that was published"
        )
    if not any(_signed_by(key, checksums, signature) for key in keys):
        raise MistakeError(
            "the signature of checksums.txt is not ours: the release was changed on its way, or "
            "is somebody else's. Nothing was installed"
        )
    return _parsed(checksums)


def _signed_by(key: bytes, data: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _parsed(checksums: bytes) -> dict[str, str]:
    sums: dict[str, str] = {}
    for line in checksums.decode("ascii", "replace").splitlines():
        found = _LINE.fullmatch(line)
        if found is None or found[2] in sums:
            raise MistakeError(f"checksums.txt has a line that is none: {line[:80]!r}")
        sums[found[2]] = found[1]
    return sums


def check(data: bytes, name: str, sums: dict[str, str]) -> bytes:
    """Return the bytes of a small file if they are what the checksums say. Raises MistakeError."""
    require(hashlib.sha256(data).hexdigest(), name, sums)
    return data


def require(found: str, name: str, sums: dict[str, str]) -> None:
    """Raise MistakeError unless `found` is the SHA-256 that the checksums give for `name`."""
    if name not in sums:
        raise MistakeError(f"checksums.txt does not name {name}: not accepted")
    if found != sums[name]:
        raise MistakeError(
            f"the checksum of {name} does not match: it was damaged or changed on its way. "
            "Nothing was installed"
        )


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex. Blocks for as long as reading it takes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
