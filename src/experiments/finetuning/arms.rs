//! The arms: what each way to fine-tune does, in recipes.

use crate::finetune::{Recipe, Views};
use crate::manifest::{AugmentRecord, Flip, Tuning};

/// Learning rates of all arms but the study's, of which validation images choose.
pub const RATES: [f64; 2] = [1e-4, 1e-3];
/// Where [`Tuning::Wise`] looks between the frozen model (0) and the fine-tuned one (1).
pub const ALPHAS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// How the head of an arm begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadStart {
    /// As PyTorch draws a layer.
    Drawn,
    /// As the logistic regression on the frozen features ends.
    Fitted,
}

/// An arm on one data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// The recipes that are tried; validation images choose where there are several.
    pub recipes: Vec<Recipe>,
    /// How the head begins.
    pub head: HeadStart,
    /// The parts of the way from the beginning to the end that are measured; none where only both ends of training are.
    pub alphas: &'static [f64],
}

impl Arm {
    /// The arm of `method` for images of `size` pixels that may be changed as `augment` says, with at most `max_epochs`.
    pub fn of(method: Tuning, size: usize, augment: &AugmentRecord, max_epochs: u64) -> Arm {
        let study = Recipe::study();
        let (recipes, head, alphas): (Vec<Recipe>, HeadStart, &'static [f64]) = match method {
            Tuning::Finetune => (vec![study], HeadStart::Drawn, &[]),
            Tuning::FinetuneAugmented => {
                let may = |flip: Flip| augment.flips.contains(&flip);
                let views = Views::new(size, may(Flip::Horizontal), may(Flip::Vertical), augment.colour);
                (vec![Recipe { views: Some(views), ..study }], HeadStart::Drawn, &[])
            }
            Tuning::FinetuneTuned => (RATES.map(Recipe::tuned).to_vec(), HeadStart::Drawn, &[]),
            Tuning::LpFt => (RATES.map(Recipe::lp_ft).to_vec(), HeadStart::Fitted, &[]),
            Tuning::Wise => (RATES.map(Recipe::lp_ft).to_vec(), HeadStart::Fitted, &ALPHAS),
        };
        let recipes = recipes.into_iter().map(|recipe| recipe.at_most(max_epochs)).collect();
        Arm { recipes, head, alphas }
    }

    /// Every field in words: part of a row's key.
    pub fn settings(&self) -> String {
        let recipes: Vec<String> = self.recipes.iter().map(Recipe::fingerprint).collect();
        let head = match self.head {
            HeadStart::Drawn => "drawn",
            HeadStart::Fitted => "of a logistic regression, C 1",
        };
        format!("{}; head {head}; alphas {:?}", recipes.join(" or "), self.alphas)
    }
}
