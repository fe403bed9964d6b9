//! Looks for a mark in a body as it arrives, in pieces cut anywhere. Checks bodies without keeping
//! them: a list of 50 MB costs the client one pass.

use memchr::memmem::Finder;

/// Counts a mark over a stream of pieces.
pub struct Marks {
    finder: Finder<'static>,
    /// The end of the last piece, one byte shorter than the mark.
    tail: Vec<u8>,
    pub count: u64,
}

impl Marks {
    pub fn new(mark: &[u8]) -> Self {
        Marks { finder: Finder::new(mark).into_owned(), tail: Vec::new(), count: 0 }
    }

    pub fn feed(&mut self, piece: &[u8]) {
        let keep = self.finder.needle().len().saturating_sub(1);
        if !self.tail.is_empty() {
            let mut seam = std::mem::take(&mut self.tail);
            let before = seam.len();
            seam.extend_from_slice(&piece[..piece.len().min(keep)]);
            // Marks wholly inside the piece are counted below; these begin in the tail.
            self.count += self.finder.find_iter(&seam).filter(|at| *at < before).count() as u64;
            if piece.len() < keep {
                let from = seam.len().saturating_sub(keep);
                self.tail = seam[from..].to_vec();
                return;
            }
        }
        self.count += self.finder.find_iter(piece).count() as u64;
        self.tail = piece[piece.len().saturating_sub(keep)..].to_vec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_counted_however_the_body_is_cut() {
        let body = b"..mark.mark..m-ark....markmark.mar";
        for cut in 1..body.len() {
            let mut marks = Marks::new(b"mark");
            for piece in body.chunks(cut) {
                marks.feed(piece);
            }
            assert_eq!(marks.count, 4, "cut every {cut}");
        }
    }
}
