//! Every variable of the environment that the sources name, and what it decides.

use crate::first_page::first_page;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wider_clip::workbench::notebooks::key;

/// Set where this test runs itself with other variables.
const CHILD: &str = "COMPLETENESS_VARIABLES";
/// Set where only the page's key is asked for.
const PAGE_ALONE: &str = "COMPLETENESS_PAGE";

/// What a variable does.
enum Does {
    /// With this value a page has another key.
    Page(&'static str),
    /// With this value pages have the same key and numbers are the same.
    Nothing(&'static str),
    /// It cannot be changed here, for this reason.
    Told(&'static str),
}
use Does::{Nothing, Page, Told};

const COMPILED: Does = Told("read while the program is compiled");
const TOOLCHAIN: Does = Told("finds programs; the compiler's version and the packages' hash are in the key");
const SCRIPT: Does = Nothing("anything");
const HUB: Does = Nothing("/nowhere");

/// All of them, sorted.
const VARIABLES: &[(&str, Does)] = &[
    ("ALL_PROXY", HUB),
    ("CANDLE_BARRIER_POOL_SPIN_LIMIT", Nothing("1000")),
    ("CARGO", TOOLCHAIN),
    ("CARGO_BUILD_BUILD_DIR", TOOLCHAIN),
    ("CARGO_HOME", TOOLCHAIN),
    ("CARGO_MANIFEST_DIR", COMPILED),
    ("CARGO_PKG_DESCRIPTION", Told("what a bundle is linked with, which no page depends on")),
    ("CARGO_PKG_NAME", Told("what a bundle is linked with, which no page depends on")),
    ("CARGO_PKG_VERSION", COMPILED),
    ("CARGO_TARGET_DIR", TOOLCHAIN),
    ("CARGO_TARGET_TMPDIR", Told("kept from the build of a bundle, which no page depends on")),
    ("CARGO_TERM_COLOR", SCRIPT),
    ("CARGO_TERM_PROGRESS_WHEN", SCRIPT),
    ("CHROMIUM", Nothing("/nowhere")),
    ("DYLD_LIBRARY_PATH", Nothing("/nowhere")),
    ("EVCXR_CONFIG_DIR", Nothing("/nowhere")),
    ("EVCXR_PANIC_NOTIFICATION", Told("a line that the kernel prints")),
    ("EVCXR_TMPDIR", Nothing("/nowhere")),
    ("HF_ENDPOINT", HUB),
    ("HF_HOME", HUB),
    ("HF_HUB_CACHE", HUB),
    ("HF_HUB_DISABLE_IMPLICIT_TOKEN", Nothing("1")),
    ("HF_HUB_DISABLE_SYMLINKS", Nothing("1")),
    ("HF_HUB_DOWNLOAD_TIMEOUT", Nothing("3")),
    ("HF_HUB_ETAG_TIMEOUT", Nothing("3")),
    ("HF_HUB_OFFLINE", Nothing("1")),
    ("HF_TOKEN", Nothing("hf_nobody")),
    ("HF_TOKEN_PATH", HUB),
    ("HOME", Told("a submission of the course gets an empty one")),
    ("HTTPS_PROXY", HUB),
    ("HTTP_PROXY", HUB),
    ("HUGGINGFACE_HUB_CACHE", HUB),
    ("HUGGING_FACE_HUB_TOKEN", Nothing("hf_nobody")),
    ("JPY_PARENT_PID", Told("tells a kernel who starts it")),
    ("JUPYTERLAB_SETTINGS_DIR", Nothing("/nowhere")),
    ("JUPYTERLAB_WORKSPACES_DIR", Nothing("/nowhere")),
    ("JUPYTER_CONFIG_DIR", Nothing("/nowhere")),
    ("JUPYTER_DATA_DIR", Nothing("/nowhere")),
    ("JUPYTER_PATH", Nothing("/nowhere")),
    ("JUPYTER_RUNTIME_DIR", Nothing("/nowhere")),
    ("LD_LIBRARY_PATH", Told("finds libraries")),
    ("MALLOC_ARENA_MAX", Nothing("8")),
    ("NO_PROXY", HUB),
    ("OUT_DIR", COMPILED),
    ("PATH", TOOLCHAIN),
    ("PYTHON", Nothing("/nowhere")),
    ("PYTHONHOME", Nothing("/nowhere")),
    ("PYTHONPATH", Nothing("/nowhere")),
    // No name in the sources, but rayon's own: sums are the same with any number of threads.
    ("RAYON_NUM_THREADS", Nothing("3")),
    ("RUSTC", Nothing("/nowhere")),
    ("RUSTC_WRAPPER", Nothing("/nowhere")),
    ("RUSTFLAGS", Nothing("-g")),
    ("RUSTUP_HOME", TOOLCHAIN),
    ("RUSTUP_TOOLCHAIN", TOOLCHAIN),
    ("RUST_LIB_BACKTRACE", Nothing("0")),
    ("RUST_SRC_PATH", Nothing("/nowhere")),
    ("TRANSFORMERS_OFFLINE", Nothing("1")),
    ("WIDER_CLIP_CACHE", Page("/nowhere")),
    ("WIDER_CLIP_CC", SCRIPT),
    ("WIDER_CLIP_CELL_SECONDS", Nothing("77")),
    ("WIDER_CLIP_COURSE_SEED", Told("inputs of the course's checks, which no page of the report depends on")),
    ("WIDER_CLIP_DEPS", SCRIPT),
    ("WIDER_CLIP_FRESH", Page("1")),
    ("WIDER_CLIP_HOLLOW", SCRIPT),
    ("WIDER_CLIP_HOST_DEPS", SCRIPT),
    ("WIDER_CLIP_IMAGES", Told("a run sets it or takes it away, and has the request in its key")),
    ("WIDER_CLIP_LIB", SCRIPT),
    ("WIDER_CLIP_NOTICE_SECRET", SCRIPT),
    ("WIDER_CLIP_OPEN", Told("what a submission of the course may see; marking sets it")),
    ("WIDER_CLIP_OPENED", Told("where notes of what was opened go; a run sets it")),
    ("WIDER_CLIP_PYTHON", SCRIPT),
    ("WIDER_CLIP_REAL_CARGO", SCRIPT),
    ("WIDER_CLIP_RELAY", SCRIPT),
    ("WIDER_CLIP_RESULTS", Page("/nowhere")),
    ("WIDER_CLIP_ROOT", Nothing("/nowhere")),
    ("WIDER_CLIP_RUSTC", SCRIPT),
    (
        "WIDER_CLIP_STATE",
        Told("where running writes; with it the cache and the results are elsewhere, as by the variables for these"),
    ),
    ("WIDER_CLIP_STATUS", SCRIPT),
    ("WIDER_CLIP_STATUS_RAW", Told("where progress of a cell is shown; a run sets it")),
    ("WIDER_CLIP_SUFFIX", SCRIPT),
    ("WIDER_CLIP_SUITE", Told("a run sets it, and has the suite in its key")),
    ("WIDER_CLIP_TARGET", SCRIPT),
    ("WIDER_CLIP_TRIM", SCRIPT),
    ("XDG_CACHE_HOME", HUB),
];

#[test]
fn every_variable_is_told_of() {
    let mut found = BTreeMap::new();
    names_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let told: BTreeSet<&str> = VARIABLES.iter().map(|(name, _)| *name).collect();
    let missing: Vec<_> = found.iter().filter(|(name, _)| !told.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "not told of: {missing:?}");
    let gone = told.iter().filter(|name| **name != "RAYON_NUM_THREADS" && !found.contains_key(**name));
    assert_eq!(gone.collect::<Vec<_>>(), Vec::<&&str>::new(), "no source names them");
}

/// Names in quotes that look like a variable of the environment, with a file that has them.
fn names_in(folder: &Path, found: &mut BTreeMap<String, PathBuf>) {
    /// Variables without `_`.
    const SHORT: [&str; 8] = ["PATH", "HOME", "PYTHON", "PYTHONPATH", "PYTHONHOME", "CHROMIUM", "RUSTC", "RUSTFLAGS"];
    /// What looks like one and is none: lines that the kernel prints.
    const NONE: [&str; 3] = ["EVCXR_BEGIN_CONTENT", "EVCXR_END_CONTENT", "EVCXR_EXECUTION_COMPLETE"];
    for entry in fs::read_dir(folder).expect("reads") {
        let path = entry.expect("reads").path();
        if path.is_dir() {
            names_in(&path, found);
            continue;
        }
        let is_source = path.extension().is_some_and(|ending| ["rs", "py", "sh"].iter().any(|known| ending == *known));
        let text = if is_source { fs::read_to_string(&path).expect("reads") } else { continue };
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for piece in code.flat_map(|line| line.split('"').skip(1).step_by(2)) {
            let plain = piece.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
            let is_name =
                plain && piece.len() > 4 && piece.contains('_') && !piece.starts_with('_') && !piece.ends_with('_');
            if (is_name || SHORT.contains(&piece) || piece == "CARGO") && !NONE.contains(&piece) {
                found.entry(piece.into()).or_insert_with(|| path.clone());
            }
        }
    }
}

/// Runs this test again with the variables `set` and gives the page's key and the digest of all numbers.
fn with(folder: &Path, set: &[(&str, &str)]) -> (String, String) {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "variables::prints_keys", "--nocapture", "--test-threads", "1"]).env(CHILD, folder);
    for (name, does) in VARIABLES {
        if !matches!(does, Told(_)) {
            command.env_remove(name);
        }
    }
    let output = command.envs(set.iter().copied()).output().expect("starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |head: &str| {
        let line = text.split(['\n', '\r']).find_map(|line| line.split_once(head));
        line.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr))).1.to_string()
    };
    (line("PAGE "), line("NUMBERS "))
}

/// Run by the test below.
#[test]
fn prints_keys() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let (workbench, run) = first_page();
    println!("\nPAGE {}", key(&workbench, &run).expect("a key").digest());
    if std::env::var_os(PAGE_ALONE).is_some() {
        return;
    }
    let of = |document: &str| World::with_document(folder.as_ref(), document).numbers();
    let numbers = [of("folder"), of("tuned")].concat();
    println!("\nNUMBERS {}", wider_clip::storage::sha256_hex(numbers.join("\n").as_bytes()));
}

#[test]
fn every_variable_changes_a_page_or_no_number() {
    let world = World::new();
    let (page, numbers) = with(world.folder(), &[]);
    let harmless: Vec<(&str, &str)> = VARIABLES
        .iter()
        .filter_map(|(name, does)| match does {
            Nothing(value) => Some((*name, *value)),
            Page(_) | Told(_) => None,
        })
        .collect();
    if with(world.folder(), &harmless) != (page.clone(), numbers.clone()) {
        let guilty = harmless.iter().find(|one| with(world.folder(), &[**one]) != (page.clone(), numbers.clone()));
        panic!("{guilty:?} changes a page or a number");
    }
    for (name, does) in VARIABLES {
        match does {
            Page(value) => assert_ne!(with_page(world.folder(), (name, value)), page, "{name}"),
            Told(reason) => assert!(!reason.is_empty()),
            Nothing(_) => {}
        }
    }
}

/// The page's key alone: numbers may fail under such a value.
fn with_page(folder: &Path, set: (&str, &str)) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "variables::prints_keys", "--nocapture", "--test-threads", "1"]).env(CHILD, folder);
    let output = command.env(set.0, set.1).env(PAGE_ALONE, "1").output().expect("starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.split_once("PAGE ")).unwrap_or_else(|| panic!("{text}")).1.to_string()
}
