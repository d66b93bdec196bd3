//! Frozen features in bf16 and f32 against OpenVINO and ONNX Runtime, turn by turn, on equal threads.
//!
//! ```sh
//! python3 -m venv .wider-clip/reference-runtimes
//! .wider-clip/reference-runtimes/bin/pip install -r tests/reference/requirements-runtimes.txt
//! WIDER_CLIP_PYTHON=.wider-clip/reference-runtimes/bin/python cargo bench --profile dev --bench runtimes
//! ```
//!
//! Random weights, 224 pixels, batch 8. Ratios are by the clock; the remarks have them by processor time of all threads too,
//! which other programs on the machine disturb less. Of each model all sides are in memory at once, and each turn measures
//! one after the other. `-- --only vit_b16` runs the models whose name holds the word, `-- --alone` ours alone; both write
//! nothing. On a processor without bf16 the rows of bf16 are left out. It rewrites the rows of runtimes in
//! benches/results.csv and their table in benches/README.md.

#[path = "../../tests/golden/backbones/random.rs"]
mod random;
#[path = "../report.rs"]
mod report;
#[path = "../twin.rs"]
mod twin;

use candle_core::{DType, Device, Tensor};
use clap::Parser;
use random::{random_images, random_weights};
use report::{Row, Unit, here, median};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use twin::Twin;
use wider_clip::candle_core;
use wider_clip::candle_nn::VarBuilder;
use wider_clip::models::{Architecture, Backbone};
use wider_clip::ops::has_bf16;
use wider_clip::rayon;

#[derive(Parser)]
struct Arguments {
    /// Threads of every side.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Turns a model.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only models whose name holds this.
    #[arg(long)]
    only: Option<String>,
    /// Leaves the runtimes out: ours alone, turn by turn; writes nothing and needs no Python.
    #[arg(long)]
    alone: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

const SIZE: usize = 224;
const BATCH: usize = 8;
/// Measured runs of a side in a turn, the best of which counts.
const RUNS: usize = 3;

/// A record, its family, the architecture at 224 pixels, and its name.
const MODELS: [(&str, &str, &str, &str); 4] = [
    ("clip_vit_b32.openai", "clip", "clip_vit_b32", "CLIP ViT-B/32"),
    ("vit_b16.in21k_ft_in1k", "vit", "vit_b16", "ViT-B/16"),
    ("convnext_tiny.fb_in1k", "convnext", "convnext_tiny", "ConvNeXt-T"),
    ("efficientnet_b2.ra_in1k", "efficientnet", "efficientnet_b2", "EfficientNet-B2"),
];

/// What is compared: ours in a type, with a runtime, and what that is called.
const PAIRS: [(DType, &str, &str); 3] = [
    (DType::BF16, "openvino", "bf16 : OpenVINO at its defaults"),
    (DType::F32, "openvino_f32", "f32 : OpenVINO in f32"),
    (DType::F32, "onnxruntime", "f32 : ONNX Runtime in f32"),
];

fn main() {
    let arguments = Arguments::parse();
    wider_clip::rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global().unwrap();
    let wanted = |name: &str| arguments.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    if arguments.alone {
        return MODELS.into_iter().filter(|(id, ..)| wanted(id)).for_each(|model| alone(model, arguments.rounds));
    }
    let mut twin = Twin::of("runtimes.py", "tests/reference/requirements-runtimes.txt", arguments.threads);
    let mut rows = Vec::new();
    for (id, family, architecture, name) in MODELS.into_iter().filter(|(id, ..)| wanted(id)) {
        let facts = twin.ask(&json!({ "work": "load", "model": id, "batch": BATCH, "size": SIZE }));
        let ours: Vec<Ours> =
            dtypes(architecture).iter().map(|dtype| Ours::new(architecture, family, *dtype)).collect();
        let mut turns: Vec<Vec<(Times, Times)>> = vec![Vec::new(); PAIRS.len()];
        for _ in 0..arguments.rounds {
            let mine: Vec<(DType, Times)> = ours.iter().map(|ours| (ours.dtype, ours.times())).collect();
            for ((dtype, runtime, _), turns) in PAIRS.into_iter().zip(&mut turns) {
                let Some((_, mine)) = mine.iter().find(|(of, _)| *of == dtype) else { continue };
                let command = json!({ "work": "forward", "runtime": runtime });
                let theirs = best(|| {
                    let answer = twin.ask(&command);
                    let of = |key: &str| answer[key].as_f64().unwrap();
                    Times { clock: of("seconds"), processor: of("processor") }
                });
                turns.push((*mine, theirs));
            }
        }
        twin.ask(&json!({ "work": "free" }));
        let cosine = cosine_of(&ours);
        for ((dtype, runtime, pair), turns) in PAIRS.into_iter().zip(&turns).filter(|(_, turns)| !turns.is_empty()) {
            let remark = remark(dtype, cosine, &facts[runtime]);
            let row = row(format!("{name}: features in {pair}"), turns, &remark);
            println!("{}", row.line());
            rows.push(row);
        }
    }
    if arguments.only.is_some() {
        return;
    }
    report::put_rows(&here("results.csv"), Unit::ImagesPerSecondBesideRuntimes, &rows);
    let page = format!(
        "{}, 224 pixels, batch {BATCH}; {} threads for every side; {}.\n\n{}",
        report::machine(),
        arguments.threads,
        report::versions(&twin.versions),
        report::table(Unit::ImagesPerSecondBesideRuntimes, &rows)
    );
    report::put_between_markers(&here("README.md"), "runtimes", &page);
    println!("written: benches/results.csv, benches/README.md");
}

/// The types that a model is run in.
fn dtypes(architecture: &str) -> &'static [DType] {
    // EfficientNet rounds nothing.
    let rounds = has_bf16() && !architecture.starts_with("efficientnet");
    if rounds { &[DType::F32, DType::BF16] } else { &[DType::F32] }
}

/// Prints what ours does of a model, in each type.
fn alone((_, family, architecture, name): (&str, &str, &str, &str), rounds: usize) {
    for &dtype in dtypes(architecture) {
        let ours = Ours::new(architecture, family, dtype);
        let times: Vec<Times> = (0..rounds).map(|_| ours.times()).collect();
        let of = |time: &dyn Fn(&Times) -> f64| median(&times.iter().map(time).collect::<Vec<f64>>());
        let (clock, processor) = (of(&|times| times.clock), of(&|times| times.processor));
        println!("{name} in {dtype:?}: {:.2} images/s, {:.2} threads busy", BATCH as f64 / clock, processor / clock);
    }
}

/// Seconds of a forward pass.
#[derive(Clone, Copy)]
struct Times {
    clock: f64,
    /// Of all threads together.
    processor: f64,
}

/// The best of some times after one run to warm up: what the machine can do when nothing disturbs it.
fn best(mut run: impl FnMut() -> Times) -> Times {
    std::thread::sleep(Duration::from_millis(300));
    run();
    let least = |a: Times, b: Times| Times { clock: a.clock.min(b.clock), processor: a.processor.min(b.processor) };
    (1..RUNS).fold(run(), |best, _| least(best, run()))
}

/// Seconds that all threads of this process have had.
fn processor_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes the structure that it is given.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "a clock of the process");
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn row(bench: String, turns: &[(Times, Times)], remark: &str) -> Row {
    let all = |of: &dyn Fn(&(Times, Times)) -> f64| turns.iter().map(of).collect::<Vec<f64>>();
    let busy = all(&|(ours, theirs)| theirs.processor / ours.processor);
    let ends = busy.iter().fold((f64::INFINITY, 0f64), |(low, high), &ratio| (low.min(ratio), high.max(ratio)));
    Row {
        bench,
        unit: Unit::ImagesPerSecondBesideRuntimes,
        ours: BATCH as f64 / median(&all(&|(ours, _)| ours.clock)),
        reference: Some(BATCH as f64 / median(&all(&|(_, theirs)| theirs.clock))),
        ratios: all(&|(ours, theirs)| theirs.clock / ours.clock),
        goal: Some(1.0),
        agreement: format!("{:.2}x [{:.2}, {:.2}] by processor time; {remark}", median(&busy), ends.0, ends.1),
    }
}

/// How far either side is from f32, and what the other computes in.
fn remark(dtype: DType, ours: Option<f64>, theirs: &Value) -> String {
    let precision = theirs["precision"].as_str().unwrap_or("f32");
    match (dtype, ours) {
        (DType::BF16, Some(ours)) => {
            let cosine = theirs["cosine"].as_f64().unwrap_or(f64::NAN);
            format!("theirs {precision}; smallest cosine to f32 {ours:.6} and {cosine:.6}")
        }
        _ => format!("theirs {precision}"),
    }
}

/// Our side of one model.
struct Ours {
    dtype: DType,
    model: Box<dyn Backbone>,
    images: Tensor,
}

impl Ours {
    fn new(architecture: &str, family: &str, dtype: DType) -> Ours {
        let architecture = Architecture::named(architecture).unwrap().with_image_size(SIZE);
        let weights = random_weights(&architecture.parameters());
        let mut model = architecture.build(VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu)).unwrap();
        if dtype == DType::BF16 {
            model.round_to_bf16(family).unwrap();
        }
        Ours { dtype, model, images: random_images(BATCH, SIZE) }
    }

    fn features(&self) -> Tensor {
        // On a thread of the pool, as features are extracted.
        rayon::scope(|_| self.model.forward_features(&self.images).unwrap().swap_remove(0).1)
    }

    fn times(&self) -> Times {
        best(|| {
            let (start, busy) = (Instant::now(), processor_seconds());
            let features = self.features();
            let times = Times { clock: start.elapsed().as_secs_f64(), processor: processor_seconds() - busy };
            assert!(features.sum_all().unwrap().to_scalar::<f32>().unwrap().is_finite(), "features are finite");
            times
        })
    }
}

/// Smallest cosine of an image's features in the two types.
fn cosine_of(ours: &[Ours]) -> Option<f64> {
    let [plain, half] = ours else { return None };
    let rows = |ours: &Ours| ours.features().to_vec2::<f32>().unwrap();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let cosine = |(a, b): (&Vec<f32>, &Vec<f32>)| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    Some(rows(plain).iter().zip(&rows(half)).map(cosine).fold(1.0, f64::min))
}
