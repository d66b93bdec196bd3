//! What the CUDA driver tells of the device, and of its pool of memory: candle takes all of its tensors from the pool.

use wider_clip::candle_core::Device;

#[cfg(feature = "cuda")]
pub use driver::{facts, keep, peak, reset_peak};

#[cfg(feature = "cuda")]
mod driver {
    use super::Device;
    use wider_clip::candle_core::cuda_backend::cudarc::driver::result::{device, mem_get_info, mem_pool};
    use wider_clip::candle_core::cuda_backend::cudarc::driver::sys::{
        CUmemPool_attribute, CUmemoryPool, cuDriverGetVersion,
    };

    /// The pool of the first device; none on the processor, or where the driver has none.
    fn pool(on: &Device) -> Option<CUmemoryPool> {
        if !on.is_cuda() {
            return None;
        }
        let first = device::get(0).ok()?;
        // Safe: `first` comes from the driver.
        unsafe { device::get_default_mem_pool(first) }.ok()
    }

    fn set(pool: CUmemoryPool, attribute: CUmemPool_attribute, mut value: u64) -> bool {
        // Safe: the pool is the driver's own, and these attributes are 64 bits wide.
        unsafe { mem_pool::set_attribute(pool, attribute, (&raw mut value).cast()) }.is_ok()
    }

    /// Forgets the peak.
    pub fn reset_peak(on: &Device) {
        if let Some(pool) = pool(on) {
            set(pool, CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH, 0);
        }
    }

    /// The most bytes that were in use at once since [`reset_peak`].
    pub fn peak(on: &Device) -> Option<u64> {
        let (pool, mut value) = (pool(on)?, 0u64);
        let attribute = CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
        // Safe: as in `set`.
        unsafe { mem_pool::get_attribute(pool, attribute, (&raw mut value).cast()) }.ok()?;
        Some(value)
    }

    /// Whether the pool keeps what is freed when the device is waited for; by itself it gives it back to the system.
    pub fn keep(on: &Device, kept: bool) -> bool {
        let threshold = if kept { u64::MAX } else { 0 };
        pool(on).is_some_and(|pool| set(pool, CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, threshold))
    }

    pub fn facts(on: &Device) -> Vec<(&'static str, String)> {
        let Device::Cuda(cuda) = on else { return Vec::new() };
        let stream = cuda.cuda_stream();
        let context = stream.context();
        let unknown = || "unknown".to_string();
        let capability = context.compute_capability().map_or_else(|_| unknown(), |(high, low)| format!("{high}.{low}"));
        let mut version = 0;
        // Safe: it writes one number.
        let answer = unsafe { cuDriverGetVersion(&mut version) }.result();
        let driver = answer.map_or_else(|_| unknown(), |()| format!("{}.{}", version / 1000, version % 1000 / 10));
        let memory = mem_get_info()
            .map_or_else(|_| unknown(), |(_, all)| format!("{:.1} GiB", all as f64 / (1u64 << 30) as f64));
        vec![
            ("GPU", context.name().unwrap_or_else(|_| unknown())),
            ("compute capability", capability),
            ("memory", memory),
            ("CUDA of the driver", driver),
        ]
    }
}

#[cfg(not(feature = "cuda"))]
mod none {
    use super::Device;

    pub fn reset_peak(_: &Device) {}

    pub fn peak(_: &Device) -> Option<u64> {
        None
    }

    pub fn keep(_: &Device, _: bool) -> bool {
        false
    }

    pub fn facts(_: &Device) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
#[cfg(not(feature = "cuda"))]
pub use none::{facts, keep, peak, reset_peak};
