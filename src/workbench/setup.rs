//! Set-up, once: a Python environment with pinned Jupyter parts, the Rust kernel, and its registration.
//!
//! Every step leaves a stamp and is skipped while its stamp holds; a lock keeps two set-ups apart. The environment and the
//! kernel are made at the same time. All of it goes to `.wider-clip/` in the project's folder but the sources of the standard
//! library, which rustup adds to its toolchain, and what pip and cargo keep in their caches.

use super::process::{self, Board, Counted, Step, failed};
use super::{KERNEL_NAME, Workbench};
use crate::error::{Error, Result};
use crate::storage::{FolderLock, sha256_hex, write_atomic};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The pinned Python packages, each with the hashes of its files.
const REQUIREMENTS: &str = include_str!("requirements.txt");
/// What only exported slides need; no notebook is run or drawn with it.
const SLIDES: &str = include_str!("requirements-slides.txt");

/// What many machines need beside them, installed after them: one package of theirs takes the place of another version.
const WORKFLOW: &str = include_str!("../../data_manifests/workflow/requirements.txt");

/// The version of evcxr_jupyter; [`super::kernel`] knows the inside of exactly this one.
const KERNEL_VERSION: &str = "0.22.0";

/// About how many crates its build compiles, for the progress lines.
const KERNEL_CRATES: usize = 273;

/// The kernel is compiled for a short build: rust-analyzer's parts that infer types as well as they need, what nobody
/// calls or waits for not at all. It takes 420 s of processor time so. Side by side with all of it at level 3, a kernel's
/// first inference took 8.0 s for 6.2, its set-up cell 7.9 for 6.5, a later cell as long; with those parts at level 1 all
/// of them, 12 s and 11.
const KERNEL_PROFILE: [&str; 4] = ["opt-level=0", "debug=0", "codegen-units=16", "incremental=false"];
const KERNEL_LEVELS: [(&str, &[&str]); 2] = [
    ("1", &["ra_ap_hir", "ra_ap_hir_ty"]),
    (
        "2",
        &[
            "boxcar",
            "cargo_metadata",
            "countme",
            "dashmap",
            "drop_bomb",
            "hashbrown",
            "indexmap",
            "la-arena",
            "memchr",
            "parking_lot",
            "ra-ap-rustc_lexer",
            "ra-ap-rustc_next_trait_solver",
            "ra-ap-rustc_type_ir",
            "ra_ap_base_db",
            "ra_ap_cfg",
            "ra_ap_hir_def",
            "ra_ap_hir_expand",
            "ra_ap_intern",
            "ra_ap_mbe",
            "ra_ap_parser",
            "ra_ap_span",
            "ra_ap_stdx",
            "ra_ap_syntax",
            "ra_ap_syntax-bridge",
            "ra_ap_tt",
            "ra_ap_vfs",
            "rowan",
            "rustc-hash",
            "salsa",
            "serde",
            "serde_json",
            "smallvec",
            "smol_str",
            "text-size",
            "thin-vec",
            "triomphe",
        ],
    ),
];

/// JupyterLab asks whether it may fetch news; here it neither asks nor fetches.
const LAB_SETTINGS: &str = r#"{ "@jupyterlab/apputils-extension:notification":
  { "fetchNews": "false", "checkForUpdates": false },
  "@jupyterlab/docmanager-extension:plugin": { "defaultViewers": { "markdown": "Markdown Preview" } } }
"#;
/// What stands on the kernel's tile in JupyterLab's launcher.
const TILE: &str = include_str!("template/tile.svg");

const STEPS: usize = 4;

/// How long the parts of a set-up took; `None` for what was there already.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SetupTimes {
    /// The Python environment.
    pub python: Option<Duration>,
    /// The notebook kernel.
    pub kernel: Option<Duration>,
}

/// Makes whatever of the set-up is missing and prints what it does; says nothing where all is there.
///
/// # Errors
/// [`Error::Program`] with the package to install where Python, its venv module, cargo or a compiler is missing, or
/// with the end of the output of an installer that failed; [`Error::Io`] where the folder cannot be written.
pub fn ensure(workbench: &Workbench) -> Result<SetupTimes> {
    let _lock = begin(workbench)?;
    let board = Board::new();
    let (python, kernel) = std::thread::scope(|scope| {
        let python = scope.spawn(|| python_environment(workbench, &board));
        let kernel = standard_library_source(workbench, &board).and_then(|()| notebook_kernel(workbench, &board));
        (python.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), kernel)
    });
    let times = match (python, kernel) {
        (Ok(python), Ok(kernel)) => SetupTimes { python, kernel },
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => return Err(error),
        (Err(first), Err(second)) => {
            crate::say!("{}", first.chain());
            return Err(second);
        }
    };
    register(workbench)?;
    Ok(times)
}

/// The Python environment alone, which is all that pages and pictures need.
///
/// # Errors
/// As [`ensure`].
pub fn ensure_python(workbench: &Workbench) -> Result<()> {
    let _lock = begin(workbench)?;
    python_environment(workbench, &Board::new()).map(drop)
}

/// Snakemake and its Slurm plugin, into the same Python environment.
///
/// # Errors
/// As [`ensure_python`]; [`Error::Program`] where its Python is older than 3.11.
pub fn ensure_workflow(workbench: &Workbench) -> Result<()> {
    ensure_python(workbench)?;
    let _lock = begin(workbench)?;
    let stamp = workbench.folder().join("venv").join("wider-clip-workflow.stamp");
    let hash = sha256_hex(WORKFLOW.as_bytes());
    if holds(&stamp, &hash) {
        return Ok(());
    }
    let new_enough = "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 3)";
    let status = process::run("python", Command::new(workbench.python()).args(["-c", new_enough]), "")?;
    if !status.success() {
        let advice = "Remove .wider-clip/venv, name a newer one by PYTHON=python3.11 and run the command again";
        return Err(failed(
            "python",
            "Snakemake needs Python 3.11 or later, and the project's environment has an older one",
            advice,
        ));
    }
    let board = Board::new();
    let step = board.begin(1, 1, "Snakemake with its Slurm plugin", "once, about a minute");
    install(workbench, &step, "requirements-workflow.txt", WORKFLOW)?;
    write_atomic(&stamp, hash.as_bytes())?;
    step.end("done");
    Ok(())
}

/// Takes the lock and makes the folders.
fn begin(workbench: &Workbench) -> Result<FolderLock> {
    let state = workbench.state();
    let lock = FolderLock::acquire(&state, || crate::say!("another process is setting up; waiting for it"))?;
    for (_, path) in workbench.jupyter_environment().iter().filter(|(_, path)| path.starts_with(&state)) {
        std::fs::create_dir_all(path).map_err(Error::io(path, "creating the folder"))?;
    }
    Ok(lock)
}

/// The hash of the pinned packages, which decides how a notebook is run and drawn.
pub fn requirements_hash() -> String {
    sha256_hex(REQUIREMENTS.as_bytes())
}

/// The compiled kernel.
pub fn kernel_program(workbench: &Workbench) -> PathBuf {
    workbench.folder().join("evcxr").join("bin").join("evcxr_jupyter")
}

fn python_environment(workbench: &Workbench, board: &Board) -> Result<Option<Duration>> {
    let venv = workbench.folder().join("venv");
    let stamp = venv.join("wider-clip.stamp");
    let hash = sha256_hex(format!("{REQUIREMENTS}{SLIDES}").as_bytes());
    if holds(&stamp, &hash) && has_packages(&workbench.python()) {
        return Ok(None);
    }
    let step = board.begin(1, STEPS, "Python environment with pinned Jupyter packages", "once, about a minute");
    let python = find_python()?;
    let advice = "Install Python 3.9 or later with venv: `apt install python3-venv` (Debian, Ubuntu), \
                  `dnf install python3` (Fedora), `brew install python` (macOS)";
    process::output("python3 -m venv", Command::new(python).args(["-m", "venv", "--clear"]).arg(&venv), advice)?;
    install(workbench, &step, "requirements.txt", REQUIREMENTS)?;
    install(workbench, &step, "requirements-slides.txt", SLIDES)?;
    write_atomic(&stamp, hash.as_bytes())?;
    Ok(Some(step.end("done")))
}

/// Whether a virtual environment's Python starts and finds the packages there: the system's, to which it leads, may have become the
/// next version, whose packages lie elsewhere.
pub fn has_packages(python: &Path) -> bool {
    const FINDS_PIP: &str =
        "import os, sys, sysconfig; sys.exit(not os.path.isdir(os.path.join(sysconfig.get_path('purelib'), 'pip')))";
    Command::new(python).args(["-I", "-c", FINDS_PIP]).output().is_ok_and(|output| output.status.success())
}

/// Installs pinned packages by a list, which is left in the folder under `name`.
fn install(workbench: &Workbench, step: &Step, name: &str, requirements: &str) -> Result<()> {
    let list = workbench.folder().join(name);
    write_atomic(&list, requirements.as_bytes())?;
    let mut pip = Command::new(workbench.python());
    // A list is whole: what a package of it needs is in it, or left out on purpose.
    pip.args([
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--no-deps",
        "--require-hashes",
        "-r",
    ])
    .arg(&list);
    step.run_counted(
        &mut pip,
        &Counted {
            program: "pip install",
            advice: "The network or the package index may be out of reach; run the command again when it is back",
            counts: |line| line.starts_with("Collecting "),
            total: requirements.lines().filter(|line| line.contains("==") && !line.contains("win32")).count(),
            unit: "packages",
        },
    )
}

/// A Python with a usable venv module. `PYTHON` in the environment names one.
fn find_python() -> Result<PathBuf> {
    let named = std::env::var_os("PYTHON").map(PathBuf::from);
    let known =
        ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python3.9", "python"];
    let probe = "import sys, venv, ensurepip; sys.exit(0 if sys.version_info >= (3, 9) else 3)";
    let mut seen = Vec::new();
    for python in named.into_iter().chain(known.map(PathBuf::from)) {
        match Command::new(&python).args(["-c", probe]).output() {
            Ok(output) if output.status.success() => return Ok(python),
            Ok(output) if output.status.code() == Some(3) => seen.push(format!("{} is too old", python.display())),
            Ok(_) => seen.push(format!("{} lacks venv or ensurepip", python.display())),
            Err(_) => {}
        }
    }
    let reason = if seen.is_empty() { "not found".to_string() } else { seen.join(", ") };
    let advice = "Install Python 3.9 or later with its venv module: `apt install python3-venv` (Debian, Ubuntu), \
                  `dnf install python3` (Fedora), `brew install python` (macOS)";
    Err(failed("python3", reason, advice))
}

/// The kernel infers the types of variables from the sources of the standard library, a rustup component.
fn standard_library_source(workbench: &Workbench, board: &Board) -> Result<()> {
    let sysroot = super::kernel::Toolchain::find(workbench)?.sysroot;
    if sysroot.join("lib/rustlib/src/rust/library/core").exists() || std::env::var_os("RUST_SRC_PATH").is_some() {
        return Ok(());
    }
    let step = board.begin(2, STEPS, "sources of the Rust standard library (rust-src)", "once, seconds");
    let mut rustup = Command::new("rustup");
    rustup.args(["component", "add", "rust-src"]).current_dir(workbench.root());
    match process::output("rustup component add rust-src", &mut rustup, "") {
        Ok(_) => step.end("done"),
        Err(_) => step.end("not to be had; variables of standard types then need a type annotation in new cells"),
    };
    Ok(())
}

fn notebook_kernel(workbench: &Workbench, board: &Board) -> Result<Option<Duration>> {
    let install = workbench.folder().join("evcxr");
    let stamp = install.join("wider-clip.stamp");
    let settings: Vec<String> = kernel_settings().collect();
    let stamped = format!("{KERNEL_VERSION}\n{}\n", settings.join("\n"));
    if holds(&stamp, &stamped) && kernel_program(workbench).exists() {
        return Ok(None);
    }
    let title = format!("compiling the notebook kernel evcxr_jupyter {KERNEL_VERSION}");
    let step = board.begin(3, STEPS, &title, "once, 3 to 6 minutes on two cores");
    let toolchain = super::kernel::Toolchain::find(workbench)?;
    let build = workbench.folder().join("evcxr-build");
    let mut cargo = Command::new(&toolchain.cargo);
    // The kernel is a program of its own: none of the project's flags, and a target folder that goes away again.
    cargo
        .args(["install", "evcxr_jupyter", "--version", &format!("={KERNEL_VERSION}"), "--locked", "--force"])
        .args(["--target", &toolchain.target, "--root"])
        .arg(&install)
        .args(settings.iter().flat_map(|setting| ["--config", setting.as_str()]))
        .current_dir(workbench.folder())
        .env("RUSTC", &toolchain.rustc)
        .env("RUSTFLAGS", "")
        .env("CARGO_TARGET_DIR", &build)
        .env("CARGO_BUILD_BUILD_DIR", &build)
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TERM_PROGRESS_WHEN", "never");
    step.run_counted(
        &mut cargo,
        &Counted {
            program: "cargo install evcxr_jupyter",
            advice: "It needs the network once and a C compiler: `apt install build-essential` (Debian, Ubuntu), \
                 `dnf install gcc` (Fedora), `xcode-select --install` (macOS)",
            counts: |line| line.trim_start().starts_with("Compiling "),
            total: KERNEL_CRATES,
            unit: "crates",
        },
    )?;
    std::fs::remove_dir_all(&build).map_err(Error::io(&build, "removing the finished build"))?;
    write_atomic(&stamp, stamped.as_bytes())?;
    Ok(Some(step.end("done")))
}

/// What cargo is told of the kernel's profile.
fn kernel_settings() -> impl Iterator<Item = String> {
    let whole = KERNEL_PROFILE.iter().map(|setting| format!("profile.release.{setting}"));
    let of_level = |(level, crates): (&'static str, &'static [&'static str])| {
        crates.iter().map(move |name| format!("profile.release.package.{name}.opt-level={level}"))
    };
    whole.chain(KERNEL_LEVELS.into_iter().flat_map(of_level))
}

/// Tells Jupyter about the kernel: a kernelspec inside the environment, so that nothing is registered for the user.
fn register(workbench: &Workbench) -> Result<()> {
    let specification = serde_json::json!({
        "argv": [workbench.program(), "kernel", "{connection_file}"],
        "display_name": "Rust (Wider CLIP)",
        "language": "rust",
        "interrupt_mode": "message",
        "env": { super::ROOT_VARIABLE: workbench.root() },
    });
    let lab_settings = workbench.folder().join("venv/share/jupyter/lab/settings/overrides.json");
    if std::fs::read_to_string(&lab_settings).ok().as_deref() != Some(LAB_SETTINGS) {
        write_atomic(&lab_settings, LAB_SETTINGS.as_bytes())?;
    }
    super::export::install(workbench)?;
    let kernel = workbench.folder().join("venv/share/jupyter/kernels").join(KERNEL_NAME);
    let tile = kernel.join("logo-svg.svg");
    if std::fs::read_to_string(&tile).ok().as_deref() != Some(TILE) {
        write_atomic(&tile, TILE.as_bytes())?;
    }
    let path = kernel.join("kernel.json");
    let text = format!("{specification:#}\n");
    if std::fs::read_to_string(&path).ok().as_deref() == Some(&text) {
        return Ok(());
    }
    crate::say!("[4/{STEPS}] registering the kernel \"Rust (Wider CLIP)\" in the project's environment");
    write_atomic(&path, text.as_bytes())
}

fn holds(stamp: &Path, text: &str) -> bool {
    std::fs::read_to_string(stamp).is_ok_and(|found| found == text)
}
