// launch: tile 32x8, pixels 4x1
// instances: bytes<unsigned char>; near<I, int>; near<F, F>; columns<I, int>; columns<T, double>
// instances: along<int, I>; along<double, T>; along_far<int, I>; along_far<double, T>
#include "strips.cuh"

// Sums down the columns for groups of n0 rows: backwards from the end of a group's first window to each of its rows,
// then forwards from there; each window is one of both (M. van Herk, "A fast algorithm for local minimum and maximum
// filters", Pattern Recognition Letters 13, 1992). Two loads for each element, whatever the window, and nothing is
// subtracted.
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

// How far a constant's mean may come from the constant, in units in the last place: as many errors, as good as random, as
// additions.
__device__ __forceinline__ float roundings(long long n0, long long n1) {
  return 3 + 2 * (sqrtf(float(n0)) + sqrtf(float(n1)));
}

// A sum of whole numbers divided, rounded half to even as the exact quotient is: a half comes out of an IEEE division
// as a half. In float32 up to 2 ** 22, for all quotients that are no halves lie farther from one than its error.
template <typename T, typename S>
__device__ __forceinline__ T mean(S total, long long area, bool small, T centre, float rounding) {
  if constexpr (!Number<T>::whole)
    return constant_kept(T(double(total) / double(area)), centre, T(rounding * EPSILON<T>));
  else
    return small ? T(int(rint(float(total) / float(area)))) : T(int(rint(double(total) / double(area))));
}

// Sums along a row, put together from sums of 1, 2, 4, ... neighbours in shared memory: `span` elements at a time, of
// which those of the last window's neighbours are only read.
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

// The same for windows wider than shared memory: groups of n1 pixels as in `columns`, one for each thread.
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

// A sum below 2 ** 31 divided, rounded half to even. The product with the inverse is at most one beside the mean, which
// what is left over tells: rounded half to even, it is at most half the area.
__device__ __forceinline__ int quick_mean(int total, int area, float inverse) {
  const int guess = __float2int_rn(float(total) * inverse), left = (total - guess * area) * 2, odd = guess & 1;
  return guess + (left + odd > area) - (odd - left > area);
}

// How often `count` can be halved until it is 1.
__device__ __forceinline__ int halvings(int count) { return 31 - __clz(count); }

// Sums of `half` neighbours become those of size = 2 * half, or of one more, which `values` holds; `apart` is the
// distance of two neighbours in both.
template <typename S>
__device__ __forceinline__ S joined(const S* sums, const S* values, int size, int half, int apart) {
  const S total = sums[0] + sums[half * apart];
  return size & 1 ? S(total + values[2 * half * apart]) : total;
}

// The same for `count` rows of a strip's column, and some more: N rows are loaded before the first is stored, since
// stores and loads of shared memory stay in order. `sums` and `parts` may be the same.
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

// Small windows in one go: the block's strip, sums down its columns, then along its rows, a warp for each. Sums are put
// together from sums of 1, then 2 or 3, then 4 to 7, ... values, as on the CPU and in the same order; those of whole
// numbers move down the columns instead. `spare` is as large as the strip.
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
    for (int r = threadIdx.x / 32; r < count; r += STRIP_WARPS) {
      const S* const line = spare + r * STRIP_WORDS;
      S* const held = strip + r * STRIP_WORDS;
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
      T* const out = dst + (first + r) * cols + start + lane;
      const T* const from = src + (first + r) * cols + start + lane;
      const int there = int(min((long long)width, cols - start));
#pragma unroll
      for (int c = 0; c < CHUNKS; ++c) {
        const int x = lane + 32 * c;
        if (x >= there) continue;
        const S total = taps == 1 ? line[x] : joined(parts + x, line + x, taps, taps / 2, apart);
        if constexpr (Number<T>::whole)
          out[32 * c] = T(quick_mean(total, area, inverse));
        else
          out[32 * c] = constant_kept(T(total / S(area)), from[32 * c], tolerance);
      }
    }
    __syncthreads();
  }
}

// Two sums of bytes as means: of a sum plus half the area, less than 2 ** 16, the quotient is its product with
// `reciprocal` = ceil(2 ** 32 / area), whose error of less than area / 2 ** 32 the sum keeps below 1 / area. In the
// middle between two means the quotients of this and of the next smaller number differ, and the even one is taken.
template <bool EVEN>
__device__ __forceinline__ unsigned byte_mean(unsigned total, unsigned reciprocal) {
  const unsigned up = __umulhi(total, reciprocal);
  if (!EVEN) return up;
  const unsigned down = __umulhi(total - 1, reciprocal);
  return down + ((up - down) & down);
}

template <bool EVEN>
__device__ __forceinline__ unsigned byte_means(unsigned even, unsigned odd, unsigned half, unsigned reciprocal) {
  even += half;
  odd += half;
  const unsigned low = byte_mean<EVEN>(even & 65535, reciprocal) | byte_mean<EVEN>(odd & 65535, reciprocal) << 8;
  const unsigned high = byte_mean<EVEN>(even >> 16, reciprocal) | byte_mean<EVEN>(odd >> 16, reciprocal) << 8;
  return low | high << 16;
}

// Bytes in windows of up to 256 pixels: pairs of sums of 16 bits, of the bytes with even numbers in the strip itself,
// where the rows that are done stood, and of those with odd ones behind it.
template <typename T>
__global__ void __launch_bounds__(128, 6) bytes(const T* src, long long rows, long long cols, T* dst,
                                                long long dst_rows, long long dst_cols, long long top, long long bottom,
                                                long long step, long long mode, double cval, long long n0, long long n1,
                                                long long height, long long words) {
  constexpr int AT_ONCE = 8;
  DYNAMIC_SHARED(unsigned, strip);
  const int down = int(n0), taps = int(n1), apart = int(step);
  const unsigned area = down * taps, reciprocal = 0xffffffffu / area + 1, half = area / 2 * 0x10001u;
  const long long before = n1 / 2 * step;
  const int plane = (int(height) + down - 1) * STRIP_WORDS;
  const Strip place(src, cols, words, before);
  // The sums of the elements p and p + 2 from a word's first on.
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
