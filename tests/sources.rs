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

#[test]
fn the_kernel_infers_types_of_every_crate_that_notebooks_see() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = std::fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let script = std::fs::read_to_string(root.join("src/workbench/crates_for_types.py")).unwrap();
    let line = script.lines().find(|line| line.starts_with("FAMILIES = ")).unwrap();
    let exported = library.lines().filter_map(|line| line.strip_prefix("pub use ")?.strip_suffix(';'));
    let exported: Vec<&str> = exported.filter(|name| !name.contains("::")).collect();
    assert!(exported.len() >= 9, "{exported:?}");
    for name in exported {
        let family = name.split('_').next().unwrap();
        assert!(line.contains(&format!("\"{family}\"")), "{name}: `{family}` is missing in {line}");
    }
}
