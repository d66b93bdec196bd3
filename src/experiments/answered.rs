//! Which test images an arm had right, with what each image is and belongs to: what paired tests and bootstraps over groups are
//! made from.

use super::runner::Plan;
use super::{Encoded, Encoding, Protocol, encoded::unit};
use crate::error::{Error, Result};
use crate::results::{Cell, Right};
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
    /// Training images.
    pub n_train: u32,
    /// The images.
    pub tested: Arc<Tested>,
    /// Whether each was right.
    pub right: Vec<bool>,
}

/// What the cells of an experiment had right, for all of which something is kept.
pub(super) fn answered(plan: &Plan) -> Result<Vec<Answered>> {
    let mut all = Vec::new();
    for (encoding, cells) in plan.encodings() {
        let mut by_key: BTreeMap<String, Vec<Right>> = BTreeMap::new();
        for right in plan.ledger().right_of(cells)? {
            by_key.entry(right.key.clone()).or_default().push(right);
        }
        if by_key.is_empty() {
            continue;
        }
        let (bare, units) = (encoding.bare(), units(encoding));
        let mut known = BTreeMap::new();
        for cell in cells {
            let Some(rights) = by_key.remove(&cell.key) else { continue };
            let asked = (cell.protocol.clone(), cell.budget, cell.seed);
            if !known.contains_key(&asked) {
                known.insert(asked.clone(), tests(encoding, &bare, &units, cell)?);
            }
            let (n_train, tests) = &known[&asked];
            for Right { split, weights, right, .. } in rights {
                let Some(tested) = tests.get(&split) else { continue };
                if right.len() != tested.classes.len() {
                    let expected = format!("{} for {split} of {}", tested.classes.len(), cell.dataset);
                    let found = format!("{}, as images were set aside then", right.len());
                    return Err(Error::argument("kept answers", expected, found));
                }
                let (cell, tested) = (cell.clone(), tested.clone());
                all.push(Answered { cell, split, weights, n_train: *n_train, tested, right });
            }
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

/// Training images, and the tests by name.
type Tests = (u32, BTreeMap<String, Arc<Tested>>);

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
    Ok((parts.train.len() as u32, tests.collect()))
}
