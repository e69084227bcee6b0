//! Scores from given logits against lm-evaluation-harness's own (scripts/compare_lm_eval.py writes expected.json).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use gristmill_train::evals::prompt::{Prompter, Request};
use gristmill_train::evals::run::{Score, run, table, task_files};
use gristmill_train::evals::scorer::{LanguageModel, Row};
use gristmill_train::evals::task::Task;

const PREFIX: u32 = 256;
const CONTEXT: usize = 200;

/// The script's model: bytes, and likelier where the last eight bytes and the next stand in known.txt.
struct Bytes {
    following: HashMap<Vec<u32>, HashSet<u32>>,
}

impl Bytes {
    fn new() -> Self {
        let known: Vec<u32> =
            std::fs::read(folder().join("known.txt")).unwrap().into_iter().map(u32::from).collect();
        let mut following: HashMap<Vec<u32>, HashSet<u32>> = HashMap::new();
        for window in known.windows(9) {
            following.entry(window[..8].to_vec()).or_default().insert(window[8]);
        }
        Self { following }
    }

    fn logits(&self, tokens: &[u32]) -> Vec<f64> {
        let favoured = tokens.len().checked_sub(8).and_then(|from| self.following.get(&tokens[from..]));
        let a = *tokens.last().unwrap();
        let logit = |b: u32| {
            let favour = if favoured.is_some_and(|set| set.contains(&b)) { 12.0 } else { 0.0 };
            f64::from((a * 31 + b * 17 + a * b) % 101) / 10.0 + favour
        };
        (0..256).map(logit).collect()
    }

    fn likeliest(logits: &[f64]) -> u32 {
        let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        logits.iter().position(|&logit| logit >= highest).unwrap() as u32
    }
}

impl LanguageModel for Bytes {
    fn encode(&self, text: &str) -> Vec<u32> {
        text.bytes().map(u32::from).collect()
    }

    fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().map(|&id| id as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn prefix(&self) -> u32 {
        PREFIX
    }

    fn question(&self, _: &str) -> Option<Vec<u32>> {
        None
    }

    fn context(&self) -> usize {
        CONTEXT
    }

    fn score(&self, rows: &[Row]) -> Result<Vec<Vec<(f64, bool)>>> {
        let score = |row: &Row| {
            let mut read = row.inputs[..row.inputs.len() - row.targets.len()].to_vec();
            let mut scores = Vec::new();
            for (&input, &target) in row.inputs[read.len()..].iter().zip(&row.targets) {
                read.push(input);
                let logits = self.logits(&read);
                let highest = logits[Self::likeliest(&logits) as usize];
                let normaliser =
                    highest + logits.iter().map(|logit| (logit - highest).exp()).sum::<f64>().ln();
                scores.push((logits[target as usize] - normaliser, Self::likeliest(&logits) == target));
            }
            scores
        };
        Ok(rows.iter().map(score).collect())
    }

    fn continue_greedily(
        &self,
        ids: &[u32],
        limit: usize,
        stop: &dyn Fn(&[u32]) -> bool,
    ) -> Result<Vec<u32>> {
        let mut written = Vec::new();
        while written.len() < limit && !stop(&written) {
            let read = [ids, &written].concat();
            written.push(Self::likeliest(&self.logits(&read)));
        }
        Ok(written)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evals")
}

#[test]
fn scores_from_given_logits_equal_the_harness() {
    let expected = std::fs::read(folder().join("expected.json")).unwrap();
    let mut expected: BTreeMap<String, f64> = serde_json::from_slice(&expected).unwrap();
    let model = Bytes::new();
    let mut check = |key: String, found: f64| {
        if let Some(expected) = expected.remove(&key) {
            let close = (found - expected).abs() <= 1e-9 * expected.abs();
            assert!(close, "{key}: {found}, the harness has {expected}");
        }
    };
    let mut scores: Vec<Score> = Vec::new();
    for file in task_files(&[folder()]).unwrap() {
        let task = Task::load(&file, None).unwrap();
        scores.extend(run(&task, &model, 0, |_| ()).unwrap());
    }
    for score in &scores {
        let key = format!("{}/{}/{}", score.task, score.filter, score.metric);
        check(format!("{key}_stderr"), score.estimate.stderr.unwrap());
        check(key, score.estimate.value);
    }
    assert!(expected.is_empty(), "not measured: {expected:?}");
    let table = table(&scores);
    assert_eq!(table.lines().count(), scores.len() + 1);
    assert!(table.contains("fixture_cloze"), "{table}");
}

#[test]
fn prompts_hold_the_description_and_solved_examples() {
    let task = Task::load(&folder().join("choices.yaml"), None).unwrap();
    let item = Prompter::new(&task).item(0).unwrap();
    let Request::Likelihood { context, continuation } = &item.requests[1] else { panic!("{item:?}") };
    assert_eq!(
        context,
        "Choose well.\n\nQuestion: What is snow?\nAnswer: white\n\nQuestion: Which flies?\nAnswer: a swallow\n\n\
         Question: What does a mill grind?\nAnswer:"
    );
    assert_eq!(continuation, " grain");
    // A document is never its own example.
    let task = Task::load(&folder().join("answers.yaml"), None).unwrap();
    let prompt = |index| match &Prompter::new(&task).item(index).unwrap().requests[0] {
        Request::Generate(context) => context.clone(),
        other => panic!("{other:?}"),
    };
    assert!(prompt(0).starts_with("Q: What is 3 times 5?\nA: 15\n\nQ: What is 2 + 2?\nA:"));
    assert!(prompt(1).starts_with("Q: What is 2 + 2?\nA: 4\n\n"));
}

/// Every task of configs/eval over the data that it was written for: each document gives well-formed requests.
#[test]
fn the_example_tasks_fit_their_data() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/eval");
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    for file in task_files(&[configs]).unwrap() {
        let own = std::fs::read_to_string(&file).unwrap().contains("arithmetic.jsonl");
        if !own && !shared.exists() {
            eprintln!("SKIPPED: `{}` needs ../shared/data", file.display());
            continue;
        }
        let task = Task::load(&file, (!own).then_some(shared.as_path())).unwrap();
        let prompter = Prompter::new(&task);
        for index in 0..task.documents.len() {
            let item = prompter.item(index).unwrap();
            for request in &item.requests {
                if let Request::Likelihood { context, continuation } = request {
                    assert!(
                        !context.is_empty() && !continuation.trim().is_empty(),
                        "{}: {item:?}",
                        task.name
                    );
                }
            }
        }
    }
}
