//! `wider-clip finetune`: one model on one data set or folder, to a file that classifies.

use super::saved::{FORM, data_of};
use super::{Asked, Saved, Start, save};
use crate::error::{Error, Result};
use crate::finetune::Statistics;
use crate::manifest::Tuning;
use crate::models::{allow_tf32, best_device};
use crate::project::Project;
use crate::results::Score;
use crate::say::{path as shown, plain};
use crate::target;
use candle_core::{DType, Device};
use std::path::{Path, PathBuf};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Id of a model.
    pub model: String,
    /// Id of a data set, or a folder of class folders.
    pub data: String,
    /// Label budget.
    pub budget: usize,
    /// Draws split, head and order.
    pub seed: u64,
    /// How.
    pub method: Tuning,
    /// Epochs at most.
    pub max_epochs: u64,
    /// Images of a batch that are in memory together.
    pub images_at_once: Option<usize>,
    /// `f32`; on a GPU also `tf32`, which rounds the factors of products, and `bf16`.
    pub precision: String,
    /// `cpu`, `cuda` or `best`.
    pub device: String,
    /// Where the classifier goes; by default a file in the current folder, called as what was asked for.
    pub out: Option<PathBuf>,
}

/// Trains, prints the scores, and leaves the classifier.
///
/// # Errors
/// A model, data set or device that is not there; whatever training can fail with. What was trained until then is kept, and the
/// same command goes on with it.
pub fn serve(mut project: Project, request: &Request) -> Result<()> {
    let (device, precision) = (device(&request.device)?, precision(&request.precision)?);
    let folder = Path::new(&request.data);
    let dataset = match project.manifests.dataset(&request.data) {
        Ok(record) => record.id.clone(),
        Err(_) if folder.is_dir() => project.manifests.add_folder(folder)?,
        Err(_) if request.data.contains(['/', '\\']) => {
            let found = if folder.exists() { "a file" } else { "nothing of that name" };
            return Err(Error::data(folder, "a folder of pictures, or the id of a data set", found));
        }
        Err(error) => return Err(error),
    };
    let name =
        format!("{}-{}-{}-b{}-s{}", request.model, dataset, request.method.as_str(), request.budget, request.seed);
    let out = request.out.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.safetensors")));
    target::check_kind(&out, "a classifier that `finetune` wrote", |beginning| target::holds(beginning, FORM))?;
    let start = Start::open(&project, &dataset, &request.model, &device)?;
    // Two folders may have one name.
    let other = data_of(&out).filter(|data| request.out.is_none() && *data != start.encoded().set.data_sha256);
    if other.is_some() {
        let found = format!("a classifier of other pictures at {}, where this one would go", out.display());
        return Err(Error::argument("--out", "another name for this classifier, or none at the usual one", found));
    }
    let asked = Asked {
        method: request.method,
        budget: request.budget,
        seed: request.seed,
        max_epochs: request.max_epochs,
        images_at_once: request.images_at_once,
        precision,
    };
    let parts = start.parts(asked.budget, asked.seed)?;
    let classes = start.encoded().set.classes.len();
    crate::say!(
        "{} on {}: {} training images of {classes} classes, {} for validation, {} and {} to test on",
        plain(&request.model),
        plain(&dataset),
        parts.train.len(),
        parts.val.len(),
        parts.test.len(),
        parts.ood.len()
    );
    let recipes = start.arm(request.method, request.max_epochs).recipes;
    let by_batch = start.has_batch_norm() && recipes.iter().any(|recipe| recipe.statistics == Statistics::Batch);
    if let Some(n) = request.images_at_once.filter(|_| by_batch) {
        crate::say!(
            "batch normalisation takes its statistics from {n} images at a time: the result differs from that of whole batches"
        );
    }
    let tuned = start.tune_shown(&asked)?;
    for line in told(&tuned.scores) {
        crate::say!("{line}");
    }
    let run = &tuned.run;
    let best = run.best_epoch.map_or_else(String::new, |best| format!(", the lowest validation loss after {best}"));
    crate::say!(
        "{} after {} epochs{best}; {:.0} images/s; weights moved by {:.2}% of their length",
        run.ended,
        run.epochs,
        run.images_per_second(),
        100.0 * run.moved
    );
    save(&start, &tuned, &out)?;
    Saved::open(&out, &device)?;
    crate::say!("{}: the weights called `{}`. To use it:", shown(&out), tuned.kept.0);
    crate::say!("  cargo run -- classify {} <pictures>", shown(&out));
    Ok(())
}

/// Prints the likeliest classes of pictures by a classifier that `finetune` has left.
///
/// # Errors
/// A file that is no such classifier; pictures that could not be read, after the others were classified.
pub fn classify(classifier: &Path, pictures: &[PathBuf], shown_classes: usize) -> Result<()> {
    let saved = Saved::open(classifier, &best_device()?)?;
    let mut failed = Vec::new();
    for picture in pictures {
        match saved.classify_file(picture) {
            Ok(classes) => {
                let one = |class: &super::Class| format!("{} {:.1}%", plain(&class.name), 100.0 * class.probability);
                let classes: Vec<String> = classes.iter().take(shown_classes.max(1)).map(one).collect();
                crate::say!("{}: {}", shown(picture), classes.join(", "));
            }
            Err(error) => {
                crate::say!("{}: {error}", shown(picture));
                failed.push(error);
            }
        }
    }
    let n = failed.len();
    match failed.into_iter().next() {
        None => Ok(()),
        Some(error) if n == 1 => Err(error),
        Some(error) => {
            let found = format!("{n} of {} could not be; the first: {error}", pictures.len());
            Err(Error::argument("pictures", "ones that can be classified", found))
        }
    }
}

/// Accuracies by weights, a line each.
fn told(scores: &[Score]) -> Vec<String> {
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    for score in scores.iter().filter(|score| score.metric == "accuracy") {
        let value = score.value.map_or_else(|| "undefined".into(), |value| format!("{:.1}%", 100.0 * value));
        let part = format!("{} {value} of {} images", score.split, score.n_test);
        match lines.iter_mut().find(|(weights, _)| *weights == score.weights) {
            Some((_, parts)) => parts.push(part),
            None => lines.push((score.weights.clone(), vec![part])),
        }
    }
    let line = |(weights, parts): (String, Vec<String>)| {
        format!("accuracy with the weights `{weights}`: {}", parts.join(", "))
    };
    lines.into_iter().map(line).collect()
}

fn precision(name: &str) -> Result<DType> {
    match name {
        "f32" => Ok(DType::F32),
        "bf16" => Ok(DType::BF16),
        "tf32" => {
            allow_tf32(true);
            Ok(DType::F32)
        }
        other => Err(Error::argument("precision", "f32, tf32 or bf16", other)),
    }
}

fn device(name: &str) -> Result<Device> {
    match name {
        "best" => best_device(),
        "cpu" => Ok(Device::Cpu),
        "cuda" => match best_device()? {
            device if device.is_cuda() => Ok(device),
            _ => Err(Error::argument("device", "a GPU, and a build with `--features cuda`", "neither or one of them")),
        },
        other => Err(Error::argument("device", "cpu, cuda or best", other)),
    }
}
