//! SQL expressions over the columns of documents: `--where "length(text) > 100 AND language = 'en'"`.
//!
//! Polars parses and computes; it gets the columns that the expression names and nothing else, a batch at a time.

use anyhow::{Context, bail};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use polars::prelude::{AnyValue, Column, DataFrame, Expr, IntoLazy, NamedFrom, Series};

/// An SQL expression that looks at one document at a time.
pub struct Sql {
    text: String,
    expression: Expr,
    columns: Vec<String>,
}

/// What an expression comes to is put into a column of this name, which no document has.
const RESULT: &str = "\u{0}result";
/// Gives a frame its height where the expression names no column.
const ROW: &str = "\u{0}row";

impl Sql {
    /// Parses an expression.
    ///
    /// # Errors
    /// When it is no SQL expression, or looks at many documents at once (`avg(…)`).
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let hint = "an SQL expression over the columns, such as `length(text) > 100 AND language = 'en'`";
        // In parentheses, because `offset` is a column here and a keyword where an expression begins.
        let expression = polars::sql::sql_expr(format!("({text})"))
            .map_err(|error| anyhow::anyhow!("cannot read `{text}`: {error}\nhint: {hint}"))?;
        let mut columns = Vec::new();
        for part in &expression {
            match part {
                Expr::Column(name) if !columns.iter().any(|known: &String| known == name.as_str()) => {
                    columns.push(name.to_string());
                }
                Expr::Agg(_) | Expr::Over { .. } | Expr::Len => {
                    bail!("`{text}` looks at many documents at once\nhint: {hint}")
                }
                _ => {}
            }
        }
        Ok(Self { text: text.to_owned(), expression, columns })
    }

    /// The columns that it names, in order.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Whether the batch has every column that the expression names. Where one is missing, no row fits.
    pub fn fits(&self, batch: &RecordBatch) -> bool {
        self.columns.iter().all(|column| batch.column_by_name(column).is_some())
    }

    /// One bool a row: whether the expression is true. A null is not true.
    ///
    /// # Errors
    /// When it is no condition, or names a function on a type that it does not take.
    pub fn holds(&self, batch: &RecordBatch) -> anyhow::Result<Vec<bool>> {
        if !self.fits(batch) {
            return Ok(vec![false; batch.num_rows()]);
        }
        let result = self.result(batch)?;
        let bools = result
            .bool()
            .ok()
            .with_context(|| format!("`{}` is a {}, no condition", self.text, result.dtype()))?;
        Ok(bools.iter().map(|value| value == Some(true)).collect())
    }

    /// One value a row, as text; nulls, and all values where a column is missing, are `None`.
    ///
    /// # Errors
    /// As [`holds`](Self::holds).
    pub fn values(&self, batch: &RecordBatch) -> anyhow::Result<Vec<Option<String>>> {
        if !self.fits(batch) {
            return Ok(vec![None; batch.num_rows()]);
        }
        let result = self.result(batch)?;
        let text = |value: AnyValue<'_>| match value {
            AnyValue::Null => None,
            AnyValue::String(text) => Some(text.to_owned()),
            AnyValue::StringOwned(text) => Some(text.to_string()),
            other => Some(other.to_string()),
        };
        (0..batch.num_rows()).map(|row| Ok(text(result.get(row)?))).collect()
    }

    fn result(&self, batch: &RecordBatch) -> anyhow::Result<Series> {
        let rows: Vec<u64> = (0..batch.num_rows() as u64).collect();
        let mut columns = vec![Column::from(Series::new(ROW.into(), rows))];
        for name in &self.columns {
            if let Some(array) = batch.column_by_name(name) {
                columns.push(Column::from(series(name, array.as_ref())?));
            }
        }
        let frame = DataFrame::new(batch.num_rows(), columns)?
            .lazy()
            .with_columns([self.expression.clone().alias(RESULT)])
            .collect()
            .with_context(|| format!("cannot compute `{}`", self.text))?;
        Ok(frame.column(RESULT)?.as_materialized_series().clone())
    }
}

/// An Arrow column as Polars has it: text, whole numbers, numbers or bools; anything else as text.
fn series(name: &str, array: &dyn Array) -> anyhow::Result<Series> {
    let name = name.into();
    Ok(match array.data_type() {
        DataType::Boolean => Series::new(name, array.as_boolean().iter().collect::<Vec<_>>()),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            let numbers = cast(array, &DataType::UInt64)?;
            Series::new(name, numbers.as_primitive::<UInt64Type>().iter().collect::<Vec<_>>())
        }
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            let numbers = cast(array, &DataType::Int64)?;
            Series::new(name, numbers.as_primitive::<Int64Type>().iter().collect::<Vec<_>>())
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let numbers = cast(array, &DataType::Float64)?;
            Series::new(name, numbers.as_primitive::<Float64Type>().iter().collect::<Vec<_>>())
        }
        _ => {
            let texts = cast(array, &DataType::LargeUtf8)?;
            Series::new(name, texts.as_string::<i64>().iter().collect::<Vec<_>>())
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, LargeStringArray, UInt64Array};

    use super::*;

    fn batch() -> RecordBatch {
        RecordBatch::try_from_iter([
            ("text", Arc::new(LargeStringArray::from(vec!["one", "three", "five5"])) as ArrayRef),
            ("language", Arc::new(LargeStringArray::from(vec![Some("en"), None, Some("de")]))),
            ("offset", Arc::new(UInt64Array::from(vec![0, 7, 9]))),
            ("language_score", Arc::new(Float64Array::from(vec![0.5, 0.6, 0.9]))),
        ])
        .unwrap()
    }

    fn holds(text: &str) -> Vec<bool> {
        Sql::parse(text).unwrap().holds(&batch()).unwrap()
    }

    #[test]
    fn conditions_pick_rows() {
        assert_eq!(holds("length(text) > 3"), [false, true, true]);
        assert_eq!(holds("language = 'en' OR offset = 9"), [true, false, true]);
        assert_eq!(holds("language IS NULL"), [false, true, false]);
        assert_eq!(holds("text LIKE 'f%' AND language_score > 0.8"), [false, false, true]);
        assert_eq!(holds("1 = 1"), [true, true, true]);
        assert_eq!(holds("offset > 7"), [false, false, true]);
    }

    #[test]
    fn a_column_that_is_not_there_fits_no_row() {
        assert_eq!(holds("reason = 'x'"), [false, false, false]);
    }

    #[test]
    fn values_are_text() {
        let values = |text: &str| Sql::parse(text).unwrap().values(&batch()).unwrap();
        assert_eq!(values("language"), [Some("en".into()), None, Some("de".into())]);
        assert_eq!(values("length(text)"), ["3", "5", "5"].map(|n| Some(n.to_owned())));
    }

    #[test]
    fn what_cannot_work_says_what_would() {
        for wrong in ["length(text", "FROM x", "avg(offset) > 3", ""] {
            let message = Sql::parse(wrong).err().unwrap().to_string();
            assert!(message.contains("hint: an SQL expression"), "{wrong}: {message}");
        }
        let message = Sql::parse("offset + 1").unwrap().holds(&batch()).unwrap_err().to_string();
        assert!(message.contains("no condition"), "{message}");
    }
}
