// Medians and other ranks of 3x3 and 5x5 values by networks of minima and maxima, for tiles of two rows whose windows
// share values.
//
// A tile's core, the values common to all its windows, is sorted once; values that can no longer be selected are
// dropped; then the columns and rows of only some windows are merged in. (L. Sugy, "Fast median filtering by
// hierarchical tiling", 2025; the merging network: K. E. Batcher, "Sorting networks and their applications", AFIPS SJCC
// 32, 1968.) The compiler removes unused parts of networks.
#pragma once

// Two 16-bit numbers, compared at once.
template <bool SIGNED>
struct Pair {
  unsigned int bits;
};

// By value: else the compiler would select between addresses, and keep arrays in memory.
template <bool SIGNED>
__device__ __forceinline__ Pair<SIGNED> chosen(bool first, Pair<SIGNED> a, Pair<SIGNED> b) {
  return {first ? a.bits : b.bits};
}
__device__ __forceinline__ float chosen(bool first, float a, float b) { return first ? a : b; }
__device__ __forceinline__ double chosen(bool first, double a, double b) { return first ? a : b; }
__device__ __forceinline__ int chosen(bool first, int a, int b) { return first ? a : b; }

template <bool SIGNED>
__device__ __forceinline__ Pair<SIGNED> lower(Pair<SIGNED> a, Pair<SIGNED> b) {
  return {SIGNED ? __vmins2(a.bits, b.bits) : __vminu2(a.bits, b.bits)};
}
template <bool SIGNED>
__device__ __forceinline__ Pair<SIGNED> upper(Pair<SIGNED> a, Pair<SIGNED> b) {
  return {SIGNED ? __vmaxs2(a.bits, b.bits) : __vmaxu2(a.bits, b.bits)};
}
__device__ __forceinline__ float lower(float a, float b) { return fminf(a, b); }
__device__ __forceinline__ float upper(float a, float b) { return fmaxf(a, b); }
__device__ __forceinline__ double lower(double a, double b) { return b < a ? b : a; }
__device__ __forceinline__ double upper(double a, double b) { return b < a ? a : b; }
__device__ __forceinline__ int lower(int a, int b) { return min(a, b); }
__device__ __forceinline__ int upper(int a, int b) { return max(a, b); }

// The lowest value of the type.
template <bool SIGNED>
__device__ __forceinline__ void set_least(Pair<SIGNED>& v) {
  v.bits = SIGNED ? 0x80008000u : 0u;
}
__device__ __forceinline__ void set_least(float& v) { v = -__int_as_float(0x7f800000); }
__device__ __forceinline__ void set_least(double& v) { v = -__int_as_float(0x7f800000); }
__device__ __forceinline__ void set_least(int& v) { v = -2147483647 - 1; }

template <typename V>
__device__ __forceinline__ void sort(V& a, V& b) {
  const V low = lower(a, b);
  b = upper(a, b);
  a = low;
}

template <typename V, int N>
struct Sorted {
  V v[N];
};

template <typename V>
__device__ __forceinline__ Sorted<V, 4> sorted4(V a, V b, V c, V d) {
  sort(a, b);
  sort(c, d);
  sort(a, c);
  sort(b, d);
  sort(b, c);
  return {{a, b, c, d}};
}

// Every second value, from FROM on.
template <int FROM, typename V, int N>
__device__ __forceinline__ Sorted<V, (N + 1 - FROM) / 2> alternate(const Sorted<V, N>& a) {
  Sorted<V, (N + 1 - FROM) / 2> out;
#pragma unroll
  for (int i = 0; i < (N + 1 - FROM) / 2; ++i) out.v[i] = a.v[2 * i + FROM];
  return out;
}

// Batcher's odd-even merge, for any numbers of values.
template <typename V, int M, int N>
__device__ __forceinline__ Sorted<V, M + N> merged(const Sorted<V, M>& a, const Sorted<V, N>& b) {
  Sorted<V, M + N> out;
  if constexpr (M == 1 && N == 1) {
    out = {{lower(a.v[0], b.v[0]), upper(a.v[0], b.v[0])}};
  } else if constexpr (M == 1 || N == 1) {
    // A single value moves up past all smaller ones.
    V moving = M == 1 ? a.v[0] : b.v[0];
#pragma unroll
    for (int i = 0; i < M + N - 1; ++i) {
      const V other = M == 1 ? b.v[i] : a.v[i];
      out.v[i] = lower(moving, other);
      moving = upper(moving, other);
    }
    out.v[M + N - 1] = moving;
  } else {
    const auto even = merged(alternate<0>(a), alternate<0>(b));
    const auto odd = merged(alternate<1>(a), alternate<1>(b));
    constexpr int EVEN = (M + 1) / 2 + (N + 1) / 2, ODD = M / 2 + N / 2;
    out.v[0] = even.v[0];
#pragma unroll
    for (int i = 0; i < ODD; ++i) {
      if (i + 1 < EVEN) {
        out.v[2 * i + 1] = lower(odd.v[i], even.v[i + 1]);
        out.v[2 * i + 2] = upper(odd.v[i], even.v[i + 1]);
      } else {
        out.v[2 * i + 1] = odd.v[i];
      }
    }
    if constexpr (EVEN > ODD + 1) out.v[M + N - 1] = even.v[ODD + 1];
  }
  return out;
}

template <int FROM, int COUNT, typename V, int N>
__device__ __forceinline__ Sorted<V, COUNT> part(const Sorted<V, N>& a) {
  Sorted<V, COUNT> out;
#pragma unroll
  for (int i = 0; i < COUNT; ++i) out.v[i] = a.v[FROM + i];
  return out;
}

// The value with RANK smaller ones in the union of two sorted lists, without merging them.
template <int RANK, typename V, int M, int N>
__device__ __forceinline__ V selected(const Sorted<V, M>& a, const Sorted<V, N>& b) {
  // With i values of `a` and RANK + 1 - i of `b` at or below it, it is their maximum; the minimum over i is the result.
  V found = a.v[0];
  bool first = true;
#pragma unroll
  for (int i = 0; i <= M; ++i) {
    const int j = RANK + 1 - i;
    if (j < 0 || j > N) continue;
    const V choice = i == 0 ? b.v[j - 1] : j == 0 ? a.v[i - 1] : upper(a.v[i - 1], b.v[j - 1]);
    found = first ? choice : lower(found, choice);
    first = false;
  }
  return found;
}

// Move values to the front by a number of places whose highest bit is BIT: those for the first COUNT places.
template <int BIT, int COUNT, typename V, int N>
__device__ __forceinline__ void move_forward(V (&v)[N], int places) {
#pragma unroll
  for (int k = 0; k < COUNT + BIT - 1; ++k)
    if (k + BIT < N) v[k] = chosen(places & BIT, v[k + BIT], v[k]);
  if constexpr (BIT > 1) move_forward<BIT / 2, COUNT>(v, places);
}

// The value with `rank` smaller ones in the union of two sorted lists; `rank` is less than M.
template <typename V, int M, int N>
__device__ __forceinline__ V ranked(const Sorted<V, M>& a, const Sorted<V, N>& b, int rank) {
  // As above: with i values of `b` at or below it, found[N - i] is the corresponding value of `a`, or the lowest value
  // before the first one.
  V found[M + N];
#pragma unroll
  for (int k = 0; k < M + N; ++k)
    if (k < N)
      set_least(found[k]);
    else
      found[k] = a.v[k - N];
  constexpr int HIGHEST = M > 8 ? 8 : M > 4 ? 4 : 2;
  static_assert(M > HIGHEST && M <= 2 * HIGHEST, "so many bits has a rank");
  move_forward<HIGHEST, N + 1>(found, rank);
  V result = found[N];
#pragma unroll
  for (int i = 1; i <= N; ++i) result = lower(result, upper(found[N - i], b.v[i - 1]));
  return result;
}

// Sorted columns of three values for two rows, which begin with the first and the second of four values.
template <typename V, int WIDTH>
__device__ __forceinline__ void sort_columns(const V (&v)[4][WIDTH], Sorted<V, 3> (&column)[2][WIDTH]) {
#pragma unroll
  for (int x = 0; x < WIDTH; ++x) {
    V below = v[1][x], above = v[2][x];
    sort(below, above);
#pragma unroll
    for (int y = 0; y < 2; ++y) {
      const V more = v[3 * y][x], rest = upper(more, below);
      column[y][x] = {{lower(more, below), lower(rest, above), upper(rest, above)}};
    }
  }
}

// Medians of the 3x3 windows at two rows and P columns.
template <int P, typename V>
__device__ __forceinline__ void tile_medians(const V (&v)[4][P + 2], V (&out)[2][P]) {
  static_assert(P % 2 == 0, "columns are shared in pairs");
  Sorted<V, 3> column[2][P + 2];
  sort_columns(v, column);
  // The median of the nine is that of the maximum minimum, the middle median and the minimum maximum.
#pragma unroll
  for (int y = 0; y < 2; ++y)
#pragma unroll
    for (int x = 0; x < P; x += 2) {
      const auto &left = column[y][x + 1], &right = column[y][x + 2];
      const V lows = upper(left.v[0], right.v[0]), highs = lower(left.v[2], right.v[2]);
      V first = left.v[1], last = right.v[1];
      sort(first, last);
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const auto& other = column[y][x + 3 * k];
        V a = upper(lows, other.v[0]), b = lower(upper(first, other.v[1]), last);
        const V c = lower(highs, other.v[2]);
        sort(a, b);
        out[y][x + k] = upper(a, lower(b, c));
      }
    }
}

// Values of a rank below the median's in the 3x3 windows at two rows and P columns.
template <int P, typename V>
__device__ __forceinline__ void tile_ranks(const V (&v)[4][P + 2], V (&out)[2][P], int rank) {
  static_assert(P % 2 == 0, "columns are shared in pairs");
  Sorted<V, 3> column[2][P + 2];
  sort_columns(v, column);
#pragma unroll
  for (int y = 0; y < 2; ++y)
#pragma unroll
    for (int x = 0; x < P; x += 2) {
      const auto shared = part<0, 4>(merged(column[y][x + 1], column[y][x + 2]));
#pragma unroll
      for (int k = 0; k < 2; ++k) out[y][x + k] = ranked(shared, column[y][x + 3 * k], rank);
    }
}

// Columns of four values and the sorted values of every second pair of them, which all 5x5 windows at two rows and P
// columns share.
template <int P, typename V>
__device__ __forceinline__ void sort_columns(const V (&v)[6][P + 4], Sorted<V, 4> (&column)[P + 4],
                                             Sorted<V, 8> (&pairs)[P / 2 + 1]) {
#pragma unroll
  for (int x = 0; x < P + 4; ++x) column[x] = sorted4(v[1][x], v[2][x], v[3][x], v[4][x]);
#pragma unroll
  for (int k = 0; k < P / 2 + 1; ++k) pairs[k] = merged(column[2 * k + 1], column[2 * k + 2]);
}

// The values of four columns in the row that only the windows of one row contain.
template <typename V, int WIDTH>
__device__ __forceinline__ void sort_rows(const V (&v)[6][WIDTH], int x, Sorted<V, 4> (&row)[2]) {
#pragma unroll
  for (int y = 0; y < 2; ++y) row[y] = sorted4(v[5 * y][x + 1], v[5 * y][x + 2], v[5 * y][x + 3], v[5 * y][x + 4]);
}

// Results choose(left, five) of the 5x5 windows at two rows and P columns. `five` are the last five values of a window,
// `left` the remaining candidates of the others: KEPT of them after the first SKIPPED. Of the 16 in the middle, CORE
// are candidates, after the first BEFORE.
template <int BEFORE, int CORE, int SKIPPED, int KEPT, int P, typename V, typename Choose>
__device__ __forceinline__ void tile_windows(const V (&v)[6][P + 4], V (&out)[2][P], Choose choose) {
  static_assert(P % 2 == 0, "tiles are two columns wide");
  Sorted<V, 4> column[P + 4], row[2];
  Sorted<V, 8> pairs[P / 2 + 1];
  sort_columns<P>(v, column, pairs);
#pragma unroll
  for (int k = 0; k < P / 2; ++k) {
    const int x = 2 * k;
    const auto core = part<BEFORE, CORE>(merged(pairs[k], pairs[k + 1]));
    sort_rows(v, x, row);
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      const auto left = part<SKIPPED, KEPT>(merged(core, column[x + 5 * side]));
#pragma unroll
      for (int y = 0; y < 2; ++y) {
        const Sorted<V, 1> corner = {{v[5 * y][x + 5 * side]}};
        out[y][x + side] = choose(left, merged(row[y], corner));
      }
    }
  }
}

// Medians of the 5x5 windows. The median of all 25 values, with 12 below it, is not among the first or last three of
// 16, as only 9 more follow. Then the last five follow: 3 and 4 are dropped below, 3 and 4 above.
template <int P, typename V>
__device__ __forceinline__ void tile_medians(const V (&v)[6][P + 4], V (&out)[2][P]) {
  tile_windows<3, 10, 4, 6>(v, out, [](const auto& left, const auto& five) { return selected<5>(left, five); });
}

// Values of a rank below the median's in the 5x5 windows.
template <int P, typename V>
__device__ __forceinline__ void tile_ranks(const V (&v)[6][P + 4], V (&out)[2][P], int rank) {
  tile_windows<0, 12, 0, 12>(v, out, [=](const auto& left, const auto& five) { return ranked(left, five, rank); });
}
