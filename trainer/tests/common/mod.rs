//! What tests of the command share.

use std::path::Path;

use gristmill_corpus::shards::{DocumentTokens, ShardOptions, ShardWriter};
use gristmill_tokenizer::{Pattern, PretokenCounts, TrainOptions, train};
use gristmill_train::generate::prompt_ids;

/// 240 short documents as `tokenizer.json` and `shards/` in `folder`.
pub fn write_corpus(folder: &Path) {
    write_documents(folder, 240);
}

/// As [`write_corpus`], of the first `n` documents, of which those after the 200th are held out.
pub fn write_documents(folder: &Path, n: usize) {
    let names = ["miller", "farmer", "baker", "carter"];
    let goods = ["grain", "flour", "bread", "oats", "barley"];
    let documents: Vec<String> = (0..n)
        .map(|i| {
            let (name, good) = (names[i % 4], goods[i * 7 % 5]);
            format!(
                "The {name} sells {good}. Whoever buys {good} from the {name} pays {} coins.\n",
                i % 9 + 1
            )
        })
        .collect();
    let mut counts = PretokenCounts::new(Pattern::nanochat());
    for document in &documents[..200] {
        counts.add(document);
    }
    let tokenizer = train(&counts, &TrainOptions { vocab_size: 320, ..TrainOptions::default() }).unwrap();
    tokenizer.save(folder.join("tokenizer.json")).unwrap();
    for (split, documents) in [("train", &documents[..200]), ("val", &documents[200..])] {
        let bos = tokenizer.bos().unwrap();
        let options = ShardOptions::new(tokenizer.hash(), tokenizer.vocab_size(), bos);
        let mut writer = ShardWriter::create(&folder.join("shards"), split, options).unwrap();
        for document in documents {
            let ids = prompt_ids(&tokenizer, document);
            let n_bytes = document.len() as u64;
            writer
                .push(&DocumentTokens { ids: &ids, id: document, n_bytes, ..DocumentTokens::default() })
                .unwrap();
        }
        writer.finish().unwrap();
    }
}
