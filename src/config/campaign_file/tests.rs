//! Tests of the campaign file and its times.

use super::*;
use jiff::Timestamp;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

/// A campaign beside the example's files, with `lines` for its times and more.
fn read(lines: &str) -> Read<CampaignFile> {
    read_in(lines, "Asia/Tokyo")
}

fn read_in(lines: &str, timezone: &str) -> Read<CampaignFile> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/test.yaml");
    let text = format!(
        "campaign: c\nfrom: \"例市場 <news@m.example.jp>\"\nsubject: s\ntext: newsletter.txt\nrecipients: recipients.csv\n\
         pool: news\nunsubscribe: {{ url: \"https://example.jp/u/{{token}}\" }}\n{lines}"
    );
    read_campaign(&text, &file.display().to_string(), &zone(timezone))
}

fn problems<T>(read: &Read<T>) -> Vec<String> {
    read.problems.iter().map(|p| p.render(false)).collect()
}

/// start, finish_by and not_after in UTC, when `now` is the time of submit.
fn times(lines: &str, timezone: &str, now: &str) -> [Option<String>; 3] {
    let read = read_in(lines, timezone);
    let campaign = read.value.as_ref().unwrap_or_else(|| panic!("{:?}", problems(&read)));
    let found = campaign.times.resolve(now.parse().unwrap());
    let found = found.value.unwrap_or_else(|| panic!("{:?}", problems(&found)));
    let shown = |at: Option<Timestamp>| at.map(|at| at.to_string());
    [Some(found.start.to_string()), shown(found.finish_by), shown(found.not_after)]
}

fn some(texts: [&str; 3]) -> [Option<String>; 3] {
    texts.map(|t| (!t.is_empty()).then(|| t.to_owned()))
}

#[test]
fn the_example_works_as_written() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/campaign.yaml");
    let read = read_campaign_file(&SourceFile::open(&path).unwrap(), &zone("Asia/Tokyo"));
    assert!(read.problems.is_empty(), "{:?}", problems(&read));
    let campaign = read.value.unwrap();
    assert_eq!((campaign.name.as_str(), campaign.pool.as_str()), ("spring-sale-2026", "news"));
    assert_eq!(campaign.subject.as_deref(), Some("{{ name }} 様へ 春のお知らせ"));
    assert_eq!(Mailbox::parse(&campaign.from.unwrap()).unwrap().address.to_string(), "news@m.example.jp");
    assert_eq!(campaign.html, Some(path.with_file_name("newsletter.html")));
    assert_eq!((campaign.class, campaign.weight.get()), (Class::Bulk, 1));
    let unsubscribe = campaign.unsubscribe.unwrap();
    assert_eq!((unsubscribe.url.as_deref(), unsubscribe.one_click), (Some("https://example.jp/u/{token}"), true));
    let found = campaign.times.resolve("2026-11-22T00:00:00Z".parse().unwrap()).value.unwrap();
    assert_eq!(found.start.to_string(), "2026-11-24T00:00:00Z");
    assert_eq!(found.not_after.unwrap().to_string(), "2026-12-08T00:00:00Z");
}

#[test]
fn lists_seeds_and_mail_made_elsewhere_are_read_as_the_examples_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let read = |name: &str| {
        let read = read_campaign_file(&SourceFile::open(&folder.join(name)).unwrap(), &zone("Asia/Tokyo"));
        assert!(read.problems.is_empty(), "{:?}", problems(&read));
        read.value.unwrap()
    };
    let autumn = read("autumn.yaml");
    assert_eq!((autumn.from, autumn.subject, autumn.text, autumn.html), (None, None, None, None));
    assert_eq!((autumn.eml, autumn.inline_css), (Some(folder.join("autumn.eml")), false));
    assert_eq!(autumn.reading, ListReading { format: Some(ListFormat::Jsonl), encoding: None });
    let seeds: Vec<_> = autumn.seeds.listed.iter().map(|s| (s.email.as_str(), s.columns.as_slice())).collect();
    let own = [("name".to_owned(), "検査 係".to_owned()), ("vip".to_owned(), String::new())];
    assert_eq!(seeds, [("qa@example.jp", [].as_slice()), ("qa@gmail.com", own.as_slice())]);
    assert!(autumn.seeds.listed[1].place.ends_with("autumn.yaml:10"));
    let winter = read("winter.yaml");
    assert_eq!((winter.inline_css, winter.seeds.file), (true, Some(folder.join("seeds.csv"))));
    assert_eq!(winter.reading, ListReading::default());
}

#[test]
fn a_list_is_known_by_the_end_of_its_name() {
    for (name, format) in [
        ("a.csv", ListFormat::Csv),
        ("a", ListFormat::Csv),
        ("a.jsonl", ListFormat::Jsonl),
        ("a.NDJSON", ListFormat::Jsonl),
        ("jsonl.txt", ListFormat::Csv),
    ] {
        assert_eq!(ListFormat::of(Path::new(name)), format, "{name}");
    }
}

#[test]
fn a_bare_date_is_the_beginning_for_start_and_the_end_for_the_others() {
    let lines = "start: 2026-11-24\nfinish_by: 2026-11-25\nnot_after: 2026-11-26 18:30\n";
    let expected = ["2026-11-23T15:00:00Z", "2026-11-25T15:00:00Z", "2026-11-26T09:30:00Z"];
    assert_eq!(times(lines, "Asia/Tokyo", "2026-11-01T00:00:00Z"), some(expected));
}

#[test]
fn a_relative_time_counts_from_the_later_of_start_and_submit() {
    let lines = "start: 2026-11-24 09:00\nfinish_by: +36h\nnot_after: +2d\n";
    let before = ["2026-11-24T00:00:00Z", "2026-11-25T12:00:00Z", "2026-11-26T00:00:00Z"];
    assert_eq!(times(lines, "Asia/Tokyo", "2026-11-22T00:00:00Z"), some(before));
    let after = ["2026-11-24T00:00:00Z", "2026-11-26T18:00:00Z", "2026-11-27T06:00:00Z"];
    assert_eq!(times(lines, "Asia/Tokyo", "2026-11-25T06:00:00Z"), some(after));
    let at_once = ["2026-11-25T06:00:00Z", "", "2026-11-26T06:00:00Z"];
    assert_eq!(times("not_after: +1d\n", "Asia/Tokyo", "2026-11-25T06:00:00Z"), some(at_once));
}

#[test]
fn clock_changes_neither_lose_nor_double_an_hour() {
    // Berlin skips 02:00-03:00 on 2026-03-29 and repeats it on 2026-10-25.
    let lines = "start: 2026-03-29 02:30\nnot_after: +1d\n";
    let skipped = ["2026-03-29T01:30:00Z", "", "2026-03-30T01:30:00Z"];
    assert_eq!(times(lines, "Europe/Berlin", "2026-03-01T00:00:00Z"), some(skipped));
    let lines = "start: 2026-10-25 02:30\nfinish_by: +24h\nnot_after: +1d\n";
    let repeated = ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z", "2026-10-26T01:30:00Z"];
    assert_eq!(times(lines, "Europe/Berlin", "2026-10-01T00:00:00Z"), some(repeated));
    let lines = "start: 2026-10-24 09:00\nfinish_by: +25h\nnot_after: +1d\n";
    let by_calendar = ["2026-10-24T07:00:00Z", "2026-10-25T08:00:00Z", "2026-10-25T08:00:00Z"];
    assert_eq!(times(lines, "Europe/Berlin", "2026-10-01T00:00:00Z"), some(by_calendar));
}

#[test]
fn times_out_of_order_are_refused_when_they_are_resolved() {
    let resolve = |lines: &str, now: &str| {
        let campaign = read(lines).value.unwrap();
        let found = campaign.times.resolve(now.parse().unwrap());
        (found.value.is_some(), problems(&found).join(""))
    };
    let now = "2026-11-22T00:00:00Z";
    let (fine, why) = resolve("start: 2026-11-24\nnot_after: 2026-11-23\n", now);
    assert!(!fine && why.contains("not_after (2026-11-24 00:00) is not later than start (2026-11-24 00:00)"), "{why}");
    let (fine, why) = resolve("start: 2026-11-01\nnot_after: 2026-11-20\n", now);
    assert!(!fine && why.contains("is past: everything would expire unsent"), "{why}");
    let (fine, why) = resolve("start: 2026-11-24\nfinish_by: 2026-11-24 00:00\n", now);
    assert!(!fine && why.contains("finish_by"), "{why}");
    let (fine, why) = resolve("finish_by: +3d\nnot_after: +2d\n", now);
    assert!(fine && why.contains("comes before finish_by"), "{why}");
    let (fine, why) = resolve("start: 2026-11-01\nfinish_by: 2026-11-20\n", now);
    assert!(fine && why.contains("is past"), "{why}");
}

#[test]
fn nothing_in_a_campaign_can_begin_another_header() {
    for lines in [
        "reply_to: \"a@b.jp\\r\\nBcc: x@y.jp\"\n",
        "headers: { X-A: \"a\\nBcc: x@y.jp\" }\n",
        "headers: { \"X-A: b\\nBcc\": \"x\" }\n",
        "headers: { Bcc: x@y.jp }\n",
        "headers: { Content-Type: text/plain }\n",
    ] {
        assert!(read(lines).value.is_none(), "{lines}");
    }
    let fine = read("headers: { X-Campaign: \"{{ city }}\" }\n").value.unwrap();
    assert_eq!(fine.headers, [("X-Campaign".to_owned(), "{{ city }}".to_owned())]);
}
