//! Fine-tuning: jobs that are killed and go on, batches in parts, early stopping, arms, and what is refused.

#[path = "support/compare.rs"]
mod compare;
#[path = "support/killed.rs"]
mod killed;
#[path = "support/small_tuning.rs"]
mod small_tuning;

use compare::relative;
use killed::{child_of, kill};
use small_tuning::{CLASSES, End, MEAN, Net, STD, Small, TRAIN, VAL, everything, hashes, place, study, trained};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use wider_clip::augment::Augmentation;
use wider_clip::candle_core::{Device, Tensor};
use wider_clip::datasets::Squares;
use wider_clip::error::Result;
use wider_clip::experiments::finetuning::{ALPHAS, Arm, HeadStart, RATES};
use wider_clip::finetune::{Examples, Fall, FineTune, FineTuneParams, Input, Recipe, Statistics, Views, between};
use wider_clip::manifest::{AugmentRecord, Flip, Tuning};
use wider_clip::training::{Checkpoint, Course, EarlyStopping, Ended, Head, Place, Reason, Schedule, train};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Epochs of three steps of the run that is killed.
const LONG: u64 = 40;

/// Trains in the folder that it is told, and says how that ended.
#[test]
#[ignore = "run by the test below, as a process of its own"]
fn child() {
    let Some(folder) = child_of() else { return };
    let small = Small::new(Net::Transformer, true);
    let (_, end) = trained(&mut small.job(everything(LONG)), &place(&folder)).expect("trains");
    fs::write(folder.join("end.txt"), format!("{end:#?}")).expect("writes");
}

#[test]
fn a_run_killed_at_twenty_moments_ends_with_the_same_bits() -> Result<()> {
    let (through, killed) = (folder(), folder());
    let small = Small::new(Net::Transformer, true);
    let (_, expected) = trained(&mut small.job(everything(LONG)), &place(through.path()))?;
    assert_eq!((expected.steps, &expected.ended), (3 * LONG, &Ended::Through));
    let checkpoint = killed.path().join("checkpoint.safetensors");
    let step = || -> u64 {
        let read = Checkpoint::read(&checkpoint, &Device::Cpu);
        read.map_or(0, |state| state.fact(&checkpoint, "step").expect("a step"))
    };
    // From before the first checkpoint to behind the last but some.
    let n = 20;
    let mut steps = Vec::new();
    for k in 0..n {
        assert!(kill(killed.path(), k, 8, || step() >= k * 3 * LONG / (n + 1)), "over before kill {k}");
        steps.push(step());
    }
    assert!(steps.is_sorted() && steps[n as usize - 1] < 3 * LONG, "nothing that was kept is lost: {steps:?}");
    assert!(!killed.path().join("end.txt").exists());
    assert!(killed::start(killed.path()).wait().expect("ends").success());
    let found = fs::read_to_string(killed.path().join("end.txt")).expect("an end");
    assert!(found == format!("{expected:#?}"), "killed at steps {steps:?}:\n{found}\nnot\n{expected:#?}");
    // Two lives' rows are not both in the curve's file.
    let curve = |folder: &Path| wider_clip::training::Curve::open(&folder.join("curve.csv")).expect("reads");
    assert_eq!(small_tuning::rows(&curve(killed.path())), small_tuning::rows(&curve(through.path())));
    Ok(())
}

#[test]
fn a_run_stopped_after_any_step_ends_with_the_same_bits() -> Result<()> {
    let convolutions = Small::new(Net::Convolutions, false);
    let transformer = Small::new(Net::Transformer, true);
    let running = Recipe { batch: 8, epochs: 1, ..Recipe::lp_ft(1e-3) };
    for (small, recipe) in [
        (&transformer, study(30, 2)),
        (&transformer, everything(3)),
        (&convolutions, study(2, 30)),
        (&convolutions, running),
    ] {
        let (through, stopped) = (folder(), folder());
        let (_, expected) = trained(&mut small.job(recipe.clone()), &place(through.path()))?;
        for step in 1..=expected.steps {
            let mut job = small.job(recipe.clone());
            let (outcome, _) = trained(&mut job, &Place { stop_after: Some(step), ..place(stopped.path()) })?;
            assert_eq!(outcome.steps, step);
        }
        let (_, end) = trained(&mut small.job(recipe.clone()), &place(stopped.path()))?;
        assert!(end == expected, "{}: {end:#?}\nnot\n{expected:#?}", recipe.fingerprint());
        // Over is over: nothing is trained, and its numbers are there again.
        let (_, again) = trained(&mut small.job(recipe), &place(through.path()))?;
        assert!(again == expected);
    }
    Ok(())
}

#[test]
fn parts_of_a_batch_make_the_same_step_but_for_batch_normalisation() -> Result<()> {
    let after = |small: &Small, at_once: Option<usize>| -> Result<_> {
        // Batches of 16 and 6, in parts of 3 and a last one of 1.
        let recipe = Recipe { rate: 1e-3, epochs: 2, ..Recipe::study() };
        let mut job = FineTune::new(FineTuneParams { images_at_once: at_once, ..small.params(recipe) })?;
        let start = job.start().clone();
        let folder = folder();
        let outcome = trained(&mut job, &place(folder.path()))?.0;
        Ok((outcome, start, job.classifier().state()?))
    };
    let losses = |outcome: &wider_clip::training::Outcome| -> Vec<f64> {
        outcome.curve.rows().iter().filter(|row| row.metric.ends_with("loss")).map(|row| row.value).collect()
    };
    let distance = |a: &BTreeMap<String, Tensor>, b: &BTreeMap<String, Tensor>| -> f64 {
        let square = |name: &String| (&a[name] - &b[name]).and_then(|d| d.sqr()?.sum_all()?.to_scalar::<f32>());
        a.keys().map(|name| f64::from(square(name).expect("of one shape"))).sum::<f64>().sqrt()
    };
    let plain = Small::new(Net::Transformer, false);
    let (whole, start, expected) = after(&plain, None)?;
    for at_once in [3, 1, 16, 99] {
        let (parts, _, found) = after(&plain, Some(at_once))?;
        assert_eq!((parts.steps, parts.images), (whole.steps, whole.images));
        for (a, b) in losses(&parts).iter().zip(losses(&whole)) {
            assert!((a - b).abs() < 1e-5, "{at_once} at once: a loss of {a} for {b}");
        }
        let (off, moved) = (distance(&found, &expected), distance(&expected, &start));
        assert!(off < 1e-5 && moved > 0.1, "{at_once} at once: {off} apart after {moved}");
        if at_once >= 16 {
            assert_eq!(off, 0.0, "whole batches");
        }
    }
    // Statistics of three images are not those of sixteen; running ones do not see the batch.
    let normalised = Small::new(Net::Convolutions, false);
    let ((whole, _, _), (parts, _, _)) = (after(&normalised, None)?, after(&normalised, Some(3))?);
    let (a, b) = (losses(&whole)[0], losses(&parts)[0]);
    assert!((a - b).abs() > 1e-3, "{a} and {b}");
    let first = |at_once| -> Result<f64> {
        let recipe = Recipe { epochs: 1, ..Recipe::lp_ft(1e-3) };
        let mut job = FineTune::new(FineTuneParams { images_at_once: at_once, ..normalised.params(recipe) })?;
        let folder = folder();
        Ok(losses(&trained(&mut job, &place(folder.path()))?.0)[0])
    };
    let (a, b) = (first(None)?, first(Some(3))?);
    assert!((a - b).abs() < 1e-5, "{a} and {b}");
    Ok(())
}

#[test]
fn the_studys_plan_is_lightnings() -> Result<()> {
    // 37 images: 16, 16 and 5.
    let recipe = Recipe::study();
    let plan = recipe.plan(37, 4)?;
    assert_eq!((plan.steps, plan.images, plan.seed), (3000, 37_000, 4));
    assert_eq!((plan.rows_every, plan.measure_every, plan.longest_gradient), (3, 3, None));
    assert_eq!((&plan.rate, plan.betas), (&Schedule::Constant(1e-5), (0.9, 0.999)));
    assert_eq!(plan.stopping, Some(EarlyStopping { metric: "val_loss".into(), patience: 30, min_delta: 0.0 }));
    let sizes: Vec<usize> = (0..4).map(|step| recipe.epochs_of(37, 4).rows(step).len()).collect();
    assert_eq!(sizes, [16, 16, 5, 16], "the last batch of an epoch is kept");
    assert_eq!((recipe.weight_decay, recipe.layer_decay, &recipe.views), (0.0, 1.0, &None));
    assert_eq!((recipe.statistics, recipe.input, recipe.fall), (Statistics::Batch, Input::Study, Fall::Constant));
    // Fewer images than a batch make one.
    assert_eq!(recipe.plan(3, 0)?.steps, 1000);

    let tuned = Recipe::tuned(1e-3);
    let plan = tuned.plan(37, 0)?;
    assert_eq!((plan.steps, plan.longest_gradient), (60, Some(1.0)));
    assert_eq!(plan.rate, Schedule::Cosine { highest: 1e-3, last: 0.0, warm_up: 6, steps: 60 });
    let rates: Vec<f64> = (0..60).map(|step| plan.rate.at(step)).collect();
    assert!(rates[..6].is_sorted() && rates[6..].iter().rev().is_sorted(), "{rates:?}");
    let highest = rates.iter().copied().fold(0.0, f64::max);
    assert!((highest - 1e-3).abs() < 1e-9 && rates[0] < 5e-4 && rates[59] < 1e-5, "{rates:?}");
    // It never stops early, and keeps the best state.
    assert_eq!(plan.stopping.map(|rule| rule.patience), Some(u32::MAX));
    assert_eq!((tuned.weight_decay, tuned.layer_decay, tuned.input), (0.05, 0.75, Input::Own));
    let lp_ft = Recipe::lp_ft(1e-3);
    assert_eq!((lp_ft.epochs, lp_ft.statistics), (10, Statistics::Running));
    assert_eq!(Recipe { epochs: 20, statistics: Statistics::Batch, ..lp_ft.clone() }, tuned);
    // A limit takes epochs away and adds none.
    assert_eq!((lp_ft.clone().at_most(3).epochs, lp_ft.at_most(50).epochs, recipe.at_most(1000).epochs), (3, 10, 1000));
    Ok(())
}

#[test]
fn a_recipe_that_makes_no_plan_is_refused() {
    for (recipe, images) in [
        (Recipe::study(), 0),
        (Recipe { epochs: 0, ..Recipe::study() }, 5),
        (Recipe { batch: 0, ..Recipe::study() }, 5),
    ] {
        let error = recipe.plan(images, 0).expect_err("no step").to_string();
        assert!(error.contains("at least one image, epoch and image per batch"), "{error}");
        assert!(error.contains(&format!("{images} images, {} epochs, batches of {}", recipe.epochs, recipe.batch)));
    }
    for warm_up in [1.0, -0.1, f64::NAN] {
        let error = Recipe { fall: Fall::Cosine { warm_up }, ..Recipe::study() }.plan(5, 0).expect_err("no part");
        assert!(error.to_string().contains("from 0 to below 1"), "{error}");
    }
}

#[test]
fn every_field_of_a_recipe_changes_its_fingerprint() {
    let recipe = Recipe::tuned(1e-3);
    let Recipe {
        rate: _,
        fall: _,
        batch: _,
        epochs: _,
        patience: _,
        weight_decay: _,
        layer_decay: _,
        longest_gradient: _,
        statistics: _,
        input: _,
        views: _,
    } = recipe.clone();
    let views = |horizontal, vertical, colour| Some(Views::new(16, horizontal, vertical, colour));
    let texts = [
        recipe.clone(),
        Recipe { rate: 2e-3, ..recipe.clone() },
        Recipe { fall: Fall::Constant, ..recipe.clone() },
        Recipe { fall: Fall::Cosine { warm_up: 0.2 }, ..recipe.clone() },
        Recipe { batch: 17, ..recipe.clone() },
        Recipe { epochs: 21, ..recipe.clone() },
        Recipe { patience: Some(3), ..recipe.clone() },
        Recipe { weight_decay: 0.01, ..recipe.clone() },
        Recipe { layer_decay: 0.8, ..recipe.clone() },
        Recipe { longest_gradient: None, ..recipe.clone() },
        Recipe { statistics: Statistics::Running, ..recipe.clone() },
        Recipe { input: Input::Study, ..recipe.clone() },
        Recipe { views: views(false, false, false), ..recipe.clone() },
        Recipe { views: views(true, false, false), ..recipe.clone() },
        Recipe { views: views(false, true, false), ..recipe.clone() },
        Recipe { views: views(false, false, true), ..recipe },
    ]
    .map(|recipe| recipe.fingerprint());
    for (i, text) in texts.iter().enumerate() {
        assert!(!texts[..i].contains(text), "{text}");
    }
}

#[test]
fn early_stopping_leaves_the_last_state_with_the_best_beside_it() -> Result<()> {
    let small = Small::new(Net::Transformer, true);
    let mut job = small.job(study(40, 3));
    let told = Arc::new(Mutex::new(Vec::<Course>::new()));
    let hears = told.clone();
    job = job.watched(move |course| hears.lock().expect("no panic").push(course.clone()));
    let place_of_it = folder();
    let (outcome, _) = trained(&mut job, &place(place_of_it.path()))?;
    assert_eq!(outcome.ended, Ended::Early(Reason::NoImprovement("val_loss".into(), 3)));
    let losses = outcome.curve.line("val_loss");
    let epochs = losses.len() as u64;
    assert_eq!((outcome.steps, outcome.images), (3 * epochs, TRAIN as u64 * epochs));
    assert!(epochs < 40, "{epochs} epochs");
    let best = outcome.best.as_ref().expect("a best state");
    let least = losses.iter().map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min);
    assert_eq!((best.value, best.step), (least, 3 * (epochs - 3)), "{losses:?}");
    // The job holds the last state; both are what the curve says of them.
    let accuracies = outcome.curve.line("val_accuracy");
    assert_eq!(job.validate()?, (losses[losses.len() - 1].1, accuracies[losses.len() - 1].1));
    let last = job.classifier().state()?;
    assert_ne!(hashes(&last), hashes(&best.state));
    let moved = job.moved(&last)?;
    assert!(moved > 0.0 && job.moved(job.start())? == 0.0, "{moved}");
    job.set_state(&best.state)?;
    assert_eq!(job.validate()?.0, best.value);
    let told = told.lock().expect("no panic");
    let last = told.last().expect("told");
    assert_eq!(
        (told.len() as u64, last.waited, last.measures[0]),
        (epochs, Some((3, 3)), ("val_loss", losses[losses.len() - 1].1))
    );

    // Where nothing stops it, the limit does; the loss is taken before the step, the measure behind it.
    let mut short = small.job(study(2, 30));
    let place_of_it = folder();
    let (outcome, _) = trained(&mut short, &place(place_of_it.path()))?;
    assert_eq!((outcome.ended, outcome.steps), (Ended::Through, 6));
    Ok(())
}

#[test]
fn validation_is_cross_entropy_and_accuracy() -> Result<()> {
    let small = Small::new(Net::Transformer, false);
    let job = small.job(study(1, 1));
    let val: Vec<usize> = (TRAIN..TRAIN + VAL).collect();
    let logits = job.logits(&val)?;
    assert_eq!(logits.dim(), (VAL, CLASSES));
    let (mut loss, mut right) = (0.0, 0);
    for (row, &position) in logits.rows().into_iter().zip(&val) {
        let label = small.labels[position] as usize;
        let sum: f64 = row.iter().map(|&value| f64::from(value).exp()).sum();
        loss += sum.ln() - f64::from(row[label]);
        right += usize::from((0..CLASSES).all(|k| k == label || row[k] < row[label]));
    }
    let (found, accuracy) = job.validate()?;
    assert!((found - loss / VAL as f64).abs() < 1e-6 && accuracy == right as f64 / VAL as f64, "{found} {accuracy}");
    // An image's scores do not depend on the images beside it.
    let alone = job.logits(&val[3..4])?;
    let beside = logits.row(3);
    assert!(alone.iter().zip(beside).all(|(a, b)| (a - b).abs() < 1e-5));
    let error = job.logits(&[999]).expect_err("no such image").to_string();
    assert!(error.contains("a position below 34"), "{error}");
    Ok(())
}

#[test]
fn each_way_has_its_recipe() {
    let augment = AugmentRecord { flips: vec![Flip::Vertical], colour: true };
    let of = |method| Arm::of(method, 48, &augment, 1000);
    let study = of(Tuning::Finetune);
    assert_eq!(
        (study.recipes.as_slice(), study.head, study.alphas),
        (&[Recipe::study()][..], HeadStart::Drawn, &[][..])
    );
    let augmented = of(Tuning::FinetuneAugmented);
    let views = Some(Views::new(48, false, true, true));
    assert_eq!((augmented.recipes, augmented.head), (vec![Recipe { views, ..Recipe::study() }], HeadStart::Drawn));
    let tuned = of(Tuning::FinetuneTuned);
    assert_eq!(
        (tuned.recipes, tuned.head, tuned.alphas.len()),
        (RATES.map(Recipe::tuned).to_vec(), HeadStart::Drawn, 0)
    );
    let lp_ft = of(Tuning::LpFt);
    assert_eq!(
        (&lp_ft.recipes, lp_ft.head, lp_ft.alphas.len()),
        (&RATES.map(Recipe::lp_ft).to_vec(), HeadStart::Fitted, 0)
    );
    let wise = of(Tuning::Wise);
    assert_eq!((wise.recipes, wise.head, wise.alphas), (lp_ft.recipes, HeadStart::Fitted, &ALPHAS[..]));
    assert_eq!((ALPHAS[0], ALPHAS[ALPHAS.len() - 1]), (0.0, 1.0));
    for &method in Tuning::ALL {
        let arm = Arm::of(method, 48, &augment, 4);
        assert!(arm.recipes.iter().all(|recipe| recipe.epochs == 4), "{arm:?}");
        // Only the study's arms take the study's mean and deviation, only one changes images.
        let studys = matches!(method, Tuning::Finetune | Tuning::FinetuneAugmented);
        assert!(arm.recipes.iter().all(|recipe| (recipe.input == Input::Study) == studys));
        assert!(arm.recipes.iter().all(|recipe| recipe.views.is_some() == (method == Tuning::FinetuneAugmented)));
    }
    // Flips and colours are the data set's to allow, and part of a row's key.
    let views = |flips: &[Flip], colour| {
        let arm = Arm::of(Tuning::FinetuneAugmented, 48, &AugmentRecord { flips: flips.to_vec(), colour }, 9);
        (arm.recipes[0].views.clone().expect("views"), arm.settings())
    };
    let (none, first) = views(&[], false);
    assert_eq!((none.augmentation.flip, none.vertical, &none.augmentation.jitter), (0.0, false, &None));
    let (both, second) = views(&[Flip::Vertical, Flip::Horizontal], false);
    assert_eq!((both.augmentation.flip, both.vertical, &both.augmentation.jitter), (0.5, true, &None));
    let (colour, third) = views(&[], true);
    assert!(colour.augmentation.jitter.is_some() && !colour.vertical && colour.augmentation.flip == 0.0);
    assert!(first != second && second != third && first != third);
    let all: Vec<String> = Tuning::ALL.iter().map(|&method| of(method).settings()).collect();
    for (i, settings) in all.iter().enumerate() {
        assert!(!all[..i].contains(settings), "{settings}");
    }
    let own = ([0.5; 3], [0.25; 3]);
    assert_eq!(Input::Own.normalisation(own), own);
    assert_eq!(Input::Study.normalisation(own), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]));
}

/// Images as rows of values.
fn images(tensor: &Tensor) -> Vec<Vec<f32>> {
    tensor.flatten_from(1).and_then(|flat| flat.to_vec2()).expect("images")
}

#[test]
fn images_are_mirrored_as_far_as_it_is_allowed() -> Result<()> {
    let small = Small::new(Net::Transformer, false);
    let positions: Vec<usize> = (0..TRAIN).collect();
    let squares = same_size();
    let examples = Examples::new(squares.clone(), small.labels.clone(), CLASSES, (MEAN, STD))?;
    let whole = images(&examples.images(&positions)?);
    let mirrored = |image: &[f32], (across, down): (bool, bool)| -> Vec<f32> {
        let at = |y: usize, x: usize| (if down { 15 - y } else { y }) * 16 + if across { 15 - x } else { x };
        (0..768).map(|i| image[i / 256 * 256 + at(i % 256 / 16, i % 16)]).collect()
    };
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
    for (horizontal, vertical) in [(false, false), (true, false), (false, true), (true, true)] {
        let flip = if horizontal { 0.5 } else { 0.0 };
        let views = Views { augmentation: Augmentation { flip, ..Augmentation::plain(16) }, vertical };
        let mut seen = BTreeMap::new();
        for step in 0..4 {
            let drawn = images(&examples.changed(&squares, &views, &positions, (3, step))?);
            for (view, image) in drawn.iter().zip(&whole) {
                let all = [(false, false), (true, false), (false, true), (true, true)];
                let which = all.into_iter().find(|&which| near(view, &mirrored(image, which)));
                *seen.entry(which.expect("the image, mirrored or not")).or_insert(0) += 1;
            }
        }
        let expected = if horizontal { 2 } else { 1 } * if vertical { 2 } else { 1 };
        assert_eq!(seen.len(), expected, "{horizontal} {vertical}: {seen:?}");
        assert!(seen.keys().all(|&(across, down)| across <= horizontal && down <= vertical), "{seen:?}");
        assert!(seen.values().all(|&n| n > 88 / expected / 2), "about as often: {seen:?}");
    }
    // What is drawn follows from seed, step and place alone.
    let views = Views::new(16, true, true, true);
    let drawn =
        |seed, step| -> Result<_> { Ok(images(&examples.changed(&small.uncut, &views, &positions, (seed, step))?)) };
    assert_eq!(drawn(3, 1)?, drawn(3, 1)?);
    assert!(drawn(3, 1)? != drawn(3, 2)? && drawn(3, 1)? != drawn(4, 1)?);
    let twice = examples.changed(&small.uncut, &views, &[0, 0], (3, 1))?;
    assert_ne!(images(&twice)[0], images(&twice)[1]);
    Ok(())
}

/// The pictures of [`Small`], by themselves.
fn same_size() -> Arc<Squares> {
    let mut bytes = Vec::new();
    let mut random = wider_clip::random::Random::new("pictures to mirror", 0, 0);
    for _ in 0..TRAIN + VAL {
        bytes.extend((0..768).map(|_| random.below(256) as u8));
    }
    Arc::new(Squares::from_bytes(16, bytes).expect("squares"))
}

#[test]
fn batch_normalisation_stays_where_the_recipe_says_so() -> Result<()> {
    let small = Small::new(Net::Convolutions, false);
    let moved = |recipe: Recipe| -> Result<(usize, usize, usize)> {
        let mut job = small.job(recipe);
        let before = hashes(job.start());
        let place_of_it = folder();
        trained(&mut job, &Place { stop_after: Some(1), ..place(place_of_it.path()) })?;
        let after = hashes(&job.classifier().state()?);
        let is_running = |name: &str| name.contains("running_");
        let changed = |running: bool| {
            after.keys().filter(|&name| is_running(name) == running && before[name] != after[name]).count()
        };
        Ok((changed(true), changed(false), before.keys().filter(|name| is_running(name)).count()))
    };
    let (running, weights, all) = moved(Recipe { batch: 8, ..Recipe::lp_ft(1e-3) })?;
    assert!(running == 0 && weights > 50 && all > 20, "{running} of {all} moved, {weights} weights");
    for recipe in [Recipe { batch: 8, ..Recipe::study() }, Recipe { batch: 8, ..Recipe::tuned(1e-3) }] {
        let (running, weights, all) = moved(recipe)?;
        assert!(running == all && weights > 50, "{running} of {all} moved, {weights} weights");
    }
    Ok(())
}

#[test]
fn what_makes_no_run_is_refused_with_what_was_found() -> Result<()> {
    let small = Small::new(Net::Transformer, false);
    let error = |change: &dyn Fn(&mut FineTuneParams)| {
        let mut params = small.params(study(2, 2));
        change(&mut params);
        FineTune::new(params).err().map(|error| error.to_string()).unwrap_or_else(|| panic!("was taken"))
    };
    let of = |class: u32, from: usize| (from..TRAIN + VAL).find(|&at| small.labels[at] == class).expect("one");
    let of_class = |class: u32| (0..TRAIN).filter(|&at| small.labels[at] == class).collect::<Vec<_>>();
    let says = |found: String, words: &[&str]| {
        for word in words {
            assert!(found.contains(word), "{found}\nlacks\n{word}");
        }
    };
    says(
        error(&|params| params.train.clear()),
        &["training images", "at least one for bars", "a larger budget", "found none"],
    );
    says(
        error(&|params| params.val.clear()),
        &["validation images", "at least one for bars", "more images", "found none"],
    );
    says(error(&|params| params.train.push(34)), &["positions below 34 for bars", "found 34"]);
    says(error(&|params| params.val.push(40)), &["positions below 34 for bars", "found 40"]);
    says(
        error(&|params| params.val.push(3)),
        &["others than the training images", "found image 3 among training images"],
    );
    says(error(&|params| params.train = of_class(1)), &["at least two classes for bars", "found only class {1}"]);
    let without = |params: &mut FineTuneParams| params.train = [of_class(0), of_class(2)].concat();
    let unseen = format!("image {} of class 1, which no training image has", of(1, TRAIN));
    says(error(&without), &["classes that bars is trained on", &unseen]);
    says(error(&|params| params.images_at_once = Some(0)), &["images_at_once", "at least one", "found 0"]);
    // Views need images to cut from: as many, and of the size of the model.
    let views = |size| Some(Views::new(size, true, false, false));
    says(error(&|params| params.recipe.views = views(16)), &["34 uncut images, and views of 16 pixels", "found none"]);
    let few = Arc::new(Squares::from_bytes(21, vec![0; 3 * 21 * 21 * 2])?);
    let fewer = |params: &mut FineTuneParams| (params.recipe.views, params.uncut) = (views(16), Some(few.clone()));
    says(error(&fewer), &["34 uncut images", "found 2 images, views of 16 pixels"]);
    let smaller =
        |params: &mut FineTuneParams| (params.recipe.views, params.uncut) = (views(8), Some(small.uncut.clone()));
    says(error(&smaller), &["views of 16 pixels", "found 34 images, views of 8 pixels"]);

    // Weights that do not fit, by name; a feature that there is not; a head for other classes.
    let mut lacking = small.weights.clone();
    let name = small.weights.keys().min().expect("weights").clone();
    lacking.remove(&name);
    let params = FineTuneParams { weights: &lacking, ..small.params(study(2, 2)) };
    says(FineTune::new(params).err().expect("refused").to_string(), &[&name]);
    let mut misshaped = small.weights.clone();
    misshaped.insert(name.clone(), Tensor::zeros((2, 2), wider_clip::candle_core::DType::F32, &Device::Cpu)?);
    let params = FineTuneParams { weights: &misshaped, ..small.params(study(2, 2)) };
    says(FineTune::new(params).err().expect("refused").to_string(), &[&name]);
    let (weight, bias) = (
        Tensor::zeros((4, 16), wider_clip::candle_core::DType::F32, &Device::Cpu)?,
        Tensor::zeros(4, wider_clip::candle_core::DType::F32, &Device::Cpu)?,
    );
    let params = FineTuneParams { head: Head::Given(&weight, &bias), ..small.params(study(2, 2)) };
    says(
        FineTune::new(params).err().expect("refused").to_string(),
        &["head", "weights [3, 16] and biases [3]", "[4, 16] and [4]"],
    );
    let params = FineTuneParams { feature: ("avg", 16), ..small.params(study(2, 2)) };
    let mut job = FineTune::new(params)?;
    let place_of_it = folder();
    says(
        trained(&mut job, &place(place_of_it.path())).err().expect("refused").to_string(),
        &["no pooling is called `avg`", "cls"],
    );

    // Labels and normalisation.
    let squares = same_size();
    let examples = |labels: Vec<u32>, classes, normalisation| {
        Examples::new(squares.clone(), labels, classes, normalisation).err().expect("refused").to_string()
    };
    says(examples(vec![0; 33], 2, (MEAN, STD)), &["34, one for each image", "found 33"]);
    says(examples([vec![0; 33], vec![2]].concat(), 2, (MEAN, STD)), &["classes below 2", "found 2"]);
    for std in [[0.0, 1.0, 1.0], [f32::NAN, 1.0, 1.0], [-1.0, 1.0, 1.0]] {
        says(examples(vec![0; 34], 2, (MEAN, std)), &["deviations above 0"]);
    }
    says(examples(vec![0; 34], 2, ([f32::INFINITY; 3], STD)), &["finite means"]);
    // A state of another model.
    let job = small.job(study(2, 2));
    let mut state = job.start().clone();
    state.remove("head.bias");
    says(job.set_state(&state).err().expect("refused").to_string(), &["head.bias"]);
    says(between(job.start(), &state, 0.5).err().expect("refused").to_string(), &["two of the same model"]);
    for alpha in [-0.1, 1.1, f64::NAN] {
        says(between(job.start(), job.start(), alpha).err().expect("refused").to_string(), &["from 0 to 1"]);
    }
    Ok(())
}

#[test]
fn between_two_states_lie_their_means() -> Result<()> {
    let small = Small::new(Net::Convolutions, false);
    let job = small.job(study(1, 1));
    let (from, to) = (
        job.start(),
        job.start().iter().map(|(name, t)| Ok((name.clone(), (t + 1.0)?))).collect::<Result<BTreeMap<_, _>>>()?,
    );
    assert_eq!(hashes(&between(from, &to, 0.0)?), hashes(from), "the ends are the states, to the bit");
    assert_eq!(hashes(&between(from, &to, 1.0)?), hashes(&to));
    let quarter = between(from, &to, 0.25)?;
    // Running statistics among them.
    assert!(quarter.keys().any(|name| name.contains("running_var")));
    for (name, tensor) in &quarter {
        assert!(relative(tensor, &(&from[name] + 0.25)?).absolute < 1e-5, "{name}");
    }
    Ok(())
}

#[test]
fn a_loss_that_is_not_finite_names_step_rate_and_images() -> Result<()> {
    let small = Small::new(Net::Transformer, false);
    let mut job = small.job(Recipe { rate: 1e30, ..study(3, 3) });
    let images: Vec<usize> = job.epochs().rows(1);
    let place_of_it = folder();
    let error = trained(&mut job, &place(place_of_it.path())).err().expect("not finite").to_string();
    assert!(error.starts_with("loss: expected finite numbers, found NaN for loss at step 1 of bars"), "{error}");
    assert!(error.contains(&format!("learning rate 1e30, images {images:?}")), "{error}");
    // In parts, those of the part.
    let params = FineTuneParams { images_at_once: Some(3), ..small.params(Recipe { rate: 1e30, ..study(3, 3) }) };
    let place_of_it = folder();
    let error = trained(&mut FineTune::new(params)?, &place(place_of_it.path())).err().expect("not finite").to_string();
    assert!(error.ends_with(&format!("images {:?}", &images[..3])), "{error}");
    // Scores that are not finite say of which image; as a measure they end the run.
    let job = small.job(study(3, 3));
    let broken = job.start().iter().map(|(name, t)| Ok((name.clone(), (t * f64::NAN)?))).collect::<Result<_>>()?;
    job.set_state(&broken)?;
    let error = job.logits(&[7, 8]).err().expect("not finite").to_string();
    assert!(error.contains("NaN for image 7 of bars"), "{error}");
    assert!(job.validate()?.0.is_nan());
    Ok(())
}

#[test]
fn a_folder_that_is_another_runs_or_none_is_refused() -> Result<()> {
    let small = Small::new(Net::Transformer, false);
    let first = folder();
    trained(&mut small.job(study(2, 2)), &Place { stop_after: Some(1), ..place(first.path()) })?;
    let train_in = |params: FineTuneParams| -> String {
        let mut job = FineTune::new(params).expect("a job");
        trained(&mut job, &place(first.path())).err().expect("another run").to_string()
    };
    let others: [(&str, FineTuneParams); 8] = [
        ("rate", small.params(Recipe { rate: 1e-4, ..study(2, 2) })),
        ("epochs", small.params(study(3, 2))),
        ("seed", FineTuneParams { seed: 6, ..small.params(study(2, 2)) }),
        ("weights", FineTuneParams { weights_id: "others", ..small.params(study(2, 2)) }),
        ("training images", FineTuneParams { train: (0..TRAIN - 1).collect(), ..small.params(study(2, 2)) }),
        ("validation images", FineTuneParams { val: (TRAIN + 1..TRAIN + VAL).collect(), ..small.params(study(2, 2)) }),
        ("parts", FineTuneParams { images_at_once: Some(3), ..small.params(study(2, 2)) }),
        ("decay", small.params(Recipe { weight_decay: 0.1, ..study(2, 2) })),
    ];
    for (what, params) in others {
        let error = train_in(params);
        assert!(error.contains("checkpoint.safetensors") && error.contains("one of another run"), "{what}: {error}");
        assert!(error.contains("remove it or choose another folder"), "{what}: {error}");
    }
    // Labels are part of it, and how images are normalised.
    let relabelled = Small::new(Net::Transformer, true);
    assert!(train_in(relabelled.params(study(2, 2))).contains("one of another run"));
    let examples = Examples::new(same_size(), small.labels.clone(), CLASSES, (MEAN, STD))?;
    assert!(train_in(FineTuneParams { examples, ..small.params(study(2, 2)) }).contains("one of another run"));
    // The run itself goes on, under another name too.
    let renamed = FineTuneParams { name: "other words".into(), ..small.params(study(2, 2)) };
    trained(&mut FineTune::new(renamed)?, &place(first.path()))?;

    // A damaged checkpoint, and a folder that is a file.
    fs::write(first.path().join("checkpoint.safetensors"), b"no checkpoint").expect("writes");
    let error = train_in(small.params(study(2, 2)));
    assert!(error.contains("checkpoint.safetensors") && error.contains("a checkpoint"), "{error}");
    let file = first.path().join("a file");
    fs::write(&file, "no folder").expect("writes");
    let error = train(&mut small.job(study(2, 2)), &study(2, 2).plan(TRAIN, 5)?, &place(&file)).expect_err("no folder");
    assert!(error.to_string().contains("a file"), "{error}");
    Ok(())
}

#[test]
fn the_state_that_is_kept_is_a_copy() -> Result<()> {
    // A best state that was the variables themselves would move with them.
    let small = Small::new(Net::Transformer, false);
    let mut job = small.job(study(3, 3));
    let start = hashes(job.start());
    let place_of_it = folder();
    let (outcome, end) = trained(&mut job, &place(place_of_it.path()))?;
    assert_eq!(hashes(job.start()), start);
    assert_ne!(end.last, start);
    let all: HashMap<String, Tensor> = job.start().clone().into_iter().collect();
    job.classifier().set_state(&all)?;
    assert_eq!(hashes(&outcome.best.expect("a best state").state), end.best.expect("a best state").2);
    let _: End = End::of(&job, &trained(&mut small.job(study(1, 1)), &place(folder().path()))?.0);
    Ok(())
}
