//! Cuts a stream of bytes into lines. Pure.
//!
//! Invariant: every byte that is pushed is in exactly one line or in the unfinished rest, however it arrives in parts.

/// What CloudWatch Logs takes as one event: 256 KiB less the 26 bytes that it counts for each.
pub const EVENT_BYTES_MAX: usize = 256 * 1024 - 26;

/// A line without its newline, or a part of one that is too long for an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub bytes: Vec<u8>,
    /// Offset in the stream of what follows the line.
    pub end: u64,
}

#[derive(Clone, Debug)]
pub struct Lines {
    rest: Vec<u8>,
    /// Offset of what has not been pushed yet.
    offset: u64,
}

impl Lines {
    pub fn new(offset: u64) -> Self {
        Self { rest: Vec::new(), offset }
    }

    /// Takes the next bytes of the stream and answers the lines that they end.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        while !bytes.is_empty() {
            let room = EVENT_BYTES_MAX - self.rest.len();
            let window = &bytes[..bytes.len().min(room + 1)];
            match window.iter().position(|byte| *byte == b'\n') {
                Some(length) => {
                    self.rest.extend_from_slice(&bytes[..length]);
                    self.offset += length as u64 + 1;
                    bytes = &bytes[length + 1..];
                    lines.push(self.cut(self.rest.len()));
                }
                None => {
                    let length = window.len().min(room);
                    self.rest.extend_from_slice(&bytes[..length]);
                    self.offset += length as u64;
                    bytes = &bytes[length..];
                    // The byte after a full line is known not to be its newline.
                    if length < window.len() {
                        lines.push(self.cut(character_boundary(&self.rest)));
                    }
                }
            }
        }
        lines
    }

    /// What stands after the last newline, as a line: nothing will follow it.
    pub fn finish(&mut self) -> Option<Line> {
        (!self.rest.is_empty()).then(|| self.cut(self.rest.len()))
    }

    /// Where the unfinished rest begins.
    pub fn settled(&self) -> u64 {
        self.offset - self.rest.len() as u64
    }

    fn cut(&mut self, length: usize) -> Line {
        let rest = self.rest.split_off(length);
        Line { bytes: std::mem::replace(&mut self.rest, rest), end: self.settled() }
    }
}

/// The length of `bytes` without the beginning of a UTF-8 character at its end, unless nothing would be left.
fn character_boundary(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    let start = (tail..bytes.len()).rev().find(|&at| bytes[at] & 0xc0 != 0x80);
    match start {
        Some(at) if at > 0 && std::str::from_utf8(&bytes[at..]).is_err() => at,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(parts: &[&[u8]]) -> (Vec<Line>, Lines) {
        let mut lines = Lines::new(100);
        let mut all: Vec<Line> = parts.iter().flat_map(|part| lines.push(part)).collect();
        all.extend(lines.finish());
        (all, lines)
    }

    fn line(text: &str, end: u64) -> Line {
        Line { bytes: text.into(), end }
    }

    #[test]
    fn lines_end_at_newlines_wherever_the_parts_end() {
        assert_eq!(cut(&[b"a\nbc\n"]).0, [line("a", 102), line("bc", 105)]);
        assert_eq!(cut(&[b"a", b"", b"\nb", b"c\n\n"]).0, [line("a", 102), line("bc", 105), line("", 106)]);
        assert_eq!(cut(&[b"a\r\nb"]).0, [line("a\r", 103), line("b", 104)]);
        assert_eq!(cut(&[]).0, []);
    }

    #[test]
    fn a_line_of_exactly_the_most_is_whole_and_one_more_is_cut() {
        let most = vec![b'x'; EVENT_BYTES_MAX];
        let with = |tail: &[u8]| [&most, tail].concat();
        let lengths = |bytes: &[u8]| cut(&[bytes]).0.iter().map(|line| line.bytes.len()).collect::<Vec<_>>();
        assert_eq!(lengths(&with(b"\ny\n")), [EVENT_BYTES_MAX, 1]);
        assert_eq!(lengths(&with(b"z\ny\n")), [EVENT_BYTES_MAX, 1, 1]);
        assert_eq!(cut(&[&most, b"\n"]).0.len(), 1);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let mut long = vec![b'x'; EVENT_BYTES_MAX - 1];
        long.extend_from_slice("€uro\n".as_bytes());
        let (lines, _) = cut(&[&long]);
        assert_eq!(lines[0].bytes.len(), EVENT_BYTES_MAX - 1);
        assert_eq!(lines[1].bytes, "€uro".as_bytes());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_however_it_is_parted(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(0_usize..200, 0..5),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let (lines, rest) = cut(&parts);
            let expected: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
            let expected = match expected.split_last() {
                Some((&[], before)) => before,
                _ => &expected,
            };
            prop_assert!(lines.iter().map(|line| &line.bytes[..]).eq(expected.iter().copied()));
            prop_assert_eq!(rest.settled(), 100 + bytes.len() as u64);
            prop_assert!(lines.windows(2).all(|pair| pair[0].end < pair[1].end));
        }
    }
}
