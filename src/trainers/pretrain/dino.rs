//! DINO: a student finds, from small crops too, what its own average makes of large ones (Caron et al. 2021,
//! <https://arxiv.org/abs/2104.14294>).
//!
//! As there: two large crops and several small ones; both networks end in three layers, a feature of length 1 and
//! prototypes of length 1; the teacher's scores are centred by their running mean and sharpened by a low temperature, and
//! take no gradient; the teacher follows the student with a momentum that rises from 0.996 to 1; the prototypes stand
//! still at the beginning. The teacher's encoder is published. Different: 1,024 prototypes for 65,536 and a head of 512
//! for 2,048, four small crops of half the side, a constant weight decay; the head reads the pocket models' grid of
//! patch tokens and not the class token.

use super::objective::{Batch, Loss, Moment, Objective, unit_rows};
use super::teacher::Teacher;
use crate::error::{Error, Result};
use crate::models::{Architecture, Mode, Transformer, TransformerConfig, grid_mean};
use crate::ops::{Activation, Weight, linear, linear_act, patches};
use crate::training::schedule::cosine;
use crate::training::{Parameters, Start};
use candle_core::{D, Device, Tensor};
use candle_nn::VarBuilder;
use std::collections::{BTreeMap, HashMap};

/// Views of the teacher: the first so many of a batch.
pub const LARGE_VIEWS: usize = 2;
const PROTOTYPES: usize = 1024;
const HIDDEN: usize = 512;
const BOTTLENECK: usize = 128;
const STUDENT_TEMPERATURE: f64 = 0.1;
const TEACHER_TEMPERATURE: f64 = 0.04;
const CENTRE_MOMENTUM: f64 = 0.9;
const TEACHER_MOMENTUM: f64 = 0.996;
/// Part of the run in which the prototypes stand still: DINO's first epoch of a hundred, at least some dozens of steps.
const STANDSTILL: f64 = 0.03;

/// Student, teacher and centre.
pub struct Dino {
    config: TransformerConfig,
    student: Network,
    parameters: Parameters,
    teacher: Teacher,
    /// (K,), the running mean of the teacher's scores.
    centre: Tensor,
    /// The teacher's scores of the last batch, for the centre.
    last: Vec<Tensor>,
}

/// An encoder with DINO's head.
struct Network {
    encoder: Transformer,
    layers: [(Weight, Tensor); 3],
    /// (K, D).
    prototypes: Tensor,
}

impl Network {
    fn build(config: &TransformerConfig, vb: VarBuilder) -> Result<Self> {
        let layer = |name: &str, outputs: usize, inputs: usize| -> Result<(Weight, Tensor)> {
            let vb = vb.pp(name);
            Ok((Weight::new(&vb.get((outputs, inputs), "weight")?)?, vb.get(outputs, "bias")?))
        };
        Ok(Network {
            layers: [
                layer("head.0", HIDDEN, feature_dim(config))?,
                layer("head.1", HIDDEN, HIDDEN)?,
                layer("head.2", BOTTLENECK, HIDDEN)?,
            ],
            prototypes: vb.get((PROTOTYPES, BOTTLENECK), "head.prototypes")?,
            encoder: Transformer::load(config, vb)?,
        })
    }

    /// Scores (B, K) of images (B, 3, S, S) of any side that patches fit into.
    fn scores(&self, images: &Tensor, moving: bool) -> Result<Tensor> {
        let config = self.encoder.config();
        let x = self.encoder.embed(&patches(images, config.patch)?.flatten(1, 2)?)?;
        let x = self.encoder.with_class_token(&x)?;
        let Some(positions) = self.encoder.positions() else {
            return Err(Error::argument("transformer config", "learned positions", "none"));
        };
        let side = images.dim(3)? / config.patch;
        let x = x.broadcast_add(&positions_of(positions, config.grid(), side)?)?;
        let tokens = self.encoder.encode(x, Mode::QUIET, |_| ())?;
        let mut x = feature(&tokens, side, config)?;
        let [first, second, last] = &self.layers;
        for (w, b) in [first, second] {
            x = linear_act(&x, w, b, Activation::Gelu)?;
        }
        let x = linear(&x, &last.0, &last.1)?;
        match moving {
            true => prototypes(&x, &self.prototypes),
            // Gradients of zero: the optimiser wants one for every parameter. (candle gives none for x * 0.0.)
            false => {
                let zero = Tensor::zeros((1, 1), x.dtype(), x.device())?;
                let still = (self.prototypes.detach() + self.prototypes.broadcast_mul(&zero)?)?;
                prototypes(&x, &still)
            }
        }
    }
}

/// Length of what the head reads: a grid of the patch tokens, or the class token of an encoder without cells.
fn feature_dim(config: &TransformerConfig) -> usize {
    if config.cells > 0 { config.cells.pow(2) * config.dim } else { config.dim }
}

/// What the head reads of tokens (B, 1 + `side`^2, D).
fn feature(tokens: &Tensor, side: usize, config: &TransformerConfig) -> Result<Tensor> {
    let (batch, _, dim) = tokens.dims3()?;
    if config.cells == 0 {
        return Ok(tokens.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?);
    }
    grid_mean(&tokens.narrow(1, 1, side * side)?.contiguous()?.reshape((batch, side, side, dim))?, config.cells)
}

impl Dino {
    /// Draws the student from `parameters`; the teacher begins as its copy.
    ///
    /// # Errors
    /// A config that contradicts itself.
    pub fn new(config: &TransformerConfig, mut parameters: Parameters, device: &Device) -> Result<Self> {
        parameters.encoder(&Architecture::Transformer(config.clone()))?;
        parameters.layer("head.0", HIDDEN, feature_dim(config))?;
        parameters.layer("head.1", HIDDEN, HIDDEN)?;
        parameters.layer("head.2", BOTTLENECK, HIDDEN)?;
        parameters.draw("head.prototypes", &[PROTOTYPES, BOTTLENECK], Start::Normal(0.02))?;
        let names: Vec<String> = parameters.trained().iter().map(|parameter| parameter.name.clone()).collect();
        let teacher = Teacher::new(parameters.copies(names.iter().map(String::as_str))?, device);
        Ok(Dino {
            config: config.clone(),
            student: Network::build(config, parameters.builder())?,
            teacher,
            parameters,
            centre: Tensor::zeros(PROTOTYPES, candle_core::DType::F32, device)?,
            last: Vec::new(),
        })
    }
}

impl Objective for Dino {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&mut self, batch: &Batch, at: Moment) -> Result<Loss> {
        let moving = at.step as f64 >= STANDSTILL * at.total as f64;
        let (large, small) = batch.views.split_at(LARGE_VIEWS);
        let teacher = Network::build(&self.config, self.teacher.builder())?;
        let images = large[0].dim(0)?;
        let by_view = |scores: Tensor| -> Result<Vec<Tensor>> {
            let views = scores.dim(0)? / images;
            (0..views).map(|view| Ok(scores.narrow(0, view * images, images)?)).collect()
        };
        let large = Tensor::cat(large, 0)?;
        let taught = by_view(teacher.scores(&large, true)?.detach())?;
        let mut found = by_view(self.student.scores(&large, moving)?)?;
        if !small.is_empty() {
            found.extend(by_view(self.student.scores(&Tensor::cat(small, 0)?, moving)?)?);
        }
        let total = loss(&found, &taught, &self.centre, STUDENT_TEMPERATURE, TEACHER_TEMPERATURE)?;
        let entropy = entropy(&taught[0], &self.centre)?;
        self.last = taught;
        Ok(Loss { total, parts: vec![("teacher_entropy", entropy)] })
    }

    fn after_step(&mut self, at: Moment) -> Result<()> {
        let momentum = cosine(TEACHER_MOMENTUM, 1.0, 0, at.total, at.step);
        self.teacher.follow(&self.parameters.tensors(), momentum)?;
        self.centre = next_centre(&self.centre, &self.last, CENTRE_MOMENTUM)?;
        self.last.clear();
        Ok(())
    }

    fn memory(&self) -> BTreeMap<String, Tensor> {
        let weights = self.teacher.weights().iter().map(|(name, weight)| (format!("teacher.{name}"), weight.clone()));
        weights.chain([("centre".to_owned(), self.centre.clone())]).collect()
    }

    fn remember(&mut self, memory: &HashMap<String, Tensor>) -> Result<()> {
        let Some(centre) = memory.get("centre") else {
            return Err(Error::argument("state of DINO", "a tensor centre", "none"));
        };
        self.centre = centre.clone();
        self.teacher.set(|name| memory.get(&format!("teacher.{name}")).cloned())
    }

    fn released(&self) -> Result<HashMap<String, Tensor>> {
        let names = Architecture::Transformer(self.config.clone()).parameters();
        let weights = self.teacher.weights();
        let found = names.iter().filter_map(|p| Some((p.name.clone(), weights.get(&p.name)?.copy())));
        found.map(|(name, weight)| Ok((name, weight?))).collect()
    }
}

/// Cosines of `bottleneck` (B, D), of any length, with `weights` (K, D), of any length: (B, K). DINO's last layer, whose
/// weights are normalised. Gradients for both.
///
/// # Errors
/// Shapes that do not fit.
pub fn prototypes(bottleneck: &Tensor, weights: &Tensor) -> Result<Tensor> {
    Ok(unit_rows(bottleneck)?.matmul(&unit_rows(weights)?.t()?)?)
}

/// The cross-entropy of the teacher's probabilities of one view with the student's of another, averaged over images and
/// over all pairs of different views.
///
/// `student` and `teacher` are scores (B, K) of one view each; the first views of both are of the same crops, which are
/// not paired with themselves. Teacher: softmax((score - `centre` (K,)) / `teacher_temperature`), without gradient.
/// Gradients for each of `student`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use wider_clip::pretrain::dino::loss;
///
/// // A teacher that is sure, and a student that has no idea: ln 2.
/// let cpu = &Device::Cpu;
/// let teacher = [Tensor::new(&[[100f32, 0.0]], cpu)?, Tensor::new(&[[100f32, 0.0]], cpu)?];
/// let student = [Tensor::new(&[[0f32, 0.0]], cpu)?, Tensor::new(&[[0f32, 0.0]], cpu)?];
/// let loss = loss(&student, &teacher, &Tensor::new(&[0f32, 0.0], cpu)?, 0.1, 0.04)?.to_scalar::<f32>()?;
/// assert!((loss - 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if there is no pair of different views; shapes that do not fit.
pub fn loss(
    student: &[Tensor],
    teacher: &[Tensor],
    centre: &Tensor,
    student_temperature: f64,
    teacher_temperature: f64,
) -> Result<Tensor> {
    let pairs = teacher.len() * student.len() - teacher.len().min(student.len());
    if pairs == 0 {
        let found = format!("{} of the student, {} of the teacher", student.len(), teacher.len());
        return Err(Error::argument("views", "a teacher's view and another one of the student", found));
    }
    let probabilities = |scores: &Tensor| -> Result<Tensor> {
        let centred = (scores.detach().broadcast_sub(centre)? / teacher_temperature)?;
        Ok(candle_nn::ops::softmax(&centred, D::Minus1)?.detach())
    };
    let taught = teacher.iter().map(probabilities).collect::<Result<Vec<_>>>()?;
    // One product a student's view: the teacher's views that it is paired with, added up.
    let mut total: Option<Tensor> = None;
    for (j, scores) in student.iter().enumerate() {
        let mut others = taught.iter().enumerate().filter(|(i, _)| *i != j).map(|(_, taught)| taught.clone());
        let Some(first) = others.next() else { continue };
        let targets = others.try_fold(first, |sum, other| sum + other)?;
        let logs = candle_nn::ops::log_softmax(&(scores / student_temperature)?, D::Minus1)?;
        let crossed = (logs * targets)?.sum(D::Minus1)?.mean_all()?;
        total = Some(match total {
            Some(total) => (total + crossed)?,
            None => crossed,
        });
    }
    let total = total.ok_or_else(|| Error::argument("views", "at least one pair", "none"))?;
    Ok((total * (-1.0 / pairs as f64))?)
}

/// The centre (K,) moved towards the mean of the teacher's scores, over all views and images.
///
/// # Errors
/// [`Error::Argument`] for no view; shapes that do not fit.
pub fn next_centre(centre: &Tensor, teacher: &[Tensor], momentum: f64) -> Result<Tensor> {
    if teacher.is_empty() {
        return Err(Error::argument("teacher", "at least one view", "none"));
    }
    let mean = Tensor::cat(teacher, 0)?.detach().mean(0)?;
    Ok(((centre * momentum)? + (mean * (1.0 - momentum))?)?)
}

/// How undecided the teacher is, in nats: the mean entropy of its probabilities. 0 and ln K are signs of collapse.
fn entropy(scores: &Tensor, centre: &Tensor) -> Result<Tensor> {
    let logs = candle_nn::ops::log_softmax(&(scores.broadcast_sub(centre)? / TEACHER_TEMPERATURE)?, D::Minus1)?;
    Ok((logs.exp()? * logs)?.sum(D::Minus1)?.mean_all()?.neg()?.detach())
}

/// Learned positions (1, 1 + `grid`^2, D) for a grid of another `side`, (1, 1 + `side`^2, D): bicubic, as
/// PyTorch's `interpolate` to a `size` without antialiasing has it (a = -0.75, pixel centres, borders repeated).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use wider_clip::pretrain::dino::positions_of;
///
/// // torch.nn.functional.interpolate(torch.arange(6.)[None, None, None], size=(1, 3), mode='bicubic') gives
/// // [0.40625, 2.5, 4.59375], here down the rows of a grid of 6 whose columns are alike; the class token's 7 stays.
/// let rows: Vec<f32> = std::iter::once(7.0).chain((0..36).map(|at| (at / 6) as f32)).collect();
/// let positions = Tensor::from_vec(rows, (1, 37, 1), &Device::Cpu)?;
/// let found = positions_of(&positions, 6, 3)?.flatten_all()?.to_vec1::<f32>()?;
/// let expected = [7.0, 0.40625, 0.40625, 0.40625, 2.5, 2.5, 2.5, 4.59375, 4.59375, 4.59375];
/// assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-5), "{found:?}");
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
///
/// # Errors
/// Positions of another shape.
pub fn positions_of(positions: &Tensor, grid: usize, side: usize) -> Result<Tensor> {
    if side == grid {
        return Ok(positions.clone());
    }
    let patches = positions.narrow(1, 1, grid * grid)?.squeeze(0)?;
    let line = bicubic(grid, side);
    let weights: Vec<f32> = (0..side * side)
        .flat_map(|to| {
            let line = &line;
            (0..grid * grid).map(move |from| line[to / side][from / grid] * line[to % side][from % grid])
        })
        .collect();
    let weights = Tensor::from_vec(weights, (side * side, grid * grid), positions.device())?;
    let resized = weights.matmul(&patches.contiguous()?)?.unsqueeze(0)?;
    Ok(Tensor::cat(&[&positions.narrow(1, 0, 1)?, &resized], 1)?)
}

/// Weights of the `from` points of a line for each of `to` points.
fn bicubic(from: usize, to: usize) -> Vec<Vec<f32>> {
    const A: f64 = -0.75;
    let weight = |x: f64| match x.abs() {
        x if x <= 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A,
        _ => 0.0,
    };
    let row = |point: usize| {
        let at = (point as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let mut row = vec![0f32; from];
        for tap in -1i64..=2 {
            let place = at.floor() as i64 + tap;
            row[place.clamp(0, from as i64 - 1) as usize] += weight(at - place as f64) as f32;
        }
        row
    };
    (0..to).map(row).collect()
}
