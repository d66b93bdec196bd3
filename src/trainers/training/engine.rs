//! The loop that trains a job, from nothing or from where it was interrupted.
//!
//! A step is a pure function of the state before it and of what its number draws, and a checkpoint holds the whole state:
//! a run that was stopped anywhere and goes on ends, on a processor, with the very bits of one that was not. Batches are
//! drawn by a thread of their own, a few ahead.

use super::curve::{Curve, CurveRow};
use super::job::{Best, Course, End, Ended, Job, Moment, Outcome, Part, Source};
use super::optimiser::{Adam, add_gradients};
use super::plan::{Place, Plan};
use super::stop::{Verdict, Watch};
use crate::error::{Error, Result};
use crate::ops::keep_memory;
use crate::progress::Progress;
use crate::storage::{self, FolderLock};
use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

/// Batches that are drawn ahead.
const AHEAD: usize = 2;
/// Raised whenever a change here, or in an operation's gradient, moves the weights that a run ends with: what began before is
/// not gone on with.
const VERSION: u32 = 2;
/// Measures up to which each is printed.
const SAID: u64 = 10;
/// A run's curve.
pub const CURVE: &str = "curve.csv";
/// Training goes on for so many times as long as the last checkpoint took.
const SAVING: u32 = 10;
/// What losses and gradients should have been, where they are not.
const FINITE: &str = "finite numbers";

/// Whether an error says that a loss or a gradient was infinite or NaN.
pub fn has_diverged(error: &Error) -> bool {
    matches!(error, Error::Argument { expected, .. } if expected == FINITE)
}

/// What a step takes: parts of a batch, or why they could not be drawn.
type Drawn<B> = Result<Vec<Part<B>>>;

/// Trains `job` by `plan`, going on from the checkpoint in the folder where there is one. A run that is over is not
/// repeated: its last state is put into the job, and [`Job::finish`] called.
///
/// # Errors
/// A folder that holds another run, or a checkpoint of an older form; losses that are not finite, by job and step;
/// everything that the job, reading and writing can fail with.
pub fn train<J: Job>(job: &mut J, plan: &Plan, place: &Place) -> Result<Outcome> {
    keep_memory();
    plan.check()?;
    let _lock = FolderLock::acquire(place.folder, || {
        if place.verbose {
            wider_clip_numbers::say!("{}: another process trains it", job.name());
        }
    })?;
    let mut run = Run::begin(job, plan, place)?;
    run.go_on()?;
    run.end()
}

/// `work` on a thread of Rayon's pool. A step is hundreds of operations, each spread over the pool: from outside of it each
/// would wake a thread in there and be woken by it, which costs a small network a tenth of its time.
fn in_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

/// The hash of all that decides a run: a checkpoint is gone on with by the same run alone.
pub fn identity<J: Job>(job: &J, plan: &Plan) -> String {
    let words = [job.fingerprint(), plan.fingerprint(), job.parameters().fingerprint()].join("\n");
    storage::sha256_hex(format!("engine {VERSION}\n{words}").as_bytes())
}

/// A run under way.
pub(super) struct Run<'a, J: Job> {
    pub(super) job: &'a mut J,
    pub(super) plan: &'a Plan,
    pub(super) place: &'a Place<'a>,
    /// The hash of all that decides the run.
    pub(super) identity: String,
    pub(super) adam: Adam,
    pub(super) curve: Curve,
    pub(super) watch: Option<Watch>,
    pub(super) best: Option<Best>,
    pub(super) step: u64,
    pub(super) images: u64,
    pub(super) seconds: f64,
    /// Since the last rows: images, and by name the sum of each loss over them.
    pub(super) since: (u64, BTreeMap<String, f64>),
    /// What was measured last.
    measured: Vec<(&'static str, f64)>,
}

impl<'a, J: Job> Run<'a, J> {
    fn begin(job: &'a mut J, plan: &'a Plan, place: &'a Place) -> Result<Self> {
        let mut adam = Adam::new(job.parameters().trained().to_vec())?;
        (adam.beta1, adam.beta2) = plan.betas;
        let mut run = Run {
            identity: identity(job, plan),
            adam,
            curve: Curve::open(&place.folder.join(CURVE))?,
            watch: plan.stopping.clone().map(Watch::new),
            best: None,
            step: 0,
            images: 0,
            seconds: 0.0,
            since: (0, BTreeMap::new()),
            measured: Vec::new(),
            job,
            plan,
            place,
        };
        run.resume()?;
        Ok(run)
    }

    /// Why the run ended, or that it did not.
    pub(super) fn ended(&self) -> Ended {
        match self.watch.as_ref().and_then(Watch::reason) {
            Some(reason) => Ended::Early(reason.clone()),
            None if self.step < self.plan.steps => Ended::Interrupted,
            None => Ended::Through,
        }
    }

    /// Takes the steps that are left for now.
    fn go_on(&mut self) -> Result<()> {
        let last = self.place.stop_after.unwrap_or(u64::MAX).min(self.plan.steps);
        if self.step >= last || self.ended() != Ended::Interrupted {
            return Ok(());
        }
        let source = self.job.source()?;
        let from = self.step;
        let label = format!("{} {}", self.job.verb(), self.job.name());
        let mut progress = Progress::new(label, "images", self.plan.images as usize, self.images as usize);
        if !self.place.verbose {
            progress = progress.silent();
        }
        std::thread::scope(|scope| {
            let (sender, batches) = sync_channel::<Drawn<J::Batch>>(AHEAD);
            scope.spawn(move || {
                for step in from..last {
                    // The run is over, or has failed: nobody listens.
                    if sender.send(source.batch(step)).is_err() {
                        return;
                    }
                }
            });
            self.steps(batches, last, &progress)
        })?;
        progress.finish();
        self.save()
    }

    fn steps(&mut self, batches: Receiver<Drawn<J::Batch>>, last: u64, progress: &Progress) -> Result<()> {
        let (mut saved, mut every) = (Instant::now(), self.place.every);
        while self.step < last && self.ended() == Ended::Interrupted {
            let begun = Instant::now();
            let parts = batches.recv().map_err(|_| Error::argument("source", "a batch", "none"))??;
            in_pool(|| self.one(&parts))?;
            self.seconds += begun.elapsed().as_secs_f64();
            progress.advance(parts.iter().map(|part| part.images).sum());
            if self.plan.has_rows(self.step) {
                let loss = self.rows();
                if self.plan.has_measure(self.step) {
                    self.measure()?;
                }
                let course = self.course(loss);
                progress.doing(course.to_string());
                self.job.told(&course);
            }
            if saved.elapsed() >= every && self.step < last {
                let begun = Instant::now();
                self.save()?;
                saved = Instant::now();
                // On a slow disk a large network would be saved for longer than it is trained.
                if !self.place.every.is_zero() {
                    every = self.place.every.max(SAVING * begun.elapsed());
                }
            }
        }
        Ok(())
    }

    /// One step.
    fn one(&mut self, parts: &[Part<J::Batch>]) -> Result<()> {
        let at = Moment { step: self.step, total: self.plan.steps, seed: self.plan.seed };
        let gradients = self.gradients(parts, at)?;
        if let Some(name) = self.adam.not_finite(&gradients)? {
            return Err(self.not_finite("gradients", format!("infinite or NaN ones for {name}"), parts, at));
        }
        let scale = match self.plan.longest_gradient {
            Some(longest) => (longest / (self.adam.norm(&gradients)? + 1e-6)).min(1.0),
            None => 1.0,
        };
        self.adam.scaled_step(&gradients, self.plan.rate.at(self.step), scale)?;
        self.job.after_step(at)?;
        self.step += 1;
        Ok(())
    }

    /// The gradients of the mean loss over all images of the batch's parts; notes losses for the next rows.
    fn gradients(&mut self, parts: &[Part<J::Batch>], at: Moment) -> Result<GradStore> {
        let images: usize = parts.iter().map(|part| part.images).sum();
        if parts.iter().any(|part| part.images == 0) || images == 0 {
            let found = format!("an empty one at step {} of {}", at.step, self.job.name());
            return Err(Error::argument("batch", "at least one image in each part", found));
        }
        let mut gradients = None;
        for part in parts {
            let loss = self.job.loss(&part.batch, at)?;
            let all = std::iter::once(("loss", &loss.total));
            for (name, value) in all.chain(loss.parts.iter().map(|(name, value)| (*name, value))) {
                self.note(name, value, part, at)?;
            }
            let of_part = loss.total.backward()?;
            gradients = Some(match parts.len() {
                1 => of_part,
                _ => {
                    let weight = part.images as f64 / images as f64;
                    add_gradients(gradients, of_part, weight, self.job.parameters().trained())?
                }
            });
        }
        self.images += images as u64;
        self.since.0 += images as u64;
        gradients.ok_or_else(|| Error::argument("batch", "at least one part", "none"))
    }

    fn note(&mut self, name: &str, value: &Tensor, part: &Part<J::Batch>, at: Moment) -> Result<()> {
        let value = f64::from(value.to_dtype(DType::F32)?.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(self.not_finite("loss", format!("{value} for {name}"), std::slice::from_ref(part), at));
        }
        let images = part.images;
        match self.since.1.get_mut(name) {
            Some(sum) => *sum += value * images as f64,
            None => drop(self.since.1.insert(name.into(), value * images as f64)),
        }
        Ok(())
    }

    /// The error for numbers of a step that are not finite.
    fn not_finite(&self, what: &'static str, found: String, parts: &[Part<J::Batch>], at: Moment) -> Error {
        let (job, rate) = (self.job.name(), self.plan.rate.at(at.step));
        let mut found = format!("{found} at step {} of {job}, learning rate {rate:e}", at.step);
        for batch in parts.iter().map(|part| self.job.describe(&part.batch)).filter(|batch| !batch.is_empty()) {
            found.push_str(&format!(", {batch}"));
        }
        Error::argument(what, FINITE, found)
    }

    /// Rows of the losses since the rows before; gives the loss.
    fn rows(&mut self) -> Option<f64> {
        let (images, sums) = std::mem::take(&mut self.since);
        let loss = sums.get("loss").map(|sum| sum / images as f64);
        for (name, sum) in sums {
            self.row(&name, sum / images as f64);
        }
        loss
    }

    fn course(&self, loss: Option<f64>) -> Course {
        let waited = self.plan.stopping.as_ref().zip(self.watch.as_ref());
        Course {
            steps: (self.step, self.plan.steps),
            images: self.images,
            loss,
            measures: self.measured.clone(),
            waited: waited.map(|(rule, watch)| (watch.waited(), rule.patience)),
        }
    }

    fn row(&mut self, metric: &str, value: f64) {
        self.curve.push(CurveRow {
            model: self.job.name().into(),
            step: self.step,
            images: self.images,
            seconds: self.seconds,
            metric: metric.into(),
            value,
        });
    }

    fn measure(&mut self) -> Result<()> {
        let at = Moment { step: self.step, total: self.plan.steps, seed: self.plan.seed };
        let measured = in_pool(|| self.job.measure(at))?;
        for (name, value) in &measured {
            self.row(name, *value);
        }
        // A line each where they are few; progress tells of all.
        if self.place.verbose && !measured.is_empty() && self.plan.steps / self.plan.measure_every <= SAID {
            let values: Vec<_> = measured.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
            let (verb, name) = (self.job.verb(), self.job.name());
            wider_clip_numbers::say!("{verb} {name}: step {} of {}, {}", self.step, self.plan.steps, values.join(", "));
        }
        self.measured = measured;
        let measured = &self.measured;
        let Some(watch) = &mut self.watch else { return Ok(()) };
        let Some((_, value)) = measured.iter().find(|(name, _)| *name == watch.metric()) else {
            let known = measured.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            return Err(Error::Unknown { kind: "measure", name: watch.metric().into(), known });
        };
        if watch.check(*value) == Verdict::Better {
            self.best = Some(Best { step: self.step, value: *value, state: self.job.parameters().state()? });
        }
        Ok(())
    }

    /// Lets the job write what is left to write.
    fn end(self) -> Result<Outcome> {
        let ended = self.ended();
        let Run { job, identity, curve, best, step: steps, images, seconds, .. } = self;
        if ended != Ended::Interrupted {
            job.finish(&End { run: &identity, ended: &ended, curve: &curve, best: best.as_ref() })?;
        }
        Ok(Outcome { ended, steps, images, seconds, curve, best })
    }
}
