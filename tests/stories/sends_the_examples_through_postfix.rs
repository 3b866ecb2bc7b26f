//! The files of `examples/`, host, port, TLS and login aside exactly as written, through two real Postfixes: every message
//! arrives once, in the form of address that its group wants, and says what was meant when Python reads it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hikagen::clock::{Clock, PacedClock};
use hikagen::core::campaign::MessageState;

use crate::support::certificates::Authority;
use crate::support::postfix::{Entry, Postfix};
use crate::support::program::Project;
use crate::support::sink::{Arrival, Sink};
use crate::support::worker::{Working, configuration};
use crate::support::{insight, python};

/// Half a day of the plan passes in two minutes at most.
const SPEED: f64 = 400.0;

const PASSWORD: (&str, &str) = ("TOKYO_NEW_PASSWORD", "right");

/// The list of `examples/`: the recipient on the wire, the name and the city in its row.
const RECIPIENTS: [(&str, &str, &str); 6] = [
    ("hanako@docomo.ne.jp", "山田 花子", "横浜"),
    ("\"taro..x\"@docomo.ne.jp", "田中 太郎", "川崎"),
    ("\"jiro.\"@ezweb.ne.jp", "佐藤 次郎", "大阪"),
    ("saburo@i.softbank.jp", "鈴木 三郎", "福岡"),
    ("shiro@gmail.com", "高橋 四郎", "札幌"),
    ("goro@example.co.jp", "伊藤 五郎", "仙台"),
];

/// The examples with the ports, TLS and login of two relays, and nothing else changed.
fn project(starttls: &Postfix, implicit: &Postfix) -> Project {
    let mut project = Project::of_examples();
    let written = project.read("hikagen.yaml");
    let new = format!(
        "port: {}\n    tls: starttls\n    ca: ca.pem\n    auth: {{ user: apikey, password: {{ env: {} }} }}",
        starttls.port, PASSWORD.0
    );
    let warm = format!("port: {}\n    tls: implicit\n    ca: ca.pem", implicit.port);
    let changed =
        written.replacen("port: 2525\n    tls: none", &new, 1).replacen("port: 2526\n    tls: none", &warm, 1);
    assert!(changed.contains(&new) && changed.contains(&warm), "the example has changed its relays");
    project.write("hikagen.yaml", changed);
    project.set(PASSWORD.0, PASSWORD.1);
    project
}

fn check_message(arrival: &Arrival, name: &str, city: &str) {
    let read = &python::read(std::slice::from_ref(&arrival.bytes))[0];
    assert_eq!(read.defects, Vec::<String>::new());
    assert_eq!(read.content_type, "multipart/alternative");
    assert_eq!(read.headers["subject"], format!("{name} 様へ 春のお知らせ"));
    assert_eq!(read.headers["from"], "例市場 <news@m.example.jp>");
    assert_eq!(read.headers["reply-to"], "info@example.jp");
    assert_eq!(read.headers["list-unsubscribe-post"], "List-Unsubscribe=One-Click");
    let link = read.headers["list-unsubscribe"].trim_matches(['<', '>']).to_owned();
    assert!(link.starts_with("https://example.jp/u/") && link.len() > 30, "{link}");
    let text = read.text.as_deref().unwrap();
    assert!(text.starts_with(&format!("{name} 様\n")), "{text}");
    assert!(text.contains(&format!("{city} の店舗")) && text.contains(&link), "{text}");
    let html = read.html.as_deref().unwrap();
    assert!(html.contains(&format!("<p>{name} 様</p>")) && html.contains(city), "{html}");
    assert!(arrival.message_id.ends_with("@m.example.jp>"), "{}", arrival.message_id);
    for once in ["message-id", "date", "from", "to", "subject", "list-unsubscribe"] {
        assert_eq!(read.names.iter().filter(|n| *n == once).count(), 1, "{once}: {:?}", read.names);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_arrive_once_each_through_starttls_with_login_and_implicit_tls() {
    let authority = Authority::new();
    let sink = Sink::open();
    let login = Entry::StarttlsAndLogin { user: "apikey", password: PASSWORD.1 };
    let starttls = Postfix::start(&login, &authority.server(), sink.port);
    let implicit = Postfix::start(&Entry::ImplicitTls, &authority.server(), sink.port);
    let project = project(&starttls, &implicit);
    authority.write(project.folder());
    project.hikagen(&["check"]).expect(0);
    project.hikagen(&["submit", "campaign.yaml"]).expect(0);

    let start = "2026-11-24T08:55:00+09:00".parse().unwrap();
    let clock = Arc::new(PacedClock::new(start, SPEED));
    let working = Working::start(configuration(project.folder(), &[PASSWORD]), clock.clone(), SPEED);
    let accepted = async {
        while insight::tally(&*working.store, "spring-sale-2026").await.get(&MessageState::Accepted) != Some(&6) {
            clock.sleep(Duration::from_secs(20)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(120), accepted).await.is_err() {
        panic!("not all accepted\n{}\n{}\n{}", project.hikagen(&["status"]).out, starttls.log(), implicit.log());
    }
    let in_the_air: u64 = working.store.owners().await.unwrap().iter().map(|owner| owner.in_the_air).sum();
    assert_eq!(in_the_air, 0);
    working.end().await;

    let arrivals = until_all_have_arrived(&sink, &starttls, &implicit);
    for (recipient, name, city) in RECIPIENTS {
        let arrival = arrivals.get(recipient).unwrap_or_else(|| panic!("nothing came for {recipient}: {arrivals:?}"));
        check_message(arrival, name, city);
        assert!(arrival.from.starts_with("bounce+") && arrival.from.ends_with("@m.example.jp"), "{}", arrival.from);
    }
    // The cold relay takes what its plan allows first: all six go through it, marked by its header.
    let from_new = arrivals.values().filter(|a| String::from_utf8_lossy(&a.bytes).contains("X-Pool: new")).count();
    assert!(from_new >= 5, "{from_new} of 6 left through the relay that needs them");
}

/// What the sink has when all six are there, by recipient; fails where one comes twice.
fn until_all_have_arrived(sink: &Sink, starttls: &Postfix, implicit: &Postfix) -> BTreeMap<String, Arrival> {
    crate::support::until("six messages at the sink", Duration::from_secs(60), || (sink.count() >= 6).then_some(()));
    let all = sink.arrivals();
    let count = all.len();
    let by_recipient: BTreeMap<String, Arrival> = all.into_iter().map(|a| (a.to.join(" "), a)).collect();
    assert_eq!((count, by_recipient.len()), (6, 6), "{}\n{}", starttls.log(), implicit.log());
    by_recipient
}
