// launch: flat, bytes 32
// instances: two_values<T>; pack_values<T>
// instances: unpack_values<T, unsigned int>; unpack_values<T, unsigned long long>
// instances: settle<T, 1>; settle<T, 2>
#include "orders.cuh"
#include "unions.cuh"
#include "vectors.cuh"

// A mask of two values, low and high, reduces to connected components: where it is low, pixels become low, and where it
// is high, they become high if they are connected with a high pixel of the seed, else low. This holds for every seed
// that has no values between the two and, in each channel, a value that is not below low. In `facts`, the first number
// is 1 if it does not hold, the second is the mask's other value than its first, as a code (0: none), and the others
// tell for each channel whether the seed has such a value. All is decided on the device: no launch waits for the host.
constexpr int FAILED = 0, OTHER = 1, REACHED = 2;

template <typename T>
__device__ __forceinline__ long long code_of(T value) {
  return __double_as_longlong(double(value)) + 1;
}

template <typename T>
__device__ __forceinline__ T value_of(long long code) {
  return T(__longlong_as_double(code - 1));
}

template <typename T>
__device__ __forceinline__ void both_values(const T* mask, const long long* facts, T& low, T& high) {
  const T first = unsigned_zero(*mask), other = value_of<T>(facts[OTHER]);
  low = first < other ? first : other;
  high = first < other ? other : first;
}

// Whether the mask and the seed reduce to connected components.
__device__ __forceinline__ bool is_simple(const long long* facts, long long step) {
  bool simple = facts[FAILED] == 0 && facts[OTHER] != 0;
  for (long long channel = 0; channel < step; ++channel) simple = simple && facts[REACHED + channel] != 0;
  return simple;
}

constexpr int PACKS = 4;  // of 16 bytes a thread

template <typename T>
__global__ void __launch_bounds__(256) two_values(const T* mask, long long rows, long long cols, long long* facts,
                                                  long long size) {
  constexpr int N = 16 / int(sizeof(T));
  if (seen(facts + FAILED)) return;
  const long long count = rows * cols, start = (long long)blockIdx.x * (256 * PACKS) + threadIdx.x;
  const int lead = int(address_of(mask) / sizeof(T) % N);
  const T first = unsigned_zero(*mask);
  T other = first;
  bool failed = is_nan(first);
#pragma unroll
  for (int k = 0; k < PACKS; ++k) {
    const long long at = (start + k * 256) * N - lead;
    if (at >= count) break;
    Pack<T, N> pack;
    load<T, N>(mask + at, mask, mask + count, pack);
    const bool whole = at >= 0 && at + N <= count;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const T value = unsigned_zero(pack.v[i]);
      if (value == first || value == other || !(whole || (at + i >= 0 && at + i < count))) continue;
      failed = failed || other != first;
      other = value;
    }
  }
  failed = failed || is_nan(other);
  if (!failed && other != first) {
    const long long code = code_of(other), known = seen(facts + OTHER);
    if (known != code) {
      const long long before =
          known != 0 ? known : (long long)atomicCAS(reinterpret_cast<unsigned long long*>(facts + OTHER), 0ull, (unsigned long long)code);
      failed = before != 0 && before != code;
    }
  }
  if (failed) atomicExch(reinterpret_cast<unsigned long long*>(facts + FAILED), 1ull);
}

// High pixels as bits: of the mask in `weak`, of the seed in `strong`.
template <typename T>
__global__ void __launch_bounds__(256, 2) pack_values(const T* image, long long rows, long long cols, const T* mask,
                                                   long long mask_rows, long long mask_cols, long long* facts,
                                                   long long size, unsigned int* weak, long long lines, long long words,
                                                   unsigned int* strong, long long strong_lines, long long strong_words,
                                                   long long step) {
  if (seen(facts + FAILED)) return;
  const int lane = threadIdx.x;
  if (seen(facts + OTHER) == 0) {
    if (lane == 0) atomicExch(reinterpret_cast<unsigned long long*>(facts + FAILED), 1ull);
    return;
  }
  T low, high;
  both_values(mask, facts, low, high);
  each_group(lines, [=](long long line, long long first) {
    const long long channel = line / rows, left = cols / step - first * 32 - lane;
    const long long at = (line - channel * rows) * cols + channel + (first * 32 + lane) * step;
    const T *p = image + at, *limit = mask + at;
    Word32 some = 0, most = 0;
    bool reached = false, between = false;
#pragma unroll 4
    for (int k = 0; k < GROUP_WORDS; ++k, p += 32 * step, limit += 32 * step) {
      const bool there = k * 32 < left;
      const T value = there ? *p : low;
      const bool is_high = there && unsigned_zero(*limit) == high, is_strong = is_high && value == high;
      reached |= there && value >= low;
      between |= !(value <= low) && !is_strong;
      const Word32 any = __ballot_sync(ALL_LANES, is_high), one = __ballot_sync(ALL_LANES, is_strong);
      if (lane == k) some = any, most = one;
    }
    if (first + lane < words) {
      weak[line * words + first + lane] = some;
      strong[line * words + first + lane] = most;
    }
    reached = __any_sync(ALL_LANES, reached);
    between = __any_sync(ALL_LANES, between);
    unsigned long long* const said = reinterpret_cast<unsigned long long*>(facts);
    if (lane == 0 && reached && seen(facts + REACHED + channel) == 0) atomicExch(said + REACHED + channel, 1ull);
    if (lane == 0 && between) atomicExch(said + FAILED, 1ull);
  });
}

template <typename T, typename N>
__global__ void __launch_bounds__(256) unpack_values(const unsigned int* weak, long long lines, long long words, T* image,
                                                     long long rows, long long cols, const T* mask, long long mask_rows,
                                                     long long mask_cols, const long long* facts, long long size,
                                                     const N* parents, long long nodes, long long step) {
  if (!is_simple(facts, step)) return;
  T low, high;
  both_values(mask, facts, low, high);
  const int lane = threadIdx.x;
  each_group(lines, [=](long long line, long long first) {
    const long long channel = line / rows, word = first + lane, left = cols / step - first * 32 - lane;
    const Word32 some = word < words ? weak[line * words + word] : 0;
    const Word32 most = marked_runs(some, parents, first_node<N>(line, words, word));
    T* p = image + (line - channel * rows) * cols + channel + (first * 32 + lane) * step;
#pragma unroll 8
    for (int k = 0; k < GROUP_WORDS; ++k, p += 32 * step) {
      const Word32 one = __shfl_sync(ALL_LANES, most, k);
      if (k * 32 < left) *p = one >> lane & 1 ? high : low;
    }
  });
}

// ---------------------------------------------------------------- all other masks

constexpr int TILE = 32;

// A lane's type: NaN is the lowest value and has the lowest limit, so that it neither rises nor raises.
template <typename T, bool WHOLE = Number<T>::whole>
struct Lane {
  typedef int type;
  static __device__ __forceinline__ int lowest() { return -2147483647 - 1; }
};
template <>
struct Lane<float, false> {
  typedef float type;
  static __device__ __forceinline__ float lowest() { return __int_as_float(int(0xff800000u)); }
};
template <>
struct Lane<double, false> {
  typedef double type;
  static __device__ __forceinline__ double lowest() { return -double(__int_as_float(0x7f800000)); }
};

// The maximum of a value and those of the adjacent lanes; `beyond` before the first lane and after the last.
template <typename W>
__device__ __forceinline__ W with_sides(W value, W beyond, int lane) {
  W before = __shfl_up_sync(ALL_LANES, value, 1), after = __shfl_down_sync(ALL_LANES, value, 1);
  if (lane == 0) before = beyond;
  if (lane == 31) after = beyond;
  return max(value, max(before, after));
}

constexpr int CHUNK = 8;  // values of a lane in registers at a time, so that loads do not wait for comparisons

// Raise the pixels of a column or a row of a tile, STRIDE elements apart, each to the previous one, and the first to
// `by`. With SIDES a pixel is also raised to both neighbours of the previous one.
template <int STRIDE, bool SIDES, typename W>
__device__ __forceinline__ bool pass(W* values, const W* limits, W by, W lowest, int lane) {
  bool raised = false;
#pragma unroll 1
  for (int chunk = 0; chunk < TILE / CHUNK; ++chunk, values += CHUNK * STRIDE, limits += CHUNK * STRIDE) {
    W value[CHUNK], limit[CHUNK];
#pragma unroll
    for (int i = 0; i < CHUNK; ++i) {
      value[i] = values[i * STRIDE];
      limit[i] = limits[i * STRIDE];
    }
#pragma unroll
    for (int i = 0; i < CHUNK; ++i) {
      const W best = max(value[i], min(by, limit[i]));
      if (best > value[i]) {
        values[i * STRIDE] = best;
        raised = true;
      }
      by = SIDES ? with_sides(best, lowest, lane) : best;
    }
  }
  return raised;
}

// The same forwards, then backwards; `before` and `after` are outside the tile.
template <int STRIDE, bool SIDES, typename W>
__device__ __forceinline__ bool sweep(W* values, const W* limits, W before, W after, W lowest, int lane) {
  constexpr int last = (TILE - 1) * STRIDE;
  const bool raised = pass<STRIDE, SIDES>(values, limits, before, lowest, lane);
  return pass<-STRIDE, SIDES>(values + last, limits + last, after, lowest, lane) || raised;
}

// Work queue of tiles in memory. `queue` holds the number of tiles taken, the number of tiles added, the number of
// tiles waiting or being processed (minus `tiles`: at first all tiles are waiting, in order), then a state for each
// tile, then a ring buffer of added tiles, each plus 1.
constexpr int TAKEN = 0, ADDED = 1, BUSY = 2, STATES = 4;
constexpr unsigned int UNASKED = 1, RUNNING = 2;  // bits of a state; 0: the tile is waiting

struct Queue {
  unsigned int* const memory;
  const unsigned int tiles, room;

  __device__ __forceinline__ unsigned int* state(long long tile) const { return memory + STATES + tile; }
  __device__ __forceinline__ unsigned int* slot(unsigned int number) const {
    return memory + STATES + tiles + number % room;
  }
  __device__ __forceinline__ void add(long long tile) const {
    unsigned int* const to = slot(atomicAdd(memory + ADDED, 1u));
    while (atomicCAS(to, 0u, (unsigned int)tile + 1) != 0) __nanosleep(100);  // one from the round before is being taken
  }
  // The next tile, or -1 when no tile is waiting or being processed: only then can none follow.
  __device__ __forceinline__ long long take() const {
    const unsigned int ticket = atomicAdd(memory + TAKEN, 1u);
    long long tile = ticket;
    if (ticket >= tiles) {
      unsigned int* const from = slot(ticket - tiles);
      unsigned int found = seen(from);
      while (found == 0) {
        if (seen(memory + BUSY) + tiles == 0) return -1;
        __nanosleep(100);
        found = seen(from);
      }
      atomicExch(from, 0u);
      tile = (long long)found - 1;
    }
    atomicExch(state(tile), UNASKED | RUNNING);
    __threadfence();
    return tile;
  }
};

// Raises pixels to their neighbours, limited by the mask, until nothing changes: in place, one warp per tile of one
// channel. A tile is settled in shared memory by alternating sweeps down and up its columns and along its rows. If its
// border has changed, the adjacent tiles are added to the queue. Another tile's pixels may change while they are read:
// a change that was missed is seen when that tile adds this one.
template <typename T, int CONNECTIVITY>
__global__ void __launch_bounds__(TILE, 16) settle(T* image, long long rows, long long cols, const T* mask,
                                               long long mask_rows, long long mask_cols, const long long* facts,
                                               long long size, unsigned int* memory, long long slots, long long step) {
  typedef typename Lane<T>::type W;
  constexpr int PITCH = TILE + 1;
  constexpr bool CORNERS = CONNECTIVITY == 2;
  __shared__ W limits[TILE * PITCH], values[TILE * PITCH];
  if (is_simple(facts, step)) return;
  const W lowest = Lane<T>::lowest();
  const int lane = int(threadIdx.x);
  const long long pixels = cols / step, across = (pixels + TILE - 1) / TILE, bands = (rows + TILE - 1) / TILE;
  const unsigned int tiles = (unsigned int)(across * bands * step);
  const Queue queue = {memory, tiles, (unsigned int)(slots - STATES) - tiles};
  const auto read = [=](const T* p) {
    const T value = __ldcg(p);
    return is_nan(value) ? lowest : W(value);
  };

  for (;;) {
    const long long tile = __shfl_sync(ALL_LANES, lane == 0 ? queue.take() : 0ll, 0);
    if (tile < 0) return;
    const long long pixel_tile = tile / step, channel = tile - pixel_tile * step, band = pixel_tile / across;
    const long long place = pixel_tile - band * across, top = band * TILE, left = place * TILE;
    const int height = int(min(rows - top, (long long)TILE)), width = int(min(pixels - left, (long long)TILE));
    const bool is_above = top > 0, is_below = top + TILE < rows, is_left = left > 0, is_right = left + TILE < pixels;
    const long long corner = top * cols + left * step + channel;
    T* const column = image + corner + lane * step;
    const bool inside = lane < width;

    {
      const T *p = column, *limit = mask + corner + lane * step;
#pragma unroll 8
      for (int i = 0; i < TILE; ++i, p += cols, limit += cols) {
        const bool there = inside && i < height;
        const T value = there ? __ldcg(p) : T(0), most = there ? unsigned_zero(__ldg(limit)) : T(0);
        const bool moves = there && !is_nan(value) && !is_nan(most);
        values[i * PITCH + lane] = moves ? W(value) : lowest;
        limits[i * PITCH + lane] = moves ? W(most) : lowest;
      }
    }
    W above = is_above && inside ? read(column - cols) : lowest;
    W below = is_below && inside ? read(column + TILE * cols) : lowest;
    const T* const row = image + corner + lane * cols;
    W before = is_left && lane < height ? read(row - step) : lowest;
    W after = is_right && lane < height ? read(row + TILE * step) : lowest;
    if (CORNERS) {
      const bool outer = (lane == 0 && is_left) || (lane == 31 && is_right);
      const T* const adjacent = column + (lane == 0 ? -step : step);
      above = with_sides(above, outer && is_above ? read(adjacent - cols) : lowest, lane);
      below = with_sides(below, outer && is_below ? read(adjacent + TILE * cols) : lowest, lane);
      before = with_sides(before, lowest, lane);
      after = with_sides(after, lowest, lane);
    }
    __syncwarp();
    bool ever = false;
    for (bool start = true;; start = false) {
      const bool down = __any_sync(
          ALL_LANES, sweep<PITCH, CORNERS>(values + lane, limits + lane, above, below, lowest, lane));
      if (!down && !start) break;
      __syncwarp();
      const bool along = __any_sync(
          ALL_LANES, sweep<1, false>(values + lane * PITCH, limits + lane * PITCH, before, after, lowest, lane));
      __syncwarp();
      ever = ever || down || along;
      if (!along && (!CORNERS || !down)) break;
    }

    bool any = false, at_top = false, at_bottom = false;
    if (ever) {
      T* p = column;
#pragma unroll 4
      for (int i = 0; i < height; ++i, p += cols) {
        const W value = values[i * PITCH + lane];
        if (!inside || !(value > read(p))) continue;
        *p = T(value);
        any = true;
        at_top |= i == 0;
        at_bottom |= i == TILE - 1;
      }
      __threadfence();
    }
    const Word32 changed = __ballot_sync(ALL_LANES, any), changed_top = __ballot_sync(ALL_LANES, at_top);
    const Word32 changed_bottom = __ballot_sync(ALL_LANES, at_bottom);
    __syncwarp();

    // A lane for each adjacent tile, and one for the tile itself, which is done unless it was added again meanwhile.
    const int dy = lane / 3 - 1, dx = lane % 3 - 1;
    const Word32 line = dy < 0 ? changed_top : dy > 0 ? changed_bottom : changed;
    const bool itself = lane == 4, touched = dx < 0 ? line & 1 : dx > 0 ? line >> 31 : line != 0;
    const bool exists = dy <= 1 && (dy >= 0 || is_above) && (dy <= 0 || is_below) && (dx >= 0 || is_left) && (dx <= 0 || is_right);
    const long long other = tile + (dy * across + dx) * step;
    bool adds = false;
    if (itself) {
      adds = (atomicAnd(queue.state(tile), ~RUNNING) & UNASKED) == 0;
    } else if (exists && touched && (CORNERS || dx == 0 || dy == 0)) {
      adds = atomicAnd(queue.state(other), ~UNASKED) == UNASKED;
    }
    const int added = __popc(__ballot_sync(ALL_LANES, adds));
    if (lane == 0) atomicAdd(memory + BUSY, (unsigned int)(added - 1));
    __syncwarp();
    if (adds) queue.add(other);
    __syncwarp();
  }
}
