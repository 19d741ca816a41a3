//! Writes small extracts in PBF form, uncompressed, as made-up as a test needs them.

/// What an extract is to have.
#[derive(Default)]
pub(super) struct Extract {
    nodes: Vec<Vec<u8>>,
    ways: Vec<Vec<u8>>,
    relations: Vec<Vec<u8>>,
    texts: Vec<String>,
}

type Tags<'a> = &'a [(&'a str, &'a str)];

impl Extract {
    pub(super) fn node(&mut self, id: i64, lat: f64, lon: f64, tags: Tags<'_>) -> &mut Self {
        let e7 = |degrees: f64| (degrees * 1e7).round() as i64;
        let mut node = Vec::new();
        number(&mut node, 1, zigzag(id));
        self.tags(&mut node, tags);
        number(&mut node, 8, zigzag(e7(lat)));
        number(&mut node, 9, zigzag(e7(lon)));
        self.nodes.push(node);
        self
    }

    /// Nodes from 1 on in a row to the east, a hundred metres or so apart.
    pub(super) fn nodes(&mut self, count: i64) -> &mut Self {
        for id in 1..=count {
            self.node(id, 60.0, 25.0 + id as f64 * 0.0018, &[]);
        }
        self
    }

    pub(super) fn way(&mut self, id: i64, nodes: &[i64], tags: Tags<'_>) -> &mut Self {
        let mut way = Vec::new();
        number(&mut way, 1, id as u64);
        self.tags(&mut way, tags);
        packed(&mut way, 8, deltas(nodes).map(zigzag));
        self.ways.push(way);
        self
    }

    /// `members` by role, id, and kind: 0 for a node, 1 for a way.
    pub(super) fn relation(&mut self, id: i64, members: &[(&str, i64, u64)], tags: Tags<'_>) -> &mut Self {
        let mut relation = Vec::new();
        number(&mut relation, 1, id as u64);
        self.tags(&mut relation, tags);
        let roles: Vec<u64> = members.iter().map(|(role, ..)| self.text(role)).collect();
        let ids: Vec<i64> = members.iter().map(|&(_, id, _)| id).collect();
        packed(&mut relation, 8, roles.into_iter());
        packed(&mut relation, 9, deltas(&ids).map(zigzag));
        packed(&mut relation, 10, members.iter().map(|&(.., kind)| kind));
        self.relations.push(relation);
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut strings = field(1, b"");
        strings.extend(self.texts.iter().flat_map(|text| field(1, text.as_bytes())));
        let mut block = field(1, &strings);
        for (kind, elements) in [(1, &self.nodes), (3, &self.ways), (4, &self.relations)] {
            let group: Vec<u8> = elements.iter().flat_map(|element| field(kind, element)).collect();
            block.extend(field(2, &group));
        }
        with_block(&block)
    }

    fn tags(&mut self, element: &mut Vec<u8>, tags: Tags<'_>) {
        let keys: Vec<u64> = tags.iter().map(|(key, _)| self.text(key)).collect();
        let values: Vec<u64> = tags.iter().map(|(_, value)| self.text(value)).collect();
        packed(element, 2, keys.into_iter());
        packed(element, 3, values.into_iter());
    }

    /// The place of a text in the table of strings.
    fn text(&mut self, text: &str) -> u64 {
        self.texts.push(text.to_owned());
        self.texts.len() as u64
    }
}

/// An extract of a header and one uncompressed block.
pub(super) fn with_block(content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, content) in [("OSMHeader", field(4, b"OsmSchema-V0.6")), ("OSMData", content.to_vec())] {
        let blob = field(1, &content);
        let mut header = field(1, kind.as_bytes());
        number(&mut header, 3, blob.len() as u64);
        bytes.extend((header.len() as u32).to_be_bytes());
        bytes.extend(header);
        bytes.extend(blob);
    }
    bytes
}

/// A block of dense nodes whose differences are as given: their sums overflow.
pub(super) fn dense_block(numbers: &[i64]) -> Vec<u8> {
    let mut dense = Vec::new();
    for field in [1, 8, 9] {
        packed(&mut dense, field, numbers.iter().copied().map(zigzag));
    }
    [field(1, b""), field(2, &field(2, &dense))].concat()
}

fn deltas(ids: &[i64]) -> impl Iterator<Item = i64> + '_ {
    let before = std::iter::once(0).chain(ids.iter().copied());
    ids.iter().zip(before).map(|(id, before)| id.wrapping_sub(before))
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

fn packed(out: &mut Vec<u8>, number: u8, values: impl Iterator<Item = u64>) {
    let mut content = Vec::new();
    values.for_each(|value| varint(&mut content, value));
    out.extend(field(number, &content));
}

fn number(out: &mut Vec<u8>, number: u8, value: u64) {
    out.push(number << 3);
    varint(out, value);
}

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(&mut out, content.len() as u64);
    out.extend_from_slice(content);
    out
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 127 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}
