//! The library's own tests are off (Cargo.toml says why): what stands in its sources as a test would never run.

use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_test_hides_where_none_is_run() {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 50, "{} files", found.len());
    for path in found {
        let text = std::fs::read_to_string(&path).unwrap();
        let hidden = text.lines().find(|line| line.trim_start().starts_with("#[test]") || line.contains("cfg(test)"));
        assert!(hidden.is_none(), "{}: tests belong in tests/", path.display());
    }
}
