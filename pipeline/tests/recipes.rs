//! Every recipe and every example that comes with Gristmill is one that `gristmill check` accepts, except for files
//! that the user has to bring.

use std::fs;
use std::path::{Path, PathBuf};

use gristmill::config::{Mistakes, Recipe};
use gristmill_stages::registry::{self, StageKind};
use gristmill_stages::stage::{ArtefactRef, Declares, Shape};

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs")
}

/// The `.toml` files of a folder, sorted.
fn toml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    files
}

/// What the only stage of an example needs and makes.
fn declares(kind: &StageKind) -> Declares {
    let table: toml::Table = toml::from_str(kind.example).unwrap();
    let stages = table["stage"].as_array().unwrap();
    assert_eq!(stages.len(), 1, "the example of `{}` shows one stage", kind.kind);
    let mut config = serde_json::to_value(&stages[0]).unwrap();
    config
        .as_object_mut()
        .unwrap()
        .retain(|key, _| !["id", "kind", "input", "materialise"].contains(&key.as_str()));
    (kind.parse)(config).unwrap().declares()
}

/// Stages to put above an example, so that it finds the columns and files that it reads.
fn above(kind: &StageKind, declares: &Declares) -> &'static str {
    const CRAWL: &str = "[[stage]]\nid = \"above_1\"\nkind = \"warc\"\npaths = [\"*.warc.gz\"]\n";
    const DOCUMENTS: &str = "[[stage]]\nid = \"above_1\"\nkind = \"warc\"\npaths = [\"*.warc.gz\"]\n\
        [[stage]]\nid = \"above_2\"\nkind = \"extract_text\"\n[[stage]]\nid = \"above_3\"\nkind = \"language\"\n";
    const SHARDS: &str = "[[stage]]\nid = \"above_1\"\nkind = \"jsonl\"\npaths = [\"*.jsonl\"]\n\
        [[stage]]\nkind = \"tokenizer_train\"\nvocab_size = 300\n\
        [[stage]]\nkind = \"token_shards\"\ntokenizer = { stage = \"tokenizer_train\" }\n";
    const CONVERSATIONS: &str =
        "[[stage]]\nid = \"above_1\"\nkind = \"openai_messages\"\npaths = [\"*.jsonl\"]\n";
    match kind.shape {
        _ if declares.reads.iter().any(|column| column == "messages") => CONVERSATIONS,
        Shape::Source => "",
        Shape::Process => SHARDS,
        _ if declares.reads.iter().any(|column| column == "html") => CRAWL,
        _ => DOCUMENTS,
    }
}

/// The mistakes that are not about a file which the example names and the user has to bring.
fn own_mistakes(mistakes: &Mistakes, base: &Path, declares: &Declares) -> Vec<String> {
    let named = declares.artefacts.iter().filter_map(|artefact| match artefact {
        ArtefactRef::Named(name) => Some(name),
        ArtefactRef::Stage { .. } => None,
    });
    let absent: Vec<_> =
        declares.files.iter().chain(named).filter(|file| !base.join(file).exists()).collect();
    let messages = mistakes.list.iter().map(|mistake| mistake.message.clone());
    messages.filter(|message| !absent.iter().any(|file| message.contains(file.as_str()))).collect()
}

#[test]
fn every_recipe_passes_check() {
    let files = toml_files(&configs());
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let recipe = Recipe::load(&file, &[]).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert_eq!(recipe.name, file.file_stem().unwrap().to_str().unwrap());
        assert!(!recipe.stages.is_empty());
    }
}

/// What users have to bring is commented out; without the marks it must be right too.
#[test]
fn commented_out_stages_of_recipes_are_right() {
    let mut n_hidden = 0;
    for file in toml_files(&configs()) {
        let text = fs::read_to_string(&file).unwrap();
        let mut hidden = false;
        let mut bare = String::new();
        for line in text.lines() {
            hidden = line.starts_with("# [[stage]]") || hidden && line.starts_with("# ");
            n_hidden += usize::from(line.starts_with("# [[stage]]"));
            bare += if hidden { &line[2..] } else { line };
            bare.push('\n');
        }
        let Err(mistakes) = Recipe::parse(&file, &bare, &[]) else { continue };
        for mistake in &mistakes.list {
            assert!(mistake.message.contains("cannot read the"), "{mistakes}");
        }
    }
    assert!(n_hidden > 0);
}

#[test]
fn every_example_passes_check() {
    let folder = configs().join("stages");
    for kind in registry::KINDS {
        let declares = declares(kind);
        let text = format!("{}\n{}", above(kind, &declares), kind.example);
        let Err(mistakes) = Recipe::parse(&folder.join("example.toml"), &text, &[]) else { continue };
        let own = own_mistakes(&mistakes, &folder, &declares);
        assert!(own.is_empty(), "{}: {own:?}\n{mistakes}", kind.kind);
    }
}

#[test]
fn every_example_belongs_to_a_kind() {
    for file in toml_files(&configs().join("stages")) {
        let kind = registry::find(file.file_stem().unwrap().to_str().unwrap());
        let kind = kind.unwrap_or_else(|| panic!("{} is no kind's example", file.display()));
        assert_eq!(fs::read_to_string(&file).unwrap(), kind.example);
    }
}
