//! What a test needs and a machine may lack. Where it is lacking the test passes over a part and says so on the real
//! standard error, past the capture of the test harness; where it is demanded, the test fails.
//!
//! `WIDER_CLIP_DEMAND` names what must be there: `all`, or names with commas between them, `-name` takes one out again
//! (`all,-cuda`). [`TOOLS`] has the names.

// Each test file uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::io::Write;
use std::panic::Location;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use wider_clip::models::best_device;
use wider_clip::ops::has_bf16;
use wider_clip::workbench::browser;
use wider_clip::workbench::course::sandbox::Walls;

/// The variable by which everything, or a list, is demanded.
pub const DEMAND: &str = "WIDER_CLIP_DEMAND";

/// Something that may be lacking: its name, what it is, how to come by it, whether it is here.
pub struct Tool {
    pub name: &'static str,
    pub what: &'static str,
    pub advice: &'static str,
    pub is_here: fn() -> bool,
}

/// Everything that a test may ask for.
pub static TOOLS: [Tool; 8] = [
    Tool {
        name: "bf16",
        what: "processor that multiplies bf16",
        advice: "It takes AVX512-BF16: AMD since Zen 4, Intel since Cooper Lake and Sapphire Rapids",
        is_here: has_bf16,
    },
    Tool { name: "browser", what: "browser", advice: browser::ADVICE, is_here: || browser::find().is_some() },
    Tool {
        name: "c++",
        what: "C++ compiler",
        advice: "Install one: `apt install g++` (Debian, Ubuntu), `dnf install gcc-c++` (Fedora), `xcode-select \
                 --install` (macOS); CXX names another",
        is_here: || runs(&cxx()),
    },
    Tool {
        name: "cuda",
        what: "CUDA device",
        advice: "It takes a GPU, its driver and `--features cuda`",
        is_here: || best_device().is_ok_and(|device| device.is_cuda()),
    },
    Tool {
        name: "parity",
        what: "full-size weights with PyTorch's numbers",
        advice: "tests/reference/parity.sh makes them in a folder, and WIDER_CLIP_PARITY names it",
        is_here: || parity_folder().is_some(),
    },
    Tool {
        name: "profile",
        what: "build with the project's own profile and flags",
        advice: "Run `cargo test` without RUSTFLAGS and without --release",
        is_here: has_own_profile,
    },
    Tool {
        name: "sandbox",
        what: "namespaces for users (unshare or bwrap)",
        advice: "Install bubblewrap, or allow user namespaces (`sysctl kernel.unprivileged_userns_clone=1` on some systems)",
        is_here: || Walls::find().is_ok(),
    },
    Tool {
        name: "bits",
        what: "processor and mathematics library of the kept bits",
        advice: "They are of an x86-64 processor with AVX-512; elsewhere means and norms are compared",
        // The test that has the kept bits knows.
        is_here: || false,
    },
];

/// The C++ compiler: `CXX`, or `c++`.
pub fn cxx() -> String {
    std::env::var("CXX").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "c++".into())
}

/// The folder that `tests/reference/parity.sh` fills.
pub fn parity_folder() -> Option<PathBuf> {
    std::env::var_os("WIDER_CLIP_PARITY").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn has_own_profile() -> bool {
    // target/<triple>/debug/deps/<this test>
    let test = std::env::current_exe().unwrap_or_default();
    let folder = test.parent().and_then(|deps| deps.parent());
    folder.is_some_and(|folder| folder.ends_with("debug")) && std::env::var_os("RUSTFLAGS").is_none()
}

fn tool(name: &str) -> &'static Tool {
    let found = TOOLS.iter().find(|tool| tool.name == name);
    found.unwrap_or_else(|| panic!("`{name}`: expected one of {}", names()))
}

fn names() -> String {
    TOOLS.iter().map(|tool| tool.name).collect::<Vec<_>>().join(", ")
}

/// Whether a value of [`DEMAND`] demands `name`; a name that no tool has is an error.
pub fn demands(list: &str, name: &str) -> Result<bool, String> {
    let mut demanded = false;
    for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let (bare, wanted) = word.strip_prefix('-').map_or((word, true), |bare| (bare, false));
        if !(bare == "all" || TOOLS.iter().any(|tool| tool.name == bare)) {
            return Err(format!("{DEMAND}: expected `all` or of {}, found `{word}`", names()));
        }
        if bare == "all" || bare == name {
            demanded = wanted;
        }
    }
    Ok(demanded)
}

/// Whether `name` is here. Where it is not, the skip is told on standard error, once for each place in a test.
///
/// # Panics
/// Where it is demanded and not here.
#[track_caller]
pub fn require(name: &str) -> bool {
    let is_here = (tool(name).is_here)();
    require_that(name, is_here)
}

/// [`require`] for what only the caller can tell.
#[track_caller]
pub fn require_that(name: &str, is_here: bool) -> bool {
    let tool = tool(name);
    let demanded = demands(&std::env::var(DEMAND).unwrap_or_default(), name).unwrap_or_else(|error| panic!("{error}"));
    if is_here {
        return true;
    }
    assert!(!demanded, "no {}, which {DEMAND} demands. {}", tool.what, tool.advice);
    told(tool, Location::caller());
    false
}

fn told(tool: &Tool, place: &Location) {
    static TOLD: Mutex<BTreeSet<(String, &str, u32)>> = Mutex::new(BTreeSet::new());
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test").to_string();
    let mut told = TOLD.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if !told.insert((test.clone(), tool.name, place.line())) {
        return;
    }
    let Tool { name, what, advice, .. } = tool;
    let line = format!("\nskipped a part of {test} ({}): no {what}. {advice}. {DEMAND}={name} demands it.\n", place);
    // Not `eprintln!`, which the harness captures. A closed standard error is no failure of the test.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
