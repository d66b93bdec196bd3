//! Memory that stays with the process.

use std::sync::Once;

/// Tells the C library to keep freed memory for the next tensor, once for the process.
///
/// A forward pass frees and asks for tens of megabytes at every operation. glibc hands such blocks back to the system
/// at once, which must then clear each page anew: measured on ConvNeXt-T, 40 per cent of a training step was spent on
/// page faults. Afterwards the process keeps its largest size until it ends. Without effect on other C libraries.
pub fn keep_memory() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        // SAFETY: `mallopt` may be called at any time, and both settings are documented: no blocks by `mmap`, no
        // trimming of the heap. One that is refused changes nothing.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
        }
    });
}
