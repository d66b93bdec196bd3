//! One cell while it runs: what it wrote, the signs that it failed, and when all of it is in.
//!
//! The child kernel passes on standard output and standard error beside its answer, each by a way of its own, so that the
//! last lines may come after it said that it is done. What may be part of a failure's text is held back until it is clear
//! whether the cell failed: a line of standard error for a moment, the text of a panic for as long as the cell runs.

use crate::errors::{self, CellError};
use crate::events::Settings;
use crate::notices::{self, Notice, Notices};
use crate::status::{MARK, StatusLine};
use crate::wire::Message;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long a line of standard error is held: the notice after it comes by another way.
const HOLD: Duration = Duration::from_millis(100);
/// How long the text of a panic is held that did not end the cell.
const HOLD_PANIC: Duration = Duration::from_secs(2);
/// How long nothing must come from a cell that is done and shows no sign of a failure.
const QUIET: Duration = Duration::from_millis(2);
/// How long a cell without such a sign waits at most; a thread that it left behind may never be quiet.
const QUIET_MOST: Duration = Duration::from_millis(40);
/// The same where it failed and its text has begun to come.
const QUIET_FAILED: Duration = Duration::from_millis(30);
/// The same where the process of the cells aborted, which ends its text with a line of its own in most cases.
const QUIET_ABORTED: Duration = Duration::from_millis(250);
/// How long that text is waited for.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Bytes of standard error that are held.
const MOST_HELD: usize = 1 << 20;

/// A message of standard error that waits.
#[derive(Debug)]
struct Held {
    at: Instant,
    message: Message,
    text: String,
}

/// A request to run code, from when the child has it.
#[derive(Debug)]
pub struct Cell {
    /// The number that the client sees.
    pub number: u64,
    /// Not counted and not shown.
    pub is_silent: bool,
    /// Whether the requests behind it are dropped when it fails.
    pub stops_on_error: bool,
    /// Whether the child was told to interrupt it.
    pub is_interrupted: bool,
    /// Status lines stay lines.
    raw_status: bool,
    /// Whether it will tell its end on both ways, and on which it has done so.
    tells_end: bool,
    has_ended: (bool, bool),
    has_value: bool,
    /// The value, which follows all that the cell wrote: what marks notebooks reads outputs in their order.
    values: Vec<Message>,
    has_output: bool,
    child_number: Option<u64>,
    errors: Vec<Value>,
    /// How notices read here, and the one that came.
    notices: Notices,
    notice: Option<Notice>,
    held: Vec<Held>,
    held_bytes: usize,
    /// The first of `held` that is part of a failure's text.
    failure_at: Option<usize>,
    aborted: bool,
    /// A line of standard output that ends with what may be a notice.
    held_line: Option<Message>,
    status: StatusLine,
    /// When the newest message came.
    last: Instant,
}

impl Cell {
    /// A cell of which nothing is known yet.
    pub fn new(content: &Value, number: u64, settings: &Settings, notices: &Notices, now: Instant) -> Cell {
        let code = content["code"].as_str().unwrap_or_default();
        Cell {
            tells_end: settings.cells_tell_end && !notices::is_only_commands(code),
            has_ended: (false, false),
            has_value: false,
            values: Vec::new(),
            has_output: false,
            number,
            is_silent: content["silent"].as_bool().unwrap_or(false),
            stops_on_error: content["stop_on_error"].as_bool().unwrap_or(true),
            is_interrupted: false,
            raw_status: settings.raw_status,
            child_number: None,
            errors: Vec::new(),
            notices: notices.clone(),
            notice: None,
            held: Vec::new(),
            held_bytes: 0,
            failure_at: None,
            aborted: false,
            held_line: None,
            status: StatusLine::default(),
            last: now,
        }
    }

    /// Whether a request counts: neither silent nor kept out of the history.
    pub fn counts(content: &Value) -> bool {
        let is = |name: &str, default: bool| content[name].as_bool().unwrap_or(default);
        is("store_history", true) && !is("silent", false)
    }

    /// Takes a message that the child published for this cell; returns what goes on to the clients.
    pub fn published(&mut self, request: &Message, message: Message, now: Instant) -> Vec<Message> {
        self.last = now;
        match message.kind.as_str() {
            "execute_input" | "execute_result" => {
                let mut content = message.content();
                if message.kind == "execute_input" {
                    self.child_number = content["execution_count"].as_u64();
                    // As the client wrote it.
                    if let code @ Value::String(_) = request.content()["code"].take() {
                        content["code"] = code;
                    }
                }
                self.has_value |= message.kind == "execute_result";
                if self.is_silent {
                    return Vec::new();
                }
                if content["data"] == json!({"text/plain": "()"}) {
                    return Vec::new();
                }
                content["execution_count"] = self.number.into();
                let message = message.with_content(&content);
                if message.kind == "execute_result" {
                    self.values.push(message);
                    return Vec::new();
                }
                vec![message]
            }
            "error" => {
                self.errors.push(message.content());
                Vec::new()
            }
            "stream" => self.stream(request, message, now),
            _ => vec![message],
        }
    }

    fn stream(&mut self, request: &Message, message: Message, now: Instant) -> Vec<Message> {
        let raw = message.raw_content();
        let has = |part: &str| raw.windows(part.len()).any(|window| window == part.as_bytes());
        self.has_output = true;
        // Nearly all output is neither, and passes without a look inside.
        if !has("\"stderr\"") && !has(notices::ANY) && (self.raw_status || !has(MARK)) {
            return self.held_line.take().into_iter().chain([message]).collect();
        }
        let content = message.content();
        let text = content["text"].as_str().unwrap_or_default().to_string();
        match content["name"].as_str() {
            Some("stderr") => self.stderr(message, content, text, now),
            _ => self.stdout(request, message, content, &text, now),
        }
    }

    fn stdout(
        &mut self,
        request: &Message,
        message: Message,
        mut content: Value,
        text: &str,
        now: Instant,
    ) -> Vec<Message> {
        let mut out: Vec<Message> = Vec::new();
        let mut kept = String::new();
        for line in text.split_inclusive('\n') {
            match (self.notices.split(line), line.strip_prefix(MARK)) {
                // It may end a line that itself ends with a notice.
                (Some((before, Notice::Ended)), _) => {
                    self.has_ended.0 = true;
                    match self.notices.split(before) {
                        Some((before, notice)) => {
                            self.notice = Some(notice);
                            kept.push_str(before);
                        }
                        None => kept.push_str(before),
                    }
                }
                (Some(("", notice)), _) => self.notice = Some(notice),
                (None, Some(status)) if !self.raw_status => {
                    out.extend(self.status.set(request, status.trim_end(), now));
                }
                (_, _) => kept.push_str(line),
            }
        }
        if kept.is_empty() {
            return out;
        }
        let may_be_notice = self.notices.split(&kept).is_some();
        let message = if kept == text {
            message
        } else {
            content["text"] = kept.into();
            message.with_content(&content)
        };
        out.splice(0..0, self.held_line.take());
        if may_be_notice {
            self.held_line = Some(message);
        } else {
            out.push(message);
        }
        out
    }

    fn stderr(&mut self, mut message: Message, mut content: Value, mut text: String, now: Instant) -> Vec<Message> {
        if let Some((before, Notice::Ended)) = self.notices.split(&text) {
            self.has_ended.1 = true;
            text = before.to_string();
            if text.is_empty() {
                return Vec::new();
            }
            content["text"] = text.clone().into();
            message = message.with_content(&content);
        }
        let told = text.lines().find_map(|line| self.notices.split(line).filter(|(before, _)| before.is_empty()));
        let told = told.map(|(_, notice)| notice).filter(|notice| *notice != Notice::Ended);
        if self.failure_at.is_none() && (told.is_some() || text.lines().any(errors::begins_failure)) {
            // The line before is empty where a panic begins.
            let blank = self.held.last().is_some_and(|held| held.text == "\n");
            self.failure_at = Some(self.held.len() - usize::from(blank));
        }
        self.notice = self.notice.or(told);
        self.aborted |= text.lines().any(errors::ends_abort);
        self.held_bytes += text.len();
        self.held.push(Held { at: now, message, text });
        if self.held_bytes > MOST_HELD { self.release_all() } else { Vec::new() }
    }

    /// What has been held for long enough goes on; what of the status waited is shown.
    pub fn tick(&mut self, request: &Message, is_done: bool, now: Instant) -> Vec<Message> {
        let mut out: Vec<Message> = self.status.tick(request, now).into_iter().collect();
        if !is_done && self.held_until().is_some_and(|until| until <= now) {
            if self.failure_at.is_some() {
                out.extend(self.release_all());
            } else {
                let old = self.held.iter().take_while(|held| held.at + HOLD <= now).count();
                let old: Vec<Held> = self.held.drain(..old).collect();
                self.held_bytes -= old.iter().map(|held| held.text.len()).sum::<usize>();
                out.extend(old.into_iter().map(|held| held.message));
            }
        }
        out
    }

    fn held_until(&self) -> Option<Instant> {
        match self.failure_at {
            Some(_) => self.held.last().map(|held| held.at + HOLD_PANIC),
            None => self.held.first().map(|held| held.at + HOLD),
        }
    }

    fn release_all(&mut self) -> Vec<Message> {
        (self.failure_at, self.held_bytes) = (None, 0);
        self.held.drain(..).map(|held| held.message).collect()
    }

    /// When [`Cell::tick`] has something to do.
    pub fn deadline(&self, is_done: bool) -> Option<Instant> {
        let held = if is_done { None } else { self.held_until() };
        [held, self.status.deadline()].into_iter().flatten().min()
    }

    /// When everything of this cell is in, where the child said at `done` that it is done. Moves on with each message.
    pub fn settled(&self, done: Instant) -> Instant {
        let patience = done + PATIENCE;
        let quiet = |pause: Duration| (self.last.max(done) + pause).min(patience);
        let has_panic = self.failure_at.is_some();
        if self.tells_end && self.errors.is_empty() {
            return if self.has_ended == (true, true) { done } else { patience };
        }
        match (errors::ending(&self.errors), self.notice) {
            // Killed from outside: there is no text to wait for.
            (Some(_), _) if self.is_interrupted => quiet(QUIET_FAILED),
            (Some(_), _) if self.aborted => quiet(QUIET_FAILED),
            (Some(status), _) if status.starts_with("signal: 6") && !has_panic => patience,
            (Some(status), _) if status.starts_with("signal: 6") => quiet(QUIET_ABORTED),
            (Some(_), _) => quiet(QUIET_FAILED * 2),
            (None, Some(Notice::Panic)) if !has_panic => patience,
            (None, Some(Notice::Error)) if self.held.is_empty() => patience,
            (None, Some(_)) => quiet(QUIET_FAILED),
            // Text of a panic, and no notice yet.
            (None, None) if has_panic || self.held_line.is_some() => quiet(QUIET_FAILED * 2),
            // A notice may still come behind a line of standard error.
            (None, None) if !self.held.is_empty() => quiet(QUIET_FAILED).min(done + QUIET_MOST),
            // With a value it did not fail, and the child itself waits for output before it sends one.
            (None, None) if self.has_value && !self.has_output => done,
            (None, None) => quiet(QUIET).min(done + QUIET_MOST),
        }
    }

    /// Whether the process of the cells ended with this cell.
    pub fn lost_variables(&self) -> bool {
        errors::ending(&self.errors).is_some()
    }

    /// The cell is over. `status` is that of the child's reply. Returns what still goes on to the clients, and the failure.
    pub fn end(&mut self, request: &Message, status: &str) -> (Vec<Message>, Option<CellError>) {
        let mut out: Vec<Message> = self.status.end(request).into_iter().collect();
        if let Some(line) = self.held_line.take() {
            out.extend(self.last_line(line));
        }
        let failed = !self.errors.is_empty() || self.notice.is_some() || status == "error";
        if !failed {
            out.extend(self.release_all());
            out.append(&mut self.values);
            return (out, None);
        }
        let ending = errors::ending(&self.errors);
        let is_of_text = ending.is_some() || self.notice.is_some();
        let from = match (is_of_text, self.failure_at, self.notice) {
            (true, Some(at), _) => at,
            (true, None, Some(Notice::Error)) => 0,
            (true, None, _) if ending.is_some() => 0,
            _ => self.held.len(),
        };
        let text: String = self.held.drain(from..).map(|held| held.text).collect();
        let text: String = text.split_inclusive('\n').filter(|line| !self.notices.is_one(line)).collect();
        out.extend(self.release_all());
        out.append(&mut self.values);
        let error = match (ending, self.notice) {
            (Some(_), _) if self.is_interrupted => errors::interrupted(true),
            (Some(status), _) => errors::ended(&status, &text),
            (None, Some(Notice::Panic)) => errors::panic(&text, false),
            (None, Some(Notice::Error)) => errors::returned(&text),
            (None, None | Some(Notice::Ended)) => {
                let from = self.child_number.map_or("\0".to_string(), |number| format!("command_{number}"));
                errors::refused(&self.errors, &from, &format!("cell_{}", self.number))
            }
        };
        (out, Some(error))
    }

    /// The last line of a cell ends with a notice: text without a newline stood before it.
    fn last_line(&mut self, line: Message) -> Option<Message> {
        let mut content = line.content();
        let text = content["text"].as_str().unwrap_or_default().to_string();
        let (before, notice) = self.notices.split(&text)?;
        self.notice = self.notice.or(Some(notice));
        content["text"] = json!(before);
        (!before.is_empty()).then(|| line.with_content(&content))
    }
}
