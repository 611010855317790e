//! The softmax focal loss over rows: how far from the truth, and whether its bits depend on anything
//! that they should not depend on.

mod accuracy;
mod bits;
mod dense;
mod harness;
mod limits;
#[path = "../oracle/mod.rs"]
mod oracle;
mod probabilities;
mod quotients;
mod truth;
