//! What a result depends on, as one short word: equal fingerprint, equal bytes.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

/// xxh3-128 of a canonical description, 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Of any JSON description; the order of an object's keys does not matter.
    pub fn of(description: &Value) -> Self {
        let mut text = String::new();
        canonical(description, &mut text);
        Self(format!("{:032x}", xxh3_128(text.as_bytes())))
    }

    /// The 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            out.push('{');
            for key in keys {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                canonical(&map[key], out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn key_order_does_not_matter_and_values_do() {
        let a = Fingerprint::of(&json!({"kind": "x", "n": [1, {"b": 2, "a": 1}]}));
        let b = Fingerprint::of(&json!({"n": [1, {"a": 1, "b": 2}], "kind": "x"}));
        let c = Fingerprint::of(&json!({"n": [1, {"a": 1, "b": 3}], "kind": "x"}));
        assert_eq!(a, b);
        assert_ne!(a, c);
        assert_eq!(a.as_str().len(), 32);
    }

    #[test]
    fn nesting_is_not_ambiguous() {
        assert_ne!(Fingerprint::of(&json!([["a"], "b"])), Fingerprint::of(&json!([["a", "b"]])));
        assert_ne!(Fingerprint::of(&json!("1")), Fingerprint::of(&json!(1)));
    }
}
