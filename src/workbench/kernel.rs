//! Starts the Rust notebook kernel (evcxr_jupyter 0.22.0) so that every cell links the library of this program.
//!
//! The kernel rebuilds one small crate a cell. Left alone it would have cargo compile the support crate and all its
//! dependencies again, for a workspace of its own. Here it finds `cargo_for_cells.sh` in cargo's place, which links a
//! cell against the compiled library directly: dependencies are compiled once for program, tests and notebooks, a
//! library built with `--features cuda` serves the notebooks too, and cells need no lock on cargo's build folder.
//!
//! Each running kernel has a slot, a folder of its own, held by a file lock for as long as any of its processes
//! lives; two kernels at once share nothing but compiled, read-only files. The library is linked into the slot when
//! the kernel starts: a later `cargo build` does not pull it from under a running notebook, and a kernel that is
//! started again has the new one.
//!
//! Between clients and the kernel stands the proxy of `src/proxy`, in this very process: failures have names and tracebacks, cells count
//! from 1, progress is one line that updates. `cargo_for_cells.sh` has cells say when they end, so that it need not wait.
//!
//! Different from evcxr on purpose: variables are dropped after a panic rather than kept where they are `Copy`
//! (keeping them costs a second compilation), and the kernel's own files in the user's home are left alone.

use super::process::{self, failed};
use super::{ROOT_VARIABLE, Workbench, setup};
use crate::error::{Error, Result};
use crate::progress::STATUS_VARIABLE;
use crate::storage::write_atomic;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use wider_clip_proxy::events::Settings;
use wider_clip_proxy::{Failed, RAW_STATUS_VARIABLE, notices};

/// What the kernel runs in place of cargo.
const CARGO_FOR_CELLS: &str = include_str!("cargo_for_cells.sh");

/// What keeps the kernel's type inference to the crates that matter.
const CRATES_FOR_TYPES: &str = include_str!("crates_for_types.py");

/// What stands in for the linker's driver when a cell is linked.
const LINKER_FOR_CELLS: &str = include_str!("linker_for_cells.sh");

/// The kernel's settings; `opt_level` is that of the cell alone, the library is compiled with the crate's profile.
/// Nothing that a cell does itself takes long enough to pay for more; `:opt 2` is there for a loop that does.
const SETTINGS: &str = "[evcxr]\npreserve_vars_on_panic = false\nopt_level = \"0\"\noffline_mode = false\n";

const CC_ADVICE: &str = "Install a C compiler: `apt install build-essential` (Debian, Ubuntu), `dnf install gcc` (Fedora), \
                         `xcode-select --install` (macOS)";

/// More kernels at once than any machine serves.
const MAX_SLOTS: usize = 64;

/// The Rust toolchain that compiled this program and compiles the cells.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// The folder of the toolchain.
    pub sysroot: PathBuf,
    /// The compiler itself, not rustup's proxy.
    pub rustc: PathBuf,
    /// Cargo itself, not rustup's proxy.
    pub cargo: PathBuf,
    /// The host triple.
    pub target: String,
    /// The compiler's version, such as 1.95.0.
    pub version: String,
}

impl Toolchain {
    /// The toolchain that `rust-toolchain.toml` in the project's folder asks for.
    ///
    /// # Errors
    /// [`Error::Program`] where no rustc is found.
    pub fn find(workbench: &Workbench) -> Result<Toolchain> {
        let advice = "Install Rust from rustup.rs, or put rustc and cargo on the PATH";
        let ask = |arguments: &[&str]| {
            process::output("rustc", Command::new("rustc").args(arguments).current_dir(workbench.root()), advice)
        };
        let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?);
        let version = ask(&["-vV"])?;
        let told = |what: &str| version.lines().find_map(|line| line.strip_prefix(what));
        let release = told("release: ").unwrap_or_default().to_string();
        let target = told("host: ").ok_or_else(|| failed("rustc", "`rustc -vV` names no host", advice))?.to_string();
        let tool = |name: &str| {
            let inside = sysroot.join("bin").join(name);
            if inside.exists() { inside } else { PathBuf::from(name) }
        };
        Ok(Toolchain { rustc: tool("rustc"), cargo: tool("cargo"), sysroot, target, version: release })
    }

    /// The folder with the standard library that cells load.
    fn standard_library(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib").join(&self.target).join("lib")
    }
}

/// Serves `connection_file` until the kernel is shut down, and gives what the program ends with. To be called on the main thread.
///
/// # Errors
/// [`Error::Program`] where the kernel is not installed or cannot be started, or the file is none, [`Error::Data`] where the compiled
/// library is not beside the program, [`Error::Io`] where the slot cannot be written.
pub fn launch(workbench: &Workbench, connection_file: &Path) -> Result<i32> {
    end_with_parent()?;
    let evcxr = setup::kernel_program(workbench);
    if !evcxr.exists() {
        return Err(failed("evcxr_jupyter", "not installed", "Run `cargo run -- setup`"));
    }
    let toolchain = Toolchain::find(workbench)?;
    let compiled = Compiled::find(workbench.program(), &toolchain)?;
    let slot = Slot::take(&workbench.state().join("kernel"))?;
    slot.prepare(workbench, &toolchain, &compiled)?;

    let mut command = Command::new(&evcxr);
    command
        // Cells tell of their progress; the proxy makes one line of it, or leaves it to a client that knows such lines.
        .env(STATUS_VARIABLE, "1")
        .env(ROOT_VARIABLE, workbench.root())
        .env(notices::SECRET_VARIABLE, notices::secret())
        .env("EVCXR_TMPDIR", slot.folder.join("crate"))
        .env("EVCXR_CONFIG_DIR", slot.folder.join("settings"))
        // Where the kernel would look for its registration in the user's home, to bring it up to date.
        .env("JUPYTER_PATH", slot.folder.join("settings"))
        // With rustup the kernel asks `rustup which cargo`, without it the PATH.
        .env("RUSTUP_TOOLCHAIN", slot.folder.join("toolchain"))
        .env("PATH", prepend(&[slot.programs()], "PATH")?)
        .env(
            library_path_variable(),
            prepend(&[slot.library(), toolchain.standard_library()], library_path_variable())?,
        )
        .env("WIDER_CLIP_REAL_CARGO", &toolchain.cargo)
        .env("WIDER_CLIP_RUSTC", &toolchain.rustc)
        .env("WIDER_CLIP_PYTHON", workbench.python())
        .env("WIDER_CLIP_TRIM", slot.folder.join("settings").join("crates_for_types.py"))
        .env("WIDER_CLIP_TARGET", &toolchain.target)
        .env("WIDER_CLIP_LIB", slot.library())
        .env("WIDER_CLIP_SUFFIX", std::env::consts::DLL_SUFFIX)
        .env("WIDER_CLIP_CC", real_cc()?)
        .env("WIDER_CLIP_HOLLOW", slot.hollow_library())
        .env("WIDER_CLIP_DEPS", &compiled.dependencies)
        .env("WIDER_CLIP_HOST_DEPS", &compiled.host_dependencies)
        // A panic keeps its backtrace; an error value does not collect one each time it is made.
        .env("RUST_LIB_BACKTRACE", "0")
        // As .cargo/config.toml, which says why.
        .env("CANDLE_BARRIER_POOL_SPIN_LIMIT", "0")
        .env("MALLOC_ARENA_MAX", "1")
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTC_WRAPPER");
    slot.hold_beyond_exec()?;
    let settings = Settings {
        raw_status: std::env::var_os(RAW_STATUS_VARIABLE).is_some_and(|value| !value.is_empty()),
        cells_tell_end: true,
        language_version: toolchain.version,
        crate_folder: Some(slot.folder.join("crate")),
        library: Some(workbench.root().to_path_buf()),
    };
    let child = |inner: &Path| {
        command.arg("--control_file").arg(inner);
        command
    };
    let failed = |error: Failed| failed("kernel", error.0, "Remove .wider-clip/evcxr and run `cargo run -- setup`");
    wider_clip_proxy::run(connection_file, &slot.folder, settings, child).map_err(failed)
}

/// The compiled library and what it was compiled from, beside the program.
struct Compiled {
    /// `libwider_clip.so` and `libwider_clip.rlib`: the code, and a copy of its interface that rustc reads faster.
    files: [PathBuf; 2],
    dependencies: PathBuf,
    host_dependencies: PathBuf,
}

impl Compiled {
    /// `program` lies in `target/<triple>/<profile>`, dependencies in `deps` beside it, procedural macros (they run
    /// on the host) in `target/<profile>/deps`.
    fn find(program: &Path, toolchain: &Toolchain) -> Result<Compiled> {
        let profile = program.parent().unwrap_or(Path::new("."));
        let dependencies = profile.join("deps");
        let host_dependencies = match (profile.file_name(), profile.parent()) {
            (Some(name), Some(above)) if above.ends_with(&toolchain.target) => above.with_file_name(name).join("deps"),
            _ => dependencies.clone(),
        };
        let files = [dependencies.join(library_name()), dependencies.join("libwider_clip.rlib")];
        match files.iter().find(|file| !file.exists()) {
            Some(missing) => Err(Error::data(missing, "the compiled library", "no such file; run `cargo build`")),
            None => Ok(Compiled { files, dependencies, host_dependencies }),
        }
    }
}

/// The folder of one running kernel.
struct Slot {
    folder: PathBuf,
    lock: File,
}

impl Slot {
    /// The first slot that no running kernel holds.
    fn take(kernels: &Path) -> Result<Slot> {
        for number in 0..MAX_SLOTS {
            let folder = kernels.join(format!("slot-{number}"));
            fs::create_dir_all(&folder).map_err(Error::io(&folder, "creating the folder"))?;
            let path = folder.join("lock");
            let lock = File::options().create(true).truncate(false).write(true).open(&path);
            let lock = lock.map_err(Error::io(&path, "opening the lock"))?;
            match lock.try_lock() {
                Ok(()) => return Ok(Slot { folder, lock }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(Error::io(&path, "locking")(source)),
            }
        }
        Err(failed("kernel", format!("{MAX_SLOTS} kernels are running"), "Shut some of them down"))
    }

    /// The folder with this kernel's view of the library.
    fn library(&self) -> PathBuf {
        self.folder.join("lib")
    }

    /// The folder of the programs that the kernel finds first.
    fn programs(&self) -> PathBuf {
        self.folder.join("toolchain").join("bin")
    }

    /// A library of the name of the real one, without a symbol.
    fn hollow_library(&self) -> PathBuf {
        self.folder.join("hollow").join(library_name())
    }

    /// Cells are linked against the hollow library (`linker_for_cells.sh`), where the system lets a library leave symbols
    /// open; elsewhere there is none, and cells are linked against the real one.
    fn prepare_linker(&self) -> Result<()> {
        let (linker, hollow) = (self.programs().join("cc"), self.hollow_library());
        write_atomic(&linker, LINKER_FOR_CELLS.as_bytes())?;
        make_executable(&linker)?;
        if cfg!(target_os = "linux") && !hollow.exists() {
            let folder = hollow.parent().unwrap_or(&self.folder);
            fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
            let mut cc = Command::new(real_cc()?);
            cc.args(["-shared", "-nostdlib", "-x", "c", "/dev/null", "-o"]).arg(&hollow);
            cc.arg(format!("-Wl,-soname,{}", library_name()));
            process::output("cc", &mut cc, CC_ADVICE)?;
        }
        Ok(())
    }

    fn prepare(&self, workbench: &Workbench, toolchain: &Toolchain, compiled: &Compiled) -> Result<()> {
        // Old cells: their file names come again, and a running kernel's must be its own.
        let cells = self.folder.join("crate").join("target");
        if cells.exists() {
            fs::remove_dir_all(&cells).map_err(Error::io(&cells, "removing the cells of an earlier kernel"))?;
        }
        // The library is a dependency from the start, so that a notebook that was copied elsewhere needs no path to it.
        let root = serde_json::Value::from(workbench.root().to_string_lossy());
        let settings = format!("{SETTINGS}\n[dependencies]\nwider-clip = {{ path = {root} }}\n");
        write_atomic(&self.folder.join("settings").join("evcxr.toml"), settings.as_bytes())?;
        write_atomic(&self.folder.join("settings").join("crates_for_types.py"), CRATES_FOR_TYPES.as_bytes())?;
        let lock_file = workbench.root().join("Cargo.lock");
        let locked = fs::read(&lock_file).map_err(Error::io(&lock_file, "reading"))?;
        write_atomic(&self.folder.join("crate").join("Cargo.lock"), &locked)?;

        let bin = self.programs();
        let cargo = bin.join("cargo");
        write_atomic(&cargo, CARGO_FOR_CELLS.as_bytes())?;
        make_executable(&cargo)?;
        self.prepare_linker()?;
        replace(&bin.join("rustc"), |path| symlink(&toolchain.rustc, path))?;

        let library = self.library();
        fs::create_dir_all(&library).map_err(Error::io(&library, "creating the folder"))?;
        // Interfaces of the inner crates as they were, which a library of today would not fit.
        for old in inner_interfaces(&library)? {
            fs::remove_file(&old).map_err(Error::io(&old, "removing"))?;
        }
        for file in compiled.files.iter().chain(&inner_interfaces(&compiled.dependencies)?) {
            let name = file.file_name().unwrap_or_default();
            // A link costs nothing; another file system needs a copy.
            let link = |path: &Path| fs::hard_link(file, path).or_else(|_| fs::copy(file, path).map(drop));
            replace(&library.join(name), link)?;
        }
        Ok(())
    }

    /// Lets the lock live on in the kernel, which takes this process's place, and in the processes it starts.
    fn hold_beyond_exec(&self) -> Result<()> {
        // SAFETY: fcntl with F_SETFD only changes a flag of a descriptor that `self.lock` keeps open.
        let answer = unsafe { libc::fcntl(self.lock.as_raw_fd(), libc::F_SETFD, 0) };
        if answer == -1 {
            return Err(Error::io(self.folder.join("lock"), "keeping the lock")(std::io::Error::last_os_error()));
        }
        Ok(())
    }
}

/// Asks the system to end the kernel when the program that started it is gone, however that ended. Linux only;
/// elsewhere a killed JupyterLab leaves its kernels behind.
///
/// The first thing that a kernel does: what happens before it is not noticed, but for a starter that is already gone, which
/// Jupyter names in `JPY_PARENT_PID`.
fn end_with_parent() -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: PR_SET_PDEATHSIG only stores a signal number for this process, and getppid only tells a number.
        let parent = unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            libc::getppid()
        };
        let starter: Option<i32> = std::env::var("JPY_PARENT_PID").ok().and_then(|text| text.parse().ok());
        // Between both may stand a shell: only a starter that is no more counts.
        let is_gone = |starter: i32| !Path::new(&format!("/proc/{starter}")).exists();
        if starter.is_some_and(|starter| starter != parent && is_gone(starter)) {
            return Err(failed("jupyter", "gone before its kernel was there", "Nothing is left to do"));
        }
    }
    Ok(())
}

/// What `cc` is on the PATH.
fn real_cc() -> Result<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join("cc")).find(|path| path.is_file());
    found.ok_or_else(|| failed("cc", "not found", CC_ADVICE))
}

fn make_executable(path: &Path) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(Error::io(path, "making it executable"))
}

/// `libwider_clip.so`.
fn library_name() -> String {
    format!("{}wider_clip{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

/// The compiled inner crates in a folder, `libwider_clip_numbers-<hash>.rlib` and so on: the library holds their code, and
/// the compiler wants their interfaces beside it.
fn inner_interfaces(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder, "listing"))? {
        let path = entry.map_err(Error::io(folder, "listing"))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("libwider_clip_") && name.ends_with(".rlib") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Makes `path` anew with `make`.
fn replace(path: &Path, make: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(path, "removing")(error)),
        _ => make(path).map_err(Error::io(path, "linking")),
    }
}

/// `folders` in front of what the environment variable holds.
fn prepend(folders: &[PathBuf], variable: &str) -> Result<OsString> {
    let old = std::env::var_os(variable).unwrap_or_default();
    let old = std::env::split_paths(&old).filter(|path| !path.as_os_str().is_empty());
    std::env::join_paths(folders.iter().cloned().chain(old))
        .map_err(|error| Error::argument("the project's folder", "a path without `:`", error.to_string()))
}

/// The variable in which the system's loader looks for libraries.
fn library_path_variable() -> &'static str {
    if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" }
}
