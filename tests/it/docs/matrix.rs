//! The sums of the weighted matrix in `docs/ingestion-patterns.md` are what its points and weights come to.

use super::page;

/// The cells of a table's row without markup.
fn cells(row: &str) -> Vec<String> {
    row.trim_matches('|').split('|').map(|cell| cell.trim().replace('*', "")).collect()
}

#[test]
fn the_sums_of_the_matrix_are_weight_times_points() {
    let page = page("docs/ingestion-patterns.md");
    let rows: Vec<Vec<String>> = page.text.lines().filter(|line| line.starts_with('|')).map(cells).collect();
    let first = 1 + rows.iter().position(|row| row[0] == "criterion").expect("the page has a matrix");
    let mut sums = [0_u32; 6];
    for row in &rows[first + 1..] {
        let numbers: Vec<u32> = row[1..].iter().map(|cell| cell.parse().expect("a number")).collect();
        if row[0].starts_with("sum") {
            assert_eq!(numbers, sums);
            return;
        }
        sums[0] += numbers[0];
        for (sum, points) in sums[1..].iter_mut().zip(&numbers[1..]) {
            *sum += numbers[0] * points;
        }
    }
    panic!("the matrix has no sums");
}
