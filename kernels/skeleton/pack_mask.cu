// launch: tile 32x8, pixels 1x1
// instances: pack_mask<I, unsigned long long>

// Packs nonzero pixels as bits, 32 words per warp: the lowest bit of a word is the leftmost of 64 pixels. A row has the
// words of the first channel, then those of the next.
template <typename T, typename U>
__global__ void pack_mask(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                          long long top, long long bottom, long long step) {
  const int lane = threadIdx.x;
  const long long row = top + (long long)blockIdx.y * blockDim.y + threadIdx.y, first = (long long)blockIdx.x * 32;
  if (row >= bottom) return;
  const long long pixels = cols / step, each = dst_cols / step;
  U bits = 0;
  for (int k = 0; k < 32 && first + k < dst_cols; ++k) {
    const long long channel = (first + k) / each, x = (first + k - channel * each) * 64 + lane;
    const T* const line = src + row * cols + channel;
    const unsigned int low = __ballot_sync(0xffffffffu, x < pixels && line[x * step] != T(0));
    const unsigned int high = __ballot_sync(0xffffffffu, x + 32 < pixels && line[(x + 32) * step] != T(0));
    if (lane == k) bits = U(high) << 32 | low;
  }
  if (first + lane < dst_cols) dst[row * dst_cols + first + lane] = bits;
}
