//! The CUDA kernels. Without a GPU: their arithmetic, compiled for the processor by a C++ compiler and launched by the
//! plan of `src/backbones/ops/cuda/plan.rs`, against PyTorch's values; with the feature `cuda` also the code that launches them.
//! With a GPU, and the feature: the operations against the processor's, and whole backbones against PyTorch.

#[path = "golden/backbones/mod.rs"]
mod golden;
#[allow(dead_code)]
#[path = "../src/backbones/ops/cuda/plan.rs"]
mod plan;
#[path = "support/require.rs"]
mod require;

use candle_core::{Device, Tensor};
use golden::relative;
use plan::{Convolution, Launch};
use require::{cxx, require};
use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use wider_clip::error::Result;
use wider_clip::ops::{Activation, activate, to_channels_last};

/// A case of `tests/golden/ops/depthwise.safetensors`, channels last.
#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
struct Case {
    name: String,
    convolution: Convolution,
    bottom: usize,
    right: usize,
    /// x, g, y, gx (B, H, W, C); w, gw (C, 1, K, K).
    tensors: HashMap<&'static str, Tensor>,
}

fn cases() -> Result<Vec<Case>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ops/depthwise.safetensors");
    let golden = candle_core::safetensors::load(path, &Device::Cpu)?;
    let names: BTreeSet<_> = golden.keys().filter_map(|name| name.split_once('.')).map(|(name, _)| name).collect();
    let mut cases = Vec::new();
    for name in names {
        let mut tensors = HashMap::new();
        for part in ["x", "g", "y", "gx"] {
            tensors.insert(part, to_channels_last(&golden[&format!("{name}.{part}")])?);
        }
        for part in ["w", "gw"] {
            tensors.insert(part, golden[&format!("{name}.{part}")].clone());
        }
        let spec = golden[&format!("{name}.spec")].to_vec1::<i64>()?;
        let [stride, top, bottom, left, right] = [0, 1, 2, 3, 4].map(|i| spec[i] as usize);
        let (batch, height, width, channels) = tensors["x"].dims4()?;
        let (_, rows, columns, _) = tensors["y"].dims4()?;
        let (kernel, input, output) = (tensors["w"].dim(2)?, (height, width), (rows, columns));
        let convolution = Convolution { batch, channels, kernel, stride, top, left, input, output };
        cases.push(Case { name: name.to_string(), convolution, bottom, right, tensors });
    }
    assert_eq!(cases.len(), 9);
    Ok(cases)
}

/// A file of `tests/cuda_host`, compiled into `folder`; `None` where there is no C++ compiler.
#[track_caller]
fn compile(folder: &Path, source: &str, more: &[&str]) -> Option<PathBuf> {
    if !require("c++") {
        return None;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda_host").join(source);
    let made = folder.join("made");
    let mut command = Command::new(cxx());
    command.args(["-std=c++17", "-O1", "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Werror"]).args(more);
    let output = command.arg("-o").arg(&made).arg(source).output().expect("it told its version");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(made)
}

/// One launch on the processor.
fn on_host(program: &Path, launch: &Launch, inputs: [Option<&Tensor>; 3], output: &[usize]) -> Result<Tensor> {
    let s = &launch.sizes;
    let sizes = [
        s.batch,
        s.channels,
        s.kernel,
        s.stride,
        s.top,
        s.left,
        s.in_height,
        s.in_width,
        s.out_height,
        s.out_width,
        s.flip,
        s.activation,
        s.workers,
    ];
    let mut bytes = Vec::new();
    for input in inputs {
        let values = match input {
            Some(tensor) => tensor.flatten_all()?.to_vec1::<f32>()?,
            None => Vec::new(),
        };
        bytes.extend((values.len() as i64).to_ne_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_ne_bytes()));
    }
    let length: usize = output.iter().product();
    bytes.extend((length as i64).to_ne_bytes());
    let mut child = Command::new(program)
        .arg(launch.kernel)
        .args([launch.grid.0, launch.grid.1].map(|n| n.to_string()))
        .args(sizes.map(|n| n.to_string()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was just compiled");
    child.stdin.take().expect("piped").write_all(&bytes).expect("it reads all of its input first");
    let done = child.wait_with_output().expect("it ends");
    assert!(done.status.success(), "{launch:?}: {}", String::from_utf8_lossy(&done.stderr));
    let values: Vec<f32> = done.stdout.as_chunks().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect();
    Ok(Tensor::from_vec(values, output, &Device::Cpu)?)
}

#[test]
fn the_kernels_arithmetic_equals_pytorch() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder for the program");
    let Some(program) = compile(folder.path(), "program.cpp", &[]) else { return Ok(()) };
    let mut kernels = BTreeSet::new();
    let mut run = |launch: &Launch, inputs: [Option<&Tensor>; 3], output: &[usize]| {
        kernels.insert(launch.kernel);
        on_host(&program, launch, inputs, output)
    };
    for case in cases()? {
        let c = &case.convolution;
        let [x, w, g, y, gx, gw] = ["x", "w", "g", "y", "gx", "gw"].map(|part| &case.tensors[part]);
        let found = run(&c.forward(0).expect("small"), [Some(x), Some(w), None], y.dims())?;
        let off = relative(&found, y);
        assert!(off < 1e-5, "{}: y differs by {off}", case.name);
        let found = run(&c.input_gradient().expect("small"), [Some(g), Some(w), None], gx.dims())?;
        let off = relative(&found, gx);
        assert!(off < 1e-5, "{}: gradient of x differs by {off}", case.name);
        // As planned, where each worker has one strip at most, and with so few that each has many.
        for few in [false, true] {
            let mut launches = c.kernel_gradient().expect("small");
            if few {
                launches.iter_mut().for_each(|launch| launch.sizes.workers = launch.sizes.workers.min(3));
            }
            let [sum, add] = &launches;
            let sums = [sum.sizes.workers as usize, c.kernel * c.kernel, c.channels];
            let sums = run(sum, [Some(g), Some(x), None], &sums)?;
            let off = relative(&run(add, [Some(&sums), None, None], gw.dims())?, gw);
            assert!(off < 1e-5, "{}: gradient of w differs by {off}, few workers: {few}", case.name);
        }
    }
    let wanted = ["forward_k3s1", "forward_k3s2", "forward_k5s1", "forward_k5s2", "forward_k7s1", "forward_any"];
    assert!(wanted.iter().all(|name| kernels.contains(name)), "kernels seen: {kernels:?}");
    assert_eq!(kernels.len(), 2 * wanted.len() + 2, "kernels seen: {kernels:?}");
    Ok(())
}

#[test]
fn bias_and_activation_follow_the_sum() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder for the program");
    let Some(program) = compile(folder.path(), "program.cpp", &[]) else { return Ok(()) };
    // The numbers of the kernels, in their order.
    let all = [
        Activation::Identity,
        Activation::Relu6,
        Activation::Silu,
        Activation::Gelu,
        Activation::QuickGelu,
        Activation::Sigmoid,
    ];
    // One with a kernel of its own, one without.
    for case in cases()?.iter().filter(|case| ["k3", "k2_uneven"].contains(&case.name.as_str())) {
        let [x, w, y] = ["x", "w", "y"].map(|part| &case.tensors[part]);
        let b = (Tensor::arange(0f32, case.convolution.channels as f32, &Device::Cpu)? * 0.25)?;
        for (number, activation) in all.into_iter().enumerate() {
            let launch = case.convolution.forward(number as i32).expect("small");
            let found = on_host(&program, &launch, [Some(x), Some(w), Some(&b)], y.dims())?;
            let off = relative(&found, &activate(&y.broadcast_add(&b)?, activation)?);
            assert!(off < 1e-5, "{}, {activation:?}: differs by {off}", case.name);
        }
    }
    Ok(())
}

#[test]
fn sizes_beyond_32_bits_are_refused() {
    let fits = Convolution {
        batch: 64,
        channels: 96,
        kernel: 7,
        stride: 1,
        top: 3,
        left: 3,
        input: (56, 56),
        output: (56, 56),
    };
    let launch = fits.forward(0).expect("ConvNeXt's first stage");
    // 64 images of 56 rows of 8 strips, 8 a block; 96 channels, 32 a block.
    assert_eq!((launch.kernel, launch.grid), ("forward_k7s1", (3584, 3)));
    let [sum, add] = fits.kernel_gradient().expect("ConvNeXt's first stage");
    assert_eq!((sum.sizes.workers, sum.grid, add.grid), (1024, (128, 3), (147, 1)));
    assert!(Convolution { batch: 1 << 40, ..fits }.forward(0).is_none());
    assert!(Convolution { channels: 1 << 22, ..fits }.forward(0).is_none());
    assert!(Convolution { batch: 1 << 23, output: (1 << 12, 1 << 12), ..fits }.forward(0).is_none());
}

#[cfg(feature = "cuda")]
#[path = "cuda_device/mod.rs"]
mod device;
