// The kernels of depthwise.cuh for f32, f16 and bf16, for the kernel sizes and strides of ConvNeXt and EfficientNet and
// for any other. Names: forward_k7s1_f32, forward_any_bf16, and so on.

#include "cuda_bf16.h"
#include "cuda_fp16.h"

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ float widen(__half x) { return __half2float(x); }
__device__ __forceinline__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename T>
__device__ __forceinline__ float get(const T* x, long long i) {
    return widen(x[i]);
}

template <typename T>
__device__ __forceinline__ bool present(const T* x) {
    return x != nullptr;
}

__device__ __forceinline__ void put(float* y, long long i, float value) { y[i] = value; }
__device__ __forceinline__ void put(__half* y, long long i, float value) { y[i] = __float2half(value); }
__device__ __forceinline__ void put(__nv_bfloat16* y, long long i, float value) { y[i] = __float2bfloat16(value); }

#include "depthwise.cuh"

#define BOUNDS __launch_bounds__(LANES * ROWS)
#define HERE_NOW Thread{(int)threadIdx.x, (int)threadIdx.y, (long long)blockIdx.x, (int)blockIdx.y}

#define OF_SIZE(T, TYPE, K, S)                                                                                         \
    extern "C" __global__ void BOUNDS forward_k##K##s##S##_##TYPE(Sizes s, const T* x, const T* w, const T* b, T* y) { \
        __shared__ float weights[LANES * K * K];                                                                       \
        fetch_weights<K>(s, HERE_NOW, w, weights);                                                                     \
        __syncthreads();                                                                                               \
        forward<K, S>(s, HERE_NOW, x, weights, b, y);                                                                  \
    }                                                                                                                  \
    extern "C" __global__ void BOUNDS kernel_gradient_k##K##s##S##_##TYPE(Sizes s, const T* g, const T* x,             \
                                                                          float* sums) {                              \
        kernel_gradient<K, S>(s, HERE_NOW, g, x, sums);                                                                \
    }

#define OF_TYPE(T, TYPE)                                                                                              \
    OF_SIZE(T, TYPE, 3, 1)                                                                                            \
    OF_SIZE(T, TYPE, 3, 2)                                                                                            \
    OF_SIZE(T, TYPE, 5, 1)                                                                                            \
    OF_SIZE(T, TYPE, 5, 2)                                                                                            \
    OF_SIZE(T, TYPE, 7, 1)                                                                                            \
    extern "C" __global__ void BOUNDS forward_any_##TYPE(Sizes s, const T* x, const T* w, const T* b, T* y) {         \
        forward_any(s, HERE_NOW, x, w, b, y);                                                                         \
    }                                                                                                                 \
    extern "C" __global__ void BOUNDS input_gradient_any_##TYPE(Sizes s, const T* g, const T* w, T* gx) {             \
        input_gradient(s, HERE_NOW, g, w, gx);                                                                        \
    }                                                                                                                 \
    extern "C" __global__ void BOUNDS kernel_gradient_any_##TYPE(Sizes s, const T* g, const T* x, float* sums) {      \
        kernel_gradient_any(s, HERE_NOW, g, x, sums);                                                                 \
    }                                                                                                                 \
    extern "C" __global__ void BOUNDS add_workers_##TYPE(Sizes s, const float* sums, T* gw) {                         \
        __shared__ float shares[LANES * ROWS];                                                                        \
        add_share(s, HERE_NOW, sums, shares);                                                                         \
        __syncthreads();                                                                                              \
        add_rows(s, HERE_NOW, shares, gw);                                                                            \
    }

OF_TYPE(float, f32)
OF_TYPE(__half, f16)
OF_TYPE(__nv_bfloat16, bf16)
