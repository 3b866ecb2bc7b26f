//! Owns the files of the demonstration: a small, complete project that stays where it was made.

use std::io;
use std::path::{Path, PathBuf};

use jiff::civil::Date;

use super::list;

/// What `hikagen.yaml` calls the relay that is being warmed.
pub(super) const CAMPAIGN: &str = "spring-sale";

const CONFIG: &str = r#"# The demonstration's configuration: two sending identities, both at the carrier simulator.
store: hikagen.db
timezone: Asia/Tokyo
groups: [builtin]                       # destination groups and reply rules that come with Hikagen

relays:
  tokyo-new:                            # a new IP: its warm-up begins today
    host: 127.0.0.1
    port: {port}
    tls: none                           # the simulator is on loopback; elsewhere: starttls or implicit
    answers: carrier                    # this relay passes the carriers' own replies on
    domain: m.example.jp
    plan: plan.yaml
    warmup: { day: 1 }
    limits: { rate: 1200/min, connections: 4, connection_age: 12h }   # so old only because the clock is so fast
    envelope_from: "bounce+{token}@m.example.jp"
    headers: { X-Pool: new }
  tokyo-warm:                           # an IP that the carriers have known for a while
    host: 127.0.0.1
    port: {port}
    tls: none
    answers: carrier
    domain: m.example.jp
    plan: warm.yaml
    limits: { rate: 50/s, connections: 8, connection_age: 12h }
    envelope_from: "bounce+{token}@m.example.jp"
    headers: { X-Pool: warm }

pools:
  news: [tokyo-new, tokyo-warm]         # the new one first: it needs the mail to get warm
"#;

const PLAN: &str = r#"# Warm-up of a new IP: one value per warm-up day.
plan: spring
timezone: Asia/Tokyo
day_starts: "00:00"

defaults:
  window: "08:00-21:00"
  rate: 1/s
  spread: even                          # over what is left of the window

groups:
  docomo:
    curve: [50, 75, 100, 150, 200, 300, 400, 550, 750, 1_000]
    then: { grow: 1.15, up_to: 20_000 }
    avoid: { minutes: ["00-02", "30-32"], holidays: japan, dates: ["12-31", "01-01"] }
  au: { like: docomo }
  softbank: { like: docomo, scale: 80% }
  yahoo-jp: { like: docomo }
  gmail:
    curve: { start: 100, grow: 1.4, up_to: 100_000 }
    rate: 5/s
  default:
    curve: { start: 20, grow: 1.4, up_to: 10_000 }
"#;

const WARM: &str = r#"# An IP that is warm: the same volume every day, and still not more than a carrier likes.
plan: warm
timezone: Asia/Tokyo
day_starts: "00:00"

defaults:
  window: "08:00-21:00"
  rate: 2/s
  spread: even

groups:
  docomo:
    curve: [1_000]
    avoid: { minutes: ["00-02", "30-32"] }
  au: { like: docomo, scale: 65% }
  softbank: { like: docomo, scale: 90% }
  yahoo-jp: { curve: [1_000], spread: asap }        # as fast as the rate allows: see what Yahoo! JAPAN says to that
  gmail: { curve: [700], rate: 5/s }
  default: { curve: [400] }
"#;

const CAMPAIGN_FILE: &str = r#"campaign: spring-sale
from: "例市場 <news@m.example.jp>"
reply_to: info@example.jp
subject: "{{ name }} 様へ 春のお知らせ"
text: newsletter.txt
html: newsletter.html
recipients: recipients.csv
pool: news
start: {day} 07:00
not_after: +14d
priority: bulk
unsubscribe: { url: "https://example.jp/u/{token}", one_click: true }
"#;

const TEXT: &str = "{{ name }} 様

春のセールのお知らせです。{{ city }} の店舗でお待ちしています。

例市場株式会社 東京都千代田区一丁目1-1
お問い合わせ: info@example.jp
配信停止: {{ unsubscribe_url }}
";

const HTML: &str = r#"<!doctype html>
<html lang="ja"><body>
<p>{{ name }} 様</p>
<p>春のセールのお知らせです。{{ city }} の店舗でお待ちしています。</p>
<p><small>例市場株式会社 東京都千代田区一丁目1-1 / <a href="{{ unsubscribe_url }}">配信停止</a></small></p>
</body></html>
"#;

/// Makes `dir` (or, without one, the first free `hikagen-demo-<n>` below the current folder or else the temporary one).
///
/// # Errors
/// When the folder exists with something in it, or nothing can be written.
pub(super) fn make_folder(dir: Option<PathBuf>) -> io::Result<PathBuf> {
    if let Some(dir) = dir {
        std::fs::create_dir_all(&dir)?;
        if std::fs::read_dir(&dir)?.next().is_some() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is something in it already; the demonstration wants a folder of its own",
            ));
        }
        return Ok(dir);
    }
    first_free(Path::new("")).or_else(|_| first_free(&std::env::temp_dir()))
}

fn first_free(parent: &Path) -> io::Result<PathBuf> {
    for n in 1..10_000 {
        let dir = parent.join(format!("hikagen-demo-{n}"));
        match std::fs::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "10,000 demonstrations are there already"))
}

/// Writes the project into `dir`: relays at `port`, the campaign on `day`. Returns the configuration's path.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn write(dir: &Path, port: u16, day: Date) -> io::Result<PathBuf> {
    let config = CONFIG.replace("{port}", &port.to_string());
    let campaign = CAMPAIGN_FILE.replace("{day}", &day.to_string());
    let list = list::csv();
    for (name, text) in [
        ("hikagen.yaml", config.as_str()),
        ("plan.yaml", PLAN),
        ("warm.yaml", WARM),
        ("campaign.yaml", campaign.as_str()),
        ("newsletter.txt", TEXT),
        ("newsletter.html", HTML),
        ("recipients.csv", list.as_str()),
    ] {
        std::fs::write(dir.join(name), text)?;
    }
    Ok(dir.join("hikagen.yaml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let parent = tempfile::tempdir().expect("a folder");
        let made = make_folder(Some(parent.path().join("new"))).expect("made");
        write(&made, 2525, jiff::civil::date(2026, 11, 24)).expect("written");
        assert!(make_folder(Some(made)).is_err());
        assert_eq!(first_free(parent.path()).expect("made"), parent.path().join("hikagen-demo-1"));
        assert_eq!(first_free(parent.path()).expect("made"), parent.path().join("hikagen-demo-2"));
    }
}
