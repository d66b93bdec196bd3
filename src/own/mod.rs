//! A reader's own images: is the folder sound, which model and which method, how many more labels, and a classifier to keep.
//!
//! `wider-clip images <folder>` finds out what lies there ([`crate::datasets::recognise`]), leaves a [`Request`], and runs the
//! notebook `10_your_images` on it, which calls what stands here, step by step:
//!
//! | step | |
//! |---|---|
//! | [`Own::find`] | the images and what was asked for |
//! | [`Own::look`] | every picture looked at: duplicates, darkness, sharpness, size ([`Look`]) |
//! | [`Own::choose`] | models that are here, and fit into the minutes ([`Chosen`]) |
//! | [`Own::compare`] | every model under every method on the same folds ([`Compared`]) |
//! | [`Own::curve`] | accuracy by number of labels, and what more would bring ([`Curve`]) |
//! | [`Own::keep`] | the chosen probe, fitted on all labels, in a folder to use ([`Predictor`]) |
//!
//! Near duplicates are kept on one side of every fold, with what the data say belongs together.

mod arms;
mod compare;
mod cues;
mod curve;
mod domains;
mod folds;
mod held_out;
mod keep;
mod look;
mod models;
mod places;
mod predict;
mod probe;
mod request;
mod suspects;

pub use arms::Arm;
pub use compare::Compared;
pub use cues::Cues;
pub use curve::{Ahead, Curve, CurvePoint};
pub use domains::OfDomain;
pub use held_out::HeldOut;
pub use keep::{KEPT, Kept};
pub use look::{Look, Twins};
pub use models::Chosen;
pub use places::Places;
pub use predict::{Predictor, Said, predict};
pub use probe::{METHODS, Probe};
pub use request::{REQUEST, REQUEST_VARIABLE, Request};
pub use suspects::Suspect;

use crate::datasets::{ImageSet, open_unlabelled};
use crate::error::Result;
use crate::manifest::DatasetRecord;
use crate::project::Project;
use std::path::{Path, PathBuf};

/// The data set that is shown where nobody asked for another.
const SHOWN: &str = "icons";

/// Models that are shown then.
const SHOWN_MODELS: usize = 3;

/// A reader's images and what was asked for.
#[derive(Debug, Clone)]
pub struct Own {
    pub(crate) project: Project,
    /// How the images are read.
    pub record: DatasetRecord,
    /// The images with a label.
    pub set: ImageSet,
    /// Those without.
    pub unlabelled: Option<ImageSet>,
    /// What was asked for.
    pub request: Request,
    /// Where the classifier goes; `None` where a data set of the project is shown.
    pub folder: Option<PathBuf>,
}

impl Own {
    /// The images that [`REQUEST_VARIABLE`] names; without it a data set of the project, for show, under the models that the suite
    /// computes anyway.
    ///
    /// # Errors
    /// A request that cannot be read, images that cannot be opened.
    pub fn find() -> Result<Own> {
        let project = Project::find()?;
        match std::env::var_os(REQUEST_VARIABLE).filter(|path| !path.is_empty()) {
            Some(path) => Own::open(project, Path::new(&path)),
            None => {
                let record = project.manifests.dataset(SHOWN)?.clone();
                let set = project.images(SHOWN)?;
                let suite = project.suite()?;
                let models = if suite.recomputed.is_empty() { &suite.models } else { &suite.recomputed };
                let models = models.iter().take(SHOWN_MODELS).cloned().collect();
                let request = Request { models, ..Request::default() };
                Ok(Own { project, record, set, unlabelled: None, request, folder: None })
            }
        }
    }

    /// The images of the request at `path`.
    ///
    /// # Errors
    /// As [`Own::find`].
    pub fn open(mut project: Project, path: &Path) -> Result<Own> {
        let request = Request::read(path)?;
        let folder = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        let id = project.manifests.add_file(&folder.join(&request.manifest))?;
        let record = project.manifests.dataset(&id)?.clone();
        let set = project.images(&id)?;
        let unlabelled = open_unlabelled(project.root(), &record)?;
        Ok(Own { project, record, set, unlabelled, request, folder: Some(folder) })
    }

    /// The project, for what a notebook draws with it.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Images of a published test, by row of the set: they take no part in any choice.
    pub(crate) fn tested(&self) -> Vec<usize> {
        self.set.published_test()
    }
}
