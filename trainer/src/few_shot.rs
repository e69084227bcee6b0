//! Few-shot prompts: what makes a base model answer. It continues text, so that a text of solved examples, broken off where the
//! next answer would stand, is continued by an answer (Brown et al. 2020).

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// A prompt of an instruction, solved examples and questions, as a file holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FewShot {
    /// What stands at the very beginning.
    #[serde(default)]
    pub instruction: String,
    /// How an example is written: `{question}` and `{answer}` once each, in this order. A question is written up to
    /// `{answer}`, and the model goes on from there.
    #[serde(default = "default_template")]
    pub template: String,
    /// What ends an answer. Default: what the template writes behind `{answer}`.
    #[serde(default)]
    pub stop: Option<String>,
    /// Solved examples, in order.
    #[serde(default, rename = "example")]
    pub examples: Vec<Example>,
    /// What is asked, each in a prompt of its own.
    #[serde(default)]
    pub questions: Vec<String>,
}

/// A solved example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// What was asked.
    pub question: String,
    /// What is to be answered.
    pub answer: String,
}

fn default_template() -> String {
    "Question: {question}\nAnswer: {answer}\n\n".into()
}

const QUESTION: &str = "{question}";
const ANSWER: &str = "{answer}";

impl FewShot {
    /// Reads a TOML file, or a JSON file (`*.json`) of the same keys.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the prompts `{}`", path.display()))?;
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        Self::parse(&text, is_json).with_context(|| format!("in `{}`", path.display()))
    }

    fn parse(text: &str, is_json: bool) -> Result<Self> {
        let prompts: Self = if is_json { serde_json::from_str(text)? } else { toml::from_str(text)? };
        let once = |part: &str| prompts.template.matches(part).count() == 1;
        ensure!(
            once(QUESTION) && once(ANSWER) && prompts.template.find(QUESTION) < prompts.template.find(ANSWER),
            "`template = {:?}` must hold `{{question}}` once and then `{{answer}}` once",
            prompts.template
        );
        ensure!(
            !prompts.stop().is_empty(),
            "nothing ends an answer: the template ends with `{{answer}}`, and there is no `stop`"
        );
        Ok(prompts)
    }

    /// The template around question and answer.
    fn parts(&self) -> (&str, &str, &str) {
        let (before, rest) = self.template.split_once(QUESTION).unwrap_or((&self.template, ""));
        let (between, after) = rest.split_once(ANSWER).unwrap_or((rest, ""));
        (before, between, after)
    }

    fn stop(&self) -> &str {
        self.stop.as_deref().unwrap_or(self.parts().2)
    }

    /// What a model reads to answer `question`. White space at its end is left to the answer, where tokenizers put it.
    pub fn prompt(&self, question: &str) -> String {
        let (before, between, after) = self.parts();
        let mut text = self.instruction.clone();
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        for Example { question, answer } in &self.examples {
            for part in [before, question, between, answer, after] {
                text.push_str(part);
            }
        }
        for part in [before, question, between] {
            text.push_str(part);
        }
        text.truncate(text.trim_end_matches([' ', '\t']).len());
        text
    }

    /// The answer in what a model wrote, and whether the model itself ended it.
    pub fn answer<'a>(&self, written: &'a str) -> (&'a str, bool) {
        let end = written.find(self.stop());
        (written[..end.unwrap_or(written.len())].trim(), end.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "instruction = \"Sums.\"\nquestions = [\"2+2?\"]\n[[example]]\nquestion = \"1+1?\"\nanswer = \"2\"\n";

    #[test]
    fn a_prompt_breaks_off_where_the_answer_would_stand() {
        let prompts = FewShot::parse(FILE, false).unwrap();
        let expected = "Sums.\n\nQuestion: 1+1?\nAnswer: 2\n\nQuestion: 2+2?\nAnswer:";
        assert_eq!(prompts.prompt(&prompts.questions[0]), expected);
        assert_eq!(prompts.answer(" 4\n\nQuestion: 3"), ("4", true));
        assert_eq!(prompts.answer(" 4\nand"), ("4\nand", false));
        // The same as JSON.
        let json = serde_json::to_string(&prompts).unwrap();
        assert_eq!(FewShot::parse(&json, true).unwrap(), prompts);
        let own = format!("template = \"Q {{question}} A {{answer}}\"\nstop = \"Q\"\n{FILE}");
        let own = FewShot::parse(&own, false).unwrap();
        assert_eq!(own.prompt("x"), "Sums.\n\nQ 1+1? A 2Q x A");
        assert_eq!(own.answer(" 9 Q 3"), ("9", true));
    }

    #[test]
    fn mistakes_are_named() {
        let wrong =
            |line: &str| format!("{:#}", FewShot::parse(&format!("{line}\n{FILE}"), false).unwrap_err());
        assert!(wrong("template = \"{answer} {question}\\n\"").contains("`{question}` once and then"));
        assert!(wrong("template = \"{question} {question} {answer}\\n\"").contains("once"));
        assert!(wrong("template = \"{question} {answer}\"").contains("nothing ends an answer"));
        assert!(wrong("templates = \"\"").contains("templates"));
    }
}
