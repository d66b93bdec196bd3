//! The course: checks of eight assignments. `notebooks/assignments/` has the notebooks, this module what marks them.
//!
//! An answer is a function. A cell of the notebook hands it to the check of its task, which tries it on cases and gives [`Marks`]:
//! visible cases show what they asked, expected and found; of hidden ones only the question is shown, and they alone decide. Each
//! case has a weight, so that half an answer has half the points. The last value of the cell is the number of points, which is
//! what nbgrader reads as partial credit.
//!
//! Hidden cases are compiled into the library: the machine of a student can run them and finds no answer to read in the notebook.
//! Their inputs are drawn by a seed, and the expected values come from the library's own functions, proven elsewhere; who reads
//! this source finds out what is asked and still has to write the function.

pub mod audit;
pub mod clusters;
pub mod intervals;
pub mod leakage;
pub mod logistic;
pub mod neighbours;
mod on_data;
pub mod rust_for_data;
mod sheet;
pub mod splits;

pub use sheet::{CASE_SECONDS, Case, Marks, Outcome, SEED_VARIABLE};
