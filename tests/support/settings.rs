//! Owns settings for tests: a relay on loopback with short patience, under a plan that asks for nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hikagen::config::settings::{
    Answers, Login, Mechanism, Proof, RelayLimits, RelaySettings, RetrySettings, Secret, Timeouts, TlsMode,
    TokenSource, Uncertain, Warmup,
};
use hikagen::core::plan::{
    Avoid, Curve, CurveShape, Gate, LanePlan, Plan, Source, Sourced, Spread, Then, Throttling, UNKNOWN_BUDGET,
    WeekHours,
};
use jiff::civil::Time;
use jiff::tz::TimeZone;

fn built_in<T>(value: T) -> Sourced<T> {
    Sourced { value, source: Source::BuiltIn }
}

/// A plan with one entry: the same volume every day, at any hour.
pub fn plan(per_day: u32) -> Arc<Plan> {
    let lane = LanePlan {
        curve: built_in(Curve {
            shape: CurveShape::Listed { values: vec![per_day], preset: None },
            scale: None,
            then: Then::Last,
            up_to: None,
        }),
        rate: None,
        burst: None,
        per_hour: None,
        connections: None,
        messages_per_connection: None,
        window: built_in(WeekHours::always()),
        avoid: built_in(Avoid::default()),
        spread: built_in(Spread::Asap),
        jitter: None,
        transactional: None,
        cooldown: built_in(Duration::from_secs(3_600)),
        gate: Gate::default(),
        throttling: Throttling::default(),
        unknown_budget: built_in(UNKNOWN_BUDGET),
    };
    Arc::new(Plan {
        name: "test".parse().unwrap(),
        timezone: TimeZone::UTC,
        day_starts: Time::midnight(),
        lanes: BTreeMap::new(),
        default: Arc::new(lane),
        text: "".into(),
    })
}

/// A relay at `127.0.0.1:port`, in clear, without login.
pub fn relay(port: u16) -> RelaySettings {
    RelaySettings {
        name: "test".parse().unwrap(),
        known: None,
        host: "127.0.0.1".into(),
        port,
        tls: TlsMode::None,
        ca: None,
        auth: None,
        domain: "sender.example".into(),
        hello: None,
        plan: plan(1_000_000),
        plan_source: "built for the test".into(),
        next_plan: None,
        ears: Vec::new(),
        warmup: Warmup { day: 1, started: None },
        limits: RelayLimits::default(),
        envelope_from: None,
        headers: Vec::new(),
        answers: Answers::Own,
        signs: None,
        dkim: None,
        source_address: None,
        pipelining: true,
        uncertain: Uncertain::Retry,
        timeouts: Timeouts::default(),
        retry: RetrySettings::default(),
    }
}

/// A login as read from the environment.
pub fn login(user: &str, password: &str) -> Login {
    let secret = Secret { place: "env TEST".into(), text: password.into() };
    Login { user: user.into(), proof: Proof::Password(secret, Mechanism::Offered) }
}

/// A login by a token as read from the environment.
pub fn token(user: &str, token: &str) -> Login {
    let secret = Secret { place: "env TEST".into(), text: token.into() };
    Login { user: user.into(), proof: Proof::Token(TokenSource::Kept(secret)) }
}

/// A login by the token that a shell script prints.
pub fn token_by(user: &str, script: &str) -> Login {
    let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let source = TokenSource::Command { words, timeout: Duration::from_secs(20) };
    Login { user: user.into(), proof: Proof::Token(source) }
}
