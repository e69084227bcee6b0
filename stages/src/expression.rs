//! Conditions over a document's columns: what the `where` stage evaluates.
//!
//! ```text
//! or         = and ("or" and)*
//! and        = not ("and" not)*
//! not        = "not" not | "(" or ")" | comparison
//! comparison = operand (("==" | "!=" | "<" | "<=" | ">" | ">=") operand | ["not"] "in" "[" literal, ... "]")?
//! operand    = literal | column | "len" "(" column ")"
//! literal    = number | 'text' | "text"
//! ```

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use arrow::array::{Array, AsArray, BooleanArray, Float64Array, LargeStringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use gristmill_corpus::{DocBatch, columns};

use crate::stage::StageError;

/// A condition that is ready to be asked about documents.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// All of them.
    And(Vec<Condition>),
    /// One of them.
    Or(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// One operand against another.
    Compare(Operand, Comparison, Operand),
    /// The operand is one of the literals.
    In(Operand, Vec<Operand>),
    /// A column of truth values.
    Holds(String),
}

/// What can be compared.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A number as it stands in the expression.
    Number(f64),
    /// A text as it stands in the expression.
    Text(String),
    /// A column's value.
    Column(String),
    /// The number of code points of a column's text.
    Length(String),
}

/// How two operands are compared; texts by their code points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    Different,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Different => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::More => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

/// What is wrong with an expression, and at which of its characters (from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// The character's number.
    pub column: usize,
    /// What is wrong, and what would work.
    pub message: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Number(f64),
    Text(String),
    Mark(&'static str),
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "`{word}`"),
            Self::Number(number) => write!(f, "`{number}`"),
            Self::Text(text) => write!(f, "the text `{text}`"),
            Self::Mark(mark) => write!(f, "`{mark}`"),
            Self::End => write!(f, "the end"),
        }
    }
}

/// Longer marks stand before their beginnings.
const MARKS: [&str; 12] = ["==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ",", "-"];
/// What other languages write, and what is written here.
const FOREIGN: [(&str, &str); 5] = [("&&", "and"), ("||", "or"), ("<>", "!="), ("=", "=="), ("!", "not")];

/// The tokens and where each begins (characters from 1).
fn tokens(source: &str) -> Result<Vec<(usize, Token)>, SyntaxError> {
    let mut found = Vec::new();
    let (mut at, mut column) = (0, 1);
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        let fail = |message: String| Err(SyntaxError { column, message });
        let end_of = |part: fn(char) -> bool| rest.find(|c| !part(c)).unwrap_or(rest.len());
        if c.is_whitespace() {
            at += c.len_utf8();
            column += 1;
            continue;
        }
        let (token, length) = if c.is_alphabetic() || c == '_' {
            let end = end_of(|c| c.is_alphanumeric() || c == '_');
            (Token::Word(rest[..end].to_owned()), end)
        } else if c.is_ascii_digit() || c == '.' {
            let mut end = end_of(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'));
            if rest[..end].ends_with(['e', 'E']) && rest[end..].starts_with(['-', '+']) {
                end +=
                    1 + rest[end + 1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - end - 1);
            }
            match rest[..end].replace('_', "").parse::<f64>() {
                Ok(number) => (Token::Number(number), end),
                Err(_) => return fail(format!("`{}` is no number", &rest[..end])),
            }
        } else if c == '\'' || c == '"' {
            match rest[1..].find(c) {
                Some(end) => (Token::Text(rest[1..=end].to_owned()), end + 2),
                None => return fail(format!("this text has no end: another {c} is missing")),
            }
        } else if let Some((foreign, ours)) = FOREIGN.iter().find(|(foreign, _)| {
            rest.starts_with(foreign) && !MARKS[..2].iter().any(|mark| rest.starts_with(mark))
        }) {
            return fail(format!("`{foreign}` is written `{ours}` here"));
        } else if let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(**mark)) {
            (Token::Mark(mark), mark.len())
        } else {
            return fail(format!("`{c}` means nothing here"));
        };
        found.push((column, token));
        column += rest[..length].chars().count();
        at += length;
    }
    found.push((column, Token::End));
    Ok(found)
}

/// Parentheses and `not`s inside each other: more are a slip, and each takes stack.
const MAX_DEPTH: usize = 64;

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
}

/// What a column or literal holds, as far as is known before documents are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
}

impl Operand {
    fn kind(&self) -> Option<Kind> {
        match self {
            Self::Number(_) | Self::Length(_) => Some(Kind::Number),
            Self::Text(_) => Some(Kind::Text),
            Self::Column(name) => match columns::data_type(name)? {
                DataType::LargeUtf8 => Some(Kind::Text),
                _ => Some(Kind::Number),
            },
        }
    }
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].1
    }

    fn column(&self) -> usize {
        self.tokens[self.next].0
    }

    /// Takes the next token; the end is never passed.
    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let is_next = matches!(self.peek(), Token::Word(next) if next == word);
        if is_next {
            self.take();
        }
        is_next
    }

    fn takes_mark(&mut self, mark: &str) -> bool {
        let is_next = matches!(self.peek(), Token::Mark(next) if *next == mark);
        if is_next {
            self.take();
        }
        is_next
    }

    fn fail<T>(&self, message: String) -> Result<T, SyntaxError> {
        Err(SyntaxError { column: self.column(), message })
    }

    fn expect(&mut self, mark: &str) -> Result<(), SyntaxError> {
        if self.takes_mark(mark) {
            return Ok(());
        }
        self.fail(format!("expected `{mark}`, found {}", self.peek()))
    }

    fn or(&mut self) -> Result<Condition, SyntaxError> {
        let mut parts = vec![self.and()?];
        while self.takes_word("or") {
            parts.push(self.and()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::Or(parts) })
    }

    fn and(&mut self) -> Result<Condition, SyntaxError> {
        let mut parts = vec![self.not()?];
        while self.takes_word("and") {
            parts.push(self.not()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::And(parts) })
    }

    fn not(&mut self) -> Result<Condition, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fail(format!("more than {MAX_DEPTH} conditions inside each other"));
        }
        let condition = if self.takes_word("not") {
            Condition::Not(Box::new(self.not()?))
        } else if self.takes_mark("(") {
            let inner = self.or()?;
            self.expect(")")?;
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn comparison(&mut self) -> Result<Condition, SyntaxError> {
        let start = self.column();
        let left = self.operand()?;
        let column = self.column();
        let is_negated = self.takes_word("not");
        if self.takes_word("in") {
            let condition = Condition::In(left.clone(), self.list(&left)?);
            return Ok(if is_negated { Condition::Not(Box::new(condition)) } else { condition });
        }
        if is_negated {
            return self.fail(format!("expected `in`, found {}", self.peek()));
        }
        let comparison = match self.peek() {
            Token::Mark("==") => Comparison::Equal,
            Token::Mark("!=") => Comparison::Different,
            Token::Mark("<") => Comparison::Less,
            Token::Mark("<=") => Comparison::AtMost,
            Token::Mark(">") => Comparison::More,
            Token::Mark(">=") => Comparison::AtLeast,
            other => match left {
                Operand::Column(name) if columns::data_type(&name).is_none() => {
                    return Ok(Condition::Holds(name));
                }
                Operand::Column(name) => {
                    let message = format!("`{name}` is no truth value: compare it, as in `{name} == ...`");
                    return Err(SyntaxError { column: start, message });
                }
                _ => return self.fail(format!("expected a comparison such as `>=` or `in`, found {other}")),
            },
        };
        self.take();
        let right = self.operand()?;
        check_kinds(column, &left, &right)?;
        if matches!(self.peek(), Token::Mark("==" | "!=" | "<" | "<=" | ">" | ">=")) {
            return self.fail("comparisons do not chain: join two with `and`".into());
        }
        Ok(Condition::Compare(left, comparison, right))
    }

    fn list(&mut self, left: &Operand) -> Result<Vec<Operand>, SyntaxError> {
        self.expect("[")?;
        let mut items = Vec::new();
        while !self.takes_mark("]") {
            if !items.is_empty() {
                self.expect(",")?;
                // A comma after the last item is fine.
                if self.takes_mark("]") {
                    break;
                }
            }
            let column = self.column();
            let item = self.operand()?;
            if !matches!(item, Operand::Number(_) | Operand::Text(_)) {
                let message = "a list holds numbers or texts; texts stand in quotation marks".into();
                return Err(SyntaxError { column, message });
            }
            check_kinds(column, left, &item)?;
            items.push(item);
        }
        Ok(items)
    }

    fn operand(&mut self) -> Result<Operand, SyntaxError> {
        let column = self.column();
        match self.take() {
            Token::Number(number) => Ok(Operand::Number(number)),
            Token::Text(text) => Ok(Operand::Text(text)),
            Token::Mark("-") => match self.take() {
                Token::Number(number) => Ok(Operand::Number(-number)),
                other => Err(SyntaxError {
                    column,
                    message: format!("expected a number after `-`, found {other}"),
                }),
            },
            Token::Word(word) if ["and", "or", "not", "in"].contains(&word.as_str()) => {
                Err(SyntaxError { column, message: format!("expected a column or a value, found `{word}`") })
            }
            Token::Word(word) if matches!(self.peek(), Token::Mark("(")) => {
                if word != "len" {
                    let message = format!("no function is called `{word}`; `len` is the only one");
                    return Err(SyntaxError { column, message });
                }
                self.take();
                let column = self.column();
                let name = match self.take() {
                    Token::Word(name) => name,
                    other => {
                        let message = format!("`len` takes a column such as `text`, found {other}");
                        return Err(SyntaxError { column, message });
                    }
                };
                if columns::data_type(&name).is_some_and(|known| known != DataType::LargeUtf8) {
                    let message = format!("`len` takes a column of text; `{name}` holds numbers");
                    return Err(SyntaxError { column, message });
                }
                self.expect(")")?;
                Ok(Operand::Length(name))
            }
            Token::Word(word) => Ok(Operand::Column(word)),
            other => {
                Err(SyntaxError { column, message: format!("expected a column or a value, found {other}") })
            }
        }
    }
}

fn check_kinds(column: usize, left: &Operand, right: &Operand) -> Result<(), SyntaxError> {
    match (left.kind(), right.kind()) {
        (Some(left), Some(right)) if left != right => Err(SyntaxError {
            column,
            message: "a number and a text cannot be compared; texts stand in quotation marks, numbers do not"
                .into(),
        }),
        _ => Ok(()),
    }
}

impl Condition {
    /// Reads an expression.
    ///
    /// # Errors
    /// The first [`SyntaxError`].
    pub fn parse(source: &str) -> Result<Self, SyntaxError> {
        let mut parser = Parser { tokens: tokens(source)?, next: 0, depth: 0 };
        let condition = parser.or()?;
        match parser.peek() {
            Token::End => Ok(condition),
            other => parser.fail(format!("expected `and`, `or` or the end, found {other}")),
        }
    }

    /// The columns that it reads, sorted.
    pub fn columns(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.collect(&mut names);
        names.sort();
        names.dedup();
        names
    }

    fn collect(&self, names: &mut Vec<String>) {
        let mut add = |operand: &Operand| {
            if let Operand::Column(name) | Operand::Length(name) = operand {
                names.push(name.clone());
            }
        };
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.collect(names)),
            Self::Not(inner) => inner.collect(names),
            Self::Compare(left, _, right) => {
                add(left);
                add(right);
            }
            Self::In(operand, _) => add(operand),
            Self::Holds(name) => names.push(name.clone()),
        }
    }

    /// Whether it holds, for each document.
    ///
    /// # Errors
    /// [`StageError::Engine`] for a column that is missing or has a type that cannot be compared.
    pub fn evaluate(&self, batch: &DocBatch) -> Result<Vec<bool>, StageError> {
        let mut values = BTreeMap::new();
        for name in self.columns() {
            let column = Values::of(&name, batch)?;
            values.insert(name, column);
        }
        (0..batch.len()).map(|row| self.holds(&values, row)).collect()
    }

    fn holds(&self, values: &BTreeMap<String, Values>, row: usize) -> Result<bool, StageError> {
        Ok(match self {
            Self::And(parts) => {
                for part in parts {
                    if !part.holds(values, row)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Or(parts) => {
                for part in parts {
                    if part.holds(values, row)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::Not(inner) => !inner.holds(values, row)?,
            Self::Compare(left, comparison, right) => {
                let order = compare(left.value(values, row)?, right.value(values, row)?)?;
                order.is_some_and(|order| comparison.holds(order))
            }
            Self::In(operand, items) => {
                let value = operand.value(values, row)?;
                for item in items {
                    if compare(value, item.value(values, row)?)?.is_some_and(Ordering::is_eq) {
                        return Ok(true);
                    }
                }
                false
            }
            Self::Holds(name) => match &values[name] {
                Values::Truth(truths) => truths.is_valid(row) && truths.value(row),
                _ => {
                    return Err(StageError::Engine(format!(
                        "column `{name}` holds no truth values: compare it, as in `{name} == ...`"
                    )));
                }
            },
        })
    }
}

/// A column as it is compared.
enum Values {
    Text(LargeStringArray),
    Number(Float64Array),
    Truth(BooleanArray),
}

impl Values {
    fn of(name: &str, batch: &DocBatch) -> Result<Self, StageError> {
        let column = batch.column(name)?;
        let as_type = |wanted| {
            cast(column, wanted)
                .map_err(|error| StageError::Engine(format!("column `{name}` cannot be compared: {error}")))
        };
        match column.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Ok(Self::Text(as_type(&DataType::LargeUtf8)?.as_string().clone()))
            }
            DataType::Boolean => Ok(Self::Truth(column.as_boolean().clone())),
            known if known.is_numeric() => {
                Ok(Self::Number(as_type(&DataType::Float64)?.as_primitive::<Float64Type>().clone()))
            }
            other => Err(StageError::Engine(format!(
                "column `{name}` has type {other}, which cannot be compared; texts, numbers and truth values can"
            ))),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Missing,
    Number(f64),
    Text(&'a str),
}

impl Operand {
    fn value<'a>(
        &'a self,
        values: &'a BTreeMap<String, Values>,
        row: usize,
    ) -> Result<Value<'a>, StageError> {
        Ok(match self {
            Self::Number(number) => Value::Number(*number),
            Self::Text(text) => Value::Text(text),
            Self::Column(name) => match &values[name] {
                Values::Text(texts) if texts.is_valid(row) => Value::Text(texts.value(row)),
                Values::Number(numbers) if numbers.is_valid(row) => Value::Number(numbers.value(row)),
                Values::Text(_) | Values::Number(_) => Value::Missing,
                Values::Truth(_) => {
                    return Err(StageError::Engine(format!(
                        "column `{name}` holds truth values: write `{name}` or `not {name}`"
                    )));
                }
            },
            Self::Length(name) => match &values[name] {
                Values::Text(texts) if texts.is_valid(row) => {
                    Value::Number(texts.value(row).chars().count() as f64)
                }
                Values::Text(_) => Value::Missing,
                _ => return Err(StageError::Engine(format!("`len({name})`: the column holds no text"))),
            },
        })
    }
}

/// How two values stand to each other; a missing one to none.
fn compare(left: Value<'_>, right: Value<'_>) -> Result<Option<Ordering>, StageError> {
    match (left, right) {
        (Value::Missing, _) | (_, Value::Missing) => Ok(None),
        (Value::Number(left), Value::Number(right)) => Ok(left.partial_cmp(&right)),
        (Value::Text(left), Value::Text(right)) => Ok(Some(left.cmp(right))),
        (left, right) => Err(StageError::Engine(format!("cannot compare {left:?} with {right:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use proptest::prelude::*;

    use super::*;

    /// Two documents: a full one, and one with nothing but text.
    fn batch() -> DocBatch {
        let columns: [(&str, ArrayRef); 6] = [
            ("text", Arc::new(LargeStringArray::from(vec!["Mühle", ""]))),
            ("language", Arc::new(LargeStringArray::from(vec![Some("de"), None]))),
            ("language_score", Arc::new(Float64Array::from(vec![Some(0.9), None]))),
            ("token_count", Arc::new(Int64Array::from(vec![Some(-3), None]))),
            ("has_math", Arc::new(BooleanArray::from(vec![Some(true), None]))),
            ("topic", Arc::new(arrow::array::StringArray::from(vec![Some("it's"), None]))),
        ];
        DocBatch::new(
            RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)))
                .unwrap(),
        )
        .unwrap()
    }

    fn check(source: &str, expected: [bool; 2]) {
        let condition = Condition::parse(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        assert_eq!(condition.evaluate(&batch()).unwrap(), expected, "{source}");
    }

    #[test]
    fn conditions() {
        check("language == 'de'", [true, false]);
        check("language != \"de\"", [false, false]);
        check("not language == 'de'", [false, true]);
        check("language in ['en', 'de']", [true, false]);
        check("language not in ['en', 'de',]", [false, true]);
        check("language in []", [false, false]);
        check("language_score > 0.65", [true, false]);
        check("0.9 <= language_score and language_score < 1e0", [true, false]);
        check("token_count == -3", [true, false]);
        check("token_count in [1, -3]", [true, false]);
        check("token_count > -1_000", [true, false]);
        check("len(text) == 5", [true, false]);
        check("len(text) < 5", [false, true]);
        check("len(text) == len(topic)", [false, false]);
        check("has_math", [true, false]);
        check("not has_math", [false, true]);
        check("topic == \"it's\"", [true, false]);
        check("language >= 'a' and language < 'e'", [true, false]);
        check("language == language", [true, false]);
    }

    #[test]
    fn and_binds_tighter_than_or_and_not_tightest() {
        check("has_math or has_math and len(text) > 9", [true, false]);
        check("(has_math or has_math) and len(text) > 9", [false, false]);
        check("not has_math and len(text) > 9", [false, false]);
        check("not (has_math and len(text) > 9)", [true, true]);
        check("not not has_math", [true, false]);
    }

    #[test]
    fn mistakes_are_placed() {
        let deep = "(".repeat(100_000) + "has_math";
        for (source, column, message) in [
            ("", 1, "found the end"),
            ("language = 'de'", 10, "`=` is written `==`"),
            ("a > 1 && b > 2", 7, "`&&` is written `and`"),
            ("!a", 1, "`!` is written `not`"),
            ("text == 'ü", 9, "no end"),
            ("text == 'ü' 3", 13, "found `3`"),
            ("language_score > 'x'", 16, "cannot be compared"),
            ("language > 3", 10, "cannot be compared"),
            ("language in ['de', 3]", 20, "cannot be compared"),
            ("language in [de]", 14, "quotation marks"),
            ("language in 'de'", 13, "expected `[`"),
            ("length(text) > 3", 1, "`len` is the only one"),
            ("len(offset) > 3", 5, "holds numbers"),
            ("len('a') > 3", 5, "takes a column"),
            ("(a > 3", 7, "expected `)`"),
            ("a > 3)", 6, "found `)`"),
            ("1 < a < 3", 7, "do not chain"),
            ("text", 1, "no truth value"),
            ("3", 2, "expected a comparison"),
            ("a > and", 5, "found `and`"),
            ("a not b", 7, "expected `in`"),
            ("a > 1.2.3", 5, "`1.2.3` is no number"),
            ("a > - b", 5, "expected a number"),
            ("a > #", 5, "`#` means nothing"),
            (&deep, 65, "inside each other"),
        ] {
            let error = Condition::parse(source).unwrap_err();
            assert_eq!(error.column, column, "{source:.80}: {error}");
            assert!(error.message.contains(message), "{source:.80}: {error}");
        }
    }

    #[test]
    fn columns_of_the_wrong_kind_are_named() {
        for (source, message) in [
            ("topic", "`topic`"),
            ("topic > 3", "compare"),
            ("has_math == 1", "`has_math`"),
            ("none > 3", "`none`"),
        ] {
            let error = Condition::parse(source).unwrap().evaluate(&batch()).unwrap_err().to_string();
            assert!(error.contains(message), "{source}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_expression_panics(source in "([a-c<>=!()\\[\\],.'\"é0-9e_ -]|and|or|not|in|len){0,20}") {
            if let Ok(condition) = Condition::parse(&source) {
                prop_assert!(condition.columns().len() <= source.len());
            }
        }

        #[test]
        fn numbers_compare_as_numbers(a in -120..120, b in -120..120) {
            for (mark, expected) in [("<", a < b), ("<=", a <= b), (">", a > b), (">=", a >= b), ("==", a == b), ("!=", a != b)] {
                let condition = Condition::parse(&format!("{a} {mark} {b}")).unwrap();
                prop_assert_eq!(condition.evaluate(&batch()).unwrap(), [expected; 2], "{} {} {}", a, mark, b);
            }
        }
    }
}
