//! `--set KEY=VALUE`: changes to a recipe from the command line.

use serde_json::Value;

/// Where a `--set` points.
#[derive(Debug, Clone, PartialEq)]
pub enum Override {
    /// `name=…` or `seed=…`.
    Recipe(String, Value),
    /// `stage.ID.KEY[.KEY…]=…`.
    Stage(String, Vec<String>, Value),
}

/// Parses `stage.gopher_quality.min_words=80`. The value is TOML; what is no TOML value is taken as a string,
/// so that quotes are not needed on the command line.
pub fn parse(text: &str) -> Result<Override, String> {
    let example = "for example `--set stage.gopher_quality.min_words=80`";
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`--set {text}` has no `=`: {example}"))?;
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .and_then(|value| serde_json::to_value(value).ok())
        .unwrap_or_else(|| Value::from(value));
    match key.split('.').map(str::trim).collect::<Vec<_>>().as_slice() {
        [top @ ("name" | "seed")] => Ok(Override::Recipe((*top).to_owned(), parsed)),
        ["stage", id, keys @ ..] if !keys.is_empty() => {
            Ok(Override::Stage((*id).to_owned(), keys.iter().map(|&key| key.to_owned()).collect(), parsed))
        }
        _ => Err(format!("`--set {text}` names neither `name`, `seed` nor `stage.ID.KEY`: {example}")),
    }
}

/// Puts `value` at `keys` below `target`, making tables on the way.
pub fn put(target: &mut serde_json::Map<String, Value>, keys: &[String], value: Value) {
    let Some((last, parents)) = keys.split_last() else { return };
    let mut here = target;
    for key in parents {
        let slot = here.entry(key.clone()).or_insert_with(|| Value::Object(serde_json::Map::new()));
        if !slot.is_object() {
            *slot = Value::Object(serde_json::Map::new());
        }
        let Value::Object(map) = slot else { return };
        here = map;
    }
    here.insert(last.clone(), value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_toml_or_plain_words() {
        let keys = |override_: &str| match parse(override_).unwrap() {
            Override::Stage(id, keys, value) => (id, keys.join("."), value),
            Override::Recipe(key, value) => (String::new(), key, value),
        };
        assert_eq!(keys("stage.q.min_words=80"), ("q".into(), "min_words".into(), json!(80)));
        assert_eq!(keys("stage.q.languages=[\"en\"]"), ("q".into(), "languages".into(), json!(["en"])));
        assert_eq!(keys("stage.q.path=a/b.txt"), ("q".into(), "path".into(), json!("a/b.txt")));
        assert_eq!(keys("seed=7"), (String::new(), "seed".into(), json!(7)));
        assert!(parse("q.min_words=80").unwrap_err().contains("stage.ID.KEY"));
        assert!(parse("seed").unwrap_err().contains("no `=`"));
    }

    #[test]
    fn put_makes_tables() {
        let mut map = serde_json::Map::new();
        put(&mut map, &["a".into(), "b".into()], json!(1));
        put(&mut map, &["a".into(), "c".into()], json!(2));
        assert_eq!(Value::Object(map), json!({"a": {"b": 1, "c": 2}}));
    }
}
