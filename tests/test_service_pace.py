"""How long requests are expected to wait."""

import pytest

from gpuimg.service.pace import EACH, Pace

MEGABYTE = 1 << 20


def test_nothing_is_expected_before_anything_is_known():
    assert Pace().seconds([MEGABYTE] * 1000, []) == 0.0


def test_time_is_expected_by_bytes():
    pace = Pace()
    for start in range(100):
        pace.ended(MEGABYTE - EACH, start, start + 0.5)
    assert pace.seconds([MEGABYTE - EACH], []) == pytest.approx(0.5)
    assert pace.seconds([8 * MEGABYTE - EACH], []) == pytest.approx(4.0)
    assert pace.seconds([], [8 * MEGABYTE - EACH]) == pytest.approx(2.0)
    assert pace.seconds([MEGABYTE - EACH] * 3, [MEGABYTE - EACH]) == pytest.approx(1.75)


def test_works_beside_each_other_count_once():
    pace = Pace()
    for start in range(100):
        pace.ended(MEGABYTE - EACH, start, start + 0.5)
        pace.ended(MEGABYTE - EACH, start, start + 0.5)
    assert pace.seconds([MEGABYTE - EACH] * 2, []) == pytest.approx(0.5, rel=0.02)


def test_the_last_works_count_most():
    pace = Pace()
    for start in range(300):
        pace.ended(MEGABYTE - EACH, start, start + 0.1)
    for start in range(300, 600):
        pace.ended(MEGABYTE - EACH, start, start + 0.9)
    assert pace.seconds([MEGABYTE - EACH], []) == pytest.approx(0.9, rel=0.02)
