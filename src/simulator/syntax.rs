//! Owns the grammar of what a sender writes: command lines and the addresses in them.
//!
//! Wider than RFC 5321 where Japanese addresses are: `a..b@docomo.ne.jp` is taken bare and quoted.
//! Invariant: what cannot be read is an error with the reply to give, never a guess.

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verb {
    Ehlo,
    Helo,
    /// Declared size, where there is one.
    Mail(Option<u64>),
    /// `local@domain`, without quotes, domain in lower case.
    Rcpt(String),
    Data,
    Rset,
    Noop,
    Quit,
    /// Mechanism and initial response.
    Auth(String, Option<String>),
    Vrfy,
}

/// A reply for what cannot be read.
pub(super) type Malformed = &'static str;

/// Reads a command line without its CRLF.
pub(super) fn verb(line: &str) -> Result<Verb, Malformed> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let bare = |verb: Verb| if rest.trim().is_empty() { Ok(verb) } else { Err("501 5.5.4 No parameters here") };
    match word.to_ascii_uppercase().as_str() {
        "EHLO" if !rest.trim().is_empty() => Ok(Verb::Ehlo),
        "HELO" if !rest.trim().is_empty() => Ok(Verb::Helo),
        "EHLO" | "HELO" => Err("501 5.5.4 Say who you are"),
        "MAIL" => {
            let (path, parameters) = path(rest, "FROM:").ok_or("501 5.5.4 MAIL FROM:<address> is expected")?;
            if !path.is_empty() {
                address(path).ok_or("501 5.1.7 Bad sender address")?;
            }
            Ok(Verb::Mail(mail_parameters(parameters)?))
        }
        "RCPT" => {
            let (path, parameters) = path(rest, "TO:").ok_or("501 5.5.4 RCPT TO:<address> is expected")?;
            if !parameters.trim().is_empty() {
                return Err("555 5.5.4 Unknown parameter");
            }
            address(path).map(Verb::Rcpt).ok_or("501 5.1.3 Bad recipient address")
        }
        "DATA" => bare(Verb::Data),
        "RSET" => bare(Verb::Rset),
        "QUIT" => bare(Verb::Quit),
        "NOOP" => Ok(Verb::Noop),
        "VRFY" => Ok(Verb::Vrfy),
        "AUTH" => {
            let mut words = rest.split_whitespace();
            let mechanism = words.next().ok_or("501 5.5.4 AUTH wants a mechanism")?;
            Ok(Verb::Auth(mechanism.to_ascii_uppercase(), words.next().map(str::to_owned)))
        }
        _ => Err("500 5.5.2 Command unknown"),
    }
}

/// What stands between `<` and the `>` that ends it, and what follows.
fn path<'a>(rest: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let head = rest.get(..keyword.len())?;
    let rest = rest.get(keyword.len()..)?.trim_start().strip_prefix('<')?;
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => {
                return head.eq_ignore_ascii_case(keyword).then(|| (&rest[..at], &rest[at + 1..]));
            }
            _ => {}
        }
    }
    None
}

/// An address in one form: local part without quotes, domain in lower case.
fn address(path: &str) -> Option<String> {
    let (local, domain) = path.rsplit_once('@')?;
    let local = match local.strip_prefix('"').and_then(|l| l.strip_suffix('"')) {
        Some(quoted) if !quoted.contains(['"', '\\']) => quoted,
        Some(_) => return None,
        None => local,
    };
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"' | '@');
    let label = |l: &str| !l.is_empty() && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let fits = (1..=64).contains(&local.len())
        && local.chars().all(plain)
        && domain.len() <= 253
        && domain.split('.').all(label);
    fits.then(|| format!("{local}@{}", domain.to_ascii_lowercase()))
}

fn mail_parameters(text: &str) -> Result<Option<u64>, Malformed> {
    let mut size = None;
    for parameter in text.split_whitespace() {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name.to_ascii_uppercase().as_str() {
            "SIZE" => size = Some(value.parse().map_err(|_| "501 5.5.4 SIZE wants a number")?),
            "BODY" if value.eq_ignore_ascii_case("7BIT") || value.eq_ignore_ascii_case("8BITMIME") => {}
            "AUTH" => {}
            _ => return Err("555 5.5.4 Unknown parameter"),
        }
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_docomo_and_au_are_taken_in_both_forms() {
        for (line, address) in [
            ("RCPT TO:<taro..x@docomo.ne.jp>", "taro..x@docomo.ne.jp"),
            ("RCPT TO:<\"taro..x\"@docomo.ne.jp>", "taro..x@docomo.ne.jp"),
            ("rcpt to: <\"jiro.\"@EZWEB.ne.jp>", "jiro.@ezweb.ne.jp"),
            ("RCPT TO:<Hanako+a@gmail.com>", "Hanako+a@gmail.com"),
        ] {
            assert_eq!(verb(line), Ok(Verb::Rcpt(address.to_owned())), "{line}");
        }
        for line in ["RCPT TO:<a b@docomo.ne.jp>", "RCPT TO:<>", "RCPT TO:<\"a\"b@docomo.ne.jp>", "RCPT TO:<a@b..jp>"] {
            assert_eq!(verb(line), Err("501 5.1.3 Bad recipient address"), "{line}");
        }
        assert!(verb("RCPT TO:a@docomo.ne.jp").is_err());
        assert!(verb("RCPT TO:<\"a>b@docomo.ne.jp").is_err());
    }

    #[test]
    fn mail_takes_what_was_offered_and_nothing_else() {
        assert_eq!(verb("MAIL FROM:<> SIZE=5000 BODY=8BITMIME"), Ok(Verb::Mail(Some(5_000))));
        assert_eq!(verb("MAIL FROM:<bounce+x@m.example.jp>"), Ok(Verb::Mail(None)));
        assert_eq!(verb("MAIL FROM:<a@b.jp> SMTPUTF8"), Err("555 5.5.4 Unknown parameter"));
        assert_eq!(verb("MAIL FROM:<a@b.jp> SIZE=x"), Err("501 5.5.4 SIZE wants a number"));
        assert_eq!(verb("MAIL TO:<a@b.jp>"), Err("501 5.5.4 MAIL FROM:<address> is expected"));
    }

    #[test]
    fn other_lines_are_commands_or_errors() {
        assert_eq!(verb("ehlo mail.example.jp"), Ok(Verb::Ehlo));
        assert_eq!(verb("EHLO"), Err("501 5.5.4 Say who you are"));
        assert_eq!(verb("DATA now"), Err("501 5.5.4 No parameters here"));
        assert_eq!(verb("XCLIENT"), Err("500 5.5.2 Command unknown"));
        assert_eq!(verb("AUTH plain AGEAYg=="), Ok(Verb::Auth("PLAIN".to_owned(), Some("AGEAYg==".to_owned()))));
        assert_eq!(verb(""), Err("500 5.5.2 Command unknown"));
        assert_eq!(verb("MAIL é"), Err("501 5.5.4 MAIL FROM:<address> is expected"));
    }
}
