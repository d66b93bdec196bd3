//! The running best of a search: cheap keys in f32 go in, the smallest stay.

/// The smallest keys seen so far, with their rows, and a bound below which a key is worth looking at.
#[derive(Debug, Clone)]
pub(super) struct Proposals {
    best: Vec<(f32, u32)>,
    keep: usize,
    bound: f32,
}

impl Proposals {
    /// Keeps the `keep` smallest.
    pub fn new(keep: usize) -> Proposals {
        Proposals { best: Vec::with_capacity(2 * keep), keep, bound: f32::INFINITY }
    }

    /// A key at or above this is not kept.
    pub fn bound(&self) -> f32 {
        self.bound
    }

    /// Adds the keys of the rows `start..`.
    pub fn add(&mut self, start: usize, keys: impl Iterator<Item = f32>) {
        for (offset, key) in keys.enumerate() {
            if key < self.bound {
                self.push(key, start + offset);
            }
        }
    }

    /// Adds contiguous keys: sixteen at a time are compared with the bound, which nearly always rejects them all.
    pub fn add_slice(&mut self, start: usize, keys: &[f32]) {
        const BLOCK: usize = 16;
        let blocks = keys.chunks_exact(BLOCK);
        let rest = blocks.remainder();
        for (block_number, block) in blocks.enumerate() {
            let below = block.iter().fold(0u32, |n, &key| n + u32::from(key < self.bound));
            if below > 0 {
                self.add(start + block_number * BLOCK, block.iter().copied());
            }
        }
        self.add(start + keys.len() - rest.len(), rest.iter().copied());
    }

    /// Adds one key.
    pub fn offer(&mut self, key: f32, row: usize) {
        if key < self.bound {
            self.push(key, row);
        }
    }

    fn push(&mut self, key: f32, row: usize) {
        self.best.push((key, row as u32));
        if self.best.len() == 2 * self.keep {
            self.prune();
        }
    }

    fn prune(&mut self) {
        if self.best.len() > self.keep {
            self.best.select_nth_unstable_by(self.keep - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            self.best.truncate(self.keep);
        }
        if self.best.len() == self.keep {
            self.bound = self.best.iter().fold(f32::NEG_INFINITY, |largest, &(key, _)| largest.max(key));
        }
    }

    /// The proposed rows of `n` with their keys, smallest first, and the key at or above which all others lie: infinite where there are no others,
    /// minus infinity where keys that are not finite kept some out.
    pub fn finish(mut self, n: usize) -> (Vec<(f32, u32)>, f32) {
        self.prune();
        let bound = match self.best.len() {
            all if all == n => f32::INFINITY,
            few if few < self.keep => f32::NEG_INFINITY,
            _ => self.bound,
        };
        self.best.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        (self.best, bound)
    }
}
