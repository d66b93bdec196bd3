//! Every kind of TIFF, BMP, EXIF, PNG and GIF against what Pillow makes of it (tests/reference/images_kinds.py makes the
//! files under tests/golden/images/kinds), and what is refused by name.

use std::path::{Path, PathBuf};

use image::RgbImage;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use wider_clip::error::Error;
use wider_clip::images::{MAX_PIXELS, decode};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/images/kinds").join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn names() -> Vec<String> {
    let entries = std::fs::read_dir(golden("")).expect("golden files").map(|entry| entry.expect("entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().expect("plain name")).collect();
    names.retain(|name| !name.ends_with(".rgb"));
    names.sort();
    names
}

fn expected(name: &str) -> RgbImage {
    let bytes = read(&format!("{name}.rgb"));
    let side = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    RgbImage::from_raw(side(0), side(4), bytes[8..].to_vec()).expect("golden pixels")
}

fn refused(name: &str, bytes: &[u8]) -> String {
    match decode(name, bytes) {
        Err(error @ Error::Image { .. }) => error.to_string(),
        Err(other) => panic!("{name}: expected Error::Image, found {other}"),
        Ok(image) => panic!("{name}: expected an error, found an image of {:?}", image.dimensions()),
    }
}

#[test]
fn every_kind_decodes_to_pillows_pixels() {
    let names = names();
    assert!(names.len() >= 290, "only {} golden images", names.len());
    let mut wrong = Vec::new();
    for name in &names {
        match decode(name, &read(name)) {
            Err(error) => wrong.push(error.to_string()),
            Ok(image) if image == expected(name) => {}
            Ok(image) => wrong.push(format!("{name}: other pixels, {:?}", image.dimensions())),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), names.len(), wrong.join("\n"));
}

/// Pixels that are there whole may be given, whatever is missing behind them: a colour profile, the end of a directory. A
/// picture without its orientation, which stands behind the pixels of some files, is not whole.
#[test]
fn a_file_cut_anywhere_is_refused_or_whole() {
    for name in names().iter().filter(|name| !name.contains("exif") && !name.contains("xmp")) {
        let (bytes, whole) = (read(name), expected(name));
        let mut n_refused = 0;
        for length in (0..bytes.len()).step_by(7) {
            match decode(name, &bytes[..length]) {
                Ok(image) => assert_eq!(image, whole, "{name} cut to {length} of {} bytes", bytes.len()),
                Err(_) => n_refused += 1,
            }
        }
        assert!(n_refused > bytes.len() / 7 / 4, "{name}: only {n_refused} cuts refused");
    }
}

#[test]
fn damage_gives_an_error_or_an_image_of_lawful_size() {
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    let mut n_errors = 0;
    for name in names() {
        let bytes = read(&name);
        for _ in 0..40 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + rng.next_u32() % 4 {
                // Headers above all: there stand the numbers that decide about memory.
                let reach = if rng.next_u32() % 2 == 0 { bytes.len().min(300) } else { bytes.len() };
                damaged[rng.next_u32() as usize % reach] = rng.next_u32() as u8;
            }
            match decode(&name, &damaged) {
                Ok(image) => assert!(u64::from(image.width()) * u64::from(image.height()) <= MAX_PIXELS),
                Err(Error::Image { found, .. }) => {
                    assert!(!found.contains("decoder failed"), "{name}: a panic: {found}");
                    n_errors += 1;
                }
                Err(other) => panic!("{name}: {other}"),
            }
        }
    }
    assert!(n_errors > 1000, "only {n_errors} damaged files were noticed");
}

#[test]
fn formats_that_are_not_read_are_refused_by_name() {
    let boxed = |brand: &[u8]| [b"\0\0\0\x18ftyp", brand, b"\0\0\0\0mif1"].concat();
    let mut dicom = vec![0; 128];
    dicom.extend(b"DICM\x02\0\0\0");
    let mut targa = b"\0\0\x02\0\0\0\0\0\0\0\0\0\x01\0\x01\0\x18\0abc\0\0\0\0\0\0\0\0".to_vec();
    targa.extend(b"TRUEVISION-XFILE.\0");
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (boxed(b"heic"), "a HEIC image"),
        (boxed(b"hevx"), "a HEIC image"),
        (boxed(b"mif1"), "a HEIF image"),
        (boxed(b"avif"), "an AVIF image"),
        (boxed(b"avis"), "an AVIF image"),
        (boxed(b"crx "), "raw camera file (CR3)"),
        (boxed(b"isom"), "a video"),
        (b"\xff\x0a\x00\x10".to_vec(), "a JPEG XL image"),
        (b"\0\0\0\x0cJXL \r\n\x87\n".to_vec(), "a JPEG XL image"),
        (b"\0\0\0\x0cjP  \r\n\x87\n".to_vec(), "a JPEG 2000 image"),
        (b"\xff\x4f\xff\x51\0".to_vec(), "a JPEG 2000 image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(), "an SVG drawing"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x --><svg/>".to_vec(), "an SVG drawing"),
        (b"%PDF-1.7\n".to_vec(), "a PDF document"),
        (b"  <!DOCTYPE html><html></html>".to_vec(), "a web page (HTML)"),
        (b"<HTML><body>Not found</body></HTML>".to_vec(), "a web page (HTML)"),
        (b"{\"error\": 404}".to_vec(), "a text in JSON"),
        (b"8BPS\0\x01".to_vec(), "a Photoshop file"),
        (dicom, "a DICOM file"),
        (targa, "a TGA image"),
        (b"P6\n2 2\n255\n".to_vec(), "a PNM image"),
        (b"SIMPLE  =                    T".to_vec(), "a FITS file"),
        (b"\x76\x2f\x31\x01\x02\0\0\0".to_vec(), "an OpenEXR image"),
        (b"\0\0\x01\0\x01\0\x10\x10".to_vec(), "a Windows icon"),
        (b"version https://git-lfs.github.com/spec/v1\noid".to_vec(), "Git LFS"),
        (b"\0\x05\x16\x07\0\x02\0\0Mac OS X".to_vec(), "AppleDouble"),
        (b"PK\x03\x04\x14\0".to_vec(), "a zip archive"),
        (b"\x1f\x8b\x08\0".to_vec(), "a gzip file"),
        (b"\x89HDF\r\n\x1a\n\0".to_vec(), "an HDF5 file"),
        (b"\x93NUMPY\x01\0".to_vec(), "a NumPy array"),
        (vec![0; 64], "64 bytes that are all zero"),
        (b"once upon a time".to_vec(), "16 bytes that are none of these"),
    ];
    for (bytes, name) in cases {
        let message = refused("cats/1.jpg", &bytes);
        assert!(
            message.starts_with("image cats/1.jpg: expected a JPEG, PNG, WebP, TIFF, GIF or BMP image"),
            "{message}"
        );
        assert!(message.contains(name), "{name}: {message}");
    }
}

/// A DIB is a BMP less its first 14 bytes; the pixels then follow the headers.
#[test]
fn a_dib_has_the_pixels_of_its_bmp() {
    let mut n_read = 0;
    for name in names().iter().filter(|name| name.ends_with(".bmp")) {
        let bytes = read(name);
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        let (size, depth) = (number(14), if number(14) == 12 { bytes[24] } else { bytes[28] });
        let masks = if size == 40 && number(30) == 3 { 12 } else { 0 };
        let colours = match (depth, size) {
            (16.., _) => 0,
            (_, 12) => 3 << depth,
            _ => 4 * if number(46) == 0 { 1 << depth } else { number(46) },
        };
        if number(10) != 14 + size + masks + colours {
            continue;
        }
        assert_eq!(decode("x.dib", &bytes[14..]).expect("decodes"), expected(name), "{name}");
        n_read += 1;
    }
    assert!(n_read >= 25, "{n_read}");
    let mut planes = read("24.bmp")[14..].to_vec();
    planes[12] = 2;
    assert!(refused("planes.dib", &planes).contains("bytes that are none of these"));
}

#[test]
fn variants_of_bmp_that_are_not_read_are_named() {
    let mut bytes = read("24.bmp");
    bytes[30] = 4;
    assert!(refused("x.bmp", &bytes).contains("compression JPEG (4)"));
    bytes[30] = 0;
    bytes[28] = 2;
    assert!(refused("x.bmp", &bytes).contains("2 bits"));
    bytes[14] = 99;
    assert!(refused("x.bmp", &bytes).contains("found 99"));
    assert!(refused("x.bmp", b"BM\x3a\0\0\0\0\0\0\0").contains("headers that end early"));
}
