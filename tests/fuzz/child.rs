//! The child: reads inputs one after the other, and notes before each which it is.

use super::mutate::mutated;
use super::oracles::REFUSAL;
use super::readers::{self, Reader};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The variable by which a process knows that it is a child.
pub const TICKET: &str = "WIDER_CLIP_FUZZ_TICKET";

/// After so many different failures a reader is left.
const MOST_FAILURES: usize = 20;

/// What a child is to do.
pub struct Ticket {
    pub reader: String,
    pub seed: u64,
    /// The first input.
    pub first: u64,
    pub milliseconds: u64,
    pub found: PathBuf,
}

impl Ticket {
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n{}\n{}", self.reader, self.seed, self.first, self.milliseconds, self.found.display())
    }

    fn parse(text: &str) -> Option<Ticket> {
        let mut lines = text.lines();
        Some(Ticket {
            reader: lines.next()?.into(),
            seed: lines.next()?.parse().ok()?,
            first: lines.next()?.parse().ok()?,
            milliseconds: lines.next()?.parse().ok()?,
            found: lines.next()?.into(),
        })
    }
}

/// A folder that is in memory where that can be.
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let builder = tempfile::Builder::new();
    if memory.is_dir()
        && let Ok(folder) = builder.tempdir_in(memory)
    {
        return folder;
    }
    builder.tempdir().expect("a folder")
}

/// Number of the input, how many were tried, how many of them read.
pub fn read_state(path: &Path) -> [u64; 3] {
    let bytes = fs::read(path).unwrap_or_default();
    let (words, _) = bytes.as_chunks::<8>();
    [0, 1, 2].map(|i| words.get(i).map_or(0, |word| u64::from_le_bytes(*word)))
}

/// What is given as it is: seeds, of which it is true that they must be read, and regressions.
pub struct Fixed {
    pub name: String,
    pub bytes: Vec<u8>,
    pub seed: bool,
}

pub fn fixed(reader: &Reader) -> Vec<Fixed> {
    let seed = |(name, bytes)| Fixed { name, bytes, seed: true };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/regressions").join(reader.name);
    let regression = |(name, bytes)| Fixed { name, bytes, seed: false };
    (reader.seeds)().into_iter().map(seed).chain(readers::files(&folder, "").into_iter().map(regression)).collect()
}

/// Input `number` of a run.
pub fn input(reader: &Reader, fixed: &[Fixed], seed: u64, number: u64) -> Vec<u8> {
    match fixed.get(number as usize) {
        Some(fixed) => fixed.bytes.clone(),
        None => {
            let seeds: Vec<Vec<u8>> = fixed.iter().map(|fixed| fixed.bytes.clone()).collect();
            mutated(&seeds, reader.words, reader.fix, seed, number)
        }
    }
}

/// What the last panic said, and where, on whichever thread.
static PANIC: Mutex<String> = Mutex::new(String::new());

fn last_panic() -> MutexGuard<'static, String> {
    PANIC.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does what the ticket says, on a thread with the stack of those that the project works on.
pub fn run(ticket: &Path) {
    let place = ticket.parent().expect("a folder").to_path_buf();
    let ticket = Ticket::parse(&fs::read_to_string(ticket).expect("a ticket")).expect("a ticket");
    std::panic::set_hook(Box::new(|info| {
        let message = info.to_string();
        eprintln!("{message}");
        *last_panic() = message;
    }));
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || work(&ticket, &place));
    thread.expect("a thread").join().expect("a thread that ends");
}

fn work(ticket: &Ticket, place: &Path) {
    let mut all = readers::all();
    all.push(readers::faulty());
    let reader = all.iter().find(|reader| reader.name == ticket.reader).expect("a reader");
    let fixed = fixed(reader);
    let seeds: Vec<Vec<u8>> = fixed.iter().map(|fixed| fixed.bytes.clone()).collect();
    let mut state = File::options().write(true).open(place.join("state")).expect("a state");
    let check = (reader.start)(&place.join("work"));
    let end = Instant::now() + Duration::from_millis(ticket.milliseconds);
    let (mut tried, mut accepted, mut seen) = (0u64, 0u64, HashSet::new());
    for number in ticket.first.. {
        let given = fixed.get(number as usize);
        if given.is_none() && Instant::now() >= end {
            break;
        }
        state.rewind().expect("a state");
        let words = [number, tried, accepted].map(u64::to_le_bytes);
        state.write_all(words.as_flattened()).expect("a state");
        let bytes = match given {
            Some(given) => given.bytes.clone(),
            None => mutated(&seeds, reader.words, reader.fix, ticket.seed, number),
        };
        tried += 1;
        let wrong = match catch_unwind(AssertUnwindSafe(|| check(&bytes))) {
            Ok(Ok(true)) => {
                accepted += 1;
                None
            }
            Ok(Ok(false)) => match given.filter(|given| given.seed && reader.reads_all) {
                Some(given) => Some(format!("the seed {} is refused: {}", given.name, REFUSAL.take())),
                None => None,
            },
            Ok(Err(wrong)) => Some(wrong),
            Err(_) => Some(format!("a panic: {}", std::mem::take(&mut *last_panic()))),
        };
        if let Some(wrong) = wrong {
            // One of a kind is enough.
            let kind: String = wrong.chars().filter(|c| !c.is_ascii_digit()).take(80).collect();
            if seen.insert(kind) {
                let file = ticket.found.join(format!("seed{}-{number}.bin", ticket.seed));
                fs::write(&file, &bytes).expect("the input is kept");
                let wrong: String = wrong.replace('\n', " ").chars().take(1000).collect();
                fs::write(file.with_extension("txt"), wrong + "\n").expect("its story is kept");
            }
            if seen.len() >= MOST_FAILURES {
                break;
            }
        }
    }
    state.rewind().expect("a state");
    let words = [u64::MAX, tried, accepted].map(u64::to_le_bytes);
    state.write_all(words.as_flattened()).expect("a state");
}
