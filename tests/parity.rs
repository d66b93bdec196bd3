//! The full-size models against PyTorch: weights under the published names, written by `tests/reference/backbones.py
//! --full all --out FOLDER`, through the loader that reads the hub's files.
//!
//! Gigabytes and minutes, so it runs only where `WIDER_CLIP_PARITY` names the folder; `tests/reference/parity.sh` makes
//! the folder and runs it. The same in small runs always (tests/transformers.rs, tests/convnets.rs).

#[path = "support/compare.rs"]
mod compare;
#[path = "support/require.rs"]
mod require;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use compare::close;
use std::path::Path;
use std::time::Instant;
use wider_clip::error::Result;
use wider_clip::manifest::{Manifests, ModelRecord, Weights};
use wider_clip::models::assemble::{Source, assemble};
use wider_clip::models::{Architecture, WeightFile};

/// The checkpoint's own classifier on the feature, where the file has one.
fn logits(file: &WeightFile, feature: &Tensor) -> Result<Option<Tensor>> {
    if !file.contains("classifier.weight") {
        return Ok(None);
    }
    let read = |name: &str| -> Result<Tensor> { Ok(file.get(name, &Device::Cpu)?.to_dtype(DType::F32)?) };
    let logits = feature.matmul(&read("classifier.weight")?.t()?)?.broadcast_add(&read("classifier.bias")?)?;
    Ok(Some(logits))
}

fn holds(record: &ModelRecord, folder: &Path) -> Result<()> {
    let id = &record.id;
    let files = ["model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin"];
    let path = files.iter().map(|file| folder.join(file)).find(|path| path.is_file()).expect("a weights file");
    let expected = candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu)?;
    let start = Instant::now();
    let (file, architecture) = (WeightFile::open(&path)?, Architecture::named(&record.architecture)?);
    let parameters = architecture.parameters();
    let weights = assemble(&file, &parameters, architecture.schemes(), DType::F32, &Device::Cpu)?;
    let learned = parameters.iter().filter(|parameter| parameter.trained || parameter.name == "pos_embed");
    let count: usize = learned.map(|parameter| parameter.shape.iter().product::<usize>()).sum();
    let model = architecture.build(VarBuilder::from_tensors(weights.tensors, DType::F32, &Device::Cpu))?;
    let loaded = start.elapsed().as_secs_f64();
    let features = model.forward_features(&expected["images"])?;
    let mut worst = 0f64;
    for (name, feature) in &features {
        let off = close(&format!("{id}: {name}"), feature, &expected[&format!("features.{name}")], 1e-4);
        worst = worst.max(off.relative);
    }
    let default = features.iter().find(|(name, _)| *name == record.features.default).expect("the default feature");
    assert_eq!(default.1.dim(1)?, record.features.dim, "{id}: length of the feature");
    let own = match (logits(&file, &default.1)?, expected.get("logits")) {
        (Some(logits), Some(expected)) => {
            let off = close(&format!("{id}: logits"), &logits, expected, 1e-4);
            format!(", logits by {:.1e}", off.relative)
        }
        (None, None) => String::new(),
        (ours, theirs) => panic!("{id}: logits ours {}, theirs {}", ours.is_some(), theirs.is_some()),
    };
    let dtype = file.names().next().map(|name| file.dtype(name)).transpose()?;
    println!(
        "{id}: {count} parameters by the names of {}, {} of {dtype:?}, loaded in {loaded:.1} s; features differ by \
         {worst:.1e}{own}",
        weights.publisher,
        Source::describe(&file).rsplit('/').next().unwrap_or_default(),
    );
    Ok(())
}

#[test]
fn full_models_equal_pytorch() -> Result<()> {
    if !require::require("parity") {
        return Ok(());
    }
    let folder = require::parity_folder().expect("it is here");
    let manifests = Manifests::load(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    let mut seen = 0;
    for record in manifests.models().filter(|record| matches!(record.weights, Weights::Hub { .. })) {
        let folder = folder.join(&record.id);
        if folder.join("expected.safetensors").is_file() {
            holds(record, &folder)?;
            seen += 1;
        }
    }
    println!("{seen} models");
    assert!(seen > 0, "no model in {}", folder.display());
    Ok(())
}
