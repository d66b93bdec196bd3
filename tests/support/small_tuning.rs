//! Fine-tuning in miniature: bars as squares of bytes, a transformer of two blocks or a small network with batch
//! normalisation, and what a run ends with.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wider_clip::candle_core::{Device, Tensor};
use wider_clip::datasets::Squares;
use wider_clip::error::Result;
use wider_clip::finetune::{Examples, FineTune, FineTuneParams, Recipe, Views};
use wider_clip::models::{Architecture, TransformerConfig, initial_weights};
use wider_clip::random::Random;
use wider_clip::storage::sha256_hex;
use wider_clip::training::{Curve, CurveRow, Ended, Head, Outcome, Place, Plan, train};

/// Training images, then validation images.
pub const TRAIN: usize = 22;
pub const VAL: usize = 12;
pub const CLASSES: usize = 3;

/// A network without batch normalisation, and one with it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Net {
    Transformer,
    Convolutions,
}

/// A network with its pictures.
pub struct Small {
    pub architecture: Architecture,
    pub weights: HashMap<String, Tensor>,
    pub feature: (&'static str, usize),
    pub labels: Vec<u32>,
    pub examples: Examples,
    /// The same pictures, a third larger.
    pub uncut: Arc<Squares>,
}

/// Bars that stand, lie or cross, with noise; `wrong` gives the validation images other classes.
fn bars(side: usize, wrong: bool) -> (Vec<u8>, Vec<u32>) {
    let (mut bytes, mut labels) = (Vec::new(), Vec::new());
    for i in 0..TRAIN + VAL {
        let mut random = Random::new("bars for fine-tuning", 0, i as u64);
        let class = i % CLASSES;
        let (x0, y0) = ((random.unit() * side as f64) as usize, (random.unit() * side as f64) as usize);
        for at in 0..side * side {
            let (stands, lies) = (at % side == x0, at / side == y0);
            let inside = [stands, lies, stands || lies][class];
            for channel in 0..3 {
                let light = if inside { 200.0 } else { 40.0 + 10.0 * channel as f64 };
                bytes.push((light + 40.0 * random.unit()) as u8);
            }
        }
        let other = (class + random.below(2) + 1) % CLASSES;
        labels.push(if wrong && i >= TRAIN { other } else { class } as u32);
    }
    (bytes, labels)
}

pub const MEAN: [f32; 3] = [0.3, 0.4, 0.5];
pub const STD: [f32; 3] = [0.2, 0.25, 0.3];

impl Small {
    pub fn new(net: Net, wrong: bool) -> Small {
        let (architecture, feature, side) = match net {
            Net::Transformer => {
                let base = TransformerConfig::vit_tiny_patch8_64();
                // A bias of keys changes no attention: its gradients are rounding alone, which Adam makes steps of.
                let small = TransformerConfig { image_size: 16, patch: 8, dim: 16, depth: 2, ..base };
                let config = TransformerConfig { heads: 2, hidden: 32, key_bias: false, ..small };
                (Architecture::Transformer(config), ("cls", 16), 16)
            }
            Net::Convolutions => (Architecture::named("efficientnet_pocket").expect("known"), ("avg", 640), 32),
        };
        let weights = initial_weights(&architecture, 1, &Device::Cpu).expect("weights");
        let (bytes, labels) = bars(side, wrong);
        let squares = Arc::new(Squares::from_bytes(side, bytes).expect("squares"));
        let larger = side * 4 / 3;
        let uncut = Arc::new(Squares::from_bytes(larger, bars(larger, wrong).0).expect("squares"));
        let examples = Examples::new(squares, labels.clone(), CLASSES, (MEAN, STD)).expect("examples");
        Small { architecture, weights, feature, labels, examples, uncut }
    }

    pub fn params(&self, recipe: Recipe) -> FineTuneParams<'_> {
        FineTuneParams {
            name: "bars".into(),
            architecture: &self.architecture,
            weights: &self.weights,
            weights_id: "drawn with seed 1",
            feature: self.feature,
            head: Head::Torch,
            examples: self.examples.clone(),
            uncut: recipe.views.as_ref().map(|_| self.uncut.clone()),
            train: (0..TRAIN).collect(),
            val: (TRAIN..TRAIN + VAL).collect(),
            recipe,
            seed: 5,
            images_at_once: None,
            device: Device::Cpu,
        }
    }

    pub fn job(&self, recipe: Recipe) -> FineTune {
        FineTune::new(self.params(recipe)).expect("a job")
    }
}

/// The study's recipe, quicker: batches of 8, the last of 6, of 22 images.
pub fn study(epochs: u64, patience: u32) -> Recipe {
    Recipe { rate: 3e-3, batch: 8, epochs, patience: Some(patience), ..Recipe::study() }
}

/// All that a recipe may ask for: warm-up and cosine, decays, short gradients, changed images.
pub fn everything(epochs: u64) -> Recipe {
    let views = Some(Views::new(16, true, true, true));
    Recipe { batch: 8, epochs, views, ..Recipe::tuned(3e-3) }
}

/// A checkpoint after each step, and no page.
pub fn place(folder: &Path) -> Place<'_> {
    Place { folder, every: Duration::ZERO, stop_after: None, verbose: false, page: false }
}

/// Tensors by the hashes of their bits.
pub fn hashes<'a>(state: impl IntoIterator<Item = (&'a String, &'a Tensor)>) -> BTreeMap<String, String> {
    let hash = |tensor: &Tensor| {
        let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).expect("values");
        sha256_hex(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
    };
    state.into_iter().map(|(name, tensor)| (name.clone(), hash(tensor))).collect()
}

/// Rows but for seconds.
pub fn rows(curve: &Curve) -> Vec<(u64, u64, String, u64)> {
    let row = |row: &CurveRow| (row.step, row.images, row.metric.clone(), row.value.to_bits());
    curve.rows().iter().map(row).collect()
}

/// What a run ends with, to the bit.
#[derive(Debug, PartialEq)]
pub struct End {
    pub last: BTreeMap<String, String>,
    pub best: Option<(u64, u64, BTreeMap<String, String>)>,
    pub curve: Vec<(u64, u64, String, u64)>,
    pub ended: Ended,
    pub steps: u64,
    pub images: u64,
    /// Of the validation images under the last state.
    pub logits: Vec<u32>,
}

impl End {
    pub fn of(job: &FineTune, outcome: &Outcome) -> End {
        let best = outcome.best.as_ref();
        let logits = job.logits(&(TRAIN..TRAIN + VAL).collect::<Vec<_>>()).expect("scores");
        End {
            last: hashes(&job.classifier().state().expect("a state")),
            best: best.map(|best| (best.step, best.value.to_bits(), hashes(&best.state))),
            curve: rows(&outcome.curve),
            ended: outcome.ended.clone(),
            steps: outcome.steps,
            images: outcome.images,
            logits: logits.iter().map(|value| value.to_bits()).collect(),
        }
    }
}

/// Trains a job by its own plan in a folder, and says how it ended.
pub fn trained(job: &mut FineTune, place: &Place) -> Result<(Outcome, End)> {
    let plan: Plan = job.plan()?;
    let outcome = train(job, &plan, place)?;
    let end = End::of(job, &outcome);
    Ok((outcome, end))
}
