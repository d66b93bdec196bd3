//! The record of a model: its weights, the input that they expect, the features that it gives.

use crate::key::Key;
use serde::Deserialize;
use toml::de::DeTable;

use super::parse::{Problem, Record, check_digest, check_id, check_not_empty};

/// One file of `data_manifests/models/`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecord {
    /// `arch.tag`, equal to the file's name without `.toml`; the key used in every result row.
    pub id: String,
    /// The name to print.
    pub name: String,
    /// What it belongs to: `efficientnet`, `vit`, `pixels`, ... It groups tables; and of `beit` and `data2vec` the first block stays
    /// in f32 where the rest is rounded to bf16.
    pub family: String,
    /// The network that is built (`efficientnet_lite0`, `vit_tiny_patch16_64`). Its tensors must have the names and shapes of the weights;
    /// what leaves no trace in them, such as an activation or how edges are padded, is this name's alone: `efficientnet_b2` is not
    /// `tf_efficientnet_b2`, and `clip_vit_b32`, with the quick GELU of OpenAI's weights, is not OpenCLIP's of the same shape.
    pub architecture: String,
    /// The name in the `model` column of the study's published tables, for the models that the study used.
    #[serde(default)]
    pub published_as: Option<String>,
    /// SPDX expression of the weights' licence, or of the code's where there are no weights.
    pub licence: String,
    /// Papers to cite, the architecture's first.
    pub papers: Vec<String>,
    /// Parameters of the part that gives the features; the notes say so where a classifier is counted too. `None` where
    /// nobody counted.
    #[serde(default)]
    pub params: Option<u64>,
    /// Where the weights come from.
    pub weights: Weights,
    /// How an image becomes an input.
    pub input: InputRecord,
    /// Which features it gives.
    pub features: FeaturesRecord,
    /// How charts draw it.
    #[serde(default)]
    pub look: Option<LookRecord>,
    /// What a reader should know.
    #[serde(default)]
    pub notes: Option<String>,
}

/// How charts draw a model, the same in all of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookRecord {
    /// `#rrggbb`.
    pub colour: String,
    /// One of [`LookRecord::MARKERS`].
    pub marker: String,
    /// One of [`LookRecord::DASHES`].
    pub dash: String,
}

impl LookRecord {
    /// Markers that charts know.
    pub const MARKERS: [&str; 10] =
        ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "pentagon", "hexagon", "star"];
    /// Dashes that charts know.
    pub const DASHES: [&str; 3] = ["solid", "dash", "dot"];

    fn check(&self) -> Result<(), Problem> {
        let digits = self.colour.strip_prefix('#').unwrap_or_default();
        if digits.len() != 6 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Problem::new("look.colour", "six hexadecimal digits behind #", format!("`{}`", self.colour)));
        }
        for (key, value, known) in [
            ("look.marker", &self.marker, LookRecord::MARKERS.as_slice()),
            ("look.dash", &self.dash, LookRecord::DASHES.as_slice()),
        ] {
            if !known.contains(&value.as_str()) {
                return Err(Problem::new(key, format!("one of {}", known.join(", ")), format!("`{value}`")));
            }
        }
        Ok(())
    }
}

/// Where weights come from. In TOML: `[weights.embedded]`, `[weights.hub]`, `[weights.random]` or `weights = "none"`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Weights {
    /// A safetensors file that ships with the project under `data_manifests/embedded/`.
    Embedded {
        /// The file's name.
        file: String,
        /// SHA-256 in lower-case hex. It is checked when the weights are loaded, not when the manifest is.
        sha256: String,
        /// The text side of a CLIP model of this project.
        #[serde(default)]
        text: Option<TextRecord>,
    },
    /// One file of a model repository on the Hugging Face hub, or an index and the several files that it names.
    Hub {
        /// `owner/name`.
        repo: String,
        /// Branch, tag or commit.
        #[serde(default = "main_branch")]
        revision: String,
        /// Paths in the repository, the one to be preferred first: the first that is there is taken. An index
        /// (`model.safetensors.index.json`) stands for the files that it names, which lie beside it.
        files: Vec<String>,
    },
    /// Drawn at random from a seed: a control.
    Random {
        /// The seed.
        seed: u64,
        /// The weights that this project's pretraining begins with under that seed, and not a normal distribution of
        /// deviation 0.02.
        #[serde(default)]
        of_training: bool,
    },
    /// The model has no weights.
    None,
}

/// The text side of an embedded CLIP model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextRecord {
    /// Text tower and projections, under this crate's names, in `data_manifests/embedded/`.
    pub file: String,
    /// SHA-256 of that file in lower-case hex.
    pub sha256: String,
    /// The byte pairs of its tokenizer, one a line, in `data_manifests/embedded/`.
    pub pairs: String,
    /// How a class is asked for, each with `{}` where its name goes.
    pub templates: Vec<String>,
    /// The kinds of things that it has words for, in `data_manifests/embedded/`; read by [`crate::text::Kinds`].
    pub kinds: Option<String>,
}

fn main_branch() -> String {
    "main".into()
}

/// How a decoded image becomes a model's input.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputRecord {
    /// Height and width of the input in pixels.
    pub size: usize,
    /// The part of the resized image's shorter side that the centre crop keeps, above 0 and at most 1: the image is
    /// resized to `size / crop_pct` first.
    pub crop_pct: f64,
    /// How the sides are resized.
    pub resize: ResizeRecord,
    /// The filter.
    pub interpolation: InterpolationRecord,
    /// Subtracted from red, green and blue in 0 to 1.
    pub mean: [f32; 3],
    /// Divides red, green and blue after that; above 0.
    pub std: [f32; 3],
}

impl InputRecord {
    /// What decides how an image becomes an input.
    pub fn key(&self) -> Key {
        let channels = |values: [f32; 3]| values.map(|value| value.to_string()).join(" ");
        let resize = match self.resize {
            ResizeRecord::Shorter => "shorter",
            ResizeRecord::ShortestEdge => "shortest_edge",
            ResizeRecord::Squash => "squash",
        };
        let interpolation = match self.interpolation {
            InterpolationRecord::Bilinear => "bilinear",
            InterpolationRecord::Bicubic => "bicubic",
        };
        Key::new("input")
            .with("size", self.size)
            .with("crop_pct", self.crop_pct)
            .with("resize", resize)
            .with("interpolation", interpolation)
            .with("mean", channels(self.mean))
            .with("std", channels(self.std))
    }
}

/// How the sides of an image are resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeRecord {
    /// The shorter side gets the size, the other follows; a centre crop makes it square. As torchvision, timm and
    /// open_clip have it: half of an odd surplus is rounded to the even neighbour.
    Shorter,
    /// As `shorter`, but half of an odd surplus is rounded down, as the image processors of transformers do.
    ShortestEdge,
    /// Both sides get the size; proportions are lost.
    Squash,
}

/// The filter of a resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterpolationRecord {
    /// Triangle filter with antialias.
    Bilinear,
    /// Cubic filter (a = -0.5, Pillow's) with antialias.
    Bicubic,
}

/// The features that a model gives.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeaturesRecord {
    /// The one used unless another is asked for: `cls`, `patch_mean`, `token_mean`, `cls_patch_mean` (twice as long as
    /// the others), `avg`, `pixels`.
    pub default: String,
    /// Its length D.
    pub dim: usize,
    /// Others that are stored beside it.
    #[serde(default)]
    pub also: Vec<String>,
}

impl FeaturesRecord {
    /// The default one, then the others.
    pub fn names(&self) -> Vec<&str> {
        std::iter::once(&self.default).chain(&self.also).map(String::as_str).collect()
    }
}

impl Record for ModelRecord {
    const KIND: &'static str = "model";

    fn id(&self) -> &str {
        &self.id
    }

    fn required(_: &DeTable) -> Vec<&'static str> {
        vec![
            "id",
            "name",
            "family",
            "architecture",
            "licence",
            "papers",
            "weights",
            "weights.embedded.file",
            "weights.embedded.sha256",
            "weights.embedded.text.file",
            "weights.embedded.text.sha256",
            "weights.embedded.text.pairs",
            "weights.embedded.text.templates",
            "weights.hub.repo",
            "weights.hub.files",
            "weights.random.seed",
            "input",
            "input.size",
            "input.crop_pct",
            "input.resize",
            "input.interpolation",
            "input.mean",
            "input.std",
            "features",
            "features.default",
            "features.dim",
            "look.colour",
            "look.marker",
            "look.dash",
        ]
    }

    fn check(&self) -> Result<(), Problem> {
        self.look.as_ref().map_or(Ok(()), LookRecord::check)?;
        check_id(&self.id)?;
        if !self.id.split_once('.').is_some_and(|(arch, tag)| !arch.is_empty() && !tag.is_empty()) {
            return Err(Problem::new("id", "`arch.tag`", format!("`{}`", self.id)));
        }
        for (key, text) in [("name", &self.name), ("family", &self.family), ("licence", &self.licence)] {
            check_not_empty(key, text)?;
        }
        self.weights.check()?;
        check_not_empty("features.default", &self.features.default)?;
        if self.features.dim == 0 {
            return Err(Problem::new("features.dim", "a number above 0", "0"));
        }
        if self.features.also.contains(&self.features.default) {
            return Err(Problem::new("features.also", "features other than the default one", "the default one"));
        }
        self.input.check()
    }
}

impl Weights {
    fn check(&self) -> Result<(), Problem> {
        match self {
            Weights::Embedded { sha256, text, .. } => {
                check_digest("weights.embedded.sha256", Some(sha256), 64)?;
                let Some(text) = text else { return Ok(()) };
                if text.templates.is_empty() {
                    return Err(Problem::new("weights.embedded.text.templates", "at least one", "an empty list"));
                }
                check_digest("weights.embedded.text.sha256", Some(&text.sha256), 64)
            }
            Weights::Hub { repo, revision, files } => {
                let (key, quoted) = ("weights.hub.repo", format!("`{repo}`"));
                if repo.split('/').count() > 2 || !is_plain_path(repo) {
                    return Err(Problem::new(key, "`owner/name`", quoted));
                }
                if !is_plain_path(revision) {
                    return Err(Problem::new(
                        "weights.hub.revision",
                        "a branch, tag or commit",
                        format!("`{revision}`"),
                    ));
                }
                if files.is_empty() {
                    return Err(Problem::new("weights.hub.files", "at least one file", "an empty list"));
                }
                for (i, file) in files.iter().enumerate() {
                    let key = format!("weights.hub.files.{i}");
                    if !is_plain_path(file) {
                        return Err(Problem::new(
                            key,
                            "a path in the repository, with `/` and no `..`",
                            format!("`{file}`"),
                        ));
                    }
                    if files[..i].contains(file) {
                        return Err(Problem::new(key, "every file once", format!("`{file}` again")));
                    }
                }
                Ok(())
            }
            Weights::Random { .. } | Weights::None => Ok(()),
        }
    }
}

/// Whether `path` is relative and its parts are names: nothing empty, no `.` or `..`, no backslash, space or
/// character that means something in an address.
pub(super) fn is_plain_path(path: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"\\?#%:*<>|\"".contains(c);
    path.split('/').all(|part| !matches!(part, "" | "." | "..") && part.chars().all(plain))
}

impl InputRecord {
    fn check(&self) -> Result<(), Problem> {
        if self.size == 0 {
            return Err(Problem::new("input.size", "a number above 0", "0"));
        }
        if !(self.crop_pct > 0.0 && self.crop_pct <= 1.0) {
            return Err(Problem::new("input.crop_pct", "a number above 0, at most 1", self.crop_pct.to_string()));
        }
        if !self.mean.iter().all(|m| m.is_finite()) {
            return Err(Problem::new("input.mean", "three finite numbers", format!("{:?}", self.mean)));
        }
        if !self.std.iter().all(|s| s.is_finite() && *s > 0.0) {
            return Err(Problem::new("input.std", "three numbers above 0", format!("{:?}", self.std)));
        }
        Ok(())
    }
}
