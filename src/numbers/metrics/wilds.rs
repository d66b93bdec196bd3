//! Drift as WILDS measures it (Koh et al., ICML 2021): what the evaluation of its package gives for iWildCam and FMoW.
//!
//! Definitions are those of wilds 2.0.0 (`IWildCamDataset.eval`, `FMoWDataset.eval`), with two differences on purpose: a
//! group without images is absent, where WILDS reports 0.0, and numbers are f64, where its accuracies are f32.

use super::groups::{GroupAccuracy, accuracy_by_group, check_groups, worst_of};
use super::{ConfusionMatrix, check_lengths};
use crate::error::Result;

/// The domain that is left out when the worst one is looked for, as WILDS leaves out regions that it does not know.
pub const UNCOUNTED: &str = "Other";

/// Predictions of one split, and what each image belongs to.
#[derive(Debug, Clone, Copy)]
pub struct WildsAnswers<'a> {
    /// Predicted classes.
    pub predicted: &'a [u32],
    /// True classes.
    pub truth: &'a [u32],
    /// Classes are `0..n_classes`; some may not occur.
    pub n_classes: usize,
    /// The domain of each image (FMoW's region, iWildCam's camera), where the data have domains.
    pub domains: Option<&'a [&'a str]>,
    /// The year of each image, where it is known.
    pub years: Option<&'a [u32]>,
}

/// What WILDS' evaluation gives. All are fractions.
#[derive(Debug, Clone, PartialEq)]
pub struct WildsScores {
    /// Images.
    pub n: usize,
    /// The fraction of right predictions (`acc_avg`).
    pub accuracy: f64,
    /// The mean recall of the classes that have images (`recall-macro_all`): [`ConfusionMatrix::balanced_accuracy`].
    pub macro_recall: f64,
    /// [`ConfusionMatrix::macro_f1_of_present`] (`F1-macro_all`).
    pub macro_f1: f64,
    /// The domains that have images, by name; empty where the data have none.
    pub domains: Vec<GroupAccuracy<String>>,
    /// The years that have images, ascending; empty where they are not known.
    pub years: Vec<GroupAccuracy<u32>>,
    /// The worst of the domains, [`UNCOUNTED`] aside (`acc_worst_region`); the first of equals. `None` where there is no other.
    pub worst_domain: Option<GroupAccuracy<String>>,
    /// The worst of the years (`acc_worst_year`); the first of equals. `None` where they are not known.
    pub worst_year: Option<GroupAccuracy<u32>>,
}

impl WildsAnswers<'_> {
    /// Holds lengths and classes against each other.
    pub(super) fn check(&self) -> Result<ConfusionMatrix> {
        check_lengths(self.predicted.len(), self.truth.len())?;
        for n in [self.domains.map(<[_]>::len), self.years.map(<[_]>::len)].into_iter().flatten() {
            check_groups(n, self.truth.len())?;
        }
        ConfusionMatrix::new(self.predicted, self.truth, self.n_classes)
    }
}

/// The scores of one split as WILDS' evaluation computes them.
///
/// # Errors
/// [`Error::Argument`](crate::error::Error::Argument) for no image, lists of different lengths, or a class of `n_classes`
/// or more.
///
/// ```
/// use wider_clip::metrics::{WildsAnswers, wilds_scores};
///
/// let domains = ["Asia", "Asia", "Africa", "Other"];
/// let (predicted, truth) = ([0, 1, 1, 0], [0, 0, 1, 1]);
/// let answers =
///     WildsAnswers { predicted: &predicted, truth: &truth, n_classes: 2, domains: Some(&domains), years: None };
/// let scores = wilds_scores(&answers)?;
/// // `Other` has nothing right, and does not count.
/// let worst = scores.worst_domain.unwrap();
/// assert_eq!((worst.group.as_str(), worst.accuracy, worst.n), ("Asia", 0.5, 2));
/// assert_eq!((scores.accuracy, scores.worst_year), (0.5, None));
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn wilds_scores(answers: &WildsAnswers) -> Result<WildsScores> {
    let matrix = answers.check()?;
    let by_domain = |domains| accuracy_by_group(answers.predicted, answers.truth, domains);
    let domains = answers.domains.map(by_domain).transpose()?.unwrap_or_default();
    let owned = |of: GroupAccuracy<&str>| GroupAccuracy { group: of.group.into(), accuracy: of.accuracy, n: of.n };
    let domains: Vec<GroupAccuracy<String>> = domains.into_iter().map(owned).collect();
    let by_year = |years| accuracy_by_group(answers.predicted, answers.truth, years);
    let years = answers.years.map(by_year).transpose()?.unwrap_or_default();
    Ok(WildsScores {
        n: answers.truth.len(),
        accuracy: matrix.accuracy(),
        macro_recall: matrix.balanced_accuracy(),
        macro_f1: matrix.macro_f1_of_present(),
        worst_domain: worst_of(domains.iter().filter(|domain| domain.group != UNCOUNTED).cloned()),
        worst_year: worst_of(years.iter().cloned()),
        domains,
        years,
    })
}
