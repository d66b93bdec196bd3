//! The control without a model: an image's own pixels as its features.
//!
//! What a classifier reaches on a few hundred colours is what the data set gives away without any representation. The
//! image is reduced to `size` x `size` by the same preprocessing that every model has in its record.

use super::{Backbone, Mode, image_batch_check};
use crate::error::{Error, Result};
use candle_core::Tensor;

/// Features that are the pixels, channel by channel, row by row: 3 * size * size numbers.
#[derive(Clone, Debug)]
pub struct Pixels {
    size: usize,
}

impl Pixels {
    /// Takes images of `size` x `size`.
    ///
    /// # Errors
    /// [`Error::Argument`] if `size` is 0.
    pub fn new(size: usize) -> Result<Self> {
        if size == 0 {
            return Err(Error::argument("size of pixels", "at least 1", "0"));
        }
        Ok(Pixels { size })
    }
}

impl Backbone for Pixels {
    /// Gives `("pixels", (B, 3 * size * size))`.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use wider_clip::models::{Backbone, Pixels};
    /// # fn main() -> wider_clip::error::Result<()> {
    /// let images = Tensor::arange(0f32, 12.0, &Device::Cpu)?.reshape((1, 3, 2, 2))?;
    /// let features = Pixels::new(2)?.forward_features(&images)?;
    /// assert_eq!(features[0].0, "pixels");
    /// assert_eq!(features[0].1.dims(), [1, 12]);
    /// # Ok(())
    /// # }
    /// ```
    fn forward(&self, images: &Tensor, _mode: Mode) -> Result<Vec<(&'static str, Tensor)>> {
        let batch = image_batch_check(images, Some(self.size))?;
        Ok(vec![("pixels", images.reshape((batch, 3 * self.size * self.size))?.detach())])
    }

    /// There is no product to round.
    fn round_to_bf16(&mut self, _family: &str) -> Result<()> {
        crate::ops::require_bf16()
    }
}
