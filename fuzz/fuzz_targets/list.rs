//! Owns the fuzzing of lists: any octets, as CSV or JSONL, are rows, refused rows or one error.
#![no_main]

use std::cell::RefCell;
use std::io::{Seek as _, Write as _};

use hikagen::intake::read_suppressions;
use hikagen::store::SuppressionReason;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

thread_local! {
    static FILES: RefCell<[NamedTempFile; 2]> = RefCell::new([".csv", ".jsonl"].map(|suffix| {
        tempfile::Builder::new().suffix(suffix).tempfile().expect("a file")
    }));
}

fuzz_target!(|bytes: &[u8]| {
    FILES.with_borrow_mut(|files| {
        for file in files {
            let inner = file.as_file_mut();
            inner.rewind().and_then(|()| inner.set_len(0)).and_then(|()| inner.write_all(bytes)).expect("written");
            let mut rows = 0;
            let mut take = |batch: Vec<_>| {
                rows += batch.len();
                Ok(())
            };
            let reason = SuppressionReason::Manual;
            let _ = read_suppressions(file.path(), reason, None, Timestamp::UNIX_EPOCH, &mut take);
            assert!(rows <= bytes.len());
        }
    });
});
