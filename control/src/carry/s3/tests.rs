use super::*;

fn standing(status: u16, text: &str) -> (Standing, String) {
    fuzz_answer(text.as_bytes());
    match refusal(status, text) {
        Trouble::Storage(standing, why) => (standing, why),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_server_refuses_is_said_in_words() {
    let error = |code: &str| {
        format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>No way</Message></Error>"
        )
    };
    for (status, code, want, word) in [
        (404, "NoSuchBucket", Standing::Error, "no such bucket"),
        (403, "InvalidAccessKeyId", Standing::Error, "access key or secret"),
        (403, "SignatureDoesNotMatch", Standing::Error, "access key or secret"),
        (403, "AccessDenied", Standing::Error, "denied"),
        (403, "RequestTimeTooSkewed", Standing::Error, "clock"),
        (507, "XMinioStorageFull", Standing::Full, "no room"),
        (503, "SlowDown", Standing::Unreachable, "cannot now"),
        (301, "PermanentRedirect", Standing::Error, "region"),
        (405, "MethodNotAllowed", Standing::Error, "refuses"),
    ] {
        let (standing, why) = standing(status, &error(code));
        assert_eq!(standing, want, "{code}");
        assert!(why.contains(word) && why.contains(code) && why.contains("No way"), "{why}");
    }
    let (unreachable, why) = standing(502, "<html>Bad gateway");
    assert_eq!((unreachable, why.as_str()), (Standing::Unreachable, "it cannot now (HTTP 502)"));
}

#[test]
fn parts_are_few_enough_and_as_long_as_they_must() {
    for size in [PART + 1, 5 << 30, MOST_PARTS * PART, MOST_PARTS * PART + 1, 5 << 40] {
        let part = part_size(size);
        assert!(part.is_multiple_of(PART) && size.div_ceil(part) <= MOST_PARTS, "{size} {part}");
    }
    assert_eq!(part_size(5 << 30), PART);
}

#[test]
fn answers_are_read_with_and_without_their_namespace() {
    for space in ["", " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""] {
        let name = "InitiateMultipartUploadResult";
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><{name}{space}><Bucket>b</Bucket>\
             <Key>k</Key><UploadId>VXBs</UploadId></{name}>"
        );
        fuzz_answer(text.as_bytes());
        let made = CreateMultipartUpload::parse_response(&as_s3(&text, name)).unwrap();
        assert_eq!(made.upload_id(), "VXBs");
        let text = format!(
            "<ListPartsResult{space}><MaxParts>1000</MaxParts><IsTruncated>false</IsTruncated>\
             <Part><PartNumber>2</PartNumber><LastModified>2026-11-21T00:00:00.000Z</LastModified>\
             <ETag>&quot;ab&quot;</ETag><Size>5</Size></Part></ListPartsResult>"
        );
        fuzz_answer(text.as_bytes());
        let parts = ListParts::parse_response(&as_s3(&text, "ListPartsResult")).unwrap().parts;
        assert_eq!((parts[0].number, &*parts[0].etag, parts[0].size), (2, "\"ab\"", 5));
    }
}

#[test]
fn elements_of_answers() {
    assert_eq!(element("<a><Code>x</Code></a>", "Code"), "x");
    for nothing in ["", "<Code>", "</Code><Code>", "<Code/>"] {
        assert_eq!(element(nothing, "Code"), "", "{nothing}");
    }
}
