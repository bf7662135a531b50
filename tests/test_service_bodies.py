"""Bodies of requests as files."""

import io

import numpy as np
import pytest

from gpuimg.service.bodies import Body


@pytest.mark.parametrize("expected", [0, 10, 5000, 1 << 60])
def test_a_body_is_a_file_however_it_arrives(expected):
    rng = np.random.default_rng(1)
    if expected > 1 << 40:  # a length that no memory has
        with pytest.raises((MemoryError, ValueError)):
            Body(expected=expected)
        return
    body, whole = Body(expected=expected), b""
    for _ in range(20):
        chunk = rng.bytes(rng.integers(0, 400))
        body.append(chunk)
        whole += chunk
        assert bytes(body.getbuffer()) == whole
        assert len(body) == len(whole)
    plain = io.BytesIO(whole)
    for _ in range(200):
        whence = int(rng.integers(0, 3))
        offset = int(rng.integers(0, len(whole) + 100)) - (len(whole) if whence else 0)
        if whence < 2 and offset + (plain.tell() if whence else 0) < 0:
            continue
        if whence == 2 and len(whole) + offset < 0:
            continue
        assert body.seek(offset, whence) == plain.seek(offset, whence)
        assert body.read(7) == plain.read(7)
        found, wanted = bytearray(9), bytearray(9)
        assert body.readinto(found) == plain.readinto(wanted)
        assert (found, body.tell()) == (wanted, plain.tell())
    assert body.seek(0) == 0
    assert body.read() == whole
    assert body.read() == b""
    with pytest.raises(ValueError, match="no place -1"):
        body.seek(-1)


def test_a_whole_body_is_not_copied():
    data = b"12345"
    assert np.shares_memory(np.frombuffer(Body(data).getbuffer(), np.uint8), np.frombuffer(data, np.uint8))


def test_reads_are_counted():
    body = Body(b"12345")
    body.reads = 2
    assert body.read(1) + body.read(1) == b"12"
    with pytest.raises(ValueError, match="too many parts"):
        body.read(1)
