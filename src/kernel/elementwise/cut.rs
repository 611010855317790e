//! How a run of elements is cut into parts, and parts into groups of lanes.

use std::ops::Range;

use crate::kernel::tile::TILE;

/// A run of elements that is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Number of elements.
    pub len: usize,
    /// Elements of a group.
    pub lanes: usize,
    /// Whether groups may overlap: the run has a group's elements then. Else what does not fill a group is in none.
    pub overlap: bool,
    /// Elements before the first group that begins where a cache line of results may begin, fewer than a group's: all
    /// groups but that of these elements and the last begin so. Only where groups may overlap.
    pub lead: usize,
}

/// Elements that the kernel takes together: about a tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// The first element.
    pub start: usize,
    /// The element behind the last.
    pub end: usize,
    /// As [`Cut::lead`], in the first part.
    lead: usize,
    /// Elements of a group.
    lanes: usize,
    /// Where the last group of the run begins.
    last: usize,
}

/// Elements of a part whose group has some of others too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    /// The first of them.
    pub at: usize,
    /// How many there are.
    pub len: usize,
    /// Elements of their group before them.
    pub skip: usize,
}

/// Groups that follow each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Where the first begins.
    pub at: usize,
    /// Elements of all.
    pub len: usize,
    /// Whether their elements are the part's, and in no other group.
    pub whole: bool,
}

impl Cut {
    /// The part that begins with element `start`, where another ends. It has no elements if they do not fill a group.
    #[inline(always)]
    pub(super) fn part(&self, start: usize) -> Part {
        let Self { len, lanes, overlap, lead } = *self;
        let lead = if start == 0 { lead } else { 0 };
        let mut own = TILE.min(len - start - lead);
        if lead > 0 || !overlap {
            // A part with elements before the first line leaves those behind the last group to the next.
            own -= own % lanes;
        }
        Part { start, end: start + lead + own, lead, lanes, last: len.saturating_sub(lanes) }
    }

    /// A group alone.
    #[inline(always)]
    pub(super) fn group(lanes: usize) -> Part {
        Part { start: 0, end: lanes, lead: 0, lanes, last: 0 }
    }
}

impl Part {
    /// Number of elements.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    /// The first of its groups that follow each other: those that have elements of others too stand alone.
    #[inline(always)]
    pub(super) fn row(&self) -> Row {
        if self.lead > 0 { Row { at: self.start, len: self.lanes, whole: false } } else { self.whole() }
    }

    /// Those behind a row.
    #[inline(always)]
    pub(super) fn after(&self, row: Row) -> Option<Row> {
        let Self { lead, lanes, last, .. } = *self;
        let rest = self.rest();
        match row.whole {
            true if rest > 0 => Some(Row { at: last, len: lanes, whole: false }),
            false if lead > 0 => Some(self.whole()),
            _ => None,
        }
    }

    /// The groups that have no elements of others.
    #[inline(always)]
    fn whole(&self) -> Row {
        let at = self.start + self.lead;
        Row { at, len: self.end - at - self.rest(), whole: true }
    }

    /// Elements behind those.
    #[inline(always)]
    fn rest(&self) -> usize {
        (self.end - self.start - self.lead) % self.lanes
    }

    /// The elements that its groups have.
    #[inline(always)]
    pub(super) fn reach(&self) -> Range<usize> {
        self.start.min(self.last)..self.end.max(self.lanes)
    }

    /// Elements whose group has some of others too: at most the first or the last of a part.
    #[inline(always)]
    pub(super) fn edge(&self) -> Option<Edge> {
        let Self { start, end, lead, lanes, .. } = *self;
        if lead > 0 {
            return Some(Edge { at: start, len: lead, skip: 0 });
        }
        let len = self.rest();
        (len > 0).then(|| Edge { at: end - len, len, skip: lanes - len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of every element: how often it is a group's own, and whether it is an edge's.
    fn count(cut: Cut) -> (Vec<[usize; 2]>, usize) {
        let mut found = vec![[0, 0]; cut.len];
        let mut at = 0;
        while at < cut.len {
            let part = cut.part(at);
            assert_eq!(part.start, at);
            if part.len() == 0 {
                break;
            }
            let rows: Vec<Row> = std::iter::successors(Some(part.row()), |row| part.after(*row)).collect();
            let elements: usize = rows.iter().map(|row| row.len).sum();
            assert!(part.len() <= TILE + cut.lead && elements <= TILE + cut.lanes);
            for Row { at, len, whole } in rows.into_iter().filter(|row| row.len > 0) {
                let reach = part.reach();
                assert!(
                    at >= reach.start && at + len <= reach.end && reach.end - reach.start <= TILE + cut.lanes
                );
                assert!(reach.end <= cut.len);
                if whole {
                    assert!(at >= part.start && at + len <= part.end && len % cut.lanes == 0);
                    assert_eq!(at % cut.lanes, cut.lead % cut.lanes);
                    found[at..at + len].iter_mut().for_each(|[own, _]| *own += 1);
                } else {
                    let edge = part.edge().expect("such a group has an edge");
                    assert_eq!((at + edge.skip, len), (edge.at, cut.lanes));
                    assert!(edge.skip + edge.len <= len);
                    assert!(edge.at >= part.start && edge.at + edge.len <= part.end);
                    found[edge.at..edge.at + edge.len].iter_mut().for_each(|[_, edge]| *edge += 1);
                }
            }
            at = part.end;
        }
        (found, at)
    }

    #[test]
    fn every_element_is_a_group_s_or_an_edge_s() {
        for lanes in [2, 4, 8, 16, 64] {
            for len in (0..3 * TILE).step_by(7).chain([TILE - 1, TILE, TILE + 1, 4 * TILE]) {
                let (found, end) = count(Cut { len, lanes, overlap: false, lead: 0 });
                assert_eq!(end, len - len % lanes);
                assert!(found[..end].iter().all(|&found| found == [1, 0]));
                for lead in (0..lanes).filter(|_| len >= lanes) {
                    let (found, end) = count(Cut { len, lanes, overlap: true, lead });
                    assert_eq!(end, len);
                    assert!(found.iter().all(|&[own, edge]| own + edge == 1), "{lanes} {len} {lead}");
                }
            }
        }
    }
}
