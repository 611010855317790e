//! The softmax focal loss over rows: how far from the truth, and whether its bits depend on anything
//! that they should not depend on.

mod accuracy;
mod bits;
mod dd;
mod dense;
mod harness;
mod limits;
mod probabilities;
mod quotients;
mod truth;
