//! Progress: where it is told, and how well it knows what is left.

use std::process::Command;
use wider_clip::progress::{Pace, Progress, STATUS_MARK, STATUS_VARIABLE};

/// Seconds left as told after a tenth of the work, over the truth; `steps` are (seconds, work).
fn told_over_true(steps: &[(f64, f64)]) -> f64 {
    let (seconds, work): (f64, f64) = steps.iter().fold((0.0, 0.0), |sum, step| (sum.0 + step.0, sum.1 + step.1));
    let (mut pace, mut at, mut done) = (Pace::default(), 0.0, 0.0);
    for step in steps {
        (at, done) = (at + step.0, done + step.1);
        pace.note(at, done);
        if done >= 0.1 * work {
            return pace.seconds_left(at, work - done).expect("known by now") / (seconds - at);
        }
    }
    panic!("no tenth of the work");
}

#[test]
fn time_left_is_right_within_a_fifth_after_a_tenth_of_the_work() {
    let steady = vec![(2.0, 1.0); 100];
    let mut slow_start = steady.clone();
    slow_start[0].0 = 6.0;
    // Hundreds of cheap steps, then a few dear ones, whose work says so.
    let phases = [vec![(0.1, 1.0); 300], vec![(3.0, 30.0); 20]].concat();
    let mixed: Vec<(f64, f64)> = (0..200).map(|i| if i % 7 == 0 { (5.0, 50.0) } else { (0.2, 2.0) }).collect();
    // Work that was estimated a sixth wrong, either way in turn.
    let rough: Vec<(f64, f64)> = (0..200).map(|i| (1.0, if i % 2 == 0 { 1.17 } else { 0.83 })).collect();
    for (name, steps) in
        [("steady", steady), ("slow start", slow_start), ("phases", phases), ("mixed", mixed), ("rough", rough)]
    {
        let ratio = told_over_true(&steps);
        assert!((0.8..=1.2).contains(&ratio), "{name}: {ratio}");
    }
    // Many marks are thinned out and say the same.
    let mut pace = Pace::default();
    (1..100_000).for_each(|i| pace.note(f64::from(i), f64::from(2 * i)));
    let left = pace.seconds_left(99_999.0, 1000.0).expect("known");
    assert!((left - 500.0).abs() < 1.0, "{left}");
}

/// Not a test by itself: a job of two thousand steps, of which half were done before.
#[test]
#[ignore = "the child of the tests below"]
fn a_job() {
    let progress = Progress::new("counting", "steps", 2000, 1000);
    for _ in 0..1000 {
        progress.advance(1);
        std::thread::sleep(std::time::Duration::from_micros(700));
    }
    progress.finish();
    let nothing = Progress::weighted("nothing to do", 10.0);
    nothing.skip(10.0);
    nothing.finish();
}

/// Not a test by itself: a job of two steps that take long.
#[test]
#[ignore = "the child of the tests below"]
fn a_slow_job() {
    let progress = Progress::new("counting", "steps", 2, 0);
    for _ in 0..2 {
        std::thread::sleep(std::time::Duration::from_millis(2500));
        progress.advance(1);
    }
    progress.finish();
    // Nothing is told of a job that is over, or was given up.
    drop(Progress::new("nothing", "steps", 2, 0));
    std::thread::sleep(std::time::Duration::from_millis(1500));
}

fn lines_of_job(status: bool) -> Vec<String> {
    lines_of("a_job", status)
}

fn lines_of(name: &str, status: bool) -> Vec<String> {
    let mut job = Command::new(std::env::current_exe().expect("this test"));
    job.args(["--exact", name, "--ignored", "--nocapture"]).env_remove(STATUS_VARIABLE);
    if status {
        job.env(STATUS_VARIABLE, "1");
    }
    let output = job.output().expect("runs");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().filter(|line| line.contains("counting") || line.contains("nothing")).map(String::from).collect()
}

#[test]
fn a_log_has_one_line_for_a_job() {
    let lines = lines_of_job(false);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("counting: 1,000 steps in "), "{lines:?}");
}

#[test]
fn a_runner_has_marked_lines_and_one_that_stays() {
    let lines = lines_of_job(true);
    let (marked, plain): (Vec<&String>, Vec<&String>) = lines.iter().partition(|line| line.starts_with(STATUS_MARK));
    assert!((2..=6).contains(&marked.len()), "a line each 200 ms: {lines:?}");
    assert!(marked.iter().all(|line| line.contains(" of 2,000 steps") && line.contains(" to go")), "{marked:?}");
    assert_eq!(plain.len(), 1, "{plain:?}");
}

#[test]
fn a_long_step_is_no_silence() {
    let lines = lines_of("a_slow_job", true);
    let of = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
    assert!((1..=2).contains(&of("counting: 0 of 2 steps")), "{lines:?}");
    assert!((2..=3).contains(&of("counting: 1 of 2 steps")), "{lines:?}");
    assert_eq!((of("to go"), of("nothing")), (of("1 of 2 steps"), 0), "{lines:?}");
    assert!(lines.last().is_some_and(|line| line.starts_with("counting: 2 steps in ")), "{lines:?}");
}
