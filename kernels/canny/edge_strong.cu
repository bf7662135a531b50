// launch: flat, bytes 32
// instances: edge_strong<unsigned char, unsigned char>
#include "vectors.cuh"

// Keeps strong pixels and clears weak ones. Image and result may be the same.
template <typename T, typename U>
__global__ void edge_strong(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                            long long top, long long bottom) {
  map_elements(src + top * cols, dst + top * cols, (bottom - top) * cols, [](T v) { return U(v & 1); });
}
