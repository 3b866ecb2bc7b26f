//! Owns the fuzzing of mbox files: any octets are mails, each within its bound, and nothing is lost but what marks them.
#![no_main]

use hikagen::feedback::follow::mbox::mails;
use libfuzzer_sys::fuzz_target;

const MOST: usize = 500;

fuzz_target!(|bytes: &[u8]| {
    let (mut line, mut octets) = (0, 0);
    for mail in mails(bytes, MOST) {
        let mail = mail.expect("nothing fails to be read");
        assert!(mail.line > line && mail.bytes.len() <= MOST);
        line = mail.line;
        octets += mail.bytes.len();
    }
    assert!(octets <= bytes.len() + 2);
});
