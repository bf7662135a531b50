// launch: tile 32x8, pixels 4x1
// instances: clear_labels<unsigned char, unsigned char>; clear_labels<unsigned short, unsigned short>
// instances: clear_labels<unsigned int, unsigned int>
#include "columns.cuh"

// Sets pixels whose labels are marked in `bits` to `value`; see border_labels.
template <typename T, typename U>
__global__ void clear_labels(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                             long long top, long long bottom, const int* labels, long long label_rows,
                             long long label_cols, const unsigned int* bits, long long bit_rows, long long words,
                             long long step, long long value) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const long long at = row * cols + x, place = labels[at] * step + x % step;
    dst[at] = bits[place / 32] >> place % 32 & 1 ? U(value) : src[at];
  });
}
