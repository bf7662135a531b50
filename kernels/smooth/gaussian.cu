// launch: tile 32x8, pixels 4x1
// instances: fixed<unsigned char>; fixed<unsigned short>; smooth<T, A>
// instances: near<float, 4>; near<float, 6>; near<float, 8>; near<float, 12>
// instances: near<short, 4>; near<short, 6>; near<short, 8>; near<short, 12>
// instances: near<unsigned short, 4>; near<unsigned short, 6>; near<unsigned short, 8>; near<unsigned short, 12>
// instances: fixed_down<unsigned char>; fixed_along<unsigned char>; fixed_along<unsigned short>
// instances: fixed_along_far<unsigned char>; fixed_along_far<unsigned short>; down<T, A>; along<A, T>; along_far<A, T>
#include "borders.cuh"
#include "columns.cuh"
#include "held.cuh"
#include "numbers.cuh"
#include "strips.cuh"
#include "tiles.cuh"

// Separable symmetric kernel, down the columns, then along the rows. `weights` are one half of it, from the centre
// outwards. For short kernels a block computes both passes of its tile in shared memory; for longer ones `down` fills a
// scratch image, from which `along` fills the result. In fixed point (uint8, short kernels) values are in 256ths,
// weights in 65536ths; each product is truncated, and `offset` compensates the average loss. A result of unsigned short
// stays in 256ths.

// Blocks per multiprocessor, which limit the registers.
template <typename T, typename A>
constexpr int BLOCKS = sizeof(A) == 8 ? 2 : sizeof(T) == 2 ? 3 : 4;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000  // code for these needs more registers
static constexpr int LONG = 2, LONG_WIDE = 2;
#else
static constexpr int LONG = 4, LONG_WIDE = 3;
#endif
// The same for kernels that keep sums while they load values: `down` and `fixed_along`, and `along`.
template <typename A>
constexpr int DOWN_BLOCKS = sizeof(A) < 8 ? LONG : 2;
template <typename A>
constexpr int ALONG_BLOCKS = sizeof(A) < 8 ? LONG_WIDE : 2;

// The same for kernels that hold windows of floats in registers, and the rows of their tiles.
template <typename T, int REACH>
constexpr int NEAR_BLOCKS = REACH >= 12 ? 2 : LONG_WIDE;
template <int REACH>
constexpr int SUMMED_ROWS = REACH >= 8 ? NEAR_ROWS : NEAR_ROWS + NEAR_ROWS / 2;

static constexpr int THREADS = 256;
static constexpr int HEIGHT = 32;    // of a tile whose rows a warp's lanes have
static constexpr int PITCH_BYTES = 544;  // of most tiles, and one value more for their sums
static constexpr int COLUMNS = 32;   // of a tile of `down`, and
static constexpr int ROWS = THREADS / COLUMNS * OUTPUTS;
static constexpr int DISTANCE_BYTES = 160;  // `down` has the values of so many distances in shared memory at a time

// Sums of integers in floats that hold 2**23 + total, whose last bit counts one: rounding down truncates the product,
// at one instruction a value. SCALE is what the products are divided by.
template <int SCALE>
struct Fixed {
  typedef float Wide;
  typedef unsigned short Stored;
  const unsigned short* weights;
  float outside, start;

  __device__ Fixed(const unsigned short* weights, long long offset, float outside)
      : weights(weights), outside(outside), start(8388608.f + float(int(offset))) {}
  __device__ float weight(unsigned short stored) const { return float(int(stored)) * (1.f / SCALE); }
  __device__ float first(float w, float v) const { return __fmaf_rd(v, w, start); }
  __device__ float pair(float total, float w, float before, float after) const {
    return __fmaf_rd(after, w, __fmaf_rd(before, w, total));
  }
  __device__ float value(float total) const {
    return __uint_as_float((__float_as_uint(total) & 65535u) | 0x4B000000u) - 8388608.f;
  }
  __device__ float kept(float total, float) const { return total; }
  template <typename T>
  __device__ T result(float total) const {
    const unsigned int sum = __float_as_uint(total) & 65535u;
    return sizeof(T) == 1 ? T((sum + 128u) >> 8) : T(sum);
  }
};
typedef Fixed<256> FixedDown;  // of bytes
typedef Fixed<65536> FixedAlong;

// Adds the contribution of `count` distances to the sums of neighbours, a stride apart; `before` and `after` are the
// values of the first neighbour at the first distance. At each distance, two values enter the windows of all others. A
// nonzero STRIDE is the stride, known at compile time.
template <int STRIDE, typename Sum, typename A>
__device__ __forceinline__ void weigh(const Sum& sum, const A* before, const A* after, int any_stride, const A* weights,
                                      int count, bool from_centre, A (&totals)[OUTPUTS]) {
  const int stride = STRIDE > 0 ? STRIDE : any_stride;
  A low[OUTPUTS], high[OUTPUTS];
#pragma unroll
  for (int j = 0; j < OUTPUTS; ++j) {
    low[j] = before[j * stride];
    high[j] = after[j * stride];
    totals[j] = from_centre ? sum.first(weights[0], low[j]) : sum.pair(totals[j], weights[0], low[j], high[j]);
  }
  after += (OUTPUTS - 1) * stride;
  // Step i of OUTPUTS: the windows are rings, which begin at constant places when the loop is unrolled.
  const auto step = [&](int i, A weight) {
    before -= stride;
    after += stride;
    low[OUTPUTS - 1 - i] = *before;
    high[i] = *after;
#pragma unroll
    for (int j = 0; j < OUTPUTS; ++j)
      totals[j] = sum.pair(totals[j], weight, low[(j + OUTPUTS - 1 - i) % OUTPUTS], high[(j + i + 1) % OUTPUTS]);
  };
  int k = 1;
#pragma unroll 1
  for (; k + OUTPUTS <= count; k += OUTPUTS) {
#pragma unroll
    for (int i = 0; i < OUTPUTS; ++i) step(i, weights[k + i]);
  }
#pragma unroll
  for (int i = 0; i < OUTPUTS - 1; ++i) {
    if (k + i >= count) break;
    step(i, weights[k + i]);
  }
}

// The same along a row.
template <typename Sum, typename A>
__device__ __forceinline__ void weigh_row(const Sum& sum, const A* before, const A* after, int step, const A* weights,
                                          int count, bool from_centre, A (&totals)[OUTPUTS]) {
  if (step == 1)
    weigh<1>(sum, before, after, step, weights, count, from_centre, totals);
  else
    weigh<0>(sum, before, after, step, weights, count, from_centre, totals);
}

// Weights on their way to shared memory: loaded before the image's values and stored after them, at no extra cost.
template <typename Sum, typename A>
struct Weights {
  typedef typename Sum::Stored Stored;
  const Sum& sum;
  const Stored* const from;
  const int thread, count;
  const Stored stored;

  __device__ __forceinline__ Weights(const Sum& sum, long long first, int count)
      : sum(sum), from(sum.weights + first), thread(threadIdx.y * blockDim.x + threadIdx.x), count(count),
        stored(__ldg(from + min(thread, count - 1))) {}
  __device__ __forceinline__ void store(A* shared) const {
    if (thread < count) shared[thread] = sum.weight(stored);
#pragma unroll 1
    for (int k = thread + THREADS; k < count; k += THREADS) shared[k] = sum.weight(__ldg(from + k));
  }
};

// The first element of a group of OUTPUTS pixels; groups of the channels of the same pixels are consecutive.
__device__ __forceinline__ int first_of(int group, int step) {
  if (step == 1) return group * OUTPUTS;
  const int pixel = quotient(group, step);
  return pixel * (OUTPUTS * step) + group - pixel * step;
}

// The pitch of a tile of results: each row begins 16 bytes, modulo all banks, behind the one before it.
template <typename U>
__device__ __forceinline__ int results_pitch(int width) {
  constexpr int ALL = 128 / sizeof(U), PART = 16 / sizeof(U);
  return (width + ALL - 1 - PART) / ALL * ALL + PART;
}

// What the launch has worked out, in elements: pitches, and where in shared memory the rows' weights (behind the
// columns'), the sums down the columns, and the image's values (later the results) are.
struct Layout {
  int width, halo, lead, pitch, sums_pitch, weights_at, sums_at, tile_at;
};

// The sums down `width` columns of a tile; a KNOWN pitch leaves no addresses to compute.
template <int KNOWN, typename Sum, typename A>
__device__ __forceinline__ void sum_columns(const Sum& sum, const A* columns, int any_pitch, const A* weights,
                                            int count, A* sums, int any_sums_pitch, int height, int width) {
  const int pitch = KNOWN > 0 ? KNOWN : any_pitch, sums_pitch = KNOWN > 0 ? KNOWN + 1 : any_sums_pitch;
  for (Strides at(width); at.row * OUTPUTS < height; at.advance()) {
    const A* const centre = columns + at.row * OUTPUTS * pitch + at.column;
    A* const to = sums + at.row * OUTPUTS * sums_pitch + at.column;
    A totals[OUTPUTS];
    weigh<KNOWN>(sum, centre, centre, pitch, weights, count, true, totals);
#pragma unroll
    for (int j = 0; j < OUTPUTS; ++j) to[j * sums_pitch] = sum.value(sum.kept(totals[j], centre[j * pitch]));
  }
}

// Both sums of a tile of `width` elements, whole groups of OUTPUTS pixels.
template <typename Down, typename Along, typename T, typename U>
__device__ __forceinline__ void smooth_tile(const Surrounded<T>& image, U* dst, long long top, long long bottom, int r0,
                                            int r1, const Down& down, const Along& along, const Layout& layout) {
  typedef typename Down::Wide A;
  DYNAMIC_SHARED(A, shared);
  const int thread = threadIdx.y * blockDim.x + threadIdx.x, step = int(image.step), halo = layout.halo;
  const int pitch = layout.pitch, sums_pitch = layout.sums_pitch;
  A* const sums = shared + layout.sums_at;
  A* const tile = shared + layout.tile_at;
  const long long row = top + (long long)blockIdx.y * HEIGHT, left = (long long)blockIdx.x * layout.width;
  const int height = int(bottom - row < HEIGHT ? bottom - row : HEIGHT);
  const int filled = int(image.cols - left < layout.width ? image.cols - left : layout.width);
  const Weights<Down, A> down_weights(down, 0, r0 + 1);
  const Weights<Along, A> along_weights(along, 0, r1 + 1);
  const Region region = {row - r0, left - halo - layout.lead, height + 2 * r0, layout.lead + filled + 2 * halo};
  load_wide_tile<true, 8>(image, region, tile, pitch);
  down_weights.store(shared);
  along_weights.store(shared + layout.weights_at);
  __syncthreads();
  constexpr int PITCH = PITCH_BYTES / sizeof(A);
  const A* const columns = tile + r0 * pitch + layout.lead;
  if (pitch == PITCH)
    sum_columns<PITCH>(down, columns, pitch, shared, r0 + 1, sums, sums_pitch, height, filled + 2 * halo);
  else
    sum_columns<0>(down, columns, pitch, shared, r0 + 1, sums, sums_pitch, height, filled + 2 * halo);
  __syncthreads();
  if (image.mode == MODE_CONSTANT && (left < halo || left + filled + halo > image.cols)) {
    for (Strides at(filled + 2 * halo); at.row < HEIGHT; at.advance()) {
      const long long x = left - halo + at.column;
      if (x < 0 || x >= image.cols) sums[at.row * sums_pitch + at.column] = along.outside;
    }
    __syncthreads();
  }
  U* const results = reinterpret_cast<U*>(tile);
  const int lane = thread % 32, to_next = results_pitch<U>(layout.width);
  for (int group = thread / 32; group * OUTPUTS < layout.width; group += THREADS / 32) {
    const int x = first_of(group, step);
    const A* const centre = sums + lane * sums_pitch + halo + x;
    A totals[OUTPUTS];
    weigh_row(along, centre, centre, step, shared + layout.weights_at, r1 + 1, true, totals);
#pragma unroll
    for (int j = 0; j < OUTPUTS; ++j) totals[j] = along.kept(totals[j], centre[j * step]);
    keep(along, totals, results + lane * to_next + x, step);
  }
  __syncthreads();
  store_tile(results, to_next, dst + row * image.cols + left, image.cols, height, filled);
}

template <typename T, typename A>
__global__ void __launch_bounds__(256, BLOCKS<T, A>)
    smooth(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols, long long top,
           long long bottom, long long step, long long mode, double cval, long long r0, long long r1, const double* w0,
           long long taps0, const double* w1, long long taps1, double tolerance0, double tolerance1, long long width,
           long long halo, long long lead, long long pitch, long long sums_pitch, long long weights_at,
           long long sums_at, long long tile_at) {
  const Surrounded<T> image = {src, rows, cols, step, mode, cval};
  const Layout layout = {int(width),      int(halo),       int(lead),    int(pitch),
                         int(sums_pitch), int(weights_at), int(sums_at), int(tile_at)};
  const Floating<A> down(w0, cval, tolerance0), along(w1, cval, tolerance1);
  smooth_tile(image, dst, top, bottom, int(r0), int(r1), down, along, layout);
}

// Fixed point in one launch. Values are in units of 2**-133 or 2**-149: the bits of a byte or of a sum, at most
// shifted, are a denormal float, as values below 2**24 in these units need no exponent. The weights compensate for
// that, and leave 2**23 + total times FIXED_UNIT in the accumulators.
static constexpr float FIXED_UNIT = 1.f / (1ll << 40);
static constexpr int SPAN = 4 * STRIP_WORDS;  // elements of a strip
static constexpr int LINES = 4;               // columns, then rows, that a thread processes at a time
static constexpr int LEAST_REACH = 2, FIXED_WEIGHTS = 80;
static constexpr int ONE_SPAN_HALF = 272;  // half of the only channel's size in shared memory

// Convert sums of neighbours to results; the rounding of bytes is already included.
template <typename U>
__device__ __forceinline__ typename Word<OUTPUTS * sizeof(U)>::type packed(const float (&totals)[OUTPUTS]) {
  unsigned words[OUTPUTS / 2];
#pragma unroll
  for (int i = 0; i < OUTPUTS / 2; ++i)
    words[i] = __byte_perm(__float_as_uint(totals[2 * i]), __float_as_uint(totals[2 * i + 1]),
                           sizeof(U) == 1 ? 0x4451 : 0x5410);
  if constexpr (sizeof(U) == 1)
    return {__byte_perm(words[0], words[1], 0x5410), __byte_perm(words[2], words[3], 0x5410)};
  else
    return {words[0], words[1], words[2], words[3]};
}

// Weights for distances -`reach` to `reach`, zero beyond the radius, after OUTPUTS others.
__device__ __forceinline__ void mirror_weights(const unsigned short* stored, int radius, int reach, float unit,
                                               float* weights) {
  if (int(threadIdx.x) >= FIXED_WEIGHTS) return;
  const int distance = abs(int(threadIdx.x) - OUTPUTS - reach);
  weights[threadIdx.x] = distance <= radius ? float(int(__ldg(stored + distance))) * unit : 0.f;
}

// Adds four values of each line to the sums whose windows contain them; each sum's window begins one value after the
// previous one. In the first window, the first value has the weight `weights`[OUTPUTS]; places whose distance from it
// is less than LOWEST or more than HIGHEST are in no window.
template <int LOWEST, int HIGHEST, typename Load>
__device__ __forceinline__ void add_four(const float* weights, Load load, float (&totals)[LINES][OUTPUTS]) {
  float values[LINES][4], near[OUTPUTS + 4];
  load(values);
#pragma unroll
  for (int i = 0; i < OUTPUTS + 4; i += 4)
    *reinterpret_cast<float4*>(near + i) = *reinterpret_cast<const float4*>(weights + i);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < OUTPUTS; ++j) {
      if (i - j < LOWEST || i - j > HIGHEST) continue;
#pragma unroll
      for (int line = 0; line < LINES; ++line)
        totals[line][j] = __fmaf_rd(values[line][i], near[i - j + OUTPUTS], totals[line][j]);
    }
  }
}

// The sums of OUTPUTS neighbours of each line; load(four, values) loads the values from 4 * `four` on, the first of
// which is at the distance -`reach`, an even number, from the first neighbour.
template <typename Load>
__device__ __forceinline__ void weigh_lines(const float* weights, int reach, float start, Load load,
                                            float (&totals)[LINES][OUTPUTS]) {
#pragma unroll
  for (int line = 0; line < LINES; ++line) {
#pragma unroll
    for (int j = 0; j < OUTPUTS; ++j) totals[line][j] = start;
  }
  const auto four = [&](int index) { return [=](float (&values)[LINES][4]) { load(index, values); }; };
  if (reach == LEAST_REACH) {
    add_four<0, 4>(weights, four(0), totals);
    add_four<-4, 0>(weights + 4, four(1), totals);
    add_four<-OUTPUTS, -4>(weights + 8, four(2), totals);
    return;
  }
  const int last = (reach >> 1) + 1;
  add_four<0, 4>(weights, four(0), totals);
  add_four<-4, 4>(weights + 4, four(1), totals);
#pragma unroll 1
  for (int index = 2; index < last - 1; ++index) add_four<-OUTPUTS, 4>(weights + 4 * index, four(index), totals);
  add_four<-OUTPUTS, 0>(weights + 4 * (last - 1), four(last - 1), totals);
  add_four<-OUTPUTS, -4>(weights + 4 * last, four(last), totals);
}

// A thread sums four columns down OUTPUTS rows, then OUTPUTS pixels of four rows along them.
template <typename U>
__global__ void __launch_bounds__(128, 6)
    fixed(const unsigned char* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
          long long top, long long bottom, long long step, long long mode, double cval, long long r0, long long r1,
          const unsigned short* q0, long long taps0, const unsigned short* q1, long long taps1, long long o0,
          long long o1, long long reach0, long long reach1, long long halo, long long pixels, long long half) {
  DYNAMIC_SHARED(unsigned, words);
  __shared__ __align__(16) float down_weights[FIXED_WEIGHTS], along_weights[FIXED_WEIGHTS];
  float* const sums = reinterpret_cast<float*>(words);
  const int channels = int(step), thread = threadIdx.x, down = int(reach0), along = int(reach1);
  const int width = int(pixels) * channels, lead = along & 3;
  const long long row = top + (long long)blockIdx.y * OUTPUTS, first = (long long)blockIdx.x * width;
  const long long left = first - halo * step;
  mirror_weights(q0, int(r0), down, FIXED_UNIT * float(1ll << 62) * float(1ll << 62) * 2, down_weights);
  mirror_weights(q1, int(r1), along, FIXED_UNIT * float(1ll << 62) * float(1ll << 62) * 512, along_weights);
  const int radius = int(r0), height = int(min(bottom - row, (long long)OUTPUTS));
  float totals[LINES][OUTPUTS];
  const float start = float((1 << 23) + int(o0)) * FIXED_UNIT;
  const auto spread = [](unsigned word, float(&values)[LINES][4], int i) {
#pragma unroll
    for (int line = 0; line < LINES; ++line)
      values[line][i] = __uint_as_float(__byte_perm(word, 0u, 0x4044 + (line << 8)));
  };
  if (left >= 0 && left + SPAN <= cols && ((address_of(src) + left | cols) & 3) == 0 &&
      row - down >= max(top - radius, 0ll) && row + OUTPUTS + down <= min(bottom + radius, rows)) {
    __syncthreads();
    const unsigned char* from = src + (row - down) * cols + left + 4 * thread;
    weigh_lines(
        down_weights, down, start,
        [&](int, float (&values)[LINES][4]) {
          unsigned held[4];
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            held[i] = __ldg(reinterpret_cast<const unsigned*>(from));
            from += cols;
          }
#pragma unroll
          for (int i = 0; i < 4; ++i) spread(held[i], values, i);
        },
        totals);
  } else {
    // Rows in no window are not loaded, as they may not exist: any bits are a number, and their weight is zero.
    load_strip<unsigned char>(src, rows, cols, step, mode, cval, row - radius, left, height + 2 * radius, 0u,
                              words + (down - radius) * STRIP_WORDS);
    __syncthreads();
    weigh_lines(
        down_weights, down, start,
        [&](int four, float (&values)[LINES][4]) {
#pragma unroll
          for (int i = 0; i < 4; ++i) spread(words[(4 * four + i) * STRIP_WORDS + thread], values, i);
        },
        totals);
    __syncthreads();
  }
  const auto sum_along = [&](auto one) {
    const int channels = one.value ? 1 : int(step), half_pitch = one.value ? ONE_SPAN_HALF : int(half);
    const Planes planes = {half_pitch, 2 * channels * half_pitch};
    const bool beyond = mode == MODE_CONSTANT && (left < 0 || left + SPAN > cols);
    const unsigned constant = unsigned(int(cval)) << 8;
    int to[LINES];
#pragma unroll
    for (int line = 0; line < LINES; ++line) {
      const int x = LINES * thread + line, pixel = channels == 1 ? x : x / channels;
      to[line] = planes.at(x - pixel * channels, pixel + lead);
      const bool outside = beyond && (left + x < 0 || left + x >= cols);
#pragma unroll
      for (int j = 0; j < OUTPUTS; ++j) {
        const unsigned sum = __float_as_uint(totals[line][j]) & 65535u;
        totals[line][j] = __uint_as_float(outside ? constant : sum);
      }
    }
    if (channels == 1) {
#pragma unroll
      for (int j = 0; j < OUTPUTS; ++j) {
#pragma unroll
        for (int line = 0; line < LINES; line += 2)
          *reinterpret_cast<float2*>(sums + to[line] + j * planes.pitch) = {totals[line][j], totals[line + 1][j]};
      }
    } else {
#pragma unroll
      for (int j = 0; j < OUTPUTS; ++j) {
#pragma unroll
        for (int line = 0; line < LINES; ++line) sums[to[line] + j * planes.pitch] = totals[line][j];
      }
    }
    __syncthreads();
    // Half of the threads have the first rows; of each, groups of neighbours, channel by channel.
    const int groups = int(unsigned(pixels) / OUTPUTS), upper = int(threadIdx.x / (STRIP_WORDS / 2)) * LINES;
    const int task = int(threadIdx.x % (STRIP_WORDS / 2)), channel = channels == 1 ? 0 : task / groups;
    const int group = task - channel * groups;
    const bool wanted = task < groups * channels;
    if (wanted) {
      const int begin = 2 * group + ((int(halo) + lead - along) >> 2);
      const float* const from = sums + upper * planes.pitch + 2 * channel * planes.half;
      constexpr int rounding = sizeof(U) == 1 ? 128 : 0;
      weigh_lines(
          along_weights, along, float((1 << 23) + rounding + int(o1)) * FIXED_UNIT,
          [=](int four, float (&values)[LINES][4]) {
            const int at = begin + four;
            const float* const here = from + (at & 1) * planes.half + (at >> 1) * 4;
#pragma unroll
            for (int line = 0; line < LINES; ++line)
              *reinterpret_cast<float4*>(values[line]) = *reinterpret_cast<const float4*>(here + line * planes.pitch);
          },
          totals);
    }
    typedef typename Word<OUTPUTS * sizeof(U)>::type Eight;
    const int filled = int(min((long long)width, cols - first));
    U* const target = dst + row * cols + first;
    if (channels == 1 && ((address_of(dst) | (unsigned long long)cols * sizeof(U)) & (sizeof(Eight) - 1)) == 0) {
      if (group * OUTPUTS >= filled || !wanted) return;
      U* to_line = target + upper * cols + group * OUTPUTS;
#pragma unroll
      for (int line = 0; line < LINES; ++line) {
        if (upper + line >= height) return;
        *reinterpret_cast<Eight*>(to_line) = packed<U>(totals[line]);
        to_line += cols;
      }
      return;
    }
    __syncthreads();
    U* const results = reinterpret_cast<U*>(words);
    const int to_next = results_pitch<U>(width);
    if (wanted) {
#pragma unroll
      for (int line = 0; line < LINES; ++line) {
        U* const there = results + (upper + line) * to_next + group * OUTPUTS * channels + channel;
        if (channels == 1) {
          *reinterpret_cast<Eight*>(there) = packed<U>(totals[line]);
        } else {
#pragma unroll
          for (int j = 0; j < OUTPUTS; ++j)
            there[j * channels] = U(__float_as_uint(totals[line][j]) >> (sizeof(U) == 1 ? 8 : 0));
        }
      }
    }
    __syncthreads();
    store_tile(results, to_next, target, cols, height, filled);
  };
  if (channels == 1)
    sum_along(Count<1>());  // known addresses
  else
    sum_along(Count<0>());
}

static constexpr int ONE_HALF = 144;  // half of the only channel's size in shared memory

// Means of pixels of T, which are in its range but for less than half: no saturation.
template <typename T>
__device__ __forceinline__ typename Word<4 * sizeof(T)>::type four_means(const float (&means)[4]) {
  if constexpr (Number<T>::whole) {
    unsigned bits[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) bits[j] = __float_as_uint(means[j] + 12582912.f);  // 3 << 22: the last bit counts one
    return {__byte_perm(bits[0], bits[1], 0x5410), __byte_perm(bits[2], bits[3], 0x5410)};
  } else {
    return {__float_as_uint(means[0]), __float_as_uint(means[1]), __float_as_uint(means[2]), __float_as_uint(means[3])};
  }
}

// The sums along every NEAR_COLUMNS / 32-th row of the only channel, from `line` on, at radius REACH; a lane has four
// neighbours in each half of a row, which it stores at once. There are `filled` results from its first one on.
template <int REACH, typename Sum, typename T>
__device__ __forceinline__ void weigh_fours(const Sum& sum, const float* weights, const float* line, T* target,
                                            long long cols, int rows, int filled) {
  typedef typename Word<4 * sizeof(T)>::type Four;
  constexpr Planes planes = {ONE_HALF, 2 * ONE_HALF};
  const int lane = threadIdx.x % 32;
  const float *even = line + planes.at(0, 4 * lane), *odd = line + planes.at(0, 4 * lane + 4);
#pragma unroll 1
  for (; rows > 0; rows -= NEAR_COLUMNS / 32) {
#pragma unroll
    for (int part = 0; part < NEAR_COLUMNS; part += NEAR_COLUMNS / 2) {
      if (part >= filled) break;
      float held[4 + 2 * REACH], means[4];
#pragma unroll
      for (int i = 0; i < 4 + 2 * REACH; i += 4)
        *reinterpret_cast<float4*>(held + i) =
            *reinterpret_cast<const float4*>((i / 4 % 2 ? odd : even) + part / 2 + i / 8 * 4);
      weigh_held<REACH, true>(sum, weights, REACH, held, means);
      *reinterpret_cast<Four*>(target + part) = four_means<T>(means);
    }
    even += NEAR_COLUMNS / 32 * planes.pitch;
    odd += NEAR_COLUMNS / 32 * planes.pitch;
    target += NEAR_COLUMNS / 32 * cols;
  }
}

// Floating-point sums whose windows fit into registers, at radii up to REACH: a thread's down a column, then a warp's
// along each row. Radii of REACH itself take fewer instructions.
template <typename T, int REACH>
__global__ void __launch_bounds__(256, NEAR_BLOCKS<T, REACH>)
    near(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols, long long top,
         long long bottom, long long step, long long mode, double cval, long long r0, long long r1, const double* w0,
         long long taps0, const double* w1, long long taps1, double tolerance0, double tolerance1, long long pixels,
         long long half) {
  DYNAMIC_SHARED(float, sums);
  constexpr int SUMMED = SUMMED_ROWS<REACH>, HELD = SUMMED + 2 * REACH;
  __shared__ __align__(16) float down_weights[REACH + 4], along_weights[REACH + 4];
  __shared__ long long begins[HELD];
  const Floating<float> down(w0, cval, tolerance0), along(w1, cval, tolerance1);
  const HeldTile<REACH, SUMMED> tile(step, pixels, half, top);
  if (tile.thread <= int(r0)) down_weights[tile.thread] = down.weight(__ldg(w0 + tile.thread));
  if (tile.thread <= int(r1)) along_weights[tile.thread] = along.weight(__ldg(w1 + tile.thread));
  const bool beyond = tile.left < 0 || tile.left + NEAR_COLUMNS > cols;
  const long long highest = top - r0, lowest = bottom - 1 + r0;  // rows of windows: others need not be there
  float values[HELD], totals[SUMMED];
  if (tile.above >= max(highest, 0ll) && tile.above + HELD <= min(lowest + 1, rows) && !beyond) {
    const T* from = src + tile.above * cols + tile.x;
#pragma unroll
    for (int i = 0; i < HELD; ++i) {
      values[i] = float(__ldg(from));
      from += cols;
    }
  } else {
    if (tile.thread < HELD)
      begins[tile.thread] = begin_of(min(max(tile.above + tile.thread, highest), lowest), rows, cols, mode);
    __syncthreads();
    const long long place = fold_element(tile.x, cols, step, mode);
    const T* const from = src + max(place, 0ll);
    const float outside = float(T(cval));
#pragma unroll
    for (int i = 0; i < HELD; ++i) {
      const T value = __ldg(from + present(begins[i]));
      values[i] = begins[i] < 0 || place < 0 ? outside : float(value);
    }
  }
  __syncthreads();
  if (int(r0) == REACH)
    weigh_held<REACH, true>(down, down_weights, REACH, values, totals);
  else
    weigh_held<REACH>(down, down_weights, int(r0), values, totals);
  const auto keep_column = [&](const Planes& layout, int pixel) {
    float* const to = sums + layout.at(tile.thread - pixel * tile.channels, pixel);
#pragma unroll
    for (int j = 0; j < SUMMED; ++j) to[j * layout.pitch] = totals[j];
    if (beyond && mode == MODE_CONSTANT && (tile.x < 0 || tile.x >= cols)) {
#pragma unroll 1
      for (int j = 0; j < SUMMED; ++j) to[j * layout.pitch] = along.outside;
    }
  };
  if (tile.channels == 1)
    keep_column({ONE_HALF, 2 * ONE_HALF}, tile.thread);  // known addresses
  else
    keep_column(tile.planes, tile.thread / tile.channels);
  __syncthreads();
  const int lane = tile.thread % 32, warp = tile.thread / 32;
  const int height = int(min(bottom - tile.row, (long long)SUMMED));
  const int filled = int(min((long long)tile.width, cols - tile.first));
  const bool aligned = ((address_of(dst) | (unsigned long long)cols * sizeof(T)) & (4 * sizeof(T) - 1)) == 0;
  float* line = sums + warp * tile.planes.pitch;
  T* target = dst + (tile.row + warp) * cols + tile.first;
  if (tile.channels == 1 && aligned && int(r1) == REACH) {
    weigh_fours<REACH>(along, along_weights, line, target + 4 * lane, cols, height - warp, filled - 4 * lane);
    return;
  }
  const int groups = int(pixels) / OUTPUTS;
  const int channel = tile.channels == 1 ? 0 : lane / groups, group = lane - channel * groups;
  const bool wanted = lane < groups * tile.channels;
  // Groups of results of several channels begin an odd number of 16 bytes apart: else lanes would share few banks.
  const int length = OUTPUTS * tile.channels;
  const int gap = tile.channels > 1 && length * sizeof(T) % 32 == 0 ? int(16 / sizeof(T)) : 0;
#pragma unroll 1
  for (int r = height - warp; r > 0; r -= NEAR_COLUMNS / 32) {
    T* const results = reinterpret_cast<T*>(line);
    float means[OUTPUTS];
    if (wanted)
      weigh_row_held<REACH>(along, along_weights, int(r1), line + tile.planes.group(channel, group), tile.planes.half,
                            means);
    __syncwarp();  // a row's results take the place of its sums
    if (wanted) keep(along, means, results + group * (length + gap) + channel, tile.channels);
    __syncwarp();
    store_row(results, gap, length, target, filled, aligned);
    line += NEAR_COLUMNS / 32 * tile.planes.pitch;
    target += NEAR_COLUMNS / 32 * cols;
  }
}

// The sums down the columns of a tile, some distances at a time, in shared memory that does not depend on the radius.
template <typename Sum, typename T, typename U>
__device__ __forceinline__ void down_tile(const Surrounded<T>& image, U* dst, long long top, long long bottom,
                                          long long radius, const Sum& sum) {
  typedef typename Sum::Wide A;
  constexpr int DISTANCES = DISTANCE_BYTES / sizeof(A);
  __shared__ __align__(16) A values[2 * (ROWS + DISTANCES)][COLUMNS];  // before and after, or all
  __shared__ A weights[DISTANCES];
  const long long row = top + (long long)blockIdx.y * ROWS, left = (long long)blockIdx.x * COLUMNS;
  const int height = int(bottom - row < ROWS ? bottom - row : ROWS);
  const int filled = int(image.cols - left < COLUMNS ? image.cols - left : COLUMNS);
  const int first = threadIdx.y * OUTPUTS, x = threadIdx.x;
  const bool all = radius < DISTANCES;
  A totals[OUTPUTS];
#pragma unroll 1
  for (long long from = 0; from <= radius; from += DISTANCES) {
    const int count = int(radius + 1 - from < DISTANCES ? radius + 1 - from : DISTANCES);
    if (from > 0) __syncthreads();
    const Weights<Sum, A> next(sum, from, count);
    const int extra = count - 1, second = all ? 0 : ROWS + DISTANCES;
#pragma unroll 1
    for (int side = 0; side < (all ? 1 : 2); ++side) {
      const Region region = {side ? row + from : row - from - extra, left, height + (all ? 2 : 1) * extra, filled};
      load_wide_tile<true, 4>(image, region, values[side * second], COLUMNS);
    }
    next.store(weights);
    __syncthreads();
    const A *const before = &values[first + extra][x], *const after = all ? before : &values[second + first][x];
    weigh<COLUMNS>(sum, before, after, COLUMNS, weights, count, from == 0, totals);
  }
  if (x >= filled) return;
  const long long at = (row + first) * image.cols + left + x;
#pragma unroll
  for (int j = 0; j < OUTPUTS; ++j)
    if (first + j < height)
      dst[at + j * image.cols] = U(sum.value(sum.kept(totals[j], A(image.data[at + j * image.cols]))));
}

// The sums along the rows of a tile, with one group of OUTPUTS pixels per warp.
template <typename Sum, typename S, typename U>
__device__ __forceinline__ void along_tile(const Surrounded<S>& image, U* dst, long long top, long long bottom,
                                           long long radius, const Sum& sum, int distances) {
  typedef typename Sum::Wide A;
  DYNAMIC_SHARED(A, shared);
  const int step = int(image.step), width = OUTPUTS * int(blockDim.y), lane = threadIdx.x;
  const int half = (width + (distances - 1) * step + 3) | 1;
  const bool all = radius < distances;  // then `before` has all values
  const int pitch = all ? (width + 2 * int(radius) * step + 3) | 1 : half;
  A* const before = shared;  // later the results
  A* const after = before + HEIGHT * half;
  A* const weights = after + HEIGHT * half;
  const long long row = top + (long long)blockIdx.y * HEIGHT, left = (long long)blockIdx.x * width;
  const int height = int(bottom - row < HEIGHT ? bottom - row : HEIGHT);
  const int filled = int(image.cols - left < width ? image.cols - left : width);
  const int x = first_of(threadIdx.y, step);
  A totals[OUTPUTS];
#pragma unroll 1
  for (long long from = 0; from <= radius; from += distances) {
    const int count = int(radius + 1 - from < distances ? radius + 1 - from : distances);
    const int extra = (count - 1) * step;
    if (from > 0) __syncthreads();
    const Weights<Sum, A> next(sum, from, count);
#pragma unroll 1
    for (int side = 0; side < (all ? 1 : 2); ++side) {
      const Region region = {row, side ? left + from * step : left - from * step - extra, height,
                             filled + (all ? 2 : 1) * extra};
      load_wide_tile<false, 4>(image, region, side ? after : before, pitch);
    }
    next.store(weights);
    __syncthreads();
    const int here = lane * pitch + x;
    weigh_row(sum, before + here + extra, all ? before + here + extra : after + here, step, weights, count, from == 0,
              totals);
  }
  __syncthreads();
#pragma unroll
  for (int j = 0; j < OUTPUTS; ++j)
    if (lane < height && x + j * step < filled)
      totals[j] = sum.kept(totals[j], A(image.data[(row + lane) * image.cols + left + x + j * step]));
  U* const results = reinterpret_cast<U*>(before);
  const int to_next = results_pitch<U>(width);
  keep(sum, totals, results + lane * to_next + x, step);
  __syncthreads();
  store_tile(results, to_next, dst + row * image.cols + left, image.cols, height, filled);
}

template <typename T, typename A>
__global__ void __launch_bounds__(256, DOWN_BLOCKS<A>)
    down(const T* src, long long rows, long long cols, A* dst, long long dst_rows, long long dst_cols, long long top,
         long long bottom, long long mode, double cval, long long radius, const double* weights, long long taps,
         double tolerance) {
  const Surrounded<T> image = {src, rows, cols, 1, mode, cval};
  down_tile(image, dst, top, bottom, radius, Floating<A>(weights, cval, tolerance));
}

template <typename A, typename T>
__global__ void __launch_bounds__(256, ALONG_BLOCKS<A>)
    along(const A* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols, long long top,
          long long bottom, long long step, long long mode, double cval, long long radius, const double* weights,
          long long taps, double tolerance, long long distances) {
  const Surrounded<A> image = {src, rows, cols, step, mode, cval};
  along_tile(image, dst, top, bottom, radius, Floating<A>(weights, cval, tolerance), int(distances));
}

template <typename T>
__global__ void __launch_bounds__(256, DOWN_BLOCKS<float>)
    fixed_down(const T* src, long long rows, long long cols, unsigned short* dst, long long dst_rows,
               long long dst_cols, long long top, long long bottom, long long mode, double cval, long long radius,
               const unsigned short* weights, long long taps, long long offset) {
  const Surrounded<T> image = {src, rows, cols, 1, mode, cval};
  down_tile(image, dst, top, bottom, radius, FixedDown(weights, offset, 0.f));
}

template <typename T>
__global__ void __launch_bounds__(256, DOWN_BLOCKS<float>)
    fixed_along(const unsigned short* src, long long rows, long long cols, T* dst, long long dst_rows,
                long long dst_cols, long long top, long long bottom, long long step, long long mode, double cval,
                long long radius, const unsigned short* weights, long long taps, long long offset,
                long long distances) {
  const Surrounded<unsigned short> image = {src, rows, cols, step, mode, double(int(cval) << 8)};
  along_tile(image, dst, top, bottom, radius, FixedAlong(weights, offset, 0.f), int(distances));
}

// For pixels of many channels, of which few fit in shared memory: their neighbours come from the caches.
template <typename U, typename Sum, typename S>
__device__ __forceinline__ void along_from_caches(const Surrounded<S>& image, U* dst, long long top, long long bottom,
                                                  long long radius, const Sum& sum) {
  typedef typename Sum::Wide A;
  each_column(image.cols, top, bottom, [=](long long row, long long x) {
    A total = sum.first(sum.weight(sum.weights[0]), A(image.data[row * image.cols + x]));
    for (long long k = 1; k <= radius; ++k) {
      const A weight = sum.weight(sum.weights[k]);
      total = sum.pair(total, weight, A(image(row, x - k * image.step)), A(image(row, x + k * image.step)));
    }
    dst[row * image.cols + x] = sum.template result<U>(sum.kept(total, A(image.data[row * image.cols + x])));
  });
}

template <typename A, typename T>
__global__ void along_far(const A* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                          long long top, long long bottom, long long step, long long mode, double cval,
                          long long radius, const double* weights, long long taps, double tolerance) {
  const Surrounded<A> image = {src, rows, cols, step, mode, cval};
  along_from_caches(image, dst, top, bottom, radius, Floating<A>(weights, cval, tolerance));
}

template <typename T>
__global__ void fixed_along_far(const unsigned short* src, long long rows, long long cols, T* dst, long long dst_rows,
                                long long dst_cols, long long top, long long bottom, long long step, long long mode,
                                double cval, long long radius, const unsigned short* weights, long long taps,
                                long long offset) {
  const Surrounded<unsigned short> image = {src, rows, cols, step, mode, double(int(cval) << 8)};
  along_from_caches(image, dst, top, bottom, radius, FixedAlong(weights, offset, 0.f));
}
