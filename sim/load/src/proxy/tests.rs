use std::io::{Read, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use drover_model::NodePattern;
use drover_world::{LinkEffect, LinkRule};

use super::*;

const VEHICLE: NodeName = NodeName::new(NodeKind::Vehicle, 3);
const GATEWAY: NodeName = NodeName::new(NodeKind::Gateway, 1);
/// Longer than anything takes here; and how long nothing must come.
const PATIENCE: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_millis(150);

fn rule(from: NodeName, to: NodeName, effect: LinkEffect) -> Action {
    let (from, to) = (NodePattern::from(from), NodePattern::from(to));
    Action::AddRule { id: 1, rule: LinkRule { from, to, both_ways: false, effect } }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

/// A vehicle's socket, the gateway's, and the way between them.
fn link() -> (Proxies, UdpSocket, SocketAddr, UdpSocket) {
    let mut proxies = Proxies::new(&SeedTree::from_number(1)).expect("a thread");
    let server = socket();
    let to = server.local_addr().expect("an address");
    let addr = proxies.datagrams(VEHICLE, GATEWAY, to).expect("a proxy");
    (proxies, socket(), addr, server)
}

fn receive(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = [0; 100];
    socket.recv_from(&mut buffer).ok().map(|(len, from)| (buffer[..len].to_vec(), from))
}

#[test]
fn datagrams_pass_both_ways_until_a_rule_says_otherwise() {
    let (proxies, client, addr, server) = link();
    client.send_to(b"one", addr).expect("sent");
    let (bytes, from) = receive(&server).expect("it arrives");
    assert_eq!(bytes, b"one");
    server.send_to(b"two", from).expect("sent");
    assert_eq!(receive(&client).map(|(bytes, _)| bytes), Some(b"two".to_vec()));
    apply(&proxies.handle(), &rule(VEHICLE, GATEWAY, LinkEffect::Partition));
    server.set_read_timeout(Some(SILENCE)).expect("a timeout");
    client.send_to(b"three", addr).expect("sent");
    assert_eq!(receive(&server), None, "lost on the way up");
    server.send_to(b"four", from).expect("sent");
    assert_eq!(receive(&client).map(|(bytes, _)| bytes), Some(b"four".to_vec()), "and not on the way down");
}

#[test]
fn what_is_held_goes_on_when_the_rule_ends() {
    let (proxies, client, addr, server) = link();
    apply(&proxies.handle(), &rule(VEHICLE, GATEWAY, LinkEffect::Clog));
    server.set_read_timeout(Some(SILENCE)).expect("a timeout");
    for text in [b"a", b"b"] {
        client.send_to(text, addr).expect("sent");
    }
    assert_eq!(receive(&server), None);
    apply(&proxies.handle(), &Action::RemoveRule { id: 1 });
    server.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let came: Vec<_> = (0..2).filter_map(|_| receive(&server)).map(|(bytes, _)| bytes).collect();
    assert_eq!(came, [b"a", b"b"]);
}

#[test]
fn an_address_that_changes_is_another_port_and_the_old_one_finds_nobody() {
    let (proxies, client, addr, server) = link();
    let ask = || {
        client.send_to(b"?", addr).expect("sent");
        receive(&server).expect("it arrives").1
    };
    let before = ask();
    assert_eq!(ask(), before);
    apply(&proxies.handle(), &Action::Rebind(NodeName::new(NodeKind::Vehicle, 9)));
    assert_eq!(ask(), before, "somebody else's");
    apply(&proxies.handle(), &Action::Rebind(VEHICLE));
    let mut after = ask();
    // The proxy may not have heard of it yet.
    while after == before {
        after = ask();
    }
    server.send_to(b"old", before).expect("sent");
    server.send_to(b"new", after).expect("sent");
    assert_eq!(receive(&client).map(|(bytes, _)| bytes), Some(b"new".to_vec()));
}

#[test]
fn bytes_of_tcp_stand_still_and_all_come_in_order() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let mut proxies = Proxies::new(&SeedTree::from_number(1)).expect("a thread");
    let (agent, db) = (NodeName::new(NodeKind::Persistence, 0), NodeName::new(NodeKind::Db, 0));
    let addr = proxies.streams(agent, db, listener.local_addr().expect("an address")).expect("a proxy");
    let mut client = std::net::TcpStream::connect(addr).expect("connected");
    client.write_all(b"one").expect("sent");
    let (mut server, _) = listener.accept().expect("connected");
    server.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut three = [0; 3];
    server.read_exact(&mut three).expect("it arrives");
    apply(&proxies.handle(), &rule(agent, db, LinkEffect::Partition));
    client.write_all(b"two").expect("sent");
    server.set_read_timeout(Some(SILENCE)).expect("a timeout");
    assert!(server.read(&mut three).is_err(), "nothing passes");
    server.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    apply(&proxies.handle(), &Action::RemoveRule { id: 1 });
    server.read_exact(&mut three).expect("it arrives");
    assert_eq!(&three, b"two");
    drop(client);
    assert_eq!(server.read(&mut three).expect("ended"), 0);
}

#[test]
fn a_server_hears_known_clients_from_ports_that_it_was_told() {
    let mut proxies = Proxies::new(&SeedTree::from_number(1)).expect("a thread");
    let (one, other, server) = (socket(), socket(), socket());
    let known = [&one, &other].map(|client| client.local_addr().expect("an address"));
    let to = server.local_addr().expect("an address");
    let (addr, from) = proxies.datagrams_of(any(NodeKind::Router), GATEWAY, to, &known).expect("a proxy");
    other.send_to(b"there", addr).expect("sent");
    assert_eq!(receive(&server), Some((b"there".to_vec(), from[1])));
    server.send_to(b"again", from[1]).expect("sent");
    assert_eq!(receive(&other), Some((b"again".to_vec(), addr)));
    one.send_to(b"one", addr).expect("sent");
    assert_eq!(receive(&server), Some((b"one".to_vec(), from[0])));
}
