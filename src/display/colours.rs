//! One look per model, everywhere: colour, marker and dash, as its record has them.
//!
//! The hue says what a model learned from: blue from words, orange and brown from labels, green from pictures alone; grey
//! and dotted are controls. Shade, marker and dash tell models of one hue apart. No two records look alike, and a look
//! never changes with what else a chart shows.

use crate::manifest::LookRecord;
use crate::project::Project;

/// How a model is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// `#rrggbb`.
    pub colour: String,
    /// plotly marker symbol.
    pub marker: String,
    /// plotly dash.
    pub dash: String,
}

/// The look of the model `id` (`arch.tag`) by its record; a plain black circle where the record has none, or is not there.
///
/// ```no_run
/// use wider_clip::display::look;
/// use wider_clip::project::Project;
///
/// let project = Project::find()?;
/// assert_ne!(look(&project, "pixels.raw"), look(&project, "clip_pocket.icons"));
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn look(project: &Project, id: &str) -> Look {
    let record = project.manifests.model(id).ok().and_then(|record| record.look.clone());
    let LookRecord { colour, marker, dash } = record.unwrap_or_else(|| LookRecord {
        colour: "#000000".into(),
        marker: "circle".into(),
        dash: "solid".into(),
    });
    Look { colour, marker, dash }
}
