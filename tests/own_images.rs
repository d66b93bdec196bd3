//! A reader's own images from a folder to a classifier, by the functions that the notebook calls.

use std::fs;
use std::path::Path;
use wider_clip::images::encode_png;
use wider_clip::own::{Predictor, Request};
use wider_clip::prelude::*;
use wider_clip::random::Random;

/// Noisy squares: class 0 is darker on the left, class 1 on the right.
fn picture(class: usize, seed: u64) -> wider_clip::image::RgbImage {
    let mut random = Random::new("own images", seed, class as u64);
    let noise: Vec<f64> = (0..24 * 24).map(|_| random.unit()).collect();
    wider_clip::image::RgbImage::from_fn(24, 24, |x, y| {
        let left = if class == 0 { x < 12 } else { x >= 12 };
        let value = 60.0 + f64::from(u8::from(left)) * 60.0 + 100.0 * noise[(y * 24 + x) as usize];
        wider_clip::image::Rgb([value as u8; 3])
    })
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(classes: &[(&str, usize)]) -> Place {
        let place = Place { folder: tempfile::tempdir().expect("a folder") };
        for (number, (class, n)) in classes.iter().enumerate() {
            for i in 0..*n {
                place.put(&format!("images/{class}/{i}.png"), &picture(number.min(1), i as u64));
            }
        }
        place
    }

    fn put(&self, name: &str, picture: &wider_clip::image::RgbImage) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("makes a folder");
        fs::write(path, encode_png(picture).expect("encodes")).expect("writes");
    }

    fn own(&self) -> Result<Own> {
        self.asked(Request { models: vec!["pixels.raw".into()], ..Request::default() })
    }

    fn asked(&self, asked: Request) -> Result<Own> {
        let out = self.folder.path().join("out");
        fs::create_dir_all(&out).expect("makes a folder");
        let record = wider_clip::datasets::recognise(&self.folder.path().join("images"), &Default::default())?.record;
        let manifest = format!("{}.toml", record.id);
        fs::write(out.join(&manifest), wider_clip::manifest::own_manifest(&record)).expect("writes");
        let request = Request { manifest: manifest.into(), ..asked };
        request.write(&out.join(own::REQUEST))?;
        let project = Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "default")?;
        Own::open(project.with_cache(self.folder.path().join("cache")), &out.join(own::REQUEST))
    }

    fn compared(&self, own: &Own) -> Result<(own::Look, Compared)> {
        let look = own.look()?;
        let compared = own.compare(&own.choose(&Device::Cpu)?, &look, &Device::Cpu)?;
        Ok((look, compared))
    }
}

#[test]
fn from_a_folder_to_a_classifier() {
    let place = Place::new(&[("left", 40), ("right", 30)]);
    // A copy under the other label, one picture twice, one that is none, and two without a label.
    place.put("images/right/copy.png", &picture(0, 0));
    place.put("images/left/again.png", &picture(0, 1));
    fs::write(place.folder.path().join("images/left/broken.png"), "no picture").expect("writes");
    place.put("images/unlabelled/a.png", &picture(0, 900));
    place.put("images/unlabelled/b.png", &picture(1, 901));
    let own = place.own().expect("opens");
    assert_eq!((own.set.len(), own.unlabelled.as_ref().map(ImageSet::len)), (73, Some(2)));
    let (look, compared) = place.compared(&own).expect("compares");

    assert_eq!(look.broken.len(), 1);
    let row = |id: &str| own.set.ids.iter().position(|known| known == id).expect("is there");
    let harmful: Vec<&own::Twins> = look.twins.iter().filter(|twins| twins.labels > 1).collect();
    let rows = |twins: &own::Twins| twins.rows.clone();
    assert!(harmful.iter().any(|twins| rows(twins) == [row("left/0.png"), row("right/copy.png")]), "{:?}", look.twins);
    assert_eq!(look.units[row("left/1.png")], look.units[row("left/again.png")]);

    // Twins are in one fold, and every image has an answer of every arm.
    assert_eq!((compared.rows.len(), compared.arms.len()), (72, own::METHODS.len()));
    let at = |id: &str| compared.rows.iter().position(|&known| known == row(id)).expect("is there");
    for folds in &compared.folds {
        assert_eq!(folds[at("left/1.png")], folds[at("left/again.png")]);
    }
    assert!(compared.arms[0].accuracy.value > 0.85, "{:?}", compared.arms[0].accuracy);
    assert!(compared.arms.windows(2).all(|pair| pair[0].accuracy.value >= pair[1].accuracy.value));
    let best = compared.arms[0].clone();
    let held_out = compared.held_out(&best).expect("answers");
    assert_eq!(held_out.said, best.predicted[0]);
    let regression = compared.best_regression().expect("is there").clone();
    assert_ne!(regression.method, wider_clip::manifest::Method::Knn);
    let opinions = compared.held_out(&regression).expect("answers");
    let suspects = own.suspects(&compared, &regression, &opinions).expect("lists");
    assert!(suspects.iter().take(3).any(|one| own.set.ids[one.row] == "right/copy.png"), "{suspects:?}");

    // A second look takes the answers that were kept.
    let again = place.compared(&own).expect("compares").1;
    assert_eq!(again.arms, compared.arms);
    assert_eq!(fs::read_dir(place.folder.path().join("cache/own")).expect("is there").count(), own::METHODS.len());

    let curve = own.curve(&compared, &best).expect("learns");
    assert!(curve.points.len() >= 3 && curve.ahead.len() == 3, "{curve:?}");
    assert!(curve.ahead.iter().all(|ahead| ahead.forecast.low <= ahead.forecast.mean));
    assert!(curve.points.windows(2).all(|pair| pair[0].train < pair[1].train));

    let kept = own.keep(&compared, &best, &held_out).expect("keeps");
    let said = own.label_next(&kept, &Device::Cpu).expect("says");
    let class = |id: &str| said.iter().find(|said| said.id == id).map(|said| said.class.clone());
    assert_eq!(class("unlabelled/a.png"), Some("left".into()));
    assert_eq!(class("unlabelled/b.png"), Some("right".into()));
    let csv = fs::read_to_string(place.folder.path().join("out/predictions.csv")).expect("is there");
    assert!(csv.starts_with("file,class,probability,second_class,second_probability\nunlabelled/a.png,left,"), "{csv}");

    // What was said of pictures that are gone goes.
    fs::remove_dir_all(place.folder.path().join("images/unlabelled")).expect("removes");
    let without = place.own().expect("opens");
    assert!(without.label_next(&kept, &Device::Cpu).expect("says").is_empty());
    assert!(!place.folder.path().join("out/predictions.csv").exists());

    // All tables, charts and galleries can be made.
    let texts = [
        own_table(&own).to_text(),
        left_out_table(&own, &look).to_text(),
        sizes_table(&look).to_text(),
        twins_table(&own, &look).to_text(),
        arms_table(&own, &compared).to_text(),
        labels_table(&curve).to_text(),
        cues_table(&own.cues(&compared, &look).expect("asks")).to_text(),
        domains_table(&own.domains(&compared, &best).expect("asks")).to_text(),
        card_table(&own, &compared, &kept).to_text(),
        verdict(&own, &compared).to_text(),
        twins_gallery(&own, &look).to_text(),
        suspects_gallery(&own, &suspects).to_text(),
        confused_gallery(&own, &compared, &held_out).to_text(),
        next_gallery(&own, &said).to_text(),
        arms_chart(&own, &compared).to_text().to_string(),
        curve_chart(&own, &best, &curve).to_text().to_string(),
    ];
    assert!(texts.iter().all(|text| !text.is_empty() && !text.contains("NaN")), "{texts:#?}");
}

/// Linear layers were once kept in f32: the same classes, and nearly the same probabilities.
fn earlier_form_is_read(folder: &Path, own: &Own, said: &[own::Said]) {
    let (facts, probe) = (folder.join("classifier.json"), folder.join("probe.safetensors"));
    let kept = [&facts, &probe].map(|path| fs::read(path).expect("reads"));
    let text = String::from_utf8(kept[0].clone()).expect("text");
    // Earlier versions did not note what the numbers are.
    let sum = wider_clip::storage::sha256_hex(&kept[1]);
    let text = text.replace(&format!("\"{sum}\""), "null");
    fs::write(&facts, text.replace("wider-clip probe 2", "wider-clip probe 1")).expect("writes");
    let tensors = wider_clip::candle_core::safetensors::load(&probe, &Device::Cpu).expect("tensors");
    let narrow = tensors.into_iter().map(|(name, tensor)| {
        assert_eq!(tensor.dtype(), wider_clip::candle_core::DType::F64, "{name}");
        (name, tensor.to_dtype(wider_clip::candle_core::DType::F32).expect("narrow"))
    });
    wider_clip::candle_core::safetensors::save(&narrow.collect(), &probe).expect("writes");
    let predictor = Predictor::open(own.project(), folder, &Device::Cpu).expect("opens");
    let again = predictor.say(&own.set, &predictor.features(&own.set).expect("encodes")).expect("says");
    for (said, again) in said.iter().zip(&again) {
        assert_eq!((&said.id, &said.class), (&again.id, &again.class));
        assert!((said.probability - again.probability).abs() < 1e-4);
    }
    fs::write(&facts, text.replace("wider-clip probe 2", "wider-clip probe 3")).expect("writes");
    let error = Predictor::open(own.project(), folder, &Device::Cpu).err().expect("is refused").to_string();
    assert!(error.contains("form `wider-clip probe 2`"), "{error}");
    [&facts, &probe].iter().zip(&kept).for_each(|(path, bytes)| fs::write(path, bytes).expect("writes"));
}

#[test]
fn what_was_kept_says_the_same_when_it_is_read() {
    let place = Place::new(&[("left", 20), ("right", 20)]);
    let own = place.own().expect("opens");
    let (_, compared) = place.compared(&own).expect("compares");
    for method in own::METHODS {
        let arm = compared.arm("pixels.raw", method).expect("is there").clone();
        let held_out = compared.held_out(&arm).expect("answers");
        let kept = own.keep(&compared, &arm, &held_out).expect("keeps");
        let predictor = Predictor::open(own.project(), &kept.folder, &Device::Cpu).expect("opens");
        let said = predictor.say(&own.set, &predictor.features(&own.set).expect("encodes")).expect("says");
        let right = said.iter().filter(|said| said.id.starts_with(&said.class)).count();
        assert!(right >= 38, "{method:?}: {right} of 40");
        let whole = |said: &Said| said.probability + said.second.as_ref().map_or(0.0, |(_, second)| *second);
        assert!(said.iter().all(|said| (whole(said) - 1.0).abs() < 1e-9 && said.probability >= 0.5));
        // Pictures that become another input.
        let facts = kept.folder.join("classifier.json");
        let text = fs::read_to_string(&facts).expect("reads");
        let input = kept.facts.input.clone().expect("is kept");
        fs::write(&facts, text.replace(&input, "0000000000000000")).expect("writes");
        let error = Predictor::open(own.project(), &kept.folder, &Device::Cpu).err().expect("is refused").to_string();
        assert!(error.contains("another input") && error.contains("model.toml"), "{error}");
        fs::write(&facts, text).expect("writes");
        let probe = kept.folder.join("probe.safetensors");
        if method != wider_clip::manifest::Method::Knn {
            earlier_form_is_read(&kept.folder, &own, &said);
        }
        // A number less, other classes, no facts.
        let bytes = fs::read(&probe).expect("reads");
        fs::write(&probe, &bytes[..bytes.len() - 4]).expect("writes");
        let error = Predictor::open(own.project(), &kept.folder, &Device::Cpu).err().expect("is refused").to_string();
        assert!(error.contains("probe.safetensors") && error.contains("another one"), "{error}");
        let mut other = bytes.clone();
        *other.last_mut().expect("numbers") ^= 1;
        fs::write(&probe, other).expect("writes");
        let error = Predictor::open(own.project(), &kept.folder, &Device::Cpu).err().expect("is refused").to_string();
        assert!(error.contains("another one") && error.contains("classifier.json"), "{error}");
        fs::remove_file(kept.folder.join("classifier.json")).expect("removes");
        let error = Predictor::open(own.project(), &kept.folder, &Device::Cpu).err().expect("is refused").to_string();
        assert!(error.contains("classifier.json"), "{error}");
    }
}

#[test]
fn minutes_are_kept_and_a_second_call_goes_on() {
    let place = Place::new(&[("left", 20), ("right", 20)]);
    let models = ["pixels.raw", "convnext_tiny_pocket.icons", "vit_p16_pocket.icons"].map(String::from).to_vec();
    let asked = Request { models, minutes: Some(1e-9), ..Request::default() };
    let ids = |own: &Own| -> Vec<String> {
        own.choose(&Device::Cpu).expect("chooses").models.into_iter().map(|(id, _)| id).collect()
    };
    let own = place.asked(asked).expect("opens");
    // At least one, the smallest first; the others are named with their minutes.
    let chosen = own.choose(&Device::Cpu).expect("chooses");
    assert_eq!((ids(&own).len(), chosen.left_out.len()), (1, 2));
    assert!(chosen.left_out.iter().all(|(_, minutes)| *minutes > 0.0));
    let compared = own.compare(&chosen, &own.look().expect("looks"), &Device::Cpu).expect("compares");
    assert!(paces_table(&own, &chosen, &compared).to_text().contains("left out"));
    // What was computed takes no time again, so that the next has its turn.
    assert_eq!(ids(&own).len(), 2);
    // No limit: all of them.
    let own = place.asked(Request { minutes: None, ..own.request.clone() }).expect("opens");
    assert_eq!(ids(&own).len(), 3);
}

#[test]
fn too_little_to_learn_from_is_told() {
    let error = |classes: &[(&str, usize)]| {
        let place = Place::new(classes);
        let own = place.own().expect("opens");
        place.compared(&own).map(drop).expect_err("is refused").to_string()
    };
    let one = error(&[("only", 10)]);
    assert!(one.contains("found one class, `only`"), "{one}");
    let single = error(&[("a", 1), ("b", 1)]);
    assert!(single.contains("found 0 of 2 classes"), "{single}");
    // A class of one image costs the others nothing.
    let place = Place::new(&[("a", 6), ("b", 6), ("c", 1)]);
    let own = place.own().expect("opens");
    let (_, compared) = place.compared(&own).expect("compares");
    assert_eq!((compared.rows.len(), compared.n_measured()), (13, 12));
    // Few images: no forecast, and said.
    let curve = own.curve(&compared, &compared.arms[0].clone()).expect("learns");
    assert!(labels_table(&curve).to_text().contains("Too few labels"), "{:?}", curve.points);
}

/// What takes part but is not measured is in no count.
#[test]
fn what_is_said_of_images_is_of_those_measured() {
    let place = Place::new(&[("a", 6), ("b", 6)]);
    place.put("images/c/0.png", &picture(1, 500));
    let own = place.own().expect("opens");
    let (_, compared) = place.compared(&own).expect("compares");
    assert_eq!((compared.rows.len(), compared.n_measured()), (13, 12));
    let said = verdict(&own, &compared).to_text();
    assert!(said.contains(" your 12 images"), "{said}");
    let groups = |of: &dyn Fn(bool) -> bool| {
        let units = compared.units.iter().zip(&compared.measured).filter(|(_, measured)| of(**measured));
        units.map(|(unit, _)| *unit).collect::<std::collections::BTreeSet<u32>>().len()
    };
    let (all, measured) = (groups(&|_| true), groups(&|measured| measured));
    assert_eq!(all, measured + 1);
    let caption = arms_table(&own, &compared).caption;
    assert!(caption.contains(" 12 images in "), "{caption}");
    assert!(caption.contains(&format!("[95% interval over {measured} groups of images]")), "{caption}");
}

#[test]
fn a_gallery_counts_the_pictures_that_it_shows() {
    let place = Place::new(&[("left", 20), ("right", 20)]);
    let own = place.own().expect("opens");
    let suspect =
        |row: usize| own::Suspect { row, probe: ("right".into(), 0.9), neighbours: ("right".into(), 0.8), score: 2.0 };
    let suspects: Vec<own::Suspect> = (0..5).map(suspect).collect();
    let caption = || suspects_gallery(&own, &suspects).caption;
    assert!(caption().starts_with("Labels to look at: 5 of 5 images"), "{}", caption());
    fs::remove_file(place.folder.path().join("images").join(&own.set.ids[2])).expect("removes");
    assert!(caption().starts_with("Labels to look at: 4 of 5 images"), "{}", caption());
    // Long names leave room for each other and for the number.
    let (first, second) = (format!("first {}", "a".repeat(60)), format!("second {}", "b".repeat(60)));
    let long = own::Suspect { probe: (second.clone(), 0.9), ..suspect(0) };
    assert!(suspects_gallery(&own, &[long]).to_text().contains("left → second bbbbbbbbbb… 90%"));
    let second = Some((second, 0.25));
    let said = own::Said { row: 0, id: own.set.ids[0].clone(), class: first, probability: 0.5, second };
    let mut unlabelled = place.own().expect("opens");
    unlabelled.unlabelled = Some(own.set.clone());
    let text = next_gallery(&unlabelled, &[said]).to_text();
    assert!(text.contains("first aaaaaaaaaaa… 50%, or second bbbbbbbbbb…"), "{text}");
}

#[test]
fn a_long_name_costs_no_number_beside_it() {
    let place = Place::new(&[("left", 20), ("right", 20)]);
    let models = vec!["vit_p16_pocket.random".into()];
    let own = place.asked(Request { models, ..Request::default() }).expect("opens");
    let (_, compared) = place.compared(&own).expect("compares");
    let chart: serde_json::Value = serde_json::from_str(&arms_chart(&own, &compared).to_json()).expect("JSON");
    let traces = chart["data"].as_array().expect("traces");
    let hover = traces.iter().flat_map(|trace| trace["hovertext"].as_array().into_iter().flatten());
    let hover: Vec<&str> = hover.filter_map(serde_json::Value::as_str).collect();
    assert_eq!(hover.len(), compared.arms.len());
    for arm in &compared.arms {
        let numbers = match arm.accuracy.interval {
            Some((low, high)) => {
                format!(": {:.1} [{:.1}, {:.1}]", 100.0 * arm.accuracy.value, 100.0 * low, 100.0 * high)
            }
            None => format!(": {:.1}", 100.0 * arm.accuracy.value),
        };
        assert!(hover.iter().any(|text| text.ends_with(&numbers)), "{numbers} in {hover:?}");
    }
}

#[test]
fn a_test_that_was_published_takes_no_part_in_choices() {
    let place = Place::new(&[]);
    for i in 0..20 {
        for (number, class) in ["left", "right"].iter().enumerate() {
            place.put(&format!("images/train/{class}/{i}.png"), &picture(number, i));
        }
    }
    for i in 0..5 {
        for (number, class) in ["left", "right"].iter().enumerate() {
            place.put(&format!("images/test/{class}/{i}.png"), &picture(number, 100 + i));
        }
    }
    let own = place.own().expect("opens");
    let (_, compared) = place.compared(&own).expect("compares");
    assert!(compared.rows.iter().all(|&row| own.set.ids[row].starts_with("train/")));
    let best = compared.arms[0].clone();
    let kept = own.keep(&compared, &best, &compared.held_out(&best).expect("answers")).expect("keeps");
    let (accuracy, n) = kept.facts.test.expect("a test");
    assert!(n == 10 && accuracy >= 0.8, "{accuracy} of {n}");
}

/// What is written where somebody says takes the place of its own kind alone, and what could not be read is a failure.
#[test]
fn what_is_predicted_is_written_over_nothing_else() {
    let place = Place::new(&[("left", 20), ("right", 20)]);
    let own = place.own().expect("opens");
    let (_, compared) = place.compared(&own).expect("compares");
    let best = compared.arms[0].clone();
    let kept = own.keep(&compared, &best, &compared.held_out(&best).expect("answers")).expect("keeps");
    let at = |name: &str| place.folder.path().join(name);
    place.put("a.png", &picture(0, 77));
    place.put("b.png", &picture(1, 78));
    let bytes = fs::read(at("a.png")).expect("reads");
    let predict = |pictures: &[&str], csv: Option<&str>, features: Option<&str>| {
        let pictures: Vec<_> = pictures.iter().map(|name| at(name)).collect();
        let (csv, features) = (csv.map(at), features.map(at));
        own::predict(own.project(), &kept.folder, &pictures, csv.as_deref(), features.as_deref())
    };
    // `--csv *.png`
    let error = predict(&["b.png"], Some("a.png"), None).expect_err("is a picture").to_string();
    assert!(error.contains("a.png") && error.contains("another file, which would be lost"), "{error}");
    let error = predict(&["b.png"], None, Some("a.png")).expect_err("is a picture").to_string();
    assert!(error.contains("features that `predict` wrote"), "{error}");
    assert_eq!(fs::read(at("a.png")).expect("is there"), bytes);
    for _ in 0..2 {
        predict(&["a.png", "b.png"], Some("out.csv"), Some("out.safetensors")).expect("predicts, and again");
    }
    assert_eq!(fs::read_to_string(at("out.csv")).expect("is there").lines().count(), 3);
    let features = fs::read(at("out.safetensors")).expect("is there");
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&features).expect("tensors");
    let names = metadata.metadata().as_ref().expect("metadata")["pictures"].clone();
    assert!(names.contains("a.png") && names.contains("b.png"), "{names}");
    // One that cannot be read: the other is written, and the end is a failure.
    fs::write(at("c.png"), "no picture").expect("writes");
    let error = predict(&["c.png", "b.png"], Some("out.csv"), None).expect_err("one cannot be read").to_string();
    assert!(error.contains("1 of 2 could not be, such as") && error.contains("c.png"), "{error}");
    assert_eq!(fs::read_to_string(at("out.csv")).expect("is there").lines().count(), 2);
}
