//! Labels from the most to the least suspect, by two witnesses.
//!
//! A linear probe sees the set as a whole, and errs where a class is spread; the nearest images see what is close, and
//! err at borders. Both are asked for the odds of the likeliest other class against the label, as logarithms, and these
//! are added, as for witnesses that know nothing of each other; the neighbours' count twice, which was found on planted
//! errors, where the sum finds more than either alone (benches/README.md).

use super::{check_opinions, largest_place};
use crate::error::{Error, Result};
use ndarray::{ArrayView1, ArrayView2};

/// What a probability is counted as at least, so that odds are numbers.
const LEAST: f64 = 0.01;
/// What the neighbours' odds count for, the probe's being 1.
const NEIGHBOURS: f64 = 2.0;

/// What is to be thought of one label.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspect {
    /// Place of the image.
    pub image: usize,
    /// The label it has.
    pub label: u32,
    /// How much the two witnesses together speak against the label: the logarithm of odds, above 0 where they do.
    pub score: f64,
    /// The class that the probe finds likeliest, and its probability.
    pub probe: (u32, f64),
    /// The class with most of the neighbours' votes, and its share of them; the lowest of equals.
    pub neighbours: (u32, f64),
    /// Whether probe and neighbours both prefer one and the same other class.
    pub agreed: bool,
}

/// Every image, the most suspect label first, the lower row first of equals.
///
/// `probabilities` are out of fold ([`super::out_of_fold`]), `votes` those of [`super::neighbour_votes`], both `(N,
/// K)`. A short list to look at is the head of it, or those that are [`Suspect::agreed`].
///
/// # Errors
/// Probabilities or votes that are empty, of other shapes or not from 0 to 1; labels that are not below K or not one a
/// row.
///
/// ```
/// use ndarray::array;
/// use wider_clip::soundness::suspects;
///
/// let (probabilities, votes) = (array![[0.9, 0.1], [0.2, 0.8]], array![[1.0, 0.0], [0.0, 1.0]]);
/// let list = suspects(probabilities.view(), votes.view(), &[0, 0])?;
/// assert_eq!((list[0].image, list[0].probe.0, list[0].agreed), (1, 1, true));
/// assert!(!list[1].agreed);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn suspects(probabilities: ArrayView2<f64>, votes: ArrayView2<f64>, labels: &[u32]) -> Result<Vec<Suspect>> {
    check_opinions("probabilities", probabilities, labels)?;
    if votes.dim() != probabilities.dim() {
        let (expected, found) = (format!("shape {:?}", probabilities.dim()), format!("{:?}", votes.dim()));
        return Err(Error::argument("votes", expected, found));
    }
    check_opinions("votes", votes, labels)?;
    let rows = labels.iter().zip(probabilities.rows()).zip(votes.rows());
    let mut list: Vec<Suspect> = rows
        .enumerate()
        .map(|(image, ((&label, probe), votes))| {
            let likeliest = |row: ArrayView1<f64>| (largest_place(row) as u32, row[largest_place(row)]);
            let (probe_says, most_say) = (likeliest(probe), likeliest(votes));
            Suspect {
                image,
                label,
                score: against(probe, label) + NEIGHBOURS * against(votes, label),
                probe: probe_says,
                neighbours: most_say,
                agreed: probe_says.0 == most_say.0 && probe_says.0 != label,
            }
        })
        .collect();
    list.sort_by(|a, b| b.score.total_cmp(&a.score));
    Ok(list)
}

/// The logarithm of the odds of the likeliest other class against the label.
fn against(opinion: ArrayView1<f64>, label: u32) -> f64 {
    let others = opinion.iter().enumerate().filter(|(class, _)| *class != label as usize);
    let other = others.fold(0f64, |most, (_, value)| most.max(*value));
    other.max(LEAST).ln() - opinion[label as usize].max(LEAST).ln()
}
