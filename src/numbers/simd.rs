//! One body, compiled for several instruction sets, chosen when it runs.
//!
//! The crate is built for the plain x86-64 of any machine; inner loops written as plain slices vectorise, but only to
//! SSE2. [`dispatch`] runs the same loops compiled for AVX-512 or AVX2 where the processor has them.

/// A piece of work whose loops profit from wide vectors.
///
/// `run` must be `#[inline(always)]`, so that it is compiled anew inside each of the functions below.
pub trait Kernel {
    /// Does the work. With `FMA`, products are added by `mul_add`, which is one instruction there; without it that
    /// would be a slow library call.
    fn run<const FMA: bool>(self);
}

/// `a * b + c`, fused where that is one instruction.
#[inline(always)]
pub fn multiply_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Runs `kernel` with the widest vectors that the processor has.
#[cfg(target_arch = "x86_64")]
pub fn dispatch(kernel: impl Kernel) {
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,fma")]
    fn avx512(kernel: impl Kernel) {
        kernel.run::<true>()
    }
    #[target_feature(enable = "avx2,fma")]
    fn avx2(kernel: impl Kernel) {
        kernel.run::<true>()
    }
    let fma = is_x86_feature_detected!("fma");
    if fma && is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512dq") {
        // SAFETY: avx512vl implies avx512f; all four features were just found on this processor.
        unsafe { avx512(kernel) }
    } else if fma && is_x86_feature_detected!("avx2") {
        // SAFETY: both features were just found on this processor.
        unsafe { avx2(kernel) }
    } else {
        kernel.run::<false>()
    }
}

/// Runs `kernel`; 64-bit ARM has fused multiply-add in its base.
#[cfg(not(target_arch = "x86_64"))]
pub fn dispatch(kernel: impl Kernel) {
    kernel.run::<{ cfg!(target_arch = "aarch64") }>()
}
