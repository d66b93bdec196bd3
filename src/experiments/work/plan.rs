//! What is to do, as lines for a scheduler.

use super::super::Encoding;
use super::super::all::ALL;
use super::estimate::{self, Rates};
use super::id::{What, WorkId, marker, names};
use crate::error::{Error, Result};
use crate::features::PART;
use crate::project::Project;
use crate::results::{Cell, LeftOut};
use crate::storage::sweep;
use candle_core::Device;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A part of the work.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// Its id ([`WorkId`]).
    pub cell: String,
    /// The kind of work ([`What::as_str`]).
    pub what: &'static str,
    /// Data set id.
    pub dataset: String,
    /// Model id.
    pub model: String,
    /// Images of an extraction, or cells (method, budget, seed, protocol) that lack their numbers.
    pub count: usize,
    /// About how long it takes.
    pub seconds: f64,
    /// About how much memory.
    pub memory_mb: u64,
    /// Whether the two rest on parts that were done, or on rates of one machine with two cores.
    pub measured: bool,
    /// Whether a GPU helps.
    pub gpu: bool,
    /// Parts that are best done before: without them this one does their work too.
    pub after: Vec<String>,
    /// The file that is there when it is done, in the folder of results.
    pub done: String,
}

impl Line {
    /// As one line of JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What a suite lacks.
#[derive(Debug, Clone, Default)]
pub struct Planned {
    /// A line per part, features first.
    pub lines: Vec<Line>,
    /// What cannot be had, with the reason.
    pub left_out: Vec<LeftOut>,
}

/// The parts of the project's suite that are still to do, of the kinds in `what`, each of about `minutes` at most where it can be cut
/// so small. Nothing is computed; weights that are on no disk yet are fetched, since what decides a row must be known.
///
/// What stands in parts of others counts as done, gathered or not.
///
/// # Errors
/// No kind of work, minutes that are not above 0; a suite that is not known, a folder of rows that cannot be read.
pub fn plan(project: &Project, what: &[What], minutes: f64, device: &Device) -> Result<Planned> {
    if what.is_empty() || !(minutes > 0.0 && minutes.is_finite()) {
        let found = format!("{} kinds, {minutes} minutes", what.len());
        return Err(Error::argument("plan", "a kind of work, and minutes above 0", found));
    }
    let mut project = project.clone().with_parts();
    let began = now_there(&project.parts_folder());
    let (rates, most) = (Rates::read(&project)?, 60.0 * minutes);
    // Features alone: those that any experiment needs.
    let alone = what == [What::Features];
    let mut planned = Planned::default();
    let mut encodings: BTreeMap<(String, String), Encoding> = BTreeMap::new();
    let mut rest = Vec::new();
    let (mut left_out, mut closed) = (BTreeSet::new(), BTreeSet::new());
    for (kind, experiment) in ALL.into_iter().filter(|(kind, _)| alone || what.contains(kind)) {
        // A data set that does not open was asked for once: it may have been downloaded for it.
        project = project.without(closed.clone());
        let of_experiment = experiment.plan(&project, device, None)?;
        for left in of_experiment.ledger().left_out() {
            if left.model.is_none() && left.cells.is_none() {
                closed.insert(left.dataset.clone());
            }
            if left_out.insert(left.line()) {
                planned.left_out.push(left.clone());
            }
        }
        for (encoding, cells) in of_experiment.encodings() {
            let to_do: Vec<&Cell> = cells.iter().filter(|cell| of_experiment.ledger().is_to_do(cell)).collect();
            if to_do.is_empty() {
                continue;
            }
            let (dataset, model) = (encoding.dataset.id.clone(), encoding.model.id.clone());
            let whole = WorkId { of: experiment.name().into(), dataset, model, rest: Vec::new() };
            encodings.entry((whole.dataset.clone(), whole.model.clone())).or_insert_with(|| encoding.clone());
            let seconds = |cells: &[&Cell]| -> (f64, bool) {
                let effort = cells.iter().map(|cell| experiment.effort(encoding, cell)).sum::<f64>();
                rates.seconds(kind, &encoding.model.id, effort)
            };
            for (id, to_do) in cut(whole, to_do, most, &|cells| seconds(cells).0) {
                let of_part = cells.iter().filter(|cell| id.takes(cell)).map(|cell| cell.key.clone());
                let (seconds, measured) = seconds(&to_do);
                let line = Line {
                    cell: id.to_string(),
                    what: kind.as_str(),
                    dataset: id.dataset.clone(),
                    model: id.model.clone(),
                    count: to_do.len(),
                    seconds: rounded(seconds),
                    memory_mb: rates.memory_mb(kind, encoding),
                    measured,
                    gpu: estimate::gpu(kind, encoding),
                    after: Vec::new(),
                    done: format!("parts/{id}/{}", marker(of_part, "done")),
                };
                let from: Vec<[String; 3]> = to_do
                    .iter()
                    .filter_map(|cell| {
                        let [_, budget, seed] = names(cell);
                        experiment.goes_on_from(&cell.method).map(|method| [method.into(), budget, seed])
                    })
                    .collect();
                let names: Vec<[String; 3]> = to_do.iter().map(|cell| names(cell)).collect();
                rest.push((line, names, from));
            }
        }
    }
    if what.contains(&What::Features) {
        for encoding in encodings.values() {
            planned.lines.extend(of_features(&project, encoding, &rates, most));
        }
    }
    if !alone {
        let features: Vec<Line> = planned.lines.clone();
        let all: Vec<(Line, Vec<[String; 3]>)> =
            rest.iter().map(|(line, names, _)| (line.clone(), names.clone())).collect();
        for (mut line, _, from) in rest {
            let of_pair = |other: &&Line| (&other.dataset, &other.model) == (&line.dataset, &line.model);
            let mut after: Vec<String> = features.iter().filter(of_pair).map(|other| other.cell.clone()).collect();
            let begins = |(other, names): &&(Line, Vec<[String; 3]>)| {
                of_pair(&other)
                    && other.what == line.what
                    && other.cell != line.cell
                    && names.iter().any(|name| from.contains(name))
            };
            after.extend(all.iter().filter(begins).map(|(other, _)| other.cell.clone()));
            line.after = after;
            planned.lines.push(line);
        }
    }
    if let Some(began) = began {
        forget_markers(&project, &planned.lines, began);
    }
    Ok(planned)
}

/// Cuts what is to do into parts of `most` seconds, along method, budget and seed, no finer than it must.
fn cut<'a>(
    id: WorkId,
    cells: Vec<&'a Cell>,
    most: f64,
    seconds: &dyn Fn(&[&Cell]) -> f64,
) -> Vec<(WorkId, Vec<&'a Cell>)> {
    let depth = id.rest.len();
    if depth == 3 || seconds(&cells) <= most {
        return vec![(id, cells)];
    }
    // In the order in which they come, which is the one in which they are best done.
    let mut parts: Vec<(String, Vec<&Cell>)> = Vec::new();
    for cell in cells {
        let name = &names(cell)[depth];
        match parts.iter_mut().find(|(known, _)| known == name) {
            Some((_, cells)) => cells.push(cell),
            None => parts.push((name.clone(), vec![cell])),
        }
    }
    let deeper = |(name, cells): (String, Vec<&'a Cell>)| {
        let mut id = id.clone();
        id.rest.push(name);
        cut(id, cells, most, seconds)
    };
    parts.into_iter().flat_map(deeper).collect()
}

/// The lines of the features that are not in the cache.
fn of_features(project: &Project, encoding: &Encoding, rates: &Rates, most: f64) -> Vec<Line> {
    let (n, kind) = (encoding.n_images(), What::Features);
    let of_shard = rates.seconds(kind, &encoding.model.id, PART as f64 * estimate::of_image(encoding)).0;
    let step = PART * ((most / of_shard) as usize).clamp(1, n.div_ceil(PART).max(1));
    let mut missing: BTreeMap<usize, usize> = BTreeMap::new();
    for shard in encoding.missing_features(project) {
        *missing.entry(shard.start / step).or_default() += shard.len();
    }
    let line = |(at, count): (usize, usize)| {
        let positions = at * step..((at + 1) * step).min(n);
        let id = WorkId {
            of: kind.as_str().into(),
            dataset: encoding.dataset.id.clone(),
            model: encoding.model.id.clone(),
            rest: vec![format!("{}-{}", positions.start, positions.end)],
        };
        let (seconds, measured) = rates.seconds(kind, &id.model, count as f64 * estimate::of_image(encoding));
        Line {
            cell: id.to_string(),
            what: kind.as_str(),
            dataset: id.dataset.clone(),
            model: id.model.clone(),
            count,
            seconds: rounded(seconds),
            memory_mb: rates.memory_mb(kind, encoding),
            measured,
            gpu: estimate::gpu(kind, encoding),
            after: Vec::new(),
            done: format!("parts/{id}/{}", marker([encoding.features_key().digest()], "done")),
        }
    };
    missing.into_iter().map(line).collect()
}

/// What the name of the file begins with that tells the time.
const CLOCK: &str = ".clock-";
/// So old is none that a plan still uses.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

/// The time by the clock that stamps files in `folder`: many machines write there, each with a clock of its own. `None`
/// where nothing can be written, or removed.
fn now_there(folder: &Path) -> Option<SystemTime> {
    sweep(folder, CLOCK, LEFT_BEHIND);
    let mut file = tempfile::Builder::new().prefix(CLOCK).tempfile_in(folder).ok()?;
    // Stamped as markers are, by what is written.
    file.write_all(b"now").and_then(|()| file.as_file().sync_all()).ok()?;
    file.path().metadata().ok()?.modified().ok()
}

/// Parts that are to be done again, though a file says that they were done before the plan `began`: their rows or features
/// were removed since. What ended meanwhile stays.
fn forget_markers(project: &Project, lines: &[Line], began: SystemTime) {
    for line in lines {
        let path = project.results_folder().join(&line.done);
        if path.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|ended| ended <= began) {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}
