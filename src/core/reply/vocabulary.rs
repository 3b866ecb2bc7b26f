//! Owns the words of which refusals are made, by what they speak of: forms (`$mailbox {3} $absent`) name their classes.
//!
//! Invariants: a word is compared as a whole, never a piece of one; addresses, links and numbers are no words, though an address
//! stands for a mailbox and an IP address for the sending host; nothing is read across the end of a sentence.

use std::collections::BTreeMap;
use std::sync::LazyLock;

macro_rules! classes {
    ($($class:ident $name:literal $about:literal [$($words:literal)*])*) => {
        /// What a word speaks of.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Class {
            $(#[doc = $about] $class,)*
        }

        impl Class {
            const ALL: &'static [(Self, &'static str, &'static [&'static str])] =
                &[$((Self::$class, $name, &[$($words),*]),)*];
        }
    };
}

// Of each class the words in the languages in which hosts were seen to speak. Several words stand for what they say together.
classes! {
    Mailbox "mailbox" "Whom the mail is for." [
        "@" "user" "users" "username" "userid" "user's" "recipient" "recipients" "recipient's" "rcpt" "mailbox" "mailboxes"
        "mail box" "mailboxs" "mbox" "folder" "maildrop" "mail drop" "inbox" "account" "accounts" "mail account" "address"
        "addresses"
        "mailaddress" "addressee" "addressees" "alias" "aliases" "local part" "destination" "person" "people" "customer"
        "subscriber" "email id" "mail id" "email account" "e mail address" "email name" "delivery point" "maildir"
        "adresse" "adresse de messagerie" "dirección" "direccion" "indirizzo" "endereço" "adres" "benutzer" "empfänger"
        "empfaenger" "postfach" "konto" "utilisateur" "destinataire" "boîte" "boite" "compte"
        "usuario" "destinatario" "buzón" "buzon" "casilla" "cuenta" "utente" "casella" "usuário" "destinatário" "caixa"
        "conta" "gebruiker" "ontvanger" "postvak" "użytkownik" "konto" "skrzynka" "odbiorca" "användare" "mottagare"
        "пользователь" "получатель" "ящик"
    ]
    Absent "absent" "Said of what is not there, behind it." [
        "unknown" "not known" "not found" "notfound" "no found" "not exist" "not exists" "not existing" "doesn't exist"
        "dosn't exist" "doesnt exist"
        "don't exist" "didn't exist" "nonexistent" "non existent" "unrecognized" "unrecognised" "not recognized"
        "not recognised" "unlisted" "not registered" "isn't registered" "undefined" "not defined" "not there"
        "cannot be found" "can't be found" "couldn't be found" "wasn't found" "no longer exists" "no longer exist"
        "doesn't live here" "has no mailbox" "not present" "not a member" "not match" "not exactly match" "no match"
        "isn't known" "isn't here" "isn't in my list" "not in my list" "not in our list" "not in the list" "not on the list"
        "unbekannt" "existiert nicht" "nicht gefunden" "nicht vorhanden" "inconnu" "inconnue" "existe pas" "introuvable"
        "desconocido" "desconocida" "no existe" "no encontrado" "sconosciuto" "non esiste" "non trovato" "inesistente"
        "inexistente" "desconhecido" "não existe" "nao existe" "não encontrado" "onbekend" "bestaat niet"
        "nieznany" "nie istnieje" "okänd" "finns inte" "неизвестен" "найден" "не существует"
    ]
    NoSuch "no-such" "Said of what is not there, before it." [
        "no such" "unknown" "nonexistent" "non existent" "unrecognized" "unrecognised" "undefined" "no known" "no registered"
        "not a known" "not a recognized" "not a recognised" "not a valid" "not a registered" "not an existing" "no matching"
        "there is no" "there's no" "there are no" "cannot find" "can't find" "couldn't find" "could not find" "unable to find"
        "does not have an" "doesn't have an" "do not have an" "unbekannter" "kein" "keine" "aucun" "aucune" "nessun" "ningún"
        "unable to locate" "cannot locate" "do not recognize" "does not recognize" "don't exists" "doesn't exists"
    ]
    Wrong "wrong" "Said of what may not be there, or is not let in." [
        "invalid" "not valid" "isn't valid" "aren't valid" "bad" "wrong" "incorrect" "illegal" "malformed" "unavailable" "not available"
        "isn't available" "no longer available" "no longer valid" "unverified"
        "cannot be verified" "could not be verified" "not verified" "unable to verify" "unable to validate" "not local"
        "not allowed" "rejected" "refused" "not accepted" "not ok" "denied" "doesn't receive" "not receive" "does not accept"
        "unreachable" "ungültig" "ungueltig" "niedostepne" "invalide" "inválido" "no válido" "invalido" "non valido" "ongeldig"
    ]
    Off "off" "Said of a mailbox that is there and takes nothing." [
        "disabled" "inactive" "inactivated" "inactivity" "deactivated" "suspended" "locked" "closed" "expired" "terminated"
        "frozen" "cancelled" "canceled" "discontinued" "unsubscribed" "not active" "isn't active" "no longer active" "not activated" "not been activated"
        "on hold" "switched off" "turned off" "shut down" "dormant" "never logged" "hasn't logged" "not logged in for"
        "desactivado" "désactivé" "desactive" "deaktiviert" "gesperrt" "disattivato" "sospeso" "bloqueada" "desativada"
        "bloccato" "bloccata" "bloqueado" "bloqueada" "zablokowane" "nieaktywne" "archived" "retired" "hasn't entered"
    ]
    Full "full" "Said of a mailbox without room." [
        "full" "over quota" "overquota" "over limit" "over its limit" "out of space" "out of storage" "out of room" "no space"
        "no room" "overdrawn" "overfull" "over full" "overflow" "not enough space" "not have enough space" "doesn't have enough space" "not enough room" "no more room"
        "insufficient space" "insufficient storage" "space not enough" "not able to receive any more" "cannot receive any more"
        "can't receive any more" "can't accept any more" "cannot accept any more" "too many messages" "too much mail" "maxed out"
        "voll" "überfüllt" "plein" "pleine" "llena" "lleno" "agotado" "piena" "cheia" "lotado" "vol" "full up"
        "przepełniona" "переполнен"
    ]
    Room "room" "What a mailbox has of room." [
        "quota" "diskquota" "storage" "disk space" "diskspace" "dropfile" "space" "mailbox size" "mailbox limit"
        "message count" "number of messages" "storage allocation" "allocated space" "space limit" "disk usage" "allocation"
    ]
    Spent "spent" "Said of room that is used up." [
        "exceeded" "exceeds" "exceed" "exceeding" "reached" "violation" "over" "above" "used up" "exhausted" "overdrawn"
        "full" "not enough" "insufficient" "maximum" "larger than" "out of" "has used" "limit" "dépassé" "excedido"
    ]
    Sender "sender" "Who wrote." [
        "sender" "senders" "sender's" "mail from" "mailfrom" "envelope from" "return path" "originator" "from address"
        "from domain" "from header" "reverse path" "absender" "expéditeur" "expediteur" "remitente" "mittente" "remetente"
    ]
    No "no" "Says that there is none." [
        "no" "kein" "keine" "aucun" "aucune" "nessun" "nenhum" "geen" "brak" "ingen" "нет"
    ]
    Here "here" "Where there is none." [
        "here" "there" "by that name" "by this name" "of that name" "of this name" "with that name" "with this name" "at this site"
        "at this domain" "on this server" "on this system" "on this host" "in this domain" "on our server" "at this address"
        "at our site" "locally"
    ]
    Ip "ip" "The sending host's address." [
        "#" "ip" "ips" "ip address"
    ]
    Peer "peer" "The host from which the mail comes." [
        "#" "ip" "ip address" "ips" "client host" "connecting host" "sending host" "your host" "your server" "mail server" "your mail server"
        "network" "networks" "your network" "your address" "your system" "connecting ip" "sending ip" "source ip"
        "relay host" "connection" "connections"
        "your connection" "your ip"
    ]
    Barred "barred" "Said of whom is not let in." [
        "blocked" "banned" "rejected" "refused" "denied" "denylisted" "blacklisted" "blocklisted" "listed" "black listed"
        "block listed" "not allowed" "not permitted" "not authorized" "not authorised" "not accepted" "unwelcome"
        "not welcome" "prohibited" "forbidden" "filtered" "restricted" "on our" "not trusted" "untrusted" "not in whitelist" "not whitelisted" "not in allowlist" "not on the whitelist"
    ]
    List "list" "A list of bad hosts." [
        "blacklist" "black list" "blacklists" "blocklist" "block list" "denylist" "rbl" "dnsbl" "dnsbls" "pbl" "sbl" "xbl" "rbls"
        "dnsrbl" "bl" "drbl" "ordb"
    ]
    Spam "spam" "Mail that nobody asked for." [
        "spam" "spammy" "spams" "spammer" "spamming" "spamtext" "spamblock" "junk" "bulk" "bulkmail" "unsolicited" "ube" "uce" "phish" "phishing" "scam"
        "dcc" "antispam" "abusive" "spamscore" "spamfilter" "surbl" "uribl" "werbung" "unerwünscht" "indesejado"
    ]
    Mail "mail" "The mail itself." [
        "message" "messages" "mail" "mails" "email" "emails" "e mail" "e mails" "letter" "your message" "nachricht" "mensaje"
        "mensagem" "messaggio"
    ]
    Content "content" "What the mail holds." [
        "content" "contents" "header" "headers" "body" "html" "html tag" "mime" "encoding" "charset" "character" "characters" "words"
        "url" "urls" "link" "links" "field" "fields" "domain in the body" "phone number" "subject" "boundary" "line" "lines"
        "format" "required standards"
        "rfc"
    ]
    Attachment "attachment" "A file with the mail." [
        "attachment" "attachments" "attached file" "file type" "file extension" "executable" "embedded images" "zip" "macro" "macros"
    ]
    Unfit "unfit" "Said of content that is not taken." [
        "rejected" "refused" "denied" "blocked" "banned" "not allowed" "not accepted" "not acceptable" "unacceptable" "restricted"
        "prohibited" "forbidden" "invalid" "illegal" "malformed" "stray" "not comply" "not compliant" "doesn't comply" "violates" "violation"
        "filtered" "restrictions" "filter" "filtering" "not permitted" "not accepting" "suspicious" "not conform"
        "no longer accepts" "not supported" "unsupported" "rejection" "too long" "error"
    ]
    Size "size" "How large." [
        "size" "length" "kb" "mb" "bytes" "octets" "kilobytes" "megabytes"
    ]
    Large "large" "Said of what is too large." [
        "too large" "too big" "too long" "too huge" "oversize" "oversized" "exceeds" "exceeded" "exceed" "over" "larger" "bigger"
        "limit" "limits" "maximum" "max"
    ]
    Many "many" "Said of too much." [
        "too many" "too much" "too frequent" "too often" "excessive" "maximum" "max" "limit" "limit of" "unusual" "excess"
    ]
    Events "events" "What is counted of a sender." [
        "connections" "connection" "sessions" "recipients" "messages" "mails" "emails" "errors" "attempts" "commands" "command"
        "requests" "rcpts" "failures" "hour" "hours" "minute" "day" "rate" "rates" "per hour" "per day" "deliveries" "transactions"
        "logins"
    ]
    Machine "machine" "What a host is made of." [
        "database" "db" "disk" "spool" "queue" "file" "files" "i o" "io" "ldap" "sql" "resource" "resources" "memory" "process" "maildir"
        "lock" "dot lock" "directory service" "mailbox file" "output file" "input output" "homedir" "home directory" "mail system"
        "server" "service" "system" "local delivery" "mail filter" "milter" "content scanner" "scanner" "backend" "storage" "time limit" "command time"
    ]
    Broken "broken" "Said of what fails at the host itself." [
        "error" "errors" "failed" "failure" "fail" "faile" "unavailable" "problem" "problems" "exhausted" "unable to open" "can't open"
        "cannot open" "unable to create" "cannot create" "can't create" "unable to chdir" "not responding" "shutting down" "shutdown"
        "overloaded" "not ready" "maintenance" "crashed" "malfunction" "down" "error opening" "exceeded" "cannot store" "could not write"
        "cannot write" "tempfailed" "tempfail"
    ]
    Domain "domain" "The part of an address behind the sign." [
        "domain" "domains" "domain name" "host" "hosts" "hostname" "host name" "mx" "mx record" "mx records" "mail exchanger"
        "mail exchangers" "exchanger" "destination host" "destination domain" "dns" "nameserver" "mail host"
    ]
    Login "login" "How a client tells who it is." [
        "authentication" "authenticate" "auth" "smtp auth" "login" "log in" "password" "credentials" "logged in" "starttls" "tls" "ssl"
        "check your mail before" "receive your mail before" "pop before smtp" "pop" "apop" "imap"
    ]
    Needed "needed" "Said of what is asked for." [
        "required" "requires" "require" "must" "needed" "only" "turn on" "enable" "authorization" "please" "first" "failed"
        "not accepted" "missing"
    ]
    Proof "proof" "How a sender's name is proven." [
        "spf" "dkim" "dmarc" "arc" "ptr" "rdns" "reverse dns" "reverse lookup" "reverse lookups" "fcrdns" "sender id" "pra"
        "sender policy framework" "spoofed" "spoofing" "spoof" "impersonation" "helo" "domain alignment"
    ]
    Unwilling "unwilling" "What a recipient does with mail." [
        "user rejects" "user reject" "user refuses" "user rejected" "recipient rejects" "recipient reject" "recipient refuses"
        "only accepts mail from" "only accept mail from" "accepts mail only from" "not accepting mail from" "not accept mail from"
        "not accepting messages from" "not accept messages from" "not accept email from" "known senders" "approved senders" "allowed senders"
        "safe senders" "guest list" "blocked by the recipient" "recipient's blocked" "human verification"
    ]
}

type Entry = (Class, Vec<&'static str>);

/// Whether a text says of a mailbox or its domain that it is not there, or of a mailbox that it is switched off or full: what a
/// person seldom writes to another.
#[must_use]
pub fn speaks_of_a_mailbox(text: &str) -> bool {
    use Class as C;
    const FORMS: [&[(usize, Class)]; 8] = [
        &[(0, C::Mailbox), (5, C::Absent)],
        &[(0, C::NoSuch), (2, C::Mailbox)],
        &[(0, C::No), (1, C::Mailbox), (1, C::Here)],
        &[(0, C::Mailbox), (4, C::Full)],
        &[(0, C::Room), (3, C::Spent)],
        &[(0, C::Mailbox), (5, C::Off)],
        &[(0, C::Domain), (3, C::Absent)],
        &[(0, C::NoSuch), (1, C::Domain)],
    ];
    let senses = Senses::of(&text.to_lowercase());
    FORMS.iter().any(|form| senses.have(form))
}

/// What begins with a word.
static BY_WORD: LazyLock<BTreeMap<&'static str, Vec<Entry>>> = LazyLock::new(|| {
    let mut by_word: BTreeMap<&'static str, Vec<Entry>> = BTreeMap::new();
    for (class, _, entries) in Class::ALL {
        for entry in *entries {
            let words: Vec<&str> = entry.split(' ').collect();
            by_word.entry(words[0]).or_default().push((*class, words));
        }
    }
    by_word
});

impl Class {
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(class, _, _)| *class)
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(Self::ALL.iter().find(|(class, _, _)| class == self).map_or("", |(_, name, _)| name))
    }
}

/// The words of a text that have a class: which, from where to where, and in which sentence; in the order of the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Senses(Vec<Sense>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sense {
    class: Class,
    start: usize,
    end: usize,
    sentence: usize,
}

impl Senses {
    /// Of a text in lower case.
    pub(super) fn of(text: &str) -> Self {
        let mut senses = Vec::new();
        let mut at = 0;
        for (sentence, words) in sentences(text).iter().enumerate() {
            for (i, word) in words.iter().enumerate() {
                for (class, entry) in BY_WORD.get(*word).into_iter().flatten() {
                    if words[i..].starts_with(entry) {
                        senses.push(Sense { class: *class, start: at + i, end: at + i + entry.len(), sentence });
                    }
                }
            }
            at += words.len();
        }
        Self(senses)
    }

    /// Whether the classes follow each other, each with at most so many words before it.
    pub(super) fn have(&self, parts: &[(usize, Class)]) -> bool {
        let Some(((_, first), rest)) = parts.split_first() else { return false };
        self.0.iter().filter(|sense| sense.class == *first).any(|sense| self.go_on(sense, rest))
    }

    fn go_on(&self, before: &Sense, parts: &[(usize, Class)]) -> bool {
        let Some(((between, class), rest)) = parts.split_first() else { return true };
        // In order of where they begin: only those near by are looked at, however long the text is.
        let from = self.0.partition_point(|sense| sense.start < before.end);
        self.0[from..]
            .iter()
            .take_while(|sense| sense.start <= before.end + between)
            .filter(|sense| sense.class == *class && sense.sentence == before.sentence)
            .any(|sense| self.go_on(sense, rest))
    }
}

/// The words of each sentence.
fn sentences(text: &str) -> Vec<Vec<&str>> {
    let mut all = vec![Vec::new()];
    for token in text.split(' ') {
        let Some(last) = all.last_mut() else { break };
        if token.contains("://") || token.starts_with("www.") {
            continue;
        }
        let rest = match token.rfind('@') {
            Some(sign) => {
                last.push("@");
                let domain = &token[sign + 1..];
                &domain[domain.find(|c: char| !c.is_alphanumeric() && !"-.".contains(c)).unwrap_or(domain.len())..]
            }
            None => token,
        };
        let bare = rest.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        if is_ip(bare) {
            last.push("#");
        } else {
            let words = rest.split(|c: char| !c.is_alphanumeric() && c != '\'').map(without_article);
            last.extend(words.filter(|word| !word.is_empty() && !word.bytes().all(|b| b.is_ascii_digit())));
        }
        // `<a@b.example>... User unknown` goes on.
        let ends = token.trim_end_matches(['"', '\'', ')']);
        if ends.ends_with(['.', '!', '?', ';']) && !ends.ends_with("..") {
            all.push(Vec::new());
        }
    }
    all
}

/// Whether it is written as an IP address is.
fn is_ip(word: &str) -> bool {
    let is_v4 = word.split('.').count() == 4 && word.split('.').all(|part| part.parse::<u8>().is_ok());
    let is_v6 = word.matches(':').count() >= 2 && word.bytes().all(|b| b.is_ascii_hexdigit() || b".:".contains(&b));
    is_v4 || is_v6
}

/// A word without quotes and without the article or particle that stands before it in Italian and French: `l'utente`.
fn without_article(word: &str) -> &str {
    let bare = word.trim_matches('\'');
    match bare.split_once('\'') {
        Some((article, rest)) if article.chars().count() == 1 && rest.chars().count() > 2 => rest,
        _ => bare,
    }
}

#[cfg(test)]
mod tests {
    use super::super::TextPattern;
    use super::*;

    fn fits(form: &str, text: &str) -> bool {
        TextPattern::new(form).fits(&text.to_lowercase())
    }

    #[test]
    fn a_form_is_found_in_the_words_of_one_sentence() {
        for (form, text) in [
            ("$mailbox {4} $absent", "The mailbox of this colleague is unknown"),
            ("$mailbox {3} $absent", "<nobody@b.example>: not found"),
            ("$mailbox {3} $absent", "nobody@b.example... is_not_registered here"),
            ("$no-such {2} $mailbox", "There is no virtual mailbox of that kind"),
            ("$peer {4} $barred", "Your host 192.0.2.9 is currently blocked"),
            ("$mailbox {4} $off", "konto is gesperrt"),
        ] {
            assert!(fits(form, text), "{form}: {text}: {:?}", sentences(&text.to_lowercase()));
        }
        for (form, text) in [
            ("$mailbox {3} $absent", "We know this mailbox. Unknown is the rest"),
            ("$mailbox {3} $absent", "see https://mx.example/mailbox unknown"),
            ("$mailbox {1} $absent", "mailbox one two three unknown"),
            ("$mailbox {3} $absent", "unknown mailbox"),
            ("$mailbox {3} $absent", "mailboxing unknowns"),
        ] {
            assert!(!fits(form, text), "{form}: {text}");
        }
    }

    #[test]
    fn an_ip_address_is_told_from_numbers_names_and_times() {
        for ip in ["192.0.2.9", "2001:db8::25", "::ffff:192.0.2.9"] {
            assert!(is_ip(ip), "{ip}");
        }
        for other in ["5.7.1", "10.2.300.1", "10:30", "mx.b.example", "ab:cd", ""] {
            assert!(!is_ip(other), "{other}");
        }
    }

    #[test]
    fn a_name_that_is_no_class_is_told() {
        assert_eq!(TextPattern::unknown_class("$mailbox {3} $absent"), None);
        assert_eq!(TextPattern::unknown_class("$mailbox {3} $asbent"), Some("$asbent"));
        assert_eq!(TextPattern::unknown_class("$mailbox three $absent"), Some("three"));
        assert_eq!(TextPattern::unknown_class("costs $5"), None);
    }

    #[test]
    fn every_word_is_in_lower_case_and_has_no_sign_that_parts_words() {
        for (class, _, entries) in Class::ALL {
            for entry in *entries {
                let told = sentences(entry);
                let sign = ["@", "#"].contains(entry);
                assert!(sign || told == vec![entry.split(' ').collect::<Vec<_>>()], "{class}: {entry:?} {told:?}");
                assert_eq!(*entry, entry.to_lowercase(), "{class}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_senses(text in "\\PC{0,200}") {
            let _ = Senses::of(&text.to_lowercase());
        }
    }
}
