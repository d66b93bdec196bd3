//! Files of predictions that WILDS' own evaluation reads (`examples/evaluate.py` of its repository, for wilds 2.0.0).
//!
//! It looks for one file per split and seed, called `{dataset}_split:{split}_seed:{seed}_epoch:best_pred.csv`, in a folder
//! per data set; for iWildCam and FMoW it wants the splits `id_val`, `id_test`, `val` and `test` and the seeds 0 to 2. A
//! line holds the number of one predicted class, and lines stand in the order of the split's rows in the metadata table:
//! nothing else says which image a line is of.

use crate::datasets::ImageSet;
use crate::error::{Error, Result};
use crate::features::SetAside;
use crate::manifest::DatasetRecord;
use crate::storage;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Images that an error names.
const NAMED: usize = 3;

/// The name of the file with the predictions of a split. The evaluation takes the first file whose name begins with that
/// up to the seed's digits: a folder with seed 1 must hold none from 10 on.
///
/// ```
/// use wider_clip::results::wilds_file_name;
///
/// assert_eq!(wilds_file_name("fmow", "test", 0), "fmow_split:test_seed:0_epoch:best_pred.csv");
/// ```
pub fn wilds_file_name(dataset: &str, split: &str, seed: u64) -> String {
    format!("{dataset}_split:{split}_seed:{seed}_epoch:best_pred.csv")
}

/// The numbers of the classes of `set` in WILDS, in the order of the set's own: the names where they are numbers
/// (iWildCam's `y`), else the place among all sorted names (FMoW's categories).
///
/// # Errors
/// [`Error::Data`] where the places would be others, for the data have another number of classes than their record.
pub fn wilds_class_numbers(set: &ImageSet, record: &DatasetRecord) -> Result<Vec<u64>> {
    if let Ok(numbers) = set.classes.iter().map(|name| name.parse()).collect() {
        return Ok(numbers);
    }
    let n = set.classes.len();
    match record.split.classes {
        Some(expected) if expected != n => {
            let expected = format!("the {expected} classes of its record, whose order numbers them");
            Err(Error::data(&set.id, expected, n.to_string()))
        }
        _ => Ok((0..n as u64).collect()),
    }
}

/// Writes what was `predicted` for the images of an official split, rows of `set` with classes of it in any order, as the
/// file of `seed` below `folder`, and gives its path. The file is written whole or not at all.
///
/// Every image of the split needs a prediction, for the evaluation takes all: one that a model could not be asked about, as
/// it could not be decoded, is an error that names it with the reason in `set_aside`, and is never passed over, which would
/// give all lines after it to other images.
///
/// # Errors
/// A split that the data do not have; a row that is not of the split, or stands there twice; a class that is none; images
/// without a prediction (the first three are named); classes that WILDS numbers otherwise ([`wilds_class_numbers`]); a file
/// that cannot be written.
pub fn write_wilds_predictions(
    folder: &Path,
    (set, record): (&ImageSet, &DatasetRecord),
    (split, seed): (&str, u64),
    predicted: &[(usize, u32)],
    set_aside: &[SetAside],
) -> Result<PathBuf> {
    let rows = set.rows_of_part(split)?;
    let numbers = wilds_class_numbers(set, record)?;
    let mut of_row: BTreeMap<usize, u64> = BTreeMap::new();
    for &(row, class) in predicted {
        if rows.binary_search(&row).is_err() {
            let name = set.ids.get(row).map_or_else(|| format!("row {row}"), |id| format!("`{id}`"));
            return Err(Error::argument("predictions", format!("images of the split `{split}` of {}", set.id), name));
        }
        let Some(&number) = numbers.get(class as usize) else {
            let found = format!("{class} for `{}`", set.ids[row]);
            return Err(Error::argument("predictions", format!("classes below {}", numbers.len()), found));
        };
        if of_row.insert(row, number).is_some() {
            let found = format!("two for `{}`", set.ids[row]);
            return Err(Error::argument("predictions", "one for each image", found));
        }
    }
    let missing: Vec<usize> = rows.iter().copied().filter(|row| !of_row.contains_key(row)).collect();
    if !missing.is_empty() {
        return Err(not_covered(set, split, rows.len(), &missing, set_aside));
    }
    let lines: String = of_row.values().map(|number| format!("{number}\n")).collect();
    let path = folder.join(wilds_file_name(&set.id, split, seed));
    storage::write_atomic(&path, lines.as_bytes())?;
    Ok(path)
}

fn not_covered(set: &ImageSet, split: &str, n: usize, missing: &[usize], set_aside: &[SetAside]) -> Error {
    let reasons: HashMap<usize, &str> = set_aside.iter().map(|image| (image.row, image.reason.as_str())).collect();
    let named = missing.iter().take(NAMED).map(|row| match reasons.get(row) {
        Some(reason) => format!("`{}`, which was set aside ({reason})", set.ids[*row]),
        None => format!("`{}`", set.ids[*row]),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let more = if missing.len() > NAMED { ", ..." } else { "" };
    let expected = format!(
        "one for each of the {n} images of the split `{split}` of {}, as WILDS tells lines apart by their order",
        set.id
    );
    Error::argument("predictions", expected, format!("none for {}: {named}{more}", missing.len()))
}
