//! A run put aside and taken up again: its whole state in the folder's checkpoint.

use super::checkpoint::Checkpoint;
use super::engine::Run;
use super::job::{Best, Job};
use super::page::{self, Page};
use super::stop::Watch;
use crate::error::{Error, Result};
use std::path::PathBuf;

/// The form of checkpoints. Raised whenever they hold other things.
const FORM: &str = "2";

impl<J: Job> Run<'_, J> {
    fn checkpoint(&self) -> PathBuf {
        self.place.folder.join("checkpoint.safetensors")
    }

    /// Goes on from the folder's checkpoint, where there is one.
    pub(super) fn resume(&mut self) -> Result<()> {
        let path = self.checkpoint();
        if !path.exists() {
            self.curve.cut(0);
            return Ok(());
        }
        let state = Checkpoint::read(&path, self.job.parameters().device())?;
        let advice = "remove it or choose another folder";
        if state.facts.get("form").map(String::as_str) != Some(FORM) {
            let found = format!("one of an older form, which cannot be gone on from; {advice}");
            return Err(Error::data(&path, format!("a checkpoint of form {FORM}"), found));
        }
        if state.fact::<String>(&path, "run")? != self.identity {
            let expected = "a checkpoint of this job with these data, settings and seed on this kind of device";
            return Err(Error::data(&path, expected, format!("one of another run; {advice}")));
        }
        self.step = state.fact(&path, "step")?;
        self.images = state.fact(&path, "images")?;
        self.seconds = state.fact(&path, "seconds")?;
        self.since.0 = state.fact(&path, "since")?;
        for name in state.facts.keys().filter_map(|name| name.strip_prefix("sum.")) {
            self.since.1.insert(name.into(), state.fact(&path, &format!("sum.{name}"))?);
        }
        self.curve.cut(self.step);
        // Older checkpoints do not say.
        if let Some(expected) = state.facts.get("curve").filter(|said| **said != self.curve.content()) {
            let found = format!(
                "{}, so that it is not the curve of the checkpoint beside it; bring it back, or remove \
                                 both to begin anew",
                self.curve.content()
            );
            return Err(Error::data(self.curve.path(), expected.clone(), found));
        }
        let values = state.under("value");
        self.job.parameters().set_state(|name| values.get(name))?;
        self.adam.resume(self.step, |name| state.tensors.get(name).cloned())?;
        self.job.remember(&state.under("memory"))?;
        if let Some(watch) = &mut self.watch {
            let missing = |name: &str| Error::data(&path, format!("`{name}` in the checkpoint's metadata"), "none");
            watch.resume(&state.facts).map_err(missing)?;
            if watch.best().is_finite() {
                let step = state.fact(&path, "best.step")?;
                self.best = Some(Best { step, value: watch.best(), state: state.under("best").into_iter().collect() });
            }
        }
        Ok(())
    }

    /// Writes the curve, the checkpoint and the page.
    pub(super) fn save(&self) -> Result<()> {
        let mut state = Checkpoint::default();
        state.put("value", self.job.parameters().state()?);
        state.tensors.extend(self.adam.averages().map(|(name, average)| (name, average.clone())));
        state.put("memory", self.job.memory());
        let mut fact = |name: &str, value: String| drop(state.facts.insert(name.into(), value));
        fact("form", FORM.into());
        fact("run", self.identity.clone());
        fact("step", self.step.to_string());
        fact("images", self.images.to_string());
        fact("seconds", self.seconds.to_string());
        fact("since", self.since.0.to_string());
        fact("curve", self.curve.content());
        for (name, sum) in &self.since.1 {
            fact(&format!("sum.{name}"), sum.to_string());
        }
        if let Some(best) = &self.best {
            fact("best.step", best.step.to_string());
            state.put("best", best.state.clone());
        }
        state.facts.extend(self.watch.iter().flat_map(Watch::facts));
        // The curve first: rows after the checkpoint's step are dropped when it is read.
        self.curve.write()?;
        state.write(&self.checkpoint())?;
        if !self.place.page {
            return Ok(());
        }
        page::write(
            self.place.folder,
            &Page {
                verb: self.job.verb(),
                name: self.job.name(),
                panels: self.job.panels(),
                curve: &self.curve,
                images: (self.images, self.plan.images),
                ended: &self.ended(),
            },
        )
    }
}
