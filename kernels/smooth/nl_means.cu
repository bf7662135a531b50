// launch: tile 64x4, pixels 1x8
// instances: nl_means<I, float, int, 0>; nl_means<I, float, int, 1>; nl_means<I, float, int, 3>
// instances: nl_means<float, float, int, 0>; nl_means<float, float, int, 1>; nl_means<float, float, int, 3>
// instances: nl_means<T, A, long long, 0>; nl_means<T, A, long long, 1>; nl_means<T, A, long long, 3>
// instances: near_nl_means<I, float, int, 1, 6>; near_nl_means<I, float, int, 3, 6>
// instances: near_nl_means<I, float, int, 1, 0>; near_nl_means<I, float, int, 3, 0>
// instances: near_nl_means<float, float, int, 1, 6>; near_nl_means<float, float, int, 1, 0>
// instances: near_nl_means<float, float, int, 3, 0>; near_nl_means<unsigned short, float, long long, 1, 0>
// instances: near_nl_means<unsigned short, float, long long, 3, 0>; near_nl_means<short, float, long long, 1, 0>
// instances: near_nl_means<short, float, long long, 3, 0>; near_nl_means<float, float, long long, 1, 0>
// instances: near_nl_means<float, float, long long, 3, 0>; near_nl_means<double, double, long long, 1, 0>
#include "borders.cuh"
#include "numbers.cuh"

// Non-local means: means of the surrounding pixels, weighted by the similarity of their patches; in the CPU's order of
// operations. A block computes the sums of patches of its tile shift by shift: down the columns as running sums, then
// along the rows. The distance of two patches is symmetric, so a pixel's own patch stays in place, and the others move.

constexpr int THREADS = 256, WIDTH = 64, GROUPS = THREADS / WIDTH;
// Results of a thread in a column, limited by registers and shared memory.
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

// A squared difference as an integer, clipped at the cap; NaN counts as the cap.
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

// exp(-y) by a polynomial of a fraction of y and repeated squaring.
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

// The weight of a patch, whose sum is at most the largest one with a weight.
template <typename A, typename S>
__device__ __forceinline__ A weight_of(S found, S base, A rest, A rate, const A (&p)[TERMS<A>]) {
  const A more = A(S(found - base)) - rest;
  return exponential((more > A(0) ? more : A(0)) * rate, p);
}

// The shifts up to a distance in the CPU's order, each after its opposite.
struct Turn {
  int most, down, along;

  __device__ __forceinline__ explicit Turn(long long distance) : most(int(distance)), down(0), along(-1) {}
  __device__ __forceinline__ bool is_left() const { return -down <= most && -along <= most; }
  __device__ __forceinline__ void advance() {
    if ((down > 0 || (down == 0 && along > 0)) && ++along > most) {
      ++down;
      along = -most;
    }
    down = -down;
    along = -along;
  }
};

// For CHANNELS channels; with 0, for `step` channels, each channel of the result separately.
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
  // Each pair of opposite shifts: first the one to the earlier pixel.
#pragma unroll 1
  for (Turn turn(distance); turn.is_left(); turn.advance()) {
    const long long down = turn.down, along = turn.along;
    __syncthreads();
#pragma unroll 1
    for (int i = threadIdx.x; i < span * GROUPS; i += THREADS) {
      const long long here = first + i / span * DOWN, col = left + i % span - before;
      if (here >= bottom) break;  // the rows below may not exist
      S running = 0;
#pragma unroll 1
      for (long long k = -before; k < after; ++k) running += unlike(here + k, col, down, along);
#pragma unroll 1
      for (int j = 0; j < DOWN && here + j < bottom; ++j) {
        running += unlike(here + j + after, col, down, along);
        sums[(i / span * DOWN + j) * span + i % span] = running;
        running -= unlike(here + j - before, col, down, along);
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
      const A weight = weight_of(found, base, A(rest), A(rate), p);
      const long long row = first + group * DOWN + j, col = left + lane;
      const T* const one = pixel(row, col) + own;
      const T* const other = pixel(row + down, col + along) + own;
#pragma unroll
      for (int c = 0; c < OWN; ++c)
        totals[j][c] += weight * apart(__ldg(one + c), __ldg(other + c), unit);
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

// Keeps a converted argument in a register: the compiler would convert it for every shift.
__device__ __forceinline__ float kept(float v) {
#if defined(__CUDA_ARCH__)
  asm volatile("" : "+f"(v));
#endif
  return v;
}
__device__ __forceinline__ double kept(double v) { return v; }

// A pixel in shared memory. Bytes share a word: all channels, or for a single one some neighbours.
template <typename T, int CHANNELS>
struct Cell {
  T v[CHANNELS];
  template <typename A>
  __device__ __forceinline__ A value(int channel) const {
    return A(v[channel]);
  }
};
template <int CHANNELS>
struct Cell<unsigned char, CHANNELS> {
  unsigned word;
  template <typename A>
  __device__ __forceinline__ A value(int channel) const {
    return A(int(word >> 8 * channel & 255));
  }
};

// The sum of squared differences of all channels. Bytes need no cap: sums with a difference beyond it have no weight.
template <typename S, typename T, int CHANNELS, typename A>
__device__ __forceinline__ S unlike(const Cell<T, CHANNELS>& one, const Cell<T, CHANNELS>& other, A cap, A factor) {
  if constexpr (SameType<T, unsigned char>::value) {
    const unsigned apart = __vabsdiffu4(one.word, other.word);
    return S(__dp4a(apart, apart, 0u));
  } else {
    S total = 0;
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) total += squared<S>(one.v[c], other.v[c], cap, factor);
    return total;
  }
}

// Results of a thread in a column.
template <typename T, int CHANNELS>
constexpr int NEAR_DOWN = sizeof(Cell<T, CHANNELS>) > 8 ? 4 : CHANNELS > 1 || sizeof(T) > 4 ? 8 : 16;
constexpr int ACROSS = 2;   // warps of a block side by side
constexpr int PITCH = 96;   // of the tile for a SIZE that is known
constexpr int AT_ONCE = 4;  // rows whose weights are computed together

// The same with the tile and its halo in shared memory. A lane has a column of `joined` adjacent pixels; the sums of
// its patches are combined with those of the following lanes, so the last lanes of a warp have no results. SIZE is the
// size of the patches, 0 for any.
template <typename T, typename A, typename S, int CHANNELS, int SIZE>
__global__ void __launch_bounds__(256, 2)
    near_nl_means(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                  long long top, long long bottom, long long step, long long mode, double cval, long long before,
                  long long after, long long distance, const A* powers, long long terms, const S* limits,
                  long long count, double rest, double rate, double cap, double factor, long long span,
                  long long joined) {
  typedef Cell<T, CHANNELS> Pixel;
  constexpr int DOWN = NEAR_DOWN<T, CHANNELS>, WARPS = THREADS / 32, HIGH = WARPS / ACROSS * DOWN;
  constexpr bool KNOWN = SIZE > 0;
  DYNAMIC_SHARED(Pixel, tile);
  const int size = KNOWN ? SIZE : int(before + after + 1), pitch = KNOWN ? PITCH : int(span), far = int(distance);
  constexpr int JOINED = SameType<T, unsigned char>::value && CHANNELS == 1 ? 3 : 1;  // where the size is known
  const int apart = KNOWN ? JOINED : int(joined), wide = 32 - size + apart;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const long long first = top + (long long)blockIdx.y * HIGH, left = (long long)blockIdx.x * (ACROSS * wide);
  const long long width = cols / CHANNELS;
  const int halo = size - 1 + 2 * far, high = HIGH + halo;
  const int loaded = int(min((long long)HIGH, bottom - first)) + halo;  // the rows below may not exist
#pragma unroll 1
  for (int i = warp; i < high; i += WARPS) {
    const long long row = fold(first - before - far + min(i, loaded - 1), rows, mode);
#pragma unroll 1
    for (int x = lane; x < int(span); x += 32) {
      const long long col = left - before - far + x;
      auto element = [=](long long col, int channel) {
        const long long inside = fold(col, width, mode);
        return row < 0 || inside < 0 ? T(cval) : __ldg(src + row * cols + inside * CHANNELS + channel);
      };
      Pixel pixel;
      if constexpr (SameType<T, unsigned char>::value) {
        pixel.word = 0;
#pragma unroll 1
        for (int k = 0; k < (CHANNELS > 1 ? CHANNELS : apart); ++k)
          pixel.word |= unsigned(CHANNELS > 1 ? element(col, k) : element(col + k, 0)) << 8 * k;
      } else {
#pragma unroll
        for (int c = 0; c < CHANNELS; ++c) pixel.v[c] = element(col, c);
      }
      tile[i * pitch + x] = pixel;
    }
  }
  __syncthreads();
  const S most = __ldg(limits), base = __ldg(limits + 1);
  A p[TERMS<A>];
#pragma unroll
  for (int i = 0; i < TERMS<A>; ++i) p[i] = __ldg(powers + i);
  const A beyond = kept(A(cap)), unit = kept(A(factor)), spared = kept(A(rest)), scale = kept(A(rate));
  // The upper left corner of a thread's first patch.
  const Pixel* const mine = tile + (warp / ACROSS * DOWN + far) * pitch + warp % ACROSS * wide + lane + far;
  const int centre = int(before) * (pitch + 1);
  Pixel held[KNOWN ? DOWN + SIZE - 1 : 1];
  if constexpr (KNOWN) {
#pragma unroll
    for (int i = 0; i < DOWN + SIZE - 1; ++i) held[i] = mine[i * pitch];
  }
  A own[DOWN][CHANNELS];
#pragma unroll
  for (int j = 0; j < DOWN; ++j)
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) own[j][c] = mine[j * pitch + centre].template value<A>(c);
  // Combine sums of `apart` columns into sums of `size`: by its binary digits, with doubling.
  const int parts = size / apart;
  auto along_rows = [=](S part) {
    S found = 0;
    int done = 0;
#pragma unroll(KNOWN ? 5 : 1)
    for (int length = 1; length <= parts; length *= 2) {
      if (parts & length) {
        found += done ? __shfl_down_sync(0xffffffffu, part, done * apart) : part;
        done += length;
      }
      if (2 * length <= parts) part += __shfl_down_sync(0xffffffffu, part, length * apart);
    }
    return found;
  };
  A totals[DOWN][CHANNELS] = {}, weights[DOWN];
#pragma unroll
  for (int j = 0; j < DOWN; ++j) weights[j] = A(1);
#pragma unroll 1
  for (Turn turn(distance); turn.is_left(); turn.advance()) {
    const Pixel* const other = mine + turn.down * pitch + turn.along;
    auto row_of = [&](int i) {
      if constexpr (KNOWN)
        return unlike<S>(held[i], other[i * pitch], beyond, unit);
      else
        return unlike<S>(mine[i * pitch], other[i * pitch], beyond, unit);
    };
    S running = 0, passed[KNOWN ? DOWN + SIZE - 1 : 1];
    if constexpr (KNOWN) {
#pragma unroll
      for (int i = 0; i < SIZE - 1; ++i) running += passed[i] = row_of(i);
    } else {
#pragma unroll 1
      for (int i = 0; i < size - 1; ++i) running += row_of(i);
    }
#pragma unroll
    for (int first = 0; first < DOWN; first += AT_ONCE) {
      S found[AT_ONCE];
      bool is_any = false;
#pragma unroll
      for (int k = 0; k < AT_ONCE; ++k) {
        const int j = first + k;
        const S entering = row_of(j + size - 1);
        if constexpr (KNOWN) passed[j + SIZE - 1] = entering;
        running += entering;
        found[k] = along_rows(running);
        running -= KNOWN ? passed[KNOWN ? j : 0] : row_of(j);
        is_any |= found[k] <= most;
      }
      if (!is_any) continue;
#pragma unroll
      for (int k = 0; k < AT_ONCE; ++k) {
        const int j = first + k;
        const bool is_near = found[k] <= most;
        const A power = weight_of(found[k], base, spared, scale, p), weight = is_near ? power : A(0);
        const Pixel& adjacent = other[j * pitch + centre];
#pragma unroll
        for (int c = 0; c < CHANNELS; ++c) {
          const A difference = adjacent.template value<A>(c) - own[j][c];
          if constexpr (Number<T>::whole)
            totals[j][c] += weight * difference;
          else
            totals[j][c] += weight * (is_near ? difference * unit : A(0));
        }
        weights[j] += weight;
      }
    }
  }
  const long long x = left + warp % ACROSS * wide + lane;
#pragma unroll
  for (int j = 0; j < DOWN; ++j) {
    const long long row = first + warp / ACROSS * DOWN + j;
    if (row >= bottom || lane >= wide || x >= width) break;
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c)
      dst[row * cols + x * CHANNELS + c] = rounded<T>(own[j][c] + totals[j][c] / weights[j] / unit);
  }
}
