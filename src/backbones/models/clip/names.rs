//! The parameters of CLIP beside its image tower, and how transformers and open_clip call them.

use super::TextConfig;
use crate::error::Result;
use crate::models::assemble::{Parameter, Scheme, Source};
use crate::models::transformer::names::{block_parameters, in_block, of_clip_block, renamed};
use candle_core::Device;

/// The parameters of the text tower, its projection included.
pub fn text_parameters(config: &TextConfig) -> Vec<Parameter> {
    let dim = config.dim;
    let mut all = vec![
        Parameter::new("text.token_embedding.weight", [config.vocabulary, dim]),
        Parameter::new("text.pos_embed", [config.context, dim]),
    ];
    for i in 0..config.depth {
        all.extend(block_parameters(&format!("text.blocks.{i}"), (dim, config.hidden), true, false));
    }
    all.extend([Parameter::new("text.norm.bias", [dim]), Parameter::new("text.norm.weight", [dim])]);
    all.push(Parameter::new("text_projection.weight", [config.projection, dim]));
    all
}

/// The names of transformers' `CLIPModel` (and `CLIPTextModelWithProjection`) and of open_clip's `CLIP`, to be read
/// through `Turned`.
pub const SCHEMES: &[Scheme] = &[
    Scheme {
        publisher: "transformers",
        prefixes: &[""],
        published: of_transformers,
        ignored: |name| {
            let others = ["vision_model.", "visual_projection.", "logit_scale", "text_model.embeddings.position_ids"];
            others.iter().any(|other| name.starts_with(other))
        },
    },
    Scheme {
        publisher: "open_clip",
        prefixes: &[""],
        published: of_open_clip,
        ignored: |name| ["visual.", "logit_scale"].iter().any(|other| name.starts_with(other)),
    },
];

fn of_transformers(name: &str) -> Vec<String> {
    let Some(text) = name.strip_prefix("text.") else { return vec![name.into()] };
    let names = match in_block(text) {
        Some((i, rest)) => of_clip_block(i, rest),
        None => {
            let names = [
                ("token_embedding.", "embeddings.token_embedding."),
                ("pos_embed", "embeddings.position_embedding.weight"),
                ("norm.", "final_layer_norm."),
            ];
            vec![renamed(text, &names)]
        }
    };
    names.into_iter().map(|name| format!("text_model.{name}")).collect()
}

fn of_open_clip(name: &str) -> Vec<String> {
    let Some(text) = name.strip_prefix("text.") else {
        let names = [("text_projection.weight", TURNED), ("visual_projection.weight", "visual.head.proj.weight")];
        return vec![renamed(name, &names)];
    };
    let Some((i, rest)) = in_block(text) else {
        return vec![renamed(text, &[("pos_embed", "positional_embedding"), ("norm.", "ln_final.")])];
    };
    let names = [
        ("attn.qkv.", "attn.in_proj_"),
        ("attn.proj.", "attn.out_proj."),
        ("norm1.", "ln_1."),
        ("norm2.", "ln_2."),
        ("mlp.fc1.", "mlp.c_fc."),
        ("mlp.fc2.", "mlp.c_proj."),
    ];
    vec![format!("transformer.resblocks.{i}.{}", renamed(rest, &names))]
}

/// The matrix that open_clip multiplies from the right: (inputs, outputs).
const TURNED: &str = "text_projection";

/// Whether a name is that matrix's, whatever stands before it.
fn turned(name: &str) -> bool {
    name.strip_suffix(TURNED).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// A source in which open_clip's text projection is turned to (outputs, inputs), which its shape would not tell where
/// both are 512. transformers' has another name and stays as it is.
pub(super) struct Turned<'a>(pub(super) &'a dyn Source);

impl Source for Turned<'_> {
    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let mut shape = self.0.shape(name)?;
        if turned(name) {
            shape.reverse();
        }
        Some(shape)
    }

    fn tensor(&self, name: &str, device: &Device) -> Result<candle_core::Tensor> {
        let tensor = self.0.tensor(name, device)?;
        Ok(if turned(name) && tensor.rank() == 2 { tensor.t()?.contiguous()? } else { tensor })
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}
