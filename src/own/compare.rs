//! Every model under every method, on the same folds of the same images.

use super::arms::{Answers, Arm, ranked};
use super::folds::Folds;
use super::probe::{METHODS, Probe, best};
use super::{Chosen, Look, Own};
use crate::error::{Error, Result};
use crate::experiments::{Encoded, Encoding};
use crate::key::{Key, digest_of};
use crate::manifest::Method;
use crate::progress::Progress;
use crate::project::Project;
use crate::soundness::group_folds;
use crate::storage::write_atomic;
use candle_core::Device;
use ndarray::{Array2, Axis};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

/// Folds of each seed.
pub(super) const FOLDS: usize = 5;
/// Answers that are collected at least: small data sets are divided under several seeds.
const ANSWERS: usize = 3000;
/// Seeds at most.
const SEEDS: usize = 5;
/// Raised whenever a change moves an answer.
const CODE_VERSION: u32 = 1;

/// Models and methods held against each other on a reader's images.
#[derive(Debug, Clone)]
pub struct Compared {
    /// Rows of the set that are learned from and measured on: those that every model could use, without a published test.
    pub rows: Vec<usize>,
    /// Class of each.
    pub labels: Vec<u32>,
    /// Number of the group that each belongs to: what may not be on two sides of a fold.
    pub units: Vec<u32>,
    /// Whether each is measured: its class has images in two groups, so that it can be learned without this one.
    pub measured: Vec<bool>,
    /// The fold of each, by seed.
    pub folds: Vec<Vec<usize>>,
    /// Arms, the best first.
    pub arms: Vec<Arm>,
    /// Seconds per image of each model.
    pub paces: BTreeMap<String, f64>,
    /// Models that could not be used, and why.
    pub broken: Vec<(String, String)>,
    /// Each model on the images. Features are read from the cache where they are needed, so that memory does not grow with
    /// the number of models.
    encodings: BTreeMap<String, Encoding>,
    project: Project,
    pub(super) n_classes: usize,
}

impl Own {
    /// Encodes the images with every model and asks every method of [`METHODS`] for each image, by a probe that was fitted on the
    /// other folds. Groups are the data's, joined with the near duplicates of `look`. What was computed is kept in the project's
    /// cache, and not computed again.
    ///
    /// # Errors
    /// No model that can be used; fewer than two classes with images in two groups.
    pub fn compare(&self, chosen: &Chosen, look: &Look, device: &Device) -> Result<Compared> {
        let (mut encodings, mut broken, mut paces) = (BTreeMap::new(), chosen.broken.clone(), BTreeMap::new());
        let mut usable: Option<BTreeSet<usize>> = None;
        for (model, pace) in &chosen.models {
            let encoding = Encoding::of_f32(&self.project, &self.set, model, device);
            match encoding.and_then(|encoding| Ok((encoding.encode_chosen(&self.project)?.features.rows, encoding))) {
                Ok((rows, encoding)) => {
                    let rows: BTreeSet<usize> = rows.into_iter().collect();
                    usable = Some(usable.map_or_else(|| rows.clone(), |usable| &usable & &rows));
                    encodings.insert(model.clone(), encoding);
                    paces.insert(model.clone(), *pace);
                }
                Err(error) => broken.push((model.clone(), error.chain())),
            }
        }
        let Some(mut usable) = usable else {
            let found = broken.first().map_or("none".into(), |(model, why)| format!("none; {model}: {why}"));
            return Err(Error::argument("models", "at least one that can be used", found));
        };
        self.tested().iter().for_each(|row| {
            usable.remove(row);
        });
        let rows: Vec<usize> = usable.into_iter().collect();
        let labels: Vec<u32> = rows.iter().map(|&row| self.set.labels[row]).collect();
        let units = units(&rows, &look.units);
        let n_classes = self.set.classes.len();
        let measured = measured(&labels, &units, n_classes);
        let classes: BTreeSet<u32> =
            labels.iter().zip(&measured).filter(|(_, m)| **m).map(|(label, _)| *label).collect();
        if classes.len() < 2 {
            let expected = match self.set.groups {
                None => "two classes with two images each that are no duplicates of each other",
                Some(_) => {
                    "two classes with images in two groups each (what the column of groups says belongs together, and duplicates); \
                     another column is given by --group-column"
                }
            };
            let found = match self.set.classes.len() {
                1 => format!("one class, `{}`", self.set.classes[0]),
                n => format!("{} of {n} classes", classes.len()),
            };
            return Err(Error::data(&self.set.id, expected, found));
        }
        let seeds = seeds(rows.len());
        let n_folds = FOLDS.min(units.iter().max().map_or(0, |last| *last as usize + 1));
        let divide = |seed| group_folds(&labels, &units, n_classes, n_folds, self.request.seed.wrapping_add(seed));
        let folds = (0..seeds as u64).map(divide).collect::<Result<Vec<_>>>()?;
        let (arms, project) = (Vec::new(), self.project.clone());
        let mut compared =
            Compared { rows, labels, units, measured, folds, arms, paces, broken, encodings, project, n_classes };
        compared.arms = compared.answer(self)?;
        Ok(compared)
    }
}

impl Compared {
    /// The images under one model, from the cache.
    ///
    /// # Errors
    /// A model that is not among them.
    pub(super) fn encoded(&self, model: &str) -> Result<Encoded> {
        let known = || self.encodings.keys().cloned().collect::<Vec<_>>().join(", ");
        let encoding = self.encodings.get(model);
        let encoding = encoding.ok_or_else(|| Error::Unknown { kind: "model", name: model.into(), known: known() })?;
        encoding.encode_chosen(&self.project)
    }

    /// The features of one model, row by row of [`Compared::rows`].
    ///
    /// # Errors
    /// A model that is not among them.
    pub(super) fn features(&self, model: &str) -> Result<Array2<f32>> {
        let encoded = self.encoded(model)?;
        let place: HashMap<usize, usize> =
            encoded.features.rows.iter().enumerate().map(|(at, &row)| (row, at)).collect();
        let places: Vec<usize> = self.rows.iter().map(|row| place[row]).collect();
        Ok(encoded.chosen()?.select(Axis(0), &places))
    }

    /// The class that every arm says of each image, by seed, and the arms in order.
    fn answer(&self, own: &Own) -> Result<Vec<Arm>> {
        let arms: Vec<(&String, Method)> =
            self.encodings.keys().flat_map(|model| METHODS.iter().map(move |method| (model, *method))).collect();
        let progress = Progress::new("classifiers", "fits", arms.len() * self.folds.len() * FOLDS, 0);
        let mut answers = Vec::new();
        for model in self.encodings.keys() {
            // Read once a model, and only where an answer is missing.
            let mut features: Option<Array2<f32>> = None;
            for method in METHODS {
                let kept = self.kept_at(own, model, method);
                let predicted = match read(&kept, self.rows.len(), self.folds.len()) {
                    Some(predicted) => {
                        progress.advance(self.folds.len() * FOLDS);
                        predicted
                    }
                    None => {
                        let features = match &mut features {
                            Some(features) => features,
                            none => none.insert(self.features(model)?),
                        };
                        let predicted = self.predict(features, method, &|| progress.advance(1))?;
                        write(&kept, &predicted)?;
                        predicted
                    }
                };
                answers.push(Answers { model: model.clone(), method, predicted });
            }
        }
        progress.finish();
        ranked(self, answers, own.request.seed)
    }

    /// One arm: for each seed, each image by the probe of the other folds.
    fn predict(&self, features: &Array2<f32>, method: Method, tell: &(dyn Fn() + Sync)) -> Result<Vec<Vec<u32>>> {
        let of_seed = |folds: &Vec<usize>| {
            let said = Folds::new(folds).each(features.len(), |_, others, held| {
                let labels = others.iter().map(|&at| self.labels[at]).collect();
                let probe = Probe::fit(method, features.select(Axis(0), others), labels, self.n_classes)?;
                let said = best(&probe.scores(features.select(Axis(0), held).view())?);
                tell();
                Ok(held.iter().copied().zip(said).collect::<Vec<_>>())
            })?;
            let mut predicted = vec![0; folds.len()];
            said.into_iter().flatten().for_each(|(at, class)| predicted[at] = class);
            Ok(predicted)
        };
        self.folds.iter().map(of_seed).collect()
    }

    /// The part of the measured images that are right, of answers under one seed.
    fn right(&self, said: &[u32]) -> f64 {
        let judged = (0..said.len()).filter(|&at| self.measured[at]);
        let right = judged.filter(|&at| said[at] == self.labels[at]).count();
        right as f64 / self.n_measured().max(1) as f64
    }

    /// Where the answers of an arm are kept.
    fn kept_at(&self, own: &Own, model: &str, method: Method) -> PathBuf {
        let numbers = |list: &[u32]| digest_of(list.iter().map(u32::to_string));
        let folds = self.folds.iter().map(|folds| digest_of(folds.iter().map(usize::to_string)));
        let key = Key::new("answers of a reader's images")
            .with("features", self.encodings[model].features_key().digest())
            .with("rows", digest_of(self.rows.iter().map(usize::to_string)))
            .with("labels", numbers(&self.labels))
            .with("folds", digest_of(folds))
            .with("method", method.as_str())
            .with("code", CODE_VERSION);
        own.project.cache().join("own").join(format!("{}.json", key.digest()))
    }
}

impl Own {
    /// The accuracy of an arm under the first seed, with images divided one by one: whatever shows the same picture may be on both
    /// sides.
    ///
    /// # Errors
    /// What the probe says.
    pub fn unguarded(&self, compared: &Compared, arm: &Arm) -> Result<f64> {
        let each: Vec<usize> = (0..compared.rows.len()).collect();
        let n_folds = FOLDS.min(each.len());
        let folds = vec![group_folds(&compared.labels, &each, compared.n_classes, n_folds, self.request.seed)?];
        let loose = Compared { folds, arms: Vec::new(), ..compared.clone() };
        let said = loose.predict(&compared.features(&arm.model)?, arm.method, &|| ())?;
        Ok(compared.right(&said[0]))
    }
}

impl Arm {
    /// The accuracy under the first seed alone.
    pub fn accuracy_of_first_seed(&self, compared: &Compared) -> f64 {
        compared.right(&self.predicted[0])
    }
}

/// Seeds that so many images are divided under.
pub(super) fn seeds(images: usize) -> usize {
    ANSWERS.div_ceil(images.max(1)).clamp(1, SEEDS)
}

/// Numbers of units, from 0 in the order of first images, for some rows of a set.
fn units(rows: &[usize], of_set: &[usize]) -> Vec<u32> {
    let mut numbers: HashMap<usize, u32> = HashMap::new();
    let mut number = |row: &usize| {
        let next = numbers.len() as u32;
        *numbers.entry(of_set[*row]).or_insert(next)
    };
    rows.iter().map(&mut number).collect()
}

/// Images of a class that has images in two units.
fn measured(labels: &[u32], units: &[u32], n_classes: usize) -> Vec<bool> {
    let mut of_class: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); n_classes];
    labels.iter().zip(units).for_each(|(&label, &unit)| {
        of_class[label as usize].insert(unit);
    });
    labels.iter().map(|&label| of_class[label as usize].len() > 1).collect()
}

/// Answers that were kept, if they are as many as they must be.
fn read(path: &PathBuf, images: usize, seeds: usize) -> Option<Vec<Vec<u32>>> {
    let text = std::fs::read_to_string(path).ok()?;
    let found: Vec<Vec<u32>> = serde_json::from_str(&text).ok()?;
    (found.len() == seeds && found.iter().all(|answers| answers.len() == images)).then_some(found)
}

fn write(path: &PathBuf, answers: &[Vec<u32>]) -> Result<()> {
    let text = serde_json::to_string(answers);
    let text = text.map_err(|error| Error::data(path, "answers that become JSON", error.to_string()))?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
    }
    write_atomic(path, text.as_bytes())
}
