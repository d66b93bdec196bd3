//! What ConvNeXt's parameters are called, here and by publishers, and how deep they lie.

use super::ConvNeXtConfig;
use crate::models::assemble::{Parameter, Scheme};

/// Consecutive blocks that share a learning rate in layer-wise decay.
const GROUPED: usize = 3;

/// The parameters of a backbone, under timm's names.
pub fn parameters(config: &ConvNeXtConfig) -> Vec<Parameter> {
    let dims = config.dims;
    let mut all = layer("stem.0", &[dims[0], 3, 4, 4]);
    all.extend(layer("stem.1", &[dims[0]]));
    for (s, (&dim, &depth)) in dims.iter().zip(&config.depths).enumerate() {
        if s > 0 {
            all.extend(layer(&format!("stages.{s}.downsample.0"), &[dims[s - 1]]));
            all.extend(layer(&format!("stages.{s}.downsample.1"), &[dim, dims[s - 1], 2, 2]));
        }
        for b in 0..depth {
            let block = format!("stages.{s}.blocks.{b}");
            all.extend(layer(&format!("{block}.conv_dw"), &[dim, 1, 7, 7]));
            all.extend(layer(&format!("{block}.norm"), &[dim]));
            all.extend(layer(&format!("{block}.mlp.fc1"), &[4 * dim, dim]));
            all.extend(layer(&format!("{block}.mlp.fc2"), &[dim, 4 * dim]));
            all.push(Parameter::new(format!("{block}.gamma"), [dim]));
        }
    }
    all.extend(layer("head.norm", &[dims[3]]));
    all
}

fn layer(name: &str, weight: &[usize]) -> Vec<Parameter> {
    vec![Parameter::new(format!("{name}.weight"), weight), Parameter::new(format!("{name}.bias"), [weight[0]])]
}

/// Where a parameter's learning rate stands in layer-wise decay, from 0 for the stem to [`n_depths`] - 1 for the last
/// norm and a head.
///
/// Three consecutive blocks make a depth, with the downsampling in front of them: `get_num_layer_for_convnext` in
/// `optim_factory.py` of facebookresearch/ConvNeXt, which counts 12 such groups for small and base, here for any depths.
pub fn depth_of(config: &ConvNeXtConfig, name: &str) -> usize {
    if name.starts_with("stem.") {
        return 0;
    }
    let Some((stage, rest)) = in_stage(name) else { return n_depths(config) - 1 };
    let before: usize = config.depths[..stage].iter().map(|depth| depth.div_ceil(GROUPED)).sum();
    let block = rest.strip_prefix("blocks.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
    1 + before + block.unwrap_or(0) / GROUPED
}

/// The number of depths.
pub fn n_depths(config: &ConvNeXtConfig) -> usize {
    2 + config.depths.iter().map(|depth| depth.div_ceil(GROUPED)).sum::<usize>()
}

/// `stages.2.blocks.0.gamma` as (2, `blocks.0.gamma`).
fn in_stage(name: &str) -> Option<(usize, &str)> {
    let (stage, rest) = name.strip_prefix("stages.")?.split_once('.')?;
    let stage = stage.parse().ok().filter(|&stage| stage < 4)?;
    Some((stage, rest))
}

/// The names of transformers, timm, open_clip and torchvision.
pub const SCHEMES: &[Scheme] = &[
    Scheme {
        publisher: "transformers",
        prefixes: &["convnext.", ""],
        published: |name| vec![of_transformers(name)],
        ignored: |name| name.starts_with("classifier."),
    },
    Scheme {
        publisher: "timm",
        prefixes: &[""],
        published: |name| vec![name.into()],
        ignored: |name| name.starts_with("head.fc."),
    },
    Scheme {
        publisher: "open_clip",
        prefixes: &["visual.trunk."],
        published: |name| vec![name.into()],
        // The projection, and the text tower.
        ignored: |name| {
            let others =
                ["visual.head.", "transformer.", "text.", "token_embedding.", "ln_final.", "head.fc.", "attn_mask"];
            let alone = ["positional_embedding", "text_projection", "logit_scale", "logit_bias"];
            others.iter().any(|other| name.starts_with(other)) || alone.contains(&name)
        },
    },
    Scheme {
        publisher: "torchvision",
        prefixes: &[""],
        published: |name| vec![of_torchvision(name)],
        ignored: |name| name.starts_with("classifier.2."),
    },
];

/// `rest` with its beginning replaced, where one of the pairs has it.
fn renamed(rest: &str, pairs: &[(&str, &str)]) -> String {
    let found = pairs.iter().find_map(|(ours, theirs)| Some(format!("{theirs}{}", rest.strip_prefix(ours)?)));
    found.unwrap_or_else(|| rest.into())
}

/// A block's number and the rest of the name.
fn in_block(rest: &str) -> Option<(&str, &str)> {
    rest.strip_prefix("blocks.")?.split_once('.')
}

fn of_transformers(name: &str) -> String {
    let Some((stage, rest)) = in_stage(name) else {
        return renamed(
            name,
            &[
                ("stem.0.", "embeddings.patch_embeddings."),
                ("stem.1.", "embeddings.layernorm."),
                ("head.norm.", "layernorm."),
            ],
        );
    };
    let rest = match in_block(rest) {
        None => renamed(rest, &[("downsample.", "downsampling_layer.")]),
        Some((block, rest)) => {
            let rest = renamed(
                rest,
                &[
                    ("conv_dw.", "dwconv."),
                    ("norm.", "layernorm."),
                    ("mlp.fc1.", "pwconv1."),
                    ("mlp.fc2.", "pwconv2."),
                    ("gamma", "layer_scale_parameter"),
                ],
            );
            format!("layers.{block}.{rest}")
        }
    };
    format!("encoder.stages.{stage}.{rest}")
}

/// Stages are `features` 1, 3, 5 and 7, what leads to them the even ones.
fn of_torchvision(name: &str) -> String {
    let Some((stage, rest)) = in_stage(name) else {
        let names = [("stem.", "features.0."), ("head.norm.", "classifier.0.")];
        return renamed(name, &names);
    };
    match in_block(rest) {
        None => format!("features.{}.{}", 2 * stage, renamed(rest, &[("downsample.", "")])),
        Some((block, rest)) => {
            let rest = renamed(
                rest,
                &[
                    ("conv_dw.", "block.0."),
                    ("norm.", "block.2."),
                    ("mlp.fc1.", "block.3."),
                    ("mlp.fc2.", "block.5."),
                    ("gamma", "layer_scale"),
                ],
            );
            format!("features.{}.{block}.{rest}", 2 * stage + 1)
        }
    }
}
