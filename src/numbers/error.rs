//! The one error type of the crate.
//!
//! Every variant names what was expected, what was found, and where: a file, a model, a data set, an argument. Names, paths
//! and values come from strangers: what an error prints goes through [`mod@crate::say`], which shows what cannot be seen.
//! Library errors are kept as `source`, so that `anyhow`-style chains and [`Error::chain`] print the whole story.

use crate::say::{self, part};
use std::path::{Path, PathBuf};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong, with the place and the expectation that was missed.
///
/// Fields are what their names say: `expected` and `found` complete the sentence that the variant prints, `advice` tells
/// what to do next.
#[allow(missing_docs)]
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading, writing or locking a file failed.
    #[error("{}: {doing} failed: {}", say::path(path), cause(source))]
    Io { path: PathBuf, doing: &'static str, source: std::io::Error },

    /// A manifest does not say what it must. `line` is 1-based; 0 where the file as a whole is meant.
    #[error("{}:{line}: expected {}, found {}", say::path(path), part(expected), part(found))]
    Manifest { path: PathBuf, line: usize, expected: String, found: String },

    /// An image could not be used. `name` is its id in the data set, or its path.
    #[error("image {}: expected {}, found {}", part(name), part(expected), part(found))]
    Image { name: String, expected: String, found: String },

    /// Data on disk (Parquet, safetensors, CSV, archive, cache) does not hold what it must.
    #[error("{}: expected {}, found {}", say::path(path), part(expected), part(found))]
    Data { path: PathBuf, expected: String, found: String },

    /// An argument of a function is outside what it accepts.
    #[error("{what}: expected {}, found {}", part(expected), part(found))]
    Argument { what: &'static str, expected: String, found: String },

    /// Something that must exist under a name does not; `known` lists what does.
    #[error("no {kind} is called `{}`; known: {}", part(name), part(known))]
    Unknown { kind: &'static str, name: String, known: String },

    /// A file could not be had from the hub or another address.
    #[error("{}: {}. {}", part(from), part(reason), part(advice))]
    Download { from: String, reason: String, advice: String },

    /// A program this project calls is missing or failed.
    #[error("{}: {}. {}", part(program), say::lines(reason), say::lines(advice))]
    Program { program: String, reason: String, advice: String },

    /// A notebook cell failed. `cell` counts code cells from 1.
    #[error(
        "{}: code cell {cell} failed\n--- source\n{}\n--- message\n{}",
        say::path(path),
        say::lines(source_text),
        say::lines(message)
    )]
    Notebook { path: PathBuf, cell: usize, source_text: String, message: String },

    /// candle failed while doing what `context` says.
    #[error("{}: {}", part(context), cause(source))]
    Tensor { context: String, source: candle_core::Error },

    /// A weights file does not hold the parameters of the model.
    #[error(
        "{}: read with the names of {publisher}, the tensors are not this model's. Missing: {}. Of another \
         shape: {}. Unexpected: {}. Check the file and the architecture that the record names",
        part(from),
        part(missing),
        part(misshaped),
        part(unexpected)
    )]
    Weights { from: String, publisher: &'static str, missing: String, misshaped: String, unexpected: String },

    /// linfa rejected a data set.
    #[error("linfa: {}", cause(.0))]
    Linfa(#[from] linfa::Error),

    /// polars failed while doing what `context` says.
    #[error("{}: {}", part(context), cause(source))]
    Table { context: String, source: polars_error::PolarsError },
}

impl Error {
    /// Whether the system did not let this program write (or read): rights, or a file system that is read only.
    pub fn is_refusal(&self) -> bool {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        matches!(self, Error::Io { source, .. } if matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem))
    }

    /// Wraps an I/O error with the path and what was being done ("reading", "writing", "locking").
    pub fn io(path: impl AsRef<Path>, doing: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { path, doing, source }
    }

    /// An argument that is outside what a function accepts.
    pub fn argument(what: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::Argument { what, expected: expected.into(), found: found.into() }
    }

    /// Data on disk that does not hold what it must.
    pub fn data(path: impl AsRef<Path>, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::Data { path: path.as_ref().to_path_buf(), expected: expected.into(), found: found.into() }
    }

    /// Wraps a candle error with what was being done.
    pub fn tensor(context: impl Into<String>) -> impl FnOnce(candle_core::Error) -> Error {
        let context = context.into();
        move |source| Error::Tensor { context, source }
    }

    /// Wraps a polars error with what was being done.
    pub fn table(context: impl Into<String>) -> impl FnOnce(polars_error::PolarsError) -> Error {
        let context = context.into();
        move |source| Error::Table { context, source }
    }

    /// Whether the same call may succeed later though nothing is changed by hand: the network, a full or shared disk.
    pub fn is_passing(&self) -> bool {
        use std::io::ErrorKind::*;
        match self {
            Error::Download { .. } => true,
            Error::Io { source, .. } => !matches!(
                source.kind(),
                NotFound
                    | PermissionDenied
                    | ReadOnlyFilesystem
                    | NotADirectory
                    | IsADirectory
                    | InvalidInput
                    | InvalidData
                    | InvalidFilename
                    | UnexpectedEof
            ),
            _ => false,
        }
    }

    /// The error and everything beneath it, one line each, the outermost first.
    pub fn chain(&self) -> String {
        let mut lines = vec![self.to_string()];
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let line = say::lines(&error.to_string()).into_owned();
            if !lines.last().is_some_and(|last| last.contains(&line)) {
                lines.push(format!("  because: {line}"));
            }
            cause = error.source();
        }
        lines.join("\n")
    }
}

/// What an error of another library says, in its own lines. Long is a backtrace, longer only a name from a file.
fn cause(source: &dyn std::fmt::Display) -> String {
    const MOST: usize = 40_000;
    say::lines(&say::cut(&source.to_string(), MOST)).into_owned()
}

impl From<candle_core::Error> for Error {
    fn from(source: candle_core::Error) -> Self {
        Error::Tensor { context: "tensor operation".into(), source }
    }
}

impl From<polars_error::PolarsError> for Error {
    fn from(source: polars_error::PolarsError) -> Self {
        Error::Table { context: "table operation".into(), source }
    }
}
