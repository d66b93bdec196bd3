//! Progress: one line that is replaced in a terminal, and one line that stays when the work is done.
//!
//! Where the output goes decides how it is told. A terminal has a line that redraws itself (`indicatif`). The runner of
//! the notebooks sets `WIDER_CLIP_STATUS`; it gets lines with a mark in front, shows the newest in its own terminal and
//! keeps none. Anything else (a log, JupyterLab, whose output grows line by line and cannot take a line back) gets a line
//! after 15 s, after 30 more, after 60 more, and so on. At the end all three have one line: what was done, and how long it
//! took.
//!
//! A step that takes long is no reason for silence: where nothing else was told for a second, a thread of the job's own tells
//! how far it is.
//!
//! Time left is what is left of the work over the pace of late: of the second half of the time so far, so that a slow start
//! is forgotten. Work is counted in units of one cost, or, where units differ, in seconds that they would take on some
//! machine; only their proportions matter.

use crate::say::{self, plain};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The environment variable by which a runner asks for marked lines.
pub const STATUS_VARIABLE: &str = "WIDER_CLIP_STATUS";
/// In front of a marked line.
pub const STATUS_MARK: &str = say::STATUS;

/// How long a job that goes on is silent at most, where its line is replaced.
const SILENCE: Duration = Duration::from_secs(1);

/// Counts the work of a job and tells how far it is, from any thread.
#[derive(Debug)]
pub struct Progress {
    state: Arc<Mutex<State>>,
    /// The job's own thread ends when this is gone.
    _alive: Sender<()>,
}

#[derive(Debug)]
struct State {
    label: String,
    /// The one unit of a job whose steps cost the same.
    unit: Option<&'static str>,
    /// What is being done, where steps differ.
    detail: String,
    total: f64,
    done: f64,
    /// Work done before this run.
    skipped: f64,
    /// What this run did, by unit.
    counts: BTreeMap<&'static str, usize>,
    started: Instant,
    pace: Pace,
    sink: Sink,
    told: Instant,
    is_over: bool,
}

#[derive(Debug)]
enum Sink {
    Terminal(ProgressBar),
    Marked,
    Lines { next: Duration },
    Silent,
}

impl Progress {
    /// A job called `label` of `total` steps of one cost, counted in `unit` ("images"). `done` steps were done before (a
    /// resumed job); they count as done and not towards the pace.
    pub fn new(label: impl Into<String>, unit: &'static str, total: usize, done: usize) -> Progress {
        let state = State {
            unit: Some(unit),
            skipped: done as f64,
            done: done as f64,
            ..State::new(label.into(), total as f64)
        };
        Progress::of(state)
    }

    /// A job called `label` of steps that differ, `total` in all; see [`Progress::add`].
    pub fn weighted(label: impl Into<String>, total: f64) -> Progress {
        Progress::of(State::new(label.into(), total))
    }

    fn of(state: State) -> Progress {
        let state = Arc::new(Mutex::new(state));
        let (alive, ended) = mpsc::channel::<()>();
        let told = Arc::clone(&state);
        // Where no thread can be had, steps tell of themselves all the same.
        let _ = std::thread::Builder::new().name("progress".into()).spawn(move || {
            while ended.recv_timeout(SILENCE) == Err(RecvTimeoutError::Timeout) {
                let mut state = told.lock().unwrap_or_else(PoisonError::into_inner);
                if !state.is_over && state.told.elapsed() >= SILENCE {
                    state.tell();
                }
            }
        });
        Progress { state, _alive: alive }
    }

    /// Prints nothing.
    pub fn silent(self) -> Progress {
        self.lock().sink = Sink::Silent;
        self
    }

    /// What is being done now.
    pub fn doing(&self, detail: impl Into<String>) {
        let mut state = self.lock();
        state.detail = detail.into();
        state.tell();
    }

    /// `n` more steps of one cost are done.
    pub fn advance(&self, n: usize) {
        let unit = self.lock().unit.unwrap_or("steps");
        self.add(n, unit, n as f64);
    }

    /// `n` more steps, counted in `unit`, are done, which are `work` of the total.
    pub fn add(&self, n: usize, unit: &'static str, work: f64) {
        let mut state = self.lock();
        state.done += work;
        *state.counts.entry(unit).or_default() += n;
        let (seconds, done) = (state.started.elapsed().as_secs_f64(), state.done - state.skipped);
        state.pace.note(seconds, done);
        state.tell();
    }

    /// `work` of the total turns out to be done already.
    pub fn skip(&self, work: f64) {
        let mut state = self.lock();
        state.done += work;
        state.skipped += work;
        state.tell();
    }

    /// The job is over; prints the closing line unless nothing was to do.
    pub fn finish(self) {
        let state = self.over();
        if !matches!(state.sink, Sink::Silent)
            && let Some(line) = state.closing()
        {
            crate::say!("{line}");
        }
    }

    /// The job is over, and no line stays: for a step that takes long only where there is much to do.
    pub fn clear(self) {
        drop(self.over());
    }

    fn over(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.is_over = true;
        if let Sink::Terminal(bar) = &state.sink {
            bar.finish_and_clear();
        }
        state
    }

    /// A thread that panicked while it told left nothing half-done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(label: String, total: f64) -> State {
        let now = Instant::now();
        State {
            label,
            unit: None,
            detail: String::new(),
            total,
            done: 0.0,
            skipped: 0.0,
            counts: BTreeMap::new(),
            started: now,
            pace: Pace::default(),
            sink: Sink::of_output(),
            told: now,
            is_over: false,
        }
    }

    fn tell(&mut self) {
        let since = self.told.elapsed();
        let due = match &self.sink {
            Sink::Terminal(_) | Sink::Marked => since >= Duration::from_millis(200),
            Sink::Lines { next } => since >= *next,
            Sink::Silent => false,
        };
        if !due || self.done >= self.total {
            return;
        }
        self.told = Instant::now();
        let line = self.line();
        match &mut self.sink {
            Sink::Terminal(bar) => bar.set_message(for_terminal(&line)),
            Sink::Marked => crate::say::put(format_args!("{STATUS_MARK}{line}\n")),
            Sink::Lines { next } => {
                *next *= 2;
                crate::say!("{line}");
            }
            Sink::Silent => {}
        }
    }

    fn line(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64();
        let left = self.pace.seconds_left(seconds, self.total - self.done);
        let left = left.map_or(String::new(), |left| format!(", {} to go", duration(left)));
        let detail = if self.detail.is_empty() { String::new() } else { format!(", {}", plain(&self.detail)) };
        match self.unit {
            Some(unit) => {
                let (done, total) = (thousands(self.done as usize), thousands(self.total as usize));
                let rate = (self.done - self.skipped) / seconds.max(1e-9);
                let pace = if rate >= 1.0 { format!(", {rate:.0}/s") } else { String::new() };
                format!("{}: {done} of {total} {unit}{pace}{detail}{left}", plain(&self.label))
            }
            None => {
                let percent = 100.0 * self.done / self.total.max(1e-9);
                format!("{}: {percent:.0}%{detail}{left}", plain(&self.label))
            }
        }
    }

    /// `probes: 624 arms, 13,629 images in 212 s`; nothing where nothing was done.
    fn closing(&self) -> Option<String> {
        let counts = self.counts.iter().filter(|(_, n)| **n > 0);
        let done = counts.map(|(unit, n)| format!("{} {unit}", thousands(*n))).collect::<Vec<_>>().join(", ");
        let seconds = duration(self.started.elapsed().as_secs_f64());
        (!done.is_empty()).then(|| format!("{}: {done} in {seconds}", plain(&self.label)))
    }
}

impl Sink {
    fn of_output() -> Sink {
        if std::env::var_os(STATUS_VARIABLE).is_some() {
            return Sink::Marked;
        }
        if std::io::stdout().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
            // A template of its own part alone cannot be wrong.
            return Sink::Terminal(match ProgressStyle::with_template("{wide_msg}") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            });
        }
        Sink::Lines { next: Duration::from_secs(15) }
    }
}

/// `line` for a terminal: one that is wider loses a piece before its end, which is the time to go where that is known.
pub fn for_terminal(line: &str) -> String {
    let (_, width) = console::Term::stdout().size();
    fitted(line, usize::from(width))
}

/// `line` in so many places: of a longer one what is left out stands as an ellipsis, and the time to go stays whole.
///
/// ```
/// use wider_clip::progress::fitted;
///
/// let line = "cell 4/27, 68 s: pictures looked at: 76,032 of 100,000 images, 1,105/s, 21 s to go";
/// assert_eq!(fitted(line, 60), "cell 4/27, 68 s: pictures looked at: 76,032 of …, 21 s to go");
/// assert_eq!(fitted(line, 100), line);
/// assert_eq!(fitted("pictures looked at: all", 12), "pictures lo…");
/// ```
pub fn fitted(line: &str, width: usize) -> String {
    let end = line.rfind(", ").filter(|_| line.ends_with(" to go")).map_or("", |at| &line[at..]);
    let room = width.saturating_sub(console::measure_text_width(end));
    if console::measure_text_width(line) <= width || room < end.len() {
        return console::truncate_str(line, width, "…").into_owned();
    }
    console::truncate_str(&line[..line.len() - end.len()], room, "…").into_owned() + end
}

/// How fast a job goes.
///
/// ```
/// use wider_clip::progress::Pace;
///
/// let mut pace = Pace::default();
/// pace.note(30.0, 1.0); // the first took three times as long as those that follow
/// for step in 2..=11 {
///     pace.note(20.0 + 10.0 * f64::from(step), f64::from(step));
/// }
/// assert_eq!(pace.seconds_left(130.0, 89.0), Some(890.0));
/// assert_eq!(Pace::default().seconds_left(5.0, 10.0), None); // nothing is known yet
/// ```
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// Seconds and work done by then, ascending.
    marks: Vec<(f64, f64)>,
}

/// Marks that are kept; above, every other one goes.
const MOST_MARKS: usize = 1024;

impl Pace {
    /// `done` of the work was done after `seconds`.
    pub fn note(&mut self, seconds: f64, done: f64) {
        self.marks.push((seconds, done));
        if self.marks.len() > MOST_MARKS {
            let mut number = 0;
            self.marks.retain(|_| {
                number += 1;
                number % 2 == 0
            });
        }
    }

    /// Seconds that `left` of the work will take, at the pace of the second half of the time to the last mark, less what has
    /// passed since; `None` before there is a mark.
    pub fn seconds_left(&self, seconds: f64, left: f64) -> Option<f64> {
        let &(last, done) = self.marks.last()?;
        let half = self.marks.iter().rev().find(|(seconds, _)| *seconds <= 0.5 * last).copied().unwrap_or_default();
        let pace = (done - half.1) / (last - half.0).max(1e-9);
        (pace > 0.0).then(|| (left / pace - (seconds - last).max(0.0)).max(0.0))
    }
}

/// A time as people say it.
///
/// ```
/// use wider_clip::progress::duration;
/// assert_eq!([duration(3.14), duration(45.4), duration(210.0)], ["3.1 s", "45 s", "3 min 30 s"]);
/// assert_eq!([duration(2500.0), duration(9000.0)], ["42 min", "2.5 h"]);
/// ```
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match seconds {
        short if short < 9.95 => format!("{short:.1} s"),
        short if short < 99.5 => format!("{whole} s"),
        some if some < 1200.0 => format!("{} min {:02} s", whole / 60, whole % 60),
        many if many < 7200.0 => format!("{:.0} min", many / 60.0),
        long => format!("{:.1} h", long / 3600.0),
    }
}

/// A count with a comma between thousands.
///
/// ```
/// assert_eq!(wider_clip::progress::thousands(1234567), "1,234,567");
/// assert_eq!(wider_clip::progress::thousands(999), "999");
/// ```
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
