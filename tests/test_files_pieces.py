"""Files in memory that are read and written in pieces."""

from io import BytesIO

import numpy as np
import pytest

from gpuimg.files import pieces
from gpuimg.files.jpeg import MOST_SCANS, START_OF_SCAN, check_scans
from gpuimg.files.limits import Refused
from gpuimg.files.pieces import Memory, read_array


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", 7)
    monkeypatch.setattr("gpuimg.files.jpeg.PIECE", 7)


def test_a_file_in_pieces_is_as_any_in_memory():
    rng = np.random.default_rng(1)
    ours, plain = Memory(), BytesIO()
    for _ in range(300):
        at = int(rng.integers(0, 150))
        data = rng.bytes(rng.integers(0, 40))
        found, expected = bytearray(25), bytearray(25)
        assert ours.seek(at) == plain.seek(at)
        if rng.random() < 0.5:
            assert ours.write(data) == plain.write(data)
        else:
            assert ours.readinto(found) == plain.readinto(expected)
        assert (found, ours.tell(), ours.getvalue()) == (expected, plain.tell(), plain.getvalue())


def test_no_piece_is_large(monkeypatch):
    class Plain(BytesIO):
        def readinto(self, buffer):
            assert len(buffer) <= 7
            return super().readinto(buffer)

        def write(self, data):
            assert len(data) <= 7
            return super().write(data)

    monkeypatch.setattr(pieces, "BytesIO", Plain)
    file = type("Watched", (Plain,), {name: vars(Memory)[name] for name in ("readinto", "write", "_fill")})()
    file.seek(20)
    assert file.write(np.arange(50, dtype=np.uint16)) == 100
    file.seek(20)
    assert file.readinto(bytearray(100)) == 100


def test_arrays_are_read_as_far_as_they_go():
    file = Memory(np.arange(50, dtype=">u2").tobytes())
    assert read_array(file, np.dtype(">u2"), 50).tolist() == list(range(50))
    file.seek(0)
    with pytest.raises(ValueError, match="truncated"):
        read_array(file, np.dtype(">u2"), 51)


@pytest.mark.parametrize("before", range(8))
def test_scans_are_counted_across_pieces(before):
    data = bytes(before) + (START_OF_SCAN + b"12") * MOST_SCANS
    check_scans(BytesIO(data))
    check_scans(BytesIO(data + START_OF_SCAN), len(data) + 1)
    with pytest.raises(Refused, match=f"more than {MOST_SCANS} scans"):
        check_scans(BytesIO(data + START_OF_SCAN))
