// launch: tile 32x8, pixels 4x1
// instances: edge_maxima<F, unsigned char>
#include "columns.cuh"
#include "numbers.cuh"
#include "suppression.cuh"

// Sobel's differences of a smoothed image, which goes on beyond its edge as in mode "reflect".
template <typename A>
struct Slope {
  A rise, run;
  __device__ Slope(const A* src, long long rows, long long cols, long long row, long long x, long long step) {
    const A* const middle = src + row * cols;
    const A* const above = row > 0 ? middle - cols : middle;
    const A* const below = row + 1 < rows ? middle + cols : middle;
    const long long left = x >= step ? x - step : x, right = x + step < cols ? x + step : x;
    const auto sum = [](A before, A at, A after) { return (before + after) + (at + at); };
    rise = sum(below[left], below[x], below[right]) - sum(above[left], above[x], above[right]);
    run = sum(above[right], middle[right], below[right]) - sum(above[left], middle[left], below[left]);
  }
  __device__ A magnitude() const { return root(run * run + rise * rise); }
};

// Gradient and non-maximum suppression of the smoothed image. Magnitudes of neighbours are computed again where they are
// needed: they come from the same cache lines, and images of them would have to be written and read.
template <typename A, typename U>
__global__ void edge_maxima(const A* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                            long long top, long long bottom, long long step, double low, double high) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    U level = 0;
    if (!outermost(rows, cols, row, x, step)) {
      const Slope<A> here(src, rows, cols, row, x, step);
      const auto magnitude = [=](int down, int along) {
        return Slope<A>(src, rows, cols, row + down, x + along * step, step).magnitude();
      };
      level = maximum_level(here.magnitude(), here.rise, here.run, A(low), A(high), magnitude);
    }
    dst[row * cols + x] = level;
  });
}
