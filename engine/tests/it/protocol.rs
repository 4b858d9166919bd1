//! ClickHouse's HTTP interface, request by request.

use std::io::Write as _;
use std::time::{Duration, Instant};

use engine::testing::TestEngine;
use reqwest::Client;

use crate::support::{database, execute, failure, post, send};

fn engine() -> &'static TestEngine {
    TestEngine::shared()
}

fn header<'a>(response: &'a reqwest::Response, name: &str) -> &'a str {
    response.headers()[name].to_str().unwrap()
}

async fn url_query(query: &str) -> reqwest::Response {
    post(engine()).query(&[("query", query)]).send().await.unwrap()
}

#[tokio::test]
async fn anyone_may_ping_and_nobody_may_ask_without_the_password() {
    let url = engine().url();
    for path in ["/ping", "/", "/replicas_status"] {
        let response = Client::new().get(format!("{url}{path}")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.text().await.unwrap(), "Ok.\n");
    }
    let without = Client::new().post(&url).body("SELECT 1").send().await.unwrap();
    let (status, code, text) = failure(without).await;
    assert_eq!((status, code), (403, 516));
    assert!(text.contains("(AUTHENTICATION_FAILED)"), "{text}");
    let wrong = Client::new().post(&url).basic_auth("default", Some("wrong")).body("SELECT 1");
    assert_eq!(failure(wrong.send().await.unwrap()).await.1, 516);
    let right = Client::new().post(&url).basic_auth("default", Some(engine().password()));
    assert_eq!(right.body("SELECT 1").send().await.unwrap().text().await.unwrap(), "1\n");
    let missing = Client::new().get(format!("{url}/nowhere")).send().await.unwrap();
    assert_eq!(missing.status(), 404);
}

#[tokio::test]
async fn a_statement_may_come_by_url_by_body_or_by_both() {
    assert_eq!(url_query("SELECT 1").await.text().await.unwrap(), "1\n");
    assert_eq!(execute(engine(), "SELECT 2;").await, "2\n");
    let both = post(engine()).query(&[("query", "SELECT 1 +")]).body("2");
    assert_eq!(both.send().await.unwrap().text().await.unwrap(), "3\n");
    let get = Client::new().get(engine().url()).query(&[("query", "SELECT 4"), ("password", engine().password())]);
    assert_eq!(get.send().await.unwrap().text().await.unwrap(), "4\n");
}

#[tokio::test]
async fn a_get_cannot_change_anything() {
    let database = database(engine()).await;
    let statement = format!("CREATE TABLE {database}.t (a Int8) ENGINE = Memory");
    let get =
        Client::new().get(engine().url()).query(&[("query", statement.as_str()), ("password", engine().password())]);
    assert_eq!(failure(get.send().await.unwrap()).await.1, 164);
}

#[tokio::test]
async fn the_response_names_format_type_summary_and_query_id() {
    let response = post(engine())
        .query(&[("query_id", "my-id"), ("default_format", "JSONEachRow")])
        .body("SELECT number AS n FROM numbers(2)")
        .send()
        .await
        .unwrap();
    assert_eq!(header(&response, "x-clickhouse-format"), "JSONEachRow");
    assert_eq!(header(&response, "content-type"), "application/x-ndjson; charset=UTF-8");
    assert_eq!(header(&response, "x-clickhouse-query-id"), "my-id");
    assert_eq!(header(&response, "x-clickhouse-timezone"), execute(engine(), "SELECT timezone()").await.trim());
    assert!(response.headers().contains_key("x-clickhouse-server-display-name"));
    let summary: serde_json::Value = serde_json::from_str(header(&response, "x-clickhouse-summary")).unwrap();
    assert_eq!(summary["result_rows"], "2");
    assert_eq!(response.text().await.unwrap(), "{\"n\":0}\n{\"n\":1}\n");
    let csv = post(engine()).header("X-ClickHouse-Format", "CSV").body("SELECT 'a'");
    assert_eq!(csv.send().await.unwrap().text().await.unwrap(), "\"a\"\n");
    let named = send(engine(), "SELECT 1 AS x FORMAT JSONCompact").await;
    assert_eq!(header(&named, "x-clickhouse-format"), "JSONCompact");
}

#[tokio::test]
async fn parameters_are_substituted_by_the_engine() {
    let response = post(engine())
        .query(&[("param_text", "it's; DROP"), ("param_list", "[1,2]"), ("param_table", "one")])
        .body("SELECT {text:String}, arraySum({list:Array(UInt8)}), count() FROM system.{table:Identifier}")
        .send()
        .await
        .unwrap();
    assert_eq!(response.text().await.unwrap(), "it\\'s; DROP\t3\t1\n");
    let missing = failure(send(engine(), "SELECT {gone:String}").await).await;
    assert_eq!(missing.1, 456);
    let form = "--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {x:UInt8} + 1\r\n\
                --b\r\nContent-Disposition: form-data; name=\"param_x\"\r\n\r\n41\r\n--b--\r\n";
    let answer = post(engine()).header("content-type", "multipart/form-data; boundary=b").body(form);
    assert_eq!(answer.send().await.unwrap().text().await.unwrap(), "42\n");
}

#[tokio::test]
async fn settings_hold_for_their_request_alone() {
    let ask = "SELECT getSetting('max_threads'), currentDatabase()";
    let before = execute(engine(), ask).await;
    let database = database(engine()).await;
    let set = post(engine()).query(&[("max_threads", "7"), ("database", &database)]).body(ask);
    assert_eq!(set.send().await.unwrap().text().await.unwrap(), format!("7\t{database}\n"));
    execute(engine(), "SET max_threads = 5").await;
    execute(engine(), &format!("USE {database}")).await;
    execute(engine(), "CREATE TEMPORARY TABLE passing (a Int8)").await;
    assert_eq!(execute(engine(), ask).await, before);
    assert_eq!(failure(send(engine(), "SELECT * FROM passing").await).await.1, 60);
}

#[tokio::test]
async fn refusals_have_clickhouses_codes_and_statuses() {
    let cases = [
        ("SELEC 1", 400, 62),
        ("SELECT 1; SELECT 2", 400, 62),
        ("1 + 1", 400, 62),
        ("", 400, 62),
        ("SELECT * FROM nowhere", 404, 60),
        ("SELECT nothing", 404, 47),
        ("SELECT nofunction(1)", 404, 46),
        ("SELECT 1 FORMAT Nope", 404, 73),
        ("SELECT toUInt8('x')", 400, 6),
        ("INSERT INTO nowhere FORMAT TSV\n1", 404, 60),
        ("SELECT throwIf(1)", 500, 395),
    ];
    for (statement, status, code) in cases {
        let (got_status, got_code, text) = failure(send(engine(), statement).await).await;
        assert_eq!((got_status, got_code), (status, code), "{statement}: {text}");
        assert!(text.starts_with(&format!("Code: {code}. DB::Exception: ")), "{text}");
        assert!(text.ends_with(" (official build))\n") || text.contains("(version "), "{text}");
    }
    let setting = post(engine()).query(&[("no_such_setting", "1")]).body("SELECT 1");
    let refused = failure(setting.send().await.unwrap()).await;
    assert_eq!((refused.0, refused.1), (404, 115));
    let value = post(engine()).query(&[("max_threads", "many")]).body("SELECT 1");
    assert_eq!(failure(value.send().await.unwrap()).await.0, 400);
    let nowhere = post(engine()).query(&[("database", "no`where")]).body("SELECT 1");
    assert_eq!(failure(nowhere.send().await.unwrap()).await.1, 81);
}

#[tokio::test]
async fn rows_come_back_in_every_format_they_went_in() {
    let database = database(engine()).await;
    let table = format!("{database}.t");
    execute(
        engine(),
        &format!(
            "CREATE TABLE {table} (id UInt64, name String, kind LowCardinality(String), amount Decimal(38, 18), \
             at DateTime64(6, 'UTC'), maybe Nullable(Int32), list Array(String)) ENGINE = MergeTree ORDER BY id"
        ),
    )
    .await;
    let source = "SELECT number AS id, concat('n', toString(number), '\\t\\'\\n') AS name, toString(number % 3) AS kind, \
                  toDecimal128(number, 18) / 8 AS amount, toDateTime64(number / 7, 6, 'UTC') AS at, \
                  if(number % 2 = 0, NULL, toInt32(number)) AS maybe, ['a', name] AS list FROM numbers(200000)";
    execute(engine(), &format!("INSERT INTO {table} {source}")).await;
    let ask = "SELECT count(), sum(cityHash64(*)) FROM ";
    let expected = execute(engine(), &format!("{ask}{table}")).await;
    for format in [
        "Native",
        "RowBinary",
        "RowBinaryWithNamesAndTypes",
        "JSONEachRow",
        "Values",
        "TSV",
        "CSV",
        "Parquet",
        "ArrowStream",
    ] {
        let copy = format!("{database}.copy_{format}");
        execute(engine(), &format!("CREATE TABLE {copy} AS {table}")).await;
        let select = format!("SELECT * FROM {table} ORDER BY id FORMAT {format}");
        let data = send(engine(), &select).await.bytes().await.unwrap();
        let by_url = format!("INSERT INTO {copy} FORMAT {format}");
        let response = post(engine()).query(&[("query", &by_url)]).body(data.clone()).send().await.unwrap();
        let summary = header(&response, "x-clickhouse-summary").to_owned();
        assert!(summary.contains("\"written_rows\":\"200000\""), "{format}: {summary}");
        assert_eq!(execute(engine(), &format!("{ask}{copy}")).await, expected, "{format} by URL");
        execute(engine(), &format!("TRUNCATE TABLE {copy}")).await;
        let mut body =
            format!("/* data follows */ INSERT INTO {copy} SETTINGS max_insert_threads = 1 FORMAT {format}\n")
                .into_bytes();
        body.extend_from_slice(&data);
        let by_body = post(engine()).body(body).send().await.unwrap();
        assert_eq!(by_body.text().await.unwrap(), "", "{format}");
        assert_eq!(execute(engine(), &format!("{ask}{copy}")).await, expected, "{format} by body");
    }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn bodies_are_decoded_and_responses_encoded() {
    let database = database(engine()).await;
    execute(engine(), &format!("CREATE TABLE {database}.t (a UInt64) ENGINE = MergeTree ORDER BY a")).await;
    let rows: String = (0..200_000).map(|row| format!("{row}\n")).collect();
    let insert = format!("INSERT INTO {database}.t FORMAT TSV\n");
    let plain = format!("{insert}{rows}");
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(plain.as_bytes()).unwrap();
    let bodies = [
        ("gzip", gzip(plain.as_bytes())),
        ("zstd", zstd::encode_all(plain.as_bytes(), 1).unwrap()),
        ("lz4", lz4.finish().unwrap()),
    ];
    for (encoding, body) in bodies {
        let response = post(engine()).header("content-encoding", encoding).body(body);
        assert_eq!(response.send().await.unwrap().text().await.unwrap(), "", "{encoding}");
    }
    let sum = execute(engine(), &format!("SELECT sum(a) FROM {database}.t")).await;
    assert_eq!(sum.trim(), (199_999_u64 * 200_000 / 2 * 3).to_string());
    // ClickHouse's own framing there and back: what one request returns, the next one inserts.
    let framed = post(engine()).query(&[("compress", "1")]).body(format!("SELECT a FROM {database}.t FORMAT Native"));
    let data = framed.send().await.unwrap().bytes().await.unwrap();
    assert!(data.len() < 4_000_000, "{} bytes are not compressed", data.len());
    let back = post(engine())
        .query(&[("decompress", "1"), ("query", &format!("INSERT INTO {database}.t FORMAT Native"))])
        .body(data.clone());
    assert_eq!(back.send().await.unwrap().text().await.unwrap(), "");
    assert_eq!(execute(engine(), &format!("SELECT count() FROM {database}.t")).await, "1200000\n");
    let mut damaged = data.to_vec();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x10;
    let refused = post(engine())
        .query(&[("decompress", "1"), ("query", &format!("INSERT INTO {database}.t FORMAT Native"))])
        .body(damaged);
    assert_eq!(failure(refused.send().await.unwrap()).await.1, 40);
    assert_eq!(execute(engine(), &format!("SELECT count() FROM {database}.t")).await, "1200000\n");
    for encoding in ["gzip", "zstd", "lz4", "deflate"] {
        let asked = post(engine()).header("accept-encoding", encoding).body("SELECT number FROM numbers(10000)");
        let response = Client::builder().no_gzip().no_zstd().build().unwrap();
        let response = response.execute(asked.build().unwrap()).await.unwrap();
        assert_eq!(header(&response, "content-encoding"), encoding);
    }
}

#[tokio::test]
async fn an_insert_that_breaks_off_stores_nothing() {
    let database = database(engine()).await;
    execute(engine(), &format!("CREATE TABLE {database}.t (a UInt64) ENGINE = MergeTree ORDER BY a")).await;
    let query = format!("INSERT INTO {database}.t FORMAT RowBinary");
    // Announces more than it sends.
    let address = engine().url().replace("http://", "");
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let key = engine().password();
    write!(
        stream,
        "POST /?query={encoded} HTTP/1.1\r\nHost: x\r\nX-ClickHouse-Key: {key}\r\nContent-Length: 20000000\r\n\r\n"
    )
    .unwrap();
    stream.write_all(&vec![0; 12_000_000]).unwrap();
    drop(stream);
    // A row that is cut in two.
    let cut = post(engine()).query(&[("query", &query)]).body(vec![0; 8 * 1000 + 3]);
    assert_eq!(failure(cut.send().await.unwrap()).await.1, 33);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(execute(engine(), &format!("SELECT count() FROM {database}.t")).await, "0\n");
    // None at all is fine.
    let empty = post(engine()).query(&[("query", &query)]).send().await.unwrap();
    assert_eq!(empty.status(), 200);
}

#[tokio::test]
async fn an_insert_that_fails_when_it_is_written_is_not_acknowledged() {
    let database = database(engine()).await;
    let table =
        format!("CREATE TABLE {database}.t (a UInt64, CONSTRAINT small CHECK a < 5) ENGINE = MergeTree ORDER BY a");
    execute(engine(), &table).await;
    let insert = format!("INSERT INTO {database}.t FORMAT TSV\n");
    let (_, code, _) = failure(send(engine(), &format!("{insert}1\n9\n")).await).await;
    assert_eq!(code, 469);
    execute(engine(), &format!("{insert}1\n2\n")).await;
    assert_eq!(execute(engine(), &format!("SELECT count() FROM {database}.t")).await, "2\n");
}

#[tokio::test]
async fn a_refused_insert_of_many_megabytes_still_gets_its_answer() {
    let query = "INSERT INTO nowhere.at_all FORMAT RowBinary";
    let refused = post(engine()).query(&[("query", query)]).body(vec![0; 40_000_000]);
    let (status, code, _) = failure(refused.send().await.unwrap()).await;
    assert_eq!((status, code), (404, 81));
}

#[tokio::test]
async fn the_time_limit_ends_a_statement() {
    let begun = Instant::now();
    let limited = post(engine())
        .query(&[("max_execution_time", "1")])
        .body("SELECT count() FROM system.numbers WHERE sipHash64(number) = 1");
    let (status, code, text) = failure(limited.send().await.unwrap()).await;
    assert_eq!((status, code), (408, 159), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

const ENDLESS: &str = "SELECT count() FROM system.numbers WHERE sipHash64(number) = 1";

async fn is_running(mark: &str) -> bool {
    let ask =
        format!("SELECT count() FROM system.processes WHERE query LIKE '%{mark}%' AND query NOT LIKE '%processes%'");
    execute(engine(), &ask).await != "0\n"
}

async fn wait_until_running(mark: &str, expected: bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_running(mark).await != expected {
        assert!(Instant::now() < deadline, "{mark}: still not running = {expected}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_statement_ends_when_its_client_leaves() {
    let endless = post(engine()).body(format!("{ENDLESS} AND 'leaves' != ''")).send();
    let client = tokio::spawn(endless);
    wait_until_running("leaves", true).await;
    client.abort();
    wait_until_running("leaves", false).await;
    // The same amid a streamed result.
    let stream = send(engine(), "SELECT number FROM system.numbers WHERE 'streams' != ''").await;
    wait_until_running("streams", true).await;
    drop(stream);
    wait_until_running("streams", false).await;
}

#[tokio::test]
async fn a_statement_is_killed_by_its_id_and_the_id_is_taken_meanwhile() {
    let victim = || post(engine()).query(&[("query_id", "victim")]).body(format!("{ENDLESS} AND 'victim' != ''"));
    let running = tokio::spawn(victim().send());
    wait_until_running("victim", true).await;
    assert_eq!(failure(victim().send().await.unwrap()).await.1, 216);
    let killed = execute(engine(), "KILL QUERY WHERE query_id = 'victim'").await;
    assert_eq!(killed, "waiting\tvictim\tdefault\t\n");
    let (_, code, _) = failure(running.await.unwrap().unwrap()).await;
    assert_eq!(code, 394);
    assert_eq!(execute(engine(), "KILL QUERY WHERE query_id = 'victim'").await, "");
}

#[tokio::test]
async fn large_results_flow_in_bounded_memory() {
    let memory = |field: &str| {
        let path = format!("/proc/{}/status", engine().process_id().unwrap());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    let before = memory("VmRSS");
    let mut response = send(engine(), "SELECT number, toString(number) FROM numbers(40000000) FORMAT RowBinary").await;
    let mut length = 0;
    let mut highest = 0;
    let mut chunks = 0_u32;
    while let Some(chunk) = response.chunk().await.unwrap() {
        length += chunk.len();
        chunks += 1;
        if chunks.is_multiple_of(500) {
            highest = highest.max(memory("VmRSS"));
        }
    }
    assert!(length > 600_000_000, "{length}");
    assert!(highest < before + 400, "{before} MiB grew to {highest} MiB");
}

#[tokio::test]
async fn many_clients_at_once_are_all_answered() {
    let tasks: Vec<_> = (0..60)
        .map(|number| tokio::spawn(async move { execute(engine(), &format!("SELECT {number} + sleep(0.05)")).await }))
        .collect();
    for (number, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), format!("{number}\n"));
    }
}

#[tokio::test]
async fn statements_that_hold_every_place_do_not_hold_up_an_insert() {
    let engine = TestEngine::start();
    execute(&engine, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    let sleepers: Vec<_> = (0..20).map(|_| tokio::spawn(post(&engine).body("SELECT sleep(3)").send())).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    execute(&engine, "INSERT INTO t FORMAT TSV\n1\n").await;
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    for sleeper in sleepers {
        sleeper.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_table_of_statuses_uses_the_engines_own_codes() {
    let names = [
        (60, "UNKNOWN_TABLE"),
        (62, "SYNTAX_ERROR"),
        (159, "TIMEOUT_EXCEEDED"),
        (216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING"),
        (229, "QUERY_IS_TOO_LARGE"),
        (394, "QUERY_WAS_CANCELLED"),
        (516, "AUTHENTICATION_FAILED"),
        (40, "CHECKSUM_DOESNT_MATCH"),
        (271, "CANNOT_DECOMPRESS"),
        (89, "UNKNOWN_COMPRESSION_METHOD"),
        (39, "TOO_LARGE_SIZE_COMPRESSED"),
        (33, "CANNOT_READ_ALL_DATA"),
    ];
    for (code, name) in names {
        assert_eq!(execute(engine(), &format!("SELECT errorCodeToName({code})")).await.trim(), name);
    }
}

#[tokio::test]
async fn a_result_of_several_blocks_has_one_header_and_one_frame() {
    let two_blocks = "SELECT x FROM (SELECT toUInt8(1) AS x UNION ALL SELECT toUInt8(2)) ORDER BY x FORMAT";
    let union = "SELECT toUInt8(7) AS x UNION ALL SELECT toUInt8(7) FORMAT";
    for query in [two_blocks, union] {
        let binary = send(engine(), &format!("{query} RowBinaryWithNamesAndTypes")).await.bytes().await.unwrap();
        assert_eq!(binary.len(), b"\x01\x01x\x05UInt8".len() + 2, "{binary:?}");
        let csv = execute(engine(), &format!("{query} CSVWithNames")).await;
        assert_eq!(csv.matches("\"x\"").count(), 1, "{csv}");
        let json: serde_json::Value = serde_json::from_str(&execute(engine(), &format!("{query} JSON")).await).unwrap();
        assert_eq!(json["rows"], 2);
    }
}

#[tokio::test]
async fn rows_thinly_spread_over_many_blocks_are_all_returned() {
    let thin = "SELECT number FROM numbers(20000000) WHERE number % 3000000 = 5";
    for format in ["TSV", "RowBinary", "JSONEachRow", "RowBinaryWithNames"] {
        let streamed = send(engine(), &format!("{thin} FORMAT {format}")).await.bytes().await.unwrap();
        let sorted = format!("SELECT * FROM ({thin}) ORDER BY number FORMAT {format}");
        let at_once = send(engine(), &sorted).await.bytes().await.unwrap();
        assert!(streamed == at_once, "{format}: {streamed:?}");
    }
    // A format that writes nothing still runs to its end.
    let begun = Instant::now();
    execute(engine(), "SELECT sleepEachRow(0.2) FROM numbers(5) SETTINGS max_block_size = 1 FORMAT Null").await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}
