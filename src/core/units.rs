//! Owns the quantities people write: counts (`1_000`), rates (`30/min`), shares (`5%`), spans (`2h`).
//!
//! Invariant: zero is refused where it would mean "nothing ever" or "no limit"; what was read prints back to a text that
//! reads the same.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a text is not the quantity that was expected. The message says what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got \"{got}\"")]
pub struct UnitError {
    /// What was expected, with an example.
    pub expected: &'static str,
    /// What came.
    pub got: String,
}

impl UnitError {
    fn new(expected: &'static str, got: &str) -> Self {
        Self { expected, got: got.to_owned() }
    }
}

/// Reads a count: digits, `_` between digits allowed.
///
/// # Errors
/// When it is anything else or above 4,294,967,295.
pub fn count(text: &str) -> Result<u32, UnitError> {
    let err = || UnitError::new("a whole number such as 1_000", text);
    let text = text.trim();
    let well_formed = !text.is_empty()
        && !text.starts_with('_')
        && !text.ends_with('_')
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    if !well_formed {
        return Err(err());
    }
    text.replace('_', "").parse().map_err(|_| err())
}

/// Prints a count with `_` every three digits, as people write it in plans.
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('_');
        }
        out.push(c);
    }
    out
}

/// A span of time such as `500ms`, `90s`, `15m`, `2h`, `1d`, `1h30m`: whole milliseconds, above zero, at most 400 days.
///
/// # Errors
/// When it is anything else; a number without unit is refused.
pub fn span(text: &str) -> Result<Duration, UnitError> {
    let err = || UnitError::new("a span such as 90s, 15m, 2h or 1h30m", text);
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(err());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '_').ok_or_else(err)?;
        let n = u64::from(count(&rest[..digits]).map_err(|_| err())?);
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => Duration::from_millis(1),
            "s" | "sec" => Duration::from_secs(1),
            "m" | "min" => Duration::from_secs(60),
            "h" | "hour" | "hours" => Duration::from_secs(3_600),
            "d" | "day" | "days" => Duration::from_secs(86_400),
            _ => return Err(err()),
        };
        let piece = u32::try_from(n).ok().and_then(|n| unit.checked_mul(n)).ok_or_else(err)?;
        total = total.checked_add(piece).ok_or_else(err)?;
        rest = rest[letters..].trim_start();
    }
    if total.is_zero() || total > Duration::from_secs(400 * 86_400) { Err(err()) } else { Ok(total) }
}

/// Prints a span so that [`span`] reads it again.
#[must_use]
pub fn show_span(span: Duration) -> String {
    let ms = span.as_millis();
    let mut out = String::new();
    let mut rest = ms;
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        let n = rest / size;
        if n > 0 {
            out.push_str(&format!("{n}{unit}"));
            rest -= n * size;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

/// How many per what time: `count` per `per`. `30/min`, `1_000/day`, `10/s`, `5/10s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    count: NonZeroU32,
    per: Duration,
}

impl Rate {
    /// `count` per `per`.
    ///
    /// # Errors
    /// When `per` is zero or above one day, or the pace is above 100,000/s.
    pub fn new(count: NonZeroU32, per: Duration) -> Result<Self, UnitError> {
        let rate = Self { count, per };
        let fits = !per.is_zero() && per <= Duration::from_secs(86_400) && rate.interval() >= Duration::from_micros(10);
        if fits {
            Ok(rate)
        } else {
            Err(UnitError::new("a rate of at most 100_000/s, per at most one day", &rate.to_string()))
        }
    }

    /// How many.
    #[must_use]
    pub fn count(self) -> NonZeroU32 {
        self.count
    }

    /// Per what time.
    #[must_use]
    pub fn per(self) -> Duration {
        self.per
    }

    /// Messages per second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        f64::from(self.count.get()) / self.per.as_secs_f64()
    }

    /// The time between two messages at this pace, rounded up to a nanosecond, so that rounding never sends too fast.
    #[must_use]
    pub fn interval(self) -> Duration {
        let nanos = self.per.as_nanos().div_ceil(u128::from(self.count.get()));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The default burst: the larger of 2 and 50 ms of the rate.
    #[must_use]
    pub fn default_burst(self) -> NonZeroU32 {
        let fifty_ms = (self.per_second() / 20.0).floor().clamp(2.0, 1_000_000.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 2..=1_000_000 just above"
        )]
        let burst = fifty_ms as u32;
        NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN)
    }

    /// The slower of the two.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        if other.interval() > self.interval() { other } else { self }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per.as_millis() {
            1_000 => "s".to_owned(),
            60_000 => "min".to_owned(),
            3_600_000 => "hour".to_owned(),
            86_400_000 => "day".to_owned(),
            _ => show_span(self.per),
        };
        f.pad(&format!("{}/{per}", grouped(u64::from(self.count.get()))))
    }
}

impl FromStr for Rate {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let err = || UnitError::new("a rate above zero such as 30/min, 10/s or 1_000/day", text);
        let (n, per) = text.split_once('/').ok_or_else(err)?;
        let n = NonZeroU32::new(count(n).map_err(|_| err())?).ok_or_else(err)?;
        let per = match per.trim() {
            "s" | "sec" | "second" => Duration::from_secs(1),
            "m" | "min" | "minute" => Duration::from_secs(60),
            "h" | "hour" => Duration::from_secs(3_600),
            "d" | "day" => Duration::from_secs(86_400),
            other => span(other).map_err(|_| err())?,
        };
        Self::new(n, per)
    }
}

impl TryFrom<String> for Rate {
    type Error = UnitError;
    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

/// A share of a whole, in hundredths of a percent: `5%`, `0.1%`, `80%`; above zero, at most 10,000 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share(u32);

impl Share {
    /// `percent` whole percent.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        Self(percent * 100)
    }

    /// `per_mille` whole tenths of a percent.
    #[must_use]
    pub const fn per_mille(per_mille: u32) -> Self {
        Self(per_mille * 10)
    }

    /// This share of `n`, rounded half up.
    #[must_use]
    pub fn of(self, n: u64) -> u64 {
        (n * u64::from(self.0) + 5_000) / 10_000
    }

    /// A share of a share (80 % of 50 % is 40 %), rounded; `None` when nothing is left of it or it is above 10,000 %.
    #[must_use]
    pub fn times(self, other: Self) -> Option<Self> {
        let hundredths = (u64::from(self.0) * u64::from(other.0) + 5_000) / 10_000;
        u32::try_from(hundredths).ok().filter(|h| (1..=1_000_000).contains(h)).map(Self)
    }

    /// As a fraction (5 % is 0.05).
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

impl FromStr for Share {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let err = || UnitError::new("a share above zero such as 5% or 0.1%", text);
        let number = text.trim().strip_suffix('%').ok_or_else(err)?.trim();
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if part.len() > 2 || (part.is_empty() && number.contains('.')) || !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(err());
        }
        let whole = count(whole).map_err(|_| err())?;
        let part: u32 = if part.is_empty() { 0 } else { format!("{part:0<2}").parse().map_err(|_| err())? };
        match whole.checked_mul(100).and_then(|w| w.checked_add(part)) {
            Some(hundredths @ 1..=1_000_000) => Ok(Self(hundredths)),
            _ => Err(err()),
        }
    }
}

impl TryFrom<String> for Share {
    type Error = UnitError;
    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        share.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_print_back_what_was_read() {
        for text in ["30/min", "1_000/day", "50/s", "1_200/min", "5/10s"] {
            assert_eq!(text.parse::<Rate>().map(|r| r.to_string()).as_deref(), Ok(text));
        }
        for text in ["5%", "0.1%", "80%", "12.34%", "115%"] {
            assert_eq!(text.parse::<Share>().map(|s| s.to_string()).as_deref(), Ok(text));
        }
        for text in ["2h", "1h30m", "90s", "500ms", "3d"] {
            let read = span(text).expect(text);
            assert_eq!(span(&show_span(read)), Ok(read));
        }
        assert_eq!(grouped(1_234_567), "1_234_567");
    }

    #[test]
    fn zero_and_nonsense_are_refused() {
        for text in ["0/min", "/min", "10/", "10", "ten/s", "1_/s", "10/0s", "200_000_000/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        for text in ["0%", "5", "-1%", "1.234%", "1.%", "%"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        for text in ["0s", "10", "h", "1x", "", "-2h"] {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_interval_is_never_rounded_towards_too_fast() {
        let rate: Rate = "3/s".parse().expect("a rate");
        assert!(rate.interval() * 3 >= Duration::from_secs(1));
        assert_eq!("10/s".parse::<Rate>().map(Rate::default_burst), Ok(NonZeroU32::new(2).expect("2")));
        assert_eq!("1000/s".parse::<Rate>().map(Rate::default_burst), Ok(NonZeroU32::new(50).expect("50")));
    }
}
