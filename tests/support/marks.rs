//! What every check of an assignment says of a function that nobody has written.

use wider_clip::course::{Marks, Outcome};

/// Holds that every case knows the function for unwritten, and that it has no points.
pub fn holds_unwritten(marks: Marks) {
    assert_eq!(marks.points(), 0.0, "{marks:?}");
    assert!(marks.cases.iter().all(|case| case.outcome == Outcome::NotWritten), "{marks:?}");
}
