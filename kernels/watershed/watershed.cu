// launch: tile 32x8, pixels 4x1
// instances: watershed<T>
#include "columns.cuh"
#include "water.cuh"

// Initialises levels, lengths and labels: those of the markers, and the maximum elsewhere, until `watershed_levels`,
// `watershed_lengths` and `watershed_labels` lower them.
template <typename T>
__global__ void watershed(const T* src, long long rows, long long cols, int* labels, long long dst_rows,
                          long long dst_cols, long long top, long long bottom, const int* markers,
                          long long marker_rows, long long marker_cols, long long step, long long connectivity,
                          T* levels, long long level_rows, long long level_cols, int* lengths, long long length_rows,
                          long long length_cols, long long* waiting, long long channels, long long width) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const long long place = row * cols + x;
    const T value = src[place];
    const int marker = markers[place];
    const bool begins = marker != 0 && marker != OUTSIDE && !is_nan(value);
    levels[place] = begins ? value : highest<T>();
    lengths[place] = begins ? 0 : NEVER;
    labels[place] = begins ? marker : NEVER;
    if (row == 0 && x < step) waiting[x] = 1;
  });
}
