//! From a record to features through the hub's stand-in: the real client, the lock, the file, the names, the network.

#[path = "support/hub_server.rs"]
mod hub_server;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use hub_server::HubServer;
use std::collections::HashMap;
use std::path::Path;
use wider_clip::error::{Error, Result};
use wider_clip::hub::lock_path;
use wider_clip::manifest::{Manifests, Weights};
use wider_clip::models::transformer::random_weights;
use wider_clip::models::{Architecture, TransformerConfig, load};

const REPOSITORY: &str = "somebody/vit-tiny";

#[test]
fn a_record_of_the_hub_becomes_features() -> Result<()> {
    let (server, home, root) = (HubServer::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // SAFETY: this file has one test, and no other thread of it reads the environment.
    unsafe {
        std::env::set_var("HF_HOME", home.path());
        std::env::set_var("HF_ENDPOINT", &server.address);
        std::env::set_var("HF_HUB_ETAG_TIMEOUT", "1");
        for name in ["HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HUGGING_FACE_HUB_TOKEN"] {
            std::env::remove_var(name);
        }
    }
    // Half precision, as many published files are.
    let config = TransformerConfig::vit_tiny_patch8_64();
    let weights: HashMap<String, Tensor> = random_weights(&config, 3, &Device::Cpu)?
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.to_dtype(DType::F16)?)))
        .collect::<Result<_>>()?;
    let file = root.path().join("file");
    candle_core::safetensors::save(&weights, &file)?;
    let bytes = std::fs::read(&file).unwrap();
    let commit = "a".repeat(40);
    server.commit(REPOSITORY, "main", &commit, &[("README.md", b"a model"), ("model.safetensors", &bytes)]);

    let manifests = Manifests::load(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    let mut record = manifests.model("vit_tiny.random")?.clone();
    let files = ["model.safetensors", "pytorch_model.bin"].map(String::from).to_vec();
    record.weights = Weights::Hub { repo: REPOSITORY.into(), revision: "main".into(), files };
    let model = load(root.path(), &record, &Device::Cpu)?;
    assert_eq!(model.weights_id, wider_clip::storage::sha256_hex(&bytes));
    let lock = std::fs::read_to_string(lock_path(root.path())).expect("the first download writes the lock");
    assert!(lock.contains(&commit) && lock.contains(&model.weights_id), "{lock}");

    let images = Tensor::arange(0f32, (2 * 3 * 64 * 64) as f32, &Device::Cpu)?.reshape((2, 3, 64, 64))?;
    let images = (images * 0.01)?.sin()?;
    let wide = weights.into_iter().map(|(name, tensor)| Ok((name, tensor.to_dtype(DType::F32)?)));
    let vb = VarBuilder::from_tensors(wide.collect::<Result<_>>()?, DType::F32, &Device::Cpu);
    let direct = Architecture::Transformer(config).build(vb)?.forward_features(&images)?;
    for ((name, ours), (_, expected)) in model.backbone.forward_features(&images)?.iter().zip(&direct) {
        assert_eq!(ours.to_vec2::<f32>()?, expected.to_vec2::<f32>()?, "{name}");
    }

    // Without a network, from the cache.
    // SAFETY: as above.
    unsafe { std::env::set_var("HF_HUB_OFFLINE", "1") };
    load(root.path(), &record, &Device::Cpu)?;
    // The same file does not hold another model.
    record.architecture = "dino_s16".into();
    match load(root.path(), &record, &Device::Cpu).err().expect("another model") {
        Error::Weights { from, misshaped, .. } => {
            assert!(from.contains("model.safetensors") && misshaped.contains("cls_token [1, 1, 192]"), "{misshaped}");
        }
        other => panic!("{other}"),
    }
    Ok(())
}
