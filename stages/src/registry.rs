//! The table of all stages. Adding one is a file, a line here, and an example in `configs/stages/`.

use serde_json::Value;

use crate::stage::{BuildContext, Declares, Reason, Runtime, Shape, StageConfig, StageError};

/// A configured stage of any kind.
pub trait AnyStage: Send + Sync {
    /// What it needs and makes.
    fn declares(&self) -> Declares;
    /// Makes it ready to run.
    fn build(&self, context: &BuildContext) -> Result<Runtime, StageError>;
    /// Its whole configuration, defaults included: what its fingerprint covers.
    fn canonical(&self) -> Value;
}

impl<C: StageConfig> AnyStage for C {
    fn declares(&self) -> Declares {
        StageConfig::declares(self)
    }

    fn build(&self, context: &BuildContext) -> Result<Runtime, StageError> {
        StageConfig::build(self, context)
    }

    fn canonical(&self) -> Value {
        serde_json::to_value(self).expect("a configuration is plain data with string keys")
    }
}

/// One kind of stage: a row of the table.
pub struct StageKind {
    /// The word for it in a recipe.
    pub kind: &'static str,
    /// Counts up when output changes.
    pub version: u32,
    /// What the engine does with it.
    pub shape: Shape,
    /// Every reason it can drop a document for.
    pub reasons: &'static [Reason],
    /// A runnable example: the text of `configs/stages/<kind>.toml`.
    pub example: &'static str,
    /// JSON Schema of its configuration; descriptions are the manual.
    pub schema: fn() -> Value,
    /// Reads a configuration (a JSON object without `id`, `kind` and `input`).
    pub parse: fn(Value) -> Result<Box<dyn AnyStage>, serde_json::Error>,
}

const fn row<C: StageConfig>(example: &'static str) -> StageKind {
    StageKind {
        kind: C::KIND,
        version: C::VERSION,
        shape: C::SHAPE,
        reasons: C::REASONS,
        example,
        schema: || schemars::schema_for!(C).to_value(),
        parse: |value| Ok(Box::new(serde_json::from_value::<C>(value)?)),
    }
}

/// Every kind, in the order in which a recipe tends to use them.
pub static KINDS: &[StageKind] = &[
    row::<crate::warc_source::Warc>(include_str!("../../configs/stages/warc.toml")),
    row::<crate::warc_source::Wet>(include_str!("../../configs/stages/wet.toml")),
    row::<crate::jsonl_source::Jsonl>(include_str!("../../configs/stages/jsonl.toml")),
    row::<crate::parquet_source::Parquet>(include_str!("../../configs/stages/parquet.toml")),
    row::<crate::conversations::openai::OpenAiMessages>(include_str!(
        "../../configs/stages/openai_messages.toml"
    )),
    row::<crate::conversations::smoltalk::SmolTalk>(include_str!("../../configs/stages/smoltalk.toml")),
    row::<crate::conversations::sharegpt::ShareGpt>(include_str!("../../configs/stages/sharegpt.toml")),
    row::<crate::conversations::alpaca::Alpaca>(include_str!("../../configs/stages/alpaca.toml")),
    row::<crate::conversations::oasst::Oasst>(include_str!("../../configs/stages/oasst.toml")),
    row::<crate::url_blocklist::UrlBlocklist>(include_str!("../../configs/stages/url_blocklist.toml")),
    row::<crate::extract_text::ExtractText>(include_str!("../../configs/stages/extract_text.toml")),
    row::<crate::language::Language>(include_str!("../../configs/stages/language.toml")),
    row::<crate::gopher_repetition::GopherRepetition>(include_str!(
        "../../configs/stages/gopher_repetition.toml"
    )),
    row::<crate::gopher_quality::GopherQuality>(include_str!("../../configs/stages/gopher_quality.toml")),
    row::<crate::c4_quality::C4Quality>(include_str!("../../configs/stages/c4_quality.toml")),
    row::<crate::fineweb_quality::FinewebQuality>(include_str!("../../configs/stages/fineweb_quality.toml")),
    row::<crate::line_quality::LineQuality>(include_str!("../../configs/stages/line_quality.toml")),
    row::<crate::madlad_quality::MadladQuality>(include_str!("../../configs/stages/madlad_quality.toml")),
    row::<crate::stop_words::StopWords>(include_str!("../../configs/stages/stop_words.toml")),
    row::<crate::gzip_ratio::GzipRatio>(include_str!("../../configs/stages/gzip_ratio.toml")),
    row::<crate::bad_words::BadWords>(include_str!("../../configs/stages/bad_words.toml")),
    row::<crate::classifier_train::ClassifierTrain>(include_str!(
        "../../configs/stages/classifier_train.toml"
    )),
    row::<crate::classify::Classify>(include_str!("../../configs/stages/classify.toml")),
    row::<crate::sample::Sample>(include_str!("../../configs/stages/sample.toml")),
    row::<crate::where_filter::Where>(include_str!("../../configs/stages/where.toml")),
    row::<crate::url_dedup::UrlDedup>(include_str!("../../configs/stages/url_dedup.toml")),
    row::<crate::exact_dedup::ExactDedup>(include_str!("../../configs/stages/exact_dedup.toml")),
    row::<crate::minhash_dedup::MinHashDedup>(include_str!("../../configs/stages/minhash_dedup.toml")),
    row::<crate::line_dedup::LineDedup>(include_str!("../../configs/stages/line_dedup.toml")),
    row::<crate::paragraph_dedup::ParagraphDedup>(include_str!("../../configs/stages/paragraph_dedup.toml")),
    row::<crate::sentence_dedup::SentenceDedup>(include_str!("../../configs/stages/sentence_dedup.toml")),
    row::<crate::substring_dedup::SubstringDedup>(include_str!("../../configs/stages/substring_dedup.toml")),
    row::<crate::bloom_dedup::BloomDedup>(include_str!("../../configs/stages/bloom_dedup.toml")),
    row::<crate::decontaminate::Decontaminate>(include_str!("../../configs/stages/decontaminate.toml")),
    row::<crate::redact_pii::RedactPii>(include_str!("../../configs/stages/redact_pii.toml")),
    row::<crate::write_parquet::WriteParquet>(include_str!("../../configs/stages/write_parquet.toml")),
    row::<crate::write_jsonl::WriteJsonl>(include_str!("../../configs/stages/write_jsonl.toml")),
    row::<crate::tokenizer_train::TokenizerTrain>(include_str!("../../configs/stages/tokenizer_train.toml")),
    row::<crate::token_shards::TokenShards>(include_str!("../../configs/stages/token_shards.toml")),
    row::<crate::conversation_shards::ConversationShards>(include_str!(
        "../../configs/stages/conversation_shards.toml"
    )),
    row::<crate::pretrain::Pretrain>(include_str!("../../configs/stages/pretrain.toml")),
    row::<crate::sft::Sft>(include_str!("../../configs/stages/sft.toml")),
    row::<crate::eval::Eval>(include_str!("../../configs/stages/eval.toml")),
];

/// The row of a kind.
pub fn find(kind: &str) -> Option<&'static StageKind> {
    KINDS.iter().find(|row| row.kind == kind)
}
