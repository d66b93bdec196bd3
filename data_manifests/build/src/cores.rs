//! Work on all cores, with results in the order of the inputs, so that the number of cores changes nothing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Inputs a worker takes at a time.
const BLOCK: usize = 64;

/// `f(0), f(1), ..., f(n - 1)`.
pub fn map<R: Send>(n: usize, f: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get());
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Vec<R>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let start = next.fetch_add(BLOCK, Ordering::Relaxed);
                    if start >= n {
                        break;
                    }
                    let part: Vec<R> = (start..n.min(start + BLOCK)).map(&f).collect();
                    match done.lock() {
                        Ok(mut done) => done.push((start, part)),
                        Err(poisoned) => poisoned.into_inner().push((start, part)),
                    }
                }
            });
        }
    });
    let mut parts = match done.into_inner() {
        Ok(parts) => parts,
        Err(poisoned) => poisoned.into_inner(),
    };
    parts.sort_by_key(|(start, _)| *start);
    parts.into_iter().flat_map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_keep_the_order_of_inputs() {
        let squares = super::map(1000, |i| i * i);
        assert_eq!(squares.len(), 1000);
        assert!(squares.iter().enumerate().all(|(i, &s)| s == i * i));
    }
}
