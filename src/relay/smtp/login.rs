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
    if session.offered.plain {
        plain(session, account).await
    } else if session.offered.login {
        login(session, account).await
    } else {
        let what = Fault::NotOffered("AUTH PLAIN or AUTH LOGIN".into());
        Err(ended(Stage::Auth, Answer::Fault(what)))
    }
}

async fn plain(session: &mut Session, account: &Login) -> Result<(), Delivery> {
    let token = STANDARD.encode(format!("\0{}\0{}", account.user, account.password.text.expose_secret()));
    let answer = session.ask(Stage::Auth, format!("AUTH PLAIN {token}\r\n")).await?;
    // Some servers ask again although the token came with the command.
    let answer = expect(&[DONE, GO_ON], Stage::Auth, answer)?;
    if answer.code == GO_ON {
        let answer = session.ask(Stage::Auth, format!("{token}\r\n")).await?;
        expect(&[DONE], Stage::Auth, answer)?;
    }
    Ok(())
}

async fn login(session: &mut Session, account: &Login) -> Result<(), Delivery> {
    let answer = session.ask(Stage::Auth, "AUTH LOGIN\r\n").await?;
    expect(&[GO_ON], Stage::Auth, answer)?;
    let user = STANDARD.encode(&account.user);
    let answer = session.ask(Stage::Auth, format!("{user}\r\n")).await?;
    expect(&[GO_ON], Stage::Auth, answer)?;
    let password = STANDARD.encode(account.password.text.expose_secret());
    let answer = session.ask(Stage::Auth, format!("{password}\r\n")).await?;
    expect(&[DONE], Stage::Auth, answer)?;
    Ok(())
}
