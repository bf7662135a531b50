// A condition for each value of an image that has `channels` values for each value of the condition.
#pragma once
#include "vectors.cuh"

// dst[i] = op(the condition src, other[i]) for 0 <= i < count, for "launch: flat, bytes 32"; `op` gets N at a time.
template <typename T, typename U, typename Op>
__device__ __forceinline__ void map_conditions(const T* src, const U* other, U* dst, long long count,
                                               long long channels, Op op) {
  constexpr int N = Chunk<T, U>::elements;
  if (channels == 1) {
    map_chunks<1>(src, dst, count, [=](long long first, const Pack<T, N>& holds, Pack<U, N>& out) {
      Pack<U, N> in;
      load<U, N>(other + first, other, other + count, in);
      op(first, holds, in, out);
    });
    return;
  }
  const long long last = count / channels - 1;
  map_chunks<1>(other, dst, count, [=](long long first, const Pack<U, N>& in, Pack<U, N>& out) {
    Pack<T, N> holds;
    long long pixel = (first + N * channels) / channels - N, channel = (first + N * channels) % channels;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      holds.v[i] = __ldg(src + (pixel < 0 ? 0 : pixel > last ? last : pixel));
      pixel += channel + 1 == channels;
      channel = channel + 1 == channels ? 0 : channel + 1;
    }
    op(first, holds, in, out);
  });
}
