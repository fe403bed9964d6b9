//! Columns from tab stops (Go's tabwriter): a column is as wide as the widest of the cells that
//! stand above each other without a gap, plus the padding.

/// Aligns `text`: lines whose cells end with tabs; what follows the last tab is no cell.
pub fn align(text: &str, min_width: usize, padding: usize) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len() - 1]).collect();
    let columns = widths.iter().map(Vec::len).max().unwrap_or_default();
    for column in 0..columns {
        let mut start = 0;
        while start < lines.len() {
            let length = lines[start..].iter().take_while(|cells| cells.len() > column + 1).count();
            let block = start..start + length;
            let widest = lines[block.clone()].iter().map(|cells| cells[column].chars().count() + padding).max();
            let width = widest.unwrap_or_default().max(min_width);
            widths[block].iter_mut().for_each(|row| row[column] = width);
            start += length.max(1);
        }
    }
    let mut out = String::with_capacity(text.len() * 2);
    for (index, (cells, widths)) in lines.iter().zip(&widths).enumerate() {
        if index > 0 {
            out.push('\n');
        }
        for (cell, width) in cells.iter().zip(widths) {
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
        }
        out.push_str(cells.last().unwrap_or(&""));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_end_where_a_line_has_no_cell() {
        assert_eq!(align("a\tb\nlong\tc\n\nx\ty\n", 0, 2), "a     b\nlong  c\n\nx  y\n");
        assert_eq!(align("Name:\tx\nLabels:\ta=b\n\tc=d\n", 0, 2), "Name:    x\nLabels:  a=b\n         c=d\n");
        assert_eq!(align("A\tB\nx\ty\n", 6, 3), "A     B\nx     y\n");
    }
}
