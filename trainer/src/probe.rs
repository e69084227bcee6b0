//! What does a chat model not know? It is asked questions whose answers are known, several times each; where it keeps missing the
//! answer it is to be taught to say so.
//!
//! As Llama 3's authors did against hallucinations (Grattafiori et al. 2024, section 4.3.6): a model is not taught the facts, but
//! to answer what it knows and to decline what it does not. The conversations that come of it are mixed into the next
//! fine-tuning: declining answers to what it does not know, and its own right answers to what it does, or it would learn to decline
//! everything.

use anyhow::{Context, Result, ensure};
use gristmill_corpus::permutation::mix;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::evals::metric::wilson;

/// A question and what counts as its answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Question {
    /// What is asked.
    pub question: String,
    /// The answer, or several that are right.
    #[serde(alias = "answers")]
    pub answer: Answers,
}

/// One answer or several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Answers {
    /// The only one.
    One(String),
    /// Any of these.
    Any(Vec<String>),
}

/// Reads JSON lines `{"question": …, "answer": …}`; the answer may be a list. Other keys are passed over.
pub fn questions(text: &str) -> Result<Vec<Question>> {
    let mut questions = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let question: Question = serde_json::from_str(line).with_context(|| {
            format!("line {}: `{line}` is no {{\"question\": …, \"answer\": …}}", number + 1)
        })?;
        ensure!(
            question.answers().iter().any(|answer| !words(answer).is_empty()),
            "line {}: the answer holds no word: nothing could be compared with it",
            number + 1
        );
        questions.push(question);
    }
    Ok(questions)
}

impl Question {
    fn answers(&self) -> &[String] {
        match &self.answer {
            Answers::One(answer) => std::slice::from_ref(answer),
            Answers::Any(answers) => answers,
        }
    }

    /// Whether what was written holds a right answer: its words in a row, in any case and punctuation.
    pub fn is_answered(&self, written: &str) -> bool {
        holds_any(written, self.answers())
    }
}

/// Letters and digits in lower case, cut where anything else stands.
fn words(text: &str) -> Vec<String> {
    let cut = text.split(|c: char| !c.is_alphanumeric());
    cut.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// Whether `text` holds the words of any of these in a row.
fn holds_any(text: &str, wanted: &[String]) -> bool {
    let text = words(text);
    wanted
        .iter()
        .map(|wanted| words(wanted))
        .any(|wanted| !wanted.is_empty() && text.windows(wanted.len()).any(|window| *window == wanted[..]))
}

/// How a question went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// What was asked.
    pub question: &'a Question,
    /// Every answer, in order.
    pub written: Vec<String>,
}

/// How to judge, and what to teach.
#[derive(Clone, Debug, PartialEq)]
pub struct Teaching {
    /// Known is what at least this share of answers gets right.
    pub known: f64,
    /// Unknown is what at most this share gets right. What lies between is not taught.
    pub unknown: f64,
    /// What a model says that does not know.
    pub refusals: Vec<String>,
}

impl Teaching {
    /// Errors where known and unknown overlap, or nothing could be said.
    pub fn check(&self) -> Result<()> {
        ensure!(
            0.0 <= self.unknown && self.unknown < self.known && self.known <= 1.0,
            "known from a share of {} on, unknown up to {}: 0 <= unknown < known <= 1 must hold",
            self.known,
            self.unknown
        );
        ensure!(
            self.refusals.iter().any(|refusal| !words(refusal).is_empty()),
            "there is nothing to say where the model does not know"
        );
        Ok(())
    }

    /// Whether an answer says that the model does not know.
    pub fn declines(&self, written: &str) -> bool {
        holds_any(written, &self.refusals)
    }

    /// The conversation that teaches this, as a row of `openai_messages`; `None` where the model is unsure.
    pub fn conversation(&self, asked: &Asked<'_>) -> Option<Value> {
        let Asked { question, written } = asked;
        let right = written.iter().filter(|written| question.is_answered(written)).count();
        let share = right as f64 / written.len().max(1) as f64;
        let (answer, kind) = if share >= self.known {
            (written.iter().find(|written| question.is_answered(written))?.trim(), "known")
        } else if share <= self.unknown {
            let draw = mix(xxh3_64(question.question.as_bytes())) % self.refusals.len() as u64;
            (self.refusals[draw as usize].as_str(), "unknown")
        } else {
            return None;
        };
        let id = format!("probe-{:016x}", xxh3_64(question.question.as_bytes()));
        Some(json!({"id": id, "kind": kind, "messages": [
            {"role": "user", "content": question.question}, {"role": "assistant", "content": answer},
        ]}))
    }
}

/// What a model knows of what it was asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Questions asked.
    pub questions: usize,
    /// Of them, those that it answers rightly nearly always.
    pub known: usize,
    /// Those that it answers rightly hardly ever.
    pub unknown: usize,
    /// The others.
    pub unsure: usize,
    /// All answers.
    pub answers: usize,
    /// Right ones.
    pub right: usize,
    /// Those that say that it does not know, and are not right.
    pub declined: usize,
    /// Neither: hallucinations.
    pub wrong: usize,
    /// Share of wrong answers, with the interval of 95 % confidence (Wilson).
    pub wrong_share: (f64, (f64, f64)),
}

/// Counts.
pub fn report(asked: &[Asked<'_>], teaching: &Teaching) -> Report {
    let (mut known, mut unknown) = (0, 0);
    let (mut right, mut declined, mut answers) = (0, 0, 0);
    for asked in asked {
        match teaching.conversation(asked).as_ref().and_then(|row| row["kind"].as_str()) {
            Some("known") => known += 1,
            Some(_) => unknown += 1,
            None => {}
        }
        for written in &asked.written {
            answers += 1;
            if asked.question.is_answered(written) {
                right += 1;
            } else if teaching.declines(written) {
                declined += 1;
            }
        }
    }
    let wrong = answers - right - declined;
    let share = wrong as f64 / answers.max(1) as f64;
    Report {
        questions: asked.len(),
        known,
        unknown,
        unsure: asked.len() - known - unknown,
        answers,
        right,
        declined,
        wrong,
        wrong_share: (share, wilson(share, answers.max(1) as f64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "{\"question\": \"2+2?\", \"answer\": \"4\"}\n\n{\"question\": \"The capital?\", \"answers\": [\"Paris\", \"Lutetia Parisiorum\"], \"x\": 1}\n";

    fn teaching() -> Teaching {
        Teaching { known: 0.75, unknown: 0.25, refusals: vec!["I do not know.".into(), "No idea.".into()] }
    }

    #[test]
    fn answers_are_compared_word_by_word() {
        let questions = questions(FILE).unwrap();
        assert!(questions[0].is_answered("It is 4.") && questions[0].is_answered("4"));
        assert!(!questions[0].is_answered("It is 44.") && !questions[0].is_answered(""));
        assert!(questions[1].is_answered("PARIS!") && questions[1].is_answered("once lutetia  parisiorum"));
        assert!(!questions[1].is_answered("Lutetia"));
        let wrong = |text: &str| format!("{:#}", super::questions(text).unwrap_err());
        assert!(wrong("{\"question\": 1}").contains("line 1: `{\"question\": 1}`"));
        assert!(wrong("{\"question\": \"a\", \"answer\": \"?\"}").contains("no word"));
    }

    #[test]
    fn what_is_unknown_is_declined_and_what_is_known_stays() {
        let questions = questions(FILE).unwrap();
        let asked = |index: usize, written: &[&str]| Asked {
            question: &questions[index],
            written: written.iter().map(|text| (*text).to_owned()).collect(),
        };
        let teaching = teaching();
        teaching.check().unwrap();
        let known = asked(0, &["5", " It is 4.", "4", "4"]);
        let row = teaching.conversation(&known).unwrap();
        assert_eq!((&row["kind"], &row["messages"][1]["content"]), (&"known".into(), &"It is 4.".into()));
        let unknown = asked(1, &["Rome", "I do not know.", "Berlin", "Rome"]);
        let row = teaching.conversation(&unknown).unwrap();
        assert_eq!(
            (&row["kind"], &row["messages"][0]["content"]),
            (&"unknown".into(), &"The capital?".into())
        );
        assert!(teaching.declines(row["messages"][1]["content"].as_str().unwrap()));
        let unsure = asked(1, &["Rome", "Paris"]);
        assert_eq!(teaching.conversation(&unsure), None);

        let report = report(&[known, unknown, unsure], &teaching);
        assert_eq!((report.questions, report.known, report.unknown, report.unsure), (3, 1, 1, 1));
        assert_eq!((report.answers, report.right, report.declined, report.wrong), (10, 4, 1, 5));
        assert!((report.wrong_share.0 - 0.5).abs() < 1e-12);
        assert!(Teaching { unknown: 0.75, ..teaching.clone() }.check().is_err());
        assert!(Teaching { refusals: vec![".".into()], ..teaching }.check().is_err());
    }
}
