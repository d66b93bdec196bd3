//! The first notebook of the project as a run of the suite `default`, for tests that ask for its key.

use std::path::{Path, PathBuf};
use wider_clip::workbench::Workbench;
use wider_clip::workbench::notebooks::Run;

pub fn first_page() -> (Workbench, Run) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = Run {
        source: root.join("notebooks/00_start_here.ipynb"),
        executed: PathBuf::new(),
        folder: root.join("notebooks"),
        suite: "default".into(),
        fresh: false,
        images: None,
        position: None,
    };
    (Workbench::new(root, env!("CARGO_BIN_EXE_wider-clip")).expect("a project"), run)
}
