//! `token_shards`: documents to shuffled token shards, for trainers.

use std::path::{Path, PathBuf};

use gristmill_corpus::columns;
use gristmill_corpus::shards::{DocumentTokens, ShardOptions, ShardWriter, TokenType};
use gristmill_tokenizer::Tokenizer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::documents::Documents;
use crate::shard_order::{BUCKET_BYTES, ShardOrder, is_in_share};
use crate::stage::{
    ArtefactRef, Artefacts, BuildContext, Declares, Gather, PartWriter, Reason, Runtime, Shape, StageConfig,
    StageError,
};
use crate::tokenizers::{self, TokenizerSource};

/// Encodes every document and writes token shards in a seeded global order, with a validation split by host.
///
/// Every document begins with BOS; text that quotes a special token gets ordinary ids. A page goes to validation
/// by the hash of its host alone, so that no rerun and no take-down ever moves a host across. Beside each payload
/// stand indices that Megatron-LM and datatrove read, and `docs.parquet`, which leads every token back to its
/// record. The order is made through buckets on disk (as large as the shards, gone at the end): the joining task
/// holds 16 bytes a document of the largest bucket and 64 KiB a bucket in memory, whatever the corpus.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenShards {
    /// The tokenizer: `{ stage = "tokenizer_train" }`, a `tokenizer.json` or tiktoken file relative to
    /// the recipe, or `r50k_base`, `cl100k_base` or `o200k_base`.
    pub tokenizer: ArtefactRef,
    /// Share of all hosts whose pages are held out, 0 to 1.
    #[serde(default = "default_validation")]
    pub validation_share: f64,
    /// A shard is closed before it would hold more tokens than this.
    #[serde(default = "default_shard_tokens")]
    pub shard_tokens: u64,
}

fn default_validation() -> f64 {
    0.01
}

fn default_shard_tokens() -> u64 {
    gristmill_corpus::shards::MAX_SHARD_TOKENS
}

impl StageConfig for TokenShards {
    const KIND: &'static str = "token_shards";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Gather;
    const REASONS: &'static [Reason] = &[];

    fn declares(&self) -> Declares {
        Declares {
            reads: [columns::ID, columns::URL, columns::FILE_PATH, columns::OFFSET, columns::TEXT]
                .map(str::to_owned)
                .to_vec(),
            files: tokenizers::files(&self.tokenizer),
            artefacts: vec![self.tokenizer.clone()],
            ..Declares::default()
        }
    }

    fn build(&self, context: &BuildContext) -> Result<Runtime, StageError> {
        if !(0.0..=1.0).contains(&self.validation_share) {
            return Err(StageError::Config(format!(
                "`validation_share = {}` must be between 0 and 1",
                self.validation_share
            )));
        }
        if self.shard_tokens == 0 {
            return Err(StageError::Config("`shard_tokens = 0` leaves no room; try 100000000".into()));
        }
        let (tokenizer, _) = TokenizerSource::resolve(&self.tokenizer, context)?;
        Ok(Runtime::Gather(Box::new(Sharder {
            tokenizer,
            validation_share: self.validation_share,
            shard_tokens: self.shard_tokens,
            bucket_bytes: BUCKET_BYTES,
            seed: context.seed,
        })))
    }
}

struct Sharder {
    tokenizer: TokenizerSource,
    validation_share: f64,
    shard_tokens: u64,
    bucket_bytes: usize,
    seed: u64,
}

/// The name of a task's part: a shard like any other, in the order of the split.
const PART: &str = "part";

impl Sharder {
    fn options(&self, tokenizer: &Tokenizer) -> Result<ShardOptions, StageError> {
        let bos = tokenizer.bos().ok_or_else(|| {
            StageError::Config(
                "the tokenizer has no BOS token, which begins every document of a shard".into(),
            )
        })?;
        let mut options = ShardOptions::new(tokenizer.hash(), tokenizer.vocab_size(), bos);
        options.max_tokens = self.shard_tokens;
        Ok(options)
    }

    /// Whether a page of this URL is held out.
    fn is_held_out(&self, url: &str) -> bool {
        is_in_share(&host(url), self.validation_share)
    }
}

/// The host of a URL in lowercase, without user and port; the whole text when there is none.
fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let host = if host.starts_with('[') { host } else { host.split(':').next().unwrap_or(host) };
    host.to_ascii_lowercase()
}

impl Gather for Sharder {
    fn open(&self, folder: &Path, artefacts: &Artefacts) -> Result<Box<dyn PartWriter>, StageError> {
        let tokenizer = self.tokenizer.load(artefacts)?;
        let mut options = self.options(&tokenizer)?;
        options.max_tokens = u64::MAX;
        let bos = options.bos;
        let writer = ShardWriter::create(folder, PART, options)?;
        Ok(Box::new(Encoder { tokenizer, bos, writer, ids: Vec::new() }))
    }

    fn gather(&self, parts: &[PathBuf], folder: &Path, artefacts: &Artefacts) -> Result<(), StageError> {
        let tokenizer = self.tokenizer.load(artefacts)?;
        let options = self.options(&tokenizer)?;
        let order = ShardOrder {
            folder,
            seed: self.seed,
            bucket_bytes: self.bucket_bytes,
            dtype: TokenType::for_vocab(options.vocab_size),
        };
        let mut train = ShardWriter::create(folder, "train", options.clone())?;
        let mut validation = ShardWriter::create(folder, "val", options)?;
        order.each(parts, PART, |document, _| {
            let target = if self.is_held_out(document.url) { &mut validation } else { &mut train };
            target.push(document)
        })?;
        train.finish()?;
        validation.finish()?;
        // Whoever reads the shards needs the tokenizer: it travels with them.
        let copy = folder.join("tokenizer.json");
        tokenizer.save(&copy).map_err(|error| failed(&copy, &error))
    }
}

struct Encoder {
    tokenizer: Tokenizer,
    bos: u32,
    writer: ShardWriter,
    ids: Vec<u32>,
}

impl PartWriter for Encoder {
    fn write(&mut self, documents: &Documents) -> Result<(), StageError> {
        let texts = documents.strings(columns::TEXT)?;
        let ids = documents.strings(columns::ID)?;
        let urls = documents.strings(columns::URL)?;
        let paths = documents.strings(columns::FILE_PATH)?;
        let offsets = documents.batch().unsigned(columns::OFFSET)?;
        for row in 0..documents.len() {
            let text = texts.value(row);
            self.ids.clear();
            self.ids.push(self.bos);
            self.tokenizer.encode_into(text, &mut self.ids);
            self.writer.push(&DocumentTokens {
                ids: &self.ids,
                id: ids.value(row),
                url: urls.value(row),
                file_path: paths.value(row),
                offset: offsets.value(row),
                n_bytes: text.len() as u64,
            })?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), StageError> {
        self.writer.finish()?;
        Ok(())
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> StageError {
    StageError::Engine(format!("cannot write `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use gristmill_corpus::batch::{DocBatchBuilder, Document};
    use gristmill_corpus::shards::ShardSet;
    use gristmill_tokenizer::{Pattern, PretokenCounts, TrainOptions, train};
    use serde_json::json;
    use xxhash_rust::xxh3::xxh3_64_with_seed;

    use super::*;

    /// Shards of 40 pages on 20 hosts, cut into splits of the given sizes; (train ids, val ids, folder).
    fn shards(cuts: &[usize], seed: u64) -> (Vec<String>, Vec<String>, tempfile::TempDir) {
        shards_of(cuts, seed, &(0..40).collect::<Vec<_>>(), BUCKET_BYTES)
    }

    /// The same of the given pages, in buckets of so many bytes.
    fn shards_of(
        cuts: &[usize],
        seed: u64,
        pages: &[usize],
        bucket_bytes: usize,
    ) -> (Vec<String>, Vec<String>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut counts = PretokenCounts::new(Pattern::cl100k());
        counts.add("the mill grinds the corn");
        let options = TrainOptions { vocab_size: 300, ..TrainOptions::default() };
        train(&counts, &options).unwrap().save(folder.path().join("tokenizer.json")).unwrap();
        let config: TokenShards = serde_json::from_value(json!({
            "tokenizer": "tokenizer.json", "validation_share": 0.3, "shard_tokens": 100
        }))
        .unwrap();
        let context = BuildContext { base: folder.path().to_owned(), seed };
        assert!(matches!(config.build(&context).unwrap(), Runtime::Gather(_)));
        let gather = Sharder {
            tokenizer: TokenizerSource::File(folder.path().join("tokenizer.json")),
            validation_share: 0.3,
            shard_tokens: 100,
            bucket_bytes,
            seed,
        };
        let mut next = 0;
        let mut parts = Vec::new();
        for (index, n) in cuts.iter().enumerate() {
            let part = folder.path().join(format!("part{index}"));
            fs::create_dir(&part).unwrap();
            let mut writer = gather.open(&part, &Artefacts::new()).unwrap();
            let mut builder = DocBatchBuilder::new(columns::TEXT);
            for page in &pages[next..next + n] {
                let (id, url) = (format!("id{page}"), format!("http://h{}.example/{page}", page % 20));
                let content = format!("page {page} of <|bos|> the mill");
                builder.push(&Document {
                    id: &id,
                    url: &url,
                    date: "",
                    dump: "",
                    file_path: "f",
                    offset: *page as u64,
                    content: &content,
                });
            }
            next += n;
            if *n > 0 {
                writer.write(&Documents::new(builder.finish())).unwrap();
            }
            writer.finish().unwrap();
            parts.push(part);
        }
        let out = folder.path().join("out");
        fs::create_dir(&out).unwrap();
        gather.gather(&parts, &out, &Artefacts::new()).unwrap();
        let ids = |split| {
            let set = ShardSet::open(&out, split).unwrap();
            assert!(set.shards().len() > 1, "100 tokens do not hold all pages");
            let records = set.shards().iter().flat_map(|shard| shard.documents().unwrap());
            records.map(|record| record.id).collect::<Vec<_>>()
        };
        (ids("train"), ids("val"), folder)
    }

    #[test]
    fn how_documents_are_split_over_tasks_does_not_show_in_the_bytes() {
        let (train, val, one) = shards(&[40], 7);
        let (.., three) = shards(&[13, 0, 27], 7);
        assert_eq!(train.len() + val.len(), 40);
        let files =
            |folder: &tempfile::TempDir| gristmill_corpus::files::list(&folder.path().join("out")).unwrap();
        assert_eq!(files(&one), files(&three));
    }

    #[test]
    fn how_many_buckets_there_are_does_not_show_in_the_bytes() {
        let pages: Vec<usize> = (0..40).collect();
        let (train, val, one) = shards_of(&[40], 7, &pages, usize::MAX);
        let files =
            |folder: &tempfile::TempDir| gristmill_corpus::files::list(&folder.path().join("out")).unwrap();
        for bucket_bytes in [1, 1000, 5000] {
            let (.., many) = shards_of(&[13, 27], 7, &pages, bucket_bytes);
            assert_eq!(files(&one), files(&many), "{bucket_bytes}");
        }
        // And the order is that of sorting all keys at once.
        let sorted = |mut ids: Vec<String>| {
            ids.sort_by_key(|id| xxh3_64_with_seed(id.as_bytes(), 7));
            ids
        };
        assert_eq!(train, sorted(train.clone()));
        assert_eq!(val, sorted(val.clone()));
    }

    #[test]
    fn a_page_taken_down_moves_no_other_across() {
        let all: Vec<usize> = (0..40).collect();
        let fewer: Vec<usize> = all.iter().copied().filter(|page| page % 7 != 3).collect();
        let (_, val, _a) = shards_of(&[40], 7, &all, BUCKET_BYTES);
        let (_, val_of_fewer, _b) = shards_of(&[fewer.len()], 7, &fewer, BUCKET_BYTES);
        let taken_down = |id: &str| id.trim_start_matches("id").parse::<usize>().unwrap() % 7 == 3;
        let left: Vec<String> = val.into_iter().filter(|id| !taken_down(id)).collect();
        assert_eq!(val_of_fewer, left);
        assert!(!left.is_empty());
    }

    #[test]
    fn the_seed_shuffles_and_never_moves_a_host_across() {
        let (train_a, val_a, _a) = shards(&[40], 7);
        let (train_b, val_b, _b) = shards(&[40], 8);
        assert_ne!(train_a, train_b);
        let sorted = |mut ids: Vec<String>| {
            ids.sort();
            ids
        };
        assert_eq!(sorted(val_a), sorted(val_b));
        assert_eq!(sorted(train_a), sorted(train_b));
    }

    #[test]
    fn text_that_quotes_a_special_token_gets_ordinary_ids() {
        let (.., folder) = shards(&[40], 7);
        let out = folder.path().join("out");
        let tokenizer = Tokenizer::load(out.join("tokenizer.json")).unwrap();
        let bos = tokenizer.bos().unwrap();
        let set = ShardSet::open(&out, "train").unwrap();
        for shard in set.shards() {
            for index in 0..shard.n_documents() {
                let ids = shard.document(index).unwrap();
                assert_eq!(ids.iter().filter(|id| **id == bos).count(), 1);
                assert!(tokenizer.decode_lossy(&ids[1..]).contains("<|bos|> the mill"));
            }
        }
    }

    #[test]
    fn hosts_are_cut_out_of_urls() {
        for (url, expected) in [
            ("http://A.example:8080/x", "a.example"),
            ("https://u:p@b.test?q", "b.test"),
            ("http://[::1]:80/", "[::1]:80"),
            ("nonsense", "nonsense"),
            ("", ""),
        ] {
            assert_eq!(host(url), expected);
        }
    }
}
