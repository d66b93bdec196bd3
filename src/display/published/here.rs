//! What the data here say to the study's claims: counts over tests, of the models that learned from the same data where the claim is
//! about objectives.

use crate::display::answer::part_words;
use crate::display::selection::model_name;
use crate::experiments::choices::{Choice, Did};
use crate::metrics::Estimate;
use crate::project::Project;
use crate::results::ResultRow;
use std::collections::BTreeMap;

/// What the data here say.
pub(super) struct Here<'a> {
    pub project: &'a Project,
    pub rows: &'a [ResultRow],
    pub choices: &'a [Choice],
}

const NOTHING: &str = "nothing was asked here";

impl Here<'_> {
    /// The models that learned from the same data, by different objectives.
    fn is_pocket(&self, model: &str) -> bool {
        model.ends_with("_pocket.icons")
    }

    fn is_masked(&self, model: &str) -> bool {
        let record = self.project.manifests.model(model).ok();
        record.is_some_and(|record| matches!(record.family.as_str(), "mae" | "beit" | "data2vec"))
    }

    /// The pocket models of a test under LR, the best first.
    fn ranked<'a>(&self, choice: &'a Choice) -> Vec<&'a Did> {
        choice.ways.iter().filter(|did| did.way.method == "lr" && self.is_pocket(&did.way.model)).collect()
    }

    /// Who is first under LR among the models of the same data.
    pub fn first_of_same_data(&self) -> String {
        let mut often: BTreeMap<&str, usize> = BTreeMap::new();
        let tests: Vec<Vec<&Did>> =
            self.choices.iter().map(|choice| self.ranked(choice)).filter(|did| did.len() > 1).collect();
        tests.iter().for_each(|ranked| *often.entry(&ranked[0].way.model).or_default() += 1);
        let mut often: Vec<(&str, usize)> = often.into_iter().collect();
        often.sort_by(|a, b| b.1.cmp(&a.1));
        if often.is_empty() {
            return NOTHING.into();
        }
        let names: Vec<String> =
            often.iter().map(|(model, n)| format!("{} {n}", model_name(self.project, model))).collect();
        let dino = tests.iter().filter(|ranked| ranked[0].way.model.starts_with("dino")).count();
        format!(
            "first with LR among models of the same data, on the seeds that all ways share, of {} tests: {}; DINO {dino}",
            tests.len(),
            names.join(", ")
        )
    }

    /// Mean accuracy by model, part, method and budget.
    fn means(&self) -> BTreeMap<(&str, &str, &str, &str, u32), f64> {
        let mut values: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.metric == "accuracy" && row.cell.protocol != "leaky") {
            let (Some(budget), Some(value)) = (row.cell.budget, row.value) else { continue };
            let cell = &row.cell;
            let place = (cell.model.as_str(), cell.dataset.as_str(), row.split.as_str(), cell.method.as_str(), budget);
            values.entry(place).or_default().push(value);
        }
        values.into_iter().map(|(place, values)| (place, values.iter().sum::<f64>() / values.len() as f64)).collect()
    }

    /// How often the study's order of methods holds, and neighbours are above the regression.
    pub fn order_of_methods(&self) -> String {
        let means = self.means();
        let mut parts: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
        for (model, dataset, split, method, budget) in means.keys() {
            if (*method, *budget) != ("knn", 10) {
                continue;
            }
            let of = |method, budget| means.get(&(*model, *dataset, *split, method, budget)).copied();
            let (Some(a), Some(b), Some(c), Some(d)) = (of("lr", 100), of("lr", 10), of("knn", 100), of("knn", 10))
            else {
                continue;
            };
            let count = parts.entry(part_words(split)).or_default();
            count.0 += 1;
            count.1 += usize::from(a > b && b > c && c > d);
            count.2 += usize::from(c > a);
        }
        let words = parts.into_iter().map(|(part, (of, whole, knn))| {
            format!("{part}: the whole order in {whole} of {of}, kNN above LR at 100 in {knn}")
        });
        or_nothing(words.collect::<Vec<_>>().join("; "))
    }

    /// How often exactly the masked models are last.
    pub fn masked_last(&self) -> String {
        let (mut last, mut of) = (0, 0);
        for choice in self.choices {
            let ranked = self.ranked(choice);
            let masked = ranked.iter().filter(|did| self.is_masked(&did.way.model)).count();
            if masked == 0 || masked == ranked.len() {
                continue;
            }
            of += 1;
            last += usize::from(ranked[ranked.len() - masked..].iter().all(|did| self.is_masked(&did.way.model)));
        }
        match of {
            0 => NOTHING.into(),
            _ => format!("exactly the masked ones are last, of the models of the same data, in {last} of {of} tests"),
        }
    }

    /// Fine-tuning against the same model's better probe, with the most labels of each data set or with the fewest.
    pub fn tuned(&self, most: bool) -> String {
        let (mut of, mut ahead, mut clear, mut behind) = (0, 0, 0, 0);
        let mut sets: BTreeMap<(&str, &str), &Choice> = BTreeMap::new();
        for choice in self.choices {
            let kept = sets.entry((&choice.dataset, &choice.split)).or_insert(choice);
            if (choice.labels > kept.labels) == most {
                *kept = choice;
            }
        }
        for choice in sets.values() {
            for tuned in choice.ways.iter().filter(|did| did.way.method == "finetune") {
                let own =
                    |did: &&Did| did.way.model == tuned.way.model && matches!(did.way.method.as_str(), "knn" | "lr");
                let Some(probe) = choice.ways.iter().find(own) else { continue };
                let less = tuned.resampled.iter().zip(&probe.resampled).map(|(a, b)| a - b).collect();
                let pair = Estimate::of(tuned.accuracy.value - probe.accuracy.value, less);
                of += 1;
                ahead += usize::from(pair.value > 0.0);
                clear += usize::from(pair.interval.is_some_and(|(low, _)| low > 0.0));
                behind += usize::from(pair.interval.is_some_and(|(_, high)| high < 0.0));
            }
        }
        match of {
            0 => NOTHING.into(),
            _ => format!(
                "at the study's rate, within this suite's limit of epochs, fine-tuning is ahead of the better probe in {ahead} of {of}, {clear} \
                 clearly, {behind} clearly behind"
            ),
        }
    }

    /// Accuracy in and out of distribution of each model under LR, at the largest budget of a data set.
    fn pairs(&self) -> BTreeMap<&str, Vec<(&str, f64, f64)>> {
        let means = self.means();
        let mut found: BTreeMap<&str, Vec<(&str, f64, f64)>> = BTreeMap::new();
        let largest = means.keys().map(|(.., budget)| *budget).max().unwrap_or(0);
        for ((model, dataset, split, method, budget), id) in &means {
            if (*split, *method, *budget) == ("id", "lr", largest) {
                if let Some(ood) = means.get(&(*model, *dataset, "ood", *method, *budget)) {
                    found.entry(dataset).or_default().push((model, *id, *ood));
                }
            }
        }
        found
    }

    /// How many models are worse in the new style.
    pub fn drops(&self) -> String {
        let words = self.pairs().into_iter().map(|(dataset, of)| {
            let dropping = of.iter().filter(|(_, id, ood)| id > ood).count();
            format!("{dropping} of {} models drop on {dataset}", of.len())
        });
        or_nothing(words.collect::<Vec<_>>().join(", "))
    }

    /// Where the pocket CLIP stands by its drop.
    pub fn smallest_drop(&self) -> String {
        let words = self.pairs().into_iter().filter_map(|(dataset, mut of)| {
            of.retain(|(model, ..)| self.is_pocket(model));
            of.sort_by(|a, b| (a.1 - a.2).total_cmp(&(b.1 - b.2)));
            let place = of.iter().position(|(model, ..)| model.starts_with("clip"))?;
            Some(format!("place {} of {} on {dataset}", place + 1, of.len()))
        });
        let words = words.collect::<Vec<_>>().join(", ");
        if words.is_empty() { NOTHING.into() } else { format!("pocket CLIP, smallest drop first (LR): {words}") }
    }

    /// How often a ConvNeXt is better in the new style.
    pub fn better_outside(&self) -> String {
        let all = self.pairs();
        let of = || all.values().flatten().filter(|(model, ..)| model.starts_with("convnext"));
        let better = of().filter(|(_, id, ood)| ood > id).count();
        match of().count() {
            0 => NOTHING.into(),
            n => format!("pocket ConvNeXts do better in the new style in {better} of {n}"),
        }
    }

    /// How many steps to more labels go up.
    pub fn more_labels(&self) -> String {
        let mut curves: BTreeMap<(&str, &str, &str, &str), Vec<f64>> = BTreeMap::new();
        for ((model, dataset, split, method, _), value) in self.means() {
            curves.entry((model, dataset, split, method)).or_default().push(value);
        }
        let steps: Vec<f64> =
            curves.values().flat_map(|curve| curve.windows(2).map(|pair| pair[1] - pair[0])).collect();
        // Budgets beyond the smallest class draw the same images.
        let steps: Vec<f64> = steps.into_iter().filter(|step| *step != 0.0).collect();
        match steps.len() {
            0 => NOTHING.into(),
            n => format!("{} of {n} steps up", steps.iter().filter(|step| **step > 0.0).count()),
        }
    }

    /// How often the pocket CLIP's clusters agree best with the classes.
    pub fn clusters(&self) -> String {
        let mut values: BTreeMap<(&str, &str), BTreeMap<&str, Vec<f64>>> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.metric == "ari" && row.cell.method == "umap_kmeans") {
            let of = values.entry((&row.cell.dataset, &row.split)).or_default();
            of.entry(&row.cell.model).or_default().extend(row.value);
        }
        let mean = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let firsts = values.values().filter_map(|models| {
            let pockets = models.iter().filter(|(model, _)| self.is_pocket(model));
            pockets.max_by(|a, b| mean(a.1).total_cmp(&mean(b.1))).map(|(model, _)| *model)
        });
        let firsts: Vec<&str> = firsts.collect();
        let clip = firsts.iter().filter(|model| model.starts_with("clip")).count();
        match firsts.len() {
            0 => NOTHING.into(),
            n => format!("pocket CLIP first of the models of the same data in {clip} of {n}"),
        }
    }
}

fn or_nothing(words: String) -> String {
    if words.is_empty() { NOTHING.into() } else { words }
}
