//! What a text that unpacks to much costs in memory: alone in its process, whose peak is measured.

#![cfg(target_os = "linux")]

use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::{Cursor, Write};
use wider_clip::image::codecs::png::PngDecoder;
use wider_clip::image::{DynamicImage, ImageDecoder, Limits};
use wider_clip::images::decode;

const MB: usize = 1 << 20;

/// The peak of this process's memory so far, in MB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") / 1024
}

fn deflated(n_zeros: usize) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; MB];
    (0..n_zeros / MB).for_each(|_| encoder.write_all(&zeros).unwrap());
    encoder.write_all(&zeros[..n_zeros % MB]).unwrap();
    encoder.finish().unwrap()
}

fn chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    let crc = !body.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    });
    [&(data.len() as u32).to_be_bytes()[..], &body, &crc.to_be_bytes()].concat()
}

/// A colour profile of 300 MB in a picture of one pixel: the decoder's own limit holds it back, and without one it would be unpacked.
#[test]
fn the_decoders_limit_holds_a_profile_back() {
    let file = [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0]),
        chunk(b"iCCP", &[b"profile\0\0".to_vec(), deflated(300 * MB)].concat()),
        chunk(b"IDAT", &deflated(4)),
        chunk(b"IEND", b""),
    ]
    .concat();
    let before = peak();
    // Read or refused: what it costs is asked here.
    let _ = decode("profile.png", &file);
    let cost = peak() - before;
    assert!(cost < 150, "{cost} MB");

    let unbounded = PngDecoder::with_limits(Cursor::new(&file), Limits::no_limits());
    if let Ok(mut decoder) = unbounded {
        let _ = decoder.icc_profile();
        let _ = DynamicImage::from_decoder(decoder);
    }
    let unbounded = peak() - before;
    assert!(unbounded > 250, "without a limit it costs {unbounded} MB, so that this test would notice nothing");
}
