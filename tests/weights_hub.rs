//! A record whose weights are an index of several files: all of them come from the hub's stand-in, each held to the lock.

#[path = "support/hub_server.rs"]
mod hub_server;

use candle_core::{Device, Tensor};
use hub_server::HubServer;
use std::collections::HashMap;
use std::path::Path;
use wider_clip::error::Result;
use wider_clip::hub::lock_path;
use wider_clip::manifest::{Manifests, Weights, embedded_folder};
use wider_clip::models::transformer::random_weights;
use wider_clip::models::{TransformerConfig, load, read_weights, weights_id};

#[test]
fn an_index_of_the_hub_becomes_a_model() -> Result<()> {
    let (server, home, root) = (HubServer::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // SAFETY: this file has one test, and no other thread of it reads the environment.
    unsafe {
        std::env::set_var("HF_HOME", home.path());
        std::env::set_var("HF_ENDPOINT", &server.address);
        std::env::remove_var("HF_TOKEN");
        std::env::remove_var("HF_HUB_CACHE");
        std::env::remove_var("HF_HUB_OFFLINE");
    }
    let weights = random_weights(&TransformerConfig::vit_tiny_patch8_64(), 3, &Device::Cpu)?;
    let mut names: Vec<&String> = weights.keys().collect();
    names.sort();
    let (one, two) = names.split_at(names.len() / 3);
    let mut map = serde_json::Map::new();
    let mut files = Vec::new();
    for (file, names) in [("model-00001-of-00002.safetensors", one), ("model-00002-of-00002.safetensors", two)] {
        let part: HashMap<String, Tensor> =
            names.iter().map(|name| ((*name).clone(), weights[*name].clone())).collect();
        let path = root.path().join("part");
        candle_core::safetensors::save(&part, &path)?;
        files.push((format!("sub/{file}"), std::fs::read(path).unwrap()));
        map.extend(names.iter().map(|name| ((*name).clone(), file.into())));
    }
    let index = serde_json::json!({ "metadata": { "total_size": 1 }, "weight_map": map }).to_string();
    files.push(("sub/model.safetensors.index.json".into(), index.clone().into_bytes()));
    // An index is one by what is in it.
    files.push(("sub/weights".into(), index.into_bytes()));
    let commit = "a".repeat(40);
    let listed: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    server.commit("somebody/vit-tiny", "main", &commit, &listed);

    let manifests = Manifests::load(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    let mut record = manifests.model("vit_tiny.random")?.clone();
    let files = vec!["sub/model.safetensors.index.json".to_string()];
    record.weights = Weights::Hub { repo: "somebody/vit-tiny".into(), revision: "main".into(), files };
    let read = read_weights(root.path(), &record, &Device::Cpu)?;
    for (name, tensor) in &weights {
        let (ours, expected) = (read.tensors[name].flatten_all()?, tensor.flatten_all()?);
        assert_eq!(ours.to_vec1::<f32>()?, expected.to_vec1::<f32>()?, "{name}");
    }
    let lock = std::fs::read_to_string(lock_path(root.path())).expect("the first download writes the lock");
    for (name, bytes) in &listed[..3] {
        assert!(lock.contains(name) && lock.contains(&wider_clip::storage::sha256_hex(bytes)), "{name}\n{lock}");
    }

    let mut named = record.clone();
    let files = vec!["sub/weights".to_string()];
    named.weights = Weights::Hub { repo: "somebody/vit-tiny".into(), revision: "main".into(), files };
    assert_eq!(weights_id(root.path(), &named)?, read.id, "its parts are held to the lock too");

    // Embedded, its parts would be held by nothing: the record has one hash.
    let folder = embedded_folder(root.path());
    std::fs::create_dir_all(folder.join("sub")).unwrap();
    for (name, bytes) in &listed {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let sha256 = wider_clip::storage::sha256_hex(listed[3].1);
    named.weights = Weights::Embedded { file: "sub/weights".into(), sha256, text: None };
    let error = read_weights(root.path(), &named, &Device::Cpu).expect_err("an index").to_string();
    assert!(error.contains("sub/weights") && error.contains("an index of model-00001-of-00002.safetensors"), "{error}");

    // From the cache alone; another byte anywhere is another model, or an error.
    // SAFETY: as above.
    unsafe { std::env::set_var("HF_HUB_OFFLINE", "1") };
    assert_eq!(weights_id(root.path(), &record)?, read.id);
    assert_eq!(load(root.path(), &record, &Device::Cpu)?.weights_id, read.id);
    let part = home
        .path()
        .join("hub/models--somebody--vit-tiny/snapshots")
        .join(&commit)
        .join("sub/model-00002-of-00002.safetensors");
    let mut bytes = std::fs::read(&part).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::remove_file(&part).unwrap();
    std::fs::write(&part, bytes).unwrap();
    let error = load(root.path(), &record, &Device::Cpu).err().expect("another file").to_string();
    assert!(error.contains("model-00002-of-00002.safetensors") && error.contains("SHA-256"), "{error}");
    Ok(())
}
