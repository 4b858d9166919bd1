use super::*;
use serde_json::json;

fn all(text: &str, format: Format) -> Vec<Record> {
    let mut records = Vec::new();
    read(text.as_bytes(), format, |record| {
        records.push(record);
        true
    })
    .unwrap();
    records
}

fn fields(record: &Record) -> Value {
    Value::Object(record.fields.clone().unwrap())
}

#[test]
fn csv_rows_carry_their_line_also_after_a_quoted_line_break_and_without_a_last_newline() {
    let records = all("name,n\n\"two\nlines\",1\nlast,2", Format::Csv);
    assert_eq!(records.iter().map(|record| record.line).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(fields(&records[0]), json!({"name": "two\nlines", "n": 1}));
}

#[test]
fn a_csv_cell_is_a_number_only_when_it_is_a_plain_decimal_and_keeps_its_digits() {
    for (text, number) in
        [("0.10", true), ("-3", true), ("007", false), ("1e5", false), ("1.", false), (".5", false), ("", false)]
    {
        let value = csv_value(text);
        assert_eq!(value.is_number(), number, "{text}");
        assert_eq!(value.as_str().map_or_else(|| value.to_string(), str::to_string), text);
    }
    assert_eq!(csv_value("12345678901234567890.123456789").to_string(), "12345678901234567890.123456789");
}

#[test]
fn a_csv_row_of_another_width_is_refused_and_the_next_one_read() {
    let records = all("a,b\n1\n1,2\n", Format::Csv);
    assert_eq!(records[0].fields, Err("has 1 columns, the first line names 2".to_string()));
    assert_eq!(fields(&records[1]), json!({"a": 1, "b": 2}));
}

#[test]
fn two_columns_of_one_name_are_refused_at_once() {
    let fault = read("a,b,a\n1,2,3\n".as_bytes(), Format::Csv, |_| true).unwrap_err();
    assert_eq!(fault.to_string(), "line 1: two columns are named 'a'");
}

#[test]
fn a_bad_line_of_ndjson_is_refused_with_its_line_and_empty_lines_are_skipped() {
    let records = all("{\"a\":0.10}\n\nnot json\n[1]\n{\"a\":1,\"a\":2}\n", Format::Ndjson);
    assert_eq!(records.iter().map(|record| record.line).collect::<Vec<_>>(), [1, 3, 4, 5]);
    assert_eq!(fields(&records[0])["a"].to_string(), "0.10");
    assert!(records[1..].iter().all(|record| record.fields.is_err()));
}

#[test]
fn a_json_list_is_read_bare_or_under_events() {
    for text in ["[{\"a\":1},{\"a\":2}]", "{\"other\":[0],\"events\":[{\"a\":1},{\"a\":2}]}"] {
        let records = all(text, Format::Json);
        assert_eq!(records.len(), 2, "{text}");
        assert_eq!(fields(&records[1]), json!({"a": 2}));
    }
    assert!(read("{\"a\":1}".as_bytes(), Format::Json, |_| true).is_err());
    assert!(read("[{\"a\":1}".as_bytes(), Format::Json, |_| true).is_err());
}

#[test]
fn the_receiver_can_stop_in_the_middle_of_any_format() {
    for (text, format) in [("a\n1\n2\n", Format::Csv), ("{}\n{}\n", Format::Ndjson), ("[{},{}]", Format::Json)] {
        let mut seen = 0;
        read(text.as_bytes(), format, |_| {
            seen += 1;
            false
        })
        .unwrap();
        assert_eq!(seen, 1, "{text}");
    }
}
