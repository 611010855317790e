//! Goes through every float32 logit there is and writes how far the results are from the truth.
//!
//! `make walk ISA=avx512 ALSO="avx2 portable"`, or
//! `cargo run --release --no-default-features --example walk -- avx512 1 avx2 portable`: the instruction
//! set, the step from one bit pattern to the next, and other sets to compare bit by bit.
//!
//! Value, gradient and exact Hessian, for both targets, against the float64 kernels, whose own error the
//! first lines show against mpmath. The table is in Markdown; a fingerprint is equal where all results
//! have equal bits.

#[path = "../tests/core/oracle/mod.rs"]
mod oracle;

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Instant;

use focalgrad::kernel::tile::TILE;
use focalgrad::simd::AnyIsa;
use oracle::math::{Function, worst_f32};
use oracle::run::{Results, plain};
use oracle::truth::{AtLogit, KNOWN};
use oracle::walk::{DOMAINS, Found, OTHERS, Walk};
use oracle::{GAMMAS, PROMISE};

fn main() -> ExitCode {
    match arguments() {
        Ok(walk) if run(&walk) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The walk that the command line asks for.
fn arguments() -> Result<Walk, String> {
    let choose = |name: Option<String>| AnyIsa::choose(name.as_deref()).map_err(|error| error.to_string());
    let mut arguments = std::env::args().skip(1);
    let isa = choose(arguments.next())?;
    let stride = match arguments.next().map_or(Ok(1), |text| text.parse()) {
        Ok(stride @ 1..=1_000_000) => stride,
        _ => return Err("the step must be a number from 1 to 1000000".to_owned()),
    };
    let mut others = [None; OTHERS];
    for (other, name) in others.iter_mut().zip(arguments) {
        *other = Some(choose(Some(name))?);
    }
    Ok(Walk { isa, others, oracle: AnyIsa::available()[0], gamma: 0.0, stride })
}

/// Walks, and returns whether the promise is kept.
fn run(walk: &Walk) -> bool {
    println!("# float32 on {}, bit patterns in steps of {}\n", walk.isa.name(), walk.stride);
    let own = own_error(walk.oracle);
    println!(
        "Oracle: the float64 kernels on {}, {own:.1e} ulp of float32 from mpmath.\n",
        walk.oracle.name()
    );
    functions(walk);
    losses(walk) && own < 0.01
}

/// The largest error of the float64 kernels at the committed points, in ulp of float32.
fn own_error(oracle: AnyIsa) -> f64 {
    let errors = KNOWN.iter().flat_map(|known| {
        let mut got: Results<f64> = [[0.0; TILE]; 3];
        plain(oracle, known.gamma, &[known.z], 1.0, &mut got);
        let mut truth = AtLogit::new(known.z).focal(known.gamma);
        truth.results = known.results;
        std::array::from_fn::<f64, 3, _>(|which| truth.error_f32(which, got[which][0]))
    });
    errors.fold(0.0, f64::max)
}

/// The elementary functions.
fn functions(walk: &Walk) {
    println!("| function | domain | max ulp | at |\n|---|---|---|---|");
    let cases = [
        ("exp_neg, scaled by 2^64", Function::ExpNeg(64.0), [0, 128.0_f32.to_bits()]),
        ("exp_neg, scaled by 2^32", Function::ExpNeg(32.0), [0, 105.0_f32.to_bits()]),
        ("log1p", Function::Log1p, [1, 1.0_f32.to_bits()]),
    ];
    for (name, function, patterns) in cases {
        let (worst, at) = worst_f32(walk.isa, walk.oracle, function, patterns, walk.stride);
        let [first, last] = patterns.map(f32::from_bits);
        println!("| {name} | {first:e} to {last:e} | {worst:.3} | {:e} |", f32::from_bits(at));
    }
    println!();
}

/// The losses; whether they keep the promise.
fn losses(walk: &Walk) -> bool {
    let mut kept = true;
    let mut fingerprints = String::new();
    println!("| gamma | function | domain | max ulp | at | mean ulp |\n|---|---|---|---|---|---|");
    for gamma in GAMMAS {
        let start = Instant::now();
        let walk = Walk { gamma, ..*walk };
        let found: Vec<[Found; 3]> = (0..DOMAINS.len()).map(|domain| walk.domain(domain)).collect();
        for (which, (name, bound)) in PROMISE.into_iter().enumerate() {
            let mut all = Found::default();
            for (domain, (label, _)) in DOMAINS.iter().enumerate() {
                let here = found[domain][which];
                all = all.merge(here);
                row(gamma, name, label, &here);
            }
            row(gamma, name, "**all**", &all);
            kept &= all.worst <= bound && all.asymmetric == 0;
            write!(fingerprints, "| {gamma} | {name} | {:016x} | {} |", all.fingerprint, all.asymmetric).ok();
            for count in &all.differing[..walk.others.iter().flatten().count()] {
                write!(fingerprints, " {count} |").ok();
            }
            fingerprints.push('\n');
        }
        eprintln!("gamma {gamma}: {:.0} s", start.elapsed().as_secs_f64());
    }
    print!("\n| gamma | function | fingerprint | target 0 at -z not the mirror image of 1 at z |");
    let others = walk.others.iter().flatten();
    others.clone().for_each(|other| print!(" other bits on {} |", other.name()));
    println!("\n|---|---|---|---|{}\n{fingerprints}", "---|".repeat(others.count()));
    println!("The promise is {}.", if kept { "kept" } else { "BROKEN" });
    kept
}

fn row(gamma: f64, name: &str, domain: &str, found: &Found) {
    let at = f32::from_bits(found.at);
    println!("| {gamma} | {name} | {domain} | {:.2} | {at:e} | {:.3} |", found.worst, found.mean());
}
