//! Owns the reading of `feedback.ses` and `feedback.sendgrid`.

use std::path::Path;
use std::time::Duration;

use crate::config::fields::Fields;
use crate::config::keys::feedback::{SENDGRID, SES};
use crate::config::problem::Problems;
use crate::config::providers::{
    DEFAULT_STALE_AFTER, PEM_MOST, Pinned, ProviderSettings, STALE_AFTER_LEAST, STALE_AFTER_MOST, SendGridSettings,
    SesSettings, certificates_of, p256_point,
};
use crate::config::tree::{Kind, Node};

/// The providers under `feedback`.
pub(super) fn read(feedback: &Fields<'_>, folder: &Path) -> ProviderSettings {
    ProviderSettings { ses: ses(feedback, folder), sendgrid: sendgrid(feedback) }
}

fn ses(feedback: &Fields<'_>, folder: &Path) -> Option<SesSettings> {
    let map = feedback.map("ses", "topics, certificate")?;
    map.known(&SES);
    const WHAT: &str = "a list of ARNs of SNS topics";
    let problems = map.problems();
    let certificate = map.read("certificate", |problems, node| pinned(problems, node, folder));
    map.required("topics", WHAT)?;
    let items = map.list("topics", "ARNs of SNS topics")?;
    let topics: Vec<String> = items.iter().filter_map(|item| topic(problems, item)).collect();
    if let (true, Some(node)) = (items.is_empty(), map.node("topics")) {
        problems.at(node.span, "expected at least one topic, got none");
    }
    (topics.len() == items.len()).then_some(SesSettings { topics, certificate })
}

fn topic(problems: &Problems, node: &Node) -> Option<String> {
    const WHAT: &str = "the ARN of an SNS topic, such as arn:aws:sns:ap-northeast-1:123456789012:bounces";
    let text = problems.text(node, WHAT)?;
    let word =
        |text: &str, most: usize, plain: fn(u8) -> bool| (1..=most).contains(&text.len()) && text.bytes().all(plain);
    let parts: Vec<&str> = text.split(':').collect();
    let fits = matches!(parts[..], ["arn", "aws" | "aws-cn" | "aws-us-gov", "sns", region, account, name]
        if region.len() >= 3
            && word(region, 32, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && account.len() == 12
            && word(account, 12, |b| b.is_ascii_digit())
            && word(name, 256, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
    if !fits {
        problems.expected(node, WHAT);
    }
    fits.then(|| text.to_owned())
}

fn pinned(problems: &Problems, node: &Node, folder: &Path) -> Option<Pinned> {
    let path = folder.join(problems.text(node, "the path of a PEM file")?);
    let shown = path.display();
    let size = std::fs::metadata(&path).map(|file| file.len()).unwrap_or(0);
    if size > PEM_MOST as u64 {
        problems.at(node.span, format!("the file {shown} is larger than {PEM_MOST} octets"));
        return None;
    }
    let pem = match std::fs::read(&path) {
        Ok(pem) => pem,
        Err(error) => {
            let help = "the user who runs hikagen must be able to read it";
            problems.at_with(node.span, format!("cannot read {shown}: {error}"), help);
            return None;
        }
    };
    match certificates_of(&pem) {
        Ok(ders) => Some(Pinned { path, ders }),
        Err(why) => {
            problems.at(node.span, format!("the file {shown}: {why}"));
            None
        }
    }
}

fn sendgrid(feedback: &Fields<'_>) -> Option<SendGridSettings> {
    let map = feedback.map("sendgrid", "public_key, stale_after")?;
    map.known(&SENDGRID);
    let stale_after = map.read("stale_after", stale_after);
    map.required("public_key", "the verification key that SendGrid shows for the Signed Event Webhook")?;
    let public_key = map.read("public_key", public_key)?;
    Some(SendGridSettings { public_key, stale_after: stale_after.unwrap_or(DEFAULT_STALE_AFTER) })
}

fn public_key(problems: &Problems, node: &Node) -> Option<Vec<u8>> {
    const WHAT: &str = "a verification key as SendGrid shows it, such as MFkwEwYHKoZIzj0CAQYI...==";
    if matches!(node.kind, Kind::Map(_)) {
        problems.at_with(node.span, format!("expected {WHAT}, got a map"), "it is no secret: write it here as it is");
        return None;
    }
    let point = p256_point(problems.text(node, WHAT)?);
    if point.is_none() {
        problems.expected(node, WHAT);
    }
    point
}

fn stale_after(problems: &Problems, node: &Node) -> Option<Duration> {
    let span = problems.duration(node)?;
    let fits = (STALE_AFTER_LEAST..=STALE_AFTER_MOST).contains(&span);
    if !fits {
        problems.expected(node, "a span from 1m to 25h");
    }
    fits.then_some(span)
}
