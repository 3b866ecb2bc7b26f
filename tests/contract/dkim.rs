//! Signatures hold by an independent verifier, for whatever is composed; what they cover cannot be changed; what is no key is
//! refused with a word.

use std::sync::Arc;

use hikagen::compose::{Identity, Signer, SigningKey};
use hikagen::relay::Outgoing;
use jiff::Timestamp;

use super::compose::{compile, compose_as, content, hanako, identity};
use crate::support::dkim::{self, Key};

const AT: &str = "s1._domainkey.m.example.jp";

fn signer(text: &str, headers: Option<&[&str]>, rewritten: &[&str]) -> Signer {
    let key = SigningKey::from_text(text, "file test").unwrap_or_else(|error| panic!("{error}"));
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    Signer::new("m.example.jp".to_owned(), "s1".to_owned(), key, headers.map(owned), &owned(rewritten))
}

fn signed(message: &[u8], signer: &Signer) -> Vec<u8> {
    let at: Timestamp = "2026-11-24T00:00:05Z".parse().unwrap();
    [signer.signature(message, at).unwrap().as_bytes(), message].concat()
}

fn composed(signer: Signer) -> Outgoing {
    let identity = Identity { dkim: Some(Arc::new(signer)), ..identity() };
    compose_as(&compile(&content()), &identity, "hanako@docomo.ne.jp", &hanako()).unwrap()
}

fn headers_of(message: &[u8]) -> String {
    let text = String::from_utf8(message.to_vec()).unwrap();
    text.split_once("\r\n\r\n").unwrap().0.replace("\r\n ", "").replace("\r\n\t", "")
}

/// The tag of the signature, blanks taken out.
fn tag(message: &[u8], name: &str) -> String {
    let headers = headers_of(message);
    let line = headers.lines().find(|line| line.starts_with("DKIM-Signature:")).unwrap();
    let tags = line.split_once(':').unwrap().1.split(';');
    let found = tags.filter_map(|tag| tag.split_once('=')).find(|(key, _)| key.trim() == name);
    found.unwrap().1.replace(' ', "")
}

#[test]
fn a_composed_message_is_signed_by_every_kind_of_key() {
    let (rsa, ed) = (dkim::rsa(2048), dkim::ed25519());
    let pkcs1 = String::from_utf8(dkim::openssl(&["rsa", "-traditional"], rsa.private.as_bytes())).unwrap();
    assert!(pkcs1.contains("BEGIN RSA PRIVATE KEY"));
    let bare: String = rsa.private.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = dkim::openssl(&["pkey", "-outform", "DER"], ed.private.as_bytes());
    let seed = String::from_utf8(dkim::openssl(&["base64", "-A"], &der[der.len() - 32..])).unwrap();
    let in_a_variable = rsa.private.trim().replace('\n', "\\n");
    for (text, algorithm, key) in [
        (&rsa.private, "rsa-sha256", &rsa),
        (&pkcs1, "rsa-sha256", &rsa),
        (&bare, "rsa-sha256", &rsa),
        (&in_a_variable, "rsa-sha256", &rsa),
        (&ed.private, "ed25519-sha256", &ed),
        (&seed, "ed25519-sha256", &ed),
    ] {
        let mail = composed(signer(text, None, &[]));
        assert_eq!(tag(&mail.bytes, "a"), algorithm);
        assert_eq!(tag(&mail.bytes, "c"), "relaxed/relaxed");
        assert_eq!(tag(&mail.bytes, "t"), "1795478405");
        assert_eq!(dkim::hold(&[mail.bytes], &[(AT, &key.record)]), [true], "{algorithm}");
    }
}

#[test]
fn what_is_signed_cannot_be_changed_and_no_second_sender_added() {
    let key = dkim::ed25519();
    let mail = composed(signer(&key.private, None, &[])).bytes;
    let names = tag(&mail, "h");
    assert_eq!(names.matches("from").count(), 2, "{names}");
    assert!(names.contains("list-unsubscribe:list-unsubscribe-post"), "{names}");
    let text = String::from_utf8(mail.clone()).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} is not in {text}");
        text.replacen(from, to, 1).into_bytes()
    };
    let folded: String = text.replacen("MIME-Version: 1.0", "MIME-Version:\r\n\t 1.0 ", 1);
    let messages = [
        mail.clone(),
        folded.into_bytes(),
        changed("Feedback-ID:", "X-Was: x\r\nFeedback-ID:"),
        [mail.as_slice(), b"\r\n\r\n"].concat(),
        changed("Date: ", "From: evil@example.com\r\nDate: "),
        [b"From: evil@example.com\r\n", mail.as_slice()].concat(),
        changed("Subject:", "Subject: x"),
        changed("List-Unsubscribe=One-Click", "List-Unsubscribe=None"),
        changed("<https://example.jp/u/", "<https://example.com/u/"),
        [mail.as_slice(), b"x\r\n"].concat(),
    ];
    let held = dkim::hold(&messages, &[(AT, &key.record)]);
    assert_eq!(held, [true, true, true, true, false, false, false, false, false, false]);
    let other = dkim::ed25519();
    assert_eq!(dkim::hold(&[mail], &[(AT, &other.record)]), [false], "by another key");
}

#[test]
fn odd_messages_are_signed_as_they_stand() {
    let key = dkim::rsa(2048);
    let signer = signer(&key.private, None, &[]);
    let long = format!("Subject: {}\r\n", "=?utf-8?B?44GT44KT44Gr44Gh44Gv?=\r\n ".repeat(200).trim_end());
    let from = "From: =?utf-8?B?5L6L5biC5aC0?= <news@m.example.jp>\r\n";
    let messages: Vec<Vec<u8>> = [
        format!("{from}Subject: no body\r\n\r\n"),
        format!("{from}Subject: nothing behind the headers\r\n"),
        format!("{from}\r\n\r\n\r\n\r\n"),
        format!("{from}\r\nno end"),
        format!("{from}\r\n \t \r\n\r\na  b\t\tc \t\r\n\r\n \r\n\r\nd\r\n\r\n\r\n"),
        format!("{from}{long}\r\nlong\r\n"),
        format!("{from}Subject:\r\n  folded\r\n\tand   spaced \t\r\nTo:nobody@example.jp\r\n\r\nx\r\n"),
        format!("{from}sUbJeCt: odd case\r\n\r\nこんにちは\r\n"),
        format!("{from}Subject: one\r\nSubject: two\r\n\r\n.\r\n..\r\n"),
        format!("{from}\r\n{}", "x".repeat(990) + "\r\n"),
    ]
    .map(String::into_bytes)
    .to_vec();
    let signed: Vec<Vec<u8>> = messages.iter().map(|message| signed(message, &signer)).collect();
    let held = dkim::hold(&signed, &[(AT, &key.record)]);
    for (message, held) in signed.iter().zip(held) {
        assert!(held, "{}", String::from_utf8_lossy(message));
        let head = String::from_utf8_lossy(message).into_owned();
        let signature = head.split("From:").next().unwrap().to_owned();
        assert!(signature.lines().all(|line| line.len() <= 78), "{signature}");
    }
}

#[test]
fn headers_are_those_that_are_named_without_those_that_the_relay_changes() {
    let key = dkim::ed25519();
    let ses = composed(signer(&key.private, None, &["message-id", "date"])).bytes;
    let names = tag(&ses, "h");
    assert!(!names.contains("date") && !names.contains("message-id") && names.contains("subject"), "{names}");
    let moved = String::from_utf8(ses).unwrap().replacen("Date: ", "Date: Thu, 1 Jan 1970 00:00:00 +0000; was ", 1);
    let few = composed(signer(&key.private, Some(&["Subject", "Feedback-ID"]), &[])).bytes;
    assert_eq!(tag(&few, "h"), "subject:feedback-id:from:from:list-unsubscribe:list-unsubscribe-post");
    assert_eq!(dkim::hold(&[moved.into_bytes(), few], &[(AT, &key.record)]), [true, true]);
}

#[test]
fn a_key_that_cannot_sign_is_refused_and_not_shown() {
    let Key { private, .. } = dkim::rsa(1024);
    let sealed = dkim::openssl(&["pkcs8", "-topk8", "-passout", "pass:x"], dkim::rsa(2048).private.as_bytes());
    let curve = dkim::openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], b"");
    let public = dkim::openssl(&["pkey", "-pubout"], dkim::ed25519().private.as_bytes());
    let huge = dkim::rsa(4160).private;
    for (text, told) in [
        (private, "shorter than 2048 bits"),
        (huge, "longer than 4096 bits"),
        (String::from_utf8(sealed).unwrap(), "protected by a passphrase"),
        (String::from_utf8(curve).unwrap(), "expected an RSA key of 2048 to 4096 bits or an Ed25519 key"),
        (String::from_utf8(public).unwrap(), "there is no private key in it"),
        ("S3cret!".to_owned(), "neither PEM nor base64"),
        ("AAAA".to_owned(), "it is refused"),
    ] {
        let error = SigningKey::from_text(&text, "env KEY").expect_err(told).to_string();
        assert!(error.starts_with("the DKIM key in env KEY cannot be used: ") && error.contains(told), "{error}");
        assert!(!error.contains(text.lines().nth(1).unwrap_or("S3cret")), "{error}");
    }
    let key = dkim::rsa(2048);
    let shown = format!("{:?}", SigningKey::from_text(&key.private, "file k").unwrap());
    assert_eq!(shown, "(rsa-sha256, 2048 bits in file k, hidden)");
}

#[test]
fn a_message_that_the_relay_would_not_take_is_not_made() {
    let most = Some(std::num::NonZeroU32::new(500).unwrap());
    let small = Identity { message_bytes: most, ..identity() };
    let error = compose_as(&compile(&content()), &small, "hanako@docomo.ne.jp", &hanako()).unwrap_err();
    assert!(error.contains("octets; the relay takes 500"), "{error}");
}
