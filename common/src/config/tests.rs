//! What the whole file means, and what is said about a wrong one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::{CacheMode, Config, ConfigError, SchemaKind, Scope, Server, Source};
use crate::secret::Secret;

mod example;

/// A configuration whose passwords are all "password".
fn parse(text: &str) -> Result<Config, ConfigError> {
    let secret = |_: &Path| Ok(Secret::new("password".into()));
    Config::parse_with(text, Path::new("rollcall.toml"), &secret)
}

/// A configuration with these lines in `[directory]`, from the third line on.
fn directory(lines: &str) -> Result<Config, ConfigError> {
    parse(&format!("[directory]\nuri = \"ldap://h\"\n{lines}"))
}

/// Asserts where an error is, and that it says these things.
#[track_caller]
fn assert_error(
    result: Result<Config, ConfigError>,
    line: Option<usize>,
    key: &str,
    parts: &[&str],
) {
    let error = result.expect_err("this configuration is wrong");
    assert_eq!((error.line(), error.key()), (line, Some(key).filter(|k| !k.is_empty())), "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn two_lines_are_enough() {
    let config = parse("[directory]\nuri = [\"ldap://h\"]\nbase = \"dc=example,dc=org\"").unwrap();
    let [directory] = &config.directories[..] else { panic!("one directory") };
    let server = Server::Tcp { host: "h".into(), port: 389, implicit_tls: false };
    assert_eq!(directory.servers, [Source::Server(server)]);
    assert_eq!(directory.base.as_deref(), Some("dc=example,dc=org"));
    assert!(directory.reader.is_none() && directory.resetter.is_none());
    assert!(directory.tls.starttls && !directory.tls.allow_cleartext_passwords);
    assert_eq!(directory.schema, SchemaKind::Rfc2307);
    assert_eq!(directory.users.scope, Scope::Sub);
    assert_eq!(directory.users.attributes.home, "homeDirectory");
    assert_eq!(directory.groups.attributes.member, "memberUid");
    assert_eq!((config.ids.min_uid, config.ids.max_gid), (1000, 4_294_967_294));
    assert_eq!(config.timeouts.lookup, Duration::from_secs(5));
    assert_eq!(config.connections.max, 4);
    assert_eq!((config.cache.mode, config.cache.max_replica), (CacheMode::Auto, 200_000));
    assert_eq!(config.cache.max_stale, Duration::from_secs(7 * 86_400));
}

#[test]
fn the_base_may_be_left_to_the_server() {
    assert_eq!(directory("").unwrap().directories[0].base, None);
}

#[test]
fn several_directories_keep_their_order_and_their_sections() {
    let config = parse(
        "[[directory]]\nuri = \"ldap://a\"\n[directory.users]\nscope = \"one\"\n\
         [[directory]]\nuri = [\"ldap://b\", \"ldapi://%2Fb\"]\n[directory.groups.attributes]\n\
         name = \"gn\"\n",
    )
    .unwrap();
    let [a, b] = &config.directories[..] else { panic!("two directories") };
    assert_eq!((a.servers[0].to_string().as_str(), a.users.scope), ("ldap://a", Scope::One));
    assert_eq!((b.servers.len(), b.users.scope), (2, Scope::Sub));
    assert_eq!(b.groups.attributes.name, "gn");
}

#[test]
fn an_error_is_printed_with_file_line_and_key() {
    let error = parse("[directory]\nuri = \"ldap://h\"\npage_size = 0").unwrap_err();
    assert_eq!(
        error.to_string(),
        "rollcall.toml:3: directory.page_size: expected 1 to 100000, found 0"
    );
}

#[test]
fn a_file_without_a_directory_says_which_lines_are_missing() {
    assert_error(parse(""), None, "", &["[directory]", "uri ="]);
    assert_error(parse("[directory]\nbase = \"dc=x\""), Some(1), "directory", &["uri is missing"]);
    let second = parse("[[directory]]\nuri = \"ldap://h\"\n[[directory]]\nbase = \"dc=x\"");
    assert_error(second, Some(3), "directory", &["uri is missing"]);
}

#[test]
fn what_is_not_toml_is_said_to_be_so() {
    assert_error(parse("[directory]\nuri = ldap://h"), Some(2), "", &["not TOML"]);
    assert_error(parse("[directory\n"), Some(1), "", &["not TOML"]);
    assert_error(directory("base = \"dc=x\"\nbase = \"dc=y\""), Some(4), "", &["duplicate"]);
}

#[test]
fn an_unknown_key_is_an_error_at_every_level() {
    for (section, line, key) in [
        ("[directory]\nzzz = 1", 2, "directory.zzz"),
        ("[[directory]]\nzzz = 1", 2, "directory.zzz"),
        ("[directory.users]\nzzz = 1", 2, "directory.users.zzz"),
        ("[directory.users.attributes]\nzzz = 1", 2, "directory.users.attributes.zzz"),
        ("[directory.groups]\nzzz = 1", 2, "directory.groups.zzz"),
        ("[directory.groups.attributes]\nzzz = 1", 2, "directory.groups.attributes.zzz"),
        ("[ids]\nzzz = 1", 2, "ids.zzz"),
        ("[home]\nzzz = 1", 2, "home.zzz"),
        ("[shell]\nzzz = 1", 2, "shell.zzz"),
        ("[login]\nzzz = 1", 2, "login.zzz"),
        ("[timeouts]\nzzz = 1", 2, "timeouts.zzz"),
        ("[connections]\nzzz = 1", 2, "connections.zzz"),
        ("[cache]\nzzz = 1", 2, "cache.zzz"),
        ("\n[zzz]\na = 1", 2, "zzz"),
    ] {
        assert_error(parse(section), Some(line), key, &["unknown key; known here: "]);
    }
}

#[test]
fn an_unknown_key_comes_with_the_one_that_was_meant() {
    assert_error(directory("bse = \"dc=x\""), Some(3), "directory.bse", &["did you mean base?"]);
    assert_error(parse("[logins]"), Some(1), "logins", &["did you mean login?"]);
    assert_error(directory("ca-file = \"/x\""), Some(3), "directory.ca-file", &["mean ca_file?"]);
    assert_error(directory("binddn = \"cn=x\""), Some(3), "directory.binddn", &["bind_dn"]);
    assert_error(directory("host = \"x\""), Some(3), "directory.host", &["uri"]);
}

#[test]
fn a_key_outside_any_section_is_told_where_it_belongs() {
    assert_error(
        parse("uri = \"ldap://h\""),
        Some(1),
        "uri",
        &["outside any section", "[directory]"],
    );
}

#[test]
fn a_password_in_the_configuration_is_refused_and_not_repeated() {
    for (line, key, file) in [
        ("bind_password = \"hunter2\"", "directory.bind_password", "bind_password_file"),
        ("bindpw = \"hunter2\"", "directory.bindpw", "bind_password_file"),
        ("reset_password = \"hunter2\"", "directory.reset_password", "reset_password_file"),
        (
            "bind_dn = \"cn=x\"\nbind_password_file = \"hunter2\"",
            "directory.bind_password_file",
            "absolute path",
        ),
    ] {
        let error = directory(line).unwrap_err();
        assert_eq!(error.key(), Some(key));
        let text = format!("{error} {error:?}");
        assert!(text.contains(file) && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_wrong_type_is_answered_with_the_right_one() {
    for (text, line, key, expected) in [
        ("[directory]\nuri = 5", 2, "directory.uri", "a text in quotes, or a list"),
        ("[directory]\nuri = [\n\"ldap://h\",\n5]", 4, "directory.uri", "a text in quotes"),
        ("directory = 5", 1, "directory", "a section with keys"),
        ("[directory]\nbase = true", 2, "directory.base", "a text in quotes"),
        ("[directory]\nusers = 5", 2, "directory.users", "a section with keys"),
        (
            "[directory]\nallow_cleartext_passwords = \"no\"",
            2,
            "directory.allow_cleartext_passwords",
            "true or false",
        ),
        ("[directory]\npage_size = 1.5", 2, "directory.page_size", "a whole number"),
        ("[ids]\nmin_uid = \"1\"", 2, "ids.min_uid", "a whole number"),
        ("[timeouts]\nlookup = \"3s\"", 2, "timeouts.lookup", "seconds, such as 3 or 0.5"),
        ("[login]\nallow_users = \"alice\"", 2, "login.allow_users", "a list"),
    ] {
        assert_error(parse(text), Some(line), key, &["expected ", expected, ", found "]);
    }
}

#[test]
fn a_wrong_server_is_named_by_its_own_line() {
    let result = parse("[directory]\nuri = [\n  \"ldap://a\",\n  \"b\",\n]");
    assert_error(result, Some(4), "directory.uri", &["\"ldap://b\""]);
    assert_error(parse("[directory]\nuri = \"b\""), Some(2), "directory.uri", &["\"ldap://b\""]);
    assert_error(parse("[directory]\nuri = []"), Some(2), "directory.uri", &["at least one"]);
}

/// SSSD CVE-2026-14474.
#[test]
fn an_empty_base_is_refused() {
    assert_error(
        directory("base = \"\""),
        Some(3),
        "directory.base",
        &["empty", "leave the key out"],
    );
    let users = "[directory.users]\nbase = \"\"";
    assert_error(directory(users), Some(4), "directory.users.base", &["attribute=value"]);
    assert_error(directory("base = \"example.org\""), Some(3), "directory.base", &["dc=example"]);
}

#[test]
fn wrong_words_are_answered_with_the_known_ones() {
    let (tls, scope) = ("tls = \"startls\"", "users.scope = \"subtree\"");
    assert_error(directory(tls), Some(3), "directory.tls", &["did you mean \"starttls\"?"]);
    assert_error(directory(scope), Some(3), "directory.users.scope", &["\"sub\" or \"one\""]);
    assert_error(directory("schema = \"ad\""), Some(3), "directory.schema", &["\"rfc2307\""]);
}

#[test]
fn a_filter_and_an_attribute_must_be_ones() {
    let filter = "users.filter = \"(a=b\"";
    assert_error(directory(filter), Some(3), "directory.users.filter", &["not an LDAP filter"]);
    let attribute = "users.attributes.name = \"uid=*)(\"";
    let key = "directory.users.attributes.name";
    assert_error(directory(attribute), Some(3), key, &["not the name of an attribute"]);
    assert_error(
        parse("[directory]\nuri = \"ldap://h\"\n[login]\nfilter = \"\""),
        Some(4),
        "login.filter",
        &["not an LDAP filter"],
    );
}

#[test]
fn a_key_that_needs_another_is_not_taken_alone() {
    for (key, value, other) in [
        ("bind_dn", "cn=x", "bind_password_file"),
        ("bind_password_file", "/x", "bind_dn"),
        ("reset_dn", "cn=x", "reset_password_file"),
        ("reset_password_file", "/x", "reset_dn"),
        ("client_certificate", "/x", "client_key"),
        ("client_key", "/x", "client_certificate"),
    ] {
        let result = directory(&format!("{key} = \"{value}\""));
        assert_error(result, Some(3), &format!("directory.{key}"), &[other, "is missing"]);
    }
}

#[test]
fn what_is_said_about_tls_agrees_with_the_servers() {
    let with = |uri: &str, lines: &str| parse(&format!("[directory]\nuri = {uri}\n{lines}"));
    let (tls_from_the_start, local) = ("[\"ldap://h\", \"ldaps://h\"]", "\"ldapi://%2Fs\"");
    assert_error(
        with(tls_from_the_start, "tls = \"off\""),
        Some(3),
        "directory.tls",
        &["ldaps://"],
    );
    let certificate = "client_certificate = \"/c\"\nclient_key = \"/k\"";
    let key = "directory.client_certificate";
    assert_error(with(local, certificate), Some(3), key, &["ldapi:// has no TLS"]);
    let off = "tls = \"off\"\nca_file = \"/c\"";
    assert_error(with("\"ldap://h\"", off), Some(4), "directory.ca_file", &["tls is \"off\""]);
    assert!(with(tls_from_the_start, certificate).is_ok());
    assert!(with(tls_from_the_start, "tls = \"starttls\"").is_ok());
}

#[test]
fn no_password_travels_in_clear_unless_that_is_written_out() {
    let reader = "bind_dn = \"cn=x\"\nbind_password_file = \"/x\"\n";
    let off = format!("{reader}tls = \"off\"\n");
    assert_error(directory(&off), Some(3), "directory.bind_dn", &["in clear"]);
    let reset = off.replace("bind", "reset");
    assert_error(directory(&reset), Some(3), "directory.reset_dn", &["in clear"]);
    assert!(directory("tls = \"off\"").is_ok(), "anonymous reading");
    assert!(directory(&format!("{off}allow_cleartext_passwords = true")).is_ok());
    let local = format!("[directory]\nuri = \"ldapi://%2Fs\"\n{off}");
    assert!(parse(&local).is_ok(), "a socket of this machine");
}

#[test]
fn allowing_cleartext_where_nothing_is_clear_is_refused() {
    let flag = "allow_cleartext_passwords = true";
    let key = "directory.allow_cleartext_passwords";
    assert_error(directory(flag), Some(3), key, &["no effect"]);
    assert!(directory("allow_cleartext_passwords = false").is_ok());
}

#[test]
fn a_range_of_ids_has_an_id_in_it() {
    let ids = |lines: &str| directory(&format!("[ids]\n{lines}"));
    assert_error(ids("min_uid = 3000\nmax_uid = 2000"), Some(5), "ids.max_uid", &["above"]);
    assert_error(ids("max_gid = 999"), Some(4), "ids.max_gid", &["min_gid (1000)"]);
    let dynamic = "min_uid = 61184\nmax_uid = 65519";
    assert_error(ids(dynamic), Some(5), "ids.max_uid", &["system itself"]);
    assert_error(ids("min_uid = 0"), Some(4), "ids.min_uid", &["1 to 4294967294"]);
    assert_error(ids("max_uid = -1"), Some(4), "ids.max_uid", &["found -1"]);
    assert_eq!(ids("min_uid = 500").unwrap().ids.min_uid, 500);
}

#[test]
fn a_template_is_checked_when_it_is_read() {
    let home = |line: &str| directory(&format!("[home]\n{line}"));
    assert_error(home("default = \"/home/%x\""), Some(4), "home.default", &["%x", "%u (name)"]);
    assert_error(home("override = \"home/%u\""), Some(4), "home.override", &["\"/home/%u\""]);
    assert_error(home("default = \"%o\""), Some(4), "home.default", &["override"]);
    assert!(home("override = \"/nfs%o\"").is_ok());
}

#[test]
fn a_rule_that_could_mean_nobody_or_everybody_is_refused() {
    let login = |line: &str| directory(&format!("[login]\n{line}"));
    assert_error(login("allow_users = []"), Some(4), "login.allow_users", &["nobody or everybody"]);
    assert_error(login("allow_groups = []"), Some(4), "login.allow_groups", &["nobody"]);
    let list = "allow_users = [\n\"alice\",\n\"1000\"]";
    assert_error(login(list), Some(6), "login.allow_users", &["\"1000\"", "taken for an id"]);
    let rules =
        login("allow_users = [\"alice\"]\nallow_groups = [\"Domain Users\"]").unwrap().login;
    assert_eq!((rules.allow_users[0].as_str(), rules.allow_groups.len()), ("alice", 1));
}

#[test]
fn a_time_limit_stays_within_the_modules_own() {
    let timeouts = |line: &str| directory(&format!("[timeouts]\n{line}"));
    for (line, key, part) in [
        ("lookup = 6", "timeouts.lookup", "to 5 seconds (the modules"),
        ("login = 15.5", "timeouts.login", "to 15 seconds (the modules"),
        ("connect = 6", "timeouts.connect", "second server"),
        ("idle = 1e9", "timeouts.idle", "a day"),
        ("lookup = 0", "timeouts.lookup", "found 0"),
        ("lookup = -1", "timeouts.lookup", "found -1"),
        ("lookup = nan", "timeouts.lookup", "found NaN"),
        ("idle = inf", "timeouts.idle", "found inf"),
    ] {
        assert_error(timeouts(line), Some(4), key, &[part]);
    }
    let short = timeouts("lookup = 0.5").unwrap().timeouts;
    assert_eq!((short.lookup, short.connect), (Duration::from_millis(500), short.lookup));
}

#[test]
fn the_number_of_connections_is_bounded() {
    for max in ["0", "65", "-1"] {
        let result = directory(&format!("[connections]\nmax = {max}"));
        assert_error(result, Some(4), "connections.max", &["1 to 64"]);
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let cache = |line: &str| directory(&format!("[cache]\n{line}"));
    for (line, key, part) in [
        ("mode = \"ondemand\"", "cache.mode", "did you mean \"on-demand\"?"),
        ("max_replica = -1", "cache.max_replica", "0 to 100000000"),
        ("max_entries = 99", "cache.max_entries", "100 to 100000000"),
        ("push = 1", "cache.push", "expected true or false"),
        ("refresh = 0", "cache.refresh", "1 to 86400 seconds"),
        ("lifetime = 0.5", "cache.lifetime", "found 0.5"),
        ("negative_lifetime = nan", "cache.negative_lifetime", "found NaN"),
        ("max_stale = 1e9", "cache.max_stale", "0 to 31536000"),
    ] {
        assert_error(cache(line), Some(4), key, &[part]);
    }
    let kept = cache("mode = \"off\"\nlifetime = 1.5\nnegative_lifetime = 0").unwrap().cache;
    assert_eq!(kept.mode, CacheMode::Off);
    assert!(kept.push && !cache("push = false").unwrap().cache.push);
    assert_eq!((kept.lifetime.as_secs(), kept.negative_lifetime.as_secs()), (2, 0));
}

#[test]
fn loading_reads_the_passwords_files() {
    let folder = tempfile::tempdir().unwrap();
    let (config, secret) = (folder.path().join("rollcall.toml"), folder.path().join("secret"));
    let text = format!(
        "[directory]\nuri = \"ldap://h\"\nbind_dn = \"cn=x\"\nbind_password_file = {secret:?}\n"
    );
    fs::write(&config, text).unwrap();
    fs::write(&secret, "hunter2\n").unwrap();
    let mode = |mode| fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    assert_error(
        Config::load(&config),
        Some(4),
        "directory.bind_password_file",
        &["0644", "chmod"],
    );
    mode(0o640);
    let reader = Config::load(&config).unwrap().directories.remove(0).reader.unwrap();
    assert_eq!((reader.dn.as_str(), reader.password.expose()), ("cn=x", "hunter2"));
    assert!(!format!("{reader:?}").contains("hunter2"));
}

#[test]
fn a_missing_configuration_is_named() {
    assert_error(
        Config::load(Path::new("/nonexistent/r.toml")),
        None,
        "",
        &["/nonexistent/r.toml: there is no such file"],
    );
}
