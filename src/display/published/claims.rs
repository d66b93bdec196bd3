//! The claims board: what the study says, what its own numbers allow, what the data here say.

use super::here::Here;
use crate::display::{Cell, Table};
use crate::error::{Error, Result};
use crate::experiments::choices::Choice;
use crate::project::Project;
use crate::published::audit::drops::{DropTally, drops, drops_less, tally};
use crate::published::audit::firsts::{First, difference_over_sets, firsts, last_places};
use crate::published::audit::methods::{
    Tally, against_others, knn_above_lr, method_order, more_labels, tuned_against_probe,
};
use crate::published::audit::over_sets::clusterings;
use crate::published::audit::{Audit, DRIFT, GENERAL, MASKED, NINE};
use crate::results::ResultRow;
use std::collections::BTreeMap;

/// The study's claims: what its own numbers allow (95% over its test images; its draw of labels and its seed stay unknown), what the
/// data here say (`choices`, and `rows` of accuracies), and the verdict on its own numbers.
///
/// # Errors
/// A published table that cannot be read.
pub fn claims_table(project: &Project, rows: &[ResultRow], choices: &[Choice]) -> Result<Table> {
    let audit = Audit::read(project.root())?;
    let here = Here { project, rows, choices };
    let mut board = Board::default();
    probes(&audit, &here, &mut board)?;
    tuning(&audit, &here, &mut board)?;
    drift(&audit, &here, &mut board)?;
    rest(&audit, &here, &mut board)?;
    Ok(Table {
        caption: "The study's claims, what its own numbers allow, and what the data here say".into(),
        header: ["claim", "its own numbers", "here", "verdict"].map(String::from).to_vec(),
        rows: board.0,
    })
}

#[derive(Default)]
struct Board(Vec<Vec<Cell>>);

impl Board {
    fn push(&mut self, claim: &str, theirs: String, ours: String, verdict: &str) {
        let mut cells = [claim.to_string(), theirs, ours, verdict.to_string()].map(Cell::from).to_vec();
        cells[3].best = true;
        self.0.push(cells);
    }
}

/// How often a model is first; nothing where it is in no column. A name that is not the study's is an error: it would be first nowhere.
fn first(audit: &Audit, of: &BTreeMap<String, First>, model: &str) -> Result<First> {
    if !audit.columns.iter().any(|column| column.of(model).is_some()) {
        return Err(Error::argument("model", "a model as the published tables name it", model.to_string()));
    }
    Ok(of.get(model).copied().unwrap_or_default())
}

fn probes(audit: &Audit, here: &Here, board: &mut Board) -> Result<()> {
    let (general, drift) = (firsts(audit.general_probes())?, firsts(audit.drift_probes())?);
    let (dino, n_general, n_drift) =
        (first(audit, &general, "DINO")?, audit.general_probes().count(), audit.drift_probes().count());
    let lead = difference_over_sets(audit.general_probes(), "DINO", "CLIP")?;
    board.push(
        "DINO is the best representation in most cases",
        format!(
            "first in {} of {n_general} columns without drift, clearly in {} to {}; ahead of CLIP by {:+.1} points [{:+.1}, {:+.1}] over \
             {} sets, {:+.1} without ISIC; with drift first in {} of {n_drift}, CLIP in {}",
            dino.columns,
            dino.clear,
            dino.clear_correlated,
            100.0 * lead.mean,
            100.0 * lead.interval.0,
            100.0 * lead.interval.1,
            lead.by_set.len(),
            100.0 * lead.without("isic")?.mean,
            first(audit, &drift, "DINO")?.columns,
            first(audit, &drift, "CLIP")?.columns
        ),
        here.first_of_same_data(),
        "half true",
    );
    let order = method_order(&audit.columns)?;
    let knn: Vec<String> = DRIFT
        .iter()
        .map(|set| {
            let (above, of) = knn_above_lr(&audit.columns, set);
            format!("{above} of {of} on {set}")
        })
        .collect();
    board.push(
        "LR with 100 > LR with 10 > kNN with 100 > kNN with 10",
        format!("the whole order in {} of {}; kNN beats LR in {}", order.whole, order.of, knn.join(" and ")),
        here.order_of_methods(),
        "mostly, without drift",
    );
    let not_isic = |column: &&crate::published::audit::columns::Column| column.dataset != "isic";
    let nine = |model: &str| NINE.contains(&model);
    let all = audit.general_probes().chain(audit.drift_probes()).filter(not_isic);
    let (elsewhere, isic) = (
        last_places(all, &MASKED, nine)?,
        last_places(audit.general_probes().filter(|column| !not_isic(column)), &MASKED, nine)?,
    );
    let of_isic: Vec<String> =
        isic.places.iter().map(|(model, (mean, low, high))| format!("{model} {mean:.1} ({low} to {high})")).collect();
    board.push(
        "Masked models are poor, except on ISIC",
        format!(
            "the last three of nine in {} of {} probe columns without ISIC; on ISIC mean place {}",
            elsewhere.last,
            elsewhere.columns,
            of_isic.join(", ")
        ),
        here.masked_last(),
        "holds",
    );
    Ok(())
}

fn counted(tally: &Tally) -> String {
    format!("{} of {}, {} clearly, {} clearly behind", tally.ahead, tally.of, tally.clear, tally.clearly_behind)
}

fn tuning(audit: &Audit, here: &Here, board: &mut Board) -> Result<()> {
    let of = |sets: &[&str], budget, models| tuned_against_probe(&audit.columns, sets, budget, models);
    board.push(
        "With 100 labels fine-tuning is always better than a simple learner",
        format!(
            "ahead of the same model's better probe in {}; without drift in {}",
            counted(&of(&DRIFT, 100, None)?.tally),
            counted(&of(&GENERAL, 100, None)?.tally)
        ),
        here.tuned(true),
        "holds with drift, not on every set",
    );
    let both = GENERAL.into_iter().chain(DRIFT).collect::<Vec<_>>();
    let own = of(&both, 10, Some(&["DINO", "CLIP"]))?;
    let tuned = audit.columns.iter().filter(|column| column.method == "finetune" && column.budget == 10);
    let against_dino = tuned.filter_map(|column| {
        let probe = audit.columns.iter().find(|other| other.is(&column.dataset, &column.split, "lr", 10))?;
        Some((column.dataset.as_str(), column.of("convnext_base")? - probe.of("DINO")?))
    });
    let lead = crate::published::audit::firsts::OverSets::of(against_dino)?;
    board.push(
        "With little and easy data a simple learner on DINO or CLIP features may be a good choice",
        format!(
            "for these two fine-tuning is ahead in {}; but fine-tuned ConvNeXt-B beats DINO with LR by {:+.1} points [{:+.1}, {:+.1}], on \
             {} of {} sets",
            counted(&own.tally),
            100.0 * lead.mean,
            100.0 * lead.interval.0,
            100.0 * lead.interval.1,
            lead.above(),
            lead.by_set.len()
        ),
        here.tuned(false),
        "better for these two; a fine-tuned ConvNeXt-B is better still",
    );
    let best = firsts(audit.tuned(false).chain(audit.tuned(true)))?;
    let against = against_others(&audit.columns, "convnext_base", "convnext")?;
    board.push(
        "ConvNeXt is best when fine-tuned",
        format!(
            "ConvNeXt-B first in {} of {} columns, ConvNeXt-T in {}; against other architectures {} times clearly ahead, {} clearly behind",
            first(audit, &best, "convnext_base")?.columns,
            audit.tuned(false).count() + audit.tuned(true).count(),
            first(audit, &best, "convnext_tiny")?.columns,
            against.ahead_clear,
            against.behind_clear
        ),
        "not asked: one pocket ConvNeXt was fine-tuned here".into(),
        "mostly",
    );
    Ok(())
}

fn drift(audit: &Audit, here: &Here, board: &mut Board) -> Result<()> {
    let (fmow, cameras) = (drops(&audit.columns, "fmow")?, drops(&audit.columns, "iwildcam")?);
    let of = |tuned: bool| -> Result<DropTally> {
        tally(&fmow.iter().filter(|drop| (drop.method == "finetune") == tuned).collect::<Vec<_>>())
    };
    let (tuned, probed) = (of(true)?, of(false)?);
    let most: Vec<_> = fmow.iter().filter(|drop| drop.method == "finetune" && drop.budget == 1000).collect();
    let effect = most.iter().map(|drop| drop.design_effect()).fold(f64::MAX, f64::min);
    let ends = |of: fn(f64, f64) -> f64, from| 100.0 * most.iter().map(|drop| drop.drop.difference).fold(from, of);
    board.push(
        "FMoW: not a significant difference out of distribution",
        format!(
            "{} of {} drops clear when fine-tuned, {} after Holm; at 1000 all drop by {:.1} to {:.1} points, clear even if {effect:.0} images \
             count as one; probes {} of {}",
            tuned.positive,
            tuned.of,
            tuned.after_holm,
            ends(f64::min, f64::MAX),
            ends(f64::max, f64::MIN),
            probed.positive,
            probed.of
        ),
        here.drops(),
        "false for fine-tuning",
    );
    let less = drops_less(&fmow, "CLIP", &["convnext_base"])?;
    let last = less.last().map_or_else(String::new, |less| {
        format!("{:.1} +- {:.1} points", 100.0 * less.difference, 100.0 * less.half_widths.0)
    });
    let (first_in, arms) = least(&fmow, "CLIP");
    board.push(
        "CLIP drops least (FMoW)",
        format!("the least of nine in {first_in} of {arms} arms; fine-tuned at 1000 less than ConvNeXt-B by {last}"),
        here.smallest_drop(),
        "unproven",
    );
    let is = |drop: &&crate::published::audit::drops::Drop| drop.model.starts_with("convnext");
    let (own, others): (Vec<_>, Vec<_>) = cameras.iter().partition(is);
    let negative =
        |of: &[&crate::published::audit::drops::Drop]| of.iter().filter(|drop| drop.drop.difference < 0.0).count();
    let top = own.iter().find(|drop| drop.model == "convnext_base" && drop.method == "finetune" && drop.budget == 1000);
    let top = top.map_or_else(String::new, |drop| {
        format!(
            "{:+.1} +- {:.1} points fine-tuned at 1000, undone where {:.0} frames of a camera count as one",
            100.0 * drop.drop.difference,
            100.0 * drop.drop.half_width(),
            drop.design_effect()
        )
    });
    board.push(
        "iWildCam: ConvNeXt does better out of distribution",
        format!(
            "its drop is below 0 in {} of {} arms, of others in {} of {}; {top}",
            negative(&own),
            own.len(),
            negative(&others),
            others.len()
        ),
        here.better_outside(),
        "its numbers say so; cameras are too few to settle it",
    );
    Ok(())
}

/// In how many arms a model drops least, and how many arms there are.
fn least(drops: &[crate::published::audit::drops::Drop], model: &str) -> (usize, usize) {
    let mut arms: BTreeMap<(&str, usize), (&str, f64)> = BTreeMap::new();
    for drop in drops {
        let least = arms.entry((&drop.method, drop.budget)).or_insert((&drop.model, drop.drop.difference));
        if drop.drop.difference < least.1 {
            *least = (&drop.model, drop.drop.difference);
        }
    }
    (arms.values().filter(|(name, _)| *name == model).count(), arms.len())
}

fn rest(audit: &Audit, here: &Here, board: &mut Board) -> Result<()> {
    let more = more_labels(&audit.columns)?;
    let isic = more.falls.iter().filter(|fall| fall.place[0] == "isic").count();
    board.push(
        "More labels help",
        format!("{} of {} steps up; {} clear falls, {isic} of them on ISIC", more.up, more.of, more.falls.len()),
        here.more_labels(),
        "holds",
    );
    let tests = clusterings(&audit.results);
    let best = tests.iter().filter_map(|(_, _, scores)| scores.iter().max_by(|a, b| a.1.total_cmp(b.1)));
    let clip = best.filter(|(model, _)| **model == "CLIP").count();
    let places = crate::published::audit::over_sets::clustering_places(&audit.results)?;
    let clip_places = NINE.iter().position(|model| *model == "CLIP").map(|at| places.standings.of[at].places);
    let (low, high) = clip_places.unwrap_or_default();
    board.push(
        "CLIP is best in clustering",
        format!("first in {clip} of {}; place {low:.0} to {high:.0} over resamples of the sets", tests.len()),
        here.clusters(),
        "unproven",
    );
    let unclear = audit.general_probes().filter(|column| column.dataset == "isic");
    let isic: Vec<(f64, usize)> =
        unclear.flat_map(|column| column.accuracies.iter().map(|(_, accuracy)| (*accuracy, column.n))).collect();
    let near = isic.iter().filter(|(accuracy, n)| *accuracy < 0.5 + 1.96 * (0.25 / *n as f64).sqrt()).count();
    board.push(
        "ISIC is the set on which masked models lead",
        format!(
            "{near} of {} probes there are not clearly above a coin's 50%; both budgets were scored on {} images; LR falls clearly from 10 to \
             100 labels for {} models",
            isic.len(),
            isic.first().map_or(0, |(_, n)| *n),
            more.falls.iter().filter(|fall| fall.place[0] == "isic" && fall.place[2] == "lr").count()
        ),
        "not asked: photographs of skin are not among the embedded sets".into(),
        "suspect",
    );
    Ok(())
}

/// What only the study's own data can settle, and what to run for it.
pub fn hub_table(project: &Project) -> Result<Table> {
    let audit = Audit::read(project.root())?;
    let replicated = audit.splits.iter().map(|split| split.dataset.as_str()).collect::<std::collections::BTreeSet<_>>();
    let line = |question: &str, needs: &str| [question, needs].map(Cell::from).to_vec();
    Ok(Table {
        caption: format!(
            "What needs the hub to be settled: the study's {} data sets and its models, `cargo run -- report --suite study`",
            replicated.len()
        ),
        header: ["question", "what settles it"].map(String::from).to_vec(),
        rows: vec![
            line(
                "Is DINO ahead of CLIP, or was it the draw?",
                "the probes on all general sets under five seeds, paired on the same images",
            ),
            line(
                "Do probes on EfficientNet features really fail?",
                "features after the last pooling of the published weights, one set",
            ),
            line("Does LR on ISIC fall with more labels?", "ISIC at 10 and 100 labels under several draws"),
            line("Does ConvNeXt gain on unseen cameras?", "iWildCam, intervals over cameras in place of frames"),
            line("Does CLIP drop least?", "FMoW fine-tuned, drops paired on the same images"),
            line("Is CLIP best in clustering?", "clusters of the eight sets under several seeds of UMAP and k-means"),
        ],
    })
}
