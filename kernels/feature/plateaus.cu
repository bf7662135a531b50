// launch: tile 32x8, pixels 4x1
// instances: plateaus<I, unsigned char, long long>; plateaus<F, unsigned char, double>
#include "columns.cuh"

// Calls stop(place) for the neighbours of a pixel until one returns true; returns whether one does.
template <typename Stop>
__device__ __forceinline__ bool any_neighbour(long long rows, long long cols, long long row, long long x, long long step,
                                              bool corners, Stop stop) {
#pragma unroll 1
  for (int down = -1; down <= 1; ++down) {
#pragma unroll 1
    for (int along = -1; along <= 1; ++along) {
      if ((down == 0 && along == 0) || (!corners && down != 0 && along != 0)) continue;
      const long long y = row + down, col = x + along * step;
      if (y >= 0 && y < rows && col >= 0 && col < cols && stop(y, col)) return true;
    }
  }
  return false;
}

// Candidates for local maxima are above `lowest`, and no neighbour exceeds them: 2, or 1 beside an equal pixel that is
// none and, with `inner`, at the image's edge.
template <typename T, typename U, typename V>
__global__ void __launch_bounds__(256) plateaus(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                                                long long dst_cols, long long top, long long bottom, long long step,
                                                long long mode, double cval, V lowest, long long reach,
                                                long long inner) {
  const T least = T(lowest);
  const bool corners = reach != 0;
  const auto is_candidate = [=](long long row, long long x) {
    const T value = src[row * cols + x];
    return value > least && !any_neighbour(rows, cols, row, x, step, corners, [=](long long y, long long col) {
      return src[y * cols + col] > value;
    });
  };
  each_column(cols, top, bottom, [=](long long row, long long x) {
    U level = 0;
    if (is_candidate(row, x)) {
      const T value = src[row * cols + x];
      const bool edge = row == 0 || row == rows - 1 || x < step || x >= cols - step;
      const bool linked = (edge && inner != 0) || any_neighbour(rows, cols, row, x, step, corners, [=](long long y, long long col) {
        return src[y * cols + col] == value && !is_candidate(y, col);
      });
      level = linked ? U(1) : U(2);
    }
    dst[row * cols + x] = level;
  });
}
