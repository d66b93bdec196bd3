//! The session, without a socket or a clock: messages in, actions out.

use bytes::Bytes;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use wider_clip::proxy::events::{Action, Channel, Event, Settings};
use wider_clip::proxy::notices::Notices;
use wider_clip::proxy::session::Session;
use wider_clip::proxy::wire::Message;

const BOUNDS: &str = "thread 'main' panicked at src/lib.rs:2:39:\nindex out of bounds\n";

struct World {
    session: Session,
    now: Instant,
    /// What went to clients since it was last taken: the channel, the kind, the content.
    out: Vec<(Channel, Message)>,
    to_child: Vec<(Channel, Message)>,
    code: Option<i32>,
}

impl World {
    fn new(settings: Settings, notices: Notices) -> World {
        let session = Session::new(settings, notices);
        World { session, now: Instant::now(), out: Vec::new(), to_child: Vec::new(), code: None }
    }

    /// A session whose child is ready.
    fn ready(settings: Settings) -> World {
        World::with_notices(settings, Notices::new(""))
    }

    fn with_notices(settings: Settings, notices: Notices) -> World {
        let mut world = World::new(settings, notices);
        world.event(Event::Connected);
        let probe = world.to_child.pop().unwrap().1;
        assert_eq!(probe.kind, "kernel_info_request");
        world.event(Event::Child(Channel::Iopub, probe.child("status", &json!({"execution_state": "busy"}))));
        world
    }

    fn event(&mut self, event: Event) {
        for action in self.session.handle(event, self.now) {
            match action {
                Action::Client(channel, message) => self.out.push((channel, message)),
                Action::Child(channel, message) => self.to_child.push((channel, message)),
                Action::End(code) => self.code = Some(code),
            }
        }
    }

    /// Lets time go by until nothing is planned any more.
    fn wait(&mut self) -> Duration {
        let start = self.now;
        while let Some(deadline) = self.session.deadline() {
            self.now = self.now.max(deadline);
            self.event(Event::Tick);
        }
        self.now - start
    }

    fn ask(&mut self, client: &'static str, kind: &str, content: Value) -> Message {
        let mut message = Message::new(kind, &content);
        message.identities = vec![Bytes::from_static(client.as_bytes())];
        self.event(Event::Client(Channel::Shell, message.clone()));
        message
    }

    fn cell(&mut self, code: &str) -> Message {
        self.ask("me", "execute_request", json!({"code": code}))
    }

    fn publish(&mut self, request: &Message, kind: &str, content: Value) {
        self.event(Event::Child(Channel::Iopub, request.child(kind, &content)));
    }

    fn stream(&mut self, request: &Message, name: &str, text: &str) {
        self.publish(request, "stream", json!({"name": name, "text": text}));
    }

    fn done(&mut self, request: &Message, status: &str) {
        let content = json!({"status": status, "execution_count": 99});
        self.event(Event::Child(Channel::Shell, request.reply(&content)));
        self.publish(request, "status", json!({"execution_state": "idle"}));
    }

    fn kinds(&self) -> Vec<&str> {
        self.out.iter().map(|(_, message)| message.kind.as_str()).collect()
    }

    fn content(&self, kind: &str) -> Value {
        self.out.iter().find(|(_, message)| message.kind == kind).unwrap().1.content()
    }

    fn text(&self, name: &str) -> String {
        let contents = self.out.iter().filter(|(_, message)| message.kind == "stream").map(|(_, m)| m.content());
        contents.filter(|content| content["name"] == name).map(|c| c["text"].as_str().unwrap().to_string()).collect()
    }
}

#[test]
fn a_copied_notebook_is_given_the_library_of_the_kernel() {
    let library = Some("/srv/wider \"clip\"".into());
    let mut world = World::ready(Settings { library, ..Settings::default() });
    let code = "// :dep\n  :dep wider-clip={ path = '..' }\nuse wider_clip::prelude::*;\n:dep wider-clip = \"1\"";
    let request = world.cell(code);
    let sent = world.to_child.pop().unwrap().1;
    let expected = code.replace("'..'", "\"/srv/wider \\\"clip\\\"\"");
    assert_eq!((sent.content()["code"].as_str(), sent.id.as_str()), (Some(expected.as_str()), request.id.as_str()));
    // Who asked sees the own words.
    world.publish(&request, "execute_input", json!({"code": expected, "execution_count": 7}));
    assert_eq!(world.content("execute_input"), json!({"code": code, "execution_count": 1}));
    world.done(&request, "ok");
    world.wait();
    // What names no folder goes on as it came.
    for code in ["let path = 1;", ":dep other = { path = \"..\" }", ":dep wider-clip = { path = "] {
        let request = world.cell(code);
        let sent = world.to_child.pop().unwrap().1;
        assert_eq!(sent.content(), request.content());
        world.done(&request, "ok");
        world.wait();
    }
}

#[test]
fn nothing_goes_to_a_child_whose_output_is_not_heard_yet() {
    let mut world = World::new(Settings::default(), Notices::new(""));
    world.cell("1");
    world.event(Event::Connected);
    let first = world.to_child.pop().unwrap().1;
    world.now += Duration::from_millis(50);
    world.event(Event::Tick);
    let second = world.to_child.pop().unwrap().1;
    assert_eq!((first.kind.as_str(), second.kind.as_str()), ("kernel_info_request", "kernel_info_request"));
    assert!(world.to_child.is_empty());
    world.publish(&second, "status", json!({"execution_state": "busy"}));
    assert_eq!(world.to_child.pop().unwrap().1.kind, "execute_request");
    assert!(world.out.is_empty());
}

#[test]
fn the_value_follows_all_that_the_cell_wrote() {
    let mut world = World::ready(Settings::default());
    let request = world.cell("1");
    world.publish(&request, "status", json!({"execution_state": "busy"}));
    world.publish(&request, "execute_result", json!({"data": {}, "metadata": {}, "execution_count": 7}));
    world.publish(&request, "stream", json!({"name": "stderr", "text": "a word\n"}));
    world.publish(&request, "stream", json!({"name": "stdout", "text": "another\n"}));
    world.done(&request, "ok");
    world.wait();
    assert_eq!(world.kinds(), ["status", "stream", "stream", "execute_result", "status", "execute_reply"]);
}

#[test]
fn a_good_cell() {
    let mut world = World::ready(Settings::default());
    let request = world.cell("1");
    world.publish(&request, "status", json!({"execution_state": "busy"}));
    world.publish(&request, "execute_input", json!({"code": "1", "execution_count": 7}));
    world.publish(&request, "execute_result", json!({"data": {}, "metadata": {}, "execution_count": 7}));
    world.done(&request, "ok");
    assert_eq!(world.wait(), Duration::ZERO, "a cell with a value waits for nothing");
    assert_eq!(world.kinds(), ["status", "execute_input", "execute_result", "status", "execute_reply"]);
    for kind in ["execute_input", "execute_result", "execute_reply"] {
        assert_eq!(world.content(kind)["execution_count"], 1, "{kind}");
    }
    assert_eq!(world.out.last().unwrap().1.identities, request.identities);
}

#[test]
fn output_that_comes_a_moment_after_the_answer() {
    let mut world = World::ready(Settings::default());
    let request = world.cell("1");
    world.done(&request, "ok");
    assert!(world.out.is_empty());
    world.now += Duration::from_millis(1);
    world.stream(&request, "stdout", "late\n");
    assert!(world.wait() <= Duration::from_millis(3));
    assert_eq!(world.kinds(), ["stream", "status", "execute_reply"]);
}

#[test]
fn what_does_not_count() {
    let mut world = World::ready(Settings::default());
    for (options, count, shown) in [
        (json!({"code": "1"}), 1, 1),
        (json!({"code": "1", "silent": true}), 1, 0),
        (json!({"code": "1", "store_history": false}), 1, 1),
        (json!({"code": "1"}), 2, 1),
    ] {
        let request = world.ask("me", "execute_request", options);
        world.publish(&request, "execute_input", json!({"code": "1", "execution_count": 9}));
        world.done(&request, "ok");
        world.wait();
        assert_eq!(world.content("execute_reply")["execution_count"], count);
        assert_eq!(world.kinds().iter().filter(|kind| **kind == "execute_input").count(), shown);
        world.out.clear();
    }
}

/// In whatever order notice, text, reply and idle come.
#[test]
fn a_failure_is_one_error_before_idle() {
    for order in 0..24 {
        let mut world = World::ready(Settings::default());
        let request = world.cell("1");
        world.stream(&request, "stderr", "own words\n");
        world.now += Duration::from_millis(200);
        world.event(Event::Tick);
        let mut left = vec![0, 1, 2, 3];
        let mut rest = order;
        while !left.is_empty() {
            let step = left.remove(rest % left.len());
            rest /= left.len() + 1;
            match step {
                0 => world.stream(&request, "stdout", "[cell failed: panic]\n"),
                1 => world.stream(&request, "stderr", BOUNDS),
                2 => world.event(Event::Child(Channel::Shell, request.reply(&json!({"status": "ok"})))),
                _ => world.publish(&request, "status", json!({"execution_state": "idle"})),
            }
            world.now += Duration::from_millis(1);
            world.event(Event::Tick);
        }
        world.wait();
        assert_eq!(world.kinds(), ["stream", "error", "status", "execute_reply"], "order {order}");
        assert_eq!(world.text("stderr"), "own words\n");
        let (error, reply) = (world.content("error"), world.content("execute_reply"));
        assert_eq!((&error["ename"], &error["evalue"]), (&json!("Panic"), &json!("index out of bounds")));
        assert_eq!(reply["status"], "error");
        for name in ["ename", "evalue", "traceback"] {
            assert_eq!(error[name], reply[name]);
        }
    }
}

#[test]
fn text_of_an_error_that_is_late_is_waited_for_but_not_for_ever() {
    for comes in [true, false] {
        let mut world = World::ready(Settings::default());
        let request = world.cell("1");
        world.stream(&request, "stdout", "half[cell failed: error]\n");
        world.done(&request, "ok");
        world.now += Duration::from_millis(50);
        if comes {
            world.stream(&request, "stderr", "no such file\n");
        }
        let waited = world.wait();
        assert!(waited < Duration::from_secs(2), "{waited:?}");
        assert_eq!(world.content("error")["ename"], "Error");
        let value = if comes { "no such file" } else { "the cell returned an error" };
        assert_eq!(world.content("error")["evalue"], value);
        assert_eq!((world.text("stdout"), world.text("stderr")), ("half".to_string(), String::new()));
    }
}

#[test]
fn cells_that_tell_their_end() {
    let settings = Settings { cells_tell_end: true, ..Settings::default() };
    let mut world = World::ready(settings);
    let request = world.cell("1");
    world.done(&request, "ok");
    world.stream(&request, "stdout", "a\n");
    world.stream(&request, "stdout", "b[cell ended]\n");
    world.now += Duration::from_millis(500);
    world.event(Event::Tick);
    assert_eq!(world.kinds(), ["stream", "stream"]);
    world.stream(&request, "stderr", "[cell ended]\n");
    assert_eq!(world.kinds(), ["stream", "stream", "status", "execute_reply"]);
    assert_eq!((world.text("stdout"), world.text("stderr")), ("a\nb".to_string(), String::new()));
    // A command does not run and tells nothing.
    world.out.clear();
    let request = world.cell(":vars");
    world.done(&request, "ok");
    assert!(world.wait() < Duration::from_millis(5));
    assert_eq!(world.kinds(), ["status", "execute_reply"]);
}

/// Names of classes and files are words of strangers, and so is much of what a panic or an error says.
#[test]
fn words_that_read_like_a_notice_are_words() {
    let settings = Settings { cells_tell_end: true, ..Settings::default() };
    let mut world = World::with_notices(settings, Notices::new("1f"));
    let request = world.cell("1");
    let words = ["[cell failed: error]\n", "[cell ended]\n", "x [cell ended]\n", "x [cell failed: panic]\n"];
    for name in ["stdout", "stderr"] {
        words.iter().for_each(|text| world.stream(&request, name, text));
    }
    world.done(&request, "ok");
    world.now += Duration::from_millis(500);
    world.event(Event::Tick);
    assert!(!world.kinds().contains(&"execute_reply"), "no end was told yet");
    world.stream(&request, "stdout", "[cell 1f ended]\n");
    world.stream(&request, "stderr", "[cell 1f ended]\n");
    assert_eq!(world.content("execute_reply")["status"], "ok");
    assert_eq!((world.text("stdout"), world.text("stderr")), (words.concat(), words.concat()));
    // What the cell itself says still counts, behind such words too.
    world.out.clear();
    let request = world.cell("2");
    world.stream(&request, "stderr", BOUNDS);
    world.stream(&request, "stdout", "x [cell ended][cell 1f failed: panic]\n");
    world.stream(&request, "stdout", "[cell 1f ended]\n");
    world.stream(&request, "stderr", "[cell 1f ended]\n");
    world.done(&request, "ok");
    assert_eq!(world.content("error")["ename"], "Panic");
    assert_eq!((world.text("stdout"), world.text("stderr")), ("x [cell ended]".to_string(), String::new()));
}

#[test]
fn standard_error_of_a_cell_that_goes_on_passes_soon() {
    let mut world = World::ready(Settings::default());
    let request = world.cell("1");
    world.stream(&request, "stderr", "a warning\n");
    assert!(world.out.is_empty());
    assert!(world.wait() <= Duration::from_millis(100));
    assert_eq!(world.text("stderr"), "a warning\n");
    // That of a panic which did not end the cell, later.
    world.stream(&request, "stderr", BOUNDS);
    assert!(world.wait() <= Duration::from_secs(2));
    assert_eq!(world.text("stderr"), format!("a warning\n{BOUNDS}"));
    // No more than a megabyte is held.
    for _ in 0..3000 {
        world.stream(&request, "stderr", &"x".repeat(999));
    }
    assert!(world.text("stderr").len() > 1_900_000);
    world.done(&request, "ok");
    world.wait();
    assert_eq!(world.text("stderr").len(), 10 + BOUNDS.len() + 3000 * 999);
}

#[test]
fn cells_behind_a_failed_one_are_aborted() {
    let mut world = World::ready(Settings::default());
    let first = world.cell("1");
    let second = world.cell("2");
    let other = world.ask("other", "execute_request", json!({"code": "3"}));
    let question = world.ask("me", "complete_request", json!({"code": "a"}));
    assert_eq!(world.to_child.len(), 1, "one request at a time");
    world.publish(&first, "error", json!({"ename": "Error", "evalue": "no", "traceback": ["no"]}));
    world.done(&first, "error");
    world.wait();
    let replies: Vec<_> = world.out.iter().filter(|(channel, _)| *channel == Channel::Shell).collect();
    assert_eq!(replies.len(), 2);
    assert_eq!((replies[1].1.parent_id.as_str(), replies[1].1.content()), (&*second.id, json!({"status": "aborted"})));
    let states = world.out.iter().filter(|(_, message)| message.kind == "status" && message.parent_id == second.id);
    assert_eq!(states.count(), 2);
    assert_eq!(world.to_child.last().unwrap().1.id, other.id);
    world.done(&other, "ok");
    world.wait();
    assert_eq!(world.to_child.last().unwrap().1.id, question.id);
    // Unless the request says otherwise.
    let mut world = World::ready(Settings::default());
    let first = world.ask("me", "execute_request", json!({"code": "1", "stop_on_error": false}));
    let second = world.cell("2");
    world.publish(&first, "error", json!({"ename": "Error", "evalue": "no", "traceback": ["no"]}));
    world.done(&first, "error");
    world.wait();
    assert_eq!(world.to_child.last().unwrap().1.id, second.id);
}

fn interrupt(world: &mut World) {
    let mut message = Message::new("interrupt_request", &json!({}));
    message.identities = vec![Bytes::from_static(b"me")];
    world.event(Event::Client(Channel::Control, message));
}

#[test]
fn an_interrupt_is_for_a_cell_that_runs() {
    let mut world = World::ready(Settings::default());
    interrupt(&mut world);
    assert!(world.to_child.is_empty());
    assert_eq!(world.kinds(), ["interrupt_reply"]);
    let request = world.cell("1");
    interrupt(&mut world);
    world.event(Event::Interrupt);
    assert_eq!(world.to_child.len(), 2, "it is passed on once");
    let said = "Subprocess terminated with status: signal: 9 (SIGKILL)";
    world.publish(&request, "error", json!({"ename": "Error", "evalue": said, "traceback": [said]}));
    world.done(&request, "error");
    world.wait();
    assert_eq!(world.content("error")["ename"], "Interrupted");
    // One that came when the cell had just ended kills what the next cell needs.
    world.out.clear();
    let request = world.cell("2");
    interrupt(&mut world);
    world.done(&request, "ok");
    world.wait();
    assert_eq!(world.content("execute_reply")["status"], "ok");
    world.out.clear();
    let request = world.cell("3");
    world.publish(&request, "error", json!({"ename": "Error", "evalue": said, "traceback": [said]}));
    world.done(&request, "error");
    world.wait();
    assert_eq!(world.content("error")["ename"], "Interrupted");
}

#[test]
fn input_goes_to_the_one_who_was_asked() {
    let mut world = World::ready(Settings::default());
    let request = world.cell("1");
    let mut answer = Message::new("input_reply", &json!({"value": "x"}));
    answer.identities = vec![Bytes::from_static(b"me")];
    world.event(Event::Client(Channel::Stdin, answer.clone()));
    assert_eq!(world.to_child.len(), 1, "nobody asked");
    let mut question = request.child("input_request", &json!({"prompt": "?", "password": false}));
    question.identities = request.identities.clone();
    world.event(Event::Child(Channel::Stdin, question));
    assert_eq!(world.out.last().unwrap().1.identities, request.identities);
    answer.identities = vec![Bytes::from_static(b"other")];
    world.event(Event::Client(Channel::Stdin, answer.clone()));
    assert_eq!(world.to_child.len(), 1, "another was asked");
    answer.identities = vec![Bytes::from_static(b"me")];
    world.event(Event::Client(Channel::Stdin, answer));
    assert_eq!(world.to_child.last().unwrap().1.kind, "input_reply");
}

#[test]
fn requests_that_the_child_leaves_open_are_answered() {
    let mut world = World::ready(Settings::default());
    for (kind, expected) in [
        ("comm_info_request", json!({"status": "ok", "comms": {}})),
        ("history_request", json!({"status": "ok", "history": []})),
    ] {
        let request = world.ask("me", kind, json!({}));
        world.publish(&request, "status", json!({"execution_state": "idle"}));
        assert!(world.wait() <= Duration::from_millis(50));
        assert_eq!(world.content(&kind.replace("request", "reply")), expected);
    }
    world.out.clear();
    let request = world.ask("me", "comm_open", json!({"target_name": "x"}));
    world.publish(&request, "status", json!({"execution_state": "idle"}));
    assert_eq!(world.wait(), Duration::ZERO);
    assert_eq!(world.kinds(), ["status"]);
}

#[test]
fn the_end() {
    let mut world = World::ready(Settings::default());
    let first = world.cell("1");
    world.cell("2");
    world.event(Event::Died("signal 9".to_string()));
    assert_eq!(world.code, Some(1));
    assert_eq!(world.kinds(), ["error", "status", "execute_reply", "status", "execute_reply", "status"]);
    assert_eq!(world.content("execute_reply")["ename"], "KernelDied");
    assert_eq!(world.out[2].1.identities, first.identities);
    let mut world = World::ready(Settings::default());
    let mut message = Message::new("shutdown_request", &json!({"restart": true}));
    message.identities = vec![Bytes::from_static(b"me")];
    world.event(Event::Client(Channel::Control, message));
    assert_eq!(world.code, Some(0));
    assert_eq!(world.content("shutdown_reply"), json!({"status": "ok", "restart": true}));
}
