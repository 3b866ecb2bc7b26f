//! Owns the promises about a message's bytes, read back by a parser that is not ours: Python's `email`.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use hikagen::compose::{Composer, Content, Identity, Places, Recipient, Templates, Tokens, Unsubscribe};
use hikagen::core::campaign::MessageId;
use hikagen::core::names::{BucketName, GroupName};
use hikagen::core::plan::{AddressForm, Group, GroupKind, GroupStatus, Groups, Limits};
use hikagen::relay::Outgoing;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

const READER: &str = r#"
import email, email.policy, json, sys
raw = sys.stdin.buffer.read()
message = email.message_from_bytes(raw, policy=email.policy.default)
parts = [message] if not message.is_multipart() else list(message.iter_parts())
def people(name):
    value = message[name]
    return None if value is None else [[a.display_name, a.username, a.domain] for a in value.addresses]
print(json.dumps({
    "names": [name.lower() for name in message.keys()],
    "headers": {name.lower(): str(value) for name, value in message.items()},
    "from": people("From"), "to": people("To"), "reply_to": people("Reply-To"),
    "type": message.get_content_type(),
    "date": message["Date"].datetime.isoformat(),
    "defects": [str(d) for d in message.defects] + [str(d) for part in parts for d in part.defects]
        + [str(d) for value in message.values() for d in value.defects],
    "parts": [[part.get_content_type(), part.get_content_charset(), part["Content-Transfer-Encoding"], part.get_content().replace("\r\n", "\n")] for part in parts],
}))
"#;

/// What Python's parser sees.
fn read_by_python(bytes: &[u8]) -> Value {
    let mut python = Command::new("python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed for this test");
    python.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(bytes));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn group(name: &str, irregular: AddressForm, limits: Limits) -> Group {
    let name = GroupName::new(name).unwrap();
    Group {
        bucket: BucketName::of_group(&name),
        name,
        title: String::new(),
        kind: GroupKind::Global,
        status: GroupStatus::Active,
        confidence: "unknown".to_owned(),
        limits,
        irregular,
        notes: Vec::new(),
    }
}

pub(crate) fn groups() -> Arc<Groups> {
    let mut groups = Groups::new(group("default", AddressForm::Refused, Limits::default()));
    let tight = Limits {
        message_bytes_max: Some(20_000),
        header_bytes_max: Some(2_000),
        line_bytes_max: Some(500),
        ..Limits::default()
    };
    for (name, domain, irregular, limits) in [
        ("docomo", "docomo.ne.jp", AddressForm::Quoted, Limits::default()),
        ("au", "ezweb.ne.jp", AddressForm::Verbatim, Limits::default()),
        ("tight", "tight.jp", AddressForm::Refused, tight),
    ] {
        let group = group(name, irregular, limits);
        groups.add_domain(domain, &group.name);
        groups.add_group(group);
    }
    Arc::new(groups)
}

pub(crate) fn tokens() -> Arc<Tokens> {
    Arc::new(Tokens::new(&[9; 32]))
}

pub(crate) fn identity() -> Identity {
    Identity {
        domain: "m.example.jp".to_owned(),
        envelope_from: Some("bounce+{token}@m.example.jp".to_owned()),
        headers: vec![("X-Pool".to_owned(), "new".to_owned())],
        dkim: None,
        message_bytes: None,
    }
}

pub(crate) fn content() -> Content {
    Content {
        campaign: "spring-sale-2026".to_owned(),
        from: "例市場 <news@m.example.jp>".to_owned(),
        reply_to: Some("\"お客様, 窓口\" <info@example.jp>".to_owned()),
        subject: "{{ name }} 様へ 春のお知らせ".to_owned(),
        text: Some("{{ name }} 様\n\n{{ city }} の店舗で\n配信停止: {{ unsubscribe_url }}\n".to_owned()),
        html: Some("<p>{{ name }} 様 {{ city }}</p>\n<a href=\"{{ unsubscribe_url }}\">配信停止</a>\n".to_owned()),
        parts: None,
        headers: vec![("Feedback-ID".to_owned(), "{{ campaign }}:{{ city }}".to_owned())],
        unsubscribe: Some(Unsubscribe {
            url: Some("https://example.jp/u/{token}?c={{ city }}&r=1".to_owned()),
            mailto: Some("leave+{token}@m.example.jp".to_owned()),
            one_click: true,
        }),
        list: None,
    }
}

pub(crate) fn compile(content: &Content) -> Templates {
    Templates::compile(content, groups(), tokens()).unwrap_or_else(|e| panic!("{e:?}"))
}

pub(crate) fn compose_row(templates: &Templates, address: &str, columns: &Value) -> Result<Outgoing, String> {
    compose_as(templates, &identity(), address, columns)
}

pub(crate) fn compose_as(
    templates: &Templates,
    identity: &Identity,
    address: &str,
    columns: &Value,
) -> Result<Outgoing, String> {
    let columns = columns.to_string();
    let recipient = Recipient { message: MessageId(41), address, columns: &columns };
    let date: Timestamp = "2026-11-24T00:00:05Z".parse().unwrap();
    templates.compose(recipient, identity, date).map_err(|e| e.0)
}

pub(crate) fn hanako() -> Value {
    json!({"email": "hanako@docomo.ne.jp", "name": "山田 花子", "city": "横浜<&>"})
}

pub(crate) fn assert_fit_for_the_wire(bytes: &[u8]) {
    assert!(bytes.is_ascii());
    let text = std::str::from_utf8(bytes).unwrap();
    for line in text.split("\r\n") {
        assert!(line.len() <= 998, "{} octets", line.len());
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
    }
}

#[test]
fn python_reads_what_was_meant() {
    let mail = compose_row(&compile(&content()), "hanako@docomo.ne.jp", &hanako()).unwrap();
    assert_fit_for_the_wire(&mail.bytes);
    let token = tokens().token(MessageId(41));
    assert_eq!(mail.envelope_from, format!("bounce+{token}@m.example.jp"));
    assert_eq!((mail.recipient.as_str(), mail.recipient_alternative), ("hanako@docomo.ne.jp", None));
    let read = read_by_python(&mail.bytes);
    assert_eq!(read["defects"], json!([]));
    assert_eq!(read["from"], json!([["例市場", "news", "m.example.jp"]]));
    assert_eq!(read["reply_to"], json!([["お客様, 窓口", "info", "example.jp"]]));
    assert_eq!(read["to"], json!([["", "hanako", "docomo.ne.jp"]]));
    assert_eq!(read["date"], "2026-11-24T00:00:05+00:00");
    let headers = &read["headers"];
    assert_eq!(headers["subject"], "山田 花子 様へ 春のお知らせ");
    assert_eq!(headers["message-id"], format!("<{token}@m.example.jp>"));
    let url = format!("https://example.jp/u/{token}?c=%E6%A8%AA%E6%B5%9C%3C%26%3E&r=1");
    assert_eq!(headers["list-unsubscribe"], format!("<{url}>, <mailto:leave+{token}@m.example.jp>"));
    assert_eq!(headers["list-unsubscribe-post"], "List-Unsubscribe=One-Click");
    assert_eq!(headers["feedback-id"], "spring-sale-2026:横浜<&>");
    assert_eq!((&headers["x-pool"], &headers["mime-version"]), (&json!("new"), &json!("1.0")));
    assert!(!read["names"].as_array().unwrap().contains(&json!("bcc")));
    assert_eq!(read["type"], "multipart/alternative");
    let parts = read["parts"].as_array().unwrap();
    assert_eq!((&parts[0][0], &parts[0][1]), (&json!("text/plain"), &json!("utf-8")));
    assert_eq!(parts[0][3], format!("山田 花子 様\n\n横浜<&> の店舗で\n配信停止: {url}\n"));
    assert_eq!((&parts[1][0], &parts[1][1]), (&json!("text/html"), &json!("utf-8")));
    let link = url.replace('&', "&amp;");
    assert_eq!(parts[1][3], format!("<p>山田 花子 様 横浜&lt;&amp;&gt;</p>\n<a href=\"{link}\">配信停止</a>\n"));
}

#[test]
fn a_repeat_has_the_same_bytes_and_another_message_another_id() {
    let templates = compile(&content());
    let compose = |id| {
        let columns = hanako().to_string();
        let recipient = Recipient { message: MessageId(id), address: "hanako@docomo.ne.jp", columns: &columns };
        templates.compose(recipient, &identity(), Timestamp::UNIX_EPOCH).unwrap()
    };
    assert_eq!(compose(7), compose(7));
    let id = |mail: &Outgoing| read_by_python(&mail.bytes)["headers"]["message-id"].clone();
    assert_ne!(id(&compose(7)), id(&compose(8)));
}

#[test]
fn one_part_is_sent_without_a_multipart() {
    for (text, html, kind) in [(Some("plain\n"), None, "text/plain"), (None, Some("<p>春</p>"), "text/html")] {
        let mut content = content();
        (content.text, content.html) = (text.map(str::to_owned), html.map(str::to_owned));
        let read = read_by_python(&compose_row(&compile(&content), "a@b.jp", &hanako()).unwrap().bytes);
        assert_eq!((&read["type"], &read["defects"]), (&json!(kind), &json!([])));
        assert_eq!(read["parts"][0][3].as_str().map(str::trim_end), text.or(html).map(str::trim_end));
    }
}

#[test]
fn an_irregular_address_goes_out_as_its_group_wants_it() {
    let templates = compile(&content());
    let mail = compose_row(&templates, "taro..x@docomo.ne.jp", &hanako()).unwrap();
    assert_eq!(mail.recipient, "\"taro..x\"@docomo.ne.jp");
    assert_eq!(mail.recipient_alternative.as_deref(), Some("taro..x@docomo.ne.jp"));
    assert_eq!(read_by_python(&mail.bytes)["to"], json!([["", "taro..x", "docomo.ne.jp"]]));
    let mail = compose_row(&templates, "jiro.@ezweb.ne.jp", &hanako()).unwrap();
    assert_eq!(mail.recipient, "jiro.@ezweb.ne.jp");
    assert_eq!(mail.recipient_alternative.as_deref(), Some("\"jiro.\"@ezweb.ne.jp"));
    assert!(String::from_utf8(mail.bytes).unwrap().contains("To: \"jiro.\"@ezweb.ne.jp\r\n"));
    let refused = compose_row(&templates, "a..b@example.jp", &hanako()).unwrap_err();
    assert!(refused.contains("group default does not take dots"), "{refused}");
}

#[test]
fn lines_without_an_end_and_long_subjects_are_folded() {
    let mut content = content();
    content.text = Some("{{ name }}\n".to_owned());
    content.html = Some("<p>{{ name }}</p>".to_owned());
    for name in ["x".repeat(5_000), "春".repeat(3_000), "ab ".repeat(2_000)] {
        let row = json!({"name": name, "city": "x"});
        content.subject = "{{ name[:300] }}".to_owned();
        let mail = compose_row(&compile(&content), "a@b.jp", &row).unwrap();
        assert_fit_for_the_wire(&mail.bytes);
        let read = read_by_python(&mail.bytes);
        assert_eq!(read["parts"][0][3], format!("{name}\n"));
        let subject: String = name.chars().take(300).collect();
        assert_eq!(read["headers"]["subject"], subject.trim_end());
    }
}

#[test]
fn limits_of_the_group_are_checked_on_what_was_composed() {
    let mut content = content();
    content.subject = "{{ name[:400] }}".to_owned();
    let row = |n: usize| json!({"name": "x".repeat(n), "city": "x"});
    let error = compose_row(&compile(&content), "a@tight.jp", &row(40_000)).unwrap_err();
    assert!(error.contains("octets; group tight takes 20000"), "{error}");
    content.headers = vec![("X-Long".to_owned(), "{{ name }}".to_owned())];
    let error = compose_row(&compile(&content), "a@tight.jp", &row(900)).unwrap_err();
    assert!(error.contains("a line has 908 octets; group tight takes 500"), "{error}");
    content.headers = vec![("X-Long".to_owned(), "{{ name }}".to_owned())];
    let words = json!({"name": "word ".repeat(500), "city": "x"});
    let error = compose_row(&compile(&content), "a@tight.jp", &words).unwrap_err();
    assert!(error.contains("the header section has") && error.contains("takes 2000"), "{error}");
    let error = compose_row(&compile(&content), "a@b.jp", &row(2_000)).unwrap_err();
    assert!(error.contains("takes 998"), "{error}");
}

#[test]
fn every_problem_of_a_content_is_named_with_its_place() {
    let mut bad = content();
    bad.from = "not an address".to_owned();
    bad.reply_to = Some("a@b@c <d".to_owned());
    bad.subject = "{{ name".to_owned();
    bad.text = Some("one\n{% if name %}\n".to_owned());
    bad.html = Some("ok\n{{ name | nofilter }}\n\u{0}".to_owned());
    bad.headers = vec![("Bcc".to_owned(), "x@y.jp".to_owned()), ("X Y".to_owned(), String::new())];
    bad.unsubscribe = Some(Unsubscribe { url: None, mailto: None, one_click: true });
    let places = Places {
        campaign: "campaign.yaml".to_owned(),
        text: "news.txt".to_owned(),
        html: "news.html".to_owned(),
        ..Places::default()
    };
    let problems = Templates::compile_from(&bad, places, groups(), tokens()).err().unwrap();
    let all = problems.iter().map(|p| p.0.as_str()).collect::<Vec<_>>().join("\n");
    for words in [
        "campaign.yaml: \"not an address\" is not a sender",
        "campaign.yaml: \"a@b@c <d\" is not a sender",
        "campaign.yaml, subject: syntax error",
        "news.txt:",
        "news.html:3: the control character \\u{0}",
        "the header Bcc cannot be set",
        "\"X Y\" is not a header name",
        "one_click needs a url",
    ] {
        assert!(all.contains(words), "{words} is missing in:\n{all}");
    }
}

#[test]
fn an_undefined_variable_is_named_with_file_line_and_columns() {
    let mut content = content();
    content.text = Some("first\n{{ nmae }} {{ name.first }}\n{{ range(3) }}".to_owned());
    content.unsubscribe = None;
    let places = Places { text: "news.txt".to_owned(), ..Places::default() };
    let templates = Templates::compile_from(&content, places, groups(), tokens()).unwrap_or_else(|e| panic!("{e:?}"));
    let columns = ["email", "name", "city"].map(str::to_owned);
    let problems: Vec<String> = templates.undefined(&columns).into_iter().map(|p| p.0).collect();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].starts_with("news.txt:2: {{ name.first }} asks for a part of \"name\""), "{problems:?}");
    assert!(
        problems[1]
            .starts_with("news.txt:2: {{ nmae }} is neither a column of the list nor built in; did you mean \"name\"?")
            && problems[1].contains("The list's columns: email, name, city."),
        "{problems:?}"
    );
    assert!(problems[2].contains("{{ unsubscribe_url }} needs"), "{problems:?}");
    assert_eq!(compile(&self::content()).undefined(&columns), []);
}

#[test]
fn an_endless_loop_ends() {
    let mut content = content();
    content.text = Some("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}".to_owned());
    let error = compose_row(&compile(&content), "a@b.jp", &hanako()).unwrap_err();
    assert!(error.contains("text template") && error.contains("endless loop"), "{error}");
}

#[test]
fn a_column_of_a_built_in_name_hides_it_except_the_address() {
    let mut content = content();
    content.text = Some("{{ email }} {{ domain }} {{ campaign }} {{ 氏名 }}".to_owned());
    let row = json!({"email": "elsewhere@x.jp", "domain": "own", "name": "n", "city": "c", "氏名": "花子"});
    let templates = compile(&content);
    let read = read_by_python(&compose_row(&templates, "a@b.jp", &row).unwrap().bytes);
    assert_eq!(read["parts"][0][3].as_str().map(str::trim_end), Some("a@b.jp own spring-sale-2026 花子"));
    assert_eq!(templates.hidden(&["email".to_owned(), "domain".to_owned()]), ["domain"]);
}

/// Texts that try to break out: line ends of every kind, header and boundary look-alikes, encoded words, quotes.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\r\n".to_owned()),
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("\0".to_owned()),
        Just("\u{85}\u{2028}\u{2029}\u{b}\u{c}".to_owned()),
        Just("\r\nBcc: x@evil.jp\r\n\r\n".to_owned()),
        Just("\r\n.\r\n".to_owned()),
        Just("=?utf-8?q?=0D=0ABcc:_x?=".to_owned()),
        Just("--=_".to_owned()),
        Just("<>\"@,;:\\".to_owned()),
        Just("{{ name }}{token}".to_owned()),
        "[ -~]{0,40}",
        "\\PC{0,40}",
        any::<String>(),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_column_can_add_a_header_end_a_section_or_break_the_envelope(name in hostile(), city in hostile()) {
        let templates = compile(&content());
        let row = json!({"name": name, "city": city});
        let Ok(mail) = compose_row(&templates, "hanako@docomo.ne.jp", &row) else { return Ok(()) };
        prop_assert!(mail.bytes.is_ascii());
        let text = std::str::from_utf8(&mail.bytes).unwrap();
        prop_assert!(text.split("\r\n").all(|line| line.len() <= 998 && !line.contains(|c: char| c.is_control() && c != '\t')));
        let (section, body) = text.split_once("\r\n\r\n").unwrap();
        let names: Vec<&str> = section.split("\r\n").filter(|line| !line.starts_with([' ', '\t']))
            .map(|line| line.split(':').next().unwrap()).collect();
        prop_assert_eq!(names, ["From", "Reply-To", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe",
            "List-Unsubscribe-Post", "Feedback-ID", "X-Pool", "MIME-Version", "Content-Type"]);
        prop_assert!(!section.split("\r\n").any(|line| line.trim().is_empty()));
        let boundary = section.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
        prop_assert_eq!(body.matches(boundary).count(), 3);
        prop_assert_eq!(mail.recipient, "hanako@docomo.ne.jp");
        prop_assert!(mail.envelope_from.bytes().all(|b| b.is_ascii_alphanumeric() || b"+@.".contains(&b)));
    }
}
