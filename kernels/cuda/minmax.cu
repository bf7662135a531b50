// launch: slabs, threads 256
// instances: minmax<T, double>
#include "vectors.cuh"

// The least and the greatest value of each channel in a slab of rows: dst[slab] holds all the least, then all the
// greatest values. NaN is both where one occurs.
template <typename T, typename U>
__global__ void minmax(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                       long long top, long long bottom, long long step) {
  constexpr int N = 16 / sizeof(T), THREADS = 256;
  __shared__ T least[THREADS * N], greatest[THREADS * N];
  const long long slab = top + blockIdx.y;
  const long long begin = slab * rows / dst_rows * cols, count = (slab + 1) * rows / dst_rows * cols - begin;
  const T* const from = src + begin;
  // The stride of a thread is a whole number of pixels, so each of its N places sees one channel only.
  for (long long base = 0; base < step; base += THREADS) {
    const int channels = int(min(step - base, (long long)THREADS));
    const bool all = channels == step;
    const int active = THREADS / channels * channels;
    T low[N], high[N];
    bool any[N];
#pragma unroll
    for (int k = 0; k < N; ++k) any[k] = false;
    const auto take = [&](int k, T v) {
      low[k] = !any[k] || v < low[k] || is_nan(v) ? v : low[k];  // once NaN, nothing is less
      high[k] = !any[k] || v > high[k] || is_nan(v) ? v : high[k];
      any[k] = true;
    };
    if (int(threadIdx.x) < active) {
      if (all) {
        for (long long first = (long long)threadIdx.x * N; first < count; first += (long long)active * N) {
          Pack<T, N> in;
          load<T, N>(from + first, from, from + count, in);
#pragma unroll
          for (int k = 0; k < N; ++k)
            if (first + k < count) take(k, in.v[k]);
        }
      } else {
        const long long channel = base + threadIdx.x % channels;
        for (long long x = threadIdx.x / channels * step + channel; x < count; x += active / channels * step)
          take(0, from[x]);
      }
    }
    // Places 0 .. active * N of the block, place p for channel p % step; in the strided form only each thread's first.
    __syncthreads();
    const int width = all ? N : 1;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      if (k >= width) break;
      least[threadIdx.x * width + k] = low[k];
      greatest[threadIdx.x * width + k] = high[k];
    }
    __syncthreads();
    for (int channel = threadIdx.x; channel < channels; channel += THREADS) {
      const int places = int(min((long long)active * width, all ? count : (count / step) * channels));
      T l = least[channel], h = greatest[channel];
      for (int p = channel + channels; p < places; p += channels) {
        const T a = least[p], b = greatest[p];
        l = a < l || is_nan(a) ? a : l;
        h = b > h || is_nan(b) ? b : h;
      }
      dst[slab * dst_cols + base + channel] = U(l);
      dst[slab * dst_cols + step + base + channel] = U(h);
    }
  }
}
