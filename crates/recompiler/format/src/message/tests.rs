//! Messages there and back, and bytes that are none.

extern crate std;
use super::*;
use std::string::String;
use std::vec;
use std::vec::Vec;

fn split(frame: &[u8]) -> (u16, &[u8]) {
    let header = Header::decode(frame[..HEADER_BYTES].try_into().unwrap()).unwrap();
    assert_eq!(frame.len(), HEADER_BYTES + header.body_bytes);
    (header.kind, &frame[HEADER_BYTES..])
}

fn check_request(request: Request<'_>) {
    let mut buffer = [0_u8; 256];
    let length = request.encode(&mut buffer).unwrap();
    assert!(length <= request.encoded_bytes());
    let (kind, body) = split(&buffer[..length]);
    assert_eq!(Request::decode(kind, body), Ok(request));
    for cut in 0..body.len() {
        if !matches!(request, Request::Load { .. }) {
            assert_eq!(Request::decode(kind, &body[..cut]), Err(MessageError::Short));
        }
    }
    for small in 0..length {
        assert_eq!(
            request.encode(&mut buffer[..small]),
            Err(MessageError::BufferFull)
        );
    }
}

fn check_reply(reply: Reply<'_>) {
    let mut buffer = [0_u8; 256];
    let length = reply.encode(&mut buffer).unwrap();
    let (kind, body) = split(&buffer[..length]);
    assert_eq!(Reply::decode(kind, body), Ok(reply));
}

#[test]
fn requests_round_trip() {
    check_request(Request::Functions { first: 7 });
    check_request(Request::Capture {
        function: 3,
        armed: true,
    });
    check_request(Request::Blob {
        function: 1,
        offset: 65_536,
    });
    check_request(Request::Load {
        function: 2,
        scenario: Scenario::Memory,
        image: b"image",
    });
    check_request(Request::Switch {
        function: ALL_FUNCTIONS,
        scenario: Scenario::Base,
    });
    check_request(Request::Storm {
        duration_ms: 1000,
        pause_us: 50,
    });
    check_request(Request::Work);
    check_request(Request::Count {
        function: 3,
        enabled: true,
    });
    check_request(Request::Calls { function: 3 });
    check_request(Request::Release);
    check_request(Request::Heartbeat);
}

#[test]
fn replies_round_trip() {
    check_reply(Reply::Hello(Hello {
        process: 10,
        helper_thread: 11,
        functions: 12,
        reason: Reason::Seccomp,
        load_bias: 0x5555_0000,
        build_id: &[1, 2, 3],
        executable: "/usr/bin/lz4",
    }));
    check_reply(Reply::Blob {
        total_bytes: 9,
        bytes: b"part",
    });
    check_reply(Reply::Loaded {
        address: 1,
        load_ns: 2,
        used_bytes: 3,
    });
    check_reply(Reply::Switched {
        functions: 4,
        switch_ns: 5,
    });
    check_reply(Reply::Storm {
        functions: 6,
        switches: 7,
        failures: 0,
        rounds: 9,
        elapsed_ms: 8,
    });
    check_reply(Reply::Work {
        work: 1,
        counted: true,
        calls: 2,
        cpu_ns: 3,
        boot_ns: 4,
    });
    check_reply(Reply::Calls { calls: 5 });
    check_reply(Reply::Done);
    for reason in Reason::ALL {
        check_reply(Reply::Refused(reason));
    }
}

#[test]
fn function_lists_hold_whole_entries_only() {
    let entry = FunctionEntry {
        hash: FunctionHash([7; 16]),
        address: 0x40_1000,
        code_bytes: 64,
        blob_bytes: 4096,
        arguments: ArgumentLayout::default().with(1, 32),
        scenario: Scenario::Cpu,
        loaded: 0b10,
        reason: Reason::None,
        name: "longest_match",
    };
    let mut buffer = [0_u8; 128];
    let mut writer = FunctionListWriter::new(&mut buffer);
    let mut count = 0;
    while writer.push(&entry) {
        count += 1;
    }
    let length = writer.written_bytes();
    let list = FunctionList::from_bytes(&buffer[..length]);
    assert_eq!(count, 2);
    assert_eq!(list.iter().collect::<Result<Vec<_>, _>>(), Ok(vec![entry; 2]));
    let broken = FunctionList::from_bytes(&buffer[..length - 1]);
    assert_eq!(broken.iter().last(), Some(Err(MessageError::Short)));
}

#[test]
fn headers_are_checked() {
    assert_eq!(
        Header::decode([0, 0, 0, 0, 9, 0, 1, 0]),
        Err(MessageError::Version(9))
    );
    assert_eq!(
        Header::decode([0xff, 0xff, 0xff, 0x7f, 1, 0, 1, 0]),
        Err(MessageError::TooLong(0x7fff_ffff))
    );
    assert_eq!(Request::decode(KIND_WORK, b"x"), Err(MessageError::Trailing));
    assert_eq!(Request::decode(0x77, b""), Err(MessageError::Kind(0x77)));
    assert_eq!(
        Request::decode(KIND_SWITCH, &[0, 0, 0, 0, 99]),
        Err(MessageError::Value)
    );
}

#[test]
fn any_bytes_are_an_error_or_a_message_never_a_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..20_000_u32 {
        let mut bytes = [0_u8; 64];
        for byte in &mut bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = (state & 0x0f) as u8;
        }
        let length = (state >> 32) as usize % bytes.len();
        let kind = (round % 16) as u16;
        let _ = Request::decode(kind, &bytes[..length]);
        if let Ok(Reply::Functions { list, .. }) = Reply::decode(kind | REPLY, &bytes[..length]) {
            let _ = list.iter().count();
        }
    }
}

#[test]
fn texts_are_cut_at_a_character() {
    let long = String::from("é").repeat(TEXT_LIMIT_BYTES);
    assert_eq!(cut_text(&long).len(), TEXT_LIMIT_BYTES);
    assert_eq!(cut_text("short"), "short");
}
