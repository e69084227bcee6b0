//! The manual of every stage, made from its configuration's doc comments.

use gristmill_stages::registry::{KINDS, StageKind};
use gristmill_stages::stage::Shape;
use serde_json::{Value, json};

fn shape(shape: Shape) -> &'static str {
    match shape {
        Shape::Source => "source",
        Shape::Filter => "filter",
        Shape::Map => "map",
        Shape::Exchange => "exchange",
        Shape::Spans => "spans",
        Shape::Sink => "sink",
        Shape::Gather => "gather",
        Shape::Process => "process",
    }
}

/// The first sentence of a kind's manual.
fn summary(schema: &Value) -> String {
    let description = schema["description"].as_str().unwrap_or("");
    let paragraph = description.split("\n\n").next().unwrap_or("").replace('\n', " ");
    paragraph.split_inclusive(". ").next().unwrap_or("").trim_end().to_owned()
}

/// One line a kind.
pub fn list() -> String {
    let rows: Vec<[String; 3]> = KINDS
        .iter()
        .map(|kind| [kind.kind.to_owned(), shape(kind.shape).to_owned(), summary(&(kind.schema)())])
        .collect();
    crate::run::funnel::table(&rows)
}

/// Everything about a kind, as Markdown that reads well on a terminal.
pub fn manual(kind: &StageKind) -> String {
    let schema = (kind.schema)();
    let mut text = format!("## `{}`\n\n{}\n\n", kind.kind, schema["description"].as_str().unwrap_or(""));
    let what = match kind.shape {
        Shape::Spans => "A rewriting exchange",
        shape => &format!("A {}", self::shape(shape)),
    };
    text.push_str(&format!("{what}, version {}.", kind.version));
    if !kind.reasons.is_empty() {
        let reasons: Vec<String> = kind.reasons.iter().map(|reason| format!("`{reason}`")).collect();
        text.push_str(&format!(" Reasons: {}.", reasons.join(", ")));
    }
    text.push_str("\n\n");
    text.push_str(&fields(&schema, &schema, "- "));
    text.push_str(&format!("\n```toml\n{}\n```\n", kind.example.trim_end()));
    text
}

/// A line a key of a table; the keys of a table inside it stand below it.
fn fields(whole: &Value, table: &Value, indent: &str) -> String {
    let mut text = String::new();
    let required: Vec<&str> =
        table["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, property) in table["properties"].as_object().into_iter().flatten() {
        let inner = property["$ref"].as_str().and_then(|path| whole.pointer(path.trim_start_matches('#')));
        let inner = inner.map(|inner| fields(whole, inner, &format!("  {indent}"))).unwrap_or_default();
        let default = match &property["default"] {
            _ if required.contains(&name.as_str()) => "required".to_owned(),
            _ if !inner.is_empty() => "a table".to_owned(),
            Value::Null => "not set".to_owned(),
            default => format!("default `{default}`"),
        };
        let description = property["description"].as_str().unwrap_or("").replace('\n', " ");
        text.push_str(&format!("{indent}`{name}` ({default}): {description}\n{inner}"));
    }
    text
}

/// Everything about a kind, for programs.
pub fn json(kind: &StageKind) -> Value {
    json!({
        "kind": kind.kind,
        "shape": shape(kind.shape),
        "version": kind.version,
        "reasons": kind.reasons,
        "schema": (kind.schema)(),
        "example": kind.example,
    })
}

/// docs/stages.md.
pub fn stages_page() -> String {
    let mut text = String::from(
        "# Stages\n\nGenerated from the doc comments of each stage's configuration; do not edit. Every stage also takes\n\
         `id` (defaults to the kind), `input` (defaults to the nearest stage above that fits) and `materialise`\n\
         (`true` keeps its documents on disk; the default for `extract_text`).\n\n",
    );
    for kind in KINDS {
        text.push_str(&manual(kind));
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

/// JSON Schema of a recipe.
pub fn schema() -> Value {
    let stages: Vec<Value> = KINDS
        .iter()
        .map(|kind| {
            let mut schema = (kind.schema)();
            if let Some(map) = schema.as_object_mut() {
                map.remove("$schema");
                let properties = map.entry("properties").or_insert_with(|| json!({}));
                properties["kind"] = json!({"const": kind.kind});
                properties["id"] = json!({"type": "string", "description": "Unique; the kind unless given."});
                properties["input"] = json!({
                    "description": "The stages that it reads; the nearest above that fits unless given.",
                    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
                });
                properties["materialise"] =
                    json!({"type": "boolean", "description": "Keep its documents on disk, so that a changed stage below starts here."});
                let required = map.entry("required").or_insert_with(|| json!([]));
                if let Some(list) = required.as_array_mut() {
                    list.push(json!("kind"));
                }
            }
            schema
        })
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Gristmill recipe",
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "What runs are called; the file's name unless given."},
            "seed": {"type": "integer", "minimum": 0, "description": "Decides every sample and shuffle."},
            "stage": {"type": "array", "items": {"oneOf": stages}},
        },
        "required": ["stage"],
        "additionalProperties": false,
    })
}
