//! Classes asked for by words: a text tower on the classes' names, for models that have one.

use super::{Encoded, Encoding, Parts, Predictions};
use crate::by_name::ByName;
use crate::error::{Error, Result};
use crate::features::FeatureTable;
use crate::manifest::Method;
use crate::project::Project;
use crate::say::plain;
use candle_core::Device;
use ndarray::{Array2, Axis};
use std::collections::BTreeSet;

/// The narrower crops of the ensemble, as parts of a model's own.
const NARROWER: [f64; 2] = [0.95, 0.9];

/// What answers the methods that ask by words.
#[derive(Debug, Clone, Default)]
pub struct Words {
    by_name: Option<ByName>,
    ensemble: Option<ByName>,
    /// The features of the narrower crops that the ensemble sees besides.
    crops: Vec<FeatureTable>,
}

impl Words {
    /// What of `methods` a model can be asked by, with the crops that this takes. Nothing for a model without a text tower.
    ///
    /// # Errors
    /// As for [`ByName::open`] and extraction.
    pub fn open(project: &Project, encoding: &Encoding, methods: &[Method], device: &Device) -> Result<Words> {
        let (root, model, classes) = (project.root(), &encoding.model, &encoding.set.classes);
        let mut words = Words::default();
        if methods.contains(&Method::ZeroShot) {
            words.by_name = ByName::open(root, model, classes, device)?;
        }
        if methods.contains(&Method::ZeroShotEnsemble) {
            words.ensemble = ByName::open_with_kinds(root, model, classes, device)?;
        }
        let warnings: BTreeSet<String> = words.by_name.iter().chain(&words.ensemble).map(ByName::warning).collect();
        for warning in warnings.iter().filter(|warning| !warning.is_empty()) {
            crate::say!("warning: {} on {}: {}", plain(&model.id), plain(&encoding.set.id), plain(warning));
        }
        if words.ensemble.is_some() {
            let crop = |part: f64| encoding.extract(project, part * model.input.crop_pct, None);
            words.crops = NARROWER.into_iter().map(crop).collect::<Result<_>>()?;
        }
        Ok(words)
    }

    /// With classes read from their names, for [`Method::ZeroShot`].
    pub fn from_names(by_name: ByName) -> Words {
        Words { by_name: Some(by_name), ..Words::default() }
    }

    /// What answers a method; `None` for other methods, and where there is nothing to be asked.
    pub fn answers(&self, method: Method) -> Option<&ByName> {
        match method {
            Method::ZeroShot => self.by_name.as_ref(),
            Method::ZeroShotEnsemble => self.ensemble.as_ref(),
            _ => None,
        }
    }

    /// The classes of the images at `positions`.
    ///
    /// # Errors
    /// [`Error::Argument`] where there is nothing to be asked.
    pub fn ask(&self, encoded: &Encoded, method: Method, positions: &[usize]) -> Result<Vec<u32>> {
        let by_name = self.answers(method).ok_or_else(|| {
            let found = format!("{}, or a suite without {}", encoded.features.model, method.as_str());
            let (what, expected) = match method {
                Method::ZeroShotEnsemble => {
                    ("method zero_shot_ensemble", "a model with a text tower and a list of kinds")
                }
                _ => ("method zero_shot", "a model with a text tower"),
            };
            Error::argument(what, expected, found)
        })?;
        // The ensemble sees several crops of an image.
        let crops = if method == Method::ZeroShotEnsemble { self.crops.as_slice() } else { &[] };
        let views = std::iter::once(&encoded.features)
            .chain(crops)
            .map(|table| Ok(table.pooling(by_name.pooling())?.select(Axis(0), positions)));
        let views = views.collect::<Result<Vec<_>>>()?;
        Ok(by_name.predict_views(&views.iter().map(Array2::view).collect::<Vec<_>>())?.to_vec())
    }

    /// The classes of all images that `parts` measure on; nothing is fitted.
    ///
    /// # Errors
    /// As for [`Words::ask`].
    pub fn predict(&self, encoded: &Encoded, method: Method, parts: &Parts) -> Result<Predictions> {
        let ood = if parts.ood.is_empty() { Vec::new() } else { self.ask(encoded, method, &parts.ood)? };
        let warning = self.answers(method).map(ByName::warning).unwrap_or_default();
        Ok(Predictions { test: self.ask(encoded, method, &parts.test)?, ood, warning })
    }
}
