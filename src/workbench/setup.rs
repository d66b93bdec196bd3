//! Set-up, once: a Python environment with pinned Jupyter parts, the Rust kernel, and its registration.
//!
//! Every step leaves a stamp and is skipped while its stamp holds; a lock keeps two set-ups apart. All of it goes to
//! `.wider-clip/` in the project's folder.

use super::process::{self, Counted, Step, failed};
use super::{KERNEL_NAME, Workbench};
use crate::error::{Error, Result};
use crate::storage::{FolderLock, sha256_hex, write_atomic};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The pinned Python packages.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// The version of evcxr_jupyter; [`super::kernel`] knows the inside of exactly this one.
const KERNEL_VERSION: &str = "0.22.0";

/// About how many crates its build compiles, for the progress lines.
const KERNEL_CRATES: usize = 273;

/// JupyterLab asks whether it may fetch news; here it neither asks nor fetches.
const LAB_SETTINGS: &str = r#"{ "@jupyterlab/apputils-extension:notification":
  { "fetchNews": "false", "checkForUpdates": false } }
"#;

const STEPS: usize = 4;

/// Makes whatever of the set-up is missing and prints what it does; says nothing where all is there.
///
/// # Errors
/// [`Error::Program`] with the package to install where Python, its venv module, cargo or a compiler is missing, or
/// with the end of the output of an installer that failed; [`Error::Io`] where the folder cannot be written.
pub fn ensure(workbench: &Workbench) -> Result<()> {
    let folder = workbench.folder();
    let _lock = FolderLock::acquire(&folder, || println!("another process is setting up; waiting for it"))?;
    for (_, path) in workbench.jupyter_environment().iter().filter(|(_, path)| path.starts_with(&folder)) {
        std::fs::create_dir_all(path).map_err(Error::io(path, "creating the folder"))?;
    }
    python_environment(workbench)?;
    standard_library_source(workbench)?;
    notebook_kernel(workbench)?;
    register(workbench)
}

/// The hash of the pinned packages, which decides how a notebook is run and drawn.
pub fn requirements_hash() -> String {
    sha256_hex(REQUIREMENTS.as_bytes())
}

/// The compiled kernel.
pub fn kernel_program(workbench: &Workbench) -> PathBuf {
    workbench.folder().join("evcxr").join("bin").join("evcxr_jupyter")
}

fn python_environment(workbench: &Workbench) -> Result<()> {
    let venv = workbench.folder().join("venv");
    let stamp = venv.join("wider-clip.stamp");
    if holds(&stamp, &requirements_hash()) && workbench.python().exists() {
        return Ok(());
    }
    let step = Step::begin(1, STEPS, "Python environment with pinned Jupyter packages", "once, about a minute");
    let python = find_python()?;
    let advice = "Install Python 3.9 or later with venv: `apt install python3-venv` (Debian, Ubuntu), \
                  `dnf install python3` (Fedora), `brew install python` (macOS)";
    process::output("python3 -m venv", Command::new(python).args(["-m", "venv", "--clear"]).arg(&venv), advice)?;
    let list = workbench.folder().join("requirements.txt");
    write_atomic(&list, REQUIREMENTS.as_bytes())?;
    let mut pip = Command::new(workbench.python());
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-r"]).arg(&list);
    step.run_counted(
        &mut pip,
        &Counted {
            program: "pip install",
            advice: "The network or the package index may be out of reach; run the command again when it is back",
            counts: |line| line.starts_with("Collecting "),
            total: REQUIREMENTS.lines().filter(|line| line.contains("==") && !line.contains("win32")).count(),
            unit: "packages",
        },
    )?;
    write_atomic(&stamp, requirements_hash().as_bytes())?;
    step.tell("done");
    Ok(())
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
fn standard_library_source(workbench: &Workbench) -> Result<()> {
    let sysroot = super::kernel::Toolchain::find(workbench)?.sysroot;
    if sysroot.join("lib/rustlib/src/rust/library/core").exists() || std::env::var_os("RUST_SRC_PATH").is_some() {
        return Ok(());
    }
    let step = Step::begin(2, STEPS, "sources of the Rust standard library (rust-src)", "once, seconds");
    let mut rustup = Command::new("rustup");
    rustup.args(["component", "add", "rust-src"]).current_dir(workbench.root());
    match process::output("rustup component add rust-src", &mut rustup, "") {
        Ok(_) => step.tell("done"),
        Err(_) => step.tell("not to be had; variables of standard types then need a type annotation in new cells"),
    }
    Ok(())
}

fn notebook_kernel(workbench: &Workbench) -> Result<()> {
    let install = workbench.folder().join("evcxr");
    let stamp = install.join("wider-clip.stamp");
    if holds(&stamp, KERNEL_VERSION) && kernel_program(workbench).exists() {
        return Ok(());
    }
    let title = format!("compiling the notebook kernel evcxr_jupyter {KERNEL_VERSION}");
    let step = Step::begin(3, STEPS, &title, "once, 6 to 12 minutes on two cores");
    let toolchain = super::kernel::Toolchain::find(workbench)?;
    let build = workbench.folder().join("evcxr-build");
    let mut cargo = Command::new(&toolchain.cargo);
    // The kernel is a program of its own: none of the project's flags, and a target folder that goes away again.
    cargo
        .args(["install", "evcxr_jupyter", "--version", &format!("={KERNEL_VERSION}"), "--locked", "--force"])
        .args(["--target", &toolchain.target, "--root"])
        .arg(&install)
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
    write_atomic(&stamp, KERNEL_VERSION.as_bytes())?;
    step.tell("done");
    Ok(())
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
    let path = workbench.folder().join("venv/share/jupyter/kernels").join(KERNEL_NAME).join("kernel.json");
    let text = format!("{specification:#}\n");
    if std::fs::read_to_string(&path).ok().as_deref() == Some(&text) {
        return Ok(());
    }
    println!("[4/{STEPS}] registering the kernel \"Rust (Wider CLIP)\" in the project's environment");
    write_atomic(&path, text.as_bytes())
}

fn holds(stamp: &Path, text: &str) -> bool {
    std::fs::read_to_string(stamp).is_ok_and(|found| found == text)
}
