//! From texts to tokens, windows and likelihoods: what lm-evaluation-harness's language models do around their logits.

use anyhow::Result;
use gristmill_tokenizer::Tokenizer;
use gristmill_tokenizer::conversation::{ChatFormat, Message, Role};

use crate::evals::metric::Answer;
use crate::evals::prompt::Request;
use crate::evals::task::Generation;
use crate::loader::Batch;
use crate::model::{Model, Weights};
use crate::reader::Reader;

/// Something that gives every next token a probability.
pub trait LanguageModel {
    /// Ids of a text, without a first token of its own.
    fn encode(&self, text: &str) -> Vec<u32>;

    /// The text of ids; broken characters are replaced.
    fn decode(&self, ids: &[u32]) -> String;

    /// The token that stands before a text's first.
    fn prefix(&self) -> u32;

    /// What is read where a user says this and the model is about to answer; `None` where it reads bare text.
    fn question(&self, text: &str) -> Option<Vec<u32>>;

    /// Tokens that can be read at once.
    fn context(&self) -> usize;

    /// Of each row: for each target, the natural logarithm of its probability and whether it is the likeliest.
    fn score(&self, rows: &[Row]) -> Result<Vec<Vec<(f64, bool)>>>;

    /// Greedy continuation of `ids` by up to `limit` tokens, until `stop` holds for what was written.
    fn continue_greedily(&self, ids: &[u32], limit: usize, stop: &dyn Fn(&[u32]) -> bool)
    -> Result<Vec<u32>>;
}

/// What a model reads, and which tokens follow the last of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// At most [`LanguageModel::context`] tokens.
    pub inputs: Vec<u32>,
    /// The tokens after the last inputs: target `i` of n follows input `len - n + i`.
    pub targets: Vec<u32>,
}

/// Answers every request, in order.
pub fn answer(
    model: &dyn LanguageModel,
    requests: &[&Request],
    generation: &Generation,
) -> Result<Vec<Answer>> {
    let mut rows = Vec::new();
    // Each request's rows; none for what is written.
    let mut spans = Vec::new();
    for request in requests {
        let begin = rows.len();
        match request {
            Request::Likelihood { context, continuation } => rows.push(pair(model, context, continuation)),
            Request::Rolling(text) => rows.extend(windows(model, text)),
            Request::Generate(_) => {}
        }
        spans.push(begin..rows.len());
    }
    let scores = model.score(&rows)?;
    let mut answers = Vec::with_capacity(requests.len());
    for (request, span) in requests.iter().zip(spans) {
        answers.push(if let Request::Generate(context) = request {
            Answer::Text(write(model, context, generation)?)
        } else {
            let targets = || scores[span.clone()].iter().flatten();
            Answer::Likelihood {
                log: targets().map(|(log, _)| log).sum(),
                greedy: targets().all(|(_, greedy)| *greedy),
            }
        });
    }
    Ok(answers)
}

/// The continuation's tokens are those that the context's do not account for when both are encoded together.
///
/// White space at the context's end goes to the continuation, where tokenizers put it.
///
/// A user's turn ends with a special token, so that nothing is encoded across; the answer begins without white space, as in
/// conversations.
fn pair(model: &dyn LanguageModel, context: &str, continuation: &str) -> Row {
    if let Some(question) = model.question(context) {
        return cut(model, question, &model.encode(continuation.trim_start()));
    }
    let mut ids = vec![model.prefix()];
    if context.is_empty() {
        return cut(model, ids, &model.encode(continuation));
    }
    let trimmed = context.trim_end();
    let whole = model.encode(&format!("{context}{continuation}"));
    let n_context = model.encode(trimmed).len().min(whole.len());
    let (before, after) = whole.split_at(n_context);
    ids.extend_from_slice(before);
    cut(model, ids, after)
}

/// A row of what was read before and its continuation that keeps the end where not all fits.
fn cut(model: &dyn LanguageModel, mut ids: Vec<u32>, continuation: &[u32]) -> Row {
    ids.extend_from_slice(continuation);
    let last = ids.len() - 1;
    let inputs = ids[..last].to_vec();
    let inputs = inputs[inputs.len().saturating_sub(model.context())..].to_vec();
    let targets = continuation[continuation.len().saturating_sub(inputs.len())..].to_vec();
    Row { inputs, targets }
}

/// A text in windows: each token is a target once; the last window reads as much before its targets as fits.
fn windows(model: &dyn LanguageModel, text: &str) -> Vec<Row> {
    let ids = model.encode(text);
    let longest = model.context();
    let mut with_prefix = vec![model.prefix()];
    with_prefix.extend_from_slice(&ids);
    let mut rows = Vec::new();
    let mut done = 0;
    while done < ids.len() {
        let end = (done + longest).min(ids.len());
        // Target i is `ids[i]` and follows input `with_prefix[i]`.
        let begin = end.saturating_sub(longest);
        rows.push(Row { inputs: with_prefix[begin..end].to_vec(), targets: ids[done..end].to_vec() });
        done = end;
    }
    rows
}

fn write(model: &dyn LanguageModel, context: &str, generation: &Generation) -> Result<String> {
    let ids = model.question(context).unwrap_or_else(|| {
        let mut ids = vec![model.prefix()];
        ids.extend(model.encode(context));
        ids
    });
    let room = model.context().saturating_sub(generation.max_gen_toks).max(1);
    let ids = &ids[ids.len().saturating_sub(room)..];
    let ends = |text: &str| generation.until().iter().filter_map(|end| text.find(end)).min();
    let stop = |written: &[u32]| ends(&model.decode(written)).is_some();
    let written = model.continue_greedily(ids, generation.max_gen_toks, &stop)?;
    let mut text = model.decode(&written);
    if let Some(end) = ends(&text) {
        text.truncate(end);
    }
    Ok(text)
}

/// A checkpoint's model.
pub struct CheckpointModel<'a> {
    /// Its structure.
    pub model: &'a Model,
    /// Its values.
    pub weights: &'a Weights,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// How a chat model is asked; `None` asks with bare text.
    pub chat: Option<ChatFormat>,
    /// Tokens in one forward pass, at most; a longer row goes alone.
    pub batch_tokens: usize,
}

impl<'a> CheckpointModel<'a> {
    /// Asked with bare text, with passes of up to 4,096 tokens.
    pub fn new(model: &'a Model, weights: &'a Weights, tokenizer: &'a Tokenizer) -> Self {
        Self { model, weights, tokenizer, chat: None, batch_tokens: 4096 }
    }
}

impl LanguageModel for CheckpointModel<'_> {
    fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        self.tokenizer.encode_into(text, &mut ids);
        ids
    }

    fn decode(&self, ids: &[u32]) -> String {
        self.tokenizer.decode_lossy(ids)
    }

    fn prefix(&self) -> u32 {
        self.tokenizer.bos().unwrap_or(0)
    }

    fn question(&self, text: &str) -> Option<Vec<u32>> {
        let message = Message { role: Role::User, content: text.to_owned(), learn: true };
        self.chat.as_ref().map(|format| format.prompt(self.tokenizer, &[message]))
    }

    fn context(&self) -> usize {
        self.model.config.context
    }

    fn score(&self, rows: &[Row]) -> Result<Vec<Vec<(f64, bool)>>> {
        // Rows of like length share a pass; what stands behind a row's end cannot change what comes before.
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&row| (rows[row].inputs.len(), row));
        let mut scores = vec![Vec::new(); rows.len()];
        let mut reader = Reader::new(self.model, self.weights);
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let mut n = 1;
            while n < rest.len() && (n + 1) * rows[rest[n]].inputs.len() <= self.batch_tokens {
                n += 1;
            }
            let (together, later) = rest.split_at(n);
            rest = later;
            let length = rows[together[n - 1]].inputs.len();
            let mut ids = vec![0; n * length];
            let mut wanted = Vec::new();
            let mut targets = Vec::new();
            for (place, &row) in together.iter().enumerate() {
                let Row { inputs, targets: following } = &rows[row];
                ids[place * length..][..inputs.len()].copy_from_slice(inputs);
                let from = place * length + inputs.len() - following.len();
                wanted.extend(from..from + following.len());
                targets.extend_from_slice(following);
            }
            if targets.is_empty() {
                continue;
            }
            let batch =
                Batch { rows: n, context: length, inputs: ids, targets: Vec::new(), starts: Vec::new() };
            let mut judged = Vec::with_capacity(targets.len());
            reader.logits_at(&batch, &wanted, |i, logits| judged.push(log_share(logits, targets[i])));
            let mut judged = judged.into_iter();
            for &row in together {
                scores[row] = judged.by_ref().take(rows[row].targets.len()).collect();
            }
        }
        Ok(scores)
    }

    fn continue_greedily(
        &self,
        ids: &[u32],
        limit: usize,
        stop: &dyn Fn(&[u32]) -> bool,
    ) -> Result<Vec<u32>> {
        let mut reader = Reader::new(self.model, self.weights);
        let (mut unread, mut written) = (ids.to_vec(), Vec::new());
        while written.len() < limit && reader.len() + unread.len() <= self.context() {
            let id = likeliest(&reader.next_logits(&unread, 1, &[]).remove(0));
            // The next document begins, or a turn ends.
            if Some(id) == self.tokenizer.bos() || self.chat.is_some() && self.tokenizer.is_special(id) {
                break;
            }
            written.push(id);
            if stop(&written) {
                break;
            }
            unread = vec![id];
        }
        Ok(written)
    }
}

/// Logarithm of the softmax at `target`, and whether it is the first of the highest.
fn log_share(logits: &[f32], target: u32) -> (f64, bool) {
    let best = likeliest(logits);
    let highest = f64::from(logits[best as usize]);
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - highest).exp()).sum();
    (f64::from(logits[target as usize]) - highest - sum.ln(), best == target)
}

/// The first of the highest.
fn likeliest(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use gristmill_tokenizer::{Pattern, PretokenCounts, TrainOptions, train};

    use burn::tensor::Device;

    use super::*;
    use crate::config::RunConfig;

    #[test]
    fn a_checkpoint_scores_alike_alone_and_in_batches() {
        let mut counts = PretokenCounts::new(Pattern::cl100k());
        counts.add("the mill grinds the corn and the mill stands still");
        let tokenizer = train(&counts, &TrainOptions { vocab_size: 280, ..TrainOptions::default() }).unwrap();
        let shape = "[model]\nkind = \"llama3\"\nlayers = 2\nheads = 2\nwidth = 16\ncontext = 12\n";
        let model = Model::new(&RunConfig::parse(shape, &[]).unwrap().model, tokenizer.vocab_size());
        let weights = model.initial_weights(1, &Device::flex());
        let at_once = CheckpointModel::new(&model, &weights, &tokenizer);
        let alone = CheckpointModel { batch_tokens: 1, ..CheckpointModel::new(&model, &weights, &tokenizer) };
        let requests = [
            Request::Likelihood { context: "the mill ".into(), continuation: "grinds".into() },
            Request::Likelihood { context: String::new(), continuation: "the corn".into() },
            Request::Likelihood {
                context: "the corn and the mill ".repeat(9),
                continuation: " stands".into(),
            },
            Request::Likelihood { context: "the".into(), continuation: String::new() },
            Request::Rolling("the mill stands still, ".repeat(7)),
            Request::Generate("the mill".into()),
        ];
        let requests: Vec<&Request> = requests.iter().collect();
        let mut generation = Generation::default();
        generation.max_gen_toks = 5;
        let answers = answer(&at_once, &requests, &generation).unwrap();
        for (a, b) in answers.iter().zip(answer(&alone, &requests, &generation).unwrap()) {
            match (a, b) {
                (Answer::Likelihood { log: a, .. }, Answer::Likelihood { log: b, .. }) => {
                    assert!((a - b).abs() < 1e-4, "{a} {b}");
                }
                (a, b) => assert_eq!(*a, b),
            }
        }
        let Answer::Likelihood { log, greedy } = answers[3] else { panic!("{answers:?}") };
        assert!(log == 0.0 && greedy, "nothing to get wrong");
        // A text of many windows costs about what guessing among 280 ids costs a token, each token once.
        let n = at_once.encode(&"the mill stands still, ".repeat(7)).len() as f64;
        let Answer::Likelihood { log, .. } = answers[4] else { panic!("{answers:?}") };
        assert!((log / n + 280_f64.ln()).abs() < 0.3, "{log} {n}");
    }
}
