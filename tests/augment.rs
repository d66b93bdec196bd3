//! Augmentations: each step against torchvision's, boxes, and what is random.
//! tests/reference/augment.py makes the files under tests/golden/augment.

#[path = "support/packed.rs"]
mod packed;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use image::RgbImage;
use image::imageops::crop_imm;
use safetensors::SafeTensors;
use wider_clip::augment::*;
use wider_clip::error::Result;
use wider_clip::images::{Interpolation, Window, resize};
use wider_clip::random::Random;

const SIDE: usize = 64;

/// `EVERY` of the script.
const EVERY: usize = 17;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/augment").join(name)
}

/// The pictures, by name, and every sample, by step, arguments and picture.
fn expected() -> (BTreeMap<String, Vec<u8>>, BTreeMap<String, Vec<f32>>) {
    let bytes = packed::unpacked(golden("expected.safetensors.gz").as_ref());
    let tensors = SafeTensors::deserialize(&bytes).expect("a golden file");
    let (images, samples): (Vec<_>, Vec<_>) = tensors.tensors().into_iter().partition(|(name, _)| !name.contains(' '));
    let numbers = |data: &[u8]| data.as_chunks::<4>().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
    let images = images.into_iter().map(|(name, tensor)| (name, tensor.data().to_vec())).collect();
    (images, samples.into_iter().map(|(name, tensor)| (name, numbers(tensor.data()))).collect())
}

/// A picture of `SIDE` x `SIDE` with colours, edges and noise.
fn picture() -> Vec<u8> {
    expected().0.remove("drawing").expect("a picture")
}

fn window(left: u32, top: u32, width: u32, height: u32) -> Window {
    Window { left, top, width, height }
}

/// The picture as it is: values 0 to 1, channels first.
fn whole(pixels: &[u8]) -> Vec<f32> {
    (0..3).flat_map(|channel| pixels[channel..].iter().step_by(3).map(|&byte| f32::from(byte) / 255.0)).collect()
}

fn cropped(pixels: &[u8], window: Window, size: usize, mirrored: bool) -> Result<Vec<f32>> {
    let mut view = vec![f32::NAN; 3 * size * size];
    crop_resized(pixels, SIDE, window, size, mirrored, &mut view)?;
    Ok(view)
}

/// What the words of a golden's name say: a step, its arguments and the picture.
fn step(words: &[&str], pixels: &[u8]) -> Result<Vec<f32>> {
    let number = |place: usize| words[place].parse::<f64>().expect("a number");
    if words[0] == "crop" {
        let [left, top, width, height, size] = [1, 2, 3, 4, 5].map(|place| number(place) as u32);
        return cropped(pixels, window(left, top, width, height), size as usize, false);
    }
    let mut view = whole(pixels);
    match words[0] {
        "brightness" => brightness(&mut view, number(1) as f32)?,
        "contrast" => contrast(&mut view, number(1) as f32)?,
        "saturation" => saturation(&mut view, number(1) as f32)?,
        "hue" => hue(&mut view, number(1) as f32)?,
        "grey" => grey(&mut view)?,
        "blur" => blur(&mut view, SIDE, number(1))?,
        "solarise" => solarise(&mut view, number(1) as f32),
        other => panic!("no step is called {other}"),
    }
    Ok(view)
}

fn largest_difference(ours: impl IntoIterator<Item = f32>, theirs: impl IntoIterator<Item = f32>) -> f32 {
    ours.into_iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, |worst, apart| {
        assert!(!apart.is_nan());
        worst.max(apart)
    })
}

#[test]
fn every_step_is_torchvisions() -> Result<()> {
    let (images, samples) = expected();
    assert_eq!(samples.len(), 3 * (8 + 1 + 3 + 3 + 3 + 5 + 1 + 4));
    let mut worst = BTreeMap::<&str, f32>::new();
    for (name, theirs) in &samples {
        let words: Vec<&str> = name.split(' ').collect();
        let ours = step(&words, &images[words[words.len() - 1]])?;
        assert_eq!(ours.len().div_ceil(EVERY), theirs.len(), "{name}");
        let apart = largest_difference(ours.iter().step_by(EVERY).copied(), theirs.iter().copied());
        assert!(apart <= 1e-5, "{name}: {apart:e}");
        let entry = worst.entry(words[0]).or_default();
        *entry = entry.max(apart);
    }
    println!("{worst:?}");
    Ok(())
}

#[test]
fn crops_are_pillows_to_a_grey_level_and_a_half() -> Result<()> {
    let (images, _) = expected();
    for (name, pixels) in &images {
        let image = RgbImage::from_raw(SIDE as u32, SIDE as u32, pixels.clone()).expect("three bytes for each pixel");
        for (left, top, width, height, size) in
            [(0, 0, 64, 64, 48), (0, 0, 64, 64, 96), (3, 7, 50, 47, 48), (9, 30, 20, 24, 24)]
        {
            let part = crop_imm(&image, left, top, width, height).to_image();
            let theirs = whole(&resize(&part, size, size, Interpolation::Bicubic)?);
            let ours = cropped(pixels, window(left, top, width, height), size as usize, false)?;
            let levels = 255.0 * largest_difference(ours, theirs);
            assert!(levels <= 1.5, "{name}: {levels} of 255");
        }
    }
    Ok(())
}

#[test]
fn boxes_lie_inside_and_take_the_area_that_they_should() {
    let mut random = Random::new("boxes", 0, 0);
    for (scale, ratio) in [((0.08, 1.0), (0.75, 4.0 / 3.0)), ((0.1, 0.4), (0.75, 4.0 / 3.0)), ((0.5, 0.5), (1.0, 1.0))]
    {
        for side in [1, 7, SIDE] {
            for _ in 0..2000 {
                let Window { left, top, width, height } = random_box(side, scale, ratio, &mut random);
                assert!(width > 0 && height > 0 && left + width <= side as u32 && top + height <= side as u32);
                // Each side was rounded by half a pixel at most.
                let (width, height, area) = (f64::from(width), f64::from(height), (side * side) as f64);
                let slack = 0.5 * (width + height) + 0.25;
                assert!(side == 1 || width * height >= scale.0 * area - slack, "{width} x {height} of {side}");
                assert!(side == 1 || width * height <= scale.1 * area + slack, "{width} x {height} of {side}");
            }
        }
    }
}

/// Means and standard deviations of 100,000 boxes each: by chance the means differ by 0.05 pixels or so.
#[test]
fn boxes_are_spread_as_torchvisions() {
    let file = std::fs::read(golden("boxes.json")).expect("a golden file");
    let boxes: BTreeMap<String, BTreeMap<String, [f64; 4]>> = serde_json::from_slice(&file).expect("numbers");
    assert_eq!(boxes.len(), 3);
    for (scale, theirs) in boxes {
        let (low, high) = scale.split_once(' ').expect("two numbers");
        let scale = (low.parse().expect("a number"), high.parse().expect("a number"));
        let mut random = Random::new("boxes", 1, 0);
        let n = 100_000;
        let (mut sum, mut squares) = ([0.0; 4], [0.0; 4]);
        for _ in 0..n {
            let Window { left, top, width, height } = random_box(SIDE, scale, (3.0 / 4.0, 4.0 / 3.0), &mut random);
            for (place, value) in [left, top, width, height].into_iter().enumerate() {
                sum[place] += f64::from(value);
                squares[place] += f64::from(value).powi(2);
            }
        }
        for place in 0..4 {
            let mean = sum[place] / n as f64;
            let std = (squares[place] / n as f64 - mean * mean).sqrt();
            assert!((mean - theirs["mean"][place]).abs() < 0.25, "{scale:?}, {place}: mean {mean}");
            assert!((std - theirs["std"][place]).abs() < 0.15, "{scale:?}, {place}: deviation {std}");
        }
    }
}

#[test]
fn a_box_that_never_fits_is_central() {
    let mut random = Random::new("boxes", 2, 0);
    let mut drawn = |ratio| random_box(SIDE, (1.0, 1.0), ratio, &mut random);
    assert_eq!(drawn((2.0, 2.0)), window(0, 16, 64, 32));
    assert_eq!(drawn((0.25, 0.5)), window(16, 0, 32, 64));
    assert_eq!(drawn((1.0, 1.0)), window(0, 0, 64, 64));
}

#[test]
fn mirrored_means_left_for_right() -> Result<()> {
    let pixels = picture();
    let upright = cropped(&pixels, window(3, 7, 50, 41), 48, false)?;
    let mirrored = cropped(&pixels, window(3, 7, 50, 41), 48, true)?;
    assert_ne!(upright, mirrored);
    let turned = upright.chunks(48).flat_map(|row| row.iter().rev().copied());
    assert!(turned.eq(mirrored.iter().copied()));
    Ok(())
}

/// Every recipe, by its name.
fn recipes(size: usize) -> Vec<(&'static str, Augmentation)> {
    vec![
        ("plain", Augmentation::plain(size)),
        ("DINO, first", Augmentation::dino_first(size)),
        ("DINO, second", Augmentation::dino_second(size)),
        ("DINO, local", Augmentation::dino_local(size)),
        ("MAE", Augmentation::mae(size)),
        ("BEiT", Augmentation::beit(size)),
        ("CLIP", Augmentation::clip(size)),
        ("supervised", Augmentation::supervised(size)),
    ]
}

fn drawn(augmentation: &Augmentation, pixels: &[u8], side: usize, random: &mut Random) -> Result<Vec<f32>> {
    let mut view = vec![f32::NAN; 3 * augmentation.size * augmentation.size];
    augmentation.draw(pixels, side, random, &mut view)?;
    Ok(view)
}

#[test]
fn every_recipe_gives_values_in_range_and_the_same_view_again() -> Result<()> {
    let pixels = picture();
    let noise: Vec<u8> = (0..SIDE * SIDE * 3).map(|place| (place * 7919 % 256) as u8).collect();
    for (image, side) in [(&pixels[..], SIDE), (&noise, SIDE), (&noise[..9 * 9 * 3], 9), (&noise[..3], 1)] {
        for (name, recipe) in [1, 24, 48].into_iter().flat_map(recipes) {
            let mut random = Random::new("views", 0, 0);
            let views = (0..20).map(|_| drawn(&recipe, image, side, &mut random)).collect::<Result<Vec<_>>>()?;
            assert!(views.iter().flatten().all(|value| (-1.0..=1.0).contains(value)), "{name} of {side}");
            assert_eq!(drawn(&recipe, image, side, &mut Random::new("views", 0, 0))?, views[0], "{name}");
            let other = drawn(&recipe, image, side, &mut Random::new("views", 0, 1))?;
            assert!(name == "plain" || side < SIDE || recipe.size < 24 || other != views[0], "{name}");
        }
    }
    Ok(())
}

#[test]
fn plain_is_the_whole_image() -> Result<()> {
    let pixels = picture();
    let expected: Vec<f32> = whole(&pixels).iter().map(|value| (value - 0.5) / 0.5).collect();
    let view = drawn(&Augmentation::plain(SIDE), &pixels, SIDE, &mut Random::new("views", 0, 0))?;
    assert!(largest_difference(view, expected) < 1e-6);
    Ok(())
}

/// Where nothing but the probabilities is left to chance, views are the steps one after the other.
#[test]
fn probability_0_never_does_and_1_always_does() -> Result<()> {
    let pixels = picture();
    let jitter = |probability| Jitter { probability, brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.5 };
    for switches in 0..32 {
        let [flip, colours, without, soft, negative] = [0, 1, 2, 3, 4].map(|bit| f64::from(switches >> bit & 1));
        let settings = Augmentation {
            flip,
            jitter: Some(jitter(colours)),
            grey: without,
            blur: Some(Blur { probability: soft, sigma: (0.8, 0.8) }),
            solarise: negative,
            ..Augmentation::plain(48)
        };
        let mut expected = cropped(&pixels, window(0, 0, 64, 64), 48, flip == 1.0)?;
        let mut seen = BTreeSet::new();
        if without == 1.0 {
            grey(&mut expected)?;
        }
        if soft == 1.0 {
            blur(&mut expected, 48, 0.8)?;
        }
        if negative == 1.0 {
            solarise(&mut expected, 0.5);
        }
        expected.iter_mut().for_each(|value| *value = (*value - 0.5) / 0.5);
        for stream in 0..20 {
            let view = drawn(&settings, &pixels, SIDE, &mut Random::new("views", 0, stream))?;
            if colours == 0.0 {
                assert!(largest_difference(view, expected.iter().copied()) < 1e-6, "{settings:?}");
            } else {
                // The shift is random: every view is another one.
                seen.insert(view.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
            }
        }
        assert_eq!(seen.len(), if colours == 1.0 { 20 } else { 0 }, "{settings:?}");
    }
    Ok(())
}

#[test]
fn half_of_the_views_are_mirrored() -> Result<()> {
    let pixels = picture();
    let settings = Augmentation { flip: 0.5, ..Augmentation::plain(16) };
    let mut random = Random::new("views", 0, 0);
    let plain = drawn(&Augmentation::plain(16), &pixels, SIDE, &mut random)?;
    let views = (0..2000).map(|_| drawn(&settings, &pixels, SIDE, &mut random)).collect::<Result<Vec<_>>>()?;
    let n_upright = views.iter().filter(|&view| *view == plain).count();
    assert!((900..1100).contains(&n_upright), "{n_upright} of 2000");
    Ok(())
}

#[test]
fn factors_of_the_jitter_are_uniform() -> Result<()> {
    // Grey of 102 / 255 = 0.4: only brightness can change it, to 0.4 * factor.
    let pixels = vec![102; SIDE * SIDE * 3];
    let jitter = Jitter { probability: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 };
    let settings = Augmentation { jitter: Some(jitter), ..Augmentation::plain(4) };
    let mut random = Random::new("views", 0, 0);
    let n = 4000;
    let factor = |view: Vec<f32>| f64::from(view[0] * 0.5 + 0.5) / 0.4;
    let factors = (0..n).map(|_| drawn(&settings, &pixels, SIDE, &mut random).map(factor));
    let factors = factors.collect::<Result<Vec<_>>>()?;
    let changed: Vec<f64> = factors.into_iter().filter(|factor| (factor - 1.0).abs() > 1e-3).collect();
    assert!((changed.len() as f64 / n as f64 - 0.8).abs() < 0.03, "{} of {n} changed", changed.len());
    let (low, high) = changed.iter().fold((f64::MAX, f64::MIN), |(low, high), &x| (low.min(x), high.max(x)));
    assert!((0.599..0.61).contains(&low) && (1.39..1.401).contains(&high), "{low} to {high}");
    let mean = changed.iter().sum::<f64>() / changed.len() as f64;
    assert!((mean - 1.0).abs() < 0.02, "{mean}");
    Ok(())
}

fn message(result: Result<()>) -> String {
    result.expect_err("an error").to_string()
}

#[test]
fn wrong_lengths_and_windows_say_what_was_expected_and_found() {
    let (pixels, mut view) = (picture(), vec![0.0; 3 * 48 * 48]);
    let mut random = Random::new("views", 0, 0);
    let mae = Augmentation::mae(48);
    let short = message(mae.draw(&pixels[1..], SIDE, &mut random, &mut view));
    assert_eq!(short, "pixels: expected 64 * 64 * 3 = 12288 bytes, found 12287");
    let short = message(mae.draw(&pixels, SIDE, &mut random, &mut view[1..]));
    assert_eq!(short, "view: expected 3 * 48 * 48 = 6912 values, found 6911");
    let empty = message(mae.draw(&[], 0, &mut random, &mut view));
    assert!(empty.starts_with("window: expected a window inside 0x0"), "{empty}");
    let outside = message(crop_resized(&pixels, SIDE, window(20, 0, 45, 10), 48, false, &mut view));
    assert!(outside.starts_with("window: expected a window inside 64x64"), "{outside}");
    assert_eq!(message(blur(&mut view, 47, 1.0)), "view: expected 3 * 47 * 47 = 6627 values, found 6912");
    assert_eq!(message(grey(&mut view[1..])), "view: expected three channels of one length, found 6911 values");
}

#[test]
fn settings_without_sense_are_errors() {
    let wrong = |change: fn(&mut Augmentation)| {
        let mut settings = Augmentation::dino_first(48);
        change(&mut settings);
        message(settings.check())
    };
    assert_eq!(wrong(|a| a.size = 0), "size: expected at least one pixel, found 0");
    assert_eq!(wrong(|a| a.flip = 1.5), "flip: expected a probability from 0 to 1, found 1.5");
    assert_eq!(wrong(|a| a.grey = f64::NAN), "grey: expected a probability from 0 to 1, found NaN");
    assert_eq!(
        wrong(|a| a.scale = (0.5, 1.1)),
        "scale: expected two positive numbers, rising, at most 1, found (0.5, 1.1)"
    );
    assert_eq!(wrong(|a| a.ratio = (2.0, 1.0)), "ratio: expected two positive numbers, rising, found (2, 1)");
    let jitter = |hue| Some(Jitter { probability: 1.0, brightness: 0.0, contrast: 0.0, saturation: 0.0, hue });
    assert!(Augmentation { jitter: jitter(0.5), ..Augmentation::plain(48) }.check().is_ok());
    let too_far = Augmentation { jitter: jitter(0.6), ..Augmentation::plain(48) };
    assert_eq!(message(too_far.check()), "jitter.hue: expected 0 to 0.5, found 0.6");
    let view = &mut [0.0; 3];
    assert_eq!(message(hue(view, -0.7)), "hue: expected a shift from -0.5 to 0.5, found -0.7");
    assert_eq!(message(brightness(view, -0.1)), "factor: expected a finite number, not negative, found -0.1");
    assert_eq!(message(blur(view, 1, 0.0)), "sigma: expected more than 0 pixels and at most the view's 1, found 0");
}
