// launch: tile 32x8, pixels 4x1
// instances: fixed_rows<unsigned char>; fixed_cols<unsigned char>; rows_of<T, A>; cols_of<A, T>
#include "columns.cuh"
#include "numbers.cuh"

// Weighted sums of some rows into a scratch image, then of some columns: tables name the samples of each output row and
// column and their weights. uint8 by weights in 16384ths, with 8 more bits between the two.

template <typename T, typename A>
__global__ void rows_of(const T* src, long long rows, long long cols, A* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom, const long long* index, long long indices, long long taps,
                        const double* weights, long long weighted, long long weights_each) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const long long* const from = index + row * taps;
    const double* const weight = weights + row * taps;
    A total = A(weight[0]) * A(src[from[0] * cols + x]);
    for (long long tap = 1; tap < taps; ++tap) total = total + A(weight[tap]) * A(src[from[tap] * cols + x]);
    dst[row * cols + x] = total;
  });
}

template <typename A, typename T>
__global__ void cols_of(const A* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom, long long step, const long long* index, long long indices,
                        long long taps, const double* weights, long long weighted, long long weights_each) {
  each_column(dst_cols, top, bottom, [=](long long row, long long x) {
    const long long pixel = x / step, channel = x - pixel * step;
    const long long* const from = index + pixel * taps;
    const double* const weight = weights + pixel * taps;
    const A* const line = src + row * cols + channel;
    A total = A(weight[0]) * line[from[0] * step];
    for (long long tap = 1; tap < taps; ++tap) total = total + A(weight[tap]) * line[from[tap] * step];
    dst[row * dst_cols + x] = rounded<T>(total);
  });
}

template <typename T>
__global__ void fixed_rows(const T* src, long long rows, long long cols, int* dst, long long dst_rows, long long dst_cols,
                           long long top, long long bottom, const long long* index, long long indices, long long taps,
                           const int* weights, long long weighted, long long weights_each) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    int total = 32;
    for (long long tap = 0; tap < taps; ++tap)
      total += weights[row * taps + tap] * int(src[index[row * taps + tap] * cols + x]);
    dst[row * cols + x] = total >> 6;
  });
}

template <typename T>
__global__ void fixed_cols(const int* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                           long long top, long long bottom, long long step, const long long* index, long long indices,
                           long long taps, const int* weights, long long weighted, long long weights_each) {
  each_column(dst_cols, top, bottom, [=](long long row, long long x) {
    const long long pixel = x / step, channel = x - pixel * step;
    const int* const line = src + row * cols + channel;
    int total = 1 << 21;
    for (long long tap = 0; tap < taps; ++tap)
      total += weights[pixel * taps + tap] * line[index[pixel * taps + tap] * step];
    dst[row * dst_cols + x] = saturated<T>(total >> 22);
  });
}
