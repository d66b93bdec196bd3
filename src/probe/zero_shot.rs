//! Zero-shot classification: an image belongs to the class whose prompts it is nearest to (Radford et al. 2021, section
//! 3.1, <https://arxiv.org/abs/2103.00020>).
//!
//! A class's weights are made as in OpenAI's notebook *Prompt Engineering for ImageNet*: the features of its prompts are
//! brought to length 1, averaged, and the mean is brought to length 1 again. Nothing is fitted to images.

use crate::error::{Error, Result};
use crate::neighbours::{check_features, check_width};
use crate::products::{Threads, multiply};
use linfa::traits::PredictInplace;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayView3, Axis};

/// Class weights from text features.
#[derive(Debug, Clone, PartialEq)]
pub struct ZeroShot {
    /// (K, E), rows of length 1.
    weights: Array2<f32>,
}

impl ZeroShot {
    /// Makes the weights of K classes from the features of T prompts each, (K, T, E), in any length: what
    /// [`crate::text::Templates::prompts`] lists, in that order.
    ///
    /// ```
    /// use linfa::prelude::*;
    /// use ndarray::array;
    /// use wider_clip::probe::zero_shot::ZeroShot;
    ///
    /// // Two prompts a class: the first class lies between the axes, the second along the first axis backwards.
    /// let model = ZeroShot::new(array![[[2.0, 0.0], [0.0, 9.0]], [[-1.0, 0.0], [-3.0, 0.0]]].view())?;
    /// assert_eq!(model.predict(&array![[1.0, 1.0], [-5.0, 0.1]]).to_vec(), [0, 1]);
    /// assert_eq!(model.scores(array![[3.0, 0.0]].view())?, array![[0.5f32.sqrt(), -1.0]]);
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    ///
    /// # Errors
    /// No class, prompt or number; a feature that is not finite or all zeros; prompts of a class whose directions cancel
    /// out.
    pub fn new(text_features: ArrayView3<f32>) -> Result<ZeroShot> {
        let (k, _, e) = text_features.dim();
        if text_features.is_empty() {
            let found = format!("shape {:?}", text_features.shape());
            return Err(Error::argument("text features", "classes, prompts and numbers (K, T, E)", found));
        }
        let mut weights = Array2::zeros((k, e));
        for (class, (prompts, mut weight)) in text_features.outer_iter().zip(weights.rows_mut()).enumerate() {
            check_features("text features", prompts)?;
            let mut sum = Array1::<f64>::zeros(e);
            for (prompt, feature) in prompts.rows().into_iter().enumerate() {
                let inverse = inverse_length(feature).ok_or_else(|| {
                    let found = format!("zeros for prompt {prompt} of class {class}");
                    Error::argument("text features", "features with a direction", found)
                })?;
                sum.zip_mut_with(&feature, |sum, &x| *sum += f64::from(x) * inverse);
            }
            // Rounding leaves about 1e-7 of prompts that cancel out, each an f32.
            let length = sum.dot(&sum).sqrt();
            if length <= 1e-6 * prompts.nrows() as f64 {
                let found = format!("prompts of class {class} that cancel out");
                return Err(Error::argument("text features", "a mean with a direction", found));
            }
            weight.zip_mut_with(&sum, |weight, sum| *weight = (sum / length) as f32);
        }
        Ok(ZeroShot { weights })
    }

    /// The class weights (K, E), rows of length 1.
    pub fn weights(&self) -> ArrayView2<'_, f32> {
        self.weights.view()
    }

    /// Cosines of images with classes: features (N, E), of any length, to (N, K). Times CLIP's exp(logit_scale) they are
    /// the logits of its softmax.
    ///
    /// # Errors
    /// Features that are empty, not finite, of another width than the texts', or all zeros.
    pub fn scores(&self, image_features: ArrayView2<f32>) -> Result<Array2<f32>> {
        check_features("image features", image_features)?;
        check_width(self.weights.ncols(), image_features)?;
        let mut scores = Array2::zeros((image_features.nrows(), self.weights.nrows()));
        let mut unit = image_features.to_owned();
        for (row, mut feature) in unit.axis_iter_mut(Axis(0)).enumerate() {
            let inverse = inverse_length(feature.view()).ok_or_else(|| {
                Error::argument("image features", "features with a direction", format!("zeros in row {row}"))
            })?;
            feature.mapv_inplace(|x| (f64::from(x) * inverse) as f32);
        }
        multiply(Threads::All, unit.view(), self.weights.t(), scores.view_mut());
        Ok(scores)
    }

    /// Classes of images and their scores, the class with the greatest one and of equals the lowest; unlike
    /// [`linfa::traits::Predict`], bad input is an error and not a panic.
    ///
    /// # Errors
    /// As for [`ZeroShot::scores`].
    pub fn try_predict(&self, image_features: ArrayView2<f32>) -> Result<(Array1<u32>, Array2<f32>)> {
        let scores = self.scores(image_features)?;
        let classes = scores.map_axis(Axis(1), |row| {
            row.iter().enumerate().fold(0, |best, (k, score)| if *score > row[best] { k } else { best }) as u32
        });
        Ok((classes, scores))
    }
}

impl PredictInplace<Array2<f32>, Array1<u32>> for ZeroShot {
    fn predict_inplace(&self, image_features: &Array2<f32>, classes: &mut Array1<u32>) {
        match self.try_predict(image_features.view()) {
            Ok((predicted, _)) => classes.assign(&predicted),
            Err(error) => panic!("{error}"),
        }
    }

    fn default_target(&self, image_features: &Array2<f32>) -> Array1<u32> {
        Array1::zeros(image_features.nrows())
    }
}

/// One over the Euclidean length; `None` of zeros.
fn inverse_length(feature: ArrayView1<f32>) -> Option<f64> {
    let square: f64 = feature.iter().map(|&x| f64::from(x).powi(2)).sum();
    (square > 0.0).then(|| square.sqrt().recip())
}
