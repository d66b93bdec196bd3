// One launch of src/backbones/ops/cuda/depthwise.cuh on the processor: every thread of every block, one after the other.
//
// A read or write out of bounds, and an output value that is not written exactly once, end the process with a message.

#pragma once

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <string>
#include <vector>

struct Input {
    const float* values;
    long long length;
};

struct Output {
    float* values;
    long long length;
    std::vector<int> writes;
};

[[noreturn]] inline void fail(const char* what, long long i, long long length) {
    fprintf(stderr, "%s %lld of %lld\n", what, i, length);
    exit(1);
}

inline float get(const Input& x, long long i) {
    if (i < 0 || i >= x.length) fail("read at", i, x.length);
    return x.values[i];
}

inline void put(Output& y, long long i, float value) {
    if (i < 0 || i >= y.length) fail("write at", i, y.length);
    y.values[i] = value;
    y.writes[i]++;
}

inline bool present(const Input& x) { return x.values != nullptr; }

#include "../../src/backbones/ops/cuda/depthwise.cuh"

// What stands between two barriers is run for all threads of a block before what follows.
template <typename Body>
void all_threads(long long block_x, int block_y, Body body) {
    for (int row = 0; row < ROWS; row++) {
        for (int lane = 0; lane < LANES; lane++) body(Thread{lane, row, block_x, block_y});
    }
}

// A kernel by its name without the type, and its arguments; `c` is the bias of the forward pass alone.
struct Launch {
    std::string kernel;
    Sizes s;
    Input a, b, c;
    Output out;

    template <int K, int S>
    bool of_size(long long x, int y) {
        std::string suffix = "_k" + std::to_string(K) + "s" + std::to_string(S);
        if (kernel == "forward" + suffix) {
            std::vector<float> shared(LANES * K * K, NAN);
            all_threads(x, y, [&](Thread t) { fetch_weights<K>(s, t, b, shared.data()); });
            all_threads(x, y, [&](Thread t) { forward<K, S>(s, t, a, shared.data(), c, out); });
        } else if (kernel == "kernel_gradient" + suffix) {
            all_threads(x, y, [&](Thread t) { kernel_gradient<K, S>(s, t, a, b, out); });
        } else {
            return false;
        }
        return true;
    }

    void block(long long x, int y) {
        if (of_size<3, 1>(x, y) || of_size<3, 2>(x, y) || of_size<5, 1>(x, y) || of_size<5, 2>(x, y) ||
            of_size<7, 1>(x, y)) {
            return;
        }
        if (kernel == "forward_any") {
            all_threads(x, y, [&](Thread t) { forward_any(s, t, a, b, c, out); });
        } else if (kernel == "input_gradient_any") {
            all_threads(x, y, [&](Thread t) { input_gradient(s, t, a, b, out); });
        } else if (kernel == "kernel_gradient_any") {
            all_threads(x, y, [&](Thread t) { kernel_gradient_any(s, t, a, b, out); });
        } else if (kernel == "add_workers") {
            std::vector<float> shared(LANES * ROWS, NAN);
            all_threads(x, y, [&](Thread t) { add_share(s, t, a, shared.data()); });
            all_threads(x, y, [&](Thread t) { add_rows(s, t, shared.data(), out); });
        } else {
            fprintf(stderr, "no kernel is called %s\n", kernel.c_str());
            exit(1);
        }
    }

    void run(long long grid_x, int grid_y) {
        out.writes.assign(out.length, 0);
        for (int y = 0; y < grid_y; y++) {
            for (long long x = 0; x < grid_x; x++) block(x, y);
        }
        for (long long i = 0; i < out.length; i++) {
            if (out.writes[i] != 1) fail("not written once: value", i, out.length);
        }
    }
};
