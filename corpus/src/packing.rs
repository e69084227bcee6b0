//! Packing: documents of any length into rows of one length, so that none which fits is cut and no token is lost.
//!
//! Best fit decreasing: the longest first, each into the row that it leaves the least room in. A document longer than a
//! row fills rows of its own and leaves a last piece, which is packed like a document. What stays free is padding. (A
//! loader that crops documents to fill its rows drops a third of all tokens: [`Cropping`] counts that.)
//!
//! Rows hold inputs. The target of a token is the token behind it in its document, or BOS behind the last: so a row of
//! `T` tokens has `T` targets, and each token of a document is an input once and a target once, however it is cut.
//!
//! ```
//! use gristmill_corpus::packing::best_fit;
//!
//! let rows = best_fit(0, &[3, 9, 2, 4], 8);
//! let filled: Vec<Vec<u32>> = rows.iter().map(|row| row.iter().map(|piece| piece.length).collect()).collect();
//! assert_eq!(filled, [vec![8], vec![4, 3, 1], vec![2]]);
//! assert_eq!(rows.padding(), 6);
//! ```

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Pieces that [`pack`] packs at a time unless told otherwise: 16 MiB of memory, and windows this long already pad as
/// little as larger ones.
pub const WINDOW_PIECES: usize = 1 << 18;

/// A stretch of one document in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The document, counted from the first.
    pub document: u64,
    /// Its first token in the row, counted in the document.
    pub start: u64,
    /// Tokens.
    pub length: u32,
}

/// Rows of pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    n_documents: usize,
    row_length: u32,
    pieces: Vec<Piece>,
    /// Behind the last piece of each row.
    ends: Vec<usize>,
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there was nothing to pack.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Documents that were packed, with those of no tokens.
    pub fn n_documents(&self) -> usize {
        self.n_documents
    }

    /// Tokens that a row has room for.
    pub fn row_length(&self) -> u32 {
        self.row_length
    }

    /// The pieces of row `index`, from its first token on.
    pub fn row(&self, index: usize) -> &[Piece] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.pieces[start..self.ends[index]]
    }

    /// The rows, in the order in which they were begun.
    pub fn iter(&self) -> impl Iterator<Item = &[Piece]> {
        (0..self.len()).map(|index| self.row(index))
    }

    /// Tokens in all rows.
    pub fn n_tokens(&self) -> u64 {
        self.pieces.iter().map(|piece| u64::from(piece.length)).sum()
    }

    /// Places that stay free.
    pub fn padding(&self) -> u64 {
        self.len() as u64 * u64::from(self.row_length) - self.n_tokens()
    }
}

/// Packs documents of these lengths, which are numbered from `first_document` on, into rows of `row_length` (at least 1)
/// tokens. Equal lengths give equal rows.
///
/// Of pieces as long as each other the earlier goes first; of rows with as much room the one written to last is taken.
/// Takes O(n log n) time for n pieces.
pub fn best_fit(first_document: u64, lengths: &[u64], row_length: u32) -> Rows {
    assert!(row_length >= 1, "a row of no tokens holds nothing");
    let mut pieces = Vec::with_capacity(lengths.len());
    for (document, &length) in (first_document..).zip(lengths) {
        pieces.extend(cut(document, length, row_length));
    }
    // Stable: the earlier stays first.
    pieces.sort_by_key(|piece| Reverse(piece.length));

    // Rows by their free places, the one written to last at the end.
    let mut rows_by_room: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    let mut row_of_piece = Vec::with_capacity(pieces.len());
    let mut n_rows = 0;
    for piece in &pieces {
        let (row, room) = match rows_by_room.range_mut(piece.length..).next() {
            None => {
                n_rows += 1;
                (n_rows - 1, row_length)
            }
            Some((&room, rows)) => {
                let row = rows.pop().expect("rows without members are removed");
                if rows.is_empty() {
                    rows_by_room.remove(&room);
                }
                (row, room)
            }
        };
        if room > piece.length {
            rows_by_room.entry(room - piece.length).or_default().push(row);
        }
        row_of_piece.push(row);
    }

    // Pieces by row, within it in the order in which they came.
    let mut ends = vec![0; n_rows];
    for &row in &row_of_piece {
        ends[row] += 1;
    }
    let mut next = Vec::with_capacity(n_rows);
    let mut total = 0;
    for end in &mut ends {
        next.push(total);
        total += *end;
        *end = total;
    }
    let mut ordered = pieces.clone();
    for (piece, row) in pieces.into_iter().zip(row_of_piece) {
        ordered[next[row]] = piece;
        next[row] += 1;
    }
    Rows { n_documents: lengths.len(), row_length, pieces: ordered, ends }
}

/// A document as pieces of whole rows, then what is left.
fn cut(document: u64, length: u64, row_length: u32) -> impl Iterator<Item = Piece> {
    (0..length).step_by(row_length as usize).map(move |start| {
        let length = (length - start).min(u64::from(row_length)) as u32;
        Piece { document, start, length }
    })
}

/// What packing came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PackSummary {
    /// Documents, with those of no tokens.
    pub n_documents: u64,
    /// Tokens; each is in one row.
    pub n_tokens: u64,
    /// Rows.
    pub n_rows: u64,
    /// Pieces in the rows.
    pub n_pieces: u64,
    /// Documents longer than a row, which alone are cut.
    pub n_cut: u64,
    /// Places of the rows that stay free.
    pub padding: u64,
}

impl PackSummary {
    /// Share of the rows' places that stay free.
    pub fn padding_share(&self) -> f64 {
        self.padding as f64 / (self.padding + self.n_tokens).max(1) as f64
    }
}

/// Packs any number of documents in their order, some `window` (at least 1) pieces at a time, and shows each window's rows
/// to `visit`. Memory is that of one window: some 64 bytes a piece.
///
/// # Errors
/// Those of `visit`.
pub fn pack<E>(
    lengths: impl IntoIterator<Item = u64>,
    row_length: u32,
    window: usize,
    mut visit: impl FnMut(&Rows) -> Result<(), E>,
) -> Result<PackSummary, E> {
    let mut summary = PackSummary::default();
    let mut waiting: Vec<u64> = Vec::new();
    let mut n_pieces = 0;
    let mut close = |waiting: &mut Vec<u64>, summary: &mut PackSummary| {
        let rows = best_fit(summary.n_documents - waiting.len() as u64, waiting, row_length);
        waiting.clear();
        summary.n_rows += rows.len() as u64;
        summary.n_pieces += rows.pieces.len() as u64;
        summary.padding += rows.padding();
        visit(&rows)
    };
    for length in lengths {
        waiting.push(length);
        summary.n_documents += 1;
        summary.n_tokens += length;
        summary.n_cut += u64::from(length > u64::from(row_length));
        n_pieces += length.div_ceil(u64::from(row_length)).max(1);
        if n_pieces >= window as u64 {
            close(&mut waiting, &mut summary)?;
            n_pieces = 0;
        }
    }
    if !waiting.is_empty() {
        close(&mut waiting, &mut summary)?;
    }
    Ok(summary)
}

/// What a loader loses that fills rows by cropping, as nanochat's does: of a buffer of at least 1,000 documents the longest
/// that fits goes into the row; where none fits, the shortest is cropped to what is free, and the rest of it dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cropping {
    /// Tokens of the documents that it took.
    pub n_tokens: u64,
    /// Those that it dropped.
    pub n_cropped: u64,
}

impl Cropping {
    const BUFFER: usize = 1000;
    const REFILL: usize = 128;

    /// Over as many documents as there are `lengths`; the buffer is filled from the beginning again behind the last, as an
    /// endless loader does. Rows have `row_length + 1` places: inputs and targets are cut from the same.
    pub fn of(lengths: &[u64], row_length: u32) -> Self {
        let mut count = Self::default();
        let mut endless = lengths.iter().copied().filter(|length| *length > 0).cycle();
        // How many documents of each length are in the buffer.
        let mut buffer: BTreeMap<u64, usize> = BTreeMap::new();
        let mut n_buffered = 0;
        let mut n_taken = 0;
        while n_taken < lengths.len() {
            let mut free = u64::from(row_length) + 1;
            while free > 0 {
                while n_buffered < Self::BUFFER {
                    for length in endless.by_ref().take(Self::REFILL) {
                        *buffer.entry(length).or_default() += 1;
                    }
                    n_buffered += Self::REFILL;
                }
                let fits = buffer.range(..=free).next_back().or_else(|| buffer.first_key_value());
                let Some((&length, _)) = fits else { return count };
                let in_row = length.min(free);
                count.n_tokens += length;
                count.n_cropped += length - in_row;
                free -= in_row;
                n_taken += 1;
                n_buffered -= 1;
                let left = buffer.get_mut(&length).expect("it was just found");
                *left -= 1;
                if *left == 0 {
                    buffer.remove(&length);
                }
            }
        }
        count
    }

    /// Share of the tokens that it drops.
    pub fn share(&self) -> f64 {
        self.n_cropped as f64 / self.n_tokens.max(1) as f64
    }
}

/// How many documents are cut where all of them, one behind the other, are read in windows of `row_length` tokens.
pub fn cut_by_stream(lengths: impl IntoIterator<Item = u64>, row_length: u32) -> u64 {
    let row_length = u64::from(row_length);
    let mut start = 0;
    let mut n_cut = 0;
    for length in lengths.into_iter().filter(|length| *length > 0) {
        n_cut += u64::from(start / row_length != (start + length - 1) / row_length);
        start += length;
    }
    n_cut
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// Best fit decreasing as the textbook has it: every row is looked at for every piece.
    fn plain(first: u64, lengths: &[u64], row_length: u32) -> Vec<Vec<Piece>> {
        let mut pieces = Vec::new();
        for (document, &length) in (first..).zip(lengths) {
            let mut start = 0;
            while start < length {
                let piece = (length - start).min(u64::from(row_length));
                pieces.push(Piece { document, start, length: piece as u32 });
                start += piece;
            }
        }
        pieces.sort_by_key(|piece| (Reverse(piece.length), piece.document, piece.start));
        // (room, when it was last written to, pieces)
        let mut rows: Vec<(u32, usize, Vec<Piece>)> = Vec::new();
        for (time, piece) in pieces.into_iter().enumerate() {
            let best = rows
                .iter_mut()
                .filter(|row| row.0 >= piece.length)
                .min_by_key(|(room, written, _)| (*room, Reverse(*written)));
            match best {
                Some(row) => {
                    row.0 -= piece.length;
                    row.1 = time;
                    row.2.push(piece);
                }
                None => rows.push((row_length - piece.length, time, vec![piece])),
            }
        }
        rows.into_iter().map(|row| row.2).collect()
    }

    fn lists(rows: &Rows) -> Vec<Vec<Piece>> {
        rows.iter().map(<[Piece]>::to_vec).collect()
    }

    /// Every token of every document is in the rows once, and no row is too full.
    fn check_whole(rows: &[Vec<Piece>], lengths: &[u64], row_length: u32) {
        for row in rows {
            let filled: u64 = row.iter().map(|piece| u64::from(piece.length)).sum();
            assert!((1..=u64::from(row_length)).contains(&filled));
        }
        let mut pieces: Vec<Piece> = rows.concat();
        pieces.sort_by_key(|piece| (piece.document, piece.start));
        let mut pieces = pieces.into_iter();
        for (document, &length) in lengths.iter().enumerate() {
            let mut next = 0;
            while next < length {
                let piece = pieces.next().unwrap();
                assert_eq!((piece.document, piece.start), (document as u64, next));
                assert!(piece.length == row_length || next + u64::from(piece.length) == length);
                next += u64::from(piece.length);
            }
        }
        assert_eq!(pieces.next(), None);
    }

    proptest! {
        #[test]
        fn rows_are_those_of_the_plain_packer(
            lengths in prop::collection::vec(0_u64..70, 0..120), row_length in 1_u32..40, first in 0_u64..5,
        ) {
            let rows = best_fit(first, &lengths, row_length);
            prop_assert_eq!(lists(&rows), plain(first, &lengths, row_length));
        }

        #[test]
        fn windows_lose_nothing(
            lengths in prop::collection::vec(0_u64..70, 0..120), row_length in 1_u32..40, window in 1_usize..50,
        ) {
            let mut rows = Vec::new();
            let mut largest = 0;
            let summary = pack(lengths.iter().copied(), row_length, window, |packed| {
                largest = largest.max(packed.pieces.len());
                rows.extend(lists(packed));
                Ok::<_, Infallible>(())
            });
            let summary = summary.unwrap();
            check_whole(&rows, &lengths, row_length);
            prop_assert!(largest < window + 70, "{largest}");
            prop_assert_eq!(summary.n_documents, lengths.len() as u64);
            prop_assert_eq!(summary.n_tokens, lengths.iter().sum::<u64>());
            prop_assert_eq!(summary.n_rows, rows.len() as u64);
            prop_assert_eq!(summary.n_pieces, rows.concat().len() as u64);
            prop_assert_eq!(summary.n_cut, lengths.iter().filter(|n| **n > u64::from(row_length)).count() as u64);
            prop_assert_eq!(
                summary.padding, summary.n_rows * u64::from(row_length) - summary.n_tokens
            );
        }
    }

    #[test]
    fn rows_are_filled_as_well_as_can_be_where_that_is_known() {
        // Six and four, seven and three: no place is free, though the documents came sorted the wrong way.
        let lengths: Vec<u64> = [3, 4, 6, 7].into_iter().flat_map(|length| [length; 50]).collect();
        let rows = best_fit(0, &lengths, 10);
        assert_eq!((rows.len(), rows.padding()), (100, 0));
        assert!(best_fit(0, &[], 10).is_empty());
        assert!(best_fit(0, &[0, 0], 10).is_empty());
        assert_eq!(lists(&best_fit(7, &[5], 2)).concat().len(), 3);
    }

    #[test]
    fn what_other_loaders_do_is_counted() {
        // Rows of 10 places: a document of 7 leaves 3, which another one is cropped to.
        let cropping = Cropping::of(&[7; 2000], 9);
        assert_eq!((cropping.n_tokens, cropping.n_cropped), (14_000, 4_000));
        assert!((cropping.share() - 2.0 / 7.0).abs() < 1e-12);
        assert_eq!(Cropping::of(&[5; 2000], 9).n_cropped, 0);
        assert_eq!(Cropping::of(&[], 9), Cropping::default());
        assert_eq!(Cropping::of(&[0], 9), Cropping::default());
        // 0..4 and 10..12 and 12..15 lie inside of windows; 4..10 crosses from the second into the third.
        assert_eq!(cut_by_stream([4, 6, 2, 0, 3], 4), 1);
        assert_eq!(cut_by_stream([], 4), 0);
    }
}
