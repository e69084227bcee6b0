//! Reads a recipe file into stages that are ready to plan.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use gristmill_stages::registry::{self, AnyStage, StageKind};
use gristmill_stages::stage::{ArtefactRef, Declares, Shape};
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::checks;
use super::mistakes::{Mistake, Mistakes, nearest};
use super::overrides::{self, Override};

/// A recipe without mistakes.
pub struct Recipe {
    /// The file.
    pub path: PathBuf,
    /// Its folder: relative paths in it start here.
    pub base: PathBuf,
    /// What runs of it are called.
    pub name: String,
    /// Decides every sample and shuffle.
    pub seed: u64,
    /// In the order of the file; inputs stand before their users.
    pub stages: Vec<RecipeStage>,
}

/// One stage of a recipe.
pub struct RecipeStage {
    /// Unique; the kind unless given.
    pub id: String,
    /// The registry's row.
    pub kind: &'static StageKind,
    /// The configuration with all defaults.
    pub config: Value,
    /// The same, typed.
    pub configured: Box<dyn AnyStage>,
    /// What it needs and makes.
    pub declares: Declares,
    /// Indices of the stages that it reads.
    pub inputs: Vec<usize>,
    /// Keep its output on disk although nothing else asks for that.
    pub materialise: bool,
    /// Where its `[[stage]]` stands.
    pub span: Range<usize>,
}

/// What the result of a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageOutput {
    /// Documents that another stage can read.
    Documents,
    /// Files, made from documents; documents themselves pass a writer by.
    Files,
}

impl RecipeStage {
    /// What comes out of this stage.
    pub fn output(&self) -> StageOutput {
        match self.kind.shape {
            Shape::Source | Shape::Filter | Shape::Map | Shape::Exchange | Shape::Spans => {
                StageOutput::Documents
            }
            Shape::Sink | Shape::Gather | Shape::Process => StageOutput::Files,
        }
    }
}

/// A `[[stage]]` table as it stands in the file.
struct Raw {
    span: Range<usize>,
    keys: BTreeMap<String, (Range<usize>, Value)>,
}

/// Keys that every stage has.
const COMMON_KEYS: [&str; 4] = ["id", "kind", "input", "materialise"];

/// Extraction costs most of a run: its output is kept, so that a changed threshold never extracts again.
const MATERIALISED_BY_DEFAULT: &[&str] = &["extract_text"];

impl Recipe {
    /// Reads and checks a recipe. Touches the lists and models that stages name, but no crawl data.
    ///
    /// # Errors
    /// All [`Mistakes`] at once; an unreadable file is one.
    pub fn load(path: &Path, sets: &[String]) -> Result<Self, Mistakes> {
        let source = fs::read_to_string(path).map_err(|error| {
            let message = format!("cannot read recipe `{}`: {error}", path.display());
            let hint = Some("a recipe is a TOML file, such as `configs/quickstart.toml`".into());
            Mistakes::new(path, "", vec![Mistake { span: None, message, hint }])
        })?;
        Self::parse(path, &source, sets)
    }

    /// The same from text; `path` places mistakes and gives relative paths their start.
    ///
    /// # Errors
    /// All [`Mistakes`] at once.
    pub fn parse(path: &Path, source: &str, sets: &[String]) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let (document, errors) = DeTable::parse_recoverable(source);
        for error in errors {
            mistakes.push(Mistake { span: error.span(), message: error.message().to_owned(), hint: None });
        }
        let fail = |mistakes| Err(Mistakes::new(path, source, mistakes));

        let mut name = path.file_stem().map_or("run".into(), |stem| stem.to_string_lossy().into_owned());
        let mut seed = 0;
        let mut raw = Vec::new();
        for (key, value) in document.get_ref() {
            let word: &str = key.get_ref();
            match word {
                "name" => match value.get_ref() {
                    DeValue::String(text) => text.as_ref().clone_into(&mut name),
                    _ => mistakes.push(at(value.span(), "`name` must be a string", None)),
                },
                "seed" => match json(value.get_ref()).as_u64() {
                    Some(number) => seed = number,
                    None => mistakes.push(at(value.span(), "`seed` must be a number, 0 or more", None)),
                },
                "stage" => match value.get_ref() {
                    DeValue::Array(tables) => {
                        for table in tables {
                            match table.get_ref() {
                                DeValue::Table(keys) => raw.push(raw_stage(table.span(), keys)),
                                _ => mistakes.push(at(
                                    table.span(),
                                    "a stage must be a table `[[stage]]`",
                                    None,
                                )),
                            }
                        }
                    }
                    _ => mistakes.push(at(key.span(), "stages are written as `[[stage]]`", None)),
                },
                other => mistakes.push(at(
                    key.span(),
                    &format!("unknown key `{other}`"),
                    nearest(other, ["name", "seed", "stage"]).map(|near| format!("did you mean `{near}`?")),
                )),
            }
        }
        apply_sets(sets, &mut name, &mut seed, &mut raw, &mut mistakes);
        if !is_plain_name(&name) {
            mistakes.push(Mistake {
                span: None,
                message: format!("`name = {name:?}` cannot be a folder's name"),
                hint: Some("letters, digits, `-`, `_` and `.` serve".into()),
            });
        }
        if raw.is_empty() && mistakes.is_empty() {
            let hint =
                Some("a recipe begins with a source, such as `[[stage]]` with `kind = \"warc\"`".into());
            mistakes.push(Mistake { span: None, message: "the recipe has no stage".into(), hint });
        }

        let base = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        let mut stages: Vec<Option<RecipeStage>> = Vec::new();
        let mut ids: Vec<String> = Vec::new();
        for raw in &raw {
            let (id, stage) = resolve(raw, &ids, &stages, &mut mistakes);
            ids.push(id);
            stages.push(stage);
        }
        checks::columns(&stages, &mut mistakes);
        checks::runtimes(&stages, &base, seed, &mut mistakes);
        if !mistakes.is_empty() {
            return fail(mistakes);
        }
        let stages = stages.into_iter().flatten().collect();
        Ok(Self { path: path.to_owned(), base, name, seed, stages })
    }
}

fn at(span: Range<usize>, message: &str, hint: Option<String>) -> Mistake {
    Mistake { span: Some(span), message: message.to_owned(), hint }
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn raw_stage(span: Range<usize>, keys: &DeTable<'_>) -> Raw {
    let keys = keys
        .iter()
        .map(|(key, value)| (key.get_ref().to_string(), (key.span(), json(value.get_ref()))))
        .collect();
    Raw { span, keys }
}

/// TOML as JSON, which configurations are read from. Dates become strings.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            i64::from_str_radix(&digits, number.radix())
                .map(Value::from)
                .or_else(|_| u64::from_str_radix(&digits, number.radix()).map(Value::from))
                .unwrap_or_else(|_| Value::from(digits))
        }
        DeValue::Float(number) => {
            number.as_str().replace('_', "").parse::<f64>().map_or(Value::Null, Value::from)
        }
        DeValue::Boolean(truth) => Value::from(*truth),
        DeValue::Datetime(date) => Value::from(date.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref()))).collect()
        }
    }
}

fn apply_sets(
    sets: &[String],
    name: &mut String,
    seed: &mut u64,
    raw: &mut [Raw],
    mistakes: &mut Vec<Mistake>,
) {
    let mut wrong = |message: String, hint| mistakes.push(Mistake { span: None, message, hint });
    for text in sets {
        match overrides::parse(text) {
            Err(message) => wrong(message, None),
            Ok(Override::Recipe(key, value)) if key == "name" => match value.as_str() {
                Some(text) => text.clone_into(name),
                None => wrong(format!("`--set {text}`: `name` must be a string"), None),
            },
            Ok(Override::Recipe(_, value)) => match value.as_u64() {
                Some(number) => *seed = number,
                None => wrong(format!("`--set {text}`: `seed` must be a number, 0 or more"), None),
            },
            Ok(Override::Stage(id, keys, value)) => {
                let ids: Vec<String> = raw.iter().map(Raw::id).collect();
                let Some(index) = ids.iter().position(|known| *known == id) else {
                    let near = nearest(&id, ids.iter().map(String::as_str));
                    let hint = near.map(|near| format!("did you mean `{near}`?"));
                    wrong(format!("`--set {text}` names no stage of the recipe: `{id}`"), hint);
                    continue;
                };
                let span = raw[index].span.clone();
                let (_, slot) = raw[index].keys.entry(keys[0].clone()).or_insert((span, Value::Null));
                let mut map = Map::new();
                map.insert(keys[0].clone(), slot.take());
                overrides::put(&mut map, &keys, value);
                *slot = map.remove(&keys[0]).unwrap_or_default();
            }
        }
    }
}

impl Raw {
    fn text(&self, key: &str) -> Option<&str> {
        self.keys.get(key).and_then(|(_, value)| value.as_str())
    }

    fn id(&self) -> String {
        self.text("id").or(self.text("kind")).unwrap_or("").to_owned()
    }
}

/// Makes a stage of its table; stages above are known by then.
fn resolve(
    raw: &Raw,
    ids: &[String],
    stages: &[Option<RecipeStage>],
    mistakes: &mut Vec<Mistake>,
) -> (String, Option<RecipeStage>) {
    let id = raw.id();
    let key_span = |key: &str| raw.keys.get(key).map_or(raw.span.clone(), |(span, _)| span.clone());
    if let Some(first) = ids.iter().position(|known| *known == id && !id.is_empty()) {
        let message = format!("two stages are called `{id}` (the first is stage {})", first + 1);
        let hint = Some(format!("give this one a name of its own, such as `id = \"{id}_2\"`"));
        mistakes.push(at(key_span(if raw.keys.contains_key("id") { "id" } else { "kind" }), &message, hint));
    } else if !id.is_empty() && !is_plain_name(&id) {
        let hint = Some("letters, digits, `-`, `_` and `.` serve".into());
        mistakes.push(at(key_span("id"), &format!("`{id}` cannot be a stage's id"), hint));
    }
    let Some(kind_word) = raw.text("kind") else {
        let hint = Some("`gristmill stages` lists all kinds".into());
        mistakes.push(at(key_span("kind"), "a stage needs a `kind`, a string", hint));
        return (id, None);
    };
    let Some(kind) = registry::find(kind_word) else {
        let near = nearest(kind_word, registry::KINDS.iter().map(|row| row.kind));
        let hint = near.map_or_else(
            || "`gristmill stages` lists all kinds".into(),
            |near| format!("did you mean `{near}`? `gristmill stages` lists all kinds"),
        );
        mistakes.push(at(key_span("kind"), &format!("unknown stage kind `{kind_word}`"), Some(hint)));
        return (id, None);
    };
    let own: Vec<(&String, &Range<usize>, &Value)> = raw
        .keys
        .iter()
        .filter(|(key, _)| !COMMON_KEYS.contains(&key.as_str()))
        .map(|(key, (span, value))| (key, span, value))
        .collect();
    let configured = checks::configuration(kind, &id, &raw.span, &own, mistakes);
    let materialise = match raw.keys.get("materialise") {
        None => MATERIALISED_BY_DEFAULT.contains(&kind.kind),
        Some((_, Value::Bool(truth))) => *truth,
        Some((span, _)) => {
            mistakes.push(at(span.clone(), "`materialise` must be true or false", None));
            false
        }
    };
    let inputs = resolve_inputs(raw, kind, ids, stages, mistakes);
    let Some(configured) = configured else { return (id, None) };
    let declares = configured.declares();
    for artefact in &declares.artefacts {
        let ArtefactRef::Stage { stage } = artefact else { continue };
        if !ids.contains(stage) {
            let near = nearest(stage, ids.iter().map(String::as_str));
            let hint = near.map(|near| format!("did you mean `{near}`?"));
            let message =
                format!("`{id}` wants what stage `{stage}` makes, but no stage above is called that");
            mistakes.push(at(raw.span.clone(), &message, hint));
        }
    }
    let config = configured.canonical();
    let span = raw.span.clone();
    (id.clone(), Some(RecipeStage { id, kind, config, configured, declares, inputs, materialise, span }))
}

/// The stages that this one reads: those that `input` names, else the nearest above whose output fits.
fn resolve_inputs(
    raw: &Raw,
    kind: &StageKind,
    ids: &[String],
    stages: &[Option<RecipeStage>],
    mistakes: &mut Vec<Mistake>,
) -> Vec<usize> {
    let id = raw.id();
    if kind.shape == Shape::Source {
        if let Some((span, _)) = raw.keys.get("input") {
            mistakes.push(at(span.clone(), &format!("`{id}` is a source: it has no `input`"), None));
        }
        return Vec::new();
    }
    let wanted = if kind.shape == Shape::Process { StageOutput::Files } else { StageOutput::Documents };
    let fits = |index: &usize| stages[*index].as_ref().is_some_and(|stage| stage.output() == wanted);
    let Some((span, value)) = raw.keys.get("input") else {
        let above = (0..stages.len()).rev().find(fits);
        // If a stage above has mistakes of its own, this one would only be an echo.
        if above.is_none() && stages.iter().all(Option::is_some) {
            let hint = match wanted {
                StageOutput::Documents => "put a source above it, such as `kind = \"warc\"`",
                StageOutput::Files => "put `kind = \"token_shards\"` above it",
            };
            mistakes.push(at(raw.span.clone(), &format!("`{id}` has nothing to read"), Some(hint.into())));
        }
        return above.into_iter().collect();
    };
    let names: Option<Vec<&str>> = match value {
        Value::String(name) => Some(vec![name]),
        Value::Array(names) => names.iter().map(Value::as_str).collect(),
        _ => None,
    };
    let Some(names) = names.filter(|names| !names.is_empty()) else {
        let hint = Some("for example `input = \"crawl\"` or `input = [\"a\", \"b\"]`".into());
        mistakes.push(at(span.clone(), "`input` must name one or more stages", hint));
        return Vec::new();
    };
    let mut inputs = Vec::new();
    for name in names {
        match ids.iter().position(|known| known == name) {
            // An input that has mistakes of its own is no mistake here.
            Some(index) if stages[index].is_none() => {}
            Some(index) if fits(&index) => inputs.push(index),
            Some(_) => {
                let message = match wanted {
                    StageOutput::Documents => {
                        format!(
                            "`{id}` reads documents, but `{name}` makes files; name the stage that feeds `{name}`"
                        )
                    }
                    StageOutput::Files => format!("`{id}` reads files, but `{name}` makes documents"),
                };
                mistakes.push(at(span.clone(), &message, None));
            }
            None => {
                let near = nearest(name, ids.iter().map(String::as_str));
                let hint = near.map_or_else(
                    || "an input must stand above the stage that reads it".into(),
                    |near| format!("did you mean `{near}`?"),
                );
                mistakes.push(at(span.clone(), &format!("no stage above is called `{name}`"), Some(hint)));
            }
        }
    }
    inputs
}
