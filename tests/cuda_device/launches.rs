//! The code that launches the kernels, without a GPU: under the driver of `tests/cuda_host/driver.cpp`, whose device is
//! the processor.

use crate::{cases, compile, relative};
use candle_core::{Device, Tensor, Var};
use std::collections::BTreeSet;
use std::process::Command;
use wider_clip::error::Result;
use wider_clip::models::best_device;
use wider_clip::ops::{Activation, Padding, depthwise_conv2d_nhwc, depthwise_conv2d_nhwc_act};

const NAME: &str = "device::launches::launches_equal_the_processors";

/// Set in the process that runs under the driver.
const UNDER_DRIVER: &str = "WIDER_CLIP_TEST_DRIVER";

#[test]
fn launches_equal_the_processors() -> Result<()> {
    let device = best_device()?;
    if std::env::var_os(UNDER_DRIVER).is_some() {
        assert!(device.is_cuda(), "the driver has one device");
        return compare(&device);
    }
    if device.is_cuda() {
        // The tests beside this one use it.
        return Ok(());
    }
    let folder = tempfile::tempdir().expect("a folder for the driver");
    let Some(driver) = compile(folder.path(), "driver.cpp", &["-shared", "-fPIC"]) else { return Ok(()) };
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", NAME, "--nocapture"])
        .env(UNDER_DRIVER, "1")
        .env("LD_PRELOAD", driver)
        .output()
        .expect("it starts");
    let (said, launched) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}{launched}");
    let kernels: BTreeSet<&str> = launched.lines().filter_map(|line| line.strip_prefix("launched ")).collect();
    for pass in ["forward", "kernel_gradient"] {
        for size in ["k3s1", "k3s2", "k5s1", "k5s2", "k7s1", "any"] {
            assert!(kernels.contains(format!("{pass}_{size}_f32").as_str()), "launched: {kernels:?}");
        }
    }
    assert!(kernels.contains("input_gradient_any_f32") && kernels.contains("add_workers_f32"), "launched: {kernels:?}");
    Ok(())
}

/// Every case on both devices.
fn compare(device: &Device) -> Result<()> {
    for case in cases()? {
        let c = &case.convolution;
        let padding = Padding { top: c.top, bottom: case.bottom, left: c.left, right: case.right };
        let [input, w] = ["x", "w"].map(|part| &case.tensors[part]);
        let b = (Tensor::arange(0f32, c.channels as f32, &Device::Cpu)? * 0.25)?;
        let on = |device: &Device| -> Result<Vec<(&'static str, Tensor)>> {
            let (x, w, b) = (input.to_device(device)?, w.to_device(device)?, b.to_device(device)?);
            // The second half of a batch, which starts inside its memory.
            let half = Tensor::cat(&[&input.neg()?, input], 0)?.to_device(device)?.narrow(0, c.batch, c.batch)?;
            let plain = depthwise_conv2d_nhwc(&half, &w, c.stride, padding)?;
            let fused = depthwise_conv2d_nhwc_act(&half, &w, &b, c.stride, padding, Activation::Gelu)?;
            let empty = depthwise_conv2d_nhwc(&x.narrow(0, 0, 0)?, &w, c.stride, padding)?;
            assert_eq!(empty.dims(), [0, c.output.0, c.output.1, c.channels]);
            let (x, w) = (Var::from_tensor(&x)?, Var::from_tensor(&w)?);
            let y = depthwise_conv2d_nhwc(&x, &w, c.stride, padding)?;
            let gradients = y.backward()?;
            let gradient = |var: &Var| gradients.get(var).expect("a variable").clone();
            let all = [("y", plain), ("fused", fused), ("gx", gradient(&x)), ("gw", gradient(&w))];
            all.into_iter().map(|(what, tensor)| Ok((what, tensor.to_device(&Device::Cpu)?))).collect()
        };
        for ((what, found), (_, expected)) in on(device)?.iter().zip(on(&Device::Cpu)?) {
            let off = relative(found, &expected);
            assert!(off < 1e-5, "{}: {what} differs by {off}", case.name);
        }
    }
    Ok(())
}
