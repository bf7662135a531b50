// launch: tile 32x8, pixels 4x1
// instances: boundaries<unsigned char, unsigned char>; boundaries<unsigned short, unsigned char>; boundaries<short, unsigned char>; boundaries<int, unsigned char>
#include "columns.cuh"

constexpr int INNER = 1, OUTER = 2;  // as in boundaries.py

// Labels are replicated beyond the edges, whatever the mode.
template <typename T, typename U>
__global__ void boundaries(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                           long long top, long long bottom, long long step, long long reach, long long kind,
                           long long background, long long most, long long mode, double cval) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const T label = src[row * cols + x];
    bool edge = false;
    T maximum = label, minimum = T(most);
    for (int down = -1; down <= 1; ++down) {
      const long long r = row + down < 0 ? 0 : row + down < rows ? row + down : rows - 1;
      for (int right = -1; right <= 1; ++right) {
        const long long at = x + right * step, c = at < 0 || at >= cols ? x : at;
        const T other = src[r * cols + c];
        if ((reach || down == 0 || right == 0) && other != label) edge = true;
        if (other > maximum) maximum = other;
        if (other != background && other < minimum) minimum = other;
      }
    }
    if (kind == INNER) edge = edge && label != background;
    if (kind == OUTER) edge = edge && (label == background || maximum != minimum);
    dst[row * cols + x] = U(edge);
  });
}
