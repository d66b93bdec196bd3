//! The vision transformer against PyTorch: features, attention, every gradient and three steps of Adam, in small, under
//! the names of every publisher. The goldens are of `tests/reference/backbones.py`.

#[path = "golden/backbones/mod.rs"]
mod golden;

use candle_core::{DType, Device, Tensor};
use golden::{Golden, holds, relative};
use wider_clip::error::Result;
use wider_clip::models::Architecture;
use wider_clip::models::transformer::{RelativeBias, TransformerConfig};

/// A configuration shrunk to the goldens' size.
fn small(config: TransformerConfig) -> TransformerConfig {
    TransformerConfig { image_size: 24, patch: 8, dim: 32, depth: 2, heads: 4, hidden: 64, ..config }
}

/// Name of the golden, configuration, the study's pooling.
fn models() -> Vec<(&'static str, TransformerConfig, &'static str)> {
    let timm = TransformerConfig { eps: 1e-6, ..TransformerConfig::vit_b16() };
    let per_layer = TransformerConfig { relative_bias: RelativeBias::EachBlock, ..TransformerConfig::beit_b16() };
    let models = [
        ("clip", TransformerConfig::clip_vit_b32(), "cls"),
        ("vit", TransformerConfig::vit_b16(), "cls"),
        ("vit_timm", timm.clone(), "cls"),
        ("vit_torchvision", timm, "cls"),
        ("dino", TransformerConfig::dino_b16(), "cls"),
        ("mae", TransformerConfig::mae_b16(), "token_mean"),
        ("beit", TransformerConfig::beit_b16(), "token_mean"),
        ("beit_per_layer", per_layer, "token_mean"),
        ("data2vec", TransformerConfig::data2vec_b16(), "token_mean"),
    ];
    models.into_iter().map(|(name, config, pooling)| (name, small(config), pooling)).collect()
}

#[test]
fn forward_gradients_and_adam_equal_pytorch() -> Result<()> {
    for (name, config, pooling) in models() {
        let golden = Golden::read(name);
        let zero = holds(&golden, &Architecture::Transformer(config), pooling)?;
        // Softmax does not see what all keys of a query share, so a bias of the keys has no gradient.
        let key_biases: Vec<String> = match name {
            "clip" => (0..2).map(|i| format!("vision_model.encoder.layers.{i}.self_attn.k_proj.bias")).collect(),
            "vit" | "mae" => (0..2).map(|i| format!("vit.encoder.layer.{i}.attention.attention.key.bias")).collect(),
            "dino" => (0..2).map(|i| format!("encoder.layer.{i}.attention.attention.key.bias")).collect(),
            // No bias of the keys, or packed with others.
            _ => Vec::new(),
        };
        assert_eq!(zero, key_biases, "{name}: tensors without a gradient");
    }
    Ok(())
}

#[test]
fn attention_of_the_last_block_equals_pytorch() -> Result<()> {
    for (name, config, _) in models() {
        let golden = Golden::read(name);
        let architecture = Architecture::Transformer(config);
        let weights = golden.assemble(&architecture)?.tensors;
        let model = architecture.build(candle_nn::VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu))?;
        let attention = model.attention(golden.get("images"))?.expect("a transformer has attention");
        let off = relative(&attention, golden.get("attention"));
        println!("{name}: attention differs by {off:.1e}");
        assert!(off < 1e-4, "{name}: attention differs by {off}");
        let sums = attention.sum(3)?.flatten_all()?.to_vec1::<f32>()?;
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-5), "{name}: rows are probabilities");
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_listed() -> Result<()> {
    let golden = Golden::read("dino");
    let architecture = Architecture::Transformer(small(TransformerConfig::dino_b16()));
    let with = |change: &dyn Fn(&mut golden::Tensors)| {
        let mut weights = golden.weights.clone();
        change(&mut weights);
        let golden = Golden { name: "dino", weights, expected: golden::Tensors::new() };
        golden.assemble(&architecture).expect_err("does not fit").to_string()
    };
    let missing = with(&|weights| {
        weights.remove("encoder.layer.1.attention.attention.key.weight");
    });
    assert!(missing.contains("Missing: encoder.layer.1.attention.attention.key.weight."), "{missing}");
    let unexpected = with(&|weights| {
        weights.insert("encoder.layer.7.extra".into(), Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap());
    });
    assert!(unexpected.contains("Unexpected: encoder.layer.7.extra"), "{unexpected}");
    let misshaped = with(&|weights| {
        weights.insert("layernorm.weight".into(), Tensor::zeros(31, DType::F32, &Device::Cpu).unwrap());
    });
    assert!(misshaped.contains("layernorm.weight [31] (expected [32])"), "{misshaped}");
    // Another model altogether.
    let other = Golden::read("convnext").weights;
    let other = with(&|weights| *weights = other.clone());
    assert!(other.contains("Missing: ") && other.contains("more"), "{other}");
    Ok(())
}
