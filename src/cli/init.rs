//! Owns `init`: the commented files of `examples/` and the schemas that they name for editors, to start from.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::{Context, Exit, Failure, Outcome, schema};

/// What is written: name and text.
const FILES: [(&str, &str); 6] = [
    ("hikagen.yaml", include_str!("../../examples/hikagen.yaml")),
    ("plan.yaml", include_str!("../../examples/plan.yaml")),
    ("campaign.yaml", include_str!("../../examples/campaign.yaml")),
    ("newsletter.txt", include_str!("../../examples/newsletter.txt")),
    ("newsletter.html", include_str!("../../examples/newsletter.html")),
    ("recipients.csv", include_str!("../../examples/recipients.csv")),
];

/// `init`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to; made when it is missing
    #[arg(default_value = ".")]
    dir: PathBuf,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let dir = &args.dir;
    let there: Vec<&str> = FILES.iter().map(|(name, _)| *name).filter(|name| dir.join(name).exists()).collect();
    if !there.is_empty() {
        return Err(Failure::refused(format!(
            "{} has {} already; nothing was written. Name an empty folder: `hikagen init DIR`",
            dir.display(),
            there.join(", ")
        )));
    }
    let failed = |what: &PathBuf, error: std::io::Error| Failure::refused(format!("{}: {error}", what.display()));
    std::fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    for (name, text) in FILES {
        let path = dir.join(name);
        let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| failed(&path, error))?;
    }
    let schemas = schema::write_all(&dir.join(schema::FOLDER))?;
    let schemas = schemas.into_iter().map(|name| format!("{}/{name}", schema::FOLDER));
    let names: Vec<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).chain(schemas).collect();
    let text = format!(
        "wrote {} to {}\nnext: put your relay into hikagen.yaml, then `hikagen check` and `hikagen submit campaign.yaml`",
        names.join(", "),
        dir.display()
    );
    context.answer(&json!({ "dir": dir, "files": names }), &text)?;
    Ok(Exit::Done)
}
