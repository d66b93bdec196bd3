//! How much of a drop in accuracy is another mix of classes.

use super::check_lengths;
use crate::error::Result;
use std::collections::BTreeMap;

/// A gap in accuracy taken apart (Kitagawa 1955; Blinder and Oaxaca 1973): `gap = mix + recall`.
///
/// With shares p and q of a class and recalls r and s of it in and out of distribution, `mix` is the sum over classes of
/// (p - q) (r + s) / 2, and `recall` that of (p + q) / 2 (r - s). A class that one side lacks has no recall there: it is left
/// out on both sides, and `covered` says what is left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassMix {
    /// Accuracy in distribution minus accuracy out of it, over the classes that both have.
    pub gap: f64,
    /// What comes from other shares of easy and hard classes.
    pub mix: f64,
    /// What comes from classes being recognised less often.
    pub recall: f64,
    /// The parts of the images, in and out of distribution, that are of a class that both have.
    pub covered: (f64, f64),
}

impl ClassMix {
    /// Takes the gap apart. `id` and `ood` are (class, whether right) of each image; `None` where no class is in both.
    ///
    /// # Errors
    /// A side without an image.
    ///
    /// ```
    /// use wider_clip::metrics::ClassMix;
    ///
    /// // Class 0 is always right, class 1 never; out of distribution class 1 is more frequent, and that is all.
    /// let id = [(0, true), (0, true), (0, true), (1, false)];
    /// let ood = [(0, true), (1, false)];
    /// let mix = ClassMix::of(&id, &ood)?.unwrap();
    /// assert_eq!((mix.gap, mix.mix, mix.recall), (0.25, 0.25, 0.0));
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    pub fn of(id: &[(u32, bool)], ood: &[(u32, bool)]) -> Result<Option<ClassMix>> {
        for side in [id, ood] {
            check_lengths(side.len(), side.len())?;
        }
        // Images and right ones of each class, on either side.
        let mut classes = BTreeMap::<u32, [(f64, f64); 2]>::new();
        for (side, images) in [id, ood].into_iter().enumerate() {
            for &(class, right) in images {
                let (n, n_right) = &mut classes.entry(class).or_default()[side];
                *n += 1.0;
                *n_right += f64::from(u8::from(right));
            }
        }
        classes.retain(|_, [id, ood]| id.0 > 0.0 && ood.0 > 0.0);
        let total = |side: usize| classes.values().map(|class| class[side].0).sum::<f64>();
        let totals = [total(0), total(1)];
        if classes.is_empty() {
            return Ok(None);
        }
        let (mut mix, mut recall) = (0.0, 0.0);
        for [id, ood] in classes.values() {
            let (p, q) = (id.0 / totals[0], ood.0 / totals[1]);
            let (r, s) = (id.1 / id.0, ood.1 / ood.0);
            mix += (p - q) * (r + s) / 2.0;
            recall += (p + q) / 2.0 * (r - s);
        }
        let accuracy = |side: usize| classes.values().map(|class| class[side].1).sum::<f64>() / totals[side];
        let covered = (totals[0] / id.len() as f64, totals[1] / ood.len() as f64);
        Ok(Some(ClassMix { gap: accuracy(0) - accuracy(1), mix, recall, covered }))
    }

    /// The part of the gap that the mix explains; `None` where there is no gap.
    pub fn share(&self) -> Option<f64> {
        (self.gap != 0.0).then(|| self.mix / self.gap)
    }
}
