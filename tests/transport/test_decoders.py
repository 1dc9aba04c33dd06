"""Compressed bodies come out plain, step by step, and never all at once."""

from __future__ import annotations

import gzip
import itertools
import random
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard

from sub2api.errors import TransportError
from sub2api.transport.decoders import DECODING_ERRORS, Decoder, decoder_for

PLAIN = b"".join(b'data: {"n": %d}\n\n' % number for number in range(9000)) + random.Random(
    7
).randbytes(3000)
MOST = {"gzip": 65536, "deflate": 65536, "br": 262144, "zstd": 2 << 20}
"""Bytes that one step may give; brotli's limit is a soft one, zstandard's a consequence."""


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def compressed(encoding: str, data: bytes) -> bytes:
    methods: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "br": lambda each: brotli.compress(each, quality=4),
        "zstd": zstandard.compress,
    }
    return methods[encoding](data)


def made(encoding: str) -> Decoder:
    decoder = decoder_for(encoding)
    assert decoder is not None
    return decoder


def steps(decoder: Decoder, data: bytes, size: int) -> list[bytes]:
    pieces = (data[start : start + size] for start in range(0, len(data), size))
    return list(itertools.chain.from_iterable(map(decoder.decode, pieces)))


@pytest.mark.parametrize("size", [1, 7, 1000, 65536, 1 << 30])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_body_comes_out_plain_however_it_is_split(encoding: str, size: int) -> None:
    decoder = made(encoding)
    pieces = steps(decoder, compressed(encoding, PLAIN), size)
    assert b"".join(pieces) == PLAIN
    assert all(pieces)
    assert decoder.complete


@pytest.mark.parametrize("size", [1, 1000, 1 << 30])
def test_deflate_without_its_wrapping_is_understood(size: int) -> None:
    decoder = made("deflate")
    assert b"".join(steps(decoder, raw_deflate(PLAIN), size)) == PLAIN
    assert decoder.complete


@pytest.mark.parametrize("size", [1, 7, 1 << 30])
@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_several_members_are_one_body(encoding: str, size: int) -> None:
    decoder = made(encoding)
    body = compressed(encoding, b"first") + compressed(encoding, b"second")
    assert b"".join(steps(decoder, body, size)) == b"firstsecond"
    assert decoder.complete


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_comes_out_in_bounded_steps(encoding: str) -> None:
    bomb = compressed(encoding, bytes(64 << 20))
    assert len(bomb) < 100_000
    longest = total = 0
    for piece in made(encoding).decode(bomb):
        longest = max(longest, len(piece))
        total += len(piece)
        if total > 16 << 20:
            break  # a reader with a limit stops here, and nothing more was decoded
    assert 0 < longest <= MOST[encoding]


def test_a_zstandard_bomb_of_tiny_blocks_comes_out_in_bounded_steps() -> None:
    # Frame header: magic, no flags, window of 128 KiB; then blocks of one repeated byte.
    frame = b"\x28\xb5\x2f\xfd\x00\x38"
    repeated = ((131072 << 3) | 2).to_bytes(3, "little") + b"x"
    last = ((131072 << 3) | 3).to_bytes(3, "little") + b"x"
    pieces = list(made("zstd").decode(frame + repeated * 200 + last))
    assert sum(map(len, pieces)) == 201 * 131072
    assert max(map(len, pieces)) <= MOST["zstd"]


def test_a_zstandard_window_that_http_does_not_allow_is_refused() -> None:
    compressor = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=27)
    ).compressobj()
    body = compressor.compress(PLAIN) + compressor.flush()
    with pytest.raises(DECODING_ERRORS):
        list(made("zstd").decode(body))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_what_is_no_such_encoding_is_an_error(encoding: str) -> None:
    with pytest.raises(DECODING_ERRORS):
        list(made(encoding).decode(b"\xff\xfe plainly not compressed" * 20))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_what_follows_the_end_is_an_error(encoding: str) -> None:
    decoder = made(encoding)
    list(decoder.decode(compressed(encoding, b"first")))
    with pytest.raises(DECODING_ERRORS):
        list(decoder.decode(b"\xff\xfe something else entirely"))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_body_that_breaks_off_is_not_complete(encoding: str) -> None:
    body = compressed(encoding, PLAIN)
    for cut in (0, 1, 10, len(body) // 2, len(body) - 1):
        decoder = made(encoding)
        list(decoder.decode(body[:cut]))
        assert not decoder.complete, cut


def test_plain_bodies_need_no_decoder() -> None:
    assert decoder_for("") is None
    assert decoder_for(" Identity ") is None
    assert decoder_for("X-GZIP") is not None


@pytest.mark.parametrize("encoding", ["compress", "gzip, br", "aes128gcm", "chunked"])
def test_an_encoding_that_cannot_be_read_is_a_protocol_error(encoding: str) -> None:
    with pytest.raises(TransportError) as caught:
        decoder_for(encoding)
    assert caught.value.cause == "protocol"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_nothing_is_held_back_when_a_step_ends_with_its_input(encoding: str) -> None:
    for extra in range(300):
        plain = bytes(65536 + extra)
        without_its_checksum = compressed(encoding, plain)[: -8 if encoding == "gzip" else -4]
        assert len(b"".join(made(encoding).decode(without_its_checksum))) == len(plain)
