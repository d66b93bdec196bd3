//! Classes by their names: CLIP's text tower on a data set's class names, against cached image features.
//!
//! The study describes zero-shot classification and did not run it. Image features are cached before CLIP's projection,
//! so nothing is computed from images again: the projection is one matrix product.
//!
//! Asked by kinds, a class is asked for by its name, by each word of it, and by the kinds of things that its words stand
//! for ([`Kinds`]), where the model's record names a list of them.

use crate::error::{Error, Result};

use crate::key::digest_of;
use crate::manifest::{Method, ModelRecord, TextRecord, Weights, embedded_folder};
use crate::models::clip::TextTower;
use crate::models::{ClipConfig, Mode, WeightFile, embedded_file, fetch_weights};
use crate::probe::zero_shot::ZeroShot;
use crate::products::{Threads, multiply};
use crate::storage::sha256_file;
use crate::text::{Kinds, Templates, Tokenizer, read_pairs};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use ndarray::{Array1, Array2, ArrayView2};
use std::collections::HashMap;
use std::path::Path;

/// Prompts that pass through the text tower together.
const PROMPTS: usize = 64;

/// What turns a model's image features into classes without a label.
#[derive(Debug, Clone)]
pub struct ByName {
    /// (E, D).
    projection: Array2<f32>,
    pooling: String,
    classes: ZeroShot,
    /// Classes that are asked for in the same tokens: the second of two is never an answer.
    alike: Vec<(String, String)>,
}

/// What the classes that a model is asked for by `method` depend on, beside the image features; `None` where the model
/// cannot be asked so. Nothing is loaded or encoded.
///
/// # Errors
/// Embedded files that cannot be read, or have another hash; no class.
pub fn asked(root: &Path, record: &ModelRecord, classes: &[String], method: Method) -> Result<Option<String>> {
    let in_words = || classes.iter().map(|class| class.replace('-', " ")).collect::<Vec<_>>();
    let hash = |file: &str| sha256_file(&embedded_folder(root).join(file));
    if ClipConfig::named(&record.architecture).is_none() {
        return Ok(None);
    }
    if let (Weights::Embedded { text: Some(text), .. }, true) = (&record.weights, method.asks_by_words()) {
        embedded_file(root, &text.file, &text.sha256)?;
    }
    Ok(match (&record.weights, method) {
        (Weights::Hub { .. }, Method::ZeroShot) => {
            Some(format!("prompts {}", digest_of(&Templates::photo().prompts(classes)?)))
        }
        (Weights::Embedded { text: Some(text), .. }, Method::ZeroShot) => {
            let prompts = Templates::new(&text.templates)?.prompts(&in_words())?;
            let pairs = hash(&text.pairs)?;
            Some(format!("prompts {} of text tower {}, pairs {pairs}", digest_of(&prompts), text.sha256))
        }
        (Weights::Embedded { text: Some(text), .. }, Method::ZeroShotEnsemble) => match &text.kinds {
            Some(kinds) => {
                let (kinds, pairs) = (hash(kinds)?, hash(&text.pairs)?);
                let classes = digest_of(in_words());
                Some(format!("classes {classes}, kinds {kinds} of text tower {}, pairs {pairs}", text.sha256))
            }
            None => None,
        },
        _ => None,
    })
}

impl ByName {
    /// Reads the text side of the model of `record` and encodes a prompt for each of `classes`: "a photo of a {class}."
    /// for published models, the record's own templates for embedded ones, whose captions have blanks for hyphens.
    /// `None` for a model without a text tower.
    ///
    /// # Errors
    /// As for [`fetch_weights`]; embedded files of another hash; tensors that are not of this model; no class.
    pub fn open(root: &Path, record: &ModelRecord, classes: &[String], device: &Device) -> Result<Option<ByName>> {
        let Some(config) = ClipConfig::named(&record.architecture) else { return Ok(None) };
        match &record.weights {
            Weights::Hub { repo, revision, files } => {
                let (path, _) = fetch_weights(root, repo, revision, files)?;
                let weights = config.assemble(&WeightFile::open(&path)?, device)?.tensors;
                ByName::new(&config, weights, &Tokenizer::clip()?, &Templates::photo(), classes, device).map(Some)
            }
            Weights::Embedded { text: Some(text), .. } => {
                let (weights, tokenizer) = read_embedded(root, text, &config, device)?;
                let classes: Vec<String> = classes.iter().map(|class| class.replace('-', " ")).collect();
                let templates = Templates::new(&text.templates)?;
                ByName::new(&config, weights, &tokenizer, &templates, &classes, device).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The same from weights under this crate's names: those of [`ClipConfig::parameters`] that are not the image tower's.
    ///
    /// # Errors
    /// Weights that are missing or misshaped; no class; a vocabulary that does not fit the text tower.
    pub fn new(
        config: &ClipConfig,
        weights: HashMap<String, Tensor>,
        tokenizer: &Tokenizer,
        templates: &Templates,
        classes: &[String],
        device: &Device,
    ) -> Result<ByName> {
        let side = TextSide::new(config, weights, tokenizer, device)?;
        let prompts = templates.prompts(classes)?;
        let features = side.encode(&prompts)?;
        let shape = (classes.len(), templates.len(), config.text.projection);
        let features = features.into_shape_with_order(shape).map_err(misshaped)?;
        let alike = side.alike(classes, prompts.chunks(templates.len().max(1)).map(|prompts| vec![prompts]));
        Ok(side.by_name(ZeroShot::new(features.view())?, alike))
    }

    /// Asks by kinds: each class by its name and the words of it, whose features are averaged, and by the kinds of its
    /// words, of which the best one counts as much ([`ZeroShot::with_kinds`]). `None` for a model whose record names no
    /// kinds.
    ///
    /// # Errors
    /// As for [`ByName::open`]; a list of kinds that cannot be read.
    pub fn open_with_kinds(
        root: &Path,
        record: &ModelRecord,
        classes: &[String],
        device: &Device,
    ) -> Result<Option<ByName>> {
        let Some(config) = ClipConfig::named(&record.architecture) else { return Ok(None) };
        let Weights::Embedded { text: Some(text), .. } = &record.weights else { return Ok(None) };
        let Some(kinds) = &text.kinds else { return Ok(None) };
        let (weights, tokenizer) = read_embedded(root, text, &config, device)?;
        let kinds = Kinds::read(&embedded_folder(root).join(kinds))?;
        let side = TextSide::new(&config, weights, &tokenizer, device)?;
        let (mut names, mut of_kinds, mut asked) = (Vec::new(), Vec::new(), Vec::new());
        for class in
            Templates::new(["{}"])?.prompts(&classes.iter().map(|c| c.replace('-', " ")).collect::<Vec<_>>())?
        {
            let words = class.split(' ').filter(|word| *word != class);
            let prompts: Vec<String> = std::iter::once(class.as_str()).chain(words).map(String::from).collect();
            let kinds: Vec<String> = kinds.of_class(&class).into_iter().map(String::from).collect();
            names.push(side.encode(&prompts)?);
            of_kinds.push(side.encode(&kinds)?);
            asked.push((prompts, kinds));
        }
        let alike =
            side.alike(classes, asked.iter().map(|(prompts, kinds)| vec![prompts.as_slice(), kinds.as_slice()]));
        let classes = ZeroShot::of_prompts(&names.iter().map(Array2::view).collect::<Vec<_>>())?;
        let classes = classes.with_kinds(&of_kinds.iter().map(Array2::view).collect::<Vec<_>>())?;
        Ok(Some(side.by_name(classes, alike)))
    }

    /// What is to be said of the classes: those that are asked for in the same tokens, because their names differ in what
    /// the text tower does not read (capitals, what is behind its last token). Empty where there are none.
    pub fn warning(&self) -> String {
        let Some((first, second)) = self.alike.first() else { return String::new() };
        let more = match self.alike.len() - 1 {
            0 => String::new(),
            n => format!("; {n} more are read as others"),
        };
        format!("the text tower reads class `{second}` as class `{first}`, so `{second}` is never an answer{more}")
    }

    /// The feature that it reads: the one that CLIP projects.
    pub fn pooling(&self) -> &str {
        &self.pooling
    }

    /// The class of every image: features (N, D) before the projection to (N,).
    ///
    /// # Errors
    /// As for [`ZeroShot::try_predict`].
    pub fn predict(&self, features: ArrayView2<f32>) -> Result<Array1<u32>> {
        self.predict_views(&[features])
    }

    /// The class of every image from several views of it, each (N, D): projected, brought to length 1 and added.
    ///
    /// # Errors
    /// As for [`ZeroShot::try_predict`]; no view, views of different numbers of images.
    pub fn predict_views(&self, views: &[ArrayView2<f32>]) -> Result<Array1<u32>> {
        let Some((first, others)) = views.split_first() else {
            return Err(Error::argument("views", "at least one", "none"));
        };
        let mut seen = self.projected(*first)?;
        if !others.is_empty() {
            bring_to_length_one(&mut seen);
        }
        for view in others {
            if view.nrows() != first.nrows() {
                let expected = format!("{} images in each", first.nrows());
                return Err(Error::argument("views", expected, view.nrows().to_string()));
            }
            let mut view = self.projected(*view)?;
            bring_to_length_one(&mut view);
            seen += &view;
        }
        Ok(self.classes.try_predict(seen.view())?.0)
    }

    fn projected(&self, features: ArrayView2<f32>) -> Result<Array2<f32>> {
        let (e, d) = self.projection.dim();
        if features.ncols() != d {
            let found = format!("{} numbers", features.ncols());
            return Err(Error::argument("image features", format!("{d} numbers, as CLIP projects them"), found));
        }
        let mut projected = Array2::zeros((features.nrows(), e));
        multiply(Threads::All, features, self.projection.t(), projected.view_mut());
        Ok(projected)
    }
}

/// Rows of zeros stay; [`ZeroShot`] refuses them.
fn bring_to_length_one(features: &mut Array2<f32>) {
    for mut row in features.rows_mut() {
        let length = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        if length > 0.0 {
            row.mapv_inplace(|x| (f64::from(x) / length) as f32);
        }
    }
}

/// The text side of a CLIP model.
struct TextSide<'a> {
    /// (E, D).
    projection: Array2<f32>,
    pooling: &'static str,
    tower: TextTower,
    tokenizer: &'a Tokenizer,
}

impl<'a> TextSide<'a> {
    fn new(
        config: &ClipConfig,
        weights: HashMap<String, Tensor>,
        tokenizer: &'a Tokenizer,
        device: &Device,
    ) -> Result<Self> {
        if tokenizer.vocabulary_size() != config.text.vocabulary {
            let expected = format!("{} tokens, as the text tower has", config.text.vocabulary);
            return Err(Error::argument("tokenizer", expected, tokenizer.vocabulary_size().to_string()));
        }
        let vb = VarBuilder::from_tensors(weights, DType::F32, device);
        let shape = (config.text.projection, config.image_dim);
        let projection = vb.get(shape, "visual_projection.weight").map_err(Error::tensor("loading CLIP weights"))?;
        let projection = projection.flatten_all()?.to_vec1()?;
        Ok(TextSide {
            projection: Array2::from_shape_vec(shape, projection).map_err(misshaped)?,
            pooling: config.pooling,
            tower: TextTower::load(&config.text, &vb)?,
            tokenizer,
        })
    }

    /// Features (T, E) of some texts.
    fn encode(&self, texts: &[String]) -> Result<Array2<f32>> {
        let e = self.projection.nrows();
        let mut features = Vec::with_capacity(texts.len() * e);
        for some in texts.chunks(PROMPTS) {
            let some = self.tower.forward(self.tokenizer.encode_batch(some).view(), Mode::Eval)?;
            features.extend(some.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?);
        }
        Array2::from_shape_vec((texts.len(), e), features).map_err(misshaped)
    }

    /// Classes that are asked for in the same tokens as one before them, with that one.
    fn alike<'b>(&self, classes: &[String], asked: impl Iterator<Item = Vec<&'b [String]>>) -> Vec<(String, String)> {
        let mut seen = HashMap::new();
        let mut alike = Vec::new();
        for (class, texts) in classes.iter().zip(asked) {
            let of_texts = |texts: &[String]| texts.iter().map(|text| self.tokenizer.encode(text)).collect::<Vec<_>>();
            let tokens: Vec<_> = texts.into_iter().map(of_texts).collect();
            match seen.get(&tokens) {
                Some(first) => alike.push((String::clone(first), class.clone())),
                None => drop(seen.insert(tokens, class.clone())),
            }
        }
        alike
    }

    fn by_name(self, classes: ZeroShot, alike: Vec<(String, String)>) -> ByName {
        ByName { projection: self.projection, pooling: self.pooling.into(), classes, alike }
    }
}

/// Text side and tokenizer of an embedded model.
fn read_embedded(
    root: &Path,
    text: &TextRecord,
    config: &ClipConfig,
    device: &Device,
) -> Result<(HashMap<String, Tensor>, Tokenizer)> {
    let file = WeightFile::open(&embedded_file(root, &text.file, &text.sha256)?)?;
    let read = |name: &str| Ok((name.to_owned(), file.get(name, device)?.to_dtype(DType::F32)?));
    let weights = file.names().map(read).collect::<Result<HashMap<_, _>>>()?;
    let pairs = read_pairs(&embedded_folder(root).join(&text.pairs))?;
    Ok((weights, Tokenizer::from_merges(&pairs, config.text.context)?))
}

fn misshaped(error: ndarray::ShapeError) -> Error {
    Error::argument("text features", "(K, T, E)", error.to_string())
}
