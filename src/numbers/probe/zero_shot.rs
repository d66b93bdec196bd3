//! Zero-shot classification: an image belongs to the class whose prompts it is nearest to (Radford et al. 2021, section
//! 3.1, <https://arxiv.org/abs/2103.00020>).
//!
//! A class's weights are made as in OpenAI's notebook *Prompt Engineering for ImageNet*: the features of its prompts are
//! brought to length 1, averaged, and the mean is brought to length 1 again. Nothing is fitted to images.
//!
//! [`ZeroShot::with_kinds`] also asks for the kinds of things that make up a class (CHiLS: Novack et al. 2023,
//! <https://arxiv.org/abs/2302.02551>). There the best kind's probability is multiplied by its class's; here the best kind's
//! cosine and the class's are averaged, which needs no temperature.

use crate::error::{Error, Result};
use crate::neighbours::{check_features, check_width};
use crate::products::{Threads, multiply};
use linfa::traits::PredictInplace;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayView3, Axis, s};
use std::ops::Range;

/// Class weights from text features.
#[derive(Debug, Clone, PartialEq)]
pub struct ZeroShot {
    /// (K, E), rows of length 1.
    weights: Array2<f32>,
    kinds: Option<OfKinds>,
}

/// The kinds of all classes.
#[derive(Debug, Clone, PartialEq)]
struct OfKinds {
    /// (M, E), rows of length 1, class after class.
    weights: Array2<f32>,
    /// Rows of each class; none for a class that is asked for by its name alone.
    rows: Vec<Range<usize>>,
}

impl ZeroShot {
    /// Makes the weights of K classes from the features of T prompts each, (K, T, E), in any length: what
    /// `text::Templates::prompts` lists, in that order.
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
        if text_features.is_empty() {
            let found = format!("shape {:?}", text_features.shape());
            return Err(Error::argument("text features", "classes, prompts and numbers (K, T, E)", found));
        }
        ZeroShot::of_prompts(&text_features.outer_iter().collect::<Vec<_>>())
    }

    /// The same where classes have different numbers of prompts: for each class (T, E).
    ///
    /// # Errors
    /// As for [`ZeroShot::new`]; classes of different widths.
    pub fn of_prompts(text_features: &[ArrayView2<f32>]) -> Result<ZeroShot> {
        let Some(first) = text_features.first() else {
            return Err(Error::argument("text features", "at least one class", "none"));
        };
        let e = first.ncols();
        let mut weights = Array2::zeros((text_features.len(), e));
        for (class, (&prompts, mut weight)) in text_features.iter().zip(weights.rows_mut()).enumerate() {
            check_features("text features", prompts)?;
            check_width(e, prompts)?;
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
        Ok(ZeroShot { weights, kinds: None })
    }

    /// Scores become the mean of the cosine with the class and the greatest cosine with one of its kinds. `kinds` has the
    /// text features of each class's kinds (M, E), in any length; M may be 0, and then the class counts twice.
    ///
    /// ```
    /// use ndarray::{Array2, array};
    /// use wider_clip::probe::zero_shot::ZeroShot;
    ///
    /// let classes = ZeroShot::new(array![[[1.0, 0.0]], [[0.6, 0.8]]].view())?;
    /// let kinds = classes.with_kinds(&[array![[0.0, 3.0], [1.0, 0.0]].view(), Array2::zeros((0, 2)).view()])?;
    /// // Nearer to the second class by its name, to the first by its kind.
    /// assert_eq!(kinds.scores(array![[0.0, 5.0]].view())?, array![[0.5, 0.8]]);
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    ///
    /// # Errors
    /// Kinds for more or fewer classes; features of another width than the classes', not finite, or all zeros.
    pub fn with_kinds(self, kinds: &[ArrayView2<f32>]) -> Result<ZeroShot> {
        let (k, e) = self.weights.dim();
        if kinds.len() != k {
            return Err(Error::argument("kinds", format!("those of {k} classes"), kinds.len().to_string()));
        }
        let mut weights = Array2::zeros((kinds.iter().map(ArrayView2::nrows).sum(), e));
        let (mut rows, mut end) = (Vec::with_capacity(k), 0);
        for (class, &kinds) in kinds.iter().enumerate() {
            let start = end;
            end += kinds.nrows();
            rows.push(start..end);
            if start == end {
                continue;
            }
            check_features("kinds", kinds)?;
            check_width(e, kinds)?;
            for (kind, (feature, mut weight)) in
                kinds.rows().into_iter().zip(weights.slice_mut(s![start..end, ..]).rows_mut()).enumerate()
            {
                let inverse = inverse_length(feature).ok_or_else(|| {
                    let found = format!("zeros for kind {kind} of class {class}");
                    Error::argument("kinds", "features with a direction", found)
                })?;
                weight.zip_mut_with(&feature, |weight, &x| *weight = (f64::from(x) * inverse) as f32);
            }
        }
        Ok(ZeroShot { kinds: Some(OfKinds { weights, rows }), ..self })
    }

    /// The class weights (K, E), rows of length 1.
    pub fn weights(&self) -> ArrayView2<'_, f32> {
        self.weights.view()
    }

    /// Cosines of images with classes: features (N, E), of any length, to (N, K). Times CLIP's exp(logit_scale) they are
    /// the logits of its softmax. With kinds, means of two cosines ([`ZeroShot::with_kinds`]).
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
        let Some(kinds) = &self.kinds else { return Ok(scores) };
        let mut of_kinds = Array2::zeros((unit.nrows(), kinds.weights.nrows()));
        multiply(Threads::All, unit.view(), kinds.weights.t(), of_kinds.view_mut());
        for (mut scores, of_kinds) in scores.rows_mut().into_iter().zip(of_kinds.rows()) {
            for (score, rows) in scores.iter_mut().zip(&kinds.rows) {
                let best = of_kinds.slice(s![rows.clone()]).iter().copied().reduce(f32::max);
                *score = 0.5 * (*score + best.unwrap_or(*score));
            }
        }
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
