//! Owns the promises about mail made elsewhere: what Python's parser reads in the file it reads in the message.

use std::io::Write;
use std::process::{Command, Stdio};

use hikagen::compose::{Content, Eml, Templates, read_eml};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::compose::{assert_fit_for_the_wire, compile, compose_row, content, groups, tokens};

const READER: &str = r#"
import base64, email, email.policy, json, sys
message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
defects = []
def tree(part):
    defects.extend(str(d) for d in part.defects)
    defects.extend(str(d) for v in part.values() for d in v.defects)
    params = {k: v for k, v in part.get_params() or [] if "/" not in k and k not in ("boundary", "charset")}
    out = {"type": part.get_content_type(), "params": params}
    if part.is_multipart() and part.get_content_maintype() == "multipart":
        out["parts"] = [tree(p) for p in part.iter_parts()]
        return out
    out["id"], out["name"] = part["Content-ID"], part.get_filename()
    out["disposition"] = part.get_content_disposition()
    out["transfer"], out["charset"] = part["Content-Transfer-Encoding"], part.get_content_charset()
    raw = part.get_payload(decode=True)
    if raw is None:
        out["inner"] = part.get_payload(0)["Subject"]
    elif out["disposition"] == "attachment" or part.get_content_maintype() != "text":
        out["base64"] = base64.b64encode(raw).decode()
    else:
        out["text"] = raw.decode(out["charset"] or "ascii").replace("\r\n", "\n").rstrip("\n")
    return out
body = tree(message)
names = [name.lower() for name in message.keys()]
print(json.dumps({"body": body, "names": names, "headers": {n.lower(): str(v) for n, v in message.items()}, "defects": defects}))
"#;

fn python(bytes: &[u8]) -> Value {
    let mut child = Command::new("python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed for this test");
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(bytes));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn example() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/autumn.eml")).unwrap()
}

fn read(bytes: &[u8]) -> Eml {
    read_eml(bytes, "a.eml").unwrap_or_else(|e| panic!("{e:?}"))
}

fn problems(bytes: &[u8]) -> String {
    let problems = read_eml(bytes, "a.eml").expect_err("a problem");
    problems.iter().map(|p| p.0.as_str()).collect::<Vec<_>>().join("\n")
}

/// The campaign of a mail made elsewhere, as `submit` would store it.
fn of(eml: Eml) -> Content {
    let Eml { from, reply_to, subject, headers, body, .. } = eml;
    Content {
        from: from.unwrap_or("News <news@m.example.jp>".to_owned()),
        reply_to,
        subject: subject.unwrap_or_default(),
        text: None,
        html: None,
        parts: Some(body),
        headers,
        ..content()
    }
}

fn composed(eml: Eml, row: &Value) -> Vec<u8> {
    compose_row(&compile(&of(eml)), "hanako@docomo.ne.jp", row).unwrap().bytes
}

fn row() -> Value {
    json!({"email": "x", "name": "山田 花子", "city": "横浜", "shop.city": "横浜<&>", "vip": "true", "number": "7"})
}

/// `read` with the templates of the example filled in.
fn filled(mut read: Value) -> Value {
    fn walk(value: &mut Value) {
        if let Some(Value::String(text)) = value.get_mut("text") {
            let html = text.contains("<html>");
            let vip = "{% if vip %}会員番号 {{ number }} の方には粗品があります。\n{% endif %}";
            *text = text
                .replace(vip, "会員番号 7 の方には粗品があります。\n")
                .replace("{{ name }}", "山田 花子")
                .replace("{{ shop.city }}", if html { "横浜&lt;&amp;&gt;" } else { "横浜<&>" });
        }
        value.get_mut("parts").and_then(Value::as_array_mut).into_iter().flatten().for_each(walk);
    }
    walk(&mut read["body"]);
    read
}

/// The message's own link taken out of its texts.
fn without_link(read: &Value) -> Value {
    let text = read["body"].to_string();
    let links = ["?c=%E6%A8%AA%E6%B5%9C&r=1", "?c=%E6%A8%AA%E6%B5%9C&amp;r=1"];
    let mut text = text.replace("{{ unsubscribe_url }}", "LINK");
    while let Some(at) = text.find("https://example.jp/u/") {
        let end = links.iter().filter_map(|l| text[at..].find(l).map(|end| at + end + l.len())).min().unwrap();
        text.replace_range(at..end, "LINK");
    }
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_part_comes_out_as_it_was_with_its_texts_filled_in() {
    for bytes in [example(), String::from_utf8(example()).unwrap().replace('\n', "\r\n").into_bytes()] {
        let eml = read(&bytes);
        let mail = composed(eml, &row());
        assert_fit_for_the_wire(&mail);
        let (before, after) = (filled(python(&bytes)), python(&mail));
        assert_eq!(after["defects"], json!([]));
        assert_eq!(without_link(&after), without_link(&before));
        let alternative = &after["body"]["parts"][0]["parts"][0]["parts"];
        assert_eq!((&alternative[0]["charset"], &alternative[0]["transfer"]), (&json!("iso-2022-jp"), &json!("7bit")));
        assert_eq!(alternative[1]["transfer"], "quoted-printable");
        assert_eq!(after["body"]["parts"][0]["parts"][1]["id"], "<leaf@example.jp>");
        assert_eq!(after["body"]["parts"][1]["name"], "秋.ics");
        assert_eq!(after["headers"]["subject"], "山田 花子 様へ 秋の味覚フェア");
        assert_eq!(after["headers"]["from"], "例市場 <news@m.example.jp>");
    }
}

#[test]
fn headers_of_one_journey_are_left_out_and_named() {
    let eml = read(&example());
    assert_eq!(eml.left_out, ["Return-Path", "Received", "DKIM-Signature", "To", "Date", "Message-ID"]);
    assert_eq!(eml.headers, [("Feedback-ID".to_owned(), "autumn:example".to_owned())]);
    let names = python(&composed(eml, &row()))["names"].clone();
    let wanted = [
        "from",
        "reply-to",
        "to",
        "subject",
        "date",
        "message-id",
        "list-unsubscribe",
        "list-unsubscribe-post",
        "feedback-id",
        "x-pool",
        "mime-version",
        "content-type",
    ];
    assert_eq!(names, json!(wanted));
    let more = "Subject: x\nList-Unsubscribe: <mailto:a@b.jp>\nBcc: secret@example.jp\nIn-Reply-To: <a@b>\nX-Mozilla-Status: 1\n\
                ARC-Seal: i=1\nX-Campaign: =?UTF-8?B?5pil?= {{ name }}\n\nhello\n";
    let eml = read(more.as_bytes());
    assert_eq!(eml.left_out, ["List-Unsubscribe", "Bcc", "In-Reply-To", "X-Mozilla-Status", "ARC-Seal"]);
    let read = python(&composed(eml, &row()));
    assert_eq!(read["headers"]["x-campaign"], "春 山田 花子");
}

#[test]
fn the_headers_that_a_mailbox_writes_into_a_mail_stay_behind() {
    let rest = "From: a@m.example.jp\nTo: saved@example.jp\nSubject: s\nX-Campaign: kept\n\nhello\n";
    let postfix = "Return-Path: <a@m.example.jp>\nX-Original-To: saved@example.jp\nDelivered-To: saved@mail.example.jp\n\
                   Received: from localhost (localhost [127.0.0.1])\n\tby mail.example.jp (Postfix) with ESMTP id 4X1\n\
                   \tfor <saved@example.jp>; Thu,  1 Oct 2026 09:00:00 +0900 (JST)\nX-UID: 4\nStatus: RO\nContent-Length: 6\n";
    let exim = "Return-path: <a@m.example.jp>\nEnvelope-to: saved@example.jp\nDelivery-date: Thu, 01 Oct 2026 09:00:00 +0900\n\
                Received: from [127.0.0.1] by mail.example.jp with esmtp (Exim 4.98)\n\t(envelope-from <a@m.example.jp>)\n";
    let others = "X-Envelope-From: saved@example.jp\nX-Delivered-To: saved@example.jp\nApparently-To: saved@example.jp\n\
                  X-Apparently-To: saved@example.jp\nOriginal-Recipient: rfc822;saved@example.jp\n\
                  X-Forefront-Antispam-Report: CIP:192.0.2.1\nX-Microsoft-Antispam: BCL:0;\n\
                  X-Microsoft-Antispam-Mailbox-Delivery: dest:I\n";
    for (mailbox, named) in [
        (postfix, "Return-Path X-Original-To Delivered-To Received X-UID Status Content-Length To"),
        (exim, "Return-path Envelope-to Delivery-date Received To"),
        (
            others,
            "X-Envelope-From X-Delivered-To Apparently-To X-Apparently-To Original-Recipient X-Forefront-Antispam-Report \
             X-Microsoft-Antispam X-Microsoft-Antispam-Mailbox-Delivery To",
        ),
    ] {
        let eml = read(format!("{mailbox}{rest}").as_bytes());
        assert_eq!(eml.left_out.join(" ").to_lowercase(), named.to_lowercase());
        assert_eq!(eml.headers, [("X-Campaign".to_owned(), "kept".to_owned())]);
        let mail = String::from_utf8(composed(eml, &row())).unwrap();
        assert!(!mail.contains("saved") && !mail.contains("192.0.2.1") && !mail.contains("dest:I"), "{mail}");
    }
}

#[test]
fn a_header_that_is_there_twice_goes_out_once_and_is_named() {
    let eml = read(
        b"From: a@m.example.jp\nSubject: s\nX-Tag: one\nX-Pool: p\nx-tag: two\nSubject: t\nX-TAG: three\n\nhello\n",
    );
    assert_eq!(eml.repeated, ["x-tag", "Subject"]);
    let wanted = [("X-Tag", "one"), ("X-Pool", "p")].map(|(name, text)| (name.to_owned(), text.to_owned()));
    assert_eq!(eml.headers, wanted);
    assert_eq!(python(&composed(eml, &row()))["headers"]["x-tag"], "one");
}

#[test]
fn what_a_mail_says_of_its_content_is_kept_with_parts_in_it_or_without() {
    let head = "From: a@m.example.jp\nSubject: s\nContent-Language: ja\nContent-Location: http://example.jp/a\n\
                Content-Length: 9\n";
    let several = "Content-Type: multipart/related; boundary=b; type=\"text/html\"\nContent-Description: all\n of it\n\n--b\n\
                   Content-Type: multipart/alternative; boundary=c\nContent-ID: <inner@example.jp>\n\n--c\n\n{{ name }}\n--c--\n--b--\n";
    for body in ["\n{{ name }}\n", several] {
        let eml = read(format!("{head}{body}").as_bytes());
        assert_eq!(eml.left_out, ["Content-Length"]);
        let mail = composed(eml, &row());
        assert_fit_for_the_wire(&mail);
        let read = python(&mail);
        assert_eq!(read["defects"], json!([]));
        assert_eq!(
            (&read["headers"]["content-language"], &read["headers"]["content-location"]),
            (&json!("ja"), &json!("http://example.jp/a"))
        );
        let text = String::from_utf8(mail).unwrap();
        let count = |words: &str| text.matches(words).count();
        assert_eq!(
            (count("Content-ID: <inner@example.jp>"), count("Content-Description: all\r\n of it")),
            if body == several { (1, 1) } else { (0, 0) }
        );
    }
}

/// A mail of one text part.
fn one_part(charset: &str, transfer: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "From: a@m.example.jp\nSubject: s\nMIME-Version: 1.0\nContent-Type: text/plain; charset={charset}; format=flowed\n\
         Content-Transfer-Encoding: {transfer}\nContent-Language: ja\n\n"
    );
    [head.as_bytes(), body].concat()
}

#[test]
fn charsets_and_transfer_encodings_are_kept_until_a_character_needs_another() {
    let text = "{{ name }} 様\n春です。\n";
    let (sjis, _, _) = encoding_rs::SHIFT_JIS.encode(text);
    let (jis, _, _) = encoding_rs::ISO_2022_JP.encode(text);
    let base64 = |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes).into_bytes();
    let quoted = "{{ name }} =E6=A7=98\n=E6=98=\n=A5=E3=81=A7=E3=81=99=E3=80=82\n";
    let rare = json!({"email": "x", "name": "😀", "city": "c"});
    for (charset, transfer, body, out_charset, out_transfer) in [
        ("Shift_JIS", "base64", base64(&sjis), "shift_jis", "base64"),
        ("Shift_JIS", "8bit", sjis.to_vec(), "shift_jis", "base64"),
        ("ISO-2022-JP", "7bit", jis.to_vec(), "iso-2022-jp", "7bit"),
        ("ISO-2022-JP", "base64", base64(&jis), "iso-2022-jp", "base64"),
        ("UTF-8", "quoted-printable", quoted.as_bytes().to_vec(), "utf-8", "quoted-printable"),
        ("UTF-8", "8bit", text.as_bytes().to_vec(), "utf-8", "base64"),
    ] {
        let bytes = one_part(charset, transfer, &body);
        for (row, name, charset) in [(row(), "山田 花子", out_charset), (rare.clone(), "😀", "utf-8")] {
            let mail = composed(read(&bytes), &row);
            assert_fit_for_the_wire(&mail);
            let read = python(&mail);
            assert_eq!((&read["defects"], &read["body"]["charset"]), (&json!([]), &json!(charset)), "{transfer}");
            assert_eq!(read["body"]["text"], format!("{name} 様\n春です。"), "{charset} {transfer}");
            assert_eq!(read["body"]["params"]["format"], "flowed");
            assert_eq!(read["headers"]["content-language"], "ja");
            if name != "😀" {
                assert_eq!(read["body"]["transfer"], out_transfer, "{charset}");
            }
        }
    }
}

#[test]
fn what_cannot_be_a_template_is_told_with_its_line() {
    let head = "From: a@m.example.jp\nSubject: s\n";
    let mixed = "Content-Type: multipart/mixed; boundary=b\n\n";
    let cases: [(Vec<u8>, &str); 16] = [
        (b"<html><p>x</p></html>".to_vec(), "a.eml: is not a mail: expected a first line such as `From: ...`"),
        (Vec::new(), "a.eml: is not a mail"),
        (b"\xd0\xcf\x11\xe0rest".to_vec(), "a.eml: is an Outlook .msg file"),
        (vec![b'a'; 6 * 1024 * 1024], "6291456 octets; at most 5242880"),
        (one_part("klingon", "7bit", b"x\n"), "a.eml:8: the charset \"klingon\" is not known here"),
        (one_part("UTF-8", "8bit", b"x\n\xff\n"), "a.eml:8: this text/plain part is not UTF-8"),
        (
            one_part("UTF-8", "quoted-printable", b"x=ZZ\n"),
            "a.eml:8: this part is not in the Content-Transfer-Encoding",
        ),
        (one_part("UTF-8", "base64", b"!!!!\n"), "a.eml:8: this part is not in the Content-Transfer-Encoding"),
        (format!("{head}Content-Type: multipart/signed; boundary=b\n\n--b\n\nx\n--b--\n").into(), "a.eml:1: is signed"),
        (
            format!("{head}{mixed}--b\nContent-Type: image/png\n\nx\n--b--\n").into(),
            "a.eml:1: no text/plain or text/html",
        ),
        (
            format!("{head}{mixed}--b\nContent-Type: application/pkcs7-mime\n\nx\n--b--\n").into(),
            "a.eml:6: is signed or encrypted",
        ),
        (b"Subject: s\nFrom: a@b.jp, c@d.jp\n\nx\n".to_vec(), "a.eml:2: From has 2 addresses; expected one"),
        (b"From: a@b.jp\nSubject: \x8ft\n\nx\n".to_vec(), "a.eml:2: this header is neither UTF-8 nor in encoded words"),
        (b"Subject: s\nX-A: =?Shift_JIS?B?jw==?=\n\nx\n".to_vec(), "a.eml:2: this header is neither UTF-8"),
        (b"Subject: s\nReply-To: everybody: a@b.jp;\n\nx\n".to_vec(), "a.eml:2: Reply-To has 0 addresses"),
        (
            format!("{head}{mixed}--b\n\nx\n--b\nContent-Type: image/png; name=春.png\n\nx\n--b--\n").into(),
            "a.eml:9: this header is not plain ASCII",
        ),
    ];
    for (bytes, words) in cases {
        let said = problems(&bytes);
        assert!(said.contains(words), "{words} is missing in {said}");
    }
    let deep = format!(
        "{head}{}",
        (0..20).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n")).collect::<String>()
    );
    assert!(problems(deep.as_bytes()).contains("inside each other"));
}

#[test]
fn templates_inside_are_strict_and_the_limits_of_the_group_bind() {
    let bytes = one_part("UTF-8", "8bit", "{{ name }}\n{{ nmae }}\n".as_bytes());
    let templates = compile(&of(read(&bytes)));
    let columns = ["email", "name", "city"].map(str::to_owned);
    let undefined = templates.undefined(&columns);
    assert!(undefined[0].0.starts_with("eml, text/plain part:2: {{ nmae }} is neither a column"), "{undefined:?}");
    let picture = "A".repeat(40_000);
    let large = format!(
        "From: a@m.example.jp\nSubject: s\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n{{{{ name }}}}\n--b\n\
         Content-Type: image/png\nContent-Transfer-Encoding: base64\n\n{picture}\n--b--\n"
    );
    let refused = compose_row(&compile(&of(read(large.as_bytes()))), "a@tight.jp", &row()).unwrap_err();
    assert!(refused.contains("octets; group tight takes 20000"), "{refused}");
    assert!(compose_row(&compile(&of(read(large.as_bytes()))), "a@b.jp", &row()).is_ok());
    let long = one_part("UTF-8", "8bit", format!("{}\n", "x".repeat(3_000)).as_bytes());
    assert_fit_for_the_wire(&composed(read(&long), &row()));
}

#[test]
fn a_mail_inside_and_a_text_as_a_file_stay_what_they_are() {
    let bytes = "From: a@m.example.jp\nSubject: s\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n{{ name }}\n--b\n\
        Content-Type: message/rfc822\n\nFrom: x@y.jp\nSubject: inner {{ no }}\n\nold mail\n--b\n\
        Content-Type: text/plain; charset=Shift_JIS; name=\"note.txt\"\nContent-Disposition: attachment; filename=\"note.txt\"\n\n\
        {{ not a template }}\n--b--\n";
    let mail = composed(read(bytes.as_bytes()), &row());
    let read = python(&mail);
    assert_eq!(read["defects"], json!([]));
    let parts = &read["body"]["parts"];
    assert_eq!((&parts[0]["text"], &parts[1]["inner"]), (&json!("山田 花子"), &json!("inner {{ no }}")));
    assert_eq!((&parts[2]["name"], &parts[2]["charset"]), (&json!("note.txt"), &json!("shift_jis")));
    let body = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, parts[2]["base64"].as_str().unwrap());
    assert_eq!(String::from_utf8(body.unwrap()).unwrap().trim_end(), "{{ not a template }}");
}

#[test]
fn a_mail_inside_keeps_its_iso_2022_jp_and_gets_the_line_ends_of_mail() {
    let (inner, _, _) = encoding_rs::ISO_2022_JP.encode("春の お知らせ\n二行目\r\n三行目\n");
    let around = |inner: &[u8]| {
        let head =
            b"From: a@m.example.jp\nSubject: s\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n--b\n\
            Content-Type: message/rfc822\n\nFrom: x@y.jp\nSubject: inner\nMIME-Version: 1.0\n\
            Content-Type: text/plain; charset=ISO-2022-JP\nContent-Transfer-Encoding: 7bit\n\n";
        [&head[..], inner, b"--b--\n"].concat()
    };
    let mail = composed(read(&around(&inner)), &row());
    assert_fit_for_the_wire(&mail);
    let (wanted, _, _) = encoding_rs::ISO_2022_JP.encode("春の お知らせ\r\n二行目\r\n三行目\r\n");
    assert!(mail.windows(wanted.len()).any(|window| window == &*wanted), "{}", String::from_utf8_lossy(&mail));
    let said = problems(&around(b"a\0b\n"));
    assert!(said.contains("a.eml:11: this message/rfc822 part is not in 7bit"), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_damaged_file_is_refused_or_read_and_never_breaks_the_form(
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..60, proptest::collection::vec(any::<u8>(), 0..8)), 1..6),
    ) {
        let mut bytes = example();
        for (at, length, put) in cuts {
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, put);
        }
        let Ok(eml) = read_eml(&bytes, "a.eml") else { return Ok(()) };
        let Ok(templates) = Templates::compile(&of(eml), groups(), tokens()) else { return Ok(()) };
        if let Ok(mail) = compose_row(&templates, "hanako@docomo.ne.jp", &row()) {
            assert_fit_for_the_wire(&mail.bytes);
        }
    }

    #[test]
    fn no_column_can_end_a_part(name in "(--=_|\r\n--|\r\n\r\n|[ -~春]){0,30}") {
        let row = json!({"email": "x", "name": name, "city": "c", "shop.city": "c", "vip": "", "number": ""});
        let mail = composed(read(&example()), &row);
        assert_fit_for_the_wire(&mail);
        let text = String::from_utf8(mail).unwrap();
        let boundaries: Vec<&str> = text.split("boundary=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        prop_assert_eq!(boundaries.len(), 3);
        prop_assert_eq!(boundaries.iter().map(|b| text.matches(&format!("--{b}")).count()).collect::<Vec<_>>(), [3, 3, 3]);
    }
}
