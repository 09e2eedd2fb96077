// What CUDA has and C++20 has not, so that the kernels' own source compiles for the host (-include shim.h).
//
// The threads of a block are fibers of one real thread, and blocks run one after the other. A fiber runs one thread of
// the block after the other until one of them waits; then the next fiber takes over. So a kernel that never waits is a
// plain loop, and a barrier costs one switch of stacks.
//
// ThreadSanitizer is told of the fibers: to it the threads of a block are ordered by barriers and fences alone, so that a
// missing barrier is found whatever the order in which the threads really ran. For it the blocks with even numbers run
// first, then the others, and these two halves of the grid are ordered by fences alone: so it finds blocks that write to
// one address, too. A shuffle orders no memory, as in CUDA.
#pragma once

#include <math.h>
#include <setjmp.h>
#include <ucontext.h>

#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

// The scheduler's own memory is no concern of a sanitizer, nor are its functions part of a thread's history.
#define NNXP_QUIET __attribute__((noinline, no_sanitize("thread"), no_sanitize("address")))

#if defined(__SANITIZE_THREAD__)
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif
#if defined(__SANITIZE_ADDRESS__)
extern "C" {
void __sanitizer_start_switch_fiber(void** fake, const void* bottom, std::size_t size);
void __sanitizer_finish_switch_fiber(void* fake, const void** bottom, std::size_t* size);
}
#endif

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#if defined(__SANITIZE_THREAD__)
#define __shared__ static thread_local  // the two halves of the grid have real threads, and so arrays of their own
#else
#define __shared__ static
#endif

namespace nnxp {

constexpr int MOST = 1024;  // threads of a block
constexpr int WARP = 32;
constexpr std::size_t STACK = 256 * 1024;  // bytes; a sanitizer writes its report on it

struct Index {
    unsigned x = 0, y = 0, z = 0;
};

struct Extent {
    unsigned x = 1, y = 1, z = 1;
};

struct Barrier {
    int line, arrived;
    unsigned generation;
    // Addresses for ThreadSanitizer: of each half of the grid, and two, because a thread may arrive at the next barrier
    // before all have left this one.
    long order[2][2];
};

struct Fiber {
    ucontext_t context;
    jmp_buf jump;  // ucontext asks the kernel for the signal mask each time: it only starts a fiber
    bool entered, live;
    unsigned thread;
    char* stack;
    const void* bottom;
    std::size_t size;
    void* fake;
};

struct Block {
    void (*body)(const char*);
    const char* values;
    int started, used;
    long progress;
    Barrier block, warp[MOST / WARP];
    alignas(8) char slots[2][MOST][8];
};

static Fiber fibers[MOST], outside;
static Fiber *current, *previous;
static Block state;
static std::mutex one_at_a_time;
static char error[200];
static long grid_order, half_order[2], fence_order;  // addresses for ThreadSanitizer
#if defined(__SANITIZE_THREAD__)
static void *identities[2][MOST], *own_identity;
#endif

}  // namespace nnxp

static nnxp::Index threadIdx, blockIdx;
static nnxp::Extent blockDim, gridDim;

namespace nnxp {

NNXP_QUIET static void acquire([[maybe_unused]] long* address) {
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(address);
#endif
}

NNXP_QUIET static void release([[maybe_unused]] long* address) {
#if defined(__SANITIZE_THREAD__)
    __tsan_release(address);
#endif
}

// To ThreadSanitizer, the code that follows belongs to a thread of the block, or to the caller.
NNXP_QUIET static void identify([[maybe_unused]] const Fiber& fiber) {
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(&fiber == &outside ? own_identity : identities[blockIdx.x & 1][fiber.thread], 1);
#endif
}

NNXP_QUIET static void arrived([[maybe_unused]] Fiber& fiber) {
#if defined(__SANITIZE_ADDRESS__)
    const void* bottom;
    std::size_t size;
    __sanitizer_finish_switch_fiber(fiber.fake, &bottom, &size);
    if (previous == &outside) outside.bottom = bottom, outside.size = size;
#endif
    if (fiber.live) {
        identify(fiber);
        threadIdx.x = fiber.thread;
    }
}

NNXP_QUIET static void switch_to(Fiber& target) {
    Fiber& self = *current;
    previous = &self;
    current = &target;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&self.fake, target.bottom, target.size);
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    swapcontext(&self.context, &target.context);
#else
    if (_setjmp(self.jump) == 0) {
        if (target.entered) _longjmp(target.jump, 1);
        setcontext(&target.context);
    }
#endif
    arrived(self);
}

// The next fiber whose thread is not done, or the caller.
NNXP_QUIET static Fiber& next_live() {
    int self = static_cast<int>(current - fibers);
    for (int step = 1; step <= state.used; ++step) {
        int other = self + step;
        if (other >= state.used) other -= state.used;
        if (fibers[other].live) return fibers[other];
    }
    return outside;
}

NNXP_QUIET static void enter() {
    Fiber& self = *current;
    self.entered = true;
    arrived(self);
    for (;;) {
        while (state.started < static_cast<int>(blockDim.x)) {
            self.thread = threadIdx.x = state.started++;
            self.live = true;
            ++state.progress;
            identify(self);
            acquire(&grid_order);
            acquire(&half_order[blockIdx.x & 1]);
            state.body(state.values);
            release(&half_order[blockIdx.x & 1]);
            ++state.progress;
        }
        self.live = false;
        switch_to(next_live());
    }
}

NNXP_QUIET static void prepare(Fiber& fiber) {
    if (!fiber.stack) fiber.stack = new char[STACK];
    fiber.bottom = fiber.stack;
    fiber.size = STACK;
    fiber.fake = nullptr;
    fiber.entered = fiber.live = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
}

// The block can go no further: back to the caller, who reads the error.
NNXP_QUIET static void fail(const char* what, int line, int other) {
    identify(outside);
    std::snprintf(error, sizeof error, what, line, other);
    switch_to(outside);
}

NNXP_QUIET static void wait(Barrier& barrier, int members, int line, bool orders) {
    if (barrier.arrived && barrier.line != line)
        fail("threads wait at different barriers at once, in lines %d and %d", barrier.line, line);
    unsigned mine = barrier.generation;
    barrier.line = line;
    long* order = &barrier.order[blockIdx.x & 1][mine & 1];
    if (orders) release(order);
    if (++barrier.arrived == members) {
        barrier.arrived = 0;
        ++barrier.generation;
        ++state.progress;
    }
    while (barrier.generation == mine) {
        long before = state.progress;
        if (state.started < static_cast<int>(blockDim.x)) {
            switch_to(fibers[state.used++]);
        } else {
            Fiber& other = next_live();
            if (&other != current) switch_to(other);
        }
        if (barrier.generation == mine && state.progress == before)
            fail("a barrier in line %d is not reached by all threads: %d are there", line, barrier.arrived);
    }
    if (orders) acquire(order);
}

NNXP_QUIET static Barrier& warp_barrier() { return state.warp[threadIdx.x / WARP]; }

NNXP_QUIET static int warp_members() {
    int rest = static_cast<int>(blockDim.x - threadIdx.x / WARP * WARP);
    return rest < WARP ? rest : WARP;
}

template <class T>
NNXP_QUIET static T shuffle(T value, int lane, int line) {
    static_assert(sizeof(T) <= 8);
    unsigned first = threadIdx.x / WARP * WARP;
    Barrier& barrier = warp_barrier();
    auto& slots = state.slots[barrier.generation & 1];  // nobody writes to them again before all have read
    __builtin_memcpy(slots[threadIdx.x], &value, sizeof(T));
    wait(barrier, warp_members(), line, false);
    if (lane >= 0 && lane < warp_members()) __builtin_memcpy(&value, slots[first + lane], sizeof(T));
    return value;
}

NNXP_QUIET static void run_block(unsigned block) {
    blockIdx.x = block;
    state.started = 0;
    state.used = 1;
    state.block = {};
    for (Barrier& barrier : state.warp) barrier = {};
    outside.entered = true;
    current = &outside;
    switch_to(fibers[0]);
    identify(outside);
}

NNXP_QUIET static void run_blocks(unsigned first, unsigned step) {
#if defined(__SANITIZE_THREAD__)
    own_identity = __tsan_get_current_fiber();
    for (unsigned t = 0; t < blockDim.x; ++t)
        if (!identities[first][t]) identities[first][t] = __tsan_create_fiber(0);
    static thread_local volatile char shared;
    shared = 0;  // the memory of shared arrays is allocated here, not by a thread of the block
#endif
    release(&grid_order);
    for (unsigned block = first; block < gridDim.x && !error[0]; block += step) run_block(block);
}

NNXP_QUIET static const char* launch(void (*body)(const char*), int grid, int block, const char* values) {
    static int prepared = 0;
    std::lock_guard lock(one_at_a_time);
    for (; prepared < block; ++prepared) prepare(fibers[prepared]);
    state.body = body;
    state.values = values;
    gridDim.x = grid;
    blockDim.x = block;
    error[0] = 0;
#if defined(__SANITIZE_THREAD__)
    run_blocks(0, 2);
    if (grid > 1) std::thread(run_blocks, 1, 2).join();
    acquire(&half_order[0]);
    acquire(&half_order[1]);
#else
    run_blocks(0, 1);
#endif
    if (error[0]) prepared = 0;  // fibers that hang are begun anew
    return error[0] ? error : nullptr;
}

// The letter of NumPy's scalar type for an argument.
template <class T>
constexpr char letter() {
    if constexpr (std::is_pointer_v<T>) return 'P';
    else if constexpr (std::is_same_v<T, float>) return 'f';
    else if constexpr (std::is_same_v<T, double>) return 'd';
    else if constexpr (sizeof(T) == 4) return std::is_signed_v<T> ? 'i' : 'I';
    else {
        static_assert(std::is_integral_v<T> && sizeof(T) == 8);
        return std::is_signed_v<T> ? 'q' : 'Q';
    }
}

template <auto KERNEL>
struct Trampoline;

template <class... A, void (*KERNEL)(A...)>
struct Trampoline<KERNEL> {
    static constexpr char types[] = {letter<A>()..., 0};

    template <std::size_t... I>
    static void call(const char* values, std::index_sequence<I...>) {
        KERNEL(*reinterpret_cast<const A*>(values + 8 * I)...);
    }

    static void body(const char* values) { call(values, std::index_sequence_for<A...>()); }
};

}  // namespace nnxp

// The values stand one after the other, 8 bytes each. The answer is null or what went wrong.
#define NNXP_VISIBLE extern "C" __attribute__((visibility("default"))) const char*
#define NNXP_TRAMPOLINE(name)                                                            \
    NNXP_VISIBLE launch_##name(int grid, int block, const char* values) {                \
        return nnxp::launch(&nnxp::Trampoline<&name>::body, grid, block, values);        \
    }                                                                                    \
    NNXP_VISIBLE types_##name() { return nnxp::Trampoline<&name>::types; }

// Threads

inline void __syncthreads(int line = __builtin_LINE()) {
    asm volatile("" ::: "memory");
    nnxp::wait(nnxp::state.block, blockDim.x, line, true);
    asm volatile("" ::: "memory");
}

inline void __syncwarp(unsigned = 0xffffffffu, int line = __builtin_LINE()) {
    asm volatile("" ::: "memory");
    nnxp::wait(nnxp::warp_barrier(), nnxp::warp_members(), line, true);
    asm volatile("" ::: "memory");
}

template <class T>
inline T __shfl_xor_sync(unsigned, T value, int mask, int line = __builtin_LINE()) {
    return nnxp::shuffle(value, static_cast<int>(threadIdx.x % nnxp::WARP) ^ mask, line);
}

template <class T>
inline T __shfl_down_sync(unsigned, T value, int delta, int line = __builtin_LINE()) {
    return nnxp::shuffle(value, static_cast<int>(threadIdx.x % nnxp::WARP) + delta, line);
}

template <class T>
inline T __shfl_sync(unsigned, T value, int lane, int line = __builtin_LINE()) {
    return nnxp::shuffle(value, lane, line);
}

// Publishes what this thread knows and learns what others published before.
inline void __threadfence() {
    nnxp::acquire(&nnxp::fence_order);
    nnxp::release(&nnxp::fence_order);
}

// Orders nothing, as in CUDA: without a fence ThreadSanitizer reports who reads what was counted.
template <class T>
__attribute__((noinline, no_sanitize("thread"))) static T atomicAdd(T* address, std::type_identity_t<T> value) {
    T before = *address;
    *address = before + value;
    return before;
}

// Bits

template <class To, class From>
inline To nnxp_bits(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To result;
    std::memcpy(&result, &value, sizeof result);
    return result;
}

inline int __float_as_int(float value) { return nnxp_bits<int>(value); }
inline unsigned __float_as_uint(float value) { return nnxp_bits<unsigned>(value); }
inline float __int_as_float(int value) { return nnxp_bits<float>(value); }
inline float __uint_as_float(unsigned value) { return nnxp_bits<float>(value); }
inline long long __double_as_longlong(double value) { return nnxp_bits<long long>(value); }
inline double __longlong_as_double(long long value) { return nnxp_bits<double>(value); }

inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}

template <class T>
inline T __ldg(const T* address) { return *address; }

// Mathematics; exp, log, tanh and so on are overloaded for float by <math.h>

inline float rsqrt(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
template <class T>
inline T min(T a, T b) { return b < a ? b : a; }
template <class T>
inline T max(T a, T b) { return a < b ? b : a; }
