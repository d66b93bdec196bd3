//! Files that ask for far more memory or time than they are worth, and what several threads may take together.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wider_clip::error::Error;
use wider_clip::images::decode;

fn refused(name: &str, bytes: &[u8]) -> String {
    let start = Instant::now();
    let message = match decode(name, bytes) {
        Err(error @ Error::Image { .. }) => error.to_string(),
        Err(other) => panic!("{name}: expected Error::Image, found {other}"),
        Ok(image) => panic!("{name}: expected an error, found an image of {:?}", image.dimensions()),
    };
    assert!(start.elapsed() < Duration::from_secs(20), "{name}: {:?}", start.elapsed());
    message
}

/// A TIFF of long tags whose first data stand behind the directory; `tags` without 273 and 279 (or 324 and 325).
fn tiff(tags: &[(u16, u32)], data: &[u8]) -> Vec<u8> {
    let tiled = tags.iter().any(|&(tag, _)| tag == 322);
    let (places, sizes) = if tiled { (324, 325) } else { (273, 279) };
    let start = 8 + 2 + 12 * (tags.len() as u32 + 2) + 4;
    let mut all = [tags, &[(places, start), (sizes, data.len() as u32)]].concat();
    all.sort_unstable();
    let mut file = b"II\x2a\0\x08\0\0\0".to_vec();
    file.extend((all.len() as u16).to_le_bytes());
    for (tag, value) in all {
        file.extend([tag.to_le_bytes(), 4_u16.to_le_bytes()].concat());
        file.extend([1_u32.to_le_bytes(), value.to_le_bytes()].concat());
    }
    file.extend([0; 4]);
    file.extend(data);
    file
}

fn deflated(n_zeros: usize) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; n_zeros]).expect("writes");
    encoder.finish().expect("ends")
}

#[test]
fn a_tiff_is_bounded_in_samples_and_bytes() {
    let colour = [(258, 8), (262, 1)];
    let sized = |side: u32, n_samples: u32, compression: u32| {
        let tags = [(256, side), (257, side), (259, compression), (277, n_samples), (278, side)];
        [&tags[..], &colour].concat()
    };
    assert!(refused("samples", &tiff(&sized(13_000, 1000, 1), &[0; 20])).contains("unpacks to at most 4096 MB"));
    assert!(refused("many", &tiff(&sized(10, 1025, 1), &[0; 20])).contains("found 1025 samples"));
    assert!(refused("most", &tiff(&sized(10, u32::MAX, 1), &[0; 20])).contains("samples"));
    assert!(refused("none", &tiff(&sized(10, 0, 1), &[0; 20])).contains("0 samples"));
    assert!(refused("nothing", &tiff(&sized(0, 1, 1), &[0; 20])).contains("0 x 0 pixels"));
    assert!(refused("short", &tiff(&sized(13_000, 1, 8), &deflated(1 << 20))).contains("fewer pixels"));
    // Tiles far larger than the picture are unpacked as far as the picture reaches.
    let tiles = |width: u32, height: u32| {
        let tags = [(256, 10), (257, 10), (259, 8), (277, 1), (322, width), (323, height)];
        tiff(&[&tags[..], &colour].concat(), &deflated(1 << 20))
    };
    assert_eq!(decode("high", &tiles(16, 1 << 24)).expect("ten rows").dimensions(), (10, 10));
    assert!(refused("wide", &tiles(1 << 24, 1 << 24)).contains("fewer pixels"));
    assert!(refused("wider", &tiles(1 << 25, 16)).contains("strips or tiles of"));
    // One-pixel tiles: as many places must stand in the file.
    let tiny = [(256, 10_000), (257, 10_000), (259, 1), (277, 1), (322, 1), (323, 1)];
    assert!(refused("tiny", &tiff(&[&tiny[..], &colour].concat(), &[0; 20])).contains("100000000 are needed"));
    // A directory that is its own next page, and one that claims 65,535 entries.
    let mut file = tiff(&sized(4, 1, 1), &[9; 16]);
    let next = 8 + 2 + 12 * 9;
    file[next..next + 4].copy_from_slice(&8_u32.to_le_bytes());
    assert_eq!(decode("loop", &file).expect("the first page").dimensions(), (4, 4));
    file[8..10].copy_from_slice(&[0xFF; 2]);
    assert!(refused("entries", &file).contains("beyond the file"));
}

/// Some compressions unpack a strip or tile as a whole, however little of it the picture shows.
#[test]
fn tiles_far_larger_than_the_picture_take_no_more_than_their_share() {
    let tiled = |compression: u32, bits: u32, n_samples: u32, photometric: u32, tile: [u32; 2], data: &[u8]| {
        let of = [(256, 1), (257, 20_000), (258, bits), (259, compression), (262, photometric), (277, n_samples)];
        tiff(&[&of[..], &[(322, tile[0]), (323, tile[1])]].concat(), data)
    };
    // Group 4: a first row that is black throughout (`horizontal`, no white, 2560 and 0 black), and all rows like it.
    let fax = |width: usize| {
        let black = "000000011111".repeat(width / 2560);
        let bits = format!("00100110101{black}0000110111{}", "1".repeat(2 * 20_000));
        let byte = |bits: &[u8]| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | (bit & 1) << (7 - at));
        bits.as_bytes().chunks(8).map(byte).collect::<Vec<u8>>()
    };
    let _alone = alone();
    let before = peak();
    let start = Instant::now();
    let wide = decode("fax", &tiled(4, 1, 1, 0, [256_000, 65_536], &fax(256_000))).expect("decodes");
    assert!(wide.pixels().all(|pixel| pixel.0 == [0; 3]));
    assert!(peak() < before + 200 && start.elapsed() < Duration::from_secs(5), "{} MB, {:?}", peak(), start.elapsed());
    let message = refused("wider", &tiled(4, 1, 1, 0, [512_000, 65_536], &fax(512_000)));
    assert!(message.contains("strips or tiles unpack to at most 1024 MB, found tiles of 512000 x 65536"), "{message}");
    let message = refused("blocks", &tiled(8, 8, 3, 6, [32_768, 65_536], &deflated(1 << 20)));
    assert!(message.contains("strips or tiles unpack to at most 1024 MB, found tiles of 32768 x 65536"), "{message}");
    let large = jpeg(0xC0, 4096, &tables(0), &[([0, 63, 0], vec![0; 1 << 17])]);
    let message = refused("segment", &tiled(7, 8, 1, 1, [16, 20_000], &large));
    assert!(message.contains("a JPEG of 4096 x 4096 pixels in a strip or tile of 16 x 20000"), "{message}");
}

/// A JPEG of one component: `frame` is C0 or C2, then come the scans as (header of five bytes without the component, data).
fn jpeg(frame: u8, side: u16, tables: &[u8], scans: &[([u8; 3], Vec<u8>)]) -> Vec<u8> {
    let mut file = b"\xff\xd8\xff\xdb\0\x43\0".to_vec();
    file.extend([1; 64]);
    file.extend([0xFF, frame, 0, 11, 8]);
    file.extend([side.to_be_bytes(), side.to_be_bytes()].concat());
    file.extend([1, 1, 0x11, 0]);
    file.extend(tables);
    for (spectrum, data) in scans {
        file.extend([0xFF, 0xDA, 0, 8, 1, 1, 0]);
        file.extend(spectrum);
        file.extend(data);
    }
    file.extend(b"\xff\xd9");
    file
}

/// Huffman tables of one code, `0`, each: for first coefficients it stands for 0, for the others for `symbol`.
fn tables(symbol: u8) -> Vec<u8> {
    let table = |class: u8, symbol: u8| [&[0xFF, 0xC4, 0, 20, class, 1][..], &[0; 15], &[symbol]].concat();
    [table(0x00, 0), table(0x10, symbol)].concat()
}

/// Runs of 32,767 blocks that hold nothing, for `n_blocks`: a code and fourteen ones, fifteen bits.
fn empty_runs(n_blocks: usize) -> Vec<u8> {
    let bits: Vec<u8> = (0..n_blocks.div_ceil(32_767)).flat_map(|_| [&[0_u8][..], &[1; 14]].concat()).collect();
    let byte = |bits: &[u8]| bits.iter().fold(0, |byte, bit| byte << 1 | bit) << (8 - bits.len());
    let bytes = bits.chunks(8).map(byte);
    bytes.flat_map(|byte: u8| if byte == 0xFF { vec![0xFF, 0] } else { vec![byte] }).chain([0; 4]).collect()
}

#[test]
fn a_jpegs_scans_are_bounded_by_their_work() {
    let side = 8000;
    let n_blocks = (side / 8) * (side / 8);
    let first = ([0, 0, 0], vec![0; n_blocks / 8]);
    let refining = ([1, 63, 0x10], empty_runs(n_blocks));
    let file =
        |n: usize| jpeg(0xC2, side as u16, &tables(0xE0), &[&[first.clone()], &vec![refining.clone(); n][..]].concat());
    let message = refused("hollow.jpg", &file(199));
    assert!(message.contains("whose scans come to at most") && message.contains("1000000 blocks"), "{message}");
    assert_eq!(decode("usual.jpg", &file(9)).expect("ten scans").dimensions(), (8000, 8000));
    // A small picture may have its coefficients in as many scans as there are.
    let (small, n) = (64_u16, 64);
    let scans: Vec<_> = (1..64).map(|place| ([place, place, 0], empty_runs(n))).collect();
    let scans = [vec![([0, 0, 0], vec![0; n / 8])], scans].concat();
    assert_eq!(decode("slow.jpg", &jpeg(0xC2, small, &tables(0xE0), &scans)).expect("64 scans").dimensions(), (64, 64));
    assert!(refused("more.jpg", &jpeg(0xC2, small, &tables(0xE0), &vec![scans[0].clone(); 201])).contains("200 scans"));
}

/// libjpeg smooths between blocks where one of the first five coefficients behind the mean is missing, and only there.
#[test]
fn a_progressive_jpeg_may_do_without_high_frequencies() {
    let scans = |last: u8| [([0, 0, 0], vec![0; 8]), ([1, last, 0], empty_runs(64))];
    let file = |last: u8| jpeg(0xC2, 64, &tables(0xE0), &scans(last));
    assert_eq!(decode("low.jpg", &file(5)).expect("decodes").dimensions(), (64, 64));
    assert!(refused("lower.jpg", &file(4)).contains("found component 1 still coarse after the last scan, number 2"));
}

/// A baseline JPEG with a restart asked for at each block. Codes for first coefficients: `0` for none, `10` for one of seven bits;
/// for the others `0` for none.
fn restarting(side: u16, data: &[u8]) -> Vec<u8> {
    let first = [&b"\xff\xc4\0\x15\x00\x01\x01"[..], &[0; 14], &[0, 7]].concat();
    let others = [&b"\xff\xc4\0\x14\x10\x01"[..], &[0; 15], &[0]].concat();
    let each_block = b"\xff\xdd\0\x04\0\x01";
    jpeg(0xC0, side, &[&first, &others, &each_block[..]].concat(), &[([0, 63, 0], data.to_vec())])
}

/// Four blocks of one grey each: where a restart marker is missing, what was read ahead is lost, eight bytes at a time.
#[test]
fn restarts_go_behind_their_marker_and_stay_where_there_is_none() {
    let greys = |data: &[u8]| {
        let image = decode("restarts.jpg", &restarting(16, data)).expect("decodes");
        [(0, 0), (15, 0), (0, 15), (15, 15)].map(|(x, y)| image.get_pixel(x, y).0[0])
    };
    // `10`, seven bits, `0`: 64, 96 and -127, an eighth of it each.
    let (light, lighter, dark) = ([0xA0, 0], [0xB0, 0], [0x80, 0]);
    let expected = [136, 140, 112, 128];
    let restart = |n: u8| [0xFF, 0xD0 + n];
    let markers = [&light[..], &restart(0), &lighter, &restart(1), &dark, &restart(2), &[0]].concat();
    assert_eq!(greys(&markers), expected);
    let none = [&light[..], &[0; 6], &lighter, &[0; 6], &dark, &[0; 6], &[0; 8]].concat();
    assert_eq!(greys(&none), expected);
    // One behind bytes that are passed over, a stuffed one among them, and then none.
    let passed = [&light[..], &[0; 6], &[7, 0xFF, 0, 9], &restart(5), &lighter, &[0; 6], &dark, &[0; 6], &[0; 8]];
    assert_eq!(greys(&passed.concat()), expected);
    // One at once, and two where the third block is passed over.
    let doubled = [&light[..], &restart(3), &lighter, &[0; 6], &dark, &restart(3), &restart(3)].concat();
    assert_eq!(greys(&doubled), [136, 140, 128, 128]);
    // At a marker of another kind all blocks that are left stay grey.
    assert_eq!(greys(&[&light[..], &restart(0), &lighter].concat()), [136, 140, 128, 128]);
}

/// Held by what takes much memory: one of these tests measures what the process took at most.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Half a million restarts without a marker before the end of the file: each would look for it through all that is left.
#[test]
fn restarts_without_markers_cost_little() {
    let _alone = alone();
    let start = Instant::now();
    let image = decode("restarts.jpg", &restarting(5664, &vec![0; 4 << 20])).expect("decodes");
    assert!(image.pixels().all(|pixel| pixel.0 == [128; 3]));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

/// A TIFF of `n` strips, eight pixels wide and `rows` high, all at one place, with `tables` that they share where they are JPEGs.
fn at_one_place(n: u32, rows: u32, compression: u32, packed: &[u8], tables: &[u8]) -> Vec<u8> {
    let (n_tags, n_packed, n_tables) = (10, packed.len() as u32, tables.len() as u32);
    let start = 8 + 2 + 12 * n_tags + 4;
    let (places, sizes) = (start + n_packed + n_tables, start + n_packed + n_tables + 4 * n);
    let tags = [
        (256, 1, 8),
        (257, 1, n * rows),
        (258, 1, 8),
        (259, 1, compression),
        (262, 1, 1),
        (273, n, places),
        (277, 1, 1),
        (278, 1, rows),
        (279, n, sizes),
        (347, n_tables, start + n_packed),
    ];
    let mut file = [&b"II\x2a\0\x08\0\0\0"[..], &(n_tags as u16).to_le_bytes()].concat();
    for (tag, count, value) in tags {
        let kind = if tag == 347 { 7 } else { 4_u16 };
        file.extend([(tag as u16).to_le_bytes(), kind.to_le_bytes()].concat());
        file.extend([count.to_le_bytes(), value.to_le_bytes()].concat());
    }
    file.extend([0; 4]);
    file.extend([packed, tables].concat());
    for value in [start, n_packed] {
        file.extend(value.to_le_bytes().repeat(n as usize));
    }
    file
}

/// Each strip would be unpacked, and its tables read, from the same megabytes.
#[test]
fn strips_at_one_place_are_bounded_in_what_they_take() {
    let _alone = alone();
    const PACK_BITS: u32 = 32_773;
    // A run of eight, behind bytes that say nothing.
    let run = |n_before: usize| [&vec![0x80; n_before][..], &[0xF9, 77]].concat();
    let small = decode("small.tif", &at_one_place(60_000, 1, PACK_BITS, &run(20), &[0; 8])).expect("decodes");
    assert!(small.dimensions() == (8, 60_000) && small.pixels().all(|pixel| pixel.0 == [77; 3]));
    let large = refused("large.tif", &at_one_place(60_000, 1, PACK_BITS, &run(8 << 20), &[0; 8]));
    assert!(large.contains("strips or tiles take at most 134217728 bytes together"), "{large}");
    let grey = jpeg(0xC0, 8, &tables(0), &[([0, 63, 0], vec![0; 4])]);
    let shared = |n: usize| [&b"\xff\xd8"[..], &tables(0).repeat(n), b"\xff\xd9"].concat();
    let small = decode("small.tif", &at_one_place(8000, 8, 7, &grey, &shared(1))).expect("decodes");
    assert!(small.dimensions() == (8, 64_000) && small.pixels().all(|pixel| pixel.0 == [128; 3]));
    let large = refused("large.tif", &at_one_place(8000, 8, 7, &grey, &shared(1 << 15)));
    assert!(large.contains("strips or tiles take at most 134217728 bytes together"), "{large}");
}

/// Two million entries of 25,000 tags: each would be looked for among all that are known.
#[test]
fn a_directory_of_millions_of_entries_costs_little() {
    let _alone = alone();
    let entry =
        |tag: u16, value: u64| [&tag.to_le_bytes()[..], &[4, 0], &1_u64.to_le_bytes(), &value.to_le_bytes()].concat();
    let n = 2_000_000_u64;
    let known = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 16 + 8 + 20 * n), (277, 1), (279, 1)];
    let mut file = [&b"II\x2b\0\x08\0\0\0"[..], &16_u64.to_le_bytes(), &n.to_le_bytes()].concat();
    file.extend(known.iter().flat_map(|&(tag, value)| entry(tag, value)));
    file.extend((known.len() as u64..n).flat_map(|number| entry(40_000 + (number % 25_000) as u16, 0)));
    file.push(77);
    let start = Instant::now();
    assert_eq!(decode("entries.tif", &file).expect("decodes").into_raw(), [77; 3]);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// What this process took at most, in MB.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// Six pictures of 64 million pixels in six threads: each takes nearly half a gigabyte while it is decoded. Together they
/// stay near the 1 GB that large pictures may take, and all of them are decoded.
#[cfg(target_os = "linux")]
#[test]
fn several_threads_wait_for_memory() {
    let _alone = alone();
    let side = 8000;
    let scans = [([0, 0, 0], vec![0; 125_000]), ([1, 63, 0], empty_runs(1_000_000))];
    let file = jpeg(0xC2, side, &tables(0xE0), &scans);
    std::thread::scope(|scope| {
        let decoded: Vec<_> =
            (0..6).map(|_| scope.spawn(|| decode("large.jpg", &file).expect("decodes").width())).collect();
        decoded.into_iter().for_each(|thread| assert_eq!(thread.join().expect("no panic"), 8000));
    });
    assert!(peak() < 1900, "{} MB", peak());
}

/// A chunk of a PNG.
fn chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    let crc = !body.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    });
    [&(data.len() as u32).to_be_bytes()[..], &body, &crc.to_be_bytes()].concat()
}

#[test]
fn texts_and_profiles_that_unpack_to_much_cost_little() {
    let bomb = deflated(300 << 20);
    let header = chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0]);
    let pixel = chunk(b"IDAT", &deflated(4));
    let end = chunk(b"IEND", b"");
    for (name, text) in [
        ("zTXt", chunk(b"zTXt", &[b"Raw profile type exif\0\0", &bomb[..]].concat())),
        ("iTXt", chunk(b"iTXt", &[b"XML:com.adobe.xmp\0\x01\0\0\0", &bomb[..]].concat())),
        ("iCCP", chunk(b"iCCP", &[b"profile\0\0", &bomb[..]].concat())),
    ] {
        let start = Instant::now();
        let before = [b"\x89PNG\r\n\x1a\n".to_vec(), header.clone(), text.clone(), pixel.clone(), end.clone()].concat();
        let behind = [b"\x89PNG\r\n\x1a\n".to_vec(), header.clone(), pixel.clone(), text, end.clone()].concat();
        for file in [before, behind] {
            // Read or refused, but soon and within the limits.
            if let Ok(image) = decode(name, &file) {
                assert_eq!(image.dimensions(), (1, 1), "{name}");
            }
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{name}: {:?}", start.elapsed());
    }
}

/// Of forty thousand texts, each a megabyte when it is unpacked, the last says how the picture is turned.
#[test]
fn of_many_texts_only_the_last_is_unpacked() {
    let _alone = alone();
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(b"<a tiff:Orientation=\"6\"/>").expect("writes");
    let turned = packed.finish().expect("ends");
    let itxt = |packed: &[u8]| chunk(b"iTXt", &[b"XML:com.adobe.xmp\0\x01\0\0\0", packed].concat());
    let ztxt = |packed: &[u8]| chunk(b"zTXt", &[b"XML:com.adobe.xmp\0\0", packed].concat());
    let bomb = deflated(1 << 20);
    let parts = [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &[0, 0, 0, 2, 0, 0, 0, 1, 8, 0, 0, 0, 0]),
        chunk(b"IDAT", &deflated(3)),
        itxt(&bomb).repeat(20_000),
        ztxt(&bomb).repeat(20_000),
        itxt(&turned),
        // Passed over: it does not unpack.
        itxt(b"no zlib"),
        chunk(b"IEND", b""),
    ];
    let file = parts.concat();
    let start = Instant::now();
    assert_eq!(decode("texts.png", &file).expect("decodes").dimensions(), (1, 2));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_chunk_of_a_webp_ends_within_the_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/images/decode/lossless.webp");
    let plain = std::fs::read(path).expect("reads");
    let expected = decode("plain", &plain).expect("is read");
    // Behind a chunk of an odd length stands a byte that belongs to none; the next says `length` and has `n` bytes.
    let with = |length: u32, n: usize| {
        let mut bytes = plain.clone();
        bytes.extend(b"ODD \x05\0\0\0\x01\x02\x03\x04\x05\0NEXT");
        bytes.extend(length.to_le_bytes());
        bytes.extend(vec![0; n]);
        let rest = bytes.len() as u32 - 8;
        bytes[4..8].copy_from_slice(&rest.to_le_bytes());
        bytes
    };
    for (length, n) in [(0, 0), (4, 4), (2, 4)] {
        assert_eq!(decode("whole", &with(length, n)).expect("is read"), expected, "{length} of {n}");
    }
    for (length, n) in [(1, 0), (5, 4), (u32::MAX, 4)] {
        let message = refused("cut", &with(length, n));
        assert!(message.contains(&format!("a chunk `NEXT` of {length} bytes where {n} are left")), "{message}");
    }
}
