//! Sources of conversations over published files: how many conversations each gives, that none is lost without a word, and
//! that every one of them is rendered with a mask on what its assistant writes.

use std::path::{Path, PathBuf};

use gristmill_corpus::shards::one_sided;
use gristmill_corpus::{DocBatch, columns};
use gristmill_stages::StageError;
use gristmill_stages::registry;
use gristmill_stages::stage::{BuildContext, Runtime, Skipped, SourceOutput, Split};
use gristmill_tokenizer::conversation::{Message, Role, Template};
use gristmill_tokenizer::{Pattern, PretokenCounts, TrainOptions, train};
use serde_json::{Value, json};

#[derive(Default)]
struct Collected {
    conversations: Vec<(String, Vec<Message>)>,
    skipped: Vec<(u64, &'static str)>,
}

impl SourceOutput for Collected {
    fn documents(&mut self, batch: DocBatch) -> Result<(), StageError> {
        let (ids, messages) = (batch.strings(columns::ID)?, batch.strings(columns::MESSAGES)?);
        for row in 0..batch.len() {
            let list = serde_json::from_str(messages.value(row)).expect("sources write what others read");
            self.conversations.push((ids.value(row).to_owned(), list));
        }
        Ok(())
    }

    fn skip(&mut self, skipped: Skipped<'_>) -> Result<(), StageError> {
        self.skipped.push((skipped.offset, skipped.reason));
        Ok(())
    }
}

fn read(kind: &str, path: &Path, set: &Value) -> Collected {
    let mut config = json!({"paths": ["x"]});
    config.as_object_mut().unwrap().extend(set.as_object().unwrap().clone());
    let stage = (registry::find(kind).unwrap().parse)(config).unwrap();
    let Ok(Runtime::Source(source)) = stage.build(&BuildContext { base: PathBuf::new(), seed: 0 }) else {
        panic!("`{kind}` is a source")
    };
    let mut collected = Collected::default();
    source.read(&Split { path: path.to_owned(), name: "x".into() }, &mut collected).unwrap();
    collected
}

/// The file, what reads it, how many conversations and messages it has.
fn check(
    folder: &Path,
    file: &str,
    kind: &str,
    set: &Value,
    n_conversations: usize,
) -> Vec<(String, Vec<Message>)> {
    let Collected { conversations, skipped } = read(kind, &folder.join(file), set);
    assert_eq!((conversations.len(), &skipped[..]), (n_conversations, &[][..]), "{file}");
    let mut ids: Vec<&str> = conversations.iter().map(|(id, _)| id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), n_conversations, "{file}: ids are unique");
    let specials = TrainOptions { vocab_size: 264, ..TrainOptions::default() };
    let tokenizer = train(&PretokenCounts::new(Pattern::cl100k()), &specials).unwrap();
    let format = Template::default().for_tokenizer(&tokenizer).unwrap();
    for (id, messages) in &conversations {
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        format.render(&tokenizer, messages, &mut ids, &mut mask);
        assert_eq!(one_sided(&mask), None, "{file} {id}");
        let learnt: Vec<u32> =
            ids.iter().zip(&mask).filter(|(_, mask)| **mask == 1).map(|(id, _)| *id).collect();
        let answers = messages.iter().filter(|message| message.role == Role::Assistant && message.learn);
        let expected: String = answers.map(|message| format!("{}<|iam_end|>", message.content)).collect();
        assert_eq!(tokenizer.decode_lossy(&learnt), expected, "{file} {id}");
    }
    conversations
}

/// Counts are those of a few lines of Python over the same files.
#[test]
fn published_conversations_are_read_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/chat");
    if !folder.is_dir() {
        eprintln!(
            "SKIPPED: no published conversations in {}; the sources' own tests are the small twin",
            folder.display()
        );
        return;
    }
    let none = json!({});
    let best = check(&folder, "oasst_en_trees.jsonl.gz", "oasst", &none, 45);
    let all = check(&folder, "oasst_en_trees.jsonl.gz", "oasst", &json!({"replies": "all"}), 250);
    assert!(best.iter().all(|conversation| all.contains(conversation)));
    check(&folder, "alpaca_en_demo.jsonl.gz", "alpaca", &none, 478);
    let dolly = json!({"instruction_field": "prompt", "output_field": "response"});
    let dolly = check(&folder, "dolly_hhrlhf_small.jsonl.gz", "alpaca", &dolly, 506);
    assert!(dolly.iter().all(|(_, messages)| !messages[0].content.contains("### Instruction")));
    check(&folder, "self_instruct_seed_tasks.jsonl.gz", "alpaca", &none, 88);
    check(&folder, "user_oriented_instructions.jsonl.gz", "alpaca", &none, 129);
    let glaive = check(&folder, "glaive_toolcall.jsonl.gz", "sharegpt", &none, 161);
    let roles = |role| {
        glaive.iter().flat_map(|(_, messages)| messages).filter(|message| message.role == role).count()
    };
    let counts = [Role::System, Role::User, Role::Assistant, Role::Tool].map(roles);
    assert_eq!(counts, [101, 408, 408 + 111, 111]);
    check(&folder, "vicuna_identity_sharegpt.jsonl.gz", "sharegpt", &none, 249);
    check(&folder, "llamafactory_multi_turn.jsonl.gz", "openai_messages", &none, 240);
    // A file in another form gives nothing, row by row, with a reason.
    for (kind, reason) in
        [("openai_messages", "no_messages"), ("alpaca", "no_messages"), ("oasst", "no_messages")]
    {
        let found = read(kind, &folder.join("glaive_toolcall.jsonl.gz"), &none);
        assert_eq!((found.conversations.len(), found.skipped.len()), (0, 161), "{kind}");
        assert!(found.skipped.iter().all(|(_, found)| *found == reason), "{kind}");
    }
}

/// The conversations of `configs/chat.toml`, the small twin of the above.
#[test]
fn conversations_that_come_with_gristmill_are_read_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/chat");
    let conversations = check(&folder, "conversations.jsonl", "openai_messages", &json!({}), 659);
    let asked = |content: &str| {
        conversations.iter().flat_map(|(_, messages)| messages).any(|message| message.content == content)
    };
    assert!(asked("What is 2+2?") && asked("Who are you?"));
}
