//! Conversations as tokens: the golden file says which ids and which mask; what a template cannot be is said by name.

use gristmill_tokenizer::conversation::{Message, Role, Template};
use gristmill_tokenizer::{Pattern, PretokenCounts, Tokenizer, TrainOptions, train};
use proptest::prelude::*;
use serde_json::Value;

/// Bytes and the default special tokens; no merges, so that ids can be checked by eye.
fn bytes() -> Tokenizer {
    let options = TrainOptions { vocab_size: 264, ..TrainOptions::default() };
    train(&PretokenCounts::new(Pattern::cl100k()), &options).unwrap()
}

/// With merges over the template's own words.
fn merged() -> Tokenizer {
    let mut counts = PretokenCounts::new(Pattern::cl100k());
    counts.add(
        "user assistant system <|iam_end|> <|iam_end|> <|iam_start|> <|iam_start|> user user assistant tool",
    );
    train(&counts, &TrainOptions { vocab_size: 300, ..TrainOptions::default() }).unwrap()
}

fn template(message: &str) -> Template {
    Template { message: message.to_owned() }
}

fn numbers<T: TryFrom<u64>>(value: &Value) -> Vec<T> {
    let items = value.as_array().unwrap().iter();
    items.map(|item| T::try_from(item.as_u64().unwrap()).ok().unwrap()).collect()
}

#[test]
fn golden_conversations_have_their_ids_and_masks() {
    let tokenizer = bytes();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/conversations.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    assert_eq!(text.lines().count(), 6);
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let name = case["name"].as_str().unwrap();
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let format = template(case["template"].as_str().unwrap()).for_tokenizer(&tokenizer).unwrap();
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        format.render(&tokenizer, &messages, &mut ids, &mut mask);
        assert_eq!(ids, numbers::<u32>(&case["ids"]), "{name}");
        assert_eq!(mask, numbers::<u8>(&case["mask"]), "{name}");
        // The pieces say the same for a reader, and for any tokenizer.
        let tokenizer = merged();
        let format = template(case["template"].as_str().unwrap()).for_tokenizer(&tokenizer).unwrap();
        let (mut expected_ids, mut expected_mask) = (Vec::new(), Vec::new());
        for piece in case["pieces"].as_array().unwrap() {
            match piece["special"].as_str() {
                Some(special) => expected_ids.push(tokenizer.special(special).unwrap()),
                None => tokenizer.encode_into(piece["text"].as_str().unwrap(), &mut expected_ids),
            }
            expected_mask.resize(expected_ids.len(), piece["learn"].as_u64().unwrap() as u8);
        }
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        format.render(&tokenizer, &messages, &mut ids, &mut mask);
        assert_eq!((ids, mask), (expected_ids, expected_mask), "{name}");
    }
}

#[test]
fn a_prompt_is_a_conversation_up_to_the_answer() {
    let tokenizer = merged();
    let format = Template::default().for_tokenizer(&tokenizer).unwrap();
    let question = [Message::new(Role::User, "Who?")];
    let whole = [question[0].clone(), Message::new(Role::Assistant, "I am user.")];
    let (mut ids, mut mask) = (Vec::new(), Vec::new());
    format.render(&tokenizer, &whole, &mut ids, &mut mask);
    let prompt = format.prompt(&tokenizer, &question);
    assert_eq!(prompt, ids[..prompt.len()]);
    assert_eq!(mask.iter().position(|&learn| learn == 1), Some(prompt.len()));
    assert_eq!(ids.last(), Some(&format.end()));
}

#[test]
fn templates_that_cannot_work_are_refused_with_the_reason() {
    for (text, expected) in [
        ("<|iam_start|>{content}<|iam_end|>", "it must have `{role}` once"),
        ("{role}{role}{content}<|iam_end|>", "it must have `{role}` once"),
        ("<|iam_start|>{role}", "it must have `{content}` once"),
        ("{role}{content}", "a special token must follow `{content}`"),
        ("{role}: {content}\n<|iam_end|>", "a special token must follow `{content}`"),
        ("{content}<|iam_end|>{role}", "`{role}` must stand before"),
        ("<|im_start|>{role}\n{content}<|im_end|>", "the tokenizer has no special token `<|im_start|>`"),
        ("{role}<|iam_sep|>{content}<|bos|>", "`<|bos|>` begins documents"),
    ] {
        let error = template(text).for_tokenizer(&bytes()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(text), "{error}");
    }
    let plain = bytes().with_specials(&["<|endoftext|>".to_owned()]).unwrap();
    let error = Template::default().for_tokenizer(&plain).unwrap_err().to_string();
    for expected in ["no special token `<|iam_start|>`", "it has `<|endoftext|>`", "`special_tokens`"] {
        assert!(error.contains(expected), "{error}");
    }
    let bare = bytes().with_specials(&["<|iam_end|>".to_owned()]).unwrap();
    let error = template("{role}{content}<|iam_end|>").for_tokenizer(&bare).unwrap_err().to_string();
    assert!(error.contains("no BOS token"), "{error}");
}

#[test]
fn messages_read_and_write_as_json() {
    let json = r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b","learn":false}]"#;
    let messages: Vec<Message> = serde_json::from_str(json).unwrap();
    assert!(messages[0].learn && !messages[1].learn);
    assert_eq!(serde_json::to_string(&messages).unwrap(), json);
}

proptest! {
    /// Whatever a message quotes, special ids stand where the template has them, and the mask is on answers alone.
    #[test]
    fn content_never_makes_a_special_token(
        contents in proptest::collection::vec(
            "(<\\|(bos|iam_start|iam_sep|iam_end)\\|>|\\{role\\}|[a-z <|>\u{e9}\n]){0,6}", 1..5),
    ) {
        let tokenizer = merged();
        let format = Template::default().for_tokenizer(&tokenizer).unwrap();
        let roles = [Role::User, Role::Assistant, Role::Tool, Role::System];
        let messages: Vec<Message> = contents.iter().enumerate().map(|(i, c)| Message::new(roles[i % 4], c)).collect();
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        format.render(&tokenizer, &messages, &mut ids, &mut mask);
        prop_assert_eq!(ids.iter().filter(|id| tokenizer.is_special(**id)).count(), 1 + 3 * messages.len());
        let learnt: Vec<u32> = ids.iter().zip(&mask).filter(|(_, m)| **m == 1).map(|(id, _)| *id).collect();
        let mut expected = Vec::new();
        for message in messages.iter().filter(|message| message.role == Role::Assistant) {
            tokenizer.encode_into(&message.content, &mut expected);
            expected.push(format.end());
        }
        prop_assert_eq!(learnt, expected);
    }
}
