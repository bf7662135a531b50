// launch: slabs, threads 256
// instances: thinning<unsigned long long, unsigned long long>

constexpr int ROUNDS = 8, HALO = 2 * ROUNDS;  // rows around a tile; one word in columns
constexpr int MOST = (64 + 2 * HALO) * (16 + 4);  // words that a tile of 64 rows and 16 words needs

typedef unsigned long long Bits;

// Half a word of pixels minus those that the table removes. Bit 0 of the other words is the pixel before the first.
__device__ __forceinline__ unsigned int matched(unsigned int wanted, Bits above, Bits line, Bits below,
                                                const unsigned char* table, int turn) {
  unsigned int gone = 0;
  while (wanted) {
    const int at = __ffs(int(wanted)) - 1;
    const unsigned int upper = above >> at & 7, sides = line >> at & 7, lower = below >> at & 7;
    const unsigned int code = upper | (sides & 1) << 3 | (sides & 4) << 2 | lower << 5;
    gone |= (unsigned int)(table[code] >> turn & 1) << at;
    wanted &= wanted - 1;
  }
  return gone;
}

// Bits from the one before a word on, and from the one before its upper half on.
__device__ __forceinline__ Bits shifted(const Bits* p) { return p[0] << 1 | p[-1] >> 63; }
__device__ __forceinline__ Bits crossing(const Bits* p) { return p[0] >> 31 | p[1] << 33; }

__device__ __forceinline__ Bits removed(const Bits* p, int pitch, const unsigned char* table, int turn) {
  const Bits *above = p - pitch, *below = p + pitch;
  const Bits wanted = *p & ~(*above & *below & shifted(p) & (*p >> 1 | p[1] << 63));
  if (wanted == 0) return 0;
  const unsigned int low = matched(unsigned(wanted), shifted(above), shifted(p), shifted(below), table, turn);
  const unsigned int high = matched(unsigned(wanted >> 32), crossing(above), crossing(p), crossing(below), table, turn);
  return Bits(high) << 32 | low;
}

// Several rounds of thinning in tiles, one block per tile; see thinning.py.
template <typename T, typename U>
__global__ void __launch_bounds__(256, 2)
    thinning(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols, long long top,
             long long bottom, const long long* before, long long before_rows, long long before_cols, long long first,
             long long most, const unsigned char* table, long long entries, long long height, long long width,
             long long* changed, long long changed_rows, long long changed_cols) {
  __shared__ Bits held[2][MOST];
  __shared__ unsigned char entry[256];
  __shared__ int found[3];
  const int thread = threadIdx.x, threads = blockDim.x;
  const long long tile = top + blockIdx.y, across = (cols + width - 1) / width;
  const long long row = tile / across * height, column = tile % across, word = column * width;
  const int tall = int(rows - row < height ? rows - row : height), wide = int(cols - word < width ? cols - word : width);

  long long done = 0;  // rounds so far, if the last ones have changed the tile or one around it
  for (int dy = -1; dy <= 1; ++dy) {
    for (int dx = -1; dx <= 1; ++dx) {
      const long long near = tile + dy * across + dx;
      const bool exists = near >= 0 && near < changed_rows && column + dx >= 0 && column + dx < across;
      if (first == 0 && exists && before[near * before_cols] != 0) done = before[near * before_cols];
    }
  }
  if (first == 0 && done == 0) {
    for (int i = thread; i < tall * wide; i += threads) {
      const long long at = (row + i / wide) * cols + word + i % wide;
      dst[at] = src[at];
    }
    if (thread == 0) changed[tile] = 0;
    return;
  }

  // A column of zeros on either side stands for the outside.
  const int pitch = int(width) + 4, lines = int(height) + 2 * HALO;
  for (int i = thread; i < lines * pitch; i += threads) {
    const long long y = row - HALO + i / pitch, x = word - 2 + i % pitch;
    const bool inside = y >= 0 && y < rows && x >= 0 && x < cols && i % pitch > 0 && i % pitch < pitch - 1;
    held[0][i] = held[1][i] = inside ? src[y * cols + x] : 0;
  }
  for (int i = thread; i < 256; i += threads) entry[i] = table[i];
  if (thread < 3) found[thread] = 0;
  __syncthreads();

  // The invalid margin grows by a row in each sub-iteration.
  const int rounds = int(most - done < ROUNDS ? most - done : ROUNDS);
  int turn = 0;
  for (int idle = 0; turn < 2 * rounds && idle < 2; ++turn) {
    const Bits* const from = held[turn % 2];
    Bits* const to = held[1 - turn % 2];
    if (thread == 0) found[(turn + 1) % 3] = 0;
    bool any = false;
    const int words = pitch - 2;
    for (int i = thread; i < (lines - 2 - 2 * turn) * words; i += threads) {
      const int at = (turn + 1 + i / words) * pitch + 1 + i % words;
      const Bits gone = removed(from + at, pitch, entry, turn % 2);
      to[at] = from[at] & ~gone;
      any = any || gone != 0;
    }
    if (any) atomicOr(&found[turn % 3], 1);
    __syncthreads();
    idle = found[turn % 3] ? 0 : idle + 1;
  }

  bool any = false;
  const Bits* const made = held[turn % 2];
  for (int i = thread; i < tall * wide; i += threads) {
    const long long at = (row + i / wide) * cols + word + i % wide;
    const Bits bits = made[(HALO + i / wide) * pitch + 2 + i % wide];
    any = any || bits != src[at];
    dst[at] = bits;
  }
  if (any) atomicOr(&found[turn % 3], 1);  // reset in the previous turn
  __syncthreads();
  if (thread == 0) changed[tile] = found[turn % 3] ? done + rounds : 0;
}
