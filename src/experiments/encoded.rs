//! What experiments start from: a data set under a model.

use super::effort;
use crate::datasets::ImageSet;
use crate::error::{Error, Result};
use crate::features::{self, Extraction, FeatureTable, extract};
use crate::key::Key;
use crate::manifest::{DTypeRecord, DatasetRecord, InputRecord, ModelRecord, SplitRule};
use crate::models::{self, device_name};
use crate::progress::Progress;
use crate::project::Project;
use crate::results::Cell;
use crate::say::plain;
use crate::splits::stratified_subset;
use candle_core::{DType, Device};
use ndarray::Array2;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Seed of the subset that `max_images` draws: the same images for every split seed.
const SUBSET_SEED: u64 = 0;

/// A data set and a model, of which nothing is computed yet: enough to know every cell of work by its key.
#[derive(Debug, Clone)]
pub struct Encoding {
    /// The images.
    pub set: ImageSet,
    /// Record of the data set.
    pub dataset: DatasetRecord,
    /// Record of the model.
    pub model: ModelRecord,
    /// Rows of the set that take part, where not all do.
    rows: Option<Vec<usize>>,
    subset: String,
    device: Device,
    /// What features are computed in.
    dtype: DType,
    features: Key,
    parts: Key,
}

/// What is to be done with an encoding; with it, a cell of work.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    /// The table of the rows.
    pub table: &'a str,
    /// Name of the method, and what its numbers depend on beside it.
    pub method: (&'a str, &'a str),
    /// The feature.
    pub pooling: &'a str,
    /// How the parts are drawn.
    pub protocol: &'a str,
    /// Label budget.
    pub budget: Option<u32>,
    /// Seed.
    pub seed: u64,
    /// Version of the experiment's code, raised whenever a change there moves a number.
    pub code: u32,
}

impl Encoding {
    /// Of a data set of the project that is open already, so that its images are decoded once for all models. The suite
    /// decides how many images take part, and what features are computed in. Nothing is computed: that a processor lacks the
    /// instructions for bf16 is told where features are ([`Encoding::encode`]).
    ///
    /// # Errors
    /// A model that is not known; weights that are not what its record says.
    pub fn of(project: &Project, set: &ImageSet, model: &str, device: &Device) -> Result<Encoding> {
        let dtype = match project.suite()?.dtype {
            DTypeRecord::F32 => DType::F32,
            DTypeRecord::Bf16 => DType::BF16,
        };
        Encoding::of_dtype(project, set, model, device, dtype)
    }

    /// The same with features in f32, whatever the suite says: for what trains, or is kept to be used elsewhere.
    ///
    /// # Errors
    /// As for [`Encoding::of`].
    pub fn of_f32(project: &Project, set: &ImageSet, model: &str, device: &Device) -> Result<Encoding> {
        Encoding::of_dtype(project, set, model, device, DType::F32)
    }

    fn of_dtype(project: &Project, set: &ImageSet, model: &str, device: &Device, dtype: DType) -> Result<Encoding> {
        let dataset = project.manifests.dataset(&set.id)?.clone();
        let model = project.manifests.model(model)?.clone();
        let most = project.suite()?.max_images.filter(|&most| most < set.len());
        let rows = most.map(|most| stratified_subset(&set.labels, set.classes.len(), most, SUBSET_SEED)).transpose()?;
        let weights = models::weights_id(project.root(), &model)?;
        let features = features::key(&model, &weights, dtype, device, set, rows.as_deref());
        let parts = parts_key(&dataset, set);
        let subset = most.map_or_else(|| "all".into(), |most| format!("{most} images"));
        let device = device.clone();
        Ok(Encoding { set: set.clone(), dataset, model, rows, subset, device, dtype, features, parts })
    }

    /// The same images and features with another record of the data set, as where other domains are held out.
    pub(super) fn with_record(&self, dataset: DatasetRecord) -> Encoding {
        Encoding { parts: parts_key(&dataset, &self.set), dataset, ..self.clone() }
    }

    /// Where features are computed.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The device by name, with what features are computed in where that is not f32: `cpu`, `cpu, bf16`.
    fn device_and_dtype(&self) -> String {
        let device = device_name(&self.device);
        if self.dtype == DType::F32 { device.into() } else { format!("{device}, {}", self.dtype.as_str()) }
    }

    /// Rows of the set that take part.
    fn taken(&self) -> Vec<usize> {
        self.rows.clone().unwrap_or_else(|| (0..self.set.len()).collect())
    }

    /// For each image that takes part whether it could be used; `None` where all could. Nothing for any image says that too, of a data
    /// set of which as many of each class are drawn in any case: the number of answers would not tell.
    pub(super) fn usable(&self, encoded: &Encoded) -> Option<Vec<bool>> {
        let aside: HashSet<usize> = encoded.features.set_aside.iter().map(|image| image.row).collect();
        match aside.is_empty() {
            true => self.dataset.split.balance.map(|_| Vec::new()),
            false => Some(self.taken().iter().map(|row| !aside.contains(row)).collect()),
        }
    }

    /// Whether images were set aside, as far as the cache tells: no feature is computed.
    ///
    /// # Errors
    /// Features that cannot be read.
    pub(super) fn sets_aside(&self, project: &Project) -> Result<bool> {
        Ok(self.missing_features(project).is_empty() && !self.encode(project, None)?.features.set_aside.is_empty())
    }

    /// The images without features, enough to draw parts from: those that are `usable`, as [`Encoding::usable`] says, or all where it
    /// says nothing.
    ///
    /// # Errors
    /// Something said of another number of images.
    pub(super) fn bare(&self, usable: &[bool]) -> Result<Encoded> {
        let mut rows = self.taken();
        if !usable.is_empty() {
            if usable.len() != rows.len() {
                let found = format!("{} with kept answers", usable.len());
                return Err(Error::argument("images", rows.len().to_string(), found));
            }
            rows = rows.into_iter().zip(usable).filter(|(_, usable)| **usable).map(|(row, _)| row).collect();
        }
        let (model, dataset) = (self.model.id.clone(), self.dataset.id.clone());
        let features =
            FeatureTable { model, dataset, key: String::new(), rows, poolings: BTreeMap::new(), set_aside: Vec::new() };
        Ok(Encoded { set: self.set.clone(), features, dataset: self.dataset.clone(), pooling: String::new() })
    }

    /// Images that take part.
    pub fn n_images(&self) -> usize {
        self.rows.as_ref().map_or(self.set.len(), Vec::len)
    }

    /// Key of the features.
    pub fn features_key(&self) -> &Key {
        &self.features
    }

    /// What all cells of the data set and model have in their keys: split, columns and features.
    pub fn shared_key(&self) -> Key {
        Key::new("shared").with_all(&self.parts).with_all(&self.features)
    }

    /// Key of a cell of work: what decides its numbers.
    pub fn key(&self, work: &Work) -> Key {
        let budget = work.budget.map_or_else(|| "none".into(), |budget| budget.to_string());
        Key::new("row")
            .with("table", work.table)
            .with("method", work.method.0)
            .with("settings", work.method.1)
            .with("pooling", work.pooling)
            .with("protocol", work.protocol)
            .with("budget", budget)
            .with("seed", work.seed)
            .with("code", work.code)
            .with_all(&self.parts)
            .with_all(&self.features)
    }

    /// The cell itself.
    pub fn cell(&self, work: &Work) -> Cell {
        Cell {
            table: work.table.into(),
            dataset: self.dataset.id.clone(),
            model: self.model.id.clone(),
            method: work.method.0.into(),
            budget: work.budget,
            seed: work.seed,
            pooling: work.pooling.into(),
            protocol: work.protocol.into(),
            subset: self.subset.clone(),
            device: self.device_and_dtype(),
            key: self.key(work).digest(),
        }
    }

    /// The features, from the cache or computed. Images are counted in `progress`, or told by themselves.
    ///
    /// # Errors
    /// As for [`extract`].
    pub fn encode(&self, project: &Project, progress: Option<&Progress>) -> Result<Encoded> {
        Ok(self.encoded(self.extract(project, self.model.input.crop_pct, progress)?))
    }

    /// The same with the record's own choice of feature alone, where data sets are large.
    ///
    /// # Errors
    /// As for [`extract`].
    pub fn encode_chosen(&self, project: &Project) -> Result<Encoded> {
        let model = models::load_as(project.root(), &self.model, &self.device, self.dtype)?;
        let what = Extraction { cache: project.cache(), rows: self.rows.as_deref(), verbose: true, within: None };
        Ok(self.encoded(features::extract_pooling(&model, &self.set, what, &self.model.features.default)?))
    }

    fn encoded(&self, features: FeatureTable) -> Encoded {
        tell_set_aside(&self.set.id, &features);
        if features.tells_none_apart(&self.model.features.default) {
            let (set, model, n) = (plain(&self.set.id), plain(&self.model.id), features.rows.len());
            crate::say!(
                "warning: {model} gives all {n} images of {set} the same features: look at its weights and its record"
            );
        }
        let (set, dataset) = (self.set.clone(), self.dataset.clone());
        Encoded { set, features, dataset, pooling: self.model.features.default.clone() }
    }

    /// Positions among the images that take part whose features are not in the cache yet, shard by shard. Nothing is read.
    pub(super) fn missing_features(&self, project: &Project) -> Vec<Range<usize>> {
        features::missing_parts(project.cache(), &self.set, &self.model.id, &self.features, self.n_images())
    }

    /// The features of some positions into the cache; see [`features::extract_part`].
    pub(super) fn extract_part(&self, project: &Project, positions: Range<usize>) -> Result<()> {
        let model = models::load_as(project.root(), &self.model, &self.device, self.dtype)?;
        let what = Extraction { cache: project.cache(), rows: self.rows.as_deref(), verbose: true, within: None };
        features::extract_part(&model, &self.set, what, positions)
    }

    /// Features of some rows of other sets with the same rows, as of the images made worse.
    pub(super) fn extract_others(
        &self,
        project: &Project,
        sets: &[ImageSet],
        rows: &[usize],
    ) -> Result<Vec<FeatureTable>> {
        let model = models::load_as(project.root(), &self.model, &self.device, self.dtype)?;
        let what = Extraction { cache: project.cache(), rows: Some(rows), verbose: false, within: None };
        sets.iter().map(|set| extract(&model, set, what)).collect()
    }

    /// Features of a crop of its own.
    pub(super) fn extract(
        &self,
        project: &Project,
        crop_pct: f64,
        progress: Option<&Progress>,
    ) -> Result<FeatureTable> {
        let record = ModelRecord { input: InputRecord { crop_pct, ..self.model.input.clone() }, ..self.model.clone() };
        let model = models::load_as(project.root(), &record, &self.device, self.dtype)?;
        let within = match progress {
            Some(progress) => Some((progress, effort::of_image(&record)?)),
            None => None,
        };
        let what = Extraction { cache: project.cache(), rows: self.rows.as_deref(), verbose: true, within };
        extract(&model, &self.set, what)
    }
}

/// Says how many images were set aside, once a process for the same set and images: every model sets the same ones aside.
fn tell_set_aside(set: &str, features: &FeatureTable) {
    static TOLD: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Default::default);
    let Some(first) = features.set_aside.first() else { return };
    let (set, first, n) = (plain(set), plain(&first.reason), features.set_aside.len());
    let line = format!("{set}: {n} image(s) set aside, the first: {first}");
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(line.clone()) {
        crate::say!("{line}");
    }
}

/// Rows of a reader's own images that are a published test: where the record names none itself, they are the test, and nothing
/// is learned from them.
pub(super) fn published_test(dataset: &DatasetRecord, set: &ImageSet) -> Vec<usize> {
    let named = dataset.split.id_test.is_some() || dataset.split.ood_test.is_some() || dataset.split.pool != "all";
    if dataset.is_own() && !named { set.published_test() } else { Vec::new() }
}

/// Those of them that are the test: of domains that are not held out.
pub(super) fn published_id_test(dataset: &DatasetRecord, set: &ImageSet) -> Vec<usize> {
    let mut rows = published_test(dataset, set);
    rows.retain(|&row| !is_held_out(dataset, set, row));
    rows
}

/// Whether the image of a row is of a domain that is held out.
fn is_held_out(dataset: &DatasetRecord, set: &ImageSet, row: usize) -> bool {
    let domain = set.domains.as_ref().map(|domains| domains[row].as_str());
    domain.is_some_and(|domain| dataset.split.ood_domains.iter().any(|held| held == domain))
}

/// What decides how the images of a set are divided.
fn parts_key(dataset: &DatasetRecord, set: &ImageSet) -> Key {
    let key = Key::new("parts").with_all(&dataset.split.key()).with_all(&set.columns_key());
    if published_test(dataset, set).is_empty() {
        return key;
    }
    let key = key.with("published test", "kept apart");
    let key = if dataset.split.ood_domains.is_empty() { key } else { key.with("its held-out domains", "apart too") };
    match dataset.split.rule {
        SplitRule::StudyGrouped if !published_id_test(dataset, set).is_empty() => {
            key.with("its groups", "not learned from")
        }
        _ => key,
    }
}

/// A data set encoded by a model: images and features, nothing else.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The images.
    pub set: ImageSet,
    /// Their features.
    pub features: FeatureTable,
    pub(super) dataset: DatasetRecord,
    pooling: String,
}

impl Encoded {
    /// Opens a data set and brings the features of a model, from the cache or computed, with the project's suite
    /// deciding how many images take part.
    ///
    /// # Errors
    /// A data set or model that is not known or cannot be opened; as for [`extract`].
    pub fn open(project: &Project, dataset: &str, model: &str, device: &Device) -> Result<Encoded> {
        Encoding::of(project, &project.images(dataset)?, model, device)?.encode(project, None)
    }

    /// The same with another feature of the model.
    ///
    /// # Errors
    /// [`Error::Unknown`] listing the features there are.
    pub fn with_pooling(self, pooling: &str) -> Result<Encoded> {
        self.features.pooling(pooling)?;
        Ok(Encoded { pooling: pooling.into(), ..self })
    }

    /// The same images and features with another record of the data set.
    pub(super) fn with_record(&self, dataset: DatasetRecord) -> Encoded {
        Encoded { dataset, ..self.clone() }
    }

    /// The features `(N, D)` under the chosen pooling.
    ///
    /// # Errors
    /// [`Error::Unknown`] listing the features there are.
    pub fn chosen(&self) -> Result<&Array2<f32>> {
        self.features.pooling(&self.pooling)
    }

    /// Images that could be used; positions count through them.
    pub fn len(&self) -> usize {
        self.features.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.features.rows.is_empty()
    }

    /// Class of every row of the feature table.
    pub fn labels(&self) -> Vec<u32> {
        self.features.rows.iter().map(|&row| self.set.labels[row]).collect()
    }

    /// Class of the images at `positions` of the feature table.
    pub fn labels_at(&self, positions: &[usize]) -> Vec<u32> {
        positions.iter().map(|&i| self.set.labels[self.features.rows[i]]).collect()
    }

    /// Positions in the feature table of the images of a published part; `all` takes every image.
    pub(super) fn positions(&self, part: &str) -> Result<Vec<usize>> {
        if part == "all" {
            return Ok((0..self.len()).collect());
        }
        let rows: HashSet<usize> = self.set.rows_of_part(part)?.into_iter().collect();
        Ok((0..self.len()).filter(|&i| rows.contains(&self.features.rows[i])).collect())
    }

    /// Whether the image at a position is of a domain that the data set's record holds out.
    pub(super) fn is_held_out(&self, position: usize) -> bool {
        is_held_out(&self.dataset, &self.set, self.features.rows[position])
    }

    /// What the images at `positions` are drawn together by in an interval: the group that a split keeps together, or each
    /// image by itself.
    pub(super) fn units_at(&self, positions: &[usize]) -> Vec<String> {
        positions.iter().map(|&i| unit(&self.set, &self.dataset, self.features.rows[i])).collect()
    }

    /// The groups of the images at `positions`.
    ///
    /// # Errors
    /// A data set without groups.
    pub fn groups_at(&self, positions: &[usize]) -> Result<Vec<&str>> {
        let groups = self.set.groups.as_ref().ok_or_else(|| {
            Error::argument("split.rule", "a data set with groups", format!("{} without", self.set.id))
        })?;
        Ok(positions.iter().map(|&i| groups[self.features.rows[i]].as_str()).collect())
    }
}

/// What the image in a row of a set is drawn together by in an interval.
pub(super) fn unit(set: &ImageSet, record: &DatasetRecord, row: usize) -> String {
    match (&set.groups, record.split.rule) {
        (Some(groups), SplitRule::StudyGrouped) => groups[row].clone(),
        _ => row.to_string(),
    }
}
