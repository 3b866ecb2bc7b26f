//! Owns access tokens: where one comes from, how long it is good, and when another is worth trying.
//!
//! Invariants: a program that makes tokens is bounded in time and output, and runs once at a time, whatever the number of
//! connections: who waited for it takes its failure too; a token is in no message, whatever the program or the server says.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::Mutex;

use super::hiding::without_runs;
use crate::clock::SharedClock;
use crate::config::settings::TokenSource;
use crate::program::Running;

/// Longest token, octets: with a user it still fits in what RFC 4954 4 allows a line of AUTH.
const LONGEST: usize = 8_192;
/// Most that a program may print, octets.
const OUTPUT_MOST: u64 = 64 * 1_024;
/// A token is given up this long before its end, or after nine tenths of its life where that is longer.
const MARGIN: Duration = Duration::from_secs(60);
/// A program that failed is not run again this long: shorter than the relay's shortest pause.
const FAILED: Duration = Duration::from_secs(3);
/// Fewest characters of what may be a token.
const TOKEN_LETTERS: usize = 24;

/// A relay's tokens.
pub(super) struct Tokens {
    source: TokenSource,
    clock: SharedClock,
    made: Mutex<Made>,
}

/// What a program made last.
#[derive(Default)]
struct Made {
    held: Option<Held>,
    /// When it failed, and why.
    failed: Option<(Duration, String)>,
}

/// A token that a program made.
struct Held {
    text: SecretString,
    /// Time since boot at which it is given up; `None`: when it is refused.
    until: Option<Duration>,
}

/// A token to log in with.
pub(super) struct Token {
    pub(super) text: SecretString,
    /// It was made for this login: another one would be no better.
    fresh: bool,
}

impl Tokens {
    pub(super) fn new(source: TokenSource, clock: SharedClock) -> Self {
        Self { source, clock, made: Mutex::default() }
    }

    /// The token to begin a login with.
    ///
    /// # Errors
    /// In words: why there is none.
    pub(super) async fn token(&self) -> Result<Token, String> {
        match &self.source {
            TokenSource::Kept(secret) => Ok(Token { text: secret.text.clone(), fresh: true }),
            TokenSource::File(path) => Ok(Token { text: in_file(path.clone()).await?, fresh: false }),
            TokenSource::Command { words, timeout } => {
                let mut made = self.made.lock().await;
                let now = self.clock.elapsed();
                if let Some(held) = made.held.as_ref().filter(|held| held.until.is_none_or(|until| now < until)) {
                    return Ok(Token { text: held.text.clone(), fresh: false });
                }
                self.make(&mut made, words, *timeout).await
            }
        }
    }

    /// A token to try after `refused` was refused. `None`: there is no other.
    pub(super) async fn another(&self, refused: &Token) -> Option<Result<Token, String>> {
        if refused.fresh {
            return None;
        }
        let same = |text: &SecretString| text.expose_secret() == refused.text.expose_secret();
        match &self.source {
            TokenSource::Kept(_) => None,
            TokenSource::File(path) => match in_file(path.clone()).await {
                Ok(text) if same(&text) => None,
                read => Some(read.map(|text| Token { text, fresh: true })),
            },
            TokenSource::Command { words, timeout } => {
                let mut made = self.made.lock().await;
                if let Some(newer) = made.held.as_ref().filter(|held| !same(&held.text)) {
                    return Some(Ok(Token { text: newer.text.clone(), fresh: true }));
                }
                made.held = None;
                Some(self.make(&mut made, words, *timeout).await)
            }
        }
    }

    async fn make(&self, made: &mut Made, words: &[String], limit: Duration) -> Result<Token, String> {
        let program = words.first().map_or("", String::as_str);
        let asked = self.clock.elapsed();
        if let Some((_, why)) = made.failed.as_ref().filter(|(at, _)| asked.saturating_sub(*at) < FAILED) {
            return Err(why.clone());
        }
        let printed = match tokio::time::timeout(limit, run(words)).await {
            Ok(printed) => printed,
            Err(_) => Err(format!("killed after {} s", limit.as_secs())),
        };
        match printed.and_then(|text| granted(&text)).map_err(|why| format!("{program}: {why}")) {
            Ok((text, life)) => {
                let until = life.map(|life| asked.saturating_add(life.saturating_sub(MARGIN.min(life / 10))));
                *made = Made { held: Some(Held { text: text.clone(), until }), failed: None };
                Ok(Token { text, fresh: true })
            }
            Err(why) => {
                made.failed = Some((self.clock.elapsed(), why.clone()));
                Err(why)
            }
        }
    }
}

async fn in_file(path: PathBuf) -> Result<SecretString, String> {
    let shown = path.display().to_string();
    let read = tokio::task::spawn_blocking(move || read_short(&path)).await;
    let text = read.map_err(|error| error.to_string()).and_then(|read| read.map_err(|error| error.to_string()));
    text.and_then(|text| checked(text.trim_end())).map_err(|why| format!("file {shown}: {why}"))
}

fn read_short(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(LONGEST as u64 + 2).read_to_string(&mut text)?;
    Ok(text)
}

/// Runs the program once; a dropped future kills it and all that it started.
async fn run(words: &[String]) -> Result<String, String> {
    let (program, arguments) = words.split_first().ok_or("no program is named")?;
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(&mut command).map_err(|error| format!("cannot be started: {error}"))?;
    let (out, err) = (running.pipes().stdout.take(), running.pipes().stderr.take());
    let (out, said) = tokio::join!(read_some(out), read_some(err));
    let status = running.end().await.map_err(|error| error.to_string())?;
    // A program that is no longer read ends in its own way: what it printed tells more.
    if out.len() as u64 > OUTPUT_MOST {
        return Err(format!("printed more than {OUTPUT_MOST} octets"));
    }
    if !status.success() {
        return Err(format!("{status} {}", last_words(&said)).trim_end().to_owned());
    }
    String::from_utf8(out).map_err(|_| "printed something that is not UTF-8".to_owned())
}

async fn read_some(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What could be read is what there is to go by.
        let _ = pipe.take(OUTPUT_MOST + 1).read_to_end(&mut bytes).await;
    }
    bytes
}

/// The last line that a program said of its failure, without anything that is long enough to be a token.
fn last_words(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let words = line.split_whitespace().map(|word| if word.len() > 80 { "(hidden)" } else { word });
    let line = without_runs(&words.collect::<Vec<_>>().join(" "), TOKEN_LETTERS, |_| true);
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// The token and its life in what a program printed: the bare token, or the JSON of a token endpoint (RFC 6749 5.1).
fn granted(printed: &str) -> Result<(SecretString, Option<Duration>), String> {
    let printed = printed.trim();
    if !printed.starts_with('{') {
        return Ok((checked(printed)?, None));
    }
    let answer: serde_json::Value =
        serde_json::from_str(printed).map_err(|error| format!("printed JSON that cannot be read: {error}"))?;
    let Some(token) = answer["access_token"].as_str() else {
        let error = answer["error"].as_str().unwrap_or_default();
        return Err(format!("printed JSON without access_token {}", last_words(error.as_bytes()))
            .trim_end()
            .to_owned());
    };
    let life = &answer["expires_in"];
    let seconds = life.as_u64().or_else(|| life.as_str().and_then(|text| text.parse().ok()));
    if seconds.is_none() && !life.is_null() {
        return Err("printed an expires_in that is not a number of seconds".to_owned());
    }
    Ok((checked(token)?, seconds.map(Duration::from_secs)))
}

fn checked(token: &str) -> Result<SecretString, String> {
    if token.is_empty() {
        return Err("no token".to_owned());
    }
    if token.len() > LONGEST {
        return Err(format!("a token of more than {LONGEST} octets"));
    }
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("expected a token alone on its line, or JSON with access_token".to_owned());
    }
    Ok(SecretString::from(token))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use async_trait::async_trait;
    use jiff::Timestamp;

    use super::*;
    use crate::clock::Clock;
    use crate::config::settings::Secret;

    #[derive(Debug, Default)]
    struct Hand(AtomicU64);

    #[async_trait]
    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
        fn elapsed(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
        async fn sleep(&self, _: Duration) {}
    }

    fn shell(script: &str, timeout: Duration, clock: &Arc<Hand>) -> Tokens {
        let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Tokens::new(TokenSource::Command { words, timeout }, clock.clone())
    }

    /// A program that prints `one`, then `two`, ... and how often it ran.
    fn counting(folder: &Path, form: &str) -> String {
        let file = folder.join("runs");
        format!("echo x >> {0}; n=$(wc -l < {0}); {form}", file.display())
    }

    const SOON: Duration = Duration::from_secs(20);

    async fn text(tokens: &Tokens) -> String {
        tokens.token().await.map(|t| t.text.expose_secret().to_owned()).unwrap_or_else(|why| panic!("{why}"))
    }

    #[tokio::test]
    async fn a_token_is_kept_until_shortly_before_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand::default());
        let script =
            counting(folder.path(), r#"printf '{"access_token":"t%s","expires_in":3600,"token_type":"Bearer"}' $n"#);
        let tokens = shell(&script, SOON, &clock);
        assert_eq!((text(&tokens).await, text(&tokens).await), ("t1".to_owned(), "t1".to_owned()));
        clock.0.store(3_539, Ordering::Relaxed);
        assert_eq!(text(&tokens).await, "t1");
        clock.0.store(3_540, Ordering::Relaxed);
        assert_eq!(text(&tokens).await, "t2");
    }

    #[tokio::test]
    async fn a_bare_token_is_kept_until_it_is_refused_and_a_fresh_one_is_not_tried_twice() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand::default());
        let tokens = shell(&counting(folder.path(), "echo t$n"), SOON, &clock);
        let first = tokens.token().await.unwrap_or_else(|why| panic!("{why}"));
        assert!(tokens.another(&first).await.is_none(), "it was made for this login");
        clock.0.store(1_000_000, Ordering::Relaxed);
        let kept = tokens.token().await.unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(kept.text.expose_secret(), "t1");
        let another = tokens.another(&kept).await.unwrap().unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(another.text.expose_secret(), "t2");
        // A second connection that was refused with the old one takes what was made meanwhile.
        let another = tokens.another(&kept).await.unwrap().unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(another.text.expose_secret(), "t2");
        assert!(tokens.another(&another).await.is_none());
    }

    #[tokio::test]
    async fn many_connections_run_the_program_once() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Arc::new(shell(&counting(folder.path(), "echo t$n"), SOON, &Arc::default()));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                tokio::spawn({
                    let t = tokens.clone();
                    async move { text(&t).await }
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), "t1");
        }
    }

    #[tokio::test]
    async fn a_failure_is_shared_by_those_who_waited_and_forgotten_soon() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand::default());
        let script = counting(folder.path(), "[ $n -lt 3 ] || { echo t$n; exit 0; }; echo no $n >&2; exit 3");
        let tokens = Arc::new(shell(&script, SOON, &clock));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let tokens = tokens.clone();
                tokio::spawn(async move { tokens.token().await.err() })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap().as_deref(), Some("/bin/sh: exit status: 3 no 1"));
        }
        clock.0.store(2, Ordering::Relaxed);
        assert_eq!(tokens.token().await.err().as_deref(), Some("/bin/sh: exit status: 3 no 1"));
        clock.0.store(3, Ordering::Relaxed);
        assert_eq!(tokens.token().await.err().as_deref(), Some("/bin/sh: exit status: 3 no 2"));
        clock.0.store(6, Ordering::Relaxed);
        assert_eq!(text(&tokens).await, "t3");
    }

    #[tokio::test]
    async fn a_life_without_end_is_no_end_of_the_program() {
        let clock = Arc::new(Hand::default());
        clock.0.store(1_000, Ordering::Relaxed);
        let life = u64::MAX;
        let tokens = shell(&format!(r#"echo '{{"access_token":"t","expires_in":{life}}}'"#), SOON, &clock);
        assert_eq!((text(&tokens).await, text(&tokens).await), ("t".to_owned(), "t".to_owned()));
    }

    #[tokio::test]
    async fn a_program_that_is_given_up_ends_with_its_children() {
        crate::program::tests::ends_with_its_children(|words| async move {
            let source = TokenSource::Command { words, timeout: SOON };
            let _ = Tokens::new(source, Arc::new(Hand::default())).token().await;
        })
        .await;
    }

    #[tokio::test]
    async fn a_program_that_fails_hangs_or_floods_is_told_without_its_secrets() {
        let (long, wide) = ("e".repeat(24), "!e".repeat(41));
        for (script, told) in [
            (
                format!("echo 'no {long} today \"{long}.\" {wide}' >&2; exit 3"),
                "/bin/sh: exit status: 3 no (hidden) today \"(hidden)\" (hidden)",
            ),
            ("exec sleep 1000".to_owned(), "/bin/sh: killed after 0 s"),
            ("head -c 100000 /dev/zero | tr '\\0' a".to_owned(), "/bin/sh: printed more than 65536 octets"),
            ("true".to_owned(), "/bin/sh: no token"),
            ("echo a b".to_owned(), "/bin/sh: expected a token alone on its line, or JSON with access_token"),
            (
                r#"echo '{"error":"invalid_grant"}'"#.to_owned(),
                "/bin/sh: printed JSON without access_token invalid_grant",
            ),
            (
                r#"echo '{"access_token":"t","expires_in":"soon"}'"#.to_owned(),
                "/bin/sh: printed an expires_in that is not a number of seconds",
            ),
            ("echo '{'".to_owned(), "/bin/sh: printed JSON that cannot be read"),
        ] {
            let limit = if script.contains("sleep") { Duration::from_millis(200) } else { SOON };
            let why = shell(&script, limit, &Arc::default()).token().await.err().expect("no token");
            assert!(why.starts_with(told), "{why}");
        }
        let missing = TokenSource::Command { words: vec!["/nonexistent/program".to_owned()], timeout: SOON };
        let why = Tokens::new(missing, Arc::new(Hand::default())).token().await.err().unwrap();
        assert!(why.starts_with("/nonexistent/program: cannot be started"), "{why}");
    }

    #[tokio::test]
    async fn a_file_is_read_at_each_login() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let tokens = Tokens::new(TokenSource::File(path.clone()), Arc::new(Hand::default()));
        assert!(tokens.token().await.err().unwrap().contains("token: "));
        std::fs::write(&path, "one\n").unwrap();
        let first = tokens.token().await.unwrap_or_else(|why| panic!("{why}"));
        assert!(tokens.another(&first).await.is_none(), "it is still the same");
        std::fs::write(&path, "two\n").unwrap();
        assert_eq!(text(&tokens).await, "two");
        assert_eq!(tokens.another(&first).await.unwrap().ok().unwrap().text.expose_secret(), "two");
        let kept = TokenSource::Kept(Secret { place: "env T".into(), text: "env".into() });
        let kept = Tokens::new(kept, Arc::new(Hand::default()));
        assert!(kept.another(&kept.token().await.ok().unwrap()).await.is_none());
    }
}
