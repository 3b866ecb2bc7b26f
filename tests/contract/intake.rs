//! Owns the promises about lists: what goes in, what is refused, and what a second submission changes.

use std::path::PathBuf;
use std::sync::Arc;

use hikagen::clock::{Clock, PacedClock};
use hikagen::compose::{Content, Places, Tokens, Unsubscribe};
use hikagen::config::Config;
use hikagen::config::campaign_file::{ListReading, Seeds};
use hikagen::config::config_file::load;
use hikagen::core::campaign::{CampaignState, Class, MessageState};
use hikagen::core::names::{CampaignName, PoolName};
use hikagen::intake::{Done, Intake, Options, Preview, Refused, Report, Rule, Submission};
use hikagen::store::sqlite::SqliteStore;
use hikagen::store::{MessageRow, Store, Suppression, SuppressionReason};

const START: &str = "2026-11-24T00:00:00Z";

/// A folder with a list, the configuration of the examples, a store.
pub(crate) struct Desk {
    pub(crate) folder: tempfile::TempDir,
    config: Config,
    pub(crate) store: SqliteStore,
    tokens: Arc<Tokens>,
    clock: PacedClock,
}

impl Desk {
    pub(crate) fn new(list: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let example = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/hikagen.yaml");
        let config = load(&example).value.unwrap();
        std::fs::write(folder.path().join("list.csv"), list).unwrap();
        let clock = PacedClock::new(START.parse().unwrap(), 1.0);
        Self { folder, config, store: SqliteStore::in_memory(), tokens: Arc::new(Tokens::new(&[3; 32])), clock }
    }

    fn rewrite(&self, list: &str) {
        std::fs::write(self.folder.path().join("list.csv"), list).unwrap();
    }

    pub(crate) fn submission(&self) -> Submission {
        Submission {
            name: CampaignName::new("spring").unwrap(),
            pool: PoolName::new("news").unwrap(),
            content: Content {
                campaign: "spring".to_owned(),
                from: "例市場 <news@m.example.jp>".to_owned(),
                reply_to: None,
                subject: "{{ name }} 様へ".to_owned(),
                text: Some("{{ name }} 様 {{ unsubscribe_url }}\n".to_owned()),
                html: None,
                parts: None,
                headers: Vec::new(),
                unsubscribe: Some(Unsubscribe {
                    url: Some("https://example.jp/u/{token}".to_owned()),
                    mailto: None,
                    one_click: true,
                }),
                list: None,
            },
            places: Places::default(),
            list: self.folder.path().join("list.csv"),
            reading: ListReading::default(),
            seeds: Seeds::default(),
            start: self.clock.now(),
            finish_by: None,
            not_after: None,
            class: Class::Bulk,
            weight: 1,
            written: String::new(),
        }
    }

    pub(crate) async fn submit_as(&self, submission: &Submission, options: Options) -> Result<Report, String> {
        let intake = Intake { config: &self.config, tokens: &self.tokens, store: &self.store, clock: &self.clock };
        intake.submit(submission, options, &mut |_| {}).await.map_err(|refused| match refused {
            Refused::Problems(problems) => problems.join("\n"),
            Refused::Store(error) => error.to_string(),
        })
    }

    async fn submit(&self) -> Result<Report, String> {
        self.submit_as(&self.submission(), Options::default()).await
    }

    pub(crate) async fn messages(&self) -> Vec<MessageRow> {
        let campaign = self.store.campaign(&CampaignName::new("spring").unwrap()).await.unwrap().unwrap();
        self.store.messages_of(campaign.id, &[], None, 1_000).await.unwrap()
    }

    pub(crate) fn preview(&self, submission: &Submission, row: u64) -> Result<Preview, String> {
        let intake = Intake { config: &self.config, tokens: &self.tokens, store: &self.store, clock: &self.clock };
        intake.preview(submission, row).map_err(|refused| match refused {
            Refused::Problems(problems) => problems.join("\n"),
            Refused::Store(error) => error.to_string(),
        })
    }

    async fn addresses(&self) -> Vec<String> {
        self.messages().await.into_iter().map(|m| m.address).collect()
    }

    fn rejects(&self) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join("list.rejects.csv")).ok()
    }
}

#[tokio::test]
async fn a_list_goes_in_cleaned_and_what_is_refused_costs_nothing_else() {
    let desk = Desk::new(
        "email,name,score\n\
         hanako@docomo.ne.jp,花子,90\n\
         ｔａｒｏ＠ｇｍａｉｌ．ｃｏｍ,太郎,\n\
         taro..x@docomo.ne.jp,次郎,40\n\
         a..b@gmail.com,三郎,1\n\
         nobody,四郎,1\n\
         HANAKO@docomo.ne.jp,again,1\n\
         \n\
         x@example.jp,\"two\nlines\",high\n\
         y@example.jp,short\n",
    );
    let report = desk.submit().await.unwrap();
    assert_eq!((report.done, report.state, report.encoding), (Done::Created, CampaignState::Running, "UTF-8"));
    assert_eq!((report.rows, report.recipients, report.duplicates, report.rejected), (8, 3, 1, 4));
    assert_eq!((report.added, report.suppressed), (3, 0));
    assert_eq!(desk.addresses().await, ["hanako@docomo.ne.jp", "taro..x@docomo.ne.jp", "taro@gmail.com"]);
    let first = &desk.messages().await[0];
    assert_eq!((first.score, first.bucket.as_str(), first.state), (90_000, "docomo", MessageState::Queued));
    assert_eq!(first.columns, r#"{"email":"hanako@docomo.ne.jp","name":"花子","score":"90"}"#);
    let rejects = desk.rejects().unwrap();
    let lines: Vec<&str> = rejects.lines().collect();
    assert_eq!(lines[0], "line,address,rule,reason");
    for (line, start) in lines[1..].iter().zip([
        "5,a..b@gmail.com,irregular-address,",
        "6,nobody,address,",
        "9,x@example.jp,score,",
        "11,y@example.jp,columns,",
    ]) {
        assert!(line.starts_with(start), "{rejects}");
    }
    assert_eq!(report.rejected_by_rule[&Rule::Score], 1);
    assert_eq!(report.rejects_file, Some(desk.folder.path().join("list.rejects.csv")));
}

#[tokio::test]
async fn shift_jis_and_a_marked_utf8_are_read_as_they_are() {
    let text = "email,name\r\nhanako@docomo.ne.jp,髙橋①㈱～ﾃｽﾄ\r\n";
    let (shift_jis, _, lossy) = encoding_rs::SHIFT_JIS.encode(text);
    assert!(!lossy);
    let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    for (bytes, encoding) in
        [(shift_jis.to_vec(), "Shift_JIS"), (marked, "UTF-8 with BOM"), (text.as_bytes().to_vec(), "UTF-8")]
    {
        let desk = Desk::new(bytes);
        let report = desk.submit().await.unwrap();
        assert_eq!((report.encoding, report.columns), (encoding, vec!["email".to_owned(), "name".to_owned()]));
        assert!(desk.messages().await[0].columns.contains("髙橋①㈱～ﾃｽﾄ"), "{encoding}");
    }
}

#[tokio::test]
async fn dead_domains_and_suppressed_addresses_are_final_at_once() {
    let desk = Desk::new("email,name\na@docomo.ne.jp,a\nb@vertuclub.ne.jp,b\nc@gmail.com,c\n");
    let entry = Suppression {
        key: "c@gmail.com".to_owned(),
        reason: SuppressionReason::Manual,
        sender: None,
        note: "asked by telephone".to_owned(),
        since: desk.clock.now(),
    };
    desk.store.suppress(vec![entry], desk.clock.now()).await.unwrap();
    let report = desk.submit().await.unwrap();
    assert_eq!((report.recipients, report.added, report.suppressed), (3, 1, 2));
    assert_eq!(report.groups.iter().map(|g| g.dead).sum::<u64>(), 1);
    let dead = desk.messages().await.into_iter().find(|m| m.address == "b@vertuclub.ne.jp").unwrap();
    assert_eq!(dead.state, MessageState::Suppressed);
    assert!(dead.because.unwrap().contains("dead domain vertuclub.ne.jp"));
    assert_eq!(report.first_day.iter().map(|lane| lane.leaves).sum::<u64>(), 2, "{:?}", report.first_day);
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let desk = Desk::new("email,name\na@docomo.ne.jp,a\nbad,b\n");
    let dry = Options { dry_run: true, ..Options::default() };
    let report = desk.submit_as(&desk.submission(), dry).await.unwrap();
    assert_eq!((report.done, report.recipients, report.rejected), (Done::Checked, 1, 1));
    assert_eq!((report.first_rejects[0].line, report.rejects_file), (3, None));
    assert_eq!(desk.rejects(), None);
    assert!(desk.store.campaigns().await.unwrap().is_empty());
}

#[tokio::test]
async fn submitting_again_adds_the_new_and_changes_the_waiting() {
    let desk = Desk::new("email,name\na@docomo.ne.jp,old\nb@docomo.ne.jp,b\n");
    desk.submit().await.unwrap();
    desk.rewrite("email,name,score\nA@docomo.ne.jp,new,5\nc@docomo.ne.jp,c,\na@docomo.ne.jp,third,9\n");
    let report = desk.submit().await.unwrap();
    assert_eq!((report.done, report.added, report.updated, report.duplicates), (Done::Resubmitted, 1, 1, 1));
    let messages = desk.messages().await;
    let states: Vec<_> = messages.iter().map(|m| (m.address.as_str(), m.state)).collect();
    let queued = MessageState::Queued;
    assert_eq!(states.len(), 3, "{states:?}");
    assert!(states.contains(&("b@docomo.ne.jp", queued)) && states.contains(&("c@docomo.ne.jp", queued)));
    let a = messages.iter().find(|m| m.address.eq_ignore_ascii_case("a@docomo.ne.jp")).unwrap();
    assert!(a.columns.contains("\"name\":\"new\"") && a.score == 5_000, "{a:?}");
    let report = desk.submit_as(&desk.submission(), Options { prune: true, ..Options::default() }).await.unwrap();
    assert_eq!((report.added, report.pruned), (0, 1));
    let b = desk.messages().await.into_iter().find(|m| m.address == "b@docomo.ne.jp").unwrap();
    assert_eq!(b.state, MessageState::Cancelled);
}

#[tokio::test]
async fn what_a_campaign_says_changes_only_when_asked() {
    let desk = Desk::new("email,name\na@docomo.ne.jp,a\n");
    desk.submit().await.unwrap();
    let mut changed = desk.submission();
    changed.content.subject = "another".to_owned();
    changed.class = Class::Normal;
    let refused = desk.submit_as(&changed, Options::default()).await.unwrap_err();
    assert!(refused.contains("subject, priority") && refused.contains("--update"), "{refused}");
    let report = desk.submit_as(&changed, Options { update: true, ..Options::default() }).await.unwrap();
    assert_eq!(report.done, Done::Updated);
    let row = desk.store.campaign(&changed.name).await.unwrap().unwrap();
    assert!(row.current.content.contains("another") && row.current.class == Class::Normal);
    changed.content.from = "else@m.example.jp".to_owned();
    changed.pool = PoolName::new("other").unwrap();
    let refused = desk.submit_as(&changed, Options { update: true, ..Options::default() }).await.unwrap_err();
    assert!(refused.contains("is from 例市場") && refused.contains("goes through pool news"), "{refused}");
}

#[tokio::test]
async fn a_relative_deadline_is_not_moved_by_submitting_again() {
    let desk = Desk::new("email,name\na@docomo.ne.jp,a\n");
    let mut submission = desk.submission();
    submission.written = "start -, not_after +14d".to_owned();
    submission.not_after = Some(submission.start + jiff::SignedDuration::from_hours(14 * 24));
    desk.submit_as(&submission, Options::default()).await.unwrap();
    let first = desk.store.campaign(&submission.name).await.unwrap().unwrap().current.not_after;
    submission.not_after = submission.not_after.map(|t| t + jiff::SignedDuration::from_hours(24));
    desk.submit_as(&submission, Options::default()).await.unwrap();
    assert_eq!(desk.store.campaign(&submission.name).await.unwrap().unwrap().current.not_after, first);
}

#[tokio::test]
async fn the_name_of_a_campaign_that_has_ended_is_not_used_again() {
    let desk = Desk::new("email,name\na@docomo.ne.jp,a\n");
    desk.submit().await.unwrap();
    let name = CampaignName::new("spring").unwrap();
    desk.store.order_campaign(&name, CampaignState::Cancelled, "a mistake", desk.clock.now()).await.unwrap();
    let refused = desk.submit().await.unwrap_err();
    assert!(refused.contains("campaign spring is cancelled") && refused.contains("a name of its own"), "{refused}");
}

#[tokio::test]
async fn a_submission_that_stopped_half_way_goes_on() {
    let desk = Desk::new("email,name\na@docomo.ne.jp,a\nb@docomo.ne.jp,b\n");
    let submission = desk.submission();
    let new = hikagen::store::NewCampaign {
        name: submission.name.clone(),
        pool: submission.pool.clone(),
        from: submission.content.from.clone(),
        revision: submission.revision(),
    };
    let id = desk.store.create_campaign(new, desk.clock.now()).await.unwrap();
    let row = hikagen::store::NewMessage {
        address: "a@docomo.ne.jp".to_owned(),
        key: "a@docomo.ne.jp".to_owned(),
        bucket: "docomo".parse().unwrap(),
        score: 0,
        columns: r#"{"email":"a@docomo.ne.jp","name":"a"}"#.to_owned(),
        refused: None,
    };
    desk.store.enqueue(id, vec![row], 0, false, desk.clock.now()).await.unwrap();
    let report = desk.submit().await.unwrap();
    assert_eq!((report.done, report.state), (Done::Resumed, CampaignState::Running));
    assert_eq!((report.added, report.known, report.updated), (1, 1, 0));
}

#[tokio::test]
async fn every_problem_is_told_at_once_and_nothing_goes_in() {
    let desk = Desk::new("email,nmae\na@docomo.ne.jp,a\n");
    let mut submission = desk.submission();
    submission.pool = PoolName::new("nwes").unwrap();
    let refused = desk.submit_as(&submission, Options::default()).await.unwrap_err();
    for words in ["no pool \"nwes\"", "subject: {{ name }}", "text template:1: {{ name }}", "did you mean \"nmae\"?"] {
        assert!(refused.contains(words), "{words} is missing in {refused}");
    }
    assert!(desk.store.campaigns().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_row_too_large_for_its_group_is_refused_and_a_template_too_large_stops_all() {
    let mut list = "email,name\n".to_owned();
    for n in 0..40 {
        list.push_str(&format!("u{n}@ezweb.ne.jp,n{n}\n"));
    }
    list.push_str(&format!("big@ezweb.ne.jp,{}\n", "x".repeat(30_000)));
    let desk = Desk::new(&list);
    let mut submission = desk.submission();
    submission.content.text = Some("{% for i in range(150) %}{{ name }}{% endfor %}".to_owned());
    let report = desk.submit_as(&submission, Options::default()).await.unwrap();
    assert_eq!((report.recipients, report.added, report.rejected_by_rule[&Rule::Composed]), (40, 40, 1));
    assert!(report.first_rejects[0].reason.contains("octets; group au takes"), "{:?}", report.first_rejects);
    submission.name = CampaignName::new("huge").unwrap();
    submission.content.text = Some("x ".repeat(2_500_000));
    let refused = desk.submit_as(&submission, Options::default()).await.unwrap_err();
    assert!(refused.contains("nothing could be composed for group au"), "{refused}");
}

#[tokio::test]
async fn the_first_day_is_told_per_lane_in_the_order_of_the_pool() {
    let mut list = "email,name\n".to_owned();
    for n in 0..80 {
        list.push_str(&format!("u{n}@docomo.ne.jp,n{n}\n"));
    }
    let report = Desk::new(&list).submit().await.unwrap();
    let lanes: Vec<_> =
        report.first_day.iter().map(|l| (l.relay.as_str(), l.bucket.as_str(), l.warmup_day, l.leaves)).collect();
    assert_eq!(lanes, [("tokyo-new", "docomo", 1, 50), ("tokyo-warm", "docomo", 1, 30)]);
    assert_eq!(
        report.first_day[0].opens,
        Some("2026-11-24T00:03:00Z".parse().unwrap()),
        "minutes 00 to 02 are avoided"
    );
}

#[tokio::test]
async fn a_list_of_20_000_goes_in_and_says_how_far_it_is() {
    let mut list = "email,name,score\n".to_owned();
    for n in 0..20_000 {
        list.push_str(&format!("user{n}@example{}.jp,名前{n},{}\n", n % 50, n % 100));
    }
    let desk = Desk::new(&list);
    let intake = Intake { config: &desk.config, tokens: &desk.tokens, store: &desk.store, clock: &desk.clock };
    let mut steps = 0;
    let report = intake.submit(&desk.submission(), Options::default(), &mut |_| steps += 1).await.unwrap();
    assert_eq!((report.added, report.rejected), (20_000, 0));
    assert!(steps > 5, "{steps}");
}

#[tokio::test]
async fn what_leaves_together_is_put_in_together_in_the_order_of_the_list() {
    let desk = Desk::new(
        "email,name,score\nlow1@gmail.com,a,1\nhigh1@docomo.ne.jp,b,9\nnone@gmail.com,c,\nlow2@gmail.com,d,1\nhigh2@gmail.com,e,9\n",
    );
    desk.submit().await.unwrap();
    let order = ["high1@docomo.ne.jp", "high2@gmail.com", "low1@gmail.com", "low2@gmail.com", "none@gmail.com"];
    assert_eq!(desk.addresses().await, order);
}
