//! The parts of many machines, brought together.

use super::super::all::ALL;
use super::super::ledger::note_none_aside;
use super::estimate::Rates;
use super::id::{What, WorkId, marker};
use super::plan::{Planned, plan};
use super::run::{Done, Failed};
use crate::error::{Error, Result};
use crate::project::{PART_ROWS, Project, part_rows_in};
use crate::results::{Cell, Kept, Store, paths_in, read_predictions};
use crate::storage::{FolderLock, write_atomic};
use candle_core::Device;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Levels above the parts in their folder: experiment, data set and model.
const NAMED: usize = 3;

/// What came of bringing parts together.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    /// Rows that were taken over.
    pub rows: usize,
    /// Parts whose rows were taken over.
    pub parts: usize,
    /// Parts that somebody works at now; the next call takes them.
    pub busy: Vec<String>,
    /// Parts that cannot be read, with the reason. They stay.
    pub broken: Vec<String>,
    /// Parts that cannot be had, with the reasons that were left.
    pub failed: Vec<(String, Vec<String>)>,
    /// What the suite lacks still.
    pub missing: Planned,
}

impl Gathered {
    /// Whether all is there and nothing is left to look at.
    pub fn is_whole(&self) -> bool {
        self.missing.lines.is_empty()
            && self.missing.left_out.is_empty()
            && self.broken.is_empty()
            && self.busy.is_empty()
    }
}

/// Takes the rows of all parts into the folder of results, as if one machine had computed them, removes the parts, and says what
/// the project's suite lacks still, by lines of at most `minutes`. Stopped at any point, the next call goes on: a part goes
/// when its rows are there.
///
/// # Errors
/// A folder that cannot be read or written; as for [`plan`].
pub fn gather(project: &Project, minutes: f64, device: &Device) -> Result<Gathered> {
    let folder = project.parts_folder();
    let mut gathered = Gathered::default();
    if folder.is_dir() {
        let _lock = FolderLock::acquire(&folder, || crate::say!("waiting for another process that gathers parts"))?;
        let mut rates = Rates::read(project)?;
        for (_, experiment) in ALL {
            for rows in part_rows_in(&folder.join(experiment.name()), 2) {
                let part = rows.parent().unwrap_or(&rows);
                let Some(id) = part.strip_prefix(&folder).ok().and_then(|id| WorkId::read(id.to_str()?).ok()) else {
                    continue;
                };
                let Some(_lock) = FolderLock::free(part)? else {
                    gathered.busy.push(id.to_string());
                    continue;
                };
                match take(project, &id, &rows) {
                    // A shared disk may not show yet what is there.
                    Ok(0) if files(&rows, NAMED).iter().any(is_content) => {
                        let found = "files, and among them no rows of it";
                        gathered.broken.push(format!("{id}: expected rows in {}, found {found}", rows.display()));
                    }
                    Ok(n) => {
                        gathered.rows += n;
                        gathered.parts += 1;
                        fs::remove_dir_all(&rows).map_err(Error::io(&rows, "removing"))?;
                    }
                    Err(error @ (Error::Data { .. } | Error::Table { .. })) => {
                        gathered.broken.push(format!("{id}: {}", error.chain()));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        let mut took = false;
        for path in files(&folder, NAMED) {
            if let Some(done) = read::<Done>(&path, ".done.json") {
                let id = match WorkId::read(&done.cell) {
                    Ok(id) => id,
                    Err(error) => {
                        gathered.broken.push(format!("{}: {}", path.display(), error.chain()));
                        continue;
                    }
                };
                let what = id.experiment().map_or(What::Features, |(what, _)| what);
                if let Some(of_part) = done.took {
                    rates.add(what, &id.model, of_part);
                    took = true;
                    // Counted once, and the file still says that the part is done.
                    let counted = Done { took: None, ..done };
                    write_atomic(&path, &serde_json::to_vec_pretty(&counted).unwrap_or_default())?;
                }
            }
        }
        if took {
            rates.write(project)?;
        }
    }
    let mut cells_of: BTreeMap<&str, Vec<Cell>> = BTreeMap::new();
    for (_, experiment) in ALL {
        let whole = experiment.plan(project, device, None)?;
        for (encoding, cells) in whole.encodings() {
            cells_of.entry(experiment.name()).or_default().extend(cells.iter().cloned());
            if cells.iter().all(|cell| !whole.ledger().is_to_do(cell)) {
                experiment.tidy(project, encoding, whole.ledger(), cells)?;
            }
        }
    }
    let all: Vec<What> = What::ALL.into_iter().filter(|&what| what != What::Features).collect();
    gathered.missing = plan(project, &all, minutes, device)?;
    // Ids name folders: whole pieces are compared.
    let within = |inner: &str, outer: &str| Path::new(inner).starts_with(outer);
    let lacking = |id: &str| gathered.missing.lines.iter().any(|line| within(&line.cell, id) || within(id, &line.cell));
    let failed =
        files(&folder, NAMED).into_iter().filter_map(|path| Some((read::<Failed>(&path, ".failed.json")?, path)));
    let failed =
        failed.filter(|(failed, path)| lacking(&failed.cell) && is_of_today(project, &failed.cell, path, &cells_of));
    gathered.failed = failed.map(|(failed, _)| (failed.cell, failed.reasons)).collect();
    Ok(gathered)
}

/// Whether a file is no lock and nothing half written.
fn is_content(path: &PathBuf) -> bool {
    path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'))
}

/// Whether the file at `path` says how the part called `id` failed as it is today: with the keys that its cells have now, or
/// with none, where whoever ran it could not even tell its cells.
fn is_of_today(project: &Project, id: &str, path: &Path, cells_of: &BTreeMap<&str, Vec<Cell>>) -> bool {
    let Ok(id) = WorkId::read(id) else { return false };
    let cells = cells_of.get(id.of.as_str()).into_iter().flatten().filter(|cell| id.takes(cell));
    let place = |keys: Vec<String>| id.folder(project).join(marker(keys.into_iter(), "failed"));
    path == place(cells.map(|cell| cell.key.clone()).collect()) || path == place(Vec::new())
}

/// Whether there are rows of parts that were not gathered.
pub fn has_parts(project: &Project) -> bool {
    !part_rows_in(&project.parts_folder(), NAMED).is_empty()
}

/// Takes over what a part holds; gives the number of its rows.
fn take(project: &Project, id: &WorkId, rows: &Path) -> Result<usize> {
    let (from, to) = (Store::new(rows), Store::new(project.results_folder().join(&id.of)));
    let (dataset, model) = (&id.dataset, &id.model);
    let mut kept = Kept {
        rows: from.rows(dataset, model)?,
        answers: from.answers(dataset, model)?,
        runs: from.runs(dataset, model)?,
        right: from.right(dataset, model)?,
    };
    if let Some(row) = kept.rows.iter().find(|row| !id.takes(&row.cell)) {
        let found = format!("a row of {} under {}, {}", row.cell.dataset, row.cell.model, row.cell.method);
        return Err(Error::data(from.part(dataset, model), format!("rows of {id}"), found));
    }
    note_none_aside(&mut kept.right, &to.right(dataset, model)?);
    // Probabilities of runs, a file each, before the rows that promise them.
    let place =
        |store: &Store| store.predictions(dataset, model, "").parent().map(Path::to_path_buf).unwrap_or_default();
    let (said, there) = (place(&from), place(&to));
    for path in paths_in(&said)? {
        let Some(name) = path.file_name().filter(|name| name.to_string_lossy().ends_with(".parquet")) else { continue };
        // For its errors: what is damaged is not taken.
        read_predictions(&path)?;
        let bytes = fs::read(&path).map_err(Error::io(&path, "reading"))?;
        write_atomic(&there.join(name), &bytes)?;
    }
    let n = kept.rows.len();
    if n > 0 {
        to.add(dataset, model, kept)?;
    }
    Ok(n)
}

/// A file with that ending as what it holds; nothing where it is another one or damaged.
fn read<T: DeserializeOwned>(path: &Path, ending: &str) -> Option<T> {
    path.to_str().filter(|path| path.ends_with(ending))?;
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// All files in a folder, whatever their depth, in order; but those of rows, as [`part_rows_in`] finds them.
fn files(folder: &Path, above: usize) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    all.sort();
    let deeper = |path: PathBuf| match path.is_dir() {
        true if above == 0 && path.file_name().is_some_and(|name| name == PART_ROWS) => Vec::new(),
        true => files(&path, above.saturating_sub(1)),
        false => vec![path],
    };
    all.into_iter().flat_map(deeper).collect()
}
