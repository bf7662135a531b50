// Paths of water from markers, relaxed tile by tile; see __init__.py.
#pragma once
#include "numbers.cuh"

constexpr int OUTSIDE = -2147483647 - 1;  // of the mask, as in watershed.py
constexpr int NEVER = 2147483647;         // the length of pixels without water, and a label that is not known yet
constexpr int TILE = 32, LINES = 8, EACH = TILE / LINES;

// States that another block may be writing, reloaded each time.
template <typename S>
__device__ __forceinline__ S latest(const S* p) {
#if defined(__CUDA_ARCH__)
  return *const_cast<const volatile S*>(p);
#else
  S value;
  __atomic_load(const_cast<S*>(p), &value, __ATOMIC_RELAXED);
  return value;
#endif
}

template <typename S>
__device__ __forceinline__ void publish(S* p, S value) {
#if defined(__CUDA_ARCH__)
  *const_cast<volatile S*>(p) = value;
#else
  __atomic_store(p, &value, __ATOMIC_RELAXED);
#endif
}

// The level of pixels that no water reaches.
template <typename T>
__device__ __forceinline__ T highest() {
  if constexpr (Number<T>::whole)
    return T(Number<T>::high);
  else
    return T(__uint_as_float(0x7f800000u));  // infinity
}

// Whether water can reach a pixel from others.
template <typename T>
__device__ __forceinline__ bool is_free(T value, int marker) {
  return marker == 0 && !is_nan(value);
}

// Calls f(bit, place) for a pixel's neighbours in the image.
template <typename F>
__device__ __forceinline__ void each_neighbour(long long row, long long x, long long rows, long long cols,
                                               long long step, long long connectivity, F f) {
#pragma unroll 1
  for (int down = -1; down <= 1; ++down) {
#pragma unroll
    for (int along = -1; along <= 1; ++along) {
      if ((down == 0 && along == 0) || (connectivity == 1 && down != 0 && along != 0)) continue;
      const long long y = row + down, z = x + along * step;
      if (y >= 0 && y < rows && z >= 0 && z < cols) f(1 << ((down + 1) * 3 + along + 1), y * cols + z);
    }
  }
}

// The update of a pixel's state: from the minimum state of some neighbours, given as bits, and a parameter; without
// neighbours it is the minimum of the parameter and its current state.
template <typename S>
struct Way {
  int from;
  S parameter;
};

// Lowers the states of tiles until nothing changes within any of them, one block per tile. `way` returns a pixel's
// `Way`, `passed` computes its state from the neighbours' minimum and the parameter; `changed` is set if any state was
// lowered.
template <typename S, typename W, typename P>
__device__ __forceinline__ void relax(S* state, long long rows, long long cols, long long step, long long* changed,
                                      W way, P passed) {
  __shared__ S held[TILE + 2][TILE + 3];
  __shared__ int moved[2];
  const int lane = threadIdx.x, line = threadIdx.y, thread = line * TILE + lane;
  const long long pixels = cols / step, left = (long long)blockIdx.x * TILE;
  const long long bands = (rows + TILE - 1) / TILE, all = bands * step;
  for (long long band = blockIdx.y; band < all; band += gridDim.y) {
    const long long channel = band / bands, top = (band - channel * bands) * TILE;
    for (int k = thread; k < (TILE + 2) * (TILE + 2); k += TILE * LINES) {
      const int y = k / (TILE + 2), z = k - y * (TILE + 2);
      const long long row = top + y - 1, pixel = left + z - 1;
      const bool there = row >= 0 && row < rows && pixel >= 0 && pixel < pixels;
      held[y][z] = there ? latest(state + row * cols + pixel * step + channel) : S(0);
    }
    if (thread < 2) moved[thread] = 0;
    __syncthreads();
    Way<S> ways[EACH];
    S before[EACH], next[EACH];
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
      const long long row = top + line + k * LINES, pixel = left + lane;
      before[k] = next[k] = held[line + k * LINES + 1][lane + 1];
      ways[k] = row < rows && pixel < pixels ? way(row, pixel * step + channel) : Way<S>{0, before[k]};
    }
    // A state depends on at most all pixels of a tile.
    for (int turn = 0; turn <= TILE * TILE; ++turn) {
      bool lowered = false;
#pragma unroll
      for (int k = 0; k < EACH; ++k) {
        const int y = line + k * LINES + 1, z = lane + 1;
        S found = ways[k].parameter;
        if (ways[k].from != 0) {
          S minimum = highest<S>();
#pragma unroll
          for (int bit = 0; bit < 9; ++bit) {
            const S other = held[y + bit / 3 - 1][z + bit % 3 - 1];
            if ((ways[k].from >> bit & 1) && other < minimum) minimum = other;
          }
          found = passed(minimum, found);
        }
        if (found < next[k]) {
          next[k] = found;
          lowered = true;
        }
      }
      __syncthreads();
      if (thread == 0) moved[~turn & 1] = 0;
      if (lowered) {
#pragma unroll
        for (int k = 0; k < EACH; ++k) held[line + k * LINES + 1][lane + 1] = next[k];
        atomicExch(moved + (turn & 1), 1);
      }
      __syncthreads();
      if (moved[turn & 1] == 0) break;
    }
    bool any = false;
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
      if (!(next[k] < before[k])) continue;
      publish(state + (top + line + k * LINES) * cols + (left + lane) * step + channel, next[k]);
      any = true;
    }
    if (any) publish(changed, 1ll);
    __syncthreads();
  }
}
