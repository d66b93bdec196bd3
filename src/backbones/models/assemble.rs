//! From published tensors to the parameters of a backbone: names, shapes, and a list of everything that does not fit.
//!
//! Inside the crate parameters have timm's names (`blocks.0.attn.qkv.weight`). A [`Scheme`] says how a publisher calls
//! them; one parameter may be several published tensors, stacked (query, key and value). The scheme that finds most is
//! taken, so that a file from transformers, timm, torchvision or open_clip loads without being told which it is.

mod prefixes;

use super::WeightFile;
use crate::error::{Error, Result};
use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A parameter of a backbone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in this crate.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Whether it is learned; running statistics are not.
    pub trained: bool,
}

impl Parameter {
    /// A learned parameter.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        Parameter { name: name.into(), shape: shape.into(), trained: true }
    }

    /// A running statistic.
    pub fn statistic(name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        Parameter { trained: false, ..Parameter::new(name, shape) }
    }
}

/// How a publisher calls the parameters.
#[derive(Clone, Copy)]
pub struct Scheme {
    /// Whose: `transformers`, `timm`, `torchvision`, `open_clip`.
    pub publisher: &'static str,
    /// What may stand before all names, the empty prefix included where it may.
    pub prefixes: &'static [&'static str],
    /// The published tensors, without prefix, whose rows make up the parameter of this name.
    pub published: fn(&str) -> Vec<String>,
    /// Tensors (named without prefix where they carry it) that belong to the checkpoint and not to the backbone: a
    /// decoder, a text tower, a classifier.
    pub ignored: fn(&str) -> bool,
}

/// Tensors by name, as a file or a map holds them.
pub trait Source {
    /// All names.
    fn names(&self) -> Vec<String>;
    /// The shape of a tensor.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;
    /// The tensor, in the type that it was published in.
    ///
    /// # Errors
    /// A tensor that cannot be read.
    fn tensor(&self, name: &str, device: &Device) -> Result<Tensor>;
    /// What to call the source in a message.
    fn describe(&self) -> String;
}

impl Source for HashMap<String, Tensor> {
    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.get(name).map(|tensor| tensor.dims().to_vec())
    }

    fn tensor(&self, name: &str, device: &Device) -> Result<Tensor> {
        let tensor = self.get(name).ok_or_else(|| Error::argument("tensor", "one of the map", name))?;
        Ok(tensor.to_device(device)?)
    }

    fn describe(&self) -> String {
        "tensors in memory".into()
    }
}

impl Source for WeightFile {
    fn names(&self) -> Vec<String> {
        WeightFile::names(self).map(String::from).collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        WeightFile::shape(self, name).ok().map(<[usize]>::to_vec)
    }

    fn tensor(&self, name: &str, device: &Device) -> Result<Tensor> {
        self.get(name, device)
    }

    fn describe(&self) -> String {
        let path = self.path().display().to_string();
        let one_of_several = path.rsplit_once("-of-").is_some_and(|(before, after)| {
            let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
            before.get(before.len().saturating_sub(5)..).is_some_and(digits) && after.get(..5).is_some_and(digits)
        });
        match one_of_several {
            true => format!("{path} (one of several files: name their index, which ends in .index.json, in its place)"),
            false => path,
        }
    }
}

/// The parameters of a backbone, read.
#[derive(Debug)]
pub struct Assembled {
    /// Name in this crate to tensor.
    pub tensors: HashMap<String, Tensor>,
    /// Name in this crate to the published names it was made of, prefix included.
    pub published: BTreeMap<String, Vec<String>>,
    /// The publisher whose names were found.
    pub publisher: &'static str,
}

/// How many tensors of each kind a message lists.
const LISTED: usize = 12;

/// Reads `parameters` from `source` as tensors of `dtype` on `device`.
///
/// What a program has put before all names (`module.` by DistributedDataParallel, `_orig_mod.` by torch.compile, `model.`
/// or `backbone.` by a training script, any other) is taken away where the tensors fit without it and with no other
/// prefix.
///
/// # Errors
/// [`Error::Data`] for a tensor with a number that is not finite; [`Error::Weights`] listing the tensors that are missing, have another shape, or belong to no parameter, and the prefix
/// without which they were read; [`Error::Data`] where the tensors of several models are there, with their prefixes.
pub fn assemble(
    source: &dyn Source,
    parameters: &[Parameter],
    schemes: &[Scheme],
    dtype: DType,
    device: &Device,
) -> Result<Assembled> {
    if schemes.is_empty() {
        return Err(Error::argument("schemes", "at least one", "none"));
    }
    let plan = prefixes::plan(source, parameters, schemes)?;
    if !plan.fits() {
        return Err(plan.error(source));
    }
    let mut assembled =
        Assembled { tensors: HashMap::new(), published: BTreeMap::new(), publisher: plan.scheme.publisher };
    for (parameter, parts) in plan.parts {
        let read = |part: &String| -> Result<Tensor> {
            let tensor = source.tensor(part, &Device::Cpu)?;
            check_finite(source, part, &tensor)?;
            Ok(tensor.to_dtype(dtype)?.to_device(device)?)
        };
        let tensors = parts.iter().map(read).collect::<Result<Vec<_>>>()?;
        let tensor = if tensors.len() == 1 { tensors[0].clone() } else { Tensor::cat(&tensors, 0)? };
        assembled.tensors.insert(parameter.name.clone(), tensor.reshape(parameter.shape.as_slice())?.contiguous()?);
        assembled.published.insert(parameter.name.clone(), parts);
    }
    Ok(assembled)
}

/// Numbers that are looked at together.
const PIECE: usize = 1 << 16;

/// Refuses a tensor with NaN or infinity, in f32: from the first image on, all features would be NaN.
fn check_finite(source: &dyn Source, name: &str, tensor: &Tensor) -> Result<()> {
    let flat = tensor.to_dtype(DType::F32)?.flatten_all()?;
    let (storage, layout) = flat.storage_and_layout();
    let numbers = match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(numbers)), Some((start, end))) => &numbers[start..end],
        _ => return Ok(()),
    };
    // A finite number times 0 is 0, any other NaN. Sixteen sums beside each other fill the registers.
    let finite = |piece: &[f32]| {
        let (whole, rest) = piece.as_chunks::<16>();
        let mut sums = [0f32; 16];
        whole.iter().for_each(|values| sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * 0.0));
        sums.iter().chain(rest).all(|value| value * 0.0 == 0.0)
    };
    if numbers.par_chunks(PIECE).all(finite) {
        return Ok(());
    }
    let n = numbers.iter().filter(|value| !value.is_finite()).count();
    let first = numbers.iter().find(|value| !value.is_finite()).copied().unwrap_or(f32::NAN);
    let found = format!("{n} of {} that are not, the first {first}", numbers.len());
    Err(Error::data(source.describe(), format!("tensor `{name}` of finite numbers"), found))
}

/// Which tensors become which parameters, and what does not fit.
#[derive(Clone)]
struct Plan<'a> {
    scheme: &'a Scheme,
    /// What was taken away before all names.
    stripped: String,
    /// Each parameter that is there, with the names of its tensors in the source.
    parts: Vec<(&'a Parameter, Vec<String>)>,
    missing: Vec<String>,
    misshaped: Vec<String>,
    unexpected: Vec<String>,
}

impl<'a> Plan<'a> {
    /// By `names`: what a tensor is to be called, to what the source calls it. Those `outside` have other names than the
    /// rest: they must be ignored.
    fn new(
        source: &dyn Source,
        parameters: &'a [Parameter],
        schemes: &'a [Scheme],
        names: &BTreeMap<String, String>,
        (stripped, outside): (&str, &[String]),
    ) -> Option<Plan<'a>> {
        let (scheme, prefix) = best(names, parameters, schemes)?;
        let stripped = stripped.to_string();
        let mut plan = Plan {
            scheme,
            stripped,
            parts: Vec::new(),
            missing: Vec::new(),
            misshaped: Vec::new(),
            unexpected: Vec::new(),
        };
        let mut used = BTreeSet::new();
        for parameter in parameters {
            let parts: Vec<String> =
                (scheme.published)(&parameter.name).iter().map(|part| format!("{prefix}{part}")).collect();
            let absent: Vec<_> = parts.iter().filter(|part| !names.contains_key(*part)).cloned().collect();
            used.extend(parts.iter().cloned());
            if !absent.is_empty() {
                plan.missing.extend(absent);
                continue;
            }
            let shapes: Vec<Vec<usize>> = parts.iter().filter_map(|part| source.shape(&names[part])).collect();
            if !fit(&shapes, &parameter.shape) {
                let found = parts.iter().zip(&shapes).map(|(part, shape)| format!("{part} {shape:?}"));
                let found = found.collect::<Vec<_>>().join(" + ");
                plan.misshaped.push(format!("{found} (expected {:?})", parameter.shape));
                continue;
            }
            plan.parts.push((parameter, parts.into_iter().map(|part| names[&part].clone()).collect()));
        }
        let ignored = |name: &str| {
            name.ends_with("num_batches_tracked") || (scheme.ignored)(name.strip_prefix(prefix).unwrap_or(name))
        };
        let left = names.keys().filter(|name| !used.contains(*name) && !ignored(name));
        let beside = outside.iter().filter(|name| !ignored(name) && !prefixes::beside(name));
        plan.unexpected = left.chain(beside).cloned().collect();
        Some(plan)
    }

    fn fits(&self) -> bool {
        self.missing.is_empty() && self.misshaped.is_empty() && self.unexpected.is_empty()
    }

    fn error(&self, source: &dyn Source) -> Error {
        let from = match self.stripped.as_str() {
            "" => source.describe(),
            prefix => format!("{} (without the prefix `{prefix}` of its names)", source.describe()),
        };
        let mut unexpected = list(&self.unexpected);
        if self.unexpected.iter().any(|name| name.contains(".lora_")) {
            unexpected += " (adapters of LoRA: save the model after merge_and_unload())";
        }
        Error::Weights {
            from,
            publisher: self.scheme.publisher,
            missing: list(&self.missing),
            misshaped: list(&self.misshaped),
            unexpected,
        }
    }
}

/// The scheme and prefix under which most parameters are found.
fn best<'a>(
    names: &BTreeMap<String, String>,
    parameters: &[Parameter],
    schemes: &'a [Scheme],
) -> Option<(&'a Scheme, &'static str)> {
    let found = |scheme: &Scheme, prefix: &str| {
        let there = |part: &String| names.contains_key(&format!("{prefix}{part}"));
        parameters.iter().filter(|parameter| (scheme.published)(&parameter.name).iter().all(there)).count()
    };
    let candidates = schemes.iter().flat_map(|scheme| scheme.prefixes.iter().map(move |prefix| (scheme, *prefix)));
    // Of equals the first.
    candidates.rev().max_by_key(|(scheme, prefix)| found(scheme, prefix))
}

/// Parts stacked along their first axis have the shape, axes of length 1 aside.
fn fit(parts: &[Vec<usize>], shape: &[usize]) -> bool {
    let squeezed = |shape: &[usize]| shape.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
    match parts {
        [part] => squeezed(part) == squeezed(shape),
        _ => {
            let rows: usize = parts.iter().filter_map(|part| part.first()).sum();
            shape.first() == Some(&rows) && parts.iter().all(|part| part.get(1..) == shape.get(1..))
        }
    }
}

/// The first few, and how many more there are.
fn list(names: &[String]) -> String {
    match names {
        [] => "none".into(),
        _ if names.len() <= LISTED => names.join(", "),
        _ => format!("{}, and {} more", names[..LISTED].join(", "), names.len() - LISTED),
    }
}
