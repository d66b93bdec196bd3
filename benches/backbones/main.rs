//! The backbones against PyTorch: feature extraction and one training step, turn by turn, on equal threads.
//!
//! ```sh
//! python3 -m venv .wider-clip/reference-backbones
//! .wider-clip/reference-backbones/bin/pip install -r tests/reference/requirements-backbones.txt
//! WIDER_CLIP_PYTHON=.wider-clip/reference-backbones/bin/python cargo bench --profile dev --bench backbones
//! ```
//!
//! Random weights, 224 pixels, batch 8 (training of large models 2). Never are both models in memory at once. `-- --only
//! vit_b32` runs the models whose name holds the word and writes nothing; `-- --alone` leaves PyTorch out, and needs
//! no Python. A whole run takes about half an hour and rewrites the rows of backbones in benches/results.csv and their
//! table in benches/README.md.

#[path = "../../tests/golden/backbones/random.rs"]
mod random;
#[path = "../report.rs"]
mod report;
#[path = "../twin.rs"]
mod twin;

use candle_core::{D, DType, Device, Tensor};
use clap::Parser;
use random::{random_images, random_weights};
use report::{Row, Unit, here, median};
use serde_json::json;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use twin::Twin;
use wider_clip::candle_core;
use wider_clip::candle_nn::{VarBuilder, loss::cross_entropy};
use wider_clip::models::{Architecture, Mode};
use wider_clip::training::{Adam, Classifier, ClassifierParams, Head};

#[derive(Parser)]
struct Arguments {
    /// Threads of either side.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Pairs a model.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only models whose name holds this.
    #[arg(long)]
    only: Option<String>,
    /// Images of a batch; with another number than the table's, nothing is written.
    #[arg(long, default_value_t = BATCH)]
    batch: usize,
    /// Leaves training out.
    #[arg(long)]
    forward: bool,
    /// Leaves PyTorch out.
    #[arg(long)]
    alone: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

const SIZE: usize = 224;
const BATCH: usize = 8;
/// Images of a training step of a model with more than 250 million parameters.
const LARGE_BATCH: usize = 2;
const CLASSES: usize = 10;

/// A record, the architecture at 224 pixels, the pooling and its length, and the records that cost the same.
const MODELS: [(&str, &str, &str, usize, &str); 13] = [
    ("clip_vit_b32.openai", "clip_vit_b32", "cls", 768, "CLIP ViT-B/32"),
    ("vit_b32.in21k", "vit_b32", "cls", 768, "ViT-B/32"),
    ("vit_b16.in21k_ft_in1k", "vit_b16", "cls", 768, "ViT-B/16; DINO ViT-B/16 and MAE are the same work"),
    ("vit_l16.in21k_ft_in1k", "vit_l16", "cls", 1024, "ViT-L/16"),
    ("vit_l32.in21k_ft_in1k_384", "vit_l32_384", "cls", 1024, "ViT-L/32"),
    ("dino_s16.in1k", "dino_s16", "cls", 384, "DINO ViT-S/16"),
    ("beit_b16.pt22k", "beit_b16", "token_mean", 768, "BEiT-B/16; data2vec is the same work"),
    ("convnext_tiny.fb_in1k", "convnext_tiny", "avg", 768, "ConvNeXt-T"),
    ("convnext_small.fb_in1k", "convnext_small", "avg", 768, "ConvNeXt-S"),
    ("convnext_base.fb_in1k", "convnext_base", "avg", 1024, "ConvNeXt-B; CLIP's is the same work"),
    ("efficientnet_b2.ra_in1k", "efficientnet_b2", "avg", 1408, "EfficientNet-B2"),
    ("efficientnet_b4.ra2_in1k", "efficientnet_b4", "avg", 1792, "EfficientNet-B4"),
    ("tf_efficientnet_b6.aa_in1k", "tf_efficientnet_b6", "avg", 2304, "EfficientNet-B6"),
];

fn main() {
    let arguments = Arguments::parse();
    wider_clip::rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global().unwrap();
    let mut twin = (!arguments.alone)
        .then(|| Twin::of("backbones.py", "tests/reference/requirements-backbones.txt", arguments.threads));
    let wanted = |name: &str| arguments.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let mut rows = Vec::new();
    for (id, architecture, pooling, dim, name) in MODELS.into_iter().filter(|(id, ..)| wanted(id)) {
        let mut forward = (Vec::new(), Vec::new());
        let mut train = (Vec::new(), Vec::new());
        let batch = arguments.batch;
        let mut train_batch = batch;
        for _ in 0..arguments.rounds {
            let ours = Ours::new(architecture, pooling, dim, batch);
            train_batch = ours.train_batch();
            forward.0.push(ours.forward());
            if !arguments.forward {
                train.0.push(ours.train());
            }
            drop(ours);
            let Some(twin) = &mut twin else { continue };
            twin.ask(&json!({ "work": "load", "model": id }));
            let command = json!({ "work": "forward", "batch": batch, "size": SIZE });
            forward.1.push(theirs(twin, FORWARD, &command));
            if !arguments.forward {
                let command = json!({ "work": "train", "batch": train_batch, "size": SIZE, "classes": CLASSES });
                train.1.push(theirs(twin, STEP, &command));
            }
            twin.ask(&json!({ "work": "free" }));
        }
        rows.push(row(format!("{name}: features"), batch, &forward));
        if !arguments.forward {
            rows.push(row(format!("{name}: a training step"), train_batch, &train));
        }
        for row in rows.iter().rev().take(if arguments.forward { 1 } else { 2 }).rev() {
            println!("{}", row.line());
        }
    }
    let whole = arguments.only.is_none() && !arguments.forward && arguments.batch == BATCH;
    let Some(twin) = twin.filter(|_| whole) else { return };
    report::put_rows(&here("results.csv"), Unit::ImagesPerSecond, &rows);
    let page = format!(
        "{}, 224 pixels, f32; {} threads for either side; {}.\n\n{}",
        report::machine(),
        arguments.threads,
        report::versions(&twin.versions),
        report::table(Unit::ImagesPerSecond, &rows)
    );
    report::put_between_markers(&here("README.md"), "backbones", &page);
    println!("written: benches/results.csv, benches/README.md");
}

/// The best of so many times after one run to warm up: what the machine can do when nothing disturbs it.
fn best(times: usize, mut run: impl FnMut() -> f64) -> f64 {
    run();
    (0..times).map(|_| run()).fold(f64::INFINITY, f64::min)
}

/// Measured runs of a forward pass, and of a training step, which is long.
const FORWARD: usize = 2;
const STEP: usize = 1;

fn theirs(twin: &mut Twin, times: usize, command: &serde_json::Value) -> f64 {
    std::thread::sleep(Duration::from_millis(300));
    best(times, || twin.ask(command)["seconds"].as_f64().unwrap())
}

fn row(bench: String, batch: usize, (ours, theirs): &(Vec<f64>, Vec<f64>)) -> Row {
    let rate = |seconds: &f64| batch as f64 / seconds;
    Row {
        bench,
        unit: Unit::ImagesPerSecond,
        ours: rate(&median(ours)),
        reference: (!theirs.is_empty()).then(|| rate(&median(theirs))),
        ratios: ours.iter().zip(theirs).map(|(ours, theirs)| theirs / ours).collect(),
        goal: Some(1.0),
        agreement: format!("batch {batch}"),
    }
}

/// Our side of one model.
struct Ours {
    architecture: Architecture,
    weights: HashMap<String, Tensor>,
    pooling: &'static str,
    dim: usize,
    batch: usize,
}

impl Ours {
    fn new(architecture: &str, pooling: &'static str, dim: usize, batch: usize) -> Ours {
        let architecture = Architecture::named(architecture).unwrap().with_image_size(SIZE);
        let weights = random_weights(&architecture.parameters());
        Ours { architecture, weights, pooling, dim, batch }
    }

    fn train_batch(&self) -> usize {
        let parameters: usize = self.weights.values().map(Tensor::elem_count).sum();
        if parameters > 250_000_000 { LARGE_BATCH } else { self.batch }
    }

    fn forward(&self) -> f64 {
        let vb = VarBuilder::from_tensors(self.weights.clone(), DType::F32, &Device::Cpu);
        let model = self.architecture.build(vb).unwrap();
        let images = random_images(self.batch, SIZE);
        best(FORWARD, || {
            let start = Instant::now();
            let features = model.forward_features(&images).unwrap();
            let seconds = start.elapsed().as_secs_f64();
            let sum = features[0].1.sum_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(sum.is_finite(), "features are finite");
            seconds
        })
    }

    fn train(&self) -> f64 {
        let params = ClassifierParams {
            architecture: &self.architecture,
            pooling: self.pooling,
            dim: self.dim,
            n_classes: CLASSES,
            head: Head::Torch,
            seed: 0,
            layer_decay: 1.0,
            weight_decay: 0.0,
        };
        let model = Classifier::new(&params, &self.weights, &Device::Cpu).unwrap();
        let mut adam = Adam::new(model.parameters().to_vec()).unwrap();
        let batch = self.train_batch();
        let images = random_images(batch, SIZE);
        let labels: Vec<u32> = (0..batch).map(|i| (i % CLASSES) as u32).collect();
        let labels = Tensor::new(labels, &Device::Cpu).unwrap();
        best(STEP, || {
            let start = Instant::now();
            let logits = model.forward(&images, Mode::QUIET).unwrap();
            let loss = cross_entropy(&logits, &labels).unwrap();
            adam.step(&loss.backward().unwrap(), 1e-5).unwrap();
            let seconds = start.elapsed().as_secs_f64();
            let sum = logits.max(D::Minus1).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(sum.is_finite(), "logits are finite");
            seconds
        })
    }
}
