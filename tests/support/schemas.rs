//! Owns the check that whatever the program takes, its schemas take too.

use std::path::Path;
use std::sync::LazyLock;

use hikagen::config::keys::{Kind, schema};
use jsonschema::Validator;
use serde_json::Value;

static VALIDATORS: LazyLock<Vec<(Kind, Validator)>> = LazyLock::new(|| {
    Kind::ALL.into_iter().map(|kind| (kind, jsonschema::validator_for(&schema(kind)).unwrap())).collect()
});

/// Fails when the schema of `kind` refuses the file; gives what the file says.
#[track_caller]
pub fn keeps_to(kind: Kind, path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    let value: Value = serde_yaml::from_str(&text).unwrap();
    let (_, validator) = VALIDATORS.iter().find(|(known, _)| *known == kind).unwrap();
    let refusals: Vec<String> =
        validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(refusals.is_empty(), "{}: the schema says {refusals:#?}", path.display());
    value
}

/// The configuration in `folder` with its plans, and `campaign`: the program has just taken them.
#[track_caller]
pub fn what_was_taken_keeps_to_its_schemas(folder: &Path, campaign: &Path) {
    let configuration = folder.join("hikagen.yaml");
    if !configuration.is_file() {
        return;
    }
    keeps_to(Kind::Campaign, campaign);
    let configuration = keeps_to(Kind::Config, &configuration);
    for relay in configuration["relays"].as_object().into_iter().flat_map(|relays| relays.values()) {
        let plan = folder.join(relay["plan"].as_str().unwrap_or_default());
        if plan.is_file() {
            keeps_to(Kind::Plan, &plan);
        }
    }
}
