//! The views of each objective, as its original code draws them, and what is fitted to small drawings.
//!
//! Originals are photographs of several hundred pixels a side, views 224 pixels; here images have 64 pixels a side and
//! views about 48. These things depend on pixels and were fitted:
//!
//! - DINO's large views take 0.7 to 1 of the area and its small ones 0.3 to 0.7, not 0.4 to 1 and 0.05 to 0.4, and no
//!   view is mirrored: 0.05 of 64 x 64 are 14 x 14 pixels, fewer than any view has, and in line drawings often blank.
//! - DINO blurs with a standard deviation of 0.1 to 2 pixels whether a view has 224 pixels or 96. Here it is 0.1 to 2
//!   pixels of 96, in proportion to the view's side: up to 1.0 pixels at 48. In proportion to 224 it would be 0.43 at
//!   most, which changes next to nothing; 2 pixels at 48 would wash thin lines away.
//! - Supervised crops and CLIP's take at least 0.7 of the area and are not mirrored, where DeiT has 0.08 and open_clip
//!   0.9. An icon fills its square, always in the same way, and its label is the whole drawing's: where a line stands
//!   belongs to what it says. After 58,000 images a ViT had 13.6% of held-out neighbours right with crops from 0.35,
//!   mirrors and colours, and 19.3% with crops from 0.9 and nothing else; crops from 0.9 let CLIP learn captions by
//!   heart within seven epochs.
//! - Of CLIP's views four in five are drawn in two other colours. Every second view of EfficientNet's in other colours was
//!   tried as well, in place of AutoAugment: held-out neighbours fell from 24.0 to 18.5%, so it has none.
//! - CLIP's drawings painted in, each closed area and each line in a colour of its own, in place of half of its other
//!   colours: 15.2% of held-out drawings found their name among 128 after 256,000 images, 16.8% did without, and 5.4 and
//!   6.4% in five coloured sets that this training had not seen (both runs read kinds too, as `captions.rs` tells).
//!   It has none.
//! - BEiT's crops take at least 0.2 of the area, as MAE's do, not 0.08: 0.08 of 64 x 64 are 18 x 18 pixels.
//!
//! Solarisation is kept as it is, but does more than to photographs: white paper turns black, and of black lines on it
//! only the soft edges remain.

use super::{Augmentation, Blur, Jitter};

/// torchvision's default, which all recipes keep.
const RATIO: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);

impl Augmentation {
    /// Only the image, all of it, resized to `size`: what evaluation sees.
    pub fn plain(size: usize) -> Self {
        let (scale, ratio) = ((1.0, 1.0), (1.0, 1.0));
        Augmentation {
            size,
            scale,
            ratio,
            flip: 0.0,
            recolour: 0.0,
            jitter: None,
            grey: 0.0,
            blur: None,
            solarise: 0.0,
        }
    }

    /// A crop of a part `scale` of the area, mirrored half of the time.
    fn cropped(size: usize, scale: (f64, f64)) -> Self {
        Augmentation { scale, ratio: RATIO, flip: 0.5, ..Augmentation::plain(size) }
    }

    /// DINO's views, which differ in crop, blur and solarisation (Caron et al. 2021, after BYOL, Grill et al. 2020).
    fn dino(size: usize, scale: (f64, f64), blur: f64, solarise: f64) -> Self {
        let jitter = Jitter { probability: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 };
        let pixel = size as f64 / 96.0;
        let blur = Blur { probability: blur, sigma: (0.1 * pixel, 2.0 * pixel) };
        let cropped = Augmentation { flip: 0.0, ..Augmentation::cropped(size, scale) };
        Augmentation { jitter: Some(jitter), grey: 0.2, blur: Some(blur), solarise, ..cropped }
    }

    /// DINO's first large view: always blurred.
    pub fn dino_first(size: usize) -> Self {
        Augmentation::dino(size, (0.7, 1.0), 1.0, 0.0)
    }

    /// DINO's second large view: seldom blurred, sometimes solarised.
    pub fn dino_second(size: usize) -> Self {
        Augmentation::dino(size, (0.7, 1.0), 0.1, 0.2)
    }

    /// DINO's small views.
    pub fn dino_local(size: usize) -> Self {
        Augmentation::dino(size, (0.3, 0.7), 0.5, 0.0)
    }

    /// MAE's views: crop and flip (He et al. 2022, "Masked autoencoders are scalable vision learners", appendix A;
    /// facebookresearch/mae, `main_pretrain.py`).
    pub fn mae(size: usize) -> Self {
        Augmentation::cropped(size, (0.2, 1.0))
    }

    /// BEiT's views, and data2vec's, whose code is BEiT's (Bao et al. 2022, "BEiT: BERT pre-training of image
    /// transformers"; microsoft/unilm, `beit/datasets.py`; Baevski et al. 2022, "data2vec").
    pub fn beit(size: usize) -> Self {
        Augmentation { jitter: Some(Jitter::without_hue()), ..Augmentation::cropped(size, (0.2, 1.0)) }
    }

    /// CLIP's views: most of the image, never mirrored (Radford et al. 2021), four of five in other colours.
    pub fn clip(size: usize) -> Self {
        Augmentation { recolour: 0.8, ..Augmentation::supervised(size) }
    }

    /// Views for training with labels: most of the image. Left out of DeiT's recipe (Touvron et al. 2021, "Training data-efficient
    /// image transformers"): flip, colours, RandAugment, Mixup, CutMix, random erasing and repeated augmentation.
    pub fn supervised(size: usize) -> Self {
        Augmentation { flip: 0.0, ..Augmentation::cropped(size, (0.7, 1.0)) }
    }
}

impl Jitter {
    /// Brightness, contrast and saturation by 0.4, always.
    fn without_hue() -> Self {
        Jitter { probability: 1.0, brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.0 }
    }
}
