"""Make the key that releases are signed with. Once; keep the file off the network, and a copy.

python -m tools.release_key new PATH      write a new private key, and its public half into the tree
python -m tools.release_key public PATH   print the public half of a private key
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tools.shipping.staging import KEYS, ROOT


def load(path: Path) -> Ed25519PrivateKey:
    """Read a private key."""
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise SystemExit(f"{path} holds no Ed25519 key")
    return key


def public_half(key: Ed25519PrivateKey) -> str:
    """Return the public half in hex."""
    return key.public_key().public_bytes_raw().hex()


def write_new(path: Path) -> Ed25519PrivateKey:
    """Make a key and write it to a new file that only its owner can read."""
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(text)
    return key


def main() -> int:
    """Do what the command line says."""
    if len(sys.argv) != 3 or sys.argv[1] not in {"new", "public"}:
        print(__doc__)
        return 2
    path = Path(sys.argv[2])
    if sys.argv[1] == "public":
        print(public_half(load(path)))
        return 0
    public = public_half(write_new(path))
    with (ROOT / KEYS).open("a", encoding="utf-8") as file:
        file.write(public + "\n")
    print(f"{path} is the private key: keep it secret, and a copy of it safe.")
    print(f"{KEYS} has its public half now: commit that.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
