//! Owns the JSON Schemas of the files that operators write, made from the tables of keys.
//!
//! Draft 7, which every editor's YAML server takes without a remark. `patternErrorMessage` is an extension that these servers
//! show instead of a regular expression; others pass over it.
//! Invariant: tables become definitions once each, whichever way they are reached.

use serde_json::{Map, Value, json};

use super::campaign::CAMPAIGN;
use super::configuration::CONFIGURATION;
use super::destinations::DESTINATIONS;
use super::plan::PLAN;
use super::{Form, Key, Names, Shape, Table};

/// A kind of file that operators write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A warm-up plan.
    Plan,
    /// The configuration.
    Config,
    /// A campaign.
    Campaign,
    /// Destination groups; reply rules may stand in the same file.
    Groups,
    /// Reply rules; destination groups may stand in the same file.
    Replies,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Plan, Self::Config, Self::Campaign, Self::Groups, Self::Replies];

    /// Its name in commands and file names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Config => "config",
            Self::Campaign => "campaign",
            Self::Groups => "groups",
            Self::Replies => "replies",
        }
    }

    /// The keys of the file.
    #[must_use]
    pub fn table(self) -> &'static Table {
        match self {
            Self::Plan => &PLAN,
            Self::Config => &CONFIGURATION,
            Self::Campaign => &CAMPAIGN,
            Self::Groups | Self::Replies => &DESTINATIONS,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Plan => "Hikagen: warm-up plan",
            Self::Config => "Hikagen: configuration",
            Self::Campaign => "Hikagen: campaign",
            Self::Groups => "Hikagen: destination groups",
            Self::Replies => "Hikagen: reply rules",
        }
    }
}

/// The JSON Schema of a kind of file.
#[must_use]
pub fn schema(kind: Kind) -> Value {
    let mut definitions = Map::new();
    let body = map_of(kind.table(), &mut definitions);
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".to_owned(), json!(kind.title()));
    schema.extend(body);
    if !definitions.is_empty() {
        definitions.sort_keys();
        schema.insert("definitions".to_owned(), Value::Object(definitions));
    }
    Value::Object(schema)
}

/// A map with keys of given names.
fn map_of(table: &Table, definitions: &mut Map<String, Value>) -> Map<String, Value> {
    let properties: Map<String, Value> =
        table.keys().map(|key| (key.name.to_owned(), value_of(key, definitions))).collect();
    let required: Vec<&str> = table.keys().filter(|key| key.required).map(|key| key.name).collect();
    let mut map = keywords(json!({ "type": "object", "properties": properties, "additionalProperties": false }));
    if !required.is_empty() {
        map.insert("required".to_owned(), json!(required));
    }
    if !table.together.is_empty() {
        map.extend(keywords(serde_json::from_str(table.together).unwrap_or_default()));
    }
    map
}

fn value_of(key: &Key, definitions: &mut Map<String, Value>) -> Value {
    let mut value = keywords(json!({ "description": key.about }));
    if let Some(default) = serde_yaml::from_str::<Value>(key.default).ok().filter(|default| !default.is_null()) {
        value.insert("default".to_owned(), default);
    }
    value.extend(shape(&key.shape, definitions));
    Value::Object(value)
}

fn shape(of: &Shape, definitions: &mut Map<String, Value>) -> Map<String, Value> {
    keywords(match of {
        Shape::Scalar(form) => return scalar(form),
        Shape::Flag => json!({ "enum": [true, false, "true", "false"] }),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::Shipped(names) => json!({ "enum": names() }),
        Shape::List(item, least, most) => {
            let mut list = keywords(json!({ "type": "array", "items": shape(item, definitions) }));
            if *least > 0 {
                list.insert("minItems".to_owned(), json!(least));
            }
            if *most < usize::MAX {
                list.insert("maxItems".to_owned(), json!(most));
            }
            return list;
        }
        Shape::Few(one) => {
            let one = shape(one, definitions);
            json!({ "anyOf": [one.clone(), { "type": "array", "items": one }] })
        }
        Shape::Map(table) => {
            define(table.name, definitions, |definitions| map_of(table, definitions));
            json!({ "$ref": format!("#/definitions/{}", table.name) })
        }
        Shape::Names(names) => return names_of(names, definitions),
        Shape::Either(shapes) => {
            let shapes: Vec<_> = shapes.iter().map(|one| shape(one, definitions)).collect();
            json!({ "anyOf": shapes })
        }
    })
}

fn define(
    name: &str,
    definitions: &mut Map<String, Value>,
    body: impl FnOnce(&mut Map<String, Value>) -> Map<String, Value>,
) {
    if !definitions.contains_key(name) {
        definitions.insert(name.to_owned(), Value::Null);
        let body = body(definitions);
        definitions.insert(name.to_owned(), Value::Object(body));
    }
}

/// A map whose keys are the operator's own.
fn names_of(names: &Names, definitions: &mut Map<String, Value>) -> Map<String, Value> {
    let value = shape(&names.of, definitions);
    let mut map = keywords(json!({ "type": "object", "propertyNames": name_of(names.name) }));
    let offered: Map<String, Value> =
        (names.offered)().into_iter().map(|name| (name, Value::Object(value.clone()))).collect();
    if !offered.is_empty() {
        map.insert("properties".to_owned(), Value::Object(offered));
    }
    map.insert("additionalProperties".to_owned(), Value::Object(value));
    if names.least > 0 {
        map.insert("minProperties".to_owned(), json!(names.least));
    }
    if !names.required.is_empty() {
        map.insert("required".to_owned(), json!(names.required));
    }
    map
}

/// A name is always a text.
fn name_of(form: &Form) -> Map<String, Value> {
    let mut name = Map::new();
    pattern(form, &mut name);
    name
}

fn pattern(form: &Form, into: &mut Map<String, Value>) {
    if !form.pattern.is_empty() {
        into.insert("pattern".to_owned(), json!(form.pattern));
        into.insert("patternErrorMessage".to_owned(), json!(format!("expected {}", form.what)));
    }
    if let Some(longest) = form.longest {
        into.insert("maxLength".to_owned(), json!(longest));
    }
}

fn scalar(form: &Form) -> Map<String, Value> {
    let mut types = vec!["string"];
    let mut scalar = Map::new();
    if let Some((least, most)) = form.whole {
        types.push("integer");
        scalar.insert("minimum".to_owned(), json!(least));
        scalar.insert("maximum".to_owned(), json!(most));
    }
    if let Some((above, most)) = form.number {
        types.push("number");
        scalar.insert("exclusiveMinimum".to_owned(), json!(above));
        scalar.insert("maximum".to_owned(), json!(most));
    }
    if form.anything {
        types.extend(["number", "boolean"]);
    }
    pattern(form, &mut scalar);
    let types = if types.len() == 1 { json!(types[0]) } else { json!(types) };
    let mut out = keywords(json!({ "type": types }));
    out.extend(scalar);
    out
}

fn keywords(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keys_say_together_is_json_and_every_default_is_yaml() {
        fn look(shape: &Shape, seen: &mut Vec<&'static str>) {
            match shape {
                Shape::Map(table) => whole(table, seen),
                Shape::Names(names) => look(&names.of, seen),
                Shape::List(of, ..) | Shape::Few(of) => look(of, seen),
                Shape::Either(shapes) => shapes.iter().for_each(|shape| look(shape, seen)),
                _ => {}
            }
        }
        fn whole(table: &'static Table, seen: &mut Vec<&'static str>) {
            if seen.contains(&table.name) {
                return;
            }
            seen.push(table.name);
            let together = serde_json::from_str::<Value>(table.together);
            assert!(table.together.is_empty() || together.is_ok_and(|v| v.is_object()), "{}", table.name);
            for key in table.keys() {
                assert!(key.about.len() > 10, "{}.{} says nothing of itself", table.name, key.name);
                assert!(serde_yaml::from_str::<Value>(key.default).is_ok(), "{}.{}", table.name, key.name);
                assert!(!key.required || key.default.is_empty(), "{}.{} needs no default", table.name, key.name);
                let same = table.keys().filter(|other| other.name == key.name).count();
                assert_eq!(same, 1, "{}.{} is there twice", table.name, key.name);
                look(&key.shape, seen);
            }
        }
        let mut seen = Vec::new();
        Kind::ALL.iter().for_each(|kind| whole(kind.table(), &mut seen));
        assert!(seen.len() > 20, "{seen:?}");
    }
}
