//! Schedules and the times they come to, as upstream's library has them.

use super::*;

fn after(schedule: &str, from: &str, zone_name: &str) -> Option<String> {
    let from: Timestamp = from.parse().unwrap();
    let next = Schedule::parse(schedule).unwrap().next(from, &zone(zone_name).unwrap());
    next.map(|time| time.to_string())
}

#[test]
fn schedules_come_round() {
    for (schedule, from, expected) in [
        ("*/15 * * * *", "2012-07-09T14:45:00Z", "2012-07-09T15:00:00Z"),
        ("*/15 * * * *", "2012-07-09T14:59:59Z", "2012-07-09T15:00:00Z"),
        ("20-35/15 * * * *", "2012-07-09T15:45:00Z", "2012-07-09T16:20:00Z"),
        ("*/15 0 * * *", "2012-07-09T23:46:00Z", "2012-07-10T00:00:00Z"),
        ("30 3 15 feb ?", "2012-07-09T23:35:00Z", "2013-02-15T03:30:00Z"),
        ("0 0 29 2 *", "2012-07-09T23:35:00Z", "2016-02-29T00:00:00Z"),
        ("0 0 * Feb Mon", "2012-07-09T23:35:00Z", "2013-02-04T00:00:00Z"),
        ("* * * * mon-FRI", "2012-07-14T00:00:00Z", "2012-07-16T00:00:00Z"),
        // Where both are restricted either day will do; a step over all is a restriction.
        ("0 0 1 * 3", "2012-07-02T00:00:00Z", "2012-07-04T00:00:00Z"),
        ("0 0 */10 * sun", "2012-07-02T00:00:00Z", "2012-07-08T00:00:00Z"),
        ("0 0 * * sun", "2012-07-02T00:00:00Z", "2012-07-08T00:00:00Z"),
        ("0 0 30 * *", "2013-02-01T00:00:00Z", "2013-03-30T00:00:00Z"),
        ("@hourly", "2012-07-09T14:45:00Z", "2012-07-09T15:00:00Z"),
        ("@weekly", "2012-07-09T14:45:00Z", "2012-07-15T00:00:00Z"),
        ("@every 90m", "2012-07-09T14:45:00.5Z", "2012-07-09T16:15:00Z"),
        ("@every 1ms", "2012-07-09T14:45:00Z", "2012-07-09T14:45:01Z"),
    ] {
        assert_eq!(after(schedule, from, "").as_deref(), Some(expected), "{schedule} after {from}");
    }
    assert_eq!(after("0 0 31 2 *", "2012-07-09T14:45:00Z", ""), None);
}

#[test]
fn clocks_that_change_leave_hours_out_or_have_them_twice() {
    for (schedule, from, zone, expected) in [
        ("0 0 * * *", "2024-01-01T00:00:00Z", "Asia/Kolkata", "2024-01-01T18:30:00Z"),
        // 2012-03-11, 2 o'clock does not come in New York.
        ("30 2 11 mar ?", "2012-03-11T00:00:00-05:00", "America/New_York", "2013-03-11T06:30:00Z"),
        ("0 * * * *", "2012-03-11T01:00:00-05:00", "America/New_York", "2012-03-11T07:00:00Z"),
        // 2012-11-04, 1 o'clock comes twice.
        ("0 * * * *", "2012-11-04T01:00:00-04:00", "America/New_York", "2012-11-04T06:00:00Z"),
        ("0 1 * * *", "2012-11-04T01:00:00-04:00", "America/New_York", "2012-11-04T06:00:00Z"),
        ("0 3 * * *", "2012-11-04T01:00:00-05:00", "America/New_York", "2012-11-04T08:00:00Z"),
    ] {
        assert_eq!(after(schedule, from, zone).as_deref(), Some(expected), "{schedule} after {from}");
    }
}

#[test]
fn bad_schedules_are_told_in_upstreams_words() {
    for (schedule, expected) in [
        ("x", "expected exactly 5 fields, found 1: [x]"),
        ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
        ("@never", "unrecognized descriptor: @never"),
        ("@every x", "failed to parse duration @every x: time: invalid duration \"x\""),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
    ] {
        assert_eq!(Schedule::parse(schedule).unwrap_err().to_string(), expected, "{schedule}");
    }
}

#[test]
fn zones_have_their_names() {
    assert!(zone("Europe/Berlin").is_some() && zone("UTC").is_some());
    assert!(zone("europe/berlin").is_none() && zone("Mars/Olympus").is_none());
}
