// A CUDA driver whose device is the processor: just enough of it, of cuBLAS and of cuRAND for candle to open a device,
// move tensors and launch the kernels of src/backbones/ops/cuda in f32. tests/cuda_device/launches.rs loads it before the stand-in
// for a driver, which answers "no device" to every function that is not here.
//
// At the end it prints the kernels that were launched.

#include <map>
#include <string.h>

#include "launch.h"

typedef unsigned long long Pointer;

// Length in bytes of what was allocated, by its first address.
static std::map<Pointer, size_t> memory;
static std::map<std::string, int> launches;

// How many values lie behind an address.
static long long behind(Pointer p) {
    auto block = memory.upper_bound(p);
    if (block == memory.begin()) fail("not on the device: address", p, 0);
    --block;
    return ((long long)block->second - (long long)(p - block->first)) / (long long)sizeof(float);
}

static Input input(void** arguments, int i) {
    Pointer p = *(Pointer*)arguments[i];
    return p == 0 ? Input{nullptr, 0} : Input{(const float*)p, behind(p)};
}

static Output output(void** arguments, int i) {
    Pointer p = *(Pointer*)arguments[i];
    return {(float*)p, behind(p), {}};
}

static void report() {
    for (auto& launch : launches) fprintf(stderr, "launched %s\n", launch.first.c_str());
}

// The two kernels of candle's that a backward pass needs: filling with a value, and adding.
static bool of_candle(const std::string& name, void** arguments) {
    size_t length = *(size_t*)arguments[0];
    if (name == "const_set_f32") {
        float value = *(float*)arguments[3], *out = *(float**)arguments[4];
        for (size_t i = 0; i < length; i++) out[i] = value;
    } else if (name == "badd_f32") {
        const float *a = *(float**)arguments[3], *b = *(float**)arguments[4];
        for (size_t i = 0; i < length; i++) (*(float**)arguments[5])[i] = a[i] + b[i];
    } else {
        return false;
    }
    return true;
}

#define CALL(NAME, ...) extern "C" int NAME(__VA_ARGS__)

CALL(cuInit, unsigned) { return 0; }
CALL(cuDeviceGetCount, int* count) { return *count = 1, 0; }
CALL(cuDeviceGet, int* device, int) { return *device = 0, 0; }
CALL(cuDeviceGetAttribute, int* value, int, int) { return *value = 1, 0; }
CALL(cuDevicePrimaryCtxRetain, void** context, int) { return *context = &memory, 0; }
CALL(cuDevicePrimaryCtxRelease_v2, int) { return 0; }
CALL(cuCtxGetCurrent, void** context) { return *context = &memory, 0; }
CALL(cuCtxSetCurrent, void*) { return 0; }
CALL(cuEventCreate, void** event, unsigned) { return *event = &memory, 0; }
CALL(cuEventRecord, void*, void*) { return 0; }
CALL(cuEventDestroy_v2, void*) { return 0; }
CALL(cuStreamWaitEvent, void*, void*, unsigned) { return 0; }
CALL(cuStreamSynchronize, void*) { return 0; }
CALL(cuStreamDestroy_v2, void*) { return 0; }
CALL(cuMemAllocAsync, Pointer* p, size_t bytes, void*) {
    *p = (Pointer)malloc(bytes + 1);
    memset((void*)*p, 0xff, bytes);
    memory[*p] = bytes;
    return 0;
}
CALL(cuMemFreeAsync, Pointer p, void*) {
    memory.erase(p);
    free((void*)p);
    return 0;
}
CALL(cuMemAlloc_v2, Pointer* p, size_t bytes) { return cuMemAllocAsync(p, bytes, nullptr); }
CALL(cuMemFree_v2, Pointer p) { return cuMemFreeAsync(p, nullptr); }
CALL(cuMemcpyHtoDAsync_v2, Pointer to, const void* from, size_t n, void*) { return memcpy((void*)to, from, n), 0; }
CALL(cuMemcpyDtoHAsync_v2, void* to, Pointer from, size_t n, void*) { return memcpy(to, (void*)from, n), 0; }
CALL(cuMemcpyDtoDAsync_v2, Pointer to, Pointer from, size_t n, void*) { return memcpy((void*)to, (void*)from, n), 0; }
CALL(cuMemsetD8Async, Pointer p, unsigned char value, size_t n, void*) { return memset((void*)p, value, n), 0; }
CALL(cuModuleLoadData, void** module, const void*) { return *module = &memory, 0; }
CALL(cuModuleUnload, void*) { return 0; }
CALL(cuModuleGetFunction, void** function, void*, const char* name) { return *function = new std::string(name), 0; }
CALL(cuLaunchKernel, void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned x, unsigned y,
     unsigned z, unsigned, void*, void** arguments, void**) {
    std::string name = *(std::string*)function;
    if (launches.empty()) atexit(report);
    launches[name]++;
    if (of_candle(name, arguments)) return 0;
    if (x != LANES || y != ROWS || z != 1 || grid_z != 1) fail("block of", x, y);
    if (name.size() < 4 || name.substr(name.size() - 4) != "_f32") fail("not of f32", 0, 0);
    name.resize(name.size() - 4);
    Launch launch{name, *(Sizes*)arguments[0], input(arguments, 1), {}, {}, {}};
    bool adds = name == "add_workers", forward = name.rfind("forward", 0) == 0;
    if (!adds) launch.b = input(arguments, 2);
    if (forward) launch.c = input(arguments, 3);
    launch.out = output(arguments, adds ? 2 : forward ? 4 : 3);
    launch.run(grid_x, (int)grid_y);
    return 0;
}
CALL(cublasCreate_v2, void** handle) { return *handle = &memory, 0; }
CALL(cublasDestroy_v2, void*) { return 0; }
CALL(cublasSetStream_v2, void*, void*) { return 0; }
CALL(curandCreateGenerator, void** generator, int) { return *generator = &memory, 0; }
CALL(curandDestroyGenerator, void*) { return 0; }
CALL(curandSetStream, void*, void*) { return 0; }
CALL(curandSetPseudoRandomGeneratorSeed, void*, Pointer) { return 0; }
