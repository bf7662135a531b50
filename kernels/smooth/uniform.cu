// launch: tile 32x8, pixels 4x1
// instances: bytes<unsigned char>; near<I, int>; near<float, float>
// instances: few_bytes<3>; few_bytes<5>; few_bytes<7>; few_bytes<9>; few_bytes<11>; few_bytes<13>
// instances: few<unsigned short, 3>; few<unsigned short, 5>; few<unsigned short, 7>; few<unsigned short, 9>
// instances: few<unsigned short, 11>; few<unsigned short, 13>; few<short, 3>; few<short, 5>; few<short, 7>
// instances: few<short, 9>
// instances: few<short, 11>; few<short, 13>; few<F, 3>; few<F, 5>; few<float, 7>; few<float, 9>; few<float, 11>
// instances: few<float, 13>
// instances: columns<I, int>; columns<T, double>
// instances: along<int, I>; along<double, T>; along_far<int, I>; along_far<double, T>
#include "strips.cuh"

// Sums down the columns for groups of n0 rows: backward sums from the end of a group's first window to each of its
// rows, then forward sums from there; each window is the sum of one of both (M. van Herk, "A fast algorithm for local
// minimum and maximum filters", Pattern Recognition Letters 13, 1992). Two loads per element, whatever the window, and
// no subtraction.
template <typename T, typename S>
__global__ void columns(const T* src, long long rows, long long cols, S* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom, long long mode, double cval, long long n0) {
  const long long x = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (x >= cols) return;
  const auto value = [=](long long row) {
    const long long r = fold(row, rows, mode);
    return r < 0 ? S(cval) : S(src[r * cols + x]);
  };
  // Groups begin at multiples of n0, wherever `top` is: the order of additions does not depend on it.
  for (long long first = (top / n0 + blockIdx.y) * n0; first < bottom; first += (long long)gridDim.y * n0) {
    const long long begin = first - n0 / 2, skip = max(top - first, 0ll), count = min(n0, bottom - first);
    S total = 0;
    for (long long i = n0 - 1; i >= skip; --i) {
      total += value(begin + i);
      if (i < count) dst[(first + i) * cols + x] = total;
    }
    total = 0;
    for (long long i = 1; i < count; ++i) {
      total += value(begin + n0 + i - 1);
      if (i >= skip) dst[(first + i) * cols + x] += total;
    }
  }
}

// The error of a constant's mean in units in the last place: as many errors as additions, practically random.
__device__ __forceinline__ float roundings(long long n0, long long n1) {
  return 3 + 2 * (sqrtf(float(n0)) + sqrtf(float(n1)));
}

// A sum of integers divided by the area, rounded half to even like the exact quotient: an IEEE division is exact for
// halves. In float32 up to 2 ** 22, as all other quotients are farther from a half than its error.
template <typename T, typename S>
__device__ __forceinline__ T mean(S total, long long area, bool small, T centre, float rounding) {
  if constexpr (!Number<T>::whole)
    return constant_kept(T(double(total) / double(area)), centre, T(rounding * EPSILON<T>));
  else
    return small ? T(int(rint(float(total) / float(area)))) : T(int(rint(double(total) / double(area))));
}

// Sums along a row, combined from sums of 1, 2, 4, ... neighbours in shared memory: `span` elements at a time,
// including the halo of the last window.
template <typename S, typename T>
__global__ void along(const S* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                      long long top, long long bottom, long long step, long long mode, double cval, long long n0,
                      long long n1, long long small, const T* centres, long long centre_rows, long long centre_cols,
                      long long span) {
  DYNAMIC_SHARED(S, shared);
  const long long halo = (n1 - 1) * step, width = span - halo, before = n1 / 2 * step, area = n0 * n1;
  const long long start = (long long)blockIdx.x * width, wanted = min(width, cols - start);
  const float rounding = roundings(n0, n1);
  const S outside = S(cval) * S(n0);
  for (long long row = top + blockIdx.y; row < bottom; row += gridDim.y) {
    const S* const line = src + row * cols;
    S *now = shared, *next = shared + span, *total = shared + 2 * span;
    for (long long i = threadIdx.x; i < wanted + halo; i += blockDim.x) {
      const long long c = fold_element(start + i - before, cols, step, mode);
      now[i] = c < 0 ? outside : line[c];
      total[i] = 0;
    }
    __syncthreads();
    long long have = 0, reach = wanted + halo;
    for (long long size = 1; size <= n1; size *= 2) {
      if (n1 & size) {
        for (long long i = threadIdx.x; i < wanted; i += blockDim.x) {
          const S part = now[i + have * step];
          total[i] = have ? S(total[i] + part) : part;
        }
        have += size;
      }
      reach -= size * step;
      for (long long i = threadIdx.x; i < reach; i += blockDim.x) next[i] = now[i] + now[i + size * step];
      __syncthreads();
      S* const swapped = now;
      now = next;
      next = swapped;
    }
    for (long long i = threadIdx.x; i < wanted; i += blockDim.x)
      dst[row * cols + start + i] = mean(total[i], area, small != 0, centres[row * cols + start + i], rounding);
    __syncthreads();
  }
}

// The same for windows wider than shared memory: groups of n1 pixels as in `columns`, one per thread.
template <typename S, typename T>
__global__ void along_far(const S* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                          long long top, long long bottom, long long step, long long mode, double cval, long long n0,
                          long long n1, long long small, const T* centres, long long centre_rows,
                          long long centre_cols, S* sums, long long sums_rows, long long sums_cols) {
  const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  const long long group = thread / step, channel = thread - group * step, width = cols / step, area = n0 * n1;
  const long long first = group * n1, begin = first - n1 / 2, count = min(n1, width - first);
  const float rounding = roundings(n0, n1);
  const S outside = S(cval) * S(n0);
  for (long long row = top + blockIdx.y; row < bottom; row += gridDim.y) {
    const auto value = [=](long long pixel) {
      const long long inside = fold(pixel, width, mode);
      return inside < 0 ? outside : src[row * cols + inside * step + channel];
    };
    S* const partial = sums + row * cols + first * step + channel;
    T* const mean_of = dst + row * cols + first * step + channel;
    S total = 0;
#pragma unroll 1
    for (long long i = count > 0 ? n1 - 1 : -1; i >= 0; --i) {
      total += value(begin + i);
      if (i < count) partial[i * step] = total;
    }
    total = 0;
#pragma unroll 1
    for (long long i = 0; i < count; ++i) {
      if (i > 0) total += value(begin + n1 + i - 1);
      const T centre = centres[row * cols + (first + i) * step + channel];
      mean_of[i * step] = mean(S(partial[i * step] + total), area, small != 0, centre, rounding);
    }
  }
}

// A sum below 2 ** 31 divided by the area, rounded half to even. The product with the inverse is off by at most one,
// which the remainder shows: for the rounded mean it is at most half the area.
__device__ __forceinline__ int quick_mean(int total, int area, float inverse) {
  const int guess = __float2int_rn(float(total) * inverse), left = (total - guess * area) * 2, odd = guess & 1;
  return guess + (left + odd > area) - (odd - left > area);
}

// The number of halvings of `count` to 1.
__device__ __forceinline__ int halvings(int count) { return 31 - __clz(count); }

// Combine sums of `half` neighbours into sums of size = 2 * half, or of one more, from `values`; `apart` is the
// distance of neighbours in both.
template <typename S>
__device__ __forceinline__ S joined(const S* sums, const S* values, int size, int half, int apart) {
  const S total = sums[0] + sums[half * apart];
  return size & 1 ? S(total + values[2 * half * apart]) : total;
}

// The same for `count` rows of a strip's column, rounded up: N rows are loaded before the first is stored, since stores
// and loads of shared memory stay in order. `sums` and `parts` may be the same.
template <int N, typename S>
__device__ __forceinline__ void join_rows(S* sums, const S* parts, const S* values, int size, int half, int count) {
#pragma unroll 1
  for (int i = 0; i < count; i += N) {
    S held[N];
#pragma unroll
    for (int k = 0; k < N; ++k)
      held[k] = joined(parts + (i + k) * STRIP_WORDS, values + (i + k) * STRIP_WORDS, size, half, STRIP_WORDS);
#pragma unroll
    for (int k = 0; k < N; ++k) sums[(i + k) * STRIP_WORDS] = held[k];
  }
}

// Sums of neighbours divided by `area`, or the constant at the centre of their windows. For floats and an odd area: the
// quotient by the inverse, corrected by the remainder, equals IEEE's (P. Markstein, "Computation of elementary
// functions on the IBM RISC System/6000 processor", 1990), also if it is denormal, as it is no tie; only infinity
// leaves a NaN remainder, which no sum of quotients hides. Those sums are needed of which wanted(index) is true.
template <int COUNT, typename T, typename Wanted>
__device__ __forceinline__ void divide(T (&sums)[COUNT], const T (&centres)[COUNT], int area, float inverse,
                                       T tolerance, Wanted wanted) {
  T means[COUNT], together = 0;
  bool divided = false;
  if constexpr (SameType<T, float>::value) {
#pragma unroll
    for (int c = 0; c < COUNT; ++c) {
      const float quotient = sums[c] * inverse;
      means[c] = __fmaf_rn(__fmaf_rn(-quotient, float(area), sums[c]), inverse, quotient);
      if (wanted(c)) together += means[c];
    }
    divided = (area & 1) && !is_nan(together);
  }
  if (!divided) {
#pragma unroll 1
    for (int turn = 0; turn < COUNT; ++turn) {  // only one division in the code
      T sum = sums[0];
#pragma unroll
      for (int c = 1; c < COUNT; ++c) sum = c == turn ? sums[c] : sum;
      sum /= T(area);
#pragma unroll
      for (int c = 0; c < COUNT; ++c) means[c] = c == turn ? sum : means[c];
    }
  }
#pragma unroll
  for (int c = 0; c < COUNT; ++c) sums[c] = constant_kept(means[c], centres[c], tolerance);
}

// The sum of N values in the order of `joined`.
template <int N, typename T>
__device__ __forceinline__ T sum_of(const T* values) {
  if constexpr (N == 1) {
    return values[0];
  } else {
    const T total = sum_of<N / 2>(values) + sum_of<N / 2>(values + N / 2);
    return N & 1 ? T(total + values[N - 1]) : total;
  }
}

// The sums of N values each while they come in, K at a time, in the order of `joined`: keeps the latest sums of N / 2
// values, those of N / 4, and so on.
template <typename S, int N>
struct Sliding {
  static constexpr int HALF = N / 2, KEPT = HALF + N % 2;
  Sliding<S, HALF> halves;
  S kept[KEPT];

  // sums[k] is the sum of the N values that end with values[k].
  template <int K>
  __device__ __forceinline__ void add(const S (&values)[K], S (&sums)[K]) {
    S parts[KEPT + K], fresh[K];
    halves.add(values, fresh);
#pragma unroll
    for (int i = 0; i < KEPT; ++i) parts[i] = kept[i];
#pragma unroll
    for (int k = 0; k < K; ++k) parts[KEPT + k] = fresh[k];
#pragma unroll
    for (int k = 0; k < K; ++k) {
      sums[k] = parts[k] + parts[k + HALF];
      if constexpr (N % 2 != 0) sums[k] += values[k];
    }
#pragma unroll
    for (int i = 0; i < KEPT; ++i) kept[i] = parts[K + i];
  }
};
template <typename S>
struct Sliding<S, 1> {
  template <int K>
  __device__ __forceinline__ void add(const S (&values)[K], S (&sums)[K]) {
#pragma unroll
    for (int k = 0; k < K; ++k) sums[k] = values[k];
  }
};

// Integers: running sums.
template <int N>
struct Sliding<int, N> {
  int total = 0, kept[N] = {};

  template <int K>
  __device__ __forceinline__ void add(const int (&values)[K], int (&sums)[K]) {
    int parts[N + K];
#pragma unroll
    for (int i = 0; i < N; ++i) parts[i] = kept[i];
#pragma unroll
    for (int k = 0; k < K; ++k) parts[N + k] = values[k];
#pragma unroll
    for (int k = 0; k < K; ++k) sums[k] = total = total + values[k] - parts[k];
#pragma unroll
    for (int i = 0; i < N; ++i) kept[i] = parts[K + i];
  }
};

// The type of exact sums of integers, or of sums of floats.
template <typename T>
struct FewSum {
  typedef int type;
};
template <>
struct FewSum<float> {
  typedef float type;
};
template <>
struct FewSum<double> {
  typedef double type;
};

// Blocks per multiprocessor, which limit the registers.
template <typename T>
constexpr int FEW_BLOCKS = sizeof(T) < 8 ? 7 : 5;
constexpr int FEW_PITCH = STRIP_WORDS + 4;  // of rows of sums, each of which begins up to three words further right

// Four neighbours in shared memory, aligned to sixteen bytes.
template <typename S>
__device__ __forceinline__ void get_four(const S* at, S* four) {
  union {
    uint4 words[sizeof(S) / 4];
    Pack<S, 4> values;
  } u;
#pragma unroll
  for (int i = 0; i < int(sizeof(S)) / 4; ++i) u.words[i] = reinterpret_cast<const uint4*>(at)[i];
#pragma unroll
  for (int i = 0; i < 4; ++i) four[i] = u.values.v[i];
}

// Four sums of N values each, STEP elements apart, from `at` on, and `more`. Integers are added in any order.
template <int N, int STEP, typename S>
__device__ __forceinline__ void sums_along(const S* at, S more, S (&totals)[4]) {
  constexpr int FOURS = ((N - 1) * STEP + 3) / 4 + 1;
  S values[4 * FOURS];
#pragma unroll
  for (int i = 0; i < FOURS; ++i) get_four(at + 4 * i, values + 4 * i);
  if constexpr (STEP == 1 && Number<S>::whole) {
    totals[0] = more;
#pragma unroll
    for (int i = 0; i < N; ++i) totals[0] += values[i];
#pragma unroll
    for (int k = 1; k < 4; ++k) totals[k] = totals[k - 1] + values[k + N - 1] - values[k - 1];
  } else if constexpr (STEP == 1) {
    Sliding<S, N> window;
    S first[N - 1], unused[N - 1], rest[4];
#pragma unroll
    for (int i = 0; i < N - 1; ++i) first[i] = values[i];
#pragma unroll
    for (int i = 0; i < 4; ++i) rest[i] = values[N - 1 + i];
    window.add(first, unused);
    window.add(rest, totals);
  } else {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      S taps[N];
#pragma unroll
      for (int i = 0; i < N; ++i) taps[i] = values[k + i * STEP];
      totals[k] = sum_of<N>(taps);
      if constexpr (Number<S>::whole) totals[k] += more;
    }
  }
}

// Windows of N by N pixels, an odd number, of 1, 3 or 4 channels: a thread sums down a column in registers, then a warp
// sums along each row, four adjacent elements a thread. Rows of sums are aligned like those of the result.
template <typename T, int N>
__global__ void __launch_bounds__(128, FEW_BLOCKS<T>)
    few(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols, long long top,
        long long bottom, long long step, long long mode, double cval, long long height, long long words) {
  typedef typename FewSum<T>::type S;
  constexpr int AT_ONCE = 8, AREA = N * N;
  DYNAMIC_SHARED(S, sums);
  __shared__ long long begins[STRIP_WORDS];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const long long start = (long long)blockIdx.x * words, left = start - N / 2 * step;
  const int there = int(min(words, cols - start));
  const unsigned pitch = unsigned(cols) * sizeof(T);
  const bool alike = (address_of(src) - address_of(dst)) % (4 * sizeof(T)) == 0;
  const T tolerance = Number<T>::whole ? T(0) : T((4 * halvings(N) + 1) * EPSILON<T>);
  for (long long first = top + blockIdx.y * height; first < bottom; first += gridDim.y * height) {
    const int count = int(min(height, bottom - first));
    const long long above = first - N / 2;
    // The number of elements by which row i of the result, from `start` on, begins after an aligned four.
    const unsigned begin = unsigned((address_of(dst) / sizeof(T) + first * cols + start) & 3), across = cols & 3;
    const auto lead = [=](int i) { return int(begin + i * across & 3); };
    // load(i) is the column's value in the strip's row i, place(i) where its sum is stored.
    const auto sum_down = [&](auto load, auto place) {
      Sliding<S, N> window;
      S before[N - 1], unused[N - 1];
#pragma unroll
      for (int k = 0; k < N - 1; ++k) before[k] = load(0, k);
      window.add(before, unused);
#pragma unroll 1
      for (int i = 0; i < count; i += AT_ONCE) {
        S values[AT_ONCE], totals[AT_ONCE];
#pragma unroll
        for (int k = 0; k < AT_ONCE; ++k) values[k] = load(i, N - 1 + k);
        window.add(values, totals);
#pragma unroll
        for (int k = 0; k < AT_ONCE; ++k) *place(i, k) = totals[k];
      }
    };
    S* const column = sums + threadIdx.x;
    // A strip of fewer rows reads no others: the rows below may not exist.
    const bool inside = count == height && above >= 0 && above + height + N - 1 <= rows;
    if (inside && left >= 0 && left + STRIP_WORDS <= cols && across == 0) {
      const unsigned long long from = address_of(src + above * cols + left + threadIdx.x);
      S* const aligned = column + begin;
      sum_down(
          [=](int i, unsigned k) {
            const unsigned long long row = from + (unsigned long long)unsigned(i) * pitch;
            return load_as<S>(reinterpret_cast<const T*>(row + (unsigned long long)k * pitch));
          },
          [=](int i, int k) { return aligned + i * FEW_PITCH + k * FEW_PITCH; });
    } else {
      find_begins(rows, cols, mode, above, count + N - 1, begins);
      const long long place = fold_element(left + threadIdx.x, cols, step, mode);
      const T* const from = src + max(place, 0ll);
      const S outside = S(T(cval));
      sum_down(
          [=](int i, int k) {
            const long long begin = begins[min(i + k, count + N - 2)];
            const T value = __ldg(from + present(begin));
            return begin < 0 || place < 0 ? outside : S(value);
          },
          [=](int i, int k) { return column + (i + k) * FEW_PITCH + lead(i + k); });
    }
    __syncthreads();
    // Rows of a warp are four apart, so they begin alike.
    const int shift = lead(warp), x = 4 * lane - shift;
    const bool whole = x >= 0 && x + 4 <= there;
    const auto rows_by = [&](auto sum) {
      const S* line = sums + warp * FEW_PITCH + 4 * lane;
      const long long at = (first + warp) * cols + start + x;
      const T* from = src + at;
      T* to = dst + at;
#pragma unroll 1
      for (int r = x < there ? count - warp : 0; r > 0; r -= STRIP_WARPS) {
        S totals[4];
        Pack<T, 4> means;
        if constexpr (Number<T>::whole) {
          // The quotient of the sum, not negative, plus half the area; its error is the sum's product with that of
          // the reciprocal, which is less than the area. There are no ties.
          constexpr unsigned RECIPROCAL = 0xffffffffu / AREA + 1, LOWEST = -Number<T>::low;
          static_assert(65536ull * AREA * AREA < 1ull << 32, "the quotient is not exact");
          sum(line, S(LOWEST * AREA + AREA / 2), totals);
          union {
            unsigned words[2];
            Pack<T, 4> values;
          } u;
#pragma unroll
          for (int k = 0; k < 2; ++k) {
            const unsigned lower = __umulhi(unsigned(totals[2 * k]), RECIPROCAL);
            const unsigned upper = __umulhi(unsigned(totals[2 * k + 1]), RECIPROCAL);
            u.words[k] = __byte_perm(lower, upper, 0x5410) ^ (LOWEST << 16 | LOWEST);
          }
          means = u.values;
        } else {
          Pack<T, 4> centres;
          if (whole && alike) {
            load_aligned(from, centres);
          } else {
#pragma unroll
            for (int k = 0; k < 4; ++k) centres.v[k] = x + k >= 0 && x + k < there ? __ldg(from + k) : T(0);
          }
          sum(line, S(0), totals);
          divide(totals, centres.v, AREA, 1.0f / float(AREA), tolerance, [](int) { return true; });
#pragma unroll
          for (int k = 0; k < 4; ++k) means.v[k] = totals[k];
        }
        if (whole) {
          store_aligned(to, means);
        } else {
#pragma unroll
          for (int k = 0; k < 4; ++k)
            if (x + k >= 0 && x + k < there) to[k] = means.v[k];
        }
        line += STRIP_WARPS * FEW_PITCH;
        from += STRIP_WARPS * cols;
        to += STRIP_WARPS * cols;
      }
    };
    if (step == 1)
      rows_by([](const S* at, S more, S (&totals)[4]) { sums_along<N, 1>(at, more, totals); });
    else if (step == 3)
      rows_by([](const S* at, S more, S (&totals)[4]) { sums_along<N, 3>(at, more, totals); });
    else
      rows_by([](const S* at, S more, S (&totals)[4]) { sums_along<N, 4>(at, more, totals); });
    __syncthreads();
  }
}

// Small windows in one launch: the block's strip, sums down its columns, then along its rows, one warp per row. Sums
// are combined from sums of 1, then 2 or 3, then 4 to 7, ... values, in the CPU's order; for integers they are running
// sums down the columns instead. `spare` is as large as the strip.
template <typename T, typename S>
__global__ void __launch_bounds__(128, 7) near(const T* src, long long rows, long long cols, T* dst, long long dst_rows,
                                               long long dst_cols, long long top, long long bottom, long long step,
                                               long long mode, double cval, long long n0, long long n1,
                                               long long height, long long words) {
  constexpr int CHUNKS = STRIP_WORDS / 32, AT_ONCE = sizeof(S) < 8 ? 8 : 4;
  DYNAMIC_SHARED(S, strip);
  const int down = int(n0), taps = int(n1), apart = int(step), lane = threadIdx.x % 32, width = int(words);
  const long long start = (long long)blockIdx.x * words, left = start - n1 / 2 * step;
  const int area = down * taps;
  const float inverse = 1.0f / float(area);
  const T tolerance = T((2 * (halvings(down) + halvings(taps)) + 1) * EPSILON<T>);
  S* const spare = strip + (height + n0 - 1) * STRIP_WORDS;
  for (long long first = top + blockIdx.y * height; first < bottom; first += gridDim.y * height) {
    const int count = int(min(height, bottom - first)), loaded = count + down - 1;
    load_wide<S>(src, rows, cols, step, mode, cval, first - n0 / 2, left, loaded, strip);
    const S* const values = strip + threadIdx.x;
    S* const sums = spare + threadIdx.x;
    if constexpr (Number<T>::whole) {
      S total = 0;
      for (int i = 0; i < down - 1; ++i) total += values[i * STRIP_WORDS];
#pragma unroll 1
      for (int i = 0; i < count; i += AT_ONCE) {
        S leaving[AT_ONCE], entering[AT_ONCE];
#pragma unroll
        for (int k = 0; k < AT_ONCE; ++k) {
          leaving[k] = values[(i + k) * STRIP_WORDS];
          entering[k] = values[(i + k + down - 1) * STRIP_WORDS];
        }
#pragma unroll
        for (int k = 0; k < AT_ONCE; ++k) {
          total += entering[k];
          sums[(i + k) * STRIP_WORDS] = total;
          total -= leaving[k];
        }
      }
    } else if (down == 1) {
      for (int i = 0; i < count; ++i) sums[i * STRIP_WORDS] = values[i * STRIP_WORDS];
    } else if (down == 3) {
      join_rows<AT_ONCE>(sums, values, values, 3, 1, count);
    } else {
      const S* parts = values;
      for (int level = halvings(down) - 1; level >= 0; --level) {
        const int size = down >> level, half = down >> (level + 1);
        join_rows<AT_ONCE>(sums, parts, values, size, half, loaded - size + 1);
        parts = sums;
      }
    }
    __syncthreads();
    const int there = int(min((long long)width, cols - start));
    for (int r = threadIdx.x / 32; r < count; r += STRIP_WARPS) {
      const S* const line = spare + r * STRIP_WORDS;
      S* const held = strip + r * STRIP_WORDS;
      T* const out = dst + (first + r) * cols + start + lane;
      T centres[CHUNKS];  // in flight while the sums are computed
      if constexpr (!Number<T>::whole) {
        const T* const from = src + (first + r) * cols + start + lane;
#pragma unroll
        for (int c = 0; c < CHUNKS; ++c) centres[c] = lane + 32 * c < there ? __ldg(from + 32 * c) : T(0);
      }
      const S* parts = line;
      for (int level = halvings(taps) - 1; level > 0; --level) {
        const int size = taps >> level, half = taps >> (level + 1), reach = width + (taps - size) * apart;
        S part[CHUNKS];
#pragma unroll
        for (int c = 0; c < CHUNKS; ++c)
          if (lane + 32 * c < reach) part[c] = joined(parts + lane + 32 * c, line + lane + 32 * c, size, half, apart);
        __syncwarp();
#pragma unroll
        for (int c = 0; c < CHUNKS; ++c)
          if (lane + 32 * c < reach) held[lane + 32 * c] = part[c];
        __syncwarp();
        parts = held;
      }
      S totals[CHUNKS];
#pragma unroll
      for (int c = 0; c < CHUNKS; ++c) {
        const int x = min(lane + 32 * c, there - 1);
        totals[c] = taps == 1 ? line[x] : joined(parts + x, line + x, taps, taps / 2, apart);
      }
      if constexpr (!Number<T>::whole)
        divide(totals, centres, area, inverse, tolerance, [=](int c) { return lane + 32 * c < there; });
#pragma unroll
      for (int c = 0; c < CHUNKS; ++c) {
        if (lane + 32 * c >= there) continue;
        if constexpr (Number<T>::whole)
          out[32 * c] = T(quick_mean(totals[c], area, inverse));
        else
          out[32 * c] = totals[c];
      }
    }
    __syncthreads();
  }
}

// Convert sums of bytes to means, those of elements 0 and 2 in `even` and of 1 and 3 in `odd`: the quotient of a sum
// plus half the area is the highest byte of its product with `reciprocal` = ceil(2 ** 24 / area), whose error of less
// than area / 2 ** 24 the sum, less than 2 ** 16, keeps below 1 / area. At ties, the quotients of this number and of
// the next smaller one differ, and the even one is used.
__device__ __forceinline__ unsigned highest_bytes(unsigned a, unsigned b, unsigned c, unsigned d) {
  return __byte_perm(__byte_perm(a, b, 0x0073), __byte_perm(c, d, 0x0073), 0x5410);
}

template <bool EVEN>
__device__ __forceinline__ unsigned byte_means(unsigned even, unsigned odd, unsigned half, unsigned reciprocal) {
  const unsigned sums[] = {even & 65535, odd & 65535, even >> 16, odd >> 16};
  unsigned products[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    products[i] = sums[i] * reciprocal + half * reciprocal;
    if constexpr (EVEN) {
      const unsigned up = products[i] >> 24, down = (products[i] - reciprocal) >> 24;
      products[i] = (down + ((up - down) & down)) << 24;
    }
  }
  return highest_bytes(products[0], products[1], products[2], products[3]);
}

// Bytes in windows of up to 256 pixels: pairs of 16-bit sums, for even bytes in the strip itself, in place of rows that
// are done, and for odd bytes after it.
template <typename T>
__global__ void __launch_bounds__(128, 6) bytes(const T* src, long long rows, long long cols, T* dst,
                                                long long dst_rows, long long dst_cols, long long top, long long bottom,
                                                long long step, long long mode, double cval, long long n0, long long n1,
                                                long long height, long long words) {
  constexpr int AT_ONCE = 8;
  DYNAMIC_SHARED(unsigned, strip);
  const int down = int(n0), taps = int(n1), apart = int(step);
  const unsigned area = down * taps, reciprocal = 0xffffffu / area + 1, half = area / 2;
  const long long before = n1 / 2 * step;
  const int plane = (int(height) + down - 1) * STRIP_WORDS;
  const Strip place(src, cols, words, before);
  // The sums of the elements p and p + 2, counted from a word's first.
  const auto pair = [=](const unsigned* at, int p) {
    at += (p & 1) * plane + p / 4;
    return p & 2 ? __funnelshift_r(at[0], at[1], 16) : at[0];
  };
  for (long long first = top + blockIdx.y * height; first < bottom; first += gridDim.y * height) {
    const int count = int(min(height, bottom - first));
    load_strip<T>(src, rows, cols, step, mode, cval, first - n0 / 2, place.left, count + down - 1, 0u, strip);
    unsigned* const column = strip + threadIdx.x;
    unsigned even = 0, odd = 0;
    for (int i = 0; i < down - 1; ++i) {
      even += column[i * STRIP_WORDS] & 0xff00ff;
      odd += column[i * STRIP_WORDS] >> 8 & 0xff00ff;
    }
#pragma unroll 1
    for (int i = 0; i < count; i += AT_ONCE) {
      unsigned leaving[AT_ONCE], entering[AT_ONCE];
#pragma unroll
      for (int k = 0; k < AT_ONCE; ++k) {
        leaving[k] = column[(i + k) * STRIP_WORDS];
        entering[k] = column[(i + k + down - 1) * STRIP_WORDS];
      }
#pragma unroll
      for (int k = 0; k < AT_ONCE; ++k) {
        even += entering[k] & 0xff00ff;
        odd += entering[k] >> 8 & 0xff00ff;
        column[(i + k) * STRIP_WORDS] = even;
        column[(i + k) * STRIP_WORDS + plane] = odd;
        even -= leaving[k] & 0xff00ff;
        odd -= leaving[k] >> 8 & 0xff00ff;
      }
    }
    __syncthreads();
    const auto rows_by = [&](auto pick) {
      each_row(place, strip, count, dst + first * cols, cols, int(words), before, [](unsigned*) {}, pick);
    };
    const auto means = [=](unsigned even, unsigned odd) {
      return area & 1 ? byte_means<false>(even, odd, half, reciprocal) : byte_means<true>(even, odd, half, reciprocal);
    };
    const auto adjacent = [=](const unsigned* at, int offset, int neighbours) {
      unsigned shared = 0;
#pragma unroll
      for (int tap = 1; tap < neighbours; ++tap) shared += pair(at, offset + tap);
      return means(shared + pair(at, offset), shared + pair(at, offset + neighbours));
    };
    if (apart == 1 && taps == 3)
      rows_by([=](const unsigned* at, int offset) { return adjacent(at, offset, 3); });
    else if (apart == 1 && taps == 5)
      rows_by([=](const unsigned* at, int offset) { return adjacent(at, offset, 5); });
    else if (apart == 1)
      rows_by([=](const unsigned* at, int offset) { return adjacent(at, offset, taps); });
    else
      rows_by([=](const unsigned* at, int offset) {
        unsigned even = 0, odd = 0;
        for (int tap = 0; tap < taps; ++tap) {
          even += pair(at, offset + tap * apart);
          odd += pair(at, offset + tap * apart + 1);
        }
        return means(even, odd);
      });
    __syncthreads();
  }
}

// The means of a word's windows of N pixels, STEP elements apart: `at` points to the column sums of its elements, even
// and odd ones.
template <int N, int STEP>
__device__ __forceinline__ unsigned means_along(const uint2* at, unsigned half, unsigned reciprocal) {
  constexpr int REACH = N / 2, BEFORE = (REACH * STEP + 3) / 4, WORDS = BEFORE + (REACH * STEP + 3) / 4 + 1;
  uint2 held[WORDS];
#pragma unroll
  for (int i = 0; i < WORDS; ++i) held[i] = at[i - BEFORE];
  // The sums of the elements p and p + 2.
  const auto pair = [&](int p) {
    const int from = p + 4 * BEFORE, word = from / 4;
    const unsigned sums = from & 1 ? held[word].y : held[word].x;
    return from & 2 ? __byte_perm(sums, from & 1 ? held[word + 1].y : held[word + 1].x, 0x5432) : sums;
  };
  unsigned even = 0, odd = 0;
  if constexpr (STEP == 1) {
#pragma unroll
    for (int k = 1 - REACH; k <= REACH; ++k) even += pair(k);
    odd = even + pair(REACH + 1);
    even += pair(-REACH);
  } else {
#pragma unroll
    for (int k = -REACH; k <= REACH; ++k) {
      even += pair(k * STEP);
      odd += pair(k * STEP + 1);
    }
  }
  return byte_means<false>(even, odd, half, reciprocal);
}

// Bytes in windows of N by N pixels, of 1, 3 or 4 channels, in rows of whole words.
template <int N>
__global__ void __launch_bounds__(128, 8)
    few_bytes(const unsigned char* src, long long rows, long long cols, unsigned char* dst, long long dst_rows,
              long long dst_cols, long long top, long long bottom, long long step, long long mode, double cval,
              long long height, long long words) {
  constexpr int CHUNKS = STRIP_WORDS / 32, AT_ONCE = 8;
  constexpr unsigned AREA = N * N, HALF = AREA / 2, RECIPROCAL = 0xffffffu / AREA + 1;
  DYNAMIC_SHARED(uint2, sums);
  unsigned* const strip = reinterpret_cast<unsigned*>(sums + height * STRIP_WORDS);
  const long long start = (long long)blockIdx.x * words * 4;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int before = (N / 2 * int(step) + 3) / 4;  // words before a strip's first result
  const int there = int(min(words, (cols - start) / 4)) - lane;
  const bool aligned = address_of(dst) % 4 == 0;
  for (long long first = top + blockIdx.y * height; first < bottom; first += gridDim.y * height) {
    const int count = int(min(height, bottom - first));
    load_strip<unsigned char>(src, rows, cols, step, mode, cval, first - N / 2, start - 4 * before, count + N - 1, 0u,
                              strip);
    const unsigned* const column = strip + threadIdx.x;
    const auto split = [&](int row) {
      const unsigned word = column[row * STRIP_WORDS];
      return make_uint2(word & 0xff00ffu, __byte_perm(word, 0u, 0x4341));
    };
    uint2 total = {0, 0};
#pragma unroll
    for (int k = 0; k < N - 1; ++k) {
      const uint2 entering = split(k);
      total.x += entering.x;
      total.y += entering.y;
    }
#pragma unroll 1
    for (int i = 0; i < count; i += AT_ONCE) {
      uint2 leaving[AT_ONCE], entering[AT_ONCE];
#pragma unroll
      for (int k = 0; k < AT_ONCE; ++k) leaving[k] = split(i + k);
#pragma unroll
      for (int k = 0; k < AT_ONCE; ++k) entering[k] = split(N - 1 + i + k);
#pragma unroll
      for (int k = 0; k < AT_ONCE; ++k) {
        total.x += entering[k].x;
        total.y += entering[k].y;
        sums[(i + k) * STRIP_WORDS + threadIdx.x] = total;
        total.x -= leaving[k].x;
        total.y -= leaving[k].y;
      }
    }
    __syncthreads();
    const auto rows_by = [&](auto means) {
      const uint2* line = sums + warp * STRIP_WORDS + before + lane;
      unsigned char* to = dst + (first + warp) * cols + start + 4 * lane;
#pragma unroll 1
      for (int r = count - warp; r > 0; r -= STRIP_WARPS) {
#pragma unroll
        for (int c = 0; c < CHUNKS; ++c) {
          if (32 * c >= there) continue;
          const unsigned word = means(line + 32 * c);
          if (aligned) {
            *reinterpret_cast<unsigned*>(to + 128 * c) = word;
          } else {
#pragma unroll
            for (int k = 0; k < 4; ++k) to[128 * c + k] = (unsigned char)(word >> 8 * k);
          }
        }
        line += STRIP_WARPS * STRIP_WORDS;
        to += STRIP_WARPS * cols;
      }
    };
    if (step == 1)
      rows_by([=](const uint2* at) { return means_along<N, 1>(at, HALF, RECIPROCAL); });
    else if (step == 3)
      rows_by([=](const uint2* at) { return means_along<N, 3>(at, HALF, RECIPROCAL); });
    else
      rows_by([=](const uint2* at) { return means_along<N, 4>(at, HALF, RECIPROCAL); });
    __syncthreads();
  }
}
