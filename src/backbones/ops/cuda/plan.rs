//! How the kernels of `depthwise.cuh` are launched: which one, on what grid, with what sizes.
//!
//! Plain arithmetic that knows no GPU: `tests/cuda.rs` includes this file and runs its launches on the processor.

/// Threads of a block: channels, strips. `LANES` and `ROWS` of the kernels.
pub const BLOCK: (u32, u32) = (32, 8);

/// Pixels of a strip, `STRIP` of the kernels.
const STRIP: usize = 7;

/// Kernel sizes and strides with kernels of their own.
const OWN: [(usize, usize, [&str; 2]); 5] = [
    (3, 1, ["forward_k3s1", "kernel_gradient_k3s1"]),
    (3, 2, ["forward_k3s2", "kernel_gradient_k3s2"]),
    (5, 1, ["forward_k5s1", "kernel_gradient_k5s1"]),
    (5, 2, ["forward_k5s2", "kernel_gradient_k5s2"]),
    (7, 1, ["forward_k7s1", "kernel_gradient_k7s1"]),
];

/// Threads that the kernel's gradient is spread over, about: they fill a large GPU, and their partial sums take 20 MB
/// at most with 7 x 7 taps.
const GRADIENT_THREADS: usize = 96 * 1024;

/// A depthwise convolution of (B, H, W, C).
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    pub batch: usize,
    pub channels: usize,
    pub kernel: usize,
    pub stride: usize,
    /// Rows of zeros above the input.
    pub top: usize,
    /// Columns of zeros to its left.
    pub left: usize,
    /// (height, width) of the input.
    pub input: (usize, usize),
    /// (height, width) of the output.
    pub output: (usize, usize),
}

/// What a kernel is told; field by field `Sizes` of `depthwise.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub batch: i32,
    pub channels: i32,
    pub kernel: i32,
    pub stride: i32,
    pub top: i32,
    pub left: i32,
    pub in_height: i32,
    pub in_width: i32,
    pub out_height: i32,
    pub out_width: i32,
    pub flip: i32,
    pub activation: i32,
    pub workers: i32,
}

/// One launch; blocks are [`BLOCK`].
#[derive(Clone, Copy, Debug)]
pub struct Launch {
    /// The kernel's name without its type.
    pub kernel: &'static str,
    /// Blocks along x and y.
    pub grid: (u32, u32),
    pub sizes: Sizes,
}

impl Convolution {
    /// x, w, b to y. `None` where a size does not fit the kernels' 32 bits, here and below.
    pub fn forward(&self, activation: i32) -> Option<Launch> {
        let sizes = Sizes { activation, ..self.sizes()? };
        let (kernel, strip) = match self.own() {
            Some([forward, _]) => (forward, STRIP),
            None => ("forward_any", 1),
        };
        self.over_channels(kernel, self.strips(self.output, strip), sizes)
    }

    /// Gradient of y and w to that of x. With stride 1 it is a forward pass: gradient, w, no b.
    pub fn input_gradient(&self) -> Option<Launch> {
        if self.stride > 1 {
            return self.over_channels("input_gradient_any", self.strips(self.input, 1), self.sizes()?);
        }
        let turned = Convolution { input: self.output, output: self.input, ..*self };
        let before = |padding: usize| i32::try_from(self.kernel as i64 - 1 - padding as i64).ok();
        let launch = turned.forward(0)?;
        let sizes = Sizes { top: before(self.top)?, left: before(self.left)?, flip: 1, ..launch.sizes };
        Some(Launch { sizes, ..launch })
    }

    /// Gradient of y and x to sums of (workers, K * K, C) values, and these to the gradient of w.
    pub fn kernel_gradient(&self) -> Option<[Launch; 2]> {
        let taps = self.kernel * self.kernel;
        let (kernel, strip, threads) = match self.own() {
            Some([_, gradient]) => (gradient, STRIP, 1),
            None => ("kernel_gradient_any", 1, taps),
        };
        let strips = self.strips(self.output, strip)?;
        let workers = (GRADIENT_THREADS / self.channels.max(1)).clamp(1, strips.max(1));
        let sizes = Sizes { workers: i32::try_from(workers).ok()?, ..self.sizes()? };
        let columns = taps * self.channels;
        let grid = (u32::try_from(columns.div_ceil(BLOCK.0 as usize)).ok()?, 1);
        let add = Launch { kernel: "add_workers", grid, sizes };
        Some([self.over_channels(kernel, workers.checked_mul(threads), sizes)?, add])
    }

    fn own(&self) -> Option<[&'static str; 2]> {
        OWN.iter().find(|(kernel, stride, _)| (*kernel, *stride) == (self.kernel, self.stride)).map(|own| own.2)
    }

    fn strips(&self, (height, width): (usize, usize), strip: usize) -> Option<usize> {
        self.batch.checked_mul(height)?.checked_mul(width.div_ceil(strip))
    }

    /// A grid of so many strips by all channels, within CUDA's limits.
    fn over_channels(&self, kernel: &'static str, strips: Option<usize>, sizes: Sizes) -> Option<Launch> {
        let along = i32::try_from(strips?.div_ceil(BLOCK.1 as usize)).ok()?;
        let blocks = u16::try_from(self.channels.div_ceil(BLOCK.0 as usize)).ok()?;
        Some(Launch { kernel, grid: (along.unsigned_abs(), u32::from(blocks)), sizes })
    }

    fn sizes(&self) -> Option<Sizes> {
        let fit = |size: usize| i32::try_from(size).ok().filter(|&size| size < 1 << 24);
        Some(Sizes {
            batch: fit(self.batch)?,
            channels: fit(self.channels)?,
            kernel: fit(self.kernel).filter(|&kernel| kernel < 1 << 12)?,
            stride: fit(self.stride)?,
            top: fit(self.top)?,
            left: fit(self.left)?,
            in_height: fit(self.input.0)?,
            in_width: fit(self.input.1)?,
            out_height: fit(self.output.0)?,
            out_width: fit(self.output.1)?,
            flip: 0,
            activation: 0,
            workers: 0,
        })
    }
}
