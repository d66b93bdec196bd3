//! The training engine on a job of milliseconds: epochs, early stopping, interruptions, batches in parts.

#[path = "support/compare.rs"]
mod compare;
#[path = "support/small_job.rs"]
mod small_job;

use candle_core::{Device, Tensor};
use compare::relative;
use small_job::{Bars, EPOCHS, job, place};
use std::collections::BTreeMap;
use std::path::Path;
use wider_clip::error::Result;
use wider_clip::training::{
    Checkpoint, Course, EarlyStopping, Ended, Epochs, Outcome, Place, Plan, Reason, Schedule, Verdict, Watch, train,
};

fn plan(epochs: u64) -> Plan {
    let plan = Plan::by_epochs(epochs, &EPOCHS, Schedule::Constant(3e-3));
    Plan { stopping: Some(EarlyStopping::new("val_loss", 3)), longest_gradient: Some(1.0), ..plan }
}

/// Tensors as the bits of their values.
fn bits(tensors: impl IntoIterator<Item = (String, Tensor)>) -> BTreeMap<String, Vec<u32>> {
    let values = |tensor: Tensor| tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).expect("values");
    tensors.into_iter().map(|(name, t)| (name, values(t).into_iter().map(f32::to_bits).collect())).collect()
}

/// Values of a metric by images drawn.
fn line(outcome: &Outcome, metric: &str) -> Vec<(u64, f64)> {
    outcome.curve.line(metric)
}

#[test]
fn it_trains_by_epochs_and_stops_early_with_the_best_state_beside_the_last() -> Result<()> {
    // Validation images with random classes: learning the training images soon makes their loss worse.
    let mut job = job(true);
    let folder = tempfile::tempdir().expect("a folder");
    let outcome = train(&mut job, &plan(40), &place(folder.path()))?;
    assert_eq!(outcome.ended, Ended::Early(Reason::NoImprovement("val_loss".into(), 3)));
    assert_eq!(outcome.ended.to_string(), "stopped early: no better val_loss in 3 measures");
    let n_epochs = outcome.steps / 3;
    assert_eq!((outcome.steps, outcome.images), (3 * n_epochs, 22 * n_epochs));
    assert!(n_epochs < 40, "{n_epochs} epochs");

    let (losses, measured) = (line(&outcome, "loss"), line(&outcome, "val_loss"));
    let at: Vec<u64> = (1..=n_epochs).map(|epoch| 22 * epoch).collect();
    assert_eq!(losses.iter().map(|(images, _)| *images).collect::<Vec<_>>(), at, "a row an epoch");
    assert_eq!(measured.iter().map(|(images, _)| *images).collect::<Vec<_>>(), at, "a measure an epoch");
    assert!(losses[losses.len() - 1].1 < losses[0].1, "{losses:?}");

    let best = outcome.best.expect("a best state");
    let least = measured.iter().map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min);
    assert_eq!((best.value, best.step), (least, 3 * (n_epochs - 3)), "{measured:?}");
    // The job holds the last state.
    assert_eq!(job.validate()?.0, measured[measured.len() - 1].1);
    job.classifier.set_state(&best.state.into_iter().collect())?;
    assert_eq!(job.validate()?.0, best.value);
    Ok(())
}

/// All that a run ends with.
fn end(job: &Bars, outcome: Outcome) -> impl PartialEq + std::fmt::Debug + use<> {
    let rows = outcome.curve.rows().iter().map(|row| (row.step, row.images, row.metric.clone(), row.value.to_bits()));
    let best = outcome.best.map(|best| (best.step, best.value.to_bits(), bits(best.state)));
    (
        bits(job.classifier.state().expect("a state")),
        rows.collect::<Vec<_>>(),
        best,
        outcome.ended,
        outcome.steps,
        outcome.images,
    )
}

#[test]
fn a_run_killed_at_any_checkpoint_ends_with_the_same_bits() -> Result<()> {
    let at = |folder: &Path, wrong: bool, stop_after: Option<u64>, fails_at: Option<u64>| {
        let mut job = Bars { fails_at, ..job(wrong) };
        let outcome = train(&mut job, &plan(12), &Place { stop_after, page: false, ..place(folder) });
        outcome.map(move |outcome| (outcome.steps, end(&job, outcome)))
    };
    // Stopped early; and through all its steps.
    for wrong in [true, false] {
        let folder = || tempfile::tempdir().expect("a folder");
        let (through, stopped) = (folder(), folder());
        let (steps, expected) = at(through.path(), wrong, None, None)?;
        let before = std::fs::read(through.path().join("checkpoint.safetensors")).expect("a file");
        assert_eq!(at(through.path(), wrong, None, None)?.1, expected, "over is over");
        assert!(before == std::fs::read(through.path().join("checkpoint.safetensors")).expect("a file"));
        // One step at a time, in the middle of epochs too, and each time once broken off behind a checkpoint.
        for step in 1..=steps {
            let broken = at(stopped.path(), wrong, None, Some(step)).map(|(steps, _)| steps);
            if step < steps {
                assert!(broken.expect_err("broken off").to_string().contains("one that works"));
            }
            assert!(at(stopped.path(), wrong, Some(step), None)?.0 <= steps);
        }
        assert_eq!(at(stopped.path(), wrong, None, None)?.1, expected, "wrong: {wrong}");
        assert!(!stopped.path().join("live.html").exists() && !stopped.path().join("plotly.min.js").exists());
    }
    Ok(())
}

#[test]
fn other_plans_and_data_are_other_runs() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = job(false);
    let plan = plan(2);
    train(&mut first, &plan, &Place { stop_after: Some(2), ..place(folder.path()) })?;
    let mut other = job(false);
    other.epochs.batch = 4;
    let patient = Plan { stopping: Some(EarlyStopping::new("val_loss", 4)), ..plan.clone() };
    for error in
        [train(&mut job(false), &patient, &place(folder.path())), train(&mut other, &plan, &place(folder.path()))]
    {
        let error = error.expect_err("another run").to_string();
        assert!(error.contains("one of another run; remove it or choose another folder"), "{error}");
    }
    let none = Plan { steps: 0, ..plan };
    assert!(train(&mut job(false), &none, &place(folder.path())).expect_err("no step").to_string().contains("plan"));
    Ok(())
}

#[test]
fn the_gradients_of_parts_are_those_of_the_whole_batch() -> Result<()> {
    // After one step Adam's mean is a tenth of the gradient.
    let gradients = |parts: &[usize]| -> Result<Checkpoint> {
        let mut job = Bars { parts: parts.to_vec(), ..job(false) };
        let folder = tempfile::tempdir().expect("a folder");
        let plan = Plan::by_epochs(1, &job.epochs, Schedule::Constant(1e-3));
        train(&mut job, &plan, &Place { stop_after: Some(1), ..place(folder.path()) })?;
        Checkpoint::read(&folder.path().join("checkpoint.safetensors"), &Device::Cpu)
    };
    let whole = gradients(&[])?;
    let sum = |state: &Checkpoint| state.facts["sum.loss"].parse::<f64>().expect("a number");
    for parts in [&[2, 2, 2][..], &[3, 3], &[7], &[1, 4]] {
        let found = gradients(parts)?;
        assert!((sum(&found) - sum(&whole)).abs() < 1e-5, "{parts:?}: the mean loss over images");
        let (found, whole) = (found.under("mean"), whole.under("mean"));
        let mut largest = 0f64;
        for (name, expected) in &whole {
            // In units of 1, or of the largest gradient where that is more: what f32 can tell.
            let off = relative(&found[name], expected);
            let unit = off.largest / 0.1;
            assert!(off.absolute / 0.1 < 1e-6 * unit.max(1.0), "{parts:?}: {name}: {off}");
            largest = largest.max(unit);
        }
        assert!(largest > 0.01, "gradients are not nothing: {largest}");
    }
    Ok(())
}

#[test]
fn a_loss_that_is_not_finite_is_named_with_job_and_step() {
    let mut job = Bars { broken_at: Some(4), ..job(false) };
    let folder = tempfile::tempdir().expect("a folder");
    let error = train(&mut job, &plan(3), &place(folder.path())).expect_err("not a number").to_string();
    assert_eq!(error, "loss: expected finite numbers, found NaN for loss at step 4 of bars, learning rate 3e-3");
}

/// Named in its own step, clipped or not, before it is in weights or checkpoint.
#[test]
fn a_gradient_that_is_not_finite_is_named_with_parameter_and_step() {
    for longest_gradient in [Some(1.0), None] {
        for parts in [&[][..], &[3, 3]] {
            let folder = tempfile::tempdir().expect("a folder");
            let plan = Plan { longest_gradient, ..plan(3) };
            let broken = || Bars { steep_at: Some(4), parts: parts.to_vec(), ..job(false) };
            for _ in 0..2 {
                let error = train(&mut broken(), &plan, &place(folder.path())).expect_err("not a number").to_string();
                let (start, end) =
                    ("gradients: expected finite numbers, found infinite or NaN ones for ", "learning rate 3e-3");
                assert!(error.starts_with(start) && error.ends_with(end), "{error}");
                assert!(error.contains(" at step 4 of bars, "), "{error}");
            }
            let kept = Checkpoint::read(&folder.path().join("checkpoint.safetensors"), &Device::Cpu).expect("reads");
            assert_eq!(kept.facts["step"], "4");
            let finite = |values: &u32| f32::from_bits(*values).is_finite();
            assert!(bits(kept.tensors).values().flatten().all(finite), "a NaN in the checkpoint");
            train(&mut job(false), &plan, &place(folder.path())).expect("goes on");
        }
    }
}

/// A bit that flips in a checkpoint, a curve of another moment: nothing goes on from them.
#[test]
fn what_a_run_left_is_gone_on_with_as_it_was_or_not_at_all() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let (checkpoint, curve) = (folder.path().join("checkpoint.safetensors"), folder.path().join("curve.csv"));
    let stop = |stop_after| Place { stop_after, ..place(folder.path()) };
    train(&mut job(false), &plan(4), &stop(Some(4)))?;
    let earlier = std::fs::read(&curve).expect("reads");
    train(&mut job(false), &plan(4), &stop(Some(8)))?;
    let (whole, rows) = (std::fs::read(&checkpoint).expect("reads"), std::fs::read(&curve).expect("reads"));
    let header = 8 + u64::from_le_bytes(*whole.first_chunk().expect("a length")) as usize;
    // In the numbers, first and last; and in a number of the facts.
    let steps = whole.windows(9).position(|bytes| bytes == b"\"step\":\"8").expect("the step") + 8;
    for at in [header, header + 1000, whole.len() - 1, steps] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        std::fs::write(&checkpoint, flipped).expect("writes");
        let error = train(&mut job(false), &plan(4), &stop(None)).expect_err("damaged").to_string();
        assert!(error.contains("checkpoint.safetensors") && error.contains("bytes with CRC-32"), "{at}: {error}");
    }
    std::fs::write(&checkpoint, &whole).expect("writes");
    // No curve, one of an earlier moment, one with another number.
    let text = String::from_utf8(rows.clone()).expect("text");
    let other = text.replacen(",loss,1", ",loss,2", 1).replacen(",loss,0", ",loss,3", 1);
    assert_ne!(text, other);
    for wrong in [None, Some(earlier), Some(other.into_bytes())] {
        match &wrong {
            Some(bytes) => std::fs::write(&curve, bytes).expect("writes"),
            None => std::fs::remove_file(&curve).expect("removes"),
        }
        let error = train(&mut job(false), &plan(4), &stop(None)).expect_err("another curve").to_string();
        assert!(error.contains("curve.csv") && error.contains("bring it back, or remove both"), "{error}");
    }
    // Rows of steps behind the checkpoint are those of a run that was killed between the two.
    let behind = rows.iter().copied().chain(*b"bars,9,70,0.1,loss,0.5\n").collect::<Vec<_>>();
    std::fs::write(&curve, behind).expect("writes");
    train(&mut job(false), &plan(4), &stop(None))?;
    // Over is over, with its curve.
    std::fs::remove_file(&curve).expect("removes");
    assert!(train(&mut job(false), &plan(4), &stop(None)).is_err());
    Ok(())
}

#[test]
fn what_is_watched_must_be_measured() {
    let mut job = job(false);
    let folder = tempfile::tempdir().expect("a folder");
    let plan = Plan { stopping: Some(EarlyStopping::new("val_f1", 3)), ..plan(3) };
    let error = train(&mut job, &plan, &place(folder.path())).expect_err("unknown").to_string();
    assert_eq!(error, "no measure is called `val_f1`; known: val_loss, val_accuracy");
}

#[test]
fn early_stopping_follows_the_rule() {
    use Verdict::{Better as B, Stop as S, Wait as W};
    const NAN: f64 = f64::NAN;
    const INF: f64 = f64::INFINITY;
    // Patience, least fall, values of the metric, verdicts by hand.
    let cases: [(u32, f64, &[f64], &[Verdict]); 10] = [
        (3, 0.0, &[1.0, 0.9, 0.8, 0.7], &[B, B, B, B]),
        (3, 0.0, &[1.0, 1.1, 1.2, 1.3], &[B, W, W, S]),
        // Equal counts as a wait.
        (2, 0.0, &[1.0, 1.0, 1.0], &[B, W, S]),
        // The last moment: the count begins anew.
        (3, 0.0, &[1.0, 2.0, 2.0, 0.9, 2.0, 2.0, 2.0], &[B, W, W, B, W, W, S]),
        (1, 0.0, &[1.0, 0.5, 0.5], &[B, B, S]),
        (1, 0.0, &[1.0, 1.5], &[B, S]),
        // Below the best, not below the one before.
        (2, 0.0, &[1.0, 1.5, 1.2], &[B, W, S]),
        // Not finite ends it at once, even the first.
        (9, 0.0, &[1.0, NAN], &[B, S]),
        (9, 0.0, &[INF], &[S]),
        // A fall by exactly the least one is none.
        (2, 0.25, &[1.0, 0.75, 0.5, 0.25, 0.25], &[B, W, B, W, S]),
    ];
    for (patience, min_delta, values, expected) in cases {
        let mut watch = Watch::new(EarlyStopping { min_delta, ..EarlyStopping::new("val_loss", patience) });
        let verdicts: Vec<Verdict> = values.iter().map(|value| watch.check(*value)).collect();
        assert_eq!(verdicts, expected, "patience {patience}, least fall {min_delta}, {values:?}");
        assert_eq!(watch.reason().is_some(), expected.last() == Some(&S));
    }
    let mut watch = Watch::new(EarlyStopping::new("val_loss", 9));
    watch.check(NAN);
    assert_eq!(watch.reason().expect("stopped").to_string(), "val_loss was NaN");
    assert!(watch.best().is_infinite());
}

#[test]
fn a_measure_that_is_not_finite_stops_the_run() -> Result<()> {
    let mut job = job(false);
    job.val.pixels = (&job.val.pixels * f64::NAN)?;
    let folder = tempfile::tempdir().expect("a folder");
    let outcome = train(&mut job, &plan(5), &place(folder.path()))?;
    assert_eq!((outcome.steps, outcome.best.is_none()), (3, true));
    assert_eq!(outcome.ended.to_string(), "stopped early: val_loss was NaN");
    let again = train(&mut job, &plan(5), &place(folder.path()))?;
    assert_eq!((again.ended, again.steps), (outcome.ended, 3));
    Ok(())
}

#[test]
fn a_smaller_last_batch_is_kept_or_left_out() {
    let kept = Epochs { images: 10, batch: 4, keep_last: true, seed: 0 };
    let left_out = Epochs { keep_last: false, ..kept };
    let sizes = |epochs: &Epochs| (0..6).map(|step| epochs.rows(step).len()).collect::<Vec<_>>();
    assert_eq!(sizes(&kept), [4, 4, 2, 4, 4, 2]);
    assert_eq!(sizes(&left_out), [4; 6]);
    assert_eq!((kept.steps(), kept.drawn(), left_out.steps(), left_out.drawn()), (3, 10, 2, 8));
    let epoch = |epochs: &Epochs, n: u64| (3 * n..3 * n + 3).flat_map(|step| epochs.rows(step)).collect::<Vec<_>>();
    assert_ne!(epoch(&kept, 0), epoch(&kept, 1), "an order of its own");
    assert_eq!(Epochs { images: 3, ..left_out }.rows(0), Vec::<usize>::new());
    let text = [&kept, &left_out].map(Epochs::fingerprint);
    assert_eq!(text[0], "epochs of 10 images; batch 4; smaller last batch kept; seed 0");
    assert_ne!(text[0], text[1]);
}

#[test]
fn every_field_of_a_plan_changes_its_fingerprint() {
    let rule = EarlyStopping::new("val_loss", 3);
    let plan = Plan { stopping: Some(rule.clone()), ..Plan::by_steps(100, 800, Schedule::Constant(1e-3), 0) };
    let cosine = Schedule::Cosine { highest: 1e-3, last: 0.0, warm_up: 5, steps: 100 };
    let Plan {
        steps: _,
        images: _,
        seed: _,
        rate: _,
        betas: _,
        longest_gradient: _,
        stopping: _,
        rows_every: _,
        measure_every: _,
    } = plan.clone();
    let changed = [
        plan.clone(),
        Plan { steps: 101, ..plan.clone() },
        Plan { images: 801, ..plan.clone() },
        Plan { seed: 1, ..plan.clone() },
        Plan { rate: Schedule::Constant(2e-3), ..plan.clone() },
        Plan { rate: cosine, ..plan.clone() },
        Plan { rate: Schedule::Line { start: 1e-3, end: 0.0, steps: 100 }, ..plan.clone() },
        Plan { betas: (0.8, 0.999), ..plan.clone() },
        Plan { betas: (0.9, 0.99), ..plan.clone() },
        Plan { longest_gradient: Some(1.0), ..plan.clone() },
        Plan { stopping: None, ..plan.clone() },
        Plan { stopping: Some(EarlyStopping::new("val_loss", 4)), ..plan.clone() },
        Plan { stopping: Some(EarlyStopping::new("val_f1", 3)), ..plan.clone() },
        Plan { stopping: Some(EarlyStopping { min_delta: 0.1, ..rule }), ..plan.clone() },
        Plan { rows_every: 2, ..plan.clone() },
        Plan { measure_every: 20, ..plan.clone() },
    ];
    let texts = changed.map(|plan| plan.fingerprint());
    for (i, text) in texts.iter().enumerate() {
        assert!(!texts[..i].contains(text), "{text}");
    }
}

#[test]
fn a_job_is_told_how_the_run_stands() -> Result<()> {
    let folder = || tempfile::tempdir().expect("a folder");
    let mut stopped = job(true);
    let place_of_it = folder();
    let outcome = train(&mut stopped, &plan(40), &place(place_of_it.path()))?;
    let (losses, measured) = (line(&outcome, "loss"), line(&outcome, "val_loss"));
    let told = std::mem::take(&mut stopped.told);
    assert_eq!(told.len(), losses.len(), "once an epoch");
    let mut least = f64::INFINITY;
    let mut waited = 0;
    for (i, course) in told.iter().enumerate() {
        let epoch = i as u64 + 1;
        assert_eq!((course.steps, course.images, course.loss), ((3 * epoch, 120), 22 * epoch, Some(losses[i].1)));
        assert_eq!((course.measures[0], course.measures[1].0), (("val_loss", measured[i].1), "val_accuracy"));
        (waited, least) = if measured[i].1 < least { (0, measured[i].1) } else { (waited + 1, least) };
        assert_eq!(course.waited, Some((waited, 3)), "epoch {epoch} of {measured:?}");
    }
    assert_eq!(waited, 3);
    // A run that is over tells nothing more.
    train(&mut stopped, &plan(40), &place(place_of_it.path()))?;
    assert!(stopped.told.is_empty());

    // With rows at each step: nothing is measured before the first epoch's end, then the last measure stands.
    let mut each = job(false);
    let place_of_it = folder();
    let often = Plan { rows_every: 1, ..plan(2) };
    let outcome = train(&mut each, &often, &place(place_of_it.path()))?;
    let measures: Vec<usize> = each.told.iter().map(|course| course.measures.len()).collect();
    assert_eq!(measures, [0, 0, 2, 2, 2, 2]);
    assert_eq!(each.told[4].measures, each.told[2].measures);
    assert_eq!(each.told[0].waited, Some((0, 3)));
    let images: Vec<u64> = each.told.iter().map(|course| course.images).collect();
    assert_eq!(images, [8, 16, 22, 30, 38, 44]);
    assert_eq!(each.told[3].loss, Some(line(&outcome, "loss")[3].1));
    // Nothing is watched.
    let mut unwatched = job(false);
    let place_of_it = folder();
    train(&mut unwatched, &Plan { stopping: None, ..plan(1) }, &place(place_of_it.path()))?;
    assert_eq!(unwatched.told[0].waited, None);
    Ok(())
}

#[test]
fn how_a_run_stands_reads_as_a_line() {
    let course = Course {
        steps: (6, 120),
        images: 44,
        loss: Some(0.4123),
        measures: vec![("val_loss", 0.5), ("val_accuracy", 0.75)],
        waited: Some((1, 3)),
    };
    assert_eq!(
        course.to_string(),
        "loss 0.412, val_loss 0.500, val_accuracy 0.750, stops in 2 measures at the earliest"
    );
    let endless = Course { waited: Some((1, u32::MAX)), loss: None, ..course.clone() };
    assert_eq!(endless.to_string(), "val_loss 0.500, val_accuracy 0.750", "it never stops");
    assert_eq!(Course { measures: Vec::new(), waited: None, ..course }.to_string(), "loss 0.412");
}
