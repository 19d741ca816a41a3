//! Servers and schemas that will not do are named with the way out; the ones that will are brought up to date.

use std::time::Duration;

use drover_store::postgres::{Config, Hypertables, PostgresStore, ServerError, migrate};
use drover_tests::{Disk, Postgres};

use super::{DATABASE, migrated, store};
use crate::cut::{Cut, Proxy};

#[tokio::test]
async fn a_schema_is_made_once_however_many_make_it() {
    let server = Postgres::start(Disk::Cached);
    server.sql("postgres", "CREATE DATABASE telemetry");
    let config = server.config(DATABASE);
    let (one, other) =
        tokio::join!(migrate(&config, Hypertables::IfNew), migrate(&config, Hypertables::IfNew));
    let said = [one.expect("migrated"), other.expect("migrated")];
    assert!(said.iter().any(|text| text.contains("the schema was not there and is version")), "{said:?}");
    let again = migrate(&config, Hypertables::IfNew).await.expect("nothing to do");
    assert!(again.contains("already"), "{again}");
    assert_eq!(store(&server).check().await, Ok(()));
    // A second database of the same server finds the roles there.
    server.sql("postgres", "CREATE DATABASE other");
    assert!(migrate(&server.config("other"), Hypertables::IfNew).await.is_ok());
}

#[tokio::test]
async fn a_database_without_the_schema_or_with_a_newer_one_is_refused_with_the_way_out() {
    let server = Postgres::start(Disk::Cached);
    server.sql("postgres", "CREATE DATABASE telemetry");
    let said = |error: ServerError| {
        assert!(!error.is_retryable(), "{error}");
        error.to_string()
    };
    // Before the first migration even the role is missing; then the tables are.
    let error = said(store(&server).check().await.expect_err("no schema"));
    assert!(error.contains("the schema in 127.0.0.1:") && error.contains("run `drover migrate`"), "{error}");
    server.sql("postgres", "CREATE ROLE drover_writer");
    let error = said(store(&server).check().await.expect_err("no schema"));
    assert!(error.contains("is not there") && error.contains("run `drover migrate`"), "{error}");
    migrate(&server.config(DATABASE), Hypertables::IfNew).await.expect("the schema");
    server.sql(DATABASE, "UPDATE _sqlx_migrations SET success = false WHERE version > 1");
    let error = said(store(&server).check().await.expect_err("an old schema"));
    assert!(error.contains("is version 1, this program needs version"), "{error}");
    server.sql(DATABASE, "UPDATE _sqlx_migrations SET success = true");
    server
        .sql(DATABASE, "INSERT INTO _sqlx_migrations VALUES (99, 'of the future', now(), true, '\\x00', 0)");
    for error in [
        said(store(&server).check().await.expect_err("a new schema")),
        said(migrate(&server.config(DATABASE), Hypertables::IfNew).await.expect_err("a new schema")),
    ] {
        assert!(error.contains("is version 99, this program knows"), "{error}");
    }
}

#[tokio::test]
async fn a_login_that_is_refused_is_no_reason_to_try_again() {
    let server = migrated(Disk::Cached).await;
    let check = async |change: fn(&mut Config), expected: &str| {
        let mut config = server.config(DATABASE);
        change(&mut config);
        let error = PostgresStore::new(config).expect("a config").check().await.expect_err("refused");
        assert!(!error.is_retryable() && error.to_string().contains(expected), "{error}");
    };
    check(|config| config.database = "nowhere".to_owned(), "database \"nowhere\" does not exist").await;
    check(|config| config.user = "nobody_else".to_owned(), "role \"nobody_else\" does not exist").await;
    server.sql(DATABASE, "CREATE ROLE stranger LOGIN");
    check(|config| config.user = "stranger".to_owned(), "refuses the login").await;
    server.sql(DATABASE, "GRANT drover_writer TO stranger");
    let config = Config { user: "stranger".to_owned(), ..server.config(DATABASE) };
    assert_eq!(PostgresStore::new(config).expect("a config").check().await, Ok(()));
}

#[tokio::test]
async fn of_several_servers_the_one_that_takes_writes_is_found() {
    let server = migrated(Disk::Cached).await;
    let nobody = "127.0.0.1:1".to_owned();
    let config = Config { endpoints: vec![nobody.clone(), server.endpoint()], ..server.config(DATABASE) };
    assert_eq!(PostgresStore::new(config).expect("a config").check().await, Ok(()));
    let none = Config { endpoints: vec![nobody], ..server.config(DATABASE) };
    let error = PostgresStore::new(none).expect("a config").check().await.expect_err("nobody");
    assert!(error.is_retryable() && error.to_string().contains("127.0.0.1:1: "), "{error}");
    // A port that answers nothing is left in time.
    let silent = Config {
        endpoints: vec!["192.0.2.1:5432".to_owned(), server.endpoint()],
        connect_timeout: Duration::from_millis(300),
        ..server.config(DATABASE)
    };
    assert_eq!(PostgresStore::new(silent).expect("a config").check().await, Ok(()));
}

#[tokio::test]
async fn a_server_without_postgis_is_refused_before_anything_is_made() {
    let server = Postgres::without_postgis();
    server.sql("postgres", "CREATE DATABASE telemetry");
    server.sql("postgres", "CREATE ROLE drover_writer");
    for error in [
        migrate(&server.config(DATABASE), Hypertables::IfNew).await.expect_err("no PostGIS"),
        store(&server).check().await.expect_err("no PostGIS"),
    ] {
        assert!(
            !error.is_retryable() && error.to_string().contains("has no PostGIS: install its package"),
            "{error}"
        );
    }
    assert_eq!(server.sql(DATABASE, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_with_its_version() {
    let server = migrated(Disk::Cached).await;
    // No older server is at hand: this one says that it is one.
    let said = server.sql(DATABASE, "SHOW server_version_num").parse().expect("a number");
    let old = Proxy::start(server.port(), Cut::Never { said, heard: 140_011 }).await;
    let config = Config { endpoints: vec![old.endpoint()], ..server.config(DATABASE) };
    for error in [
        migrate(&config, Hypertables::IfNew).await.expect_err("too old"),
        PostgresStore::new(config).expect("a config").check().await.expect_err("too old"),
    ] {
        let expected =
            format!("{} is PostgreSQL {}", old.endpoint(), server.sql(DATABASE, "SHOW server_version"));
        assert!(!error.is_retryable() && error.to_string().starts_with(&expected), "{error}");
        assert!(error.to_string().ends_with("this program needs 15 or later"), "{error}");
    }
}
