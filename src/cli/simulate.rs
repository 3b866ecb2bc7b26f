//! Owns `simulate`: the carrier simulator as a server of its own, until it is told to stop.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::{Context, Exit, Failure, Outcome};
use crate::config::groups_file::{Destinations, read_destinations};
use crate::config::problem::{SourceFile, render};
use crate::core::names::GroupName;
use crate::core::units::Share;
use crate::report::words::{Table, number};
use crate::sim::{Counts, Manners};
use crate::simulator::{Options, Simulator};

/// `simulate`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Port on 127.0.0.1; 0 takes any free one
    #[arg(long, default_value_t = 2525)]
    port: u16,
    /// File of destination groups of one's own, laid over the shipped ones (may be given again)
    #[arg(long, value_name = "FILE")]
    groups: Vec<PathBuf>,
    /// Which world: the same number makes the same addresses unknown
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Share of addresses that nobody has; `none` for none
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = share)]
    unknown: MaybeShare,
    /// Share of addresses whose mailbox is full; `none` for none
    #[arg(long, value_name = "SHARE", default_value = "none", value_parser = share)]
    full: MaybeShare,
    /// What the carriers bear, against each group's rate and connections
    #[arg(long, value_name = "SHARE", default_value = "200%")]
    bears: Share,
    /// Want this login (AUTH PLAIN or LOGIN)
    #[arg(long, value_name = "USER:PASSWORD")]
    login: Option<String>,
}

/// A share, or none at all (a share is above zero).
type MaybeShare = Option<Share>;

fn share(text: &str) -> Result<MaybeShare, String> {
    match text {
        "none" | "0%" | "0" => Ok(None),
        text => text.parse().map(Some).map_err(|e: crate::core::units::UnitError| e.to_string()),
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    context.start_log();
    let options = options(args)?;
    context.block_on(serve(options, context))?;
    Ok(Exit::Done)
}

fn options(args: Args) -> Result<Options, Failure> {
    let login = match args.login.as_deref().map(|l| l.split_once(':')) {
        None => None,
        Some(Some((user, password))) => Some((user.to_owned(), password.to_owned())),
        Some(None) => return Err(Failure::usage("--login wants USER:PASSWORD")),
    };
    let mut destinations = Destinations::shipped();
    for path in &args.groups {
        let file = SourceFile::open(path).map_err(|problem| Failure::refused(render(&[*problem], false)))?;
        let read = read_destinations(&file, destinations);
        destinations = read.value.ok_or_else(|| Failure::refused(render(&read.problems, false)))?;
    }
    let manners =
        Manners { seed: args.seed, unknown: args.unknown, full: args.full, bears: args.bears, ..Manners::default() };
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    Ok(Options { listen, groups: Arc::new(destinations.groups), manners, login })
}

async fn serve(options: Options, context: &Context) -> Result<(), Failure> {
    let asks = options.login.as_ref().map(|(user, _)| user.clone());
    let listen = options.listen;
    let signals = signal(SignalKind::interrupt()).and_then(|i| signal(SignalKind::terminate()).map(|t| (i, t)));
    let (mut interrupt, mut terminate) =
        signals.map_err(|error| Failure::later(format!("signals cannot be waited for: {error}")))?;
    let simulator = Simulator::start(options, context.clock.clone()).await.map_err(|error| {
        Failure::later(format!("{listen} cannot be listened on: {error}\n  `--port 0` takes any free port"))
    })?;
    context.remark(&greeting(simulator.addr(), asks.as_deref()));
    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    let counts = simulator.stop().await;
    context.answer(&counts, &counts_text(&counts))
}

fn greeting(addr: SocketAddr, user: Option<&str>) -> String {
    let auth = user
        .map_or(String::new(), |user| format!("      auth: {{ user: {user}, password: {{ env: SIM_PASSWORD }} }}\n"));
    format!(
        "The carriers answer on {addr}. They keep no mail and count what they do; Ctrl-C ends them and prints the counts.\n\
         A relay for them in hikagen.yaml:\n\n  relays:\n    simulator:\n      host: {}\n      port: {}\n      tls: none\n{auth}      \
         answers: carrier\n      domain: m.example.jp\n      plan: steady\n",
        addr.ip(),
        addr.port()
    )
}

/// The counts as tables: groups, then what was said.
pub(super) fn counts_text(counts: &BTreeMap<GroupName, Counts>) -> String {
    let mut table = Table::new(
        ["GROUP", "OFFERED", "ACCEPTED", "DEFERRED", "BOUNCED", "RESET", "DROPPED", "SESSIONS"],
        &[1, 2, 3, 4, 5, 6, 7],
    );
    let mut said = Table::new(["GROUP", "TIMES", "WORDS"], &[1]);
    let mut sum = Counts::default();
    let cells = |name: String, c: &Counts| {
        let figures = [c.offered, c.accepted, c.deferred, c.bounced, c.reset, c.dropped, c.sessions_peak].map(number);
        let [offered, accepted, deferred, bounced, reset, dropped, sessions] = figures;
        [name, offered, accepted, deferred, bounced, reset, dropped, sessions]
    };
    for (group, of_group) in counts {
        sum.add(of_group);
        table.row(cells(group.to_string(), of_group));
        for (words, times) in &of_group.said {
            said.row([group.to_string(), number(*times), words.replacen(" - ", " ", 1)]);
        }
    }
    if counts.is_empty() {
        return "No mail was offered.\n".to_owned();
    }
    table.row(cells("all".to_owned(), &sum));
    let said = said.render("");
    let gap = if said.is_empty() { "" } else { "\n" };
    format!("{}{gap}{said}", table.render(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_may_be_none() {
        assert_eq!(share("none"), Ok(None));
        assert_eq!(share("2%"), Ok(Some(Share::percent(2))));
        assert!(share("two").is_err());
    }

    #[test]
    fn counts_are_shown_with_their_sum_and_their_words() {
        let mut counts = BTreeMap::new();
        let name = |n: &str| GroupName::new(n).expect("a name");
        let said = BTreeMap::from([("550 - Unknown user {addr}".to_owned(), 2)]);
        counts
            .insert(name("docomo"), Counts { offered: 1_002, accepted: 1_000, bounced: 2, said, ..Counts::default() });
        counts.insert(name("au"), Counts { offered: 5, accepted: 5, ..Counts::default() });
        let text = counts_text(&counts);
        assert!(text.contains("\ndocomo    1,002     1,000         0        2 "), "{text}");
        assert!(text.contains("\nall       1,007     1,005 "), "{text}");
        assert!(text.ends_with("docomo      2  550 Unknown user {addr}\n"), "{text}");
        assert_eq!(counts_text(&BTreeMap::new()), "No mail was offered.\n");
    }
}
