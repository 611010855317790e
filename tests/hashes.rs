//! The same bits on every instruction set and machine: all results against the committed hashes.

mod oracle;

use focalgrad::simd::AnyIsa;
use oracle::hashes::{column, committed, hashes};

#[test]
fn results_have_the_committed_bits() {
    let committed = committed();
    for isa in AnyIsa::available() {
        let found = hashes(isa);
        assert_eq!(found.len(), committed.len(), "run `make hashes`");
        for ((name, hash), (expected_name, expected)) in found.iter().zip(&committed) {
            assert_eq!(name, expected_name, "run `make hashes`");
            assert_eq!(*hash, expected[column(isa)], "{}: {name}", isa.name());
        }
    }
}
