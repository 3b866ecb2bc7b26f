//! Owns the cleaning of one row: from what a list says to an address that SMTP can carry, or the rule that refuses it.
//!
//! Invariants: nothing is guessed but what cannot be meant otherwise (full-width letters, blanks around, invisible characters);
//! what is refused names its rule; a clean row holds no control characters but tabs and line ends.

use std::borrow::Cow;
use std::fmt::Write;

use csv::StringRecord;
use serde::{Deserialize, Serialize};

use super::rows::{Header, is_blank};
use crate::compose::ascii_domain;
use crate::core::address::{Address, AddressError};
use crate::core::plan::{AddressForm, Group, Groups};

/// Longest value of a column, octets.
const FIELD_MAX: usize = 32 * 1024;
/// Largest score, either side of zero.
const SCORE_MAX: f64 = 1e12;

/// The rule that refuses a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// More or fewer values than the header has columns.
    Columns,
    /// The column `email` is empty.
    NoAddress,
    /// Not an address that SMTP can carry.
    Address,
    /// `a..b@` to a group that never gave such addresses out.
    IrregularAddress,
    /// `score` is not a number.
    Score,
    /// A value longer than 32 KiB.
    FieldLength,
    /// A control character in a value.
    ControlCharacter,
    /// A character that the list's encoding does not have: the list was damaged on its way.
    BrokenCharacter,
    /// The mail composed for this row breaks a limit of its group.
    Composed,
    /// A line of a JSONL list that is no JSON object of texts, numbers and truth values.
    Json,
}

impl Rule {
    /// The word used in the rejects file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Columns => "columns",
            Self::NoAddress => "no-address",
            Self::Address => "address",
            Self::IrregularAddress => "irregular-address",
            Self::Score => "score",
            Self::FieldLength => "field-length",
            Self::ControlCharacter => "control-character",
            Self::BrokenCharacter => "broken-character",
            Self::Composed => "composed",
            Self::Json => "json",
        }
    }
}

/// Why a row is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) rule: Rule,
    pub(super) why: String,
}

impl Refusal {
    pub(super) fn new(rule: Rule, why: impl Into<String>) -> Self {
        Self { rule, why: why.into() }
    }
}

/// A row that may go into the store.
#[derive(Debug)]
pub(super) struct Clean<'a> {
    pub(super) address: Address,
    /// Thousandths.
    pub(super) score: i64,
    pub(super) group: &'a Group,
    /// Why it is suppressed from the start.
    pub(super) dead: Option<String>,
}

/// Judges a row. `None`: the row is blank.
pub(super) fn clean<'a>(
    record: &StringRecord,
    header: &Header,
    groups: &'a Groups,
) -> Option<Result<Clean<'a>, Refusal>> {
    if record.iter().all(|value| value.trim_matches(is_blank).is_empty()) {
        return None;
    }
    Some(judge(record, header, groups))
}

fn judge<'a>(record: &StringRecord, header: &Header, groups: &'a Groups) -> Result<Clean<'a>, Refusal> {
    check_shape(record, header).map_err(|refusal| damaged(record, header).unwrap_or(refusal))?;
    let raw = record.get(header.email).unwrap_or_default();
    let address = clean_address(raw)?;
    for (name, value) in header.names.iter().zip(record) {
        check_value(name, value)?;
    }
    let score = match header.score {
        Some(at) => score(record.get(at).unwrap_or_default())?,
        None => 0,
    };
    let route = groups.route(address.domain());
    if !route.dead && address.is_irregular() && route.group.irregular == AddressForm::Refused {
        return Err(Refusal::new(
            Rule::IrregularAddress,
            format!("dots in such places of a local part were never given out by {}", route.group.name),
        ));
    }
    let dead = route.dead.then(|| format!("dead domain {} (group {})", address.domain(), route.group.name));
    Ok(Clean { address, score, group: route.group, dead })
}

fn check_shape(record: &StringRecord, header: &Header) -> Result<(), Refusal> {
    let (got, wanted) = (record.len(), header.names.len());
    let surplus_is_empty = record.iter().skip(wanted).all(|value| value.trim_matches(is_blank).is_empty());
    if got == wanted || got > wanted && got <= wanted + header.unnamed && surplus_is_empty {
        return Ok(());
    }
    let values = if got == 1 { "value" } else { "values" };
    Err(Refusal::new(Rule::Columns, format!("{got} {values}; the header has {wanted} columns")))
}

/// The refusal of a row that a damaged character cut short, as the last one of a file that was not copied to its end.
fn damaged(record: &StringRecord, header: &Header) -> Option<Refusal> {
    let at = record.iter().position(|value| value.contains('\u{fffd}'))?;
    check_value(header.names.get(at).map_or("", String::as_str), record.get(at).unwrap_or_default()).err()
}

fn check_value(name: &str, value: &str) -> Result<(), Refusal> {
    if value.len() > FIELD_MAX {
        let why = format!("\"{name}\" has {} octets; at most {FIELD_MAX}", value.len());
        return Err(Refusal::new(Rule::FieldLength, why));
    }
    let is_bad = |c: char| c == '\u{fffd}' || c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    match value.chars().find(|c| is_bad(*c)) {
        None => Ok(()),
        Some('\u{fffd}') => Err(Refusal::new(
            Rule::BrokenCharacter,
            format!("\"{name}\" holds a character that was damaged when the list was written or converted"),
        )),
        Some(c) => Err(Refusal::new(
            Rule::ControlCharacter,
            format!("\"{name}\" holds the control character {}", c.escape_unicode()),
        )),
    }
}

/// An address as lists hold it: full-width letters, blanks around it and around the @, and invisible characters are mended.
pub(super) fn clean_address(raw: &str) -> Result<Address, Refusal> {
    let folded = fold(raw);
    let trimmed = folded.trim_matches(is_blank);
    if trimmed.is_empty() {
        return Err(Refusal::new(Rule::NoAddress, "the column \"email\" is empty"));
    }
    let tight: Cow<'_, str> = match trimmed.rsplit_once('@') {
        Some((local, domain)) if local.ends_with(is_blank) || domain.starts_with(is_blank) => {
            format!("{}@{}", local.trim_end_matches(is_blank), domain.trim_start_matches(is_blank)).into()
        }
        _ => trimmed.into(),
    };
    if let Some(c) = tight.chars().find(|c| c.is_control()) {
        let why = format!("the address holds the control character {}", c.escape_unicode());
        return Err(Refusal::new(Rule::ControlCharacter, why));
    }
    let ascii = ascii_domain(&tight).ok_or(AddressError::Domain);
    ascii.and_then(|text| Address::parse(&text)).map_err(|e| Refusal::new(Rule::Address, e.to_string()))
}

/// Full-width ASCII as ASCII, without characters that nobody sees.
pub(super) fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return text.into();
    }
    let invisible =
        |c: &char| matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{ad}');
    let ascii = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{3002}' | '\u{ff61}' => '.',
        _ => c,
    };
    text.chars().filter(|c| !invisible(c)).map(ascii).collect::<String>().into()
}

/// Thousandths; empty is 0.
fn score(raw: &str) -> Result<i64, Refusal> {
    let folded = fold(raw);
    let text = folded.trim_matches(is_blank);
    if text.is_empty() {
        return Ok(0);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number.abs() <= SCORE_MAX =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "at most 1e15 after the check above")]
            Ok((number * 1_000.0).round() as i64)
        }
        _ => Err(Refusal::new(Rule::Score, format!("score \"{}\" is not a number", text.escape_debug()))),
    }
}

/// The row's columns as the store keeps them: a JSON object of texts, in the list's order; `email` as it will be sent.
pub(super) fn columns_json(record: &StringRecord, header: &Header, address: &Address) -> String {
    let mut json = String::with_capacity(record.as_slice().len() + header.names.len() * 16 + 2);
    json.push('{');
    let email = address.to_string();
    for (at, (name, value)) in header.names.iter().zip(record).enumerate() {
        let value = if at == header.email { &email } else { value };
        let comma = if at == 0 { "" } else { "," };
        let (name, value) = (serde_json::Value::from(name.as_str()), serde_json::Value::from(value));
        write!(json, "{comma}{name}:{value}").ok();
    }
    json.push('}');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_otherwise_is_mended() {
        for (raw, clean) in [
            ("ｔａｒｏ＠ｅｘａｍｐｌｅ．ｊｐ", "taro@example.jp"),
            ("\u{feff} taro@example.jp\u{3000}", "taro@example.jp"),
            ("taro @ example.jp", "taro@example.jp"),
            ("ta\u{200b}ro@example。jp", "taro@example.jp"),
            ("taro@例え.jp", "taro@xn--r8jz45g.jp"),
            ("Taro@EXAMPLE.JP", "Taro@example.jp"),
        ] {
            assert_eq!(clean_address(raw).map(|a| a.to_string()), Ok(clean.to_owned()), "{raw:?}");
        }
    }

    #[test]
    fn what_is_refused_names_its_rule() {
        for (raw, rule) in [
            ("\u{3000}", Rule::NoAddress),
            ("taro", Rule::Address),
            ("太郎@example.jp", Rule::Address),
            ("ta ro@example.jp", Rule::Address),
            ("a@b.jp, c@d.jp", Rule::Address),
            ("a\r\nRCPT TO:<x@y.jp>@y.jp", Rule::ControlCharacter),
            ("a\u{0}@y.jp", Rule::ControlCharacter),
        ] {
            assert_eq!(clean_address(raw).map_err(|r| r.rule), Err(rule), "{raw:?}");
        }
    }

    #[test]
    fn scores_are_numbers_in_thousandths() {
        for (raw, thousandths) in [("", 0), ("90", 90_000), (" -1.5 ", -1_500), ("９０", 90_000), ("1e3", 1_000_000)]
        {
            assert_eq!(score(raw), Ok(thousandths), "{raw:?}");
        }
        for raw in ["high", "NaN", "inf", "1e13", "1,5"] {
            assert_eq!(score(raw).map_err(|r| r.rule), Err(Rule::Score), "{raw:?}");
        }
    }
}
