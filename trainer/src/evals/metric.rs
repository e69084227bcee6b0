//! What is measured of each document, and what all of them amount to.

use anyhow::{Result, bail, ensure};
use fancy_regex::Regex;
use serde::{Deserialize, Serialize};

use crate::evals::prompt::{Gold, Item};
use crate::evals::task::OutputType;

/// What a model answered to one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Of a continuation or a text.
    Likelihood {
        /// Natural logarithm of its probability.
        log: f64,
        /// Whether greedy decoding would have written it.
        greedy: bool,
    },
    /// What was written.
    Text(String),
}

/// An entry of `metric_list`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Which.
    pub metric: MetricKind,
    #[serde(default)]
    ignore_case: bool,
    #[serde(default)]
    ignore_punctuation: bool,
    #[serde(default)]
    ignore_numbers: bool,
    #[serde(default)]
    regexes_to_ignore: Vec<String>,
    // Each metric has one aggregation and one direction here.
    #[serde(default, rename = "aggregation")]
    _aggregation: Option<String>,
    #[serde(default, rename = "higher_is_better")]
    _higher_is_better: Option<bool>,
}

/// The metrics that are known, by the harness's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// Share of documents whose likeliest choice is right, or whose continuation is written greedily.
    Acc,
    /// As `acc`, with each choice's log-likelihood divided by its characters.
    AccNorm,
    /// As `acc`, with each choice's log-likelihood divided by its bytes.
    AccBytes,
    /// Share of documents whose text is right; of choices: whose right choice is written greedily.
    ExactMatch,
    /// exp of the mean negative log-likelihood of a continuation.
    Perplexity,
    /// exp of the negative log-likelihood a word.
    WordPerplexity,
    /// exp of the negative log-likelihood a byte.
    BytePerplexity,
    /// Negative log-likelihood a byte, in bits.
    BitsPerByte,
}

impl MetricKind {
    /// Its name in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Acc => "acc",
            Self::AccNorm => "acc_norm",
            Self::AccBytes => "acc_bytes",
            Self::ExactMatch => "exact_match",
            Self::Perplexity => "perplexity",
            Self::WordPerplexity => "word_perplexity",
            Self::BytePerplexity => "byte_perplexity",
            Self::BitsPerByte => "bits_per_byte",
        }
    }

    fn suits(self, output: OutputType) -> bool {
        match output {
            OutputType::MultipleChoice => {
                matches!(self, Self::Acc | Self::AccNorm | Self::AccBytes | Self::ExactMatch)
            }
            OutputType::Loglikelihood => matches!(self, Self::Acc | Self::Perplexity),
            OutputType::LoglikelihoodRolling => {
                matches!(self, Self::WordPerplexity | Self::BytePerplexity | Self::BitsPerByte)
            }
            OutputType::GenerateUntil => self == Self::ExactMatch,
        }
    }
}

impl Metric {
    fn plain(metric: MetricKind) -> Self {
        Self {
            metric,
            ignore_case: false,
            ignore_punctuation: false,
            ignore_numbers: false,
            regexes_to_ignore: Vec::new(),
            _aggregation: None,
            _higher_is_better: None,
        }
    }

    /// What a task measures that does not say.
    pub fn defaults(output: OutputType) -> Vec<Self> {
        let kinds: &[MetricKind] = match output {
            OutputType::MultipleChoice => &[MetricKind::Acc, MetricKind::AccNorm],
            OutputType::Loglikelihood => &[MetricKind::Perplexity, MetricKind::Acc],
            OutputType::LoglikelihoodRolling => {
                &[MetricKind::WordPerplexity, MetricKind::BytePerplexity, MetricKind::BitsPerByte]
            }
            OutputType::GenerateUntil => &[MetricKind::ExactMatch],
        };
        kinds.iter().copied().map(Self::plain).collect()
    }

    /// Errors where the metric says nothing about such a task.
    pub fn check(&self, output: OutputType) -> Result<()> {
        ensure!(
            self.metric.suits(output),
            "the metric `{}` does not suit `output_type: {output:?}`",
            self.metric.name()
        );
        for regex in &self.regexes_to_ignore {
            Regex::new(regex)?;
        }
        Ok(())
    }

    /// What one document adds: a value and its weight. `answers` belong to the item's requests.
    pub fn of(&self, item: &Item, answers: &[Answer]) -> Result<(f64, f64)> {
        let truth = |value: bool| Ok((f64::from(value), 1.0));
        match (self.metric, &item.gold, answers) {
            (MetricKind::ExactMatch, Gold::Texts(gold), [Answer::Text(text)]) => {
                let text = self.cleaned(text)?;
                let gold = gold.iter().map(|gold| self.cleaned(gold)).collect::<Result<Vec<_>>>()?;
                truth(gold.contains(&text))
            }
            (kind, Gold::Choices(gold), answers) => {
                let likelihoods = answers.iter().map(likelihood).collect::<Result<Vec<_>>>()?;
                let length = |choice: &String| match kind {
                    MetricKind::AccNorm => choice.chars().count() as f64,
                    MetricKind::AccBytes => choice.len() as f64,
                    _ => 1.0,
                };
                if kind == MetricKind::ExactMatch {
                    return truth(gold.iter().any(|&index| likelihoods[index].1));
                }
                let scores: Vec<f64> = likelihoods
                    .iter()
                    .zip(&item.choices)
                    .map(|((log, _), choice)| log / length(choice))
                    .collect();
                truth(gold.contains(&first_highest(&scores)))
            }
            (kind, Gold::Nothing, [answer]) => {
                let (log, greedy) = likelihood(answer)?;
                match kind {
                    MetricKind::Acc => truth(greedy),
                    MetricKind::WordPerplexity => Ok((log, item.words as f64)),
                    MetricKind::BytePerplexity | MetricKind::BitsPerByte => Ok((log, item.bytes as f64)),
                    _ => Ok((log, 1.0)),
                }
            }
            (kind, ..) => bail!("the metric `{}` does not suit the answers", kind.name()),
        }
    }

    fn cleaned(&self, text: &str) -> Result<String> {
        let mut text = text.to_owned();
        for regex in &self.regexes_to_ignore {
            text = Regex::new(regex)?.replace_all(&text, "").into_owned();
        }
        if self.ignore_case {
            text = text.to_lowercase();
        }
        text.retain(|c| {
            !(self.ignore_punctuation && c.is_ascii_punctuation()
                || self.ignore_numbers && c.is_ascii_digit())
        });
        Ok(text)
    }
}

fn likelihood(answer: &Answer) -> Result<(f64, bool)> {
    match answer {
        Answer::Likelihood { log, greedy } => Ok((*log, *greedy)),
        Answer::Text(_) => bail!("expected a likelihood, but a text came"),
    }
}

/// As numpy's argmax: the first of equal ones, and a value that is not a number before all others.
fn first_highest(scores: &[f64]) -> usize {
    let mut best = 0;
    for (index, score) in scores.iter().enumerate() {
        if score.is_nan() {
            return index;
        }
        if *score > scores[best] {
            best = index;
        }
    }
    best
}

/// A metric over all documents.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Its value.
    pub value: f64,
    /// Standard error over documents, by the jackknife; of a mean that is the sample's deviation over √n. Absent for
    /// one document.
    pub stderr: Option<f64>,
    /// Where the value lies with 95 % confidence: Wilson's interval for shares, else 1.96 standard errors.
    pub interval: Option<(f64, f64)>,
}

/// What all documents amount to, from each one's value and weight.
pub fn estimate(kind: MetricKind, parts: &[(f64, f64)]) -> Estimate {
    let whole = |value: f64, weight: f64| {
        let mean = value / weight;
        match kind {
            MetricKind::Acc | MetricKind::AccNorm | MetricKind::AccBytes | MetricKind::ExactMatch => mean,
            MetricKind::Perplexity | MetricKind::WordPerplexity | MetricKind::BytePerplexity => (-mean).exp(),
            MetricKind::BitsPerByte => -mean / std::f64::consts::LN_2,
        }
    };
    let (sum, weight) = parts.iter().fold((0.0, 0.0), |(a, b), (value, weight)| (a + value, b + weight));
    let value = whole(sum, weight);
    let n = parts.len() as f64;
    if parts.len() < 2 {
        return Estimate { value, stderr: None, interval: None };
    }
    // Efron 1982: what the value would be without each document in turn.
    let without: Vec<f64> = parts.iter().map(|(v, w)| whole(sum - v, weight - w)).collect();
    let mean = without.iter().sum::<f64>() / n;
    let spread: f64 = without.iter().map(|value| (value - mean).powi(2)).sum();
    let stderr = ((n - 1.0) / n * spread).sqrt();
    let interval = match kind {
        MetricKind::Acc | MetricKind::AccNorm | MetricKind::AccBytes | MetricKind::ExactMatch => {
            wilson(value, n)
        }
        _ => (value - Z * stderr, value + Z * stderr),
    };
    Estimate { value, stderr: Some(stderr), interval: Some(interval) }
}

/// The normal distribution's 97.5 % point.
const Z: f64 = 1.959_963_984_540_054;

/// The interval of a share of `n` with 95 % confidence (Wilson 1927): it stays within 0 and 1, and is no point at either.
pub fn wilson(share: f64, n: f64) -> (f64, f64) {
    let middle = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

/// An entry of `filter_list`: steps that cut an answer out of a written text.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// Its name in results.
    pub name: String,
    filter: Vec<Filter>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "function", rename_all = "snake_case", deny_unknown_fields)]
enum Filter {
    /// The answer is taken as it is; there is one a document.
    TakeFirst {},
    Regex {
        #[serde(default = "default_regex")]
        regex_pattern: String,
        /// Which match, counted from 0, or from the last one: -1.
        #[serde(default)]
        group_select: i64,
        #[serde(default = "default_fallback")]
        fallback: String,
    },
    Lowercase {},
    Uppercase {},
    RemoveWhitespace {},
}

fn default_regex() -> String {
    r"#### (\-?[0-9\.\,]+)".into()
}

fn default_fallback() -> String {
    "[invalid]".into()
}

impl Filters {
    /// The text as it was written.
    pub fn none() -> Self {
        Self { name: "none".into(), filter: Vec::new() }
    }

    /// Errors where a pattern is none.
    pub fn check(&self) -> Result<()> {
        for filter in &self.filter {
            if let Filter::Regex { regex_pattern, .. } = filter {
                Regex::new(regex_pattern)?;
            }
        }
        Ok(())
    }

    /// A likelihood stays as it is.
    pub fn apply(&self, answer: &Answer) -> Result<Answer> {
        let Answer::Text(text) = answer else { return Ok(answer.clone()) };
        let mut text = text.clone();
        for filter in &self.filter {
            text = match filter {
                Filter::TakeFirst {} => text,
                Filter::Lowercase {} => text.to_lowercase(),
                Filter::Uppercase {} => text.to_uppercase(),
                Filter::RemoveWhitespace {} => text.trim().to_owned(),
                Filter::Regex { regex_pattern, group_select, fallback } => {
                    let found = matches(&Regex::new(regex_pattern)?, &text)?;
                    let index =
                        if *group_select < 0 { found.len() as i64 + group_select } else { *group_select };
                    let chosen = usize::try_from(index).ok().and_then(|index| found.into_iter().nth(index));
                    chosen.flatten().map_or_else(|| fallback.clone(), |text| text.trim().to_owned())
                }
            };
        }
        Ok(Answer::Text(text))
    }
}

/// As Python's `findall`: the first group that holds something, or the whole match where there are no groups.
fn matches(regex: &Regex, text: &str) -> Result<Vec<Option<String>>> {
    let mut found = Vec::new();
    for captures in regex.captures_iter(text) {
        let captures = captures?;
        let group = |index: usize| captures.get(index).map(|group| group.as_str().to_owned());
        found.push(match captures.len() {
            1 => group(0),
            2 => Some(group(1).unwrap_or_default()),
            n => (1..n).filter_map(group).find(|group| !group.is_empty()),
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(yaml: &str, text: &str) -> String {
        let filters: Filters = serde_yaml_ng::from_str(&format!("name: f\nfilter: [{yaml}]")).unwrap();
        match filters.apply(&Answer::Text(text.into())).unwrap() {
            Answer::Text(text) => text,
            Answer::Likelihood { .. } => unreachable!(),
        }
    }

    #[test]
    fn answers_are_cut_out_of_texts() {
        let last = "{function: regex, group_select: -1, regex_pattern: '(-?[$0-9.,]{2,})|(-?[0-9]+)'}";
        assert_eq!(filtered(last, "3 and 4, so 7 apples"), "7");
        assert_eq!(filtered(last, "none"), "[invalid]");
        assert_eq!(filtered("{function: regex}", "so\n#### 1,234 \n"), "1,234");
        assert_eq!(filtered("{function: regex, group_select: 3}", "#### 1"), "[invalid]");
        assert_eq!(filtered("{function: lowercase}, {function: remove_whitespace}", " A b\n"), "a b");
        assert_eq!(filtered("{function: uppercase}, {function: take_first}", "a"), "A");
    }

    #[test]
    fn a_jackknifed_mean_has_the_textbook_error() {
        let parts = [(1.0, 1.0), (0.0, 1.0), (1.0, 1.0), (1.0, 1.0)];
        let estimate = estimate(MetricKind::Acc, &parts);
        assert!((estimate.value - 0.75).abs() < 1e-12);
        // Sample deviation 0.5, over √4.
        assert!((estimate.stderr.unwrap() - 0.25).abs() < 1e-12);
        // Wilson's interval of 3 in 4, from his formula by hand.
        let (low, high) = estimate.interval.unwrap();
        assert!((low - 0.3006).abs() < 1e-4 && (high - 0.9544).abs() < 1e-4, "{low} {high}");
    }

    #[test]
    fn equal_scores_go_to_the_first_choice() {
        assert_eq!(first_highest(&[-2.0, -1.0, -1.0]), 1);
        assert_eq!(first_highest(&[f64::NEG_INFINITY; 3]), 0);
    }

    #[test]
    fn comparison_ignores_what_it_is_told_to() {
        let yaml = "metric: exact_match\nignore_case: true\nignore_punctuation: true\nregexes_to_ignore: [\",\", \"the \"]";
        let metric: Metric = serde_yaml_ng::from_str(yaml).unwrap();
        assert_eq!(metric.cleaned("the Answer: 1,000.").unwrap(), "answer 1000");
    }
}
