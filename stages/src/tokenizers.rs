//! The tokenizer that a stage's configuration names: another stage's, a file's, or a published one by name.

use std::path::PathBuf;

use gristmill_tokenizer::Tokenizer;

use crate::stage::{ArtefactRef, Artefacts, BuildContext, StageError};

/// Where a tokenizer comes from.
pub enum TokenizerSource {
    /// The stage that trains it.
    Stage(String),
    /// A `tokenizer.json` or tiktoken file.
    File(PathBuf),
    /// One of [`gristmill_tokenizer::NAMES`].
    Known(String),
}

/// The files that a stage with this tokenizer reads.
pub fn files(tokenizer: &ArtefactRef) -> Vec<String> {
    match tokenizer {
        ArtefactRef::Named(name) if !is_known(name) => vec![name.clone()],
        _ => Vec::new(),
    }
}

fn is_known(name: &str) -> bool {
    gristmill_tokenizer::NAMES.contains(&name)
}

impl TokenizerSource {
    /// What the configuration means. A file is loaded now, so that a wrong one is a mistake in the recipe and not a
    /// failure after hours; with it comes the tokenizer, where it is there already.
    pub fn resolve(
        tokenizer: &ArtefactRef,
        context: &BuildContext,
    ) -> Result<(Self, Option<Tokenizer>), StageError> {
        let source = match tokenizer {
            ArtefactRef::Stage { stage } => return Ok((Self::Stage(stage.clone()), None)),
            ArtefactRef::Named(name) if is_known(name) => Self::Known(name.clone()),
            ArtefactRef::Named(name) => Self::File(context.resolve(name)),
        };
        let loaded = source.load(&Artefacts::new())?;
        Ok((source, Some(loaded)))
    }

    /// The tokenizer itself.
    pub fn load(&self, artefacts: &Artefacts) -> Result<Tokenizer, StageError> {
        let path = match self {
            Self::Known(name) => {
                let known = Tokenizer::named(name);
                return known
                    .ok_or_else(|| StageError::Config(format!("tokenizer `{name}` is not built in")));
            }
            Self::File(path) => path.clone(),
            Self::Stage(stage) => artefacts
                .get(stage)
                .ok_or_else(|| StageError::Engine(format!("stage `{stage}` left no tokenizer")))?
                .join("tokenizer.json"),
        };
        Tokenizer::load(&path).map_err(|error| {
            StageError::Config(format!(
                "tokenizer `{}`: {error}; a file or one of {} would work",
                path.display(),
                gristmill_tokenizer::NAMES.join(", ")
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_names_need_no_file_and_other_names_are_files() {
        let context = BuildContext { base: PathBuf::from("/nowhere"), seed: 0 };
        let known = ArtefactRef::Named("r50k_base".into());
        assert!(files(&known).is_empty());
        let (source, loaded) = TokenizerSource::resolve(&known, &context).unwrap();
        assert_eq!(loaded.unwrap().bos(), Some(50_256));
        let again = source.load(&Artefacts::new()).unwrap();
        assert_eq!(again.vocab_size(), 50_257);
        // Shards carry their tokenizer as a file: it is the same one.
        assert_eq!(Tokenizer::from_json(again.to_json().as_bytes()).unwrap().hash(), again.hash());
        let file = ArtefactRef::Named("gone.json".into());
        assert_eq!(files(&file), ["gone.json"]);
        let error = TokenizerSource::resolve(&file, &context).err().unwrap().to_string();
        assert!(error.contains("/nowhere/gone.json") && error.contains("cl100k_base"), "{error}");
    }
}
