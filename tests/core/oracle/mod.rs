//! What the tests and the walk measure with.

#![allow(dead_code)] // Each program uses its part.

pub mod dd;
pub mod hashes;
pub mod math;
pub mod run;
pub mod truth;
pub mod walk;
pub mod wide;

/// The gammas that are walked: all forms of the power, and the general one on both sides of 1.
pub const GAMMAS: [f64; 7] = [0.0, 0.5, 1.0, 1.7, 2.0, 3.0, 5.0];

/// What is measured, and how many ulp are promised.
pub const PROMISE: [(&str, f64); 3] = [("value", 8.0), ("gradient", 10.0), ("Hessian", 12.0)];

/// A number from the environment, for runs on slow machines.
pub fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}
