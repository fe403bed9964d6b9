//! Numbers as Go prints them in messages.

/// Shortest digits; an exponent below 1e-4 and from 1e6 on.
pub fn go(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return number.to_string() };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{number}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn as_go_prints_them() {
        for (number, text) in [(1.0, "1"), (0.5, "0.5"), (-3.0, "-3"), (1e6, "1e+06"), (1e-5, "1e-05")] {
            assert_eq!(super::go(number), text);
        }
    }
}
