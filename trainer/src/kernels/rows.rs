//! Row-wise helpers: biases, sums of columns, embeddings.

use rayon::prelude::*;

use crate::kernels::simd::vectorised;

/// Rows that one task handles, and whose sums are added up first. Fixed: results depend on it.
pub const ROWS: usize = 64;

vectorised! {
    fn add_row_block(out: &mut [f32], from: &[f32], bias: &[f32]) {
        for (out, from) in out.chunks_exact_mut(bias.len()).zip(from.chunks_exact(bias.len())) {
            for ((out, &from), &bias) in out.iter_mut().zip(from).zip(bias) {
                *out = from + bias;
            }
        }
    }

    /// `out` += `values`.
    pub fn add(out: &mut [f32], values: &[f32]) {
        for (out, &value) in out.iter_mut().zip(values) {
            *out += value;
        }
    }

    /// Adds each row of `values` to `sums`.
    pub fn add_columns(sums: &mut [f32], values: &[f32]) {
        for row in values.chunks_exact(sums.len()) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

/// Each row of `out` becomes that of `from`, plus `bias` where there is one.
pub fn copy_with_bias(out: &mut [f32], from: &[f32], bias: Option<&[f32]>, width: usize) {
    let blocks = out.par_chunks_mut(ROWS * width).zip(from.par_chunks(ROWS * width));
    match bias {
        Some(bias) => blocks.for_each(|(out, from)| add_row_block(out, from, bias)),
        None => blocks.for_each(|(out, from)| out.copy_from_slice(from)),
    }
}

/// Each row of `out` becomes `bias`.
pub fn fill(out: &mut [f32], bias: &[f32]) {
    out.par_chunks_mut(ROWS * bias.len()).for_each(|out| {
        for row in out.chunks_exact_mut(bias.len()) {
            row.copy_from_slice(bias);
        }
    });
}

/// Sums over the columns of row blocks, on their way to a gradient.
pub struct Partials<'a> {
    values: &'a mut [f32],
    width: usize,
}

impl<'a> Partials<'a> {
    /// Zeros for every block of `rows`, in `buffer`, which grows as needed.
    pub fn new(buffer: &'a mut Vec<f32>, rows: usize, width: usize) -> Self {
        let len = rows.div_ceil(ROWS) * width;
        if buffer.len() < len {
            buffer.resize(len, 0.0);
        }
        let values = &mut buffer[..len];
        values.fill(0.0);
        Self { values, width }
    }

    /// The sums of each block.
    pub fn blocks(&mut self) -> rayon::slice::ChunksMut<'_, f32> {
        self.values.par_chunks_mut(self.width)
    }

    /// Adds columns `from..from + out.len()` up over all blocks, in order.
    pub fn finish(&self, from: usize, out: &mut [f32], sum: Sum) {
        if sum == Sum::Start {
            out.fill(0.0);
        }
        for block in self.values.chunks_exact(self.width) {
            add(out, &block[from..from + out.len()]);
        }
    }
}

/// What happens to a gradient's old value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// It is the first part of a sum.
    Start,
    /// It is added to.
    Continue,
}

/// Sums of the columns of `values` (rows, width): the gradient of a bias.
pub fn column_sums(values: &[f32], width: usize, out: &mut [f32], sum: Sum, buffer: &mut Vec<f32>) {
    let mut partials = Partials::new(buffer, values.len() / width, width);
    partials
        .blocks()
        .zip(values.par_chunks(ROWS * width))
        .for_each(|(sums, values)| add_columns(sums, values));
    partials.finish(0, out, sum);
}

/// Rows of `table` (V, C), plus rows of `positions` (P, C) where there are any: (N, C).
pub fn embed(
    out: &mut [f32],
    (table, ids): (&[f32], &[u32]),
    positions: Option<(&[f32], &[usize])>,
    width: usize,
) {
    out.par_chunks_mut(width).enumerate().for_each(|(row, out)| {
        let from = ids[row] as usize * width;
        let from = &table[from..from + width];
        match positions {
            None => out.copy_from_slice(from),
            Some((table, places)) => {
                let at = places[row % places.len()] * width;
                add_row_block(out, from, &table[at..at + width]);
            }
        }
    });
}

/// Adds each row of `gradient` (N, C) to the row of `table` (V, C) that it came from, in order.
pub fn scatter(table: &mut [f32], gradient: &[f32], ids: impl Iterator<Item = usize>, width: usize) {
    for (row, id) in gradient.chunks_exact(width).zip(ids) {
        add(&mut table[id * width..(id + 1) * width], row);
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "small whole and binary fractions are exact")]
mod tests {
    use super::*;

    #[test]
    fn sums_of_columns_count_every_row_once() {
        for rows in [1, 63, 64, 65, 200] {
            let values: Vec<f32> = (0..rows * 3).map(|i| i as f32).collect();
            let mut out = [1.0; 3];
            column_sums(&values, 3, &mut out, Sum::Continue, &mut vec![7.0; 2]);
            let expected = |c: usize| 1.0 + (0..rows).map(|r| (r * 3 + c) as f32).sum::<f32>();
            assert_eq!(out, [expected(0), expected(1), expected(2)]);
        }
    }

    #[test]
    fn embeddings_go_and_come_back() {
        let (table, places) = ([0.0, 1.0, 10.0, 11.0], [0.5, 0.25, 0.125, 0.0]);
        let mut out = [0.0; 6];
        embed(&mut out, (&table, &[1, 0, 1]), Some((&places, &[1, 0, 0])), 2);
        assert_eq!(out, [10.125, 11.0, 0.5, 1.25, 10.5, 11.25]);
        let mut gradient = [0.0; 4];
        scatter(&mut gradient, &out, [1, 0, 1].into_iter(), 2);
        assert_eq!(gradient, [0.5, 1.25, 20.625, 22.25]);
    }
}
