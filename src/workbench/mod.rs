//! The workbench: everything around the notebooks. Set-up, the Rust kernel, execution, the HTML report, JupyterLab.
//!
//! | module | what it does |
//! |---|---|
//! | [`setup`] | Python environment, the notebook kernel, its registration: once, inside the project's folder |
//! | [`kernel`] | starts the Rust kernel so that cells link the library this program is built with |
//! | [`notebooks`] | runs notebooks, and skips those of which nothing changed |
//! | [`report`] | turns executed notebooks into one folder of pages that needs no network |
//! | `board` | the page with every published number beside ours |
//! | [`images`] | a reader's own images: recognised, the notebook run on them, one page made |
//! | [`times`] | how long the parts of a report took |
//! | [`page_check`] | finds anything in a page that a browser would fetch from elsewhere |
//! | [`browser`] | headless Chromium: static images of charts, and the pages opened with the network refused |
//! | [`bundle`] | one file for machines without cargo, Python or network |
//! | [`lab`] | JupyterLab on the same kernel |
//! | [`outputs`] | folders that are written to, and nothing of anybody else's in them |
//! | [`process`] | other programs: started with progress lines, and failed with one that says what to do |
//!
//! In the project's folder `.wider-clip/` holds the environment and the kernels, `report/` the pages; environment.md says what else
//! is written, and where. Everything a notebook needs at run time is found from [`Workbench::root`].

pub mod board;
pub mod browser;
pub mod bundle;
pub mod course;
pub mod export;
pub mod images;
pub mod kernel;
pub mod lab;
pub mod notebooks;
pub mod outputs;
pub mod page_check;
pub mod process;
pub mod report;
pub mod setup;
pub mod times;

use crate::error::{Error, Result};
use crate::storage::own_state;
use std::path::{Path, PathBuf};

/// The environment variable that tells a notebook where the project is.
pub const ROOT_VARIABLE: &str = "WIDER_CLIP_ROOT";

/// The environment variable that tells a notebook which suite to run ("default", "full", "smoke").
pub const SUITE_VARIABLE: &str = "WIDER_CLIP_SUITE";

/// The name under which Jupyter knows the kernel.
pub const KERNEL_NAME: &str = "wider-clip";

/// What the names of files begin with that one program writes for another.
const BETWEEN: &str = ".wider-clip-between-";

/// A project folder and the program that serves its kernels.
#[derive(Debug, Clone)]
pub struct Workbench {
    root: PathBuf,
    program: PathBuf,
}

impl Workbench {
    /// The project of the current directory (found upwards), else the one this program was built in; kernels are
    /// served by the running program.
    ///
    /// # Errors
    /// [`Error::Io`] where the running program cannot be located.
    pub fn find() -> Result<Workbench> {
        let program = std::env::current_exe().map_err(Error::io("wider-clip", "locating the running program"))?;
        Workbench::new(find_root(), program)
    }

    /// A project at `root` whose kernels `program` (the compiled `wider-clip`) serves.
    ///
    /// # Errors
    /// [`Error::Io`] where `root` does not exist; [`Error::Data`] where a path of the two is no UTF-8, which Jupyter needs.
    pub fn new(root: impl AsRef<Path>, program: impl Into<PathBuf>) -> Result<Workbench> {
        let root = root.as_ref();
        let root = root.canonicalize().map_err(Error::io(root, "looking for the project's folder"))?;
        let program = program.into();
        if let Some(path) = [&root, &program].into_iter().find(|path| path.to_str().is_none()) {
            return Err(Error::data(path, "a path in UTF-8, as Jupyter's files hold it", "other bytes"));
        }
        Ok(Workbench { root, program })
    }

    /// The project's folder: the one with `Cargo.toml`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The compiled `wider-clip` program that serves the kernels.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The folder with the notebooks.
    pub fn notebooks(&self) -> PathBuf {
        self.root.join("notebooks")
    }

    /// The folder for everything that set-up makes, `.wider-clip`.
    pub fn folder(&self) -> PathBuf {
        self.root.join(".wider-clip")
    }

    /// The folder for what running writes: that of `WIDER_CLIP_STATE`, else `.wider-clip` as well.
    pub fn state(&self) -> PathBuf {
        own_state().unwrap_or_else(|| self.folder())
    }

    /// A temporary file that one program writes for another, in the folder for what running writes.
    fn file_between(&self) -> Result<tempfile::NamedTempFile> {
        let made = tempfile::Builder::new().prefix(BETWEEN).tempfile_in(self.state());
        made.map_err(Error::io(self.state(), "creating a temporary file"))
    }

    /// The Python interpreter of the project's own environment.
    pub fn python(&self) -> PathBuf {
        self.folder().join("venv").join("bin").join("python")
    }

    /// What Python and Jupyter must be told so that they keep to the project's folder.
    pub fn jupyter_environment(&self) -> Vec<(&'static str, PathBuf)> {
        let jupyter = self.state().join("jupyter");
        vec![
            (ROOT_VARIABLE, self.root.clone()),
            ("JUPYTER_CONFIG_DIR", jupyter.join("config")),
            ("JUPYTER_DATA_DIR", jupyter.join("data")),
            ("JUPYTER_RUNTIME_DIR", jupyter.join("runtime")),
            ("JUPYTERLAB_SETTINGS_DIR", jupyter.join("settings")),
            ("JUPYTERLAB_WORKSPACES_DIR", jupyter.join("workspaces")),
            ("IPYTHONDIR", jupyter.join("ipython")),
            ("MPLCONFIGDIR", jupyter.join("matplotlib")),
            ("PYTHONDONTWRITEBYTECODE", PathBuf::from("1")),
            ("PYTHONUNBUFFERED", PathBuf::from("1")),
        ]
    }

    /// A command that runs `script` (one of ours, written out from this program) with the project's Python.
    ///
    /// # Errors
    /// [`Error::Io`] where the script cannot be written.
    fn python_script(&self, name: &str, source: &str) -> Result<std::process::Command> {
        let path = self.state().join("scripts").join(name);
        if std::fs::read_to_string(&path).ok().as_deref() != Some(source) {
            crate::storage::write_atomic(&path, source.as_bytes())?;
        }
        let mut command = std::process::Command::new(self.python());
        command.arg(path).envs(self.jupyter_environment());
        // cargo and rustup hand their own settings to the programs they run; a kernel finds its toolchain itself.
        command.env_remove("RUSTFLAGS").env_remove("PYTHONPATH").env_remove("PYTHONHOME");
        Ok(command)
    }
}

/// The nearest folder upwards whose Cargo.toml names this package, else the folder the program was built in.
fn find_root() -> PathBuf {
    if let Some(root) = std::env::var_os(ROOT_VARIABLE).filter(|root| !root.is_empty()) {
        return PathBuf::from(root);
    }
    let built_in = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let Ok(here) = std::env::current_dir() else { return built_in };
    let names_us = |folder: &&Path| {
        std::fs::read_to_string(folder.join("Cargo.toml"))
            .is_ok_and(|text| text.lines().any(|line| line.trim() == "name = \"wider-clip\""))
    };
    here.ancestors().find(names_us).map(Path::to_path_buf).unwrap_or(built_in)
}
