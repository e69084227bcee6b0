//! Which of several duplicates stays.

use arrow::array::Array;
use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::documents::Documents;
use crate::stage::StageError;

/// Which document of a group of duplicates stays. Ties go to the first in the order of the crawl's files, so that the
/// answer never depends on threads or tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Survivor {
    /// The first in the order of the input.
    #[default]
    First,
    /// The one with the most bytes of text.
    Longest,
    /// The one with the latest `date`; documents without a date come last.
    Newest,
    /// The one with the earliest `date`; documents without a date come last.
    Oldest,
}

impl Survivor {
    /// The columns that it looks at.
    pub fn reads(self) -> Vec<String> {
        match self {
            Self::First => vec![],
            Self::Longest => vec![columns::TEXT.to_owned()],
            Self::Newest | Self::Oldest => vec![columns::DATE.to_owned()],
        }
    }

    /// One rank a document; the smallest survives.
    pub fn ranks(self, documents: &Documents) -> Result<Vec<u64>, StageError> {
        if self == Self::First {
            return Ok(vec![0; documents.len()]);
        }
        let column = if self == Self::Longest { columns::TEXT } else { columns::DATE };
        let values = documents.strings(column)?;
        Ok((0..values.len()).map(|row| self.rank(values.value(row))).collect())
    }

    fn rank(self, value: &str) -> u64 {
        match (self, date_number(value)) {
            (Self::First, _) => 0,
            (Self::Longest, _) => u64::MAX - value.len() as u64,
            (Self::Newest, Some(date)) => u64::MAX - date,
            (Self::Oldest, Some(date)) => date,
            (Self::Newest | Self::Oldest, None) => u64::MAX,
        }
    }
}

/// A date as a number that sorts as time does: the digits of `2024-05-18T10:59:01Z` down to the second. All dates of a
/// crawl are UTC; a fraction of a second and what follows is ignored, what is missing counts as zero.
fn date_number(date: &str) -> Option<u64> {
    let mut digits = date.bytes().filter(u8::is_ascii_digit).map(|digit| u64::from(digit - b'0')).peekable();
    digits.peek()?;
    Some((0..14).fold(0, |number, _| number * 10 + digits.next().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_sort_as_time() {
        let dates = ["2023", "2024-05-18", "2024-05-18T10:59:01Z", "2024-05-18T11:00:00.123456Z"];
        let numbers: Vec<u64> = dates.iter().map(|date| date_number(date).unwrap()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        assert_eq!(date_number("soon"), None);
        assert_eq!(date_number("9999-12-31T23:59:59.999999999Z"), Some(99_991_231_235_959));
    }

    #[test]
    fn the_smallest_rank_survives() {
        assert!(Survivor::Longest.rank("abc") < Survivor::Longest.rank("ab"));
        assert!(Survivor::Newest.rank("2024-05-18") < Survivor::Newest.rank("2023-05-18"));
        assert!(Survivor::Oldest.rank("2023-05-18") < Survivor::Oldest.rank("2024-05-18"));
        for survivor in [Survivor::Newest, Survivor::Oldest] {
            assert!(survivor.rank("2024-05-18") < survivor.rank(""));
        }
        assert_eq!(Survivor::First.rank("b"), Survivor::First.rank("a"));
    }
}
