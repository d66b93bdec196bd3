//! Shipped rows held against rows that were computed on this machine.

use super::export::files_in;
use super::{ResultRow, read_rows};
use crate::error::Result;
use std::collections::HashMap;
use std::path::Path;

/// Up to this difference a computed number agrees with the one that ships: half a point of accuracy; of numbers above 1, this
/// part of them. Other processors round otherwise in the last digit, which now and then turns a tie between neighbours or a
/// step of a clustering.
pub const AGREEMENT: f64 = 0.005;

/// A number that ships and was computed here too.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// As computed here.
    pub computed: ResultRow,
    /// The number that ships.
    pub shipped: Option<f64>,
}

impl Check {
    /// How far apart both are; infinite where one is undefined or no number.
    pub fn difference(&self) -> f64 {
        match (self.computed.value, self.shipped) {
            (Some(a), Some(b)) if !(a - b).is_nan() => (a - b).abs(),
            (None, None) => 0.0,
            _ => f64::INFINITY,
        }
    }

    /// Whether they agree, see [`AGREEMENT`].
    pub fn agrees(&self) -> bool {
        self.difference() <= AGREEMENT * self.shipped.map_or(1.0, |value| value.abs().max(1.0))
    }
}

/// How the rows of a suite stand: how many were computed here, and what that says of the others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// Rows of the suite.
    pub rows: usize,
    /// Of these, computed on this machine.
    pub computed: usize,
    /// Rows that ship and were computed here too.
    pub checks: Vec<Check>,
}

impl Standing {
    /// The largest difference of all checks.
    pub fn widest(&self) -> f64 {
        self.checks.iter().map(Check::difference).fold(0.0, f64::max)
    }

    /// Checks that do not agree, the worst first.
    pub fn disagreeing(&self) -> Vec<&Check> {
        let mut found: Vec<&Check> = self.checks.iter().filter(|check| !check.agrees()).collect();
        found.sort_by(|a, b| b.difference().total_cmp(&a.difference()));
        found
    }
}

/// Sums up the folder of a suite's rows, where each experiment has left `<experiment>.parquet` and, of the numbers that it
/// computed though they ship, `<experiment>.shipped.parquet`. Rows that do not `counts` today are left out; a folder that is
/// not there stands for none.
///
/// # Errors
/// A file that cannot be read as rows.
pub fn standing(folder: &Path, counts: impl Fn(&ResultRow) -> bool) -> Result<Standing> {
    let mut standing = Standing::default();
    for path in files_in(folder)? {
        let mut rows = read_rows(&path)?;
        rows.retain(&counts);
        standing.rows += rows.len();
        standing.computed += rows.iter().filter(|row| !row.made.shipped).count();
        let shipped = path.with_extension("shipped.parquet");
        if shipped.exists() {
            let shipped = read_rows(&shipped)?;
            let shipped: HashMap<_, _> = shipped.iter().map(|row| (row.place(), row.value)).collect();
            let here = rows.into_iter().filter(|row| !row.made.shipped);
            let check = |row: ResultRow| Some(Check { shipped: *shipped.get(&row.place())?, computed: row });
            standing.checks.extend(here.filter_map(check));
        }
    }
    Ok(standing)
}
