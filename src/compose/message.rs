//! Owns the making of one message: header section, parts, envelope.
//!
//! Invariants: 7-bit bytes with CRLF line ends, every line under 998 octets; nothing that a list or a template says can end a
//! header, add one, or change the envelope; the same message has the same Message-ID whichever relay carries it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use lettre::message::header::{ContentType, Date, Header, HeaderName, HeaderValue, Headers};
use lettre::message::{Body, Mailboxes, MultiPart, SinglePart, header};
use minijinja::Value;

use crate::core::address::Address;
use crate::core::plan::{AddressForm, Group, Groups};
use crate::relay::Outgoing;

use super::header_names::{LINE_MAX, check_header_name};
use super::mailbox::Mailbox;
use super::part::{Part, Writer};
use super::template::{Places, Row, Sheets, variables};
use super::{ComposeError, Composer, Content, Identity, Recipient, Tokens};

/// The templates of one revision, compiled.
pub struct Templates {
    sheets: Sheets,
    groups: Arc<Groups>,
    tokens: Arc<Tokens>,
    campaign: Value,
    sender: Address,
    from: HeaderValue,
    reply_to: Option<HeaderValue>,
    headers: Vec<String>,
    made_elsewhere: Option<Part>,
    one_click: bool,
}

impl Templates {
    /// Compiles what a revision stores.
    ///
    /// # Errors
    /// Every problem of the content at once.
    pub fn compile(content: &Content, groups: Arc<Groups>, tokens: Arc<Tokens>) -> Result<Self, Vec<ComposeError>> {
        Self::compile_from(content, Places::default(), groups, tokens)
    }

    /// Compiles content that was just read from files, named in every error.
    ///
    /// # Errors
    /// Every problem of the content at once.
    pub fn compile_from(
        content: &Content,
        places: Places,
        groups: Arc<Groups>,
        tokens: Arc<Tokens>,
    ) -> Result<Self, Vec<ComposeError>> {
        let campaign_file = places.campaign.clone();
        let in_file = |e: ComposeError| ComposeError(format!("{campaign_file}: {}", e.0));
        let mut problems = Vec::new();
        let mut keep = |result: Result<(), ComposeError>| problems.extend(result.map_err(in_file).err());
        let (mut from, mut reply_to) = (None, None);
        keep(Mailbox::parse(&content.from).map(|mailbox| from = Some(mailbox)).map_err(ComposeError::from));
        if let Some(text) = &content.reply_to {
            keep(Mailbox::parse(text).map(|mailbox| reply_to = Some(mailbox)).map_err(ComposeError::from));
        }
        for (name, _) in &content.headers {
            keep(check_header_name(name));
        }
        keep(check_parts(content));
        let sheets = Sheets::compile(content, places).map_err(|errors| problems.extend(errors)).ok();
        let (Some(sheets), Some(from), true) = (sheets, from, problems.is_empty()) else { return Err(problems) };
        Ok(Self {
            sheets,
            groups,
            tokens,
            campaign: Value::from(content.campaign.as_str()),
            from: header::From::from(lettre_mailboxes(&from).map_err(|e| vec![e])?).display(),
            reply_to: match &reply_to {
                Some(mailbox) => Some(header::ReplyTo::from(lettre_mailboxes(mailbox).map_err(|e| vec![e])?).display()),
                None => None,
            },
            sender: from.address,
            headers: content.headers.iter().map(|(name, _)| name.clone()).collect(),
            made_elsewhere: content.parts.clone().map(Part::without_sources),
            one_click: content.unsubscribe.as_ref().is_some_and(|u| u.one_click),
        })
    }

    /// Every name that a template uses and neither `columns` nor Hikagen has, with file, line, and what was perhaps meant.
    #[must_use]
    pub fn undefined(&self, columns: &[String]) -> Vec<ComposeError> {
        self.sheets.undefined(columns)
    }

    /// Built-in variables that a column of the list hides and a template uses.
    #[must_use]
    pub fn hidden(&self, columns: &[String]) -> Vec<String> {
        self.sheets.hidden(columns)
    }

    /// Which of `columns` a template uses, by their places.
    #[must_use]
    pub fn used(&self, columns: &[String]) -> Vec<usize> {
        self.sheets.used(columns)
    }

    /// Which of `columns`, by their names, an unsubscribe link uses beside the address.
    #[must_use]
    pub fn used_by_links(&self, columns: &[String]) -> Vec<String> {
        let names = self.sheets.used_by_links(columns).into_iter().filter_map(|at| columns.get(at));
        names.filter(|name| *name != "email").cloned().collect()
    }

    fn row(&self, recipient: Recipient<'_>, identity: &Identity, token: &str) -> Result<(Value, Links), ComposeError> {
        let columns: BTreeMap<String, String> = serde_json::from_str(recipient.columns)
            .map_err(|e| ComposeError(format!("the stored columns of {} cannot be read: {e}", recipient.message)))?;
        let mut row = Row {
            columns: variables(columns),
            email: Value::from(recipient.address),
            campaign: self.campaign.clone(),
            domain: Value::from(identity.domain.as_str()),
            token: Value::from(token),
            unsubscribe_url: None,
        };
        let bare = Value::from_object(row.clone());
        let url = self.link("url", &bare, "https://")?;
        let mailto = self.link("mailto", &bare, "mailto:")?;
        row.unsubscribe_url = url.clone().map(Value::from);
        Ok((Value::from_object(row), Links { url, mailto }))
    }

    /// A rendered link, fit to stand between `<` and `>` in a header.
    fn link(&self, name: &str, row: &Value, scheme: &str) -> Result<Option<String>, ComposeError> {
        let Some(text) = self.sheets.render(name, row)? else { return Ok(None) };
        let text = text.trim();
        let link =
            if scheme == "mailto:" && !text.starts_with(scheme) { format!("{scheme}{text}") } else { text.to_owned() };
        let lower = link.get(..scheme.len()).map(str::to_ascii_lowercase);
        let plain_http = scheme == "https://" && !self.one_click && link.starts_with("http://");
        if lower.as_deref() != Some(scheme) && !plain_http {
            return Err(ComposeError(format!(
                "unsubscribe {name} must begin with {scheme}, but is {}",
                link.escape_debug()
            )));
        }
        match link.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '<' | '>' | '"' | '{' | '}')) {
            Some(c) => Err(ComposeError(format!(
                "unsubscribe {name} cannot hold {}: write it percent-encoded, in {}",
                c.escape_debug(),
                link.escape_debug()
            ))),
            None => Ok(Some(link)),
        }
    }

    fn header_section(&self, made: &Made<'_>, identity: &Identity, date: Timestamp) -> Result<Headers, ComposeError> {
        let mut headers = Headers::with_capacity(16);
        headers.insert_raw(self.from.clone());
        self.reply_to.iter().for_each(|value| headers.insert_raw(value.clone()));
        headers.insert_raw(raw(HeaderName::new_from_ascii_str("To"), made.to.clone()));
        let subject = self.sheets.render("subject", &made.row)?.unwrap_or_default();
        headers.insert_raw(raw(HeaderName::new_from_ascii_str("Subject"), one_line(&subject)));
        headers.set(Date::new(date.into()));
        let message_id = format!("<{}@{}>", made.token, self.sender.domain());
        headers.insert_raw(raw(HeaderName::new_from_ascii_str("Message-ID"), message_id));
        if let Some(value) = made.links.list_unsubscribe() {
            headers.insert_raw(raw(HeaderName::new_from_ascii_str("List-Unsubscribe"), value));
            if self.one_click && made.links.url.is_some() {
                let one_click = "List-Unsubscribe=One-Click".to_owned();
                headers.insert_raw(raw(HeaderName::new_from_ascii_str("List-Unsubscribe-Post"), one_click));
            }
        }
        for name in &self.headers {
            let text = self.sheets.render(&format!("header {name}"), &made.row)?.unwrap_or_default();
            headers.insert_raw(raw(header_name(name)?, one_line(&text)));
        }
        // A relay's header chooses its pool: it wins over the campaign's.
        for (name, text) in &identity.headers {
            check_header_name(name)?;
            headers.insert_raw(raw(header_name(name)?, one_line(text)));
        }
        headers.set(header::MIME_VERSION_1_0);
        Ok(headers)
    }

    fn parts(&self, row: &Value, token: &str) -> Result<Vec<u8>, ComposeError> {
        if let Some(part) = &self.made_elsewhere {
            let render = |name: &str| self.sheets.render(name, row);
            let mut writer = Writer::new(&render, self.tokens.boundary(token));
            writer.write(part)?;
            return Ok(writer.out);
        }
        let text = self.sheets.render("text", row)?.map(|t| part(ContentType::TEXT_PLAIN, &t));
        let html = self.sheets.render("html", row)?.map(|h| part(ContentType::TEXT_HTML, &h));
        Ok(match (text, html) {
            (Some(text), Some(html)) => {
                // Nobody but the signer can know it, so no column can hold it; a repeat has the same bytes.
                let boundary = format!("=_{}", self.tokens.boundary(token));
                MultiPart::alternative().boundary(boundary).singlepart(text).singlepart(html).formatted()
            }
            (Some(one), None) | (None, Some(one)) => one.formatted(),
            (None, None) => part(ContentType::TEXT_PLAIN, "").formatted(),
        })
    }
}

/// What the recipient reads, before it is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Subject.
    pub subject: String,
    /// Text part.
    pub text: Option<String>,
    /// HTML part.
    pub html: Option<String>,
}

impl Templates {
    /// What the recipient of a message reads.
    ///
    /// # Errors
    /// When a template fails on this row.
    pub fn show(&self, recipient: Recipient<'_>, identity: &Identity) -> Result<Shown, ComposeError> {
        let token = self.tokens.token(recipient.message);
        let (row, _) = self.row(recipient, identity, &token)?;
        Ok(Shown {
            subject: one_line(&self.sheets.render("subject", &row)?.unwrap_or_default()),
            text: self.sheets.render_first("text", "text/plain", &row)?,
            html: self.sheets.render_first("html", "text/html", &row)?,
        })
    }
}

impl Composer for Templates {
    fn compose(
        &self,
        recipient: Recipient<'_>,
        identity: &Identity,
        date: Timestamp,
    ) -> Result<Outgoing, ComposeError> {
        let refuse = |why: String| ComposeError(format!("{} to {}: {why}", recipient.message, recipient.address));
        let address = Address::parse(recipient.address).map_err(|e| refuse(e.to_string()))?;
        let group = self.groups.route(address.domain()).group;
        let (to, alternative) = forms(&address, group).map_err(refuse)?;
        let token = self.tokens.token(recipient.message);
        let envelope_from = match &identity.envelope_from {
            Some(template) => {
                let text = template.replace("{token}", &token);
                Address::parse(&text).map_err(|e| refuse(format!("envelope_from {text}: {e}")))?.to_string()
            }
            None => self.sender.to_string(),
        };
        let (row, links) = self.row(recipient, identity, &token).map_err(|e| refuse(e.0))?;
        let made = Made { to: address.on_the_wire(AddressForm::Quoted), token: &token, row, links };
        let headers = self.header_section(&made, identity, date).map_err(|e| refuse(e.0))?;
        let parts = self.parts(&made.row, &token).map_err(|e| refuse(e.0))?;
        let mut bytes = headers.to_string().into_bytes();
        bytes.extend_from_slice(&parts);
        if let Some(signer) = &identity.dkim {
            let signature = signer.signature(&bytes, date).ok_or("its DKIM key does not sign");
            bytes.splice(..0, signature.map_err(|why| refuse(why.to_owned()))?.into_bytes());
        }
        check_limits(&bytes, group).map_err(refuse)?;
        if let Some(most) = identity.message_bytes.filter(|most| bytes.len() > most.get() as usize) {
            return Err(refuse(format!("the message has {} octets; the relay takes {most}", bytes.len())));
        }
        Ok(Outgoing { envelope_from, recipient: to, recipient_alternative: alternative, bytes })
    }
}

/// What one message is made of before its header section.
struct Made<'a> {
    to: String,
    token: &'a str,
    row: Value,
    links: Links,
}

struct Links {
    url: Option<String>,
    mailto: Option<String>,
}

impl Links {
    fn list_unsubscribe(&self) -> Option<String> {
        let links: Vec<String> = [&self.url, &self.mailto].into_iter().flatten().map(|l| format!("<{l}>")).collect();
        if links.is_empty() { None } else { Some(links.join(", ")) }
    }
}

/// The recipient as its group wants it, and the other form of an irregular address.
fn forms(address: &Address, group: &Group) -> Result<(String, Option<String>), String> {
    if !address.is_irregular() {
        return Ok((address.to_string(), None));
    }
    let (quoted, verbatim) = (address.on_the_wire(AddressForm::Quoted), address.on_the_wire(AddressForm::Verbatim));
    match group.irregular {
        AddressForm::Quoted => Ok((quoted, Some(verbatim))),
        AddressForm::Verbatim => Ok((verbatim, Some(quoted))),
        AddressForm::Refused => Err(format!("group {} does not take dots in such places of a local part", group.name)),
    }
}

fn lettre_mailboxes(mailbox: &Mailbox) -> Result<Mailboxes, ComposeError> {
    let address = lettre::Address::new(mailbox.address.local(), mailbox.address.domain())
        .map_err(|e| ComposeError(format!("{} cannot be a sender: {e}", mailbox.address)))?;
    Ok(Mailboxes::from(lettre::message::Mailbox::new(mailbox.name.clone(), address)))
}

fn raw(name: HeaderName, value: String) -> HeaderValue {
    HeaderValue::new(name, value)
}

fn header_name(name: &str) -> Result<HeaderName, ComposeError> {
    HeaderName::new_from_ascii(name.to_owned()).map_err(|_| ComposeError(format!("\"{name}\" is not a header name")))
}

fn check_parts(content: &Content) -> Result<(), ComposeError> {
    if content.text.is_none() && content.html.is_none() && content.parts.is_none() {
        return Err(ComposeError("a campaign needs text, html or both".to_owned()));
    }
    match &content.unsubscribe {
        Some(u) if u.one_click && u.url.is_none() => {
            Err(ComposeError("unsubscribe one_click needs a url that begins with https:// (RFC 8058)".to_owned()))
        }
        _ => Ok(()),
    }
}

/// Text for a header: one line, no control characters, and nothing that a reader would take for an encoded word.
fn one_line(text: &str) -> String {
    let blank = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let words: Vec<&str> = text.split(|c: char| blank(c) || c == ' ').filter(|word| !word.is_empty()).collect();
    words.join(" ").replace("=?", "= ?")
}

/// A part in UTF-8 with CRLF line ends; lettre takes the shortest of 7bit, quoted-printable and base64.
fn part(kind: ContentType, text: &str) -> SinglePart {
    SinglePart::builder().header(kind).body(Body::new(canonical(text)))
}

/// Line ends as CRLF; other control characters are left out.
pub(super) fn canonical(text: &str) -> String {
    let mut whole = String::with_capacity(text.len() + text.len() / 16 + 2);
    for line in text.split_inclusive('\n') {
        let (line, ended) = line.strip_suffix('\n').map_or((line, false), |line| (line, true));
        let line = if ended { line.strip_suffix('\r').unwrap_or(line) } else { line };
        // Without an early end, so that many bytes are looked at in one step.
        let odd = line.bytes().fold(false, |odd, b| odd | (b < b' ' && b != b'\t') | (b == 0x7F));
        if odd {
            line.chars().for_each(|c| match c {
                '\r' => whole.push_str("\r\n"),
                c if c.is_ascii_control() && c != '\t' => {}
                c => whole.push(c),
            });
        } else {
            whole.push_str(line);
        }
        if ended {
            whole.push_str("\r\n");
        }
    }
    whole
}

fn check_limits(bytes: &[u8], group: &Group) -> Result<(), String> {
    let limits = &group.limits;
    let over = |n: usize, max: Option<u32>| max.is_some_and(|max| n > max as usize);
    let say = |what: &str, n: usize, max: u32| Err(format!("{what} {n} octets; group {} takes {max}", group.name));
    if let (true, Some(max)) = (over(bytes.len(), limits.message_bytes_max), limits.message_bytes_max) {
        return say("the message has", bytes.len(), max);
    }
    let (mut longest, mut start, mut header_end) = (0, 0, None);
    for at in memchr::memchr_iter(b'\n', bytes) {
        let length = (at - start).saturating_sub(1);
        longest = longest.max(length);
        if length == 0 && header_end.is_none() {
            header_end = Some(start);
        }
        start = at + 1;
    }
    let line_max = limits.line_bytes_max.map_or(LINE_MAX, |max| (max as usize).min(LINE_MAX));
    if longest.max(bytes.len() - start) > line_max {
        return Err(format!(
            "a line has {longest} octets; group {} takes {line_max}: is a header or a URL that long?",
            group.name
        ));
    }
    let header = header_end.unwrap_or(bytes.len());
    if let (true, Some(max)) = (over(header, limits.header_bytes_max), limits.header_bytes_max) {
        return say("the header section has", header, max);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_crlf_and_other_control_characters_go() {
        let cases = [
            ("a\nb", "a\r\nb"),
            ("a\r\nb\r\n", "a\r\nb\r\n"),
            ("a\rb\r\r\n\n", "a\r\nb\r\n\r\n\r\n"),
            ("\u{0}あ\u{7f}\tい\u{1b}[0m", "あ\tい[0m"),
            ("\r", "\r\n"),
            ("", ""),
        ];
        for (text, wanted) in cases {
            assert_eq!(canonical(text), wanted, "{text:?}");
        }
    }
}
