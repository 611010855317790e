//! Sums of a million losses, and exact sums of numbers in pieces.

mod oracle;

use focalgrad::kernel::exact::ExactSum;
use focalgrad::kernel::exact_tile::ExactTileSum;
use focalgrad::kernel::output::Set;
use focalgrad::kernel::reduce::{TileSum, Total};
use focalgrad::kernel::tile::TILE;
use focalgrad::simd::AnyIsa;
use oracle::run::{Call, Results};

/// A million float32 losses of logits from -20 to 20.
fn losses(isa: AnyIsa, gamma: f64) -> Vec<f32> {
    let logits: Vec<f32> = (0..1_000_000)
        .map(|i| ((f64::from(i) * 0.618_033_988_749_895).fract() * 40.0 - 20.0) as f32)
        .collect();
    let targets = [1.0; TILE];
    let mut losses = Vec::new();
    for logits in logits.chunks(TILE) {
        let mut results: Results<f32> = [[0.0; TILE]; 3];
        let targets = &targets[..logits.len()];
        let call = Call { isa, gamma, weights: [1.0; 2], logits, targets, samples: None };
        call.run(Set::Value, &mut results);
        losses.extend_from_slice(&results[0][..logits.len()]);
    }
    losses
}

/// The exact sum of numbers in tiles of a length.
fn exact(isa: AnyIsa, values: &[f32], tile: usize) -> ExactSum {
    let mut sum = ExactSum::default();
    values.chunks(tile).for_each(|tile| sum.add(isa.vectorize(ExactTileSum(tile))));
    sum
}

#[test]
fn a_sum_of_a_million_losses_is_off_by_less_than_1e_13() {
    for isa in AnyIsa::available() {
        for gamma in [0.0, 2.0, 5.0] {
            let losses = losses(isa, gamma);
            let mut total = Total::default();
            losses.chunks(TILE).for_each(|tile| total.add(isa.vectorize(TileSum(tile))));
            let truth = exact(isa, &losses, TILE).value();
            let error = (total.value() - truth).abs() / truth;
            println!("{:9} gamma {gamma}: relative error of the sum {error:.1e}", isa.name());
            assert!(error < 1e-13, "{} {gamma}: {error}", isa.name());
        }
    }
}

#[test]
fn neither_cuts_nor_order_nor_instruction_set_change_an_exact_sum() {
    let losses = losses(AnyIsa::available()[0], 2.0);
    let mut single = ExactSum::default();
    losses.iter().for_each(|&x| single.add_number(f64::from(x)));
    let mut backwards = losses.clone();
    backwards.reverse();
    for isa in AnyIsa::available() {
        for tile in [TILE, 509, 64, 17, 1] {
            assert_eq!(exact(isa, &losses, tile), single, "{} {tile}", isa.name());
        }
        assert_eq!(exact(isa, &backwards, TILE), single, "{}", isa.name());
        let (head, tail) = losses.split_at(123_457);
        let mut merged = exact(isa, tail, TILE);
        merged.merge(exact(isa, head, TILE));
        assert_eq!(merged.to_bytes(), single.to_bytes(), "{}", isa.name());
    }
}
