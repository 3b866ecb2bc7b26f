//! Owns the login: AUTH PLAIN, AUTH LOGIN or AUTH XOAUTH2, as the configuration says and the server offers.
//!
//! Invariants: nothing of the credentials is ever part of an answer, an error or a log; a mechanism the server does not
//! offer is not tried; a session that comes here is encrypted, or on loopback.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;

use super::hiding::hidden;
use super::session::{Session, ended, expect};
use super::token::{Token, Tokens};
use crate::config::settings::{Login, Mechanism, Proof, RelaySettings};
use crate::core::reply::{Answer, Delivery, Fault, Stage};

const DONE: u16 = 235;
const GO_ON: u16 = 334;

/// Logs in (RFC 4954). `tokens`: of this relay, where it logs in by token.
pub(super) async fn log_in(
    session: &mut Session,
    settings: &RelaySettings,
    account: &Login,
    tokens: Option<&Tokens>,
) -> Result<(), Delivery> {
    match (&account.proof, tokens) {
        (Proof::Password(secret, mechanism), _) => {
            by_password(session, &account.user, secret.text.expose_secret(), *mechanism).await
        }
        (Proof::Token(_), Some(tokens)) => by_token(session, settings, &account.user, tokens).await,
        (Proof::Token(_), None) => Err(no_token("this relay keeps no tokens".to_owned())),
    }
}

async fn by_password(session: &mut Session, user: &str, password: &str, mechanism: Mechanism) -> Result<(), Delivery> {
    let plain_token = STANDARD.encode(format!("\0{user}\0{password}"));
    let password_token = STANDARD.encode(password);
    let (plain_offered, login_offered) = (session.offered.plain, session.offered.login);
    let done = match mechanism {
        Mechanism::Offered | Mechanism::Plain if plain_offered => plain(session, &plain_token).await,
        Mechanism::Offered | Mechanism::Login if login_offered => login(session, user, &password_token).await,
        Mechanism::Offered => Err(not_offered("AUTH PLAIN or AUTH LOGIN")),
        Mechanism::Plain => Err(not_offered("AUTH PLAIN")),
        Mechanism::Login => Err(not_offered("AUTH LOGIN")),
    };
    done.map_err(|delivery| without(delivery, &[&plain_token, &password_token, password]))
}

fn not_offered(what: &str) -> Delivery {
    ended(Stage::Auth, Answer::Fault(Fault::NotOffered(what.into())))
}

fn no_token(why: String) -> Delivery {
    ended(Stage::Auth, Answer::Fault(Fault::Token(why)))
}

/// Some servers repeat the line that they refuse, or a part of it; its secrets go no further.
fn without(mut delivery: Delivery, secrets: &[&str]) -> Delivery {
    let text = match &mut delivery.answer {
        Answer::Reply(reply) => &mut reply.text,
        Answer::Fault(Fault::Protocol(why)) => why,
        Answer::Fault(_) => return delivery,
    };
    *text = hidden(text, secrets);
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

/// Logs in by token; where one is refused that was not made for this login, once more with another.
async fn by_token(
    session: &mut Session,
    settings: &RelaySettings,
    user: &str,
    tokens: &Tokens,
) -> Result<(), Delivery> {
    if !session.offered.xoauth2 {
        return Err(not_offered("AUTH XOAUTH2"));
    }
    let mut token = tokens.token().await.map_err(no_token)?;
    loop {
        let refused = match xoauth2(session, settings, user, &token).await {
            Err(delivery) if is_refusal(&delivery) => delivery,
            done => return done,
        };
        match tokens.another(&token).await {
            Some(Ok(another)) => token = another,
            Some(Err(why)) => {
                tracing::warn!(relay = %settings.name, "the token was refused, and there is no other: {why}");
                return Err(refused);
            }
            None => return Err(refused),
        }
    }
}

fn is_refusal(delivery: &Delivery) -> bool {
    matches!(&delivery.answer, Answer::Reply(reply) if reply.code >= 500)
}

/// One AUTH XOAUTH2 (developers.google.com/workspace/gmail/imap/xoauth2-protocol).
async fn xoauth2(session: &mut Session, settings: &RelaySettings, user: &str, token: &Token) -> Result<(), Delivery> {
    let text = token.text.expose_secret();
    let line = STANDARD.encode(format!("user={user}\x01auth=Bearer {text}\x01\x01"));
    let secrets = [line.as_str(), text];
    let told = |delivery| without(delivery, &secrets);
    let answer = session.ask(Stage::Auth, format!("AUTH XOAUTH2 {line}\r\n")).await.map_err(told)?;
    let mut answer = expect(&[DONE, GO_ON], Stage::Auth, answer).map_err(told)?;
    if answer.code == GO_ON && answer.reply().text.is_empty() {
        // Some servers ask again although the token came with the command.
        let again = session.ask(Stage::Auth, format!("{line}\r\n")).await.map_err(told)?;
        answer = expect(&[DONE, GO_ON], Stage::Auth, again).map_err(told)?;
    }
    if answer.code == GO_ON {
        let why = hidden(&challenge(&answer.reply().text), &secrets);
        tracing::warn!(relay = %settings.name, "the token is refused: {why}");
        // The refusal itself follows an empty answer.
        let refusal = session.ask(Stage::Auth, "\r\n").await.map_err(told)?;
        expect(&[DONE], Stage::Auth, refusal).map_err(told)?;
    }
    Ok(())
}

/// What a challenge after a refused token says: the base64 of a JSON object.
fn challenge(text: &str) -> String {
    const SHOWN: usize = 300;
    let Ok(bytes) = STANDARD.decode(text.trim()) else { return "in words that cannot be read".to_owned() };
    let said = match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes) {
        Ok(object) => {
            let pair = |(key, value): (&String, &serde_json::Value)| match value.as_str() {
                Some(text) => format!("{key} {text}"),
                None => format!("{key} {value}"),
            };
            object.iter().map(pair).collect::<Vec<_>>().join(", ")
        }
        Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
    };
    said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_told_in_words() {
        for (text, words) in [
            (
                r#"{"status":"401","schemes":"Bearer","scope":"https://mail.google.com/"}"#,
                "status 401, schemes Bearer, scope https://mail.google.com/",
            ),
            (r#"{"status":400}"#, "status 400"),
            ("no\u{7} JSON", "no  JSON"),
        ] {
            assert_eq!(challenge(&STANDARD.encode(text)), words);
        }
        assert_eq!(challenge("!!"), "in words that cannot be read");
    }
}
