"""Networks of comparators (a, b), which put the minimum of two values at a and the maximum at b."""

from gpuimg.kernels.lib.lanes import network

# The shortest known networks that sort 3, 5 and 7 values.
SORTERS = {
    3: [(0, 2), (0, 1), (1, 2)],
    5: [(0, 3), (1, 4), (0, 2), (1, 3), (0, 1), (2, 4), (1, 2), (3, 4), (2, 3)],
    7: [(0, 6), (2, 3), (4, 5), (0, 2), (1, 4), (3, 6), (0, 1), (2, 5), (3, 4), (1, 2), (4, 6), (2, 3), (4, 5)]
    + [(1, 2), (3, 4), (5, 6)],
}
# The remaining comparators when all columns and rows of a square of values are sorted: most values then cannot be the
# median, and these bring it to the middle. Found by search; correct for all 0-1 inputs, and so for all others.
SELECTORS = {
    3: [(2, 6), (2, 4), (4, 6)],
    5: [(3, 16), (9, 11), (7, 16), (4, 17), (11, 20), (11, 13), (8, 21), (8, 15), (9, 15), (4, 16), (4, 11), (4, 15)]
    + [(12, 16), (15, 16), (11, 12), (11, 15), (12, 15)],
    7: [(26, 29), (19, 28), (4, 38), (20, 22), (4, 37), (5, 32), (10, 43), (4, 31), (20, 28), (11, 38), (13, 16)]
    + [(5, 44), (19, 25), (17, 44), (5, 37), (22, 26), (23, 26), (17, 37), (16, 36), (17, 36), (12, 31), (23, 36)]
    + [(17, 43), (22, 25), (31, 35), (5, 25), (11, 43), (17, 42), (16, 25), (5, 43), (18, 31), (6, 22), (6, 28)]
    + [(23, 28), (23, 43), (12, 25), (12, 43), (12, 37), (30, 36), (18, 22), (16, 35), (11, 37), (28, 42), (24, 43)]
    + [(22, 23), (6, 31), (24, 42), (28, 37), (5, 24), (11, 30), (17, 30), (11, 23), (5, 30), (22, 31), (16, 31)]
    + [(12, 31), (23, 31), (30, 31), (16, 30), (24, 30), (23, 30), (12, 30), (16, 28), (12, 28), (16, 24), (23, 28)]
    + [(24, 28), (12, 23), (23, 24)],
}


def _wires(n):
    return [(row, pixel) for row in range(n) for pixel in range(n)]


def _rows(n):
    return [(row * n + a, row * n + b) for row in range(n) for a, b in SORTERS[n]]


def _median(n):
    return network(_wires(n), _rows(n) + SELECTORS[n], [n * n // 2])


def _median_of_unsorted(n):
    """The same for columns that are not sorted yet."""
    columns = [(a * n + col, b * n + col) for col in range(n) for a, b in SORTERS[n]]
    return network(_wires(n), columns + _rows(n) + SELECTORS[n], [n * n // 2])


def merger(one, other):
    """Batcher's odd-even merge (Knuth, section 5.3.4): the comparators for two sorted lists of wires, and the wires in
    the resulting order of their values."""
    if not one or not other:
        return [], one + other
    if len(one) == len(other) == 1:
        return [(one[0], other[0])], one + other
    first, even = merger(one[::2], other[::2])
    second, odd = merger(one[1::2], other[1::2])
    last = list(zip(odd, even[1:], strict=False))
    merged = [even[0], *(wire for pair in last for wire in pair), *odd[len(last) :], *even[len(last) + 1 :]]
    return first + second + last, merged


def merger_of_columns(n):
    """The comparators that merge ``n`` sorted columns, and the wires in the resulting order of their values."""
    lists = [list(range(column, n * n, n)) for column in range(n)]
    comparators = []
    while len(lists) > 1:
        more, merged = merger(lists.pop(0), lists.pop(0))
        comparators += more
        lists.append(merged)
    return comparators, lists[0]


def _merge(n):
    return network(_wires(n), *merger_of_columns(n))


SORT = {n: network([(row, 0) for row in range(n)], SORTERS[n], range(n)) for n in SORTERS}
MEDIAN = {n: _median(n) for n in SORTERS}
MEDIAN_OF_9 = _median_of_unsorted(3)
MERGE = {n: _merge(n) for n in SORTERS}
