//! Which keys count today.

use super::Encoding;
use super::all::ALL;
use super::same_data::{ALIGNMENT, alignment_cells};
use crate::error::Result;
use crate::project::Project;
use crate::results::ResultRow;
use candle_core::Device;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// The keys under which the project, as it is today, would compute cells of the data sets and models in `rows`. A row with
/// another key is stale, and so is one whose data set or model cannot be opened any more.
///
/// # Errors
/// A suite that is not known.
pub fn current_keys(project: &Project, rows: &[ResultRow], device: &Device) -> Result<HashSet<String>> {
    let mut models: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut aligned: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in rows {
        models.entry(&row.cell.dataset).or_default().insert(&row.cell.model);
        if row.cell.table == ALIGNMENT && !aligned.entry(&row.cell.dataset).or_default().contains(&row.cell.model) {
            aligned.entry(&row.cell.dataset).or_default().push(row.cell.model.clone());
        }
    }
    let mut keys = HashSet::new();
    for (dataset, models) in models {
        let Ok(set) = project.images(dataset) else { continue };
        for model in models {
            let Ok(encoding) = Encoding::of(project, &set, model, device) else { continue };
            for (_, experiment) in &ALL {
                let Ok(cells) = experiment.cells(project, &encoding) else { continue };
                keys.extend(cells.into_iter().map(|cell| cell.key));
            }
        }
    }
    for (dataset, models) in aligned {
        if let Ok(cells) = alignment_cells(project, dataset, &models, device) {
            keys.extend(cells.into_iter().map(|cell| cell.key));
        }
    }
    Ok(keys)
}
