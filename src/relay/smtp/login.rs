//! Owns the login: AUTH PLAIN, or AUTH LOGIN where the server offers nothing better.
//!
//! Invariants: nothing of the credentials is ever part of an answer, an error or a log; a mechanism the server does not
//! offer is not tried.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;

use super::session::{Session, ended, expect};
use crate::config::settings::Login;
use crate::core::reply::{Answer, Delivery, Fault, Stage};

const DONE: u16 = 235;
const GO_ON: u16 = 334;

/// Logs in (RFC 4954).
pub(super) async fn log_in(session: &mut Session, account: &Login) -> Result<(), Delivery> {
    let password = account.password.text.expose_secret();
    let plain_token = STANDARD.encode(format!("\0{}\0{password}", account.user));
    let password_token = STANDARD.encode(password);
    let done = if session.offered.plain {
        plain(session, &plain_token).await
    } else if session.offered.login {
        login(session, &account.user, &password_token).await
    } else {
        let what = Fault::NotOffered("AUTH PLAIN or AUTH LOGIN".into());
        Err(ended(Stage::Auth, Answer::Fault(what)))
    };
    done.map_err(|delivery| without(delivery, &[&plain_token, &password_token, password]))
}

/// Some servers repeat the line that they refuse; its secrets go no further.
fn without(mut delivery: Delivery, secrets: &[&str]) -> Delivery {
    let text = match &mut delivery.answer {
        Answer::Reply(reply) => &mut reply.text,
        Answer::Fault(Fault::Protocol(why)) => why,
        Answer::Fault(_) => return delivery,
    };
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        *text = text.replace(secret, "(hidden)");
    }
    delivery
}

async fn plain(session: &mut Session, token: &str) -> Result<(), Delivery> {
    let answer = session.ask(Stage::Auth, format!("AUTH PLAIN {token}\r\n")).await?;
    // Some servers ask again although the token came with the command.
    let answer = expect(&[DONE, GO_ON], Stage::Auth, answer)?;
    if answer.code == GO_ON {
        let answer = session.ask(Stage::Auth, format!("{token}\r\n")).await?;
        expect(&[DONE], Stage::Auth, answer)?;
    }
    Ok(())
}

async fn login(session: &mut Session, user: &str, password_token: &str) -> Result<(), Delivery> {
    let answer = session.ask(Stage::Auth, "AUTH LOGIN\r\n").await?;
    expect(&[GO_ON], Stage::Auth, answer)?;
    let answer = session.ask(Stage::Auth, format!("{}\r\n", STANDARD.encode(user))).await?;
    expect(&[GO_ON], Stage::Auth, answer)?;
    let answer = session.ask(Stage::Auth, format!("{password_token}\r\n")).await?;
    expect(&[DONE], Stage::Auth, answer)?;
    Ok(())
}
