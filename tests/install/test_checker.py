"""The installer's own check of signatures, against the library's and RFC 8032's vectors."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

INSTALLER = Path(__file__).resolve().parents[2] / "install.sh"
ORDER = 2**252 + 27742317777372353535851937790883648493


def checker_source() -> str:
    text = INSTALLER.read_text()
    return text.split("checker() {\n    cat <<'END'\n")[1].split("\nEND\n")[0]


@pytest.fixture(scope="module")
def checker() -> dict[str, Any]:
    names: dict[str, Any] = {}
    # Without its last part, which acts on the command line.
    exec(checker_source().split("\nwork, keys, what = ")[0], names)  # noqa: S102
    return names


def test_the_vectors_of_rfc_8032(checker: dict[str, Any]) -> None:
    public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert checker["signed"](bytes.fromhex(public), bytes.fromhex(signature), b"\x72")


def test_it_says_what_the_library_says(checker: dict[str, Any]) -> None:
    for index in range(20):
        key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(bytes([index])).digest())
        public, message = key.public_key().public_bytes_raw(), bytes(range(index)) * index
        signature = bytearray(key.sign(message))
        assert checker["signed"](public, bytes(signature), message)
        assert not checker["signed"](public, bytes(signature), message + b"!")
        signature[index] ^= 1 << (index % 8)
        with pytest.raises(InvalidSignature):
            Ed25519PublicKey.from_public_bytes(public).verify(bytes(signature), message)
        assert not checker["signed"](public, bytes(signature), message)


def test_malformed_keys_and_signatures_are_no_signatures(checker: dict[str, Any]) -> None:
    key = Ed25519PrivateKey.generate()
    public, signature = key.public_key().public_bytes_raw(), key.sign(b"m")
    assert not checker["signed"](public, signature[:-1], b"m")
    assert not checker["signed"](public[:-1], signature, b"m")
    assert not checker["signed"](b"\xff" * 32, signature, b"m")
    high = int.from_bytes(signature[32:], "little") + ORDER  # the same number, written otherwise
    assert not checker["signed"](public, signature[:32] + high.to_bytes(32, "little"), b"m")


def test_files_must_be_named_and_whole(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    (tmp_path / "check.py").write_text(checker_source())
    (tmp_path / "f").write_bytes(b"content")
    lines = f"{hashlib.sha256(b'content').hexdigest()}  f\n".encode()
    (tmp_path / "checksums.txt").write_bytes(lines)
    (tmp_path / "checksums.txt.sig").write_bytes(key.sign(lines))
    public = key.public_key().public_bytes_raw().hex()

    def run(keys: str, *names: str) -> str:
        command = [sys.executable, tmp_path / "check.py", tmp_path, keys, "check", *names]
        return subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()

    assert run(public, "f") == ""
    assert run(f"{'0' * 64} {public}", "f") == ""
    assert run("0" * 64, "f") == "the signature of checksums.txt is not ours"
    assert run("", "f") == "the signature of checksums.txt is not ours"
    (tmp_path / "g").write_bytes(b"content")
    assert run(public, "g") == "the checksum of g does not match"
    (tmp_path / "f").write_bytes(b"Content")
    assert run(public, "f") == "the checksum of f does not match"
