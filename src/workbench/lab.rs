//! JupyterLab on the project's notebooks, with the project's kernel and settings of its own.
//!
//! Points of a map have plotly's labels there; the image under the pointer is the report's alone, whose pages know
//! what to do with a sprite sheet.

use super::{SUITE_VARIABLE, Workbench, process, setup};
use crate::error::{Error, Result};
use std::path::Path;
use std::process::Command;

/// Runs JupyterLab until it is stopped (Ctrl-C, or its own menu) on the project's notebooks, which it opens with a page that leads
/// through them, or on another folder. `arguments` are passed on.
///
/// # Errors
/// Those of [`setup::ensure`]; [`Error::Data`] where the folder is none; [`Error::Program`] where JupyterLab ends with an error.
pub fn serve(workbench: &Workbench, suite: &str, folder: Option<&Path>, arguments: &[String]) -> Result<()> {
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(Error::data(
            folder,
            "a folder to open",
            if folder.exists() { "something else" } else { "nothing" },
        ));
    }
    setup::ensure(workbench)?;
    crate::say!(
        "JupyterLab opens in the browser; stop it here with Ctrl-C. The first cell of a notebook takes a moment."
    );
    let mut command = Command::new(workbench.python());
    command
        .args(["-m", "jupyterlab", "--ServerApp.root_dir=."])
        // The kernel's first answer waits for type inference to load the crate graph.
        .arg("--MappingKernelManager.kernel_info_timeout=600")
        .args(["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None"])
        .args(folder.is_none().then_some("--LabApp.default_url=/lab/tree/START.md"))
        .args(arguments)
        .current_dir(folder.map_or_else(|| workbench.notebooks(), Path::to_path_buf))
        .envs(workbench.jupyter_environment())
        .env(SUITE_VARIABLE, suite);
    // Ctrl-C reaches JupyterLab and this program alike; this one must outlive the other.
    let status = ignoring_interrupts(|| process::run("jupyterlab", &mut command, "Run `cargo run -- setup`"))?;
    match status.code() {
        Some(0 | 130) | None => Ok(()),
        Some(code) => {
            Err(process::failed("jupyterlab", format!("ended with status {code}"), "The lines above say why"))
        }
    }
}

/// Runs `body` while an interrupt from the terminal is left to the program that `body` waits for.
fn ignoring_interrupts<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: only the disposition of SIGINT is changed, to a handler that does nothing, and put back afterwards.
    // A handler, unlike SIG_IGN, is not inherited by the program started meanwhile.
    extern "C" fn nothing(_: libc::c_int) {}
    let old = unsafe { libc::signal(libc::SIGINT, nothing as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    let result = body();
    unsafe { libc::signal(libc::SIGINT, old) };
    result
}
