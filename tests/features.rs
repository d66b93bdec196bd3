//! The feature cache: interrupted, damaged, contended, full, and always the same numbers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wider_clip::images::encode_png;
use wider_clip::models::{LoadedModel, load};
use wider_clip::prelude::*;
use wider_clip::random::Random;

const CACHE: &str = "WIDER_CLIP_TEST_CACHE";
const ROWS: usize = 700;

fn project() -> Project {
    Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "smoke").expect("opens")
}

fn model(id: &str) -> LoadedModel {
    let project = project();
    load(project.root(), project.manifests.model(id).expect("known"), &Device::Cpu).expect("loads")
}

fn run(cache: &Path, model_id: &str) -> Result<FeatureTable> {
    let set = project().images("icons")?;
    let rows: Vec<usize> = (0..ROWS).collect();
    extract(&model(model_id), &set, Extraction { cache, rows: Some(&rows), verbose: false, within: None })
}

/// Name and bytes of every shard, in order.
fn shards(cache: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![cache.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|e| e == "parquet") => {
                    let name = path.strip_prefix(cache).expect("below").to_path_buf();
                    found.push((name, fs::read(&path).expect("reads")));
                }
                false => {}
            }
        }
    }
    found.sort();
    found
}

/// Runs the ignored test `name` of this file in a process of its own.
fn child(name: &str, cache: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]).env(CACHE, cache);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
#[ignore = "the child of killed_runs_go_on_and_end_the_same"]
fn extract_in_child() {
    run(Path::new(&std::env::var_os(CACHE).expect("set by the parent")), "vit_tiny.random").expect("extracts");
}

#[test]
fn killed_runs_go_on_and_end_the_same() {
    let (whole, killed) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let started = Instant::now();
    let direct = run(whole.path(), "vit_tiny.random").expect("extracts");
    let span = started.elapsed();
    let expected = shards(whole.path());
    assert_eq!(expected.len(), 3);
    // Once between two shards.
    let mut running = child("extract_in_child", killed.path()).spawn().expect("starts");
    let started = Instant::now();
    while shards(killed.path()).is_empty() && started.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(5));
    }
    running.kill().expect("kills");
    running.wait().expect("ends");
    let done = shards(killed.path()).len();
    assert!((1..3).contains(&done), "killed with {done} of 3 shards");
    let resumed = run(killed.path(), "vit_tiny.random").expect("goes on");
    assert_eq!(expected, shards(killed.path()));
    assert_eq!(resumed.poolings, direct.poolings);
    assert_eq!(direct.poolings["cls"].dim(), (ROWS, 192));
    assert!(direct.poolings.contains_key("patch_mean"));
    // Then at moments that are others each time, before its first image and after its last included; what is there is
    // whole at each of them.
    let drawn = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let seed = std::env::var("WIDER_CLIP_KILL_SEED").map_or(drawn, |seed| seed.parse().expect("a number"));
    println!("WIDER_CLIP_KILL_SEED={seed} repeats these moments, on a machine as fast as this");
    let mut random = Random::new("moments of killing", seed, 0);
    let mut cache = tempfile::tempdir().expect("a folder");
    let (mut cut_short, mut span) = (0, span);
    // Five times, and more where the machine has become so much faster since that none was under way.
    for kill in 0..20 {
        if kill >= 5 && cut_short > 0 {
            break;
        }
        let (mut running, began) = (child("extract_in_child", cache.path()).spawn().expect("starts"), Instant::now());
        let moment = span.mul_f64(0.8 * random.unit());
        while began.elapsed() < moment && running.try_wait().expect("asks").is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        match running.try_wait().expect("asks") {
            None => cut_short += 1,
            Some(_) => span = span.min(began.elapsed()),
        }
        running.kill().expect("kills");
        running.wait().expect("ends");
        let left = shards(cache.path());
        for (name, bytes) in &left {
            let same = expected.iter().find(|(known, _)| known == name).is_some_and(|(_, known)| known == bytes);
            assert!(same, "kill {kill} of seed {seed}: {} is not as a whole run leaves it", name.display());
        }
        if left.len() == expected.len() || kill >= 4 {
            let resumed = run(cache.path(), "vit_tiny.random").expect("goes on");
            assert_eq!(resumed.poolings, direct.poolings, "kill {kill} of seed {seed}");
            assert_eq!(shards(cache.path()), expected, "kill {kill} of seed {seed}");
            cache = tempfile::tempdir().expect("a folder");
        }
    }
    assert!(cut_short > 0, "no run of seed {seed} was killed before its end");
    // Nothing is computed twice.
    let before = Instant::now();
    run(whole.path(), "vit_tiny.random").expect("reads");
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
}

#[test]
fn two_runs_on_one_cache_take_turns() {
    let cache = tempfile::tempdir().expect("a folder");
    let mut first = child("extract_in_child", cache.path()).spawn().expect("starts");
    let mut second = child("extract_in_child", cache.path()).spawn().expect("starts");
    assert!(first.wait().expect("ends").success() && second.wait().expect("ends").success());
    let other = tempfile::tempdir().expect("a folder");
    run(other.path(), "vit_tiny.random").expect("extracts");
    assert_eq!(shards(cache.path()), shards(other.path()));
}

#[test]
#[ignore = "the child of a_full_disk_is_an_error_and_leaves_no_half_file"]
fn extract_on_a_full_disk() {
    // No file may grow beyond 8 KiB: writing more fails as on a full disk.
    let limit = libc::rlimit { rlim_cur: 8_192, rlim_max: 8_192 };
    // SAFETY: plain system calls with valid arguments; this process does nothing else.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
    let error = run(Path::new(&std::env::var_os(CACHE).expect("set")), "pixels.raw").expect_err("no room");
    println!("error: {error}");
}

#[test]
fn a_full_disk_is_an_error_and_leaves_no_half_file() {
    let cache = tempfile::tempdir().expect("a folder");
    let output = child("extract_on_a_full_disk", cache.path()).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("shard-00000.parquet"), "{text}");
    assert!(shards(cache.path()).is_empty());
    run(cache.path(), "pixels.raw").expect("goes on when there is room");
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a_file");
    fs::write(&file, "not a folder").expect("writes");
    let error = run(&file, "pixels.raw").expect_err("no folder").to_string();
    assert!(error.contains("a_file") && error.contains("creating the folder"), "{error}");
}

#[test]
fn a_damaged_shard_is_named() {
    let cache = tempfile::tempdir().expect("a folder");
    let whole = run(cache.path(), "pixels.raw").expect("extracts");
    let same = |a: &FeatureTable, b: &FeatureTable| a.rows == b.rows && a.poolings == b.poolings;
    let (name, bytes) = shards(cache.path()).remove(1);
    // One that was cut off is computed again.
    for cut in [0, 3, bytes.len() / 2] {
        fs::write(cache.path().join(&name), &bytes[..cut]).expect("writes");
        assert!(same(&run(cache.path(), "pixels.raw").expect("computes again"), &whole));
        assert_eq!(fs::read(cache.path().join(&name)).expect("reads"), bytes);
    }
    let named = |error: Error| {
        let error = error.to_string();
        assert!(error.contains("shard-00001.parquet") && error.contains("remove it"), "{error}");
    };
    let zeros = [&bytes[..100], &vec![0; bytes.len() - 108][..], &bytes[bytes.len() - 8..]].concat();
    fs::write(cache.path().join(&name), zeros).expect("writes");
    named(run(cache.path(), "pixels.raw").expect_err("damaged"));
    // Another model's, of the same images.
    let other = tempfile::tempdir().expect("a folder");
    run(other.path(), "vit_p16_pocket.random").expect("extracts");
    let (of_other, others) = shards(other.path()).remove(1);
    assert_ne!(of_other, name);
    fs::write(cache.path().join(&name), others).expect("writes");
    named(run(cache.path(), "pixels.raw").expect_err("another model's"));
    // A bit of a number, of a name, of a sum.
    let mut found = 0;
    for at in (4..bytes.len()).step_by(bytes.len() / 50) {
        let mut file = bytes.clone();
        file[at] ^= 4;
        fs::write(cache.path().join(&name), &file).expect("writes");
        match run(cache.path(), "pixels.raw") {
            Ok(table) => assert!(same(&table, &whole), "byte {at}"),
            Err(error) => {
                assert!(error.chain().contains("shard-00001.parquet"), "byte {at}: {}", error.chain());
                found += 1;
            }
        }
    }
    assert!(found > 40, "{found}");
}

#[test]
fn bad_images_are_set_aside_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let class = folder.path().join("class");
    fs::create_dir(&class).expect("makes a folder");
    let good =
        encode_png(&wider_clip::image::RgbImage::from_fn(40, 30, |x, y| wider_clip::image::Rgb([x as u8, y as u8, 9])));
    let good = good.expect("encodes");
    fs::write(class.join("a_good.png"), &good).expect("writes");
    fs::write(class.join("b_empty.png"), []).expect("writes");
    fs::write(class.join("c_truncated.png"), &good[..good.len() / 2]).expect("writes");
    fs::write(class.join("d_text.jpg"), "this is no picture").expect("writes");
    fs::write(class.join("e_bomb.png"), bomb()).expect("writes");
    fs::write(class.join("f_good.png"), &good).expect("writes");
    let set = open_folder(folder.path()).expect("opens");
    let cache = tempfile::tempdir().expect("a folder");
    let what = Extraction { cache: cache.path(), rows: None, verbose: false, within: None };
    let table = extract(&model("pixels.raw"), &set, what).expect("extracts");
    assert_eq!(table.rows, [0, 5]);
    let names: Vec<&str> = table.set_aside.iter().map(|image| image.id.as_str()).collect();
    assert_eq!(names, ["class/b_empty.png", "class/c_truncated.png", "class/d_text.jpg", "class/e_bomb.png"]);
    assert!(table.set_aside.iter().all(|image| image.reason.contains(&image.id) && image.reason.contains("expected")));
    let pixels = &table.poolings["pixels"];
    assert_eq!(pixels.row(0), pixels.row(1));
    assert!(pixels.iter().all(|value| value.is_finite()));
}

/// Features are kept in shards of 256 images. One whose images can all not be used costs the others nothing.
#[test]
fn a_shard_of_bad_images_alone_is_set_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    let class = folder.path().join("class");
    fs::create_dir(&class).expect("makes a folder");
    let good = encode_png(&wider_clip::image::RgbImage::from_pixel(8, 8, wider_clip::image::Rgb([9, 8, 7])));
    let good = good.expect("encodes");
    for i in 0..256 {
        fs::write(class.join(format!("{i:03}.png")), &good).expect("writes");
    }
    fs::write(class.join("last.png"), "no picture").expect("writes");
    let set = open_folder(folder.path()).expect("opens");
    let cache = tempfile::tempdir().expect("a folder");
    let what = Extraction { cache: cache.path(), rows: None, verbose: false, within: None };
    let model = model("pixels.raw");
    for _ in 0..2 {
        let table = wider_clip::features::extract_pooling(&model, &set, what, "pixels").expect("extracts");
        assert_eq!((table.rows.len(), table.poolings["pixels"].nrows()), (256, 256));
        assert_eq!(table.set_aside[0].id, "class/last.png");
    }
    assert_eq!(extract(&model, &set, what).expect("reads").set_aside.len(), 1);
}

/// The header of a 30,000 x 30,000 PNG and a little data: small on disk, 2.7 GB when decoded.
fn bomb() -> Vec<u8> {
    let one = encode_png(&wider_clip::image::RgbImage::new(1, 1)).expect("encodes");
    let mut header = b"IHDR".to_vec();
    header.extend(30_000u32.to_be_bytes().repeat(2));
    header.extend([8, 2, 0, 0, 0]);
    let crc = header.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    let mut bytes = one[..8].to_vec();
    bytes.extend(13u32.to_be_bytes());
    bytes.extend(header);
    bytes.extend((!crc).to_be_bytes());
    bytes.extend(&one[33..]);
    bytes
}

#[test]
fn one_pooling_is_read_as_among_all() {
    let cache = tempfile::tempdir().expect("a folder");
    let (model, set) = (model("vit_p16_pocket.icons"), project().images("icons").expect("opens"));
    let rows: Vec<usize> = (0..ROWS).collect();
    let what = Extraction { cache: cache.path(), rows: Some(&rows), verbose: false, within: None };
    let all = extract(&model, &set, what).expect("extracts");
    assert!(all.poolings.len() > 1);
    for (name, features) in &all.poolings {
        let one = wider_clip::features::extract_pooling(&model, &set, what, name).expect("reads");
        assert_eq!(one.poolings.keys().collect::<Vec<_>>(), [name]);
        assert_eq!((&one.poolings[name], &one.rows, &one.key), (features, &all.rows, &all.key), "{name}");
    }
    let error = wider_clip::features::extract_pooling(&model, &set, what, "token_mean").expect_err("not named");
    let (error, known) = (error.to_string(), "patches, grid_mean, cls, patch_mean");
    assert!(error.contains("token_mean") && error.contains(known), "{error}");
}
