//! The card that goes with a pocket model: what it saw, how, and what it cannot do.

use super::recipe::{Kind, Recipe};
use super::run::Settings;
use crate::error::Result;
use crate::models::describe_device;
use crate::progress::thousands;
use crate::training::Curve;
use std::fmt::Write;

/// Rows of the table of losses.
const ROWS: usize = 10;

/// The card in Markdown.
pub(super) fn card(recipe: &Recipe, settings: &Settings, curve: &Curve) -> Result<String> {
    let &Settings { corpus, device, seed, images, .. } = settings;
    let architecture = recipe.architecture()?;
    let parameters: usize = architecture.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum();
    let seconds = curve.rows().last().map_or(0.0, |row| row.seconds);
    let (trained, other) = (corpus.train().len(), corpus.other());
    let per_image = recipe.multiply_adds()?;
    let last = |metric: &str| curve.line(metric).last().map_or(f64::NAN, |(_, value)| *value);
    let mut card = format!(
        "# {model}\n\nA pocket model of Wider CLIP, trained from nothing by `wider-clip pretrain {id}`: {objective}\n\n\
         | | |\n|---|---|\n\
         | architecture | `{architecture}`, {parameters} parameters |\n\
         | feature | `{feature}`, {dim} numbers; measured below by `{measured}` |\n\
{standard}| data | pocket icons: {trained} of {all} drawings of open-licensed icon sets with their names (data_manifests/corpus), \
         the rest held out; digest over pixels and captions `{digest}` |\n\
         | budget | {images} source images drawn, {epochs:.2} epochs, {steps} steps of {batch} |\n\
         | cost | {per:.0} million multiply-adds an image, {total:.1} x 10^12 in all |\n\
         | seed | {seed} |\n\
         | hardware | {device}; {minutes:.0} minutes |\n\
         | optimiser | AdamW, learning rate {rate} (warm-up over a twentieth of the steps, then a cosine), weight decay {decay}, \
         betas 0.9 and {beta2} |\n\
         | licence | weights MIT OR Apache-2.0; the drawings' licences and authors: data_manifests/corpus/ATTRIBUTION.md |\n\n",
        model = recipe.model,
        id = recipe.id,
        objective = objective(recipe.objective),
        architecture = recipe.architecture,
        parameters = thousands(parameters),
        feature = recipe.default_feature()?.0,
        dim = thousands(recipe.default_feature()?.1),
        measured = recipe.feature.0,
        standard = match recipe.objective.learns_from_words() {
            true => "",
            false =>
                "| last norm | standardised once on 1,024 training drawings (no words were found from it while it was learnt) |\n",
        },
        trained = thousands(trained),
        all = thousands(corpus.len()),
        digest = corpus.digest(),
        images = thousands(images as usize),
        epochs = images as f64 / trained as f64,
        steps = thousands((images / recipe.batch as u64) as usize),
        batch = recipe.batch,
        per = per_image as f64 / 1e6,
        total = per_image as f64 * images as f64 / 1e12,
        device = describe_device(device),
        minutes = seconds / 60.0,
        rate = recipe.rate,
        decay = recipe.weight_decay,
        beta2 = recipe.beta2,
    );
    let _ = write!(
        card,
        "On the {held_out} held-out drawings that have a class, by head word, {classes} classes: nearest neighbours (k = 20, cosine) {knn:.1}%. \
         Signs of collapse: feature deviation {deviation:.2} (0 collapsed, 1 spread evenly), effective rank {rank:.1} of \
         {dim}.\n\n| images drawn | loss | held-out kNN |\n|---:|---:|---:|\n",
        held_out = thousands(corpus.held_out().iter().filter(|&&row| Some(corpus.labels[row]) != other).count()),
        classes = corpus.classes.len() - usize::from(other.is_some()),
        knn = 100.0 * last("knn_accuracy"),
        deviation = last("feature_deviation"),
        rank = last("effective_rank"),
        dim = recipe.feature.1,
    );
    let (losses, probes) = (curve.line("loss"), curve.line("knn_accuracy"));
    for row in 1..=ROWS.min(losses.len()) {
        let (images, loss) = losses[row * losses.len() / ROWS.min(losses.len()) - 1];
        let knn = probes.iter().rfind(|(at, _)| *at <= images);
        let knn = knn.map_or("".into(), |(_, value)| format!("{:.1}%", 100.0 * value));
        let _ = writeln!(card, "| {} | {loss:.4} | {knn} |", thousands(images as usize));
    }
    card.push_str(
        "\nKnown limits: it has seen line drawings and flat icons of 64 pixels and nothing else, for a few minutes. It is \
         made for comparing objectives, for course work and for tests, not for photographs. One seed: what another would \
         give was not measured.\n",
    );
    Ok(card)
}

fn objective(kind: Kind) -> &'static str {
    match kind {
        Kind::Supervised => "the head word of a drawing's name, by cross-entropy.",
        Kind::Clip => {
            "which words belong to which drawing: its name, its category or both, drawn anew each time (CLIP's symmetric contrastive loss)."
        }
        Kind::Dino => "what a teacher sees in other crops of a drawing (DINO). No labels, no names.",
        Kind::Mae => "the pixels of hidden patches (masked autoencoding). No labels, no names.",
        Kind::Beit => "the codes of hidden patches (BEiT). No labels, no names.",
        Kind::Data2Vec => "a teacher's tokens of hidden patches (data2vec). No labels, no names.",
        Kind::Tokenizer => "codes for patches, from which they can be drawn again: what BEiT predicts.",
    }
}
