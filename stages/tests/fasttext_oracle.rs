//! Our fastText inference against the `fasttext` crate, which trains and reads `.bin` models as the C++ does.

use std::fs;

use fasttext::FastText;
use fasttext::args::{Args, LossName, ModelName};
use gristmill_stages::fasttext::{Model, Scratch};

/// Lines of three made-up languages, the same on every run.
fn lines() -> Vec<(usize, String)> {
    let words = [
        ["mill", "river", "stone", "flour", "wheel", "miller", "corn", "the", "grinds", "water"],
        ["mühle", "fluss", "stein", "mehl", "rad", "müller", "korn", "das", "mahlt", "wasser"],
        ["moulin", "rivière", "pierre", "farine", "roue", "meunier", "blé", "le", "broie", "eau"],
    ];
    let mut state = 1_u32;
    let mut next = |n: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as usize % n
    };
    (0..300)
        .map(|index| {
            let language = index % 3;
            let n = 2 + next(8);
            let line: Vec<&str> = (0..n).map(|_| words[language][next(10)]).collect();
            (language, line.join(" "))
        })
        .collect()
}

#[test]
fn every_loss_gives_the_crates_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("train.txt");
    let lines = lines();
    let labelled: Vec<String> =
        lines.iter().map(|(language, line)| format!("__label__l{language} {line}")).collect();
    fs::write(&input, labelled.join("\n")).unwrap();
    // Word n-grams are left out: the crate's `predict` forgets those with the end of the line, which the C++ has.
    for loss in
        [LossName::Softmax, LossName::HierarchicalSoftmax, LossName::OneVsAll, LossName::NegativeSampling]
    {
        let mut args = Args::new();
        args.apply_supervised_defaults();
        args.model = ModelName::Supervised;
        args.input.clone_from(&input);
        args.loss = loss;
        args.minn = 2;
        args.maxn = 4;
        args.bucket = 2000;
        args.dim = 12;
        args.epoch = 5;
        args.lr = 0.3;
        args.thread = 1;
        args.verbose = 0;
        args.seed = 7;
        let oracle = FastText::train(args).unwrap();
        let path = folder.path().join("model.bin");
        oracle.save_model(&path).unwrap();
        let ours = Model::open(&path).unwrap();
        let mut scratch = Scratch::default();
        let mut compared = 0;
        for (_, line) in &lines {
            for prediction in oracle.predict(line, 3, 0.0) {
                let label = prediction.label.trim_start_matches("__label__");
                let index = ours.label_index(label).unwrap_or_else(|| panic!("no label {label}"));
                let probability = ours.probability(line, index, &mut scratch).unwrap();
                assert!(
                    (probability - prediction.prob).abs() < 1e-4,
                    "{loss:?} `{line}` {label}: {probability} {}",
                    prediction.prob
                );
                compared += 1;
            }
        }
        assert!(compared >= 300, "{loss:?}: {compared} probabilities");
    }
}
