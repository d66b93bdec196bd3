//! The parameters of a vision transformer, and how transformers, timm and torchvision call them.

use super::config::{Positions, RelativeBias, TransformerConfig};
use super::relative::table_rows;
use crate::models::assemble::{Parameter, Scheme};

/// All parameters of the model, in the order in which random ones are drawn.
pub fn parameters(config: &TransformerConfig) -> Vec<Parameter> {
    let dim = config.dim;
    let mut all = vec![Parameter::new("cls_token", [1, 1, dim])];
    if config.positions != Positions::None {
        let trained = config.positions == Positions::Learned;
        all.push(Parameter { trained, ..Parameter::new("pos_embed", [1, config.tokens(), dim]) });
    }
    all.push(Parameter::new("patch_embed.proj.weight", [dim, 3, config.patch, config.patch]));
    if config.patch_bias {
        all.push(Parameter::new("patch_embed.proj.bias", [dim]));
    }
    if config.norm_pre {
        all.extend(pair("norm_pre", &[dim]));
    }
    let table = [table_rows(config.grid()), config.heads];
    if config.relative_bias == RelativeBias::Shared {
        all.push(Parameter::new("rel_pos_bias.relative_position_bias_table", table));
    }
    for i in 0..config.depth {
        all.extend(block_parameters(&format!("blocks.{i}"), (dim, config.hidden), config.key_bias, config.layer_scale));
        if config.relative_bias == RelativeBias::EachBlock {
            all.push(Parameter::new(format!("blocks.{i}.attn.relative_position_bias_table"), table));
        }
    }
    if config.norm {
        all.extend([Parameter::new("norm.weight", [dim]), Parameter::new("norm.bias", [dim])]);
    }
    all
}

/// The parameters of one block.
pub fn block_parameters(
    block: &str,
    (dim, hidden): (usize, usize),
    key_bias: bool,
    layer_scale: bool,
) -> Vec<Parameter> {
    let mut all = pair(&format!("{block}.norm1"), &[dim]);
    if key_bias {
        all.extend(pair(&format!("{block}.attn.qkv"), &[3 * dim, dim]));
    } else {
        all.extend(["q_bias", "v_bias"].map(|bias| Parameter::new(format!("{block}.attn.{bias}"), [dim])));
        all.push(Parameter::new(format!("{block}.attn.qkv.weight"), [3 * dim, dim]));
    }
    all.extend(pair(&format!("{block}.attn.proj"), &[dim, dim]));
    all.extend(pair(&format!("{block}.norm2"), &[dim]));
    all.extend(pair(&format!("{block}.mlp.fc1"), &[hidden, dim]));
    all.extend(pair(&format!("{block}.mlp.fc2"), &[dim, hidden]));
    if layer_scale {
        all.extend(["ls1", "ls2"].map(|scale| Parameter::new(format!("{block}.{scale}.gamma"), [dim])));
    }
    all
}

/// A bias, and a weight of the given shape.
fn pair(layer: &str, shape: &[usize]) -> Vec<Parameter> {
    vec![Parameter::new(format!("{layer}.bias"), [shape[0]]), Parameter::new(format!("{layer}.weight"), shape)]
}

/// Where the parameters' learning rates stand in layer-wise decay (Bao et al. 2022): 0 for what makes the tokens, i + 1
/// for block i, `depth` + 1 for the rest.
pub fn depth_of(name: &str, depth: usize) -> usize {
    let block = name.strip_prefix("blocks.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
    match block {
        Some(block) => block + 1,
        None if name.starts_with("norm.") || name.starts_with("rel_pos_bias.") => depth + 1,
        None => 0,
    }
}

/// The names of transformers' CLIP, its ViT, DINO, MAE, BEiT and data2vec; timm's; torchvision's old and new ones.
pub const SCHEMES: &[Scheme] = &[
    Scheme {
        publisher: "transformers",
        prefixes: &["vit.", "", "beit.", "data2vec_vision."],
        published: of_transformers,
        ignored: beside_transformers,
    },
    // What `state_dict()` of a model in memory gives there; `save_pretrained` writes the names above.
    Scheme {
        publisher: "transformers (since version 5)",
        prefixes: &["vit.", "", "beit."],
        published: of_transformers_5,
        ignored: beside_transformers,
    },
    Scheme {
        publisher: "transformers (CLIP)",
        prefixes: &["vision_model.", ""],
        published: of_clip,
        ignored: |name| {
            let others =
                ["text_model.", "visual_projection.", "text_projection.", "logit_scale", "embeddings.position_ids"];
            others.iter().any(|other| name.starts_with(other))
        },
    },
    Scheme {
        publisher: "timm",
        prefixes: &[""],
        published: |name| vec![name.into()],
        ignored: |name| name.starts_with("head.") || name.starts_with("fc_norm."),
    },
    Scheme {
        publisher: "torchvision",
        prefixes: &[""],
        published: |name| of_torchvision(name, ["mlp.0", "mlp.3"]),
        ignored: |name| name.starts_with("heads."),
    },
    Scheme {
        publisher: "torchvision (first release)",
        prefixes: &[""],
        published: |name| of_torchvision(name, ["mlp.linear_1", "mlp.linear_2"]),
        ignored: |name| name.starts_with("heads."),
    },
];

/// `blocks.3.attn.proj.weight` as (3, `attn.proj.weight`).
pub fn in_block(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("blocks.")?.split_once('.')
}

/// The first pair whose left side begins `name`, with its right side put there.
pub fn renamed(name: &str, pairs: &[(&str, &str)]) -> String {
    let found = pairs.iter().find_map(|(ours, theirs)| Some(format!("{theirs}{}", name.strip_prefix(ours)?)));
    found.unwrap_or_else(|| name.into())
}

fn of_transformers(name: &str) -> Vec<String> {
    let Some((i, rest)) = in_block(name) else {
        return vec![renamed(
            name,
            &[
                ("cls_token", "embeddings.cls_token"),
                ("pos_embed", "embeddings.position_embeddings"),
                ("patch_embed.proj.", "embeddings.patch_embeddings.projection."),
                ("rel_pos_bias.", "encoder.relative_position_bias."),
                ("norm.", "layernorm."),
            ],
        )];
    };
    let layer = format!("encoder.layer.{i}");
    if let Some(kind) = rest.strip_prefix("attn.qkv.") {
        return ["query", "key", "value"].map(|part| format!("{layer}.attention.attention.{part}.{kind}")).into();
    }
    let rest = renamed(
        rest,
        &[
            ("attn.q_bias", "attention.attention.query.bias"),
            ("attn.v_bias", "attention.attention.value.bias"),
            (
                "attn.relative_position_bias_table",
                "attention.attention.relative_position_bias.relative_position_bias_table",
            ),
            ("attn.proj.", "attention.output.dense."),
            ("norm1.", "layernorm_before."),
            ("norm2.", "layernorm_after."),
            ("mlp.fc1.", "intermediate.dense."),
            ("mlp.fc2.", "output.dense."),
            ("ls1.gamma", "lambda_1"),
            ("ls2.gamma", "lambda_2"),
        ],
    );
    vec![format!("{layer}.{rest}")]
}

/// What belongs to no backbone in transformers' checkpoints.
fn beside_transformers(name: &str) -> bool {
    let heads = ["classifier.", "pooler.", "decoder.", "lm_head.", "layernorm.", "embeddings.mask_token"];
    heads.iter().any(|head| name.starts_with(head)) || name.ends_with("relative_position_index")
}

/// The names that ViT, its DINO, MAE and BEiT have in memory since transformers 5; those of data2vec are as before.
fn of_transformers_5(name: &str) -> Vec<String> {
    let Some((i, rest)) = in_block(name) else {
        return match name.strip_prefix("rel_pos_bias.") {
            Some(table) => vec![format!("shared_position_bias.{table}")],
            None => of_transformers(name),
        };
    };
    let layer = format!("layers.{i}");
    if let Some(kind) = rest.strip_prefix("attn.qkv.") {
        return ["q_proj", "k_proj", "v_proj"].map(|part| format!("{layer}.attention.{part}.{kind}")).into();
    }
    let names = [
        ("attn.q_bias", "attention.q_proj.bias"),
        ("attn.v_bias", "attention.v_proj.bias"),
        ("attn.relative_position_bias_table", "relative_position_bias.relative_position_bias_table"),
        ("attn.proj.", "attention.o_proj."),
        ("norm1.", "layernorm_before."),
        ("norm2.", "layernorm_after."),
        ("ls1.gamma", "lambda_1"),
        ("ls2.gamma", "lambda_2"),
    ];
    vec![format!("{layer}.{}", renamed(rest, &names))]
}

fn of_clip(name: &str) -> Vec<String> {
    match in_block(name) {
        Some((i, rest)) => of_clip_block(i, rest),
        None => vec![renamed(
            name,
            &[
                ("cls_token", "embeddings.class_embedding"),
                ("pos_embed", "embeddings.position_embedding.weight"),
                ("patch_embed.proj.", "embeddings.patch_embedding."),
                ("norm_pre.", "pre_layrnorm."),
                ("norm.", "post_layernorm."),
            ],
        )],
    }
}

/// The names of a block of either tower of transformers' CLIP.
pub fn of_clip_block(i: &str, rest: &str) -> Vec<String> {
    let layer = format!("encoder.layers.{i}");
    if let Some(kind) = rest.strip_prefix("attn.qkv.") {
        return ["q_proj", "k_proj", "v_proj"].map(|part| format!("{layer}.self_attn.{part}.{kind}")).into();
    }
    let names = [("attn.proj.", "self_attn.out_proj."), ("norm1.", "layer_norm1."), ("norm2.", "layer_norm2.")];
    vec![format!("{layer}.{}", renamed(rest, &names))]
}

fn of_torchvision(name: &str, [fc1, fc2]: [&str; 2]) -> Vec<String> {
    let Some((i, rest)) = in_block(name) else {
        return vec![renamed(
            name,
            &[
                ("cls_token", "class_token"),
                ("pos_embed", "encoder.pos_embedding"),
                ("patch_embed.proj.", "conv_proj."),
                ("norm.", "encoder.ln."),
            ],
        )];
    };
    let rest = renamed(
        rest,
        &[
            ("attn.qkv.", "self_attention.in_proj_"),
            ("attn.proj.", "self_attention.out_proj."),
            ("norm1.", "ln_1."),
            ("norm2.", "ln_2."),
            ("mlp.fc1", fc1),
            ("mlp.fc2", fc2),
        ],
    );
    vec![format!("encoder.layers.encoder_layer_{i}.{rest}")]
}
