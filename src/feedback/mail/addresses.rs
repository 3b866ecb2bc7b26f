//! Owns the finding of addresses in prose and fields.

/// The address of a field such as `rfc822; <taro@docomo.ne.jp>`, `taro@docomo.ne.jp (original)` or `"a..b"@docomo.ne.jp`.
pub(super) fn of_field(value: &str) -> Option<String> {
    let value = value.split_once(';').map_or(value, |(_, rest)| rest);
    in_line(value).into_iter().next()
}

/// Every address in a line, in order, without brackets and punctuation around it.
pub(super) fn in_line(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = line;
    let mut before = String::new();
    while let Some(at) = rest.find('@') {
        let head = format!("{before}{}", &rest[..at]);
        let tail = &rest[at + 1..];
        let local = local_part(&head);
        let domain: String = tail.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_')).collect();
        let domain = domain.trim_end_matches(['.', '-', '_']);
        if !local.is_empty() && domain.contains('.') && !domain.starts_with('.') {
            let address = format!("{local}@{}", domain.to_lowercase());
            if !found.contains(&address) {
                found.push(address);
            }
        }
        before.clear();
        rest = tail;
    }
    found
}

/// The local part at the end of `head`: quoted, or of the characters that addresses have.
fn local_part(head: &str) -> String {
    if let Some(open) = head.strip_suffix('"').and_then(|inner| inner.rfind('"')) {
        return head[open..].replace('"', "");
    }
    let part: String = head
        .chars()
        .rev()
        .take_while(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(*c))
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    let part = part.trim_start_matches(['\'', '`', '=', '/', '{', '|', '.']);
    // X.400 gateways name the Internet's address as one of another kind.
    let part = part.get(..5).filter(|kind| kind.eq_ignore_ascii_case("smtp=")).map_or(part, |kind| &part[kind.len()..]);
    if part.len() > 64 { String::new() } else { part.to_owned() }
}

/// Whether nobody reads there: the sender of reports, not their subject.
pub(super) fn is_machine(address: &str) -> bool {
    let local = address.split('@').next().unwrap_or_default().to_lowercase();
    let names = [
        "mailer-daemon",
        "postmaster",
        "post_master",
        "post-master",
        "mail-daemon",
        "mailerdaemon",
        "mdaemon",
        "abuse",
        "helpdesk",
        "bounce-notification",
    ];
    names.iter().any(|name| local == *name)
        || ["noreply", "no-reply", "bounce+", "bounces+"].iter().any(|name| local.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_however_they_are_written() {
        for (line, expected) in [
            ("<taro@docomo.ne.jp>: host mx said", vec!["taro@docomo.ne.jp"]),
            ("rfc822; \"taro..x\"@docomo.ne.jp", vec!["taro..x@docomo.ne.jp"]),
            ("宛先:taro..@Docomo.ne.jp。", vec!["taro..@docomo.ne.jp"]),
            ("a@b, 'c@example.jp' and [d@example.co.jp].", vec!["c@example.jp", "d@example.co.jp"]),
            ("c=JP;a= ;p=X;dda:SMTP=taro@example.JP; on Fri", vec!["taro@example.jp"]),
            ("no address @ all, nor @example.jp", vec![]),
        ] {
            assert_eq!(in_line(line), expected, "{line}");
        }
        assert_eq!(of_field("rfc822;jiro@ezweb.ne.jp").as_deref(), Some("jiro@ezweb.ne.jp"));
        assert_eq!(of_field("x400; /G=Taro/"), None);
    }
}
