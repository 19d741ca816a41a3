//! Answers, as another implementation reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use drover_dns::{Transport, Unproven};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::queries::{Ask, cookie, others};

fn addrs(records: &[Record]) -> Vec<IpAddr> {
    records.iter().filter_map(|record| record.data.ip_addr()).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[track_caller]
fn check_addrs(ask: &Ask, expected: &[&str]) -> Message {
    let (answer, _) = ask.answer();
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(answer.metadata.authoritative);
    let found: BTreeSet<IpAddr> = addrs(&answer.answers).into_iter().collect();
    assert_eq!(found, expected.iter().map(|text| ip(text)).collect());
    assert!(answer.answers.iter().all(|record| record.ttl == 10 && record.name == answer.queries[0].name));
    answer
}

#[test]
fn names_lead_to_the_addresses_of_their_nodes() {
    check_addrs(&Ask::new("routers", RecordType::A), &["192.0.2.10", "192.0.2.11"]);
    check_addrs(&Ask::new("routers", RecordType::AAAA), &["2001:db8::10"]);
    check_addrs(&Ask::new("ROUTERS", RecordType::A), &["192.0.2.10", "192.0.2.11"]);
    check_addrs(&Ask::new("router-1.nodes", RecordType::A), &["192.0.2.11"]);
    check_addrs(&Ask::new("ns1", RecordType::AAAA), &["2001:db8::53"]);
}

#[test]
fn a_tenant_has_nodes_of_its_own() {
    check_addrs(&Ask::new("routers.acme", RecordType::A), &["192.0.2.11"]);
}

#[test]
fn the_first_of_an_answer_is_each_by_its_share() {
    let mut first = BTreeMap::<IpAddr, u32>::new();
    for _ in 0..8_000 {
        let (answer, _) = Ask::new("routers", RecordType::A).answer();
        *first.entry(addrs(&answer.answers)[0]).or_default() += 1;
    }
    // Capacities 1 and 3.
    let share = first[&ip("192.0.2.10")];
    assert!((1_800..2_200).contains(&share), "{first:?}");
}

#[test]
fn an_srv_record_names_nodes_with_their_ports() {
    let (answer, _) = Ask::new("_geostream._udp.routers", RecordType::SRV).answer();
    let mut found = BTreeMap::new();
    for record in &answer.answers {
        let RData::SRV(srv) = &record.data else { panic!("{record}") };
        found.insert(srv.target.to_string(), (srv.port, srv.weight));
    }
    let node = |index| format!("router-{index}.nodes.fleet.example.");
    assert_eq!(found, BTreeMap::from([(node(0), (443, 21_845)), (node(1), (8443, 65_535))]));
    let more: BTreeSet<_> = addrs(&answer.additionals).into_iter().collect();
    assert_eq!(more, BTreeSet::from([ip("192.0.2.10"), ip("192.0.2.11"), ip("2001:db8::10")]));
}

#[test]
fn an_https_record_has_protocols_port_and_hints() {
    let (answer, _) = Ask::new("live-map-hubs", RecordType::HTTPS).answer();
    let RData::HTTPS(https) = &answer.answers[0].data else { panic!("{answer}") };
    assert_eq!((https.svc_priority, https.target_name.clone()), (1, Name::root()));
    let params: Vec<String> = https.svc_params.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let params = params.join(" ");
    for expected in
        ["alpn=", "h3", "http/1.1", "port=4433", "ipv4hint=", "192.0.2.20", "ipv6hint=", "2001:db8::20"]
    {
        assert!(params.contains(expected), "{params}");
    }
}

#[test]
fn the_zone_has_its_soa_and_servers() {
    let (answer, _) = Ask::new("", RecordType::SOA).answer();
    let RData::SOA(soa) = &answer.answers[0].data else { panic!("{answer}") };
    assert_eq!((soa.mname.to_string(), soa.minimum), ("ns1.fleet.example.".to_owned(), 5));
    let (answer, _) = Ask::new("", RecordType::NS).answer();
    let RData::NS(ns) = &answer.answers[0].data else { panic!("{answer}") };
    assert_eq!(ns.0.to_string(), "ns1.fleet.example.");
    assert_eq!(addrs(&answer.additionals), [ip("192.0.2.53"), ip("2001:db8::53")]);
}

#[track_caller]
fn check_negative(name: &str, kind: RecordType, code: ResponseCode) {
    let (answer, _) = Ask::new(name, kind).answer();
    assert_eq!((answer.metadata.response_code, answer.metadata.authoritative), (code, true), "{name}");
    assert!(answer.answers.is_empty());
    let [soa] = answer.authorities.as_slice() else { panic!("{answer}") };
    assert_eq!(
        (soa.name.to_string(), soa.ttl, soa.record_type()),
        ("fleet.example.".into(), 5, RecordType::SOA)
    );
}

#[test]
fn a_name_that_is_not_there_differs_from_one_without_such_records() {
    check_negative("nothing", RecordType::A, ResponseCode::NXDomain);
    check_negative("a.routers", RecordType::A, ResponseCode::NXDomain);
    check_negative("router-9.nodes", RecordType::A, ResponseCode::NXDomain);
    check_negative("routers", RecordType::MX, ResponseCode::NoError);
    check_negative("routers", RecordType::Unknown(1000), ResponseCode::NoError);
    check_negative("nobody", RecordType::A, ResponseCode::NoError);
    check_negative("router-1.nodes", RecordType::AAAA, ResponseCode::NoError);
    // Between a name and the zone.
    for between in ["nodes", "_udp.routers", "acme"] {
        check_negative(between, RecordType::A, ResponseCode::NoError);
    }
}

#[test]
fn what_is_not_ours_is_refused() {
    let refused = |mut ask: Ask, change: &dyn Fn(&mut Message)| {
        change(&mut ask.message);
        let (answer, _) = ask.answer();
        assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
        assert!(!answer.metadata.authoritative && answer.authorities.is_empty());
    };
    let name = |text: &'static str| {
        move |message: &mut Message| {
            message.queries[0].name = Name::from_ascii(text).expect("a name");
        }
    };
    refused(Ask::new("", RecordType::A), &name("example."));
    refused(Ask::new("", RecordType::A), &name("xfleet.example."));
    refused(Ask::new("", RecordType::A), &name("."));
    refused(Ask::new("routers", RecordType::A), &|message| message.queries[0].query_class = DNSClass::CH);
    refused(Ask::new("", RecordType::AXFR), &|_| {});
}

#[test]
fn a_question_for_all_types_gets_one_record() {
    let (answer, _) = Ask::new("routers", RecordType::ANY).answer();
    let [record] = answer.answers.as_slice() else { panic!("{answer}") };
    assert_eq!(record.record_type(), RecordType::HINFO);
    let (answer, _) = Ask::new("nothing", RecordType::ANY).answer();
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
}

#[test]
fn without_a_good_cookie_no_answer_is_longer_than_its_query() {
    let kinds = [
        RecordType::A,
        RecordType::AAAA,
        RecordType::HTTPS,
        RecordType::SOA,
        RecordType::ANY,
        RecordType::MX,
    ];
    for (name, kind) in ["routers", "live-map-hubs", "", "nothing", "_geostream._udp.routers"]
        .into_iter()
        .flat_map(|name| kinds.map(|kind| (name, kind)).into_iter().chain([(name, RecordType::SRV)]))
    {
        let plain = Ask::new(name, kind).udp();
        let new = plain.clone().option(EdnsOption::Unknown(10, vec![7; 8]));
        let strange = plain.clone().option(EdnsOption::Unknown(10, vec![7; 24]));
        for ask in [plain, new, strange] {
            let (answer, len) = ask.answer();
            assert!(len <= ask.bytes().len(), "{len} to {}", ask.bytes().len());
            let asks_again =
                answer.metadata.truncation || answer.metadata.response_code == ResponseCode::BADCOOKIE;
            assert!(asks_again && answer.answers.is_empty(), "{answer}");
        }
    }
}

#[test]
fn a_client_gets_a_cookie_and_then_its_answer() {
    // One of ours from another time: it is told, with a new one in the place of the old.
    let ask = Ask::new("routers", RecordType::A).udp();
    let stale = others().make(&[7; 8], ask.from.ip(), 1_000_000);
    let stale = EdnsOption::Unknown(10, [&[7; 8], &stale[..]].concat());
    let (answer, _) = ask.clone().option(stale).answer();
    assert_eq!(answer.metadata.response_code, ResponseCode::BADCOOKIE);
    let fresh = cookie(&answer).expect("a cookie");
    let (answer, _) = ask.clone().option(EdnsOption::Unknown(10, fresh.clone())).answer();
    assert_eq!((answer.answers.len(), answer.metadata.truncation), (2, false));
    assert_eq!(cookie(&answer), Some(fresh.clone()));
    // By TCP it comes with the answer; and from another address it is worth nothing.
    let by_tcp =
        Ask { transport: Transport::Stream, ..ask.clone() }.option(EdnsOption::Unknown(10, vec![7; 8]));
    let (answer, _) = by_tcp.answer();
    assert_eq!((answer.answers.len(), cookie(&answer)), (2, Some(fresh.clone())));
    let elsewhere =
        Ask { from: ([192, 0, 2, 201], 5353).into(), ..ask.option(EdnsOption::Unknown(10, fresh)) };
    assert_eq!(elsewhere.answer().0.metadata.response_code, ResponseCode::BADCOOKIE);
}

#[test]
fn a_padded_query_has_its_answer_at_once() {
    let ask =
        Ask::new("routers", RecordType::A).udp().option(EdnsOption::Unknown(10, vec![7; 8])).padded(128);
    let (answer, len) = ask.answer();
    assert_eq!((answer.answers.len(), answer.metadata.truncation), (2, false));
    assert!(len <= ask.bytes().len() && cookie(&answer).is_some());
}

#[test]
fn who_answers_all_answers_by_the_size_that_the_client_takes() {
    let mut ask = Ask::new("_geostream._udp.routers", RecordType::SRV).udp();
    ask.unproven = Unproven::Answer;
    let (answer, len) = ask.answer();
    assert!(!answer.metadata.truncation && len <= 512);
    assert_eq!(answer.answers.len(), 2);
    // What does not have to be there goes first.
    let (whole, _) = ask.clone().with_good_cookie().answer();
    assert_eq!(whole.additionals.len(), 3);
}

fn scope(answer: &Message) -> Option<(u8, u8)> {
    match answer.edns.as_ref()?.option(EdnsCode::Subnet)? {
        EdnsOption::Subnet(subnet) => Some((subnet.source_prefix(), subnet.scope_prefix())),
        _ => None,
    }
}

#[test]
fn who_is_near_is_named_and_the_scope_is_honest() {
    let from = |addr: &str, bits| {
        let subnet = ClientSubnet::new(ip(addr), bits, 0);
        Ask::new("routers", RecordType::A).option(EdnsOption::Subnet(subnet))
    };
    let north = check_addrs(&from("198.51.100.0", 24), &["192.0.2.10"]);
    assert_eq!(scope(&north), Some((24, 24)));
    let south = check_addrs(&from("203.0.113.0", 24), &["192.0.2.11"]);
    assert_eq!(scope(&south), Some((24, 24)));
    let nowhere = check_addrs(&from("10.0.0.0", 8), &["192.0.2.10", "192.0.2.11"]);
    assert_eq!(scope(&nowhere), Some((8, 1)));
    // One who does not want to be found is answered by the address of its resolver.
    let hidden = Ask { from: ([198, 51, 100, 9], 53).into(), ..from("0.0.0.0", 0) };
    assert_eq!(scope(&check_addrs(&hidden, &["192.0.2.10"])), Some((0, 0)));
    // The same for everybody.
    let subnet = EdnsOption::Subnet(ClientSubnet::new(ip("198.51.100.0"), 24, 0));
    let alike = Ask::new("routers.acme", RecordType::A).option(subnet);
    assert_eq!(scope(&check_addrs(&alike, &["192.0.2.11"])), Some((24, 0)));
}

#[test]
fn edns_is_answered_in_kind() {
    let mut ask = Ask::new("routers", RecordType::A).padded(1);
    ask.message.edns.as_mut().expect("edns").set_dnssec_ok(true).set_max_payload(512);
    let (answer, _) = ask.answer();
    let edns = answer.edns.as_ref().expect("edns");
    assert_eq!(
        (edns.flags().dnssec_ok, edns.flags().z, edns.version(), edns.max_payload()),
        (true, 0, 0, 1232)
    );
    assert!(edns.options().options.is_empty(), "what we do not know does not come back");
    ask.message.edns.as_mut().expect("edns").set_version(1);
    let (answer, _) = ask.answer();
    // 16 is also the code of a bad signature.
    assert_eq!(u16::from(answer.metadata.response_code), 16);
    assert!(answer.answers.is_empty());
    let (plain, _) = Ask::new("routers", RecordType::A).answer();
    assert!(plain.edns.is_none());
}
