// launch: tile 32x8, pixels 4x1
// instances: border_labels<int, unsigned int>
#include "columns.cuh"

// Marks labels within `buffer` pixels of the image's outermost ones, in bits that are 0 at first.
template <typename T, typename U>
__global__ void border_labels(const T* src, long long rows, long long cols, U* bits, long long bit_rows, long long words,
                              long long top, long long bottom, long long step, long long buffer) {
  const long long margin = (buffer + 1) * step;
  each_column(cols, top, bottom, [=](long long row, long long x) {
    if (row > buffer && row < rows - 1 - buffer && x >= margin && x < cols - margin) return;
    const long long place = src[row * cols + x] * step + x % step;
    atomicOr(bits + place / 32, 1u << place % 32);
  });
}
