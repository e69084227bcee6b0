//! Special tokens: ids that structure documents and conversations and that no text ever encodes to.
//!
//! They are appended after the ordinary vocabulary, in the order given, and only code places them: a page that quotes
//! `<|bos|>` encodes to ordinary ids.

/// Begins every document in a token shard, and every conversation.
pub const BOS: &str = "<|bos|>";

/// The specials that a tokenizer gets unless told otherwise.
///
/// | token | place |
/// |---|---|
/// | `<\|bos\|>` | before every document and conversation |
/// | `<\|iam_start\|>` role `<\|iam_sep\|>` message `<\|iam_end\|>` | one turn; the role is ordinary text (`system`, `user`, `assistant`), so that roles need no tokens of their own |
/// | `<\|python_start\|>` … `<\|python_end\|>` | code that the model asks to have run |
/// | `<\|output_start\|>` … `<\|output_end\|>` | what running it gave; never trained on |
pub const DEFAULT_SPECIALS: [&str; 8] = [
    BOS,
    "<|iam_start|>",
    "<|iam_sep|>",
    "<|iam_end|>",
    "<|python_start|>",
    "<|python_end|>",
    "<|output_start|>",
    "<|output_end|>",
];

/// [`DEFAULT_SPECIALS`] as owned strings, the form that [`crate::TrainOptions`] holds.
pub fn default_specials() -> Vec<String> {
    DEFAULT_SPECIALS.iter().map(ToString::to_string).collect()
}

/// Names that other tokenizers give to what we call [`BOS`], in the order in which they are tried.
pub(crate) const BOS_NAMES: [&str; 4] = [BOS, "<|begin_of_text|>", "<s>", "<|endoftext|>"];
