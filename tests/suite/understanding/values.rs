//! The values that policies see: their types, and bodies from which none can be read.

use countersign::model::Argument;

use super::Sent;

/// The argument `name` of a payment with this member, if the payment is understood.
fn paid(name: &str, member: &str) -> Result<Option<Argument>, String> {
    let body = format!(r#"{{"to":{{"account":"a1"}}{}{member}}}"#, if member.is_empty() { "" } else { "," });
    let call = Sent::json("/tracker/pay", &body).read().map_err(|error| error.to_string())?;
    assert_eq!(call.action.resource, "tracker/a1");
    Ok(call.action.arguments.get(name).cloned())
}

#[test]
fn a_long_is_a_whole_number_of_64_bits() {
    for (text, value) in [
        ("0", 0),
        ("-1", -1),
        ("9007199254740991", (1 << 53) - 1),
        ("\"9223372036854775807\"", i64::MAX),
        ("\"-9223372036854775808\"", i64::MIN),
        ("\"12\"", 12),
    ] {
        assert_eq!(paid("cents", &format!("\"cents\":{text}")), Ok(Some(Argument::Long(value))), "{text}");
    }
    for text in [
        "1.0",
        "1.5",
        "1e3",
        "9007199254740992",
        "-9007199254740993",
        "-0",
        "\"007\"",
        "\"+7\"",
        "\"9223372036854775808\"",
        "\"-9223372036854775809\"",
        "true",
        "null",
        "[1]",
        "{}",
        "\"\"",
        "\" 1\"",
        "\"0x1\"",
        "\"1.0\"",
    ] {
        assert!(
            paid("cents", &format!("\"cents\":{text}")).unwrap_err().contains("`cents` is no whole number"),
            "{text}"
        );
    }
}

#[test]
fn a_decimal_has_at_most_four_digits_behind_the_point() {
    for (text, value) in [
        ("1.5", "1.5"),
        ("0.1234", "0.1234"),
        ("-3.0", "-3.0"),
        ("7", "7.0"),
        ("\"2.50\"", "2.50"),
        ("99999999999.9999", "99999999999.9999"),
        ("\"99999999999999.9999\"", "99999999999999.9999"),
    ] {
        assert_eq!(
            paid("amount", &format!("\"amount\":{text}")),
            Ok(Some(Argument::Decimal(value.to_owned()))),
            "{text}"
        );
    }
    for text in [
        "1.23456",
        "1e3",
        "1.5e0",
        "100000000000000.0",
        "999999999999.9999",
        "true",
        "null",
        "[]",
        "\"1.\"",
        "\".5\"",
        "\"1,5\"",
        "\"+1.5\"",
        "\"--1\"",
        "\"-\"",
        "\"NaN\"",
    ] {
        assert!(paid("amount", &format!("\"amount\":{text}")).unwrap_err().contains("`amount` is no number"), "{text}");
    }
}

#[test]
fn a_bool_is_true_or_false() {
    for (text, value) in [("true", true), ("false", false), ("\"true\"", true)] {
        assert_eq!(paid("urgent", &format!("\"urgent\":{text}")), Ok(Some(Argument::Bool(value))), "{text}");
    }
    for text in ["1", "0", "\"yes\"", "\"True\"", "null", "[]", "\"\""] {
        assert!(
            paid("urgent", &format!("\"urgent\":{text}")).unwrap_err().contains("`urgent` is no true or false"),
            "{text}"
        );
    }
}

#[test]
fn a_string_is_any_scalar_as_it_stands() {
    for (text, value) in [
        ("\"\"", ""),
        ("\"a\\nb\\u0041\"", "a\nbA"),
        ("\"1.50\"", "1.50"),
        ("1.5", "1.5"),
        ("9007199254740991", "9007199254740991"),
        ("true", "true"),
    ] {
        assert_eq!(paid("note", &format!("\"note\":{text}")), Ok(Some(Argument::Text(value.to_owned()))), "{text}");
    }
    for text in ["null", "[]", "{\"a\":1}", "1.50", "1.0", "-0", "1e3", "18446744073709551616"] {
        assert!(paid("note", &format!("\"note\":{text}")).is_err(), "{text}");
    }
    assert_eq!(paid("note", ""), Ok(None), "one that is not there is left out");
}

#[test]
fn a_resource_whose_part_is_missing_is_refused() {
    for body in [
        "{}",
        "[]",
        "3",
        r#"{"to":"a1"}"#,
        r#"{"to":{"account":null}}"#,
        r#"{"to":{"account":["a1"]}}"#,
        r#"{"to":{"Account":"a1"}}"#,
    ] {
        assert_eq!(Sent::json("/tracker/pay", body).refused(), "unclear", "{body}");
    }
    assert_eq!(Sent::json("/tracker/pay", "").refused(), "unclear");
    assert_eq!(Sent::get("/tracker/both/a").refused(), "unclear");
    assert_eq!(Sent::get("/tracker/both/a?at=x%2Fy").refused(), "unclear");
    assert_eq!(Sent::get("/tracker/both/a?at=x").read().unwrap().action.resource, "tracker/a:x");
}

#[test]
fn a_body_that_reads_in_two_ways_is_refused() {
    for body in [
        r#"{"title":"a","title":"b"}"#,
        r#"{"title":"a","titl\u0065":"b"}"#,
        r#"{"title":"a","Title":"b"}"#,
        r#"{"x":[{"y":1,"y":2}]}"#,
        r#"{"title":"a"}{"title":"b"}"#,
        r#"{"title":"a",}"#,
        "{'title':'a'}",
        "\u{feff}{}",
        "{\"title\":NaN}",
        " ",
    ] {
        assert_eq!(Sent::json("/tracker/repos/a/b/issues", body).refused(), "unclear", "{body}");
    }
    let latin = Sent { body: b"{\"title\":\"\xe9\"}", ..Sent::json("/tracker/repos/a/b/issues", "") };
    assert_eq!(latin.refused(), "unclear");
}

#[test]
fn a_body_of_another_type_is_refused_where_values_are_read_from_it() {
    let create = |kind: &'static str| Sent {
        headers: vec![("content-type", kind.as_bytes())],
        ..Sent::json("/tracker/repos/a/b/issues", r#"{"title":"x"}"#)
    };
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/json",
        "application/jsonx",
        "",
        "json",
        "application/json, text/plain",
        "application/json; charset=utf-16",
        "application/json; charset=\"latin1\"",
    ] {
        assert_eq!(create(kind).refused(), "type", "{kind}");
    }
    assert_eq!(Sent { headers: vec![], ..create("") }.refused(), "type");
    for kind in [
        "application/json",
        "Application/JSON; charset=UTF-8",
        "application/vnd.api+json",
        "application/json;charset=\"utf-8\"; v=1",
    ] {
        assert!(create(kind).read().unwrap().action.arguments.contains_key("title"), "{kind}");
    }
    // Where none are read, it does not matter; but what calls itself JSON must be.
    let put = |kind: &'static str, body: &'static [u8]| Sent {
        method: "PUT",
        headers: vec![("content-type", kind.as_bytes())],
        body,
        ..Sent::get("/tracker/blobs/a")
    };
    assert!(put("application/octet-stream", b"\0\xff").read().is_ok());
    assert_eq!(put("application/json", b"\0\xff").refused(), "unclear");
}

#[test]
fn an_encoded_body_is_refused() {
    for coding in ["gzip", "br", "identity, gzip", "gzip, identity", "x", ""] {
        assert_eq!(
            Sent::json("/tracker/pay", r#"{"to":{"account":"a"}}"#).with("content-encoding", coding).refused(),
            "type",
            "{coding}"
        );
    }
    assert_eq!(
        Sent::json("/tracker/pay", "{}")
            .with("content-encoding", "identity")
            .with("content-encoding", "gzip")
            .refused(),
        "type"
    );
    assert!(
        Sent::json("/tracker/pay", r#"{"to":{"account":"a"}}"#).with("content-encoding", "Identity").read().is_ok()
    );
}

#[test]
fn a_query_key_that_policies_read_stands_there_once() {
    let list = |query: &'static str| Sent::get(query);
    for query in [
        "/tracker/repos/a/b/issues?state=open&state=closed",
        "/tracker/repos/a/b/issues?state=open&state=open",
        "/tracker/repos/a/b/issues?page=1&page",
        "/tracker/repos/a/b/issues?state=a+b",
        "/tracker/repos/a/b/issues?page=",
        "/tracker/repos/a/b/issues?page=1.0",
        "/tracker/repos/a/b/issues?st%61te=open",
        "/tracker/repos/a/b/issues?state=a;page=2",
    ] {
        assert_eq!(list(query).refused(), "unclear", "{query}");
    }
    let call = list("/tracker/repos/a/b/issues?state=a%20b&&x").read().unwrap();
    assert_eq!(call.action.arguments.get("state"), Some(&Argument::Text("a b".to_owned())));
}
