from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sub2api.errors import MistakeError
from sub2api.updates import signing

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()


def test_any_trusted_key_may_have_signed() -> None:
    lines = f"{'a' * 64}  one.txt\n{'b' * 64}  two.txt\n".encode()
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    sums = signing.verify(lines, KEY.sign(lines), (other, PUBLIC))
    assert sums == {"one.txt": "a" * 64, "two.txt": "b" * 64}
    with pytest.raises(MistakeError, match="not ours"):
        signing.verify(lines, KEY.sign(lines), (other,))
    with pytest.raises(MistakeError, match="not ours"):
        signing.verify(lines, b"", (PUBLIC,))


@pytest.mark.parametrize(
    "lines",
    ["nonsense\n", f"{'a' * 63}  x\n", f"{'a' * 64}  ../x\n", f"{'a' * 64}  x\n{'b' * 64}  x\n"],
)
def test_lines_that_are_none_are_refused_even_when_signed(lines: str) -> None:
    data = lines.encode()
    with pytest.raises(MistakeError, match="has a line that is none"):
        signing.verify(data, KEY.sign(data), (PUBLIC,))


def test_keys_are_lines_of_hex() -> None:
    assert signing.parse_keys(f"# why\n\n{PUBLIC.hex()}\n") == (PUBLIC,)
    with pytest.raises(ValueError, match="no public key"):
        signing.parse_keys("abc")
    assert isinstance(signing.shipped_keys(), tuple)


def test_files_are_checked_by_what_they_are(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    assert signing.sha256_of(file) == digest
    assert signing.check(b"content", "f", {"f": digest}) == b"content"
    with pytest.raises(MistakeError, match="does not match"):
        signing.check(b"other", "f", {"f": digest})
    with pytest.raises(MistakeError, match="does not name"):
        signing.check(b"content", "g", {"f": digest})
