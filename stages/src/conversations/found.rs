//! When messages are a conversation that a model can learn from, and how it becomes a document.

use std::sync::Arc;

use arrow::array::LargeStringBuilder;
use gristmill_corpus::batch::Document;
use gristmill_corpus::{DocBatchBuilder, columns};
use gristmill_tokenizer::conversation::{Message, Role};
use serde_json::Value;

use crate::json_lines::{self, place_id};
use crate::stage::{Declares, Reason, Skipped, SourceOutput, Split, StageError};

/// Every reason why a row or a conversation in it is passed over.
pub(super) const REASONS: &[Reason] = &[
    "bad_json",
    "record_too_large",
    "truncated_record",
    "no_messages",
    "unknown_role",
    "not_text",
    "empty_message",
    "misplaced_system",
    "no_question",
    "no_answer",
    "nothing_to_learn",
];

/// What a source of conversations declares.
pub(super) fn declares(paths: &[String]) -> Declares {
    let mut declares = Declares::source(paths, columns::TEXT);
    declares.writes.push(columns::MESSAGES.to_owned());
    declares
}

/// A conversation as a row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The row's own word for it, unique; an id is made from the place where there is none.
    pub id: Option<String>,
    /// Its messages, not yet checked.
    pub messages: Vec<Message>,
}

/// Messages that make a conversation: a system's message only as the first, then a user's; none empty; at
/// least one of an assistant that is to be learnt. What follows the assistant's last message teaches nothing
/// and is cut off.
pub(super) fn checked(mut messages: Vec<Message>) -> Result<Vec<Message>, Reason> {
    if messages.is_empty() {
        return Err("no_messages");
    }
    let last = messages.iter().rposition(|message| message.role == Role::Assistant).ok_or("no_answer")?;
    messages.truncate(last + 1);
    if messages.iter().any(|message| message.content.trim().is_empty()) {
        return Err("empty_message");
    }
    let is_system = |message: &Message| message.role == Role::System;
    if messages.iter().skip(1).any(is_system) {
        return Err("misplaced_system");
    }
    if messages.iter().find(|message| !is_system(message)).is_some_and(|first| first.role != Role::User) {
        return Err("no_question");
    }
    if !messages.iter().any(|message| message.role == Role::Assistant && message.learn) {
        return Err("nothing_to_learn");
    }
    Ok(messages)
}

/// The system's message that a row has in a field of its own.
pub(super) fn system(row: &Value) -> Option<Message> {
    let text = row["system"].as_str().filter(|text| !text.trim().is_empty())?;
    Some(Message::new(Role::System, text))
}

/// Tools that an assistant may call, as part of the system's message: without them its calls would come from
/// nowhere.
pub(super) fn add_tools(messages: &mut Vec<Message>, tools: Option<&Value>) {
    let tools = match tools {
        Some(Value::String(text)) if !matches!(text.trim(), "" | "[]") => text.clone(),
        Some(Value::Array(list)) if !list.is_empty() => Value::from(list.clone()).to_string(),
        _ => return,
    };
    let tools = format!("Tools that you can call:\n{tools}");
    match messages.first_mut().filter(|first| first.role == Role::System) {
        Some(system) => system.content = format!("{}\n\n{tools}", system.content),
        None => messages.insert(0, Message::new(Role::System, tools)),
    }
}

/// The id of conversation `index` of a row that is called `id`.
pub(super) fn nth(id: String, index: usize) -> String {
    if index == 0 { id } else { format!("{id}#{index}") }
}

/// The conversation for people and for stages that judge text: `User: …`, an empty line, `Assistant: …`.
fn readable(messages: &[Message]) -> String {
    let name = |role| match role {
        Role::System => "System",
        Role::User => "User",
        Role::Assistant => "Assistant",
        Role::Tool => "Tool",
    };
    let lines = messages.iter().map(|message| format!("{}: {}", name(message.role), message.content));
    lines.collect::<Vec<_>>().join("\n\n")
}

/// Turns conversations into batches of documents.
pub(super) struct Documents<'a> {
    split: &'a Split,
    output: &'a mut dyn SourceOutput,
    builder: DocBatchBuilder,
    messages: LargeStringBuilder,
}

impl<'a> Documents<'a> {
    pub(super) fn new(split: &'a Split, output: &'a mut dyn SourceOutput) -> Self {
        let builder = DocBatchBuilder::new(columns::TEXT);
        Self { split, output, builder, messages: LargeStringBuilder::new() }
    }

    /// The conversations of the row at `offset`, or the reason why it has none.
    pub(super) fn row(&mut self, offset: u64, found: Result<Vec<Found>, Reason>) -> Result<(), StageError> {
        let found = match found {
            Ok(found) if found.is_empty() => Err("no_messages"),
            found => found,
        };
        let found = match found {
            Ok(found) => found,
            Err(reason) => return self.output.skip(Skipped { id: "", url: "", offset, reason }),
        };
        for (index, Found { id, messages }) in found.into_iter().enumerate() {
            let id = id.unwrap_or_else(|| nth(place_id(&self.split.name, offset), index));
            let messages = match checked(messages) {
                Ok(messages) => messages,
                Err(reason) => {
                    self.output.skip(Skipped { id: &id, url: "", offset, reason })?;
                    continue;
                }
            };
            self.messages
                .append_value(serde_json::to_string(&messages).expect("messages are strings and booleans"));
            self.builder.push(&Document {
                id: &id,
                url: "",
                date: "",
                dump: "",
                file_path: &self.split.name,
                offset,
                content: &readable(&messages),
            });
            if self.builder.is_full() {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StageError> {
        let batch = self.builder.finish();
        self.output.documents(batch.with_column(columns::MESSAGES, Arc::new(self.messages.finish()))?)
    }

    /// Hands the last batch on.
    pub(super) fn finish(mut self) -> Result<(), StageError> {
        if self.builder.is_empty() { Ok(()) } else { self.flush() }
    }
}

/// Reads JSON lines by what `conversations` makes of each row.
pub(super) fn read_lines(
    split: &Split,
    maximum_line_bytes: u64,
    output: &mut dyn SourceOutput,
    conversations: &dyn Fn(&Value) -> Result<Vec<Found>, Reason>,
) -> Result<(), StageError> {
    let mut documents = Documents::new(split, output);
    json_lines::read(split, maximum_line_bytes, &mut |number, row| {
        documents.row(number, row.and_then(|row| conversations(&row)))
    })?;
    documents.finish()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::stage::StageConfig;
    use crate::warc_source::tests::collect;

    /// Id and messages, each as `role: content`.
    pub(crate) type Conversation = (String, Vec<String>);
    /// Line and reason.
    pub(crate) type SkippedRow = (u64, Reason);

    /// What a source makes of a file with these lines.
    pub(crate) fn read(config: &impl StageConfig, lines: &str) -> (Vec<Conversation>, Vec<SkippedRow>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        std::fs::write(&path, lines).unwrap();
        let found = collect(config, &path, "x.jsonl").unwrap();
        let conversations = found.column("id").into_iter().zip(found.column("messages")).map(|(id, json)| {
            let messages: Vec<Message> = serde_json::from_str(&json).unwrap();
            let line = |m: &Message| {
                format!("{}{}: {}", m.role.word(), if m.learn { "" } else { " (read)" }, m.content)
            };
            (id, messages.iter().map(line).collect())
        });
        let skipped = found.skipped.iter().map(|(_, line, reason)| (*line, *reason)).collect();
        (conversations.collect(), skipped)
    }

    fn messages(roles: &str) -> Vec<Message> {
        let role = |letter| match letter {
            's' => Role::System,
            'u' => Role::User,
            't' => Role::Tool,
            _ => Role::Assistant,
        };
        let learn = |letter| letter != 'x';
        roles.chars().map(|c| Message { role: role(c), content: "c".into(), learn: learn(c) }).collect()
    }

    #[test]
    fn what_is_a_conversation() {
        for (roles, expected) in [
            ("ua", Ok(2)),
            ("sua", Ok(3)),
            ("uaua", Ok(4)),
            ("uatau", Ok(4)),
            ("uxua", Ok(4)),
            ("uau", Ok(2)),
            ("uaauuaut", Ok(6)),
            ("", Err("no_messages")),
            ("u", Err("no_answer")),
            ("su", Err("no_answer")),
            ("a", Err("no_question")),
            ("sa", Err("no_question")),
            ("tua", Err("no_question")),
            ("usa", Err("misplaced_system")),
            ("ssua", Err("misplaced_system")),
            ("ux", Err("nothing_to_learn")),
        ] {
            assert_eq!(checked(messages(roles)).map(|messages| messages.len()), expected, "{roles}");
        }
        let mut blank = messages("ua");
        blank[1].content = " \n".into();
        assert_eq!(checked(blank), Err("empty_message"));
    }

    #[test]
    fn tools_go_into_the_system_s_message() {
        let mut list = messages("ua");
        add_tools(&mut list, Some(&serde_json::json!("[{\"name\":\"f\"}]")));
        assert_eq!(list[0].content, "Tools that you can call:\n[{\"name\":\"f\"}]");
        let mut with_system = messages("sua");
        add_tools(&mut with_system, Some(&serde_json::json!([{"name": "f"}])));
        assert_eq!(with_system[0].content, "c\n\nTools that you can call:\n[{\"name\":\"f\"}]");
        for none in [serde_json::json!("[]"), serde_json::json!([]), serde_json::json!(null)] {
            let mut list = messages("ua");
            add_tools(&mut list, Some(&none));
            assert_eq!(list.len(), 2);
        }
    }

    #[test]
    fn the_text_is_for_people() {
        let mut list = messages("sua");
        list[1].content = "What?\nNow".into();
        assert_eq!(readable(&list), "System: c\n\nUser: What?\nNow\n\nAssistant: c");
    }
}
