//! Short runs of every recipe, held against the bits that they ended with when the numbers were written down.
//!
//! `tests/golden/training/short_runs.json` has them. The last bits of a product depend on the processor's vector units and on
//! how large its caches are, and those of exp on the system's library: the file names the features that its hashes hold
//! for, and the hash of some plain arithmetic tells whether this machine computes like the one that wrote them. Elsewhere
//! means and norms are compared. With `WIDER_CLIP_WRITE_SHORT_RUNS` set, the test writes the file instead.

#[path = "support/require.rs"]
mod require;
#[path = "support/shapes.rs"]
mod shapes;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shapes::{ALL, corpus, small};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wider_clip::pretrain::{Kind, Settings, run};
use wider_clip::random::{Random, truncated_normal};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/training/short_runs.json")
}

type Tensors = BTreeMap<String, Tensor>;

fn read(path: &Path) -> Tensors {
    candle_core::safetensors::load(path, &Device::Cpu).expect("tensors").into_iter().collect()
}

/// Values of any type, which f32 holds, as bytes.
fn bytes(tensor: &Tensor) -> Vec<u8> {
    let values = tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all()?.to_vec1::<f32>()).expect("values");
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn hash(tensors: &Tensors) -> String {
    let mut hasher = Sha256::new();
    for (name, tensor) in tensors {
        hasher.update(format!("{name} {:?} {:?}\n", tensor.dims(), tensor.dtype()));
        hasher.update(bytes(tensor));
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Length of all values together; mean and length of the largest tensor.
fn summary(tensors: &Tensors) -> [f64; 3] {
    let values = |tensor: &Tensor| -> Vec<f64> {
        let values = tensor.to_dtype(DType::F64).and_then(|t| t.flatten_all()?.to_vec1::<f64>()).expect("values");
        values
    };
    let square = |tensor: &Tensor| values(tensor).iter().map(|v| v * v).sum::<f64>();
    let largest = tensors.values().max_by_key(|tensor| tensor.elem_count()).expect("a tensor");
    let mean = values(largest).iter().sum::<f64>() / largest.elem_count() as f64;
    [tensors.values().map(square).sum::<f64>().sqrt(), mean, square(largest).sqrt()]
}

/// The hash of products and functions in sizes that training has.
fn arithmetic() -> String {
    let draw = |stream: u64, shape: (usize, usize)| {
        let values = truncated_normal(&mut Random::new("arithmetic", 0, stream), shape.0 * shape.1, 1.0);
        Tensor::from_vec(values, shape, &Device::Cpu).expect("a matrix")
    };
    let mut found = Tensors::new();
    for (i, (m, k, n)) in [(8, 1152, 512), (296, 128, 512), (128, 296, 384), (512, 2048, 64)].into_iter().enumerate() {
        let product = draw(2 * i as u64, (m, k)).matmul(&draw(2 * i as u64 + 1, (k, n))).expect("a product");
        found.insert(format!("product {i}"), product);
    }
    let x = draw(9, (64, 64));
    let functions = [
        ("exp", x.exp()),
        ("sin", x.sin()),
        ("tanh", x.tanh()),
        ("erf", x.erf()),
        ("log", x.abs().and_then(|x| x.log())),
    ];
    found.extend(functions.map(|(name, value)| (name.to_owned(), value.expect(name))));
    hash(&found)
}

const FEATURES: [&str; 4] = ["avx512f", "avx512vl", "avx512dq", "fma"];

#[cfg(target_arch = "x86_64")]
fn has_features() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("fma")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_features() -> bool {
    false
}

#[test]
fn short_runs_end_with_the_bits_they_ended_with() {
    let (corpus, place) = (corpus(64), tempfile::tempdir().expect("a folder"));
    let mut runs = serde_json::Map::new();
    for id in ALL {
        let recipe = small(id);
        let (folder, tokenizer) = (place.path().join(id), place.path().join("tokenizer"));
        let settings = Settings {
            corpus: &corpus,
            device: &Device::Cpu,
            seed: 3,
            images: 40,
            folder: &folder,
            tokenizer: (recipe.objective == Kind::Beit).then_some(tokenizer.as_path()),
            every: Duration::MAX,
            stop_after: None,
            verbose: false,
        };
        run(&recipe, &settings).unwrap_or_else(|error| panic!("{id}: {}", error.chain()));
        let mut weights = read(&folder.join("weights.safetensors"));
        if id == "clip" {
            weights.extend(read(&folder.join("text.safetensors")));
        }
        // In single precision, what is not published included.
        let trained = read(&folder.join("checkpoint.safetensors")).into_iter();
        let trained: Tensors = trained.filter(|(name, _)| name.starts_with("value.")).collect();
        let found = json!({
            "weights": hash(&weights),
            "trained": hash(&trained),
            "length, mean and length of the largest tensor": summary(&trained),
        });
        runs.insert(id.to_owned(), found);
    }
    let found = json!({
        "about": "ends of 5 steps with batches of 8, seed 3: see tests/training_bits.rs",
        "hashes hold for": { "architecture": "x86_64", "features": FEATURES, "arithmetic": arithmetic() },
        "runs": runs,
    });
    if std::env::var_os("WIDER_CLIP_WRITE_SHORT_RUNS").is_some() {
        let text = serde_json::to_string_pretty(&found).expect("text") + "\n";
        wider_clip::storage::write_atomic(&golden(), text.as_bytes()).expect("a file");
        return;
    }
    let expected: Value = serde_json::from_slice(&std::fs::read(golden()).expect("a file")).expect("JSON");
    let same_machine = has_features() && found["hashes hold for"] == expected["hashes hold for"];
    // Elsewhere means and norms are compared, and that is said.
    require::require_that("bits", same_machine);
    for id in ALL {
        let (found, expected) = (&found["runs"][id], &expected["runs"][id]);
        if same_machine {
            for part in ["weights", "trained"] {
                assert_eq!(found[part], expected[part], "{id}: {part}");
            }
        }
        let numbers = |run: &Value| -> [f64; 3] {
            let numbers = run["length, mean and length of the largest tensor"].clone();
            serde_json::from_value(numbers).expect("three numbers")
        };
        for (found, expected) in numbers(found).into_iter().zip(numbers(expected)) {
            assert!((found - expected).abs() < 1e-3 * expected.abs().max(0.1), "{id}: {found} for {expected}");
        }
    }
}
