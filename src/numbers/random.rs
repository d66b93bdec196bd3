//! Random draws that are the same on every machine and in every release.
//!
//! The generator is ChaCha with 8 rounds (Bernstein 2008), and what is made of its bits (an index below n, a shuffle)
//! is written out here: libraries are free to change how they turn bits into draws, and then every split would move.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A stream of draws, fixed by what it is for, a seed and a stream number.
#[derive(Debug, Clone)]
pub struct Random {
    rng: ChaCha8Rng,
}

impl Random {
    /// Streams with another `purpose` (its first 24 bytes count), another `seed` or another `stream` have nothing to
    /// do with each other, so that, for instance, the draw in one class does not depend on the other classes.
    pub fn new(purpose: &str, seed: u64, stream: u64) -> Random {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        for (byte, purpose) in key[8..].iter_mut().zip(purpose.bytes()) {
            *byte = purpose;
        }
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(stream);
        Random { rng }
    }

    /// A number in `0..n`, each as likely; 0 for `n` = 0.
    ///
    /// Lemire 2019, "Fast random integer generation in an interval": the high half of a product, with the few low
    /// halves that would favour some numbers drawn again.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        if n == 0 {
            return 0;
        }
        let unfair = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.rng.next_u64()) * u128::from(n);
            if product as u64 >= unfair {
                return (product >> 64) as usize;
            }
        }
    }

    /// A number from 0 to 1, 1 excluded, in steps of 2^-53.
    pub fn unit(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A number from the normal distribution of mean 0 and deviation 1.
    ///
    /// Leva 1992, "A fast normal random number generator" (ACM Transactions on Mathematical Software 18): the ratio of two
    /// uniform numbers, drawn again where the pair lies outside the region that makes it normal. The value is a quotient; the
    /// logarithm, whose last digit may differ between machines, only decides one pair in eighty.
    pub fn normal(&mut self) -> f64 {
        loop {
            // From 0, excluded, to 1: it divides.
            let u = 1.0 - self.unit();
            let v = 1.7156 * (self.unit() - 0.5);
            let (x, y) = (u - 0.449871, v.abs() + 0.386595);
            let q = x * x + y * (0.19600 * y - 0.25472 * x);
            if q < 0.27597 || (q <= 0.27846 && v * v <= -4.0 * u.ln() * u * u) {
                return v / u;
            }
        }
    }

    /// Puts the items into a random order, each order as likely (Fisher and Yates, from the back).
    ///
    /// ```
    /// use wider_clip::random::Random;
    ///
    /// let mut items = [0, 1, 2, 3, 4];
    /// Random::new("example", 0, 0).shuffle(&mut items);
    /// let mut again = [0, 1, 2, 3, 4];
    /// Random::new("example", 0, 0).shuffle(&mut again);
    /// assert_eq!(items, again);
    /// items.sort();
    /// assert_eq!(items, [0, 1, 2, 3, 4]);
    /// ```
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// `n` draws from a normal distribution of mean 0 and the given deviation, cut at two deviations.
///
/// A draw is uniform in [-2, 2] and kept with probability exp(-x^2 / 2): no logarithm or cosine, whose last digit may
/// differ between machines, enters the value.
pub fn truncated_normal(random: &mut Random, n: usize, deviation: f64) -> Vec<f32> {
    const STEPS: usize = 1 << 24;
    let mut unit = || random.below(STEPS) as f64 / STEPS as f64;
    let mut values = Vec::with_capacity(n);
    while values.len() < n {
        let x = 4.0 * unit() - 2.0;
        if unit() < (-0.5 * x * x).exp() {
            values.push((x * deviation) as f32);
        }
    }
    values
}
