//! Panics of libraries that read strangers' bytes, as errors.
//!
//! A reader that meets what its author never thought of may panic. One bad file must not end a run of thousands, so what reads
//! files of strangers runs in [`caught`].

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is about to be caught, and says nothing.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; where it panics, gives the panic's message instead, and nothing is printed. Panics elsewhere print as before.
///
/// `work` must leave nothing behind that a panic would leave half-done: it reads, and gives what it read.
///
/// # Errors
/// The message of the panic.
///
/// ```
/// use wider_clip::guard::caught;
///
/// assert_eq!(caught(|| 1 + 1), Ok(2));
/// assert_eq!(caught(|| panic!("no such row")), Err::<(), _>("no such row".to_string()));
/// ```
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !CAUGHT.get() {
                before(panic);
            }
        }));
    });
    let outer = CAUGHT.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(outer);
    done.map_err(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        said.unwrap_or("without a message").to_string()
    })
}
