//! # Hikagen (火加減): the right heat
//!
//! Warm a sending IP too fast and the carriers block it; too slowly and the newsletter never arrives. Hikagen releases a queue of
//! newsletters through authenticated SMTP relays, at the speed that each destination will take. This page is its architecture.
//!
//! ## Bird's eye
//!
//! ```text
//! campaign.yaml + list -> intake -> store (queued)
//!                                     |
//!    plan.yaml --> Schedule --wants--> claim     quota spent, one transaction for all lanes of a tick, durable
//!    (core, pure)     |                 |
//!                     |              compose     late: the stored revision, relay headers, tokens
//!                     |                 |
//!                  release ---------> deliver    throttle tokens taken just before MAIL, connection in hand
//!                     ^                 |
//!                     |              Delivery    stage, reply or fault: facts
//!                     |                 |
//!                  effects <-- rules -> settle   what became of it, batched, fenced by the claim
//! ```
//!
//! *Decide* and *do* are apart. [`core`] is pure: plan + ledger + now + events -> decisions. [`worker`] is the shell around it:
//! one task owns a relay with all its lanes, so that the relay account's limits and the lanes' limits are plain numbers in one
//! place. Their ledgers and the lease lie in the [`store`].
//!
//! ## Where to begin reading
//!
//! - What may leave now, and why not: [`core::schedule::Schedule`] (`wants`, `release`, `explain`).
//! - The path of one message: `worker/relay_loop.rs`, then `worker/bookkeeping.rs` (claim, settle) and `worker/hand_over.rs` (release, answers).
//! - What a reply means: [`core::reply::Rules`], with the rules as data in `plans/replies.yaml`.
//! - What is durable: [`store::Store`], word by word; `store/sqlite` is the embedded one.
//! - What comes back from beyond the relay: [`feedback::Ear`], whatever the way ([`feedback::mail`], [`feedback::log`],
//!   [`feedback::provider`], [`listener`]).
//! - What operators write: [`config`], every key of it in the tables of [`config::keys`]; what they read: [`report`].
//! - What is known of relays by name: [`config::presets`], with the facts as data in `plans/relays.yaml`.
//!
//! ## Floors
//!
//! A floor uses only what lies below it; a test (`tests/house`) keeps them.
//!
//! ```text
//! edges        main  cli  listener  simulator  telemetry  build the real Store, Relay, Clock; talk to people
//! application  worker  intake  feedback  report  forecast  sim  use traits only: never name SQLite or a socket
//! adapters     store/sqlite  relay/smtp
//! ports        trait Store  trait Relay  trait Clock  compose  config  program
//! core         names units address campaign feedback plan lane schedule reply retry moment
//! ```
//!
//! Architecture invariants, mostly of what is absent:
//! - `core` reads no clock, opens nothing, is not async, draws no random number and does not log. `now` is an argument.
//! - Only [`clock`] reads the time. Tests and the demonstration give the worker a clock with a start and a speed.
//! - Nothing above the adapters knows SQL or SMTP. Nothing below [`cli`] knows a terminal.
//! - Three traits in the whole program: [`store::Store`], [`relay::Relay`] (with its connection), [`clock::Clock`].
//! - A refused message is a value, never an error; errors are for what stops *us*.
//!
//! ## A message's life
//!
//! ```text
//! queued --claim--> claimed --250 to the final dot--> accepted      (by the relay: we never say "delivered")
//!   ^                  |------- refused for good ---> bounced       (+ suppression, when the address is unknown)
//!   |                  |------- too old ------------> expired
//!   +---- deferred <---|------- tried again later
//!   |        ^         |------- given back unsent --> queued        (quota given back on the same plan day)
//!   |        +-uncertain--------+                                   (lost after the final dot: once retried, then)
//!   |                           +------------------> parked         (waits for `message settle`, or a report)
//!   +--> suppressed (address on the list), cancelled (by the operator), expired (`not_after`)
//! ```
//!
//! Final: accepted, bounced, expired, suppressed, cancelled. A final state is never left: whoever settles names the claim, and a
//! claim is settled once.
//!
//! Some time after a campaign ended (`retention`, 90 days) its messages and attempts are folded into counts. What is open is
//! never folded, however old: a resubmission must find every key that it ever had. The name of what ended cannot be submitted
//! again, so nothing can be sent twice by forgetting.
//!
//! ## What a crash leaves behind
//!
//! Quota is spent before the first byte goes out, so a crash may waste some, never exceed it. What was claimed and not settled is
//! *uncertain*: at most twice the relay's connections or a second of its pace. It is tried once more, with the same Message-ID,
//! then parked. A report that bears its token and tells its fate settles it, parked or waiting. A mailer can avoid loss, but not every
//! duplicate; these are counted and shown.
//!
//! ## Decisions
//!
//! 1. *Quota counts attempts, spent at claim.* A quota that counted acceptances could be passed by a crash. What would change our
//!    mind: a relay that tells its own count reliably.
//! 2. *Throttle state is not stored.* After a start every bucket is empty: exact, and always safe. Counters (plan day, rolling hour
//!    and day) are stored.
//! 3. *The relay is the unit of ownership, the lane of decision.* Leasing lanes would make the account's limits a distributed problem.
//! 4. *Messages wait per bucket and pool, not per relay.* A warm relay takes what a cold one may not, and leaves it what it needs
//!    ([`core::schedule::Schedule::needs`]).
//! 5. *A weighted least-served rule shares a lane between campaigns,* not round robin by deficit: the same shares, exact at any claim size.
//! 6. *A report is matched by the signed token first*, and a message counts once per fate, whatever the way: mail and log may both
//!    tell of it. What came back is written beside a final state, never in its place ([`store::feedback`]).
//! 7. *A plan day is judged once, and late answers may only make it worse* ([`core::schedule::judge`]): by volume first, then by how its
//!    messages were answered, each of them counted once; a day without a handover never counts. What a lane carries from day to day
//!    ([`core::lane::Ramp`]) lies in its ledger, so that nothing of it is lost by a restart.
//! 8. *Orders about a lane's course go through its owner*, who stores the ledger and the journal's entry together.

pub mod cli;
pub mod clock;
pub mod compose;
pub mod config;
pub mod core;
pub mod feedback;
pub mod forecast;
pub mod intake;
pub mod listener;
pub mod program;
pub mod relay;
pub mod report;
pub mod sim;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod worker;
