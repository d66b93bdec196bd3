//! Memory that stays with the process.

use std::sync::Once;

/// Tells the C library to keep freed memory for the next tensor, once for the process.
///
/// A forward pass frees and asks for tens of megabytes at every operation. glibc hands such blocks back to the system
/// at once, which must then clear each page anew: measured on ConvNeXt-T, 40 per cent of a training step was spent on
/// page faults. Afterwards the process keeps its largest size until it ends. Without effect on other C libraries.
///
/// Call it at the start of a program, before there are other threads: glibc documents `mallopt` as safe for one thread
/// alone (MT-Unsafe init, const:mallopt), since other threads may be reading the settings that it changes. The command line
/// does; a notebook's kernel or a test reaches it with the first model. Calls after the first do nothing.
pub fn keep_memory() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        // SAFETY: `mallopt` takes any numbers, and both settings are documented: no blocks by `mmap`, no trimming of the
        // heap; one that is refused changes nothing. It holds the arena's lock while it writes them. What glibc does not
        // promise is that another thread that allocates meanwhile sees both at once; it reads whole words, so that it
        // takes either the old setting or the new one, and blocks of either kind are freed by what their header says.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
        }
    });
}
