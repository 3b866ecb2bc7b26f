//! Owns the fuzzing of templates: what compiles makes a message or an error, and no value of a row leaves its header.
#![no_main]

use std::sync::{Arc, LazyLock};

use hikagen::compose::{Composer, Content, Identity, Recipient, Templates, Tokens};
use hikagen::config::groups_file::Destinations;
use hikagen::core::campaign::MessageId;
use hikagen::core::plan::Groups;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

static GROUPS: LazyLock<Arc<Groups>> = LazyLock::new(|| Arc::new(Destinations::shipped().groups));
static TOKENS: LazyLock<Arc<Tokens>> = LazyLock::new(|| Arc::new(Tokens::new(&[7; 32])));
static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity {
    domain: "m.example.jp".to_owned(),
    envelope_from: Some("bounce+{token}@m.example.jp".to_owned()),
    headers: Vec::new(),
    dkim: None,
    message_bytes: None,
});

fuzz_target!(|texts: (&str, &str, &str, &str)| {
    let (subject, text, html, value) = texts;
    let content = Content {
        list: None,
        campaign: "fuzz".to_owned(),
        from: "News <news@m.example.jp>".to_owned(),
        reply_to: None,
        subject: subject.to_owned(),
        text: Some(text.to_owned()),
        html: (!html.is_empty()).then(|| html.to_owned()),
        parts: None,
        headers: vec![("X-Fuzz".to_owned(), subject.to_owned())],
        unsubscribe: None,
    };
    let Ok(templates) = Templates::compile(&content, GROUPS.clone(), TOKENS.clone()) else { return };
    let mut columns = String::from("{\"email\":\"a@docomo.ne.jp\",\"name\":\"");
    for c in value.chars() {
        columns.push_str(&format!("\\u{:04x}", u32::from(c) & 0xd7ff));
    }
    columns.push_str("\"}");
    let recipient = Recipient { message: MessageId(1), address: "a@docomo.ne.jp", columns: &columns };
    if let Ok(mail) = templates.compose(recipient, &IDENTITY, Timestamp::UNIX_EPOCH) {
        let head_end = mail.bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a header section");
        for line in mail.bytes[..head_end].split(|b| *b == b'\n') {
            assert!(!line.contains(&0) && line.len() <= 1_000, "{}", line.escape_ascii());
        }
    }
});
