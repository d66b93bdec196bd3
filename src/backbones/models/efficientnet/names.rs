//! What EfficientNet's parameters are called, here and by publishers, and how deep they lie.

use super::config::{Convolution, EfficientNetConfig};
use crate::models::assemble::{Parameter, Scheme};

/// The parameters of a backbone, under timm's names, running statistics included.
pub fn parameters(config: &EfficientNetConfig) -> Vec<Parameter> {
    let mut all = conv("conv_stem", "bn1", &[config.stem_channels(), 3, 3, 3]);
    let mut channels = config.stem_channels();
    for shape in config.blocks() {
        let block = &shape.name;
        let named = |((name, bn), dims): Convolution| conv(&format!("{block}.{name}"), &format!("{block}.{bn}"), &dims);
        let (expand, [depthwise, project]) = shape.layers();
        all.extend(expand.map(named).unwrap_or_default());
        all.extend(named(depthwise));
        if let Some(squeezed) = shape.squeezed {
            all.extend(layer(&format!("{block}.se.conv_reduce"), &[squeezed, shape.inside, 1, 1]));
            all.extend(layer(&format!("{block}.se.conv_expand"), &[shape.inside, squeezed, 1, 1]));
        }
        all.extend(named(project));
        channels = shape.outputs;
    }
    all.extend(conv("conv_head", "bn2", &[config.feature_dim(), channels, 1, 1]));
    all
}

fn layer(name: &str, weight: &[usize]) -> Vec<Parameter> {
    vec![Parameter::new(format!("{name}.weight"), weight), Parameter::new(format!("{name}.bias"), [weight[0]])]
}

/// A convolution without bias, and the batch normalisation behind it.
fn conv(name: &str, bn: &str, weight: &[usize]) -> Vec<Parameter> {
    let mut all = vec![Parameter::new(format!("{name}.weight"), weight)];
    all.extend(layer(bn, &weight[..1]));
    all.extend(["running_mean", "running_var"].map(|name| Parameter::statistic(format!("{bn}.{name}"), [weight[0]])));
    all
}

/// Where a parameter's learning rate stands in layer-wise decay: 0 for the stem, i + 1 for the i-th block, [`n_depths`]
/// - 1 for the last convolution and a head. The grouping is timm's `group_matcher`.
pub fn depth_of(config: &EfficientNetConfig, name: &str) -> usize {
    if name.starts_with("conv_stem.") || name.starts_with("bn1.") {
        return 0;
    }
    let of = |block: &str| name.strip_prefix(block).is_some_and(|rest| rest.starts_with('.'));
    let blocks = config.blocks();
    blocks.iter().position(|shape| of(&shape.name)).map_or(blocks.len() + 1, |i| i + 1)
}

/// The number of depths.
pub fn n_depths(config: &EfficientNetConfig) -> usize {
    config.blocks().len() + 2
}

/// The names of timm and torchvision.
pub const SCHEMES: &[Scheme] = &[
    Scheme {
        publisher: "timm",
        prefixes: &[""],
        published: |name| vec![name.into()],
        ignored: |name| name.starts_with("classifier."),
    },
    Scheme {
        publisher: "torchvision",
        prefixes: &[""],
        published: |name| vec![of_torchvision(name)],
        ignored: |name| name.starts_with("classifier."),
    },
];

/// `features` 0 is the stem, 1 to 7 the stages, 8 the head; a block's layers are numbered, and the first stage's have no
/// widening.
fn of_torchvision(name: &str) -> String {
    const OUTSIDE: &[(&str, &str)] = &[
        ("conv_stem.", "features.0.0."),
        ("bn1.", "features.0.1."),
        ("conv_head.", "features.8.0."),
        ("bn2.", "features.8.1."),
    ];
    const FIRST: &[(&str, &str)] = &[
        ("conv_dw.", "0.0."),
        ("bn1.", "0.1."),
        ("se.conv_reduce.", "1.fc1."),
        ("se.conv_expand.", "1.fc2."),
        ("conv_pw.", "2.0."),
        ("bn2.", "2.1."),
    ];
    const OTHERS: &[(&str, &str)] = &[
        ("conv_pw.", "0.0."),
        ("bn1.", "0.1."),
        ("conv_dw.", "1.0."),
        ("bn2.", "1.1."),
        ("se.conv_reduce.", "2.fc1."),
        ("se.conv_expand.", "2.fc2."),
        ("conv_pwl.", "3.0."),
        ("bn3.", "3.1."),
    ];
    let renamed = |rest: &str, pairs: &[(&str, &str)]| {
        pairs.iter().find_map(|(ours, theirs)| Some(format!("{theirs}{}", rest.strip_prefix(ours)?)))
    };
    let in_block = || {
        let mut parts = name.strip_prefix("blocks.")?.splitn(3, '.');
        let (stage, block, rest) = (parts.next()?.parse::<usize>().ok()?, parts.next()?, parts.next()?);
        let rest = renamed(rest, if stage == 0 { FIRST } else { OTHERS })?;
        Some(format!("features.{}.{block}.block.{rest}", stage + 1))
    };
    in_block().or_else(|| renamed(name, OUTSIDE)).unwrap_or_else(|| name.into())
}
