//! Hugging Face `tokenizer.json`, in and out.
//!
//! Read: byte-level BPE with a `ByteLevel` or `Split` (+ `ByteLevel`) pre-tokenizer and no normalizer. Whatever else
//! would change ids is refused, by name. `post_processor` (which adds specials around text) and `decoder` are not used:
//! here only code places specials.

use crate::merge;
use crate::tokenizer::{Merge, Parts};
use crate::{Pattern, Tokenizer, TokenizerError};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

const FORMAT: &str = "tokenizer.json";

impl Tokenizer {
    /// Loads a `tokenizer.json` or a tiktoken rank file, gzipped or not; the content tells which. Of rank files,
    /// `r50k_base`, `cl100k_base` and `o200k_base` are known by their size; for others see [`Self::from_tiktoken`].
    ///
    /// # Errors
    /// [`TokenizerError::Io`] when the file cannot be read; [`TokenizerError::Format`] and
    /// [`TokenizerError::Unsupported`] when it is no tokenizer that this crate can run.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let path = path.as_ref();
        let io = |source| TokenizerError::Io { path: path.to_owned(), source };
        let mut bytes = std::fs::read(path).map_err(io)?;
        if bytes.starts_with(&[0x1F, 0x8B]) {
            let mut plain = Vec::new();
            flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain).map_err(io)?;
            bytes = plain;
        }
        Self::from_bytes(&bytes)
    }

    /// The same from bytes that are in memory (and not gzipped).
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenizerError> {
        match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => Self::from_json(bytes),
            _ => Self::from_known_tiktoken(bytes),
        }
    }

    /// Writes [`Self::to_json`] to `path`, replacing what is there.
    ///
    /// # Errors
    /// [`TokenizerError::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), TokenizerError> {
        let path = path.as_ref();
        std::fs::write(path, self.to_json())
            .map_err(|source| TokenizerError::Io { path: path.to_owned(), source })
    }

    /// The tokenizer as `tokenizer.json`. Equal tokenizers give equal bytes.
    ///
    /// Hugging Face's library gives the same ids for all text but one kind: it turns a special token's name in text into
    /// its id.
    pub fn to_json(&self) -> String {
        let parts = self.parts();
        let names: Vec<String> = parts.tokens.iter().map(|token| to_chars(token)).collect();
        let vocab: Map<String, Value> = names
            .iter()
            .enumerate()
            .filter(|(_, name)| !name.is_empty())
            .map(|(id, name)| (name.clone(), json!(id)))
            .collect();
        // Strings, not the newer arrays: every version reads them, and no byte-level name holds a space.
        let merges: Vec<String> = parts
            .merges
            .iter()
            .map(|m| format!("{} {}", names[m.left as usize], names[m.right as usize]))
            .collect();
        let added: Vec<Value> = parts
            .specials
            .iter()
            .map(|(name, id)| {
                json!({
                    "id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true,
                })
            })
            .collect();
        let byte_level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false });
        let value = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": null,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {
                        "type": "Split",
                        "pattern": { "Regex": parts.pattern.regex() },
                        "behavior": "Isolated",
                        "invert": false,
                    },
                    byte_level.clone(),
                ],
            },
            "post_processor": null,
            "decoder": byte_level,
            "model": {
                "type": "BPE",
                "dropout": null,
                "unk_token": null,
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": false,
                "byte_fallback": false,
                "ignore_merges": parts.whole_piece_first,
                "vocab": vocab,
                "merges": merges,
            },
        });
        let mut json = serde_json::to_string_pretty(&value).expect("strings and numbers always serialise");
        json.push('\n');
        json
    }

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`TokenizerError::Format`], [`TokenizerError::Unsupported`], [`TokenizerError::Pattern`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let file: File =
            serde_json::from_slice(bytes).map_err(|e| TokenizerError::format(FORMAT, e.to_string()))?;
        if file.normalizer.as_ref().is_some_and(|value| !value.is_null()) {
            return Err(unsupported("normalizer", file.normalizer.as_ref(), "normalise the text beforehand"));
        }
        let model = file.model;
        if model.kind.as_deref().is_some_and(|kind| kind != "BPE") {
            let hint = "only byte-level BPE is read (GPT-2, Llama 3, Qwen and their like)";
            return Err(TokenizerError::Unsupported {
                what: format!("the model `{}`", model.kind.unwrap_or_default()),
                hint,
            });
        }
        for (name, value) in [
            ("dropout", &model.dropout),
            ("continuing_subword_prefix", &model.continuing_subword_prefix),
            ("end_of_word_suffix", &model.end_of_word_suffix),
            ("byte_fallback", &model.byte_fallback),
        ] {
            let off = match value {
                None | Some(Value::Null | Value::Bool(false)) => true,
                Some(Value::String(text)) => text.is_empty(),
                Some(_) => false,
            };
            if !off {
                return Err(unsupported(name, value.as_ref(), "only byte-level BPE without it is read"));
            }
        }
        let Some(Value::Object(vocab)) = model.vocab else {
            return Err(TokenizerError::format(FORMAT, "`model.vocab` is not an object of token to id"));
        };

        let added: HashMap<&str, u32> =
            file.added_tokens.iter().map(|a| (a.content.as_str(), a.id)).collect();
        let mut ids: HashMap<&str, u32> = HashMap::with_capacity(vocab.len());
        let mut tokens: Vec<Vec<u8>> = Vec::new();
        for (name, id) in &vocab {
            let id = id.as_u64().filter(|id| *id < MAX_IDS).ok_or_else(|| {
                TokenizerError::format(
                    FORMAT,
                    format!("token `{name}` has id {id}; an integer below {MAX_IDS} is needed"),
                )
            })? as usize;
            if added.get(name.as_str()) == Some(&(id as u32)) {
                continue;
            }
            let token = from_chars(name).filter(|token| !token.is_empty()).ok_or_else(|| {
                TokenizerError::format(
                    FORMAT,
                    format!("token `{name}` (id {id}) is not in byte-level characters"),
                )
            })?;
            if tokens.len() <= id {
                tokens.resize(id + 1, Vec::new());
            }
            if !tokens[id].is_empty() {
                return Err(TokenizerError::format(
                    FORMAT,
                    format!("id {id} is given twice, once to `{name}`"),
                ));
            }
            tokens[id] = token;
            ids.insert(name, id as u32);
        }
        let mut merges = Vec::with_capacity(model.merges.len());
        for (rank, merge) in (0_u32..).zip(&model.merges) {
            let wrong = || {
                TokenizerError::format(
                    FORMAT,
                    format!("merge {rank} (`{merge}`) is no pair of tokens whose union is a token"),
                )
            };
            let (left, right) = match merge {
                Value::String(pair) => pair.split_once(' ').ok_or_else(wrong)?,
                Value::Array(pair) => match &pair[..] {
                    [Value::String(left), Value::String(right)] => (left.as_str(), right.as_str()),
                    _ => return Err(wrong()),
                },
                _ => return Err(wrong()),
            };
            let id = |name: &str| ids.get(name).copied().ok_or_else(wrong);
            merges.push(Merge {
                rank,
                left: id(left)?,
                right: id(right)?,
                id: id(&format!("{left}{right}"))?,
            });
        }
        let parts = Parts {
            pattern: pattern(file.pre_tokenizer.as_ref())?,
            tokens,
            merges,
            whole_piece_first: model.ignore_merges,
            specials: file.added_tokens.into_iter().map(|a| (a.content, a.id)).collect(),
        };
        if let Some((name, id)) = parts.specials.iter().find(|(_, id)| *id as u64 >= MAX_IDS) {
            return Err(TokenizerError::format(
                FORMAT,
                format!("token `{name}` has id {id}; below {MAX_IDS} is needed"),
            ));
        }
        Self::new(parts, FORMAT)
    }
}

/// No vocabulary comes near; a damaged file shall not ask for gigabytes.
const MAX_IDS: u64 = merge::MAX_IDS as u64;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    dropout: Option<Value>,
    continuing_subword_prefix: Option<Value>,
    end_of_word_suffix: Option<Value>,
    byte_fallback: Option<Value>,
    #[serde(default)]
    ignore_merges: bool,
    vocab: Option<Value>,
    #[serde(default)]
    merges: Vec<Value>,
}

fn unsupported(name: &str, value: Option<&Value>, hint: &'static str) -> TokenizerError {
    let mut shown = value.unwrap_or(&Value::Null).to_string();
    shown.truncate(shown.floor_char_boundary(200));
    TokenizerError::Unsupported { what: format!("`{name}`: {shown}"), hint }
}

/// The split pattern that a `pre_tokenizer` amounts to.
fn pattern(pre_tokenizer: Option<&Value>) -> Result<Pattern, TokenizerError> {
    const HINT: &str =
        "one `Split` on a regex (behavior `Isolated`) before `ByteLevel`, or `ByteLevel` alone, is read";
    let refused = || unsupported("pre_tokenizer", pre_tokenizer, HINT);
    let value = pre_tokenizer.ok_or_else(refused)?;
    let steps = match value["type"].as_str() {
        Some("Sequence") => value["pretokenizers"].as_array().ok_or_else(refused)?.as_slice(),
        _ => std::slice::from_ref(value),
    };
    let is_byte_level = |step: &Value, use_regex: bool| {
        step["type"] == "ByteLevel"
            && step["use_regex"].as_bool().unwrap_or(true) == use_regex
            && step["add_prefix_space"] == false
    };
    match steps {
        [only] if is_byte_level(only, true) => Ok(Pattern::gpt2()),
        [split, bytes] if split["type"] == "Split" && is_byte_level(bytes, false) => {
            let regex = split["pattern"]["Regex"].as_str().ok_or_else(refused)?;
            // `Removed` with `invert` keeps the matches alone: the same where the matches make up all of the text.
            match (split["behavior"].as_str(), split["invert"].as_bool().unwrap_or(false)) {
                (Some("Isolated"), false) => Pattern::custom(regex),
                (Some("Removed"), true) => {
                    Pattern::custom(regex).ok().filter(Pattern::is_preset).ok_or_else(refused)
                }
                _ => Err(refused()),
            }
        }
        _ => Err(refused()),
    }
}

/// GPT-2's characters for bytes: printable ones stand for themselves, the others for U+0100 onwards, in order.
fn byte_chars() -> [char; 256] {
    let mut next = 0x100;
    std::array::from_fn(|byte| match byte {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => byte as u8 as char,
        _ => {
            next += 1;
            char::from_u32(next - 1).expect("U+0100 to U+0143 are characters")
        }
    })
}

static BYTE_CHARS: std::sync::LazyLock<[char; 256]> = std::sync::LazyLock::new(byte_chars);

fn to_chars(token: &[u8]) -> String {
    token.iter().map(|byte| BYTE_CHARS[*byte as usize]).collect()
}

fn from_chars(name: &str) -> Option<Vec<u8>> {
    name.chars().map(|c| BYTE_CHARS.iter().position(|b| *b == c).map(|byte| byte as u8)).collect()
}
