//! A finished run put where the suites read it: weights, curve and card under `data_manifests/embedded/pocket/`, and the
//! model's record.

use super::recipe::{Kind, Recipe};
use super::run::{CARD, CURVE, PAIRS, TEXT, WEIGHTS};
use super::shipped::folder as folder_of_shipped;
use crate::error::{Error, Result};
use crate::models::Architecture;
use crate::storage;
use std::path::Path;

/// The largest file of weights that is kept in the repository, in bytes.
const LARGEST: u64 = 2_500_000;

/// Copies the files of the finished run in `folder` into the project at `root` and writes the record; says what it wrote.
///
/// # Errors
/// A run that is not over; weights that are too large to ship; files that cannot be written.
pub(super) fn publish(root: &Path, recipe: &Recipe, folder: &Path) -> Result<String> {
    let (id, pocket) = (recipe.id, folder_of_shipped(root));
    let copy = |from: &str, to: String| -> Result<String> {
        let path = folder.join(from);
        let bytes = std::fs::read(&path).map_err(Error::io(&path, "reading"))?;
        if bytes.len() as u64 > LARGEST {
            return Err(Error::data(&path, format!("at most {LARGEST} bytes"), bytes.len().to_string()));
        }
        storage::write_atomic(&pocket.join(to), &bytes)?;
        Ok(storage::sha256_hex(&bytes))
    };
    let sha256 = copy(WEIGHTS, format!("{id}.safetensors"))?;
    copy(CURVE, format!("{id}.csv"))?;
    copy(CARD, format!("{id}.md"))?;
    let text = match recipe.objective {
        Kind::Clip => {
            copy(PAIRS, format!("{id}_pairs.txt"))?;
            text_record(id, &copy(TEXT, format!("{id}_text.safetensors"))?)
        }
        _ => String::new(),
    };
    let record = root.join("data_manifests").join("models").join(format!("{}.toml", recipe.model));
    let look = look_of(&record);
    storage::write_atomic(&record, (self::record(recipe, &sha256, &text)? + &look).as_bytes())?;
    Ok(format!("{} and {}", pocket.join(format!("{id}.safetensors")).display(), record.display()))
}

/// How charts draw the model, as the record that is there has it at its end; nothing where there is none.
fn look_of(record: &Path) -> String {
    let text = std::fs::read_to_string(record).unwrap_or_default();
    text.find("\n[look]").map_or_else(String::new, |start| text[start..].to_string())
}

fn text_record(id: &str, sha256: &str) -> String {
    format!(
        "\n[weights.embedded.text]\nfile = \"pocket/{id}_text.safetensors\"\nsha256 = \"{sha256}\"\n\
         pairs = \"pocket/{id}_pairs.txt\"\n# Categories were captions of their own; held-out drawings find theirs best so.\n\
         templates = [\"{{}}\"]\nkinds = \"pocket/{id}_kinds.txt\"\n"
    )
}

fn record(recipe: &Recipe, sha256: &str, text: &str) -> Result<String> {
    let Words { name, family, paper } = words(recipe);
    let (id, size) = (recipe.id, recipe.views[0].size);
    let (pooling, dim) = recipe.default_feature()?;
    let architecture = recipe.architecture()?;
    let params: usize = architecture.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum();
    let also = match architecture {
        Architecture::Transformer(_) => "[\"grid_mean\", \"cls\", \"patch_mean\"]",
        _ => "[\"avg\"]",
    };
    let named = if recipe.objective == Kind::Clip { "clip_pocket" } else { recipe.architecture };
    Ok(format!(
        "# Written by `wider-clip pretrain {id} --save`.\nid = \"{model}\"\nname = \"{name}\"\nfamily = \"{family}\"\n\
         architecture = \"{named}\"\nlicence = \"MIT OR Apache-2.0\"\npapers = [\"{paper}\"]\nparams = {params}\n\
         notes = \"Trained by this project on icons and their names alone; data_manifests/embedded/pocket/{id}.md is its \
         card. Not for photographs.\"\n\n[weights.embedded]\nfile = \"pocket/{id}.safetensors\"\nsha256 = \"{sha256}\"\n\
         {text}\n[input]\nsize = {size}\ncrop_pct = 1.0\nresize = \"shorter\"\ninterpolation = \"bicubic\"\n\
         mean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n\n[features]\ndefault = \"{pooling}\"\ndim = {dim}\nalso = {also}\n",
        model = recipe.model,
    ))
}

/// What a record says in words.
struct Words {
    name: &'static str,
    family: &'static str,
    paper: &'static str,
}

fn words(recipe: &Recipe) -> Words {
    let (name, family, paper) = match (recipe.objective, recipe.id) {
        (Kind::Clip, _) => (
            "Pocket CLIP, icons",
            "clip",
            "Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021",
        ),
        (Kind::Dino, _) => (
            "Pocket DINO, icons",
            "dino",
            "Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021",
        ),
        (Kind::Mae, _) => {
            ("Pocket MAE, icons", "mae", "He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022")
        }
        (Kind::Beit | Kind::Tokenizer, _) => {
            ("Pocket BEiT, icons", "beit", "Bao et al., BEiT: BERT Pre-Training of Image Transformers, ICLR 2022")
        }
        (Kind::Data2Vec, _) => (
            "Pocket data2vec, icons",
            "data2vec",
            "Baevski et al., data2vec: A General Framework for Self-supervised Learning in Speech, Vision and Language, ICML 2022",
        ),
        (Kind::Supervised, "vit_16") => (VIT.0, "vit", VIT.1),
        (Kind::Supervised, "vit_32") => ("Pocket ViT, large patches, icons", "vit", VIT.1),
        (Kind::Supervised, "convnext_base") => ("Pocket ConvNeXt, larger, icons", "convnext", CONVNEXT),
        (Kind::Supervised, "convnext_tiny") => ("Pocket ConvNeXt, smaller, icons", "convnext", CONVNEXT),
        (Kind::Supervised, _) => (
            "Pocket EfficientNet, icons",
            "efficientnet",
            "Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019",
        ),
    };
    Words { name, family, paper }
}

const VIT: (&str, &str) = (
    "Pocket ViT, icons",
    "Dosovitskiy et al., An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale, ICLR 2021",
);
const CONVNEXT: &str = "Liu et al., A ConvNet for the 2020s, CVPR 2022";
