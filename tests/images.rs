//! Decoding, resizing and preprocessing against what Pillow and torchvision make of the same files.
//! tests/reference/images.py makes the files under tests/golden/images.

#[path = "support/packed.rs"]
mod packed;

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use wider_clip::error::Error;
use wider_clip::images::{
    Interpolation, MAX_PIXELS, Preprocess, ResizeMode, Window, decode, encode_png, resize, resize_window, thumbnail,
};

const FILTERS: [Interpolation; 4] =
    [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::Bicubic, Interpolation::Lanczos];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/images").join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn numbers(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|&chunk| u32::from_le_bytes(chunk)).collect()
}

/// The names of the image files whose pixels are known.
fn inputs(extensions: &[&str]) -> Vec<String> {
    let names =
        std::fs::read_dir(golden("decode")).expect("golden files").map(|entry| entry.expect("entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().expect("plain name")).collect();
    names.retain(|name| extensions.iter().any(|extension| name.ends_with(extension)));
    names.sort();
    names
}

fn expected(name: &str) -> RgbImage {
    let bytes = read(&format!("decode/{name}.rgb"));
    let size = numbers(&bytes[..8]);
    RgbImage::from_raw(size[0], size[1], bytes[8..].to_vec()).expect("golden pixels")
}

/// Largest and mean difference in grey levels.
fn difference(name: &str, a: &RgbImage, b: &RgbImage) -> (u8, f64) {
    assert_eq!(a.dimensions(), b.dimensions(), "{name}");
    let each = || a.as_raw().iter().zip(b.as_raw()).map(|(x, y)| x.abs_diff(*y));
    let sum: f64 = each().map(f64::from).sum();
    (each().max().unwrap_or(0), sum / a.as_raw().len() as f64)
}

fn refused(name: &str, bytes: &[u8]) -> String {
    match decode(name, bytes) {
        Err(error @ Error::Image { .. }) => error.to_string(),
        Err(other) => panic!("{name}: expected Error::Image, found {other}"),
        Ok(image) => panic!("{name}: expected an error, found an image of {:?}", image.dimensions()),
    }
}

fn noise(rng: &mut ChaCha8Rng, width: u32, height: u32) -> RgbImage {
    let mut bytes = vec![0; 3 * width as usize * height as usize];
    rng.fill_bytes(&mut bytes);
    RgbImage::from_raw(width, height, bytes).expect("three bytes a pixel")
}

fn between(rng: &mut ChaCha8Rng, low: u32, high: u32) -> u32 {
    low + rng.next_u32() % (high - low + 1)
}

fn preprocess() -> Preprocess {
    Preprocess {
        size: 32,
        crop_pct: 0.875,
        resize: ResizeMode::Shorter,
        interpolation: Interpolation::Bicubic,
        mean: [0.48145466, 0.4578275, 0.40821073],
        std: [0.26862954, 0.2613026, 0.2757771],
    }
}

#[test]
fn every_format_decodes_to_pillows_pixels() {
    let names = inputs(&[".png", ".webp", ".tif", ".gif", ".jpg"]);
    assert!(names.len() >= 80, "only {} golden images", names.len());
    let mut wrong = Vec::new();
    for name in &names {
        match decode(name, &read(&format!("decode/{name}"))) {
            Err(error) => wrong.push(error.to_string()),
            Ok(image) => {
                let (max, mean) = difference(name, &image, &expected(name));
                if max > 0 {
                    wrong.push(format!("{name}: max {max}, mean {mean:.4}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_cut_anywhere_is_refused_or_whole() {
    for name in inputs(&[".png", ".webp", ".tif", ".gif", ".jpg"]) {
        let bytes = read(&format!("decode/{name}"));
        let whole = expected(&name);
        let mut n_refused = 0;
        for length in 0..bytes.len() {
            match decode(&name, &bytes[..length]) {
                Ok(image) => assert_eq!(image, whole, "{name} cut to {length} of {} bytes", bytes.len()),
                Err(Error::Image { .. }) => n_refused += 1,
                Err(other) => panic!("{name} cut to {length}: {other}"),
            }
        }
        assert!(n_refused > bytes.len() / 4, "{name}: only {n_refused} of {} cuts refused", bytes.len());
        let strict = name.ends_with(".jpg") || name.ends_with(".tif");
        assert!(!strict || n_refused == bytes.len(), "{name}: a cut passed");
    }
}

#[test]
fn damage_gives_an_error_or_an_image_of_lawful_size() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut n_errors = 0;
    for name in inputs(&[".png", ".webp", ".tif", ".gif", ".jpg"]) {
        let bytes = read(&format!("decode/{name}"));
        for _ in 0..20 {
            let mut damaged = bytes.clone();
            for _ in 0..between(&mut rng, 1, 4) {
                let place = between(&mut rng, 0, bytes.len() as u32 - 1) as usize;
                damaged[place] = rng.next_u32() as u8;
            }
            match decode(&name, &damaged) {
                Ok(image) => assert!(u64::from(image.width()) * u64::from(image.height()) <= MAX_PIXELS),
                Err(Error::Image { .. }) => n_errors += 1,
                Err(other) => panic!("{name}: {other}"),
            }
        }
    }
    assert!(n_errors > 100, "only {n_errors} damaged files were noticed");
}

/// The segments of a JPEG up to its first scan, and all from there on.
fn parted(jpeg: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let (mut at, mut segments) = (2, Vec::new());
    while jpeg[at + 1] != 0xDA {
        let end = at + 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        segments.push(jpeg[at..end].to_vec());
        at = end;
    }
    (segments, jpeg[at..].to_vec())
}

/// A JPEG of what `parted` gives.
fn joined(segments: &[Vec<u8>], scans: &[u8]) -> Vec<u8> {
    [b"\xFF\xD8", &segments.concat()[..], scans].concat()
}

#[test]
fn markers_say_what_a_jpegs_colours_are_only_before_the_first_scan() {
    let (mut segments, scans) = parted(&read("decode/420.jpg"));
    let jfif = segments.remove(0);
    assert!(jfif[4..].starts_with(b"JFIF\0") && jfif.len() == 18);
    let adobe = b"\xFF\xEE\0\x0EAdobe\0\x64\0\0\0\0\0".to_vec();
    let short = b"\xFF\xE0\0\x0FJFIF\0\x01\x01\0\0\x01\0\x01\0".to_vec();
    let seen = |first: &[&Vec<u8>], last: &[&Vec<u8>]| {
        let first: Vec<Vec<u8>> = first.iter().map(|&segment| segment.clone()).chain(segments.clone()).collect();
        let (data, end) = scans.split_at(scans.len() - 2);
        let last: Vec<u8> = last.iter().flat_map(|&segment| segment.clone()).collect();
        decode("markers.jpg", &joined(&first, &[data, &last, end].concat())).expect("decodes")
    };
    let ycc = expected("420.jpg");
    let rgb = seen(&[&adobe], &[]);
    assert!(difference("Adobe", &rgb, &ycc).0 > 100);
    // Behind the scan neither counts.
    assert_eq!(seen(&[], &[&adobe]), ycc);
    assert_eq!(seen(&[&adobe], &[&jfif]), rgb);
    // Before it JFIF goes before Adobe, but not a segment too short for it.
    assert_eq!(seen(&[&jfif, &adobe], &[]), ycc);
    assert_eq!(seen(&[&short, &adobe], &[]), rgb);
}

#[test]
fn a_jpeg_without_huffman_tables_is_read_by_the_standard_ones() {
    let without = |name: &str, kept: &dyn Fn(&[u8]) -> bool| {
        let (mut segments, scans) = parted(&read(&format!("decode/{name}")));
        let n = segments.len();
        segments.retain(|segment| segment[1] != 0xC4 || kept(&segment[4..]));
        assert!(segments.len() < n, "{name}");
        joined(&segments, &scans)
    };
    for name in ["420.jpg", "444_even.jpg", "restart.jpg", "grey.jpg", "cmyk.jpg"] {
        // None at all, or some missing.
        for kept in [&|_: &[u8]| false, &|table: &[u8]| table[0] < 0x10] as [&dyn Fn(&[u8]) -> bool; 2] {
            assert_eq!(decode(name, &without(name, kept)).expect("decodes"), expected(name), "{name}");
        }
    }
    let message = refused("progressive.jpg", &without("420_progressive.jpg", &|_| false));
    assert!(message.contains("Huffman table is missing"), "{message}");
}

#[test]
fn a_progressive_jpeg_without_its_last_scans_is_refused() {
    for name in ["420_progressive.jpg", "444_progressive.jpg", "grey_progressive.jpg"] {
        let bytes = read(&format!("decode/{name}"));
        let scans: Vec<usize> = (0..bytes.len() - 1).filter(|&at| bytes[at..at + 2] == [0xFF, 0xDA]).collect();
        assert!(scans.len() >= 6, "{name}");
        for (n, &end) in scans.iter().enumerate().skip(1) {
            // Tables may stand before the scan that is cut off; they do no harm.
            let message = refused(name, &[&bytes[..end], b"\xFF\xD9"].concat());
            let found = format!("still coarse after the last scan, number {n}");
            assert!(
                message.contains("progressive JPEG with all of its scans") && message.contains(&found),
                "{message}"
            );
        }
        assert_eq!(decode(name, &bytes).expect("decodes"), expected(name));
    }
}

/// An animated WebP of one frame, which holds the chunks of a still file, at 4, 2 on a canvas.
fn animated(still: &[u8], (width, height): (u32, u32), frame: (u32, u32)) -> Vec<u8> {
    let short = |number: u32| number.to_le_bytes()[..3].to_vec();
    let chunk = |name: &[u8], content: &[u8]| [name, &(content.len() as u32).to_le_bytes(), content].concat();
    let sides = |width: u32, height: u32| [short(width - 1), short(height - 1)].concat();
    // Of the extended form the chunks behind the first, which says what there is.
    let chunks = if still[12..].starts_with(b"VP8X") { &still[30..] } else { &still[12..] };
    let head = [short(2), short(1), sides(frame.0, frame.1), short(100), vec![0]].concat();
    let body = [
        b"WEBP".to_vec(),
        chunk(b"VP8X", &[&[0x12, 0, 0, 0][..], &sides(width, height)].concat()),
        chunk(b"ANIM", &[0x10, 0x80, 0xFF, 0x40, 0, 0]),
        chunk(b"ANMF", &[&head[..], chunks].concat()),
    ];
    chunk(b"RIFF", &body.concat())
}

#[test]
fn the_first_frame_of_a_webp_is_not_blended() {
    for name in ["alpha.webp", "lossless.webp", "lossy_alpha.webp", "lossy_odd.webp"] {
        let still = expected(name);
        let (width, height) = still.dimensions();
        let bytes = animated(&read(&format!("decode/{name}")), (width + 7, height + 5), (width, height));
        let whole = decode(name, &bytes).expect("decodes");
        let canvas = RgbImage::from_fn(width + 7, height + 5, |x, y| {
            let within = (4..width + 4).contains(&x) && (2..height + 2).contains(&y);
            if within { *still.get_pixel(x - 4, y - 2) } else { Rgb([0; 3]) }
        });
        assert_eq!(whole, canvas, "{name}");
        let beyond = animated(&read(&format!("decode/{name}")), (width + 3, height + 5), (width, height));
        assert!(refused(name, &beyond).contains("WebP"), "{name}");
        let other = animated(&read(&format!("decode/{name}")), (width + 7, height + 5), (width + 1, height));
        assert!(refused(name, &other).contains("WebP"), "{name}");
    }
}

#[test]
fn a_palette_that_ends_within_a_colour_is_refused() {
    let png = read("decode/palette.png");
    let start = png.windows(4).position(|kind| kind == b"PLTE").expect("a palette") - 4;
    let length = u32::from_be_bytes(png[start..start + 4].try_into().expect("four bytes")) as usize;
    let mut chunk = [b"PLTE", &png[start + 8..start + 8 + length], &[1]].concat();
    chunk.extend(checksum(&chunk).to_be_bytes());
    let odd = [&png[..start], &(length as u32 + 1).to_be_bytes(), &chunk, &png[start + 12 + length..]].concat();
    let message = refused("odd.png", &odd);
    assert!(message.ends_with(&format!("found a palette of {} bytes, three per colour", length + 1)), "{message}");
}

#[test]
fn what_is_no_image_is_refused_by_name() {
    assert_eq!(
        refused("cats/1.jpg", b""),
        "image cats/1.jpg: expected a JPEG, PNG, WebP, TIFF, GIF or BMP image, found no bytes at all"
    );
    assert!(refused("page", b"<html><body>Not found</body></html>").contains("a web page (HTML) (35 bytes)"));
    assert!(refused("start", b"\xFF\xD8\xFF").contains("ends early"));
}

/// CRC-32 as PNG wants it, bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn bombs_are_refused_by_their_headers() {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0DIHDR".to_vec();
    png.extend([30_000_u32.to_be_bytes(), 30_000_u32.to_be_bytes()].concat());
    png.extend([8, 2, 0, 0, 0]);
    png.extend(checksum(&png[12..]).to_be_bytes());
    png.extend(b"\0\0\0\x0AIDAT\x78\x9c\x63\0\0\0\x02\0\x01\0\0\0\0");
    let message = refused("bomb.png", &png);
    assert!(message.contains("178956970 pixels") && message.contains("found 30000 x 30000 pixels"), "{message}");

    let mut jpeg = read("decode/420.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a frame");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xFF, 0xDC, 0xFF, 0xDC]);
    assert!(refused("bomb.jpg", &jpeg).contains("65500 x 65500 pixels"));
    // Lawful in size, but the file cannot hold that many blocks: no memory either.
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x30, 0, 0x30, 0]);
    assert!(refused("hollow.jpg", &jpeg).contains("bytes for 12288 x 12288 pixels"));

    let mut gif = read("decode/plain.gif");
    gif[6..10].copy_from_slice(&[0xFF; 4]);
    assert!(refused("bomb.gif", &gif).contains("65535 x 65535 pixels"));

    let mut tiff = read("decode/raw.tif");
    for tag in [256_u16, 257] {
        // The directory stands at byte 8: a count of two bytes, then entries of twelve.
        let entry = (10..).step_by(12).find(|&at| tiff[at..at + 2] == tag.to_le_bytes()).expect("a tag");
        tiff[entry + 2..entry + 12].copy_from_slice(&[4, 0, 1, 0, 0, 0, 0x60, 0xEA, 0, 0]);
    }
    // Refused twice over: the strips that the directory lists do not cover that height either.
    assert!(refused("bomb.tif", &tiff).starts_with("image bomb.tif: expected"));

    let mut webp = read("decode/lossless.webp");
    assert_eq!(webp[20], 0x2F, "a lossless WebP without extensions");
    let sides = 16_382 | 16_382 << 14 | u32::from(webp[24] >> 4) << 28;
    webp[21..25].copy_from_slice(&sides.to_le_bytes());
    let message = refused("bomb.webp", &webp);
    assert!(message.contains("16383 x 16383 pixels"), "{message}");
}

#[test]
fn resizing_equals_pillows_to_the_bit() {
    let bytes = packed::unpacked(&golden("resize.bin.gz"));
    let (mut at, mut n_cases) = (0, 0);
    while at < bytes.len() {
        let head = numbers(&bytes[at..at + 20]);
        let [filter, old_width, old_height, width, height] = head[..] else { panic!("five numbers") };
        let image = |width: u32, height: u32, at: &mut usize| {
            let n_bytes = 3 * (width * height) as usize;
            *at += n_bytes;
            RgbImage::from_raw(width, height, bytes[*at - n_bytes..*at].to_vec()).expect("golden pixels")
        };
        at += 20;
        let before = image(old_width, old_height, &mut at);
        let after = image(width, height, &mut at);
        let filter = FILTERS[filter as usize];
        let ours = resize(&before, width, height, filter).expect("sides above zero");
        let name = format!("{filter:?} {old_width}x{old_height} to {width}x{height}");
        assert_eq!(difference(&name, &ours, &after).0, 0, "{name}");
        n_cases += 1;
    }
    assert!(n_cases >= 60, "only {n_cases} cases");
}

#[test]
fn a_window_is_a_crop_of_the_whole() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for round in 0..200 {
        let (old_width, old_height) = (between(&mut rng, 1, 70), between(&mut rng, 1, 70));
        let (width, height) = (between(&mut rng, 1, 70), between(&mut rng, 1, 70));
        let image = noise(&mut rng, old_width, old_height);
        let (left, top) = (between(&mut rng, 0, width - 1), between(&mut rng, 0, height - 1));
        let window =
            Window { left, top, width: between(&mut rng, 1, width - left), height: between(&mut rng, 1, height - top) };
        let filter = FILTERS[round % 4];
        let whole = resize(&image, width, height, filter).expect("lawful");
        assert_eq!(whole.dimensions(), (width, height));
        let cropped = image::imageops::crop_imm(&whole, left, top, window.width, window.height).to_image();
        assert_eq!(resize_window(&image, width, height, window, filter).expect("lawful"), cropped, "{window:?}");
    }
}

#[test]
fn resizing_keeps_a_flat_colour_and_refuses_nothing_and_beyond() {
    let flat = RgbImage::from_pixel(13, 57, Rgb([7, 128, 255]));
    for filter in FILTERS {
        let resized = resize(&flat, 31, 9, filter).expect("lawful");
        assert!(resized.pixels().all(|pixel| *pixel == Rgb([7, 128, 255])), "{filter:?}");
        for (width, height) in [(0, 5), (5, 0)] {
            assert!(matches!(resize(&flat, width, height, filter), Err(Error::Argument { .. })));
        }
        assert!(matches!(resize(&RgbImage::new(0, 0), 5, 5, filter), Err(Error::Argument { .. })));
        let beyond = Window { left: 3, top: 0, width: 3, height: 5 };
        assert!(matches!(resize_window(&flat, 5, 5, beyond, filter), Err(Error::Argument { .. })));
        let overflowing = Window { left: u32::MAX, ..beyond };
        assert!(matches!(resize_window(&flat, 5, 5, overflowing, filter), Err(Error::Argument { .. })));
    }
}

#[test]
fn the_whole_path_equals_torchvisions() {
    let settings = [
        ("bicubic", preprocess()),
        ("bilinear", Preprocess { crop_pct: 0.9, interpolation: Interpolation::Bilinear, ..preprocess() }),
        (
            "squash",
            Preprocess {
                crop_pct: 1.0,
                resize: ResizeMode::Squash,
                interpolation: Interpolation::Lanczos,
                ..preprocess()
            },
        ),
    ];
    let mut n_files = 0;
    for entry in std::fs::read_dir(golden("apply")).expect("golden files") {
        let file = entry.expect("entry").file_name().into_string().expect("plain name");
        let (setting, name) =
            file.strip_suffix(".f32").and_then(|file| file.split_once('_')).expect("SETTING_NAME.f32");
        let (_, preprocess) = settings.iter().find(|(known, _)| *known == setting).expect("a known setting");
        let image = decode(name, &read(&format!("decode/{name}"))).expect("golden image");
        let ours = preprocess.apply(&image).expect("lawful settings");
        let theirs: Vec<f32> = numbers(&read(&format!("apply/{file}"))).into_iter().map(f32::from_bits).collect();
        assert_eq!(ours, theirs, "{file}");
        n_files += 1;
    }
    assert_eq!(n_files, 36);
}

#[test]
fn any_image_becomes_a_square_within_bounds() {
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    for round in 0..100 {
        let (width, height) = (between(&mut rng, 1, 150), between(&mut rng, 1, 150));
        let settings = Preprocess {
            size: between(&mut rng, 1, 40) as usize,
            crop_pct: if round % 2 == 0 { 1.0 } else { 0.5 },
            resize: if round % 4 == 0 { ResizeMode::Squash } else { ResizeMode::Shorter },
            interpolation: FILTERS[round % 4],
            mean: [0.5; 3],
            std: [0.5; 3],
        };
        let image = noise(&mut rng, width, height);
        let side = settings.size as u32;
        assert_eq!(settings.square(&image).expect("lawful").dimensions(), (side, side));
        let values = settings.apply(&image).expect("lawful");
        assert_eq!(values.len(), 3 * settings.size * settings.size);
        assert!(values.iter().all(|value| (-1.0..=1.0).contains(value)), "{width}x{height} {settings:?}");
    }
    // A strip that would take gigabytes if it were resized whole: 1 x 60,000 at 256 is 256 x 15,360,000.
    let strip = Preprocess { size: 224, ..preprocess() };
    assert_eq!(strip.apply(&RgbImage::new(1, 60_000)).expect("lawful").len(), 3 * 224 * 224);
}

#[test]
fn senseless_settings_are_refused() {
    let wrong = [
        Preprocess { size: 0, ..preprocess() },
        Preprocess { size: 1 << 20, ..preprocess() },
        Preprocess { crop_pct: 0.0, ..preprocess() },
        Preprocess { crop_pct: 1.01, ..preprocess() },
        Preprocess { crop_pct: f64::NAN, ..preprocess() },
        Preprocess { crop_pct: 1e-9, ..preprocess() },
        Preprocess { resize: ResizeMode::Squash, ..preprocess() },
        Preprocess { mean: [0.0, f32::NAN, 0.0], ..preprocess() },
        Preprocess { std: [1.0, 0.0, 1.0], ..preprocess() },
        Preprocess { std: [1.0, -1.0, 1.0], ..preprocess() },
        Preprocess { std: [1.0, f32::NAN, 1.0], ..preprocess() },
        Preprocess { std: [1.0, f32::INFINITY, 1.0], ..preprocess() },
    ];
    preprocess().check().expect("sensible settings");
    let image = RgbImage::new(4, 4);
    for settings in wrong {
        assert!(matches!(settings.check(), Err(Error::Argument { .. })), "{settings:?}");
        assert!(matches!(settings.apply(&image), Err(Error::Argument { .. })), "{settings:?}");
    }
    assert!(matches!(preprocess().apply(&RgbImage::new(0, 4)), Err(Error::Argument { .. })));
}

#[test]
fn records_read_from_toml_and_refuse_unknown_keys() {
    let text = "size = 32\ncrop_pct = 0.875\nresize = \"shorter\"\ninterpolation = \"bicubic\"\n\
                mean = [0.48145466, 0.4578275, 0.40821073]\nstd = [0.26862954, 0.26130258, 0.27577711]\n";
    assert_eq!(toml::from_str::<Preprocess>(text).expect("a record"), preprocess());
    let again = toml::to_string(&preprocess()).expect("a record as text");
    assert_eq!(toml::from_str::<Preprocess>(&again).expect("a record"), preprocess());
    assert!(toml::from_str::<Preprocess>(&format!("{text}crop = 0.9\n")).is_err());
    assert!(toml::from_str::<Preprocess>(&text.replace("bicubic", "cubic")).is_err());
}

#[test]
fn thumbnails_fit_and_survive_png() {
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    for _ in 0..50 {
        let (width, height) = (between(&mut rng, 1, 200), between(&mut rng, 1, 200));
        let side = between(&mut rng, 1, 90);
        let image = noise(&mut rng, width, height);
        let small = thumbnail(&image, side);
        if width.max(height) <= side {
            assert_eq!(small, image);
        } else {
            assert_eq!(small.width().max(small.height()), side);
            // The shorter side is within half a pixel of the exact shape, or one pixel.
            let (shorter, exact) = (small.width().min(small.height()), f64::from(width.min(height)));
            let exact = exact * f64::from(side) / f64::from(width.max(height));
            assert!((f64::from(shorter) - exact).abs() <= 0.5 || shorter == 1, "{shorter} for {exact}");
        }
        let png = encode_png(&small).expect("an image with pixels");
        assert_eq!(decode("thumbnail", &png).expect("our own PNG"), small);
    }
    assert_eq!(thumbnail(&RgbImage::new(3, 3), 0), RgbImage::new(3, 3));
    assert_eq!(thumbnail(&RgbImage::new(0, 9), 3), RgbImage::new(0, 9));
    assert!(matches!(encode_png(&RgbImage::new(0, 0)), Err(Error::Argument { .. })));
}
