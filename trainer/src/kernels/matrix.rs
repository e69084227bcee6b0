//! Matrix products over borrowed buffers.

/// A view of a matrix: element (i, j) lies at `i * row_stride + j * column_stride`.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// (rows, columns), row-major and without gaps.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::wide(values, rows, columns, columns)
    }

    /// (rows, columns) where each row begins `stride` after the one above.
    pub fn wide(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(fits(values.len(), rows, columns, stride), "a matrix lies within its buffer");
        Self { values, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// The transpose, without moving anything.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Where a product goes: (rows, columns), each row `stride` after the one above.
pub struct Target<'a> {
    values: &'a mut [f32],
    rows: usize,
    columns: usize,
    stride: usize,
    add: bool,
}

impl<'a> Target<'a> {
    /// Overwrites a matrix without gaps.
    pub fn new(values: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::wide(values, rows, columns, columns)
    }

    /// Overwrites the first `columns` of each `stride`.
    pub fn wide(values: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(fits(values.len(), rows, columns, stride), "a matrix lies within its buffer");
        Self { values, rows, columns, stride, add: false }
    }

    /// Adds to what is there, if `add`.
    #[must_use]
    pub fn adding(self, add: bool) -> Self {
        Self { add, ..self }
    }
}

fn fits(len: usize, rows: usize, columns: usize, stride: usize) -> bool {
    rows == 0 || columns == 0 || (columns <= stride && (rows - 1) * stride + columns <= len)
}

/// Who computes a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// The calling thread: for small products inside parallel work.
    One,
    /// All of the current pool.
    All,
}

/// `target` = (or +=) `factor` * `a` (M, K) x `b` (K, N). Every element adds up its K products in one order, whatever the
/// number of threads.
#[expect(
    clippy::needless_pass_by_value,
    reason = "a target is a mutable borrow, which ends with the product"
)]
pub fn multiply(target: Target<'_>, a: Matrix<'_>, b: Matrix<'_>, factor: f32, threads: Threads) {
    assert!(
        a.rows == target.rows && b.columns == target.columns && a.columns == b.rows,
        "shapes of a product agree"
    );
    let parallelism = match threads {
        Threads::One => gemm::Parallelism::None,
        Threads::All => gemm::Parallelism::Rayon(0),
    };
    // SAFETY: the views check on creation that every element that their shape and strides name lies within their
    // buffers; `target` is borrowed mutably, so it overlaps neither `a` nor `b`.
    unsafe {
        gemm::gemm(
            target.rows,
            target.columns,
            a.columns,
            target.values.as_mut_ptr(),
            1,
            target.stride as isize,
            target.add,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            factor,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn products_follow_their_definition_and_no_thread() {
        let mut random = Random::named(1, "matrix");
        for (m, n, k) in [(1, 1, 1), (3, 5, 7), (64, 64, 64), (70, 33, 130), (1, 200, 384), (300, 130, 600)] {
            let (wide_b, wide_t) = (n + 2, n + 1);
            let mut draw = |len| (0..len).map(|_| random.normal() as f32).collect::<Vec<f32>>();
            // `a` is stored transposed (K, M), `b` with gaps.
            let (a, b, before) = (draw(k * (m + 3)), draw(k * wide_b), draw(m * wide_t));
            let run = |threads: usize, add: bool| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut out = before.clone();
                pool.install(|| {
                    multiply(
                        Target::wide(&mut out, m, n, wide_t).adding(add),
                        Matrix::wide(&a, k, m, m + 3).transposed(),
                        Matrix::wide(&b, k, n, wide_b),
                        0.5,
                        Threads::All,
                    );
                });
                out
            };
            for add in [false, true] {
                let out = run(1, add);
                assert!(out == run(2, add) && out == run(3, add), "{m} {n} {k}");
                for i in 0..m {
                    for j in 0..wide_t {
                        let at = i * wide_t + j;
                        if j == n {
                            assert_eq!(out[at].to_bits(), before[at].to_bits(), "gaps stay");
                            continue;
                        }
                        let product: f64 = (0..k)
                            .map(|d| f64::from(a[d * (m + 3) + i]) * f64::from(b[d * wide_b + j]))
                            .sum();
                        let expected = 0.5 * product + if add { f64::from(before[at]) } else { 0.0 };
                        assert!((f64::from(out[at]) - expected).abs() < 1e-4, "{} {expected}", out[at]);
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "within its buffer")]
    fn views_beyond_their_buffer_are_refused() {
        let _ = Matrix::wide(&[0.0; 11], 3, 4, 4);
    }
}
