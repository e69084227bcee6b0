//! A conversation as tokens: which ids stand for its messages, and which of them the assistant writes.
//!
//! A [`Template`] says how one message is written, with special tokens around what it holds:
//! `<|iam_start|>{role}<|iam_sep|>{content}<|iam_end|>`. Special ids come from the template alone: content that quotes
//! `<|iam_end|>` encodes to ordinary ids, so that nobody can end somebody else's turn. The mask is 1 exactly on what an
//! assistant writes: its content and the special token that ends it.

use serde::{Deserialize, Serialize};

use crate::{Tokenizer, TokenizerError};

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Whoever set the conversation up.
    System,
    /// The person.
    User,
    /// The model: what it learns to write.
    Assistant,
    /// What running a tool gave.
    Tool,
}

impl Role {
    /// As a column of messages writes it: `system`, `user`, `assistant`, `tool`.
    pub fn word(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who wrote it.
    pub role: Role,
    /// What it says.
    pub content: String,
    /// Whether a model learns to write it, if it is the assistant's. Left out where true.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub learn: bool,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_true(value: &bool) -> bool {
    *value
}

impl Message {
    /// A message that counts.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), learn: true }
    }
}

/// How conversations are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// One message: `{role}` and `{content}` stand for what it has, `<|…|>` and the tokenizer's other special tokens for
    /// themselves, the rest is ordinary text. A special token must follow `{content}`: it ends the turn.
    pub message: String,
}

/// The form that [`crate::DEFAULT_SPECIALS`] are made for.
pub const DEFAULT_TEMPLATE: &str = "<|iam_start|>{role}<|iam_sep|>{content}<|iam_end|>";

/// The file beside shards of conversations that holds their [`Template`] as JSON.
pub const TEMPLATE_FILE: &str = "template.json";

impl Default for Template {
    fn default() -> Self {
        Self { message: DEFAULT_TEMPLATE.to_owned() }
    }
}

/// A piece of a template's text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece<'a> {
    Special(&'a str),
    Text(&'a str),
    Role,
    Content,
}

/// A [`Template`] for one tokenizer: what stands before and behind the content of each role's messages.
#[derive(Debug, Clone)]
pub struct ChatFormat {
    bos: u32,
    headers: [Vec<u32>; 4],
    end: u32,
    rest: Vec<u32>,
}

impl Template {
    /// Looks the template's special tokens up in `tokenizer`.
    ///
    /// # Errors
    /// [`TokenizerError::Options`] when the template has no place for a role or a content, does not end its turns, or has
    /// special tokens that the tokenizer lacks.
    pub fn for_tokenizer(&self, tokenizer: &Tokenizer) -> Result<ChatFormat, TokenizerError> {
        let wrong = |why: String| TokenizerError::Options(format!("template `{}`: {why}", self.message));
        let pieces = pieces(&self.message, tokenizer);
        for place in [Piece::Role, Piece::Content] {
            if pieces.iter().filter(|piece| **piece == place).count() != 1 {
                let name = if place == Piece::Role { "{role}" } else { "{content}" };
                return Err(wrong(format!(
                    "it must have `{name}` once; `{DEFAULT_TEMPLATE}` is a template that works"
                )));
            }
        }
        let special = |name: &str| {
            tokenizer.special(name).ok_or_else(|| {
                let there: Vec<&str> = tokenizer.specials().iter().map(|(name, _)| name.as_str()).collect();
                wrong(format!(
                    "the tokenizer has no special token `{name}`; it has `{}`\nhint: a tokenizer of your own gets it by \
                     `special_tokens` of `tokenizer_train` (the default has `<|iam_start|>`, `<|iam_sep|>`, `<|iam_end|>`), \
                     before pretraining, because a model's embedding has a row for each id; for a model that exists, write \
                     `template` with special tokens that its tokenizer has",
                    there.join("`, `")
                ))
            })
        };
        let at = pieces.iter().position(|piece| *piece == Piece::Content).expect("counted above");
        let (before, after) = (&pieces[..at], &pieces[at + 1..]);
        if !before.contains(&Piece::Role) {
            return Err(wrong(
                "`{role}` must stand before `{content}`: who writes must be known first".into(),
            ));
        }
        let Some(Piece::Special(end_name)) = after.first() else {
            return Err(wrong(
                "a special token must follow `{content}` at once: without one the model cannot end its turn"
                    .into(),
            ));
        };
        let ids_of = |pieces: &[Piece<'_>], role: &str| -> Result<Vec<u32>, TokenizerError> {
            let mut ids = Vec::new();
            let mut text = String::new();
            for piece in pieces {
                match piece {
                    Piece::Text(words) => text.push_str(words),
                    Piece::Role => text.push_str(role),
                    Piece::Special(name) => {
                        tokenizer.encode_into(&std::mem::take(&mut text), &mut ids);
                        ids.push(special(name)?);
                    }
                    Piece::Content => unreachable!("the content stands between the two halves"),
                }
            }
            tokenizer.encode_into(&text, &mut ids);
            Ok(ids)
        };
        let mut headers: [Vec<u32>; 4] = Default::default();
        for role in [Role::System, Role::User, Role::Assistant, Role::Tool] {
            headers[role as usize] = ids_of(before, role.word())?;
        }
        let bos = tokenizer.bos().ok_or_else(|| {
            wrong(
                "the tokenizer has no BOS token, which begins every conversation; `<|bos|>` as a special token is one"
                    .into(),
            )
        })?;
        let end = special(end_name)?;
        if end == bos {
            return Err(wrong(format!(
                "`{end_name}` begins documents and cannot end turns too; take another special token"
            )));
        }
        Ok(ChatFormat { bos, headers, end, rest: ids_of(&after[1..], "")? })
    }
}

/// Cuts a template's text. Whatever looks like `<|…|>` is meant as a special token, as is every special token's name.
fn pieces<'a>(text: &'a str, tokenizer: &Tokenizer) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let (mut at, mut plain) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        let known = tokenizer
            .specials()
            .iter()
            .map(|(name, _)| name.len())
            .filter(|len| rest.get(..*len).is_some_and(|start| tokenizer.special(start).is_some()));
        let quoted = rest.strip_prefix("<|").and_then(|inner| inner.find("|>")).map(|len| len + 4);
        let (piece, len) = if let Some(len) = known.max().or(quoted) {
            (Piece::Special(&rest[..len]), len)
        } else if rest.starts_with("{role}") {
            (Piece::Role, "{role}".len())
        } else if rest.starts_with("{content}") {
            (Piece::Content, "{content}".len())
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        if plain < at {
            pieces.push(Piece::Text(&text[plain..at]));
        }
        pieces.push(piece);
        at += len;
        plain = at;
    }
    if plain < text.len() {
        pieces.push(Piece::Text(&text[plain..]));
    }
    pieces
}

impl ChatFormat {
    /// The special token that ends every turn.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// Appends a conversation's ids, BOS first, and one byte for each of them: 1 on what an assistant writes (content and
    /// end of turn, of messages that are to be learnt), 0 elsewhere.
    pub fn render(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        ids: &mut Vec<u32>,
        mask: &mut Vec<u8>,
    ) {
        debug_assert_eq!(ids.len(), mask.len(), "one byte a token");
        ids.push(self.bos);
        for message in messages {
            ids.extend(&self.headers[message.role as usize]);
            mask.resize(ids.len(), 0);
            tokenizer.encode_into(&message.content, ids);
            ids.push(self.end);
            mask.resize(ids.len(), u8::from(message.role == Role::Assistant && message.learn));
            ids.extend(&self.rest);
        }
        mask.resize(ids.len(), 0);
    }

    /// What a model reads to write the assistant's next message: the conversation so far and the message's header.
    pub fn prompt(&self, tokenizer: &Tokenizer, messages: &[Message]) -> Vec<u32> {
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        self.render(tokenizer, messages, &mut ids, &mut mask);
        ids.extend(&self.headers[Role::Assistant as usize]);
        ids
    }
}
