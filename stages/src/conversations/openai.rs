//! `openai_messages`: conversations as lists of `{role, content}`.

use gristmill_tokenizer::conversation::{Message, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::found::{self, Found, add_tools};
use crate::json_lines::{default_id_field, default_maximum_line_bytes, id_in};
use crate::stage::{
    BuildContext, Declares, Reason, Runtime, Shape, Source, SourceOutput, Split, StageConfig, StageError,
};

/// Reads conversations in OpenAI's form, JSON lines with `messages`: a list of `{role, content}`; or the list
/// alone, a line each.
///
/// `developer` is the system, `function` the tool. Content is a string or a list of parts of text; other
/// parts drop the row (`not_text`). An assistant's `tool_calls` are written into its content as JSON, and
/// `tools` of the row into the system's message. A message of the assistant with `weight` or `loss_weight` 0
/// is read and not learnt. What `write_jsonl` writes of conversations is read too. Writes `messages` and a
/// readable `text`; `offset` is the line number, beginning with 1. Form:
/// <https://platform.openai.com/docs/guides/fine-tuning>
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenAiMessages {
    /// Files: paths or globs, relative to the recipe; plain or packed with gzip or zstd.
    pub paths: Vec<String>,
    /// The field that holds the list.
    #[serde(default = "default_field")]
    pub messages_field: String,
    /// The field that holds the id (a string or a number). Without it an id is made from file and line.
    #[serde(default = "default_id_field")]
    pub id_field: String,
    /// Longer lines are passed over (`record_too_large`).
    #[serde(default = "default_maximum_line_bytes")]
    pub maximum_line_bytes: u64,
}

fn default_field() -> String {
    "messages".into()
}

impl StageConfig for OpenAiMessages {
    const KIND: &'static str = "openai_messages";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Source;
    const REASONS: &'static [Reason] = found::REASONS;

    fn declares(&self) -> Declares {
        found::declares(&self.paths)
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Source(Box::new(Lists(self.clone()))))
    }
}

struct Lists(OpenAiMessages);

impl Source for Lists {
    fn read(&self, split: &Split, output: &mut dyn SourceOutput) -> Result<(), StageError> {
        found::read_lines(split, self.0.maximum_line_bytes, output, &|row| {
            let mut messages = messages(if row.is_array() { row } else { &row[&self.0.messages_field] })?;
            add_tools(&mut messages, row.get("tools"));
            Ok(vec![Found { id: id_in(row.get(&self.0.id_field)), messages }])
        })
    }
}

/// A list of messages, or one as JSON in a string, as the column `messages` has it; `smoltalk` has them too.
pub(super) fn messages(value: &Value) -> Result<Vec<Message>, Reason> {
    match value {
        Value::Array(list) => list.iter().map(message).collect(),
        Value::String(json) => match serde_json::from_str(json) {
            Ok(Value::Array(list)) => list.iter().map(message).collect(),
            _ => Err("no_messages"),
        },
        _ => Err("no_messages"),
    }
}

/// One `{role, content}`.
fn message(value: &Value) -> Result<Message, Reason> {
    let role = match value["role"].as_str().unwrap_or_default() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" | "function" => Role::Tool,
        _ => return Err("unknown_role"),
    };
    let mut content = match &value["content"] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(parts) => {
            let text = |part: &Value| match part["type"].as_str() {
                Some("text") => part["text"].as_str().or_else(|| part["value"].as_str()).map(str::to_owned),
                _ => None,
            };
            parts.iter().map(text).collect::<Option<Vec<_>>>().ok_or("not_text")?.concat()
        }
        _ => return Err("not_text"),
    };
    if let Some(calls) = value["tool_calls"].as_array().filter(|calls| !calls.is_empty()) {
        // What is called with which arguments; ids and types only tie calls to answers.
        let call =
            |call: &Value| if call["function"].is_object() { call["function"].clone() } else { call.clone() };
        for call in calls.iter().map(call) {
            if !content.is_empty() {
                content.push('\n');
            }
            content.push_str(&call.to_string());
        }
    }
    let weight = value["weight"].as_f64().or_else(|| value["loss_weight"].as_f64());
    let learn = role != Role::Assistant || (weight != Some(0.0) && value["learn"] != false);
    Ok(Message { role, content, learn })
}

#[cfg(test)]
mod tests {
    use super::super::found::tests::read;
    use super::*;

    #[test]
    fn lists_become_conversations_and_bad_rows_are_counted() {
        let config: OpenAiMessages = serde_json::from_str(r#"{"paths": []}"#).unwrap();
        let lines = r#"{"id": 1, "messages": [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "value": "b"}]}, {"role": "assistant", "content": "c", "weight": 0}, {"role": "user", "content": "d"}, {"role": "assistant", "content": "e", "loss_weight": 1.0}]}
[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
{"id": "t", "messages": [{"role": "user", "content": "now?"}, {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}]}, {"role": "tool", "content": "9"}, {"role": "assistant", "content": "Nine."}, {"role": "user", "content": "thanks"}]}
{"messages": [{"role": "user", "content": [{"type": "image_url"}]}, {"role": "assistant", "content": "A cat."}]}
{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]}
{"messages": [{"role": "critic", "content": "a"}]}
{"messages": []}
{"messages": [{"role": "user", "content": "a"}]}
{"prompt": "a"}
{"id": "w", "messages": "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\",\"learn\":false},{\"role\":\"assistant\",\"content\":\"c\"}]"}
{"messages": "[{"}"#;
        let (conversations, skipped) = read(&config, lines);
        let lists: Vec<&[String]> = conversations.iter().map(|(_, messages)| &messages[..]).collect();
        assert_eq!(
            lists,
            [
                &["system: Be kind.", "user: ab", "assistant (read): c", "user: d", "assistant: e"][..],
                &["user: Hi", "assistant: Hello"],
                &[
                    "user: now?",
                    "assistant: {\"name\":\"clock\",\"arguments\":\"{}\"}",
                    "tool: 9",
                    "assistant: Nine."
                ],
                &["user: a", "assistant (read): b", "assistant: c"],
            ]
        );
        assert_eq!((conversations[0].0.as_str(), conversations[2].0.as_str()), ("1", "t"));
        let expected = [
            (4, "not_text"),
            (5, "nothing_to_learn"),
            (6, "unknown_role"),
            (7, "no_messages"),
            (8, "no_answer"),
            (9, "no_messages"),
            (11, "no_messages"),
        ];
        assert_eq!(skipped, expected);
    }
}
