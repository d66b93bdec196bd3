//! The parent: starts a child for a reader, watches it, and keeps what kills it.

use super::child::{self, Ticket};
use super::readers::Reader;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Time on the clock for one input in which the reader waits for something. Waiting for a processor does not count: on a
/// busy machine a reader may not get one for minutes.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two looks at a child, and how much of it counts where the machine made it longer.
const PAUSE: Duration = Duration::from_millis(50);
const MOST_PAUSE: Duration = Duration::from_secs(1);
/// Memory for one input, and for what the threads of a process set apart.
const MEMORY: u64 = (1 << 30) + (1 << 29);
/// After so many deaths a reader is left.
const MOST_DEATHS: u64 = 8;

#[derive(Default)]
pub struct Outcome {
    pub tried: u64,
    pub accepted: u64,
    /// Computing time of the children.
    pub computed: Duration,
    pub failures: Vec<String>,
}

/// Replays seeds and regressions, then mutates for `seconds`.
pub fn run(reader: &Reader, seconds: Duration, seed: u64, found: &Path) -> Outcome {
    let _ = fs::remove_dir_all(found);
    fs::create_dir_all(found).expect("a folder for what is found");
    let fixed = child::fixed(reader);
    let mut outcome = Outcome::default();
    let (mut next, mut left, mut deaths) = (0, seconds, 0);
    loop {
        let scratch = child::scratch();
        let state = scratch.path().join("state");
        let ticket = Ticket {
            reader: reader.name.into(),
            seed,
            first: next,
            milliseconds: left.as_millis() as u64,
            found: found.to_path_buf(),
        };
        let place = scratch.path().join("ticket");
        fs::write(&place, ticket.text()).expect("a ticket");
        fs::write(&state, [0; 24]).expect("a state");
        let begun = Instant::now();
        let mut process = start(&place, scratch.path());
        let (death, computed) = watch(&mut process, &state, reader.longest);
        outcome.computed += computed;
        let [number, tried, accepted] = child::read_state(&state);
        outcome.tried += tried;
        outcome.accepted += accepted;
        let Some(how) = death else { break };
        deaths += 1;
        let input = child::input(reader, &fixed, seed, number);
        let file = found.join(format!("seed{seed}-{number}-death.bin"));
        fs::write(&file, &input).expect("the input is kept");
        let said = fs::read_to_string(scratch.path().join("stderr")).unwrap_or_default();
        let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("note:")).collect();
        let said: String = said[said.len().saturating_sub(3)..].join(" | ").chars().take(400).collect();
        fs::write(file.with_extension("txt"), format!("{how}: {said}\n")).expect("its story is kept");
        left = left.saturating_sub(begun.elapsed());
        next = number + 1;
        if deaths == MOST_DEATHS || (left.is_zero() && next >= fixed.len() as u64) {
            break;
        }
    }
    let mut stories: Vec<_> =
        fs::read_dir(found).expect("what was found").flatten().map(|entry| entry.path()).collect();
    stories.retain(|path| path.extension().is_some_and(|end| end == "txt"));
    stories.sort();
    outcome.failures = stories
        .iter()
        .map(|path| {
            format!("{}: {}", path.with_extension("bin").display(), fs::read_to_string(path).unwrap_or_default().trim())
        })
        .collect();
    outcome
}

/// Starts the child with a limit on its memory, which a shell sets; elsewhere than on Unix without one.
fn start(ticket: &Path, scratch: &Path) -> Child {
    let program = std::env::current_exe().expect("this program");
    let mut command = match cfg!(target_os = "linux") {
        true => {
            let mut shell = Command::new("sh");
            shell.args(["-c", "ulimit -v \"$1\"; ulimit -c 0; exec \"$2\"", "sh"]);
            shell.arg(((virtual_size() + MEMORY) / 1024).to_string()).arg(program);
            shell
        }
        false => Command::new(program),
    };
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).map_or(0, |at| at.port());
    command
        .env(child::TICKET, ticket)
        .env("HOME", scratch)
        .env("HF_HOME", scratch.join("hub"))
        .env("HF_ENDPOINT", format!("http://127.0.0.1:{port}"))
        .env_remove("HF_HUB_CACHE")
        .env_remove("HF_TOKEN")
        .env("RUST_BACKTRACE", "0")
        .env("RAYON_NUM_THREADS", "1")
        .env("POLARS_MAX_THREADS", "1")
        .env("MALLOC_ARENA_MAX", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(scratch.join("stderr")).expect("a file"));
    command.spawn().expect("a child")
}

/// Waits for the end; how it ended, if badly, and how long it computed, to the last look at it.
fn watch(process: &mut Child, state: &Path, longest: Duration) -> (Option<String>, Duration) {
    let mut last = (u64::MAX, Instant::now(), computed(process.id()));
    let (mut all, mut idle, mut looked) = (Duration::ZERO, Duration::ZERO, Instant::now());
    loop {
        if let Some(status) = process.try_wait().expect("a child") {
            return ((!status.success()).then(|| format!("the reader died: {status}")), all);
        }
        let [number, ..] = child::read_state(state);
        let computed = computed(process.id());
        all = all.max(computed.unwrap_or_default());
        if number != last.0 {
            last = (number, Instant::now(), computed);
            idle = Duration::ZERO;
        } else if sleeps(process.id()) {
            idle += looked.elapsed().min(MOST_PAUSE);
        }
        looked = Instant::now();
        let slow = computed.zip(last.2).is_some_and(|(now, then)| now.saturating_sub(then) > longest);
        if slow || idle > PATIENCE {
            let _ = process.kill();
            let _ = process.wait();
            return (Some(format!("no end after {:.1} s", last.1.elapsed().as_secs_f64())), all);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether all threads of a process wait for something else than a processor or a disk; true where the system does not tell.
fn sleeps(process: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return true };
    let stat = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
    let works = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['R', 'D']));
    !threads.flatten().map(stat).any(works)
}

/// Bytes of this process's address space.
fn virtual_size() -> u64 {
    let pages =
        fs::read_to_string("/proc/self/statm").ok().and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    pages.map_or(1 << 30, |pages| pages * 4096)
}

/// Computing time of a process so far; `None` where the system does not tell.
fn computed(process: u32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(10 * ticks))
}
