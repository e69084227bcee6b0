//! `alpaca`: an instruction, perhaps an input, and the answer.

use gristmill_tokenizer::conversation::{Message, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::found::{self, Found, nth, system};
use crate::json_lines::{default_id_field, default_maximum_line_bytes, id_in};
use crate::stage::{
    BuildContext, Declares, Reason, Runtime, Shape, Source, SourceOutput, Split, StageConfig, StageError,
};

/// Reads instructions with their answers, JSON lines with `instruction`, `input` and `output`, as Alpaca has
/// them.
///
/// Each makes a conversation of one question and one answer. The question is the instruction and, behind an
/// empty line, the input where there is one; the words that Alpaca puts around both are not added, and are
/// taken off where a row has them already (Dolly's and others' `prompt`). A row with `instances`, as
/// self-instruct's, makes a conversation each. A field `system` is the system's message. Writes `messages`
/// and a readable `text`; `offset` is the line number, beginning with 1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alpaca {
    /// Files: paths or globs, relative to the recipe; plain or packed with gzip or zstd.
    pub paths: Vec<String>,
    /// The field that holds the instruction.
    #[serde(default = "default_instruction")]
    pub instruction_field: String,
    /// The field that holds what the instruction is about; it may be absent or empty.
    #[serde(default = "default_input")]
    pub input_field: String,
    /// The field that holds the answer.
    #[serde(default = "default_output")]
    pub output_field: String,
    /// The field that holds the id (a string or a number). Without it an id is made from file and line.
    #[serde(default = "default_id_field")]
    pub id_field: String,
    /// Longer lines are passed over (`record_too_large`).
    #[serde(default = "default_maximum_line_bytes")]
    pub maximum_line_bytes: u64,
}

fn default_instruction() -> String {
    "instruction".into()
}

fn default_input() -> String {
    "input".into()
}

fn default_output() -> String {
    "output".into()
}

impl StageConfig for Alpaca {
    const KIND: &'static str = "alpaca";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Source;
    const REASONS: &'static [Reason] = found::REASONS;

    fn declares(&self) -> Declares {
        found::declares(&self.paths)
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Source(Box::new(Instructions(self.clone()))))
    }
}

struct Instructions(Alpaca);

impl Source for Instructions {
    fn read(&self, split: &Split, output: &mut dyn SourceOutput) -> Result<(), StageError> {
        found::read_lines(split, self.0.maximum_line_bytes, output, &|row| self.conversations(row))
    }
}

impl Instructions {
    fn conversations(&self, row: &Value) -> Result<Vec<Found>, Reason> {
        let Alpaca { instruction_field, input_field, output_field, id_field, .. } = &self.0;
        let instruction = row[instruction_field].as_str().ok_or("no_messages")?;
        let instances = match row["instances"].as_array() {
            Some(instances) => instances.iter().collect(),
            None => vec![row],
        };
        let found = instances.into_iter().enumerate().map(|(index, instance)| {
            let answer = match &instance[output_field] {
                Value::String(text) => text.clone(),
                Value::Null => return Err("no_answer"),
                _ => return Err("not_text"),
            };
            let mut messages = Vec::new();
            messages.extend(system(row));
            let (instruction, wrapped_input) = unwrapped(instruction);
            let input = wrapped_input.or_else(|| instance[input_field].as_str()).unwrap_or_default();
            let question = match input.trim() {
                "" => instruction.to_owned(),
                input => format!("{instruction}\n\n{input}"),
            };
            messages.push(Message::new(Role::User, question));
            messages.push(Message::new(Role::Assistant, answer));
            Ok(Found { id: id_in(row.get(id_field)).map(|id| nth(id, index)), messages })
        });
        found.collect()
    }
}

/// Instruction and input of a prompt in Alpaca's words (`### Instruction:` … `### Input:` … `### Response:`);
/// any other text as it is.
fn unwrapped(prompt: &str) -> (&str, Option<&str>) {
    let inner = prompt
        .split_once("### Instruction:\n")
        .and_then(|(_, rest)| Some(rest.trim_end().strip_suffix("### Response:")?.trim()));
    match inner {
        None => (prompt, None),
        Some(inner) => match inner.split_once("### Input:\n") {
            Some((instruction, input)) => (instruction.trim(), Some(input)),
            None => (inner, None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::found::tests::read;
    use super::*;

    #[test]
    fn instructions_become_conversations_and_bad_rows_are_counted() {
        let config: Alpaca = serde_json::from_str(r#"{"paths": []}"#).unwrap();
        let lines = r#"{"instruction": "Add.", "input": "2 and 2", "output": "4"}
{"instruction": "Greet.", "input": "", "output": "Hello."}
{"id": "s", "instruction": "Opposite?", "instances": [{"input": "hot", "output": "cold"}, {"input": "up", "output": "down"}, {"input": "x"}]}
{"id": "m", "instruction": "Opposite?", "instances": [{"input": "hot", "output": "cold"}, {"input": "up", "output": "down"}]}
{"instruction": "Say.", "output": ""}
{"instruction": "Say."}
{"instruction": "Say.", "output": 3}
{"output": "a"}"#;
        let (conversations, skipped) = read(&config, lines);
        let lists: Vec<&[String]> = conversations.iter().map(|(_, messages)| &messages[..]).collect();
        assert_eq!(
            lists,
            [
                ["user: Add.\n\n2 and 2", "assistant: 4"],
                ["user: Greet.", "assistant: Hello."],
                ["user: Opposite?\n\nhot", "assistant: cold"],
                ["user: Opposite?\n\nup", "assistant: down"],
            ]
        );
        assert_eq!((conversations[2].0.as_str(), conversations[3].0.as_str()), ("m", "m#1"));
        let expected =
            [(3, "no_answer"), (5, "empty_message"), (6, "no_answer"), (7, "not_text"), (8, "no_messages")];
        assert_eq!(skipped, expected);
    }

    #[test]
    fn prompts_in_alpaca_s_words_lose_them() {
        let config: Alpaca = serde_json::from_str(
            r#"{"paths": [], "instruction_field": "prompt", "output_field": "response"}"#,
        )
        .unwrap();
        let lines = r#"{"prompt": "Below is an instruction.\n\n### Instruction:\nWhat is tea?\n\n### Response:\n", "response": "A drink."}
{"prompt": "Below.\n\n### Instruction:\nCount.\n\n### Input:\na b\n\n### Response:", "response": "2"}
{"prompt": "What does ### Instruction: mean?", "response": "A heading."}"#;
        let (conversations, skipped) = read(&config, lines);
        let questions: Vec<&str> = conversations.iter().map(|(_, messages)| messages[0].as_str()).collect();
        assert_eq!(
            questions,
            ["user: What is tea?", "user: Count.\n\na b", "user: What does ### Instruction: mean?"]
        );
        assert!(skipped.is_empty());
    }
}
