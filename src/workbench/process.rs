//! Other programs: started with progress, and failed with one line that says what to do.

use crate::error::{Error, Result};
use crate::progress::{STATUS_MARK, duration, for_terminal};
use crate::say::{self, lines};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::VecDeque;
use std::io::IsTerminal;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Tells a program that its status lines are shown in a terminal (execute.py).
const RELAY_VARIABLE: &str = "WIDER_CLIP_RELAY";

/// How many of a program's last lines an error shows.
const KEPT_LINES: usize = 30;

/// How long between two progress lines, where lines cannot be replaced.
const BETWEEN_LINES: Duration = Duration::from_secs(30);

/// Builds an [`Error::Program`].
pub fn failed(program: &str, reason: impl Into<String>, advice: impl Into<String>) -> Error {
    Error::Program { program: program.into(), reason: reason.into(), advice: advice.into() }
}

/// Runs `command` to its end with its output on ours.
///
/// # Errors
/// [`Error::Program`] where it cannot be started.
pub fn run(program: &str, command: &mut Command, advice: &str) -> Result<ExitStatus> {
    command.status().map_err(|error| failed(program, format!("could not be started ({error})"), advice))
}

/// Runs `command` and returns what it printed, trimmed.
///
/// # Errors
/// [`Error::Program`] where it cannot be started or fails; the reason carries the end of its error output.
pub fn output(program: &str, command: &mut Command, advice: &str) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(program, format!("could not be started ({error})"), advice))?;
    if !output.status.success() {
        let tail = tail(&String::from_utf8_lossy(&output.stderr));
        return Err(failed(program, format!("ended with {}\n{tail}", output.status), advice));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

/// The last lines of `text`, as many as an error shows.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(KEPT_LINES)..].join("\n")
}

/// Where steps are told: one line each, replaced in a terminal, of which several may go on at once.
#[derive(Debug)]
pub struct Board(Option<MultiProgress>);

impl Board {
    /// The board of this program's output.
    pub fn new() -> Board {
        let terminal = std::io::stdout().is_terminal();
        Board(terminal.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stdout())))
    }

    /// A line for something that tells by itself what it is.
    pub fn place(&self) -> Step {
        Step { head: String::new(), started: Instant::now(), line: self.line() }
    }

    /// Prints a line that stays, above those that are replaced.
    pub fn say(&self, line: &str) {
        match &self.0 {
            // Where the terminal is gone, nothing can be told.
            Some(board) => drop(board.println(lines(line))),
            None => crate::say!("{line}"),
        }
    }

    fn line(&self) -> Option<ProgressBar> {
        self.0.as_ref().map(|board| {
            let line = board.add(ProgressBar::no_length());
            match ProgressStyle::with_template("{wide_msg}") {
                Ok(style) => line.with_style(style),
                Err(_) => line,
            }
        })
    }

    /// Begins step `number` of `total` and tells its title, with a note on what to expect.
    pub fn begin(&self, number: usize, total: usize, title: &str, note: &str) -> Step {
        let head = format!("[{number}/{total}] {title}");
        let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
        let step = Step { head, started: Instant::now(), line: self.line() };
        step.show(format!("{}{note}", step.head));
        step
    }
}

impl Default for Board {
    fn default() -> Board {
        Board::new()
    }
}

/// One step of a long set-up, told as `[2/5] title: 143/210 crates (95 s)`.
#[derive(Debug)]
pub struct Step {
    head: String,
    started: Instant,
    line: Option<ProgressBar>,
}

impl Step {
    fn show(&self, line: String) {
        match &self.line {
            // In place of a line stands one line.
            Some(place) => place.set_message(for_terminal(&say::plain(&line))),
            None => crate::say!("{line}"),
        }
    }

    /// Tells how far the step is.
    pub fn tell(&self, progress: &str) {
        self.show(format!("{}: {progress} ({})", self.head, duration(self.started.elapsed().as_secs_f64())));
    }

    /// Runs `command` to its end with its output told here: lines with the mark of a status in the place of this step, others
    /// as lines that stay. Its error output goes where ours goes.
    ///
    /// # Errors
    /// [`Error::Program`] where it cannot be started.
    pub fn relay(&self, program: &str, command: &mut Command, advice: &str) -> Result<ExitStatus> {
        if self.line.is_some() {
            command.env(RELAY_VARIABLE, "line");
        }
        let could_not = |error: std::io::Error| failed(program, format!("could not be started ({error})"), advice);
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(could_not)?;
        for line in lines_of(&mut child) {
            match (line.strip_prefix(STATUS_MARK), &self.line) {
                (Some(status), _) => self.show(status.to_string()),
                (None, Some(place)) => place.println(lines(&line)),
                (None, None) => crate::say!("{line}"),
            }
        }
        child.wait().map_err(|error| failed(program, error.to_string(), advice))
    }

    /// Takes the step's line away.
    pub fn leave(self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }

    /// Tells how the step ended, in a line that stays; how long it took.
    pub fn end(self, outcome: &str) -> Duration {
        self.tell(outcome);
        if let Some(line) = &self.line {
            line.abandon();
        }
        self.started.elapsed()
    }

    /// Runs `command`, counting the lines that `counts` accepts as steps out of about `total` and telling the count
    /// now and then.
    ///
    /// # Errors
    /// [`Error::Program`] where the program cannot be started or fails; the reason carries the end of its output.
    pub fn run_counted(&self, command: &mut Command, counted: &Counted) -> Result<()> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(counted.program, format!("could not be started ({error})"), counted.advice))?;
        let mut last = VecDeque::new();
        let (mut done, mut told) = (0, Instant::now());
        for line in lines_of(&mut child) {
            if (counted.counts)(&line) {
                done += 1;
            }
            if self.line.is_some() || told.elapsed() >= BETWEEN_LINES {
                told = Instant::now();
                self.tell(&format!("{done}/{} {}", counted.total.max(done), counted.unit));
            }
            last.push_back(line);
            if last.len() > KEPT_LINES {
                last.pop_front();
            }
        }
        let status = child.wait().map_err(|error| failed(counted.program, error.to_string(), counted.advice))?;
        if status.success() {
            return Ok(());
        }
        let last: Vec<String> = last.into();
        Err(failed(counted.program, format!("ended with {status}\n{}", last.join("\n")), counted.advice))
    }
}

/// What [`Step::run_counted`] counts, and what it says when the program fails.
pub struct Counted {
    /// The program's name in messages.
    pub program: &'static str,
    /// What to do when it fails.
    pub advice: &'static str,
    /// Which lines of its output count as one step.
    pub counts: fn(&str) -> bool,
    /// About how many steps there are.
    pub total: usize,
    /// What a step is: "crates".
    pub unit: &'static str,
}

/// The lines of a child's output and error output as they come.
fn lines_of(child: &mut Child) -> mpsc::IntoIter<String> {
    let (sender, receiver) = mpsc::channel();
    let pipes: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
    ];
    for pipe in pipes.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            // Bytes that are no UTF-8 are no reason to stop: the program would wait for its reader.
            for line in BufReader::new(pipe).split(b'\n').map_while(|line| line.ok()) {
                let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
    }
    receiver.into_iter()
}
