//! `sharegpt`: conversations as lists of `{from, value}`.

use gristmill_tokenizer::conversation::{Message, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::found::{self, Found, add_tools, system};
use crate::json_lines::{default_id_field, default_maximum_line_bytes, id_in};
use crate::stage::{
    BuildContext, Declares, Reason, Runtime, Shape, Source, SourceOutput, Split, StageConfig, StageError,
};

/// Reads conversations in ShareGPT's form, JSON lines with `conversations`: a list of `{from, value}`.
///
/// `human` and `user` are the user; `gpt`, `chatgpt`, `bard`, `bing`, `model` and `assistant` the assistant,
/// as is `function_call`, what it asks to be run; `observation`, `function_response` and `tool` are the tool;
/// `system` the system. A field `system` and one `tools` of the row make the system's message or a part of
/// it. Other words drop the row (`unknown_role`). Writes `messages` and a readable `text`; `offset` is the
/// line number, beginning with 1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareGpt {
    /// Files: paths or globs, relative to the recipe; plain or packed with gzip or zstd.
    pub paths: Vec<String>,
    /// The field that holds the list.
    #[serde(default = "default_field")]
    pub conversations_field: String,
    /// The field that holds the id (a string or a number). Without it an id is made from file and line.
    #[serde(default = "default_id_field")]
    pub id_field: String,
    /// Longer lines are passed over (`record_too_large`).
    #[serde(default = "default_maximum_line_bytes")]
    pub maximum_line_bytes: u64,
}

fn default_field() -> String {
    "conversations".into()
}

impl StageConfig for ShareGpt {
    const KIND: &'static str = "sharegpt";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Source;
    const REASONS: &'static [Reason] = found::REASONS;

    fn declares(&self) -> Declares {
        found::declares(&self.paths)
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Source(Box::new(Turns(self.clone()))))
    }
}

struct Turns(ShareGpt);

impl Source for Turns {
    fn read(&self, split: &Split, output: &mut dyn SourceOutput) -> Result<(), StageError> {
        found::read_lines(split, self.0.maximum_line_bytes, output, &|row| self.conversation(row))
    }
}

impl Turns {
    fn conversation(&self, row: &Value) -> Result<Vec<Found>, Reason> {
        let turns = row[&self.0.conversations_field].as_array().ok_or("no_messages")?;
        let mut messages = Vec::with_capacity(turns.len() + 1);
        messages.extend(system(row));
        for turn in turns {
            let role = match turn["from"].as_str().unwrap_or_default() {
                "human" | "user" => Role::User,
                "gpt" | "chatgpt" | "bard" | "bing" | "model" | "assistant" | "function_call" => {
                    Role::Assistant
                }
                "observation" | "function_response" | "tool" => Role::Tool,
                "system" => Role::System,
                _ => return Err("unknown_role"),
            };
            messages.push(Message::new(role, turn["value"].as_str().ok_or("not_text")?));
        }
        add_tools(&mut messages, row.get("tools"));
        Ok(vec![Found { id: id_in(row.get(&self.0.id_field)), messages }])
    }
}

#[cfg(test)]
mod tests {
    use super::super::found::tests::read;
    use super::*;
    use crate::json_lines::place_id;

    #[test]
    fn turns_become_messages_and_bad_rows_are_counted() {
        let config: ShareGpt = serde_json::from_str(r#"{"paths": []}"#).unwrap();
        let lines = r#"{"id": "a", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}
{"conversations": [{"from": "human", "value": "Age?"}, {"from": "function_call", "value": "{}"}, {"from": "observation", "value": "31"}, {"from": "gpt", "value": "31."}], "tools": "[{\"name\": \"age\"}]"}
{"conversations": [{"from": "alien", "value": "x"}]}
{"conversations": [{"from": "human", "value": 3}]}
{"conversations": [{"from": "gpt", "value": "Hello"}]}
{"text": "x"}
[1]
{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": ""}]}
{oops"#;
        let (conversations, skipped) = read(&config, lines);
        assert_eq!(
            conversations,
            [
                ("a".to_owned(), vec!["user: Hi".to_owned(), "assistant: Hello".into()]),
                (
                    place_id("x.jsonl", 2),
                    vec![
                        "system: Tools that you can call:\n[{\"name\": \"age\"}]".into(),
                        "user: Age?".into(),
                        "assistant: {}".into(),
                        "tool: 31".into(),
                        "assistant: 31.".into(),
                    ]
                ),
            ]
        );
        let expected = [
            (3, "unknown_role"),
            (4, "not_text"),
            (5, "no_question"),
            (6, "no_messages"),
            (7, "no_messages"),
            (8, "empty_message"),
            (9, "bad_json"),
        ];
        assert_eq!(skipped, expected);
    }
}
