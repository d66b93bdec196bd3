//! Work for many machines: what is to do as lines that a scheduler hands out, each done by itself, and brought together.
//!
//! [`plan`] lists what a suite lacks. A line is a part of the work with an id that reads as a path: `features`, data set,
//! model and which images; or experiment, data set, model, and where that would take too long also method, budget and seed. [`run`]
//! does one such part, whatever was done of it before, and keeps its rows in a folder of its own, so that no two machines write the
//! same file; the features go into the cache, a file for each 256 images. [`gather`] brings the rows together as if one machine had
//! computed them, and says what is missing.
//!
//! A part is done again where what decides its numbers has changed since: the file that says it is done is named after the keys.

mod estimate;
mod gather;
mod id;
mod plan;
mod run;

pub use gather::{Gathered, gather, has_parts};
pub use id::{What, WorkId};
pub use plan::{Line, Planned, plan};
pub(super) use run::peak_memory;
pub use run::{Ended, run};
