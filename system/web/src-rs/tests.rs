use super::*;

/// Every address in `text` that starts with one of ours.
fn addresses(text: &str) -> Vec<&str> {
    text.split(['"', '\'', '`', ' ', '>']).filter(|word| word.starts_with("/assets/")).collect()
}

#[test]
fn every_page_is_there_and_so_is_all_that_it_names() {
    for path in ["/", "/driver", "/d/dsl_abc", "/sign-in"] {
        let page = asset(path).expect(path);
        assert_eq!(page.mime, "text/html; charset=utf-8");
        assert!(!page.immutable);
        let text = std::str::from_utf8(page.bytes).expect("text");
        let named = addresses(text);
        assert!(named.len() >= 3, "{path} names only {named:?}");
        for name in named {
            assert!(
                asset(name).is_some_and(|found| found.immutable),
                "{path} names {name}, which is not there"
            );
        }
        for name in ["/favicon.svg", "/driver.webmanifest"] {
            assert!(!text.contains(name) || asset(name).is_some(), "{path} names {name}, which is not there");
        }
    }
}

#[test]
fn the_service_worker_knows_only_what_is_there() {
    let text = std::str::from_utf8(asset("/sw.js").expect("a worker").bytes).expect("text");
    let (shell, _) = text.split_once('\n').expect("a first line");
    let named = addresses(shell);
    assert!(named.len() >= 4, "{shell}");
    for name in named {
        assert!(asset(name).is_some(), "{name} is not there");
    }
}

#[test]
fn pages_ask_no_other_host() {
    for path in ["/", "/driver", "/d/dsl_abc", "/sign-in"] {
        let text = std::str::from_utf8(asset(path).expect(path).bytes).expect("text");
        assert!(!text.contains("://") && !text.contains("<script>"), "{path}: {text}");
    }
    let manifest =
        std::str::from_utf8(asset("/driver.webmanifest").expect("a manifest").bytes).expect("text");
    assert!(!manifest.contains("://"));
}

#[test]
fn what_is_not_of_the_pages_is_nothing() {
    for path in [
        "",
        "/d/",
        "/d/a/b",
        "/index.html",
        "/driver.html",
        "/assets/",
        "/assets/../Cargo.toml",
        "/nothing",
        "index.html",
        "//",
    ] {
        assert!(asset(path).is_none(), "{path:?}");
    }
}

#[test]
fn packed_forms_are_sent_to_those_who_take_them() {
    let check = |accept: &str, expected: Encoding| {
        let found = asset("/").expect("a page").accepting(accept);
        assert_eq!(found.encoding, expected, "{accept:?}");
        assert_eq!(found.encoding == Encoding::Identity, found.bytes == asset("/").expect("a page").bytes);
    };
    check("gzip, deflate, br, zstd", Encoding::Brotli);
    check("gzip, deflate", Encoding::Gzip);
    check("GZIP;q=0.5", Encoding::Gzip);
    check("br;q=0, gzip", Encoding::Gzip);
    check("identity", Encoding::Identity);
    check("", Encoding::Identity);
    check("brotli, x-gzip-not", Encoding::Identity);
}

#[test]
fn packed_forms_are_smaller_and_of_their_kind() {
    for entry in table::ENTRIES {
        if let Some(gzip) = entry.gzip {
            assert!(gzip.starts_with(&[0x1f, 0x8b]) && gzip.len() < entry.identity.len(), "{}", entry.name);
        }
        if let Some(brotli) = entry.brotli {
            assert!(brotli.len() < entry.identity.len(), "{}", entry.name);
        }
        assert!(entry.gzip.is_some() || entry.identity.len() < 512, "{} is not packed", entry.name);
    }
}

#[test]
fn a_client_that_has_it_is_told_so() {
    let page = asset("/").expect("a page");
    assert!(
        page.is_known(page.etag) && page.is_known(&format!("\"x\", W/{}", page.etag)) && page.is_known("*")
    );
    assert!(!page.is_known("\"x\"") && !page.is_known(""));
}

#[test]
fn the_table_is_in_order_and_tags_are_unique() {
    assert!(table::ENTRIES.is_sorted_by(|a, b| a.name < b.name));
    let mut tags: Vec<_> = table::ENTRIES.iter().map(|entry| entry.etag).collect();
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), table::ENTRIES.len());
}

#[test]
fn licences_come_with_the_bundle() {
    let text = std::str::from_utf8(asset("/licences.txt").expect("licences").bytes).expect("text");
    for package in ["vue ", "maplibre-gl "] {
        assert!(text.contains(package), "{package}");
    }
}

#[test]
fn another_address_to_connect_to_joins_the_policy() {
    let policy = content_security_policy("https://map.example.org:4433");
    assert!(policy.contains("connect-src 'self' https://map.example.org:4433;"));
    assert!(policy.starts_with("default-src 'none';"));
}
