// Runs one launch (launch.h).
//
//     program KERNEL GRID_X GRID_Y SIZES...     (tests/cuda.rs calls it)
//
// Standard input: three arrays, each as its length (64 bits) and that many f32, a missing one with length 0; then the
// length of the output. Standard output: the output.

#include <string.h>

#include "launch.h"

static std::vector<float> read_array(bool input) {
    long long length;
    if (fread(&length, sizeof length, 1, stdin) != 1 || length < 0) fail("input ends before length", 0, 0);
    std::vector<float> values(length, NAN);
    if (input && fread(values.data(), sizeof(float), length, stdin) != (size_t)length) {
        fail("input ends before", 0, length);
    }
    return values;
}

static Input input(const std::vector<float>& values) {
    return {values.empty() ? nullptr : values.data(), (long long)values.size()};
}

int main(int count, char** arguments) {
    constexpr int SIZES = sizeof(Sizes) / sizeof(int);
    if (count != 4 + SIZES) fail("arguments:", count, 4 + SIZES);
    int sizes[SIZES];
    for (int i = 0; i < SIZES; i++) sizes[i] = atoi(arguments[4 + i]);
    std::vector<float> a = read_array(true), b = read_array(true), c = read_array(true), y = read_array(false);
    Launch launch{arguments[1], {}, input(a), input(b), input(c), {y.data(), (long long)y.size(), {}}};
    memcpy(&launch.s, sizes, sizeof sizes);
    launch.run(atoll(arguments[2]), atoi(arguments[3]));
    fwrite(y.data(), sizeof(float), y.size(), stdout);
}
