//! Weight files as PyTorch and safetensors write them (made by `tests/reference/weights.py`), and what is none.

use std::fs;
use std::path::{Path, PathBuf};
use wider_clip::candle_core::{DType, Device, Tensor};
use wider_clip::models::{WeightFile, WeightFormat};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/weights").join(name)
}

fn open(name: &str) -> WeightFile {
    WeightFile::open(&golden(name)).unwrap_or_else(|error| panic!("{error}"))
}

fn error_of(path: &Path) -> String {
    match WeightFile::open(path) {
        Ok(_) => panic!("{} opens", path.display()),
        Err(error) => error.to_string(),
    }
}

/// The error names the file and says each of `parts`.
fn refused(path: &Path, parts: &[&str]) {
    let error = error_of(path);
    for part in parts.iter().copied().chain([path.display().to_string().as_str()]) {
        assert!(error.contains(part), "{error}\nlacks\n{part}");
    }
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).and_then(|t| t.flatten_all()?.to_vec1()).expect("numbers")
}

fn get(file: &WeightFile, name: &str) -> Tensor {
    file.get(name, &Device::Cpu).unwrap_or_else(|error| panic!("{error}"))
}

/// Element i of every tensor that the script makes, before it takes views.
fn element(i: usize, dtype: DType) -> f64 {
    let whole = (i * 7 % 23) as f64 - 11.0;
    if dtype.is_float() { whole / 4.0 } else { whole }
}

#[test]
fn types_are_kept_in_both_formats() {
    for (name, format) in [("typed.safetensors", WeightFormat::Safetensors), ("typed.bin", WeightFormat::Pytorch)] {
        let file = open(name);
        assert_eq!(file.format(), format);
        let names: Vec<&str> = file.names().collect();
        let all = ["bf16", "bool", "empty", "f16", "f32", "f64", "i16", "i32", "i64", "scalar", "u8"];
        assert_eq!(names, all, "{name}");
        for (tensor, dtype) in [
            ("f16", DType::F16),
            ("bf16", DType::BF16),
            ("f32", DType::F32),
            ("f64", DType::F64),
            ("i16", DType::I16),
            ("i32", DType::I32),
            ("i64", DType::I64),
        ] {
            assert_eq!(file.dtype(tensor).expect("a type"), dtype, "{name} {tensor}");
            assert_eq!(file.shape(tensor).expect("a shape"), [3, 4], "{name} {tensor}");
            let value = get(&file, tensor);
            assert_eq!((value.dtype(), value.dims()), (dtype, &[3, 4][..]), "{name} {tensor}");
            let expected: Vec<f64> = (0..12).map(|i| element(i, dtype)).collect();
            // candle's CPU backend has no cast from i16 and i32 to f64.
            let found = match dtype {
                DType::I16 => value
                    .flatten_all()
                    .expect("flat")
                    .to_vec1::<i16>()
                    .expect("i16")
                    .into_iter()
                    .map(f64::from)
                    .collect(),
                DType::I32 => value
                    .flatten_all()
                    .expect("flat")
                    .to_vec1::<i32>()
                    .expect("i32")
                    .into_iter()
                    .map(f64::from)
                    .collect(),
                _ => numbers(&value),
            };
            assert_eq!(found, expected, "{name} {tensor}");
        }
        let scalar = get(&file, "scalar");
        assert_eq!((scalar.dims(), scalar.to_scalar::<f32>().expect("a scalar")), (&[][..], 2.5));
        assert_eq!(get(&file, "empty").dims(), [0, 3]);
        assert_eq!(get(&file, "bool").to_vec1::<u8>().expect("u8"), [1, 0, 1]);
        assert_eq!(get(&file, "u8").to_vec1::<u8>().expect("u8"), [1, 200, 255]);
    }
}

/// safetensors holds every view as a tensor of its own; the PyTorch file holds offsets and strides.
#[test]
fn views_and_shared_storages_are_read_right() {
    let (views, copies) = (open("views.bin"), open("views.safetensors"));
    let names: Vec<&str> = views.names().collect();
    assert_eq!(names, copies.names().collect::<Vec<_>>());
    assert_eq!(names.len(), 12);
    for name in names {
        let (found, expected) = (get(&views, name), get(&copies, name));
        assert_eq!(found.dims(), expected.dims(), "{name}");
        assert_eq!(found.dims(), views.shape(name).expect("a shape"), "{name}");
        assert_eq!(found.dtype(), expected.dtype(), "{name}");
        assert!(found.is_contiguous(), "{name}");
        assert_eq!(numbers(&found), numbers(&expected), "{name}");
    }
    // Two by hand, from the script's formula: row 3, column 5 of base[:, 1:4, 2:5] and a column-major 5 x 3.
    let columns = get(&views, "columns").to_vec3::<f32>().expect("numbers");
    assert_eq!(f64::from(columns[3][2][1]), element((3 * 5 + 3) * 6 + 3, DType::F32));
    let transposed = get(&views, "transposed").to_vec2::<f32>().expect("numbers");
    assert_eq!(f64::from(transposed[4][1]), element(5 + 4, DType::F32));
}

#[test]
fn a_state_dict_is_found_alone_and_nested() {
    let module = open("module.bin");
    let expected: Vec<&str> = module.names().collect();
    assert_eq!(
        expected,
        [
            "0.bias",
            "0.weight",
            "1.bias",
            "1.num_batches_tracked",
            "1.running_mean",
            "1.running_var",
            "1.weight",
            "2.bias",
            "2.weight"
        ]
    );
    assert_eq!(module.dtype("1.num_batches_tracked").expect("a type"), DType::I64);
    assert_eq!(numbers(&get(&module, "1.num_batches_tracked")), [-11.0]);
    // Beside the last lies an object, which is not looked at.
    for name in ["state_dict.bin", "model.bin", "namespace_beside.bin"] {
        let file = open(name);
        assert_eq!(file.names().collect::<Vec<_>>(), expected, "{name}");
        for tensor in &expected {
            assert_eq!(numbers(&get(&file, tensor)), numbers(&get(&module, tensor)), "{name} {tensor}");
        }
    }
}

#[test]
fn what_is_not_a_tensor_is_named() {
    for (name, parts) in [
        ("number_inside.bin", &["entry `epoch` to be a tensor", "the number 3", "Re-save the state dict"][..]),
        ("object_inside.bin", &["entry `helper`", "argparse.Namespace"]),
        ("sparse.bin", &["entry `b`", "torch._utils._rebuild_sparse_tensor"]),
        ("two_models.bin", &["`state_dict` or `model`", "student (a dict)", "teacher (a dict)"]),
        ("whole_module.bin", &["a dict of tensors", "torch.nn.modules.linear.Linear", "state_dict()"]),
        ("list.bin", &["a dict of tensors", "found a list"]),
    ] {
        refused(&golden(name), parts);
    }
    // A type that candle lacks bothers only who asks for it.
    let file = open("complex.bin");
    assert_eq!(numbers(&get(&file, "a")), [-2.75, -1.0]);
    assert_eq!(file.shape("b").expect("a shape"), [2]);
    let error = file.get("b", &Device::Cpu).expect_err("complex").to_string();
    assert!(error.contains("tensor `b`") && error.contains("ComplexFloatStorage"), "{error}");
    let error = file.get("c", &Device::Cpu).expect_err("unknown").to_string();
    assert!(error.contains("a tensor called `c`") && error.contains("2 others, such as a, b"), "{error}");
}

#[test]
fn other_forms_of_pytorch_files_say_what_to_do() {
    for (name, parts) in [
        ("torchscript.bin", &["TorchScript", "state_dict()"][..]),
        ("big_endian.bin", &["little-endian", "big-endian"]),
        ("compressed.bin", &["compressed"]),
    ] {
        refused(&golden(name), parts);
    }
}

#[test]
fn older_and_newer_forms_of_pytorch_files_are_read() {
    for name in ["legacy.bin", "protocol4.bin"] {
        let file = open(name);
        assert_eq!(file.format(), WeightFormat::Pytorch, "{name}");
        assert_eq!(file.names().collect::<Vec<_>>(), ["a"], "{name}");
        assert_eq!(numbers(&get(&file, "a")), [-2.75, -1.0], "{name}");
    }
}

#[test]
fn a_file_that_is_cut_short_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("weights");
    let whole = fs::read(golden("typed.safetensors")).expect("reads");
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().expect("8 bytes")) as usize;
    for n in [9, header - 1, header, header + 1, whole.len() - 1] {
        fs::write(&place, &whole[..n]).expect("writes");
        refused(&place, &["cut short", "download it again", &n.to_string()]);
    }
    fs::write(&place, [whole.as_slice(), b"x"].concat()).expect("writes");
    refused(&place, &[&format!("{} bytes, by its header", whole.len()), "more follows"]);
    let zip = fs::read(golden("views.bin")).expect("reads");
    for n in [4, 100, zip.len() / 2, zip.len() - 1] {
        fs::write(&place, &zip[..n]).expect("writes");
        refused(&place, &["cut short"]);
    }
    // Neither name nor ending matters.
    for (bytes, format) in [(whole, WeightFormat::Safetensors), (zip, WeightFormat::Pytorch)] {
        fs::write(&place, bytes).expect("writes");
        assert_eq!(WeightFile::open(&place).expect("opens").format(), format);
    }
}

#[test]
fn a_header_that_lies_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("model.safetensors");
    let with_header = |header: &str, data: usize| {
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat();
        fs::write(&place, bytes).expect("writes");
    };
    with_header(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 8);
    assert_eq!(numbers(&get(&WeightFile::open(&place).expect("opens"), "a")), [0.0, 0.0]);
    for (header, data) in [
        (r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8),
        (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12),
        (r#"{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}"#, 8),
        (r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#, 0),
        (r#"{"a":{"dtype":"F32""#, 0),
    ] {
        with_header(header, data);
        refused(&place, &["a safetensors header that is consistent"]);
    }
    with_header("{}", 0);
    refused(&place, &["at least one tensor"]);
    with_header(r#"{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}"#, 2);
    let file = WeightFile::open(&place).expect("opens");
    assert!(file.dtype("a").expect_err("candle has no i8").to_string().contains("found I8"));
}

/// A storage that is shorter than the pickle says must be an error when the file is opened, not a panic later.
#[test]
fn a_pickle_that_lies_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("model.bin");
    let tensor = |name: &str, file: &str, shape: [i32; 2], stride: [i32; 2]| {
        let int = |n: i32| [b"J".to_vec(), n.to_le_bytes().to_vec()].concat();
        let text = |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
        let pair = |[a, b]: [i32; 2]| [int(a), int(b), vec![0x86]].concat();
        [
            text(name),
            b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
            text("storage"),
            b"ctorch\nFloatStorage\n".to_vec(),
            text(file),
            text("cpu"),
            int(6),
            b"tQ".to_vec(),
            int(0),
            pair(shape),
            pair(stride),
            // requires_grad, backward_hooks
            b"\x89NtRs".to_vec(),
        ]
        .concat()
    };
    let write = |tensors: &[Vec<u8>]| {
        let pickle = [&b"\x80\x02}"[..], &tensors.concat(), b"."].concat();
        let mut zip = zip::ZipWriter::new(fs::File::create(&place).expect("a file"));
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, bytes) in [("m/data.pkl", pickle), ("m/data/0", vec![0; 24])] {
            zip.start_file(name, stored).expect("a file");
            std::io::Write::write_all(&mut zip, &bytes).expect("writes");
        }
        zip.finish().expect("a zip");
    };
    write(&[tensor("a", "0", [2, 3], [3, 1])]);
    assert_eq!(get(&WeightFile::open(&place).expect("opens"), "a").dims(), [2, 3]);
    for (file, shape, stride, found) in [
        ("0", [2, 4], [4, 1], "24 bytes"),
        ("0", [2, 3], [4, 1], "24 bytes"),
        ("0", [i32::MAX, i32::MAX], [i32::MAX, i32::MAX], "24 bytes"),
        ("1", [2, 3], [3, 1], "no such storage"),
        ("../data.pkl", [2, 3], [3, 1], "no such storage"),
    ] {
        write(&[tensor("a", file, shape, stride)]);
        refused(&place, &["tensor `a`", found]);
    }
    write(&[tensor("a", "0", [2, -3], [3, 1])]);
    refused(&place, &["`state_dict` or `model`"]);
    write(&[tensor("a", "0", [2, 3], [3, 1]), tensor("a", "0", [2, 2], [2, 1])]);
    refused(&place, &["one tensor a name", "`a` twice"]);
}

#[test]
fn what_is_no_weights_file_is_recognised() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("pytorch_model.bin");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 605247071\n";
    let mut tar = vec![b'x'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    for (bytes, parts) in [
        (pointer.as_bytes(), &["git-lfs pointer", "605247071", "git lfs pull"][..]),
        (b"<!DOCTYPE html>\n<html><body>Log in</body></html>", &["a web page", "download again"]),
        (b"  <html>", &["a web page"]),
        (b"<?xml version='1.0'?><Error>AccessDenied</Error>", &["markup"]),
        (b"{\"error\": \"Repository not found\"}", &["JSON"]),
        (b"", &["an empty file"]),
        (b"\x89HDF\r\n\x1a\n", &["HDF5"]),
        (b"\x1f\x8b\x08\x00", &["gzip"]),
        (&tar, &["tar archive"]),
        (b"\x93NUMPY\x01\x00v\x00", &["first bytes `\\x93NUMPY"]),
        (b"ab", &["first bytes `ab`"]),
    ] {
        fs::write(&place, bytes).expect("writes");
        refused(&place, &[&["a safetensors file, or a zip archive of torch.save"], parts].concat());
    }
    refused(folder.path(), &["a folder"]);
    let missing = folder.path().join("none");
    refused(&missing, &["opening failed"]);
    let mut zip = zip::ZipWriter::new(fs::File::create(&place).expect("a file"));
    zip.start_file("weight.npy", zip::write::SimpleFileOptions::default()).expect("a file");
    zip.finish().expect("a zip");
    refused(&place, &["without data.pkl"]);
}
