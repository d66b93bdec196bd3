//! Shipping: the rows of a suite are put where they come with the project, with the keys of what they were made from, so that
//! a row that counts no more can say why.

use super::all::ALL;
use super::{Encoding, representations, same_data};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::project::Project;
use crate::results::{Kept, ResultRow, Store, left_out_in, shipped_folder};
use crate::storage::{FolderLock, check_target, sweep, sync_folder, write_atomic};
use candle_core::Device;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the names of folders begin with in which files are made that are not shipped yet.
const STAGING: &str = ".shipping-";
/// So old is none that somebody still uses.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);
/// How the names of the files of a data set and model end, that of the rows last.
const ENDS: [&str; 4] = [".answers.parquet", ".runs.parquet", ".right.parquet", ".parquet"];

fn keys_file(root: &Path) -> PathBuf {
    shipped_folder(root).join("keys.json")
}

/// Brings the rows of some suites of one project and puts them into `data_manifests/results/`, in place of what is there; gives
/// their number. Rows that came with the project and still count stay as they came. All is made aside first: until the new files are
/// whole the old ones stay, and none goes before they have taken their places.
///
/// # Errors
/// As for the experiments; no suite; a suite of which something is left out; a folder that cannot be written.
pub fn ship(suites: &[Project], device: &Device) -> Result<usize> {
    let Some(project) = suites.first() else { return Err(Error::argument("suites", "at least one", "none")) };
    let mut by_experiment: Vec<(&str, Vec<ResultRow>)> = Vec::new();
    let mut asked: Vec<Asked> = Vec::new();
    for project in suites {
        let others = by_experiment.len();
        for (_, experiment) in &ALL {
            by_experiment.push((experiment.name(), experiment.run(project, device)?));
        }
        if let Some(left) = left_out_in(&project.current_folder()?)?.first() {
            return Err(Error::argument("suite", "one of which nothing is left out", left.line()));
        }
        let suite = project.suite()?;
        for dataset in &suite.datasets {
            let rows = same_data::alignment_rows(project, dataset, &suite.models, device)?;
            by_experiment.push((same_data::ALIGNMENT, rows));
        }
        let rows = by_experiment[others..].iter().flat_map(|(_, rows)| rows);
        asked.push((project, rows.map(|row| (row.cell.dataset.clone(), row.cell.model.clone())).collect()));
    }
    let folder = shipped_folder(project.root());
    let waiting = || crate::say!("waiting for another process that ships rows");
    let _lock = FolderLock::acquire(&project.results_folder(), waiting)?;
    let mut parts: BTreeMap<(&str, String, String), Vec<ResultRow>> = BTreeMap::new();
    let mut n = 0;
    let names: BTreeSet<&str> = by_experiment.iter().map(|(name, _)| *name).collect();
    // Suites share rows.
    let mut known = HashSet::new();
    for (name, rows) in by_experiment {
        for mut row in rows {
            let (key, split, metric, weights) = row.place();
            let (dataset, model) = (&row.cell.dataset, &row.cell.model);
            if !known.insert(format!("{name} {dataset} {model} {key} {split} {metric} {weights}")) {
                continue;
            }
            n += 1;
            row.made.shipped = true;
            let place = (name, row.cell.dataset.clone(), row.cell.model.clone());
            parts.entry(place).or_default().push(row);
        }
    }
    let keys_file = keys_file(project.root());
    check_target(&keys_file)?;
    let keys = keys_text(&asked, device)?;
    let wanted: HashSet<(&str, String, String)> = parts.keys().cloned().collect();
    fs::create_dir_all(&folder).map_err(Error::io(&folder, "creating the folder"))?;
    sweep(&folder, STAGING, LEFT_BEHIND);
    let staging = tempfile::Builder::new().prefix(STAGING).tempdir_in(&folder);
    let staging = staging.map_err(Error::io(&folder, "creating a temporary folder"))?;
    let mut changed = Vec::new();
    for ((name, dataset, model), rows) in parts {
        let keys: HashSet<&str> = rows.iter().map(|row| row.cell.key.as_str()).collect();
        let here = Store::new(project.results_folder().join(name)).beside_rows(&dataset, &model, &keys)?;
        let store = Store::new(folder.join(name));
        let kept = here.or(store.beside_rows(&dataset, &model, &keys)?);
        // A file that already says so stays as it is, to the byte.
        if same(&store.rows(&dataset, &model)?, &rows) {
            continue;
        }
        Store::new(staging.path().join(name)).add(&dataset, &model, Kept { rows, ..kept })?;
        let place = folder.join(name).join(&dataset);
        fs::create_dir_all(&place).map_err(Error::io(&place, "creating the folder"))?;
        changed.push((staging.path().join(name).join(&dataset), place, model));
    }
    for (made, place, model) in &changed {
        // Rows last, which promise the rest.
        let mut gone = Vec::new();
        for end in ENDS {
            let (from, to) = (made.join(format!("{model}{end}")), place.join(format!("{model}{end}")));
            match from.exists() {
                true => fs::rename(&from, &to).map_err(Error::io(&to, "moving into place"))?,
                false => gone.extend(to.exists().then_some(to)),
            }
        }
        sync_folder(place)?;
        for file in gone {
            fs::remove_file(&file).map_err(Error::io(&file, "removing"))?;
        }
    }
    write_atomic(&keys_file, keys.as_bytes())?;
    for name in names {
        let wanted = |dataset: &str, model: &str| wanted.contains(&(name, dataset.into(), model.into()));
        remove_others(&folder.join(name), wanted)?;
    }
    Ok(n)
}

/// Whether two lists have the same rows in some order.
fn same(old: &[ResultRow], new: &[ResultRow]) -> bool {
    let text = |row: &ResultRow| format!("{row:?}");
    let sorted = |rows: &[ResultRow]| rows.iter().map(text).collect::<BTreeSet<String>>();
    old.len() == new.len() && sorted(old) == sorted(new)
}

/// Removes the files of an experiment's folder that are of no `wanted` data set and model.
fn remove_others(folder: &Path, wanted: impl Fn(&str, &str) -> bool) -> Result<()> {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for set in entries(folder) {
        let dataset = set.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for file in entries(&set) {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let model = ENDS.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
            if !wanted(&dataset, model) {
                fs::remove_file(&file).map_err(Error::io(&file, "removing"))?;
            }
        }
        if entries(&set).next().is_none() {
            fs::remove_dir(&set).map_err(Error::io(&set, "removing"))?;
        }
    }
    Ok(())
}

/// A project with its suite, and the data sets and models that it has rows of.
type Asked<'a> = (&'a Project, BTreeSet<(String, String)>);

/// What the rows of every data set and model have in their keys together: a list, since suites may take other images or
/// compute features in other numbers.
fn keys_text(asked: &[Asked], device: &Device) -> Result<String> {
    let mut keys = BTreeMap::<&str, BTreeMap<&str, Vec<Value>>>::new();
    for (project, pairs) in asked {
        let mut sets = BTreeMap::new();
        for (dataset, model) in pairs {
            if !sets.contains_key(dataset) {
                sets.insert(dataset, project.images(dataset)?);
            }
            let shared = Encoding::of(project, &sets[dataset], model, device)?.shared_key();
            let key: Value = shared.parts().iter().map(|(name, value)| json!([name, value])).collect();
            let known = keys.entry(dataset).or_default().entry(model).or_default();
            if !known.contains(&key) {
                known.push(key);
            }
        }
    }
    Ok(serde_json::to_string_pretty(&json!(keys)).unwrap_or_default())
}

/// The keys of a data set and model, as [`keys_text`] lists them; where there was but one, older files have no list.
fn keys_in(entry: &Value) -> Vec<Key> {
    let list = entry.as_array().map_or(&[][..], Vec::as_slice);
    let is_one = list.first().is_some_and(|part| part[0].is_string());
    let keys = if is_one { std::slice::from_ref(entry) } else { list };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let with = |key: Key, part: &Value| key.with(text(&part[0]), text(&part[1]));
    keys.iter().map(|key| key.as_array().into_iter().flatten().fold(Key::new("shared"), with)).collect()
}

/// How `key`, of a row, differs from one that rows came under, a line per part.
fn lines_of(key: &Key, came: &Key) -> Vec<String> {
    let is_shared = |name: &str| came.parts().iter().any(|(known, _)| known == name) || name.contains('.');
    let shared = key.parts().iter().filter(|(name, _)| is_shared(name));
    let here = shared.fold(Key::new("shared"), |here, (name, value)| here.with(name, value));
    let of_part = |(name, here, came): (&str, Option<&str>, Option<&str>)| {
        let or_nothing = |value: Option<&str>| value.unwrap_or("nothing").to_string();
        format!("{name}: {} here, {} in the rows that came", or_nothing(here), or_nothing(came))
    };
    here.differences(came).into_iter().map(of_part).collect()
}

/// What `key`, of a row, has other than the nearest rows of its data set and model that came with the project: a line per
/// part of split, columns and features, or one that says that there is no difference, or nothing to compare with. The last
/// line says whether a row came under this very key.
///
/// # Errors
/// A file of keys or rows that cannot be read.
pub fn differences(project: &Project, dataset: &str, model: &str, key: &Key) -> Result<Vec<String>> {
    let path = keys_file(project.root());
    let nothing = || vec![format!("no rows of {dataset} under {model} came with the project")];
    let Ok(text) = fs::read_to_string(&path) else { return Ok(nothing()) };
    let all: Value = serde_json::from_str(&text)
        .map_err(|error| Error::data(&path, "the keys of shipped rows as JSON", error.to_string()))?;
    let came = keys_in(&all[dataset][model]);
    let Some(mut lines) = came.iter().map(|came| lines_of(key, came)).min_by_key(Vec::len) else {
        return Ok(nothing());
    };
    if lines.is_empty() {
        lines.push("split, columns and features are those of the rows that came with the project".into());
    }
    let store = Store::new(shipped_folder(project.root()).join(representations::NAME));
    let digest = key.digest();
    lines.push(match store.rows(dataset, model)?.iter().any(|row| row.cell.key == digest) {
        true => "rows with this key came with the project".into(),
        false => "no row with this key came with the project".into(),
    });
    Ok(lines)
}
