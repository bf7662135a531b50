// launch: tile 32x8, pixels 4x1
// instances: pack<unsigned char, unsigned int>
// instances: unpack<unsigned char, unsigned int>; unpack<unsigned char, unsigned long long>
#include "unions.cuh"

// Hysteresis of a whole image by components (see `unions`): weak pixels connected with strong ones become strong.

// Levels as bits: a weak or strong pixel is set in `weak`, a strong one in `strong`.
template <typename T, typename W>
__global__ void __launch_bounds__(256, 2) pack(const T* src, long long rows, long long cols, W* weak, long long lines,
                                            long long words, W* strong, long long strong_lines, long long strong_words,
                                            long long step) {
  const int lane = threadIdx.x;
  each_group(lines, [=](long long line, long long first) {
    const long long channel = line / rows, pixels = cols / step;
    const T* const from = src + (line - channel * rows) * cols + channel;
    W some = 0, most = 0;
    if ((first + GROUP_WORDS) * 32 <= pixels) {
      const T* p = from + (first * 32 + lane) * step;
#pragma unroll 8
      for (int k = 0; k < GROUP_WORDS; ++k, p += 32 * step) {
        const T level = *p;
        const W any = __ballot_sync(ALL_LANES, level & 3), one = __ballot_sync(ALL_LANES, level & 1);
        if (lane == k) some = any, most = one;
      }
    } else {
      for (int k = 0; k < GROUP_WORDS; ++k) {
        const long long x = (first + k) * 32 + lane;
        const T level = x < pixels ? from[x * step] : T(0);
        const W any = __ballot_sync(ALL_LANES, level & 3), one = __ballot_sync(ALL_LANES, level & 1);
        if (lane == k) some = any, most = one;
      }
    }
    if (first + lane >= words) return;
    weak[line * words + first + lane] = some;
    strong[line * words + first + lane] = most;
  });
}

// 1 for a strong pixel, 2 for one that is weak only.
template <typename U, typename N>
__global__ void __launch_bounds__(256, 2) unpack(const unsigned int* weak, long long lines, long long words, U* dst,
                                              long long rows, long long cols, const N* parents, long long nodes,
                                              long long step) {
  const int lane = threadIdx.x;
  each_group(lines, [=](long long line, long long first) {
    const long long channel = line / rows, pixels = cols / step, word = first + lane;
    const Word32 some = word < words ? weak[line * words + word] : 0;
    const Word32 most = marked_runs(some, parents, first_node<N>(line, words, word));
    U* p = dst + (line - channel * rows) * cols + channel + (first * 32 + lane) * step;
    const long long left = pixels - first * 32 - lane;
#pragma unroll 8
    for (int k = 0; k < GROUP_WORDS; ++k, p += 32 * step) {
      const Word32 any = __shfl_sync(ALL_LANES, some, k), one = __shfl_sync(ALL_LANES, most, k);
      if (k * 32 < left) *p = U(2 * (any >> lane & 1) - (one >> lane & 1));
    }
  });
}
