//! What the study's figures allow, against `tests/reference/published.py` (scipy): every number of the audit. The arithmetic by
//! cases of its own is held in `over_sets`.

#[path = "support/published.rs"]
mod published;

use published::{GOLDEN, cases, close, count, nearly, number};
use serde_json::Value;
use std::path::Path;
use std::sync::LazyLock;
use wider_clip::display::finetuning_claims;
use wider_clip::metrics::{SameImages, denominators};
use wider_clip::project::Project;
use wider_clip::published::audit::columns::{Column, Counted, neighbours};
use wider_clip::published::audit::drops::{drops, drops_less, line, tally};
use wider_clip::published::audit::firsts::{First, OverSets, difference_over_sets, firsts, head_to_head, last_places};
use wider_clip::published::audit::methods::{
    Tally, against_others, best_of_both, knn_above_lr, method_order, more_labels, tuned_against_probe,
};
use wider_clip::published::audit::over_sets::{AtBudget, Places, clustering_places, clusterings, places, regret};
use wider_clip::published::audit::replicate::replicate;
use wider_clip::published::audit::{Audit, DRIFT, GENERAL, MASKED, NINE};

static AUDIT: LazyLock<Audit> = LazyLock::new(|| Audit::read(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap());

#[test]
fn test_images_are_counted_from_printed_digits() {
    let table = |column: &Column| column.table.as_str();
    let expected = cases("fits", AUDIT.all.len());
    for (column, expected) in AUDIT.all.iter().zip(expected) {
        let place = [table(column), &column.dataset, &column.split, &column.method];
        assert_eq!(
            place[..],
            expected.as_array().unwrap()[..4].iter().map(|v| v.as_str().unwrap()).collect::<Vec<_>>()[..]
        );
        let fits: Vec<usize> = serde_json::from_value(expected[5].clone()).unwrap();
        assert_eq!(column.fits[..column.fits.len().min(6)], fits[..], "{expected}");
    }
    let columns = cases("columns", AUDIT.columns.len());
    for (column, expected) in AUDIT.columns.iter().zip(columns) {
        assert_eq!((column.budget, column.n), (count_text(&expected[3]), count(&expected[4])), "{expected}");
    }
    let of =
        |dataset, method, budget| AUDIT.all.iter().find(|column| column.is(dataset, "test", method, budget)).unwrap();
    assert_eq!((of("dtd", "lr", 10).n, of("dtd", "lr", 10).counted), (1551, Counted::Otherwise));
    assert_eq!(of("dtd", "finetune", 100).counted, Counted::Runs(2));
    assert_eq!(of("fgvc_aircraft", "knn", 10).counted, Counted::AsInTable);
    assert!(denominators(&[], 10).is_err() && denominators(&["1.5"], 10).is_err() && denominators(&["x"], 10).is_err());
}

/// A budget, which the reference may write as text.
fn count_text(value: &Value) -> usize {
    value.as_str().map_or_else(|| count(value), |text| text.parse().unwrap())
}

#[test]
fn intervals_and_neighbours_are_those_of_the_reference() {
    let accuracies =
        || AUDIT.columns.iter().flat_map(|column| column.accuracies.iter().map(move |(_, a)| (column, *a)));
    let expected = cases("intervals", 681);
    assert_eq!(accuracies().count(), 681, "distinct accuracies");
    for ((column, accuracy), expected) in accuracies().zip(expected) {
        let (low, high) = column.interval(accuracy).unwrap();
        close(low, &expected[0], 1e-9, &format!("{} {accuracy}", column.dataset));
        close(high, &expected[1], 1e-9, &format!("{} {accuracy}", column.dataset));
    }
    let pairs: Vec<_> = AUDIT.columns.iter().flat_map(|column| neighbours(column).unwrap()).collect();
    for (pair, expected) in pairs.iter().zip(cases("adjacent", pairs.len())) {
        assert_eq!((pair.better, pair.worse), (expected[0].as_str().unwrap(), expected[1].as_str().unwrap()));
        for (at, p) in [(2, pair.p.nested), (3, pair.p.correlated), (4, pair.p.independent), (5, pair.p.opposed)] {
            nearly(p, &expected[at], 1e-4, &expected.to_string());
        }
    }
    let clear = |wanted: &dyn Fn(&Column) -> bool| {
        let pairs: Vec<_> =
            AUDIT.columns.iter().filter(|c| wanted(c)).flat_map(|column| neighbours(column).unwrap()).collect();
        let of = |p: fn(&SameImages) -> f64| pairs.iter().filter(|pair| p(&pair.p) < 0.05).count();
        [of(|p| p.nested), of(|p| p.correlated), of(|p| p.independent), of(|p| p.opposed), pairs.len()]
    };
    let expected = |key: &str| -> [usize; 5] { serde_json::from_value(GOLDEN["apart"][key].clone()).unwrap() };
    assert_eq!(clear(&Column::is_general_probe), expected("general_probes"));
    assert_eq!(clear(&|column| column.split == "test" && column.method == "finetune"), expected("general_finetuning"));
    assert_eq!(clear(&|column| column.split != "test"), expected("drift"));
}

fn claim(key: &str) -> &'static Value {
    let value = &GOLDEN["claims"][key];
    assert!(!value.is_null(), "no claim {key}");
    value
}

fn holds_over_sets(found: &OverSets, expected: &Value) {
    for (set, mean) in &found.by_set {
        close(*mean, &expected["by_set"][set], 1e-10, set);
    }
    assert_eq!(found.by_set.len(), expected["by_set"].as_object().unwrap().len());
    close(found.mean, &expected["mean"], 1e-10, "mean");
    close(found.interval.0, &expected["low"], 1e-10, "low");
    close(found.interval.1, &expected["high"], 1e-10, "high");
}

#[test]
fn who_is_first_and_who_is_last() {
    let largest =
        |column: &&Column| column.is_general_probe() && (column.dataset == "flowers102" || column.budget == 100);
    for (key, found) in [
        ("general_probes", firsts(AUDIT.general_probes())),
        ("largest_probes", firsts(AUDIT.columns.iter().filter(largest))),
        ("drift_probes", firsts(AUDIT.drift_probes())),
        ("general_finetuning", firsts(AUDIT.tuned(false))),
        ("drift_finetuning", firsts(AUDIT.tuned(true))),
    ] {
        let (found, expected) = (found.unwrap(), claim("firsts")[key].as_object().unwrap());
        assert_eq!(found.len(), expected.len(), "{key}");
        for (model, First { columns, clear, clear_correlated, never }) in found {
            let of: [usize; 4] = serde_json::from_value(expected[&model].clone()).unwrap();
            assert_eq!([columns, clear, clear_correlated, never], of, "{key} {model}");
        }
    }
    let (found, expected) = (head_to_head(AUDIT.general_probes(), "DINO", "CLIP").unwrap(), claim("head_to_head"));
    assert_eq!((found.columns, found.ahead), (count(&expected["columns"]), count(&expected["dino_ahead"])));
    assert_eq!(found.clear.to_vec(), serde_json::from_value::<Vec<usize>>(expected["independent"].clone()).unwrap());
    assert_eq!(
        found.clear_correlated.to_vec(),
        serde_json::from_value::<Vec<usize>>(expected["correlated"].clone()).unwrap()
    );
    let (found, expected) = (difference_over_sets(AUDIT.general_probes(), "DINO", "CLIP").unwrap(), claim("over_sets"));
    holds_over_sets(&found, expected);
    close(found.without("isic").unwrap().mean, &expected["without_isic"], 1e-10, "without ISIC");
    let nine = |model: &str| NINE.contains(&model);
    let is_isic = |column: &&Column| column.dataset == "isic";
    let probes = || AUDIT.general_probes().chain(AUDIT.drift_probes());
    let tuned = || AUDIT.tuned(false).chain(AUDIT.tuned(true));
    for (key, found) in [
        ("probes", last_places(probes().filter(|c| !is_isic(c)), &MASKED, nine)),
        ("probes_isic", last_places(probes().filter(is_isic), &MASKED, nine)),
        ("tuned", last_places(tuned().filter(|c| !is_isic(c)), &MASKED, nine)),
        ("tuned_isic", last_places(tuned().filter(is_isic), &MASKED, nine)),
    ] {
        let (found, expected) = (found.unwrap(), &claim("masked")[key]);
        assert_eq!((found.columns, found.last), (count(&expected["columns"]), count(&expected["last"])), "{key}");
        for (model, (mean, low, high)) in &found.places {
            close(*mean, &expected["ranks"][model][0], 1e-10, model);
            assert_eq!(
                (*low, *high),
                (count(&expected["ranks"][model][1]), count(&expected["ranks"][model][2])),
                "{key} {model}"
            );
        }
    }
    let firsts = clusterings(&AUDIT.results)
        .into_iter()
        .map(|(_, _, scores)| scores.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0.to_string());
    let firsts: Vec<String> = firsts.collect();
    assert_eq!(firsts.len(), count(&claim("clusterings")["columns"]));
    for (model, n) in claim("clusterings")["firsts"].as_object().unwrap() {
        assert_eq!(firsts.iter().filter(|first| *first == model).count(), count(n), "{model}");
    }
}

#[test]
fn methods_and_labels_against_each_other() {
    let (found, expected) = (method_order(&AUDIT.columns).unwrap(), claim("order_of_methods"));
    assert_eq!((found.whole, found.of), (count(&expected["whole"]), count(&expected["of"])));
    for (part, Tally { ahead, clear, clearly_behind, .. }) in &found.parts {
        let of: [usize; 3] = serde_json::from_value(expected["parts"][*part].clone()).unwrap();
        assert_eq!([*ahead, *clear, *clearly_behind], of, "{part}");
    }
    for set in DRIFT {
        let expected = &claim("knn_over_lr")[set];
        assert_eq!(knn_above_lr(&AUDIT.columns, set), (count(&expected[0]), count(&expected[1])), "{set}");
    }
    let both: Vec<&str> = GENERAL.into_iter().chain(DRIFT).collect();
    for (key, sets, budget, models) in [
        ("drift_10", &DRIFT[..], 10, None),
        ("drift_100", &DRIFT[..], 100, None),
        ("general_10", &GENERAL[..], 10, None),
        ("general_100", &GENERAL[..], 100, None),
        ("dino_clip_10", &both[..], 10, Some(&["DINO", "CLIP"][..])),
        ("dino_clip_100", &both[..], 100, Some(&["DINO", "CLIP"][..])),
    ] {
        let (found, expected) =
            (tuned_against_probe(&AUDIT.columns, sets, budget, models).unwrap(), &claim("tuned")[key]);
        let Tally { of, ahead, clear, clearly_behind } = found.tally;
        let counts = ["of", "ahead", "clear", "clearly_worse"].map(|name| count(&expected[name]));
        assert_eq!([of, ahead, clear, clearly_behind], counts, "{key}");
        let mut behind: Vec<f64> = found.behind.iter().map(|behind| behind.3).collect();
        let mut theirs: Vec<f64> =
            expected["worse"].as_array().unwrap().iter().map(|worse| number(&worse[3])).collect();
        behind.sort_by(f64::total_cmp);
        theirs.sort_by(f64::total_cmp);
        assert!(behind.len() == theirs.len() && behind.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-8), "{key}");
    }
    for budget in ["10", "100"] {
        let found = best_of_both(&AUDIT.columns, budget.parse().unwrap()).unwrap();
        let expected = claim("best_tuned_minus_best_probe")[budget].as_array().unwrap();
        assert_eq!(found.len(), expected.len());
        for best in &found {
            let of = expected.iter().find(|of| of[0] == best.dataset.as_str()).unwrap();
            assert_eq!(
                (best.tuned.0.as_str(), best.probe.0.as_str()),
                (of[1].as_str().unwrap(), of[3].as_str().unwrap())
            );
            close(best.difference.difference, &of[6], 1e-10, "difference");
            close(best.difference.half_width(), &of[7], 1e-10, "half width");
        }
    }
    let tuned = AUDIT.columns.iter().filter(|column| column.method == "finetune" && column.budget == 10);
    let against = tuned.map(|column| {
        let probe = AUDIT.columns.iter().find(|other| other.is(&column.dataset, &column.split, "lr", 10)).unwrap();
        (column.dataset.as_str(), column.of("convnext_base").unwrap() - probe.of("DINO").unwrap())
    });
    holds_over_sets(&OverSets::of(against).unwrap(), claim("convnext_tuned_minus_dino_lr"));
    let (found, expected) = (against_others(&AUDIT.columns, "convnext_base", "convnext").unwrap(), claim("convnext"));
    let counts = ["ahead_clear", "ahead_unclear", "behind_clear", "behind_unclear"].map(|name| count(&expected[name]));
    assert_eq!([found.ahead_clear, found.ahead_unclear, found.behind_clear, found.behind_unclear], counts);
    let (found, expected) = (more_labels(&AUDIT.columns).unwrap(), claim("more_labels"));
    assert_eq!((found.up, found.of), (count(&expected["up"]), count(&expected["of"])));
    let theirs = expected["falls"].as_array().unwrap();
    assert_eq!(found.falls.len(), theirs.len());
    for fall in &found.falls {
        let same = |other: &&Value| (0..4).all(|at| other[at] == fall.place[at].as_str());
        let other = theirs.iter().find(same).unwrap_or_else(|| panic!("{fall:?}"));
        close(fall.points, &other[6], 1e-8, &fall.place[3]);
    }
}

#[test]
fn what_is_lost_out_of_distribution() {
    for set in DRIFT {
        let all = drops(&AUDIT.columns, set).unwrap();
        for (kind, tuned) in [("probes", false), ("tuned", true)] {
            let of: Vec<_> = all.iter().filter(|drop| (drop.method == "finetune") == tuned).collect();
            let (found, expected) = (tally(&of).unwrap(), &claim("drops")[format!("{set}_{kind}")]);
            let counts = ["of", "positive", "negative", "holm"].map(|name| count(&expected[name]));
            assert_eq!([found.of, found.positive, found.negative, found.after_holm], counts, "{set} {kind}");
            close(found.range.0, &expected["least"], 1e-10, "least");
            close(found.range.1, &expected["most"], 1e-10, "most");
            close(found.relative.0, &expected["relative_least"], 1e-10, "least, relative");
            close(found.relative.1, &expected["relative_most"], 1e-10, "most, relative");
        }
        let (found, expected) = (line(&all).unwrap(), &claim("lines")[set]);
        close(found.r, &expected["r"], 1e-9, "r");
        close(found.slope, &expected["slope"], 1e-9, "slope");
        close(found.intercept, &expected["intercept"], 1e-9, "intercept");
        for (arm, r) in claim("line_by_arm")[set].as_object().unwrap() {
            close(found.by_arm[arm], r, 1e-9, arm);
        }
    }
    let fmow = drops(&AUDIT.columns, "fmow").unwrap();
    let top: Vec<_> = fmow.iter().filter(|drop| drop.method == "finetune" && drop.budget == 1000).collect();
    for drop in &top {
        let expected = &claim("fmow_1000")["drops"][&drop.model];
        close(drop.drop.difference, &expected[0], 1e-10, &drop.model);
        close(drop.drop.half_width(), &expected[1], 1e-10, &drop.model);
    }
    let effect = top.iter().map(|drop| drop.design_effect()).fold(f64::MAX, f64::min);
    close(effect, &claim("fmow_1000")["design_effect"], 1e-8, "design effect");
    let less = drops_less(&fmow, "CLIP", &["convnext_base", "convnext_tiny"]).unwrap();
    let expected = claim("clip_against").as_array().unwrap();
    assert_eq!(less.len(), expected.len());
    for less in &less {
        let of = expected.iter().find(|of| count_text(&of[0]) == less.budget && of[1] == less.than.as_str()).unwrap();
        close(less.difference, &of[2], 1e-10, "difference");
        close(less.half_widths.0, &of[3], 1e-10, "half, independent");
        close(less.half_widths.1, &of[4], 1e-10, "half, correlated");
    }
    let cameras = drops(&AUDIT.columns, "iwildcam").unwrap();
    let (own, others): (Vec<_>, Vec<_>) = cameras.iter().partition(|drop| drop.model.starts_with("convnext"));
    let expected = claim("iwildcam");
    let counts = |key: &str| -> Vec<usize> { serde_json::from_value(expected[key].clone()).unwrap() };
    let negative =
        |of: &[&wider_clip::published::audit::drops::Drop]| of.iter().filter(|d| d.drop.difference < 0.0).count();
    let clearly = own.iter().filter(|drop| drop.drop.side() < 0).count();
    assert_eq!(vec![negative(&own), own.len(), clearly], counts("convnext"));
    assert_eq!(vec![negative(&others), others.len()], counts("others"));
}

#[test]
fn places_regret_and_replicate() {
    let at = |method, budget| places(&AUDIT.columns, method, budget).unwrap();
    for (key, found) in [
        ("knn_max", at("knn", AtBudget::Largest)),
        ("lr_max", at("lr", AtBudget::Largest)),
        ("knn_10", at("knn", AtBudget::Of(10))),
        ("lr_10", at("lr", AtBudget::Of(10))),
        ("finetune_10", at("finetune", AtBudget::Of(10))),
        ("finetune_max", at("finetune", AtBudget::Largest)),
        ("clusterings", clustering_places(&AUDIT.results).unwrap()),
    ] {
        holds_places(key, &found, &claim("rankings")[key]);
    }
    for budget in ["10", "100"] {
        let (found, expected) = (regret(&AUDIT.columns, budget.parse().unwrap()).unwrap(), &claim("regret")[budget]);
        let theirs = expected["strategies"].as_object().unwrap();
        assert_eq!(found.choices.len(), theirs.len());
        for (model, method, regret) in &found.choices {
            let of = &theirs[&format!("{model} {method}")];
            let what = format!("{budget} {model} {method}");
            close(regret.mean, &of[0], 1e-10, &what);
            close(regret.interval.0, &of[1], 1e-10, &what);
            close(regret.interval.1, &of[2], 1e-10, &what);
            close(regret.worst, &of[3], 1e-10, &what);
            assert_eq!(found.sets[regret.worst_set], of[4].as_str().unwrap(), "{what}");
            close(regret.least, &of[5], 1e-9, &what);
        }
        for (name, share) in [
            ("set", found.shares.set),
            ("model", found.shares.model),
            ("method", found.shares.method),
            ("rest", found.shares.rest),
        ] {
            close(share, &expected["shares"][name], 1e-10, name);
        }
    }
    for method in ["knn", "lr"] {
        let (found, expected) = (replicate(&AUDIT.all, method).unwrap(), &claim("replicate")[method]);
        for run in &found.runs {
            close(run.first, &expected["runs"][&run.model][0], 1e-10, &run.model);
            close(run.second, &expected["runs"][&run.model][1], 1e-10, &run.model);
        }
        close(found.shift, &expected["shift"], 1e-10, "shift");
        close(found.deviation, &expected["sd"], 1e-10, "deviation");
        close(found.of_images, &expected["binomial"], 1e-10, "of images");
    }
}

fn holds_places(key: &str, found: &Places, expected: &Value) {
    let sets: Vec<String> = serde_json::from_value(expected["sets"].clone()).unwrap();
    assert_eq!(found.sets, sets, "{key}");
    close(found.standings.agreement, &expected["w"], 1e-9, key);
    nearly(found.standings.p_value, &expected["p"], 1e-7, key);
    nearly(found.standings.critical_difference, &expected["critical_difference"], 1e-6, key);
    let names = |name: &str| -> Vec<String> { serde_json::from_value(expected[name].clone()).unwrap() };
    let best = found.standings.of.iter().map(|standing| standing.mean_rank).fold(f64::MAX, f64::min);
    for (model, standing) in NINE.iter().zip(&found.standings.of) {
        let of = &expected["models"][model];
        close(standing.mean_rank, &of[0], 1e-10, model);
        close(standing.places.0, &of[1], 1e-9, &format!("{key} {model} low"));
        close(standing.places.1, &of[2], 1e-9, &format!("{key} {model} high"));
        close(standing.first, &of[3], 1e-9, &format!("{key} {model} first"));
        if standing.mean_rank > best {
            let model = model.to_string();
            assert_eq!(standing.within_difference, names("nemenyi").contains(&model), "{key} {model}");
            assert_eq!(standing.undecided, names("bootstrap").contains(&model), "{key} {model}");
        }
    }
}

#[test]
fn the_table_of_claims_on_fine_tuning_asks_for_models_by_their_published_names() {
    let golden = |key: &str, wanted: fn(&str) -> bool| {
        let firsts = claim("firsts")[key].as_object().unwrap().iter();
        firsts.filter(|(model, _)| wanted(model)).map(|(_, first)| count(&first[0])).sum::<usize>()
    };
    let of = |wanted: fn(&str) -> bool| golden("general_finetuning", wanted) + golden("drift_finetuning", wanted);
    let (convnext, all) = (of(|model| model.starts_with("convnext_")), of(|_| true));
    assert!(convnext > 0);
    let project = Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "default").unwrap();
    let claims = finetuning_claims(&project, &[]).unwrap();
    let row = claims.rows.iter().find(|row| row[0].text.starts_with("ConvNeXt is best")).unwrap();
    assert_eq!(row[1].text, format!("first in {convnext} of {all} columns"));
}
