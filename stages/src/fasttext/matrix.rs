//! Rows of floats: dense as stored, or rebuilt from a product quantiser's codes.

use super::{FastTextError, reader::Reader};

/// A row-major matrix.
#[derive(Debug)]
pub(super) enum Matrix {
    /// All values in memory, (rows, columns).
    Dense {
        /// (rows * columns)
        values: Vec<f32>,
        /// Number of rows.
        rows: usize,
        /// Number of columns.
        columns: usize,
    },
    /// Too large to expand: decoded at each use.
    Quantised(QuantisedMatrix),
}

/// Floats up to which a quantised matrix is expanded when it is loaded (64 MB): reading a dense row is several times faster
/// than decoding it, and lid.176.ftz needs 3 MB.
const MAX_EXPANDED: usize = 16 << 20;

impl Matrix {
    pub(super) fn read_dense(reader: &mut Reader) -> Result<Self, FastTextError> {
        let rows = reader.long_length("the number of rows")?;
        let columns = reader.long_length("the number of columns")?;
        let values = reader.floats(rows, columns, "a matrix")?;
        Ok(Self::Dense { values, rows, columns })
    }

    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Dense { rows, .. } => *rows,
            Self::Quantised(matrix) => matrix.rows,
        }
    }

    pub(super) fn columns(&self) -> usize {
        match self {
            Self::Dense { columns, .. } => *columns,
            Self::Quantised(matrix) => matrix.quantiser.dim,
        }
    }

    /// Adds the rows of the given indices to `sum`, (columns).
    pub(super) fn add_rows(&self, rows: &[u32], sum: &mut [f32]) {
        match self {
            Self::Dense { values, columns, .. } => add_rows(values, *columns, rows, sum),
            Self::Quantised(matrix) => {
                for &row in rows {
                    matrix.add_row(row as usize, sum);
                }
            }
        }
    }

    /// Dot product of one row with `vector`, (columns).
    pub(super) fn dot(&self, row: usize, vector: &[f32]) -> f32 {
        match self {
            Self::Dense { values, columns, .. } => {
                let row = &values[row * columns..(row + 1) * columns];
                row.iter().zip(vector).map(|(a, b)| a * b).sum()
            }
            Self::Quantised(matrix) => {
                let mut row_values = vec![0.0; matrix.quantiser.dim];
                matrix.add_row(row, &mut row_values);
                row_values.iter().zip(vector).map(|(a, b)| a * b).sum()
            }
        }
    }
}

/// Adds rows of a dense (rows, dim) matrix to `sum`, (dim). The two usual widths keep the sum in registers.
pub(super) fn add_rows(values: &[f32], dim: usize, rows: &[u32], sum: &mut [f32]) {
    match dim {
        16 => add_fixed_rows::<16>(values, rows, sum),
        _ => {
            for &row in rows {
                let start = row as usize * dim;
                for (total, value) in sum.iter_mut().zip(&values[start..start + dim]) {
                    *total += value;
                }
            }
        }
    }
}

fn add_fixed_rows<const DIM: usize>(values: &[f32], rows: &[u32], sum: &mut [f32]) {
    let (table, _) = values.as_chunks::<DIM>();
    let mut total = [0.0; DIM];
    total.copy_from_slice(sum);
    for &row in rows {
        let row = &table[row as usize];
        for (total, value) in total.iter_mut().zip(row) {
            *total += value;
        }
    }
    sum.copy_from_slice(&total);
}

/// Centroids of one product quantiser: the vector is cut into parts of `part` columns (the last may be shorter), and one byte
/// a part names one of 256 centroids.
#[derive(Debug)]
struct Quantiser {
    dim: usize,
    parts: usize,
    part: usize,
    last_part: usize,
    /// (dim * 256), part after part.
    centroids: Vec<f32>,
}

const N_CENTROIDS: usize = 256;

impl Quantiser {
    fn read(reader: &mut Reader) -> Result<Self, FastTextError> {
        let dim = reader.length("a quantiser's dimension")?;
        let parts = reader.length("a quantiser's number of parts")?;
        let part = reader.length("a quantiser's part length")?;
        let last_part = reader.length("a quantiser's last part length")?;
        let whole = parts.checked_sub(1).and_then(|n| n.checked_mul(part)).map(|n| n + last_part);
        if whole != Some(dim) || dim == 0 || part == 0 || last_part == 0 || last_part > part {
            return Err(reader.error(format!(
                "a quantiser of {dim} columns in {parts} parts of {part}, the last of {last_part}"
            )));
        }
        let centroids = reader.floats(dim, N_CENTROIDS, "a quantiser's centroids")?;
        Ok(Self { dim, parts, part, last_part, centroids })
    }

    /// The centroid that `code` names in part `index`.
    fn centroid(&self, index: usize, code: u8) -> &[f32] {
        let length = if index + 1 == self.parts { self.last_part } else { self.part };
        let start = index * N_CENTROIDS * self.part + code as usize * length;
        &self.centroids[start..start + length]
    }
}

/// A matrix as codes of a product quantiser, optionally with the norms of its rows quantised apart.
#[derive(Debug)]
pub(super) struct QuantisedMatrix {
    rows: usize,
    /// (rows, parts)
    codes: Vec<u8>,
    quantiser: Quantiser,
    norms: Option<(Vec<u8>, Quantiser)>,
}

impl QuantisedMatrix {
    pub(super) fn read(reader: &mut Reader) -> Result<Self, FastTextError> {
        let has_norms = reader.flag("the mark of quantised norms")?;
        let rows = reader.long_length("the number of rows")?;
        let columns = reader.long_length("the number of columns")?;
        let n_codes = reader.length("the number of codes")?;
        let codes = reader.bytes(n_codes, "the codes")?.to_vec();
        let quantiser = Quantiser::read(reader)?;
        if quantiser.dim != columns || rows.checked_mul(quantiser.parts) != Some(n_codes) {
            return Err(reader.error(format!(
                "{n_codes} codes in {} parts for a matrix of {rows} x {columns}",
                quantiser.parts
            )));
        }
        let norms = if has_norms {
            let codes = reader.bytes(rows, "the codes of the norms")?.to_vec();
            let quantiser = Quantiser::read(reader)?;
            if quantiser.dim != 1 {
                return Err(reader.error(format!("norms of dimension {}", quantiser.dim)));
            }
            Some((codes, quantiser))
        } else {
            None
        };
        Ok(Self { rows, codes, quantiser, norms })
    }

    fn add_row(&self, row: usize, sum: &mut [f32]) {
        let norm = match &self.norms {
            Some((codes, quantiser)) => quantiser.centroid(0, codes[row])[0],
            None => 1.0,
        };
        let parts = self.quantiser.parts;
        let codes = &self.codes[row * parts..(row + 1) * parts];
        for (index, (&code, sum)) in codes.iter().zip(sum.chunks_mut(self.quantiser.part)).enumerate() {
            for (total, value) in sum.iter_mut().zip(self.quantiser.centroid(index, code)) {
                *total += norm * value;
            }
        }
    }

    /// The same matrix, expanded where that is cheap.
    pub(super) fn into_matrix(self) -> Matrix {
        let columns = self.quantiser.dim;
        if self.rows.saturating_mul(columns) > MAX_EXPANDED {
            return Matrix::Quantised(self);
        }
        let mut values = vec![0.0; self.rows * columns];
        for (row, values) in values.chunks_exact_mut(columns).enumerate() {
            self.add_row(row, values);
        }
        Matrix::Dense { values, rows: self.rows, columns }
    }
}
