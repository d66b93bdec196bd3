//! A whole fine-tuning epoch against PyTorch with its DataLoader, turn by turn, on equal threads.
//!
//! ```sh
//! python3 -m venv .wider-clip/reference-backbones
//! .wider-clip/reference-backbones/bin/pip install -r tests/reference/requirements-backbones.txt
//! WIDER_CLIP_PYTHON=.wider-clip/reference-backbones/bin/python cargo bench --profile dev --bench finetuning
//! ```
//!
//! Ours is the project's own job, [`wider_clip::finetune`], with the study's recipe; theirs is a loop as a user of PyTorch
//! would write it. Both see the same number of squares, decoded and in memory, and both are timed from the end of one
//! epoch's validation to the end of the next one's, so that what only happens once is left out. `-- --only vit_b16` runs
//! the models whose name holds the word and writes nothing; `-- --alone` leaves PyTorch out, and needs no Python. A whole
//! run takes about a quarter of an hour and rewrites the rows of epochs in benches/results.csv and their table in
//! benches/README.md.

#[path = "../../tests/golden/backbones/random.rs"]
mod random;
#[path = "../report.rs"]
mod report;
#[path = "../twin.rs"]
mod twin;

use clap::Parser;
use random::random_weights;
use report::{Row, Unit, here, median};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use twin::Twin;
use wider_clip::candle_core::Device;
use wider_clip::datasets::Squares;
use wider_clip::finetune::{Examples, FineTune, FineTuneParams, Recipe};
use wider_clip::models::Architecture;
use wider_clip::random::Random;
use wider_clip::training::{Head, Place, train};

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
    /// Leaves PyTorch out.
    #[arg(long)]
    alone: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A model and how many images it sees in an epoch.
struct Subject {
    /// The twin's name of it.
    id: &'static str,
    architecture: &'static str,
    feature: (&'static str, usize),
    name: &'static str,
    side: usize,
    /// Images to learn from, and to validate with.
    images: (usize, usize),
    goal: f64,
}

const SUBJECTS: [Subject; 4] = [
    Subject {
        id: "vit_pocket_patch8_48",
        architecture: "vit_pocket_patch8_48",
        feature: ("cls", 128),
        name: "pocket ViT",
        side: 48,
        images: (768, 256),
        goal: 1.3,
    },
    Subject {
        id: "vit_b16.in21k_ft_in1k",
        architecture: "vit_b16",
        feature: ("cls", 768),
        name: "ViT-B/16",
        side: 224,
        images: (32, 16),
        goal: 1.3,
    },
    Subject {
        id: "convnext_tiny.fb_in1k",
        architecture: "convnext_tiny",
        feature: ("avg", 768),
        name: "ConvNeXt-T",
        side: 224,
        images: (48, 16),
        goal: 1.3,
    },
    Subject {
        id: "efficientnet_b2.ra_in1k",
        architecture: "efficientnet_b2",
        feature: ("avg", 1408),
        name: "EfficientNet-B2",
        side: 224,
        images: (96, 32),
        goal: 1.0,
    },
];

const CLASSES: usize = 10;

fn main() {
    let arguments = Arguments::parse();
    wider_clip::rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global().unwrap();
    let mut twin = (!arguments.alone)
        .then(|| Twin::of("backbones.py", "tests/reference/requirements-backbones.txt", arguments.threads));
    let wanted = |id: &str| arguments.only.as_ref().is_none_or(|only| id.contains(only.as_str()));
    let mut rows = Vec::new();
    for subject in SUBJECTS.iter().filter(|subject| wanted(subject.id)) {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds {
            ours.push(epoch(subject));
            let Some(twin) = &mut twin else { continue };
            twin.ask(&json!({ "work": "load", "model": subject.id, "size": subject.side }));
            let (train, val) = subject.images;
            let command = json!({
                "work": "epoch", "train": train, "val": val, "batch": Recipe::study().batch, "classes": CLASSES,
                "workers": arguments.threads,
            });
            theirs.push(twin.ask(&command)["seconds"].as_f64().unwrap());
            twin.ask(&json!({ "work": "free" }));
        }
        let (train, val) = subject.images;
        let row = Row {
            bench: format!("{}: a fine-tuning epoch", subject.name),
            unit: Unit::SecondsPerEpoch,
            ours: median(&ours),
            reference: (!theirs.is_empty()).then(|| median(&theirs)),
            ratios: ours.iter().zip(&theirs).map(|(ours, theirs)| theirs / ours).collect(),
            goal: Some(subject.goal),
            agreement: format!("{train} and {val} images of {} pixels", subject.side),
        };
        println!("{}", row.line());
        rows.push(row);
    }
    let Some(twin) = twin.filter(|_| arguments.only.is_none()) else { return };
    report::put_rows(&here("results.csv"), Unit::SecondsPerEpoch, &rows);
    let page = format!(
        "{}, f32; {} threads for either side, batches of {}; {}.\n\n{}",
        report::machine(),
        arguments.threads,
        Recipe::study().batch,
        report::versions(&twin.versions),
        report::table(Unit::SecondsPerEpoch, &rows)
    );
    report::put_between_markers(&here("README.md"), "finetuning", &page);
    println!("written: benches/results.csv, benches/README.md");
}

/// Squares of noise; a class every tenth one.
fn examples(subject: &Subject) -> Examples {
    let n = subject.images.0 + subject.images.1;
    let mut random = Random::new("squares", 0, 0);
    let bytes = (0..n * subject.side * subject.side * 3).map(|_| random.below(256) as u8).collect();
    let squares = Squares::from_bytes(subject.side, bytes).unwrap();
    let labels = (0..n).map(|i| (i % CLASSES) as u32).collect();
    Examples::new(Arc::new(squares), labels, CLASSES, ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])).unwrap()
}

/// Seconds of the second epoch: data, forward, backward, Adam, validation.
fn epoch(subject: &Subject) -> f64 {
    let architecture = Architecture::named(subject.architecture).unwrap().with_image_size(subject.side);
    let weights = random_weights(&architecture.parameters());
    let (train_images, val_images) = subject.images;
    let job = FineTune::new(FineTuneParams {
        name: subject.name.into(),
        architecture: &architecture,
        weights: &weights,
        weights_id: "random",
        feature: subject.feature,
        head: Head::Torch,
        examples: examples(subject),
        uncut: None,
        train: (0..train_images).collect(),
        val: (train_images..train_images + val_images).collect(),
        recipe: Recipe::study().at_most(2),
        seed: 0,
        images_at_once: None,
        device: Device::Cpu,
    })
    .unwrap();
    drop(weights);
    let plan = job.plan().unwrap();
    let ends = Arc::new(Mutex::new(Vec::new()));
    let told = ends.clone();
    let steps = plan.measure_every;
    let mut job = job.watched(move |course| {
        if course.steps.0 % steps == 0 {
            told.lock().unwrap().push(Instant::now());
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let place = Place { folder: folder.path(), every: Duration::MAX, stop_after: None, verbose: false, page: false };
    train(&mut job, &plan, &place).unwrap();
    let ends = ends.lock().unwrap();
    assert_eq!(ends.len(), 2, "an end of each epoch");
    (ends[1] - ends[0]).as_secs_f64()
}
