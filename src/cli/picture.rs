//! Owns handing out a chart: to standard output, or to a file of its own.

use std::path::Path;

use serde_json::json;

use super::{Context, Exit, Failure, Outcome};

/// Prints `svg`, or writes it to `file`. What is in the file's place and is no chart stays.
pub(super) fn hand_out(svg: &str, file: &Path, context: &Context) -> Outcome {
    if file == Path::new("-") {
        if context.json {
            return Err(Failure::usage("--svg prints a chart and --json figures: take one of them, or --svg=FILE"));
        }
        context.print(svg)?;
        return Ok(Exit::Done);
    }
    let shown = file.display();
    match std::fs::read(file) {
        Ok(there) if !there.is_empty() && !there.starts_with(b"<svg") => {
            return Err(Failure::refused(format!(
                "{shown} is there and is no chart: nothing was written; name another file"
            )));
        }
        _ => {}
    }
    std::fs::write(file, svg).map_err(|error| Failure::refused(format!("{shown}: {error}")))?;
    context.answer(&json!({ "svg": file }), &format!("wrote {shown}"))?;
    Ok(Exit::Done)
}
