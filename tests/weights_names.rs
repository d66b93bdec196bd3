//! The names of a model's tensors as programs write them: behind prefixes, in wrappers, in transformers' newest way.

#[path = "golden/backbones/mod.rs"]
mod golden;

use candle_core::{Device, Tensor};
use golden::{Golden, Tensors};
use wider_clip::models::Architecture;
use wider_clip::models::clip::TextConfig;
use wider_clip::models::transformer::{RelativeBias, TransformerConfig};

fn small(config: TransformerConfig) -> Architecture {
    Architecture::Transformer(TransformerConfig {
        image_size: 24,
        patch: 8,
        dim: 32,
        depth: 2,
        heads: 4,
        hidden: 64,
        ..config
    })
}

fn with(weights: Tensors) -> Golden {
    Golden { name: "renamed", weights, expected: Tensors::new() }
}

fn renamed(weights: &Tensors, name: impl Fn(&str) -> String) -> Tensors {
    weights.iter().map(|(old, tensor)| (name(old), tensor.clone())).collect()
}

fn bits(tensors: &Tensors) -> Vec<(String, Vec<u32>)> {
    let bits =
        |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().map(|x| x.to_bits()).collect();
    let mut all: Vec<_> = tensors.iter().map(|(name, tensor)| (name.clone(), bits(tensor))).collect();
    all.sort();
    all
}

/// Architectures with a golden file of each publisher's names.
fn models() -> Vec<(&'static str, Architecture)> {
    let timm = TransformerConfig { eps: 1e-6, ..TransformerConfig::vit_b16() };
    vec![
        ("vit", small(TransformerConfig::vit_b16())),
        ("vit_timm", small(timm.clone())),
        ("vit_torchvision", small(timm)),
        ("clip", small(TransformerConfig::clip_vit_b32())),
        ("dino", small(TransformerConfig::dino_b16())),
        ("beit", small(TransformerConfig::beit_b16())),
    ]
}

#[test]
fn a_prefix_before_all_names_is_taken_away() {
    for (name, architecture) in models() {
        let golden = Golden::read(name);
        let expected = bits(&golden.assemble(&architecture).expect("fits").tensors);
        for prefix in [
            "module.",
            "_orig_mod.",
            "model.",
            "backbone.",
            "module._orig_mod.",
            "base_model.model.",
            "student.net.x1.",
        ] {
            let changed = with(renamed(&golden.weights, |old| format!("{prefix}{old}")));
            let assembled = changed.assemble(&architecture).unwrap_or_else(|error| panic!("{name} {prefix}: {error}"));
            assert_eq!(bits(&assembled.tensors), expected, "{name} {prefix}");
            let parts = assembled.published.values().flatten();
            assert!(parts.into_iter().all(|part| changed.weights.contains_key(part)), "{name} {prefix}");
        }
        // A module's wrapper in the middle of names.
        let changed = with(renamed(&golden.weights, |old| old.replacen('.', "._orig_mod.", 1)));
        assert_eq!(bits(&changed.assemble(&architecture).expect("fits").tensors), expected, "{name}");
    }
}

#[test]
fn a_head_beside_a_prefixed_backbone_does_not_matter_and_anything_else_does() {
    let golden = Golden::read("dino");
    let architecture = small(TransformerConfig::dino_b16());
    let zeros = Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap();
    let inside = renamed(&golden.weights, |old| format!("module.backbone.{old}"));
    let beside = |name: &str| {
        let mut weights = inside.clone();
        weights.insert(name.into(), zeros.clone());
        with(weights).assemble(&architecture)
    };
    for name in ["module.head.mlp.0.weight", "module.fc.bias", "n_averaged"] {
        beside(name).unwrap_or_else(|error| panic!("{error}"));
    }
    let error = beside("module.backbone.encoder.extra").expect_err("does not fit").to_string();
    assert!(
        error.contains("without the prefix `module.backbone.`") && error.contains("Unexpected: encoder.extra"),
        "{error}"
    );
    let error = beside("module.memory").expect_err("does not fit").to_string();
    assert!(error.contains("Unexpected: memory"), "{error}");
    let error =
        beside("module.backbone.encoder.layer.0.attention.attention.query.lora_A.weight").expect_err("does not fit");
    assert!(error.to_string().contains("merge_and_unload"), "{error}");
    // A missing tensor is named without the prefix.
    let mut weights = inside.clone();
    weights.remove("module.backbone.layernorm.bias");
    let error = with(weights).assemble(&architecture).expect_err("does not fit").to_string();
    assert!(error.contains("Missing: layernorm.bias.") && error.contains("`module.backbone.`"), "{error}");
}

#[test]
fn two_models_in_one_file_are_not_guessed_between() {
    let golden = Golden::read("dino");
    let architecture = small(TransformerConfig::dino_b16());
    for (one, other) in [("student.", "teacher."), ("", "ema."), ("module.encoder_q.", "module.encoder_k.")] {
        let mut weights = renamed(&golden.weights, |old| format!("{one}{old}"));
        weights.extend(renamed(&golden.weights, |old| format!("{other}{old}")));
        let error = with(weights).assemble(&architecture).expect_err("two models").to_string();
        assert!(error.contains(&format!("`{one}`")) && error.contains(&format!("`{other}`")), "{error}");
        assert!(error.contains("torch.save("), "{error}");
    }
}

/// `state_dict()` of transformers 5, by its conversion_mapping.py and modeling_vit.py, modeling_beit.py (5.24.0).
#[test]
fn names_of_transformers_5_are_read() {
    let per_layer = TransformerConfig { relative_bias: RelativeBias::EachBlock, ..TransformerConfig::beit_b16() };
    for (name, config) in [
        ("vit", TransformerConfig::vit_b16()),
        ("dino", TransformerConfig::dino_b16()),
        ("mae", TransformerConfig::mae_b16()),
        ("beit", TransformerConfig::beit_b16()),
        ("beit_per_layer", per_layer),
    ] {
        let golden = Golden::read(name);
        let architecture = small(config);
        let old = golden.assemble(&architecture).expect("fits");
        let newest = |name: &str| {
            let pairs = [
                ("encoder.relative_position_bias.", "shared_position_bias."),
                ("encoder.layer.", "layers."),
                ("attention.attention.relative_position_bias.", "relative_position_bias."),
                ("attention.attention.query.", "attention.q_proj."),
                ("attention.attention.key.", "attention.k_proj."),
                ("attention.attention.value.", "attention.v_proj."),
                ("attention.output.dense.", "attention.o_proj."),
                ("intermediate.dense.", "mlp.fc1."),
                ("output.dense.", "mlp.fc2."),
            ];
            pairs.iter().fold(name.to_string(), |name, (old, new)| name.replace(old, new))
        };
        let changed = with(renamed(&golden.weights, newest));
        assert!(changed.weights.keys().any(|name| name.contains("layers.0.attention.q_proj.weight")), "{name}");
        let assembled = changed.assemble(&architecture).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(bits(&assembled.tensors), bits(&old.tensors), "{name}");
        assert_eq!((old.publisher, assembled.publisher), ("transformers", "transformers (since version 5)"), "{name}");
    }
}

/// Both towers of CLIP behind one prefix; open_clip's text projection, which is turned, is known by its last part.
#[test]
fn a_text_tower_behind_a_prefix_is_read_alike() {
    let golden = Golden::read("convnext_openclip");
    let config = TextConfig {
        vocabulary: 20,
        context: 8,
        dim: 16,
        depth: 1,
        heads: 2,
        hidden: 64,
        projection: 24,
        ..TextConfig::clip_convnext_base()
    };
    let expected = bits(&config.assemble(&golden.weights, &Device::Cpu).expect("fits").tensors);
    for prefix in ["module.", "_orig_mod.", "model.clip."] {
        let changed = renamed(&golden.weights, |old| format!("{prefix}{old}"));
        let assembled = config.assemble(&changed, &Device::Cpu).unwrap_or_else(|error| panic!("{prefix}: {error}"));
        assert_eq!(bits(&assembled.tensors), expected, "{prefix}");
    }
}
