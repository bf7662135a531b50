// Runs CUDA C++ kernels on the CPU, one block at a time. Every CUDA thread is a fiber with a stack of its own, so
// __syncthreads, warp shuffles, atomics and __shared__ work in unchanged kernels. Finds divergent barriers, deadlocks and
// impossible launches; with the sanitizers also stray accesses and races. One translation unit; x86-64, else ucontext.
#pragma once
#include <link.h>
#include <sys/mman.h>

#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define EMU_PLAIN __attribute__((no_sanitize("thread"), noinline))  // the emulator's own state is no kernel's race
#else
#define EMU_PLAIN
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#define EMU_UCONTEXT 1
#endif

// ---------------------------------------------------------------- the language

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#if defined(__SANITIZE_ADDRESS__)
#define __shared__ static  // plain statics: AddressSanitizer puts red zones round them
#else
#define __shared__ static thread_local  // nothing else here is thread_local: the module's TLS block is the shared memory
#endif
#define DYNAMIC_SHARED(T, name) T* const name = reinterpret_cast<T*>(emu::dynamic_shared)
#define __syncthreads() emu::block_barrier(__FILE__, __LINE__)
#define __syncwarp(...) emu::warp_barrier(0xffffffffu, __FILE__, __LINE__)

#define EMU_VECTOR(T, NAME, ALIGN2, ALIGN4)                                  \
  struct alignas(ALIGN2) NAME##2 { T x, y; };                                \
  struct NAME##3 { T x, y, z; };                                             \
  struct alignas(ALIGN4) NAME##4 { T x, y, z, w; };                          \
  inline NAME##2 make_##NAME##2(T x, T y) { return {x, y}; }                 \
  inline NAME##3 make_##NAME##3(T x, T y, T z) { return {x, y, z}; }         \
  inline NAME##4 make_##NAME##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMU_VECTOR(signed char, char, 2, 4)
EMU_VECTOR(unsigned char, uchar, 2, 4)
EMU_VECTOR(short, short, 4, 8)
EMU_VECTOR(unsigned short, ushort, 4, 8)
EMU_VECTOR(int, int, 8, 16)
EMU_VECTOR(unsigned, uint, 8, 16)
EMU_VECTOR(float, float, 8, 16)
EMU_VECTOR(double, double, 16, 16)
struct dim3 { unsigned x, y, z; };
static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static const int warpSize = 32;

// ---------------------------------------------------------------- fibers and barriers

namespace emu {

struct Fiber {
  void* stack_pointer;
  char* stack;
  int thread;
  bool ready, started;
  unsigned block_barriers, warp_barriers;
  const char* file;
  int line;
  void *fake_stack, *tsan;
#if EMU_UCONTEXT
  ucontext_t context;
#endif
};

struct Warp {
  unsigned live, arrived;
  uint64_t slot[2][32];  // what lanes exchange; two sets, used in turn
  uint8_t turn[32];
};

static const size_t STACK_BYTES = 256 << 10;
static Fiber main_fiber, pool[1024], *of[1024], *current;
static Warp warps[32];
static int free_list[1024], free_count, threads, live, at_barrier, order;
static unsigned random_state;
static void (*body)(void*);
static void* body_argument;
static char error[400], *dynamic_shared;
[[maybe_unused]] static char tag[4 + 64];  // TSan's happens-before: start, end, block barrier x2, warp barriers x2
[[maybe_unused]] static const void* main_stack;
[[maybe_unused]] static size_t main_stack_bytes;

#if defined(__SANITIZE_THREAD__)
// ThreadSanitizer's fibers, which all libraries of a process share: a barrier costs each thread one step for every fiber.
extern "C" __attribute__((visibility("default"))) void** emulated_fibers;
void** emulated_fibers;
#endif

#if !EMU_UCONTEXT
extern "C" void emu_swap(void** save, void* load);
asm(".text\n.globl emu_swap\n.hidden emu_swap\n.type emu_swap,@function\nemu_swap:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\nmovq %rsp,(%rdi)\nmovq %rsi,%rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n.size emu_swap,.-emu_swap\n");
#endif

EMU_PLAIN static void jump(Fiber* from, Fiber* to) {
#if defined(__SANITIZE_ADDRESS__)
  const bool home = to == &main_fiber;
  __sanitizer_start_switch_fiber(&from->fake_stack, home ? main_stack : to->stack, home ? main_stack_bytes : STACK_BYTES);
#elif defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(to->tsan, __tsan_switch_to_fiber_no_sync);
#endif
#if EMU_UCONTEXT
  swapcontext(&from->context, &to->context);
#else
  emu_swap(&from->stack_pointer, to->stack_pointer);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from->fake_stack, nullptr, nullptr);
#endif
}

EMU_PLAIN static void happens(bool before, int i) {
#if defined(__SANITIZE_THREAD__)
  before ? __tsan_release(&tag[i]) : __tsan_acquire(&tag[i]);
#endif
  (void)before;
  (void)i;
}

EMU_PLAIN static void entry() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &main_stack, &main_stack_bytes);
#endif
  for (;;) {
    happens(false, 0);
    body(body_argument);
    happens(true, 1);
    current->thread = -1;
    jump(current, &main_fiber);
  }
}

EMU_PLAIN static void start(Fiber* f, int i) {
  if (!f->stack) {
    f->stack = (char*)mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (f->stack == (char*)MAP_FAILED) abort();
  }
#if defined(__SANITIZE_THREAD__)
  void*& identity = emulated_fibers[i];
  if (!identity) identity = __tsan_create_fiber(0);
  f->tsan = identity;
#endif
#if EMU_UCONTEXT
  getcontext(&f->context);
  f->context.uc_stack.ss_sp = f->stack;
  f->context.uc_stack.ss_size = STACK_BYTES;
  f->context.uc_link = nullptr;
  makecontext(&f->context, entry, 0);
#else
  void** top = (void**)(f->stack + STACK_BYTES - (i % 32) * 320);  // staggered: all stacks would share the same cache sets
  *--top = nullptr;
  *--top = (void*)entry;
  for (int k = 0; k < 6; ++k) *--top = nullptr;
  f->stack_pointer = top;
#endif
  f->started = true;
}

EMU_PLAIN static void release_block() {
  if (!live || at_barrier < live) return;
  const Fiber* first = nullptr;
  for (int t = 0; t < threads; ++t) {
    Fiber* f = of[t];
    if (!f) continue;
    if (first && (first->line != f->line || first->file != f->file) && !error[0])
      snprintf(error, sizeof error, "divergent __syncthreads: thread %d at %s:%d, thread %d at %s:%d", first->thread,
               first->file, first->line, t, f->file, f->line);
    first = f;
    f->ready = true;
  }
  at_barrier = 0;
}

EMU_PLAIN static void release_warp(int w, unsigned mask) {
  Warp& warp = warps[w];
  if (!warp.arrived || (warp.arrived & mask) != (warp.live & mask)) return;
  for (int lane = 0; lane < 32; ++lane)
    if ((warp.arrived & mask) >> lane & 1) of[w * 32 + lane]->ready = true;
  warp.arrived &= ~mask;
}

EMU_PLAIN static void wait(const char* file, int line) {
  current->file = file;
  current->line = line;
  if (!current->ready) jump(current, &main_fiber);
}

EMU_PLAIN static void block_barrier(const char* file, int line) {
  const int i = 2 + (current->block_barriers++ & 1);
  happens(true, i);
  current->ready = false;
  current->file = file;
  current->line = line;
  ++at_barrier;
  release_block();
  wait(file, line);
  happens(false, i);
}

EMU_PLAIN static void warp_barrier(unsigned mask, const char* file, int line) {
  const int w = current->thread / 32, i = 4 + 2 * w + (current->warp_barriers++ & 1);
  happens(true, i);
  current->ready = false;
  warps[w].arrived |= 1u << current->thread % 32;
  release_warp(w, mask);
  wait(file, line);
  happens(false, i);
}

// Before an atomic operation other threads of the block may run: what this one has read may be out of date by then.
EMU_PLAIN static void give_way() {
  if (order < 2) return;
  random_state = random_state * 1664525u + 1013904223u;
  if (random_state >> 31) jump(current, &main_fiber);
}

// ---------------------------------------------------------------- blocks and launches

EMU_PLAIN static void resume(int t) {
  Fiber* f = of[t];
  current = f;
  f->thread = t;
  threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
  jump(&main_fiber, f);
  if (f->thread >= 0) return;
  of[t] = nullptr;  // finished
  --live;
  warps[t / 32].live &= ~(1u << t % 32);
#if !defined(__SANITIZE_THREAD__)  // under TSan a fiber serves one thread of a block: races are told by its identity
  free_list[free_count++] = f - pool;
#endif
  release_block();
  release_warp(t / 32, 0xffffffffu);
}

EMU_PLAIN static void permute(int* p, int n) {
  for (int i = 0; i < n; ++i) p[i] = order == 1 ? n - 1 - i : i;
  if (order < 2) return;
  for (int i = n - 1; i > 0; --i) {
    random_state = random_state * 1664525u + 1013904223u;
    std::swap(p[i], p[(random_state >> 8) % (i + 1)]);
  }
}

static char* shared_memory;
static size_t shared_bytes;
#if !defined(__SANITIZE_ADDRESS__)
// So aligned, the block never begins 16 bytes behind a page: what lies there ThreadSanitizer takes for an old glibc's, whose
// size stands before it.
alignas(64) static thread_local char tls_anchor;
EMU_PLAIN static void touch_tls() { *(volatile char*)&tls_anchor = 0; }  // a loaded library's TLS is allocated at first use
EMU_PLAIN static int find_tls(dl_phdr_info* info, size_t, void*) {
  bool mine = false;
  size_t bytes = 0;
  for (int k = 0; k < info->dlpi_phnum; ++k) {
    const auto& header = info->dlpi_phdr[k];
    const uintptr_t at = info->dlpi_addr + header.p_vaddr, here = (uintptr_t)&shared_memory;
    if (header.p_type == PT_LOAD && here >= at && here < at + header.p_memsz) mine = true;
    if (header.p_type == PT_TLS) bytes = header.p_memsz;
  }
  if (mine && bytes && info->dlpi_tls_data) {
    shared_memory = (char*)info->dlpi_tls_data;
    shared_bytes = bytes;
  }
  return mine;
}
#endif

EMU_PLAIN static bool run_block() {
  static int turn[1024];
  if (shared_memory) memset(shared_memory, 0xFF, shared_bytes);  // NaN, -1: a read of unwritten shared memory shows
  live = threads;
  at_barrier = free_count = 0;
  permute(turn, threads);
  for (int w = 0; w * 32 < threads; ++w) {
    warps[w].live = threads - w * 32 >= 32 ? ~0u : (1u << (threads - w * 32)) - 1;
    warps[w].arrived = 0;
    memset(warps[w].turn, 0, 32);
  }
  for (int i = threads; i-- > 0;) free_list[free_count++] = i;
  happens(true, 0);
  for (int i = 0; i < threads; ++i) {
    Fiber* f = &pool[free_list[--free_count]];
    if (!f->started) start(f, f - pool);
    of[turn[i]] = f;
    f->ready = true;
    f->block_barriers = f->warp_barriers = 0;
    resume(turn[i]);
  }
  while (live && !error[0]) {
    bool any = false;
    for (int i = 0; i < threads; ++i) {
      Fiber* f = of[turn[i]];
      if (!f || !f->ready) continue;
      any = true;
      resume(turn[i]);
    }
    for (int t = 0; !any && t < threads && !error[0]; ++t)
      if (of[t]) snprintf(error, sizeof error, "deadlock: thread %d waits at %s:%d", t, of[t]->file, of[t]->line);
  }
  happens(false, 1);
  if (error[0]) {
    for (auto& f : pool) f.started = false;  // abandon half-run fibers
    for (auto& f : of) f = nullptr;
  }
  return !error[0];
}

EMU_PLAIN static bool possible(const unsigned* g, const unsigned* b, unsigned shared) {
  return g[0] && g[1] && g[2] && g[0] <= INT_MAX && g[1] <= 65535 && g[2] <= 65535 && b[0] && b[1] && b[2] && b[2] <= 64 &&
         (uint64_t)b[0] * b[1] * b[2] <= 1024 && shared <= 101376;  // what every architecture from sm_86 on has
}

EMU_PLAIN static const char* launch(void (*run)(void*), void** args, const unsigned* g, const unsigned* b, unsigned shared,
                                    int thread_order) {
  if (!possible(g, b, shared)) return "invalid launch configuration";
  error[0] = 0;
  body = run;
  body_argument = args;
  order = thread_order;
  random_state = order * 2654435761u;
  gridDim = {g[0], g[1], g[2]};
  blockDim = {b[0], b[1], b[2]};
  threads = b[0] * b[1] * b[2];
#if !defined(__SANITIZE_ADDRESS__)
  touch_tls();
  dl_iterate_phdr(find_tls, nullptr);
#endif
#if defined(__SANITIZE_THREAD__)
  main_fiber.tsan = __tsan_get_current_fiber();
#endif
  dynamic_shared = (char*)aligned_alloc(16, (shared + 31) / 16 * 16);
  memset(dynamic_shared, 0xFF, shared);
  const uint64_t blocks = (uint64_t)g[0] * g[1] * g[2];
  for (uint64_t i = 0; i < blocks; ++i) {
    const uint64_t k = order ? blocks - 1 - i : i;
    blockIdx = {unsigned(k % g[0]), unsigned(k / g[0] % g[1]), unsigned(k / ((uint64_t)g[0] * g[1]))};
    if (!run_block()) break;
  }
  free(dynamic_shared);
  return error[0] ? error : nullptr;
}

template <auto K>
struct Bind;
template <class... A, void (*K)(A...)>
struct Bind<K> {
  static_assert(((sizeof(A) == 8) && ...), "kernel parameters are pointers, long long or double: 8 bytes each");
  template <size_t... I>
  static void call(void** slots, std::index_sequence<I...>) {
    K(*(A*)(slots + I)...);
  }
  static void run(void* slots) { call(static_cast<void**>(slots), std::index_sequence_for<A...>{}); }
};

// ---------------------------------------------------------------- lanes of a warp

EMU_PLAIN static int lane() { return current->thread % 32; }

EMU_PLAIN static uint64_t* exchange(unsigned mask, uint64_t bits) {
  const int l = lane();
  Warp& warp = warps[current->thread / 32];
  uint64_t* slots = warp.slot[warp.turn[l] ^= 1];
  slots[l] = bits;
  warp_barrier(mask, "warp exchange", 0);
  return slots;
}

template <class T>
EMU_PLAIN static T shuffle(unsigned mask, T v, int from) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0;
  memcpy(&bits, &v, sizeof v);
  memcpy(&v, &exchange(mask, bits)[from & 31], sizeof v);
  return v;
}

EMU_PLAIN static unsigned ballot(unsigned mask, bool predicate) {
  const unsigned there = mask & warps[current->thread / 32].live;
  const uint64_t* slots = exchange(mask, predicate);
  unsigned votes = 0;
  for (int l = 0; l < 32; ++l) votes |= (there >> l & 1 && slots[l] ? 1u : 0u) << l;
  return votes;
}

}  // namespace emu

#define EMU_VISIBLE extern "C" __attribute__((visibility("default")))
#define EMU_EXPORT(symbol, ...)                                                                                       \
  EMU_VISIBLE const char* symbol(void** args, const unsigned* grid, const unsigned* block, unsigned shared, int order) { \
    return emu::launch(emu::Bind<__VA_ARGS__>::run, args, grid, block, shared, order);                                \
  }

// ---------------------------------------------------------------- device functions

template <class A, class B>
inline std::common_type_t<A, B> min(A a, B b) {
  using C = std::common_type_t<A, B>;
  return C(b) < C(a) ? C(b) : C(a);
}
template <class A, class B>
inline std::common_type_t<A, B> max(A a, B b) {
  using C = std::common_type_t<A, B>;
  return C(a) < C(b) ? C(b) : C(a);
}
inline float min(float a, float b) { return fminf(a, b); }  // a NaN loses, as on the GPU
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

template <class T>
inline T __ldg(const T* p) { return *p; }
template <class T>
inline T __ldcs(const T* p) { return *p; }
template <class T>
inline T __ldca(const T* p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }  // of parents that others change
template <class T>
inline T __ldcg(const T* p) { return *p; }
inline void __nanosleep(unsigned) {}
template <class T>
inline void __stcs(T* p, T v) { *p = v; }
template <class T>
inline void __stwb(T* p, T v) { *p = v; }
inline void __threadfence() {}
inline unsigned __activemask() { return emu::warps[emu::current->thread / 32].live; }

template <class To, class From>
inline To emu_bits(From v) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &v, sizeof to);
  return to;
}
inline unsigned __float_as_uint(float v) { return emu_bits<unsigned>(v); }
inline int __float_as_int(float v) { return emu_bits<int>(v); }
inline float __uint_as_float(unsigned v) { return emu_bits<float>(v); }
inline float __int_as_float(int v) { return emu_bits<float>(v); }
inline long long __double_as_longlong(double v) { return emu_bits<long long>(v); }
inline double __longlong_as_double(long long v) { return emu_bits<double>(v); }

// Conversions saturate, and NaN gives 0, as on the GPU.
inline int __double2int_rn(double x) { return x != x ? 0 : x >= 2147483647.0 ? INT_MAX : x <= -2147483648.0 ? INT_MIN : (int)rint(x); }
inline int __float2int_rn(float x) { return __double2int_rn(x); }
inline long long __double2ll_rn(double x) { return x != x ? 0 : x >= 9223372036854775808.0 ? LLONG_MAX : x <= -9223372036854775808.0 ? LLONG_MIN : (long long)rint(x); }
inline long long __float2ll_rn(float x) { return __double2ll_rn(x); }
inline float __double2float_ru(double x) { const float v = (float)x; return v < x ? nextafterf(v, INFINITY) : v; }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.f) : 0.f; }

inline float __fmul_rn(float a, float b) { return a * b; }
// a * b is exact in double; the error of the sum tells on which side of the nearest float it lies.
inline float __fmaf_rd(float a, float b, float c) {
  const double product = (double)a * b, sum = product + c, part = sum - product;
  const double error = (product - (sum - part)) + (c - part);
  const float nearest = (float)sum;
  return nearest > sum || (nearest == sum && error < 0) ? nextafterf(nearest, -INFINITY) : nearest;
}
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double a) { return sqrt(a); }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __brev(unsigned x) {
  unsigned r = 0;
  for (int i = 0; i < 32; ++i) r |= (x >> i & 1) << (31 - i);
  return r;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t)a * b >> 32; }
inline int __mulhi(int a, int b) { return (int64_t)a * b >> 32; }
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned n) { return ((uint64_t)high << 32 | low) >> (n & 31); }
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned n) { return (((uint64_t)high << 32 | low) << (n & 31)) >> 32; }
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const uint64_t v = (uint64_t)b << 32 | a;
  unsigned r = 0;
  for (int i = 0; i < 4; ++i) r |= unsigned(v >> 8 * (selector >> 4 * i & 7) & 255) << 8 * i;
  return r;
}
inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
  for (int i = 0; i < 32; i += 8) c += (a >> i & 255) * (b >> i & 255);
  return c;
}

#define EMU_LANES(name, width, expression)                              \
  inline unsigned name(unsigned a, unsigned b) {                        \
    const unsigned full = (1u << width) - 1;                            \
    unsigned r = 0;                                                     \
    for (int i = 0; i < 32; i += width) {                               \
      const unsigned x = a >> i & full, y = b >> i & full;              \
      r |= ((expression) & full) << i;                                  \
    }                                                                   \
    return r;                                                           \
  }
EMU_LANES(__vminu4, 8, x < y ? x : y)
EMU_LANES(__vmaxu4, 8, x > y ? x : y)
EMU_LANES(__vcmpgtu4, 8, x > y ? full : 0)
EMU_LANES(__vcmpeq4, 8, x == y ? full : 0)
EMU_LANES(__vadd4, 8, x + y)
EMU_LANES(__vsub4, 8, x - y)
EMU_LANES(__vabsdiffu4, 8, x > y ? x - y : y - x)
EMU_LANES(__vaddus4, 8, x + y > full ? full : x + y)
EMU_LANES(__vavgu4, 8, (x + y + 1) >> 1)
EMU_LANES(__vminu2, 16, x < y ? x : y)
EMU_LANES(__vmaxu2, 16, x > y ? x : y)
EMU_LANES(__vadd2, 16, x + y)
EMU_LANES(__vsub2, 16, x - y)
EMU_LANES(__vmins2, 16, short(x) < short(y) ? x : y)
EMU_LANES(__vmaxs2, 16, short(x) > short(y) ? x : y)

template <class T, class U>
inline T atomicAdd(T* p, U v) {
  emu::give_way();
  if constexpr (std::is_integral<T>::value) return __atomic_fetch_add(p, (T)v, __ATOMIC_RELAXED);
  T old, sum;
  __atomic_load(p, &old, __ATOMIC_RELAXED);
  do sum = old + (T)v;
  while (!__atomic_compare_exchange(p, &old, &sum, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}
template <class T>
inline T atomicMax(T* p, T v) {
  emu::give_way();
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (old < v && !__atomic_compare_exchange_n(p, &old, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
  return old;
}
template <class T>
inline T atomicMin(T* p, T v) {
  emu::give_way();
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (v < old && !__atomic_compare_exchange_n(p, &old, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
  return old;
}
template <class T>
inline T atomicCAS(T* p, T expected, T v) {
  emu::give_way();
  __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
template <class T>
inline T atomicExch(T* p, T v) {
  emu::give_way();
  return __atomic_exchange_n(p, v, __ATOMIC_RELAXED);
}
template <class T>
inline T atomicOr(T* p, T v) {
  emu::give_way();
  return __atomic_fetch_or(p, v, __ATOMIC_RELAXED);
}
template <class T>
inline T atomicAnd(T* p, T v) {
  emu::give_way();
  return __atomic_fetch_and(p, v, __ATOMIC_RELAXED);
}

template <class T>
inline T __shfl_sync(unsigned mask, T v, int from) { return emu::shuffle(mask, v, from); }
template <class T>
inline T __shfl_down_sync(unsigned mask, T v, int by) {
  const int from = emu::lane() + by;
  return emu::shuffle(mask, v, from > 31 ? emu::lane() : from);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T v, int by) {
  const int from = emu::lane() - by;
  return emu::shuffle(mask, v, from < 0 ? emu::lane() : from);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T v, int with) { return emu::shuffle(mask, v, emu::lane() ^ with); }
inline unsigned __ballot_sync(unsigned mask, int predicate) { return emu::ballot(mask, predicate); }
inline int __any_sync(unsigned mask, int predicate) { return emu::ballot(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return emu::ballot(mask, !predicate) == 0; }
