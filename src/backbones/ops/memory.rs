//! Memory that stays with the process.

use std::sync::Once;

/// Tells the C library to keep freed memory for the next tensor, once for the process.
///
/// A forward pass frees and asks for tens of megabytes at every operation. glibc hands such blocks back to the system
/// at once, which must then clear each page anew: measured on ConvNeXt-T, 40 per cent of a training step was spent on
/// page faults. Threads get no heaps of their own either: glibc bounds these at 64 MB and gives their ends back whatever it
/// was told; with them two epochs of ConvNeXt-T had 7.2 million page faults for 0.7, and 4.0 GB for 2.3. Afterwards the process
/// keeps its largest size until it ends. Without effect on other C libraries, and on threads that have a heap already.
///
/// Call it at the start of a program, before there are other threads: glibc documents `mallopt` as safe for one thread
/// alone (MT-Unsafe init, const:mallopt), since other threads may be reading the settings that it changes. The command line
/// does; a notebook's kernel or a test reaches it with the first model. Calls after the first do nothing.
pub fn keep_memory() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        // SAFETY: `mallopt` takes any numbers, and the settings are documented: no blocks by `mmap`, no trimming of the
        // heap, one heap for all threads; one that is refused changes nothing. It holds the arena's lock while it writes them. What glibc does not
        // promise is that another thread that allocates meanwhile sees all at once; it reads whole words, so that it
        // takes either the old setting or the new one, and blocks of either kind are freed by what their header says.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    });
}
