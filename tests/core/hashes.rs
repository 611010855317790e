//! The same bits on every instruction set and machine: all results against the committed hashes.

mod oracle;

use focalgrad::simd::AnyIsa;
use oracle::hashes::{column, committed, hashes};

#[test]
fn results_have_the_committed_bits() {
    let committed = committed();
    for isa in AnyIsa::available() {
        let found = hashes(isa);
        let names = |list: &mut dyn Iterator<Item = &String>| list.cloned().collect::<Vec<_>>();
        let expected = names(&mut committed.iter().map(|(name, _)| name));
        assert_eq!(names(&mut found.iter().map(|(name, _)| name)), expected, "run `make hashes`");
        let lines = found.iter().zip(&committed);
        let other = lines.filter(|((_, hash), (_, expected))| *hash != expected[column(isa)]);
        let other: Vec<&String> = other.map(|((name, _), _)| name).collect();
        assert!(
            other.is_empty(),
            "{}: {} of {} have other bits: {other:#?}",
            isa.name(),
            other.len(),
            found.len()
        );
    }
}
