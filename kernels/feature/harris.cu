// launch: tile 128x2, pixels 1x8
// instances: products<T, A>; respond<F, F>
// instances: near_response<unsigned char, 4>; near_response<unsigned short, 4>; near_response<short, 4>
// instances: near_response<float, 4>; near_response<unsigned char, 8>; near_response<unsigned short, 8>
// instances: near_response<short, 8>; near_response<float, 8>
#include "borders.cuh"
#include "held.cuh"
#include "neighbours.cuh"

// Harris corner response in three steps: products of Sobel derivatives, Gaussian smoothing (see gaussian.cu), and the
// determinant minus k times the squared trace.

template <typename A>
__device__ __forceinline__ A response(A first, A both, A second, A k) {
  const A trace = first + second;
  return (first * second - both * both) - weighed(trace * trace, k);
}

template <typename T, typename U>
__global__ void __launch_bounds__(256, 2)
    products(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols, long long top,
             long long bottom, U* mixed, long long mixed_rows, long long mixed_cols, U* across, long long across_rows,
             long long across_cols, long long step, long long mode, double cval) {
  typedef typename Sums<T, U>::Type N;
  each_window<N, 8>(src, rows, cols, top, bottom, step, mode, cval, [=](long long at, const N(&window)[3][3]) {
    const Slope<T, U> slope(window, N(2), N(1));
    dst[at] = slope.down * slope.down;
    mixed[at] = slope.down * slope.along;
    across[at] = slope.along * slope.along;
  });
}

template <typename A, typename U>
__global__ void respond(const A* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom, const A* mixed, long long mixed_rows, long long mixed_cols,
                        const A* across, long long across_rows, long long across_cols, double k) {
  const Strip<8> strip(top, bottom);
  if (strip.x >= cols) return;
  for (int i = 0; i < strip.count; ++i) {
    const long long at = (strip.row + i) * cols + strip.x;
    const A first = src[at], second = across[at], both = mixed[at];
    dst[at] = response(first, both, second, A(k));
  }
}

// A column's index and those of its two neighbours, folded into the image. In mode "constant" there is no product
// beyond the edge (`none`), and columns with the constant value are negative.
struct Adjacent {
  bool none;
  long long columns[3];

  __device__ __forceinline__ Adjacent(long long x, long long cols, long long step, long long mode) {
    const long long place = fold_element(x, cols, step, mode);
    none = place < 0;
    columns[1] = max(place, 0ll);
    columns[0] = fold_element(columns[1] - step, cols, step, mode);
    columns[2] = fold_element(columns[1] + step, cols, step, mode);
  }
  __device__ __forceinline__ long long present(int number) const { return max(columns[number], 0ll); }
};

// All three steps in one launch, for radii up to REACH, for which windows fit into registers: each thread computes the
// derivatives of a column and the vertical weighted sums of their products, then each warp the horizontal sums of a row
// and the responses. Beyond the image's edge the products are folded, not the values: their derivatives would differ.
template <typename T, int REACH>
__global__ void __launch_bounds__(256, 2)
    near_response(const T* src, long long rows, long long cols, float* dst, long long dst_rows, long long dst_cols,
                  long long top, long long bottom, long long step, long long mode, double cval, long long r0,
                  long long r1, const double* w0, long long taps0, const double* w1, long long taps1, double tolerance0,
                  double tolerance1, long long pixels, long long half, double k) {
  typedef typename Sums<T, float>::Type N;
  constexpr int HELD = NEAR_ROWS + 2 * REACH;
  DYNAMIC_SHARED(float, sums);
  __shared__ __align__(16) float down_weights[REACH + 4], along_weights[REACH + 4];
  __shared__ long long begins[HELD][3];
  const Floating<float> down(w0, 0.0, tolerance0), along(w1, 0.0, tolerance1);
  const HeldTile<REACH, NEAR_ROWS> tile(step, pixels, half, top);
  if (tile.thread <= int(r0)) down_weights[tile.thread] = down.weight(__ldg(w0 + tile.thread));
  if (tile.thread <= int(r1)) along_weights[tile.thread] = along.weight(__ldg(w1 + tile.thread));
  const long long highest = top - r0, lowest = bottom - 1 + r0;  // first and last rows of any window
  float fall[HELD], run[HELD];  // vertical and horizontal derivatives
  N window[3][3];
  const N outside = N(T(cval));
  if (tile.above >= max(highest, 1ll) && tile.above + HELD <= min(lowest + 1, rows - 1)) {
    const auto move_down = [&](auto load, bool none) {
#pragma unroll
      for (int i = -2; i < HELD; ++i) {
#pragma unroll
        for (int j = 0; j < 3; ++j) {
          window[0][j] = window[1][j];
          window[1][j] = window[2][j];
        }
        load(window[2]);
        if (i < 0) continue;
        const Slope<T, float> slope(window, N(2), N(1));
        fall[i] = none ? 0.0f : slope.down;
        run[i] = none ? 0.0f : slope.along;
      }
    };
    const T* const line = src + (tile.above - 1) * cols;
    if (tile.channels == 1 && tile.left >= 1 && tile.left + NEAR_COLUMNS + 1 <= cols) {
      const T* from = line + tile.x - 1;
      const auto load = [&](N(&values)[3]) {
#pragma unroll
        for (int j = 0; j < 3; ++j) values[j] = N(__ldg(from + j));
        from += cols;
      };
      move_down(load, false);
    } else {
      const Adjacent sides(tile.x, cols, step, mode);
      const T *before = line + sides.present(0), *at = line + sides.present(1), *after = line + sides.present(2);
      const auto load = [&](N(&values)[3]) {
        values[0] = sides.columns[0] < 0 ? outside : N(__ldg(before));
        values[1] = N(__ldg(at));
        values[2] = sides.columns[2] < 0 ? outside : N(__ldg(after));
        before += cols;
        at += cols;
        after += cols;
      };
      move_down(load, sides.none);
    }
  } else {
    if (tile.thread < HELD) {
      const long long wanted = min(max(tile.above + tile.thread, highest), lowest), inside = fold(wanted, rows, mode);
#pragma unroll
      for (int i = 0; i < 3; ++i)
        begins[tile.thread][i] = begin_of(inside < 0 ? wanted : inside + i - 1, rows, cols, mode);
    }
    __syncthreads();
    // A loop through shared memory, which holds half of the rows: unrolled code would be long, and few blocks need it.
    const Adjacent sides(tile.x, cols, step, mode);
    float* const own = sums + tile.thread;
#pragma unroll
    for (int part = 0; part < 2; ++part) {
#pragma unroll 1
      for (int i = 0; i < HELD / 2; ++i) {
#pragma unroll
        for (int j = 0; j < 3; ++j) {
          const long long begin = begins[part * HELD / 2 + i][j];
          const T* const from = src + present(begin);
#pragma unroll
          for (int c = 0; c < 3; ++c) {
            const T value = __ldg(from + sides.present(c));
            window[j][c] = begin < 0 || sides.columns[c] < 0 ? outside : N(value);
          }
        }
        const Slope<T, float> slope(window, N(2), N(1));
        const bool none = begins[part * HELD / 2 + i][1] < 0 || sides.none;
        own[2 * i * NEAR_COLUMNS] = none ? 0.0f : slope.down;
        own[(2 * i + 1) * NEAR_COLUMNS] = none ? 0.0f : slope.along;
      }
#pragma unroll
      for (int i = 0; i < HELD / 2; ++i) {
        fall[part * HELD / 2 + i] = own[2 * i * NEAR_COLUMNS];
        run[part * HELD / 2 + i] = own[(2 * i + 1) * NEAR_COLUMNS];
      }
    }
  }
  __syncthreads();
  const int pixel = tile.channels == 1 ? tile.thread : tile.thread / tile.channels;
  const int apart = NEAR_ROWS * tile.planes.pitch;
  float* const to = sums + tile.planes.at(tile.thread - pixel * tile.channels, pixel);
  const auto sum_products = [&](const float(&a)[HELD], const float(&b)[HELD], float* column) {
    float values[HELD], totals[NEAR_ROWS];
#pragma unroll
    for (int i = 0; i < HELD; ++i) values[i] = a[i] * b[i];
    weigh_held<REACH>(down, down_weights, int(r0), values, totals);
#pragma unroll
    for (int j = 0; j < NEAR_ROWS; ++j) column[j * tile.planes.pitch] = totals[j];
  };
  sum_products(fall, fall, to);
  sum_products(fall, run, to + apart);
  sum_products(run, run, to + 2 * apart);
  __syncthreads();
  const int lane = tile.thread % 32, warp = tile.thread / 32, groups = int(pixels) / OUTPUTS;
  const int channel = tile.channels == 1 ? 0 : lane / groups, group = lane - channel * groups;
  const int height = int(min(bottom - tile.row, (long long)NEAR_ROWS));
  const int filled = int(min((long long)tile.width, cols - tile.first));
  const bool aligned = ((address_of(dst) | (unsigned long long)cols * sizeof(float)) & 15) == 0;
  const bool wanted = lane < groups * tile.channels;
  // With several channels, groups of results begin an odd number of 16 bytes apart, to avoid bank conflicts.
  const int length = OUTPUTS * tile.channels, gap = tile.channels > 1 ? 4 : 0;
  float* line = sums + warp * tile.planes.pitch;
  float* target = dst + (tile.row + warp) * cols + tile.first;
#pragma unroll 1
  for (int r = height - warp; r > 0; r -= NEAR_COLUMNS / 32) {
    float means[3][OUTPUTS];
    if (wanted) {
#pragma unroll
      for (int i = 0; i < 3; ++i)
        weigh_row_held<REACH>(along, along_weights, int(r1), line + i * apart + tile.planes.group(channel, group),
                              tile.planes.half, means[i]);
#pragma unroll
      for (int j = 0; j < OUTPUTS; ++j) means[0][j] = response(means[0][j], means[1][j], means[2][j], float(k));
    }
    __syncwarp();  // results of a row overwrite its sums
    if (wanted) keep(along, means[0], line + group * (length + gap) + channel, tile.channels);
    __syncwarp();
    store_row(line, gap, length, target, filled, aligned);
    line += NEAR_COLUMNS / 32 * tile.planes.pitch;
    target += NEAR_COLUMNS / 32 * cols;
  }
}
