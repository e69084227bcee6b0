//! Little-endian fields out of a byte slice; every length is checked against what is left before anything is allocated.

use super::FastTextError;

/// A cursor over a model file.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    pub(super) fn error(&self, what: String) -> FastTextError {
        FastTextError::Format { what, offset: self.offset }
    }

    /// The next `n` bytes.
    pub(super) fn bytes(&mut self, n: usize, what: &str) -> Result<&'a [u8], FastTextError> {
        let left = &self.bytes[self.offset..];
        if left.len() < n {
            return Err(self.error(format!("{what} needs {n} bytes and {} are left", left.len())));
        }
        self.offset += n;
        Ok(&left[..n])
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], FastTextError> {
        let bytes = self.bytes(N, what)?;
        Ok(bytes.try_into().expect("`bytes` returns as many as asked"))
    }

    pub(super) fn i32(&mut self, what: &str) -> Result<i32, FastTextError> {
        Ok(i32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn i64(&mut self, what: &str) -> Result<i64, FastTextError> {
        Ok(i64::from_le_bytes(self.array(what)?))
    }

    /// A number that must not be negative.
    pub(super) fn length(&mut self, what: &str) -> Result<usize, FastTextError> {
        let value = self.i32(what)?;
        usize::try_from(value).map_err(|_| self.error(format!("{what} is {value}")))
    }

    /// A 64-bit number that must not be negative.
    pub(super) fn long_length(&mut self, what: &str) -> Result<usize, FastTextError> {
        let value = self.i64(what)?;
        usize::try_from(value).map_err(|_| self.error(format!("{what} is {value}")))
    }

    pub(super) fn flag(&mut self, what: &str) -> Result<bool, FastTextError> {
        match self.array::<1>(what)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(self.error(format!("{what} is {other}, not 0 or 1"))),
        }
    }

    /// `rows * columns` floats.
    pub(super) fn floats(
        &mut self,
        rows: usize,
        columns: usize,
        what: &str,
    ) -> Result<Vec<f32>, FastTextError> {
        let n_bytes = rows
            .checked_mul(columns)
            .and_then(|n| n.checked_mul(4))
            .ok_or_else(|| self.error(format!("{what} of {rows} x {columns} floats")))?;
        let (chunks, _) = self.bytes(n_bytes, what)?.as_chunks::<4>();
        Ok(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
    }

    /// Bytes up to a NUL, which is consumed and not returned.
    pub(super) fn string(&mut self, what: &str) -> Result<&'a [u8], FastTextError> {
        let left = &self.bytes[self.offset..];
        let Some(end) = memchr::memchr(0, left) else {
            return Err(self.error(format!("{what} has no end")));
        };
        self.offset += end + 1;
        Ok(&left[..end])
    }

    /// Fails unless `n` items of at least `item_bytes` could still follow: a count is checked before it sizes a table.
    pub(super) fn expect_items(&self, n: usize, item_bytes: usize, what: &str) -> Result<(), FastTextError> {
        let left = self.bytes.len() - self.offset;
        if n.saturating_mul(item_bytes) > left {
            return Err(self.error(format!("{n} {what} cannot fit in the {left} bytes left")));
        }
        Ok(())
    }
}
