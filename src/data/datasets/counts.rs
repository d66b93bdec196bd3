//! The counts of a record, held against the data.

use super::ImageSet;
use crate::error::{Error, Result};
use crate::manifest::{DatasetRecord, PerClass};

/// What a record says that the data do not: key, what it states, what there is.
type Difference = (String, String, String);

/// Holds the counts that `record` states against `set`. Where one differs, a reader's own folder is an error, since the
/// record is the reader's to correct; published data get a warning, since their owner's figures may be what is wrong.
///
/// # Errors
/// The first count of a reader's own record that differs, with what there is.
pub(super) fn check(set: &mut ImageSet, record: &DatasetRecord) -> Result<()> {
    if let Some(domains) = &set.domains {
        for domain in record.split.ood_domains.iter().filter(|domain| !domains.contains(domain)) {
            set.warnings.push(format!("no image has the domain `{domain}`, which the record holds out"));
        }
    }
    let differences = differences(set, record);
    if record.is_own()
        && let Some((key, stated, found)) = differences.first()
    {
        let expected = format!("`{key}` in the record of {} to be {found}, or left out", record.id);
        return Err(Error::argument("counts of a data set", expected, stated));
    }
    let first: Vec<String> = differences
        .iter()
        .take(3)
        .map(|(key, stated, found)| format!("{key} is {stated} there and {found} here"))
        .collect();
    if !first.is_empty() {
        let more = differences.len() - first.len();
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        set.warnings.push(format!("the data do not have the counts of their record: {}{more}", first.join("; ")));
    }
    Ok(())
}

fn differences(set: &ImageSet, record: &DatasetRecord) -> Vec<Difference> {
    let split = &record.split;
    let mut differences = Vec::new();
    let mut hold = |key: String, stated: Option<usize>, found: usize| {
        if let Some(stated) = stated.filter(|&stated| stated != found) {
            differences.push((key, stated.to_string(), found.to_string()));
        }
    };
    for (key, part) in [("val", &split.val), ("id_test", &split.id_test), ("ood_test", &split.ood_test)] {
        if let Some(part) = part
            && let Some(found) = rows(set, &part.name)
        {
            hold(format!("split.{key}.total"), part.total, found.len());
        }
    }
    // A pool that the data do not have is told, with the parts there are, once something is drawn from it.
    let Some(mut pool) = rows(set, &split.pool) else { return differences };
    for part in [&split.val, &split.id_test, &split.ood_test].into_iter().flatten() {
        // What an official split holds is not drawn from.
        if part.name != split.pool && split.pool == "all" {
            let elsewhere = rows(set, &part.name).unwrap_or_default();
            pool.retain(|row| elsewhere.binary_search(row).is_err());
        }
    }
    let mut counts = vec![0; set.classes.len()];
    pool.iter().for_each(|&row| counts[set.labels[row] as usize] += 1);
    if let Some(most) = split.balance {
        counts.iter_mut().for_each(|count| *count = (*count).min(most));
    }
    let present: Vec<(&String, usize)> = set.classes.iter().zip(counts).filter(|(_, count)| *count > 0).collect();
    hold("split.total".into(), split.total, present.iter().map(|(_, count)| count).sum());
    hold("split.classes".into(), split.classes, present.len());
    let smallest = present.iter().map(|(_, count)| *count).min().unwrap_or(0);
    hold("split.smallest_class".into(), split.smallest_class, smallest);
    match &split.per_class {
        None => {}
        Some(PerClass::Uniform(stated)) => {
            for (class, found) in present {
                hold(format!("split.per_class of `{class}`"), Some(*stated), found);
            }
        }
        Some(PerClass::Each(stated)) => {
            for (class, found) in &present {
                hold(format!("split.per_class.{class}"), Some(stated.get(*class).copied().unwrap_or(0)), *found);
            }
            for (class, stated) in stated.iter().filter(|(class, _)| !present.iter().any(|(name, _)| name == class)) {
                hold(format!("split.per_class.{class}"), Some(*stated), 0);
            }
        }
    }
    differences
}

/// Rows of a part; `all` takes every image. `None` where there is no such part.
fn rows(set: &ImageSet, part: &str) -> Option<Vec<usize>> {
    match part {
        "all" => Some((0..set.len()).collect()),
        part => set.rows_of_part(part).ok(),
    }
}
