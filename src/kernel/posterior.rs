//! Posteriors of a run of scores: [`crate::loss::posterior`] for every one.

use crate::cache::prefetch_ahead;
use crate::kernel::rows::RowReal;
use crate::loss::focal::power;
use crate::loss::posterior::{ANY, SKEW, Skew, Unsmooth, posterior};
use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel, MAX_LANES, Vector};

/// What is the same for all scores of a call.
#[derive(Clone, Copy, Debug)]
pub struct Constants<R> {
    /// The [class](power) of gamma or [`ANY`], the general one where `skew` is not [of products](Skew::of_products).
    pub power: u8,
    /// What scores are skewed by, where they have nothing of their own.
    pub skew: Skew<R>,
    /// What labels were smoothed by.
    pub smoothing: Option<Unsmooth<R>>,
}

/// The operands of a run.
#[derive(Clone, Copy, Debug)]
pub struct Operands<R> {
    /// Number of scores.
    pub len: usize,
    /// Scores.
    pub scores: *const R,
    /// The numbers of [`Skew`] for each score; or null, all of them. They are general ones.
    pub skews: [*const R; SKEW],
    /// Where the posteriors go: the very memory of the scores, or none that they have.
    pub posteriors: *mut R,
}

/// Computes posteriors.
///
/// # Safety
/// The operands that are not null must be valid for `len` elements and aligned to their type.
pub unsafe fn run<R: RowReal>(isa: AnyIsa, constants: &Constants<R>, operands: &Operands<R>) {
    let power = if operands.skews[0].is_null() { constants.power } else { power::GENERAL };
    match power {
        0 => isa.vectorize(Loop::<R, 0>(constants, operands)),
        1 => isa.vectorize(Loop::<R, 1>(constants, operands)),
        2 => isa.vectorize(Loop::<R, 2>(constants, operands)),
        3 => isa.vectorize(Loop::<R, 3>(constants, operands)),
        ANY => isa.vectorize(Loop::<R, ANY>(constants, operands)),
        _ => isa.vectorize(Loop::<R, { power::GENERAL }>(constants, operands)),
    }
}

/// The loop over a run.
struct Loop<'a, R, const POWER: u8>(&'a Constants<R>, &'a Operands<R>);

impl<R: RowReal, const POWER: u8> Kernel for Loop<'_, R, POWER> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self(constants, operands) = self;
        let lanes = <R::RowLanes<I>>::LANES;
        let all = Splat::<R::RowLanes<I>>::new(isa, constants);
        let (len, mut at) = (operands.len, 0);
        while at + lanes <= len {
            prefetch_ahead(operands.scores.wrapping_add(at).cast(), lanes * size_of::<R>());
            // SAFETY: the caller of the kernel vouches for `len` elements.
            unsafe { all.group::<POWER>(isa, &operands.from(at)) };
            at += lanes;
        }
        if at == len {
            return;
        }
        // What does not fill a group goes the same way on a padded copy: it gets the bits that it would get anywhere.
        let mut memory = [[R::ZERO; MAX_LANES]; SKEW + 1];
        let (rest, count) = (operands.from(at), len - at);
        let [inside, lists @ ..] = &mut memory;
        let mut skews = rest.skews;
        // SAFETY: the caller vouches for the elements that are left, fewer than `lanes <= MAX_LANES`.
        unsafe {
            std::ptr::copy_nonoverlapping(rest.scores, inside.as_mut_ptr(), count);
            for (skew, list) in skews.iter_mut().zip(lists).filter(|(skew, _)| !skew.is_null()) {
                std::ptr::copy_nonoverlapping(*skew, list.as_mut_ptr(), count);
                *skew = list.as_ptr();
            }
            let start = inside.as_mut_ptr();
            let padded = Operands { len: lanes, scores: start, skews, posteriors: start };
            all.group::<POWER>(isa, &padded);
            std::ptr::copy_nonoverlapping(start, rest.posteriors, count);
        }
    }
}

impl<R> Operands<R> {
    /// The operands from element `at` on; null stays null.
    #[inline(always)]
    fn from(&self, at: usize) -> Self {
        let mut skews = self.skews;
        for skew in &mut skews {
            *skew = if skew.is_null() { *skew } else { skew.wrapping_add(at) };
        }
        let (scores, posteriors) = (self.scores.wrapping_add(at), self.posteriors.wrapping_add(at));
        Self { len: self.len, scores, skews, posteriors }
    }
}

/// The constants in vectors.
struct Splat<V> {
    skew: Skew<V>,
    smoothing: Option<Unsmooth<V>>,
}

impl<V: Vector> Splat<V>
where
    V::Real: RowReal,
{
    #[inline(always)]
    fn new(isa: V::Isa, constants: &Constants<V::Real>) -> Self {
        // Loops and matches, not `map`, which is not always compiled with the instructions of the set.
        let mut skew = [V::splat(isa, V::Real::ZERO); SKEW];
        for (lanes, number) in skew.iter_mut().zip(constants.skew.numbers()) {
            *lanes = V::splat(isa, number);
        }
        let smoothing = match constants.smoothing {
            None => None,
            Some(Unsmooth { share: [share, share_lo], stretch }) => Some(Unsmooth {
                share: [V::splat(isa, share), V::splat(isa, share_lo)],
                stretch: V::splat(isa, stretch),
            }),
        };
        Self { skew: Skew::from_numbers(skew), smoothing }
    }

    /// The group of lanes in which the operands begin.
    ///
    /// # Safety
    /// The operands that are not null must be valid for it.
    #[inline(always)]
    unsafe fn group<const POWER: u8>(&self, isa: V::Isa, operands: &Operands<V::Real>) {
        // SAFETY: handed through from the caller.
        unsafe {
            let mut skew = self.skew;
            if POWER == power::GENERAL && !operands.skews[0].is_null() {
                let mut own = [V::splat(isa, V::Real::ZERO); SKEW];
                for (lanes, list) in own.iter_mut().zip(operands.skews) {
                    *lanes = V::load(isa, list);
                }
                skew = Skew::from_numbers(own);
            }
            let scores = V::load(isa, operands.scores);
            posterior::<V, POWER>(scores, &skew, self.smoothing.as_ref()).store(operands.posteriors);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constants<R: RowReal>(gamma: f64, alpha: f64) -> Constants<R> {
        Constants { power: power::GENERAL, skew: Skew::new(gamma, Some(alpha)), smoothing: None }
    }

    /// eta from log-odds, as the definition has it.
    fn exact(z: f64, gamma: f64, alpha: f64) -> f64 {
        let (p, q) = (1.0 / (1.0 + (-z).exp()), 1.0 / (1.0 + z.exp()));
        let slope = |p: f64, q: f64| q.powf(gamma) * (q - gamma * p * p.ln());
        let odds = (1.0 - alpha) * slope(q, p) / (alpha * slope(p, q));
        odds / (1.0 + odds)
    }

    #[test]
    fn posteriors_keep_their_definition_in_every_place() {
        let scores: Vec<f32> = (0..77).map(|i| (i as f32 - 38.0) / 5.0).collect();
        for isa in AnyIsa::available() {
            for (gamma, alpha) in [(0.0, 0.5), (1.0, 0.25), (2.0, 0.25), (3.0, 0.9), (1.7, 0.25)] {
                let plain = Skew::of_products(gamma, Some(alpha)).expect("neither large nor small");
                let class = match power::of(gamma) {
                    power::GENERAL => ANY,
                    class => class,
                };
                let (general, plain) = (
                    constants(gamma, alpha),
                    Constants { power: class, skew: plain, ..constants(gamma, alpha) },
                );
                for constants in [general, plain] {
                    let run = |scores: &[f32]| {
                        let mut posteriors = vec![0.0; scores.len()];
                        let (scores, len) = (scores.as_ptr(), scores.len());
                        let skews = [std::ptr::null(); SKEW];
                        let operands = Operands { len, scores, skews, posteriors: posteriors.as_mut_ptr() };
                        // SAFETY: there are as many posteriors as scores.
                        unsafe { super::run(isa, &constants, &operands) };
                        posteriors
                    };
                    let all = run(&scores);
                    for (i, (&z, &got)) in scores.iter().zip(&all).enumerate() {
                        let want = exact(f64::from(z), gamma, alpha);
                        let off = (f64::from(got) - want).abs();
                        assert!(
                            off <= 10.0 * want * f64::from(f32::EPSILON),
                            "{} {gamma} {z}: {got}",
                            isa.name()
                        );
                        assert_eq!(run(&scores[i..=i])[0].to_bits(), got.to_bits());
                    }
                }
            }
        }
    }
}
