//! All experiments that are cells of a data set and model, in one list: what ships, and what counts.

use super::clustering::{self, Clustering};
use super::drift::{self, Calibrations, Corruptions, Folds};
use super::finetuning::{self, Finetuning};
use super::representations::{self, Representations};
use super::same_data::{self, SameData};
use super::{Encoding, Experiment};
use crate::error::Result;
use crate::project::Project;
use crate::results::{Cell, ResultRow};
use candle_core::Device;

/// An experiment, whatever it prepares.
pub(super) struct Listed {
    pub name: &'static str,
    pub cells: fn(&Project, &Encoding) -> Result<Vec<Cell>>,
    pub run: fn(&Project, &Device) -> Result<Vec<ResultRow>>,
}

pub(super) const ALL: [Listed; 7] = [
    Listed {
        name: representations::NAME,
        cells: |project, encoding| Representations.cells(project, encoding),
        run: representations::run,
    },
    Listed {
        name: finetuning::NAME,
        cells: |project, encoding| Finetuning.cells(project, encoding),
        run: finetuning::run,
    },
    Listed { name: drift::NAME, cells: |project, encoding| Calibrations.cells(project, encoding), run: drift::run },
    Listed { name: drift::FOLDS, cells: |project, encoding| Folds.cells(project, encoding), run: drift::run_folds },
    Listed {
        name: drift::CORRUPTIONS,
        cells: |project, encoding| Corruptions.cells(project, encoding),
        run: drift::run_corruptions,
    },
    Listed {
        name: clustering::NAME,
        cells: |project, encoding| Clustering.cells(project, encoding),
        run: clustering::run,
    },
    Listed {
        name: same_data::TABLE,
        cells: |project, encoding| SameData.cells(project, encoding),
        run: same_data::run,
    },
];
