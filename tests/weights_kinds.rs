//! Kinds of weight files that were once read wrong, or not at all: pickles of every protocol (made by
//! `tests/reference/fuzz_seeds.py`) and pickles that mean harm, files in parts, files that change.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::TempDir;
use wider_clip::candle_core::{DType, Device, Tensor};
use wider_clip::models::assemble::{Parameter, Scheme, assemble};
use wider_clip::models::{WeightFile, WeightFormat};

/// A folder with files of weights in it.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).expect("writes");
        self.path(name)
    }

    /// The archive of torch.save around a pickle: storage 0 holds 0 to 5, storage 1 holds 10 and 20.
    fn torch(&self, pickle: &[u8]) -> PathBuf {
        let path = self.path("model.bin");
        let bytes = |numbers: &[f32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
        let mut zip = zip::ZipWriter::new(fs::File::create(&path).expect("a file"));
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        let (zero, one) = (bytes(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), bytes(&[10.0, 20.0]));
        for (name, bytes) in [("m/data.pkl", pickle), ("m/data/0", &zero), ("m/data/1", &one)] {
            zip.start_file(name, stored).expect("a file");
            zip.write_all(bytes).expect("writes");
        }
        zip.finish().expect("a zip");
        path
    }

    fn safetensors(&self, name: &str, tensors: &[(&str, &[f32])]) -> PathBuf {
        let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).expect("a tensor");
        let tensors: Vec<_> = tensors.iter().map(|(name, values)| (*name, tensor(values))).collect();
        self.write(name, &safetensors::serialize(tensors, None).expect("a file"))
    }
}

fn seed(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds/pickle").join(name);
    fs::read(path).expect("a pickle")
}

fn open(path: &Path) -> WeightFile {
    WeightFile::open(path).unwrap_or_else(|error| panic!("{error}"))
}

fn error_of(path: &Path) -> String {
    WeightFile::open(path).err().unwrap_or_else(|| panic!("{} opens", path.display())).to_string()
}

fn refused(path: &Path, parts: &[&str]) {
    let error = error_of(path);
    for part in parts {
        assert!(error.contains(part), "{error}\nlacks\n{part}");
    }
    assert!(error.len() < 3000, "{} bytes of message", error.len());
}

fn values(file: &WeightFile, name: &str) -> Vec<f32> {
    let tensor = file.get(name, &Device::Cpu).unwrap_or_else(|error| panic!("{error}"));
    tensor.to_dtype(DType::F32).and_then(|tensor| tensor.flatten_all()?.to_vec1()).expect("numbers")
}

/// `w` and `b` as every one of the pickles has them.
fn holds_the_model(file: &WeightFile, what: &str) {
    assert_eq!(file.names().collect::<Vec<_>>(), ["b", "w"], "{what}");
    assert_eq!(file.shape("w").expect("a shape"), [2, 3], "{what}");
    assert_eq!(values(file, "w"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "{what}");
    assert_eq!(values(file, "b"), [10.0, 20.0], "{what}");
}

#[test]
fn an_object_that_the_pickle_names_twice_is_read_both_times_in_every_protocol() {
    let place = Place::new();
    for kind in ["plain", "twice", "beside"] {
        for protocol in 2..=5 {
            let path = place.torch(&seed(&format!("{kind}{protocol}.pkl")));
            holds_the_model(&open(&path), &format!("{kind}, protocol {protocol}"));
        }
    }
}

#[test]
fn views_of_every_kind_and_types_of_the_newest_form() {
    let place = Place::new();
    for protocol in 2..=5 {
        let file = open(&place.torch(&seed(&format!("views{protocol}.pkl"))));
        assert_eq!(values(&file, "turned"), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        // Stride 0 on both axes, from the second element on.
        assert_eq!(file.shape("expanded").expect("a shape"), [4, 2]);
        assert_eq!(values(&file, "expanded"), [20.0; 8]);
        let error = file.get("newest", &Device::Cpu).expect_err("no such type").to_string();
        assert!(error.contains("tensor `newest`") && error.contains("torch.uint16"), "{error}");
    }
}

/// Parts of a pickle.
fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn int(n: i32) -> Vec<u8> {
    [b"J", &n.to_le_bytes()[..]].concat()
}

/// `_rebuild_tensor_v2` of storage 1, whose class is given.
fn tensor(class: &str, shape: [i32; 2], stride: [i32; 2]) -> Vec<u8> {
    let pair = |[a, b]: [i32; 2]| [int(a), int(b), vec![0x86]].concat();
    let head =
        [b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(), text("storage"), class_of(class), text("1"), text("cpu")];
    [head.concat(), int(2), b"tQ".to_vec(), int(0), pair(shape), pair(stride), b"\x89NtR".to_vec()].concat()
}

/// As torch.save writes one whose numbers are the negatives of what is stored, as `x.conj().imag` is.
#[test]
fn a_view_that_is_marked_as_negated_is_no_tensor_as_stored() {
    let place = Place::new();
    let plain = tensor("FloatStorage", [1, 2], [2, 1]);
    let with = |notes: &[u8]| [&plain[..plain.len() - 2], notes, b"tR"].concat();
    let noted = [b"}".to_vec(), text("neg"), b"\x88s".to_vec()].concat();
    assert_eq!(values(&open(&place.torch(&dict_of(&with(b"}")))), "a"), [10.0, 20.0]);
    let file = open(&place.torch(&dict_of(&with(&noted))));
    let error = file.get("a", &Device::Cpu).expect_err("negated").to_string();
    assert!(error.contains("tensor `a`") && error.contains("a view marked `neg`"), "{error}");
}

fn class_of(class: &str) -> Vec<u8> {
    format!("ctorch\n{class}\n").into_bytes()
}

/// `{"a": value}`.
fn dict_of(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02}".to_vec(), text("a"), value.to_vec(), b"s.".to_vec()].concat()
}

#[test]
fn a_pickle_that_grows_or_nests_is_refused_at_once() {
    let place = Place::new();
    let begun = Instant::now();
    // Twice the one before, a hundred times over: 2^100 values, were they copied.
    let doubled = [b"\x80\x02)".to_vec(), b"2\x86".repeat(100), b".".to_vec()].concat();
    refused(&place.torch(&doubled), &["a dict of tensors", "found a tuple"]);
    let lists =
        [b"\x80\x02]q\x00".to_vec(), b"]q\x01h\x00ah\x01h\x00a0h\x01q\x000".repeat(40), b"h\x00.".to_vec()].concat();
    refused(&place.torch(&lists), &["found a list"]);
    for (wrapper, found) in [(&b"\x85"[..], "a tuple"), (b"q\x000]h\x00a", "a list")] {
        let nested = [b"\x80\x02)".to_vec(), wrapper.repeat(200_000), b".".to_vec()].concat();
        refused(&place.torch(&nested), &[found]);
        // The same beside a model does not matter.
        let beside =
            [b"\x80\x02}".to_vec(), text("deep"), b")".to_vec(), wrapper.repeat(200_000), b"s".to_vec()].concat();
        let beside = [beside, text("model"), dict_of(&tensor("FloatStorage", [1, 2], [2, 1]))[2..].to_vec()].concat();
        let beside = [&beside[..beside.len() - 1], b"s."].concat();
        assert_eq!(values(&open(&place.torch(&beside)), "a"), [10.0, 20.0], "{found}");
    }
    let wrapped = |n: usize| {
        let call = b"ctorch._utils\n_rebuild_parameter\n";
        [call.repeat(n), tensor("FloatStorage", [1, 2], [2, 1]), b"\x85R".repeat(n)].concat()
    };
    assert_eq!(values(&open(&place.torch(&dict_of(&wrapped(3)))), "a"), [10.0, 20.0]);
    refused(&place.torch(&dict_of(&wrapped(100_000))), &["torch._utils._rebuild_parameter"]);
    // A dict that is its own entry.
    let own = [b"\x80\x02}q\x00".to_vec(), text("model"), b"h\x00s.".to_vec()].concat();
    refused(&place.torch(&own), &["dicts down"]);
    // One large dict under 100,000 names, and one shape of a million axes for 100,000 tensors.
    let large = [b"}(".to_vec(), b"K\x01K\x02".repeat(100_000), b"uq\x00".to_vec()].concat();
    let again = [text("k"), b"h\x00".to_vec()].concat().repeat(100_000);
    let shared = [b"\x80\x02}(".to_vec(), text("k"), large, again, b"u.".to_vec()].concat();
    refused(&place.torch(&shared), &["and 99989 more"]);
    let one = tensor("FloatStorage", [1, 2], [2, 1]);
    let head = &one[..one.len() - 26];
    let axes = [b"(".to_vec(), b"K\x01".repeat(1_000_000), b"tq\x00".to_vec()].concat();
    let first = [text("a"), head.to_vec(), axes, b"h\x00\x89NtR".to_vec()].concat();
    let others = [text("a"), head.to_vec(), b"h\x00h\x00\x89NtR".to_vec()].concat().repeat(20_000);
    refused(&place.torch(&[b"\x80\x02}(".to_vec(), first, others, b"u.".to_vec()].concat()), &["_rebuild_tensor_v2"]);
    let many = [b"\x80\x02]".to_vec(), b"N".repeat(9_000_000), b".".to_vec()].concat();
    refused(&place.torch(&many), &["more than 8388608 values"]);
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

#[test]
fn a_view_that_repeats_its_elements_is_read_or_refused_but_never_tried() {
    let place = Place::new();
    let file = open(&place.torch(&dict_of(&tensor("FloatStorage", [1000, 2], [0, 1]))));
    assert_eq!(values(&file, "a").len(), 2000);
    for (shape, stride) in [([1 << 20, 1 << 20], [0, 0]), ([1 << 30, 2], [0, 1]), ([1 << 30, 1], [0, 0])] {
        let file = open(&place.torch(&dict_of(&tensor("FloatStorage", shape, stride))));
        let error = file.get("a", &Device::Cpu).expect_err("too large").to_string();
        assert!(error.contains("tensor `a`") && error.contains("repeats elements"), "{error}");
    }
}

#[test]
fn what_a_pickle_may_not_hold_is_named() {
    let place = Place::new();
    for (value, parts) in [
        (&b"cos\nsystem\nX\x02\0\0\0ls\x85R"[..], &["entry `a`", "os.system"][..]),
        (b"cbuiltins\neval\n)R", &["entry `a`", "builtins.eval"]),
        (b"cmy.module\nThing\n)\x81", &["entry `a`", "my.module.Thing"]),
        (b"K\x01", &["entry `a`", "the number 1"]),
        (b"\x82\x01", &["registry of extensions"]),
        (b"\x97", &["out of band"]),
        (b"\x80\x09N", &["protocol 9"]),
        (b"\xfeN", &["op-code 0xfe"]),
        (b"h\x07", &["the value 7"]),
        (b"R", &["without the values"]),
    ] {
        // Beside a tensor, so that the dict is a state dict.
        let tensor = [text("z"), tensor("FloatStorage", [1, 2], [2, 1]), b"s".to_vec()].concat();
        let alone = dict_of(value);
        refused(&place.torch(&[&alone[..3], &tensor, &alone[3..]].concat()), parts);
    }
    refused(&place.torch(&dict_of(b"N")[..6]), &["cut short"]);
    for class in ["CharStorage", "ComplexFloatStorage", "QInt8Storage", "FooStorage"] {
        let file = open(&place.torch(&dict_of(&tensor(class, [1, 1], [1, 1]))));
        let error = file.get("a", &Device::Cpu).expect_err("no such type").to_string();
        assert!(error.contains(&format!("torch.{class}")), "{error}");
    }
}

#[test]
fn the_state_dict_is_found_under_any_name_but_never_guessed() {
    let place = Place::new();
    let model = tensor("FloatStorage", [1, 2], [2, 1]);
    let inner = |key: &str| [text(key), b"}".to_vec(), text("a"), model.clone(), b"ss".to_vec()].concat();
    let outer = |parts: &[Vec<u8>]| [b"\x80\x02}".to_vec(), parts.concat(), b".".to_vec()].concat();
    let number = |key: &str| [text(key), int(3), b"s".to_vec()].concat();
    let alone = |key: &str| [text(key), model.clone(), b"s".to_vec()].concat();
    for parts in [
        vec![number("epoch"), inner("teacher")],
        vec![inner("net"), inner("optimizer")],
        vec![inner("teacher"), inner("state_dict"), inner("student")],
        // A loss or an accuracy is often kept as a tensor.
        vec![inner("model"), alone("best_acc1")],
        vec![[text("model"), b"}".to_vec(), inner("state_dict"), b"s".to_vec()].concat(), number("epoch")],
    ] {
        let file = open(&place.torch(&outer(&parts)));
        assert_eq!(file.names().collect::<Vec<_>>(), ["a"]);
    }
    refused(
        &place.torch(&outer(&[inner("student"), inner("teacher"), number("epoch")])),
        &["student (a dict), teacher (a dict), epoch (the number 3)", "torch.load(file)[\"student\"]"],
    );
    refused(&place.torch(&outer(&[inner("optimizer")])), &["optimizer (a dict)", "Re-save"]);
    let long = "k".repeat(1 << 20);
    refused(&place.torch(&outer(&[number(&long)])), &["kkk..."]);
}

#[test]
fn pytorch_files_from_before_1_6_are_read_whole_or_refused() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/weights/legacy.bin");
    let whole = fs::read(golden).expect("a file");
    let place = Place::new();
    assert_eq!(open(&place.write("a", &whole)).format(), WeightFormat::Pytorch);
    for n in [whole.len() - 1, whole.len() - 9, whole.len() / 2, 60] {
        refused(&place.write("a", &whole[..n]), &["cut short"]);
    }
    refused(&place.write("a", &[&whole[..], b"x"].concat()), &["more follows"]);
    let big = whole.iter().position(|byte| *byte == 0x88).expect("little_endian is true");
    let mut turned = whole.clone();
    turned[big] = 0x89;
    refused(&place.write("a", &turned), &["big-endian"]);
    refused(&place.write("a", b"\x80\x02}."), &["a pickle that is not of PyTorch"]);
}

#[test]
fn an_index_gathers_its_files() {
    let place = Place::new();
    place.safetensors("one.safetensors", &[("a", &[1.0, 2.0]), ("b", &[3.0])]);
    place.safetensors("two.safetensors", &[("c", &[4.0])]);
    let index = |map: &str| {
        place.write(
            "model.safetensors.index.json",
            format!("{{\"metadata\":{{\"total_size\":16}},\"weight_map\":{map}}}").as_bytes(),
        )
    };
    let (one, two) = ("one.safetensors", "two.safetensors");
    let path = index(&format!(r#"{{"a":"{one}","b":"{one}","c":"{two}"}}"#));
    let file = open(&path);
    assert_eq!(file.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!((values(&file, "a"), values(&file, "c")), (vec![1.0, 2.0], vec![4.0]));
    assert_eq!(WeightFile::files_of_index(&path).expect("an index"), Some(vec![one.to_string(), two.to_string()]));
    assert_eq!(WeightFile::files_of_index(&place.path(one)).expect("a file"), None);
    // PyTorch's files in the same way.
    let torch = place.torch(&seed("plain2.pkl"));
    fs::rename(torch, place.path("part.bin")).expect("moves");
    holds_the_model(&open(&index(r#"{"w":"part.bin","b":"part.bin"}"#)), "an index of PyTorch's files");
    for (map, parts) in [
        (
            r#"{"a":"one.safetensors","c":"three.safetensors"}"#,
            &["2 files", "1 of them missing: three.safetensors"][..],
        ),
        (r#"{"a":"one.safetensors","d":"two.safetensors"}"#, &["two.safetensors", "promises", "missing: d"]),
        (r#"{"a":"one.safetensors","a":"two.safetensors"}"#, &["`a` twice"]),
        (r#"{"a":"../one.safetensors"}"#, &["files beside the index", "../one.safetensors"]),
        (r#"{"a":"/etc/passwd"}"#, &["files beside the index"]),
        (r#"{"a":"model.safetensors.index.json"}"#, &["model.safetensors.index.json", "JSON"]),
        ("{}", &["at least one tensor"]),
        ("[]", &["an index of weight files"]),
    ] {
        refused(&index(map), parts);
    }
    place.safetensors(two, &[("c", &[4.0]), ("a", &[5.0])]);
    refused(&index(&format!(r#"{{"b":"{one}","c":"{two}"}}"#)), &["`a` a second time"]);
}

/// A map of the file would end the program with a signal here.
#[test]
fn a_file_that_changes_while_it_is_open_gives_an_error() {
    let place = Place::new();
    for cut in [true, false] {
        let numbers: Vec<f32> = (0..100_000).map(|n| n as f32).collect();
        let path = place.safetensors("a.safetensors", &[("a", &numbers), ("b", &numbers)]);
        let file = open(&path);
        assert_eq!(values(&file, "b"), numbers);
        if cut {
            fs::File::options().write(true).open(&path).and_then(|file| file.set_len(1000)).expect("cuts");
        } else {
            std::thread::sleep(std::time::Duration::from_millis(20));
            place.write("a.safetensors", &vec![0; fs::metadata(&path).expect("a file").len() as usize]);
        }
        let error = file.get("b", &Device::Cpu).expect_err("another file").to_string();
        assert!(error.contains("a.safetensors") && error.contains("as it was when it was opened"), "{error}");
    }
    // A file that is replaced, as downloads are, stays what it was.
    let path = place.safetensors("a.safetensors", &[("a", &[1.0])]);
    let file = open(&path);
    place.safetensors("b.safetensors", &[("a", &[2.0])]);
    fs::rename(place.path("b.safetensors"), &path).expect("moves");
    assert_eq!(values(&file, "a"), [1.0]);
}

#[test]
fn safetensors_headers_name_each_tensor_once() {
    let place = Place::new();
    let file = |header: &str, data: &[u8]| {
        place.write("a.safetensors", &[&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat())
    };
    let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    refused(&file(twice, &[0; 4]), &["`a` twice"]);
    // Floats of eight bits; what they are worth, by hand.
    let all: Vec<u8> = (0..=255).collect();
    let eight = |kind: &str| format!(r#"{{"a":{{"dtype":"{kind}","shape":[16,16],"data_offsets":[0,256]}}}}"#);
    for (kind, worth) in [
        (
            "F8_E4M3",
            &[
                (0x00, 0.0),
                (0x01, 2f32.powi(-9)),
                (0x07, 7.0 * 2f32.powi(-9)),
                (0x08, 2f32.powi(-6)),
                (0x38, 1.0),
                (0x39, 1.125),
                (0x7e, 448.0),
                (0xfe, -448.0),
            ][..],
        ),
        (
            "F8_E5M2",
            &[
                (0x00, 0.0),
                (0x01, 2f32.powi(-16)),
                (0x04, 2f32.powi(-14)),
                (0x3c, 1.0),
                (0x3d, 1.25),
                (0x7b, 57344.0),
                (0x7c, f32::INFINITY),
                (0xfc, f32::NEG_INFINITY),
            ],
        ),
    ] {
        let file = open(&file(&eight(kind), &all));
        assert_eq!(file.dtype("a").expect("a type"), DType::F32);
        let read = values(&file, "a");
        assert_eq!(read.len(), 256);
        for (byte, value) in worth {
            assert_eq!(read[*byte as usize], *value, "{kind} {byte:#x}");
        }
        assert!(read[0x7f].is_nan() && read[0xff].is_nan(), "{kind}");
        assert!(read[0x80] == 0.0 && read[0x80].is_sign_negative(), "{kind}");
        // Between NaN and NaN the numbers rise.
        assert!(read[..0x7c].windows(2).all(|pair| pair[0] < pair[1]), "{kind}");
    }
    let long = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    refused(&place.write("long.safetensors", &long), &["header would have 18446744073709551615 bytes"]);
    let file = open(&file(&eight("F8_E8M0"), &all));
    assert!(file.get("a", &Device::Cpu).expect_err("no such type").to_string().contains("F8_E8M0"));
}

#[test]
fn a_number_that_is_not_finite_is_refused_with_its_tensor() {
    let place = Place::new();
    let scheme = Scheme {
        publisher: "test",
        prefixes: &[""],
        published: |name| vec![name.to_string()],
        ignored: |name| name == "mask",
    };
    let parameters = [Parameter::new("head.weight", [200_000]), Parameter::new("norm.bias", [2])];
    let read = |weight: &[f32], bias: &[f32], dtype: DType| {
        let tensor =
            |values: &[f32]| Tensor::new(values, &Device::Cpu).expect("a tensor").to_dtype(dtype).expect("cast");
        let mask = tensor(&[f32::NEG_INFINITY, 0.0]);
        let tensors = [("head.weight", tensor(weight)), ("norm.bias", tensor(bias)), ("mask", mask)];
        let path = place.write("model.safetensors", &safetensors::serialize(tensors, None).expect("a file"));
        assemble(&open(&path), &parameters, &[scheme], DType::F32, &Device::Cpu).map_err(|error| error.to_string())
    };
    for dtype in [DType::F32, DType::F16, DType::BF16, DType::F64] {
        let good = vec![0.5; 200_000];
        assert!(read(&good, &[-1.0, 2.0], dtype).is_ok(), "{dtype:?}: a tensor that is not read does not matter");
        for (place, value, said) in
            [(0, f32::NAN, "NaN"), (199_999, f32::INFINITY, "inf"), (70_000, -f32::INFINITY, "-inf")]
        {
            let mut bad = good.clone();
            bad[place] = value;
            let error = read(&bad, &[-1.0, 2.0], dtype).expect_err("is refused");
            let expected =
                format!("tensor `head.weight` of finite numbers, found 1 of 200000 that are not, the first {said}");
            assert!(error.contains("model.safetensors") && error.contains(&expected), "{dtype:?}: {error}");
        }
        let error = read(&good, &[f32::NAN, f32::NAN], dtype).expect_err("is refused");
        assert!(error.contains("tensor `norm.bias` of finite numbers, found 2 of 2"), "{dtype:?}: {error}");
    }
}
