//! What the proxy knows and decides: requests in a row, the one that runs, and what each message means for it.
//!
//! Nothing here reads a socket or a clock. [`Session::handle`] takes what happened and the time, and returns what to do.
//! The child works on one request of the shell at a time, so requests wait here: only then is it known which cell a
//! message belongs to, and those behind a failed cell can be dropped.

use crate::cell::Cell;
use crate::errors::{self, CellError};
use crate::events::{Action, Channel, Event, Settings};
use crate::library::with_library;
use crate::notices::Notices;
use crate::places::Places;
use crate::replies;
use crate::wire::Message;
use bytes::Bytes;
use serde_json::json;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a request that the child is done with waits for its reply, which comes by another socket.
const REPLY_PATIENCE: Duration = Duration::from_millis(50);
/// Between two questions to a child that starts.
const PROBE_PAUSE: Duration = Duration::from_millis(50);

/// The request that the child works on.
#[derive(Debug)]
struct Current {
    request: Message,
    cell: Option<Cell>,
    reply: Option<Message>,
    is_replied: bool,
    idle: Option<Message>,
    /// When both were there, or at least the idle.
    done: Option<Instant>,
}

/// The state of the proxy.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    notices: Notices,
    is_connected: bool,
    is_ready: bool,
    is_ending: bool,
    probe: Option<Message>,
    next_probe: Option<Instant>,
    queue: VecDeque<Message>,
    early_control: Vec<Message>,
    current: Option<Current>,
    /// Cells that counted.
    count: u64,
    /// Who is asked for a line of input.
    asked: Option<Vec<Bytes>>,
    /// An interrupt that came when the cell was just done has killed the process of the cells.
    is_killed: bool,
    places: Places,
    actions: Vec<Action>,
}

impl Session {
    /// A session with a child that writes such notices, before anything happened.
    pub fn new(settings: Settings, notices: Notices) -> Session {
        Session {
            places: Places::new(settings.crate_folder.clone()),
            settings,
            notices,
            is_connected: false,
            is_ready: false,
            is_ending: false,
            probe: None,
            next_probe: None,
            queue: VecDeque::new(),
            early_control: Vec::new(),
            current: None,
            count: 0,
            asked: None,
            is_killed: false,
            actions: Vec::new(),
        }
    }

    /// Whether the child works on something; it then does not end when asked.
    pub fn is_busy(&self) -> bool {
        self.current.is_some() || !self.is_ready
    }

    /// Takes what happened; returns what to do, in order.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match event {
            _ if self.is_ending => {}
            Event::Client(Channel::Shell, message) => self.shell_request(message),
            Event::Client(Channel::Control, message) => self.control_request(message),
            Event::Client(Channel::Stdin, message) => self.answer(message),
            Event::Client(Channel::Iopub, _) => {}
            Event::Child(Channel::Iopub, message) => self.published(message, now),
            Event::Child(Channel::Stdin, message) => {
                if message.kind == "input_request" {
                    self.asked = Some(message.identities.clone());
                }
                self.actions.push(Action::Client(Channel::Stdin, message));
            }
            Event::Child(channel, message) => self.replied(channel, message),
            Event::Connected => {
                self.is_connected = true;
                for message in std::mem::take(&mut self.early_control) {
                    self.actions.push(Action::Child(Channel::Control, message));
                }
            }
            Event::Interrupt => self.interrupt(),
            Event::Died(status) => self.died(&status),
            Event::Tick => {}
        }
        self.advance(now);
        std::mem::take(&mut self.actions)
    }

    /// When [`Session::handle`] wants a [`Event::Tick`], if nothing else happens before.
    pub fn deadline(&self) -> Option<Instant> {
        let probe = if self.is_connected && !self.is_ready { self.next_probe } else { None };
        let current = self.current.as_ref().and_then(|current| {
            let cell = current.cell.as_ref().and_then(|cell| cell.deadline(current.done.is_some()));
            [cell, current.finish_at()].into_iter().flatten().min()
        });
        [probe, current].into_iter().flatten().min()
    }

    fn publish(&mut self, message: Message) {
        self.actions.push(Action::Client(Channel::Iopub, message));
    }

    fn publish_status(&mut self, request: &Message, state: &str) {
        self.publish(request.child("status", &json!({"execution_state": state})));
    }

    fn shell_request(&mut self, message: Message) {
        match message.kind.as_str() {
            "shutdown_request" => self.shut_down(Channel::Shell, &message),
            // The child stops listening at a message that it cannot read.
            _ if message.is_whole() => self.queue.push_back(message),
            _ => {}
        }
    }

    fn control_request(&mut self, message: Message) {
        match message.kind.as_str() {
            "shutdown_request" => self.shut_down(Channel::Control, &message),
            "interrupt_request" => {
                self.interrupt();
                let reply = message.reply(&json!({"status": "ok"}));
                self.actions.push(Action::Client(Channel::Control, reply));
            }
            _ if !message.is_whole() => {}
            _ if self.is_connected => self.actions.push(Action::Child(Channel::Control, message)),
            _ => self.early_control.push(message),
        }
    }

    /// Only an answer that is waited for goes on: the child would take another for that to its next question.
    fn answer(&mut self, message: Message) {
        if message.kind == "input_reply" && message.is_whole() && self.asked.as_ref() == Some(&message.identities) {
            self.asked = None;
            self.actions.push(Action::Child(Channel::Stdin, message));
        }
    }

    fn shut_down(&mut self, channel: Channel, message: &Message) {
        let content = json!({"status": "ok", "restart": message.content()["restart"].as_bool().unwrap_or(false)});
        self.actions.push(Action::Client(channel, message.reply(&content)));
        self.publish(message.child("shutdown_reply", &content));
        self.end(0);
    }

    fn end(&mut self, code: i32) {
        self.is_ending = true;
        self.actions.push(Action::End(code));
    }

    /// The child answers an interrupt by killing the process of the cells, also where none runs; so only a cell that runs
    /// is worth one.
    fn interrupt(&mut self) {
        let Some(current) = &mut self.current else { return };
        let Some(cell) = &mut current.cell else { return };
        if current.reply.is_some() || current.done.is_some() || cell.is_interrupted {
            return;
        }
        cell.is_interrupted = true;
        self.actions.push(Action::Child(Channel::Control, Message::new("interrupt_request", &json!({}))));
        // A child that waits for a line of input hears nothing else.
        if self.asked.take().is_some() {
            self.actions.push(Action::Child(Channel::Stdin, Message::new("input_reply", &json!({"value": ""}))));
        }
    }

    fn published(&mut self, message: Message, now: Instant) {
        if self.probe.as_ref().is_some_and(|probe| probe.id == message.parent_id) {
            // The subscription is live; what the child publishes from now on is heard.
            self.is_ready |= message.kind == "status";
            return;
        }
        let Some(current) = self.current.as_mut().filter(|current| current.request.id == message.parent_id) else {
            self.late(message);
            return;
        };
        if message.kind == "status" && message.content()["execution_state"] == "idle" {
            current.idle = Some(message);
            return;
        }
        let messages = match &mut current.cell {
            Some(cell) => cell.published(&current.request, message, now),
            None => vec![message],
        };
        messages.into_iter().for_each(|message| self.publish(message));
    }

    /// Output of a cell that is over, such as that of a thread it left behind.
    fn late(&mut self, message: Message) {
        if message.kind == "stream" {
            let (mut content, mut kept) = (message.content(), String::new());
            let text = content["text"].as_str().unwrap_or_default();
            for line in text.split_inclusive('\n') {
                let is_status = line.starts_with(crate::status::MARK) && !self.settings.raw_status;
                if !is_status && !self.notices.is_one(line) {
                    kept.push_str(line);
                }
            }
            if kept != text {
                if !kept.is_empty() {
                    content["text"] = kept.into();
                    self.publish(message.with_content(&content));
                }
                return;
            }
        }
        self.publish(message);
    }

    fn replied(&mut self, channel: Channel, message: Message) {
        // Without an identity it answers the proxy itself.
        if message.identities.is_empty() {
            return;
        }
        let message = match message.kind.as_str() {
            "kernel_info_reply" => {
                let content = replies::kernel_info(message.content(), &self.settings.language_version);
                message.with_content(&content)
            }
            _ => message,
        };
        let current = self.current.as_mut().filter(|current| current.request.id == message.parent_id);
        if let (Channel::Shell, Some(current)) = (channel, current) {
            if current.cell.is_some() {
                current.reply = Some(message);
                return;
            }
            current.is_replied = true;
        }
        self.actions.push(Action::Client(channel, message));
    }

    /// Goes on with whatever can go on now.
    fn advance(&mut self, now: Instant) {
        if self.is_ending {
            return;
        }
        if self.is_connected && !self.is_ready && self.next_probe.is_none_or(|next| next <= now) {
            let probe = Message::new("kernel_info_request", &json!({}));
            self.actions.push(Action::Child(Channel::Shell, probe.clone()));
            (self.probe, self.next_probe) = (Some(probe), Some(now + PROBE_PAUSE));
        }
        loop {
            if let Some(current) = &mut self.current {
                if current.idle.is_some() && (current.reply.is_some() || current.cell.is_none()) {
                    current.done.get_or_insert(now);
                }
                if let Some(cell) = &mut current.cell {
                    let messages = cell.tick(&current.request, current.done.is_some(), now);
                    messages.into_iter().for_each(|message| self.publish(message));
                }
                match self.current.take_if(|current| current.finish_at().is_some_and(|at| at <= now)) {
                    Some(current) => self.finish(current),
                    None => return,
                }
            }
            match self.queue.pop_front() {
                Some(request) if self.is_ready => self.begin(request, now),
                Some(request) => return self.queue.push_front(request),
                None => return,
            }
        }
    }

    fn begin(&mut self, request: Message, now: Instant) {
        self.asked = None;
        let cell = (request.kind == "execute_request").then(|| {
            let content = request.content();
            self.count += u64::from(Cell::counts(&content));
            self.places.remember(self.count, content["code"].as_str().unwrap_or_default());
            Cell::new(&content, self.count, &self.settings, &self.notices, now)
        });
        let sent = self.with_library(&request).unwrap_or_else(|| request.clone());
        self.actions.push(Action::Child(Channel::Shell, sent));
        self.current = Some(Current { request, cell, reply: None, is_replied: false, idle: None, done: None });
    }

    /// A cell that names a folder for the support library, with the one where it is.
    fn with_library(&self, request: &Message) -> Option<Message> {
        let library = self.settings.library.as_ref().filter(|_| request.kind == "execute_request")?;
        let mut content = request.content();
        content["code"] = with_library(content["code"].as_str()?, library)?.into();
        Some(request.clone().with_content(&content))
    }

    fn finish(&mut self, mut current: Current) {
        let Some(mut cell) = current.cell.take() else {
            if !current.is_replied
                && let Some(content) = replies::instead_of_child(&current.request)
            {
                self.actions.push(Action::Client(Channel::Shell, current.request.reply(&content)));
            }
            current.idle.into_iter().for_each(|idle| self.publish(idle));
            return;
        };
        let Some(reply) = current.reply.take() else { return };
        let mut content = reply.content();
        let (messages, mut error) = cell.end(&current.request, content["status"].as_str().unwrap_or_default());
        messages.into_iter().for_each(|message| self.publish(message));
        if std::mem::take(&mut self.is_killed) && cell.lost_variables() {
            error = Some(errors::interrupted(true));
        }
        error = error.map(|error| self.places.name(error));
        // Killed after it had run to its end: the next cell will find the process gone.
        self.is_killed = cell.is_interrupted && !cell.lost_variables();
        if let Some(error) = &error {
            self.publish(current.request.child("error", &error.content()));
        }
        current.idle.into_iter().for_each(|idle| self.publish(idle));
        content = replies::executed(content, cell.number, error.as_ref());
        self.actions.push(Action::Client(Channel::Shell, reply.with_content(&content)));
        if error.is_some() && cell.stops_on_error {
            self.abort(Some(&current.request.identities));
        }
    }

    /// Answers the cells that wait, those of one client or all.
    fn abort(&mut self, whose: Option<&Vec<Bytes>>) {
        for request in std::mem::take(&mut self.queue) {
            if request.kind != "execute_request" || whose.is_some_and(|whose| *whose != request.identities) {
                self.queue.push_back(request);
                continue;
            }
            self.publish_status(&request, "busy");
            self.actions.push(Action::Client(Channel::Shell, request.reply(&json!({"status": "aborted"}))));
            self.publish_status(&request, "idle");
        }
    }

    fn died(&mut self, status: &str) {
        if let Some(mut current) = self.current.take() {
            if let Some(cell) = &mut current.cell {
                let (messages, _) = cell.end(&current.request, "ok");
                messages.into_iter().for_each(|message| self.publish(message));
                let error: CellError = errors::died(status);
                self.publish(current.request.child("error", &error.content()));
                self.publish_status(&current.request, "idle");
                let content = replies::executed(json!({}), cell.number, Some(&error));
                self.actions.push(Action::Client(Channel::Shell, current.request.reply(&content)));
            } else {
                self.publish_status(&current.request, "idle");
            }
        }
        self.abort(None);
        self.end(1);
    }
}

impl Current {
    /// When everything is in, as far as is known now.
    fn finish_at(&self) -> Option<Instant> {
        let done = self.done?;
        Some(match &self.cell {
            Some(cell) => cell.settled(done),
            None if self.is_replied || !self.request.kind.ends_with("_request") => done,
            None => done + REPLY_PATIENCE,
        })
    }
}
