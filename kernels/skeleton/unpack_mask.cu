// launch: tile 32x8, pixels 4x1
// instances: unpack_mask<unsigned long long, unsigned char>
#include "columns.cuh"

// Unpacks bits to a mask.
template <typename T, typename U>
__global__ void unpack_mask(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                            long long top, long long bottom, long long step) {
  const long long each = cols / step;
  each_column(dst_cols, top, bottom, [=](long long row, long long x) {
    const long long pixel = x / step, channel = x - pixel * step;
    dst[row * dst_cols + x] = src[row * cols + channel * each + pixel / 64] >> (pixel % 64) & 1;
  });
}
