//! Classes by their names: what is normalised, who wins a tie, what has no answer.

use wider_clip::error::Result;
use wider_clip::ndarray::{Array2, Array3, ArrayView2, Axis, array};
use wider_clip::probe::zero_shot::ZeroShot;

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
