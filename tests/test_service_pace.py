"""How long requests are expected to wait."""

import pytest

from gpuimg.service.pace import EACH, Pace, wait

MEGABYTE = 1 << 20
READ_PNG, WRITE_PNG, MEDIAN = ("decode", "PNG"), ("encode", "image/png"), ("filter", "median")


def learned(seconds, count=100, nbytes=MEGABYTE - EACH, part=MEDIAN, pace=None):
    pace = pace or Pace()
    for _ in range(count):
        pace.learn([(part, seconds)], nbytes)
    return pace


def test_nothing_is_expected_before_anything_is_known():
    assert Pace().expect([READ_PNG, MEDIAN, WRITE_PNG], 1000 * MEGABYTE) == 0.0


def test_time_is_expected_by_bytes():
    pace = learned(0.5)
    assert pace.expect([MEDIAN], MEGABYTE - EACH) == pytest.approx(0.5)
    assert pace.expect([MEDIAN], 8 * MEGABYTE - EACH) == pytest.approx(4.0)


def test_each_part_has_a_pace_of_its_own():
    pace = learned(2.0, part=WRITE_PNG, pace=learned(1.0, part=READ_PNG))
    nbytes = MEGABYTE - EACH
    assert pace.expect([READ_PNG], nbytes) == pytest.approx(1.0)
    assert pace.expect([READ_PNG, WRITE_PNG], nbytes) == pytest.approx(3.0)
    assert pace.expect([READ_PNG, MEDIAN, MEDIAN, WRITE_PNG], nbytes) == pytest.approx(3.0)
    learned(0.25, part=MEDIAN, pace=pace)
    assert pace.expect([READ_PNG, MEDIAN, MEDIAN, WRITE_PNG], nbytes) == pytest.approx(3.5)


def test_a_kind_that_is_not_known_counts_as_the_known_ones_of_its_part():
    pace = learned(2.0, part=("filter", "median"), pace=learned(1.0, part=("filter", "gaussian")))
    assert 1.0 <= pace.expect([("filter", "canny")], MEGABYTE - EACH) <= 2.0
    assert pace.expect([("decode", "canny")], MEGABYTE - EACH) == 0.0


def test_the_last_works_count():
    pace = learned(0.9, 50, pace=learned(0.1, 300))
    assert pace.expect([MEDIAN], MEGABYTE - EACH) == pytest.approx(0.9)


def test_a_few_slow_works_of_small_images_do_not_count():
    pace = learned(0.1, 10, pace=learned(5.0, 9))
    assert pace.expect([MEDIAN], MEGABYTE - EACH) == pytest.approx(0.1)
    learned(64.0, 1, nbytes=64 * MEGABYTE - EACH, pace=pace)  # most of all bytes
    assert pace.expect([MEDIAN], MEGABYTE - EACH) == pytest.approx(1.0)


def test_a_free_place_is_not_waited_for():
    assert wait([], [], 1) == 0.0
    assert wait([5.0], [], 2) == 0.0


def test_places_are_taken_in_order():
    assert wait([2.0, 3.0], [], 2) == 2.0
    assert wait([2.0, 3.0], [4.0], 2) == 3.0
    assert wait([2.0, 3.0], [4.0, 1.0, 1.0], 2) == 5.0
    assert wait([3.0], [1.0, 1.0], 1) == 5.0


def test_works_that_wait_longer_than_expected_are_learned_from():
    pace = Pace()
    assert pace.lateness == 1.0
    pace.learn_wait(0.0, 5.0)  # nothing was in its way
    assert pace.lateness == 1.0
    for _ in range(300):
        pace.learn_wait(1.0, 2.5)
    assert pace.lateness == pytest.approx(2.5, rel=0.02)
    for _ in range(300):
        pace.learn_wait(1.0, 0.5)
    assert pace.lateness == pytest.approx(0.5, rel=0.02)
    for _ in range(300):
        pace.learn_wait(1.0, 100.0)
    assert pace.lateness == 4.0
