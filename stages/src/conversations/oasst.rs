//! `oasst`: conversations out of Open Assistant's trees of messages.

use gristmill_tokenizer::conversation::{Message, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::found::{self, Found};
use crate::json_lines::default_maximum_line_bytes;
use crate::stage::{
    BuildContext, Declares, Reason, Runtime, Shape, Source, SourceOutput, Split, StageConfig, StageError,
};

/// Reads Open Assistant's message trees, JSON lines with `prompt`: a message with `replies`, each again with replies.
///
/// A conversation is a path from the root to an answer. `replies = "best"` takes one a tree: of several answers the one that
/// people ranked highest (`rank` 0; without ranks the first), of several further questions the first that was answered.
/// `replies = "all"` takes every path that ends in an answer which no other answer follows. Messages that were deleted or did not
/// pass review end their branch. The id is that of the last message. Trees that are not `ready_for_export` are passed over
/// (`not_ready`). Writes `messages` and a readable `text`; `offset` is the line number, beginning with 1.
/// Form: https://github.com/LAION-AI/Open-Assistant/blob/main/docs/docs/data/schemas.md
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Oasst {
    /// Files: paths or globs, relative to the recipe; plain or packed with gzip or zstd.
    pub paths: Vec<String>,
    /// Which paths of a tree become conversations: `best` or `all`.
    #[serde(default)]
    pub replies: Replies,
    /// Only trees whose first message is in one of these languages (`lang`); empty takes all (`other_language`).
    #[serde(default)]
    pub languages: Vec<String>,
    /// Longer lines are passed over (`record_too_large`).
    #[serde(default = "default_maximum_line_bytes")]
    pub maximum_line_bytes: u64,
}

/// Which paths of a tree become conversations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Replies {
    /// One: always on to the answer that is ranked highest.
    #[default]
    Best,
    /// Every one that ends in an answer.
    All,
}

impl StageConfig for Oasst {
    const KIND: &'static str = "oasst";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Source;
    const REASONS: &'static [Reason] = &[
        "bad_json",
        "record_too_large",
        "truncated_record",
        "not_ready",
        "other_language",
        "no_messages",
        "unknown_role",
        "empty_message",
        "no_answer",
    ];

    fn declares(&self) -> Declares {
        found::declares(&self.paths)
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Source(Box::new(Trees(self.clone()))))
    }
}

struct Trees(Oasst);

impl Source for Trees {
    fn read(&self, split: &Split, output: &mut dyn SourceOutput) -> Result<(), StageError> {
        found::read_lines(split, self.0.maximum_line_bytes, output, &|row| self.conversations(row))
    }
}

impl Trees {
    fn conversations(&self, row: &Value) -> Result<Vec<Found>, Reason> {
        let root = row.get("prompt").filter(|root| root.is_object()).ok_or("no_messages")?;
        // An export of one state may leave the word out.
        if row["tree_state"].as_str().is_some_and(|state| state != "ready_for_export") {
            return Err("not_ready");
        }
        let languages = &self.0.languages;
        if !languages.is_empty()
            && !root["lang"].as_str().is_some_and(|lang| languages.iter().any(|l| l == lang))
        {
            return Err("other_language");
        }
        if role(root)? != Role::User {
            return Err("unknown_role");
        }
        let mut ends = Vec::new();
        if passed(root) {
            answers(root, &mut Vec::new(), self.0.replies, &mut ends);
        }
        if ends.is_empty() { Err("no_answer") } else { Ok(ends) }
    }
}

fn role(message: &Value) -> Result<Role, Reason> {
    match message["role"].as_str() {
        Some("prompter") => Ok(Role::User),
        Some("assistant") => Ok(Role::Assistant),
        _ => Err("unknown_role"),
    }
}

/// Whether a message stands: neither deleted nor refused in review.
fn passed(message: &Value) -> bool {
    message["deleted"] != true && message["review_result"] != false
}

fn text(message: &Value) -> String {
    message["text"].as_str().unwrap_or_default().to_owned()
}

/// Replies that stand and have this role, the best-ranked first, then in the file's order.
fn replies(message: &Value, wanted: Role) -> Vec<&Value> {
    let all = message["replies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut replies: Vec<&Value> =
        all.iter().filter(|reply| passed(reply) && role(reply) == Ok(wanted)).collect();
    replies.sort_by_key(|reply| reply["rank"].as_u64().unwrap_or(u64::MAX));
    replies
}

/// Adds every conversation that goes on from `question`, whose ancestors are `path`. JSON readers bound how deep trees are.
fn answers(question: &Value, path: &mut Vec<Message>, which: Replies, ends: &mut Vec<Found>) {
    path.push(Message::new(Role::User, text(question)));
    for answer in replies(question, Role::Assistant) {
        path.push(Message::new(Role::Assistant, text(answer)));
        let before = ends.len();
        for next in replies(answer, Role::User) {
            answers(next, path, which, ends);
            if which == Replies::Best && ends.len() > before {
                break;
            }
        }
        if ends.len() == before {
            let id = answer["message_id"].as_str().map(str::to_owned);
            ends.push(Found { id, messages: path.clone() });
        }
        path.pop();
        if which == Replies::Best {
            break;
        }
    }
    path.pop();
}

#[cfg(test)]
mod tests {
    use super::super::found::tests::read;
    use super::*;
    use serde_json::json;

    fn message(id: &str, role: &str, rank: Option<u64>, replies: &[Value]) -> Value {
        json!({"message_id": id, "text": id, "role": role, "rank": rank, "lang": "en", "deleted": false,
            "review_result": true, "replies": replies})
    }

    fn prompter(id: &str, replies: &[Value]) -> Value {
        message(id, "prompter", None, replies)
    }

    /// q -> a0 (rank 1), a1 (rank 0) -> q1 (unanswered), q2 -> a2, q3 -> a3; a4 deleted, though ranked best.
    fn tree() -> Value {
        let mut deleted = message("a4", "assistant", Some(0), &[]);
        deleted["deleted"] = json!(true);
        let follow_up = |q: &str, a: &str| prompter(q, &[message(a, "assistant", None, &[])]);
        let best = [prompter("q1", &[]), follow_up("q2", "a2"), follow_up("q3", "a3")];
        let answers =
            [deleted, message("a0", "assistant", Some(1), &[]), message("a1", "assistant", Some(0), &best)];
        json!({"message_tree_id": "q", "tree_state": "ready_for_export", "prompt": prompter("q", &answers)})
    }

    fn ids(config: &Value, rows: &[Value]) -> (Vec<(String, String)>, Vec<(u64, Reason)>) {
        let config: Oasst = serde_json::from_value(config.clone()).unwrap();
        let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
        let (conversations, skipped) = read(&config, &lines.join("\n"));
        (conversations.into_iter().map(|(id, messages)| (id, messages.join(" | "))).collect(), skipped)
    }

    #[test]
    fn the_best_path_follows_ranks_and_answers() {
        let (best, _) = ids(&json!({"paths": []}), &[tree()]);
        assert_eq!(
            best,
            [("a2".to_owned(), "user: q | assistant: a1 | user: q2 | assistant: a2".to_owned())]
        );
    }

    #[test]
    fn all_paths_end_in_answers_that_no_answer_follows() {
        let (all, _) = ids(&json!({"paths": [], "replies": "all"}), &[tree()]);
        let ends: Vec<&str> = all.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ends, ["a2", "a3", "a0"]);
        assert_eq!(all[2].1, "user: q | assistant: a0");
    }

    #[test]
    fn trees_that_give_nothing_are_counted() {
        let mut unready = tree();
        unready["tree_state"] = json!("growing");
        let mut german = tree();
        german["prompt"]["lang"] = json!("de");
        let mut refused = tree();
        refused["prompt"]["review_result"] = json!(false);
        let mut begun_by_model = tree();
        begun_by_model["prompt"]["role"] = json!("assistant");
        let rows = [
            unready,
            german,
            refused,
            begun_by_model,
            json!({"prompt": prompter("q", &[])}),
            json!({"text": "x"}),
            json!({"prompt": prompter("q", &[message(" ", "assistant", None, &[])])}),
            tree(),
        ];
        let (found, skipped) = ids(&json!({"paths": [], "languages": ["en"]}), &rows);
        assert_eq!(found.len(), 1);
        let expected = [
            (1, "not_ready"),
            (2, "other_language"),
            (3, "no_answer"),
            (4, "unknown_role"),
            (5, "no_answer"),
            (6, "no_messages"),
            (7, "empty_message"),
        ];
        assert_eq!(skipped, expected);
    }
}
