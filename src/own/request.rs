//! What is asked of a reader's own images, as the command leaves it for the notebook.

use crate::error::{Error, Result};
use crate::storage::write_atomic;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The environment variable that names the file with the request; the notebook shows a data set of the project without it.
pub const REQUEST_VARIABLE: &str = "WIDER_CLIP_IMAGES";

/// The name of that file in the folder of a report.
pub const REQUEST: &str = "request.json";

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The data set's record: a file beside this one.
    pub manifest: PathBuf,
    /// What the data were taken for, a sentence each.
    pub said: Vec<String>,
    /// Ids of models; those on this machine where there is none.
    pub models: Vec<String>,
    /// Minutes that features may take; no limit where there is none.
    pub minutes: Option<f64>,
    /// Whether weights may be downloaded.
    pub download: bool,
    /// Decides folds and resamples.
    pub seed: u64,
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// A file that cannot be read or is no request.
    pub fn read(path: &Path) -> Result<Request> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path, "reading"))?;
        serde_json::from_str(&text).map_err(|error| Error::data(path, "a request in JSON", error.to_string()))
    }

    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self);
        let text = text.map_err(|error| Error::data(path, "a request that becomes JSON", error.to_string()))?;
        write_atomic(path, text.as_bytes())
    }
}
