// Depthwise convolution and its gradients, channels last: what one thread does.
//
// Plain C++, compiled for GPUs by depthwise.cu and for the processor by tests/cuda_host, which runs every thread of
// a launch against PyTorch's values. Memory is reached through `In` and `Out` by index alone: pointers on a GPU, arrays
// with checked bounds in the test. All sums are f32.
//
// A block is LANES channels wide, so that threads side by side read values side by side, and ROWS strips high. A strip
// is STRIP pixels of one output row: each input value and weight that is loaded serves several of them.

#pragma once

#include <math.h>

#ifdef __CUDACC__
#define HERE __device__ __forceinline__
#else
#define HERE inline
#endif

constexpr int LANES = 32;
constexpr int ROWS = 8;
constexpr int STRIP = 7;

// The sizes of one launch: `Sizes` of plan.rs, field by field.
struct Sizes {
    int batch, channels, kernel, stride;
    // Rows of zeros above the input and columns to its left; negative where rows or columns of it are skipped.
    int top, left;
    int in_height, in_width, out_height, out_width;
    // 1: the taps are read in reverse, which makes the forward pass of stride 1 the input's gradient.
    int flip;
    // 0 none, 1 ReLU6, 2 SiLU, 3 GELU, 4 quick GELU, 5 logistic.
    int activation;
    // Threads among which the kernel's gradient divides the pixels.
    int workers;
};

// Where a thread stands.
struct Thread {
    int lane, row;
    long long block_x;
    int block_y;

    HERE int channel() const { return block_y * LANES + lane; }
    HERE long long strip() const { return block_x * ROWS + row; }
};

HERE float activate(float x, int activation) {
    switch (activation) {
        case 1:
            // A NaN passes through both comparisons.
            x = x < 0.0f ? 0.0f : x;
            return x > 6.0f ? 6.0f : x;
        case 2:
            return x / (1.0f + expf(-x));
        case 3:
            return x * 0.5f * (1.0f + erff(x * 0.70710678f));
        case 4:
            return x / (1.0f + expf(-1.702f * x));
        case 5:
            return 1.0f / (1.0f + expf(-x));
        default:
            return x;
    }
}

// Offset of the first channel of a pixel.
HERE long long pixel(long long image, int y, int x, int height, int width, int channels) {
    return ((image * height + y) * width + x) * channels;
}

// The weights (C, K * K) of the block's channels into `shared` (LANES, K * K), all threads of the block together.
template <int K, typename In>
HERE void fetch_weights(const Sizes& s, Thread t, const In& w, float* shared) {
    for (int i = t.row * LANES + t.lane; i < LANES * K * K; i += LANES * ROWS) {
        int channel = t.block_y * LANES + i / (K * K), tap = i % (K * K);
        if (channel < s.channels) {
            shared[i] = get(w, (long long)channel * K * K + (s.flip ? K * K - 1 - tap : tap));
        }
    }
}

// The values of input row `iy` that a strip starting at input column `ix` sees, zeros outside.
template <int LENGTH, typename In>
HERE void fetch_line(const Sizes& s, const In& x, long long image, int iy, int ix, int channel, float* line) {
    long long row = pixel(image, iy, 0, s.in_height, s.in_width, s.channels) + channel;
#pragma unroll
    for (int i = 0; i < LENGTH; i++) {
        bool inside = ix + i >= 0 && ix + i < s.in_width;
        line[i] = inside ? get(x, row + (long long)(ix + i) * s.channels) : 0.0f;
    }
}

// y (B, H', W', C) = activation(conv(x (B, H, W, C), w) + b): one strip of one channel.
template <int K, int S, typename In, typename Out>
HERE void forward(const Sizes& s, Thread t, const In& x, const float* shared, const In& b, Out& y) {
    constexpr int LENGTH = (STRIP - 1) * S + K;
    int channel = t.channel(), across = (s.out_width + STRIP - 1) / STRIP;
    long long row = t.strip() / across, image = row / s.out_height;
    if (channel >= s.channels || image >= s.batch) return;
    int oy = (int)(row % s.out_height), ox = (int)(t.strip() % across) * STRIP;
    float sums[STRIP], line[LENGTH], start = present(b) ? get(b, channel) : 0.0f;
#pragma unroll
    for (int i = 0; i < STRIP; i++) sums[i] = start;
#pragma unroll
    for (int ky = 0; ky < K; ky++) {
        int iy = oy * S - s.top + ky;
        if (iy < 0 || iy >= s.in_height) continue;
        fetch_line<LENGTH>(s, x, image, iy, ox * S - s.left, channel, line);
#pragma unroll
        for (int kx = 0; kx < K; kx++) {
            float w = shared[t.lane * K * K + ky * K + kx];
#pragma unroll
            for (int i = 0; i < STRIP; i++) sums[i] = fmaf(line[i * S + kx], w, sums[i]);
        }
    }
    long long to = pixel(image, oy, ox, s.out_height, s.out_width, s.channels) + channel;
#pragma unroll
    for (int i = 0; i < STRIP; i++) {
        if (ox + i < s.out_width) put(y, to + (long long)i * s.channels, activate(sums[i], s.activation));
    }
}

// The same for any kernel and stride: one pixel of one channel.
template <typename In, typename Out>
HERE void forward_any(const Sizes& s, Thread t, const In& x, const In& w, const In& b, Out& y) {
    int channel = t.channel(), ox = (int)(t.strip() % s.out_width);
    long long row = t.strip() / s.out_width, image = row / s.out_height;
    if (channel >= s.channels || image >= s.batch) return;
    int oy = (int)(row % s.out_height), taps = s.kernel * s.kernel;
    float sum = present(b) ? get(b, channel) : 0.0f;
    for (int tap = 0; tap < taps; tap++) {
        int iy = oy * s.stride - s.top + tap / s.kernel, ix = ox * s.stride - s.left + tap % s.kernel;
        if (iy < 0 || iy >= s.in_height || ix < 0 || ix >= s.in_width) continue;
        float weight = get(w, (long long)channel * taps + (s.flip ? taps - 1 - tap : tap));
        sum = fmaf(get(x, pixel(image, iy, ix, s.in_height, s.in_width, s.channels) + channel), weight, sum);
    }
    put(y, pixel(image, oy, ox, s.out_height, s.out_width, s.channels) + channel, activate(sum, s.activation));
}

// The input's gradient (B, H, W, C) from that of the output, any stride: one input pixel gathers from every output that
// read it.
template <typename In, typename Out>
HERE void input_gradient(const Sizes& s, Thread t, const In& g, const In& w, Out& gx) {
    int channel = t.channel(), ix = (int)(t.strip() % s.in_width);
    long long row = t.strip() / s.in_width, image = row / s.in_height;
    if (channel >= s.channels || image >= s.batch) return;
    int iy = (int)(row % s.in_height);
    float sum = 0.0f;
    // Output o reads input i through tap k where o * stride = i + before - k.
    for (int ky = (iy + s.top) % s.stride; ky < s.kernel; ky += s.stride) {
        int oy = (iy + s.top - ky) / s.stride;
        if (iy + s.top < ky || oy >= s.out_height) continue;
        for (int kx = (ix + s.left) % s.stride; kx < s.kernel; kx += s.stride) {
            int ox = (ix + s.left - kx) / s.stride;
            if (ix + s.left < kx || ox >= s.out_width) continue;
            float weight = get(w, ((long long)channel * s.kernel + ky) * s.kernel + kx);
            sum = fmaf(get(g, pixel(image, oy, ox, s.out_height, s.out_width, s.channels) + channel), weight, sum);
        }
    }
    put(gx, pixel(image, iy, ix, s.in_height, s.in_width, s.channels) + channel, sum);
}

// The kernel's gradient, first half: sums (workers, K * K, C) over every workers-th strip.
template <int K, int S, typename In, typename Out>
HERE void kernel_gradient(const Sizes& s, Thread t, const In& g, const In& x, Out& sums) {
    constexpr int LENGTH = (STRIP - 1) * S + K;
    int channel = t.channel(), across = (s.out_width + STRIP - 1) / STRIP;
    if (channel >= s.channels || t.strip() >= s.workers) return;
    long long strips = (long long)s.batch * s.out_height * across;
    float own[K * K], grads[STRIP], line[LENGTH];
#pragma unroll
    for (int tap = 0; tap < K * K; tap++) own[tap] = 0.0f;
    for (long long strip = t.strip(); strip < strips; strip += s.workers) {
        long long row = strip / across, image = row / s.out_height;
        int oy = (int)(row % s.out_height), ox = (int)(strip % across) * STRIP;
        long long from = pixel(image, oy, ox, s.out_height, s.out_width, s.channels) + channel;
#pragma unroll
        for (int i = 0; i < STRIP; i++) {
            grads[i] = ox + i < s.out_width ? get(g, from + (long long)i * s.channels) : 0.0f;
        }
#pragma unroll
        for (int ky = 0; ky < K; ky++) {
            int iy = oy * S - s.top + ky;
            if (iy < 0 || iy >= s.in_height) continue;
            fetch_line<LENGTH>(s, x, image, iy, ox * S - s.left, channel, line);
#pragma unroll
            for (int kx = 0; kx < K; kx++) {
#pragma unroll
                for (int i = 0; i < STRIP; i++) {
                    own[ky * K + kx] = fmaf(line[i * S + kx], grads[i], own[ky * K + kx]);
                }
            }
        }
    }
#pragma unroll
    for (int tap = 0; tap < K * K; tap++) {
        put(sums, (t.strip() * K * K + tap) * s.channels + channel, own[tap]);
    }
}

// The same for any kernel and stride: one worker and tap, `t.strip()` counting workers times taps.
template <typename In, typename Out>
HERE void kernel_gradient_any(const Sizes& s, Thread t, const In& g, const In& x, Out& sums) {
    int channel = t.channel(), taps = s.kernel * s.kernel, tap = (int)(t.strip() % taps);
    long long worker = t.strip() / taps, pixels = (long long)s.batch * s.out_height * s.out_width;
    if (channel >= s.channels || worker >= s.workers) return;
    float sum = 0.0f;
    for (long long p = worker; p < pixels; p += s.workers) {
        long long row = p / s.out_width, image = row / s.out_height;
        int iy = (int)(row % s.out_height) * s.stride - s.top + tap / s.kernel;
        int ix = (int)(p % s.out_width) * s.stride - s.left + tap % s.kernel;
        if (iy < 0 || iy >= s.in_height || ix < 0 || ix >= s.in_width) continue;
        float value = get(x, pixel(image, iy, ix, s.in_height, s.in_width, s.channels) + channel);
        sum = fmaf(value, get(g, p * s.channels + channel), sum);
    }
    put(sums, (worker * taps + tap) * s.channels + channel, sum);
}

// The kernel's gradient, second half: `sums` (workers, K * K, C) over the workers. Here a lane is one of the K * K * C
// columns. First each row of the block adds its share, into `shared` (ROWS, LANES) ..
template <typename In>
HERE void add_share(const Sizes& s, Thread t, const In& sums, float* shared) {
    long long columns = (long long)s.kernel * s.kernel * s.channels, column = t.block_x * LANES + t.lane;
    float sum = 0.0f;
    for (int worker = t.row; column < columns && worker < s.workers; worker += ROWS) {
        sum += get(sums, worker * columns + column);
    }
    shared[t.row * LANES + t.lane] = sum;
}

// .. then the first row adds these, into gw (C, K * K). The order is fixed, so the result is too.
template <typename Out>
HERE void add_rows(const Sizes& s, Thread t, const float* shared, Out& gw) {
    long long taps = (long long)s.kernel * s.kernel, column = t.block_x * LANES + t.lane;
    if (t.row > 0 || column >= taps * s.channels) return;
    float sum = 0.0f;
    for (int row = 0; row < ROWS; row++) sum += shared[row * LANES + t.lane];
    put(gw, column % s.channels * taps + column / s.channels, sum);
}
