//! The pages for dispatchers, drivers and customers as they are served: built files, by path, with their headers.
//! Holds no socket, no clock and no template; `npm run build` makes `dist/` and the table, and both are kept in the tree, so
//! that nobody needs Node to build the binary.

mod table;

/// What a page may load and do: itself, and nothing from anywhere else. The service worker, the map's worker and the
/// WebSocket are of the same origin. See [`content_security_policy`] for another address to connect to.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Headers of every asset, beside its own: the policy, no guessing of types, and no address in `Referer`, since a customer's
/// address is a secret.
pub const HEADERS: [(&str, &str); 3] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
];

/// `cache-control` of files whose name holds the hash of their content.
pub const CACHE_FOREVER: &str = "public, max-age=31536000, immutable";
/// `cache-control` of the rest: to be asked for anew each time, which [`Asset::etag`] makes cheap.
pub const CACHE_ASK: &str = "no-cache";

/// How the bytes of an answer are packed (RFC 9110, section 8.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all: no `content-encoding`.
    Identity,
    /// `br` (RFC 7932).
    Brotli,
    /// `gzip` (RFC 1952).
    Gzip,
}

impl Encoding {
    /// The value of `content-encoding`; `None` for plain bytes.
    pub const fn header(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
        }
    }
}

/// One row of the table that the build writes.
#[derive(Debug)]
pub(crate) struct Entry {
    name: &'static str,
    identity: &'static [u8],
    brotli: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
    mime: &'static str,
    etag: &'static str,
}

/// A built file, ready to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// The body.
    pub bytes: &'static [u8],
    /// How `bytes` are packed. Where a file has packed forms, the answer varies by `accept-encoding`.
    pub encoding: Encoding,
    /// `content-type`.
    pub mime: &'static str,
    /// `etag`, with its quotes: of the content, the same for every encoding, so weak comparison is meant.
    pub etag: &'static str,
    /// True if the name holds the content's hash, so that it never changes.
    pub immutable: bool,
    entry: &'static Entry,
}

impl Asset {
    /// The smallest form that `accept_encoding` (the header's value) allows.
    #[must_use]
    pub fn accepting(self, accept_encoding: &str) -> Self {
        let accepts = |wanted: &str| {
            accept_encoding.split(',').any(|part| {
                let mut words = part.split(';').map(str::trim);
                words.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted))
                    && !words.any(|word| matches!(word, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
            })
        };
        match (self.entry.brotli, self.entry.gzip) {
            (Some(bytes), _) if accepts("br") => Self { bytes, encoding: Encoding::Brotli, ..self },
            (_, Some(bytes)) if accepts("gzip") => Self { bytes, encoding: Encoding::Gzip, ..self },
            _ => self,
        }
    }

    /// `cache-control`.
    pub const fn cache_control(&self) -> &'static str {
        if self.immutable { CACHE_FOREVER } else { CACHE_ASK }
    }

    /// True if `if_none_match` (the header's value) names what the client has already: answer 304 then.
    pub fn is_known(&self, if_none_match: &str) -> bool {
        if_none_match
            .split(',')
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == self.etag || tag == "*")
    }
}

/// What to answer for `path` (without query); `None` for a path that is not of the pages. Plain bytes: see
/// [`Asset::accepting`] for packed ones.
pub fn asset(path: &str) -> Option<Asset> {
    let name = match path {
        "/" => "index.html",
        "/driver" | "/driver/" => "driver.html",
        "/sign-in" => "sign-in.html",
        // Whatever the token: whether it opens anything is for the API to say.
        _ if path.strip_prefix("/d/").is_some_and(|token| !token.is_empty() && !token.contains('/')) => {
            "customer.html"
        }
        // Pages have one address each.
        _ if path.ends_with(".html") => return None,
        _ => path.strip_prefix('/')?,
    };
    let place = table::ENTRIES.binary_search_by(|entry| entry.name.cmp(name)).ok()?;
    let entry = &table::ENTRIES[place];
    Some(Asset {
        bytes: entry.identity,
        encoding: Encoding::Identity,
        mime: entry.mime,
        etag: entry.etag,
        immutable: name.starts_with("assets/"),
        entry,
    })
}

/// [`CONTENT_SECURITY_POLICY`] with more places to connect to, apart by spaces, for example `https://map.example.org:4433` for
/// WebTransport, which counts as another origin where its port differs.
pub fn content_security_policy(connect: &str) -> String {
    CONTENT_SECURITY_POLICY.replace("connect-src 'self'", &format!("connect-src 'self' {connect}"))
}

#[cfg(test)]
mod tests;
