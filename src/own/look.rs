//! Every picture looked at once: duplicates, light, sharpness, size.

use super::Own;
use crate::error::Result;
use crate::images::{
    Appearance, Check, FileKind, Fingerprint, Limits, NearKind, TRAITS, near_duplicates, odd_sizes, shortcomings,
    traits_of,
};
use crate::progress::Progress;
use crate::soundness::groups_of;
use ndarray::Array2;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Pictures that are decoded before the next are read.
const TOGETHER: usize = 256;

/// A group of images that show the same picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Twins {
    /// Rows of the set, ascending.
    pub rows: Vec<usize>,
    /// Whether all have the same pixels.
    pub exact: bool,
    /// Whether some are mirror images of others.
    pub mirrored: bool,
    /// Labels that they have.
    pub labels: usize,
    /// Parts of a published split that they are in.
    pub parts: usize,
}

/// What was seen.
#[derive(Debug, Clone)]
pub struct Look {
    /// Groups of duplicates, by first row.
    pub twins: Vec<Twins>,
    /// The unit of every row: what may not be on two sides of a fold, the data's groups joined with duplicates.
    pub units: Vec<usize>,
    /// Pictures that cannot be read: row and reason.
    pub broken: Vec<(usize, String)>,
    /// Rows by what is odd about them.
    pub oddities: Vec<(&'static str, Vec<usize>)>,
    /// What each picture looks like; `None` where it cannot be read.
    appearances: Vec<Option<Appearance>>,
    /// Facts about each, in the order of [`TRAITS`]; 0 where it cannot be read.
    facts: Vec<[f32; TRAITS.len()]>,
}

impl Own {
    /// Decodes every picture once. A picture that cannot be read is noted and no twin of another.
    ///
    /// # Errors
    /// A file that was changed since the set was opened.
    pub fn look(&self) -> Result<Look> {
        let n = self.set.len();
        let progress = Progress::new("pictures looked at", "images", n, 0);
        let (mut prints, mut appearances) = (Vec::with_capacity(n), Vec::with_capacity(n));
        let (mut broken, mut facts) = (Vec::new(), Vec::with_capacity(n));
        for start in (0..n).step_by(TOGETHER) {
            let rows = start..(start + TOGETHER).min(n);
            let encoded = self.set.read(rows.clone())?;
            let seen: Vec<_> = encoded
                .into_par_iter()
                .zip(rows.clone())
                .map(|(encoded, row)| {
                    let encoded = encoded?;
                    let picture = self.set.decode_alone(row, &encoded)?;
                    let appearance = Appearance::of(&picture);
                    let facts = traits_of(&appearance, encoded.len() as u64, FileKind::of(&encoded));
                    Ok((Fingerprint::of(&picture), appearance, facts))
                })
                .collect();
            for (row, seen) in rows.clone().zip(seen) {
                match seen {
                    Ok((print, appearance, of_file)) => {
                        prints.push((row, print));
                        appearances.push(Some(appearance));
                        facts.push(of_file);
                    }
                    Err(error) => {
                        let error: crate::error::Error = error;
                        broken.push((row, error.to_string()));
                        appearances.push(None);
                        facts.push([0.0; TRAITS.len()]);
                    }
                }
            }
            progress.advance(rows.len());
        }
        progress.finish();
        let (rows, prints): (Vec<usize>, Vec<Fingerprint>) = prints.into_iter().unzip();
        let near = near_duplicates(&prints);
        let pairs: Vec<(usize, usize)> = near.iter().map(|pair| (pair.a, pair.b)).collect();
        let mirrored: BTreeSet<usize> =
            near.iter().filter(|pair| pair.kind == NearKind::Mirrored).map(|pair| rows[pair.a]).collect();
        let place: HashMap<usize, usize> = rows.iter().enumerate().map(|(at, &row)| (row, at)).collect();
        let twins = groups_of(prints.len(), pairs)?;
        let twins = twins.into_iter().map(|group| {
            let group: Vec<usize> = group.into_iter().map(|at| rows[at]).collect();
            let mirrored = group.iter().any(|row| mirrored.contains(row));
            Twins { mirrored, ..self.twins(group, |a, b| prints[place[&a]].same_pixels(&prints[place[&b]])) }
        });
        let twins: Vec<Twins> = twins.collect();
        Ok(Look { units: self.units(&twins)?, twins, broken, oddities: oddities(&appearances), appearances, facts })
    }

    fn twins(&self, rows: Vec<usize>, same: impl Fn(usize, usize) -> bool) -> Twins {
        let labels: BTreeSet<u32> = rows.iter().map(|&row| self.set.labels[row]).collect();
        let parts: BTreeSet<&String> =
            self.set.parts.iter().flat_map(|parts| rows.iter().map(|&row| &parts[row])).collect();
        let exact = rows.iter().all(|&row| same(rows[0], row));
        Twins { exact, mirrored: false, labels: labels.len(), parts: parts.len(), rows }
    }

    /// The unit of every row.
    fn units(&self, twins: &[Twins]) -> Result<Vec<usize>> {
        let n = self.set.len();
        let chained = twins.iter().flat_map(|twins| twins.rows.windows(2).map(|pair| (pair[0], pair[1])));
        let mut pairs: Vec<(usize, usize)> = chained.collect();
        let mut last: HashMap<&String, usize> = HashMap::new();
        for (row, group) in self.set.groups.iter().flatten().enumerate() {
            if let Some(before) = last.insert(group, row) {
                pairs.push((before, row));
            }
        }
        let mut units: Vec<usize> = (0..n).collect();
        for group in groups_of(n, pairs)? {
            group.iter().for_each(|&row| units[row] = group[0]);
        }
        Ok(units)
    }
}

impl Look {
    /// Whether an oddity is that of more than half of the pictures: then it is their kind, and nothing is odd.
    pub fn is_their_kind(&self, rows: &[usize]) -> bool {
        2 * rows.len() > self.facts.len()
    }

    /// Measures over all pictures that could be read, by name.
    pub fn measures(&self) -> Vec<(&'static str, Vec<f64>)> {
        let of = |measure: fn(&Appearance) -> f64| self.appearances.iter().flatten().map(measure).collect();
        vec![
            ("width in pixels", of(|a| f64::from(a.width))),
            ("height in pixels", of(|a| f64::from(a.height))),
            ("brightness, 0 to 1", of(|a| a.brightness)),
        ]
    }

    /// Facts about the pictures in `rows` that should not give a class away, `(N, ...)` each; those that are the same for all
    /// pictures are left out.
    pub(super) fn facts(&self, rows: &[usize]) -> Vec<(&'static str, Array2<f32>)> {
        let kinds = [
            ("width and height", &["width", "height", "aspect"][..]),
            ("bytes of the file", &["bytes", "bytes a pixel"]),
            ("mean colour", &["red", "green", "blue"]),
            ("brightness, entropy and edges", &["brightness", "entropy", "edges"]),
            ("type of the file", &["jpeg", "png", "webp", "tiff", "gif", "bmp", "other"]),
        ];
        let place = |name: &&str| TRAITS.iter().position(|known| known == name);
        let varies = |column: &usize| rows.iter().any(|&row| self.facts[row][*column] != self.facts[rows[0]][*column]);
        let kept = kinds.into_iter().filter_map(|(name, columns)| {
            let columns: Vec<usize> = columns.iter().filter_map(place).filter(varies).collect();
            let table = Array2::from_shape_fn((rows.len(), columns.len()), |(i, j)| self.facts[rows[i]][columns[j]]);
            (!columns.is_empty()).then_some((name, table))
        });
        kept.collect()
    }
}

/// Rows by what is odd about them, each kind that there is.
fn oddities(appearances: &[Option<Appearance>]) -> Vec<(&'static str, Vec<usize>)> {
    let limits = Limits::default();
    let mut found: BTreeMap<Check, Vec<(f64, usize)>> = BTreeMap::new();
    let seen: Vec<(usize, &Appearance)> =
        appearances.iter().enumerate().filter_map(|(row, seen)| Some((row, seen.as_ref()?))).collect();
    let sizes = odd_sizes(&seen.iter().map(|(_, seen)| seen.size()).collect::<Vec<_>>(), &limits);
    for ((row, seen), size) in seen.iter().zip(sizes) {
        for shortcoming in shortcomings(seen, &limits).into_iter().chain([size]).filter(|found| found.flagged) {
            found.entry(shortcoming.check).or_default().push((shortcoming.score, *row));
        }
    }
    let kinds = [
        Check::Dark,
        Check::Light,
        Check::Blurry,
        Check::LowInformation,
        Check::OddAspect,
        Check::OddSize,
        Check::Grey,
    ];
    let rows = |check: Check| {
        let mut rows = found.remove(&check).unwrap_or_default();
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        (check.name(), rows.into_iter().map(|(_, row)| row).collect())
    };
    kinds.map(rows).to_vec()
}
