// The kernels: what a training step does besides matrix products, in a few passes over memory.
//
// One source, two compilers. NVRTC makes machine code for a GPU of it, with -DREAL=float or -DREAL=double; a C++ compiler
// makes functions for NumPy arrays, with host/shim.h in place of what CUDA has and C++ has not. So nothing is included
// here. The formulas are those of nnxp.ops.reference, which every kernel is tested against.
//
// Rules: grids and blocks have one axis; kernels loop with the grid's stride, so they are right for every grid and every
// block of whole warps. Sums are taken in an order that depends on sizes alone, never on who comes first, so a run gives
// the same bits each time. A pointer that may be null says so. Arrays lie by rows, without gaps.
//
// Numbers that change from step to step (learning rate, step) lie on the device, in an agenda (agenda.py): `number` reads
// the current row. So a captured graph need never be changed.

typedef REAL real;
typedef long long integer;
typedef unsigned long long word;

#define KERNEL extern "C" __global__ void  // "C": so that it is found by its plain name
// A thread's first element, and the way to its next one: as many as there are threads.
#define FIRST ((integer)blockIdx.x * blockDim.x + threadIdx.x)
#define STRIDE ((integer)gridDim.x * blockDim.x)

// -- the agenda: [row now, columns, address of the results, row 0, row 1, …], the rows as bits of double

#define HEADER 3

__device__ inline double number(const integer* agenda, int column) {
    return __longlong_as_double(agenda[HEADER + agenda[0] * agenda[1] + column]);
}

// The end of a step: up to six 0-d results are put into this step's row of the results, and the next row is the current one.
KERNEL publish(
    integer* agenda, int count, const real* a, const real* b, const real* c, const real* d, const real* e, const real* f) {
    if (FIRST > 0) return;
    real* results = (real*)agenda[2] + agenda[0] * count;
    if (count > 0) results[0] = *a;
    if (count > 1) results[1] = *b;
    if (count > 2) results[2] = *c;
    if (count > 3) results[3] = *d;
    if (count > 4) results[4] = *e;
    if (count > 5) results[5] = *f;
    agenda[0] += 1;
}

// -- sums: a warp is 32 threads, its lanes, which exchange values without memory; warps exchange them through __shared__

__device__ inline real infinity() { return (real)__int_as_float(0x7f800000); }

__device__ inline real larger(real a, real b) { return b > a || b != b ? b : a; }  // NaN stays NaN

// Halves of the warp exchange their sums, then quarters, … : in the end every lane has the whole sum.
template <class T> __device__ inline T warp_sum(T value) {
    for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
    return value;
}

__device__ inline real warp_max(real value) {
    for (int lanes = 16; lanes > 0; lanes /= 2) value = larger(value, __shfl_xor_sync(0xffffffffu, value, lanes));
    return value;
}

// The sum over the threads of a block, for thread 0.
__device__ inline double block_sum(double value) {
    __shared__ double of_warp[32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
    value = warp_sum(value);
    __syncthreads();  // who reads the sums of an earlier call is done
    if (lane == 0) of_warp[warp] = value;
    __syncthreads();
    return warp_sum(warp == 0 && lane < warps ? of_warp[lane] : 0.0);
}

// Whether this block is the last of the grid to come here; what the others wrote before is there then.
__device__ inline bool is_last_block(unsigned* arrived) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(arrived, 1u) == gridDim.x - 1;
        if (last) *arrived = 0;  // for the next launch
    }
    __syncthreads();
    return last;
}

// Σ parts, by one block, for thread 0: volatile, because other blocks wrote them.
__device__ inline double sum_of(const volatile real* parts, integer count) {
    double sum = 0;
    for (integer i = threadIdx.x; i < count; i += blockDim.x) sum += parts[i];
    return block_sum(sum);
}

// -- activations

enum Activation {
    IDENTITY, RELU, LEAKY_RELU, ELU, SELU, SIGMOID, HARD_SIGMOID, TANH, HARD_TANH, SOFTSIGN, SOFTPLUS, STEP, SILU, MISH,
    GELU, GELU_TANH
};

#define SELU_SCALE ((real)1.0507009873554805)
#define SELU_LEVEL ((real)1.7580993408473766)  // λα
#define GELU_RATE ((real)1.5957691216057308)   // 2·√(2/π)
#define GELU_CUBE ((real)0.044715)
#define ROOT_HALF ((real)0.7071067811865476)
#define NORMAL_TOP ((real)0.3989422804014327)  // 1 / √(2π)
#define ERFC_RATE ((real)0.5641895835477563)   // 1 / √π
// what is left of √½
#define ROOT_HALF_REST (sizeof(real) == 4 ? (real)1.2101617152815436e-8 : (real)-4.833646656726457e-17)

__device__ inline real clamp(real x, real low, real high) { return x < low ? low : x > high ? high : x; }  // NaN stays NaN

__device__ inline real far_out() { return sizeof(real) == 4 ? (real)177.44568 : (real)1419.565425786768; }  // 2·log of the largest

__device__ inline real near(real x) { return clamp(x, -far_out(), far_out()); }  // so that 0·∞ cannot arise

__device__ inline real not_far_below(real x) { return x < -far_out() ? -far_out() : x; }

__device__ inline real sigmoid(real x) {
    const real least = sizeof(real) == 4 ? (real)-87 : (real)-708;  // below it e^-x overflows
    return 1 / (1 + exp(-(x < least ? least : x)));
}

// The same, to its last digits down to 0: what a gate is multiplied by may be large.
__device__ inline real gate(real x) {
    const real e = exp(-fabs(x));
    return (x > 0 ? 1 : e) / (1 + e);
}

__device__ inline real softplus(real x) { return larger(x, 0) + log1p(exp(-fabs(x))); }  // = log(1 + e^x)

// e^(-x²/2) of a near x, with what is lost by rounding x²: far from 0 that would be tens of ULP.
__device__ inline real bell(real x) {
    const real square = x * x;
    return exp((real)-0.5 * square) * (1 - (real)0.5 * fma(x, x, -square));
}

// Φ(x) = erfc(-x/√2) / 2 of a near x, with what is lost by rounding x/√2.
__device__ inline real normal_cdf(real x) {
    const real down = -x * ROOT_HALF, rest = fma(-x, ROOT_HALF, -down) - x * ROOT_HALF_REST;
    return (real)0.5 * erfc(down) - rest * ERFC_RATE * bell(x);
}

__device__ inline real normal_pdf(real x) { return NORMAL_TOP * bell(x); }

__device__ inline real twice_u(real x) { return GELU_RATE * (x + GELU_CUBE * x * x * x); }

// y of x; a is the activation's own number (a slope, α), where it has one.
__device__ inline real activate(int kind, real x, real a) {
    switch (kind) {
        case RELU: return larger(0, x);
        case LEAKY_RELU: return x > 0 ? x : a * x;
        case ELU: return x > 0 ? x : a * expm1(x);
        case SELU: return x > 0 ? SELU_SCALE * x : SELU_LEVEL * expm1(x);
        case SIGMOID: return sigmoid(x);
        case HARD_SIGMOID: return clamp(x / 6 + (real)0.5, 0, 1);
        case TANH: return tanh(x);
        case HARD_TANH: return clamp(x, -1, 1);
        case SOFTSIGN: return fabs(x) < infinity() ? x / (1 + fabs(x)) : x > 0 ? 1 : x < 0 ? -1 : x;
        case SOFTPLUS: return softplus(x);
        case STEP: return x > 0 ? 1 : 0;
        case SILU: return not_far_below(x) * gate(x);
        case MISH: return not_far_below(x) * tanh(softplus(x));
        case GELU: return not_far_below(x) * normal_cdf(near(x));
        case GELU_TANH: return not_far_below(x) * gate(twice_u(near(x)));
        default: return x;
    }
}

// dx of dy; kept is y, or x where y says too little (softsign and the gates).
__device__ inline real derive(int kind, real dy, real kept, real a) {
    const real x = kept, y = kept;
    switch (kind) {
        case RELU: return y > 0 ? dy : 0;
        case LEAKY_RELU: return y > 0 ? dy : a * dy;
        case ELU: return y > 0 ? dy : dy * (y + a);
        case SELU: return y > 0 ? SELU_SCALE * dy : dy * (y + SELU_LEVEL);
        case SIGMOID: return dy * (1 - y) * y;
        case HARD_SIGMOID: return y > 0 && y < 1 ? dy / 6 : 0;
        case TANH: return dy * (1 - y * y);
        case HARD_TANH: return y > -1 && y < 1 ? dy : 0;
        case SOFTSIGN: { const real root = 1 / (1 + fabs(x)); return dy * root * root; }
        case SOFTPLUS: return dy * -expm1(-y);
        case STEP: return 0;
        case SILU: return dy * (gate(x) * (1 + near(x) * gate(-x)));
        case MISH: {
            const real s = softplus(x);
            return dy * (tanh(s) + near(x) * gate(x) * (4 * gate(2 * s) * gate(-2 * s)));  // 1 - tanh² s
        }
        case GELU: return dy * (normal_cdf(near(x)) + near(x) * normal_pdf(near(x)));
        case GELU_TANH: {
            const real close = near(x), u = twice_u(close), slope = GELU_RATE * (1 + 3 * GELU_CUBE * close * close);
            return dy * (gate(u) + close * slope * (gate(u) * gate(-u)));
        }
        default: return dy;
    }
}

// y = activation(x + bias); z = x + bias too, where it is wanted (null: not). bias: one for each column, or null.
KERNEL activation(int kind, const real* x, const real* bias, integer size, integer columns, double a, real* z, real* y) {
    for (integer i = FIRST; i < size; i += STRIDE) {
        const real sum = bias ? x[i] + bias[i % columns] : x[i];
        if (z) z[i] = sum;
        y[i] = activate(kind, sum, (real)a);
    }
}

KERNEL activation_backward(int kind, const real* dy, const real* kept, integer size, double a, real* dx) {
    for (integer i = FIRST; i < size; i += STRIDE) dx[i] = derive(kind, dy[i], kept[i], (real)a);
}

// dx = activation'(…)·dy, and db = Σ_rows dx: a block takes 32 columns, each of its warps every so many rows. dx may be
// null, and for the identity kept, too: then it is the bias gradient alone.
KERNEL bias_activation_backward(
    int kind, const real* dy, const real* kept, integer rows, integer columns, double a, real* dx, real* db) {
    __shared__ real sums[32][32];  // by warp and lane
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    for (integer first = 32 * (integer)blockIdx.x; first < columns; first += 32 * (integer)gridDim.x) {
        const integer column = first + lane;
        real sum = 0;
        for (integer row = warp; row < rows && column < columns; row += warps) {
            const integer i = row * columns + column;
            const real slope = kind == IDENTITY ? dy[i] : derive(kind, dy[i], kept[i], (real)a);
            if (dx) dx[i] = slope;
            sum += slope;
        }
        __syncthreads();  // who reads the sums of the columns before is done
        sums[warp][lane] = sum;
        __syncthreads();
        if (warp == 0 && column < columns) {
            real total = 0;
            for (int w = 0; w < warps; ++w) total += sums[w][lane];
            db[column] = total;
        }
    }
}

// -- softmax and its loss: a warp takes a row

__device__ inline real row_max(const real* z, integer columns) {
    real top = -infinity();
    for (integer k = threadIdx.x % 32; k < columns; k += 32) top = larger(top, z[k]);
    return warp_max(top);
}

__device__ inline real row_sum_of_exp(const real* z, integer columns, real top) {
    real sum = 0;
    for (integer k = threadIdx.x % 32; k < columns; k += 32) sum += exp(z[k] - top);
    return warp_sum(sum);
}

// The first column of the largest value, where NaN is larger than all, as argmax has it.
__device__ inline integer row_argmax(const real* p, integer columns) {
    real best = -infinity();
    integer place = columns;
    for (integer k = threadIdx.x % 32; k < columns; k += 32)
        if (place == columns || (best == best && !(p[k] <= best))) best = p[k], place = k;
    for (int lanes = 16; lanes > 0; lanes /= 2) {
        const real other = __shfl_xor_sync(0xffffffffu, best, lanes);
        const integer there = __shfl_xor_sync(0xffffffffu, place, lanes);
        const bool above = best == best && !(other <= best), equal = other == best || (other != other && best != best);
        if (there < columns && (place == columns || above || (equal && there < place))) best = other, place = there;
    }
    return place;
}

// The log is wanted: y = z - log Σ e^z, else y = e^z / Σ e^z.
KERNEL softmax(const real* z, integer rows, integer columns, int logarithm, real* y) {
    for (integer row = FIRST / 32; row < rows; row += STRIDE / 32) {
        const real *from = z + row * columns, top = row_max(from, columns), sum = row_sum_of_exp(from, columns, top);
        const real log_sum = log(sum);
        for (integer k = threadIdx.x % 32; k < columns; k += 32)
            y[row * columns + k] = logarithm ? (from[k] - top) - log_sum : exp(from[k] - top) / sum;
    }
}

// dx = y·(dy - Σ dy·y), or for the logarithm dx = dy - e^y·Σ dy
KERNEL softmax_backward(const real* dy, const real* y, integer rows, integer columns, int logarithm, real* dx) {
    for (integer row = FIRST / 32; row < rows; row += STRIDE / 32) {
        const integer start = row * columns;
        real sum = 0;
        for (integer k = start + threadIdx.x % 32; k < start + columns; k += 32) sum += logarithm ? dy[k] : dy[k] * y[k];
        sum = warp_sum(sum);
        for (integer k = start + threadIdx.x % 32; k < start + columns; k += 32)
            dx[k] = logarithm ? dy[k] - exp(y[k]) * sum : y[k] * (dy[k] - sum);
    }
}

// p = softmax z, loss = Σ y·(log Σ e^z - z) / D, dz = (p·Σ y - y) / D, and in how many rows the largest p is the target's.
// The targets are labels [rows], or else shares [rows, columns]; p, dz, loss and matches may be null; a loss wants
// row_losses [rows], matches want row_matches [rows] and p.
KERNEL softmax_crossentropy(
    const real* z, const integer* labels, const real* shares, integer rows, integer columns, double divisor, real* p,
    real* dz, real* loss, real* matches, real* row_losses, real* row_matches, unsigned* arrived) {
    const int lane = threadIdx.x % 32;
    for (integer row = FIRST / 32; row < rows; row += STRIDE / 32) {
        const real* from = z + row * columns;
        const real *share = shares ? shares + row * columns : 0, top = row_max(from, columns);
        const real sum = row_sum_of_exp(from, columns, top), log_sum = log(sum);
        real surprise = 0, whole = 1;
        if (share) {
            whole = 0;
            for (integer k = lane; k < columns; k += 32) {
                whole += share[k];
                if (share[k] > 0) surprise += share[k] * ((top - from[k]) + log_sum);  // 0 · log 0 = 0
            }
            whole = warp_sum(whole), surprise = warp_sum(surprise);
        } else {
            const integer label = labels[row];  // one that is out of range makes no number, and reads no other memory
            surprise = 0 <= label && label < columns ? (top - from[label]) + log_sum : infinity() - infinity();
        }
        for (integer k = lane; k < columns; k += 32) {
            const real chance = exp(from[k] - top) / sum;
            const real target = share ? share[k] : labels[row] == k ? (real)1 : (real)0;
            if (dz) dz[row * columns + k] = (chance * whole - target) / (real)divisor;
            if (p) p[row * columns + k] = chance;
        }
        if (matches) {
            const integer found = row_argmax(p + row * columns, columns);  // a lane reads what it wrote: no barrier
            const integer target = share ? row_argmax(share, columns) : labels[row];
            if (lane == 0) row_matches[row] = found == target;
        }
        if (loss && lane == 0) row_losses[row] = surprise;
    }
    if (!(loss || matches) || !is_last_block(arrived)) return;
    if (loss) {
        const double total = sum_of(row_losses, rows);
        if (threadIdx.x == 0) *loss = (real)(total / divisor);
    }
    if (matches) {
        const double total = sum_of(row_matches, rows);
        if (threadIdx.x == 0) *matches = (real)total;
    }
}

// In how many rows the largest p is the target's: for labels [rows], or else shares [rows, columns].
KERNEL class_matches(
    const real* p, const integer* labels, const real* shares, integer rows, integer columns, real* matches,
    real* row_matches, unsigned* arrived) {
    for (integer row = FIRST / 32; row < rows; row += STRIDE / 32) {
        const integer found = row_argmax(p + row * columns, columns);
        const integer target = shares ? row_argmax(shares + row * columns, columns) : labels[row];
        if (threadIdx.x % 32 == 0) row_matches[row] = found == target;
    }
    if (!is_last_block(arrived)) return;
    const double total = sum_of(row_matches, rows);
    if (threadIdx.x == 0) *matches = (real)total;
}

// -- losses of elements: each block leaves the sum of its part, and the last one adds them up

__device__ inline void finish(double part, double other, integer size, double divisor, real* loss, real* matches,
                              real* parts, unsigned* arrived) {
    const double sum = block_sum(part), count = matches ? block_sum(other) : 0;
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = (real)sum;
        if (matches) parts[gridDim.x + blockIdx.x] = (real)count;
    }
    if (!is_last_block(arrived)) return;
    const double total = sum_of(parts, gridDim.x), hits = matches ? sum_of(parts + gridDim.x, gridDim.x) : 0;
    if (threadIdx.x > 0) return;
    if (loss) *loss = (real)(total / divisor);
    if (matches) *matches = (real)hits;
}

// p = σ(z), loss = Σ (max(z, 0) - z·y + log(1 + e^-|z|)) / D, dz = (p - y) / D, and how many p are on the target's side of
// the threshold; p, dz, loss and matches may be null. parts: [2, blocks].
KERNEL sigmoid_crossentropy(
    const real* z, const real* y, integer size, double divisor, double threshold, real* p, real* dz, real* loss,
    real* matches, real* parts, unsigned* arrived) {
    double part = 0, hits = 0;
    for (integer i = FIRST; i < size; i += STRIDE) {
        const real x = z[i], chance = sigmoid(x), extent = fabs(x), wrong = fabs((x > 0 ? (real)1 : (real)0) - y[i]);
        part += (wrong > 0 ? extent : 0) * wrong + log1p(exp(-extent));  // max(z, 0) - z·y = |z|·wrong; 0 · ∞ is 0
        hits += (chance > (real)threshold) == (y[i] > (real)0.5);
        if (dz) dz[i] = (chance - y[i]) / (real)divisor;
        if (p) p[i] = chance;
    }
    if (loss || matches) finish(part, hits, size, divisor, loss, matches, parts, arrived);
}

// How many p are on their target's side of the limit, or, where distance is wanted, closer to it than that. parts: [2, blocks].
KERNEL element_matches(
    const real* p, const real* y, integer size, int distance, double limit, real* matches, real* parts,
    unsigned* arrived) {
    double hits = 0;
    for (integer i = FIRST; i < size; i += STRIDE)
        hits += distance ? fabs(p[i] - y[i]) < (real)limit : (p[i] > (real)limit) == (y[i] > (real)0.5);
    finish(0, hits, size, 1, 0, matches, parts, arrived);
}

// loss = Σ (p - y)² / D and dp = 2·(p - y) / D; either may be null. parts: [blocks].
KERNEL squared_error(
    const real* p, const real* y, integer size, double divisor, real* dp, real* loss, real* parts, unsigned* arrived) {
    double part = 0;
    for (integer i = FIRST; i < size; i += STRIDE) {
        const real error = p[i] - y[i];
        part += error * error;
        if (dp) dp[i] = 2 * error / (real)divisor;
    }
    if (loss) finish(part, 0, size, divisor, loss, 0, parts, arrived);
}

// -- penalties, and norms

// sum = λ·Σ w², or λ·Σ |w|. parts: [blocks].
KERNEL sum_of_powers(const real* w, integer size, int squares, double rate, real* sum, real* parts, unsigned* arrived) {
    real part = 0;  // of few elements; what the threads found is added up in double
    for (integer i = FIRST; i < size; i += STRIDE) part += squares ? w[i] * w[i] : fabs(w[i]);
    const double total = block_sum(part);
    if (threadIdx.x == 0) parts[blockIdx.x] = (real)total;
    if (!is_last_block(arrived)) return;
    const double whole = sum_of(parts, gridDim.x);
    if (threadIdx.x == 0) *sum = (real)(rate * whole);
}

// dw + 2λw, or dw + λ·sign w
KERNEL penalty_backward(const real* dw, const real* w, integer size, int squares, double rate, real* out) {
    for (integer i = FIRST; i < size; i += STRIDE) {
        const real sign = w[i] > 0 ? 1 : w[i] < 0 ? -1 : w[i];
        out[i] = dw[i] + (squares ? (real)(2 * rate) * w[i] : (real)rate * sign);
    }
}

// g · limit / max(√square, limit)
KERNEL clip_norm(const real* g, integer size, const real* square, double limit, real* out) {
    const real factor = (real)limit / larger(sqrt(*square), (real)limit);
    for (integer i = FIRST; i < size; i += STRIDE) out[i] = g[i] * factor;
}

KERNEL clip_value(const real* g, integer size, double limit, real* out) {
    for (integer i = FIRST; i < size; i += STRIDE) out[i] = clamp(g[i], (real)-limit, (real)limit);
}

KERNEL add(const real* a, const real* b, integer size, real* sum) {
    for (integer i = FIRST; i < size; i += STRIDE) sum[i] = a[i] + b[i];
}

// -- dropout

// The four words of a counter: Philox4x64-10 (Salmon et al., SC 2011), as numpy.random.Philox has it.
__device__ inline void philox(const word counter[4], word key0, word key1, word out[4]) {
    word c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; ++round) {
        const word high0 = __umul64hi(0xD2E7470EE14C6C93ull, c0), low0 = 0xD2E7470EE14C6C93ull * c0;
        const word high1 = __umul64hi(0xCA5A826395121157ull, c2), low1 = 0xCA5A826395121157ull * c2;
        c0 = high1 ^ c1 ^ key0, c1 = low1, c2 = high0 ^ c3 ^ key1, c3 = low0;
        key0 += 0x9E3779B97F4A7C15ull, key1 += 0xBB67AE8584CAA73Bull;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

// y = x·scale where the stream's word is at least the threshold, else 0. The agenda tells the stream's step, and its word
// for the first element; a thread takes the four elements of one block of the stream. NumPy counts up before it makes a
// block, so the first one is that of counter 1.
KERNEL dropout(
    const real* x, integer size, word key0, word key1, word item, const integer* agenda, int step, int offset,
    word threshold, double scale, real* y) {
    const word begin = (word)number(agenda, offset), skipped = begin % 4;
    for (integer block = FIRST; block * 4 < size + (integer)skipped; block += STRIDE) {
        const word counter[4] = {begin / 4 + (word)block + 1, 0, (word)number(agenda, step), item};
        word words[4];
        philox(counter, key0, key1, words);
        for (int lane = 0; lane < 4; ++lane) {
            const integer i = block * 4 + lane - (integer)skipped;
            if (0 <= i && i < size) y[i] = words[lane] >= threshold ? x[i] * (real)scale : 0;
        }
    }
}

// -- rows

// Row i of up to three arrays is row order[start + i] of their sources; rows are of so many units of 4 bytes (0: none).
KERNEL gather(
    const integer* order, const integer* agenda, int start, integer rows, const unsigned* a, unsigned* a_rows,
    integer a_units, const unsigned* b, unsigned* b_rows, integer b_units, const unsigned* c, unsigned* c_rows,
    integer c_units) {
    const integer first = (integer)number(agenda, start), units = a_units + b_units + c_units;
    for (integer i = FIRST; i < rows * units; i += STRIDE) {
        const integer row = i / units, unit = i % units, from = order[first + row];
        if (unit < a_units)
            a_rows[row * a_units + unit] = a[from * a_units + unit];
        else if (unit < a_units + b_units)
            b_rows[row * b_units + unit - a_units] = b[from * b_units + unit - a_units];
        else
            c_rows[row * c_units + unit - a_units - b_units] = c[from * c_units + unit - a_units - b_units];
    }
}

// -- updates of the arena: element by element, four at a time where memory is aligned

struct alignas(4 * sizeof(real)) Four {
    real e[4];
};

// rule(w, g, s, t) for each element, with as many SLOTS (moments) as the rule keeps.
template <int SLOTS, class Rule>
__device__ inline void update(real* w, const real* g, real* s, real* t, integer size, Rule rule) {
    const word addresses = (word)w | (word)g | (SLOTS > 0 ? (word)s : 0) | (SLOTS > 1 ? (word)t : 0);
    const integer fours = addresses % sizeof(Four) ? 0 : size / 4;
    real nothing = 0;
    for (integer i = FIRST; i < fours; i += STRIDE) {
        Four a = ((Four*)w)[i], b = ((const Four*)g)[i], c, d;
        if (SLOTS > 0) c = ((Four*)s)[i];
        if (SLOTS > 1) d = ((Four*)t)[i];
        for (int e = 0; e < 4; ++e) rule(a.e[e], b.e[e], SLOTS > 0 ? c.e[e] : nothing, SLOTS > 1 ? d.e[e] : nothing);
        ((Four*)w)[i] = a;
        if (SLOTS > 0) ((Four*)s)[i] = c;
        if (SLOTS > 1) ((Four*)t)[i] = d;
    }
    for (integer i = 4 * fours + FIRST; i < size; i += STRIDE)
        rule(w[i], g[i], SLOTS > 0 ? s[i] : nothing, SLOTS > 1 ? t[i] : nothing);
}

// Every rule may begin with w ← w - ηλw (λ: decay).
__device__ inline real decayed(real w, real shrink) { return shrink == 0 ? w : w - shrink * w; }  // 0 · ∞ is no number

KERNEL sgd(real* w, const real* g, integer size, const integer* agenda, int learning_rate, double decay) {
    const double eta = number(agenda, learning_rate);
    const real rate = (real)eta, shrink = (real)(eta * decay);
    update<0>(w, g, 0, 0, size, [=](real& w, real g, real&, real&) {
        w = decayed(w, shrink);
        w = w - rate * g;
    });
}

KERNEL decay_weights(real* w, integer size, const integer* agenda, int learning_rate, double decay) {
    const real shrink = (real)(number(agenda, learning_rate) * decay);
    for (integer i = FIRST; i < size; i += STRIDE) w[i] = w[i] - shrink * w[i];
}

KERNEL momentum(
    real* w, const real* g, real* v, integer size, const integer* agenda, int learning_rate, double decay, double momentum) {
    const double eta = number(agenda, learning_rate);
    const real rate = (real)eta, shrink = (real)(eta * decay), mu = (real)momentum;
    update<1>(w, g, v, 0, size, [=](real& w, real g, real& v, real&) {
        w = decayed(w, shrink);
        v = mu * v - rate * g;
        w = w + v;
    });
}

KERNEL nesterov(
    real* w, const real* g, real* v, integer size, const integer* agenda, int learning_rate, double decay, double momentum) {
    const double eta = number(agenda, learning_rate);
    const real rate = (real)eta, shrink = (real)(eta * decay), mu = (real)momentum;
    update<1>(w, g, v, 0, size, [=](real& w, real g, real& v, real&) {
        w = decayed(w, shrink);
        v = mu * v - rate * g;
        w = w + (mu * v - rate * g);
    });
}

KERNEL adagrad(
    real* w, const real* g, real* c, integer size, const integer* agenda, int learning_rate, double decay, double epsilon) {
    const double eta = number(agenda, learning_rate);
    const real rate = (real)eta, shrink = (real)(eta * decay), least = (real)epsilon;
    update<1>(w, g, c, 0, size, [=](real& w, real g, real& c, real&) {
        w = decayed(w, shrink);
        c = c + g * g;
        w = w - rate * g / (sqrt(c) + least);
    });
}

KERNEL rmsprop(
    real* w, const real* g, real* c, integer size, const integer* agenda, int learning_rate, double decay, double rho,
    double epsilon) {
    const double eta = number(agenda, learning_rate);
    const real rate = (real)eta, shrink = (real)(eta * decay), least = (real)epsilon;
    const real keep = (real)rho, take = (real)(1 - rho);
    update<1>(w, g, c, 0, size, [=](real& w, real g, real& c, real&) {
        w = decayed(w, shrink);
        c = keep * c + take * (g * g);
        w = w - rate * g / (sqrt(c) + least);
    });
}

KERNEL adam(
    real* w, const real* g, real* m, real* v, integer size, const integer* agenda, int learning_rate, int correction_1,
    int correction_2, double decay, double beta_1, double beta_2, double epsilon) {
    const double eta = number(agenda, learning_rate);
    const real rate = (real)eta, shrink = (real)(eta * decay), least = (real)epsilon;
    const real c_1 = (real)number(agenda, correction_1), c_2 = (real)number(agenda, correction_2);
    const real keep_1 = (real)beta_1, take_1 = (real)(1 - beta_1), keep_2 = (real)beta_2, take_2 = (real)(1 - beta_2);
    update<2>(w, g, m, v, size, [=](real& w, real g, real& m, real& v) {
        w = decayed(w, shrink);
        m = keep_1 * m + take_1 * g;
        v = keep_2 * v + take_2 * (g * g);
        w = w - rate * (m / c_1) / (sqrt(v / c_2) + least);
    });
}

KERNEL lion(
    real* w, const real* g, real* m, integer size, const integer* agenda, int learning_rate, double decay, double beta_1,
    double beta_2) {
    const double eta = number(agenda, learning_rate);
    const real rate = (real)eta, shrink = (real)(eta * decay);
    const real keep_1 = (real)beta_1, take_1 = (real)(1 - beta_1), keep_2 = (real)beta_2, take_2 = (real)(1 - beta_2);
    update<1>(w, g, m, 0, size, [=](real& w, real g, real& m, real&) {
        w = decayed(w, shrink);
        const real way = keep_1 * m + take_1 * g;
        w = w - rate * (way > 0 ? (real)1 : way < 0 ? (real)-1 : way);
        m = keep_2 * m + take_2 * g;
    });
}

// -- what optimizers do before and after their rule

KERNEL duplicate(const real* w, integer size, real* copy) {
    for (integer i = FIRST; i < size; i += STRIDE) copy[i] = w[i];
}

// w + r·(w' - w): exactly w' where the rate r is 1, and exactly w where it is 0, also where w' is no number.
KERNEL move_by_rates(const real* w, const real* stepped, const real* rates, integer size, real* moved) {
    for (integer i = FIRST; i < size; i += STRIDE) {
        const real r = rates[i];
        moved[i] = r == 1 ? stepped[i] : r > 0 ? w[i] + r * (stepped[i] - w[i]) : w[i];
    }
}

// β·a + (1 - β)·w
KERNEL average(const real* a, const real* w, integer size, double beta, real* averaged) {
    const real keep = (real)beta, take = (real)(1 - beta);
    for (integer i = FIRST; i < size; i += STRIDE) averaged[i] = keep * a[i] + take * w[i];
}
