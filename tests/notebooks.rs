//! The structure that every notebook has, so that a reader finds the same things in the same places.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use wider_clip::display::SpriteSheet;
use wider_clip::workbench::notebooks::numbered_notebooks;

struct Cell {
    code: bool,
    source: String,
    outputs: Vec<Value>,
}

fn text(value: &Value) -> String {
    match value {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().unwrap_or_default().to_string(),
    }
}

fn notebooks() -> Vec<(PathBuf, Vec<Cell>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks");
    let found = numbered_notebooks(&folder).unwrap();
    assert!(!found.is_empty(), "no notebooks in {}", folder.display());
    found.into_iter().map(|path| (path.clone(), cells(&path))).collect()
}

fn cells(path: &Path) -> Vec<Cell> {
    let notebook: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(notebook["metadata"]["kernelspec"]["name"], "wider-clip", "{}", path.display());
    let cell = |cell: &Value| Cell {
        code: cell["cell_type"] == "code",
        source: text(&cell["source"]),
        outputs: cell["outputs"].as_array().cloned().unwrap_or_default(),
    };
    notebook["cells"].as_array().unwrap().iter().map(cell).collect()
}

/// The second-level headings, in order.
fn sections(cells: &[Cell]) -> Vec<String> {
    let prose = cells.iter().filter(|cell| !cell.code).flat_map(|cell| cell.source.lines());
    prose.filter_map(|line| line.strip_prefix("## ")).map(|line| line.trim().to_string()).collect()
}

#[test]
fn a_notebook_opens_with_its_question_and_answer() {
    for (path, cells) in notebooks() {
        let first = &cells[0];
        assert!(!first.code && first.source.starts_with("# "), "{}: the first cell is the title", path.display());
        assert!(first.source.contains("**Question.**"), "{}: the question comes first", path.display());
        assert!(first.source.contains("**Answer"), "{}: the answer follows", path.display());
        // Goals, prerequisites and minutes; the notebook for a reader's own images asks for none.
        let opens = cells.iter().take(3).any(|cell| !cell.code && cell.source.contains("**Before you start.**"));
        let own = path.file_stem().is_some_and(|stem| stem.to_string_lossy().starts_with("10_"));
        assert!(own || opens, "{}: what to know before, and how long it takes", path.display());
        let titles = cells.iter().filter(|cell| !cell.code).flat_map(|cell| cell.source.lines());
        assert_eq!(titles.filter(|line| line.starts_with("# ")).count(), 1, "{}: one title", path.display());
    }
}

#[test]
fn the_setup_cell_is_the_same_everywhere() {
    for (path, cells) in notebooks() {
        let setup = cells.iter().find(|cell| cell.code).unwrap();
        let expected = ":dep wider-clip = { path = \"..\" }\nuse wider_clip::prelude::*;";
        assert_eq!(setup.source.trim(), expected, "{}", path.display());
        let dependencies = cells.iter().filter(|cell| cell.code).flat_map(|cell| cell.source.lines());
        assert_eq!(dependencies.filter(|line| line.starts_with(":dep")).count(), 1, "{}", path.display());
    }
}

#[test]
fn prose_stands_before_every_code_cell() {
    for (path, cells) in notebooks() {
        for pair in cells.windows(2) {
            assert!(!(pair[0].code && pair[1].code), "{}: no prose before\n{}", path.display(), pair[1].source);
        }
    }
}

#[test]
fn code_cells_are_short() {
    for (path, cells) in notebooks() {
        let mut lengths: Vec<usize> =
            cells.iter().filter(|cell| cell.code).map(|cell| cell.source.trim().lines().count()).collect();
        lengths.sort();
        assert!(lengths[lengths.len() / 2] <= 10, "{}: median of code cells {lengths:?}", path.display());
        assert!(lengths[lengths.len() - 1] <= 25, "{}: longest of code cells {lengths:?}", path.display());
        let wide = cells.iter().filter(|cell| cell.code).flat_map(|cell| cell.source.lines());
        for line in wide {
            assert!(line.chars().count() <= 120, "{}: {line}", path.display());
        }
    }
}

#[test]
fn a_notebook_ends_with_checks_limits_exercises_and_references() {
    for (path, cells) in notebooks() {
        let sections = sections(&cells);
        let places: Vec<Option<usize>> = ["Set-up", "Checks", "Limits", "Exercises", "References"]
            .iter()
            .map(|wanted| sections.iter().position(|section| section == wanted))
            .collect();
        assert!(places.iter().all(Option::is_some), "{}: sections {sections:?}", path.display());
        assert!(places.is_sorted(), "{}: order of sections {sections:?}", path.display());
        assert_eq!(sections.last().map(String::as_str), Some("References"), "{}", path.display());
        let asserts = cells.iter().any(|cell| cell.code && cell.source.contains("assert"));
        assert!(asserts, "{}: checks assert", path.display());
    }
}

/// The board leads there.
#[test]
fn what_the_study_measured_has_its_results() {
    let leads_to = ["01_representations", "02_fine_tuning", "03_drift", "04_clustering"];
    let found = notebooks().into_iter().filter(|(_, cells)| sections(cells).iter().any(|section| section == "Results"));
    let found: Vec<String> = found.map(|(path, _)| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert!(leads_to.iter().all(|name| found.iter().any(|other| other == name)), "{found:?}");
}

#[test]
fn nothing_of_a_machine_is_in_a_notebook() {
    let home = ["/home/", concat!("/", "root/"), "/Users/", "/tmp/", "C:\\"];
    for (path, cells) in notebooks() {
        for cell in &cells {
            let outputs = serde_json::to_string(&cell.outputs).unwrap();
            for place in home {
                assert!(!cell.source.contains(place), "{}: {place} in\n{}", path.display(), cell.source);
                assert!(!outputs.contains(place), "{}: {place} in the output of\n{}", path.display(), cell.source);
            }
        }
    }
}

#[test]
fn stored_outputs_are_whole_and_small() {
    for (path, cells) in notebooks() {
        let size = std::fs::metadata(&path).unwrap().len();
        assert!(size <= 1_000_000, "{}: {size} bytes", path.display());
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for cell in &cells {
            for output in &cell.outputs {
                assert_ne!(output["output_type"], "error", "{}: a stored error in\n{}", path.display(), cell.source);
                assert_ne!(output["name"], "stderr", "{}: standard error in\n{}", path.display(), cell.source);
                let data = &output["data"];
                let has = |kind: &str| !data[kind].is_null();
                if has("application/vnd.plotly.v1+json") {
                    let drawn = has("image/svg+xml") || has("image/png");
                    assert!(drawn, "{}: a chart without a static picture in\n{}", path.display(), cell.source);
                }
                assert!(!has(SpriteSheet::MIME), "{}: a sprite sheet in\n{}", path.display(), cell.source);
                // VS Code shows all pictures in one document, in which a name means one thing, and takes a list for lines of text.
                let picture = text(&data["image/svg+xml"]);
                for name in picture.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                    if let Some(other) = names.insert(name.into(), picture.clone()) {
                        assert!(other == picture, "{}: `{name}` in two pictures", path.display());
                    }
                }
                for (kind, shown) in data.as_object().into_iter().flatten() {
                    let is_list = kind.ends_with("+json") && shown.is_array();
                    assert!(!is_list, "{}: {kind} as a list in\n{}", path.display(), cell.source);
                }
                // A table or chart that the kernel did not know how to show is printed as Rust prints a value.
                let plain = text(&data["text/plain"]);
                let printed =
                    ["Table {", "Tables {", "Chart {", "Gallery {", "SpriteSheet {", "MapChart {", "Ok(", "Err("];
                let is_printed = printed.iter().any(|start| plain.starts_with(start));
                assert!(!is_printed, "{}: a value as Rust prints it, after\n{}", path.display(), cell.source);
                if data.is_object() {
                    assert!(has("text/plain"), "{}: an output without text in\n{}", path.display(), cell.source);
                }
            }
        }
    }
}
