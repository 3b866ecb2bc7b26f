//! Owns the keys of `listen`. Read by `config::config_file::listen`.

use super::Shape::{Either, Scalar};
use super::forms::{ADDRESS, NETWORK, SOCKET};
use super::{Key, Table, list};

/// `listen`.
pub static LISTEN: Table = Table::new(
    "listen",
    &[&[
        Key::new(
            "http",
            Scalar(&ADDRESS),
            "Address and port of the worker's own HTTP server: unsubscribe links (/u/TOKEN) and providers' events \
             (/events/PROVIDER). Plain HTTP, for a proxy in front of it. Default: not listened.",
        ),
        Key::new(
            "smtp",
            Scalar(&ADDRESS),
            "Address and port where bounces are taken by SMTP. Only addresses that Hikagen put on its mail are taken, without \
             login and TLS; nothing is forwarded. Default: not listened.",
        ),
        Key::new(
            "lmtp",
            Either(&[Scalar(&ADDRESS), Scalar(&SOCKET)]),
            "The same by LMTP: address and port, or the path of a Unix socket. Default: not listened.",
        ),
        Key::new(
            "allow",
            list(&Scalar(&NETWORK)),
            "Networks of the relays and MX that may connect by SMTP and LMTP, beside loopback. Default: loopback alone.",
        ),
    ]],
);
