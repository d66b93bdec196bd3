//! Classes by their names: what is normalised, who wins a tie, what has no answer.

use std::collections::HashSet;
use std::path::Path;
use wider_clip::error::Result;
use wider_clip::ndarray::{Array2, Array3, ArrayView2, Axis, array};
use wider_clip::probe::zero_shot::ZeroShot;
use wider_clip::text::Kinds;

#[test]
fn prompts_are_normalised_before_and_after_the_mean() -> Result<()> {
    // numpy: t /= norm(t, axis=2); w = t.mean(1); w /= norm(w, axis=1); scores = (x / norm(x, axis=1)) @ w.T
    // Class 0: (3, 4) / 5 and (0, 1) have the mean (0.3, 0.9), which over its length sqrt(0.9) is (1, 3) / sqrt(10).
    // Were the prompts not normalised first, a long one would decide: (3, 5) / sqrt(34).
    // Class 1: (1, 0) twice. Class 2: the same, ten times as long.
    let texts = array![[[3.0, 4.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]], [[10.0, 0.0], [10.0, 0.0]]];
    let model = ZeroShot::new(texts.view())?;
    let root = 10f32.sqrt();
    let close = |found: ArrayView2<f32>, expected: Array2<f32>| {
        assert_eq!(found.dim(), expected.dim());
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found} for {expected}");
    };
    close(model.weights(), array![[1.0 / root, 3.0 / root], [1.0, 0.0], [1.0, 0.0]]);
    let images = array![[2.0, 0.0], [0.0, 0.5], [-3.0, 0.0], [3.0, 4.0]];
    let (classes, scores) = model.try_predict(images.view())?;
    close(
        scores.view(),
        array![
            [1.0 / root, 1.0, 1.0],
            [3.0 / root, 0.0, 0.0],
            [-1.0 / root, -1.0, -1.0],
            [3.0 / root, 0.6, 0.6] // (3 + 12) / 5 / sqrt(10)
        ],
    );
    // The first image is as near to class 1 as to class 2.
    assert_eq!(classes.to_vec(), [1, 0, 0, 0]);
    Ok(())
}

#[test]
fn of_equal_scores_the_lowest_class_wins_wherever_it_stands() -> Result<()> {
    // 40 classes of 20 directions: class k and class k + 20 have one feature, of other length.
    let texts = Array3::from_shape_fn((40, 1, 24), |(k, _, i)| {
        let x = ((k % 20) * 24 + i) as f32;
        (x * 0.7).sin() * if k < 20 { 1.0 } else { 4.0 }
    });
    let model = ZeroShot::new(texts.view())?;
    let images = texts.index_axis(Axis(1), 0);
    let classes = model.try_predict(images)?.0;
    assert_eq!(classes.to_vec(), (0..40).map(|k| k % 20).collect::<Vec<u32>>());
    Ok(())
}

#[test]
fn what_has_no_answer_is_an_error() -> Result<()> {
    let message = |texts: Array3<f32>| ZeroShot::new(texts.view()).expect_err("no weights").to_string();
    for shape in [(0, 2, 3), (2, 0, 3), (2, 2, 0)] {
        let found = message(Array3::zeros(shape));
        assert!(found.starts_with("text features: expected classes, prompts and numbers"), "{found}");
    }
    let found = message(array![[[1.0, 0.0]], [[0.0, 0.0]]]);
    assert_eq!(found, "text features: expected features with a direction, found zeros for prompt 0 of class 1");
    let found = message(array![[[1.0, 0.3], [-1.0, -0.3]]]);
    assert_eq!(found, "text features: expected a mean with a direction, found prompts of class 0 that cancel out");
    let found = message(array![[[1.0, f32::NAN]]]);
    assert_eq!(found, "text features: expected finite values, found NaN in row 0, column 1");

    let model = ZeroShot::new(array![[[1.0, 0.0]]].view())?;
    let message = |images: Array2<f32>| model.try_predict(images.view()).expect_err("no classes").to_string();
    assert_eq!(message(array![[1.0, 2.0, 3.0]]), "features: expected 2 columns as fitted, found 3");
    assert!(message(Array2::zeros((0, 2))).starts_with("image features: expected at least one row"));
    assert!(message(array![[1.0, f32::INFINITY]]).ends_with("found inf in row 0, column 1"));
    assert!(message(array![[1.0, 0.0], [0.0, 0.0]]).ends_with("found zeros in row 1"));
    Ok(())
}

#[test]
fn the_best_kind_counts_as_much_as_the_class() -> Result<()> {
    // numpy: (x / norm) @ w.T; 0.5 * (of_class + of_kinds.max()), by hand in fifths.
    let names = ZeroShot::of_prompts(&[array![[3.0, 4.0]].view(), array![[1.0, 0.0], [9.0, 0.0]].view()])?;
    assert_eq!(names, ZeroShot::new(array![[[3.0, 4.0]], [[2.0, 0.0]]].view())?);
    let none = Array2::<f32>::zeros((0, 2));
    let images = array![[0.0, 2.0], [-4.0, 3.0], [5.0, 0.0]];
    let close = |found: Array2<f32>, expected: Array2<f32>| {
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found} for {expected}");
    };
    let of_second = array![[0.0, 0.5], [-8.0, 6.0]];
    let model = names.clone().with_kinds(&[none.view(), of_second.view()])?;
    close(model.scores(images.view())?, array![[0.8, 0.5], [0.0, 0.1], [0.6, 0.5]]);
    assert_eq!(model.try_predict(images.view())?.0.to_vec(), [0, 1, 0]);
    assert_eq!(names.try_predict(images.view())?.0.to_vec(), [0, 0, 1]);
    // Without any kinds nothing changes.
    let without = names.clone().with_kinds(&[none.view(), none.view()])?;
    close(without.scores(images.view())?, names.scores(images.view())?);

    let message = |kinds: &[ArrayView2<f32>]| names.clone().with_kinds(kinds).expect_err("no kinds").to_string();
    assert_eq!(message(&[none.view()]), "kinds: expected those of 2 classes, found 1");
    assert_eq!(
        message(&[none.view(), array![[0.0, 0.0]].view()]),
        "kinds: expected features with a direction, found zeros for kind 0 of class 1"
    );
    assert!(message(&[none.view(), array![[1.0]].view()]).contains("expected 2 columns"));
    assert!(message(&[none.view(), array![[1.0, f32::NAN]].view()]).contains("found NaN in row 0, column 1"));
    assert!(ZeroShot::of_prompts(&[]).is_err());
    assert!(ZeroShot::of_prompts(&[array![[1.0]].view(), array![[1.0, 0.0]].view()]).is_err());
    Ok(())
}

#[test]
fn the_shipped_kinds_are_wordnets() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data_manifests/embedded/pocket/clip_kinds.txt");
    let kinds = Kinds::read(&path)?;
    let mammals = kinds.of_word("mammal");
    assert!(mammals.contains(&"horse") && mammals.contains(&"bear") && !mammals.contains(&"bird"), "{mammals:?}");
    let animals = kinds.of_word("animal");
    assert!(mammals.iter().all(|mammal| animals.contains(mammal)) && animals.contains(&"bird"));
    assert_eq!(kinds.of_class("animal-mammal").iter().collect::<HashSet<_>>(), animals.iter().collect());
    for (plural, singular) in [("Fruits", "fruit"), ("boxes", "box"), ("churches", "church"), ("batteries", "battery")]
    {
        assert_eq!(kinds.of_word(plural), kinds.of_word(singular), "{plural}");
        assert!(!kinds.of_word(singular).is_empty(), "{singular}");
    }
    // Instances are kinds too, and a word comes once although many synsets have it.
    let all = kinds.of_word("entity");
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    assert!(all.len() > 1000 && kinds.of_word("smiling").len() < 5 && kinds.of_word("qwerty").is_empty());
    Ok(())
}

#[test]
fn a_broken_list_of_kinds_is_an_error() {
    let message = |text: &str| Kinds::parse(text, "k.txt".as_ref()).expect_err("no kinds").to_string();
    for (text, expected) in [
        ("animal\thorse\n", "names, words and kinds, parted by tabs"),
        ("animal\t\t1\nhorse\thorse\t7\n", "kinds that are lines from 0 to 1"),
        ("animal\t\tx\n", "kinds that are lines from 0 to 0"),
    ] {
        let found = message(text);
        assert!(found.contains(expected) && found.contains("in line"), "{found}");
    }
    // A circle ends.
    let circle = Kinds::parse("a\tone\t1\nb\ttwo\t0\n", "k.txt".as_ref()).unwrap();
    assert_eq!(circle.of_word("b"), ["two", "one"]);
}
