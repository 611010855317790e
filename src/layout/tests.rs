//! The plan against a walk over all indices, the overlap solver against sets of addresses.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

/// Every index of a shape, in C order.
fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for &len in shape {
        all = all.iter().flat_map(|index| (0..len).map(|i| [&index[..], &[i]].concat())).collect();
    }
    all
}

fn offset(index: &[usize], strides: &[isize]) -> isize {
    index.iter().zip(strides).map(|(&i, &stride)| i as isize * stride).sum()
}

/// Byte offsets of an operand, in the order of the plan.
fn visited<const N: usize>(plan: &Plan<N>, operand: usize) -> Vec<isize> {
    let mut found = Vec::new();
    for tile in (0..plan.tiles()).map(|number| plan.tile(number)) {
        let before = found.len();
        plan.pieces(operand, tile, |piece| {
            assert_eq!(found.len() - before, piece.at);
            for row in 0..piece.rows as isize {
                let row = piece.offset + row * piece.row_stride;
                found.extend((0..piece.cols as isize).map(|col| row + col * piece.col_stride));
            }
        });
        assert_eq!(found.len() - before, tile.len);
    }
    found
}

/// Whether every element is visited once, in all operands at the same time.
fn visits_all(plan: &Plan<3>, shape: &[usize], strides: [&[isize]; 3]) -> bool {
    let mut expected: HashMap<[isize; 3], isize> = HashMap::new();
    for index in indices(shape) {
        *expected.entry(strides.map(|strides| offset(&index, strides))).or_default() += 1;
    }
    let [a, b, c] = [0, 1, 2].map(|operand| visited(plan, operand));
    let lens = [a.len(), b.len(), c.len()];
    for ((a, b), c) in a.into_iter().zip(b).zip(c) {
        *expected.entry([a, b, c]).or_default() -= 1;
    }
    lens == [plan.len(); 3] && expected.values().all(|&count| count == 0)
}

/// Whether the order and the tiles of two operands stay as they are if a third one follows.
fn ignore_the_last(shape: &[usize], strides: [&[isize]; 3], tile: usize) -> bool {
    [Plan::<3>::new, Plan::<3>::of_runs].into_iter().all(|plan_of| {
        let alone = plan_of(shape, [strides[0], strides[1], &[]], tile, 2);
        let plan = plan_of(shape, strides, tile, 2);
        let lens = |plan: &Plan<3>| (0..plan.tiles()).map(|number| plan.tile(number).len).collect::<Vec<_>>();
        lens(&plan) == lens(&alone) && (0..2).all(|leader| visited(&plan, leader) == visited(&alone, leader))
    })
}

/// Strides of an array that is stored in some order of its axes, with steps, reversed axes, and axes along which
/// it does not vary.
fn layouts(shape: Vec<usize>) -> impl Strategy<Value = Vec<isize>> {
    let dims = shape.len();
    let order = Just((0..dims).collect::<Vec<_>>()).prop_shuffle();
    let steps = prop::collection::vec(
        prop_oneof![4 => Just(1_isize), 1 => Just(-1), 1 => Just(2), 1 => Just(0)],
        dims,
    );
    (order, steps, prop_oneof![Just(1_isize), Just(2), Just(4), Just(8)]).prop_map(
        move |(order, steps, size)| {
            let mut strides = vec![0; dims];
            let mut next = size;
            for axis in order {
                strides[axis] = next * steps[axis];
                next *= shape[axis].max(1) as isize * steps[axis].abs().max(1);
            }
            strides
        },
    )
}

fn shapes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        4 => prop::collection::vec(1_usize..7, 0..5),
        2 => prop::collection::vec(20_usize..60, 2..3),
        1 => prop::collection::vec(0_usize..3, 0..6),
        1 => prop::collection::vec(Just(1_usize), 64),
    ]
}

fn operands() -> impl Strategy<Value = (Vec<usize>, [Vec<isize>; 3], usize)> {
    shapes().prop_flat_map(|shape| {
        let lay = || layouts(shape.clone());
        (Just(shape.clone()), [lay(), lay(), lay()], prop_oneof![Just(16_usize), Just(64), Just(512)])
    })
}

proptest! {
    #[test]
    fn every_element_is_visited_once_and_in_step((shape, strides, tile) in operands(), leading in 1..=3_usize) {
        let plan = Plan::new(&shape, strides.each_ref().map(Vec::as_slice), tile, leading);
        prop_assert!(visits_all(&plan, &shape, strides.each_ref().map(Vec::as_slice)));
        prop_assert!((0..plan.tiles()).all(|number| (1..=tile).contains(&plan.tile(number).len)));
    }

    #[test]
    fn those_that_follow_do_not_change_the_order((shape, strides, tile) in operands()) {
        let [first, second, follower] = strides.each_ref().map(Vec::as_slice);
        prop_assert!(ignore_the_last(&shape, [first, second, follower], tile));
    }

    #[test]
    fn those_that_follow_do_not_change_rectangles(
        (shape, follower) in [2_usize..12, 2_usize..6, 2_usize..6, 2_usize..9]
            .prop_flat_map(|shape| (Just(shape), layouts(shape.to_vec()))),
        tile in prop_oneof![Just(16_usize), Just(64), Just(512)],
    ) {
        // Of two axes of two parts each, the one array has the first outside, the other the second.
        let [a, b, c, d] = shape.map(|len| len as isize);
        let first = [8 * d * c * b, 8 * d * c, 8 * d, 8];
        let second = [8 * b, 8, 8 * b * a * d, 8 * b * a];
        let strides = [&first[..], &second, &follower];
        prop_assert!(ignore_the_last(&shape, strides, tile));
        prop_assert!(visits_all(&Plan::new(&shape, strides, tile, 2), &shape, strides));
    }

    #[test]
    fn arrays_of_one_order_are_one_run(shape in shapes(), order in any::<u64>()) {
        let mut strides = vec![0; shape.len()];
        let mut axes: Vec<usize> = (0..shape.len()).collect();
        axes.sort_by_key(|&axis| order.rotate_left(7 * axis as u32) ^ axis as u64);
        let mut next = 1;
        for axis in axes {
            // Some axes backwards, in both operands.
            strides[axis] = if order >> (axis % 64) & 1 == 1 { -next } else { next };
            next *= shape[axis].max(1) as isize;
        }
        let (floats, doubles): (Vec<_>, Vec<_>) = strides.iter().map(|s| (s * 4, s * 8)).unzip();
        let plan = Plan::new(&shape, [&floats[..], &doubles], 512, 2);
        prop_assert!(plan.len() <= 1 || plan.is_run(0, 4) && plan.is_run(1, 8), "{:?}", plan);
    }

    #[test]
    fn what_meets_is_what_shares_an_address(
        (shape, strides, _) in operands(),
        shift in -200_isize..200,
        sizes in [prop::sample::select(vec![1_usize, 4, 8]), prop::sample::select(vec![2_usize, 8])],
    ) {
        prop_assume!(shape.len() < 10);
        let lens: Vec<isize> = shape.iter().map(|&len| len as isize).collect();
        let start = 1_usize << 40;
        let extent = |k: usize, start| Extent { start, size: sizes[k], shape: &lens, strides: &strides[k] };
        let addresses = |extent: Extent<'_>| -> Vec<isize> {
            let first = |index: &Vec<usize>| extent.start as isize + offset(index, extent.strides);
            let bytes = |first| first..first + extent.size as isize;
            indices(&shape).iter().map(first).flat_map(bytes).collect()
        };
        let (a, b) = (extent(0, start), extent(1, start.wrapping_add_signed(shift)));
        let (bytes_a, bytes_b) = (addresses(a), addresses(b));
        let (set_a, set_b): (HashSet<_>, HashSet<_>) =
            (bytes_a.iter().collect(), bytes_b.iter().collect());
        prop_assert_eq!(meet(&a, &b), !set_a.is_disjoint(&set_b));
        prop_assert_eq!(meets_itself(&a), set_a.len() < bytes_a.len());
    }
}

#[test]
fn a_list_by_class_repeats_where_the_class_axis_is_the_innermost() {
    // Logits and a list of eight-byte numbers.
    let last = Plan::new(&[40, 30], [&[120, 4], &[0, 8]], 512, 2);
    for number in 0..last.tiles() {
        let at = (number * 512 % 30 * 8) as isize;
        assert_eq!(last.repeats_at(1, last.tile(number), 8), Some(at));
        assert_eq!(last.repeats_at(1, last.tile(number), 4), None);
    }
    let first = Plan::new(&[30, 40], [&[160, 4], &[8, 0]], 512, 2);
    assert_eq!(first.repeats_at(1, first.tile(0), 8), None);
    let sliced = Plan::new(&[40, 2, 30], [&[480, 240, 4], &[0, 240, 8]], 512, 2);
    assert_eq!(sliced.repeats_at(1, sliced.tile(1), 8), Some(512 % 60 * 8));
}

#[test]
fn c_against_fortran_is_cut_into_rectangles() {
    let plan = Plan::new(&[100, 70], [&[280, 4], &[4, 400], &[]], 512, 3);
    assert!(!plan.is_run(0, 4) && !plan.is_run(1, 4));
    let piece = plan.piece(0, plan.tile(0)).unwrap();
    assert!(piece.cols * 4 >= 64 && piece.rows * 4 >= 64, "{piece:?}");
}

#[test]
fn what_is_too_hard_counts_as_overlap() {
    // A subset sum of many large coprime strides, none of which the search can rule out early.
    let shape = vec![2; 60];
    let strides: Vec<isize> = (0..60).map(|i| 1_000_003 + 2 * i * i + 7 * i).collect();
    let odd: Vec<isize> = strides.iter().map(|s| s * 3 + 1).collect();
    let a = Extent { start: 1 << 40, size: 1, shape: &shape, strides: &strides };
    let b = Extent { start: (1 << 40) + 17, size: 1, shape: &shape, strides: &odd };
    assert!(meet(&a, &b));
}
