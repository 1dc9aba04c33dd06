"""Secrets at rest: AES-256-GCM with one key, which lives outside the database.

A sealed text is `v1:` and URL-safe base64 (no padding) of a 12-byte random nonce, the ciphertext
and its 16-byte tag. The purpose is authenticated but not stored: a secret sealed for one column
cannot be opened in the place of another.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.errors import SealError, SettingsError
from sub2api.settings import Settings
from sub2api.store import options

KEY_FILE = "sealing.key"
_VERSION = "v1:"
_NONCE_BYTES = 12
_CHECK_OPTION = "sealing.check"
_CHECK_PURPOSE = "key check"


class Sealer:
    """Seals and opens secrets with one 32-byte key."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ValueError("a sealing key has 32 bytes")
        self._cipher = AESGCM(key)
        self._key = key

    def derived(self, purpose: str) -> bytes:
        """Return 32 bytes that only this key and purpose give (HKDF-SHA256, RFC 5869)."""
        return HKDF(hashes.SHA256(), 32, salt=None, info=purpose.encode()).derive(self._key)

    def seal(self, text: str, purpose: str) -> str:
        """Return `text` sealed for `purpose`; every call gives another result."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), purpose.encode())
        return _VERSION + base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, sealed: str, purpose: str) -> str:
        """Return the text that was sealed. Raises SealError."""
        try:
            raw = _unpack(sealed)
            nonce, ciphertext = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
            return self._cipher.decrypt(nonce, ciphertext, purpose.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise SealError(
                f"the sealed {purpose} is damaged or was sealed with another key"
            ) from error


def _unpack(sealed: str) -> bytes:
    body = sealed.removeprefix(_VERSION)
    if body == sealed:
        raise ValueError("unknown form")
    return base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)


def load_sealer(settings: Settings) -> Sealer:
    """Return the sealer of this installation.

    Its key is `totp.encryption_key`, else the file `sealing.key` in the data directory, which is
    made on first use (mode 0600). Raises SettingsError when the file cannot be used.
    """
    if settings.totp.encryption_key:
        return Sealer(bytes.fromhex(settings.totp.encryption_key))
    path = Path(settings.data_dir) / KEY_FILE
    try:
        return Sealer(_key_of_file(path))
    except OSError as error:
        raise SettingsError(f"sealing key {path} cannot be used: {error.strerror}") from error


def _key_of_file(path: Path) -> bytes:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        # Two processes may start at once: whoever has the lock and finds no key makes it.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
            raise SettingsError(f"sealing key {path} is open to others: run chmod 600 {path}")
        text = os.read(descriptor, 4096)
        if not text:
            text = secrets.token_hex(32).encode()
            os.write(descriptor, text + b"\n")
            os.fsync(descriptor)
        return _parse(text, path)
    finally:
        os.close(descriptor)


def _parse(text: bytes, path: Path) -> bytes:
    try:
        key = binascii.unhexlify(text.strip())
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise SettingsError(f"sealing key {path} must hold 64 hex digits; restore it from a backup")
    return key


async def check_sealer(connection: AsyncConnection, sealer: Sealer) -> None:
    """Refuse a key that this database's secrets were not sealed with.

    The first call (in a transaction) leaves a sealed mark in the options; later ones open it.
    Raises SettingsError.
    """
    mark = await options.get(connection, _CHECK_OPTION)
    if mark is None:
        await options.set(connection, _CHECK_OPTION, sealer.seal("sub2api", _CHECK_PURPOSE))
        return
    try:
        sealer.open(str(mark), _CHECK_PURPOSE)
    except SealError as error:
        raise SettingsError(
            "this database was sealed with another key: set totp.encryption_key "
            f"(or restore the file {KEY_FILE}) to the key it was made with"
        ) from error
