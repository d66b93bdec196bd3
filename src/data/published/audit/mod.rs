//! What the study's published figures allow, by arithmetic on them alone.
//!
//! Each accuracy is a fraction of some number of test images, so that it has an interval over the choice of these, and two of a
//! column can be held against each other, from the kindest case to the hardest ([`columns::neighbours`]). The study's draw of
//! labels and its seed stay unknown: intervals here are too narrow, never too wide. Where several data sets are asked, all their
//! resamples are counted, so that nothing here is drawn.
//!
//! `tests/published.rs` holds every number to `tests/reference/published.py`, which computes them with scipy.
//!
//! | file | asks |
//! |---|---|
//! | [`columns`] | what was measured on the same images, and on how many |
//! | [`firsts`] | who is first, two models head to head, who is last |
//! | [`methods`] | nearest neighbours, logistic regression, fine-tuning; more labels |
//! | [`drops`] | what is lost out of distribution |
//! | [`over_sets`] | places and regret over data sets, where the spread comes from |
//! | [`replicate`] | how far two runs of the same lie apart |

pub mod columns;
pub mod drops;
pub mod firsts;
pub mod methods;
pub mod over_sets;
pub mod replicate;

use super::{PublishedResult, PublishedSplit, results, splits};
use crate::error::Result;
use columns::Column;
use std::path::Path;

/// The study's names of the sets without drift.
pub const GENERAL: [&str; 6] = ["dtd", "fgvc_aircraft", "flowers102", "isic", "patternnet", "ucmerced"];

/// Those of the sets with drift.
pub const DRIFT: [&str; 2] = ["fmow", "iwildcam"];

/// The models that every table has.
pub const NINE: [&str; 9] =
    ["convnext_base", "convnext_tiny", "vit_b_16", "DINO", "CLIP", "Beit", "vit_b_32", "ViTMAE", "data2vec"];

/// Those that learned by filling in what was masked.
pub const MASKED: [&str; 3] = ["ViTMAE", "Beit", "data2vec"];

/// Their probes are near chance while their fine-tuning is good: something else than the features was probed (the README of
/// `data_manifests/published/` says so), so that probes on them count for nothing here.
pub const EFFICIENTNETS: [&str; 2] = ["efficientnet_b2", "efficientnet_b6"];

/// The published figures, read once, and their columns.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Every figure.
    pub results: Vec<PublishedResult>,
    /// The split table.
    pub splits: Vec<PublishedSplit>,
    /// Every column of accuracies, the repeated ones too.
    pub all: Vec<Column>,
    /// Every accuracy once.
    pub columns: Vec<Column>,
}

impl Audit {
    /// Reads the figures under the project's `root`.
    ///
    /// # Errors
    /// As [`results`].
    pub fn read(root: &Path) -> Result<Audit> {
        let (results, splits) = (results(root)?, splits(root)?);
        let all = columns::all_columns(&results, &splits)?;
        let columns = columns::columns(&results, &splits)?;
        Ok(Audit { results, splits, all, columns })
    }

    /// Columns of probes on the sets without drift.
    pub fn general_probes(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.is_general_probe())
    }

    /// Columns of probes on the sets with drift.
    pub fn drift_probes(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.is_drift_probe())
    }

    /// Columns of fine-tuning, of sets with drift or of those without.
    pub fn tuned(&self, drift: bool) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(move |column| column.method == "finetune" && (column.split != "test") == drift)
    }
}
