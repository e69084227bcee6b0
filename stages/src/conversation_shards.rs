//! `conversation_shards`: conversations to token shards with loss masks, for fine-tuning.

use std::path::{Path, PathBuf};

use gristmill_corpus::shards::{DocumentTokens, MAX_SHARD_TOKENS, ShardOptions, ShardWriter, TokenType};
use gristmill_corpus::{columns, files};
use gristmill_tokenizer::Tokenizer;
use gristmill_tokenizer::conversation::{
    ChatFormat, DEFAULT_TEMPLATE, Message, Role, TEMPLATE_FILE, Template,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::documents::Documents;
use crate::shard_order::{BUCKET_BYTES, ShardOrder, is_in_share};
use crate::stage::{
    ArtefactRef, Artefacts, BuildContext, Declares, Gather, PartWriter, Reason, Runtime, Shape, StageConfig,
    StageError,
};
use crate::tokenizers::{self, TokenizerSource};

/// Renders `messages` by a template and writes token shards with a loss mask, in a seeded global order, for
/// `sft`.
///
/// Every conversation begins with BOS. Special ids come from the template alone: content that quotes
/// `<|iam_end|>` gets ordinary ids. The mask (`.mask`, a byte a token in the layout of the payload) is 1
/// exactly on what the assistant writes: its content and the token that ends its turn. Conversations with the
/// same first question are all learnt from or all held out. `messages` is what is rendered: stages above that
/// rewrite `text` do not change it, stages that drop documents do drop it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversationShards {
    /// The tokenizer: `{ stage = "tokenizer_train" }`, or a `tokenizer.json` or tiktoken file relative to the
    /// recipe. It must have the template's special tokens; those that `tokenizer_train` makes have the
    /// default template's.
    pub tokenizer: ArtefactRef,
    /// How one message is written: `{role}` and `{content}` stand for what it has, `<|…|>` for special
    /// tokens, the rest is ordinary text. A special token must follow `{content}`: it ends the turn. ChatML
    /// is `"<|im_start|>{role}\n{content}<|im_end|>\n"`.
    #[serde(default = "default_template")]
    pub template: String,
    /// Share of all first questions whose conversations are held out, 0 to 1.
    #[serde(default = "default_validation")]
    pub validation_share: f64,
    /// A shard is closed before it would hold more tokens than this.
    #[serde(default = "default_shard_tokens")]
    pub shard_tokens: u64,
}

fn default_template() -> String {
    DEFAULT_TEMPLATE.into()
}

fn default_validation() -> f64 {
    0.05
}

fn default_shard_tokens() -> u64 {
    MAX_SHARD_TOKENS
}

impl StageConfig for ConversationShards {
    const KIND: &'static str = "conversation_shards";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Gather;
    const REASONS: &'static [Reason] = &[];

    fn declares(&self) -> Declares {
        let reads = [columns::ID, columns::FILE_PATH, columns::OFFSET, columns::MESSAGES];
        Declares {
            reads: reads.map(str::to_owned).to_vec(),
            files: tokenizers::files(&self.tokenizer),
            artefacts: vec![self.tokenizer.clone()],
            ..Declares::default()
        }
    }

    fn build(&self, context: &BuildContext) -> Result<Runtime, StageError> {
        let wrong = |message: String| Err(StageError::Config(message));
        if !(0.0..=1.0).contains(&self.validation_share) {
            return wrong(format!("`validation_share = {}` must be between 0 and 1", self.validation_share));
        }
        if self.shard_tokens == 0 {
            return wrong("`shard_tokens = 0` leaves no room; try 100000000".into());
        }
        let template = Template { message: self.template.clone() };
        let (tokenizer, loaded) = TokenizerSource::resolve(&self.tokenizer, context)?;
        if let Some(loaded) = loaded {
            template.for_tokenizer(&loaded).map_err(|error| StageError::Config(error.to_string()))?;
        }
        Ok(Runtime::Gather(Box::new(Renderer {
            tokenizer,
            template,
            validation_share: self.validation_share,
            shard_tokens: self.shard_tokens,
            seed: context.seed,
        })))
    }
}

struct Renderer {
    tokenizer: TokenizerSource,
    template: Template,
    validation_share: f64,
    shard_tokens: u64,
    seed: u64,
}

/// The stems of a task's parts: conversations to learn from, and held out.
const PARTS: [&str; 2] = ["train", "val"];

impl Renderer {
    fn options(&self, tokenizer: &Tokenizer) -> Result<ShardOptions, StageError> {
        let bos = tokenizer.bos().ok_or_else(|| {
            StageError::Config("the tokenizer has no BOS token, which begins every conversation".into())
        })?;
        let options = ShardOptions::new(tokenizer.hash(), tokenizer.vocab_size(), bos);
        Ok(ShardOptions { max_tokens: self.shard_tokens, masked: true, ..options })
    }
}

impl Gather for Renderer {
    fn open(&self, folder: &Path, artefacts: &Artefacts) -> Result<Box<dyn PartWriter>, StageError> {
        let tokenizer = self.tokenizer.load(artefacts)?;
        let format =
            self.template.for_tokenizer(&tokenizer).map_err(|error| StageError::Config(error.to_string()))?;
        let options = ShardOptions { max_tokens: u64::MAX, ..self.options(&tokenizer)? };
        let mut writers = Vec::new();
        for split in PARTS {
            writers.push(ShardWriter::create(folder, split, options.clone())?);
        }
        let validation_share = self.validation_share;
        Ok(Box::new(Encoder {
            tokenizer,
            format,
            validation_share,
            writers,
            ids: Vec::new(),
            mask: Vec::new(),
        }))
    }

    fn gather(&self, parts: &[PathBuf], folder: &Path, artefacts: &Artefacts) -> Result<(), StageError> {
        let tokenizer = self.tokenizer.load(artefacts)?;
        for split in PARTS {
            let options = self.options(&tokenizer)?;
            let order = ShardOrder {
                folder,
                seed: self.seed,
                bucket_bytes: BUCKET_BYTES,
                dtype: TokenType::for_vocab(options.vocab_size),
            };
            let mut writer = ShardWriter::create(folder, split, options)?;
            order.each(parts, split, |document, mask| writer.push_masked(document, mask))?;
            writer.finish()?;
        }
        // Whoever reads the shards needs both: they travel with them.
        files::write_json(&folder.join(TEMPLATE_FILE), &self.template)?;
        let copy = folder.join("tokenizer.json");
        tokenizer
            .save(&copy)
            .map_err(|error| StageError::Engine(format!("cannot write `{}`: {error}", copy.display())))
    }
}

struct Encoder {
    tokenizer: Tokenizer,
    format: ChatFormat,
    validation_share: f64,
    /// One a split, as [`PARTS`].
    writers: Vec<ShardWriter>,
    ids: Vec<u32>,
    mask: Vec<u8>,
}

impl Encoder {
    /// Whether a conversation is held out: by its first question, so that no rerun moves it and no question
    /// is on both sides.
    fn is_held_out(&self, messages: &[Message]) -> bool {
        let question = messages.iter().find(|message| message.role == Role::User);
        is_in_share(question.map_or("", |message| message.content.trim()), self.validation_share)
    }
}

impl PartWriter for Encoder {
    fn write(&mut self, documents: &Documents) -> Result<(), StageError> {
        let all_messages = documents.strings(columns::MESSAGES)?;
        let ids = documents.strings(columns::ID)?;
        let paths = documents.strings(columns::FILE_PATH)?;
        let offsets = documents.batch().unsigned(columns::OFFSET)?;
        for row in 0..documents.len() {
            let id = ids.value(row);
            let messages: Vec<Message> = serde_json::from_str(all_messages.value(row)).map_err(|error| {
                StageError::Engine(format!(
                    "conversation `{id}` of `{}`: its `messages` cannot be read: {error}\nhint: a list of \
                     {{\"role\": …, \"content\": …}} with the roles system, user, assistant and tool",
                    paths.value(row)
                ))
            })?;
            self.ids.clear();
            self.mask.clear();
            self.format.render(&self.tokenizer, &messages, &mut self.ids, &mut self.mask);
            let split = usize::from(self.is_held_out(&messages));
            let document = DocumentTokens {
                ids: &self.ids,
                id,
                url: "",
                file_path: paths.value(row),
                offset: offsets.value(row),
                n_bytes: messages.iter().map(|message| message.content.len() as u64).sum(),
            };
            self.writers[split].push_masked(&document, &self.mask)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), StageError> {
        for writer in self.writers {
            writer.finish()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use arrow::array::LargeStringArray;
    use gristmill_corpus::DocBatchBuilder;
    use gristmill_corpus::batch::Document;
    use gristmill_corpus::shards::ShardSet;
    use gristmill_tokenizer::{Pattern, PretokenCounts, TrainOptions, train};
    use serde_json::json;

    use super::*;

    /// A batch of conversations.
    fn batch(conversations: &[(String, Vec<Message>)]) -> Documents {
        let mut builder = DocBatchBuilder::new(columns::TEXT);
        for (id, _) in conversations {
            let offset = id.len() as u64;
            builder.push(&Document { id, url: "", date: "", dump: "", file_path: "f", offset, content: "" });
        }
        let json = conversations.iter().map(|(_, messages)| serde_json::to_string(messages).unwrap());
        let messages = LargeStringArray::from_iter_values(json);
        Documents::new(builder.finish().with_column(columns::MESSAGES, Arc::new(messages)).unwrap())
    }

    fn conversations() -> Vec<(String, Vec<Message>)> {
        let conversation = |n: usize| {
            let question = format!("What is {} and 1? <|iam_end|>", n % 20);
            let answer = format!("{} <|bos|>", n % 20 + 1);
            (format!("c{n}"), vec![Message::new(Role::User, question), Message::new(Role::Assistant, answer)])
        };
        (0..40).map(conversation).collect()
    }

    fn gather(folder: &Path, seed: u64, template: &str) -> Box<dyn Gather> {
        let options = TrainOptions { vocab_size: 300, ..TrainOptions::default() };
        let mut counts = PretokenCounts::new(Pattern::cl100k());
        counts.add("What is and What is and");
        train(&counts, &options).unwrap().save(folder.join("tokenizer.json")).unwrap();
        let config: ConversationShards = serde_json::from_value(json!({
            "tokenizer": "tokenizer.json", "validation_share": 0.3, "shard_tokens": 200, "template": template,
        }))
        .unwrap();
        let context = BuildContext { base: folder.to_owned(), seed };
        let Runtime::Gather(gather) = config.build(&context).unwrap() else { panic!("a gather") };
        gather
    }

    /// Shards of 40 conversations with 20 first questions, cut into splits of the given sizes.
    fn shards(cuts: &[usize], seed: u64) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let gather = gather(folder.path(), seed, DEFAULT_TEMPLATE);
        let all = conversations();
        let (mut next, mut parts) = (0, Vec::new());
        for (index, n) in cuts.iter().enumerate() {
            let part = folder.path().join(format!("part{index}"));
            fs::create_dir(&part).unwrap();
            let mut writer = gather.open(&part, &Artefacts::new()).unwrap();
            if *n > 0 {
                writer.write(&batch(&all[next..next + n])).unwrap();
            }
            next += n;
            writer.finish().unwrap();
            parts.push(part);
        }
        let out = folder.path().join("out");
        fs::create_dir(&out).unwrap();
        gather.gather(&parts, &out, &Artefacts::new()).unwrap();
        folder
    }

    fn ids(folder: &tempfile::TempDir, split: &str) -> Vec<String> {
        let set = ShardSet::open(&folder.path().join("out"), split).unwrap();
        set.shards().iter().flat_map(|shard| shard.documents().unwrap()).map(|record| record.id).collect()
    }

    #[test]
    fn how_conversations_are_split_over_tasks_does_not_show_in_the_bytes() {
        let (one, three) = (shards(&[40], 7), shards(&[13, 0, 27], 7));
        let files =
            |folder: &tempfile::TempDir| gristmill_corpus::files::list(&folder.path().join("out")).unwrap();
        assert_eq!(files(&one), files(&three));
        assert_ne!(ids(&one, "train"), ids(&shards(&[40], 8), "train"), "another seed, another order");
        assert_eq!(ids(&one, "train").len() + ids(&one, "val").len(), 40);
    }

    #[test]
    fn a_question_is_on_one_side_only() {
        let folder = shards(&[40], 7);
        let number = |id: &String| id[1..].parse::<usize>().unwrap() % 20;
        let train: Vec<usize> = ids(&folder, "train").iter().map(number).collect();
        let val: Vec<usize> = ids(&folder, "val").iter().map(number).collect();
        assert!(!val.is_empty() && val.iter().all(|question| !train.contains(question)), "{val:?} {train:?}");
    }

    #[test]
    fn the_mask_is_on_what_the_assistant_writes_and_the_shards_read_back() {
        let folder = shards(&[40], 7);
        let out = folder.path().join("out");
        let tokenizer = Tokenizer::load(out.join("tokenizer.json")).unwrap();
        let template: Template = files::read_json(&out.join(TEMPLATE_FILE)).unwrap().unwrap();
        let format = template.for_tokenizer(&tokenizer).unwrap();
        let all = conversations();
        let mut n_learnt = 0;
        for split in PARTS {
            for shard in ShardSet::open(&out, split).unwrap().shards() {
                shard.verify().unwrap();
                for (index, record) in shard.documents().unwrap().into_iter().enumerate() {
                    let (_, messages) = all.iter().find(|(id, _)| *id == record.id).unwrap();
                    let (mut expected, mut expected_mask) = (Vec::new(), Vec::new());
                    format.render(&tokenizer, messages, &mut expected, &mut expected_mask);
                    let (ids, mask) =
                        (shard.document(index).unwrap(), shard.document_mask(index).unwrap().unwrap());
                    assert_eq!((&ids, mask), (&expected, &expected_mask[..]));
                    let learnt: Vec<u32> =
                        ids.iter().zip(mask).filter(|(_, mask)| **mask == 1).map(|(id, _)| *id).collect();
                    assert_eq!(
                        tokenizer.decode_lossy(&learnt),
                        format!("{}<|iam_end|>", messages[1].content)
                    );
                    assert_eq!(ids.iter().filter(|id| tokenizer.is_special(**id)).count(), 7);
                    n_learnt += learnt.len() as u64;
                }
                n_learnt -= shard.meta().n_learnt_tokens.unwrap();
            }
        }
        assert_eq!(n_learnt, 0);
    }

    #[test]
    fn conversations_without_an_answer_are_an_error_that_names_them() {
        let folder = tempfile::tempdir().unwrap();
        let gather = gather(folder.path(), 0, DEFAULT_TEMPLATE);
        let part = folder.path().join("part");
        fs::create_dir(&part).unwrap();
        let mut writer = gather.open(&part, &Artefacts::new()).unwrap();
        let silent = ("lonely".to_owned(), vec![Message::new(Role::User, "Anyone?")]);
        let message = writer.write(&batch(&[silent])).unwrap_err().to_string();
        assert!(message.contains("`lonely` is all zeros"), "{message}");
    }

    #[test]
    fn a_tokenizer_without_the_template_s_tokens_is_a_mistake_of_the_recipe() {
        let folder = tempfile::tempdir().unwrap();
        gather(folder.path(), 0, DEFAULT_TEMPLATE);
        let config: ConversationShards = serde_json::from_value(json!({
            "tokenizer": "tokenizer.json", "template": "<|im_start|>{role}\n{content}<|im_end|>\n",
        }))
        .unwrap();
        let context = BuildContext { base: folder.path().to_owned(), seed: 0 };
        let message = config.build(&context).err().unwrap().to_string();
        assert!(
            message.contains("no special token `<|im_start|>`") && message.contains("hint:"),
            "{message}"
        );
    }
}
