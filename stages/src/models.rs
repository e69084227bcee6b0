//! fastText models as recipes name them: a vendored one by its name, any other by its path.

use std::cell::RefCell;

use crate::assets;
use crate::fasttext::{Model, Scratch};
use crate::stage::{BuildContext, StageError};

/// The model that identifies languages: `lid.176.ftz`.
pub const LANGUAGES: &str = "lid.176.ftz";

/// The files that a stage depends on when it names this model: none for a vendored one.
pub fn files(name: &str) -> Vec<String> {
    if assets::find(name).is_some() { Vec::new() } else { vec![name.to_owned()] }
}

/// Reads a model. A folder (what `classifier_train` makes) holds it as `model.bin`.
///
/// # Errors
/// [`StageError::Config`] naming the file and what is wrong with it.
pub fn open(name: &str, context: &BuildContext) -> Result<Model, StageError> {
    let model = if let Some(asset) = assets::find(name) {
        Model::from_bytes(asset.bytes)
    } else {
        let path = context.resolve(name);
        Model::open(&if path.is_dir() { path.join(MODEL_FILE) } else { path })
    };
    model.map_err(|error| StageError::Config(format!("`model`: {error}")))
}

/// What a folder calls its model.
pub const MODEL_FILE: &str = "model.bin";

/// The indices of labels of a model; `what` is what the labels stand for.
///
/// # Errors
/// [`StageError::Config`] naming the first label that the model lacks, and those that it has.
pub fn labels(model: &Model, name: &str, what: &str, wanted: &[String]) -> Result<Vec<usize>, StageError> {
    let find = |wanted: &String| {
        model.label_index(wanted).ok_or_else(|| {
            let labels: Vec<&str> = (0..model.n_labels()).map(|label| model.label(label)).collect();
            StageError::Config(format!("`{name}` has no {what} `{wanted}`; it knows {}", labels.join(", ")))
        })
    };
    wanted.iter().map(find).collect()
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Lends this thread's working memory.
pub fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(work)
}
