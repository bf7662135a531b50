// launch: tile 64x4, pixels 1x8
// instances: nl_means<I, float, int, 0>; nl_means<I, float, int, 1>; nl_means<I, float, int, 3>
// instances: nl_means<float, float, int, 0>; nl_means<float, float, int, 1>; nl_means<float, float, int, 3>
// instances: nl_means<T, A, long long, 0>; nl_means<T, A, long long, 1>; nl_means<T, A, long long, 3>
#include "borders.cuh"
#include "numbers.cuh"

// Means of the pixels around, weighted by how alike their patches are; as on the CPU, in the same order. A block makes
// the sums of patches of its tile for one shift after the other: down the columns as running sums, then along the rows.

constexpr int THREADS = 256, WIDTH = 64, GROUPS = THREADS / WIDTH;
// Results of a thread, one below the other: as many as registers and shared memory hold.
template <typename A, typename S>
constexpr int DOWN_OF = sizeof(A) == 8 || sizeof(S) == 8 ? 4 : 8;

template <typename T, typename A>
__device__ __forceinline__ A apart(T one, T other, A factor) {
  if constexpr (Number<T>::whole) {
    return A(int(other) - int(one));
  } else {
    return (other - one) * factor;
  }
}

// A squared difference as a whole number, those beyond the cap alike; NaN is beyond it.
template <typename S, typename T, typename A>
__device__ __forceinline__ S squared(T one, T other, A cap, A factor) {
  if constexpr (Number<T>::whole) {
    const int most = int(cap), near = max(min(int(other) - int(one), most), -most);
    return S(near) * S(near);
  } else {
    const A far = fabs(other - one) * factor, near = far < cap ? far : cap;
    return S(rint(near * near));
  }
}

// exp(-y) by a polynomial of a part of y, squared again and again.
template <typename A>
constexpr int TERMS = sizeof(A) == 8 ? 8 : 6;
template <typename A>
constexpr int SQUARINGS = sizeof(A) == 8 ? 5 : 3;
template <typename A>
__device__ __forceinline__ A exponential(A y, const A (&p)[TERMS<A>]) {
  A power = p[TERMS<A> - 1];
#pragma unroll
  for (int i = TERMS<A> - 2; i >= 0; --i) power = p[i] + y * power;
#pragma unroll
  for (int i = 0; i < SQUARINGS<A>; ++i) power *= power;
  return power;
}

// Of CHANNELS channels; with 0, of `step`, each channel of the result by itself.
template <typename T, typename A, typename S, int CHANNELS>
__global__ void __launch_bounds__(256, 2)
    nl_means(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols, long long top,
             long long bottom, long long step, long long mode, double cval, long long before, long long after,
             long long distance, const A* powers, long long terms, const S* limits, long long count, double rest,
             double rate, double cap, double factor) {
  DYNAMIC_SHARED(S, sums);
  constexpr int DOWN = DOWN_OF<A, S>, OWN = CHANNELS ? CHANNELS : 1;
  const long long channels = CHANNELS ? CHANNELS : step, width = cols / channels;
  const long long turns = CHANNELS ? 1 : step, own = blockIdx.x % turns;  // the first channel of the result
  const long long left = blockIdx.x / turns * WIDTH, first = top + (long long)blockIdx.y * GROUPS * DOWN;
  const int lane = threadIdx.x % WIDTH, group = threadIdx.x / WIDTH;
  const int size = int(before + after + 1), span = WIDTH + size - 1;
  const S most = __ldg(limits), base = __ldg(limits + 1);
  A p[TERMS<A>];
#pragma unroll
  for (int i = 0; i < TERMS<A>; ++i) p[i] = __ldg(powers + i);
  const A beyond = A(cap), unit = A(factor);
  auto pixel = [=](long long row, long long col) {
    return src + fold(row, rows, mode) * cols + fold(col, width, mode) * channels;
  };
  auto unlike = [=](long long row, long long col, long long down, long long along) {
    const T* const one = pixel(row, col);
    const T* const other = pixel(row + down, col + along);
    S total = 0;
#pragma unroll(CHANNELS ? CHANNELS : 1)
    for (long long c = 0; c < channels; ++c) total += squared<S>(__ldg(one + c), __ldg(other + c), beyond, unit);
    return total;
  };
  A totals[DOWN][OWN] = {}, weights[DOWN];
#pragma unroll
  for (int j = 0; j < DOWN; ++j) weights[j] = A(1);
  const long long side = 2 * distance + 1;
  // Each pair of shifts that are opposite: first that to the earlier pixel, whose patches begin there.
#pragma unroll 1
  for (long long turn = side * side / 2 * 2 + 2; turn < 2 * side * side; ++turn) {
    const long long down = turn / 2 / side - distance, along = turn / 2 % side - distance;
    const bool is_earlier = turn % 2 == 0;
    const long long up = is_earlier ? down : 0, back = is_earlier ? along : 0;
    __syncthreads();
#pragma unroll 1
    for (int i = threadIdx.x; i < span * GROUPS; i += THREADS) {
      const long long here = first + i / span * DOWN, row = here - up, col = left + i % span - before - back;
      if (here >= bottom) break;  // the rows below need not be there to be loaded from
      S running = 0;
#pragma unroll 1
      for (long long k = -before; k < after; ++k) running += unlike(row + k, col, down, along);
#pragma unroll 1
      for (int j = 0; j < DOWN && here + j < bottom; ++j) {
        running += unlike(row + j + after, col, down, along);
        sums[(i / span * DOWN + j) * span + i % span] = running;
        running -= unlike(row + j - before, col, down, along);
      }
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < DOWN; ++j) {
      if (first + group * DOWN + j >= bottom) break;
      const S* const line = sums + (group * DOWN + j) * span + lane;
      S found = 0;
#pragma unroll 1
      for (int k = 0; k < size; ++k) found += line[k];
      if (found > most) continue;
      const A more = A(S(found - base)) - A(rest);
      const A weight = exponential((more > A(0) ? more : A(0)) * A(rate), p);
      const long long row = first + group * DOWN + j - up, col = left + lane - back;
      const T* const one = pixel(row, col) + own;
      const T* const other = pixel(row + down, col + along) + own;
#pragma unroll
      for (int c = 0; c < OWN; ++c) {
        const A part = weight * apart(__ldg(one + c), __ldg(other + c), unit);
        if (is_earlier) {
          totals[j][c] -= part;
        } else {
          totals[j][c] += part;
        }
      }
      weights[j] += weight;
    }
  }
#pragma unroll
  for (int j = 0; j < DOWN; ++j) {
    const long long row = first + group * DOWN + j, at = (left + lane) * channels + own;
    if (row >= bottom || left + lane >= width) break;
#pragma unroll
    for (int c = 0; c < OWN; ++c)
      dst[row * cols + at + c] = rounded<T>(A(src[row * cols + at + c]) + totals[j][c] / weights[j] / unit);
  }
}
