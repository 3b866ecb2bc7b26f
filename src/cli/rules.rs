//! Owns `rules`: what a reply means and by which rule; each order has a file of its own.

mod list;
mod test;
mod unknown;

use super::{Context, Failure, Outcome};
use crate::config::groups_file::Destinations;
use crate::config::problem::did_you_mean;
use crate::config::{Config, presets};
use crate::core::names::GroupName;
use crate::core::plan::Groups;
use crate::core::reply::{Provider, Rule};

/// `rules ...`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, clap::Subcommand)]
enum Order {
    /// Say what a reply means, which rule says so, and what it does to message, address, lane, relay and campaign
    Test(test::Args),
    /// Print the rules in the order in which they are tried
    List(list::Args),
    /// List the replies that no rule knows, the most frequent first
    Unknown(unknown::Args),
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    match args.order {
        Order::Test(args) => test::run(&args, context),
        Order::List(args) => list::run(&args, context),
        Order::Unknown(args) => unknown::run(&args, context),
    }
}

/// The groups and rules in force: the configuration's, or where there is none the shipped ones.
fn in_force(context: &Context) -> Result<(Destinations, Option<Config>), Failure> {
    if context.store.is_none() && !context.config_path.exists() {
        context
            .remark(&format!("there is no configuration {}: the shipped rules answer", context.config_path.display()));
        return Ok((Destinations::shipped(), None));
    }
    let config = context.load_config()?;
    let known = Destinations { groups: (*config.groups).clone(), rules: (*config.rules).clone() };
    Ok((known, Some(config)))
}

/// The group of this name, or what is near.
fn known_group(name: &str, groups: &Groups) -> Result<GroupName, Failure> {
    let found = groups.iter().find(|group| group.name.as_str() == name);
    found.map(|group| group.name.clone()).ok_or_else(|| no_such("group", name, groups.iter().map(|g| g.name.as_str())))
}

/// The kind of relay of this name, or what is near.
fn known_kind(name: &str) -> Result<&'static str, Failure> {
    presets::kinds().find(|kind| *kind == name).ok_or_else(|| no_such("kind of relay", name, presets::kinds()))
}

fn no_such<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let known: Vec<&str> = known.collect();
    let help = match did_you_mean(name, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("known: {}", known.join(", ")),
    };
    Failure::refused(format!("there is no {what} \"{}\"\n  {help}", name.escape_debug()))
}

/// Whose words a rule knows, in words.
fn whose(rule: &Rule) -> String {
    match &rule.provider {
        Provider::Group(group) => format!("group {group}"),
        Provider::Relay(kind) => format!("relays of kind {kind}"),
        Provider::Generic => "anybody".to_owned(),
    }
}
