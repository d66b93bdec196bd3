//! One part of the work, done.

use super::super::Encoding;
use super::estimate::{self, Took};
use super::id::{WorkId, marker};
use crate::error::{Error, Result};
use crate::project::Project;
use crate::results::{Cell, LeftOut, Made};
use crate::storage::{FolderLock, write_atomic};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

/// How a part ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// All of it is there, now or since before.
    Done,
    /// Something is missing for a reason that may be gone the next time: the network, a disk, another process that does it.
    Again(Vec<String>),
    /// Something cannot be had, and trying again will not change that.
    Wrong(Vec<String>),
}

/// The file of a part that is done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Done {
    pub cell: String,
    /// `None` where nothing was left to do.
    pub took: Option<Took>,
    pub machine: String,
}

/// The file of a part that cannot be had.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Failed {
    pub cell: String,
    pub reasons: Vec<String>,
}

/// Does one part of the project's suite: what is not done of it. Stopped at any point, the same call goes on. Rows are kept in the
/// part's own folder, features in the cache; then a file there says that it is done, or why it cannot be had.
///
/// # Errors
/// An id that is none or of nothing in the suite; what cannot be written.
pub fn run(project: &Project, cell: &str, device: &Device) -> Result<Ended> {
    let id = WorkId::read(cell)?;
    match id.positions() {
        Some(positions) => features(project, &id, positions, device),
        None => cells(project, &id, device),
    }
}

/// A part that another process does: a machine that waits for it would do nothing else meanwhile.
fn taken(id: &WorkId) -> Ended {
    Ended::Again(vec![format!("{id} is done by another process now")])
}

/// Features of some images.
fn features(project: &Project, id: &WorkId, positions: Range<usize>, device: &Device) -> Result<Ended> {
    let encoding = Encoding::of(project, &project.images(&id.dataset)?, &id.model, device)?;
    if positions.end > encoding.n_images() {
        return Err(of_nothing(id, format!("{} images", encoding.n_images())));
    }
    let folder = id.folder(project);
    let Some(_lock) = FolderLock::free(&folder)? else { return Ok(taken(id)) };
    let began = Instant::now();
    let missing = encoding.missing_features(project).into_iter().filter(|shard| positions.contains(&shard.start));
    let effort = missing.map(|shard| shard.len()).sum::<usize>() as f64 * estimate::of_image(&encoding);
    let ended = match encoding.extract_part(project, positions) {
        Ok(()) => Ended::Done,
        Err(error) if error.is_passing() => Ended::Again(vec![error.chain()]),
        Err(error) => Ended::Wrong(vec![error.chain()]),
    };
    leave(id, &folder, [encoding.features_key().digest()], &ended, (effort, began))?;
    Ok(ended)
}

/// The cells of an experiment.
fn cells(project: &Project, id: &WorkId, device: &Device) -> Result<Ended> {
    let Some((_, experiment)) = id.experiment() else { return Err(of_nothing(id, "no experiment of that name")) };
    let folder = id.folder(project);
    let project = project.clone().in_part(folder.clone());
    let of_part = || {
        let mut plan = experiment.plan(&project, device, Some((&id.dataset, &id.model)))?;
        plan.keep(|cell| id.takes(cell));
        Ok::<_, Error>(plan)
    };
    let asked = of_part()?;
    let cells: Vec<Cell> = asked.encodings().iter().flat_map(|(_, cells)| cells.clone()).collect();
    if cells.is_empty() && asked.ledger().left_out().is_empty() {
        return Err(of_nothing(id, "no such cells"));
    }
    let Some(_lock) = FolderLock::free(&folder)? else { return Ok(taken(id)) };
    let began = Instant::now();
    // Read again: whoever held the lock has done some of it.
    let mut plan = of_part()?;
    let to_do = |(encoding, cells): &(Encoding, Vec<Cell>)| {
        let missing = cells.iter().filter(|cell| plan.ledger().is_to_do(cell));
        missing.map(|cell| experiment.effort(encoding, cell)).sum::<f64>()
    };
    let effort: f64 = plan.encodings().iter().map(to_do).sum();
    experiment.advance(&mut plan, &project, device)?;
    // What is there is what can be read back: another process may have written here where a lock did not hold.
    let again = of_part()?;
    let all = again.encodings().iter().flat_map(|(_, cells)| cells);
    let missing = all.filter(|cell| again.ledger().is_to_do(cell)).count();
    let reasons: Vec<String> = plan.ledger().left_out().iter().map(LeftOut::line).collect();
    let ended = match (missing, reasons.is_empty()) {
        (0, true) => Ended::Done,
        (_, true) => Ended::Again(vec![format!("{id}: rows of {missing} cells were written and are not there")]),
        _ if plan.is_passing() => Ended::Again(reasons),
        _ => Ended::Wrong(reasons),
    };
    leave(id, &folder, cells.into_iter().map(|cell| cell.key), &ended, (effort, began))?;
    Ok(ended)
}

/// Leaves the file that says how a part ended, in place of what an earlier run left.
fn leave(
    id: &WorkId,
    folder: &Path,
    keys: impl IntoIterator<Item = String>,
    ended: &Ended,
    (effort, began): (f64, Instant),
) -> Result<()> {
    let keys: Vec<String> = keys.into_iter().collect();
    let (done, failed) = (folder.join(marker(keys.clone(), "done")), folder.join(marker(keys, "failed")));
    match ended {
        Ended::Done => {
            let took = (effort > 0.0).then(|| Took {
                seconds: began.elapsed().as_secs_f64(),
                effort,
                memory_mb: peak_memory().unwrap_or(0.0),
            });
            let _ = std::fs::remove_file(&failed);
            // What the work took was said by the run that did it.
            if took.is_none() && done.exists() {
                return Ok(());
            }
            let file = Done { cell: id.to_string(), took, machine: Made::here().machine };
            write_atomic(&done, &serde_json::to_vec_pretty(&file).unwrap_or_default())
        }
        Ended::Wrong(reasons) => {
            let file = Failed { cell: id.to_string(), reasons: reasons.clone() };
            write_atomic(&failed, &serde_json::to_vec_pretty(&file).unwrap_or_default())
        }
        Ended::Again(_) => Ok(()),
    }
}

fn of_nothing(id: &WorkId, found: impl Into<String>) -> Error {
    Error::argument("cell", format!("a part of the suite's work, not `{id}`"), found)
}

/// The largest resident memory of this process so far, in MB; `None` where the system does not say.
pub(in crate::experiments) fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1000.0)
}
