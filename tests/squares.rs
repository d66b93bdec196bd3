//! Images decoded once into squares of bytes: in memory and in files the same, made again where they are damaged.

#[path = "support/compare.rs"]
mod compare;

use compare::relative;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wider_clip::datasets::Squares;
use wider_clip::finetune::Examples;
use wider_clip::image::{Rgb, RgbImage};
use wider_clip::images::{Interpolation, Preprocess, ResizeMode, encode_png};
use wider_clip::prelude::*;
use wider_clip::rayon::prelude::*;

/// Bytes in memory at most: all of them, or none.
const MEMORY: usize = usize::MAX;
const FILES: usize = 0;
/// Squares in a file.
const SHARD: usize = 1024;

/// Drawings wider than they are high, so that a crop shows.
fn drawing(i: u32) -> RgbImage {
    RgbImage::from_fn(12, 9, |x, y| Rgb([(i * 21 + x * 9) as u8, (y * 25) as u8, (i * 7 + x * y) as u8]))
}

fn pictures(folder: &Path) -> ImageSet {
    for class in ["even", "odd"] {
        fs::create_dir_all(folder.join(class)).expect("makes a folder");
    }
    for i in 0..12 {
        let class = if i % 2 == 0 { "even" } else { "odd" };
        let path = folder.join(class).join(format!("{i:02}.png"));
        fs::write(path, encode_png(&drawing(i)).expect("encodes")).expect("writes");
    }
    open_folder(folder).expect("opens")
}

fn preprocess() -> Preprocess {
    Preprocess {
        size: 6,
        crop_pct: 0.75,
        resize: ResizeMode::Shorter,
        interpolation: Interpolation::Bicubic,
        mean: [0.4, 0.5, 0.6],
        std: [0.2, 0.3, 0.4],
    }
}

/// More than a file holds, some in a row and some not.
fn rows() -> Vec<usize> {
    (0..SHARD + 60).map(|i| if i % 40 < 20 { i % 12 } else { (i * 5 + 3) % 12 }).collect()
}

fn bytes(squares: &Squares) -> Vec<u8> {
    let mut all = vec![0; squares.len() * 3 * squares.side() * squares.side()];
    let of_one = 3 * squares.side() * squares.side();
    // From many threads, as batches are read: each finds its own place in the file.
    all.par_chunks_mut(of_one).enumerate().for_each(|(i, square)| squares.read(i, square).expect("reads"));
    all
}

fn shards(cache: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![cache.join("squares")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => open.push(path),
                path if path.extension().is_some_and(|end| end == "rgb") => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

#[test]
fn in_memory_and_in_files_they_are_what_a_model_sees() -> Result<()> {
    let (folder, cache) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (set, preprocess, rows) = (pictures(folder.path()), preprocess(), rows());
    let squares = |most| Squares::within(&set, &rows, &preprocess, cache.path(), most);
    let (memory, files) = (squares(MEMORY)?, squares(FILES)?);
    assert!(memory.in_memory() && !files.in_memory() && !memory.is_empty());
    assert_eq!((memory.len(), memory.side(), memory.key()), (rows.len(), 6, files.key()));
    let expected: Vec<u8> = rows
        .iter()
        .flat_map(|&row| {
            let encoded = set.read(row..row + 1).expect("reads").remove(0).expect("is there");
            preprocess.square(&set.decode(row, &encoded).expect("decodes")).expect("resizes").into_raw()
        })
        .collect();
    assert!(bytes(&memory) == expected, "in memory");
    assert!(bytes(&files) == expected, "in files");
    let lengths: Vec<u64> = shards(cache.path()).iter().map(|path| path.metadata().expect("a file").len()).collect();
    // Each square, and four bytes of its sum.
    assert_eq!(lengths, [(SHARD * 112) as u64, 60 * 112]);
    // By default little lies in memory.
    assert!(Squares::of(&set, &rows, &preprocess, cache.path())?.in_memory());

    // Normalised, they are what the model was always given.
    let normalisation = (preprocess.mean, preprocess.std);
    let labels = rows.iter().map(|&row| set.labels[row]).collect();
    let examples = Examples::new(Arc::new(files), labels, 2, normalisation)?;
    let positions = [0, 25, SHARD - 1, SHARD, SHARD + 59];
    let found = examples.images(&positions)?;
    let expected: Vec<f32> = positions
        .iter()
        .flat_map(|&position| {
            let row = rows[position];
            let encoded = set.read(row..row + 1).expect("reads").remove(0).expect("is there");
            preprocess.apply(&set.decode(row, &encoded).expect("decodes")).expect("resizes")
        })
        .collect();
    let expected = Tensor::from_vec(expected, (5, 3, 6, 6), &Device::Cpu)?;
    assert_eq!(relative(&found, &expected).absolute, 0.0, "to the bit");
    assert_eq!(examples.labels(&positions), positions.map(|position| set.labels[rows[position]]));
    Ok(())
}

#[test]
fn a_file_that_is_not_whole_is_made_again_and_others_stay() -> Result<()> {
    let (folder, cache) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (set, rows) = (pictures(folder.path()), rows());
    let squares = || Squares::within(&set, &rows, &preprocess(), cache.path(), FILES);
    let expected = bytes(&squares()?);
    let [first, second] = shards(cache.path()).try_into().expect("two files");
    let changed = |path: &Path| path.metadata().and_then(|file| file.modified()).expect("a time");
    let before = changed(&first);
    let whole = fs::read(&second).expect("reads");
    for damaged in [&whole[..whole.len() - 1], &[], &[&whole[..], &[0]].concat()] {
        fs::write(&second, damaged).expect("writes");
        assert!(bytes(&squares()?) == expected, "{} bytes of {}", damaged.len(), whole.len());
    }
    fs::remove_file(&second).expect("removes");
    assert!(bytes(&squares()?) == expected);
    assert_eq!(changed(&first), before, "what was whole is not written again");
    // Found again without a look at the pictures.
    fs::remove_dir_all(folder.path().join("even")).expect("removes");
    assert!(bytes(&squares()?) == expected);
    // A bit that flips where the length stays is not learned from.
    let mut flipped = fs::read(&second).expect("reads");
    flipped[200] ^= 1;
    fs::write(&second, &flipped).expect("writes");
    let error = squares()?.read(SHARD + 1, &mut [0; 108]).expect_err("a flipped bit").to_string();
    assert!(error.contains("00001.rgb") && error.contains("expected square 1 with CRC-32"), "{error}");
    assert!(squares()?.read(SHARD, &mut [0; 108]).is_ok(), "the others stay");
    // Cut under a reader's hands, it is an error with the folder.
    let open = squares()?;
    fs::OpenOptions::new().write(true).open(&second).and_then(|file| file.set_len(10)).expect("cuts");
    let error = open.read(SHARD + 3, &mut [0; 108]).expect_err("cut").to_string();
    assert!(error.contains("squares") && error.contains("reading"), "{error}");
    Ok(())
}

#[test]
fn other_pictures_are_other_squares() -> Result<()> {
    let (folder, cache) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let set = pictures(folder.path());
    let key = |rows: &[usize], preprocess: Preprocess| -> Result<String> {
        Ok(Squares::of(&set, rows, &preprocess, cache.path())?.key().to_string())
    };
    let rows = [0, 1, 2];
    let plain = key(&rows, preprocess())?;
    // Bytes do not depend on how they are normalised.
    assert_eq!(plain, key(&rows, Preprocess { mean: [0.1; 3], std: [0.9; 3], ..preprocess() })?);
    let others = [
        key(&[0, 2, 1], preprocess())?,
        key(&rows, Preprocess { size: 7, ..preprocess() })?,
        key(&rows, Preprocess { crop_pct: 0.8, ..preprocess() })?,
        key(&rows, Preprocess { crop_pct: 1.0, resize: ResizeMode::Squash, ..preprocess() })?,
        key(&rows, Preprocess { interpolation: Interpolation::Bilinear, ..preprocess() })?,
    ];
    for (i, other) in others.iter().enumerate() {
        assert!(*other != plain && !others[..i].contains(other), "{i}");
    }
    // Made in memory they go by their bytes.
    let of_bytes = |bytes: Vec<u8>| Squares::from_bytes(2, bytes).map(|squares| squares.key().to_string());
    assert_eq!(of_bytes(vec![7; 24])?, of_bytes(vec![7; 24])?);
    assert_ne!(of_bytes(vec![7; 24])?, of_bytes(vec![7; 12])?);
    Ok(())
}

#[test]
fn what_cannot_be_is_named() -> Result<()> {
    let (folder, cache) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    for (side, bytes) in [(0, vec![1, 2, 3]), (2, Vec::new()), (2, vec![0; 13])] {
        let error = Squares::from_bytes(side, bytes.clone()).expect_err("no squares").to_string();
        let found = format!("{side} x {side} x 3 bytes, and whole ones, found {} bytes", bytes.len());
        assert!(error.contains(&found), "{error}");
    }
    let one = Squares::from_bytes(1, vec![1, 2, 3])?;
    for (position, length) in [(1, 3), (0, 4)] {
        let error = one.read(position, &mut vec![0; length]).expect_err("not there").to_string();
        assert!(
            error.contains("below 1 and 3 bytes") && error.contains(&format!("{position} and {length}")),
            "{error}"
        );
    }

    fs::create_dir_all(folder.path().join("odd")).expect("makes a folder");
    fs::write(folder.path().join("odd").join("broken.png"), b"\x89PNG\r\n\x1a\nand no more").expect("writes");
    let set = pictures(folder.path());
    let broken = set.ids.iter().position(|id| id.contains("broken")).expect("a broken one");
    for most in [MEMORY, FILES] {
        let squares = |rows: &[usize]| Squares::within(&set, rows, &preprocess(), cache.path(), most);
        let error = squares(&[0, broken, 1]).expect_err("broken").to_string();
        assert!(error.contains("broken.png"), "{error}");
        assert!(squares(&[0, 1]).is_ok(), "others are read");
        let error = squares(&[]).expect_err("none").to_string();
        assert!(error.contains("at least one image"), "{error}");
    }
    let nonsense = Preprocess { size: 0, ..preprocess() };
    assert!(Squares::of(&set, &[0], &nonsense, cache.path()).is_err());
    // Where the cache cannot be written it is named.
    let file = cache.path().join("a file");
    fs::write(&file, "no folder").expect("writes");
    let error = Squares::within(&set, &[0], &preprocess(), &file, FILES).expect_err("no folder").to_string();
    assert!(error.contains("a file"), "{error}");
    // A picture that has changed since the set was opened is none of it.
    fs::write(folder.path().join("even").join("00.png"), encode_png(&drawing(99)).expect("encodes")).expect("writes");
    let changed = set.ids.iter().position(|id| id.contains("00.png")).expect("a picture");
    let error = Squares::of(&set, &[changed], &preprocess(), cache.path()).expect_err("changed").to_string();
    assert!(error.contains("00.png"), "{error}");
    Ok(())
}
