//! Owns what a newsletter must show by law and by the rules of large receivers, as far as its templates tell.
//!
//! Facts: 特定電子メール法 (act on regulation of specified electronic mail), article 4 and the rules to it: sender's name, postal address,
//! an address for complaints, a statement that and where one may refuse; article 3-3: no more mail after refusal. RFC 8058 one-click
//! unsubscribes are asked for by Gmail and Yahoo (since 2024-02) and recommended by Microsoft. Receipts and the like are not advertising:
//! transactional mail is not looked at.
//!
//! Invariant: a heuristic warns, it never refuses; each warning names its rule and what to do.

use crate::compose::{Content, Part};
use crate::core::campaign::Class;

/// What may be missing: the warning, and what to do.
pub type Missing = (&'static str, &'static str);

/// What the templates of `content` do not show.
#[must_use]
pub fn missing(content: &Content, class: Class) -> Vec<Missing> {
    if class == Class::Transactional {
        return Vec::new();
    }
    let text = words(content);
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let mut missing = Vec::new();
    if !has_postal_address(&text) {
        missing.push((
            "no postal address of the sender in the text: 特定電子メール法 article 4 asks for it in advertising mail",
            "put the address (〒, prefecture, street) into the template, or a link to the page that has it",
        ));
    }
    let written_to = lower
        .split(|c: char| c.is_whitespace() || c.is_control())
        .any(|word| word.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.')));
    if !written_to && !has(&["tel:", "電話", "phone", "お問い合わせ", "お問合せ", "問い合わせ", "contact", "0120"])
    {
        missing.push((
            "no contact for complaints in the text: 特定電子メール法 article 4 asks for a phone number, address or URL",
            "put an address, a phone number or a form's URL into the template",
        ));
    }
    if !has(&[
        "unsubscribe",
        "配信停止",
        "配信を停止",
        "配信解除",
        "購読解除",
        "購読を解除",
        "受信拒否",
        "退会",
        "opt out",
        "opt-out",
    ]) {
        missing.push((
            "no word in the text that one may refuse further mail, and where: 特定電子メール法 article 4",
            "put a sentence with {{ unsubscribe_url }} into the template",
        ));
    }
    if !content.from.contains('<') || content.from.trim_start().starts_with('<') {
        missing.push((
            "From has no name: 特定電子メール法 article 4 asks for the sender's name",
            "write `from: \"NAME <address>\"`",
        ));
    }
    let one_click = content
        .unsubscribe
        .as_ref()
        .is_some_and(|u| u.one_click && u.url.as_ref().is_some_and(|url| url.trim_start().starts_with("https://")));
    if content.unsubscribe.is_some() && !one_click {
        missing.push((
            "no one-click unsubscribe: Gmail and Yahoo ask bulk senders for it (RFC 8058), Microsoft recommends it",
            "write `unsubscribe: { url: \"https://.../u/{token}\", one_click: true }`; `listen.http` can serve it",
        ));
    }
    missing
}

/// Every word that a reader sees, templates as written.
fn words(content: &Content) -> String {
    let mut all = String::new();
    for text in [&content.text, &content.html].into_iter().flatten() {
        all.push_str(text);
        all.push('\n');
    }
    if let Some(part) = &content.parts {
        gather(part, &mut all);
    }
    all
}

fn gather(part: &Part, all: &mut String) {
    for (_, text) in part.templates() {
        all.push_str(text);
        all.push('\n');
    }
}

/// A postal code, a prefecture, or an address as other countries write it; or a link to a page that says it has one.
fn has_postal_address(text: &str) -> bool {
    const PREFECTURES: [&str; 47] = [
        "北海道",
        "青森県",
        "岩手県",
        "宮城県",
        "秋田県",
        "山形県",
        "福島県",
        "茨城県",
        "栃木県",
        "群馬県",
        "埼玉県",
        "千葉県",
        "東京都",
        "神奈川県",
        "新潟県",
        "富山県",
        "石川県",
        "福井県",
        "山梨県",
        "長野県",
        "岐阜県",
        "静岡県",
        "愛知県",
        "三重県",
        "滋賀県",
        "京都府",
        "大阪府",
        "兵庫県",
        "奈良県",
        "和歌山県",
        "鳥取県",
        "島根県",
        "岡山県",
        "広島県",
        "山口県",
        "徳島県",
        "香川県",
        "愛媛県",
        "高知県",
        "福岡県",
        "佐賀県",
        "長崎県",
        "熊本県",
        "大分県",
        "宮崎県",
        "鹿児島県",
        "沖縄県",
    ];
    let lower = text.to_lowercase();
    let written = [
        "〒",
        "住所",
        "所在地",
        "会社概要",
        "特定電子メール法に基づく",
        "特定商取引法",
        "postal address",
        "company profile",
        "imprint",
    ];
    let english = ["tokyo", "osaka", "kyoto", "yokohama", "nagoya", "fukuoka", "sapporo", "street", " ave", "suite "];
    PREFECTURES.iter().any(|prefecture| text.contains(prefecture))
        || written.iter().any(|word| lower.contains(word))
        || (english.iter().any(|word| lower.contains(word)) && text.chars().any(|c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::Unsubscribe;

    fn content(text: &str) -> Content {
        Content {
            campaign: "spring".to_owned(),
            from: "例市場 <news@m.example.jp>".to_owned(),
            reply_to: None,
            subject: "春".to_owned(),
            text: Some(text.to_owned()),
            html: None,
            parts: None,
            headers: Vec::new(),
            unsubscribe: Some(Unsubscribe {
                url: Some("https://example.jp/u/{token}".to_owned()),
                mailto: None,
                one_click: true,
            }),
            list: None,
        }
    }

    #[test]
    fn each_thing_that_is_missing_is_named_with_its_rule() {
        let whole = "セール\n例市場株式会社 東京都千代田区1-1\nお問い合わせ: info@example.jp\n配信停止: {{ unsubscribe_url }}\n";
        assert_eq!(missing(&content(whole), Class::Bulk), []);
        for (gone, named) in [
            ("東京都千代田区1-1", "postal address"),
            ("お問い合わせ: info@example.jp", "contact for complaints"),
            ("配信停止: {{ unsubscribe_url }}", "refuse further mail"),
        ] {
            let found = missing(&content(&whole.replace(gone, "")), Class::Bulk);
            assert_eq!(found.len(), 1, "{gone}: {found:?}");
            assert!(found[0].0.contains(named), "{gone}: {found:?}");
        }
        let mut other = content(whole);
        other.from = "news@m.example.jp".to_owned();
        other.unsubscribe = Some(Unsubscribe { url: None, mailto: Some("u@example.jp".to_owned()), one_click: false });
        let found = missing(&other, Class::Normal);
        assert!(found[0].0.contains("no name") && found[1].0.contains("RFC 8058"), "{found:?}");
        assert_eq!(missing(&content("receipt"), Class::Transactional), []);
    }
}
