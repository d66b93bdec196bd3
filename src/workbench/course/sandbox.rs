//! Walls around a program that runs a stranger's code: what the system has for them, and what is missing.
//!
//! On Linux a submission runs in namespaces of its own: it sees the file system read-only but for its own folder, no network but its
//! own loopback, and no process but its own; all of them end with the first. Either `unshare` (util-linux) or `bwrap` (Bubblewrap)
//! makes these without rights of root, where the system lets users have namespaces. Time, memory, processes and what is written
//! are watched from outside.

use crate::error::{Error, Result};
use crate::workbench::process::failed;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What a submission may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Seconds for the whole notebook.
    pub seconds: f64,
    /// Bytes of memory, over all its processes.
    pub memory: u64,
    /// Processes and their threads.
    pub processes: usize,
    /// Bytes that it may leave in its folder.
    pub written: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { seconds: 900.0, memory: 6 << 30, processes: 400, written: 2 << 30 }
    }
}

/// What makes the walls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walls {
    /// `unshare`; the runner then closes the file system itself.
    Unshare,
    /// `bwrap`.
    Bubblewrap,
    /// Nothing: a submission can do what the user can.
    None,
}

/// What a submission sees of the file system: all of it read-only, but for these.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct View {
    /// Folders that can be written, and where they are laid, over all else; the first is where the program starts.
    pub open: Vec<(PathBuf, PathBuf)>,
    /// What is empty to it, and what of that is seen again, in the order in which they are laid over each other.
    pub layers: Vec<Layer>,
    /// An empty file, which is laid over hidden ones.
    pub nothing: PathBuf,
}

/// A folder or a file that is hidden, or a folder inside a hidden one that is seen.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Layer {
    /// Which.
    pub path: PathBuf,
    /// Whether it is seen.
    pub seen: bool,
}

/// The layers by which `hidden` paths are empty and `kept` ones are seen: the nearest path above a file decides, and of a path that is
/// both that it is kept. A path that is hidden or seen already has no layer.
pub fn layers(hidden: &[PathBuf], kept: &[PathBuf]) -> Vec<Layer> {
    let root = Path::new("/");
    let mut all: BTreeMap<&Path, bool> =
        hidden.iter().map(|path| (path.as_path(), false)).filter(|(path, _)| *path != root).collect();
    all.extend(kept.iter().map(|path| (path.as_path(), true)));
    let mut layers: Vec<Layer> = Vec::new();
    // A folder comes before what it holds.
    for (path, seen) in all {
        let above = layers.iter().rev().find(|layer| path.starts_with(&layer.path));
        if above.is_none_or(|layer| layer.seen) != seen {
            layers.push(Layer { path: path.into(), seen });
        }
    }
    layers
}

/// The variable that tells the runner to close the file system, once it is in namespaces of its own: the [`View`] as JSON.
pub const OPEN_VARIABLE: &str = "WIDER_CLIP_OPEN";

/// The longest file that a submission writes.
const LONGEST_FILE: u64 = 1 << 30;
const LOOK: Duration = Duration::from_millis(200);

impl Walls {
    /// What this system has.
    ///
    /// # Errors
    /// [`Error::Program`] where it has nothing, with what is missing.
    pub fn find() -> Result<Walls> {
        let works = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        if works("unshare", &[&UNSHARE[..], &["python3", "-c", CLOSES]].concat()) {
            return Ok(Walls::Unshare);
        }
        if works("bwrap", &["--ro-bind", "/", "/", "--unshare-all", "true"]) {
            return Ok(Walls::Bubblewrap);
        }
        let reason = "neither `unshare` (util-linux, with Linux 5.12 or later) nor `bwrap` (Bubblewrap) can make \
                      namespaces for this user and close the file system in them";
        Err(failed(
            "sandbox",
            reason,
            "Install bubblewrap, or allow user namespaces; `--no-walls` runs submissions without any",
        ))
    }

    /// `command` inside the walls, with what it sees of the file system.
    pub fn around(self, command: &[&str], view: &View) -> Command {
        let mut walled = match self {
            Walls::Unshare => {
                let mut walled = Command::new("unshare");
                walled.args(UNSHARE).args(command).env(OPEN_VARIABLE, serde_json::json!(view).to_string());
                walled
            }
            Walls::Bubblewrap => {
                let mut walled = Command::new("bwrap");
                walled.args(["--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc"]);
                for Layer { path, seen } in &view.layers {
                    match (seen, path.is_dir()) {
                        (true, _) => walled.arg("--ro-bind").args([path, path]),
                        (false, true) => walled.arg("--tmpfs").arg(path),
                        (false, false) => walled.arg("--ro-bind").args([&view.nothing, path]),
                    };
                }
                for (from, to) in &view.open {
                    walled.arg("--bind").args([from, to]);
                }
                // Once everything lies in them: what is written there would be memory that nobody counts.
                for hidden in view.layers.iter().filter(|layer| !layer.seen && layer.path.is_dir()) {
                    walled.arg("--remount-ro").arg(&hidden.path);
                }
                walled.args(["--unshare-all", "--die-with-parent", "--new-session", "--"]).args(command);
                walled
            }
            Walls::None => {
                let mut plain = Command::new(command[0]);
                plain.args(&command[1..]);
                plain
            }
        };
        if let Some((first, _)) = view.open.first() {
            walled.current_dir(first);
        }
        // SAFETY: only system calls that may be made between fork and exec.
        unsafe {
            walled.pre_exec(|| {
                for (of, limit) in [(libc::RLIMIT_FSIZE, LONGEST_FILE), (libc::RLIMIT_CORE, 0)] {
                    let limit = libc::rlimit { rlim_cur: limit as libc::rlim_t, rlim_max: limit as libc::rlim_t };
                    if libc::setrlimit(of, &limit) != 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                // It ends with this program, whatever ends that; it is in no terminal's group.
                #[cfg(target_os = "linux")]
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                // A group of its own, which is ended as one.
                if libc::setpgid(0, 0) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        walled
    }
}

const UNSHARE: [&str; 9] =
    ["--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child", "--mount-proc"];

/// Closes the file system as run_submission.py does, by a call that Linux has had since 5.12.
const CLOSES: &str = "import ctypes, struct\n\
                      attributes = struct.pack('QQQQ', 1, 0, 0, 0)\n\
                      call = ctypes.CDLL(None).syscall(442, -100, b'/', 0x8000, attributes, len(attributes))\n\
                      raise SystemExit(call != 0)";

/// How a submission ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// By itself, with this status.
    Ended(i32),
    /// It went beyond a limit and was ended; which.
    Over(String),
}

/// Runs `command` and ends it, with all that it started, where it goes beyond a limit: of what it leaves in `folder` and prints into
/// `log` too.
///
/// # Errors
/// A program that cannot be started, a log that cannot be opened twice.
pub fn run_within(mut command: Command, limits: &Limits, folder: &Path, log: &File) -> Result<End> {
    let again = || log.try_clone().map_err(Error::io(folder, "opening the log of what runs in"));
    command.stdin(Stdio::null()).stdout(again()?).stderr(again()?);
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|error| failed(&name, error.to_string(), "Is it on the PATH?"))?;
    let begun = Instant::now();
    let mut looked = 0_u32;
    loop {
        if let Some(status) = child.try_wait().map_err(|error| failed(&name, error.to_string(), ""))? {
            end_group(&mut child);
            return Ok(End::Ended(code(status)));
        }
        let used = Used::of(child.id());
        // Looking through a folder takes longer than through processes.
        let written = if looked % 10 == 9 { size_of(folder) + log.metadata().map_or(0, |of| of.len()) } else { 0 };
        looked += 1;
        let over = if begun.elapsed().as_secs_f64() > limits.seconds {
            Some(format!("it took more than {:.0} s", limits.seconds))
        } else if used.memory > limits.memory {
            Some(format!("it used more than {} MB of memory", limits.memory >> 20))
        } else if used.threads > limits.processes {
            Some(format!("it had more than {} processes and threads", limits.processes))
        } else if written > limits.written {
            Some(format!("it wrote more than {} MB", limits.written >> 20))
        } else {
            None
        };
        if let Some(over) = over {
            end_group(&mut child);
            return Ok(End::Over(over));
        }
        thread::sleep(LOOK);
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Ends a program with what it started: those of its namespace end with its first process.
fn end_group(child: &mut Child) {
    let descendants = processes_under(child.id());
    // SAFETY: sending a signal has no memory to get wrong.
    unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
    let _ = child.kill();
    for (pid, _) in descendants {
        // SAFETY: as above.
        unsafe { libc::kill(pid as i32, libc::SIGKILL) };
    }
    let _ = child.wait();
}

#[derive(Default)]
struct Used {
    memory: u64,
    threads: usize,
}

impl Used {
    fn of(root: u32) -> Used {
        let of = processes_under(root);
        Used { memory: of.values().map(|used| used.memory).sum(), threads: of.values().map(|used| used.threads).sum() }
    }
}

/// A process and all that descend from it, with what each uses.
fn processes_under(root: u32) -> BTreeMap<u32, Used> {
    let mut parents: BTreeMap<u32, (u32, Used)> = BTreeMap::new();
    // SAFETY: asks for a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(1) as u64;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name of a program may hold anything, brackets too; the rest follows the last of them.
        let rest: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let number = |at: usize| rest.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        parents.insert(pid, (number(1) as u32, Used { memory: page * number(21), threads: number(17) as usize }));
    }
    let mut found = BTreeMap::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        open.extend(parents.iter().filter(|(_, (parent, _))| *parent == pid).map(|(child, _)| *child));
        if let Some((_, used)) = parents.remove(&pid) {
            found.insert(pid, used);
        }
    }
    found
}

fn size_of(folder: &Path) -> u64 {
    let mut total = 0;
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(of) if of.is_dir() => open.push(entry.path()),
                Ok(of) => total += of.len(),
                Err(_) => {}
            }
        }
    }
    total
}
