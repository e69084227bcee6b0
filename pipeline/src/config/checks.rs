//! Checks that need more than one key: configurations against their schema, columns along the DAG.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use gristmill_stages::registry::{AnyStage, KINDS, StageKind};
use gristmill_stages::stage::{BuildContext, InputStage, Runtime, Shape};
use serde_json::{Map, Value};

use super::mistakes::{Mistake, nearest};
use super::recipe::RecipeStage;

/// Reads a stage's configuration. Every unknown, missing and ill-typed key is reported, not only the first:
/// each key is tried alone in the kind's example, which is known to be right.
pub fn configuration(
    kind: &StageKind,
    id: &str,
    span: &Range<usize>,
    keys: &[(&String, &Range<usize>, &Value)],
    mistakes: &mut Vec<Mistake>,
) -> Option<Box<dyn AnyStage>> {
    let before = mistakes.len();
    let schema = (kind.schema)();
    let empty = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    let example = example_config(kind);
    for (key, key_span, value) in keys {
        let wrong = |message: String, hint| Mistake { span: Some((*key_span).clone()), message, hint };
        if !properties.contains_key(*key) {
            let near = nearest(key, properties.keys().map(String::as_str));
            let hint = near.map_or_else(
                || format!("`gristmill stages {}` lists its keys", kind.kind),
                |near| format!("did you mean `{near}`?"),
            );
            mistakes.push(wrong(format!("unknown key `{key}` in stage `{id}`"), Some(hint)));
            continue;
        }
        let mut alone = example.clone();
        alone.insert((*key).clone(), (*value).clone());
        if let Err(error) = (kind.parse)(Value::Object(alone)) {
            let manual = properties[*key]["description"].as_str();
            let hint = manual.map(|text| format!("`{key}`: {}", text.replace('\n', " ")));
            mistakes.push(wrong(format!("`{key}` in stage `{id}`: {error}"), hint));
        }
    }
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !keys.iter().any(|(key, ..)| *key == required) {
            let manual = properties.get(required).and_then(|property| property["description"].as_str());
            mistakes.push(Mistake {
                span: Some(span.clone()),
                message: format!("stage `{id}` needs the key `{required}`"),
                hint: manual.map(|text| format!("`{required}`: {}", text.replace('\n', " "))),
            });
        }
    }
    if mistakes.len() > before {
        return None;
    }
    let config = keys.iter().map(|(key, _, value)| ((*key).clone(), (*value).clone())).collect();
    match (kind.parse)(Value::Object(config)) {
        Ok(configured) => Some(configured),
        Err(error) => {
            let message = format!("stage `{id}`: {error}");
            mistakes.push(Mistake { span: Some(span.clone()), message, hint: None });
            None
        }
    }
}

/// The configuration of a kind's example.
fn example_config(kind: &StageKind) -> Map<String, Value> {
    let table: toml::Table = toml::from_str(kind.example).unwrap_or_default();
    let stage = table.get("stage").and_then(|stages| stages.get(0));
    let mut config = stage
        .and_then(|stage| serde_json::to_value(stage).ok())
        .and_then(|value| value.as_object().cloned())
        .unwrap_or_default();
    config.retain(|key, _| !["id", "kind", "input", "materialise"].contains(&key.as_str()));
    config
}

/// Every column that a stage reads must be there.
pub fn columns(stages: &[Option<RecipeStage>], mistakes: &mut Vec<Mistake>) {
    // `None`: not known, because a stage above has mistakes of its own.
    let mut after: Vec<Option<BTreeSet<String>>> = Vec::new();
    for stage in stages {
        let Some(stage) = stage else {
            after.push(None);
            continue;
        };
        let inputs: Option<Vec<&BTreeSet<String>>> =
            stage.inputs.iter().map(|&input| after[input].as_ref()).collect();
        let broken = stages.iter().take(after.len()).any(Option::is_none);
        let Some(inputs) = inputs.filter(|inputs| !inputs.is_empty() || !broken) else {
            after.push(None);
            continue;
        };
        // Of several inputs, only what all of them have can be relied on.
        let mut here = inputs.split_first().map_or_else(BTreeSet::new, |(first, rest)| {
            first.iter().filter(|column| rest.iter().all(|set| set.contains(*column))).cloned().collect()
        });
        if !matches!(stage.kind.shape, Shape::Source | Shape::Process) {
            for column in &stage.declares.reads {
                if !here.contains(column) {
                    mistakes.push(Mistake {
                        span: Some(stage.span.clone()),
                        message: format!(
                            "`{}` needs the column `{column}`; no stage above writes it",
                            stage.id
                        ),
                        hint: writer_of(column).map(|kind| format!("`kind = \"{kind}\"` writes `{column}`")),
                    });
                }
            }
        }
        here.extend(stage.declares.writes.iter().cloned());
        for column in &stage.declares.drops {
            here.remove(column);
        }
        after.push(Some(here));
    }
}

/// The first kind that writes a column, going by the examples; maps before sources.
fn writer_of(column: &str) -> Option<&'static str> {
    let writes = |kind: &&&StageKind| {
        (kind.parse)(Value::Object(example_config(kind)))
            .is_ok_and(|stage| stage.declares().writes.iter().any(|written| written == column))
    };
    let maps = KINDS.iter().filter(|kind| kind.shape == Shape::Map).collect::<Vec<_>>();
    let found = maps.iter().find(writes).copied();
    found.or_else(|| KINDS.iter().collect::<Vec<_>>().iter().find(writes).copied()).map(|kind| kind.kind)
}

/// Builds every stage once, which reads the lists and models that it names.
pub fn runtimes(stages: &[Option<RecipeStage>], base: &Path, seed: u64, mistakes: &mut Vec<Mistake>) {
    let context = BuildContext { base: base.to_owned(), seed };
    // An input with mistakes of its own would only be echoed.
    let whole = mistakes.is_empty();
    for stage in stages.iter().flatten() {
        let built = stage.configured.build(&context).and_then(|runtime| match runtime {
            Runtime::Process(process) if whole => {
                let inputs = stage.inputs.iter().filter_map(|&input| stages[input].as_ref());
                let inputs: Vec<_> =
                    inputs.map(|input| InputStage { id: &input.id, kind: input.kind.kind }).collect();
                process.accepts(&inputs)
            }
            _ => Ok(()),
        });
        if let Err(error) = built {
            let message = format!("stage `{}`: {error}", stage.id);
            mistakes.push(Mistake { span: Some(stage.span.clone()), message, hint: None });
        }
    }
}
