//! Owns the promises about lists that are not plain CSV: UTF-16, JSONL, and seeds in front of any list.

use hikagen::compose::{Part, Transfer, Unsubscribe};
use hikagen::config::campaign_file::{ListEncoding, ListFormat, ListReading, Seed, Seeds};
use hikagen::core::campaign::MessageState;
use hikagen::intake::{Done, Options, Rule, Submission};
use hikagen::store::{MessageRow, SEED_SCORE, Store};

use crate::intake::Desk;

/// `text` in UTF-16, with its mark or without.
fn utf16(text: &str, little: bool, marked: bool) -> Vec<u8> {
    let mark = if marked { "\u{feff}" } else { "" };
    let units = mark.encode_utf16().chain(text.encode_utf16());
    units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

fn jsonl(desk: &Desk, list: impl AsRef<[u8]>) -> Submission {
    let path = desk.folder.path().join("list.jsonl");
    std::fs::write(&path, list).unwrap();
    Submission { list: path, ..desk.submission() }
}

fn seeds(listed: &[(&str, &[(&str, &str)])]) -> Seeds {
    let seed = |(email, columns): &(&str, &[(&str, &str)])| Seed {
        email: (*email).to_owned(),
        columns: columns.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        place: "campaign.yaml:7".to_owned(),
    };
    Seeds { listed: listed.iter().map(seed).collect(), file: None }
}

#[tokio::test]
async fn utf16_is_read_by_its_mark_or_as_the_campaign_says() {
    let text = "email,name\r\nhanako@docomo.ne.jp,髙橋😀\r\n";
    for (bytes, declared, name) in [
        (utf16(text, true, true), None, "UTF-16LE"),
        (utf16(text, false, true), None, "UTF-16BE"),
        (utf16(text, true, true), Some(ListEncoding::Utf16Le), "UTF-16LE"),
        (utf16(text, true, false), Some(ListEncoding::Utf16Le), "UTF-16LE"),
        (utf16(text, false, false), Some(ListEncoding::Utf16Be), "UTF-16BE"),
        (utf16(&text.replace(',', "\t"), true, true), None, "UTF-16LE"),
    ] {
        let desk = Desk::new(bytes);
        let reading = ListReading { encoding: declared, format: None };
        let report = desk.submit_as(&Submission { reading, ..desk.submission() }, Options::default()).await.unwrap();
        assert_eq!((report.encoding, report.rows, report.recipients), (name, 1, 1));
        assert_eq!(report.columns, ["email", "name"]);
        assert_eq!(desk.messages().await[0].columns, r#"{"email":"hanako@docomo.ne.jp","name":"髙橋😀"}"#);
    }
}

#[tokio::test]
async fn what_the_campaign_says_of_the_encoding_is_held_against_the_list() {
    let text = "email,name\nhanako@docomo.ne.jp,花子\n";
    let (shift_jis, _, _) = encoding_rs::SHIFT_JIS.encode(text);
    for (bytes, declared, words) in [
        (
            utf16(text, true, true),
            ListEncoding::Utf16Be,
            "begins with the mark of UTF-16LE, but `encoding:` says UTF-16BE",
        ),
        (
            utf16(text, true, true),
            ListEncoding::ShiftJis,
            "begins with the mark of UTF-16LE, but `encoding:` says Shift_JIS",
        ),
        (shift_jis.to_vec(), ListEncoding::Utf8, "list.csv:2: this line is not UTF-8"),
        (text.as_bytes().to_vec(), ListEncoding::Utf16Le, "no column is called \"email\""),
    ] {
        let desk = Desk::new(bytes);
        let reading = ListReading { encoding: Some(declared), format: None };
        let submission = Submission { reading, ..desk.submission() };
        let refused = desk.submit_as(&submission, Options::default()).await.unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
    let desk = Desk::new(shift_jis);
    let reading = ListReading { encoding: Some(ListEncoding::ShiftJis), format: Some(ListFormat::Csv) };
    let report = desk.submit_as(&Submission { reading, ..desk.submission() }, Options::default()).await.unwrap();
    assert_eq!((report.encoding, report.recipients), ("Shift_JIS", 1));
}

#[tokio::test]
async fn a_jsonl_list_goes_in_with_its_keys_as_columns() {
    let desk = Desk::new("");
    let mut submission = jsonl(
        &desk,
        "{\"email\":\"hanako@docomo.ne.jp\",\"name\":\"花子\",\"shop\":{\"city\":\"横浜\"},\"n\":1.50,\"vip\":true,\"score\":90}\n\
         \n\
         {\"email\":\"jiro@docomo.ne.jp\",\"shop\":{\"city\":\"大阪\"}}\n\
         {\"name\":\"\",\"email\":\"saburo@docomo.ne.jp\",\"shop\":{\"city\":null}}\n\
         {\"email\":\"HANAKO@docomo.ne.jp\",\"name\":\"again\",\"shop\":{\"city\":\"x\"},\"vip\":false}\n\
         nonsense\n",
    );
    submission.content.text = Some("{{ name }} {{ shop.city }} {% if vip %}vip{% endif %}\n".to_owned());
    submission.content.unsubscribe = None;
    let report = desk.submit_as(&submission, Options::default()).await.unwrap();
    assert_eq!((report.rows, report.recipients, report.duplicates, report.rejected), (5, 1, 1, 3));
    assert_eq!(report.columns, ["email", "name", "shop.city", "n", "vip", "score"]);
    assert_eq!((report.rejected_by_rule[&Rule::Json], report.rejected_by_rule[&Rule::Columns]), (1, 2));
    let first = &desk.messages().await[0];
    assert_eq!(first.score, 90_000);
    let columns =
        r#"{"email":"hanako@docomo.ne.jp","name":"花子","shop.city":"横浜","n":"1.50","vip":"true","score":"90"}"#;
    assert_eq!(first.columns, columns);
    let rejects = std::fs::read_to_string(desk.folder.path().join("list.rejects.csv")).unwrap();
    let lines: Vec<&str> = rejects.lines().collect();
    assert!(lines[1].starts_with("3,jiro@docomo.ne.jp,columns,\"\"\"name\"\" is missing"), "{rejects}");
    assert!(lines[2].starts_with("4,saburo@docomo.ne.jp,columns,\"\"\"vip\"\" is missing"), "{rejects}");
    assert!(lines[3].starts_with("6,,json,\"expected a JSON object"), "{rejects}");
    let preview = desk.preview(&submission, 1).unwrap();
    assert_eq!(preview.text.as_deref(), Some("花子 横浜 vip\n"));
    assert!(desk.preview(&submission, 2).unwrap_err().contains("list.jsonl:3: row 2 is refused: \"name\" is missing"));
}

#[tokio::test]
async fn a_variable_that_no_object_has_is_told_with_what_was_meant() {
    let desk = Desk::new("");
    let mut submission = jsonl(&desk, "{\"email\":\"a@docomo.ne.jp\",\"name\":\"x\",\"shop\":{\"city\":\"y\"}}\n");
    submission.content.text = Some("{{ nmae }}\n{{ shop.ctiy }}\n{{ name.first }}".to_owned());
    let refused = desk.submit_as(&submission, Options::default()).await.unwrap_err();
    for words in [
        "text template:1: {{ nmae }} is neither a column of the list nor built in; did you mean \"name\"?",
        "text template:2: {{ shop.ctiy }} is no key of the objects \"shop\"; did you mean \"shop.city\"?",
        "{{ name.first }} asks for a part of \"name\"",
    ] {
        assert!(refused.contains(words), "{words} is missing in {refused}");
    }
}

#[tokio::test]
async fn jsonl_is_known_by_its_name_or_as_the_campaign_says_and_in_any_encoding() {
    let text = "{\"email\":\"hanako@docomo.ne.jp\",\"name\":\"花子\"}\r\n";
    let (shift_jis, _, _) = encoding_rs::SHIFT_JIS.encode(text);
    for bytes in [text.as_bytes().to_vec(), shift_jis.to_vec(), utf16(text, true, true), utf16(text, false, true)] {
        let desk = Desk::new(&bytes);
        let reading = ListReading { format: Some(ListFormat::Jsonl), encoding: None };
        for submission in [Submission { reading, ..desk.submission() }, jsonl(&desk, &bytes)] {
            let dry = Options { dry_run: true, ..Options::default() };
            let report = desk.submit_as(&submission, dry).await.unwrap();
            assert_eq!((report.recipients, &report.columns), (1, &vec!["email".to_owned(), "name".to_owned()]));
        }
    }
}

async fn lines(desk: &Desk) -> Vec<MessageRow> {
    let mut rows = desk.messages().await;
    rows.sort_by_key(|row| (std::cmp::Reverse(row.score), row.id));
    rows
}

#[tokio::test]
async fn seeds_come_first_once_with_columns_of_their_own_or_of_the_list() {
    let desk = Desk::new(
        "email,name,score\nfirst@docomo.ne.jp,一,1000000000000\nboss@docomo.ne.jp,部長,5\nlast@gmail.com,三,\n",
    );
    let planted = seeds(&[
        ("qa@docomo.ne.jp", &[]),
        ("ＢＯＳＳ＠docomo.ne.jp", &[]),
        ("QA@docomo.ne.jp", &[]),
        ("qa2@gmail.com", &[("name", "検査")]),
    ]);
    let submission = Submission { seeds: planted, ..desk.submission() };
    let report = desk.submit_as(&submission, Options::default()).await.unwrap();
    assert_eq!((report.rows, report.recipients, report.duplicates, report.added), (3, 2, 1, 5));
    let known: Vec<_> = report.seeds.iter().map(|s| (s.address.as_str(), s.group.as_str(), s.in_list)).collect();
    assert_eq!(
        known,
        [
            ("qa@docomo.ne.jp", "docomo", false),
            ("BOSS@docomo.ne.jp", "docomo", true),
            ("qa2@gmail.com", "gmail", false)
        ]
    );
    assert_eq!(report.groups.iter().map(|g| g.recipients).sum::<u64>(), 5);
    let rows = lines(&desk).await;
    let shown: Vec<_> = rows.iter().map(|row| (row.address.as_str(), row.is_seed())).collect();
    assert_eq!(
        shown,
        [
            ("qa@docomo.ne.jp", true),
            ("BOSS@docomo.ne.jp", true),
            ("qa2@gmail.com", true),
            ("first@docomo.ne.jp", false),
            ("last@gmail.com", false)
        ]
    );
    for (at, columns) in [
        r#"{"email":"qa@docomo.ne.jp","name":"一","score":"1000000000000"}"#,
        r#"{"email":"BOSS@docomo.ne.jp","name":"部長","score":"5"}"#,
        r#"{"email":"qa2@gmail.com","name":"検査","score":"1000000000000"}"#,
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!((rows[at].columns.as_str(), rows[at].score), (columns, SEED_SCORE));
    }
    assert_eq!(desk.store.place_in_line(rows[0].id).await.unwrap(), Some(0));
    assert_eq!(desk.store.place_in_line(rows[3].id).await.unwrap(), Some(2), "behind both seeds of its bucket");
    let seeds = desk.store.seeds_of(rows[0].campaign_id).await.unwrap();
    assert_eq!(
        seeds.iter().map(|row| row.id).collect::<Vec<_>>(),
        rows[..3].iter().map(|row| row.id).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn seeds_follow_a_resubmission_as_rows_do() {
    let desk = Desk::new("email,name\na@docomo.ne.jp,a\nb@docomo.ne.jp,b\n");
    let with = |planted| Submission { seeds: planted, ..desk.submission() };
    desk.submit_as(&with(seeds(&[("old@docomo.ne.jp", &[]), ("b@docomo.ne.jp", &[])])), Options::default())
        .await
        .unwrap();
    let again = with(seeds(&[("new@docomo.ne.jp", &[("name", "新")]), ("a@docomo.ne.jp", &[])]));
    let report = desk.submit_as(&again, Options::default()).await.unwrap();
    assert_eq!((report.done, report.added, report.updated, report.known), (Done::Resubmitted, 1, 2, 0));
    let is_seed = |rows: &[MessageRow], address: &str| rows.iter().find(|r| r.address == address).unwrap().is_seed();
    let rows = lines(&desk).await;
    assert!(
        is_seed(&rows, "old@docomo.ne.jp") && is_seed(&rows, "new@docomo.ne.jp") && is_seed(&rows, "a@docomo.ne.jp")
    );
    assert!(!is_seed(&rows, "b@docomo.ne.jp"), "it is a row of the list again");
    let report = desk.submit_as(&again, Options { prune: true, ..Options::default() }).await.unwrap();
    assert_eq!((report.added, report.updated, report.pruned), (0, 0, 1));
    let old = desk.messages().await.into_iter().find(|row| row.address == "old@docomo.ne.jp").unwrap();
    assert_eq!(old.state, MessageState::Cancelled);
}

#[tokio::test]
async fn seeds_of_a_file_take_what_they_lack_from_the_first_row() {
    let desk = Desk::new("email,name\na@docomo.ne.jp,一\n");
    let path = desk.folder.path().join("seeds.jsonl");
    std::fs::write(
        &path,
        "{\"email\":\"x@docomo.ne.jp\",\"name\":\"\",\"note\":\"ours\"}\n{\"email\":\"y@gmail.com\",\"name\":\"壱\"}\n",
    )
    .unwrap();
    let planted = Seeds { listed: Vec::new(), file: Some(path.clone()) };
    let submission = Submission { seeds: planted, ..desk.submission() };
    desk.submit_as(&submission, Options::default()).await.unwrap();
    let rows = lines(&desk).await;
    assert_eq!(rows[0].columns, r#"{"email":"x@docomo.ne.jp","name":"一"}"#);
    assert_eq!(rows[1].columns, r#"{"email":"y@gmail.com","name":"壱"}"#);
    std::fs::write(&path, "{\"email\":\"x\"}\nno\n{\"email\":\"a@vertuclub.ne.jp\"}\n").unwrap();
    let refused = desk.submit_as(&submission, Options::default()).await.unwrap_err();
    for words in ["seeds.jsonl:1: an address is", "seeds.jsonl:2: expected a JSON", "seeds.jsonl:3: dead domain"] {
        assert!(refused.contains(words), "{words} is missing in {refused}");
    }
}

#[tokio::test]
async fn a_seed_that_cannot_be_sent_stops_the_submission_before_anything_is_stored() {
    let desk = Desk::new("email,name\na@docomo.ne.jp,a\n");
    let planted = seeds(&[
        ("nobody", &[]),
        ("a..b@gmail.com", &[]),
        ("x@vertuclub.ne.jp", &[]),
        ("b@gmail.com", &[("nmae", "x")]),
    ]);
    let submission = Submission { seeds: planted, ..desk.submission() };
    let refused = desk.submit_as(&submission, Options::default()).await.unwrap_err();
    for words in [
        "campaign.yaml:7: seed nobody: an address is",
        "seed a..b@gmail.com: group gmail never gave",
        "seed x@vertuclub.ne.jp: the domain vertuclub.ne.jp is out of service",
        "seed b@gmail.com: the list has no column \"nmae\"; did you mean \"name\"? Its columns: ",
    ] {
        assert!(refused.contains(words), "{words} is missing in {refused}");
    }
    let planted = seeds(&[("b@ezweb.ne.jp", &[("name", "x")])]);
    let mut submission = Submission { seeds: planted, ..desk.submission() };
    submission.content.text = Some("{% if name == \"x\" %}{{ name.nothing.at.all }}{% endif %}".to_owned());
    let refused = desk.submit_as(&submission, Options::default()).await.unwrap_err();
    assert!(refused.contains("name.nothing.at.all"), "{refused}");
    submission.content.text = Some("{% if name == \"x\" %}{{ 1 / 0 }}{% endif %}".to_owned());
    let refused = desk.submit_as(&submission, Options::default()).await.unwrap_err();
    assert!(refused.contains("campaign.yaml:7: a seed: to b@ezweb.ne.jp"), "{refused}");
    assert!(desk.store.campaigns().await.unwrap().is_empty());
}

#[tokio::test]
async fn no_seed_has_the_unsubscribe_link_of_a_recipient() {
    let desk = Desk::new("email,name,id\na@docomo.ne.jp,a,1001\nboss@docomo.ne.jp,b,7\n");
    let mut submission = desk.submission();
    submission.content.text = Some("{{ name }} {{ unsubscribe_url }}\n".to_owned());
    let link = |url: &str, mailto: Option<&str>| {
        Some(Unsubscribe { url: Some(url.to_owned()), mailto: mailto.map(str::to_owned), one_click: true })
    };
    let path = desk.folder.path().join("seeds.csv");
    std::fs::write(&path, "email,id\nx@gmail.com,\ny@gmail.com,9\n").unwrap();
    let from_file = Seeds { listed: Vec::new(), file: Some(path) };
    let listed =
        seeds(&[("qa@gmail.com", &[("name", "q")]), ("boss@docomo.ne.jp", &[]), ("own@gmail.com", &[("id", "8")])]);
    let by_id = link("https://x.example.jp/u?id={{ id }}", None);
    for (unsubscribe, seeds, told) in [
        (by_id.clone(), listed.clone(), "campaign.yaml:7: seed qa@gmail.com: its unsubscribe link would be that of"),
        (
            link("https://x.example.jp/{token}", Some("leave+{{ id }}@m.example.jp?subject={{ name }}")),
            listed.clone(),
            "give the seed its own `id`, or use {token}",
        ),
        (by_id, from_file, "seeds.csv:2: seed x@gmail.com: its unsubscribe link"),
    ] {
        submission.content.unsubscribe = unsubscribe;
        let refused =
            desk.submit_as(&Submission { seeds, ..submission.clone() }, Options::default()).await.unwrap_err();
        assert!(refused.contains(told), "{told} is missing in {refused}");
        assert_eq!(
            refused.matches("unsubscribe link would be").count(),
            1 + refused.matches("`name`").count(),
            "{refused}"
        );
    }
    assert!(desk.store.campaigns().await.unwrap().is_empty());
    submission.content.unsubscribe =
        link("https://x.example.jp/{token}?e={{ email }}", Some("leave+{token}@m.example.jp"));
    desk.submit_as(&Submission { seeds: listed, ..submission }, Options::default()).await.unwrap();
}

#[tokio::test]
async fn a_list_of_seeds_alone_is_enough_and_a_changed_mail_is_told_as_such() {
    let desk = Desk::new("email,name\na@docomo.ne.jp,a\n");
    let mut submission = Submission { seeds: seeds(&[("a@docomo.ne.jp", &[])]), ..desk.submission() };
    let report = desk.submit_as(&submission, Options::default()).await.unwrap();
    assert_eq!((report.recipients, report.added, report.seeds.len()), (0, 1, 1));
    submission.content.text = None;
    submission.content.parts = Some(Part::Text {
        kind: "text/plain".to_owned(),
        params: String::new(),
        charset: "utf-8".to_owned(),
        transfer: Transfer::Plain,
        headers: Vec::new(),
        source: "{{ name }}\n".to_owned(),
    });
    let refused = desk.submit_as(&submission, Options::default()).await.unwrap_err();
    assert!(refused.contains("its file changed since: text, eml"), "{refused}");
}
