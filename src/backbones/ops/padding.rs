//! Zero padding of convolutions, symmetric as PyTorch's or uneven as TensorFlow's "SAME".

/// Rows and columns of zeros put around an image before a convolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// The same amount on all four sides.
    pub fn symmetric(amount: usize) -> Self {
        Padding { top: amount, bottom: amount, left: amount, right: amount }
    }

    /// TensorFlow's "SAME" for an image of `height` x `width`: the output has ceil(size / stride) pixels, and an odd
    /// remainder goes below and to the right.
    ///
    /// ```
    /// use wider_clip::ops::Padding;
    /// // 8 pixels, kernel 3, stride 2: four outputs need (4 - 1) * 2 + 3 = 9 pixels, one more than there are.
    /// assert_eq!(Padding::same(8, 8, 3, 2), Padding { top: 0, bottom: 1, left: 0, right: 1 });
    /// assert_eq!(Padding::same(7, 7, 3, 1), Padding::symmetric(1));
    /// ```
    pub fn same(height: usize, width: usize, kernel: usize, stride: usize) -> Self {
        let total = |size: usize| {
            let stride = stride.max(1);
            (size.div_ceil(stride).saturating_sub(1) * stride + kernel).saturating_sub(size)
        };
        let (rows, columns) = (total(height), total(width));
        Padding { top: rows / 2, bottom: rows - rows / 2, left: columns / 2, right: columns - columns / 2 }
    }

    /// Size of a convolution's output along one axis; `None` where the kernel is larger than the padded image.
    pub(super) fn output(size: usize, before: usize, after: usize, kernel: usize, stride: usize) -> Option<usize> {
        Some((size + before + after).checked_sub(kernel)? / stride + 1)
    }
}
