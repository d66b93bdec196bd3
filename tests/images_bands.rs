//! Pictures of many bands or deep samples: read as a data set's record says, and refused with the record's keys where it
//! says nothing. The files are made here.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use wider_clip::datasets::{ImageSet, open};
use wider_clip::error::Error;
use wider_clip::images::{Reading, decode, decode_as, encode_png};
use wider_clip::manifest::DatasetRecord;

const SIDE: usize = 6;

/// A TIFF of one strip (one a band where `planar`): `format` is 1 unsigned, 2 signed, 3 floating-point; `samples` are the
/// bytes of all pixels, band by band where `planar`.
struct Tiff<'a> {
    bits: usize,
    format: u16,
    n_bands: usize,
    photometric: u16,
    planar: bool,
    big_endian: bool,
    extra: &'a [u16],
}

impl Tiff<'_> {
    fn build(&self, samples: &[u8]) -> Vec<u8> {
        self.of_side(SIDE, samples)
    }

    fn of_side(&self, side: usize, samples: &[u8]) -> Vec<u8> {
        let short = |value: u16| if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let long = |value: u32| if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let n_strips = if self.planar { self.n_bands } else { 1 };
        let all = vec![self.bits as u32; self.n_bands];
        let mut tags: Vec<(u16, Vec<u32>)> = vec![
            (256, vec![side as u32]),
            (257, vec![side as u32]),
            (258, all),
            (259, vec![1]),
            (262, vec![self.photometric.into()]),
            (273, vec![0; n_strips]),
            (277, vec![self.n_bands as u32]),
            (278, vec![side as u32]),
            (279, vec![(samples.len() / n_strips) as u32; n_strips]),
            (284, vec![if self.planar { 2 } else { 1 }]),
        ];
        if !self.extra.is_empty() {
            tags.push((338, self.extra.iter().map(|&extra| extra.into()).collect()));
        }
        tags.push((339, vec![self.format.into(); self.n_bands]));
        let start = 8 + 2 + 12 * tags.len() + 4;
        let extra: usize = tags.iter().filter(|(_, values)| values.len() > 1).map(|(_, values)| 4 * values.len()).sum();
        let strip = samples.len() / n_strips;
        tags[5].1 = (0..n_strips).map(|i| (start + extra + i * strip) as u32).collect();
        let mut file = if self.big_endian { b"MM\0\x2a".to_vec() } else { b"II\x2a\0".to_vec() };
        file.extend(long(8));
        file.extend(short(tags.len() as u16));
        let mut behind = Vec::new();
        for (tag, values) in &tags {
            file.extend([short(*tag), short(4)].concat());
            file.extend(long(values.len() as u32));
            if let [value] = values[..] {
                file.extend(long(value));
            } else {
                file.extend(long((start + behind.len()) as u32));
                values.iter().for_each(|&value| behind.extend(long(value)));
            }
        }
        file.extend([0; 4]);
        file.extend(behind);
        file.extend(samples);
        file
    }
}

/// The value of band `band` (from 0) in pixel `at`: 0 to 4095.
fn value(band: usize, at: usize) -> u16 {
    (((band + 1) * 37 * at) % 4096) as u16
}

fn bands(n_bands: usize, planar: bool, big_endian: bool) -> Vec<u8> {
    let bytes = |band, at| if big_endian { value(band, at).to_be_bytes() } else { value(band, at).to_le_bytes() };
    let n = SIDE * SIDE;
    let samples: Vec<u8> = match planar {
        true => (0..n_bands).flat_map(|band| (0..n).flat_map(move |at| bytes(band, at))).collect(),
        false => (0..n).flat_map(|at| (0..n_bands).flat_map(move |band| bytes(band, at))).collect(),
    };
    Tiff { bits: 16, format: 1, n_bands, photometric: 1, planar, big_endian, extra: &vec![0; n_bands - 1] }
        .build(&samples)
}

fn by(bands: Option<&[u16]>, range: Option<[f64; 2]>) -> Reading {
    Reading { bands: bands.map(<[u16]>::to_vec), range }
}

fn level(value: f64, [low, high]: [f64; 2]) -> u8 {
    ((value - low) / (high - low) * 255.0).clamp(0.0, 255.0).round() as u8
}

fn found(bytes: &[u8], reading: &Reading) -> String {
    match decode_as("scene.tif", bytes, reading) {
        Err(error @ Error::Image { .. }) => error.to_string(),
        other => panic!("expected Error::Image, found {other:?}"),
    }
}

#[test]
fn many_bands_are_refused_with_their_number_and_the_keys_that_choose() {
    for n_bands in [2, 5, 13, 224] {
        let message = found(&bands(n_bands, false, false), &Reading::default());
        for part in [&format!("{n_bands} bands of 16 bits")[..], "`bands` (such as [3, 2, 1])", "`range`"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
    // Eight bits, and bands said to be RGB with ten more: no better.
    let thirteen = vec![7; 13 * SIDE * SIDE];
    for (photometric, n_extra) in [(1, 12), (2, 10)] {
        let extra = vec![0; n_extra];
        let tiff =
            Tiff { bits: 8, format: 1, n_bands: 13, photometric, planar: false, big_endian: false, extra: &extra };
        assert!(found(&tiff.build(&thirteen), &Reading::default()).contains("13 bands of 8 bits"));
    }
}

/// The first band of a file that counts from white to black is turned, chosen or not; others are as they are.
#[test]
fn white_may_be_zero() {
    let samples: Vec<u8> = (0..2 * SIDE * SIDE).map(|at| at as u8).collect();
    let extra = [2];
    let tiff = Tiff { bits: 8, format: 1, n_bands: 2, photometric: 0, planar: false, big_endian: false, extra: &extra };
    let bytes = tiff.build(&samples);
    let first = |reading: &Reading| decode_as("scene", &bytes, reading).expect("decodes").get_pixel(1, 0).0;
    assert_eq!(first(&Reading::default()), [253; 3]);
    assert_eq!(first(&by(Some(&[1]), None)), [253; 3]);
    assert_eq!(first(&by(Some(&[2]), None)), [3; 3]);
}

#[test]
fn chosen_bands_are_mapped_by_the_range() {
    let range = [100.0, 3000.0];
    for (planar, big_endian) in [(false, false), (false, true), (true, false), (true, true)] {
        let bytes = bands(13, planar, big_endian);
        let image = decode_as("scene", &bytes, &by(Some(&[4, 13, 2]), Some(range))).expect("three bands");
        let grey = decode_as("scene", &bytes, &by(Some(&[9]), Some(range))).expect("one band");
        for at in 0..SIDE * SIDE {
            let pixel = image.get_pixel((at % SIDE) as u32, (at / SIDE) as u32).0;
            assert_eq!(
                pixel,
                [3, 12, 1].map(|band| level(value(band, at).into(), range)),
                "{planar} {big_endian} {at}"
            );
            let pixel = grey.get_pixel((at % SIDE) as u32, (at / SIDE) as u32).0;
            assert_eq!(pixel, [level(value(8, at).into(), range); 3]);
        }
        let message = found(&bytes, &by(Some(&[1, 2, 14]), None));
        assert!(message.contains("a band 14") && message.contains("found 13 bands"), "{message}");
        // Without a range 12 bits in 16 would be nearly black.
        assert!(found(&bytes, &by(Some(&[1, 2, 3]), None)).contains("`range = [0, 4095]`"));
    }
}

#[test]
fn every_number_type_needs_a_range_and_reads_with_it() {
    let values = |at: usize| at as f64 * 3.0 - 40.0;
    type Bytes = fn(f64) -> Vec<u8>;
    let types: [(usize, u16, Bytes, Bytes); 8] = [
        (8, 2, |v| (v as i8).to_le_bytes().into(), |v| (v as i8).to_be_bytes().into()),
        (16, 2, |v| (v as i16).to_le_bytes().into(), |v| (v as i16).to_be_bytes().into()),
        (32, 2, |v| (v as i32).to_le_bytes().into(), |v| (v as i32).to_be_bytes().into()),
        (64, 2, |v| (v as i64).to_le_bytes().into(), |v| (v as i64).to_be_bytes().into()),
        (32, 1, |v| (v.max(0.0) as u32).to_le_bytes().into(), |v| (v.max(0.0) as u32).to_be_bytes().into()),
        (64, 1, |v| (v.max(0.0) as u64).to_le_bytes().into(), |v| (v.max(0.0) as u64).to_be_bytes().into()),
        (32, 3, |v| (v as f32).to_le_bytes().into(), |v| (v as f32).to_be_bytes().into()),
        (64, 3, |v| v.to_le_bytes().into(), |v| v.to_be_bytes().into()),
    ];
    let words = ["whole numbers", "signed whole numbers", "floating-point numbers"];
    for (bits, format, little, big) in types {
        for big_endian in [false, true] {
            let bytes = if big_endian { big } else { little };
            let samples: Vec<u8> = (0..SIDE * SIDE).flat_map(|at| bytes(values(at))).collect();
            let tiff = Tiff { bits, format, n_bands: 1, photometric: 1, planar: false, big_endian, extra: &[] };
            let file = tiff.build(&samples);
            let message = found(&file, &Reading::default());
            let named = format!("{bits}-bit samples in {}", words[usize::from(format) - 1]);
            assert!(message.contains(&named) && message.contains("`range`"), "{named}: {message}");
            let range = [-20.0, 50.0];
            let image = decode_as("scene", &file, &by(None, Some(range))).expect("a range");
            for at in 0..SIDE * SIDE {
                let value = if format == 1 { values(at).max(0.0) } else { values(at) };
                let pixel = image.get_pixel((at % SIDE) as u32, (at / SIDE) as u32).0;
                assert_eq!(pixel, [level(value, range); 3], "{named} {at}");
            }
        }
    }
    // What is no number is black, the infinite clipped.
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.0];
    let samples: Vec<u8> = (0..SIDE * SIDE).flat_map(|at| odd[at % 4].to_le_bytes()).collect();
    let tiff = Tiff { bits: 32, format: 3, n_bands: 1, photometric: 1, planar: false, big_endian: false, extra: &[] };
    let image = decode_as("scene", &tiff.build(&samples), &by(None, Some([0.0, 2.0]))).expect("a range");
    assert_eq!([0, 1, 2, 3].map(|x| image.get_pixel(x, 0).0[0]), [0, 255, 0, 128]);
}

/// 16-bit grey of the values in both formats that have it.
fn sixteen(values: impl Fn(usize) -> u16) -> [Vec<u8>; 2] {
    sixteen_of(SIDE, values)
}

fn sixteen_of(side: usize, values: impl Fn(usize) -> u16) -> [Vec<u8>; 2] {
    let n = side * side;
    let samples: Vec<u8> = (0..n).flat_map(|at| values(at).to_le_bytes()).collect();
    let tiff = Tiff { bits: 16, format: 1, n_bands: 1, photometric: 1, planar: false, big_endian: false, extra: &[] };
    let native: Vec<u8> = (0..n).flat_map(|at| values(at).to_ne_bytes()).collect();
    let mut png = Vec::new();
    let sides = side as u32;
    PngEncoder::new(&mut png).write_image(&native, sides, sides, ExtendedColorType::L16).expect("encodes");
    [tiff.of_side(side, &samples), png]
}

#[test]
fn a_hot_pixel_does_not_hide_that_deep_grey_would_be_nearly_black() {
    // 12 bits, and `n` of the brightest pixels there are.
    let with = |side: usize, n: usize| {
        sixteen_of(side, move |at| if at % (side * side / n) == 7 { 65_535 } else { (at * 31 % 4096) as u16 })
    };
    for (side, n) in [(64, 1), (200, 1), (400, 10)] {
        for file in with(side, n) {
            let message = found(&file, &Reading::default());
            assert!(message.contains(" but for rare larger ones, nearly black"), "{side}, {n}: {message}");
            assert!(message.contains("values of 0 to 409") && message.contains("`range = [0, 4095]`"), "{message}");
            assert!(decode_as("x", &file, &by(None, Some([0.0, 65_535.0]))).is_ok());
        }
    }
    // More of them are a picture: a few stars, a small mark.
    for (side, n) in [(64, 16), (400, 40), (6, 1)] {
        for file in with(side, n) {
            assert!(decode("x", &file).is_ok(), "{side}, {n}");
        }
    }
    // Black but for a single pixel.
    for file in sixteen_of(64, |at| if at == 5 { 65_535 } else { 0 }) {
        assert_eq!(decode("x", &file).expect("reads").get_pixel(5, 0).0, [255; 3]);
    }
}

#[test]
fn deep_grey_that_would_be_nearly_black_is_not_read_in_silence() {
    for (most, advice) in [(255_usize, "[0, 255]"), (1023, "[0, 1023]"), (4080, "[0, 4095]"), (16_383, "[0, 16383]")] {
        for file in sixteen(|at| (at * most / (SIDE * SIDE - 1)) as u16) {
            let message = found(&file, &Reading::default());
            assert!(message.contains("nearly black") && message.contains(&format!("`range = {advice}`")), "{message}");
            let image = decode_as("x", &file, &by(None, Some([0.0, most as f64]))).expect("a range");
            assert_eq!(image.get_pixel(SIDE as u32 - 1, SIDE as u32 - 1).0, [255; 3]);
            let dark = decode_as("x", &file, &by(None, Some([0.0, 65_535.0]))).expect("a range");
            assert_eq!(dark.get_pixel(SIDE as u32 - 1, SIDE as u32 - 1).0, [level(most as f64, [0.0, 65_535.0]); 3]);
        }
    }
    // Black, one even value, and values that use their range are read as they are.
    for (file, last) in [(sixteen(|_| 0), 0), (sixteen(|_| 700), 2), (sixteen(|at| at as u16 * 1000), 136)] {
        for bytes in file {
            assert_eq!(decode("x", &bytes).expect("reads").get_pixel(SIDE as u32 - 1, SIDE as u32 - 1).0, [last; 3]);
        }
    }
}

#[test]
fn senseless_choices_are_refused() {
    let file = bands(13, false, false);
    for reading in [
        by(Some(&[]), None),
        by(Some(&[1, 2]), None),
        by(Some(&[0]), None),
        by(Some(&[1, 2, 3, 4]), None),
        by(None, Some([1.0, 1.0])),
        by(None, Some([2.0, 1.0])),
        by(None, Some([f64::NAN, 1.0])),
        by(None, Some([0.0, f64::INFINITY])),
    ] {
        assert!(matches!(decode_as("x", &file, &reading), Err(Error::Argument { .. })), "{reading:?}");
    }
}

fn record(more: &str) -> DatasetRecord {
    let text = format!(
        "id = \"scenes\"\nname = \"Scenes\"\ndescription = \"Made by this test.\"\nlicence = \"MIT\"\n\
         homepage = \"none\"\ncitation = \"this test\"\n{more}[source.folder]\npath = \"scenes\"\n\
         [columns]\nimage = \"image\"\nlabel = \"label\"\n[split]\npool = \"all\"\ntotal = 2\nclasses = 2\n\
         rule = \"study\"\nbudgets = [2]\n"
    );
    toml::from_str(&text).expect("a record")
}

/// A record's choice decides the pixels, and with them the key of all features; without a choice the key is as ever.
#[test]
fn a_record_chooses_bands_and_its_key_says_so() {
    let project = tempfile::tempdir().expect("a folder");
    for class in ["field", "town"] {
        std::fs::create_dir_all(project.path().join("scenes").join(class)).expect("makes a folder");
        std::fs::write(project.path().join("scenes").join(class).join("a.tif"), bands(13, false, true))
            .expect("writes");
    }
    let opened = |more: &str| -> ImageSet { open(project.path(), project.path(), &record(more)).expect("opens") };
    let picture = |set: &ImageSet| {
        let bytes = set.read(0..1).expect("reads").pop().expect("one").expect("bytes");
        set.decode(0, &bytes).map(|picture| encode_png(&picture).expect("encodes"))
    };
    let (plain, first) = (opened(""), opened("bands = [4, 3, 2]\nrange = [0, 4095]\n"));
    let message = picture(&plain).expect_err("nothing chosen").to_string();
    assert!(message.contains("13 bands") && message.contains("`bands`"), "{message}");
    let parts: Vec<String> = plain.images_key().parts().iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(parts, ["sha256", "column", "ids"]);
    let mut seen = vec![(plain.images_key().digest(), Vec::new())];
    for set in
        [first, opened("bands = [4, 3, 2]\nrange = [0, 2000]\n"), opened("bands = [2, 3, 4]\nrange = [0, 4095]\n")]
    {
        let made = (set.images_key().digest(), picture(&set).expect("chosen"));
        assert!(seen.iter().all(|(key, png)| *key != made.0 && *png != made.1));
        seen.push(made);
    }
}
