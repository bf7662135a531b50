// launch: tile 32x8, pixels 4x1
// instances: edge_seams<unsigned int>
#include "linking.cuh"

// Link across the seams within groups of slabs, a warp to each group of each channel. From a seam on rows are gone over
// as far as anything changes; those beyond are as they were and need nothing.
template <typename W>
__global__ void edge_seams(const W* weak, long long lines, long long words, W* strong, long long strong_lines,
                           long long strong_words, long long rows, long long top, long long height, long long span,
                           long long group, long long reach) {
  const int lane = threadIdx.x;
  const long long size = group * height, first = (top + blockIdx.x) * size;
  const long long last = first + size < rows ? first + size : rows;
  for (long long channel = blockIdx.y; channel < lines / rows; channel += gridDim.y) {
    const W* const all = weak + channel * rows * words;
    W* const found = strong + channel * rows * words;
    const auto pull = [=](long long beside, long long row) {
      return spread(found + beside * words, all + row * words, found + row * words, words, lane, reach == 1, false);
    };
    for (long long seam = first + span * height; seam < last; seam += span * height) {
      long long low = seam - 1, high = seam + 1;  // the rows that may have changed
      for (bool changed = true; changed;) {
        changed = false;
        for (long long row = low + 1; row < last; ++row) {
          const bool here = pull(row - 1, row);
          changed |= here;
          if (row < high) continue;
          if (!here) break;
          high = row + 1;
        }
        for (long long row = high - 2; row >= first; --row) {
          const bool here = pull(row + 1, row);
          changed |= here;
          if (row >= low) continue;
          if (!here) break;
          low = row;
        }
      }
    }
  }
}
