//! One matrix product: the rows of one matrix with the rows of another.

/// Products of all rows of `a` with all rows of `b`, both of `width` numbers a row: as many numbers for each row of `a`
/// as `b` has rows.
pub fn rows_by_rows(a: &[f32], b: &[f32], width: usize) -> Vec<f32> {
    let (m, n) = (a.len() / width, b.len() / width);
    let mut product = vec![0.0f32; m * n];
    let row = width as isize;
    // SAFETY: `a` has m x width numbers, `b` n x width (read by columns), and `product` m x n.
    unsafe {
        matrixmultiply::sgemm(
            m,
            width,
            n,
            1.0,
            a.as_ptr(),
            row,
            1,
            b.as_ptr(),
            1,
            row,
            0.0,
            product.as_mut_ptr(),
            n as isize,
            1,
        );
    }
    product
}

#[cfg(test)]
mod tests {
    #[test]
    fn by_hand() {
        let product = super::rows_by_rows(&[1.0, 2.0, 3.0, 4.0], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], 2);
        assert_eq!(product, [1.0, 2.0, 3.0, 3.0, 4.0, 7.0]);
    }
}
