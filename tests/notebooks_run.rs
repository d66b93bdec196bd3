//! The committed notebooks, run for real on a small budget, and the report that comes of it.

#[path = "support/require.rs"]
mod require;

use wider_clip::results::{read_rows, write_rows};
use wider_clip::workbench::Workbench;
use wider_clip::workbench::report::{Options, make, write_pages};

#[test]
fn every_notebook_runs_and_becomes_a_page() {
    let workbench = Workbench::new(env!("CARGO_MANIFEST_DIR"), env!("CARGO_BIN_EXE_wider-clip")).expect("a project");
    let folder = tempfile::tempdir().expect("a folder");
    // SAFETY: the only test of this file; no other thread reads the environment.
    unsafe { std::env::set_var("WIDER_CLIP_RESULTS", folder.path().join("results")) };
    let out = folder.path().join("report");
    let in_browser = require::require("browser");
    let options = Options {
        suite: "smoke".into(),
        only: None,
        out: Some(out.clone()),
        save: false,
        offline_check: in_browser,
        fresh: false,
    };
    let index = make(&workbench, &options).expect("runs");
    assert!(index.is_file());
    for name in ["00_start_here", "01_representations"] {
        let page = std::fs::read_to_string(out.join(format!("{name}.html"))).expect("a page");
        assert!(page.contains("Answer in one line") && page.contains("data:image/png;base64,"), "{name}");
    }
    let page = std::fs::read_to_string(out.join("01_representations.html")).expect("a page");
    assert!(page.contains("EfficientNet-Lite0, ImageNet") && page.contains("application/json"));
    let current = folder.path().join("results").join("current").join("smoke");
    assert!(current.join("representations.parquet").is_file());
    // Rows of a subset are none that came with the project.
    let index = std::fs::read_to_string(index).expect("a page");
    assert!(index.contains("rows were computed on this machine."), "where the rows come from");

    // Had they come with the project too, and one of them been another number, the first page would name it.
    let mut came = read_rows(&current.join("clustering.parquet")).expect("rows");
    let n = came.len();
    came[0].value = came[0].value.map(|value| value + 0.25);
    write_rows(&current.join("clustering.shipped.parquet"), &came).expect("writes");
    write_pages(&workbench, "smoke", &out).expect("pages");
    let index = std::fs::read_to_string(out.join("index.html")).expect("a page");
    assert!(index.contains(&format!("{n} of these came with the project too: 1 do not agree")), "the count");
    let named = format!("{} on {}, {}", came[0].cell.model, came[0].cell.dataset, came[0].split);
    assert!(index.contains(&named), "{named}");
}
