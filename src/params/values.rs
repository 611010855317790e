//! The parameters that are numbers: one for all classes or one for each, and labels.

use std::fmt;

use crate::error::Error;

/// One number for all classes, or one for each.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameter {
    /// The same for all.
    Number(f64),
    /// By class; never empty.
    PerClass(Box<[f64]>),
}

impl Parameter {
    /// Refuses numbers that are not `valid` and lists without any. Zeros get one sign.
    ///
    /// # Errors
    /// Naming the first that is refused.
    pub(super) fn check(
        mut self,
        argument: &'static str,
        takes: &str,
        valid: impl Fn(f64) -> bool,
    ) -> Result<Self, Error> {
        let numbers = match &mut self {
            Self::Number(number) => std::slice::from_mut(number),
            Self::PerClass(numbers) => numbers,
        };
        if numbers.is_empty() {
            return Err(Error::value(argument, "an empty sequence", takes));
        }
        for number in numbers {
            if !valid(*number) {
                return Err(Error::value(argument, *number, takes));
            }
            *number += 0.0;
        }
        Ok(self)
    }

    /// The number of a class.
    pub fn of(&self, class: usize) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::PerClass(numbers) => numbers.get(class).copied().unwrap_or(f64::NAN),
        }
    }

    /// The numbers, if there is one for each class.
    pub fn per_class(&self) -> Option<&[f64]> {
        match self {
            Self::Number(_) => None,
            Self::PerClass(numbers) => Some(numbers),
        }
    }
}

/// As Python writes it: a float, or a tuple of floats.
impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number:?}"),
            Self::PerClass(numbers) => match &**numbers {
                [number] => write!(f, "({number:?},)"),
                _ => {
                    let numbers: Vec<_> = numbers.iter().map(|number| format!("{number:?}")).collect();
                    write!(f, "({})", numbers.join(", "))
                }
            },
        }
    }
}

/// A target with a meaning of its own. Whole numbers are whole, however they were written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Label {
    /// A whole number: one that float64 has, or the largest of int64 or of uint64.
    Whole(i128),
    /// Another number, never NaN.
    Other(f64),
    /// NaN, which stands for every NaN.
    Nan,
}

impl Label {
    /// The label that a number stands for.
    pub fn new(number: f64) -> Self {
        // No integer target is beyond.
        const END: f64 = (1_u128 << 64) as f64;
        let whole = number.trunc() == number && (-END..END).contains(&number);
        match number {
            _ if number.is_nan() => Self::Nan,
            _ if whole => Self::Whole(number as i128),
            _ => Self::Other(number),
        }
    }

    /// The label that a whole number stands for, if it can be told from all others: float64 has it, or no integer of its
    /// size is larger.
    pub fn whole(number: i128) -> Option<Self> {
        let ends = [i64::MAX.into(), u64::MAX.into()];
        (number as f64 as i128 == number || ends.contains(&number)).then_some(Self::Whole(number))
    }
}

/// As Python writes it.
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => write!(f, "{number}"),
            Self::Nan => f.write_str("float('nan')"),
            Self::Other(f64::INFINITY) => f.write_str("float('inf')"),
            Self::Other(f64::NEG_INFINITY) => f.write_str("float('-inf')"),
            Self::Other(number) => write!(f, "{number:?}"),
        }
    }
}

/// Refuses lists of numbers by class whose lengths differ.
///
/// # Errors
/// Naming the first that differs from those before it.
pub(super) fn check_lengths<const N: usize>(
    lists: [(&'static str, Option<&[f64]>); N],
) -> Result<Option<usize>, Error> {
    let mut found: Option<(&str, usize)> = None;
    for (argument, list) in lists {
        let Some(list) = list else { continue };
        match found {
            Some((other, len)) if len != list.len() => {
                let got = format!("{} numbers", list.len());
                return Err(Error::value(argument, got, format!("as long as {other}, {len} numbers")));
            }
            _ => found = Some((argument, list.len())),
        }
    }
    Ok(found.map(|(_, len)| len))
}
