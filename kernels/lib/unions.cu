// launch: tile 32x8, pixels 1x1
// instances: unite_tiles<unsigned int>; unite_tiles<unsigned long long>
// instances: unite_borders<unsigned int>; unite_borders<unsigned long long>; mark<unsigned int>; mark<unsigned long long>
#include "unions.cuh"

// Connected components of pixels packed as bits of words: the nodes are the runs of ones in a word. All kernels do
// nothing if the first number of `skip` is nonzero. `reach` 1: pixels also touch at their corners.

// Step 1: components within tiles of 32 x 32 pixels, one warp per tile and one lane per row.
template <typename N>
__global__ void __launch_bounds__(256) unite_tiles(const unsigned int* weak, long long lines, long long words, N* parents,
                                                   long long nodes, const long long* skip, long long skips,
                                                   long long rows, long long reach) {
  __shared__ int tables[8][32 * RUNS];
  if (*skip) return;
  const int lane = threadIdx.x;
  int* const table = tables[threadIdx.y];
  const long long word = (long long)blockIdx.x * 8 + threadIdx.y;
  if (word >= words) return;
  const long long bands = (rows + 31) / 32, all = lines / rows * bands;
  for (long long band = blockIdx.y; band < all; band += gridDim.y) {
    const long long channel = band / bands, top = (band - channel * bands) * 32, line = channel * rows + top;
    const Word32 here = top + lane < rows ? weak[(line + lane) * words + word] : 0;
    if (__ballot_sync(ALL_LANES, here != 0) == 0) continue;
    Word32 above = __shfl_up_sync(ALL_LANES, here, 1);
    if (lane == 0) above = 0;
    for (Word32 left = starts_of(here); left; left &= left - 1) {
      const int node = (lowest_of(left) >> 1) * 32 + lane;
      table[node] = node;
    }
    __syncwarp();
    each_contact(here, above, reach == 1, [=](int run, int upper) {
      unite<Fresh>(table, run * 32 + lane, upper * 32 + lane - 1);
    });
    __syncwarp();
    for (Word32 left = starts_of(here); left; left &= left - 1) {
      const int run = lowest_of(left) >> 1, root = find<Fresh>(table, run * 32 + lane);
      parents[first_node<N>(line + lane, words, word) + N(run)] =
          first_node<N>(line + (root & 31), words, word) + N(root >> 5);
    }
    __syncwarp();
  }
}

// Step 2: unite components across the borders of tiles, one thread per word.
template <typename N>
__global__ void __launch_bounds__(256) unite_borders(const unsigned int* weak, long long lines, long long words, N* parents,
                                                     long long nodes, const long long* skip, long long skips,
                                                     long long rows, long long reach) {
  if (*skip) return;
  const long long word = (long long)blockIdx.x * 32 + threadIdx.x;
  if (word >= words) return;
  const auto unite_word = [=](long long line, long long row) {
    const Word32* const at = weak + line * words + word;
    const Word32 here = *at;
    if (here == 0) return;
    const N first = first_node<N>(line, words, word), first_above = first - N(words * RUNS);
    const Word32 before = word > 0 ? at[-1] : 0;
    if (here & before >> 31 & 1) unite<Cached>(parents, first, N(first - N(RUNS) + N(run_at(before, 31))));
    if (row == 0 || (row % 32 != 0 && reach == 0)) return;
    const Word32* const up = at - words;
    const Word32 above = *up;
    if (row % 32 == 0) {
      each_contact(here, above, reach == 1, [=](int run, int upper) {
        unite<Cached>(parents, N(first + N(run)), N(first_above + N(upper)));
      });
    }
    if (reach == 0) return;
    // If a pixel next to the corner is set, it connects the two already.
    if (here & ~above & ~(before >> 31) & 1) {
      const Word32 corner = word > 0 ? up[-1] : 0;
      if (corner >> 31) unite<Cached>(parents, first, N(first_above - N(RUNS) + N(run_at(corner, 31))));
    }
    if ((here & ~above) >> 31 && word + 1 < words && (up[1] & ~at[1] & 1))
      unite<Cached>(parents, N(first + N(run_at(here, 31))), N(first_above + N(RUNS)));
  };
  for (long long start = blockIdx.z * rows; start < lines; start += gridDim.z * rows)
    for (long long row = (long long)blockIdx.y * 8 + threadIdx.y; row < rows; row += (long long)gridDim.y * 8)
      unite_word(start + row, row);
}

// Step 3: components with a strong pixel get node 0 as their root.
template <typename N>
__global__ void __launch_bounds__(256) mark(const unsigned int* weak, long long lines, long long words, N* parents,
                                            long long nodes, const unsigned int* strong, long long strong_lines,
                                            long long strong_words, const long long* skip, long long skips) {
  if (*skip) return;
  const long long word = (long long)blockIdx.x * 32 + threadIdx.x;
  if (word >= words) return;
  if (word == 0 && blockIdx.y == 0 && threadIdx.y == 0) atomicExch(parents, N(0));
  for (long long line = (long long)blockIdx.y * 8 + threadIdx.y; line < lines; line += (long long)gridDim.y * 8) {
    const Word32 most = strong[line * words + word];
    if (most == 0) continue;
    const Word32 here = weak[line * words + word];
    for (Word32 left = starts_of(here); left; left &= left - 1) {
      const int bit = lowest_of(left);
      if ((run_from(here, bit) & most) == 0) continue;
      // Node 0 may not point to itself yet, so `find` must not reach it.
      for (N node = first_node<N>(line, words, word) + N(bit >> 1), parent; node != 0; node = parent) {
        parent = Cached::parent(parents + node);
        if (parent != node) continue;
        atomicExch(parents + node, N(0));
        break;
      }
    }
  }
}
