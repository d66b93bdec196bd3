//! The names of methods: of classifiers on frozen features, and of ways to fine-tune.

use crate::error::Error;
use serde::Deserialize;

/// Declares names once: in manifests and rows, and what charts call them.
macro_rules! names {
    ($(#[$about:meta])* $enum:ident, $kind:literal; $($(#[$doc:meta])* $variant:ident = $name:literal, $label:literal;)*) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        pub enum $enum {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl $enum {
            /// All of them.
            pub const ALL: &[$enum] = &[$($enum::$variant),*];

            /// The name in manifests, result rows and the study's published tables.
            pub fn as_str(self) -> &'static str {
                match self { $($enum::$variant => $name,)* }
            }

            /// What it does, in words, for charts.
            pub fn label(self) -> &'static str {
                match self { $($enum::$variant => $label,)* }
            }

            /// The one of that name.
            pub fn named(name: &str) -> Option<$enum> {
                $enum::ALL.iter().copied().find(|known| known.as_str() == name)
            }

            /// The same, for a name that ought to be known.
            ///
            /// # Errors
            /// [`Error::Unknown`] listing the names.
            pub fn known(name: &str) -> Result<$enum, Error> {
                let known = || $enum::ALL.iter().map(|known| known.as_str()).collect::<Vec<_>>().join(", ");
                $enum::named(name).ok_or_else(|| Error::Unknown { kind: $kind, name: name.into(), known: known() })
            }
        }
    };
}

names! {
    /// A classifier on features.
    Method, "method";
    /// Nearest neighbours: k = 5, Euclidean, uniform votes (the study's setting).
    Knn = "knn", "5 nearest neighbours";
    /// Nearest neighbours as DINO's evaluation has them: k = 20, cosine, votes weighted with temperature 0.07.
    KnnDino = "knn_dino", "20 nearest neighbours by cosine, weighted votes";
    /// Logistic regression: C = 1 (the study's setting).
    Lr = "lr", "logistic regression";
    /// Logistic regression with C = 1 on features of which each column has mean 0 and deviation 1 over the training images.
    LrStandardised = "lr_standardised", "logistic regression on standardised features";
    /// Logistic regression as DINOv2's evaluation has it: C of 45 chosen on the validation images, then fitted on
    /// training and validation images.
    LrSweep = "lr_sweep", "logistic regression, C chosen on validation images";
    /// CLIP's text tower on the classes' names: no training image is seen. Its rows have the budget whose test images
    /// they were measured on; models without a text tower have none.
    ZeroShot = "zero_shot", "class names, no training image";
    /// As `zero_shot`, with more asked and more seen: each class by its name, the words of it and the kinds of things that
    /// they stand for, and each image whole and in two narrower crops. Its parts were chosen on OpenEmoji, so its rows
    /// there flatter it. Models whose record names no kinds have no rows.
    ZeroShotEnsemble = "zero_shot_ensemble", "class names, their words and kinds, three crops, no training image";
}

names! {
    /// A way to fine-tune: every parameter of a model learns from labelled images.
    Tuning, "way to fine-tune";
    /// The study's: Adam at 1e-5, batches of 16, early stopping on the validation loss, no augmentation, the study's mean and
    /// standard deviation for every model.
    Finetune = "finetune", "fine-tuning as in the study";
    /// The study's with random crops, and mirrored images and other colours where the data set's record allows them.
    FinetuneAugmented = "finetune_augmented", "fine-tuning as in the study, with augmentation";
    /// AdamW with warm-up and cosine, rates that fall towards the input, a learning rate chosen on validation images, a
    /// stated number of epochs.
    FinetuneTuned = "finetune_tuned", "fine-tuning, rate chosen on validation images";
    /// From the logistic regression on the frozen features, batch normalisation left as it was (Kumar et al. 2022).
    LpFt = "lp_ft", "fine-tuning from the logistic regression";
    /// Between the frozen model with its logistic regression and what [`Tuning::LpFt`] ends with (Wortsman et al. 2022).
    Wise = "wise", "between frozen and fine-tuned weights";
}

impl Method {
    /// Whether classes are asked for by words, so that no training image is seen.
    pub fn asks_by_words(self) -> bool {
        matches!(self, Method::ZeroShot | Method::ZeroShotEnsemble)
    }
}
