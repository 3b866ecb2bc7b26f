//! Owns `schema`: the JSON Schemas of the files that operators write, for their editors.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap::builder::PossibleValue;
use serde_json::json;

use super::{Context, Exit, Failure, Outcome};
use crate::config::keys::{Kind, schema};

/// The folder beside a configuration in which `init` puts the schemas, and where the shipped files look for them.
pub(super) const FOLDER: &str = "schema";

/// `schema`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The kind of file
    #[arg(value_enum, required_unless_present = "dir")]
    kind: Option<Kind>,
    /// Write the schemas of all kinds to this folder, made when it is missing
    #[arg(long, conflicts_with = "kind")]
    dir: Option<PathBuf>,
}

impl ValueEnum for Kind {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    if let Some(kind) = args.kind {
        context.print_json(&schema(kind))?;
        return Ok(Exit::Done);
    }
    let dir = args.dir.unwrap_or_else(|| PathBuf::from(FOLDER));
    let files = write_all(&dir)?;
    let text = format!(
        "wrote {} to {}\nnext: name one in a file's first line: # yaml-language-server: $schema={}/plan.json",
        files.join(", "),
        dir.display(),
        dir.display(),
    );
    context.answer(&json!({ "dir": dir, "files": files }), &text)?;
    Ok(Exit::Done)
}

/// Writes every schema to `dir`, over what is there, and gives the files' names.
pub(super) fn write_all(dir: &Path) -> Result<Vec<String>, Failure> {
    let failed = |what: &Path, error: std::io::Error| Failure::refused(format!("{}: {error}", what.display()));
    std::fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    let write = |kind: Kind| {
        let name = format!("{}.json", kind.as_str());
        let path = dir.join(&name);
        std::fs::write(&path, format!("{:#}\n", schema(kind))).map_err(|error| failed(&path, error))?;
        Ok(name)
    };
    Kind::ALL.into_iter().map(write).collect()
}
