//! Results: one tidy row per number, in Parquet.
//!
//! The first eight columns are those of the study's published table (`data_manifests/published/results.csv`), with its
//! names of tables and splits, so that any row joins it. Then come the seed and what a reader needs to know, and last the
//! `key`: one digest of everything that decides the number ([`crate::key::Key`]). A row counts as long as its key is what
//! the project would compute today; any other is stale and never shown.
//!
//! | module | |
//! |---|---|
//! | `table` | rows as a table, read and written |
//! | `seal` | the hash of a file, inside it |
//! | `store` | the rows of an experiment on this machine, and those that ship with the project |
//! | `runs` | how each run of fine-tuning was trained and ended |
//! | `predictions` | what a classifier said of each image |
//! | `wilds` | predictions in the files that WILDS' own evaluation reads |
//! | `checks` | shipped rows held against rows that were computed here |
//! | `board` | every published number beside ours |
//! | `export` | the rows of a suite, for a report |
//! | `left_out` | what a suite asked for and did not get |

mod board;
mod checks;
mod export;
mod left_out;
mod made;
mod predictions;
mod runs;
mod seal;
mod store;
mod table;
mod wilds;

pub use board::{BoardLine, board, board_frame, write_board};
pub use checks::{AGREEMENT, Check, Standing, standing};
pub(crate) use export::paths_in;
pub use export::{export, rows_in};
pub use left_out::{LeftOut, left_out_in, write_left_out};
pub use made::Made;
pub use predictions::{Predicted, Right, read_predictions, write_predictions};
pub use runs::{Run, read_runs, runs_frame, write_runs};
pub use store::{Answers, Kept, Store, shipped_folder};
pub use table::{frame, read_rows, to_csv, write_rows};
pub use wilds::{wilds_class_numbers, wilds_file_name, write_wilds_predictions};

/// A cell of work: everything that decides some numbers, but for the part that they are measured on and the metric.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    /// Which of the study's tables it belongs to: `general_probe`, `drift_probe`, `clustering`; or one of ours.
    pub table: String,
    /// Data set id.
    pub dataset: String,
    /// Model id, `arch.tag`.
    pub model: String,
    /// `knn`, `lr`, ...
    pub method: String,
    /// Label budget N of the split rule; `None` where no labels are used.
    pub budget: Option<u32>,
    /// Seed of the split, or of the clustering.
    pub seed: u64,
    /// Which feature of the model.
    pub pooling: String,
    /// How the parts were drawn: `study`, `grouped`, or `leaky` (grouped counts, groups ignored); `unsplit`.
    pub protocol: String,
    /// Rows of the data set that took part: `all`, or the size of the subset.
    pub subset: String,
    /// Kind of device the features come from, with what they are computed in where that is not f32: `cpu`, `cpu, bf16`.
    pub device: String,
    /// Digest of everything that decides its numbers.
    pub key: String,
}

/// One number of a cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// The part it was measured on: `test`, or `id` and `ood` where a data set holds images out; `all`.
    pub split: String,
    /// `accuracy`, `balanced_accuracy`, `macro_f1`, all as fractions; `ari`, `nmi`.
    pub metric: String,
    /// The number; `None` where it is undefined.
    pub value: Option<f64>,
    /// Training images.
    pub n_train: u32,
    /// Images measured on.
    pub n_test: u32,
    /// What a reader of the number must know (a fit that did not converge); empty where there is nothing.
    pub warning: String,
    /// Which weights of a run it is of: `last` and `best`, `alpha 0.5`; empty where nothing but a probe is trained.
    pub weights: String,
}

/// One number with all that it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultRow {
    /// The cell of work.
    pub cell: Cell,
    /// The part it was measured on: `test`, or `id` and `ood` where a data set holds images out; `all`.
    pub split: String,
    /// `accuracy`, `balanced_accuracy`, `macro_f1`, all as fractions; `ari`, `nmi`.
    pub metric: String,
    /// The number; `None` where it is undefined.
    pub value: Option<f64>,
    /// Training images.
    pub n_train: u32,
    /// Images measured on.
    pub n_test: u32,
    /// What a reader of the number must know (a fit that did not converge); empty where there is nothing.
    pub warning: String,
    /// Which weights of a run it is of: `last` and `best`, `alpha 0.5`; empty where nothing but a probe is trained.
    pub weights: String,
    /// Where and when it was computed.
    pub made: Made,
}

impl ResultRow {
    /// A number with its cell.
    pub fn new(cell: Cell, score: Score, made: Made) -> ResultRow {
        let Score { split, metric, value, n_train, n_test, warning, weights } = score;
        ResultRow { cell, split, metric, value, n_train, n_test, warning, weights, made }
    }

    /// What no two rows of an experiment share, of one data set under one model.
    pub(crate) fn place(&self) -> (&str, &str, &str, &str) {
        (&self.cell.key, &self.split, &self.metric, &self.weights)
    }
}
