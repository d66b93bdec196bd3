//! What programs put before the names of a model's tensors, found and taken away.

use super::{Parameter, Plan, Scheme, Source};
use crate::error::{Error, Result};
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

/// What torch.compile, FSDP and checkpointed activations put into a name, at any place.
const WRAPPERS: [&str; 3] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// What stands beside a backbone in a training script's module: heads, losses, the count of an average of weights.
const BESIDE: [&str; 9] =
    ["head.", "heads.", "classifier.", "fc.", "projector.", "predictor.", "criterion.", "loss.", "n_averaged"];

/// The most prefixes that are tried.
const TRIED: usize = 8;

/// Whether a tensor beside the backbone needs no mention.
pub(super) fn beside(name: &str) -> bool {
    BESIDE.iter().any(|start| name.starts_with(start))
}

/// The plan that fits; else the one that comes nearest.
///
/// # Errors
/// Tensors of several models, each under a prefix of its own.
pub(super) fn plan<'a>(source: &dyn Source, parameters: &'a [Parameter], schemes: &'a [Scheme]) -> Result<Plan<'a>> {
    let none = || Error::argument("schemes", "at least one", "none");
    let mut names: BTreeMap<String, String> = source.names().into_iter().map(|name| (name.clone(), name)).collect();
    let mut nearest = Plan::new(source, parameters, schemes, &names, ("", &[])).ok_or_else(none)?;
    if nearest.fits() {
        return Ok(nearest);
    }
    if let Some(unwrapped) = unwrapped(&names) {
        names = unwrapped;
        nearest = Plan::new(source, parameters, schemes, &names, ("_orig_mod.", &[])).ok_or_else(none)?;
        if nearest.fits() {
            return Ok(nearest);
        }
    }
    let direct = nearest.complete().then(|| nearest.clone());
    let mut fitting: Vec<Plan> = direct.into_iter().collect();
    for prefix in candidates(&names, parameters, schemes) {
        let inside =
            names.iter().filter_map(|(name, own)| Some((name.strip_prefix(&prefix)?.to_string(), own.clone())));
        let outside = names.keys().filter(|name| !name.starts_with(&prefix));
        let outside: Vec<String> = outside.map(|name| without_common(name, &prefix).to_string()).collect();
        let plan = Plan::new(source, parameters, schemes, &inside.collect(), (&prefix, &outside)).ok_or_else(none)?;
        if plan.complete() && fitting.iter().all(|other| other.parts != plan.parts) {
            fitting.push(plan);
        } else if plan.parts.len() > nearest.parts.len() {
            nearest = plan;
        }
    }
    match fitting.len() {
        0 => Ok(nearest),
        1 => Ok(fitting.remove(0)),
        _ => {
            let prefixes: Vec<_> = fitting.iter().map(|plan| format!("`{}`", plan.stripped)).collect();
            let first =
                fitting.iter().map(|plan| plan.stripped.as_str()).find(|prefix| !prefix.is_empty()).unwrap_or_default();
            let found = format!(
                "several, under the prefixes {}. Save the one that you want alone: torch.save({{name.removeprefix(\"{first}\"): \
                 tensor for name, tensor in state_dict.items() if name.startswith(\"{first}\")}}, new_file)",
                prefixes.join(", ")
            );
            Err(Error::data(PathBuf::from(source.describe()), "the tensors of one model", found))
        }
    }
}

impl Plan<'_> {
    /// Whether every parameter is there, whatever else is.
    fn complete(&self) -> bool {
        self.missing.is_empty() && self.misshaped.is_empty()
    }
}

/// The names without what wraps a module; `None` where nothing does, or two tensors would have one name.
fn unwrapped(names: &BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    let bare = |name: &str| name.split('.').filter(|part| !WRAPPERS.contains(part)).collect::<Vec<_>>().join(".");
    let bare: BTreeMap<String, String> = names.iter().map(|(name, own)| (bare(name), own.clone())).collect();
    (bare.len() == names.len() && bare != *names).then_some(bare)
}

/// What stands before names that publishers give, that before most of them first.
fn candidates(names: &BTreeMap<String, String>, parameters: &[Parameter], schemes: &[Scheme]) -> Vec<String> {
    let mut published = HashSet::new();
    for scheme in schemes {
        for name in parameters.iter().flat_map(|parameter| (scheme.published)(&parameter.name)) {
            published.extend(scheme.prefixes.iter().map(|prefix| format!("{prefix}{name}")));
        }
    }
    let longest = published.iter().map(String::len).max().unwrap_or(0);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names.keys() {
        for (dot, _) in name.match_indices('.').filter(|(dot, _)| name.len() - dot - 1 <= longest) {
            if published.contains(&name[dot + 1..]) {
                *counts.entry(&name[..=dot]).or_default() += 1;
            }
        }
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    // Of equals the shortest.
    counts.sort_by_key(|(prefix, count)| (usize::MAX - count, prefix.len()));
    counts.into_iter().take(TRIED).map(|(prefix, _)| prefix.to_string()).collect()
}

/// A name without the parts that it has in common with a prefix.
fn without_common<'a>(name: &'a str, prefix: &str) -> &'a str {
    let mut rest = name;
    for part in prefix.split_inclusive('.') {
        match rest.strip_prefix(part) {
            Some(after) => rest = after,
            None => break,
        }
    }
    rest
}
