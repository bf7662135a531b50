// Lock-free union-find: a node's parent is the node itself or one of a lower number, and the node that is its own
// parent is its component's root, the lowest of all. After D. P. Playne, K. Hawick, "A new algorithm for parallel
// connected-component labelling on GPUs", IEEE Transactions on Parallel and Distributed Systems 29(6), 2018, and S.
// Allegretti, F. Bolelli, C. Grana, "Optimized block-based algorithms to label connected components on GPUs", the same
// 31(2), 2020.
#pragma once

// Values that another thread may be writing, reloaded each time.
template <typename N>
__device__ __forceinline__ N seen(const N* p) {
#if defined(__CUDA_ARCH__)
  return *const_cast<const volatile N*>(p);
#else
  return __atomic_load_n(p, __ATOMIC_RELAXED);
#endif
}

// For shared memory.
struct Fresh {
  template <typename N>
  static __device__ __forceinline__ N parent(const N* p) {
    return seen(p);
  }
};

// For global memory, through the first-level cache: a stale parent is still an ancestor.
struct Cached {
  template <typename N>
  static __device__ __forceinline__ N parent(const N* p) {
    return __ldca(p);
  }
};

template <typename Read, typename N>
__device__ __forceinline__ N find(const N* parents, N node) {
  for (;;) {
    const N parent = Read::parent(parents + node);
    if (parent == node) return node;
    node = parent;
  }
}

template <typename Read, typename N>
__device__ __forceinline__ void unite(N* parents, N a, N b) {
  for (;;) {
    a = find<Read>(parents, a);
    b = find<Read>(parents, b);
    if (a == b) return;
    const N high = a > b ? a : b, low = a > b ? b : a;
    const N before = atomicMin(parents + high, low);
    if (before == high) return;
    a = before;  // `high` was no longer a root: its parent still has to be united with the other
    b = low;
  }
}

// ---------------------------------------------------------------- words of 32 pixels

typedef unsigned int Word32;
constexpr Word32 ALL_LANES = 0xffffffffu;
constexpr int RUNS = 16;  // at most, of ones in a word: the one that begins at bit b has the number b / 2

__device__ __forceinline__ Word32 starts_of(Word32 word) { return word & ~(word << 1); }

__device__ __forceinline__ int lowest_of(Word32 word) { return __ffs(int(word)) - 1; }

// The number of the run that contains a bit.
__device__ __forceinline__ int run_at(Word32 word, int bit) {
  const Word32 gaps = ~word & ((1u << bit) - 1);
  return (32 - __clz(int(gaps))) >> 1;
}

// The bits of the run that begins at a bit.
__device__ __forceinline__ Word32 run_from(Word32 word, int bit) { return word & ~(word + (1u << bit)); }

// Calls join(run of the word, run of the word above) for all runs that touch; with `corners`, also at corners.
template <typename Join>
__device__ __forceinline__ void each_contact(Word32 word, Word32 above, bool corners, Join join) {
  for (Word32 left = starts_of(word & above); left; left &= left - 1) {
    const int bit = lowest_of(left);
    join(run_at(word, bit), run_at(above, bit));
  }
  if (!corners) return;
  const Word32 apart = word & ~above;
  for (Word32 left = apart & (above << 1) & ~(word << 1); left; left &= left - 1) {
    const int bit = lowest_of(left);
    join(run_at(word, bit), run_at(above, bit - 1));
  }
  for (Word32 left = apart & (above >> 1) & ~(word >> 1); left; left &= left - 1) {
    const int bit = lowest_of(left);
    join(run_at(word, bit), run_at(above, bit + 1));
  }
}

// ---------------------------------------------------------------- components of runs, and which of them are marked

// Lines of words are the rows of the first channel, then those of the next. Node 0 is the root of marked components.
template <typename N>
__device__ __forceinline__ N first_node(long long line, long long words, long long word) {
  return N((line * words + word) * RUNS + 1);
}

// The bits of all runs of a word whose components are marked.
template <typename N>
__device__ __forceinline__ Word32 marked_runs(Word32 word, const N* parents, N first) {
  Word32 found = 0;
  for (Word32 left = starts_of(word); left; left &= left - 1) {
    const int bit = lowest_of(left);
    if (find<Cached>(parents, N(first + N(bit >> 1))) == 0) found |= run_from(word, bit);
  }
  return found;
}

// ---------------------------------------------------------------- pixels to words and back

constexpr int GROUP_WORDS = 32;  // adjacent words of a line that a warp packs: 1024 pixels

// Calls work(line, first word) for all groups of words; blocks have 32 x 8 threads, one warp per group.
template <typename Work>
__device__ __forceinline__ void each_group(long long lines, Work work) {
  for (long long line = (long long)blockIdx.y * blockDim.y + threadIdx.y; line < lines; line += (long long)gridDim.y * blockDim.y)
    work(line, (long long)blockIdx.x * GROUP_WORDS);
}
