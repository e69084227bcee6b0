//! Tools that a chat model may call while it answers. It writes a call as a message of its own, a line of JSON as
//! `openai_messages` and `sharegpt` write the calls of published conversations; the result comes back as a message of the role
//! `tool`, which no model learns to write, and the model goes on.
//!
//! The only tool is a calculator, which computes and does nothing else: whatever a model writes, nothing is run and no file or
//! address is opened.

use serde::Serialize;
use serde_json::Value;

/// A call that was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ran {
    /// The call as the model wrote it.
    pub call: String,
    /// What came of it: a value, or what was wrong with the call.
    pub result: String,
}

/// Answers the calls in a message: its lines that are JSON objects with `name` and `arguments`.
pub fn run(message: &str) -> Vec<Ran> {
    let calls = message.lines().filter_map(|line| Some((line, call(line)?)));
    calls
        .map(|(line, (name, arguments))| Ran {
            call: line.trim().to_owned(),
            result: answer(&name, &arguments),
        })
        .collect()
}

fn call(line: &str) -> Option<(String, Value)> {
    let call: Value = serde_json::from_str(line.trim()).ok()?;
    let arguments = call.get("arguments")?;
    // Published calls hold their arguments as an object, or as one written into a string.
    let arguments = match arguments.as_str() {
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| arguments.clone()),
        None => arguments.clone(),
    };
    Some((call.get("name")?.as_str()?.to_owned(), arguments))
}

fn answer(name: &str, arguments: &Value) -> String {
    if name != "calculator" {
        return format!("error: there is no tool `{name}`, only `calculator`");
    }
    let Some(expression) = arguments.get("expression").and_then(Value::as_str) else {
        return "error: `calculator` wants {\"expression\": \"1 + 2\"}".into();
    };
    calculate(expression).unwrap_or_else(|why| format!("error: {why}"))
}

/// Longest expression, in bytes, and deepest nesting.
const LONGEST: usize = 1000;
const DEEPEST: usize = 64;

/// The value of an expression of numbers, `+ - * / % ^` and parentheses. Whole numbers are exact as long as they fit 128 bits;
/// everything else is a 64-bit floating-point number, written with at most 10 decimals.
pub fn calculate(expression: &str) -> Result<String, String> {
    if expression.len() > LONGEST {
        return Err(format!("the expression has {} bytes, at most {LONGEST} are read", expression.len()));
    }
    let mut parser = Parser { rest: expression, depth: 0 };
    let value = parser.sum()?;
    match parser.peek() {
        None => value.write(),
        Some(c) => Err(format!("`{c}` has no place there")),
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Whole(i128),
    Real(f64),
}

impl Number {
    fn real(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Real(real) => real,
        }
    }

    /// Exactly, where both are whole and `exact` has a result; else approximately.
    fn with(
        self,
        other: Self,
        exact: impl Fn(i128, i128) -> Option<i128>,
        approximate: impl Fn(f64, f64) -> f64,
    ) -> Self {
        let found = match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => exact(a, b),
            _ => None,
        };
        found.map_or_else(|| Self::Real(approximate(self.real(), other.real())), Self::Whole)
    }

    fn write(self) -> Result<String, String> {
        match self {
            Self::Whole(whole) => Ok(whole.to_string()),
            Self::Real(real) if !real.is_finite() => {
                Err("the result is no number that can be written".into())
            }
            Self::Real(real) if real != 0.0 && !(1e-6..1e15).contains(&real.abs()) => Ok(format!("{real:e}")),
            Self::Real(real) => {
                let text = format!("{real:.10}");
                let text = text.trim_end_matches('0').trim_end_matches('.');
                Ok(if text == "-0" { "0".into() } else { text.to_owned() })
            }
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    /// Takes the next character if it is one of these.
    fn take(&mut self, wanted: &[char]) -> Option<char> {
        let c = self.peek().filter(|c| wanted.contains(c))?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn sum(&mut self) -> Result<Number, String> {
        let mut value = self.product()?;
        while let Some(sign) = self.take(&['+', '-', '−']) {
            let next = self.product()?;
            value = match sign {
                '+' => value.with(next, i128::checked_add, |a, b| a + b),
                _ => value.with(next, i128::checked_sub, |a, b| a - b),
            };
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<Number, String> {
        let mut value = self.signed()?;
        while let Some(sign) = self.take(&['*', '×', 'x', '/', '÷', '%']) {
            let next = self.signed()?;
            if matches!(sign, '/' | '÷' | '%') && next.real() == 0.0 {
                return Err("division by zero".into());
            }
            value = match sign {
                '/' | '÷' => {
                    let exact = |a: i128, b: i128| (a.checked_rem(b)? == 0).then(|| a / b);
                    value.with(next, exact, |a, b| a / b)
                }
                '%' => value.with(next, i128::checked_rem_euclid, f64::rem_euclid),
                _ => value.with(next, i128::checked_mul, |a, b| a * b),
            };
        }
        Ok(value)
    }

    fn signed(&mut self) -> Result<Number, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("it nests deeper than {DEEPEST}"));
        }
        let value = if self.take(&['-', '−']).is_some() {
            Number::Whole(0).with(self.signed()?, i128::checked_sub, |a, b| a - b)
        } else {
            self.power()?
        };
        self.depth -= 1;
        Ok(value)
    }

    fn power(&mut self) -> Result<Number, String> {
        let base = self.operand()?;
        if self.take(&['^']).is_none() {
            return Ok(base);
        }
        // To the right first, as written powers are read: 2^3^2 is 2^9.
        let exponent = self.signed()?;
        let exact = |a: i128, b: i128| a.checked_pow(u32::try_from(b).ok()?);
        Ok(base.with(exponent, exact, f64::powf))
    }

    fn operand(&mut self) -> Result<Number, String> {
        if self.take(&['(']).is_some() {
            let value = self.sum()?;
            return self.take(&[')']).map(|_| value).ok_or_else(|| "a `)` is missing".into());
        }
        let Some(first) = self.peek() else { return Err("it ends where a number should stand".into()) };
        let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',');
        let end = self.rest.find(|c| !is_number(c)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        let digits = text.replace(',', "");
        let whole = digits.parse().map(Number::Whole).ok();
        let real = || digits.parse().map(Number::Real).ok();
        let value = whole.or_else(real).ok_or_else(|| match text {
            "" => format!("`{first}` stands where a number should"),
            _ => format!("`{text}` is no number"),
        })?;
        self.rest = rest;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_school() {
        for (expression, value) in [
            ("2+2", "4"),
            ("2 + 3 * 4 - -1", "15"),
            ("(2+3)*4", "20"),
            ("7/2", "3.5"),
            ("84 / 7", "12"),
            ("10 % 4", "2"),
            ("-2^2", "-4"),
            ("2^3^2", "512"),
            ("2^-1", "0.5"),
            ("0.1+0.2", "0.3"),
            ("1,234 × 5", "6170"),
            ("1234567890123456789 * 9876543210987654321", "12193263113702179522374638011112635269"),
            ("1/3", "0.3333333333"),
            ("10^40", "1e40"),
            ("1/1000000000", "1e-9"),
            ("0 * -1.0", "0"),
        ] {
            assert_eq!(calculate(expression).as_deref(), Ok(value), "{expression}");
        }
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        for (expression, why) in [
            ("", "ends where"),
            ("2+", "ends where"),
            ("1/0", "division by zero"),
            ("1 % 0", "division by zero"),
            ("(1", "`)` is missing"),
            ("1)", "`)` has no place"),
            ("2 apples", "`a` has no place"),
            ("__import__('os')", "`_` stands where"),
            ("1.2.3", "`1.2.3` is no number"),
            ("10^400", "no number that can be written"),
            ("é", "`é` stands where"),
        ] {
            let error = calculate(expression).unwrap_err();
            assert!(error.contains(why), "{expression}: {error}");
        }
        assert!(calculate(&"(".repeat(900)).unwrap_err().contains("nests"));
        assert!(calculate(&"-".repeat(900)).unwrap_err().contains("nests"));
        assert!(calculate(&"1+".repeat(900)).unwrap_err().contains("at most 1000"));
    }

    #[test]
    fn calls_are_lines_of_json() {
        let ran = |message: &str| run(message).into_iter().map(|ran| ran.result).collect::<Vec<_>>();
        assert_eq!(ran("{\"name\": \"calculator\", \"arguments\": {\"expression\": \"6*7\"}}"), ["42"]);
        // Arguments as a string, after some words; two calls at once.
        let two = "Let me see.\n{\"name\":\"calculator\",\"arguments\":\"{\\\"expression\\\":\\\"1+1\\\"}\"}\n\
                   {\"name\":\"calculator\",\"arguments\":{\"expression\":\"1/0\"}}";
        assert_eq!(ran(two), ["2", "error: division by zero"]);
        assert!(ran("{\"name\": \"shell\", \"arguments\": {}}")[0].contains("no tool `shell`"));
        assert!(ran("{\"name\": \"calculator\", \"arguments\": \"6*7\"}")[0].contains("wants"));
        assert_eq!(ran("It is 42. {\"a\": 1}\n{\"a\": 1}\n{}\n4"), [""; 0]);
    }
}
