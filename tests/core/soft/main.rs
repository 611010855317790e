//! Labels between 0 and 1, and probabilities: how far from the truth, what happens at the limits, and
//! whether bits depend on anything that they should not depend on.

mod accuracy;
mod bits;
mod harness;
mod limits;
#[path = "../oracle/mod.rs"]
mod oracle;
mod truth;
