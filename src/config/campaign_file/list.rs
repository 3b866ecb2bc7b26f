//! Owns what a campaign file says of how its list is written.

use std::path::Path;

use crate::config::fields::Fields;

/// What a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListFormat {
    /// Values with commas between, column names in the first line.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

impl ListFormat {
    /// By the name of the file: `.jsonl` and `.ndjson` are JSONL, all else is CSV.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("jsonl" | "ndjson") => Self::Jsonl,
            _ => Self::Csv,
        }
    }
}

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListEncoding {
    /// UTF-8, with or without its mark.
    Utf8,
    /// Shift_JIS as Windows has it.
    ShiftJis,
    /// UTF-16, low octet first.
    Utf16Le,
    /// UTF-16, high octet first.
    Utf16Be,
}

/// How a list is to be read; what is `None` is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListReading {
    /// `format`; else by the name of the file.
    pub format: Option<ListFormat>,
    /// `encoding`; else by the file's mark, or by reading it.
    pub encoding: Option<ListEncoding>,
}

pub(super) fn reading(fields: &Fields<'_>) -> ListReading {
    let formats = [("csv", ListFormat::Csv), ("jsonl", ListFormat::Jsonl)];
    let encodings = [
        ("utf-8", ListEncoding::Utf8),
        ("shift_jis", ListEncoding::ShiftJis),
        ("utf-16le", ListEncoding::Utf16Le),
        ("utf-16be", ListEncoding::Utf16Be),
    ];
    ListReading { format: fields.one_of("format", &formats), encoding: fields.one_of("encoding", &encodings) }
}
