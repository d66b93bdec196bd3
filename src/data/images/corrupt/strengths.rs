//! The two published tables of strengths.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::CorruptionKind;

/// Which table says what a strength means: what is mild for a large image destroys a small one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scale {
    /// ImageNet-C's, for images of about 224 pixels (`make_imagenet_c.py`).
    #[serde(rename = "imagenet")]
    ImageNet,
    /// Tiny-ImageNet-C's, for images of 64 pixels (`make_tinyimagenet_c.py`).
    #[serde(rename = "tiny_imagenet")]
    TinyImageNet,
}

impl Scale {
    /// The table for images whose shorter side has so many pixels: Tiny-ImageNet-C's up to 112, the half of 224, and ImageNet-C's
    /// above.
    ///
    /// ```
    /// use wider_clip::images::Scale;
    /// assert_eq!((Scale::of_side(112), Scale::of_side(113)), (Scale::TinyImageNet, Scale::ImageNet));
    /// ```
    pub fn of_side(shorter: u32) -> Scale {
        if shorter <= 112 { Scale::TinyImageNet } else { Scale::ImageNet }
    }

    /// Its name in tables and keys: `imagenet`, `tiny_imagenet`.
    pub fn name(self) -> &'static str {
        match self {
            Scale::ImageNet => "imagenet",
            Scale::TinyImageNet => "tiny_imagenet",
        }
    }

    /// What the five strengths mean for a kind, the weakest first.
    pub fn amounts(self, kind: CorruptionKind) -> [f64; 5] {
        match (self, kind) {
            (Scale::ImageNet, CorruptionKind::GaussianNoise) => [0.08, 0.12, 0.18, 0.26, 0.38],
            (Scale::ImageNet, CorruptionKind::GaussianBlur) => [1.0, 2.0, 3.0, 4.0, 6.0],
            (Scale::ImageNet, CorruptionKind::Jpeg) => [25.0, 18.0, 15.0, 10.0, 7.0],
            (Scale::ImageNet, CorruptionKind::Pixelate) => [0.6, 0.5, 0.4, 0.3, 0.25],
            (Scale::TinyImageNet, CorruptionKind::GaussianNoise) => [0.04, 0.08, 0.12, 0.15, 0.18],
            (Scale::TinyImageNet, CorruptionKind::GaussianBlur) => [0.5, 0.75, 1.0, 1.25, 1.5],
            (Scale::TinyImageNet, CorruptionKind::Jpeg) => [65.0, 58.0, 50.0, 40.0, 25.0],
            (Scale::TinyImageNet, CorruptionKind::Pixelate) => [0.9, 0.8, 0.7, 0.6, 0.5],
            // The same in both: contrast does not depend on the size.
            (_, CorruptionKind::Contrast) => [0.4, 0.3, 0.2, 0.1, 0.05],
        }
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}
