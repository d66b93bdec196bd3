//! A test that runs itself as a process of its own, to be killed: its ignored test `child` works in the folder that
//! [`child_of`] gives.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wider_clip::random::Random;

/// Names the folder of the child.
const FOLDER: &str = "WIDER_CLIP_TEST_CHILD";

/// Decides the moments; another one tries others.
const SEED: &str = "WIDER_CLIP_KILL_SEED";

/// The folder of this process, if it is a child.
pub fn child_of() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

pub fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "child"])
        .env(FOLDER, folder)
        .env_remove("WIDER_CLIP_RESULTS")
        .env_remove("WIDER_CLIP_CACHE")
        .env_remove("WIDER_CLIP_FRESH")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts")
}

/// Starts a child, waits until `ready` and up to `wait` milliseconds more, and kills it; false where it was over before.
pub fn kill(folder: &Path, k: u64, wait: usize, ready: impl Fn() -> bool) -> bool {
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let mut random = Random::new("moments of kills", seed, k);
    let mut child = start(folder);
    let begun = Instant::now();
    let is_over = |child: &mut Child| child.try_wait().expect("a child").is_some();
    while !ready() && !is_over(&mut child) {
        assert!(begun.elapsed() < Duration::from_secs(300), "kill {k}: it does not come to it");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_micros(random.below(1000 * wait) as u64));
    let over = is_over(&mut child);
    child.kill().expect("kills");
    child.wait().expect("ends");
    !over
}
