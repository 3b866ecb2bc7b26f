//! Owns the forms of single values: rates, shares, spans, names, times. Each mirrors the reader of the same thing, so that a
//! schema refuses at the keyboard what the reader would refuse later.

use super::Form;

const fn form(what: &'static str, pattern: &'static str) -> Form {
    Form { what, pattern, whole: None, number: None, longest: None, anything: false }
}

const fn counted(what: &'static str, pattern: &'static str, least: u64, most: u64) -> Form {
    Form { whole: Some((least, most)), ..form(what, pattern) }
}

/// Digits with `_` between them.
macro_rules! count {
    () => {
        "[0-9]([0-9_]*[0-9])?"
    };
}

macro_rules! span {
    () => {
        concat!(count!(), r"\s*(ms|sec|s|min|m|hours|hour|h|days|day|d)\s*")
    };
}

macro_rules! clock {
    () => {
        r"\s*([01]?[0-9]|2[0-3]):[0-5][0-9]\s*"
    };
}

macro_rules! weekday {
    () => {
        r"\s*([Mm][Oo][Nn]|[Tt][Uu][Ee]|[Ww][Ee][Dd]|[Tt][Hh][Uu]|[Ff][Rr][Ii]|[Ss][Aa][Tt]|[Ss][Uu][Nn])\s*"
    };
}

macro_rules! date {
    () => {
        "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    };
}

/// Any text.
pub const TEXT: Form = Form { anything: true, ..form("a text", "") };
/// A text of one line.
pub const LINE: Form = Form { anything: true, ..form("one line of text", r"^[^\u0000-\u001f\u007f-\u009f]*$") };
/// The value of a header.
pub const HEADER_VALUE: Form =
    Form { anything: true, ..form("one line of text", r"^[^\u0000-\u0008\u000a-\u001f\u007f-\u009f]*$") };
/// The name of a header (RFC 5322 3.6.8).
pub const HEADER: Form = form("the name of a header, such as X-Pool", "^[!-9;-~]+$");
/// The path of a file.
pub const PATH: Form = Form { anything: true, ..form("the path of a file", "") };
/// The path of a list of seeds.
pub const SEED_FILE: Form =
    Form { anything: true, ..form("the path of a list file, or a list of addresses", "^[^@]*$") };
/// The path of the store.
pub const STORE: Form = Form { anything: true, ..form("the path of a SQLite file, no address with ://", "^(?!.*://)") };
/// Digits with `_` between them, above zero.
pub const COUNT: Form = counted("a whole number above zero, such as 1_000", COUNT_TEXT, 1, u32::MAX as u64);
const COUNT_TEXT: &str = concat!(r"^\s*(?=.*[1-9])", count!(), r"\s*$");
/// A weight.
pub const WEIGHT: Form = counted("a weight from 1 to 100", r"^\s*0*(100|[1-9][0-9]?)\s*$", 1, 100);
/// Connections at once.
pub const CONNECTIONS: Form =
    counted("a number of connections, at most 1_000", r"^\s*0*(1_?000|[1-9][0-9]{0,2})\s*$", 1, 1_000);
/// A warm-up day.
pub const DAY: Form = counted("a warm-up day from 1 to 400", r"^\s*0*(400|[1-3][0-9]{2}|[1-9][0-9]?)\s*$", 1, 400);
/// Reports about different messages.
pub const REPORTS: Form = counted("a number of reports from 1 to 100", r"^\s*0*(100|[1-9][0-9]?)\s*$", 1, 100);
/// The ARN of an SNS topic.
pub const TOPIC: Form = form(
    "the ARN of an SNS topic, such as arn:aws:sns:ap-northeast-1:123456789012:bounces",
    "^arn:aws(-cn|-us-gov)?:sns:[a-z0-9-]{3,32}:[0-9]{12}:[A-Za-z0-9_-]{1,256}$",
);
/// A public key on P-256 (SubjectPublicKeyInfo).
pub const P256: Form = form(
    "a verification key as SendGrid shows it, such as MFkwEwYHKoZIzj0CAQYI...==",
    r"^\s*MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/]{85}[AQgw]==\s*$",
);
/// A TCP port.
pub const PORT: Form = counted("a port from 1 to 65535", r"^\+?(?=.*[1-9])[0-9]+$", 1, 65_535);
/// An SMTP reply code.
pub const CODE: Form = counted("a reply code from 200 to 599", "^[2-5][0-9]{2}$", 200, 599);
/// An enhanced status code (RFC 3463).
pub const ENHANCED: Form =
    form("an enhanced code such as 5.7.1 or 5.7.606-649", r"^[245]\.[0-9]{1,3}\.[0-9]{1,3}(-[0-9]+)?$");
/// How many per what time.
pub const RATE: Form = form(
    "a rate above zero such as 30/min, 10/s or 1_000/day",
    concat!(
        r"^\s*(?=[^/]*[1-9])",
        count!(),
        r"\s*/\s*(s|sec|second|m|min|minute|h|hour|d|day|(?=.*[1-9])(",
        span!(),
        r")+)\s*$"
    ),
);
/// A share of a whole.
pub const SHARE: Form =
    form("a share above zero such as 5% or 0.1%", concat!(r"^\s*(?=.*[1-9])", count!(), r"(\.[0-9]{1,2})?\s*%\s*$"));
/// A share of at most the whole.
pub const PART: Form = form(
    "a share above zero and at most 100%, such as 5% or 0.1%",
    r"^\s*(?=.*[1-9])(0*100(\.0{1,2})?|0*[0-9]{1,2}(\.[0-9]{1,2})?)\s*%\s*$",
);
/// A span of time.
pub const SPAN: Form = form("a span such as 90s, 15m, 2h or 1h30m", concat!(r"^\s*(?=.*[1-9])(", span!(), ")+$"));
/// Octets.
pub const SIZE: Form = counted(
    "a size such as 200MB or 1GiB",
    concat!(r"^\s*", count!(), r"\s*(KiB|MiB|GiB|KB|MB|GB|TB|B)?$"),
    0,
    u32::MAX as u64,
);
/// A factor per day.
pub const GROWTH: Form = Form {
    number: Some((1.0, 10.0)),
    ..form(
        "a factor per day above 1 and at most 10, such as 1.15",
        r"^0*(10(\.0*)?|[2-9](\.[0-9]*)?|1\.0*[1-9][0-9]*)$",
    )
};
/// A name in kebab-case.
pub const NAME: Form = Form {
    whole: Some((0, u64::MAX)),
    longest: Some(64),
    ..form("a name: lower-case letters, digits and single hyphens between them", "^[a-z0-9]+(-[a-z0-9]+)*$")
};
/// A name of the IANA time zone database.
pub const ZONE: Form = form("a time zone such as Asia/Tokyo", r"^[A-Za-z0-9_+/-]+$");
/// A time of day.
pub const TIME: Form = form("a time of day such as \"04:00\"", concat!("^", clock!(), "$"));
/// Hours of a day.
pub const HOURS: Form = form(
    "hours such as \"08:00-21:00\"; 24:00 is the end of the day",
    concat!("^", clock!(), "-(", clock!(), r"|\s*24:00\s*)$"),
);
/// One weekday or several.
pub const WEEKDAYS: Form = form(
    "weekdays: mon, mon-fri or mon,wed (mon tue wed thu fri sat sun)",
    concat!("^", weekday!(), "(-", weekday!(), ")?(,", weekday!(), "(-", weekday!(), ")?)*$"),
);
/// Minutes of the hour, both ends included.
pub const MINUTES: Form = counted(
    "minutes of the hour such as \"00-02\", both ends included",
    r"^\s*[0-5]?[0-9]\s*(-\s*[0-5]?[0-9]\s*)?$",
    0,
    59,
);
/// A date of one year.
pub const DATE: Form = form("a date such as \"2026-12-31\"", concat!("^", date!(), "$"));
/// A date of one year or of every year.
pub const ANY_DATE: Form = form(
    "a date such as \"12-31\" (every year) or \"2026-12-31\"",
    concat!("^(", date!(), "|(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]))$"),
);
/// A local time, or a date.
pub const MOMENT: Form = form(
    "a local time such as 2026-11-24 09:00, or a date",
    concat!("^", date!(), r"([Tt ][0-2][0-9]:[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?)?$"),
);
/// A span after something.
pub const AFTER: Form = form("a span after the start, such as +12d", concat!(r"^\+\s*(?=.*[1-9])(", span!(), ")+$"));
/// A sender: a name with an address, or the address.
pub const MAILBOX: Form =
    form("\"Name <address>\" or the address alone", r"^[^\u0000-\u001f\u007f-\u009f]*@[^\u0000-\u001f\u007f-\u009f]+$");
/// A host.
pub const HOST: Form = form("a host name or an IP address, without port", r"^[^\s/@]+$");
/// A domain.
pub const DOMAIN: Form = form("a domain such as m.example.jp", r"^[^\s/@]+[.。．｡][^\s/@]+$");
/// A domain and everything below it.
pub const SUFFIX: Form = form("a suffix such as .ocn.ne.jp", r"^\.[^\s/@]+[.。．｡][^\s/@]+$");
/// A region of a known relay.
pub const REGION: Form = Form { anything: true, ..form("a region such as ap-northeast-1", "^[A-Za-z0-9-]+$") };
/// A DKIM selector.
pub const SELECTOR: Form = Form {
    number: Some((-0.5, 1e18)),
    longest: Some(190),
    ..form(
        "a selector such as hikagen-2026",
        r"^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$",
    )
};
/// The name of a header in a signature.
pub const SIGNED: Form =
    Form { anything: true, longest: Some(76), ..form("the name of a header, such as X-Pool", "^[!-9<-~]+$") };
/// An IP address.
pub const IP: Form = form("an IP address of this machine", r"^[0-9A-Fa-f:.%]+$");
/// Where something listens.
pub const ADDRESS: Form = form(
    "an address and a port such as 127.0.0.1:2526",
    r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.%]+\]):(?=.*[1-9])[0-9]{1,5}$",
);
/// The path of a Unix socket.
pub const SOCKET: Form = form("the path of a socket such as /run/hikagen/lmtp.sock", r"^\.{0,2}/[\s\S]");
/// A range of IP addresses.
pub const NETWORK: Form = form(
    "a network such as 10.1.0.0/16, or one address",
    r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)(/[0-9]{1,3})?$",
);
/// An envelope sender.
pub const ENVELOPE: Form = form(
    "an address with {token} once, before the @, such as bounce+{token}@m.example.jp",
    r"^(?!.*\{token\}.*\{token\})[^\u0000-\u0020]*\{token\}[^\u0000-\u0020]*@[^\u0000-\u0020@]+$",
);
/// A unit of systemd.
pub const UNIT: Form = Form {
    anything: true,
    longest: Some(255),
    ..form("a unit of systemd such as postfix@-.service", r"^[A-Za-z0-9:_.\\@*?-]+$")
};
/// A web address, with `{token}` or columns.
pub const LINK: Form =
    form("an address such as https://example.jp/u/{token}", r"^https?://[^\u0000-\u001f\u007f-\u009f]*$");
/// An address to which a mail leaves a list.
pub const MAILTO: Form = form("an address such as leave+{token}@m.example.jp", r"^[^ <>,]+@[^ <>,]+$");
/// A program with plain arguments.
pub const COMMAND: Form =
    Form { anything: true, ..form("a program and plain arguments; no shell reads them", r#"^[^"'|><&;$`\\]*$"#) };
/// Words of a reply.
pub const WORDS: Form = Form { anything: true, ..form("words of the reply, {anything} for any text", "") };
