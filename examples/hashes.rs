//! Regenerates `tests/core/hashes.txt` and says which results have changed their bits.
//!
//! `make hashes`. Refuses if two instruction sets that must agree do not.

#[path = "../tests/core/oracle/mod.rs"]
mod oracle;

use std::collections::HashMap;
use std::process::ExitCode;

use focalgrad::simd::AnyIsa;
use oracle::hashes::{column, committed, file, hashes};

fn main() -> ExitCode {
    let mut lines: Vec<(String, [Option<u64>; 2])> = Vec::new();
    for isa in AnyIsa::available() {
        for (i, (name, hash)) in hashes(isa).into_iter().enumerate() {
            if lines.len() <= i {
                lines.push((name, [None; 2]));
            }
            let seen = &mut lines[i].1[column(isa)];
            if seen.is_some_and(|seen| seen != hash) {
                eprintln!("{}: {} differs from the other instruction sets", lines[i].0, isa.name());
                return ExitCode::FAILURE;
            }
            *seen = Some(hash);
        }
    }
    let Some(lines) = lines
        .into_iter()
        .map(|(name, [fused, portable])| Some((name, [fused?, portable?])))
        .collect::<Option<Vec<_>>>()
    else {
        eprintln!("this machine has no instruction set with a fused multiply-add");
        return ExitCode::FAILURE;
    };
    let before: HashMap<_, _> = committed().into_iter().collect();
    let mut changed = 0;
    for (name, hashes) in &lines {
        match before.get(name) {
            Some(old) if old == hashes => continue,
            Some(old) => {
                let which = if old[0] == hashes[0] { "portable" } else { "every set" };
                println!("changed ({which}): {name}");
            }
            None => println!("new: {name}"),
        }
        changed += 1;
    }
    let gone = before.keys().filter(|name| !lines.iter().any(|(kept, _)| kept == *name)).count();
    println!("{} hashes: {changed} changed or new, {gone} gone", lines.len());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/core/hashes.txt");
    match std::fs::write(path, file(&lines)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}
