//! Which test images an arm had right, with what each image is and belongs to: what paired tests and bootstraps over groups are
//! made from.

use super::predict::n_fitted;
use super::runner::Plan;
use super::{Encoded, Encoding, Parts, Protocol, encoded::unit};
use crate::datasets::note_left_out;
use crate::error::{Error, Result};
use crate::project::Project;
use crate::results::{Cell, LeftOut, Right};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The images of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Class of each.
    pub classes: Vec<u32>,
    /// The unit of each: of the group that a split keeps together, or of the image itself. Units are numbered through the whole
    /// data set in the order of their names.
    pub units: Vec<u32>,
}

/// What one arm had right in one test.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// What was asked: data set, model, method, budget, seed.
    pub cell: Cell,
    /// `test`, `id` or `ood`.
    pub split: String,
    /// Which weights of a run; `lr` for the logistic regression beside a run, empty for a probe.
    pub weights: String,
    /// Images that were learned from.
    pub n_train: u32,
    /// Classes of the data set, whether or not the test has images of all.
    pub n_classes: u32,
    /// The images.
    pub tested: Arc<Tested>,
    /// Whether each was right.
    pub right: Vec<bool>,
}

/// What is called so among what was right says of which images the rest of its cell is: a bit for each image that takes part, in the
/// order of the data set, 0 for one that was set aside. One without bits says that none was; so does none at all, but for answers from
/// before there was a note.
const USABLE: &str = "usable images";

/// What is kept beside the answers of a cell where images were set aside.
pub(super) fn usable_images(key: &str, usable: &[bool]) -> Right {
    Right { key: key.into(), split: String::new(), weights: USABLE.into(), right: usable.to_vec() }
}

/// Whether it is that, and no answers.
pub(super) fn is_usable_images(right: &Right) -> bool {
    right.split.is_empty() && right.weights == USABLE
}

/// What the cells of an experiment had right, for all of which something is kept. A data set and model whose answers are of other
/// images than their splits is left out, and named.
pub(super) fn answered(project: &Project, plan: &Plan) -> Result<Vec<Answered>> {
    let mut all = Vec::new();
    for (encoding, cells) in plan.encodings() {
        match joined(project, encoding, cells, plan.ledger().right_of(cells)?) {
            Ok(answers) => all.extend(answers),
            Err(error) => {
                let (dataset, model) = (encoding.dataset.id.clone(), Some(encoding.model.id.clone()));
                let line = LeftOut { dataset, model, cells: None, reason: error.to_string() }.line();
                crate::say!("left out: {line}");
                note_left_out(&line)?;
            }
        }
    }
    Ok(all)
}

/// The answers of one data set and model with the images that they are of.
fn joined(project: &Project, encoding: &Encoding, cells: &[Cell], rights: Vec<Right>) -> Result<Vec<Answered>> {
    let (of_images, rights): (Vec<Right>, Vec<Right>) = rights.into_iter().partition(is_usable_images);
    let usable: BTreeMap<String, Vec<bool>> = of_images.into_iter().map(|of| (of.key, of.right)).collect();
    // Answers from before there was a note: where as many of each class are drawn in any case, their number tells nothing.
    let is_noted = |right: &Right| usable.contains_key(&right.key);
    if encoding.dataset.split.balance.is_some() && !rights.iter().all(is_noted) && encoding.sets_aside(project)? {
        let found = "none, and some images were set aside";
        return Err(Error::argument("kept answers", "a note of the images that they are of", found));
    }
    let mut by_key: BTreeMap<String, Vec<Right>> = BTreeMap::new();
    for right in rights {
        by_key.entry(right.key.clone()).or_default().push(right);
    }
    let mut all = Vec::new();
    if by_key.is_empty() {
        return Ok(all);
    }
    let units = units(encoding);
    let n_classes = encoding.set.classes.len() as u32;
    let (mut bare, mut known) = (BTreeMap::new(), BTreeMap::new());
    for cell in cells {
        let Some(rights) = by_key.remove(&cell.key) else { continue };
        let usable = usable.get(&cell.key).map_or(&[][..], Vec::as_slice);
        if !bare.contains_key(usable) {
            bare.insert(usable, encoding.bare(usable)?);
        }
        let asked = (usable, cell.protocol.clone(), cell.budget, cell.seed);
        if !known.contains_key(&asked) {
            known.insert(asked.clone(), tests(encoding, &bare[usable], &units, cell)?);
        }
        let (parts, tests) = &known[&asked];
        let n_train = n_fitted(&cell.method, parts) as u32;
        for Right { split, weights, right, .. } in rights {
            let Some(tested) = tests.get(&split) else { continue };
            if right.len() != tested.classes.len() {
                let expected = format!("{} for {split} of {}", tested.classes.len(), cell.dataset);
                let found = format!("{}: images were set aside then, and nothing says which", right.len());
                return Err(Error::argument("kept answers", expected, found));
            }
            let (cell, tested) = (cell.clone(), tested.clone());
            all.push(Answered { cell, split, weights, n_train, n_classes, tested, right });
        }
    }
    Ok(all)
}

/// The number of each row's unit.
fn units(encoding: &Encoding) -> Vec<u32> {
    let names: Vec<String> = (0..encoding.set.len()).map(|row| unit(&encoding.set, &encoding.dataset, row)).collect();
    let numbers: BTreeMap<&String, u32> = names.iter().collect::<BTreeSet<_>>().into_iter().zip(0..).collect();
    names.iter().map(|name| numbers[name]).collect()
}

/// The parts, and the tests by name.
type Tests = (Parts, BTreeMap<String, Arc<Tested>>);

fn tests(encoding: &Encoding, bare: &Encoded, units: &[u32], cell: &Cell) -> Result<Tests> {
    let protocol = Protocol::known(&cell.protocol)?;
    let parts = bare.parts_by(protocol, cell.budget.unwrap_or_default() as usize, cell.seed)?;
    let test = |positions: &[usize]| {
        let rows: Vec<usize> = positions.iter().map(|&position| bare.features.rows[position]).collect();
        Arc::new(Tested {
            classes: rows.iter().map(|&row| encoding.set.labels[row]).collect(),
            units: rows.iter().map(|&row| units[row]).collect(),
        })
    };
    let tests = parts.measured().into_iter().map(|(split, positions)| (split.to_string(), test(positions)));
    let tests = tests.collect();
    Ok((parts, tests))
}
