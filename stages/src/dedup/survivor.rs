//! Which of several duplicates stays.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::documents::Documents;
use crate::stage::StageError;

/// Which document of a group of duplicates stays. Ties go to the first in the order of the crawl's files, so that the
/// answer never depends on threads or tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// The one with the highest value in this column of numbers, as in `{ highest = "score" }`; documents without a
    /// value come last.
    Highest(String),
    /// The one with the lowest value in this column of numbers, as in `{ lowest = "priority" }`; documents without a
    /// value come last.
    Lowest(String),
}

impl Survivor {
    /// The columns that it looks at.
    pub fn reads(&self) -> Vec<String> {
        self.column().map(str::to_owned).into_iter().collect()
    }

    fn column(&self) -> Option<&str> {
        match self {
            Self::First => None,
            Self::Longest => Some(columns::TEXT),
            Self::Newest | Self::Oldest => Some(columns::DATE),
            Self::Highest(column) | Self::Lowest(column) => Some(column),
        }
    }

    /// One rank a document; the smallest survives.
    ///
    /// # Errors
    /// [`StageError::Engine`] when the column is missing or holds no numbers.
    pub fn ranks(&self, documents: &Documents) -> Result<Vec<u64>, StageError> {
        let Some(column) = self.column() else { return Ok(vec![0; documents.len()]) };
        match self {
            Self::Highest(_) => {
                Ok(numbers(documents, column)?.map(|n| n.map_or(u64::MAX, |n| !ascending(n))).collect())
            }
            Self::Lowest(_) => {
                Ok(numbers(documents, column)?.map(|n| n.map_or(u64::MAX, ascending)).collect())
            }
            _ => {
                let values = documents.strings(column)?;
                Ok((0..values.len()).map(|row| self.rank(values.value(row))).collect())
            }
        }
    }

    /// The rank of a text or a date.
    fn rank(&self, value: &str) -> u64 {
        if *self == Self::Longest {
            return u64::MAX - value.len() as u64;
        }
        match date_number(value) {
            Some(date) if *self == Self::Newest => u64::MAX - date,
            date => date.unwrap_or(u64::MAX),
        }
    }
}

/// The values of a column of numbers; `None` where there is none.
fn numbers(documents: &Documents, column: &str) -> Result<impl Iterator<Item = Option<f64>>, StageError> {
    let values = documents.batch().column(column)?;
    if !values.data_type().is_numeric() && !values.data_type().is_null() {
        return Err(StageError::Engine(format!(
            "column `{column}` decides which duplicate stays and must hold numbers; it holds {}",
            values.data_type()
        )));
    }
    let values = cast(values, &DataType::Float64).map_err(|error| StageError::Engine(error.to_string()))?;
    let values = values.as_primitive::<Float64Type>().clone();
    Ok((0..values.len())
        .map(move |row| values.is_valid(row).then(|| values.value(row)).filter(|n| !n.is_nan())))
}

/// A number as one that sorts the same without a sign.
fn ascending(number: f64) -> u64 {
    // Adding makes 0 of -0.
    let bits = (number + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
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
    }

    #[test]
    fn a_column_may_decide() {
        use crate::dedup::test_support::documents;
        let scores =
            arrow::array::Float64Array::from(vec![Some(0.5), None, Some(-2.0), Some(f64::NAN), Some(7.0)]);
        let texts = ["a"; 5];
        let documents =
            documents(&texts, &texts, &texts).with_column("score", std::sync::Arc::new(scores)).unwrap();
        let order = |survivor: Survivor| {
            let ranks = survivor.ranks(&documents).unwrap();
            let mut rows: Vec<usize> = (0..5).collect();
            rows.sort_by_key(|row| (ranks[*row], *row));
            rows
        };
        assert_eq!(order(Survivor::Highest("score".into())), [4, 0, 2, 1, 3]);
        assert_eq!(order(Survivor::Lowest("score".into())), [2, 0, 4, 1, 3]);
        let message = Survivor::Lowest("text".into()).ranks(&documents).unwrap_err().to_string();
        assert!(message.contains("must hold numbers"), "{message}");
        assert_eq!(ascending(-0.0), ascending(0.0));
        let survivor: Survivor = serde_json::from_str(r#"{"highest": "score"}"#).unwrap();
        assert_eq!(survivor.reads(), ["score"]);
    }
}
