//! What experiments start from: a data set with the features of one model.

use super::{ByName, effort};
use crate::datasets::ImageSet;
use crate::error::{Error, Result};
use crate::features::{Extraction, FeatureTable, extract};
use crate::manifest::{DatasetRecord, InputRecord, Method, ModelRecord};
use crate::models;
use crate::progress::Progress;
use crate::project::Project;
use crate::results::Arm;
use crate::splits::stratified_subset;
use candle_core::Device;
use ndarray::{Array2, Axis};
use std::collections::HashSet;

/// Seed of the subset that `max_images` draws: the same images for every split seed.
const SUBSET_SEED: u64 = 0;

/// The narrower crops of the ensemble, as parts of a model's own.
const NARROWER: [f64; 2] = [0.95, 0.9];

/// A data set with the features of one model.
#[derive(Debug, Clone)]
pub struct Bench {
    /// The images.
    pub set: ImageSet,
    /// Their features.
    pub features: FeatureTable,
    pub(super) record: DatasetRecord,
    subset: String,
    pooling: String,
    by_name: Option<ByName>,
    ensemble: Option<ByName>,
    /// The features of the narrower crops that the ensemble sees besides.
    crops: Vec<FeatureTable>,
}

impl Bench {
    /// Opens a data set and brings the features of a model, from the cache or computed, with the project's suite
    /// deciding how many images take part.
    pub fn open(project: &Project, dataset: &str, model: &str, device: &Device) -> Result<Bench> {
        Bench::of(&project.images(dataset)?, project, model, &project.suite()?.methods, device, None)
    }

    /// The same for a data set of the project that is open already, so that its images are decoded once for all models, and
    /// for any methods; images are counted in `progress`, each as [`effort::of_image`], or told by themselves.
    pub(super) fn of(
        set: &ImageSet,
        project: &Project,
        model: &str,
        methods: &[Method],
        device: &Device,
        progress: Option<&Progress>,
    ) -> Result<Bench> {
        let record = project.manifests.dataset(&set.id)?.clone();
        let set = set.clone();
        let most = project.suite()?.max_images.filter(|&most| most < set.len());
        let rows = most.map(|most| stratified_subset(&set.labels, set.classes.len(), most, SUBSET_SEED)).transpose()?;
        let (root, model) = (project.root(), project.manifests.model(model)?);
        let (mut by_name, mut ensemble) = (None, None);
        for method in methods {
            match method {
                Method::ZeroShot => by_name = ByName::open(root, model, &set.classes, device)?,
                Method::ZeroShotEnsemble => ensemble = ByName::open_with_kinds(root, model, &set.classes, device)?,
                _ => {}
            }
        }
        let narrower = if ensemble.is_some() { NARROWER.as_slice() } else { &[] };
        let work = effort::of_image(model)?;
        let features = |crop_pct: f64, progress: Option<&Progress>| {
            let record = ModelRecord { input: InputRecord { crop_pct, ..model.input.clone() }, ..model.clone() };
            let model = models::load(root, &record, device)?;
            let within = progress.map(|progress| (progress, work));
            let what = Extraction { cache: project.cache(), rows: rows.as_deref(), verbose: true, within };
            extract(&model, &set, what)
        };
        let crops =
            narrower.iter().map(|part| features(part * model.input.crop_pct, None)).collect::<Result<Vec<_>>>()?;
        let features = features(model.input.crop_pct, progress)?;
        let subset = most.map_or_else(|| "all".into(), |most| format!("{most} images"));
        Ok(Bench { set, features, record, subset, pooling: model.features.default.clone(), by_name, ensemble, crops })
    }

    /// The feature that experiments see; another pooling of the model.
    pub fn with_pooling(self, pooling: &str) -> Result<Bench> {
        self.features.pooling(pooling)?;
        Ok(Bench { pooling: pooling.into(), ..self })
    }

    /// With classes read from their names, for [`Method::ZeroShot`]; a suite that names the method does this by itself.
    pub fn with_names(self, by_name: ByName) -> Result<Bench> {
        self.features.pooling(by_name.pooling())?;
        Ok(Bench { by_name: Some(by_name), ..self })
    }

    /// What reads classes from their names, where the model has a text tower and the suite asks for it.
    pub fn by_name(&self) -> Option<&ByName> {
        self.by_name.as_ref()
    }

    /// The classes of the images at `positions`, found by words.
    pub(super) fn ask(&self, method: Method, positions: &[usize]) -> Result<Vec<u32>> {
        let by_name = self.answers(method).ok_or_else(|| {
            let found = format!("{}, or a suite without {}", self.features.model, method.as_str());
            let (what, expected) = match method {
                Method::ZeroShotEnsemble => {
                    ("method zero_shot_ensemble", "a model with a text tower and a list of kinds")
                }
                _ => ("method zero_shot", "a model with a text tower"),
            };
            Error::argument(what, expected, found)
        })?;
        // The ensemble sees several crops of an image.
        let crops = if method == Method::ZeroShotEnsemble { self.crops.as_slice() } else { &[] };
        let views = std::iter::once(&self.features)
            .chain(crops)
            .map(|table| Ok(table.pooling(by_name.pooling())?.select(Axis(0), positions)));
        let views = views.collect::<Result<Vec<_>>>()?;
        Ok(by_name.predict_views(&views.iter().map(Array2::view).collect::<Vec<_>>())?.to_vec())
    }

    /// What answers a method that asks by words; `None` for other methods, and where there is nothing to be asked.
    pub(super) fn answers(&self, method: Method) -> Option<&ByName> {
        match method {
            Method::ZeroShot => self.by_name.as_ref(),
            Method::ZeroShotEnsemble => self.ensemble.as_ref(),
            _ => None,
        }
    }

    /// The features `(N, D)` under the chosen pooling.
    pub fn chosen(&self) -> Result<&Array2<f32>> {
        self.features.pooling(&self.pooling)
    }

    /// Class of every row of the feature table.
    pub fn labels(&self) -> Vec<u32> {
        self.features.rows.iter().map(|&row| self.set.labels[row]).collect()
    }

    /// An arm of an experiment with all that says where its numbers come from; neither budget nor seed.
    pub(super) fn arm(&self, table: &str, method: &str, protocol: &str, code: u32) -> Arm {
        Arm {
            table: table.into(),
            dataset: self.set.id.clone(),
            model: self.features.model.clone(),
            method: method.into(),
            budget: None,
            seed: 0,
            pooling: self.pooling.clone(),
            protocol: protocol.into(),
            subset: self.subset.clone(),
            weights: self.features.weights.clone(),
            data_sha256: self.features.data_sha256.clone(),
            device: self.features.device.clone(),
            code,
        }
    }

    /// Positions in the feature table of the images of a published part; `all` takes every image.
    pub(super) fn positions(&self, part: &str) -> Result<Vec<usize>> {
        if part == "all" {
            return Ok((0..self.features.rows.len()).collect());
        }
        let rows: HashSet<usize> = self.set.rows_of_part(part)?.into_iter().collect();
        Ok((0..self.features.rows.len()).filter(|&i| rows.contains(&self.features.rows[i])).collect())
    }

    /// Whether the image at a position is of a domain that the data set's record holds out.
    pub(super) fn is_held_out(&self, position: usize) -> bool {
        let domain = self.set.domains.as_ref().map(|domains| domains[self.features.rows[position]].as_str());
        domain.is_some_and(|domain| self.record.split.ood_domains.iter().any(|held| held == domain))
    }

    pub(super) fn labels_at(&self, positions: &[usize]) -> Vec<u32> {
        positions.iter().map(|&i| self.set.labels[self.features.rows[i]]).collect()
    }

    pub(super) fn groups_at(&self, positions: &[usize]) -> Result<Vec<&str>> {
        let groups = self.set.groups.as_ref().ok_or_else(|| {
            Error::argument("split.rule", "a data set with groups", format!("{} without", self.set.id))
        })?;
        Ok(positions.iter().map(|&i| groups[self.features.rows[i]].as_str()).collect())
    }
}
