//! Owns what a server offers in its answer to EHLO.
//!
//! Invariant: an odd line costs only itself; what is not understood is not used.

/// What we use of a server's offers (RFC 5321 4.1.1.1; RFC 1870, 2920, 3207, 4954, 6152).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub(super) pipelining: bool,
    pub(super) eight_bit: bool,
    pub(super) size: bool,
    pub(super) starttls: bool,
    pub(super) plain: bool,
    pub(super) login: bool,
    pub(super) xoauth2: bool,
}

impl Capabilities {
    /// Reads the lines of an EHLO reply; the first is the server's name.
    pub(super) fn of<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut offered = Self::default();
        for line in lines.skip(1) {
            let Ok(line) = std::str::from_utf8(line) else { continue };
            // "AUTH=LOGIN" is how some servers still speak to clients of the nineties.
            let mut words = line.split([' ', '=', '\t']).filter(|word| !word.is_empty());
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => offered.pipelining = true,
                "8BITMIME" => offered.eight_bit = true,
                "SIZE" => offered.size = true,
                "STARTTLS" => offered.starttls = true,
                "AUTH" => {
                    for mechanism in words {
                        offered.plain |= mechanism.eq_ignore_ascii_case("PLAIN");
                        offered.login |= mechanism.eq_ignore_ascii_case("LOGIN");
                        offered.xoauth2 |= mechanism.eq_ignore_ascii_case("XOAUTH2");
                    }
                }
                _ => {}
            }
        }
        offered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Capabilities {
        Capabilities::of(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn offers_are_read_in_any_case_and_odd_lines_cost_only_themselves() {
        let offered = of(&[
            "mx",
            "pipelining",
            "SIZE many",
            "X-\u{fffd} !!",
            "",
            "auth plain LOGIN xoauth2",
            "8BITMIME",
            "StartTLS",
        ]);
        assert_eq!(
            offered,
            Capabilities {
                pipelining: true,
                eight_bit: true,
                size: true,
                starttls: true,
                plain: true,
                login: true,
                xoauth2: true
            }
        );
    }

    #[test]
    fn the_servers_name_is_no_offer() {
        assert_eq!(of(&["STARTTLS"]), Capabilities::default());
    }

    #[test]
    fn the_old_form_of_auth_is_read() {
        assert!(of(&["mx", "AUTH=LOGIN"]).login);
        assert!(!of(&["mx", "AUTH CRAM-MD5 XOAUTH2"]).plain);
    }
}
