//! Marks for one task of an assignment: a function that somebody wrote is tried on cases, and each case is worth something by itself.
//!
//! Nothing that the function does ends the notebook: it runs in a thread of its own; a panic is caught and told, and a case that
//! takes too long is given up. (A process that aborts, or runs out of stack, ends; what was marked before that stays.)

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Once, mpsc};
use std::thread;
use std::time::Duration;

/// Seconds that one case may take.
pub const CASE_SECONDS: u64 = 10;

/// The variable that chooses the inputs of hidden cases. A teacher who grades sets it to a number that nobody knows beforehand, so
/// that answers which were fitted to the usual inputs fail.
pub const SEED_VARIABLE: &str = "WIDER_CLIP_COURSE_SEED";

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Right,
    /// Not as it should be, with what was expected and found; told for visible cases alone.
    Wrong(String),
    /// The function is `todo!()` still.
    NotWritten,
    /// The function panicked, with its own message.
    Panicked(String),
    /// The function took longer than [`CASE_SECONDS`].
    TookTooLong,
}

/// One case.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What it asks, in words that give no answer away.
    pub asks: &'static str,
    /// Its part of the points; 0 for a visible case, which helps and does not decide.
    pub weight: f64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What a task is worth, and what was earned.
#[derive(Debug, Clone, PartialEq)]
pub struct Marks {
    /// The task.
    pub task: &'static str,
    /// The points that the task is worth.
    pub of: f64,
    /// Its cases, in the order in which they were tried.
    pub cases: Vec<Case>,
}

impl Marks {
    /// The points earned, in quarters: the part of the weight of cases that are right.
    pub fn points(&self) -> f64 {
        let weight = |of: &dyn Fn(&Case) -> bool| {
            // Not `sum`: that of nothing is -0.
            self.cases.iter().filter(|case| of(case)).fold(0.0, |sum, case| sum + case.weight)
        };
        let (total, right) = (weight(&|_| true), weight(&|case| case.outcome == Outcome::Right));
        if total > 0.0 { (4.0 * self.of * right / total).floor() / 4.0 } else { 0.0 }
    }
}

/// Marks in the making.
pub struct Sheet(Marks);

/// What a case says: nothing, or what was expected and what was found.
pub type Said = std::result::Result<(), String>;

impl Sheet {
    /// A sheet for a task that is worth `of` points.
    pub fn new(task: &'static str, of: f64) -> Sheet {
        Sheet(Marks { task, of, cases: Vec::new() })
    }

    /// A case that is shown whole and is worth no points.
    pub fn visible(mut self, asks: &'static str, test: impl FnOnce() -> Said + Send + 'static) -> Sheet {
        self.0.cases.push(Case { asks, weight: 0.0, outcome: tried(test) });
        self
    }

    /// A case of which only the question is shown, and which decides by its weight.
    pub fn hidden(mut self, asks: &'static str, weight: f64, test: impl FnOnce() -> Said + Send + 'static) -> Sheet {
        let outcome = match tried(test) {
            Outcome::Wrong(_) => Outcome::Wrong(String::new()),
            other => other,
        };
        self.0.cases.push(Case { asks, weight, outcome });
        self
    }

    /// The marks.
    pub fn marks(self) -> Marks {
        self.0
    }
}

/// Nothing where two values are equal, else both.
pub fn same<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Said {
    if found == expected { Ok(()) } else { Err(format!("expected {expected:?}, found {found:?}")) }
}

/// Nothing where two numbers are nearer than `within`, else both. NaN is near to nothing.
pub fn near(found: f64, expected: f64, within: f64) -> Said {
    if (found - expected).abs() <= within { Ok(()) } else { Err(format!("expected {expected:.6}, found {found:.6}")) }
}

/// Nothing where it holds, else what should have.
pub fn holds(it: bool, what: impl Into<String>) -> Said {
    if it { Ok(()) } else { Err(what.into()) }
}

/// The seed of the hidden cases: that of the variable, or 0.
pub fn seed() -> u64 {
    std::env::var(SEED_VARIABLE).ok().and_then(|seed| seed.trim().parse().ok()).unwrap_or(0)
}

/// Threads in which cases run are called so; a panic in them is not printed.
const THREAD: &str = "a case of a check";

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

fn tried(test: impl FnOnce() -> Said + Send + 'static) -> Outcome {
    keep_panics_quiet();
    let (send, receive) = mpsc::channel();
    let run = move || {
        let outcome = match panic::catch_unwind(AssertUnwindSafe(test)) {
            Ok(Ok(())) => Outcome::Right,
            Ok(Err(said)) => Outcome::Wrong(said),
            Err(_) => match PANIC.with_borrow(String::clone) {
                message if message.starts_with("not yet implemented") => Outcome::NotWritten,
                message => Outcome::Panicked(message),
            },
        };
        // Nobody waits any more where the case took too long.
        let _ = send.send(outcome);
    };
    match thread::Builder::new().name(THREAD.into()).spawn(run) {
        Ok(_) => receive.recv_timeout(Duration::from_secs(CASE_SECONDS)).unwrap_or(Outcome::TookTooLong),
        Err(error) => Outcome::Panicked(format!("no thread for the case: {error}")),
    }
}

/// A panic in the thread of a case is kept for its outcome and not printed: on standard error it would cost the whole cell.
fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if thread::current().name() == Some(THREAD) {
                let message = panic.payload_as_str().unwrap_or("a value that is no text").to_string();
                PANIC.with_borrow_mut(|kept| *kept = message);
            } else {
                before(panic);
            }
        }));
    });
}
