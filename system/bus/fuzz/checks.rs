//! What must hold for any bytes: one function per fuzz target. The tests call them too, with every input of the corpus.

use drover_bus::discovery::{NODES_MAX, Registration, RegistrationInfo, Snapshot, SnapshotInfo, TOOLS_MAX};
use drover_wire::decode;
use prost::Message;

/// Decodes what a node says of itself, and checks it if it is a registration.
pub fn registration(data: &[u8]) {
    let Ok(info) = decode::<RegistrationInfo>(data) else { return };
    assert_eq!(decode::<RegistrationInfo>(&info.encode_to_vec()).as_ref(), Ok(&info));
    let Ok(said) = Registration::try_from(&info) else { return };
    assert!(said.load_percent <= 100 && said.tools.len() <= TOOLS_MAX && said.proof.incarnation > 0);
    assert_eq!(Registration::try_from(&said.to_wire()).as_ref(), Ok(&said));
}

/// Decodes what a health agent says of everybody, and checks it if it is a snapshot.
pub fn snapshot(data: &[u8]) {
    let Ok(info) = decode::<SnapshotInfo>(data) else { return };
    assert!(info.nodes.len() <= NODES_MAX, "more nodes than a snapshot may have");
    let Ok(snapshot) = Snapshot::try_from(&info) else { return };
    let sent = snapshot.to_wire(info.life.unwrap_or_default(), info.blind.unwrap_or_default());
    let came = decode::<SnapshotInfo>(&sent.encode_to_vec()).expect("what was encoded decodes");
    assert_eq!(Snapshot::try_from(&came).as_ref(), Ok(&snapshot));
    assert_eq!(snapshot.clone().merge(&snapshot), snapshot);
}
