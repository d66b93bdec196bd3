//! The gap between accuracy in and out of distribution, arm by arm, and what of it needs no explanation.

use crate::error::Result;
use crate::experiments::{Answered, Tested};
use crate::metrics::{ClassMix, DriftLine, Estimate, Resamples, Stretch, above_chance};
use ndarray::{Array2, ArrayView1, Axis};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The gap of one arm on a data set. All numbers are fractions, means over seeds; intervals are percentiles of resamples of
/// units (groups that a split keeps together, where there are groups), the same resamples for all arms.
#[derive(Debug, Clone, PartialEq)]
pub struct Gap {
    /// Model id.
    pub model: String,
    /// A probe, or a way to fine-tune.
    pub method: String,
    /// Which weights of a run; empty for a probe.
    pub weights: String,
    /// Label budget.
    pub budget: u32,
    /// Training images.
    pub n_train: u32,
    /// Seeds.
    pub n_seeds: usize,
    /// Accuracy in distribution.
    pub id: Estimate,
    /// Accuracy out of it.
    pub ood: Estimate,
    /// In minus out.
    pub points: Estimate,
    /// Out as a part of in.
    pub ratio: Estimate,
    /// The same of what is above chance; `None` where in distribution nothing is.
    pub above_chance: Option<f64>,
    /// Effective robustness: above the line through all arms, on probit and on logit axes; `None` where an accuracy is 0 or 1.
    pub beside: [Option<Estimate>; 2],
    /// What another mix of classes takes of the gap, mean over seeds; `None` where no class is in both tests.
    pub mix: Option<f64>,
}

/// Both lines of a data set: probit, logit.
pub type Lines = [DriftLine; 2];

/// The drift of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// Data set id.
    pub dataset: String,
    /// Its units: families, cameras, images.
    pub n_units: usize,
    /// The lines through all arms; `None` for fewer than three arms with accuracies between 0 and 1.
    pub lines: Option<Lines>,
    /// Every arm.
    pub gaps: Vec<Gap>,
}

const STRETCHES: [Stretch; 2] = [Stretch::Probit, Stretch::Logit];

/// An arm: model, method, weights, budget.
type Arm<'a> = (&'a str, &'a str, &'a str, u32);

/// The two tests of a seed.
type Pair<'a> = [Option<&'a Answered>; 2];

/// The drift of every data set that `answers` tell both tests of. What lies on a line, and how far from it, depends on which arms
/// are given.
///
/// # Errors
/// Fewer than 40 resamples.
pub fn drifts(answers: &[Answered], resamples: usize, seed: u64) -> Result<Vec<Drift>> {
    let mut by_set: BTreeMap<&str, BTreeMap<Arm, BTreeMap<u64, Pair>>> = BTreeMap::new();
    for answered in answers {
        let side = match answered.split.as_str() {
            "id" => 0,
            "ood" => 1,
            _ => continue,
        };
        let cell = &answered.cell;
        let arm =
            (cell.model.as_str(), cell.method.as_str(), answered.weights.as_str(), cell.budget.unwrap_or_default());
        let arms = by_set.entry(&cell.dataset).or_default();
        arms.entry(arm).or_default().entry(cell.seed).or_default()[side] = Some(answered);
    }
    let mut drifts = Vec::new();
    for (dataset, arms) in by_set {
        let arms: Vec<(Arm, Vec<[&Answered; 2]>)> = arms
            .into_iter()
            .map(|(arm, seeds)| {
                (arm, seeds.into_values().filter_map(|[id, ood]| Some([id?, ood?])).collect::<Vec<_>>())
            })
            .filter(|(_, seeds)| !seeds.is_empty())
            .collect();
        if !arms.is_empty() {
            drifts.push(drift(dataset, &arms, resamples, seed)?);
        }
    }
    Ok(drifts)
}

/// Accuracies of all arms, in and out of distribution, in one resample or over all images.
type Accuracies = Vec<(f64, f64)>;

fn drift(dataset: &str, arms: &[(Arm, Vec<[&Answered; 2]>)], resamples: usize, seed: u64) -> Result<Drift> {
    let units: BTreeSet<u32> = arms
        .iter()
        .flat_map(|(_, seeds)| seeds.iter().flatten().flat_map(|part| &part.tested.units))
        .copied()
        .collect();
    let places: BTreeMap<u32, usize> = units.iter().zip(0..).map(|(&unit, place)| (unit, place)).collect();
    let drawn = Resamples::new(units.len(), resamples, seed)?;
    let counts = Counts::of(arms, &places);
    let whole = &counts.accuracies(counts.per_unit.sum_axis(Axis(0)).view());
    let sums = drawn.sums(counts.per_unit.view())?;
    let resampled: Vec<Accuracies> = sums.rows().into_iter().map(|sums| counts.accuracies(sums)).collect();
    let lines = lay(whole);
    let lines_of_resamples: Vec<Option<Lines>> = resampled.iter().map(lay).collect();
    let mut gaps = Vec::new();
    for (i, ((model, method, weights, budget), seeds)) in arms.iter().enumerate() {
        let estimate = |of: &dyn Fn((f64, f64)) -> f64| {
            Estimate::of(of(whole[i]), resampled.iter().map(|accuracies| of(accuracies[i])).collect())
        };
        let beside = [0, 1].map(|k| {
            let (id, ood) = whole[i];
            let value = lines.as_ref()?[k].effective_robustness(id, ood)?;
            let of = |(accuracies, lines): (&Accuracies, &Option<Lines>)| {
                let (id, ood) = accuracies[i];
                lines.as_ref().and_then(|lines| lines[k].effective_robustness(id, ood)).unwrap_or(f64::NAN)
            };
            Some(Estimate::of(value, resampled.iter().zip(&lines_of_resamples).map(of).collect()))
        });
        let classes = seeds[0][0].tested.classes.iter().collect::<BTreeSet<_>>().len();
        let (id, ood) = whole[i];
        let above = above_chance(id, classes).filter(|above| *above > 0.0);
        gaps.push(Gap {
            model: model.to_string(),
            method: method.to_string(),
            weights: weights.to_string(),
            budget: *budget,
            n_train: seeds[0][0].n_train,
            n_seeds: seeds.len(),
            id: estimate(&|(id, _)| id),
            ood: estimate(&|(_, ood)| ood),
            points: estimate(&|(id, ood)| id - ood),
            ratio: estimate(&|(id, ood)| ood / id),
            above_chance: above.and_then(|above| Some(above_chance(ood, classes)? / above)),
            beside,
            mix: mix(seeds)?,
        });
    }
    Ok(Drift { dataset: dataset.into(), n_units: units.len(), lines, gaps })
}

/// Lines through all arms whose accuracies have a place on the axes.
fn lay(accuracies: &Accuracies) -> Option<Lines> {
    let inside = |accuracy: f64| accuracy > 0.0 && accuracy < 1.0;
    let points: Vec<(f64, f64)> = accuracies.iter().copied().filter(|&(id, ood)| inside(id) && inside(ood)).collect();
    let [probit, logit] = STRETCHES.map(|stretch| DriftLine::fit(&points, stretch));
    Some([probit.ok()?, logit.ok()?])
}

/// Images and right ones per unit, and which column holds which.
struct Counts {
    /// (units, columns).
    per_unit: Array2<f32>,
    /// For each arm and seed the columns of right ones and of images, in and out of distribution.
    columns: Vec<Vec<[(usize, usize); 2]>>,
}

impl Counts {
    fn of(arms: &[(Arm, Vec<[&Answered; 2]>)], places: &BTreeMap<u32, usize>) -> Counts {
        let mut columns: Vec<Vec<f32>> = Vec::new();
        let mut add = |units: &mut dyn Iterator<Item = &u32>| {
            let mut column = vec![0.0; places.len()];
            units.for_each(|unit| column[places[unit]] += 1.0);
            columns.push(column);
            columns.len() - 1
        };
        // Arms that are measured on the same images share their number.
        let mut images: BTreeMap<*const Tested, usize> = BTreeMap::new();
        let mut part = |answered: &Answered| {
            let tested = &answered.tested;
            let n = *images.entry(Arc::as_ptr(tested)).or_insert_with(|| add(&mut tested.units.iter()));
            let right = tested.units.iter().zip(&answered.right).filter(|(_, right)| **right);
            (add(&mut right.map(|(unit, _)| unit)), n)
        };
        let of_arm = |seeds: &Vec<[&Answered; 2]>| seeds.iter().map(|[id, ood]| [part(id), part(ood)]).collect();
        let places_of = arms.iter().map(|(_, seeds)| seeds).map(of_arm).collect();
        let per_unit = Array2::from_shape_fn((places.len(), columns.len()), |(unit, column)| columns[column][unit]);
        Counts { per_unit, columns: places_of }
    }

    /// Accuracies, means over seeds, from the sums of all columns.
    fn accuracies(&self, sums: ArrayView1<f32>) -> Accuracies {
        let of_arm = |seeds: &Vec<[(usize, usize); 2]>| {
            let side = |k: usize| {
                let of_seed = |pair: &[(usize, usize); 2]| f64::from(sums[pair[k].0]) / f64::from(sums[pair[k].1]);
                seeds.iter().map(of_seed).sum::<f64>() / seeds.len() as f64
            };
            (side(0), side(1))
        };
        self.columns.iter().map(of_arm).collect()
    }
}

/// What the mix of classes takes of the gap, mean over seeds.
fn mix(seeds: &[[&Answered; 2]]) -> Result<Option<f64>> {
    let side = |part: &Answered| -> Vec<(u32, bool)> {
        part.tested.classes.iter().copied().zip(part.right.iter().copied()).collect()
    };
    let of_seeds = seeds.iter().map(|[id, ood]| Ok(ClassMix::of(&side(id), &side(ood))?.map(|mix| mix.mix)));
    let of_seeds: Option<Vec<f64>> = of_seeds.collect::<Result<Vec<_>>>()?.into_iter().collect();
    Ok(of_seeds.map(|mixes| mixes.iter().sum::<f64>() / mixes.len() as f64))
}
