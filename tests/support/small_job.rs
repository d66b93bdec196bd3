//! A classification job that takes milliseconds: bars in 16 x 16 pixels, a transformer of two blocks.

use candle_core::{D, DType, Device, Tensor};
use candle_nn::loss::cross_entropy;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wider_clip::error::{Error, Result};
use wider_clip::models::{Architecture, Mode, TransformerConfig, initial_weights};
use wider_clip::random::Random;
use wider_clip::training::{
    Classifier, ClassifierParams, Course, Epochs, Head, Job, Loss, Moment, Panel, Parameters, Part, Place, Source,
};

const SIZE: usize = 16;

/// 22 images in batches of 8, the last one of 6.
pub const EPOCHS: Epochs = Epochs { images: 22, batch: 8, keep_last: true, seed: 7 };

/// Images (N, 3, S, S) and their classes.
pub struct Images {
    pub pixels: Tensor,
    pub labels: Vec<u32>,
}

/// Bars that stand, lie or cross, with noise; `wrong` makes the classes random.
pub fn bars(n: usize, seed: u64, wrong: bool) -> Images {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for i in 0..n {
        let mut random = Random::new("bars", seed, i as u64);
        let class = random.below(3);
        let (x0, y0) = (random.below(SIZE), random.below(SIZE));
        for _ in 0..3 {
            for at in 0..SIZE * SIZE {
                let (stands, lies) = (at % SIZE == x0, at / SIZE == y0);
                let inside = [stands, lies, stands || lies][class];
                pixels.push(if inside { 1.0 } else { -1.0 } + 0.2 * random.unit() as f32);
            }
        }
        labels.push(if wrong { random.below(3) as u32 } else { class as u32 });
    }
    Images { pixels: Tensor::from_vec(pixels, (n, 3, SIZE, SIZE), &Device::Cpu).expect("images"), labels }
}

/// A part of a batch.
pub struct Rows {
    pub images: Tensor,
    pub labels: Tensor,
}

/// Fine-tuning in miniature.
pub struct Bars {
    pub classifier: Classifier,
    pub train: Arc<Images>,
    pub val: Images,
    pub epochs: Epochs,
    /// Sizes of the parts of a batch; what is left makes one more.
    pub parts: Vec<usize>,
    /// Breaks off in this step.
    pub fails_at: Option<u64>,
    /// The loss is not a number in this step.
    pub broken_at: Option<u64>,
    /// The loss is one, and its gradient is not, in this step.
    pub steep_at: Option<u64>,
    /// How the run stood whenever it was told.
    pub told: Vec<Course>,
}

pub fn architecture() -> Architecture {
    Architecture::Transformer(TransformerConfig {
        image_size: SIZE,
        patch: 8,
        dim: 16,
        depth: 2,
        heads: 2,
        hidden: 32,
        ..TransformerConfig::vit_tiny_patch8_64()
    })
}

/// The job from its beginning; `wrong` gives validation images random classes.
pub fn job(wrong: bool) -> Bars {
    let architecture = architecture();
    let params = ClassifierParams {
        architecture: &architecture,
        pooling: "cls",
        dim: 16,
        n_classes: 3,
        head: Head::Torch,
        seed: 5,
        layer_decay: 0.9,
        weight_decay: 0.01,
    };
    let weights = initial_weights(&architecture, 1, &Device::Cpu).expect("weights");
    Bars {
        classifier: Classifier::new(&params, &weights, &Device::Cpu).expect("a classifier"),
        train: Arc::new(bars(22, 1, false)),
        val: bars(12, 2, wrong),
        epochs: EPOCHS,
        parts: Vec::new(),
        fails_at: None,
        broken_at: None,
        steep_at: None,
        told: Vec::new(),
    }
}

/// A checkpoint after every step, and a page.
pub fn place(folder: &Path) -> Place<'_> {
    Place { folder, every: Duration::ZERO, stop_after: None, verbose: false, page: true }
}

impl Bars {
    /// Loss and accuracy on the validation images.
    pub fn validate(&self) -> Result<(f64, f64)> {
        let logits = self.classifier.forward(&self.val.pixels, Mode::Eval)?.detach();
        let labels = Tensor::new(self.val.labels.as_slice(), &Device::Cpu)?;
        let right = logits.argmax(D::Minus1)?.eq(&labels)?.to_dtype(DType::F32)?.mean_all()?.to_scalar::<f32>()?;
        Ok((f64::from(cross_entropy(&logits, &labels)?.to_scalar::<f32>()?), f64::from(right)))
    }
}

impl Job for Bars {
    type Batch = Rows;
    type Source = Drawn;

    fn name(&self) -> &str {
        "bars"
    }

    fn fingerprint(&self) -> String {
        let device = wider_clip::models::device_name(self.classifier.variables().device());
        format!("bars {}; {}; device {device}", self.train.labels.len(), self.epochs.fingerprint())
    }

    fn parameters(&self) -> &Parameters {
        self.classifier.variables()
    }

    fn source(&self) -> Result<Drawn> {
        Ok(Drawn { images: self.train.clone(), epochs: self.epochs, parts: self.parts.clone() })
    }

    fn loss(&mut self, batch: &Rows, at: Moment) -> Result<Loss> {
        if self.fails_at == Some(at.step) {
            return Err(Error::argument("step", "one that works", at.step.to_string()));
        }
        let logits = self.classifier.forward(&batch.images, Mode::QUIET)?;
        let mut loss = cross_entropy(&logits, &batch.labels)?;
        if self.steep_at == Some(at.step) {
            // A root of 0.
            loss = (loss + (&logits - logits.detach())?.sqr()?.sum_all()?.sqrt()?)?;
        }
        Ok(Loss::plain(if self.broken_at == Some(at.step) { (loss * f64::NAN)? } else { loss }))
    }

    fn measure(&mut self, _at: Moment) -> Result<Vec<(&'static str, f64)>> {
        let (loss, accuracy) = self.validate()?;
        Ok(vec![("val_loss", loss), ("val_accuracy", accuracy)])
    }

    fn told(&mut self, course: &Course) {
        self.told.push(course.clone());
    }

    fn panels(&self) -> Vec<Panel> {
        let lines = vec![("loss", "training"), ("val_loss", "validation")];
        vec![
            Panel { title: "Loss", axis: "cross-entropy (nats)", lines, factor: 1.0 },
            Panel { title: "Accuracy", axis: "right (%)", lines: vec![("val_accuracy", "validation")], factor: 100.0 },
        ]
    }
}

pub struct Drawn {
    images: Arc<Images>,
    epochs: Epochs,
    parts: Vec<usize>,
}

impl Source for Drawn {
    type Batch = Rows;

    fn batch(&self, step: u64) -> Result<Vec<Part<Rows>>> {
        let rows = self.epochs.rows(step);
        let mut rest = rows.as_slice();
        let mut parts = Vec::new();
        for size in self.parts.iter().copied().chain([usize::MAX]) {
            let (now, later) = rest.split_at(size.min(rest.len()));
            rest = later;
            if now.is_empty() {
                break;
            }
            let labels: Vec<u32> = now.iter().map(|&row| self.images.labels[row]).collect();
            let at = Tensor::from_vec(now.iter().map(|&row| row as u32).collect(), now.len(), &Device::Cpu)?;
            let images = self.images.pixels.index_select(&at, 0)?;
            let batch = Rows { images, labels: Tensor::new(labels, &Device::Cpu)? };
            parts.push(Part { batch, images: now.len() });
        }
        Ok(parts)
    }
}
