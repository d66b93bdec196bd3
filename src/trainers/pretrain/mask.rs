//! Which patches are hidden from an encoder.

use crate::random::Random;

/// `masked` of `patches` places, each set as likely (He et al. 2022): `true` where a patch is hidden.
///
/// ```
/// use wider_clip::{pretrain::mask, random::Random};
///
/// let hidden = mask::scattered(36, 27, &mut Random::new("example", 0, 0));
/// assert_eq!(hidden.iter().filter(|&&hidden| hidden).count(), 27);
/// ```
pub fn scattered(patches: usize, masked: usize, random: &mut Random) -> Vec<bool> {
    let mut hidden = vec![false; patches];
    hidden[..masked.min(patches)].fill(true);
    random.shuffle(&mut hidden);
    hidden
}

/// `masked` places of a square grid in blocks, as BEiT hides them (Bao et al. 2022, algorithm 1): rectangles of at least
/// `smallest` patches and of a shape between 0.3 and 1 / 0.3, laid anywhere until enough is hidden.
///
/// Different from BEiT: a block that would hide too much is cut to what is missing, from its last patch backwards, so
/// that every image has exactly `masked` hidden patches and a batch is one tensor (data2vec's code tops up likewise).
///
/// ```
/// use wider_clip::{pretrain::mask, random::Random};
///
/// let hidden = mask::blocks(6, 15, 4, &mut Random::new("example", 0, 0));
/// assert_eq!(hidden.iter().filter(|&&hidden| hidden).count(), 15);
/// ```
pub fn blocks(side: usize, masked: usize, smallest: usize, random: &mut Random) -> Vec<bool> {
    let masked = masked.min(side * side);
    let mut hidden = vec![false; side * side];
    let mut missing = masked;
    while missing > 0 {
        let area = smallest as f64 + random.unit() * (missing.max(smallest) - smallest) as f64;
        let shape = (0.3f64.ln() * (2.0 * random.unit() - 1.0)).exp();
        let clipped = |length: f64| (length.round() as usize).clamp(1, side);
        let (height, width) = (clipped((area * shape).sqrt()), clipped((area / shape).sqrt()));
        let (top, left) = (random.below(side - height + 1), random.below(side - width + 1));
        for at in (top..top + height).flat_map(|row| (left..left + width).map(move |column| row * side + column)) {
            if missing > 0 && !hidden[at] {
                hidden[at] = true;
                missing -= 1;
            }
        }
    }
    hidden
}
