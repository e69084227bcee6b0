//! Between rows of tokens (B·T, all heads side by side) and heads (B, H, T, D): attention works on one head at a time, and
//! there its rows lie together. Biases and rotary positions are applied on the way.

use rayon::prelude::*;

use crate::kernels::rows::{Partials, ROWS};
use crate::kernels::simd::{sum, vectorised};

/// Cosines and sines of rotary positions, (rows, T, D/2) each; rows is B, or 1 where all are alike.
#[derive(Default)]
pub struct Rotation {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl Rotation {
    /// For `positions` (rows, T).
    pub fn new(frequencies: &[f32], positions: &[usize]) -> Self {
        // The product is rounded to f32, as the published models compute it.
        let angles = || {
            let line = |&position: &usize| frequencies.iter().map(move |&w| f64::from(position as f32 * w));
            positions.iter().flat_map(line)
        };
        Self {
            cos: angles().map(|angle| angle.cos() as f32).collect(),
            sin: angles().map(|angle| angle.sin() as f32).collect(),
            half: frequencies.len(),
        }
    }

    /// Cosines and sines of the `place`-th token, counted over all rows.
    fn at(&self, place: usize) -> (&[f32], &[f32]) {
        let from = place * self.half % self.cos.len();
        (&self.cos[from..from + self.half], &self.sin[from..from + self.half])
    }
}

vectorised! {
    fn rotate(out: &mut [f32], from: &[f32], cos: &[f32], sin: &[f32], direction: f32) {
        let (first, second) = from.split_at(cos.len());
        let (out_first, out_second) = out.split_at_mut(cos.len());
        let outs = out_first.iter_mut().zip(out_second);
        for (((((a, b), &x), &y), &cos), &sin) in outs.zip(first).zip(second).zip(cos).zip(sin) {
            let sin = sin * direction;
            *a = x * cos - y * sin;
            *b = y * cos + x * sin;
        }
    }

    fn add_into(out: &mut [f32], from: &[f32], bias: &[f32]) {
        for ((out, &from), &bias) in out.iter_mut().zip(from).zip(bias) {
            *out = from + bias;
        }
    }

    fn dot(a: &[f32], b: &[f32]) -> f32 {
        sum(a, b, |a, b| a * b)
    }
}

/// How rows and heads correspond.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Tokens in each sequence.
    pub tokens: usize,
    /// Values in a row of tokens, over all that lies side by side.
    pub stride: usize,
    /// First of the columns that are meant.
    pub column: usize,
    /// Heads among them.
    pub heads: usize,
    /// Width of each.
    pub width: usize,
}

impl Layout {
    /// Where head `h` of sequence `b` has its row `t`.
    fn at(&self, b: usize, h: usize, t: usize) -> usize {
        (b * self.tokens + t) * self.stride + self.column + h * self.width
    }
}

/// Rows to heads (B, H, T, D), plus `bias` (all columns of a row), turned by `rotation`.
pub fn split(
    out: &mut [f32],
    rows: &[f32],
    layout: Layout,
    bias: Option<&[f32]>,
    rotation: Option<&Rotation>,
) {
    let d = layout.width;
    out.par_chunks_mut(layout.tokens * d).enumerate().for_each(|(index, out)| {
        let (b, h) = (index / layout.heads, index % layout.heads);
        let column = layout.column + h * d;
        for (t, out) in out.chunks_exact_mut(d).enumerate() {
            let at = layout.at(b, h, t);
            let from = &rows[at..at + d];
            match (rotation, bias) {
                (Some(rotation), None) => {
                    let (cos, sin) = rotation.at(b * layout.tokens + t);
                    rotate(out, from, cos, sin, 1.0);
                }
                (None, Some(bias)) => add_into(out, from, &bias[column..column + d]),
                (None, None) => out.copy_from_slice(from),
                (Some(_), Some(_)) => unreachable!("no model has both rotary positions and biases"),
            }
        }
    });
}

/// As [`split`] of `gradient`, with the product of each row of `gradient` and of `values` (laid out alike) in `products`
/// (B, H, T).
pub fn split_with_products(
    out: &mut [f32],
    products: &mut [f32],
    gradient: &[f32],
    values: &[f32],
    layout: Layout,
) {
    let d = layout.width;
    let heads = out.par_chunks_mut(layout.tokens * d).zip(products.par_chunks_mut(layout.tokens));
    heads.enumerate().for_each(|(index, (out, products))| {
        let (b, h) = (index / layout.heads, index % layout.heads);
        for (t, (out, product)) in out.chunks_exact_mut(d).zip(products).enumerate() {
            let at = layout.at(b, h, t);
            out.copy_from_slice(&gradient[at..at + d]);
            *product = dot(&gradient[at..at + d], &values[at..at + d]);
        }
    });
}

/// Some heads (B, H, T, D) on their way back into rows.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// Their values.
    pub heads: &'a [f32],
    /// How many of them a token has.
    pub count: usize,
    /// Whether they had been turned.
    pub rotated: bool,
}

/// Heads to rows: the `parts` side by side, turned back by `rotation`; with `partials`, their columns are added up.
pub fn merge(
    out: &mut [f32],
    parts: &[Part<'_>],
    (tokens, d): (usize, usize),
    rotation: Option<&Rotation>,
    partials: Option<&mut Partials<'_>>,
) {
    let stride = d * parts.iter().map(|part| part.count).sum::<usize>();
    let fill = |block: usize, out: &mut [f32]| {
        for (i, out) in out.chunks_exact_mut(stride).enumerate() {
            let place = block * ROWS + i;
            let (b, t) = (place / tokens, place % tokens);
            let mut heads_out = out.chunks_exact_mut(d);
            for part in parts {
                for h in 0..part.count {
                    let out = heads_out.next().expect("the stride has room for every head");
                    let at = ((b * part.count + h) * tokens + t) * d;
                    let from = &part.heads[at..at + d];
                    match rotation {
                        Some(rotation) if part.rotated => {
                            let (cos, sin) = rotation.at(place);
                            rotate(out, from, cos, sin, -1.0);
                        }
                        _ => out.copy_from_slice(from),
                    }
                }
            }
        }
    };
    let blocks = out.par_chunks_mut(ROWS * stride);
    match partials {
        None => blocks.enumerate().for_each(|(block, out)| fill(block, out)),
        Some(partials) => blocks.zip(partials.blocks()).enumerate().for_each(|(block, (out, sums))| {
            fill(block, out);
            crate::kernels::rows::add_columns(sums, out);
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_go_and_come_back() {
        let (b, t, d) = (2, 70, 4);
        // Two heads of queries beside one of keys.
        let stride = 3 * d;
        let rows: Vec<f32> = (0..b * t * stride).map(|i| (i % 101) as f32).collect();
        let rotation = Rotation::new(&[1.0, 0.1], &(0..t).collect::<Vec<_>>());
        let layout = |column, heads| Layout { tokens: t, stride, column, heads, width: d };
        let (mut q, mut k) = (vec![0.0; b * 2 * t * d], vec![0.0; b * t * d]);
        split(&mut q, &rows, layout(0, 2), None, Some(&rotation));
        split(&mut k, &rows, layout(2 * d, 1), None, None);
        // Row 71 is token 1 of sequence 1: its second head by the definition.
        let (at, from) = (((2 + 1) * t + 1) * d, 71 * stride + d);
        let (sin, cos) = 1.0_f32.sin_cos();
        assert!((q[at] - (rows[from] * cos - rows[from + 2] * sin)).abs() < 1e-4);
        assert!((q[at + 2] - (rows[from + 2] * cos + rows[from] * sin)).abs() < 1e-4);
        assert_eq!(k[(t + 1) * d..(t + 2) * d], rows[71 * stride + 2 * d..72 * stride]);

        let mut back = vec![0.0; rows.len()];
        let parts =
            [Part { heads: &q, count: 2, rotated: true }, Part { heads: &k, count: 1, rotated: false }];
        let mut buffer = Vec::new();
        let mut partials = Partials::new(&mut buffer, b * t, stride);
        merge(&mut back, &parts, (t, d), Some(&rotation), Some(&mut partials));
        for (a, b) in back.iter().zip(&rows) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
        let mut sums = vec![0.0; stride];
        partials.finish(0, &mut sums, crate::kernels::rows::Sum::Start);
        let expected: f32 = rows.iter().skip(5).step_by(stride).sum();
        assert!((sums[5] - expected).abs() < 0.1, "{} {expected}", sums[5]);

        let (mut split_rows, mut products) = (vec![0.0; b * t * d], vec![0.0; b * t]);
        split_with_products(&mut split_rows, &mut products, &rows, &rows, layout(2 * d, 1));
        assert_eq!(split_rows, k);
        let expected: f32 = k[4..8].iter().map(|x| x * x).sum();
        assert!((products[1] - expected).abs() < 1e-2);
    }
}
