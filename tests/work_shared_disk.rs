//! Work for many machines on one disk on which the system's locks do not hold and every call takes a while: processes with
//! `support/shared_disk.c` in front of their C library.
#![cfg(target_os = "linux")]

#[path = "support/tiny_project.rs"]
mod tiny_project;
#[path = "support/work.rs"]
mod work;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use wider_clip::experiments::work::{What, gather, plan};
use wider_clip::prelude::*;
use work::{alone, project, same};

/// Processes, of which so many are under way at once.
const PROCESSES: usize = 200;
const AT_ONCE: usize = 50;

/// The shim, compiled once.
fn disk() -> &'static Path {
    static DISK: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = DISK.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("shared_disk.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/shared_disk.c");
        let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let status =
            Command::new(cc).args(["-shared", "-fPIC", "-O1", "-o"]).arg(&path).arg(source).arg("-ldl").status();
        assert!(status.expect("a C compiler").success());
        (folder, path)
    });
    path
}

/// A machine that does a part.
fn machine(root: &Path, cell: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wider-clip"));
    command.args(["run", "--cell", cell]).env("LD_PRELOAD", disk()).env("SHARED_DISK_MICROSECONDS", "3000");
    command.env("WIDER_CLIP_ROOT", root).env("WIDER_CLIP_CACHE", root.join("cache"));
    command.env("WIDER_CLIP_RESULTS", root.join("results")).env_remove("WIDER_CLIP_STATE");
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts")
}

fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().expect("ends");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn two_hundred_processes_on_one_cache_lose_nothing() -> Result<()> {
    let (one, many) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    alone(&project(one.path()))?;
    let project = project(many.path());
    let lines = plan(&project, &What::ALL, 1e-3, &Device::Cpu)?.lines;
    // Each part twice, as where a scheduler took a machine for lost; and whole models beside their parts.
    let mut asked: VecDeque<String> = lines.iter().map(|line| line.cell.clone()).collect();
    asked.extend(plan(&project, &What::ALL, 1e6, &Device::Cpu)?.lines.into_iter().map(|line| line.cell));
    while asked.len() < PROCESSES {
        let next = asked[asked.len() % lines.len()].clone();
        asked.push_back(next);
    }
    let n = asked.len();
    let (mut under_way, mut killed, mut started) = (VecDeque::new(), 0, 0usize);
    while started < n || !under_way.is_empty() {
        while under_way.len() < AT_ONCE
            && let Some(cell) = asked.pop_front()
        {
            under_way.push_back((machine(many.path(), &cell), cell));
            started += 1;
        }
        let Some((mut child, cell)) = under_way.pop_front() else { break };
        // Every fifth is killed, wherever it is.
        if started % 5 == 0 && child.try_wait().expect("asked").is_none() {
            child.kill().expect("kills");
            killed += 1;
        }
        let (code, said) = ended(child);
        // 75: another does that very part.
        assert!(matches!(code, None | Some(0 | 75)), "{cell}: {code:?} {said}");
    }
    assert!(n >= PROCESSES && killed > 5, "{killed} of {n} killed");
    // What a kill left undone is planned, and done without one.
    for line in plan(&project, &What::ALL, 1e6, &Device::Cpu)?.lines {
        let (code, said) = ended(machine(many.path(), &line.cell));
        assert_eq!(code, Some(0), "{}: {said}", line.cell);
    }
    let gathered = gather(&project, 1e6, &Device::Cpu)?;
    assert!(gathered.is_whole() && gathered.failed.is_empty(), "{gathered:?}");
    same(one.path(), many.path());
    Ok(())
}

#[test]
fn a_machine_that_is_gone_is_not_waited_for_without_end_and_one_that_is_alive_is_never_passed() -> Result<()> {
    let root = tempfile::tempdir().expect("a folder");
    let project = project(root.path());
    let parts = project.results_folder().join("parts/representations/good/pixels.raw");
    let id = |method: &str| format!("representations/good/pixels.raw/{method}");
    // A part is not waited for: the scheduler tries again.
    fs::create_dir_all(parts.join("knn")).expect("makes a folder");
    let (dead, lease) = (parts.join("knn/.lock.lease"), "000000000000.1-0 00000000000000000007\n");
    fs::write(&dead, lease).expect("writes");
    let (code, said) = ended(machine(root.path(), &id("knn")));
    assert!(code == Some(75) && said.contains("is done by another process now"), "{code:?} {said}");
    // Rows are: `knn` by a machine that no longer is, `lr` by one that is.
    fs::remove_file(&dead).expect("removes");
    let rows = |method: &str| {
        let folder = parts.join(method).join("rows/good");
        fs::create_dir_all(&folder).expect("makes a folder");
        folder.join(".lock.lease")
    };
    let (gone, alive) = (rows("knn"), rows("lr"));
    fs::write(&gone, lease).expect("writes");
    let beat = |n: u64| fs::write(&alive, format!("000000000000.2-0 {n:020}\n")).expect("writes");
    beat(0);
    let began = Instant::now();
    let mut waits_for_gone = machine(root.path(), &id("knn"));
    let mut waits_for_alive = machine(root.path(), &id("lr"));
    let mut passed = None;
    for n in 1..80 {
        std::thread::sleep(Duration::from_secs(1));
        beat(n);
        assert!(waits_for_alive.try_wait().expect("asked").is_none(), "it passed a machine that is alive");
        if passed.is_none() && waits_for_gone.try_wait().expect("asked").is_some() {
            passed = Some(began.elapsed());
        }
    }
    let passed = passed.expect("a machine that is gone is not waited for without end");
    assert!(passed > Duration::from_secs(55), "{passed:?}");
    fs::remove_file(&alive).expect("removes");
    for child in [waits_for_gone, waits_for_alive] {
        let (code, said) = ended(child);
        assert_eq!(code, Some(0), "{said}");
    }
    assert!(!gone.exists() && !alive.exists(), "a lease is given back");
    Ok(())
}
